package call

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// LiveState is what a call in progress is doing.
type LiveState string

// The states of a live call, in the order in which a leg goes through them.
const (
	Ringing   LiveState = "ringing"
	Talking   LiveState = "answered"
	HungUp    LiveState = "hangup"
	LiveOther LiveState = "unknown"
)

// liveOrder has the states of which a leg never goes back: events may come out
// of order. A word that is not known tells the least.
var liveOrder = []LiveState{LiveOther, Ringing, Talking, HungUp}

// LiveCall is a call in progress: as one event tells it, or, from MergeLive, as
// all of its events do. It is replaced by its Call when the report arrives.
type LiveCall struct {
	Account string
	// Key is the call's key, as the report will give it.
	Key Key
	// LegKey is the key of the leg that the event is about, Side its end of the
	// call; both empty of what MergeLive makes.
	LegKey    string
	Side      Side
	Direction Direction
	State     LiveState
	// StateSince is when the call came into State; an event leaves it zero.
	StateSince     time.Time
	CustomerNumber string
	BusinessNumber string
	Agent          Agent
	Group          string
	// Since is when the call began, as far as the events tell.
	Since time.Time
	// At is the moment of the latest event.
	At time.Time
	// IsStart: the event marks the true start of the call's ringing.
	IsStart bool
}

// LiveLeg is what the live events of one leg have told so far.
type LiveLeg struct {
	Key            string    `json:"key"`
	Side           Side      `json:"side,omitempty"`
	Direction      Direction `json:"direction,omitempty"`
	State          LiveState `json:"state"`
	StateSince     time.Time `json:"state_since,omitzero"`
	CustomerNumber string    `json:"customer_number,omitempty"`
	BusinessNumber string    `json:"business_number,omitempty"`
	// Agent is as the latest event that names one has it, which is of AgentAt.
	Agent   Agent     `json:"agent,omitzero"`
	AgentAt time.Time `json:"agent_at,omitzero"`
	Group   string    `json:"group,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	At      time.Time `json:"at,omitzero"`
}

// Leg is what the event tells of its leg.
func (e *LiveCall) Leg() LiveLeg {
	l := LiveLeg{
		Key: e.LegKey, Side: e.Side, Direction: e.Direction, State: e.State, StateSince: e.At,
		CustomerNumber: e.CustomerNumber, BusinessNumber: e.BusinessNumber,
		Agent: e.Agent, Group: e.Group, Since: e.Since, At: e.At,
	}
	if !l.Agent.IsZero() {
		l.AgentAt = e.At
	}
	return l
}

// Fill joins another event of the same leg into l. As Leg.Fill it is
// commutative, associative and idempotent: the furthest state wins, and its
// earliest moment; of two agents the one of the later event, for a provider
// with one leg for a call may ring one after the other; else the longer text.
func (l *LiveLeg) Fill(o LiveLeg) {
	switch c := cmp.Compare(slices.Index(liveOrder, o.State), slices.Index(liveOrder, l.State)); {
	case c > 0:
		l.State, l.StateSince = o.State, o.StateSince
	case c == 0:
		l.StateSince = earliest(l.StateSince, o.StateSince)
	}
	if c := o.AgentAt.Compare(l.AgentAt); !o.Agent.IsZero() && (c > 0 || c == 0 && compareAgents(o.Agent, l.Agent) > 0) {
		l.Agent, l.AgentAt = o.Agent, o.AgentAt
	}
	l.Side = max(l.Side, o.Side)
	l.Direction = Direction(richer(string(l.Direction), string(o.Direction)))
	l.CustomerNumber = richer(l.CustomerNumber, o.CustomerNumber)
	l.BusinessNumber = richer(l.BusinessNumber, o.BusinessNumber)
	l.Group = richer(l.Group, o.Group)
	l.Since = earliest(l.Since, o.Since)
	l.At = latest(l.At, o.At)
}

func compareAgents(a, b Agent) int {
	return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Number, b.Number), strings.Compare(a.Name, b.Name))
}

// isGuest reports whether the leg is the customer's side of an inbound call,
// or all there is of one.
func (l *LiveLeg) isGuest() bool { return l.Direction == Inbound && l.Side != SideB }

// MergeLive makes the live call of its legs. Like Merge it is a pure function
// of their set, so the order in which events arrive cannot matter. Account and
// Key are left empty.
//
// An inbound call rings until an agent's leg or the guest's is answered, and
// is over when the guest has hung up: agents who do not answer end nothing.
// Its agent is the last who talks, else the last who is rung. An outbound call
// is what the customer's leg is, and before there is one, what the agent's is;
// it is over when one of the two sides is. One without sides is one leg.
func MergeLive(legs []LiveLeg) LiveCall {
	legs = slices.Clone(legs)
	slices.SortFunc(legs, func(a, b LiveLeg) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Key, b.Key))
	})
	var near, far []*LiveLeg // near: the guest, or the agent who calls
	var c LiveCall
	for i := range legs {
		l := &legs[i]
		if l.Side == SideB {
			far = append(far, l)
		} else {
			near = append(near, l)
		}
		if l.isGuest() {
			// PIOPIY calls the agent's leg of an inbound call outbound.
			c.Direction = Inbound
		}
	}
	for _, l := range append(slices.Clone(near), far...) {
		c.Direction = cmp.Or(c.Direction, l.Direction)
		c.CustomerNumber = cmp.Or(c.CustomerNumber, l.CustomerNumber)
		c.BusinessNumber = cmp.Or(c.BusinessNumber, l.BusinessNumber)
		c.Since, c.At = earliest(c.Since, l.Since), latest(c.At, l.At)
	}
	// Who is where: of an inbound call the agents are far, else near.
	agents, others := near, far
	if c.Direction == Inbound {
		agents, others = far, near
	}
	agent := furthest(agents)
	leg := deciding(c.Direction, near, far)
	if leg == nil {
		return c
	}
	c.State, c.StateSince = leg.State, leg.StateSince
	if agent == nil || agent.Agent.IsZero() || agent.State == HungUp && c.State != HungUp {
		// CallerDesk's one leg names the agent itself.
		agent = furthest(others)
	}
	if agent != nil && (agent.State != HungUp || c.State == HungUp) {
		c.Agent, c.Group = agent.Agent, agent.Group
	}
	for _, l := range slices.Backward(legs) {
		c.Group = cmp.Or(c.Group, l.Group)
	}
	return c
}

// deciding is the leg whose state is the call's; nil if the legs that are left
// tell nothing.
func deciding(direction Direction, near, far []*LiveLeg) *LiveLeg {
	n, f := furthest(near), furthest(far)
	switch {
	case n == nil && f == nil:
		return nil
	case n != nil && n.State == HungUp, f == nil:
		return n
	case direction != Inbound:
		return f
	case n == nil && f.State == HungUp:
		// An agent's phone is silent again, and of the guest nothing is known:
		// perhaps the next one rings in a moment.
		unknown := *f
		unknown.State = LiveOther
		return &unknown
	case n == nil || f.State == Talking || n.State == LiveOther && f.State == Ringing:
		return f
	}
	return n
}

// furthest is the leg of a side that is in the furthest state but hung up, the
// last of them; if all have hung up, the last who did.
func furthest(side []*LiveLeg) *LiveLeg {
	var best *LiveLeg
	order := func(l *LiveLeg) int {
		if l.State == HungUp {
			return -1
		}
		return slices.Index(liveOrder, l.State)
	}
	for _, l := range side {
		if best == nil || order(l) > order(best) || order(l) == order(best) &&
			(l.State != HungUp || !l.StateSince.Before(best.StateSince)) {
			best = l
		}
	}
	return best
}
