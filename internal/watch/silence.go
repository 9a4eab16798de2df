package watch

import (
	"fmt"
	"math"
	"slices"
	"time"

	"callvault/internal/call"
)

// The rule of silence. What is usual is what came in the same hours of the same
// weekdays in the weeks before, by the account's own clock: as many reports as
// three in four of those weeks brought, so that neither a holiday nor a campaign
// counts, nor a batch that comes in some weeks only. If reports come
// independently of each other, none comes while so many are expected with the
// probability exp(-expected) (Poisson's distribution); below unlikely it is no
// chance, even on a day that brings but slowDay of what is usual.
const (
	// weeks is how far back habits reach, leastWeeks how long an account must
	// have been known.
	weeks      = 8
	leastWeeks = 2
	// unlikely is once in 10,000 such silences.
	unlikely = 1e-4
	slowDay  = 0.5
	// lessIn is one in how many weeks may have brought less than is expected;
	// of two or three none may.
	lessIn = 4
	// leastSilence is how long a silence is never an alert, however busy the
	// account: its provider may have a hiccup.
	leastSilence = 30 * time.Minute
	// mostSilence is how far back reports are expected: an account that has
	// been silent for longer was taken out of use.
	mostSilence = 28 * 24 * time.Hour
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
	expected, known := h.expected(since, now)
	if known < leastWeeks || math.Exp(-slowDay*expected) >= unlikely {
		return verdict{}
	}
	hook := "has the right address"
	if h.account.Hook != "" {
		hook += " (" + h.account.Hook + "/ and the token)"
	}
	return verdict{state: bad, since: h.last, sentence: fmt.Sprintf(
		"No call report has come from account %s since %s. In the same hours of most of the last %d weeks there were %.0f or more. "+
			"Look in the provider's dashboard whether its webhook is switched on and %s, and whether this server can be reached from outside. "+
			"If nothing is wrong, such as on a holiday, this ends with the next report.",
		h.account.Name, local(h.last, zone), known, expected, hook)}
}

// expected is how many reports three in four weeks before brought between the
// same moments, and by how many weeks that is known.
func (h *history) expected(from, to time.Time) (reports float64, known int) {
	var counts []float64
	for week := 1; week <= weeks; week++ {
		if n, ok := h.before(from, to, week); ok {
			counts = append(counts, n)
		}
	}
	if len(counts) == 0 {
		return 0, 0
	}
	slices.Sort(counts)
	return counts[len(counts)/lessIn], len(counts)
}

// before is how many reports came between the same moments so many weeks
// before. It is not ok if the account was not known then or had a holiday, or if
// those weeks reach into the silence itself.
func (h *history) before(from, to time.Time, week int) (reports float64, ok bool) {
	for slot := from.UTC().Truncate(time.Hour); slot.Before(to); slot = slot.Add(time.Hour) {
		today := slot.In(h.account.zone())
		if h.isHoliday(today) {
			continue // nothing is expected
		}
		then := today.AddDate(0, 0, -7*week)
		if then.Before(h.first) || h.isHoliday(then) || !then.Before(from) {
			return 0, false
		}
		begin, end := slot, slot.Add(time.Hour)
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		reports += end.Sub(begin).Hours() * float64(h.hours[hourOf(then)])
	}
	return reports, true
}

func (h *history) isHoliday(local time.Time) bool {
	return slices.Contains(h.account.Holidays, DayOf(local))
}
