// Package call holds the words that all rooms of Callvault share: deliveries,
// legs, calls, recordings, live calls and filters, and the rules by which legs
// become a call. It uses the standard library only and touches neither network
// nor database, so each rule can be tested and checked again on its own.
package call

import (
	"time"
)

// Provider names the kind of telephony provider behind an account.
type Provider string

// The providers whose reports Callvault understands.
const (
	CallerDesk Provider = "callerdesk"
	TeleCMI    Provider = "telecmi"
	// Mapped is any other provider, whose reports a mapping says how to read.
	Mapped Provider = "mapped"
)

// Direction says who dialled: the customer (inbound) or an agent (outbound).
type Direction string

// The two directions. The empty Direction means the provider did not say.
const (
	Inbound  Direction = "inbound"
	Outbound Direction = "outbound"
)

// Outcome (disposition) is how a call, or one leg of it, ended.
type Outcome string

// The outcomes of a call. Answered, missed and abandoned are what reports are
// built of; the others say more about why a call was not answered.
const (
	Answered  Outcome = "answered"
	Missed    Outcome = "missed"
	Abandoned Outcome = "abandoned"
	Busy      Outcome = "busy"
	Rejected  Outcome = "rejected"
	Cancelled Outcome = "cancelled"
	Failed    Outcome = "failed"
	Voicemail Outcome = "voicemail"
	Unknown   Outcome = "unknown"
)

// Outcomes lists every outcome, in the order in which reports show them.
func Outcomes() []Outcome {
	return []Outcome{Answered, Missed, Voicemail, Busy, Rejected, Failed,
		Abandoned, Cancelled, Unknown}
}

// Agent is a person who talks to customers, as far as a report names them.
// Empty fields are unknown.
type Agent struct {
	// ID is the provider's id of the agent, without the account's suffix.
	ID string `json:"id,omitempty"`
	// Name is the name as the provider spells it.
	Name string `json:"name,omitempty"`
	// Number is the phone on which the agent was rung, in E.164 if it is a
	// valid number, else its digits as they came.
	Number string `json:"number,omitempty"`
	// Known: a Roster took the agent for a person, and gave the person's name,
	// which is unique. Never of what is stored.
	Known bool `json:"known,omitempty"`
}

// IsZero reports whether nothing is known of the agent.
func (a Agent) IsZero() bool { return a == Agent{} }

// Call is one conversation: what people search for and what reports count. It
// is a pure function of the set of its legs (see Merge), but for ID, which is
// given once and never changes. Zero times and nil durations are unknown.
type Call struct {
	ID       string
	Account  string
	Provider Provider
	// Key is the value of the best identifier that the provider gives the
	// conversation.
	Key string
	// KeyKind says which identifier Key is.
	KeyKind   KeyKind
	Direction Direction
	Outcome   Outcome
	// Status is the provider's own word for the outcome.
	Status         string
	CustomerNumber string
	// BusinessNumber is the DID (virtual number) that was called or shown.
	BusinessNumber string
	Agent          Agent
	// Offers are the agents who were rung and did not answer, once for each
	// time, in the order of ringing.
	Offers []Agent
	// Group is the team, call group or queue.
	Group      string
	Campaign   string
	StartedAt  time.Time
	AnsweredAt time.Time
	EndedAt    time.Time
	// WaitSeconds is how long the customer waited for an agent; its exact
	// meaning per provider stands at Merge.
	WaitSeconds  *int
	TalkSeconds  *int
	TotalSeconds *int
	// HangupCause is the provider's reason or the Q.850 cause number.
	HangupCause string
	// HangupBy is "agent", "customer" or empty.
	HangupBy string
	// Cost is in the provider's units, as sent.
	Cost      string
	LegsCount int
}
