package watch

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"callvault/internal/call"
)

// The rule of recordings that stay away. None of the last answered calls has a
// recording, and by the share that has usually one, that is no chance: with a
// share p of recorded calls, none of n is with the probability (1-p)^n. An
// account that never had recordings is left alone; of a new one, half of the
// calls are expected to have one.
const (
	// leastAnswered is how many calls it takes at least, mostAnswered how many
	// are looked at.
	leastAnswered = 20
	mostAnswered  = 50
	// answeredSpan is how far back the last calls may be: an account of three
	// answered calls a day is watched, too. earlierSpan is how far back those
	// before them may be, by which they are judged.
	answeredSpan = 7 * 24 * time.Hour
	earlierSpan  = 14 * 24 * time.Hour
	mostEarlier  = 500
	newShare     = 0.5
	// Recordings come some time after their calls: they are waited for twice as
	// long as nine of ten have taken, between these bounds.
	leastDelay = time.Hour
	mostDelay  = 12 * time.Hour
)

// judgeRecordings asks as little as it can: mostly one of the last calls has
// its recording. told: there is an alert about it already, so only its end
// matters.
func (w *Watcher) judgeRecordings(ctx context.Context, a *Account, now time.Time, told bool) (verdict, error) {
	begin := now.Add(-answeredSpan)
	recent, err := w.o.Store.AnsweredCalls(ctx, a.Name, begin, now, mostAnswered)
	if err != nil || isRecorded(recent) {
		return judgeAnswered(a, recent, nil, now), err
	}
	if len(recent) < leastAnswered {
		return verdict{}, nil
	}
	earlier, err := w.o.Store.AnsweredCalls(ctx, a.Name, begin.Add(-earlierSpan), begin, mostEarlier)
	if err != nil {
		return verdict{}, err
	}
	// A busy account's last calls are all too young to have one: those count
	// that are old enough, less those that were still going on then.
	_, delay := usual(earlier)
	recent, err = w.o.Store.AnsweredCalls(ctx, a.Name, begin, now.Add(-delay), mostEarlier)
	if err != nil {
		return verdict{}, err
	}
	v := judgeAnswered(a, recent, earlier, now)
	if told && v.state == bad {
		return verdict{}, nil
	}
	return v, nil
}

func isRecorded(calls []call.AnsweredCall) bool {
	return slices.ContainsFunc(calls, func(c call.AnsweredCall) bool { return c.Archived })
}

// judgeAnswered applies the rule to the calls of answeredSpan and to earlier
// ones, each the newest first.
func judgeAnswered(a *Account, recent, earlier []call.AnsweredCall, now time.Time) verdict {
	share, delay := usual(earlier)
	old := func(c call.AnsweredCall) bool { return now.Sub(c.EndedAt) >= delay }
	var last []call.AnsweredCall
	for _, c := range recent {
		if c.Archived || old(c) {
			last = append(last, c)
		}
	}
	last = last[:min(len(last), mostAnswered)]
	if isRecorded(last) {
		return verdict{state: well, sentence: fmt.Sprintf("Recordings of account %s come again.", a.Name)}
	}
	if len(last) < leastAnswered || math.Pow(1-share, float64(len(last))) >= unlikely {
		return verdict{}
	}
	named := 0
	for _, c := range last {
		if c.Named {
			named++
		}
	}
	what := "The provider named a recording for none of them: look in its dashboard whether calls are recorded."
	if named > 0 {
		what = fmt.Sprintf("The provider named a recording for %d of them; /api/v1/calls says why they are not fetched.", named)
	}
	return verdict{state: bad, since: last[len(last)-1].EndedAt, sentence: fmt.Sprintf(
		"None of the last %d answered calls of account %s has a recording, the first of them ended at %s. %s", len(last), a.Name,
		local(last[len(last)-1].EndedAt, a.zone()), what)}
}

// usual is the share of calls that have a recording, and how long after its
// call one that is missing is late.
func usual(calls []call.AnsweredCall) (share float64, delay time.Duration) {
	if len(calls) < leastAnswered {
		return newShare, leastDelay
	}
	var delays []time.Duration
	for _, c := range calls {
		if c.Archived {
			share++
		}
		if c.Archived && !c.ArchivedAt.IsZero() {
			delays = append(delays, c.ArchivedAt.Sub(c.EndedAt))
		}
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		delay = 2 * delays[len(delays)*9/10]
	}
	return share / float64(len(calls)), min(max(delay, leastDelay), mostDelay)
}
