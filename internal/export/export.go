// Package export makes bundles: ZIP files that hold calls with their
// recordings, what the providers delivered, and the evidence that nothing of it
// was altered. It also checks them, with neither database nor network, for whoever
// receives one.
//
// A bundle is built in a work folder that survives the process: what was
// copied before a kill is checked against its hash and kept, and the rest is
// added. Nothing is held in memory but the ZIP's list of files.
package export

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// Format names the layout of bundles that this version makes and checks.
const Format = "callvault-bundle-1"

// The files at the top of a bundle. Audio lies below audio/, and audio whose
// bytes are not those that were archived below altered/.
const (
	ReadmeFile     = "README.txt"
	CallsCSVFile   = "calls.csv"
	CallsFile      = "calls.jsonl"
	DeliveriesFile = "deliveries.jsonl"
	CustodyFile    = "custody.jsonl"
	MissingFile    = "missing.csv"
	SumsFile       = "SHA256SUMS"
	ManifestFile   = "manifest.json"
	SignatureFile  = "manifest.json.sig"
)

// MaxCalls bounds how many calls one request may name one by one.
const MaxCalls = 5_000

// Request says what is exported, for whom and why.
type Request struct {
	// Filter selects calls, Calls names them. Exactly one is given.
	Filter *call.Filter `json:"filter,omitempty"`
	Calls  []string     `json:"calls,omitempty"`
	// Groups limit whoever asks; empty: to nothing.
	Groups []string    `json:"groups,omitempty"`
	Reason string      `json:"reason"`
	By     audit.Actor `json:"by"`
}

// Check refuses a request that cannot be meant.
func (r *Request) Check() error {
	switch {
	case r.Filter == nil && len(r.Calls) == 0:
		return call.Errorf(call.Invalid, "say what to export: a filter or calls")
	case r.Filter != nil && len(r.Calls) > 0:
		return call.Errorf(call.Invalid, "give either a filter or calls, not both")
	case len(r.Calls) > MaxCalls:
		return call.Errorf(call.Invalid, "at most %d calls can be named; use a filter", MaxCalls)
	case r.Reason != "" && call.CheckReason(r.Reason) != nil:
		return call.CheckReason(r.Reason)
	case r.Filter != nil:
		return r.Filter.Check()
	}
	return nil
}

// maySee reports whether whoever asks may see a call of this group.
func (r *Request) maySee(group string) bool {
	return len(r.Groups) == 0 || slices.Contains(r.Groups, group)
}

// filter is what the store is asked for; page and order do not count.
func (r *Request) filter() call.Filter {
	f := *r.Filter
	f.Groups, f.Sort, f.Limit, f.Cursor = r.Groups, "", 0, ""
	return f
}

// Store is what an export asks of the database.
type Store interface {
	EachCall(ctx context.Context, f call.Filter, do func(call.CallWithRecordings) error) error
	Call(ctx context.Context, id string) (call.CallDetail, error)
	Recording(ctx context.Context, id string) (call.Recording, error)
	Delivery(ctx context.Context, id int64) (call.Delivery, error)
}

// Vault gives the audio.
type Vault interface {
	// Open reads the object from its beginning. It fails when there is no
	// such object.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// Gone tells whether an error of Open says that there is no such object.
	Gone(err error) bool
}

// Options are what a bundle is made of. All are required but ID and Progress.
type Options struct {
	Request Request
	// ID names the bundle; empty: it is given one.
	ID string
	// Dir is the work folder, of this export alone. It is made if missing,
	// and what an earlier try left there is gone on with; it is left behind.
	Dir   string
	Store Store
	Vault Vault
	Log   Log
	Key   *audit.Key
	// Zone is where an account's providers live; names of files have its time.
	Zone func(account string) *time.Location
	// Program is the version that makes the bundle.
	Program string
	Now     func() time.Time
	Logger  *slog.Logger
	// Progress hears how many of how many recordings are dealt with.
	Progress func(done, total int)
}

// Result is what became of an export.
type Result struct {
	// ID is the bundle's.
	ID         string `json:"id"`
	Calls      int    `json:"calls"`
	Recordings int    `json:"recordings"`
	// Missing counts what missing.csv lists, and so is not among Recordings;
	// Altered those of them whose bytes are not those that were archived, and
	// Unproved those that the audit log does not say were archived as they are.
	Missing  int `json:"missing"`
	Altered  int `json:"altered"`
	Unproved int `json:"unproved"`
	// File is the bundle, in the work folder.
	File string `json:"file"`
	Size int64  `json:"size"`
	// ManifestSHA256 is in lower-case hex; the signature speaks of it.
	ManifestSHA256 string `json:"manifest_sha256"`
}
