package call

import "time"

// JournaledDelivery is a delivery as the journal in the vault keeps it: with
// body, and with what would be another if it were taken in again.
type JournaledDelivery struct {
	// Delivery has the outcomes and errors of its Items, and no more of them.
	Delivery
	// Given are the ids that were given, by item.
	Given []GivenIDs
	// Erased says that something was taken out on request before the journal
	// had it: then the body is not that of BodySHA256 any more.
	Erased string
}

// GivenIDs are the ids that an item of a delivery was given.
type GivenIDs struct {
	// LegID is 0 for an item without a leg.
	LegID int64 `json:"leg,omitempty"`
	// CallID is the leg's call as it was when the journal was written.
	CallID string `json:"call,omitempty"`
	// Formerly are calls that are one with CallID by now; only those whose ids
	// do not follow from deliveries, as all do since the journal is written.
	Formerly []string `json:"formerly,omitempty"`
	// Recordings are those that the leg wants, again only if their ids do not
	// follow from deliveries.
	Recordings []GivenRecording `json:"recordings,omitempty"`
}

// GivenRecording is the id of a recording, with what it is unique by within
// its account.
type GivenRecording struct {
	ID     string        `json:"id"`
	Kind   RecordingKind `json:"kind"`
	Source string        `json:"source"`
}

// JournalSegment is one object of the journal: the deliveries and audit entries
// that were stored since the one before.
type JournalSegment struct {
	// Number counts from 1, without gaps.
	Number int64
	// Previous is the SHA-256 of the segment before, in lower-case hex; empty
	// for the first.
	Previous string
	// At is when it was planned, to the millisecond.
	At time.Time
	// DeliveriesAfter and DeliveriesTo bound the ids of its deliveries: after <
	// id <= to. Deliveries is how many there are.
	DeliveriesAfter, DeliveriesTo, Deliveries int64
	// EntriesFrom and EntriesTo bound its audit entries: from <= seq < to.
	EntriesFrom, EntriesTo int64
	// SHA256 is that of the object, in lower-case hex, and Size its bytes. Empty
	// and 0: it is planned, and perhaps not in the vault yet.
	SHA256 string
	Size   int64
	// RetainUntil is until when it is promised to stay; zero: nothing is promised.
	RetainUntil time.Time
}

// JournalState is how far the journal is.
type JournalState struct {
	// Last is the last segment that is known to be in the vault; its Number is 0
	// if there is none.
	Last JournalSegment
	// Planned is the one after it, if somebody has begun it.
	Planned *JournalSegment
}
