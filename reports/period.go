package reports

import (
	"fmt"
	"time"
)

// Kind is how long a period is.
type Kind string

// The kinds of periods.
const (
	Day Kind = "day"
	// Week begins on Monday (ISO 8601).
	Week  Kind = "week"
	Month Kind = "month"
)

// Period is one day, week or month of a report's zone: From <= t < To. A day
// may have 23 or 25 hours.
type Period struct {
	Kind     Kind
	From, To time.Time
}

// PeriodOf returns the period of the kind that holds the moment at, in at's
// location.
func PeriodOf(kind Kind, at time.Time) Period {
	year, month, day := at.Date()
	months, days := 0, 1
	switch kind {
	case Week:
		day -= (int(at.Weekday()) + 6) % 7
		days = 7
	case Month:
		day, months, days = 1, 1, 0
	case Day:
	}
	return Period{
		Kind: kind,
		From: firstInstant(year, month, day, 0, 0, 0, at.Location()),
		To:   firstInstant(year, month+time.Month(months), day+days, 0, 0, 0, at.Location()),
	}
}

// Before returns the period that ends where p begins.
func (p Period) Before() Period { return PeriodOf(p.Kind, p.From.Add(-time.Nanosecond)) }

// Label names the period in file names: 2026-11-21, 2026-W47 or 2026-11.
func (p Period) Label() string {
	switch p.Kind {
	case Week:
		year, week := p.From.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case Month:
		return p.From.Format("2006-01")
	case Day:
	}
	return p.From.Format(time.DateOnly)
}

// Title names the period for people.
func (p Period) Title() string {
	last := p.To.Add(-time.Nanosecond)
	switch p.Kind {
	case Week:
		return p.From.Format("Mon 2 Jan") + " – " + last.Format("Mon 2 Jan 2006")
	case Month:
		return p.From.Format("January 2006")
	case Day:
	}
	return p.From.Format("Monday, 2 January 2006")
}

// firstInstant is the first moment at which the clocks of a place show the
// given time or a later one. So a time that daylight saving skips is the moment
// of the change, and one that comes twice is the first of the two. (time.Date
// promises neither.) Values out of range are normalized.
func firstInstant(year int, month time.Month, day, hour, minute, second int, zone *time.Location) time.Time {
	want := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	t := time.Date(year, month, day, hour, minute, second, 0, zone)
	start, end := t.ZoneBounds()
	switch shown := wall(t); {
	case shown.After(want):
		return start
	case shown.Before(want):
		return end
	case start.IsZero():
		return t
	}
	// The same time under the rule that held before.
	_, offset := start.Add(-time.Nanosecond).Zone()
	earlier := want.Add(-time.Duration(offset) * time.Second).In(zone)
	if earlier.Before(start) && wall(earlier).Equal(want) {
		return earlier
	}
	return t
}

// wall is what the clocks show at t, as if it were UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}
