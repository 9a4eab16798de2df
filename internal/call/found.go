package call

import "time"

// CallWithRecordings is a call as a search finds it.
type CallWithRecordings struct {
	Call
	Recordings []Recording
}

// CallDetail is everything known of one call.
type CallDetail struct {
	CallWithRecordings
	Legs []Leg
	// Deliveries are those that told of the call, oldest first, without body.
	Deliveries []Delivery
}

// CustomerStats counts distinct customers of inbound calls.
type CustomerStats struct {
	// Unique are the distinct customer numbers, Repeat those of them with at
	// least two inbound calls.
	Unique, Repeat int64
}

// Missing is a customer whose inbound call nobody answered, and whether
// somebody talked with them afterwards, in either direction, on any account.
type Missing struct {
	Number string
	// FirstAt and LastAt are the first and last such attempt of the period.
	FirstAt, LastAt time.Time
	Attempts        int
	// Called is the business number of the last attempt.
	Called  string
	Account string
	Group   string
	// Provider, Campaign and Agent are of the last attempt, too.
	Provider Provider
	Campaign string
	Agent    Agent
	// ReturnedAt is the start of the first answered call after LastAt; zero
	// when there was none.
	ReturnedAt time.Time
	// Return is that call; empty when there was none.
	Return Return
}

// Return is a call in which somebody talked with a customer who had been
// missed.
type Return struct {
	Account  string
	Provider Provider
	// Direction is outbound for a call back, inbound where the customer called
	// again.
	Direction Direction
	Agent     Agent
}

// CallSums add up the calls of an account, direction and outcome: what the
// figures of a period that are not kept call by call are made of.
type CallSums struct {
	Account   string    `json:"account,omitempty"`
	Direction Direction `json:"direction,omitempty"`
	Outcome   Outcome   `json:"outcome"`
	Calls     int64     `json:"calls"`
	// Waits are calls whose wait is known, WaitSeconds is the sum of it; Soon
	// are those whose wait is within a bound, see WaitBounds.
	Waits       int64 `json:"waits,omitempty"`
	WaitSeconds int64 `json:"wait_seconds,omitempty"`
	Soon        int64 `json:"soon,omitempty"`
	// Talks are calls whose talk time is known, TalkSeconds is the sum of it.
	Talks       int64 `json:"talks,omitempty"`
	TalkSeconds int64 `json:"talk_seconds,omitempty"`
}

// WaitBounds are the longest waits, in seconds, of a call answered soon and of
// one that was given up soon.
type WaitBounds struct{ Answered, Abandoned int }
