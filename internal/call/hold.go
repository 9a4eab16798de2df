package call

import (
	"strings"
	"time"
)

// Hold is a legal case that keeps calls, with all that is known of them, from
// being deleted, whatever retention or an erasure says.
type Hold struct {
	ID string `json:"id"`
	// Name is how people speak of the case. It is unique for good: a released
	// hold keeps its name.
	Name string `json:"name"`
	// Reason says why the calls are kept, for people.
	Reason string `json:"reason"`
	// CallIDs are the calls that were named when it was placed, Filter the
	// search by which it was placed: one of the two.
	CallIDs []string `json:"call_ids,omitempty"`
	Filter  *Filter  `json:"filter,omitempty"`
	// Expanded is Filter as Roster.Expand made it when it was last looked.
	Expanded *Filter `json:"expanded,omitempty"`
	// Until: a call that is first heard of from then on is not taken in, even
	// if Filter matches; zero: all are. It does not end the hold.
	Until time.Time `json:"until,omitzero"`
	// TwoPerson: releasing it needs two people, whatever the configuration says
	// later.
	TwoPerson bool      `json:"two_person"`
	PlacedAt  time.Time `json:"placed_at"`
	PlacedBy  string    `json:"placed_by"`
	// FilledAt is when all calls were last compared with Filter; zero: they are
	// still being.
	FilledAt time.Time `json:"-"`
	// Asked is the request to release it that waits for a second person.
	Asked *HoldRelease `json:"asked,omitempty"`
	// Released is how it ended; nil: it is in force.
	Released *HoldRelease `json:"released,omitempty"`
}

// HoldRelease is who ended a hold, or asked for it, when and why.
type HoldRelease struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// maxHoldName bounds, in characters, what a case is called.
const maxHoldName = 100

// Check refuses a hold by whose name it could not be found again, without a
// reason, or with a filter that nobody can have meant. All errors are Invalid.
func (h *Hold) Check() error {
	if n := len([]rune(h.Name)); n == 0 || n > maxHoldName || strings.TrimSpace(h.Name) != h.Name || !IsLine(h.Name) || strings.Contains(h.Name, "/") {
		return Errorf(Invalid, "name must have 1 to %d printable characters, no / and no spaces around it", maxHoldName)
	}
	if err := CheckReason(h.Reason); err != nil || h.Filter == nil {
		return err
	}
	return h.Filter.Check()
}

// MaxReason bounds, in bytes, why something is done.
const MaxReason = 1000

// CheckReason refuses, with an Invalid error, a reason that says nothing, or is
// not one line: it is kept for good, and read in lists.
func CheckReason(reason string) error {
	if strings.TrimSpace(reason) == "" || len(reason) > MaxReason || !IsLine(reason) {
		return Errorf(Invalid, "reason must say why, on one line of at most %d bytes", MaxReason)
	}
	return nil
}

// InForce reports whether the hold keeps its calls.
func (h *Hold) InForce() bool { return h.Released == nil }

// settleTime is how long after Until a call that was heard of before may still
// be on its way into the database, the clocks' differences included.
const settleTime = 10 * time.Minute

// Follows reports whether calls may still come under the hold by its filter.
func (h *Hold) Follows() bool {
	return h.InForce() && h.Filter != nil && (h.Until.IsZero() || h.FilledAt.Before(h.Until.Add(settleTime)))
}

// HoldStats is what a hold keeps.
type HoldStats struct {
	Calls int64 `json:"calls"`
	// Recordings are those in the vault, Bytes their size.
	Recordings int64 `json:"recordings"`
	Bytes      int64 `json:"bytes"`
	// NotPushed are recordings in the vault whose objects do not have the legal
	// hold yet.
	NotPushed int64 `json:"not_pushed"`
}

// HeldObject is an object in the vault and the legal hold that it should have.
type HeldObject struct {
	RecordingID string
	Key         string
	// Hold: it is to be set; else it is to be lifted.
	Hold bool
}
