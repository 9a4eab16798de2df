package reports

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// lookBack bounds how many ended periods a report catches up with.
const lookBack = 7

// schedule is a cron expression in a zone. The expression is asked in terms of
// what the clocks show, because cron's own zones skip a time that daylight
// saving leaves out: a report at 02:30 must come on that day, too.
type schedule struct {
	cron cron.Schedule
	zone *time.Location
}

func newSchedule(expression string, zone *time.Location) (schedule, error) {
	s, err := cron.ParseStandard(expression)
	if err != nil {
		return schedule{}, fmt.Errorf("schedule %q: %w", expression, err)
	}
	return schedule{s, zone}, nil
}

// next is the first time of the schedule after t; zero if there is none. A
// local time that comes twice counts once, the first time.
func (s schedule) next(t time.Time) time.Time {
	shown := wall(t.In(s.zone))
	for {
		shown = s.cron.Next(shown)
		if shown.IsZero() {
			return time.Time{}
		}
		year, month, day := shown.Date()
		hour, minute, second := shown.Clock()
		at := firstInstant(year, month, day, hour, minute, second, s.zone)
		if at.After(t) {
			return at
		}
	}
}

// last is the latest time of the schedule that has come at t; zero if there was
// none in five years.
func (s schedule) last(t time.Time) time.Time {
	for _, back := range []time.Duration{time.Hour, 25 * time.Hour, 8 * 24 * time.Hour, 32 * 24 * time.Hour, 367 * 24 * time.Hour, 5 * 366 * 24 * time.Hour} {
		at := s.next(t.Add(-back))
		if at.IsZero() || at.After(t) {
			continue
		}
		for {
			next := s.next(at)
			if next.IsZero() || next.After(t) {
				return at
			}
			at = next
		}
	}
	return time.Time{}
}

// dueAt is when a period is to be reported: the first time of the schedule
// after (or at) its end; zero if there is none.
func (s schedule) dueAt(p Period) time.Time { return s.next(p.To.Add(-time.Nanosecond)) }

// duePeriod is a period whose time to be reported came at At.
type duePeriod struct {
	Period
	At time.Time
}

// due returns the periods whose time to be reported has come, oldest first: of
// the last lookBack ended ones those that are due between firstSeen and now.
func (s schedule) due(kind Kind, firstSeen, now time.Time) []duePeriod {
	var periods []duePeriod
	p := PeriodOf(kind, now.In(s.zone))
	for range lookBack {
		p = p.Before()
		at := s.dueAt(p)
		if at.IsZero() || at.After(now) {
			continue
		}
		if at.Before(firstSeen) {
			break
		}
		periods = append([]duePeriod{{p, at}}, periods...)
	}
	return periods
}
