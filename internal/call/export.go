package call

import (
	"encoding/json"
	"time"
)

// ExportState is where the job that makes a bundle stands.
type ExportState string

// The states of an export.
const (
	ExportWaiting  ExportState = "waiting"
	ExportBuilding ExportState = "building"
	ExportReady    ExportState = "ready"
	ExportFailed   ExportState = "failed"
	// ExportRemoved: taken away by somebody, or because its time was over.
	ExportRemoved ExportState = "removed"
)

// Export is a job that makes a bundle of calls with recordings and evidence.
type Export struct {
	ID    string
	State ExportState
	// Request is what is exported, by whom and why, as package export has it.
	Request json.RawMessage
	// Groups limit whoever asked for it.
	Groups []string
	// By is who asked, and Reason why.
	By, Reason string
	CreatedAt  time.Time
	// FinishedAt is when it was ready or failed, RemoveAt when it goes.
	FinishedAt, RemoveAt time.Time
	// Attempts counts the tries to make it.
	Attempts int
	// Done recordings of Total are dealt with.
	Done, Total int
	ExportMade
	// Error says why it failed, for people.
	Error string
}

// ExportMade is a bundle that is finished. In the vault it lies in pieces.
type ExportMade struct {
	Calls, Recordings, Missing, Altered int
	// Size of the bundle and of each piece but the last, in bytes.
	Size, PieceSize int64
	// ManifestSHA256 is in lower-case hex.
	ManifestSHA256 string
	// Prefix begins the keys of its pieces.
	Prefix string
}

// ExportFilter selects exports, newest first.
type ExportFilter struct {
	State ExportState
	// Groups, if there are any, are those to which who asked must be limited.
	Groups []string
	// Limit is the page size, 1 to MaxLimit; 0 means DefaultLimit.
	Limit  int
	Cursor string
}

// ExportStates lists every state, in the order of an export's life.
func ExportStates() []ExportState {
	return []ExportState{ExportWaiting, ExportBuilding, ExportReady, ExportFailed, ExportRemoved}
}
