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
	// ReturnedAt is the start of the first answered call after LastAt; zero
	// when there was none.
	ReturnedAt time.Time
}
