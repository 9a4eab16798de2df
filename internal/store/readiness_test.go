package store_test

import (
	"fmt"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// fresh is a report of a call that ended a moment ago.
func fresh(sid, account string, ago time.Duration) *call.Leg {
	l := report(sid)
	l.Account, l.EndedAt = account, time.Now().Add(-ago)
	l.StartedAt, l.RangAt, l.AnsweredAt = l.EndedAt.Add(-64*time.Second), time.Time{}, l.EndedAt.Add(-40*time.Second)
	return l
}

// dueIn is when the recordings of one account are due, from now on.
func dueIn(t *testing.T, s *store.Store, account string) time.Duration {
	t.Helper()
	calls, _, err := s.FindCalls(t.Context(), call.Filter{Account: account})
	if err != nil || len(calls) != 1 || len(calls[0].Recordings) != 1 {
		t.Fatalf("calls of %s: %+v, %v", account, calls, err)
	}
	return time.Until(calls[0].Recordings[0].NextTryAt)
}

// When recordings were ready teaches when to ask for the next ones.
func TestLearnReadiness(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		o.FirstTryAfter, o.FirstTryAtLeast = time.Hour, 30*time.Second
		s := open(t, o)
		between := func(after, until time.Duration, n int) (all []call.ReadyInterval) {
			for range n {
				all = append(all, call.ReadyInterval{After: after, Until: until})
			}
			return all
		}
		for range 2 { // in two parts
			known, err := s.LearnReadiness(t.Context(), map[string][]call.ReadyInterval{
				"slow": between(240*time.Second, 300*time.Second, 40), "quick": between(0, time.Second, 40), "new": between(0, time.Second, 10),
			})
			if err != nil || len(known) != 3 || known["slow"].UpdatedAt.IsZero() {
				t.Fatalf("known is %+v, %v", known, err)
			}
		}
		all := must(s.Readiness(t.Context()))(t)
		var got []string
		for _, r := range all {
			got = append(got, fmt.Sprint(r.Account, r.Observations))
		}
		if diff := cmp.Diff([]string{"new20", "quick80", "slow80"}, got); diff != "" {
			t.Error(diff)
		}
		record(t, s, delivery(fresh("1.1", "slow", 10*time.Second)), delivery(fresh("1.2", "quick", 10*time.Second)), delivery(fresh("1.3", "new", 10*time.Second)))
		old := fresh("1.4", "slow", time.Hour)
		old.Account = "slow2"
		record(t, s, delivery(old))
		// Half of the slow ones are ready after 240 to 300 s; one in eight is
		// asked for at half of that.
		if in := dueIn(t, s, "slow"); in < 85*time.Second || in > 295*time.Second {
			t.Errorf("the slow is due in %s", in)
		}
		if in := dueIn(t, s, "quick"); in < 15*time.Second || in > 30*time.Second {
			t.Errorf("the quick is due in %s, before it is allowed", in)
		}
		for _, account := range []string{"new", "slow2"} {
			if in := dueIn(t, s, account); in < 55*time.Minute {
				t.Errorf("%s is due in %s", account, in)
			}
		}
		// Another node knows the same.
		if other := must(open(t, o).LearnReadiness(t.Context(), nil))(t); len(other) != 3 || other["slow"].Observations != 80 {
			t.Errorf("another node knows %+v", other)
		}
	})
}

// An old call's recording is first due as configured, whatever was learned.
func TestReadinessOfOldCalls(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		o.FirstTryAfter = time.Hour
		s := open(t, o)
		seen := make([]call.ReadyInterval, 60)
		for i := range seen {
			seen[i].Until = time.Second
		}
		must(s.LearnReadiness(t.Context(), map[string][]call.ReadyInterval{"sales": seen}))(t)
		record(t, s, delivery(report("1.1"))) // of long ago
		if in := dueIn(t, s, "sales"); in < 55*time.Minute {
			t.Errorf("it is due in %s", in)
		}
	})
}

// When a recording was last missed is known to whoever claims it next, and that
// the vault failed is no miss.
func TestMissed(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		c := claim(t, s, call.ClaimOptions{})[0]
		if !c.MissedAt.IsZero() || !c.EndedAt.Equal(nine.Add(64*time.Second)) {
			t.Errorf("the first claim is %+v", c)
		}
		if err := s.MarkPending(t.Context(), c.LeaseToken, 0, "could not write the vault"); err != nil {
			t.Fatal(err)
		}
		c = claim(t, s, call.ClaimOptions{})[0]
		if !c.MissedAt.IsZero() {
			t.Errorf("missed at %s", c.MissedAt)
		}
		if err := s.MarkMissed(t.Context(), c.LeaseToken, 0, "the host answered 404"); err != nil {
			t.Fatal(err)
		}
		c = claim(t, s, call.ClaimOptions{})[0]
		if time.Since(c.MissedAt).Abs() > time.Minute || c.LastError != "the host answered 404" {
			t.Errorf("the third claim is %+v", c)
		}
	})
}
