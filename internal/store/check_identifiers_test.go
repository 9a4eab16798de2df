package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// TestFormerIDsAreRebuilt: where the id of a call leads that became part of another
// is so again after a rebuild, also if the calls are read as one from the first; and
// the log tells of it afterwards, also if it is of an earlier version.
func TestFormerIDsAreRebuilt(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		empty := func() *store.Store {
			if o.DSN != "" {
				return open(t, store.Options{DSN: testenv.Postgres(t)})
			}
			return open(t, store.Options{Path: filepath.Join(t.TempDir(), "again.db")})
		}
		report := func(uid string, after time.Duration, l *call.Leg) *call.Delivery {
			d := delivery(l)
			d.UID, d.ReceivedAt = uid, nine.Add(after)
			return d
		}
		first, poor, learned := report("1", 0, agentLeg("b-1", "g-1")), report("2", time.Minute, agentLeg("b-2", "")), report("3", 2*time.Minute, agentLeg("b-2", "g-1"))
		s := open(t, o)
		for _, d := range []*call.Delivery{first, poor, learned} {
			record(t, s, d)
		}
		former, survivor := poor.CallIDs[0], first.CallIDs[0]
		clean := func(name string, again *store.Store) {
			t.Helper()
			if found, err := again.Call(t.Context(), former); err != nil || found.ID != survivor {
				t.Errorf("%s: the former id leads to %q, %v", name, found.ID, err)
			}
			for _, check := range []func() (call.Checked, error){
				func() (call.Checked, error) {
					return again.CheckRows(t.Context(), call.CheckOptions{}, "redirect/", 10)
				},
				func() (call.Checked, error) { return again.CheckLog(t.Context(), call.CheckOptions{}, "", 100) },
			} {
				if checked, err := check(); err != nil || len(checked.Faults) > 0 || len(checked.Where) == 0 {
					t.Errorf("%s: %+v, %v", name, checked, err)
				}
			}
			told, err := again.AuditEntries(t.Context(), 0, 100)
			var joined []string
			for _, e := range told {
				if e.Action == audit.CallJoined {
					joined = append(joined, e.Subject+" "+string(e.Facts))
				}
			}
			if diff := cmp.Diff([]string{"redirect/" + former + ` {"call_id":"` + survivor + `"}`}, joined); diff != "" || err != nil {
				t.Errorf("%s: the log (-want +got):\n%s%v", name, diff, err)
			}
		}
		clean("as it came", s)

		asOne := empty()
		record(t, asOne, report("1", 0, agentLeg("b-1", "g-1")), report("2", time.Minute, agentLeg("b-2", "g-1")))
		if err := asOne.RebuildEntries(t.Context(), must(s.AuditEntries(t.Context(), 0, 100))(t)); err != nil {
			t.Fatal(err)
		}
		for from, more := int64(0), true; more; {
			next, err := asOne.RebuildFacts(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			from, more = next, next != from
		}
		clean("read as one call", asOne)

		older := empty() // whose log does not tell of it
		if _, err := older.BeginRebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		came := []*call.Delivery{report("1", 0, agentLeg("b-1", "g-1")), report("2", time.Minute, agentLeg("b-2", "")), report("3", 2*time.Minute, agentLeg("b-2", "g-1"))}
		var journaled []*call.JournaledDelivery
		for i, d := range came {
			journaled = append(journaled, &call.JournaledDelivery{Delivery: call.Delivery{ID: int64(i + 1), UID: d.UID}})
		}
		if err := older.RebuildDeliveries(t.Context(), came, journaled, store.RebuildOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := older.EndRebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		clean("of an earlier version", older)
	})
}

// TestIdentifierFaultStaysOpen: that a call's other identifiers are right closes no
// fault about one that is not, wherever that stands among them; that it is taken out
// does.
func TestIdentifierFaultStaysOpen(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		d := delivery(report("5.5"))
		record(t, s, d)
		place := "identifier/" + d.CallIDs[0]
		openNow := func() []string {
			t.Helper()
			found, _, err := s.FindFaults(t.Context(), call.FaultFilter{State: call.AlertOpen})
			if err != nil {
				t.Fatal(err)
			}
			var faults []call.Fault
			for _, f := range found {
				faults = append(faults, f.Fault)
			}
			return faultsOf(faults)
		}
		again := func(place string) {
			t.Helper()
			if _, err := s.NoteChecked(t.Context(), must(s.CheckAgain(t.Context(), call.CheckOptions{}, place))(t)); err != nil {
				t.Fatal(err)
			}
		}
		for value, where := range map[string]string{"0-first": place, "zz-last": place, "of no call": "identifier/x"} {
			tamper(t, o, "INSERT INTO call_keys (value, kind, account, call_id) VALUES ('"+value+"', 'call', 'sales', '"+where[len("identifier/"):]+"')")
			for pass := range 2 {
				pages := 0
				for next, more := "", true; more; pages++ {
					page := must(s.CheckIdentifiers(t.Context(), call.CheckOptions{}, next, 1))(t)
					must(s.NoteChecked(t.Context(), page))(t)
					next, more = page.Next, page.Next != ""
				}
				if diff := cmp.Diff([]string{"identifier " + where}, openNow()); diff != "" || pages < 2 {
					t.Errorf("%s, pass %d of %d pages: open (-want +got):\n%s", value, pass, pages, diff)
				}
				again(where)
				if diff := cmp.Diff([]string{"identifier " + where}, openNow()); diff != "" {
					t.Errorf("%s is looked at again, open (-want +got):\n%s", value, diff)
				}
			}
			tamper(t, o, "DELETE FROM call_keys WHERE value = '"+value+"'")
			again(where)
			if still := openNow(); len(still) > 0 {
				t.Errorf("%s is taken out, still open: %v", value, still)
			}
		}
	})
}
