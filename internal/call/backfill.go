package call

import "time"

// Told says what a row of a provider's call list would tell that is not known.
type Told struct {
	// CallID is the call that the row is about, empty if it is a new one.
	CallID string
	// Fills: it says more of that call than is known, or names a recording.
	Fills bool
}

// ListedRow is a row as a provider's call list had it.
type ListedRow struct {
	Account string
	// Key is the leg key of the row.
	Key string
	// Day is that of its start in the account's zone, 2006-01-02.
	Day string
	At  time.Time
	// List is the list that it stands in.
	List string
	// CallID is the call that it is about; empty if it could not be taken in.
	CallID string
	// Named: it names a recording. Recorded: it says that there is one.
	Named, Recorded bool
}

// ListDay says how the list of one day was last read.
type ListDay struct {
	Account string
	// Day is in the account's zone, 2006-01-02.
	Day    string
	ReadAt time.Time
	// Error says why it could not be read to its end; empty if it was.
	Error string
}

// Backfill is one reading of a provider's call list.
type Backfill struct {
	Account string `json:"account"`
	// From and To bound the calls' starts; From is the beginning of a day.
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	// Listed counts the rows; each is one of the others.
	Listed int `json:"listed"`
	// New rows are about calls that were not there.
	New int `json:"new"`
	// Filled rows said more of a call than was known.
	Filled int `json:"filled"`
	// Known rows said nothing new.
	Known int `json:"known"`
	// Unreadable rows are kept as deliveries.
	Unreadable int `json:"unreadable"`
	// Error says why the list could not be read to its end; what was read is
	// taken in.
	Error string `json:"error"`
}

// BackfillState is where an account's scheduled backfill stands.
type BackfillState struct {
	// Last is the last one that ended; nil: none has.
	Last *Backfill
	// RunningSince is when the one began that runs now; zero: none does.
	RunningSince time.Time
	// NextAt is when the next one is due.
	NextAt time.Time
}

// Reason says why the provider's list, the deliveries, the calls and the vault
// differ.
type Reason string

// The reasons.
const (
	// NotDelivered: the list has the call, and no webhook brought it.
	NotDelivered Reason = "not_delivered"
	// NotTaken: the list has the call, and it is not among the calls: its row
	// could not be read, or the call is deleted.
	NotTaken Reason = "not_taken"
	// NoBackfill: the account's provider cannot be asked for its list.
	NoBackfill Reason = "no_backfill"
	// NotRead: the day's list was not read, or not to its end.
	NotRead Reason = "not_read"
	// NotListed: a webhook brought the call, and the list lacks it.
	NotListed Reason = "not_listed"
	// NotNamed: there was talk, and no recording is named.
	NotNamed Reason = "not_named"
	// NotArchivedYet: the recording is being waited for.
	NotArchivedYet Reason = "pending"
	// RecordingAbsent: the provider did not offer it in time.
	RecordingAbsent Reason = "absent"
	// RecordingRefused: it is not tried again without a person.
	RecordingRefused Reason = "refused"
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{NoBackfill, NotRead, NotDelivered, NotTaken, NotListed, NotNamed, NotArchivedYet, RecordingAbsent, RecordingRefused}
}

// Difference is one thing that one place has and another lacks.
type Difference struct {
	Reason Reason
	CallID string
	// Key is the call's key, or the row's.
	Key string
	At  time.Time
	// RecordingID is set for what is about a recording.
	RecordingID string
	// Detail says more, for people.
	Detail string
}

// ReconciliationFilter selects one day of one account.
type ReconciliationFilter struct {
	Account string
	// Day is the day's name in the account's zone, 2006-01-02; From and To are
	// when it begins and ends.
	Day      string
	From, To time.Time
	// Limit bounds the differences that are listed.
	Limit int
}

// Reconciliation compares one day of one account in four places: the
// provider's list, the deliveries, the calls and the vault.
type Reconciliation struct {
	// List is how the day's list was last read; nil: never.
	List *ListDay
	// Listed counts the rows of the list, Calls the calls, Delivered those that
	// webhooks or imports told of.
	Listed, Calls, Delivered int64
	// Recordings counts those of the day's calls by their state.
	Recordings map[RecordingState]int64
	// Counts are of all differences, Differences the first of them.
	Counts      map[Reason]int64
	Differences []Difference
}
