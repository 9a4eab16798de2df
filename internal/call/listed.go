package call

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file says how rows of a provider's call list find the reported leg that
// they are about. CallerDesk's rows name the call. Whether the id of TeleCMI's
// rows (cmiuid) is that of its reports (cmiuuid) is not documented: a row is
// about the leg with its id, else the one that names its recording, else the
// one of the same parties and time.

// listedPrefix sets the keys of rows apart from those of reported legs: a
// report's facts must not be mixed with a list's, which may count otherwise.
const listedPrefix = "list:"

// ListedKey is the leg key of the row that the provider gives this id.
func ListedKey(id string) string { return listedPrefix + id }

// ID is the provider's id of the leg.
func (l *Leg) ID() string {
	if l.Listed {
		return strings.TrimPrefix(l.Key, listedPrefix)
	}
	return l.Key
}

// partyTolerance is how far the time of a row may be from the report's.
const partyTolerance = 5 * time.Second

// maxSpan bounds how long a leg is taken to last.
const maxSpan = 24 * time.Hour

// NeedsMatch reports whether the leg is a row that may be about a leg which it
// does not name.
func (l *Leg) NeedsMatch() bool { return l.Listed && l.Provider == TeleCMI }

// Traces are texts by which rows and the legs that they may be about are found:
// if a row is about a leg the two have one in common. They are nil for legs
// that no row needs to be matched with.
func (l *Leg) Traces() []string {
	if l.Provider != TeleCMI {
		return nil
	}
	traces := []string{"leg:" + l.ID()}
	for _, w := range l.Recordings {
		traces = append(traces, "file:"+w.Source)
	}
	return append(traces, l.PartyTraces()...)
}

// PartyTraces are those of the traces by which rows and legs of the same
// customer and time are found.
func (l *Leg) PartyTraces() []string {
	from, to := l.matchSpan()
	if l.Provider != TeleCMI || from.IsZero() {
		return nil
	}
	// By the hour, so that a number with many calls has few of each.
	party := "party:" + string(l.Direction) + ":" + l.CustomerNumber + ":"
	var traces []string
	for hour := from.Unix() / 3600; hour <= to.Unix()/3600; hour++ {
		traces = append(traces, party+strconv.FormatInt(hour, 10))
	}
	return traces
}

// matchSpan is within which times rows and legs are matched by their customer;
// zero if they are not.
func (l *Leg) matchSpan() (from, to time.Time) {
	from, to = l.span()
	switch {
	case !l.hasParty() || from.IsZero():
		return time.Time{}, time.Time{}
	case l.Listed:
		return from, from
	default:
		return from.Add(-partyTolerance), to.Add(partyTolerance)
	}
}

// How far from the time of a row its call may have begun, to be looked for by
// its customer: with its first leg, which may have been long before.
const (
	BegunBefore = 25 * time.Hour
	BegunAfter  = time.Hour
)

// Hides reports whether the leg, which is one of the call, may match a row by
// customer and time, and is not found by those of the call: legs of one call
// may name different customers.
func (c *Call) Hides(l *Leg) bool {
	from, to := l.matchSpan()
	return !l.Listed && l.Provider == TeleCMI && !from.IsZero() &&
		(l.CustomerNumber != c.CustomerNumber ||
			c.StartedAt.Before(to.Add(-BegunBefore)) || c.StartedAt.After(from.Add(BegunAfter)))
}

// hasParty reports whether the leg tells with whom, and is about the customer.
func (l *Leg) hasParty() bool {
	return l.CustomerNumber != "" && (l.Direction == Outbound || l.IsGuest())
}

// span is from when to when the leg lasted, as far as it is told.
func (l *Leg) span() (from, to time.Time) {
	from = l.first()
	to = latest(from, l.EndedAt)
	for _, n := range []*int{l.TalkSeconds, l.WaitSeconds} {
		if n != nil {
			to = latest(to, from.Add(time.Duration(*n)*time.Second))
		}
	}
	if to.Sub(from) > maxSpan {
		to = from.Add(maxSpan)
	}
	return from, to
}

// How surely a row is about a leg.
const (
	matchNone = iota
	matchParty
	matchFile
	matchID
)

// match says how surely the row l is about the reported leg o, and how far
// apart their times are.
func (l *Leg) match(o *Leg) (sure int, apart time.Duration) {
	at := l.first()
	apart = at.Sub(o.first()).Abs()
	switch {
	case o.Listed || l.Account != o.Account:
		return matchNone, 0
	case l.ID() == o.Key:
		return matchID, apart
	case slices.ContainsFunc(l.Recordings, func(w Wanted) bool {
		return slices.ContainsFunc(o.Recordings, func(v Wanted) bool { return v.Source == w.Source })
	}):
		return matchFile, apart
	case !l.hasParty() || !o.hasParty() || l.Direction != o.Direction ||
		l.CustomerNumber != o.CustomerNumber || at.IsZero():
		return matchNone, 0
	}
	from, to := o.span()
	if from.IsZero() {
		return matchNone, 0
	}
	if l.Direction == Inbound {
		// Two callers may show the same number, and one get through.
		if apart > partyTolerance || o.Outcome != "" && (o.Outcome == Answered) != (l.Outcome == Answered) {
			return matchNone, 0
		}
		return matchParty, apart
	}
	// The agent's leg lasts while the customer's begins, and an agent has one
	// call at a time.
	sameAgent := l.Agent.ID != "" && l.Agent.ID == o.Agent.ID
	if apart <= partyTolerance || sameAgent && !at.Before(from.Add(-partyTolerance)) && !at.After(to.Add(partyTolerance)) {
		return matchParty, apart
	}
	return matchNone, 0
}

// BestMatch is the reported leg that the row l is about, nil if it is none of
// these. It does not depend on their order.
func (l *Leg) BestMatch(legs []*Leg) *Leg {
	var best *Leg
	bestSure, bestApart := matchNone, time.Duration(0)
	for _, o := range legs {
		sure, apart := l.match(o)
		if sure == matchNone {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(sure, bestSure), cmp.Compare(bestApart, apart), strings.Compare(best.Key, o.Key)) > 0 {
			best, bestSure, bestApart = o, sure, apart
		}
	}
	return best
}

// absorbListed lets rows fill the gaps of the reported legs of the same call
// that they are about. What remains are the reported legs, and rows about what
// was not reported.
func absorbListed(legs []Leg) []Leg {
	if !slices.ContainsFunc(legs, func(l Leg) bool { return l.Listed }) {
		return legs
	}
	var reported, alone []Leg
	for _, l := range legs {
		if !l.Listed {
			reported = append(reported, l)
		}
	}
	hosts := make([]*Leg, len(reported))
	for i := range reported {
		// Matched as reported, whatever was filled in before.
		hosts[i] = new(reported[i])
	}
	for i := range legs {
		l := &legs[i]
		if !l.Listed {
			continue
		}
		if host := l.host(hosts); host != nil {
			reported[slices.Index(hosts, host)].fillGaps(l)
		} else {
			alone = append(alone, *l)
		}
	}
	all := slices.Concat(reported, alone)
	slices.SortFunc(all, compareLegs)
	return all
}

// host is the leg of the same call whose gaps the row l fills, nil if the row
// tells of a leg that was not reported.
func (l *Leg) host(reported []*Leg) *Leg {
	if len(reported) == 0 {
		return nil
	}
	if l.Provider != TeleCMI {
		return reported[0] // one report per call
	}
	best := l.BestMatch(reported)
	if l.Direction == Inbound || best != nil && best.Key == l.ID() {
		return best
	}
	// A row of an outbound call is about its customer.
	var customers []*Leg
	for _, o := range reported {
		if o.Side == SideB {
			customers = append(customers, o)
		}
	}
	if len(customers) > 0 {
		return cmp.Or(l.BestMatch(customers), l.nearest(customers))
	}
	if best != nil && best.Side == SideA && (best.Outcome == Answered || l.Outcome == Answered) {
		return nil // the agent was there, and the customer's leg is the row's
	}
	return best
}

func (l *Leg) nearest(legs []*Leg) *Leg {
	at := l.first()
	return slices.MinFunc(legs, func(a, b *Leg) int {
		return cmp.Or(cmp.Compare(at.Sub(a.first()).Abs(), at.Sub(b.first()).Abs()), strings.Compare(a.Key, b.Key))
	})
}

// fillGaps takes from o what l does not tell.
func (l *Leg) fillGaps(o *Leg) {
	if l.Outcome == "" && l.Status == "" {
		l.Outcome, l.Status = o.Outcome, o.Status
	}
	l.Direction = cmp.Or(l.Direction, o.Direction)
	l.CustomerNumber = cmp.Or(l.CustomerNumber, o.CustomerNumber)
	l.BusinessNumber = cmp.Or(l.BusinessNumber, o.BusinessNumber)
	l.Agent.ID = cmp.Or(l.Agent.ID, o.Agent.ID)
	l.Agent.Name = cmp.Or(l.Agent.Name, o.Agent.Name)
	l.Agent.Number = cmp.Or(l.Agent.Number, o.Agent.Number)
	l.Group = cmp.Or(l.Group, o.Group)
	l.Campaign = cmp.Or(l.Campaign, o.Campaign)
	if l.Provider != TeleCMI || l.first().IsZero() {
		// TeleCMI's `time` is a start or an answer, by the outcome.
		l.StartedAt = orElse(l.StartedAt, o.StartedAt)
		l.RangAt = orElse(l.RangAt, o.RangAt)
		l.AnsweredAt = orElse(l.AnsweredAt, o.AnsweredAt)
		l.EndedAt = orElse(l.EndedAt, o.EndedAt)
	}
	l.RecordedFrom = orElse(l.RecordedFrom, o.RecordedFrom)
	l.WaitSeconds = cmp.Or(l.WaitSeconds, o.WaitSeconds)
	l.TalkSeconds = cmp.Or(l.TalkSeconds, o.TalkSeconds)
	l.TotalSeconds = cmp.Or(l.TotalSeconds, o.TotalSeconds)
	l.HangupCause = cmp.Or(l.HangupCause, o.HangupCause)
	l.HangupBy = cmp.Or(l.HangupBy, o.HangupBy)
	l.Cost = cmp.Or(l.Cost, o.Cost)
	l.LeftVoicemail = l.LeftVoicemail || o.LeftVoicemail
}

func orElse(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}
