package watch

import (
	"fmt"
	"math"
	"slices"
	"time"

	"callvault/internal/call"
)

// The rule of silence. How many reports an hour usually brings is the median of
// the same hour of the same weekday in the weeks before, by the account's own
// clock: a median, so that neither one holiday nor one campaign counts. If
// reports come independently of each other, none comes while so many are
// expected with the probability exp(-expected) (Poisson's distribution); below
// unlikely it is no chance. As calls are not quite independent (a batch comes in
// most weeks, and not in all), the same must hold for what came in the same
// hours of most of those weeks, one by one.
const (
	// weeks is how far back habits reach, leastWeeks how long an account must
	// have been known. With fewer than medianWeeks the least counts instead of
	// the median.
	weeks       = 8
	medianWeeks = 4
	leastWeeks  = 2
	// unlikely is once in 10,000 such silences.
	unlikely = 1e-4
	// quietWeeks is one in how many of those weeks may have brought so little
	// that a silence would not have been noticed: holidays.
	quietWeeks = 4
	// leastSilence is how long a silence is never an alert, however busy the
	// account: its provider may have a hiccup.
	leastSilence = 30 * time.Minute
	// mostSilence is how far back reports are expected: an account that has
	// been silent for longer was taken out of use.
	mostSilence = 14 * 24 * time.Hour
	// horizon is what must be counted for that.
	horizon = weeks*7*24*time.Hour + mostSilence + 24*time.Hour
	// countAfter is how long after its end an hour is counted.
	countAfter = 10 * time.Minute
)

// history is what is known of an account's hours.
type history struct {
	account *Account
	// hours are the reports by hour since 1970.
	hours map[int64]int64
	// first and last are when the first and the last of them came, the first
	// to the hour.
	first, last time.Time
}

func (h *history) add(a call.Activity) {
	if h.hours == nil {
		h.hours = make(map[int64]int64)
	}
	h.hours[hourOf(a.Hour)] += a.Reports
	if h.first.IsZero() || a.Hour.Before(h.first) {
		h.first = a.Hour
	}
	if a.LastAt.After(h.last) {
		h.last = a.LastAt
	}
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// judge applies the rule at a moment. watched is since when reports could have
// come; alerted is the beginning of the silence that an open alert is about,
// zero if none is open.
func (h *history) judge(watched, now, alerted time.Time) verdict {
	zone := h.account.zone()
	if !alerted.IsZero() {
		if h.last.After(alerted) {
			return verdict{state: well, sentence: fmt.Sprintf("Reports of account %s come again, the last at %s.", h.account.Name, local(h.last, zone))}
		}
		return verdict{} // whatever was expected meanwhile
	}
	since := h.last
	if watched.After(since) {
		since = watched
	}
	if h.last.IsZero() || now.Sub(since) < leastSilence || now.Sub(since) > mostSilence {
		return verdict{}
	}
	expected, quiet, known := h.expected(since, now)
	if known < leastWeeks || !isStrange(expected) || quiet > known/quietWeeks {
		return verdict{}
	}
	return verdict{state: bad, since: h.last, sentence: fmt.Sprintf(
		"No call report has come from account %s since %s; about %.0f were to be expected since %s, by the same hours of the last %d weeks. "+
			"Look in the provider's dashboard whether its webhook is switched on and has the right address, and whether this server can be reached from outside. "+
			"If nothing is wrong, such as on a holiday, it ends with the next report.",
		h.account.Name, local(h.last, zone), expected, since.In(zone).Format("Mon 15:04"), known)}
}

// isStrange reports whether it is no chance that nothing comes where so many
// are expected.
func isStrange(expected float64) bool { return math.Exp(-expected) < unlikely }

// expected is how many reports are usual between two moments; in how many of
// the known weeks before so few came between the same moments that none would
// not have been strange; and how many those weeks are.
func (h *history) expected(from, to time.Time) (sum float64, quiet, known int) {
	var weekly [weeks]float64
	for slot := from.UTC().Truncate(time.Hour); slot.Before(to); slot = slot.Add(time.Hour) {
		begin, end := slot, slot.Add(time.Hour)
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		share := end.Sub(begin).Hours()
		local := slot.In(h.account.zone())
		if h.isHoliday(local) {
			continue
		}
		var samples []int64
		for week := range weeks {
			before := local.AddDate(0, 0, -7*(week+1))
			if before.Before(h.first) {
				break
			}
			if h.isHoliday(before) {
				continue
			}
			n := h.hours[hourOf(before)]
			weekly[week] += share * float64(n)
			samples = append(samples, n)
		}
		sum += share * typical(samples)
	}
	for week := range weeks {
		before := from.In(h.account.zone()).AddDate(0, 0, -7*(week+1))
		if before.Before(h.first) {
			break
		}
		known++
		if !isStrange(weekly[week]) && !h.isHoliday(before) {
			quiet++
		}
	}
	return sum, quiet, known
}

// typical is the median of what an hour brought, the lower one of two; of few
// samples the least.
func typical(samples []int64) float64 {
	if len(samples) == 0 {
		return 0
	}
	slices.Sort(samples)
	if len(samples) < medianWeeks {
		return float64(samples[0])
	}
	return float64(samples[(len(samples)-1)/2])
}

func (h *history) isHoliday(local time.Time) bool {
	return slices.Contains(h.account.Holidays, DayOf(local))
}
