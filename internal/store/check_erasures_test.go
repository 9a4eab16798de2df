package store_test

import (
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
		restore := remember(t, o, "erasures", "erasure_items")
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
		} {
			tamper(t, o, change)
			if diff := cmp.Diff([]string{"erasure erasure/" + e.ID}, check()); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s", change, diff)
			}
			restore()
		}
		if found := check(); len(found) > 0 {
			t.Errorf("after: %v", found)
		}
	})
}
