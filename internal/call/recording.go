package call

import "time"

// RecordingKind says what a recording is a recording of.
type RecordingKind string

// The kinds of recordings.
const (
	Conversation     RecordingKind = "conversation"
	VoicemailMessage RecordingKind = "voicemail"
)

// RecordingState is where a recording stands on its way into the vault.
type RecordingState string

// The states of a recording.
const (
	// Pending: wanted, and tried until it is there or given up.
	Pending RecordingState = "pending"
	// Archived: in the vault.
	Archived RecordingState = "archived"
	// Absent: not offered within the waiting time; a later report that names
	// it wakes it.
	Absent RecordingState = "absent"
	// Refused: not tried again without a person: forbidden host, certainly
	// not audio, too large, credentials rejected.
	Refused RecordingState = "refused"
	// Expired: deleted, because its retention is over. While ExpiredAt is not
	// known, its object is being deleted, and may be there or not.
	Expired RecordingState = "expired"
	// Erased: deleted on request.
	Erased RecordingState = "erased"
)

// RecordingStates lists every state, in the order of a recording's life.
func RecordingStates() []RecordingState {
	return []RecordingState{Pending, Archived, Absent, Refused, Expired, Erased}
}

// Recording is one audio file that a call should have. It is unique by
// (Account, Kind, Source).
type Recording struct {
	ID       string
	CallID   string
	Account  string
	Provider Provider
	Kind     RecordingKind
	Source   string
	// Location is the URL as reported, when Source alone does not say where
	// to fetch. It may carry a signed query: never log it.
	Location string
	State    RecordingState
	// Reason says why a recording is absent or refused, for people.
	Reason string
	// ObjectKey is the key in the vault, chosen once, before the first PUT.
	ObjectKey string
	// Size is in bytes.
	Size int64
	// SHA256 is of the audio, in lower-case hex.
	SHA256 string
	// StoredSHA256 is of the object as it lies in the vault, in lower-case hex.
	StoredSHA256 string
	MediaType    string
	// AudioSeconds is the playing time, nil when it is not known.
	AudioSeconds *int
	// Media is what else the audio says of itself. It is not set in a Claim.
	Media      Media
	CreatedAt  time.Time
	ArchivedAt time.Time
	// VerifiedAt is when its object was last read whole and found to be as it
	// was archived; zero: not since it was put there.
	VerifiedAt time.Time
	// Rule is the retention rule that decides, as people read it; empty if none
	// does.
	Rule string
	// RetainUntil is the date promised; see Judgement. DueAt is when it may be
	// deleted. Zero: never.
	RetainUntil, DueAt time.Time
	// ExpiredAt is when it was deleted because its retention was over.
	ExpiredAt time.Time
	// Attempts counts the tries to fetch since the recording was wanted.
	Attempts  int
	NextTryAt time.Time
	LastError string
}

// Claim is a recording that a worker holds for a while: the lease. Whoever
// lost the lease changes nothing any more.
type Claim struct {
	Recording
	// LeaseToken is unique for each claim.
	LeaseToken string
	LeaseUntil time.Time
	// WantedAt is since when the recording has been waited for.
	WantedAt time.Time
	// Host is the host that the recording is fetched from.
	Host string
	// StartedAt is the start of the call, which dates the object key; zero if
	// unknown.
	StartedAt time.Time
	// EndedAt is the end of the call; zero if unknown.
	EndedAt time.Time
	// MissedAt is when the recording was last asked for and was not ready; zero
	// if never.
	MissedAt time.Time
	// CallKey is the call's key, kept with the object.
	CallKey string
	// RuleIndex is that of the retention rule that matches the call (see
	// ClaimOptions); -1 if none does.
	RuleIndex int
	// Judgement is what that rule says.
	Judgement Judgement
}
