package call

import (
	"cmp"
	"time"
)

// recordedBefore bounds how long before a leg's `time` the moment in a
// recording's file name is believed to be the start of the call.
const recordedBefore = 2 * time.Hour

// mergeTeleCMI makes the call of TeleCMI's legs, which come sorted.
func mergeTeleCMI(c *Call, legs []Leg) {
	c.Direction = legs[0].Direction
	for i := range legs {
		if legs[i].IsGuest() {
			c.Direction = Inbound
		}
	}
	if c.Direction == Inbound {
		for i := range legs {
			legs[i].beInbound()
		}
		mergeInbound(c, legs)
	} else {
		mergeOutbound(c, legs)
	}
	c.startAndWait(legs)
}

// beInbound makes of a leg that was sent as outbound the agent's leg of an
// inbound call that it is: PIOPIY sends them so, and only the guest's leg of
// the same conversation tells. The number that was dialled is the agent's.
func (l *Leg) beInbound() {
	if l.Direction != Outbound {
		return
	}
	l.Direction, l.Side = Inbound, SideB
	l.Agent.Number = cmp.Or(l.Agent.Number, l.CustomerNumber)
	l.CustomerNumber = ""
}

func mergeInbound(c *Call, legs []Leg) {
	var guest, talked *Leg
	for i := range legs {
		l := &legs[i]
		if l.IsGuest() {
			if guest == nil || rank(l.Outcome) > rank(guest.Outcome) {
				guest = l
			}
			continue
		}
		if l.Outcome == Answered {
			talked = l // legs are in order of time: the last agent who talked
		} else if !l.Agent.IsZero() {
			c.Offers = append(c.Offers, l.Agent)
		}
	}
	if guest != nil {
		c.take(guest)
	}
	for i := range legs {
		c.take(&legs[i])
	}

	answered := guest // the leg whose times are the call's
	if answered == nil || answered.Outcome != Answered {
		answered = talked
	}
	switch {
	case answered != nil && answered.Outcome == Answered:
		c.answer(answered)
		c.Agent = answered.Agent
		if talked != nil && !talked.Agent.IsZero() {
			c.Agent = talked.Agent
		}
	case guest != nil:
		c.end(guest)
		c.Agent = guest.Agent
		c.Outcome = missedGuest(guest)
		c.WaitSeconds, c.TotalSeconds = guest.WaitSeconds, guest.WaitSeconds
	default:
		// Nothing but unanswered offers: the guest's own report is missing.
		c.Outcome = Unknown
		c.end(&legs[len(legs)-1])
	}
}

// missedGuest is how an inbound call that nobody answered ended, by the
// guest's leg.
func missedGuest(l *Leg) Outcome {
	if l.LeftVoicemail {
		return Voicemail
	}
	switch l.HangupCause {
	case "recv_bye":
		return Abandoned // the caller ended it
	case "sent_reject", "recv_reject":
		return Rejected
	case "busy":
		return Busy
	}
	switch l.Outcome {
	case Busy, Rejected, Failed, Voicemail:
		return l.Outcome
	case "":
		if l.WaitSeconds == nil {
			return Unknown // nothing was said of how it ended
		}
	}
	return Missed
}

func mergeOutbound(c *Call, legs []Leg) {
	var agent, customer *Leg
	requested := false
	for i := range legs {
		l := &legs[i]
		c.take(l)
		c.Agent.ID = cmp.Or(c.Agent.ID, l.Agent.ID)
		c.Agent.Name = cmp.Or(c.Agent.Name, l.Agent.Name)
		c.Agent.Number = cmp.Or(c.Agent.Number, l.Agent.Number)
		requested = requested || l.HasKey(KeyRequest)
		// Of several legs of one side (a redial, follow-me) the answered one
		// counts, the last of them if there are several.
		side := &agent
		if l.Side == SideB || l.Listed {
			side = &customer // a row is about the customer
		}
		if l.Outcome != "" && (*side == nil || rank(l.Outcome) >= rank((*side).Outcome)) {
			*side = l
		}
	}
	switch {
	case customer != nil && customer.Outcome == Answered:
		c.answer(customer)
	case customer != nil:
		c.end(customer)
		c.Outcome = missedCustomer(customer)
	case agent != nil && agent.Outcome == Answered:
		c.answer(agent)
	case agent != nil:
		c.end(agent)
		c.Outcome = Missed
		if requested {
			// Click-to-call rings the agent first: the customer was never
			// called.
			c.Outcome = Cancelled
		}
	default:
		c.Outcome = Unknown
	}
	if l := cmp.Or(customer, agent); c.Outcome != Answered && l != nil {
		c.WaitSeconds, c.TotalSeconds = l.WaitSeconds, l.WaitSeconds
	}
}

// missedCustomer is how an outbound call ended that the customer did not
// answer, by the customer's leg.
func missedCustomer(l *Leg) Outcome {
	switch l.HangupCause {
	case "sent_reject", "recv_reject":
		return Rejected
	case "busy":
		return Busy
	}
	switch l.Outcome {
	case Busy, Rejected, Failed:
		return l.Outcome
	}
	return Missed
}

// answer gives the call the times of the leg that was answered.
func (c *Call) answer(l *Leg) {
	c.end(l)
	c.Outcome = Answered
	c.AnsweredAt, c.TalkSeconds = l.AnsweredAt, l.TalkSeconds
	if c.TalkSeconds != nil && !c.AnsweredAt.IsZero() {
		c.EndedAt = c.AnsweredAt.Add(time.Duration(*c.TalkSeconds) * time.Second)
	}
}

// startAndWait finds the start of the call and what follows from it.
func (c *Call) startAndWait(legs []Leg) {
	var live time.Time
	for i := range legs {
		l := &legs[i]
		at := l.first()
		c.StartedAt = earliest(c.StartedAt, at)
		if r := l.RecordedFrom; c.Outcome == Answered && !r.IsZero() && r.Before(at) && at.Sub(r) <= recordedBefore {
			c.StartedAt = earliest(c.StartedAt, r)
		}
		live = earliest(live, l.LiveFrom)
	}
	if !live.IsZero() {
		c.StartedAt = live
		if c.Outcome == Answered {
			c.WaitSeconds = between(live, c.AnsweredAt)
		}
	}
	if c.Outcome == Answered {
		c.TotalSeconds = between(c.StartedAt, c.EndedAt)
	}
}
