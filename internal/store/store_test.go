package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// forEachDatabase runs a test on both databases.
func forEachDatabase(t *testing.T, test func(t *testing.T, options store.Options)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, store.Options{Path: filepath.Join(t.TempDir(), "callvault.db")})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, store.Options{DSN: testenv.Postgres(t)})
	})
}

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var nine = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// report is a CallerDesk report of an answered call.
func report(sid string) *call.Leg {
	l := &call.Leg{
		Account: "sales", Provider: call.CallerDesk, Key: sid, Direction: call.Inbound,
		Status: "ANSWER", Outcome: call.Answered,
		CustomerNumber: "+919812345678", BusinessNumber: "+911204567890",
		Agent: call.Agent{Name: "Ashish", Number: "+919281234567"}, Group: "TestGroup",
		StartedAt: nine, RangAt: nine.Add(15 * time.Second), AnsweredAt: nine.Add(24 * time.Second), EndedAt: nine.Add(64 * time.Second),
		TalkSeconds: new(40), TotalSeconds: new(64), Cost: "1",
		Recordings: []call.Wanted{{Kind: call.Conversation, Source: "https://rec.callerdesk.io/" + sid + ".wav"}},
		Attributes: call.Attributes{"CallSid": json.RawMessage(`"` + sid + `"`), "coins": json.RawMessage(`"1"`)},
	}
	l.AddKey(call.KeyCall, sid)
	l.AddKey(call.KeyCampaign, "camp-"+sid)
	return l
}

func delivery(legs ...*call.Leg) *call.Delivery {
	d := &call.Delivery{Account: "sales", ReceivedAt: nine.Add(70 * time.Second), Method: "POST", ContentType: "application/json", Source: call.SourceWebhook, RemoteAddress: "203.0.113.9"}
	for _, l := range legs {
		d.Account = l.Account
		d.Body = append(d.Body, l.Key...)
		d.Items = append(d.Items, call.Item{Leg: l})
	}
	return d
}

func record(t *testing.T, s *store.Store, deliveries ...*call.Delivery) {
	t.Helper()
	if err := s.Record(t.Context(), deliveries); err != nil {
		t.Fatal(err)
	}
}

func allCalls(t *testing.T, s *store.Store) []call.CallWithRecordings {
	t.Helper()
	calls, _, err := s.FindCalls(t.Context(), call.Filter{Sort: call.OldestFirst, Limit: call.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

func TestRecordOneCall(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		d := delivery(report("1672649960.9601"))
		record(t, s, d)
		if d.Outcome != call.Recorded || len(d.CallIDs) != 1 || d.ID == 0 {
			t.Fatalf("delivery is %s with calls %v and id %d", d.Outcome, d.CallIDs, d.ID)
		}
		got := must(s.Call(t.Context(), d.CallIDs[0]))(t)
		want := call.Merge([]call.Leg{*report("1672649960.9601")})
		want.ID = d.CallIDs[0]
		if diff := cmp.Diff(want, got.Call); diff != "" {
			t.Error(diff)
		}
		if len(got.Legs) != 1 || len(got.Deliveries) != 1 || len(got.Recordings) != 1 {
			t.Fatalf("got %d legs, %d deliveries, %d recordings", len(got.Legs), len(got.Deliveries), len(got.Recordings))
		}
		if diff := cmp.Diff(*report("1672649960.9601"), got.Legs[0]); diff != "" {
			t.Error(diff)
		}
		if r := got.Recordings[0]; r.State != call.Pending || r.CallID != got.ID {
			t.Errorf("recording is %+v", r)
		}
		whole := must(s.Delivery(t.Context(), d.ID))(t)
		if string(whole.Body) != string(d.Body) || len(whole.Items) != 1 || whole.Items[0].Outcome != call.Recorded {
			t.Errorf("delivery reads back as %+v", whole)
		}
	})
}

func TestDuplicateChangesNothing(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		before := allCalls(t, s)
		again, within := delivery(report("1.1")), delivery(report("1.1"))
		record(t, s, again, within)
		if again.Outcome != call.Duplicate || within.Outcome != call.Duplicate {
			t.Errorf("outcomes are %s and %s", again.Outcome, within.Outcome)
		}
		if diff := cmp.Diff(before, allCalls(t, s)); diff != "" {
			t.Error(diff)
		}
		// Both are kept all the same, and both in one batch make one call.
		record(t, s, delivery(report("2.2")), delivery(report("2.2")))
		if n := len(allCalls(t, s)); n != 2 {
			t.Errorf("there are %d calls", n)
		}
		found, _, err := s.FindDeliveries(t.Context(), call.DeliveryFilter{})
		if err != nil || len(found) != 5 {
			t.Errorf("%d deliveries, %v", len(found), err)
		}
	})
}

func TestSameUIDIsStoredOnce(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for range 2 {
			d := delivery(report("1.1"))
			d.UID, d.MayBeStored = "0198c5a0-0000-7000-8000-000000000001", true
			record(t, s, d)
		}
		found, _, err := s.FindDeliveries(t.Context(), call.DeliveryFilter{})
		if err != nil || len(found) != 1 {
			t.Errorf("%d deliveries, %v", len(found), err)
		}
	})
}

// TestSameUIDOnTwoNodes: two backfills read the same row at once.
func TestSameUIDOnTwoNodes(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		for i := range 30 {
			var both errgroup.Group
			for _, s := range nodes {
				d := delivery(report(fmt.Sprintf("1.%d", i)))
				d.UID, d.MayBeStored = fmt.Sprintf("row-%d", i), true
				both.Go(func() error { return s.Record(context.WithoutCancel(t.Context()), []*call.Delivery{d}) })
			}
			if err := both.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		found, _, err := nodes[0].FindDeliveries(t.Context(), call.DeliveryFilter{Limit: 100})
		if err != nil || len(found) != 30 {
			t.Errorf("%d deliveries, %v", len(found), err)
		}
	})
}

// guest and agentLeg are the legs of an inbound TeleCMI call.
func guest(uuid string) *call.Leg {
	l := &call.Leg{Account: "support", Provider: call.TeleCMI, Key: uuid, Direction: call.Inbound, Status: "answered", Outcome: call.Answered,
		CustomerNumber: "+919811111111", AnsweredAt: nine, TalkSeconds: new(30), Agent: call.Agent{ID: "204", Number: "+919000000204"}, Group: "Sales"}
	return l
}

func agentLeg(uuid, conversation string) *call.Leg {
	l := &call.Leg{Account: "support", Provider: call.TeleCMI, Key: uuid, Side: call.SideB, Direction: call.Inbound, Status: "missed", Outcome: call.Missed,
		StartedAt: nine.Add(-20 * time.Second), Agent: call.Agent{ID: "203"}}
	l.AddKey(call.KeyConversation, conversation)
	return l
}

func TestLegsJoinInEveryOrder(t *testing.T) {
	t.Parallel()
	// The second agent leg names its conversation only in a later report.
	late := agentLeg("c-1", "")
	reports := []*call.Leg{guest("g-1"), agentLeg("b-1", "g-1"), late, agentLeg("c-1", "g-1")}
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		var want *call.Call
		for n, order := range permutations(len(reports)) {
			account := fmt.Sprintf("support%d", n)
			var first string
			for _, i := range order {
				l := *reports[i]
				l.Account = account
				d := delivery(&l)
				record(t, s, d)
				if first == "" {
					first = d.CallIDs[0]
				}
			}
			calls, _, err := s.FindCalls(t.Context(), call.Filter{Account: account})
			if err != nil || len(calls) != 1 {
				t.Fatalf("order %v makes %d calls (%v)", order, len(calls), err)
			}
			got := calls[0].Call
			if redirected := must(s.Call(t.Context(), first))(t); redirected.ID != got.ID || redirected.LegsCount != 3 || len(redirected.Legs) != 3 {
				t.Fatalf("order %v: id %s leads to %s with %d legs", order, first, redirected.ID, redirected.LegsCount)
			}
			got.ID, got.Account = "", ""
			if want == nil {
				want = &got
				if want.Outcome != call.Answered || len(want.Offers) != 2 || want.Agent.ID != "204" {
					t.Fatalf("call is %+v", want)
				}
			}
			if diff := cmp.Diff(*want, got); diff != "" {
				t.Fatalf("order %v: %s", order, diff)
			}
		}
	})
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			q := append(append(append([]int{}, p[:i]...), n-1), p[i:]...)
			all = append(all, q)
		}
	}
	return all
}

// TestTwoCallsBecomeOne: both ids exist before a later report shows that they
// are one; the older survives and the other leads to it.
func TestTwoCallsBecomeOne(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		alone, g := delivery(agentLeg("b-1", "")), delivery(guest("g-1"))
		alone.Items[0].Leg.Recordings = []call.Wanted{{Kind: call.Conversation, Source: "x.mp3"}}
		record(t, s, alone)
		record(t, s, g)
		if n := len(allCalls(t, s)); n != 2 {
			t.Fatalf("%d calls", n)
		}
		record(t, s, delivery(agentLeg("b-1", "g-1")))
		calls := allCalls(t, s)
		if len(calls) != 1 || calls[0].ID != alone.CallIDs[0] || calls[0].LegsCount != 2 || len(calls[0].Recordings) != 1 {
			t.Fatalf("calls are %+v", calls)
		}
		if got := must(s.Call(t.Context(), g.CallIDs[0]))(t); got.ID != alone.CallIDs[0] {
			t.Errorf("the younger id leads to %s", got.ID)
		}
		// The survivor is found by the key of either.
		found, _, err := s.FindCalls(t.Context(), call.Filter{Text: "g-1"})
		if err != nil || len(found) != 1 {
			t.Errorf("found %d, %v", len(found), err)
		}
	})
}

// TestLegLeavesOthersBehind: the leg that learns a better key goes, the leg
// that shares the old one stays.
func TestLegLeavesOthersBehind(t *testing.T) {
	t.Parallel()
	out := func(uuid, callID, conversation string) *call.Leg {
		l := &call.Leg{Account: "support", Provider: call.TeleCMI, Key: uuid, Direction: call.Outbound, Side: call.SideA, Outcome: call.Missed, StartedAt: nine}
		l.AddKey(call.KeyCall, callID)
		l.AddKey(call.KeyConversation, conversation)
		return l
	}
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(out("a", "", "conv"), out("b", "", "conv")))
		record(t, s, delivery(out("b", "call", "conv")))
		calls := allCalls(t, s)
		if len(calls) != 2 || calls[0].LegsCount != 1 || calls[1].LegsCount != 1 {
			t.Fatalf("calls are %+v", calls)
		}
	})
}

func TestLiveCalls(t *testing.T) {
	t.Parallel()
	waiting := func() *call.Delivery {
		return &call.Delivery{Account: "support", ReceivedAt: nine, Items: []call.Item{{Live: &call.LiveCall{
			Account: "support", Key: call.Key{Kind: call.KeyConversation, Value: "g-1"}, LegKey: "g-1", Direction: call.Inbound,
			State: call.Ringing, CustomerNumber: "+919811111111", Since: nine.Add(-25 * time.Second), At: nine.Add(-25 * time.Second), IsStart: true}}}}
	}
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, waiting())
		live := must(s.LiveCalls(t.Context(), time.Hour))(t)
		if len(live) != 1 || live[0].State != call.Ringing || !live[0].Since.Equal(nine.Add(-25*time.Second)) {
			t.Fatalf("live calls are %+v", live)
		}
		// An agent who was rung in vain does not end it, the guest's report does;
		// nor does one whose leg was sent as outbound, as PIOPIY does.
		record(t, s, delivery(agentLeg("b-1", "g-1")))
		dialled := agentLeg("b-2", "g-1")
		dialled.Direction, dialled.CustomerNumber = call.Outbound, "+919822222222"
		record(t, s, delivery(dialled))
		if live := must(s.LiveCalls(t.Context(), time.Hour))(t); len(live) != 1 {
			t.Fatalf("live calls are %+v", live)
		}
		record(t, s, delivery(guest("g-1")))
		if live := must(s.LiveCalls(t.Context(), time.Hour))(t); len(live) != 0 {
			t.Fatalf("live calls are %+v", live)
		}
		first := allCalls(t, s)[0].Call
		if first.WaitSeconds == nil || *first.WaitSeconds != 25 || !first.StartedAt.Equal(nine.Add(-25*time.Second)) {
			t.Errorf("the live start did not reach the call: %+v", first)
		}
		// The other way round the same, and no live call comes back to life.
		other := open(t, store.Options{Path: filepath.Join(t.TempDir(), "other.db")})
		record(t, other, delivery(guest("g-1")))
		record(t, other, delivery(agentLeg("b-1", "g-1")))
		record(t, other, delivery(dialled))
		record(t, other, waiting())
		if live := must(other.LiveCalls(t.Context(), time.Hour))(t); len(live) != 0 {
			t.Fatalf("live calls are %+v", live)
		}
		second := allCalls(t, other)[0].Call
		first.ID, second.ID = "", ""
		if diff := cmp.Diff(first, second); diff != "" {
			t.Error(diff)
		}
	})
}

// TestLiveLegs: a live call is what its legs are, whatever node hears of them
// and in what order, and it is over when the caller has hung up.
func TestLiveLegs(t *testing.T) {
	t.Parallel()
	event := func(second int, leg, user string, state call.LiveState) *call.Delivery {
		at := nine.Add(time.Duration(second) * time.Second)
		e := call.LiveCall{Account: "support", Key: call.Key{Kind: call.KeyConversation, Value: "g-1"}, LegKey: leg,
			Direction: call.Inbound, State: state, Since: at, At: at, IsStart: state == call.Ringing && user == ""}
		if user != "" {
			e.Side, e.Agent, e.Group = call.SideB, call.Agent{ID: user}, "Sales"
		}
		return &call.Delivery{Account: "support", ReceivedAt: at, Items: []call.Item{{Live: &e}}}
	}
	events := func() []*call.Delivery {
		return []*call.Delivery{
			event(0, "g-1", "", call.Ringing), event(5, "b-1", "204", call.Ringing), event(30, "b-1", "204", call.HungUp),
			event(31, "b-2", "205", call.Ringing), event(40, "b-2", "205", call.Talking),
		}
	}
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, other := open(t, o), open(t, o)
		for i, n := range []int{3, 1, 4, 0, 2} {
			record(t, []*store.Store{s, other}[i%2], events()[n])
		}
		want := call.LiveCall{Account: "support", Key: call.Key{Kind: call.KeyConversation, Value: "g-1"}, Direction: call.Inbound,
			State: call.Talking, StateSince: nine.Add(40 * time.Second), Agent: call.Agent{ID: "205"}, Group: "Sales",
			Since: nine, At: nine.Add(40 * time.Second)}
		if diff := cmp.Diff([]call.LiveCall{want}, must(s.LiveCalls(t.Context(), time.Hour))(t)); diff != "" {
			t.Error(diff)
		}
		// On two nodes at once it is the same.
		var both errgroup.Group
		for i, e := range events() {
			e.Items[0].Live.Key.Value, e.Items[0].Live.LegKey = "g-2", "2-"+e.Items[0].Live.LegKey
			node := []*store.Store{s, other}[i%2]
			both.Go(func() error { return node.Record(context.WithoutCancel(t.Context()), []*call.Delivery{e}) })
		}
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		want.Key.Value = "g-2"
		if diff := cmp.Diff(want, must(s.LiveCalls(t.Context(), time.Hour))(t)[1]); diff != "" {
			t.Error(diff)
		}
		again := events()[2]
		record(t, s, again)
		if again.Outcome != call.Duplicate {
			t.Errorf("told again: %s", again.Outcome)
		}
		// Agents without end are bounded.
		var hunt []*call.Delivery
		for i := range 250 {
			hunt = append(hunt, event(41+i, fmt.Sprint("c-", i), "206", call.HungUp))
		}
		record(t, s, hunt...)
		if diff := cmp.Diff(call.Agent{ID: "205"}, must(s.LiveCalls(t.Context(), time.Hour))(t)[0].Agent); diff != "" {
			t.Error(diff)
		}
		record(t, other, event(300, "g-1", "", call.HungUp))
		if live := must(s.LiveCalls(t.Context(), time.Hour))(t); len(live) != 1 || live[0].Key.Value != "g-2" {
			t.Errorf("live calls are %+v", live)
		}
		// And what is left of them by their age.
		if n := must(s.ForgetLiveCalls(t.Context(), 0))(t); n != 2 {
			t.Errorf("%d forgotten", n)
		}
	})
}

// TestHostileTexts: what PostgreSQL takes in no text is stored all the same.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		l := report("9.9")
		l.Agent.Name = "nul\x00 and \xff\xfe"
		d := delivery(l)
		d.Query, d.Body, d.ContentType = "a=\x00\xff", []byte{0, 0xff, 0xfe}, "text/\xff"
		record(t, s, d)
		back := must(s.Delivery(t.Context(), d.ID))(t)
		if back.Query != d.Query || string(back.Body) != string(d.Body) {
			t.Errorf("query %q and body %q", back.Query, back.Body)
		}
	})
}

// TestTwoNodesAtOnce: legs of the same calls arrive on two nodes at once.
func TestTwoNodesAtOnce(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		const calls = 60
		var wg sync.WaitGroup
		for n, s := range nodes {
			wg.Go(func() {
				for i := range calls {
					uuid := fmt.Sprintf("g-%d", i)
					legs := []*call.Leg{guest(uuid), agentLeg("b-"+uuid, uuid)}
					if err := s.Record(context.WithoutCancel(t.Context()), []*call.Delivery{delivery(legs[n]), delivery(legs[n])}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		found := allCalls(t, nodes[0])
		if len(found) != calls {
			t.Errorf("%d calls of %d", len(found), calls)
		}
		for _, c := range found {
			if c.LegsCount != 2 || c.Outcome != call.Answered || len(c.Offers) != 1 {
				t.Errorf("call is %+v", c)
			}
		}
	})
}

func TestOpenTogether(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		var wg sync.WaitGroup
		for range 3 { // nodes that start together
			wg.Go(func() {
				s, err := store.Open(context.WithoutCancel(t.Context()), o)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s := open(t, o)
		v := must(s.Version(t.Context()))(t)
		if v.Database != v.Program || v.Program < 1 {
			t.Errorf("versions are %+v", v)
		}
	})
}

func TestRefuseNewerSchema(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		driver, dsn := "pgx", o.DSN
		if dsn == "" {
			driver, dsn = "sqlite", o.Path
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "newer Callvault") {
			t.Errorf("opening a newer schema gives %v", err)
		}
	})
}

// TestRecordWhatWasTakenForNew: a call that is there although nothing leads to
// it is in the way of the one that is recorded, and does not keep it away.
func TestRecordWhatWasTakenForNew(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		const uid = "0192f0c0-0000-7000-8000-000000000001"
		d := delivery(report("1.1"))
		d.UID = uid
		record(t, s, d)
		driver, dsn := "pgx", o.DSN
		if dsn == "" {
			driver, dsn = "sqlite", o.Path
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		for _, lose := range []string{"DELETE FROM delivery_items", "DELETE FROM deliveries", "DELETE FROM legs", "DELETE FROM call_keys"} {
			if _, err := db.ExecContext(t.Context(), lose); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		again := delivery(report("1.1"))
		again.UID = uid
		record(t, s, delivery(report("1.2")), again)
		if again.Outcome != call.Recorded || len(again.CallIDs) != 1 || again.CallIDs[0] != d.CallIDs[0] {
			t.Errorf("recorded again it is %s, of %v; the call was %v", again.Outcome, again.CallIDs, d.CallIDs)
		}
		if calls := allCalls(t, s); len(calls) != 2 {
			t.Errorf("%d calls", len(calls))
		}
	})
}

// TestOpenWithGap: a database that has a later migration, and lacks an earlier
// one that was added after it, gets it.
func TestOpenWithGap(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		record(t, s, delivery(report("1.1")))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		driver, dsn := "pgx", o.DSN
		if dsn == "" {
			driver, dsn = "sqlite", o.Path
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		for _, undo := range []string{
			"DROP TABLE list_traces", "DROP TABLE listed_rows", "DROP TABLE listed_days", "DROP TABLE backfills",
			"DELETE FROM goose_db_version WHERE version_id = 3",
		} {
			if _, err := db.ExecContext(t.Context(), undo); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		if _, err := s.Backfills(t.Context()); err != nil {
			t.Error(err)
		}
		if len(allCalls(t, s)) != 1 {
			t.Error("the call is gone")
		}
	})
}

// TestFaultsAreTold: what the database refuses for good differs from what may
// pass, for one is to be set aside and the other to be spooled.
func TestFaultsAreTold(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		broken := delivery(report("1.1"))
		broken.Items[0].Leg.Attributes = call.Attributes{"x": json.RawMessage("{")}
		good := delivery(report("1.2"))
		if err := s.Record(t.Context(), []*call.Delivery{broken, good}); err == nil || call.CodeOf(err) == call.Unavailable {
			t.Errorf("a broken delivery gives %v", err)
		}
		if broken.ID != 0 || good.ID != 0 || len(allCalls(t, s)) != 0 {
			t.Error("something of the batch was stored")
		}
		record(t, s, good)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Record(over, []*call.Delivery{delivery(report("1.3"))}); call.CodeOf(err) != call.Unavailable {
			t.Errorf("no time left gives %v", err)
		}
	})
}
