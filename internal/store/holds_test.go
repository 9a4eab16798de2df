package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
)

func asIs(f call.Filter) call.Filter { return f }

// by is the test's context as somebody who acts.
func by(t *testing.T, name string) context.Context {
	t.Helper()
	return audit.By(t.Context(), audit.Actor{Kind: audit.KindUser, Name: name})
}

func place(t *testing.T, s *store.Store, h call.Hold) call.Hold {
	t.Helper()
	return must(s.PlaceHold(by(t, "asha"), h))(t)
}

func follow(t *testing.T, s *store.Store) int {
	t.Helper()
	return must(s.FollowHolds(t.Context(), asIs))(t)
}

// heldBy are the names of the holds that keep a call.
func heldBy(t *testing.T, s *store.Store, id string) []string {
	t.Helper()
	var names []string
	for _, h := range must(s.HeldBy(t.Context(), []string{id}))(t)[id] {
		names = append(names, h.Name)
	}
	return names
}

func stats(t *testing.T, s *store.Store, name string) call.HoldStats {
	t.Helper()
	return must(s.HoldStats(t.Context(), must(s.Hold(t.Context(), name))(t)))(t)
}

func TestHoldTakesInWhatMatches(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		other := report("2.1")
		other.CustomerNumber = "+919800000000"
		record(t, s, delivery(report("1.1")), delivery(other))
		h := place(t, s, call.Hold{Name: "case 7", Reason: "court order", Filter: &call.Filter{Number: "9812345678"}})
		if n := must(s.FillHold(t.Context(), h, nil))(t); n != 1 {
			t.Errorf("%d calls came under the hold, want 1", n)
		}
		later, fixed := delivery(report("3.1")), delivery(other)
		place(t, s, call.Hold{Name: "only now", Reason: "audit", Filter: &call.Filter{Account: "sales"}, Until: time.Now()})
		record(t, s, later, fixed)
		// Nobody has looked yet: whoever wants to delete learns it all the same.
		if names := heldBy(t, s, later.CallIDs[0]); !slices.Equal(names, []string{"case 7"}) {
			t.Errorf("the later call is held by %v", names)
		}
		if n := follow(t, s); n != 2 {
			t.Errorf("%d calls came under a hold, want the two that were there when it was placed", n)
		}
		if n := stats(t, s, "case 7").Calls; n != 2 {
			t.Errorf("case 7 has %d calls, want 2", n)
		}
		latest := delivery(report("4.1"))
		record(t, s, latest)
		if n := follow(t, s); n != 1 {
			t.Errorf("%d calls came under a hold, want the latest under case 7 alone", n)
		}
		if n := follow(t, s); n != 0 {
			t.Errorf("%d calls came under a hold when nothing was new", n)
		}
		if names := heldBy(t, s, latest.CallIDs[0]); !slices.Equal(names, []string{"case 7"}) {
			t.Errorf("the latest call is held by %v", names)
		}
		if _, err := s.PlaceHold(t.Context(), call.Hold{Name: "case 7", Reason: "again"}); call.CodeOf(err) != call.Conflict {
			t.Errorf("a name was taken twice: %v", err)
		}
		if _, err := s.PlaceHold(t.Context(), call.Hold{Name: "x", Reason: "y", CallIDs: []string{"nothing"}}); call.CodeOf(err) != call.NotFound {
			t.Errorf("a call that is not there is held: %v", err)
		}
	})
}

// A call that only later matches, because a report fills it in, comes under the
// hold, and never leaves it when it matches no more.
func TestHoldKeepsChangedCalls(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		poor := report("1.1")
		poor.Group = ""
		first := delivery(poor)
		record(t, s, first)
		id := first.CallIDs[0]
		place(t, s, call.Hold{Name: "group", Reason: "r", Filter: &call.Filter{Group: "TestGroup"}})
		if follow(t, s); heldBy(t, s, id) != nil {
			t.Fatal("held without matching")
		}
		record(t, s, delivery(report("1.1")))
		if n := follow(t, s); n != 1 {
			t.Errorf("%d calls came under the hold, want the changed one", n)
		}
		richer := report("1.1")
		richer.Group = "AnotherGroup, with a longer name"
		record(t, s, delivery(richer))
		follow(t, s)
		if c := must(s.Call(t.Context(), id))(t); c.Group != richer.Group {
			t.Fatalf("the call's group is %q", c.Group)
		}
		if names := heldBy(t, s, id); len(names) != 1 {
			t.Errorf("the call lost its hold: %v", names)
		}
	})
}

func TestHoldFollowsMergedCalls(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		// Two legs of one conversation, of which the second does not say so yet.
		alone := agentLeg("b-1", "")
		one, two := delivery(guest("g-1")), delivery(alone)
		record(t, s, one)
		record(t, s, two)
		survivor, loser := one.CallIDs[0], two.CallIDs[0]
		place(t, s, call.Hold{Name: "loser", Reason: "r", CallIDs: []string{loser}})
		place(t, s, call.Hold{Name: "both", Reason: "r", CallIDs: []string{survivor, loser}})
		record(t, s, delivery(agentLeg("b-1", "g-1")))
		if got := must(s.Call(t.Context(), loser))(t).ID; got != survivor {
			t.Fatalf("the calls are not one: %s and %s", got, survivor)
		}
		if names := heldBy(t, s, survivor); !slices.Equal(names, []string{"loser", "both"}) {
			t.Errorf("the survivor is held by %v", names)
		}
		if n := stats(t, s, "both").Calls; n != 1 {
			t.Errorf("the hold on both has %d calls", n)
		}
		if said, want := passed(t, s), fmt.Sprintf(`{"from":%q,"to":%q,"whole":true}`, loser, survivor); !slices.Equal(said, []string{want, want}) {
			t.Errorf("the log says %v", said)
		}
		if found := checkAllOfLog(t, s, "", 100); len(found) > 0 {
			t.Errorf("faults: %v", found)
		}
	})
}

// TestHeldCallTakesRecordings: what becomes part of a held call is held, too.
func TestHeldCallTakesRecordings(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		agent := agentLeg("b-1", "")
		agent.Recordings = []call.Wanted{{Kind: call.Conversation, Source: "b.mp3"}}
		one, two := delivery(guest("g-1")), delivery(agent)
		record(t, s, one)
		record(t, s, two)
		place(t, s, call.Hold{Name: "case", Reason: "r", CallIDs: one.CallIDs})
		record(t, s, delivery(agentLeg("b-1", "g-1")))
		if got := must(s.Call(t.Context(), two.CallIDs[0]))(t).ID; got != one.CallIDs[0] {
			t.Fatalf("the calls are not one: %s", got)
		}
		var listed, all int
		if err := raw(t, o).QueryRowContext(t.Context(), "SELECT count(h.recording_id), count(*) FROM recordings r LEFT JOIN held_recordings h ON h.recording_id = r.id").Scan(&listed, &all); err != nil {
			t.Fatal(err)
		}
		if all == 0 || listed != all {
			t.Errorf("the objects of %d of %d recordings are to be held", listed, all)
		}
	})
}

// passed is what the log says of holds that passed to other calls.
func passed(t *testing.T, s *store.Store) (said []string) {
	t.Helper()
	for _, e := range checkLog(t, s) {
		if e.Action == audit.HoldPassed {
			said = append(said, string(e.Facts))
		}
	}
	return said
}

// A leg that leaves a held call takes the hold with it: a hold loses nothing.
func TestHoldFollowsLegs(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		stays, leaves := agentLeg("b-1", "g-2"), agentLeg("b-2", "g-2")
		record(t, s, delivery(stays), delivery(leaves))
		held := allCalls(t, s)[0].ID
		place(t, s, call.Hold{Name: "case", Reason: "r", CallIDs: []string{held}})
		record(t, s, delivery(agentLeg("b-2", "g-1"))) // of two, the least counts
		calls := allCalls(t, s)
		if len(calls) != 2 {
			t.Fatalf("there are %d calls", len(calls))
		}
		for _, c := range calls {
			if len(heldBy(t, s, c.ID)) != 1 {
				t.Errorf("call %s is not held", c.ID)
			}
		}
		if said := passed(t, s); len(said) != 1 || !strings.HasPrefix(said[0], fmt.Sprintf(`{"from":%q,`, held)) || !strings.HasSuffix(said[0], `"whole":false}`) {
			t.Errorf("the log says %v", said)
		}
		if found := checkAllOfLog(t, s, "", 100); len(found) > 0 {
			t.Errorf("faults: %v", found)
		}
	})
}

func TestReleaseNeedsTwo(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		d := delivery(report("1.1"))
		record(t, s, d)
		place(t, s, call.Hold{Name: "case", Reason: "court order", CallIDs: d.CallIDs, TwoPerson: true})
		asked := must(s.ReleaseHold(by(t, "asha"), "case", "settled", false))(t)
		if !asked.InForce() || asked.Asked == nil || asked.Asked.By != "asha" {
			t.Fatalf("one person alone made it %+v", asked)
		}
		if _, err := s.ReleaseHold(by(t, "Asha"), "case", "settled", false); call.CodeOf(err) != call.Forbidden {
			t.Errorf("the same person confirmed: %v", err)
		}
		if len(heldBy(t, s, d.CallIDs[0])) != 1 {
			t.Error("a request alone released the call")
		}
		if h := must(s.WithdrawRelease(by(t, "ravi"), "case", "too early"))(t); h.Asked != nil || !h.InForce() {
			t.Errorf("withdrawn it is %+v", h)
		}
		if _, err := s.WithdrawRelease(by(t, "ravi"), "case", "again"); call.CodeOf(err) != call.Conflict {
			t.Errorf("withdrawn twice: %v", err)
		}
		if h := must(s.ReleaseHold(by(t, "asha"), "case", "settled now", false))(t); !h.InForce() {
			t.Error("what was withdrawn counted")
		}
		released := must(s.ReleaseHold(by(t, "ravi"), "case", "seen the settlement", false))(t)
		if released.InForce() || released.Released.By != "ravi" || released.Asked.By != "asha" {
			t.Errorf("two people made it %+v", released)
		}
		if names := heldBy(t, s, d.CallIDs[0]); names != nil {
			t.Errorf("the call is still held by %v", names)
		}
		if _, err := s.ReleaseHold(by(t, "ravi"), "case", "again", false); call.CodeOf(err) != call.Conflict {
			t.Errorf("released twice: %v", err)
		}
		if _, err := s.WithdrawRelease(by(t, "ravi"), "case", "too late"); call.CodeOf(err) != call.Conflict {
			t.Errorf("withdrawn when it was released: %v", err)
		}
		if _, err := s.ReleaseHold(by(t, "ravi"), "none", "r", false); call.CodeOf(err) != call.NotFound {
			t.Errorf("released what is not there: %v", err)
		}
		place(t, s, call.Hold{Name: "single", Reason: "r", CallIDs: d.CallIDs})
		if h := must(s.ReleaseHold(by(t, "asha"), "single", "done", false))(t); h.InForce() {
			t.Error("one person does not suffice where two are not asked for")
		}
		var done []audit.Action
		for _, e := range checkLog(t, s) {
			if e.Subject == "hold/"+asked.ID {
				done = append(done, e.Action)
			}
		}
		if want := []audit.Action{audit.HoldPlaced, audit.HoldJoined, audit.HoldReleaseAsked, audit.HoldReleaseWithdrawn, audit.HoldReleaseAsked, audit.HoldReleased}; !slices.Equal(done, want) {
			t.Errorf("the log says %v, want %v", done, want)
		}
	})
}

// Objects get the store's legal hold when their call is held, and lose it when
// the last hold has ended.
func TestHeldObjects(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		d := delivery(report("1.1"))
		record(t, s, d)
		claimed := claim(t, s, call.ClaimOptions{Limit: 1, Lease: time.Minute})[0]
		if held := must(s.HoldRecording(t.Context(), claimed.ID, claimed.CallID))(t); held {
			t.Error("held without a hold")
		}
		place(t, s, call.Hold{Name: "one", Reason: "r", Filter: &call.Filter{Number: "9812345678"}})
		place(t, s, call.Hold{Name: "two", Reason: "r", CallIDs: d.CallIDs})
		if held := must(s.HoldRecording(t.Context(), claimed.ID, claimed.CallID))(t); !held {
			t.Error("a recording that is about to be put is not held")
		}
		due := func() []call.HeldObject { return must(s.HeldObjects(t.Context(), "", 10))(t) }
		if objects := due(); len(objects) != 0 {
			t.Errorf("what is not in the vault is to be locked: %+v", objects)
		}
		if err := s.MarkArchived(t.Context(), claimed.LeaseToken, call.Archiving{ObjectKey: "calls/1.wav", Size: 7, SHA256: "ab", MediaType: "audio/wav"}); err != nil {
			t.Fatal(err)
		}
		object := call.HeldObject{RecordingID: claimed.ID, Key: "calls/1.wav", Hold: true}
		if objects := due(); !slices.Equal(objects, []call.HeldObject{object}) {
			t.Fatalf("to be looked at: %+v", objects)
		}
		if n := stats(t, s, "two"); n.NotPushed != 1 || n.Bytes != 7 || n.Recordings != 1 {
			t.Errorf("the hold has %+v", n)
		}
		if err := s.MarkHeldObject(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		if objects := due(); len(objects) != 0 {
			t.Errorf("still to be looked at: %+v", objects)
		}
		must(s.ReleaseHold(by(t, "asha"), "one", "r", false))(t)
		if objects := due(); !slices.Equal(objects, []call.HeldObject{object}) {
			t.Errorf("after the first of two releases: %+v", objects)
		}
		if err := s.MarkHeldObject(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		must(s.ReleaseHold(by(t, "asha"), "two", "r", false))(t)
		object.Hold = false
		if objects := due(); !slices.Equal(objects, []call.HeldObject{object}) {
			t.Errorf("after the last release: %+v", objects)
		}
		// Held again just while its lock was being lifted: it is looked at again.
		place(t, s, call.Hold{Name: "three", Reason: "r", CallIDs: d.CallIDs})
		if err := s.MarkHeldObject(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		if objects := due(); len(objects) != 1 || !objects[0].Hold {
			t.Errorf("held again: %+v", objects)
		}
	})
}

func TestManyDeliveriesAreFollowed(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		place(t, s, call.Hold{Name: "case", Reason: "r", Filter: &call.Filter{Account: "sales"}})
		follow(t, s)
		// One delivery of more reports than a step, and ordinary ones around it.
		var legs []*call.Leg
		for i := range 600 {
			legs = append(legs, report(fmt.Sprintf("batch.%d", i)))
		}
		record(t, s, delivery(report("first")), delivery(legs...), delivery(report("last")))
		if n := follow(t, s); n != 602 {
			t.Errorf("%d calls came under the hold, want 602", n)
		}
	})
}
