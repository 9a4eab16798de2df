package call_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reports draws reports of one leg: each says some of a few values of each
// field, so that they agree, disagree and leave out.
func reports(t *rapid.T) []call.Leg {
	provider := rapid.SampledFrom([]call.Provider{call.CallerDesk, call.TeleCMI}).Draw(t, "provider")
	text := func(name string, values ...string) string {
		return rapid.SampledFrom(append(values, "")).Draw(t, name)
	}
	at := func(name string) time.Time {
		s := rapid.IntRange(-1, 3).Draw(t, name)
		if s < 0 {
			return time.Time{}
		}
		return time.Date(2026, 11, 20, 9, 0, s*10, 0, time.UTC)
	}
	seconds := func(name string) *int {
		n := rapid.IntRange(-1, 2).Draw(t, name)
		if n < 0 {
			return nil
		}
		return &n
	}
	list := make([]call.Leg, rapid.IntRange(1, 5).Draw(t, "reports"))
	for i := range list {
		l := call.Leg{
			Account: "a", Provider: provider, Key: "leg",
			Side:           call.Side(text("side", "a", "b")),
			Direction:      call.Direction(text("direction", "inbound", "outbound")),
			Status:         text("status", "ANSWER", "NOANSWER", "missed", "answered"),
			Outcome:        rapid.SampledFrom(append(call.Outcomes(), "")).Draw(t, "outcome"),
			CustomerNumber: text("customer", "+911", "+9122"),
			Agent:          call.Agent{ID: text("id", "1", "22"), Name: text("name", "x", "y")},
			Group:          text("group", "g", "h"),
			StartedAt:      at("started"), RangAt: at("rang"), AnsweredAt: at("answered"), EndedAt: at("ended"),
			RecordedFrom: at("recorded"), LiveFrom: at("live"),
			WaitSeconds: seconds("wait"), TalkSeconds: seconds("talk"), TotalSeconds: seconds("total"),
			HangupCause: text("cause", "recv_bye", "16"), HangupBy: text("by", "agent"),
			LeftVoicemail: rapid.Bool().Draw(t, "voicemail"),
		}
		for _, kind := range []call.KeyKind{call.KeyCall, call.KeyConversation, call.KeyRequest} {
			l.AddKey(kind, text(string(kind), "k1", "k2"))
		}
		if s := text("recording", "a.mp3", "b.mp3"); s != "" {
			l.Recordings = []call.Wanted{{Kind: call.Conversation, Source: s, Location: text("location", "https://x/1")}}
		}
		if v := text("attribute", `""`, "null", `"1"`, "12"); v != "" {
			l.Attributes = call.Attributes{"x": json.RawMessage(v)}
		}
		list[i] = l
	}
	return list
}

func filled(list []call.Leg) call.Leg {
	l := list[0]
	for _, o := range list[1:] {
		l.Fill(o)
	}
	return l
}

// TestFillInAnyOrder: a leg does not depend on the order, the number or the
// grouping of its reports.
func TestFillInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := reports(t)
		want := filled(list)
		shuffled := append(append([]call.Leg{}, list...), list...) // each twice
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if diff := cmp.Diff(want, filled(shuffled)); diff != "" {
			t.Fatalf("another order gives another leg:\n%s", diff)
		}
		// Two halves that were filled apart, as by two nodes.
		half := len(list) / 2
		if half > 0 {
			a, b := filled(list[:half]), filled(list[half:])
			b.Fill(a)
			if diff := cmp.Diff(want, b); diff != "" {
				t.Fatalf("other groups give another leg:\n%s", diff)
			}
		}
		if again := want; again.Fill(filled(shuffled)) {
			t.Fatal("filling in what is known changes the leg")
		}
		// What is on disk is the same.
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var back call.Leg
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if back.Fill(want) {
			t.Fatal("a leg read back differs")
		}
	})
}

// TestMergeInAnyOrder: a call does not depend on the order of its legs.
func TestMergeInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := reports(t)
		for i := range list {
			list[i].Key = string(rune('p' + i))
		}
		want := call.Merge(list)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		// The call key is that of all its legs; here they differ.
		got := call.Merge(list)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another order gives another call:\n%s", diff)
		}
		// What the provider sent decides nothing: checks leave it out.
		for i := range list {
			list[i].Attributes = nil
		}
		if diff := cmp.Diff(want, call.Merge(list)); diff != "" {
			t.Fatalf("attributes decide something:\n%s", diff)
		}
		if want.TalkSeconds != nil && *want.TalkSeconds < 0 || want.WaitSeconds != nil && *want.WaitSeconds < 0 {
			t.Fatalf("a negative duration: %+v", want)
		}
	})
}
