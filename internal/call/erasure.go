package call

import "time"

// Erasure is what one person asked for: that all that is kept under their
// number goes, as soon as it can.
type Erasure struct {
	ID string
	// NumberHash is the number's keyed hash, in lower-case hex. The key is in
	// the database alone.
	NumberHash string
	// Number is emptied as soon as no row holds it any more.
	Number  string
	Reason  string
	AskedAt time.Time
	AskedBy string
	// Scanned is the last delivery that was looked through for the number.
	Scanned int64
	// FoundAt is when all had been; zero: not yet.
	FoundAt time.Time
	// NextAt is when it goes on; zero: it is done.
	NextAt     time.Time
	FinishedAt time.Time
	// Certificate is the object key of the last certificate, without its
	// extension; Certificates is how many there are.
	Certificate  string
	Certificates int
}

// ErasureReopening is what was found of an erasure that had been complete: calls
// turned out to be one with calls of it.
type ErasureReopening struct {
	At time.Time
	// CallIDs are the calls that they are parts of now.
	CallIDs []string
	// Certificate is the object key, without its extension, of the last one that
	// had been issued, which does not know of them.
	Certificate string
}

// ErasureKind says what an item of an erasure is.
type ErasureKind string

// The kinds of items. Ref of an item is a call's, recording's, delivery's,
// run's or export's id, or the number of a segment.
const (
	ErasedCall     ErasureKind = "call"
	ErasedAudio    ErasureKind = "audio"
	ErasedDelivery ErasureKind = "delivery"
	ErasedReport   ErasureKind = "report"
	// ErasedExport is a bundle that was made before, and not handed out yet.
	ErasedExport ErasureKind = "export"
	// ErasedJournal is a segment of the journal, by its number.
	ErasedJournal ErasureKind = "journal"
)

// ErasureKinds lists them in the order in which they are worked on.
func ErasureKinds() []ErasureKind {
	return []ErasureKind{ErasedAudio, ErasedReport, ErasedExport, ErasedCall, ErasedDelivery, ErasedJournal}
}

// ErasureState is what became of an item.
type ErasureState string

// The states of items.
const (
	ErasureDue  ErasureState = "due"
	ErasureKept ErasureState = "kept"
	ErasureDone ErasureState = "erased"
	// ErasureUntouched: nothing of it is the person's, and it is as it was.
	ErasureUntouched ErasureState = "untouched"
)

// ErasureItem is one thing that an erasure is about.
type ErasureItem struct {
	Kind  ErasureKind
	Ref   string
	State ErasureState
	// Until is when what is kept can go; zero: that is not known.
	Until time.Time
	// Why says why it is kept, for people.
	Why string
	// At is when it came to its state.
	At time.Time
}
