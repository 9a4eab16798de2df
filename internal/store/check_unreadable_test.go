package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestCheckGoesOnBehindWhatCannotBeRead breaks rows in the middle and at the end of
// pages: each is named, and all others are looked at.
func TestCheckGoesOnBehindWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		const runs = 7
		var ids []string
		for i := range runs {
			ids = append(ids, builtOf(t, s, nine.AddDate(0, 0, i), 0).ID)
		}
		slices.Sort(ids)
		if got := checkAllOfLog(t, s, "", 3); len(got) != 0 {
			t.Fatalf("before: %v", got)
		}
		restore := remember(t, o, "runs", "audit_entries")
		for _, broken := range [][]int{{0}, {2}, {1, 2}, {3, 5}, {6}, {0, 1, 2, 3, 4, 5, 6}} {
			var want []string
			for _, i := range broken {
				tamper(t, o, "UPDATE runs SET files = '[' WHERE id = '"+ids[i]+"'")
				want = append(want, "run run/"+ids[i])
			}
			for _, limit := range []int{1, 2, 3, 7, 200} {
				looked := 0
				var faults []call.Fault
				for next, more := "run/", true; more; more = strings.HasPrefix(next, "run/") {
					page, err := s.CheckRows(t.Context(), call.CheckOptions{}, next, limit)
					if err != nil {
						t.Fatal(err)
					}
					looked += len(page.Where)
					faults, next = append(faults, page.Faults...), page.Next
				}
				if diff := cmp.Diff(want, faultsOf(faults)); diff != "" || looked != runs {
					t.Errorf("%v, %d at a time: %d were looked at (-want +got):\n%s", broken, limit, looked, diff)
				}
			}
			kept := 0
			if err := s.EachKept(t.Context(), func(call.KeptObject) error { kept++; return nil }); err != nil || kept != runs-len(broken) {
				t.Errorf("%v: %d files are known, %v", broken, kept, err)
			}
			again := must(s.CheckAgain(t.Context(), call.CheckOptions{}, "run/"+ids[broken[0]]))(t)
			if diff := cmp.Diff(want[:1], faultsOf(again.Faults)); diff != "" {
				t.Errorf("again: %s", diff)
			}
			if _, err := s.Run(t.Context(), ids[broken[0]]); call.AsUnreadable(err) == nil || call.AsUnreadable(err).Column != "files" || call.AsUnreadable(err).ID != ids[broken[0]] {
				t.Errorf("who asks for it gets %v", err)
			}
			restore()
		}
		// What tells of it may be broken instead.
		tamper(t, o, "UPDATE audit_entries SET facts = '{' WHERE subject = 'run/"+ids[4]+"'")
		got := checkAllOfLog(t, s, "", 3)
		if len(got) != 1 || !strings.HasPrefix(got[0], "log log/") {
			t.Errorf("an entry's facts are no JSON: %v", got)
		}
		restore()
		// What the database does not answer is no fault of a row.
		tamperAny(t, o, "ALTER TABLE runs RENAME TO lost")
		if _, err := s.CheckRows(t.Context(), call.CheckOptions{}, "run/", 3); err == nil || call.AsUnreadable(err) != nil {
			t.Errorf("without the table: %v", err)
		}
	})
}

// TestCheckCallsOfNoTime: SQLite keeps whatever is written as the start of a call,
// by which the pages are read.
func TestCheckCallsOfNoTime(t *testing.T) {
	t.Parallel()
	o := store.Options{Path: t.TempDir() + "/calls.db"}
	s := open(t, o)
	const calls = 9
	for i := range calls {
		l := report(fmt.Sprintf("%d.1", i))
		record(t, s, post(t, told{Says: l, Read: l}))
	}
	restore := remember(t, o, "calls")
	for _, start := range []string{"'x'", "'x' || call_key", "started_at + 0.5", "started_at - 1e15", "-5", "x'ff00'", "9e999", "CAST(x'ff' AS TEXT)", "''"} {
		tamper(t, o, "UPDATE calls SET started_at = "+start+" WHERE CAST(call_key AS REAL) > 2.5")
		for _, limit := range []int{1, 2, 3, 200} {
			found := map[string]bool{}
			pages, isCut := 0, false
			for next, more := "", true; more; more = next != "" {
				page, err := s.CheckCalls(t.Context(), checkToday(), next, limit)
				if bad := call.AsUnreadable(err); bad != nil && bad.Column == "started_at" {
					isCut = true
					break
				}
				if pages++; err != nil || pages > 2*calls {
					t.Fatalf("%s: page %d, %v", start, pages, err)
				}
				for _, f := range page.Faults {
					found[f.Where] = true
				}
				next = page.Next
			}
			if len(found) != calls-3 && !isCut {
				t.Errorf("%s, %d at a time: %d calls are named", start, limit, len(found))
			}
		}
		restore()
	}
}

// TestCheckFaults: a fault that was closed, taken out or changed past the program
// is named.
func TestCheckFaults(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		note := func(faults ...call.Fault) {
			t.Helper()
			must(s.NoteChecked(t.Context(), call.Checked{Where: []string{"calls/a", "calls/b"}, Kinds: []call.FaultKind{call.FaultMissing, call.FaultMismatch}, Faults: faults}))(t)
		}
		open, closed := call.Fault{Kind: call.FaultMissing, Where: "calls/a", What: "it is not there"}, call.Fault{Kind: call.FaultMismatch, Where: "calls/b", What: "other bytes"}
		note(open, closed)
		open.What = "it is still not there"
		note(open)
		if got := checkAllOfLog(t, s, "", 1); len(got) != 0 {
			t.Fatalf("before: %v", got)
		}
		of := func(kind call.FaultKind) string {
			found, _, err := s.FindFaults(t.Context(), call.FaultFilter{Kind: kind})
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			return "fault fault/" + found[0].ID
		}
		isOpen, isClosed := of(call.FaultMissing), of(call.FaultMismatch)
		restore := remember(t, o, "faults")
		for _, tt := range []struct {
			change string
			want   string
		}{
			{"UPDATE faults SET closed_at = first_seen WHERE closed_at IS NULL", isOpen},
			{"UPDATE faults SET closed_at = 0 WHERE closed_at IS NULL", isOpen},
			{"UPDATE faults SET closed_at = NULL WHERE closed_at IS NOT NULL", isClosed},
			{"UPDATE faults SET closed_at = closed_at - 3600000 WHERE closed_at IS NOT NULL", isClosed},
			{"UPDATE faults SET first_seen = first_seen + 3600000 WHERE closed_at IS NULL", isOpen},
			{"UPDATE faults SET kind = 'held' WHERE closed_at IS NULL", isOpen},
			{"UPDATE faults SET place = 'calls/x' WHERE closed_at IS NULL", isOpen},
			{"UPDATE faults SET what = 'nothing' WHERE closed_at IS NOT NULL", isClosed},
			{"DELETE FROM faults WHERE closed_at IS NULL", isOpen},
			{"DELETE FROM faults WHERE closed_at IS NOT NULL", isClosed},
		} {
			tamper(t, o, tt.change)
			if diff := cmp.Diff([]string{tt.want}, checkAllOfLog(t, s, "", 1)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.change, diff)
			}
			restore()
		}
		rebuilt, err := audit.New(audit.DatabaseRebuilt, "", map[string]int64{"segment": 1})
		if err := errors.Join(err, s.Audit(t.Context(), rebuilt)); err != nil {
			t.Fatal(err)
		}
		tamper(t, o, "DELETE FROM faults")
		if got := checkAllOfLog(t, s, "", 1); len(got) != 0 {
			t.Errorf("in a database that was made again: %v", got)
		}
	})
}

// TestCheckVersions: since when a version reads what comes decides whether a
// difference is a fault, and is compared with the log from when that tells of it.
func TestCheckVersions(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		begin := func(version string, entries int64) {
			t.Helper()
			before := must(s.AuditHead(t.Context()))(t).Size
			must(s.BeginVersion(t.Context(), version))(t)
			if got := must(s.AuditHead(t.Context()))(t).Size - before; got != entries {
				t.Errorf("version %s: %d entries", version, got)
			}
		}
		check := func(when string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, checkAllOfLog(t, s, "", 2)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		tamper(t, o, "INSERT INTO program_versions VALUES ('', 1000), ('1', 2000)")
		check("before the log tells of any")
		begin("1", 1)
		begin("1", 0)
		begin("2", 1)
		begin("1", 1)
		begin("1", 0)
		check("at first")
		restore := remember(t, o, "program_versions")
		for _, change := range []string{
			"UPDATE program_versions SET since_at = since_at + 1 WHERE version = '1'",
			"UPDATE program_versions SET since_at = since_at + 1 WHERE version = '2'",
			"UPDATE program_versions SET since_at = 4000000000000 WHERE version = ''",
			"DELETE FROM program_versions WHERE version = '2'",
			"DELETE FROM program_versions",
			"INSERT INTO program_versions VALUES ('3', 1)",
		} {
			tamper(t, o, change)
			check(change, "log log/versions")
			restore()
		}
		rebuilt, err := audit.New(audit.DatabaseRebuilt, "", map[string]int64{"segment": 1})
		if err := errors.Join(err, s.Audit(t.Context(), rebuilt)); err != nil {
			t.Fatal(err)
		}
		tamper(t, o, "DELETE FROM program_versions")
		check("in a database that was made again")
		begin("2", 1)
		check("by version 2")
		tamper(t, o, "UPDATE program_versions SET since_at = since_at - 1")
		check("changed since", "log log/versions")
	})
}

// TestCheckBodies: a body that no delivery has is named, and again as long as it is
// there.
func TestCheckBodies(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i := range 40 {
			l := report(fmt.Sprintf("%d.1", i))
			record(t, s, post(t, told{Says: l, Read: l}))
		}
		if all := checkRows(t, s, checkToday()); len(all.Faults) != 0 {
			t.Fatalf("before: %+v", all.Faults)
		}
		quote := func(hex string) string {
			if o.DSN != "" {
				return `'\x` + hex + `'::bytea`
			}
			return "x'" + hex + "'"
		}
		tamper(t, o, "INSERT INTO bodies VALUES ("+quote("00")+", "+quote("78")+"), ("+quote("ffff")+", "+quote("78")+")")
		if diff := cmp.Diff([]string{"delivery body/00", "delivery body/ffff"}, faultsOf(checkRows(t, s, checkToday()).Faults)); diff != "" {
			t.Error(diff)
		}
		again := func(want int) {
			t.Helper()
			if got := must(s.CheckAgain(context.Background(), checkToday(), "body/ffff"))(t); len(got.Where) != want || len(got.Faults) != want {
				t.Errorf("again: %+v", got)
			}
		}
		again(1)
		tamper(t, o, "DELETE FROM bodies WHERE body = "+quote("78"))
		again(0)
	})
}
