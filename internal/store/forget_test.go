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

// factTables are all that hold facts of calls and deliveries.
var factTables = []string{"calls", "legs", "call_keys", "call_links", "call_redirects", "list_traces", "listed_rows", "recordings",
	"recording_media", "deliveries", "delivery_items", "bodies"}

// left counts the rows of each of them that has any.
func left(t *testing.T, o store.Options) map[string]int {
	t.Helper()
	db := raw(t, o)
	counts := map[string]int{}
	for _, table := range factTables {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			counts[table] = n
		}
	}
	return counts
}

// forget forgets all of an account that is older than a moment.
func forget(t *testing.T, account string, before time.Time, step func(account string, before time.Time, from *call.Place) (int, bool, error)) (total int) {
	t.Helper()
	var place call.Place
	for more := true; more; {
		n, again, err := step(account, before, &place)
		if err != nil {
			t.Fatal(err)
		}
		total, more = total+n, again
	}
	return total
}

func forgetCalls(t *testing.T, s *store.Store, account string, before time.Time) int {
	t.Helper()
	return forget(t, account, before, func(a string, b time.Time, p *call.Place) (int, bool, error) {
		return s.ForgetCalls(t.Context(), a, b, p)
	})
}

func forgetDeliveries(t *testing.T, s *store.Store, account string, before time.Time) int {
	t.Helper()
	return forget(t, account, before, func(a string, b time.Time, p *call.Place) (int, bool, error) {
		return s.ForgetDeliveries(t.Context(), a, b, p)
	})
}

// settle gives up all recordings, so that nothing is wanted any more.
func settle(t *testing.T, s *store.Store) {
	t.Helper()
	for _, c := range claim(t, s, call.ClaimOptions{Limit: 1000}) {
		if err := s.MarkAbsent(t.Context(), c.LeaseToken, "not offered"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestForgottenCallsLeaveNothing: calls of one leg and of several, such as were
// two once, told of together and more than once.
func TestForgottenCallsLeaveNothing(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1"), report("1.2")), delivery(report("1.1")), delivery(report("1.1"), report("1.2")))
		for _, l := range []*call.Leg{guest("g-1"), agentLeg("b-1", "g-1"), agentLeg("c-1", ""), agentLeg("c-1", "g-1")} {
			record(t, s, delivery(l))
		}
		if err := s.NoteListed(t.Context(), []call.ListedRow{{Account: "sales", Day: "2026-11-20", Key: "k", CallID: allCalls(t, s)[0].ID}}); err != nil {
			t.Fatal(err)
		}
		settle(t, s)
		if n := forgetCalls(t, s, "sales", nine); n != 0 {
			t.Errorf("%d calls that begin at the cutoff were forgotten", n)
		}
		later := nine.AddDate(0, 0, 1)
		if n := forgetCalls(t, s, "sales", later); n != 2 {
			t.Errorf("%d calls of sales were forgotten", n)
		}
		if calls := allCalls(t, s); len(calls) != 1 || calls[0].Account != "support" {
			t.Errorf("left are %d calls", len(calls))
		}
		if n := forgetCalls(t, s, "support", later); n != 1 {
			t.Errorf("%d calls of support were forgotten", n)
		}
		if diff := cmp.Diff(map[string]int{}, left(t, o)); diff != "" {
			t.Error(diff)
		}
		entries := checkLog(t, s)
		if last := entries[len(entries)-1]; last.Action != audit.CallsExpired || last.Subject != "account/support" {
			t.Errorf("the last entry is %+v", last)
		}
		// What is told again is a new call.
		record(t, s, delivery(report("1.1")))
		if calls := allCalls(t, s); len(calls) != 1 || len(calls[0].Recordings) != 1 {
			t.Errorf("told again: %+v", calls)
		}
	})
}

func TestForgettingWaitsForAudioAndHolds(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		wanted, kept, held, searched := delivery(report("1.1")), delivery(report("1.2")), delivery(report("1.3")), delivery(report("1.4"))
		together := delivery(report("1.5"), report("1.3"))
		record(t, s, kept, held, searched, together)
		for _, c := range claim(t, s, call.ClaimOptions{Limit: 10}) {
			var err error
			if c.CallID == kept.CallIDs[0] {
				err = s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: "k", Size: 1, SHA256: "x"})
			} else {
				err = s.MarkAbsent(t.Context(), c.LeaseToken, "not offered")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		record(t, s, wanted)
		place(t, s, call.Hold{Name: "one", Reason: "a letter", CallIDs: held.CallIDs})
		place(t, s, call.Hold{Name: "two", Reason: "a letter", Filter: &call.Filter{Text: "1.4"}})
		later := nine.AddDate(0, 0, 1)
		if n := forgetCalls(t, s, "sales", later); n != 1 {
			t.Errorf("%d calls were forgotten", n)
		}
		var keys []string
		for _, c := range allCalls(t, s) {
			keys = append(keys, c.Key)
		}
		if diff := cmp.Diff([]string{"1.1", "1.2", "1.3", "1.4"}, keys, cmp.Transformer("sorted", func(s []string) map[string]bool {
			m := map[string]bool{}
			for _, k := range s {
				m[k] = true
			}
			return m
		})); diff != "" {
			t.Error(diff)
		}
		// The delivery that told of a held call, too, is kept.
		if _, err := s.Delivery(t.Context(), together.ID); err != nil {
			t.Error(err)
		}
		place(t, s, call.Hold{Name: "three", Reason: "a letter", Filter: &call.Filter{Text: "1.2"}})
		if n := forgetDeliveries(t, s, "sales", later); n != 1 {
			t.Errorf("%d deliveries were forgotten", n)
		}
		if _, err := s.Delivery(t.Context(), held.ID); err != nil {
			t.Error(err)
		}
	})
}

// TestForgottenDeliveries: many, of which some share a body with one that stays.
func TestForgottenDeliveries(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		var batch []*call.Delivery
		for i := range 1300 {
			d := delivery(report(fmt.Sprint("1.", i%650)))
			d.ReceivedAt = nine.Add(time.Duration(i) * time.Second)
			batch = append(batch, d)
		}
		record(t, s, batch...)
		if n := forgetDeliveries(t, s, "sales", nine.Add(1000*time.Second)); n != 1000 {
			t.Errorf("%d deliveries were forgotten", n)
		}
		counts := left(t, o)
		want := map[string]int{"deliveries": 300, "delivery_items": 300, "bodies": 300, "calls": 650, "legs": 650}
		for table, n := range want {
			if counts[table] != n {
				t.Errorf("%d %s are left, want %d", counts[table], table, n)
			}
		}
		for _, d := range batch[1000:] {
			if found, err := s.Delivery(t.Context(), d.ID); err != nil || string(found.Body) != string(d.Body) {
				t.Fatalf("delivery %d: %v, %q", d.ID, err, found.Body)
			}
		}
	})
}

// TestForgottenAgain: a rebuild, which takes in all deliveries before it follows
// the log, forgets what was forgotten, but no call that was told of anew since.
func TestForgottenAgain(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		old, single := delivery(report("1.1")), delivery(report("1.2"))
		old.UID, single.UID = "old", "single" // which give the same ids again
		record(t, s, old, single, delivery(report("1.3")))
		settle(t, s)
		if n := forgetCalls(t, s, "sales", nine.AddDate(0, 0, 1)); n != 3 {
			t.Fatalf("%d calls were forgotten", n)
		}
		anew := delivery(report("1.1"))
		anew.ReceivedAt = time.Now().Add(time.Minute)
		record(t, s, old, single, anew)
		for from := int64(0); ; {
			next, err := s.RebuildFacts(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			if next == from {
				break
			}
			from = next
		}
		if calls := allCalls(t, s); len(calls) != 1 || calls[0].Key != "1.1" {
			t.Errorf("left are %+v", calls)
		}
	})
}
