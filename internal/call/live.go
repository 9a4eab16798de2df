package call

import "time"

// LiveState is what a call in progress is doing.
type LiveState string

// The states of a live call, in the order in which a call goes through them.
const (
	Ringing   LiveState = "ringing"
	Talking   LiveState = "answered"
	HungUp    LiveState = "hangup"
	LiveOther LiveState = "unknown"
)

// LiveCall is a call in progress, as the provider's live events tell it. It is
// replaced by its Call when the report arrives.
type LiveCall struct {
	Account string
	// Key is the call's key, as the report will give it.
	Key Key
	// LegKey is the key of the leg that the event is about.
	LegKey         string
	Direction      Direction
	State          LiveState
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
