package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// told is what the body of a test's delivery holds: for each item what it
// says, and how it was read when it came.
type told struct {
	Says, Read *call.Leg
	// LiveFrom: it is the event of a start.
	Event *call.LiveCall
}

// post makes a delivery that was read as it was in those days.
func post(t rapid.TB, items ...told) *call.Delivery {
	t.Helper()
	body, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	d := &call.Delivery{Account: items[0].account(), ReceivedAt: nine, Method: "POST", Body: body, Source: call.SourceWebhook}
	for _, it := range items {
		switch {
		case it.Event != nil:
			d.Items = append(d.Items, call.Item{Live: it.Event})
		case it.Read != nil:
			d.Items = append(d.Items, call.Item{Leg: it.Read})
		default:
			d.Items = append(d.Items, call.Item{Outcome: call.Unreadable, Error: "not understood yet"})
		}
	}
	return d
}

func (it told) account() string {
	if it.Event != nil {
		return it.Event.Account
	}
	return it.Says.Account
}

// decodeToday reads a delivery of post as it should be.
func decodeToday(d *call.Delivery) {
	var items []told
	d.Items = nil
	if err := json.Unmarshal(d.Body, &items); err != nil {
		d.Items = []call.Item{{Outcome: call.Unreadable, Error: err.Error()}}
	}
	for _, it := range items {
		d.Items = append(d.Items, call.Item{Leg: it.Says, Live: it.Event})
	}
	d.Summarize()
}

func dump(t rapid.TB, o store.Options) string {
	t.Helper()
	return testenv.Dump(t, o.DSN, o.Path)
}

func replay(t rapid.TB, s *store.Store, dry bool, ids ...int64) call.Replayed {
	t.Helper()
	done, err := s.Replay(context.Background(), ids, store.ReplayOptions{Decode: decodeToday, DryRun: dry})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestReplayUnreadable(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		d := post(t, told{Says: report("1.1")}, told{Says: report("2.2"), Read: report("2.2")})
		record(t, s, d)
		if d.Outcome != call.Unreadable || len(allCalls(t, s)) != 1 {
			t.Fatalf("before: %+v", d)
		}
		before := dump(t, o)
		dry := replay(t, s, true, d.ID)
		if diff := cmp.Diff(before, dump(t, o)); diff != "" {
			t.Errorf("a dry run changes:\n%s", diff)
		}
		done := replay(t, s, false, d.ID)
		if diff := cmp.Diff(dry, done); diff != "" {
			t.Errorf("the dry run promised something else:\n%s", diff)
		}
		if done.Outcomes[call.Recorded] != 1 || len(done.Changed) != 1 {
			t.Fatalf("replayed: %+v", done)
		}
		c := done.Changed[0]
		if c.ID != "" || c.Key != "1.1" || c.Changes["outcome"] != [2]any{nil, "answered"} || c.Changes["recordings"] != [2]any{0, 1} {
			t.Errorf("the new call is told as %+v", c)
		}
		whole := must(s.Delivery(t.Context(), d.ID))(t)
		if whole.Outcome != call.Recorded || whole.Error != "" || len(whole.CallIDs) != 2 || whole.Items[0].Outcome != call.Recorded {
			t.Errorf("the delivery is %+v", whole)
		}
		checkCalls(t, s, "sales", map[string]call.Leg{"1.1": *report("1.1"), "2.2": *report("2.2")})
		before = dump(t, o)
		if again := replay(t, s, false, d.ID, 4711); len(again.Changed) != 0 || again.Outcomes[call.Recorded] != 1 {
			t.Errorf("again: %+v", again)
		}
		if diff := cmp.Diff(before, dump(t, o)); diff != "" {
			t.Errorf("a second replay changes:\n%s", diff)
		}
	})
}

// TestReplayTakesBack: what was read wrongly is put right, and what belongs to
// the call stays: its id, its archived recording, its true start.
func TestReplayTakesBack(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		wrong := *report("1.1")
		wrong.Group, wrong.CustomerNumber, wrong.TalkSeconds = "A much longer name than the right one", "+9198123456789", new(4000)
		wrong.AddKey(call.KeyRequest, "not-a-request")
		first := post(t, told{Says: report("1.1"), Read: &wrong})
		second := post(t, told{Says: report("1.1"), Read: &wrong})
		start := post(t, told{Event: &call.LiveCall{Account: "sales", Key: call.Key{Kind: call.KeyCall, Value: "1.1"}, LegKey: "1.1", State: call.Ringing, At: nine.Add(-7 * time.Second), IsStart: true}})
		record(t, s, first, second)
		record(t, s, start)
		claims, err := s.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Minute})
		if err != nil || len(claims) != 1 {
			t.Fatal(claims, err)
		}
		if err := s.MarkAbsent(t.Context(), claims[0].LeaseToken, "never there"); err != nil {
			t.Fatal(err)
		}
		id := first.CallIDs[0]
		done := replay(t, s, false, first.ID)
		if len(done.Changed) != 1 || done.Changed[0].ID != id || done.Changed[0].Changes["talk_seconds"] != [2]any{4000, 40} {
			t.Errorf("%+v", done)
		}
		want := *report("1.1")
		want.LiveFrom = nine.Add(-7 * time.Second)
		checkCalls(t, s, "sales", map[string]call.Leg{"1.1": want})
		got := must(s.Call(t.Context(), id))(t)
		if len(got.Deliveries) != 2 || len(got.Recordings) != 1 || got.Recordings[0].State != call.Absent {
			t.Errorf("the call is %+v", got)
		}
		if calls, _, err := s.FindCalls(t.Context(), call.Filter{Text: "not-a-request"}); err != nil || len(calls) != 0 {
			t.Errorf("the wrong identifier still finds %d calls, %v", len(calls), err)
		}
		if live, err := s.LiveCalls(t.Context(), time.Hour); err != nil || len(live) != 0 {
			t.Errorf("live again: %+v, %v", live, err)
		}
	})
}

// TestReplayKeepsWhatReportsToldThatAreGone: without all of its reports a leg
// is only filled in.
func TestReplayKeepsWhatReportsToldThatAreGone(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		was, says := *report("1.1"), *report("1.1")
		was.Attributes = maps.Clone(was.Attributes)
		was.Attributes["more"] = json.RawMessage(`"of a report that is not kept any more"`)
		was.Agent.Name = "Ashish Kumar"
		says.Campaign = "spring"
		d := post(t, told{Says: &says, Read: &was})
		record(t, s, d)
		replay(t, s, false, d.ID)
		got := must(s.Call(t.Context(), d.CallIDs[0]))(t)
		if got.Campaign != "spring" || got.Agent.Name != "Ashish Kumar" || got.Legs[0].Attributes["more"] == nil {
			t.Errorf("the call is %+v with the legs %+v", got.Call, got.Legs)
		}
	})
}

// TestReplayMakesCallsWhatTheirLegsAre: whatever was misread in whatever way,
// a replay of everything, in any lots, ends in the calls that right reading
// makes; and a second one changes nothing. No id of a call gets lost.
func TestReplayMakesCallsWhatTheirLegsAre(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		n := 0
		var replayed []int64
		rapid.Check(t, func(t *rapid.T) {
			n++
			account := fmt.Sprintf("a%d", n)
			legs := map[string]call.Leg{}
			ids := map[string]bool{}
			var deliveries []*call.Delivery
			draw := func(list ...string) string { return rapid.SampledFrom(list).Draw(t, "value") }
			for i := range rapid.IntRange(1, 8).Draw(t, "reports") {
				says := call.Leg{Account: account, Provider: call.TeleCMI, Key: draw("p", "q", "r"),
					Direction: call.Inbound, Side: call.SideB, Outcome: call.Missed, StartedAt: nine.Add(time.Duration(i) * time.Second),
					Attributes: call.Attributes{fmt.Sprintf("f%d", i): json.RawMessage(`"x"`)},
					Recordings: []call.Wanted{{Kind: call.Conversation, Source: fmt.Sprintf("%s-%d.mp3", account, i%3)}}}
				says.AddKey(call.KeyConversation, draw("", "u", "v"))
				says.Group = draw("", "Sales", "Support")
				read := says
				read.Keys = slices.Clone(says.Keys)
				it := told{Says: &says, Read: &read}
				switch draw("right", "unreadable", "poor", "wrong", "another") {
				case "unreadable":
					it.Read = nil
				case "poor":
					read.Keys, read.Group, read.Recordings = nil, "", nil
				case "wrong":
					read.Outcome, read.Group = call.Answered, "a name much longer than any right one"
					read.AddKey(call.KeyConversation, draw("a", "u"))
				case "another":
					read.Key = draw("p", "q", "z")
				}
				d := post(t, it)
				if err := s.Record(context.Background(), []*call.Delivery{d}); err != nil {
					t.Fatal(err)
				}
				for _, id := range d.CallIDs {
					ids[id] = true
				}
				deliveries = append(deliveries, d)
				l := legs[says.Key]
				if l.Key == "" {
					l = says
				} else {
					l.Fill(says)
				}
				legs[says.Key] = l
			}
			for i, left := 0, rapid.Permutation(deliveries).Draw(t, "order"); len(left) > 0; i++ {
				n := rapid.IntRange(1, len(left)).Draw(t, "lot")
				var lot []int64
				for _, d := range left[:n] {
					lot = append(lot, d.ID)
				}
				left = left[n:]
				dry := replay(t, s, true, lot...)
				if diff := cmp.Diff(dry, replay(t, s, false, lot...)); diff != "" {
					t.Fatalf("a dry run promised something else:\n%s", diff)
				}
			}
			checkCalls(t, s, account, legs)
			for id := range ids {
				if _, err := s.Call(context.Background(), id); err != nil {
					t.Fatalf("call %s is lost: %v", id, err)
				}
			}
			for _, d := range deliveries {
				replayed = append(replayed, d.ID)
			}
		})
		before := dump(t, o)
		for lot := range slices.Chunk(replayed, 20) {
			if again := replay(t, s, false, lot...); len(again.Changed) > 0 {
				t.Errorf("a second replay changes %+v", again.Changed)
			}
		}
		if diff := cmp.Diff(before, dump(t, o)); diff != "" {
			t.Errorf("a second replay changes:\n%s", diff)
		}
		if all := checkRows(t, s, checkToday()); len(all.Faults) > 0 {
			t.Errorf("checked: %+v", all.Faults)
		}
	})
}
