package call

import "time"

// ClaimOptions says which recordings a worker wants to claim.
type ClaimOptions struct {
	// Limit is how many at most, at least 1.
	Limit int
	// Lease is how long the claim holds unless it is renewed.
	Lease time.Duration
	// SkipHosts are hosts that are busy enough.
	SkipHosts []string
	// Rules are the filters of the retention rules, in their order, and RulesID
	// the Retention's ID: of each claim the first that matches its call is told.
	Rules   []Filter
	RulesID string
}

// LongestWait is how far ahead the next try of a pending recording lies at most,
// by whatever is learned of its account, its host asks for or is configured, with
// an hour in which clocks may differ.
const LongestWait = 6 * time.Hour

// Archiving is what is known of a recording once it lies in the vault.
type Archiving struct {
	ObjectKey string
	// Size is in bytes.
	Size int64
	// SHA256 is of the audio, in lower-case hex; StoredSHA256 of the object, if
	// that is another.
	SHA256       string
	StoredSHA256 string
	MediaType    string
	// Media is what the audio says of itself, its playing time included.
	Media Media
	Judgement
}

// QueueStats counts the recordings by what they wait for.
type QueueStats struct {
	// Pending are all that are wanted; Due those that could be tried now;
	// Leased those that a worker holds.
	Pending, Due, Leased      int64
	Archived, Absent, Refused int64
	// NextTryAt is when the next pending recording is due; zero if none is.
	NextTryAt time.Time
}

// CredentialsRejected is the Reason of recordings that were refused because
// the provider rejected the account's credentials: the one reason that new
// credentials undo.
const CredentialsRejected = "the provider rejected the account's credentials"
