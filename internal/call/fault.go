package call

import "time"

// FaultKind is what is wrong with something that is kept.
type FaultKind string

// The kinds of faults in the vault. Where names an object key.
const (
	// FaultMismatch: an object has other bytes than those that were kept.
	FaultMismatch FaultKind = "mismatch"
	// FaultMissing: an object that must be there is not.
	FaultMissing FaultKind = "missing"
	// FaultUnreadable: an object is there, and the vault does not give its
	// bytes.
	FaultUnreadable FaultKind = "unreadable"
	// FaultUnknown: nothing says why an object is there.
	FaultUnknown FaultKind = "unknown"
	// FaultWeaker: an object is locked for less long than was promised, or not
	// held.
	FaultWeaker FaultKind = "weaker"
	// FaultHeld: an object is under a legal hold in the vault that nobody has
	// placed, or whose lifting was undone.
	FaultHeld FaultKind = "held"
	// FaultVersions: somebody has put something over an object, or hidden it.
	FaultVersions FaultKind = "versions"
)

// The kinds of faults in the database.
const (
	// FaultCall: a call is not what its legs give. Where is "call/<id>".
	FaultCall FaultKind = "call"
	// FaultLeg: a leg is not what its deliveries give. Where is
	// "leg/<account>/<leg key>".
	FaultLeg FaultKind = "leg"
	// FaultDelivery: a delivery's body is not the one that came, or what became
	// of it is not what it gives; or no delivery has a body. Where is
	// "delivery/<id>" or "body/<SHA-256>".
	FaultDelivery FaultKind = "delivery"
	// FaultIdentifier: an identifier leads to a call that has it not, and would
	// take legs there. Where is "identifier/<call id>".
	FaultIdentifier FaultKind = "identifier"
	// FaultRedirect: the former id of a call that became part of another does not
	// lead there. Where is "redirect/<former id>".
	FaultRedirect FaultKind = "redirect"
)

// The kinds of faults in the evidence.
const (
	// FaultLog: an entry of the audit log, its hashes, the head over all of them,
	// the key, or since when which version reads what comes, is not what it was, or
	// rows promise less than an entry says. Where is "log/<seq>", "log/head",
	// "log/key" or "log/versions".
	FaultLog FaultKind = "log"
	// FaultSeal: a seal is not signed by the key of the log, or the log is not
	// the one that it sealed. Where is its object key.
	FaultSeal FaultKind = "seal"
	// FaultRecording: the row of a recording is not what the log says. Where is
	// "recording/<id>". The others are the same of a report's run, a mail, a legal
	// hold with the calls under it, an erasure, a user, a token and an export:
	// "run/<id>", "user/<name>" and so on; "held/<recording>" of the list of objects
	// under holds, "suppressed/<n>" of that of erased numbers, "session/<user>" of
	// who is logged in.
	FaultRecording FaultKind = "recording"
	FaultRun       FaultKind = "run"
	FaultMail      FaultKind = "mail"
	FaultHold      FaultKind = "hold"
	FaultErasure   FaultKind = "erasure"
	FaultUser      FaultKind = "user"
	FaultToken     FaultKind = "token"
	FaultExport    FaultKind = "export"
	// FaultAccount: whether an account's recordings wait is not what the log says.
	// Where is "account/<name>".
	FaultAccount FaultKind = "account"
	// FaultReport: since when a report is known is not what the log says. Where is
	// "report/<name>".
	FaultReport FaultKind = "report"
	// FaultSegment: the row of a segment of the journal, or of what lies beside it,
	// is not what the log says. Where is "journal/<number>", or "journal/objects"
	// for what belongs to no segment.
	FaultSegment FaultKind = "segment"
	// FaultJournal: a delivery or an entry of the log is not what the journal in
	// the vault has, or a segment does not fit to the log or to the one before.
	// Where is "delivery/<id>", "log/<seq>" or "journal/<number>".
	FaultJournal FaultKind = "journal"
	// FaultFault: the row of a fault is not what the log told of it. Where is
	// "fault/<id>".
	FaultFault FaultKind = "fault"
	// FaultPart: a part of the check could not be done to its end, for a row that
	// it needs cannot be read. Where is "verify/<part>".
	FaultPart FaultKind = "part"
)

// FaultKinds lists every kind.
func FaultKinds() []FaultKind {
	return []FaultKind{
		FaultMismatch, FaultMissing, FaultUnreadable, FaultUnknown, FaultWeaker, FaultHeld, FaultVersions,
		FaultCall, FaultLeg, FaultDelivery, FaultIdentifier, FaultRedirect, FaultLog, FaultSeal, FaultRecording, FaultRun, FaultMail, FaultHold, FaultErasure, FaultUser, FaultToken,
		FaultExport, FaultAccount, FaultReport, FaultSegment, FaultJournal, FaultFault, FaultPart,
	}
}

// Fault is one thing that is not as it was kept. At most one of each kind and
// place is open.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Where names the thing: an object key, or a row.
	Where string `json:"where"`
	// What says for people what is wrong with it. It holds no numbers or names
	// of people.
	What string `json:"what"`
}

// Checked is what came of looking at some of what is kept.
type Checked struct {
	// Where are the things that were looked at, as Fault.Where names them, and
	// Kinds what was looked for.
	Where []string
	Kinds []FaultKind
	// Faults are what is wrong with them; of one thing there may be several.
	Faults []Fault
	// Notices are what only looks wrong, for a reason that What gives.
	Notices []Fault
	// Next is where to go on, empty after the last.
	Next string
}

// CheckOptions say what of the database is checked, and how.
type CheckOptions struct {
	// From and To bound the calls' starts and the deliveries' receipt: From <=
	// t < To. Zero: no bound.
	From, To time.Time
	// Decode reads a delivery by today's decoder, and reports false for one
	// whose account it does not know.
	Decode func(*Delivery) bool
	// KeptSince is since when all deliveries are kept; zero: all that ever came.
	KeptSince time.Time
	// ReadSince is since when this version of the program has been reading what
	// comes. What was read before may have been read otherwise, by right.
	ReadSince time.Time
	// Verifier is the public half of the key with which this machine signs the
	// audit log; empty: it has none.
	Verifier string
}

// KeptObject is what must lie in the vault under a key.
type KeptObject struct {
	Key string
	// Size is in bytes.
	Size int64
	// SHA256 is in lower-case hex; empty where only the vault knows it.
	SHA256 string
	// AudioSHA256 is that of the audio, of a recording.
	AudioSHA256 string
	// RecordingID is empty for what is no recording.
	RecordingID string
	// RetainUntil and Hold are what was promised of its protection.
	RetainUntil time.Time
	Hold        bool
	// HoldMoving: the hold is being set or lifted just now, so that the object
	// may have it or not.
	HoldMoving bool
	// RunID is the run of a report's file; empty for what is none. Going: it is
	// just being deleted, or put, so it may be there, or not.
	RunID string
	Going bool
	// Why says for people why it may not be there though it should be, or may be
	// there though nothing needs it; empty: there is nothing to say.
	Why string
	// Unreadable says what of its row cannot be read, so that nobody knows what was
	// kept; empty if all can.
	Unreadable string
}

// KeyedRecording is a recording that has an object key, with what legal holds
// want of its object.
type KeyedRecording struct {
	Recording
	// Held: a hold keeps its call. HoldMoving: the vault has not been told yet.
	Held, HoldMoving bool
	// Unreadable says what of its row cannot be read, empty if all can. Only ID,
	// State and ObjectKey are given then.
	Unreadable string
}

// FoundFault is a fault as it is kept: until it is looked for and not found any
// more, it is open.
type FoundFault struct {
	Fault
	ID string
	// FirstSeen and LastSeen are when it was found first and last.
	FirstSeen, LastSeen time.Time
	// ClosedAt is when it was not found any more; zero while it is open.
	ClosedAt time.Time
}

// FaultFilter selects faults, the last found first. Empty fields select all.
type FaultFilter struct {
	Kind  FaultKind
	State AlertState
	// Limit is the page size, 1 to MaxLimit; 0 means DefaultLimit.
	Limit  int
	Cursor string
}

// Scrub is how far a pass over everything is.
type Scrub struct {
	// BeganAt is when the pass began.
	BeganAt time.Time
	// Part is what is being checked, and Next where to go on with it; both
	// empty: the pass is over.
	Part, Next string
	// Done and Total are how much of the pass is done, in any unit; Total is as
	// it was when the pass began.
	Done, Total int64
}
