package call

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Merge makes the call that a set of legs is. All legs must be of one account;
// their order does not matter. ID is left empty.
//
// What becomes what, where providers leave room:
//
// CallerDesk sends one report per call. answered_at is LegB_Picked_time or,
// for an answered call without it, EndTime − TalkDuration. The wait is
// LegB_Picked_time − LegB_Start_time, that is, ringing alone, without greeting
// and menu; unanswered it is EndTime − LegB_Start_time; without LegB_Start_time
// it is unknown, never guessed.
//
// TeleCMI reports legs. The end of an answered call is `time` + `answeredsec`;
// its start the earliest of the legs' `time` and, if at most two hours before,
// the moment in the recording's file name; a live event of the same call gives
// the true start, and only with it is the wait of an answered call known. The
// end of a missed call is not told; its wait and total are `waitedsec`.
//
// A row of a provider's call list fills the gaps of the reported leg that it is
// about, and counts by itself only if that was not reported.
//
// A mapped provider's reports say what its mapping finds in them. See
// mergeMapped.
func Merge(legs []Leg) Call {
	if len(legs) == 0 {
		return Call{}
	}
	legs = slices.Clone(legs)
	slices.SortFunc(legs, compareLegs)
	key := legs[0].CallKey()
	legs = absorbListed(legs)
	c := Call{
		Account:   legs[0].Account,
		Provider:  legs[0].Provider,
		Key:       key.Value,
		KeyKind:   key.Kind,
		LegsCount: len(legs),
	}
	switch c.Provider {
	case TeleCMI:
		mergeTeleCMI(&c, legs)
	case Mapped:
		mergeMapped(&c, legs)
	default:
		mergeReport(&c, legs)
	}
	return c
}

// compareLegs orders the legs of a call by time.
func compareLegs(a, b Leg) int {
	return cmp.Or(a.first().Compare(b.first()), strings.Compare(a.Key, b.Key))
}

// first is the earliest moment that the leg's reports name; it orders legs.
func (l *Leg) first() time.Time {
	return earliest(earliest(l.StartedAt, l.RangAt), l.AnsweredAt)
}

// take copies from a leg what says who talked with whom, as far as c does not
// know it yet.
func (c *Call) take(l *Leg) {
	c.Direction = cmp.Or(c.Direction, l.Direction)
	c.CustomerNumber = cmp.Or(c.CustomerNumber, l.CustomerNumber)
	c.BusinessNumber = cmp.Or(c.BusinessNumber, l.BusinessNumber)
	c.Group = cmp.Or(c.Group, l.Group)
	c.Campaign = cmp.Or(c.Campaign, l.Campaign)
	c.Cost = cmp.Or(c.Cost, l.Cost)
}

// end copies from the leg that decides the outcome how it ended.
func (c *Call) end(l *Leg) {
	c.Status, c.HangupCause, c.HangupBy = l.Status, l.HangupCause, l.HangupBy
}

// between is the whole seconds from a to b, nil if either is unknown or b is
// before a: a clock that contradicts itself tells nothing.
func between(a, b time.Time) *int {
	if a.IsZero() || b.IsZero() || b.Before(a) {
		return nil
	}
	return new(int(b.Sub(a) / time.Second))
}
