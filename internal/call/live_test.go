package call

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var liveStart = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// liveAt is a moment of a call in progress, in seconds from its beginning.
func liveAt(second int) time.Time { return liveStart.Add(time.Duration(second) * time.Second) }

// liveEvent is a live event of an inbound call: of the guest, or of an agent
// if there is a user.
func liveEvent(second int, leg, user string, state LiveState) LiveCall {
	e := LiveCall{LegKey: leg, Direction: Inbound, State: state, Since: liveAt(second), At: liveAt(second)}
	if user != "" {
		e.Side, e.Agent, e.Group = SideB, Agent{ID: user}, "Sales"
	} else {
		e.CustomerNumber, e.BusinessNumber = "+919811111111", "+914440051100"
	}
	return e
}

// outEvent is a live event of an outbound call.
func outEvent(second int, side Side, state LiveState) LiveCall {
	return LiveCall{LegKey: string(side), Side: side, Direction: Outbound, State: state, Since: liveAt(second), At: liveAt(second),
		CustomerNumber: "+919811111111", Agent: Agent{ID: "204"}}
}

// deskEvent is one of CallerDesk, which has one leg for a call.
func deskEvent(second int, number string, state LiveState) LiveCall {
	return LiveCall{LegKey: "1.1", Direction: Inbound, State: state, Since: liveAt(0), At: liveAt(second),
		CustomerNumber: "+919811111111", Agent: Agent{Number: number}, Group: "Support"}
}

// live joins events as they arrive.
func live(events []LiveCall) LiveCall {
	var legs []LiveLeg
next:
	for i := range events {
		told := events[i].Leg()
		for n := range legs {
			if legs[n].Key == told.Key {
				legs[n].Fill(told)
				continue next
			}
		}
		legs = append(legs, told)
	}
	return MergeLive(legs)
}

// hunt is an inbound call for which two agents are rung, and which the second
// hands on to a third.
func hunt() []LiveCall {
	return []LiveCall{
		liveEvent(0, "g", "", Ringing),
		liveEvent(5, "b1", "204", Ringing), liveEvent(30, "b1", "204", HungUp),
		liveEvent(31, "b2", "205", Ringing), liveEvent(40, "b2", "205", Talking), liveEvent(40, "g", "", Talking),
		liveEvent(60, "b3", "206", Ringing), liveEvent(65, "b2", "205", HungUp), liveEvent(66, "b3", "206", Talking),
		liveEvent(90, "b3", "206", HungUp), liveEvent(90, "g", "", HungUp),
	}
}

func TestMergeLive(t *testing.T) {
	t.Parallel()
	type seen struct {
		State LiveState
		Since int
		Agent string
		Group string
	}
	agentOnly := hunt()[1:3]
	for name, tt := range map[string]struct {
		events []LiveCall
		want   seen
	}{
		"guest waits":                    {hunt()[:1], seen{Ringing, 0, "", ""}},
		"first agent is rung":            {hunt()[:2], seen{Ringing, 0, "204", "Sales"}},
		"nobody is rung any more":        {hunt()[:3], seen{Ringing, 0, "", "Sales"}},
		"second agent is rung":           {hunt()[:4], seen{Ringing, 0, "205", "Sales"}},
		"second agent talks":             {hunt()[:5], seen{Talking, 40, "205", "Sales"}},
		"third is rung, second talks":    {hunt()[:7], seen{Talking, 40, "205", "Sales"}},
		"second handed on":               {hunt()[:8], seen{Talking, 40, "206", "Sales"}},
		"third talks":                    {hunt()[:9], seen{Talking, 66, "206", "Sales"}},
		"third has hung up, guest holds": {hunt()[:10], seen{Talking, 40, "", "Sales"}},
		"all have hung up":               {hunt(), seen{HungUp, 90, "206", "Sales"}},
		"agent alone is known":           {agentOnly[:1], seen{Ringing, 5, "204", "Sales"}},
		"agent alone, silent again":      {agentOnly, seen{LiveOther, 30, "", "Sales"}},
		"outbound, agent is rung":        {[]LiveCall{outEvent(0, SideA, Ringing)}, seen{Ringing, 0, "204", ""}},
		"outbound, agent is there": {[]LiveCall{outEvent(0, SideA, Ringing), outEvent(3, SideA, Talking)},
			seen{Talking, 3, "204", ""}},
		"outbound, customer is rung": {[]LiveCall{outEvent(3, SideA, Talking), outEvent(4, SideB, Ringing)},
			seen{Ringing, 4, "204", ""}},
		"outbound, they talk": {[]LiveCall{outEvent(3, SideA, Talking), outEvent(4, SideB, Ringing), outEvent(9, SideB, Talking)},
			seen{Talking, 9, "204", ""}},
		"outbound, customer has hung up": {[]LiveCall{outEvent(3, SideA, Talking), outEvent(20, SideB, HungUp)},
			seen{HungUp, 20, "204", ""}},
		"outbound, agent has hung up": {[]LiveCall{outEvent(20, SideA, HungUp), outEvent(9, SideB, Talking)},
			seen{HungUp, 20, "204", ""}},
		"one leg, two agents": {[]LiveCall{deskEvent(0, "", Ringing), deskEvent(5, "+9198", Ringing), deskEvent(6, "+9198", LiveOther), deskEvent(9, "+9199", Ringing)},
			seen{Ringing, 0, "+9199", "Support"}},
		"one leg, talking": {[]LiveCall{deskEvent(0, "", Ringing), deskEvent(9, "+9199", Talking)},
			seen{Talking, 9, "+9199", "Support"}},
		"one leg, over": {[]LiveCall{deskEvent(9, "+9199", Talking), deskEvent(19, "+9199", HungUp)},
			seen{HungUp, 19, "+9199", "Support"}},
	} {
		c := live(tt.events)
		got := seen{c.State, int(c.StateSince.Sub(liveStart) / time.Second), c.Agent.ID + c.Agent.Number, c.Group}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	c := live(hunt())
	if c.CustomerNumber != "+919811111111" || c.BusinessNumber != "+914440051100" ||
		!c.Since.Equal(liveAt(0)) || !c.At.Equal(liveAt(90)) || c.Direction != Inbound {
		t.Errorf("call is %+v", c)
	}
	// PIOPIY calls the agent's leg outbound.
	events := hunt()[:5]
	for i := range events[1:] {
		events[1+i].Direction = Outbound
	}
	if c := live(events); c.State != Talking || c.Agent.ID != "205" || c.Direction != Inbound {
		t.Errorf("call is %+v", c)
	}
}

// TestLiveOrder: whatever order the events come in, and however often.
func TestLiveOrder(t *testing.T) {
	t.Parallel()
	kinds := [][]LiveCall{
		hunt(),
		{outEvent(0, SideA, Ringing), outEvent(3, SideA, Talking), outEvent(4, SideB, Ringing), outEvent(9, SideB, Talking), outEvent(20, SideB, HungUp)},
		{deskEvent(0, "", Ringing), deskEvent(5, "+9198", Ringing), deskEvent(5, "+9197", LiveOther), deskEvent(9, "+9199", Talking)},
	}
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SampledFrom(kinds).Draw(t, "kind")
		events = events[:rapid.IntRange(1, len(events)).Draw(t, "told")]
		shuffled := rapid.Permutation(append(slices.Clone(events), rapid.SampledFrom(events).Draw(t, "twice"))).Draw(t, "order")
		if diff := cmp.Diff(live(events), live(shuffled)); diff != "" {
			t.Fatal(diff)
		}
	})
}
