package call

import (
	"cmp"
	"slices"
	"time"
)

// mergeMapped makes the call of a mapped provider's legs, which come sorted.
//
// Most of these providers know one leg, whose key is the call's own. Where they
// know several, the one that is named like the call says who called whom, and
// the others are the agents who were rung: one of them that was answered makes
// the call answered, whatever the first says, as it is often a menu that
// answered there.
//
// answered_at, if it is not told, is ended_at − talk_seconds; ended_at is
// answered_at + talk_seconds. The start is what is told or, failing that, the
// first live event, the earliest moment told, or ended_at − total_seconds. The
// wait is what is told or, failing that, the time from rang_at, or from the
// first live event, to answered_at, or, of a call that nobody answered, to
// ended_at.
func mergeMapped(c *Call, legs []Leg) {
	slices.SortStableFunc(legs, func(a, b Leg) int {
		return cmp.Compare(a.place(c.Key), b.place(c.Key))
	})
	whole := legs[0]
	var agent *Leg
	for i := range legs {
		l := &legs[i]
		c.take(l)
		if i > 0 {
			whole.Fill(*l)
		}
		if l.Key == c.Key || l.Outcome == "" {
			continue
		}
		// The legs are in order of time: of several the last counts.
		if agent == nil || rank(l.Outcome) >= rank(agent.Outcome) {
			agent = l
		}
	}
	decides := &whole
	c.Agent = legs[0].Agent
	if agent != nil && (agent.Outcome == Answered || whole.Outcome == Answered) {
		decides, c.Agent = agent, agent.Agent
	}
	c.end(decides)
	talked := decides.TalkSeconds != nil && *decides.TalkSeconds > 0
	switch {
	case decides.Outcome != "":
		c.Outcome = decides.Outcome
	case talked:
		c.Outcome = Answered
	default:
		c.Outcome = Unknown
	}
	c.mappedTimes(&whole, decides)
	for i := range legs {
		l := &legs[i]
		rung := l.Key != c.Key || len(legs) == 1
		if rung && l.Outcome != "" && l.Outcome != Answered && c.Direction == Inbound && !l.Agent.IsZero() {
			c.Offers = append(c.Offers, l.Agent)
		}
	}
}

// place puts the leg that is named like the call before all others.
func (l *Leg) place(callKey string) int {
	if l.Key == callKey {
		return 0
	}
	return 1
}

// mappedTimes finds the times of a call from all of its legs, and from the one
// that decides how it ended.
func (c *Call) mappedTimes(whole, decides *Leg) {
	c.EndedAt = whole.EndedAt
	c.TalkSeconds, c.TotalSeconds = decides.TalkSeconds, whole.TotalSeconds
	if c.Outcome == Answered {
		c.AnsweredAt = decides.AnsweredAt
		if talk := c.TalkSeconds; talk != nil {
			length := time.Duration(*talk) * time.Second
			ended := firstTime(decides.EndedAt, c.EndedAt)
			switch {
			case c.AnsweredAt.IsZero() && !ended.IsZero():
				c.AnsweredAt = ended.Add(-length)
			case !c.AnsweredAt.IsZero() && c.EndedAt.IsZero():
				c.EndedAt = c.AnsweredAt.Add(length)
			}
		}
	}
	c.StartedAt = whole.StartedAt
	if c.StartedAt.IsZero() {
		c.StartedAt = earliest(earliest(whole.LiveFrom, whole.RangAt), earliest(c.AnsweredAt, whole.RecordedFrom))
	}
	if total := c.TotalSeconds; !c.EndedAt.IsZero() {
		begun := c.EndedAt
		if total != nil {
			begun = begun.Add(-time.Duration(*total) * time.Second)
		}
		if c.StartedAt.IsZero() {
			c.StartedAt = begun
		}
	}
	if c.TotalSeconds == nil {
		c.TotalSeconds = between(c.StartedAt, c.EndedAt)
	}
	c.WaitSeconds = whole.WaitSeconds
	if c.WaitSeconds == nil {
		until := c.AnsweredAt
		if c.Outcome != Answered {
			until = c.EndedAt
		}
		c.WaitSeconds = between(firstTime(whole.RangAt, whole.LiveFrom), until)
	}
}

// firstTime is the first time that is known.
func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
