package call_test

import (
	"testing"
	"time"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func years(n int) func(time.Time) time.Time {
	return func(start time.Time) time.Time { return start.AddDate(n, 0, 0) }
}

func forever(time.Time) time.Time { return time.Time{} }

func at(t testing.TB, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestJudge(t *testing.T) {
	t.Parallel()
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	rules := []call.RetentionRule{{Name: "three", End: years(3)}, {Name: "seven", End: years(7)}, {Name: "ever", End: forever}}
	const now = "2026-11-22T12:00:00Z"
	for _, tt := range []struct {
		name                          string
		rule                          int
		account, start, heard, before string
		locks                         bool
		// until is by the rule, promised what is promised, due when it may go.
		until, promised, due string
	}{
		{name: "a term by the calendar", rule: 0, start: "2024-03-01T00:00:00Z", until: "2027-03-01T00:00:00Z", promised: "2027-03-01T00:00:00Z", due: "2027-03-01T00:00:00Z"},
		{name: "from 29 February on", rule: 0, start: "2024-02-29T10:00:00Z", until: "2027-03-01T10:00:00Z", promised: "2027-03-01T10:00:00Z", due: "2027-03-01T10:00:00Z"},
		{name: "29 February is where the account is", rule: 0, account: "sales", start: "2024-02-28T20:00:00Z",
			until: "2027-02-28T20:00:00Z", promised: "2027-02-28T20:00:00Z", due: "2027-02-28T20:00:00Z"},
		{name: "1 March where the account is, 29 February in UTC", rule: 0, account: "sales", start: "2024-02-29T20:00:00Z",
			until: "2027-02-28T20:00:00Z", promised: "2027-02-28T20:00:00Z", due: "2027-02-28T20:00:00Z"},
		{name: "without a start from when it was heard of", rule: 0, heard: "2026-01-02T03:04:05Z", until: "2029-01-02T03:04:05Z", promised: "2029-01-02T03:04:05Z", due: "2029-01-02T03:04:05Z"},
		{name: "a clock that was never set", rule: 0, start: "1970-01-01T00:00:07Z", heard: "2026-01-02T03:04:05Z", until: "2029-01-02T03:04:05Z", promised: "2029-01-02T03:04:05Z", due: "2029-01-02T03:04:05Z"},
		{name: "a shorter rule", rule: 0, start: "2024-03-01T00:00:00Z", before: "2031-03-01T00:00:00Z", until: "2027-03-01T00:00:00Z", promised: "2031-03-01T00:00:00Z", due: "2031-03-01T00:00:00Z"},
		{name: "a longer rule", rule: 1, start: "2024-03-01T00:00:00Z", before: "2027-03-01T00:00:00Z", until: "2031-03-01T00:00:00Z", promised: "2031-03-01T00:00:00Z", due: "2031-03-01T00:00:00Z"},
		{name: "no rule", rule: -1, start: "2024-03-01T00:00:00Z"},
		{name: "no rule any more", rule: -1, start: "2024-03-01T00:00:00Z", before: "2027-03-01T00:00:00Z", promised: "2027-03-01T00:00:00Z"},
		{name: "for ever, nothing to lock", rule: 2, start: "2024-03-01T00:00:00Z"},
		{name: "for ever under a lock", rule: 2, start: "2024-03-01T00:00:00Z", locks: true, promised: "2036-11-22T00:00:00Z"},
		{name: "for ever, lately promised", rule: 2, start: "2024-03-01T00:00:00Z", locks: true, before: "2036-06-01T00:00:00Z", promised: "2036-06-01T00:00:00Z"},
		{name: "for ever, to be promised anew", rule: 2, start: "2024-03-01T00:00:00Z", locks: true, before: "2036-01-01T00:00:00Z", promised: "2036-11-22T00:00:00Z"},
		{name: "no longer for ever, under a lock", rule: 0, start: "2024-03-01T00:00:00Z", locks: true, before: "2036-01-01T00:00:00Z",
			until: "2027-03-01T00:00:00Z", promised: "2036-01-01T00:00:00Z", due: "2036-01-01T00:00:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := call.Retention{Rules: rules, Zones: map[string]*time.Location{"sales": kolkata}, Locks: tt.locks}
			got := r.Judge(tt.rule, tt.account, at(t, tt.start), at(t, tt.heard), at(t, tt.before), at(t, now))
			want := call.Judgement{RuleUntil: at(t, tt.until), RetainUntil: at(t, tt.promised)}
			if tt.rule >= 0 {
				want.Rule = rules[tt.rule].Name
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if due := got.DueAt(); !due.Equal(at(t, tt.due)) {
				t.Errorf("due at %s, want %q", due, tt.due)
			}
		})
	}
}

// TestNothingShortens: whatever rules follow each other, a promised date never
// becomes earlier, and nothing is due before it, or before today's rule is over.
func TestNothingShortens(t *testing.T) {
	t.Parallel()
	zones := []*time.Location{time.UTC, time.FixedZone("", 19800), time.FixedZone("", -34200)}
	rapid.Check(t, func(t *rapid.T) {
		start := time.UnixMilli(rapid.Int64Range(0, 2e12).Draw(t, "start")).UTC()
		if rapid.IntRange(0, 5).Draw(t, "known") == 0 {
			start = time.Time{}
		}
		heard := time.UnixMilli(rapid.Int64Range(16e11, 18e11).Draw(t, "heard")).UTC()
		now := heard
		var promised time.Time
		for range rapid.IntRange(1, 8).Draw(t, "times") {
			now = now.AddDate(0, 0, rapid.IntRange(0, 4000).Draw(t, "later"))
			r := call.Retention{
				Zones: map[string]*time.Location{"": rapid.SampledFrom(zones).Draw(t, "zone")},
				Locks: rapid.Bool().Draw(t, "locks"),
			}
			days := rapid.IntRange(0, 5000).Draw(t, "days")
			end := func(from time.Time) time.Time { return from.AddDate(0, 0, days) }
			if days == 0 {
				end = forever
			}
			r.Rules = []call.RetentionRule{{Name: "rule", End: end}}
			rule := rapid.IntRange(-1, 0).Draw(t, "rule")
			j := r.Judge(rule, "", start, heard, promised, now)
			due := j.DueAt()
			switch {
			case j.RetainUntil.Before(promised):
				t.Fatalf("%s was promised, and now %s is", promised, j.RetainUntil)
			case due.IsZero() != (rule < 0 || days == 0):
				t.Fatalf("due at %s by rule %d of %d days", due, rule, days)
			case !due.IsZero() && (due.Before(j.RetainUntil) || due.Before(j.RuleUntil)):
				t.Fatalf("due at %s before %s or %s", due, j.RetainUntil, j.RuleUntil)
			case r.Locks && rule == 0 && days == 0 && j.RetainUntil.Before(now.AddDate(9, 0, 0)):
				t.Fatalf("kept for ever, and locked until %s only, on %s", j.RetainUntil, now)
			}
			promised = j.RetainUntil
		}
	})
}

func TestRulesID(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-22T12:00:00Z")
	base := call.Retention{Rules: []call.RetentionRule{{Name: "all calls: 3y", End: years(3)}}, Zones: map[string]*time.Location{"sales": time.UTC}}
	same := call.Retention{Rules: []call.RetentionRule{{Name: "all calls: 3y", End: years(3)}}, Zones: map[string]*time.Location{"sales": time.UTC}}
	if base.ID(now) != same.ID(now) || base.ID(now) != base.ID(now.AddDate(1, 0, 0)) || base.ID(now) == "" {
		t.Error("the same rules have different ids")
	}
	other := map[string]call.Retention{
		"a term":  {Rules: []call.RetentionRule{{Name: "all calls: 4y"}}, Zones: base.Zones},
		"a match": {Rules: []call.RetentionRule{{Name: "all calls: 3y", Match: call.Filter{Agents: &call.AgentSet{Names: []string{"asha"}}}}}, Zones: base.Zones},
		"a zone":  {Rules: base.Rules, Zones: map[string]*time.Location{"sales": time.FixedZone("IST", 19800)}},
		"a lock":  {Rules: base.Rules, Zones: base.Zones, Locks: true},
		"nothing": {},
	}
	for what, r := range other {
		if r.ID(now) == base.ID(now) {
			t.Errorf("%s changes nothing", what)
		}
	}
	if locks := other["a lock"]; locks.ID(now) == locks.ID(now.AddDate(1, 0, 0)) {
		t.Error("locks are not looked at anew in the next year")
	}
}

// TestCutoff: what begins at the cutoff or before is over, and little is missed.
func TestCutoff(t *testing.T) {
	t.Parallel()
	if got := call.Cutoff(forever, at(t, "2026-11-22T12:00:00Z")); !got.IsZero() {
		t.Errorf("for ever is over at %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		y, m, d := rapid.IntRange(0, 9).Draw(t, "years"), rapid.IntRange(0, 30).Draw(t, "months"), rapid.IntRange(1, 800).Draw(t, "days")
		end := func(from time.Time) time.Time { return from.AddDate(y, m, d) }
		now := time.UnixMilli(rapid.Int64Range(15e11, 20e11).Draw(t, "now")).UTC()
		cutoff := call.Cutoff(end, now)
		before := cutoff.Add(-time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "before")))
		if end(before).After(now) {
			t.Fatalf("what began at %s is over at %s only, after %s", before, end(before), now)
		}
		if missed := now.Sub(end(cutoff)); missed > 5*24*time.Hour {
			t.Fatalf("%s are missed", missed)
		}
	})
}
