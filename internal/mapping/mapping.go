// Package mapping says in data how a provider's reports are read: where each
// fact of a call stands, what the provider's words mean, how its times and
// durations are written, and how it signs. Package webhook reads reports by
// it, package config reads it from YAML. It holds no secret: those are the
// account's.
package mapping

import (
	"time"
)

// Mapping describes the reports of one provider. Its `yaml` tags are the keys.
type Mapping struct {
	// Description says whose reports these are and what is known of them, for
	// people.
	Description string `yaml:"description,omitempty"`

	// Reports are where a delivery holds its reports, tried in order: an object,
	// a list of them, or either as JSON text in a field. What stands beside the
	// first one found belongs to each report. Default: the delivery itself.
	Reports Paths `yaml:"reports,omitempty"`

	// Events decide what a report is about; the first that holds counts.
	Events []Event `yaml:"events,omitempty"`

	// Otherwise is what a report is that no event holds for. Default call: what
	// has a call id then is one.
	Otherwise EventKind `yaml:"otherwise,omitempty"`

	// Fields are where the facts stand.
	Fields Fields `yaml:"fields"`

	// Direction, Outcome, LiveState and HangupBy say what the provider's words
	// mean. Default: not told.
	Direction *Directions `yaml:"direction,omitempty"`
	Outcome   *Outcomes   `yaml:"outcome,omitempty"`
	LiveState *LiveStates `yaml:"live_state,omitempty"`
	HangupBy  *Sides      `yaml:"hangup_by,omitempty"`

	// Times say how times are written.
	Times Times `yaml:"times,omitempty"`

	// CountryCodes: phone numbers come with a country code, with or without +.
	// Default false: the account's region comes first. Danger: the same digits
	// may be a valid number either way.
	CountryCodes bool `yaml:"country_codes,omitempty"`

	// Nothing are further words that this provider sends for nothing, beside the
	// usual ones (none, null, NA, unknown, 0 and the like). Case does not count.
	Nothing []string `yaml:"nothing,omitempty"`

	// Recordings are where the audio files are named.
	Recordings Recordings `yaml:"recordings,omitempty"`

	// RecordingHosts are the account's recording_hosts where it gives none.
	RecordingHosts []string `yaml:"recording_hosts,omitempty"`

	// Omit are top-level fields that are not kept with the call, such as keys of
	// the provider's API. They stay in the delivery as it arrived.
	Omit []string `yaml:"omit,omitempty"`

	// Signature is how the provider signs. It is checked once the account has a
	// signature_key.
	Signature *Signature `yaml:"signature,omitempty"`
}

// EventKind is what a report is about.
type EventKind string

// The kinds of reports.
const (
	// Call: how a call, or one leg of it, went.
	Call EventKind = "call"
	// Live: the state of a call in progress.
	Live EventKind = "live"
	// RecordingReady: where the recording of a call is. Its times, durations
	// and status are the recording's, and are not the call's.
	RecordingReady EventKind = "recording"
	// Ignored: something else.
	Ignored EventKind = "ignored"
)

// Event decides that a report is of a kind.
type Event struct {
	// Is is the kind: call, live, recording or ignored.
	Is EventKind `yaml:"is"`
	// When are the conditions; all must hold.
	When Conditions `yaml:"when"`
}

// Conditions must all hold.
type Conditions []Condition

// OneOrMore lets a single one stand without brackets.
func (Conditions) OneOrMore() {}

// Condition is about the value of a field.
type Condition struct {
	// Field is the field; of several the first that says something.
	Field Paths `yaml:"field"`
	// In are the values with which it holds, NotIn those with which it does
	// not. Case does not count; word* stands for all that begin so. Danger: a
	// report without the field is not In, and is NotIn.
	In    Words `yaml:"in,omitempty"`
	NotIn Words `yaml:"not_in,omitempty"`
	// Present: whether the field says something at all.
	Present *bool `yaml:"present,omitempty"`
}

// Holds tells whether the condition holds for the field's value, empty if it
// says nothing.
func (c Condition) Holds(value string) bool {
	switch {
	case c.Present != nil:
		return *c.Present == (value != "")
	case len(c.In) > 0:
		return c.In.Has(value)
	}
	return !c.NotIn.Has(value)
}

// Fields are the facts of a call and where they stand.
type Fields struct {
	// CallID identifies the call; all that is said of it must carry it.
	// Required.
	CallID Field `yaml:"call_id"`
	// LegID identifies the leg, where a call has several. Default CallID: one
	// report fills in what another one of the same call did not say. Danger: a
	// field that only some of a leg's reports have makes two legs of it.
	LegID Field `yaml:"leg_id,omitempty"`
	// OtherIDs are ids to search by, each of them if it is there.
	OtherIDs Paths `yaml:"other_ids,omitempty"`

	// CustomerNumber and BusinessNumber (DID, virtual number) are phone numbers.
	CustomerNumber Field `yaml:"customer_number,omitempty"`
	BusinessNumber Field `yaml:"business_number,omitempty"`
	// AgentID, AgentName and AgentNumber are the agent who talked, or was rung.
	AgentID     Field `yaml:"agent_id,omitempty"`
	AgentName   Field `yaml:"agent_name,omitempty"`
	AgentNumber Field `yaml:"agent_number,omitempty"`
	// Group is the team, department or queue.
	Group    Field `yaml:"group,omitempty"`
	Campaign Field `yaml:"campaign,omitempty"`

	// StartedAt is the start of the call; RangAt when the agent's phone began to
	// ring, from which the wait counts; AnsweredAt when the two began to talk.
	StartedAt  Field `yaml:"started_at,omitempty"`
	RangAt     Field `yaml:"rang_at,omitempty"`
	AnsweredAt Field `yaml:"answered_at,omitempty"`
	EndedAt    Field `yaml:"ended_at,omitempty"`
	// EventAt is the moment of a live event. Default: when it came.
	EventAt Field `yaml:"event_at,omitempty"`

	// WaitSeconds, TalkSeconds and TotalSeconds are durations; see Field.Unit.
	WaitSeconds  Field `yaml:"wait_seconds,omitempty"`
	TalkSeconds  Field `yaml:"talk_seconds,omitempty"`
	TotalSeconds Field `yaml:"total_seconds,omitempty"`

	HangupCause Field `yaml:"hangup_cause,omitempty"`
	Cost        Field `yaml:"cost,omitempty"`
}

// Field is where one fact stands. A path or list of paths alone is From.
type Field struct {
	// From are paths, tried in order: the first that says something counts.
	From Paths `yaml:"from,omitempty"`
	// Inbound and Outbound are tried before From for calls of that direction,
	// Neither where the word for it is one of Directions.Neither.
	Inbound  Paths `yaml:"inbound,omitempty"`
	Outbound Paths `yaml:"outbound,omitempty"`
	Neither  Paths `yaml:"neither,omitempty"`
	// Value is the fact itself where no path says something.
	Value string `yaml:"value,omitempty"`
	// Unit is that of a duration's plain numbers: seconds (default), minutes or
	// milliseconds. 00:01:30 and 01:30 are read whatever the unit.
	Unit Unit `yaml:"unit,omitempty"`
}

// Shorthand is the key that a value without keys belongs to.
func (Field) Shorthand() string { return "from" }

// IsZero tells whether nothing says where the fact stands.
func (f Field) IsZero() bool {
	return len(f.From)+len(f.Inbound)+len(f.Outbound)+len(f.Neither) == 0 && f.Value == ""
}

// Unit is that of a number.
type Unit string

// The units of durations.
const (
	Seconds      Unit = "seconds"
	Minutes      Unit = "minutes"
	Milliseconds Unit = "milliseconds"
)

// Times say how a provider writes times.
type Times struct {
	// Formats are tried in order: auto (seconds, milli- and microseconds since
	// 1970 by their size, and dates such as 2024-12-30 12:43:19), unix, unix_ms,
	// or a layout of Go such as 02/01/2006 15:04:05. Default auto.
	Formats Formats `yaml:"formats,omitempty"`
	// Zone is that of times without one. Default: the account's time_zone.
	Zone string `yaml:"zone,omitempty"`
}

// Formats are ways to write a time.
type Formats []string

// OneOrMore lets a single one stand without brackets.
func (Formats) OneOrMore() {}

// The formats that are no layouts.
const (
	Auto   = "auto"
	Unix   = "unix"
	UnixMS = "unix_ms"
)

// Recordings are the audio files that a report may name.
type Recordings []Recording

// OneOrMore lets a single one stand without brackets.
func (Recordings) OneOrMore() {}

// Recording is one audio file. A path or list of paths alone is URL.
type Recording struct {
	// URL is where its address stands, or the address itself with fields in
	// braces, as https://example.org/audio/{RecordingSid}.mp3: what stands in
	// them is escaped, and the host must be written out. Credentials do not
	// belong here but to the account.
	URL Paths `yaml:"url"`
	// When are conditions without which there is none; all must hold.
	When Conditions `yaml:"when,omitempty"`
	// VoicemailWhen are conditions with which it is a voicemail; all must hold.
	VoicemailWhen Conditions `yaml:"voicemail_when,omitempty"`
	// StartedAt is when the recording began: the start of a call of which
	// nothing better is known.
	StartedAt Field `yaml:"started_at,omitempty"`
	// HTTPS asks for https where the provider names http. Default false: http
	// is refused.
	HTTPS bool `yaml:"https,omitempty"`
}

// Shorthand is the key that a value without keys belongs to.
func (Recording) Shorthand() string { return "url" }

// Signature is how a provider signs its deliveries.
type Signature struct {
	// Scheme is hmac (default), twilio or plivo_v3. The keys below are hmac's.
	Scheme Scheme `yaml:"scheme,omitempty"`
	// Header holds the signature. Several, separated by commas, are tried each.
	Header string `yaml:"header,omitempty"`
	// Hash is sha1, sha256 (default) or sha512.
	Hash string `yaml:"hash,omitempty"`
	// Encoding is hex (default) or base64.
	Encoding string `yaml:"encoding,omitempty"`
	// Prefix stands before the signature, such as sha256=.
	Prefix string `yaml:"prefix,omitempty"`
	// Signed is what is signed: {body} (default) is the raw body, {timestamp}
	// what TimestampHeader holds, the rest stands for itself.
	Signed string `yaml:"signed,omitempty"`
	// TimestampHeader holds the moment of signing, in seconds or milliseconds
	// since 1970 or as RFC 3339 has it. It may be Header itself.
	TimestampHeader string `yaml:"timestamp_header,omitempty"`
	// TimestampPrefix stands before the moment, which is then one of several
	// parts separated by commas, as in t=1700000000,v1=5257a8….
	TimestampPrefix string `yaml:"timestamp_prefix,omitempty"`
	// Window is how far that may be from now, either way: 1s to 24h. Default 5m.
	Window time.Duration `yaml:"window,omitempty"`
}

// Scheme is a way to sign.
type Scheme string

// The schemes.
const (
	HMAC    Scheme = "hmac"
	Twilio  Scheme = "twilio"
	PlivoV3 Scheme = "plivo_v3"
)

// NeedsURL tells whether the signature covers the address that was called, so
// that it must be known from the outside.
func (s *Signature) NeedsURL() bool { return s.Scheme == Twilio || s.Scheme == PlivoV3 }

// DefaultWindow is how old a signature may be if nothing is said.
const DefaultWindow = 5 * time.Minute
