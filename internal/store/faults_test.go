package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestFaultsOpenAndClose: a fault is open until it is looked for and not found.
func TestFaultsOpenAndClose(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		note := func(c ...call.Checked) []call.Fault {
			t.Helper()
			return must(s.NoteChecked(audit.By(t.Context(), audit.Actor{Kind: audit.KindCommand, Name: "asha"}), c...))(t)
		}
		openNow := func() []string {
			t.Helper()
			found, next, err := s.FindFaults(t.Context(), call.FaultFilter{State: call.AlertOpen})
			if err != nil || next != "" {
				t.Fatal(next, err)
			}
			var faults []call.Fault
			for _, f := range found {
				faults = append(faults, f.Fault)
			}
			return faultsOf(faults)
		}
		bad := call.Fault{Kind: call.FaultMismatch, Where: "calls/a", What: "other bytes"}
		covered := call.Fault{Kind: call.FaultVersions, Where: "calls/a", What: "two versions"}
		read := []call.FaultKind{call.FaultMismatch, call.FaultMissing}
		listed := append([]call.FaultKind{call.FaultVersions}, read...)
		places := []string{"calls/a", "calls/b", "calls/c"}
		if got := note(call.Checked{Where: places, Kinds: listed, Faults: []call.Fault{bad, covered}}); len(got) != 2 {
			t.Errorf("opened %+v", got)
		}
		again := bad
		again.What = "still other bytes"
		if got := note(call.Checked{Where: places, Kinds: listed, Faults: []call.Fault{again, covered}}); len(got) != 0 {
			t.Errorf("opened once more: %+v", got)
		}
		if diff := cmp.Diff([]string{"mismatch calls/a", "versions calls/a"}, openNow()); diff != "" {
			t.Error(diff)
		}
		note(call.Checked{Where: []string{"calls/b"}, Kinds: listed}) // of others it says nothing
		counts, since, err := s.OpenFaults(t.Context())
		if err != nil || counts[call.FaultMismatch] != 1 || counts[call.FaultVersions] != 1 || time.Since(since) > time.Minute {
			t.Errorf("counted %v since %v, %v", counts, since, err)
		}
		// What was not looked for is not over.
		note(call.Checked{Where: places, Kinds: read})
		if diff := cmp.Diff([]string{"versions calls/a"}, openNow()); diff != "" {
			t.Error(diff)
		}
		note(call.Checked{Where: places, Kinds: listed})
		if got := openNow(); len(got) != 0 {
			t.Errorf("still open: %v", got)
		}
		closed, _, err := s.FindFaults(t.Context(), call.FaultFilter{State: call.AlertClosed, Kind: call.FaultMismatch})
		if err != nil || len(closed) != 1 || closed[0].What != "still other bytes" || closed[0].ClosedAt.Before(closed[0].FirstSeen) {
			t.Errorf("closed: %+v, %v", closed, err)
		}
		// The same again is another fault.
		if got := note(call.Checked{Where: places, Kinds: listed, Faults: []call.Fault{bad}}); len(got) != 1 {
			t.Errorf("opened %+v", got)
		}
		page, next, err := s.FindFaults(t.Context(), call.FaultFilter{Limit: 2})
		if err != nil || len(page) != 2 || next == "" {
			t.Fatalf("%+v, %q, %v", page, next, err)
		}
		if rest, end, err := s.FindFaults(t.Context(), call.FaultFilter{Limit: 2, Cursor: next}); err != nil || len(rest) != 1 || end != "" {
			t.Errorf("%+v, %q, %v", rest, end, err)
		}
		if stale := must(s.StaleFaults(t.Context(), time.Now().Add(time.Minute), 10))(t); len(stale) != 1 || stale[0].Fault != bad {
			t.Errorf("stale: %+v", stale)
		}
		if stale := must(s.StaleFaults(t.Context(), time.Now().Add(-time.Minute), 10))(t); len(stale) != 0 {
			t.Errorf("stale a minute ago: %+v", stale)
		}
		var logged []string
		for _, e := range must(s.AuditEntries(t.Context(), 0, 100))(t) {
			logged = append(logged, fmt.Sprintf("%s %s %s", e.Action, e.Actor.Name, e.Facts))
		}
		want := []string{
			`fault.opened asha {"kind":"mismatch","where":"calls/a","what":"other bytes"}`,
			`fault.opened asha {"kind":"versions","where":"calls/a","what":"two versions"}`,
			`fault.closed asha {"kind":"mismatch","where":"calls/a","what":"still other bytes"}`,
			`fault.closed asha {"kind":"versions","where":"calls/a","what":"two versions"}`,
			`fault.opened asha {"kind":"mismatch","where":"calls/a","what":"other bytes"}`,
		}
		if diff := cmp.Diff(want, logged); diff != "" {
			t.Errorf("the log (-want +got):\n%s", diff)
		}
	})
}

// TestBrokenRowsOfFaults: that the row of a fault cannot be read hides none of the
// others, and it counts.
func TestBrokenRowsOfFaults(t *testing.T) {
	t.Parallel()
	o := store.Options{Path: filepath.Join(t.TempDir(), "callvault.db")} // PostgreSQL takes no text for a number
	s := open(t, o)
	for i := range 5 {
		where := fmt.Sprintf("calls/%d", i)
		must(s.NoteChecked(t.Context(), call.Checked{Where: []string{where}, Faults: []call.Fault{{Kind: call.FaultMissing, Where: where, What: "gone"}}}))(t)
	}
	for place, column := range map[string]string{"calls/1": "first_seen", "calls/3": "closed_at"} {
		tamper(t, o, "UPDATE faults SET "+column+" = 'x' WHERE place = '"+place+"'")
	}
	counts, since, err := s.OpenFaults(t.Context())
	if err != nil || counts[call.FaultMissing] != 4 || time.Since(since) > time.Minute {
		t.Errorf("counted %v since %v, %v", counts, since, err)
	}
	tamper(t, o, "UPDATE faults SET closed_at = NULL")
	tamper(t, o, "UPDATE faults SET last_seen = 0.5 WHERE place = 'calls/3'")
	var stale, listed []string
	for _, f := range must(s.StaleFaults(t.Context(), time.Now().Add(time.Minute), 10))(t) {
		stale = append(stale, f.Where)
	}
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := s.FindFaults(t.Context(), call.FaultFilter{State: call.AlertOpen, Cursor: cursor, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page {
			listed = append(listed, f.Where)
		}
		cursor = next
	}
	slices.Sort(stale)
	slices.Sort(listed)
	want := []string{"calls/0", "calls/2", "calls/4"}
	if diff := cmp.Diff(want, stale); diff != "" {
		t.Errorf("to be looked at again (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	tamper(t, o, "UPDATE faults SET first_seen = 'x'")
	if counts, since, err := s.OpenFaults(t.Context()); err != nil || counts[call.FaultMissing] != 5 || !since.IsZero() {
		t.Errorf("all broken: counted %v since %v, %v", counts, since, err)
	}
}

// TestScrubLease: one node at a time, and the next goes on where it was.
func TestScrubLease(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		state, token, won, err := s.TakeScrub(t.Context(), time.Minute)
		if err != nil || !won || !state.BeganAt.IsZero() {
			t.Fatal(state, won, err)
		}
		if _, _, won, err := s.TakeScrub(t.Context(), time.Minute); won || err != nil {
			t.Error("two nodes have it", err)
		}
		state = call.Scrub{BeganAt: nine, Part: "legs", Next: "17", Done: 4, Total: 10}
		if err := s.KeepScrub(t.Context(), token, state, 0); err != nil {
			t.Fatal(err)
		}
		got, other, won, err := s.TakeScrub(t.Context(), time.Minute)
		if diff := cmp.Diff(state, got); diff != "" || !won || err != nil {
			t.Error(diff, won, err)
		}
		if err := s.KeepScrub(t.Context(), token, state, time.Minute); call.CodeOf(err) != call.Conflict {
			t.Errorf("who lost the lease gets %v", err)
		}
		if err := s.KeepScrub(t.Context(), other, state, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestCheckAgain: what a fault is about is checked by its name.
func TestCheckAgain(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		d := post(t, told{Says: report("1.1"), Read: report("1.1")})
		record(t, s, d, post(t, told{Says: report("2.2"), Read: report("2.2")}))
		places := []string{"call/" + d.CallIDs[0], "leg/sales/1.1", "delivery/1"}
		for _, where := range places {
			if got := must(s.CheckAgain(t.Context(), checkToday(), where))(t); len(got.Where) != 1 || got.Where[0] != where || len(got.Faults) != 0 {
				t.Errorf("%s: %+v", where, got)
			}
		}
		tamper(t, o, `UPDATE legs SET facts = replace(facts, '"talk_seconds":40', '"talk_seconds":41') WHERE leg_key = '1.1'`)
		tamper(t, o, "UPDATE deliveries SET outcome = 'ignored' WHERE id = 1")
		for _, where := range places {
			if got := must(s.CheckAgain(t.Context(), checkToday(), where))(t); len(got.Faults) != 1 || got.Faults[0].Where != where {
				t.Errorf("%s: %+v", where, got)
			}
		}
		for _, where := range []string{"call/x", "leg/sales/x", "delivery/99", "delivery/x", "x", ""} {
			if got := must(s.CheckAgain(t.Context(), checkToday(), where))(t); len(got.Where)+len(got.Faults) != 0 {
				t.Errorf("%s: %+v", where, got)
			}
		}
	})
}
