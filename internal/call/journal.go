package call

import (
	"encoding/json"
	"fmt"
	"time"
)

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
	// LegFacts is the leg as its row has it, if a number was erased from it:
	// what was delivered does not tell it any more. CallID, Formerly and
	// Recordings are then all that there are, as they are in the rows.
	LegFacts json.RawMessage `json:"leg_facts,omitempty"`
}

// GivenRecording is the id of a recording, with what it is unique by within
// its account.
type GivenRecording struct {
	ID     string        `json:"id"`
	Kind   RecordingKind `json:"kind"`
	Source string        `json:"source"`
	// CreatedAt and Host are given only for those of an erased leg.
	CreatedAt time.Time `json:"created_at,omitzero"`
	Host      string    `json:"host,omitempty"`
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
	// Revision says which of its objects this is: 0 is the one that was written
	// first; each that took its place has the next number.
	Revision int64
	// Replaces is, in one that was written again, the SHA-256 of the object whose
	// place it took. The rows do not have it.
	Replaces string
}

// SegmentKey is the key of a revision of a segment in the vault.
func SegmentKey(number, revision int64) string {
	if revision == 0 {
		return fmt.Sprintf("journal/%010d.jsonl.zst", number)
	}
	return fmt.Sprintf("journal/%010d.r%d.jsonl.zst", number, revision)
}

// AgedSegment is a segment that holds requests, and whose own term may be over.
type AgedSegment struct {
	JournalSegment
	// BlockedBy says for people what in the vault keeps it though its term was
	// over, and BlockedUntil when that is asked again.
	BlockedBy    string
	BlockedUntil time.Time
	// HeldBy is the name of a hold on a call that it tells of; empty if there is
	// none.
	HeldBy string
}

// SegmentObject is an object of a segment that does not count any more.
type SegmentObject struct {
	Number, Revision int64
	ObjectKey        string
	SHA256           string
	Size             int64 // bytes
	// Until is when the vault's lock on it ends, as far as is known.
	Until time.Time
}

// JournalRewrite is what the audit log says of a segment that was written again
// with something less.
type JournalRewrite struct {
	Number    int64  `json:"number"`
	Revision  int64  `json:"revision"`
	OldSHA256 string `json:"old_sha256"`
	SHA256    string `json:"sha256"`
	Size      int64  `json:"size"` // bytes
	// Deliveries is how many it still holds.
	Deliveries int64 `json:"deliveries"`
	// Why is "erasure/<id>" or RewrittenByTerm.
	Why string `json:"why"`
}

// RewrittenByTerm is why a segment was written again without requests whose
// term was over.
const RewrittenByTerm = "term"

// SegmentKept is what keeps a segment in the vault though its own term is over.
type SegmentKept struct {
	Number int64  `json:"number"`
	KeptBy string `json:"kept_by"`
	// Until is when the lock ends that keeps it; zero: that is not known.
	Until time.Time `json:"until,omitzero"`
	// Again is when it is tried again.
	Again time.Time `json:"again,omitzero"`
}

// JournalState is how far the journal is.
type JournalState struct {
	// Last is the last segment that is known to be in the vault; its Number is 0
	// if there is none.
	Last JournalSegment
	// Planned is the one after it, if somebody has begun it.
	Planned *JournalSegment
	// Erased is how often something was erased from what the journal reads.
	Erased int64
}
