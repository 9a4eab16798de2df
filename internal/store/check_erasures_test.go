package store_test

import (
	"fmt"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestCheckOpenErasure: an erasure that waits for what is kept cannot be silenced, nor
// turned to another number, in its row or in its list.
func TestCheckOpenErasure(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		r := report("1.1")
		r.CustomerNumber = "+919812345678"
		record(t, s, delivery(r))
		until := time.Now().Add(48 * time.Hour)
		begun, err := s.BeginErasure(t.Context(), r.CustomerNumber, "request of today")
		if err != nil {
			t.Fatal(err)
		}
		check := func() []string { return checkAllOfLog(t, s, "", 100) }
		if found := check(); len(found) > 0 {
			t.Fatalf("when it has begun: %v", found)
		}
		e, token, ok, err := s.ClaimErasure(t.Context(), begun.ID, time.Minute)
		for done := false; err == nil && ok && !done; {
			done, err = s.ScanDeliveries(t.Context(), &e)
		}
		if err != nil || !ok {
			t.Fatalf("claimed: %v, %v", ok, err)
		}
		for _, kind := range call.ErasureKinds() {
			items, err := s.ErasureItems(t.Context(), e.ID, kind, "", 10, call.ErasureDue)
			for _, i := range items {
				if err == nil {
					i.Until, i.Why = until, "the bucket's lock"
					err = s.KeepErasureItem(t.Context(), e.ID, i)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		facts := audit.CertificateFacts{ObjectKey: "erasures/" + e.ID + "/1.json", Kept: 3}
		if err := s.EndErasureRound(t.Context(), token, until, "erasures/"+e.ID+"/1", true, facts); err != nil {
			t.Fatal(err)
		}
		if found := check(); len(found) > 0 {
			t.Fatalf("before: %v", found)
		}
		otherKey := "x'02'"
		if o.DSN != "" {
			otherKey = `'\x02'::bytea`
		}
		restore := remember(t, o, "erasures", "erasure_items", "erasure_key", "suppressed_numbers")
		for _, change := range []string{
			"UPDATE erasures SET next_at = next_at + 1",
			"UPDATE erasures SET next_at = NULL",
			"UPDATE erasures SET finished_at = asked_at, next_at = NULL, number = ''",
			"UPDATE erasures SET number = '+919812345679'",
			"UPDATE erasures SET number = '', found_at = NULL",
			"UPDATE erasures SET certificate = ''",
			"UPDATE erasure_items SET state = 'erased' WHERE kind = 'call'",
			"UPDATE erasure_items SET state = 'erased' WHERE kind = 'delivery'",
			"DELETE FROM erasure_items WHERE kind = 'call'",
			"UPDATE erasure_items SET until_at = until_at + 1 WHERE kind = 'audio'",
			"UPDATE erasure_items SET until_at = NULL WHERE kind = 'audio'",
			"UPDATE erasure_items SET why = 'x' WHERE kind = 'audio'",
			"UPDATE erasure_items SET state = 'due' WHERE kind = 'audio'", // with its date
			"INSERT INTO erasure_items (erasure_id, kind, ref, state, at) VALUES ('" + e.ID + "', 'call', 'x', 'due', 1)",
			"INSERT INTO erasure_items (erasure_id, kind, ref, state, at) VALUES ('" + e.ID + "', 'delivery', '77', 'kept', 1)",
			"UPDATE erasures SET scanned = scanned + 1",
			"UPDATE erasures SET found_at = NULL",
			"UPDATE erasures SET found_at = found_at + 3600000",
			"UPDATE erasures SET certified_at = certified_at + 3600000",
			"DELETE FROM erasure_key",
			"UPDATE erasure_key SET key = " + otherKey,
			"UPDATE suppressed_numbers SET before_at = before_at + 1",
			"INSERT INTO suppressed_numbers SELECT 77, number_hash, before_at + 1 FROM suppressed_numbers",
		} {
			tamper(t, o, change)
			if diff := cmp.Diff([]string{"erasure erasure/" + e.ID}, check()); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s", change, diff)
			}
			restore()
		}
		tamper(t, o, "INSERT INTO suppressed_numbers VALUES (77, 'x', 1)")
		if diff := cmp.Diff([]string{"erasure suppressed/77"}, check()); diff != "" {
			t.Errorf("a number that nobody spoke of (-want +got):\n%s", diff)
		}
		restore()
		if found := check(); len(found) > 0 {
			t.Errorf("after: %v", found)
		}
	})
}

// TestCheckBeganErasure: an erasure that has not begun to look yet cannot be told that
// it has.
func TestCheckBeganErasure(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		begun := must(s.BeginErasure(t.Context(), "+919812345678", "request of today"))(t)
		restore := remember(t, o, "erasures", "erasure_items")
		for _, change := range []string{
			"UPDATE erasures SET found_at = asked_at",
			"UPDATE erasures SET scanned = 1000000",
			"UPDATE erasure_items SET state = 'kept', until_at = 4102444800000, why = 'x'",
			"UPDATE erasure_items SET until_at = 4102444800000",
		} {
			tamper(t, o, change)
			if diff := cmp.Diff([]string{"erasure erasure/" + begun.ID}, checkAllOfLog(t, s, "", 100)); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s", change, diff)
			}
			restore()
		}
	})
}

// TestCheckLongErasure: how far the requests have been looked through is written down
// now and then, in the row and in the log, and whoever is interrupted goes on there.
func TestCheckLongErasure(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		sequence := "UPDATE sequences SET value = 9949 WHERE name = 'deliveries'"
		if o.DSN != "" {
			sequence = "SELECT setval('deliveries_ids', 9949)"
		}
		tamperAny(t, o, sequence)
		var deliveries []*call.Delivery
		for i := range 260 {
			r := report(fmt.Sprintf("%d.1", i))
			r.CustomerNumber = "+919800000000"
			deliveries = append(deliveries, delivery(r))
		}
		record(t, s, deliveries...)
		begun := must(s.BeginErasure(t.Context(), "+919812345678", "request of today"))(t)
		scan := func(interrupted bool, wantScanned int64, wantDone bool) {
			t.Helper()
			if interrupted {
				begun = must(s.Erasure(t.Context(), begun.ID))(t)
			}
			done := must(s.ScanDeliveries(t.Context(), &begun))(t)
			kept := must(s.Erasure(t.Context(), begun.ID))(t)
			if done != wantDone || kept.Scanned != wantScanned || kept.FoundAt.IsZero() == wantDone {
				t.Errorf("done: %v, scanned to %d, found at %v", done, kept.Scanned, kept.FoundAt)
			}
			if found := checkAllOfLog(t, s, "", 500); len(found) > 0 {
				t.Errorf("faults: %v", found)
			}
		}
		scan(false, 10_049, false) // from 9950 on
		scan(false, 10_049, false)
		scan(true, 10_049, false)
		scan(false, 10_209, true)
	})
}
