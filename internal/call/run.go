package call

import (
	"slices"
	"strings"
	"time"
)

// RunState is how far a run has come.
type RunState string

// The states of a run.
const (
	RunBuilding RunState = "building"
	RunBuilt    RunState = "built"
	RunFailed   RunState = "failed"
)

// Run is one report for one period: unique by (Report, PeriodFrom,
// PeriodTo).
type Run struct {
	ID     string
	Report string
	// PeriodFrom and PeriodTo bound the period: from <= t < to.
	PeriodFrom, PeriodTo time.Time
	// Zone is the IANA name of the report's time zone.
	Zone  string
	State RunState
	// Revision counts from 1.
	Revision int
	// AsOf is the moment whose knowledge the report shows.
	AsOf time.Time
	// InputHash is the SHA-256 of the frozen input, in lower-case hex.
	InputHash string
	// Files are those of all revisions; see At.
	Files []RunFile
	// MailRevision is the newest revision that is mailed also to those who have
	// an earlier one, for a headline figure moved; 0: none is.
	MailRevision int
	// KnownDeliveries is the delivery up to which the calls of the period are
	// known to be as the newest revision has them; 0: nobody knows.
	KnownDeliveries int64
	// LookedAt is the last time of the report's schedule at which it was looked
	// whether calls have changed; zero: it never was.
	LookedAt time.Time
	// RetainUntil is until when the files are promised to stay in the vault;
	// zero: nothing is promised.
	RetainUntil time.Time
	// FilesExpiringAt is when the files, whose term was over, began to be
	// deleted, and FilesExpiredAt when they were gone; zero: not.
	FilesExpiringAt, FilesExpiredAt time.Time
	// BlockedUntil is until when the vault keeps the files though their term is
	// over, and BlockedBy why, for people.
	BlockedUntil time.Time
	BlockedBy    string
	// Error says why the last try to build failed, for people.
	Error     string
	CreatedAt time.Time
	BuiltAt   time.Time
}

// FilesGone says for people why the files of a built run cannot be had any more;
// empty: they can.
func (r *Run) FilesGone() string {
	switch {
	case r.State != RunBuilt:
		return ""
	case !r.FilesExpiringAt.IsZero():
		return "the files of this report were deleted on " + r.FilesExpiringAt.UTC().Format(time.DateOnly) + ": their term (retention.reports) was over"
	case len(r.Files) == 0:
		return r.Error
	}
	return ""
}

// At is the run as one of its revisions has it: Revision is that one, and Files
// are its alone.
func (r Run) At(revision int) Run {
	all := r.Files
	r.Revision, r.Files = revision, nil
	for _, f := range all {
		if f.OfRevision() == max(revision, 1) {
			r.Files = append(r.Files, f)
		}
	}
	return r
}

// RunInMaking is a run that somebody builds or revises, or has begun to.
type RunInMaking struct {
	Run Run
	// LeaseUntil is when it is over at the latest, unless he is heard of.
	LeaseUntil time.Time
	// Planned are the files that he has begun to put into the vault.
	Planned []RunFile
}

// Abandoned are the planned files that have not become the run's. What lies
// elsewhere than the files of its report nobody has planned.
func (m *RunInMaking) Abandoned() []RunFile {
	return slices.DeleteFunc(slices.Clone(m.Planned), func(f RunFile) bool {
		return !strings.HasPrefix(f.ObjectKey, FilesPrefix(m.Run.Report)) || slices.ContainsFunc(m.Run.Files, func(kept RunFile) bool { return kept.ObjectKey == f.ObjectKey })
	})
}

// FilesPrefix is what the keys of the files of all runs of a report begin with.
func FilesPrefix(report string) string { return "reports/" + report + "/" }

// RunInput is the name of the file that a run's others are made of. It has names
// and numbers of agents of all groups, of a part's calls, too.
const RunInput = "input.ndjson.zst"

// RunFile is one file of a run.
type RunFile struct {
	Name      string `json:"name"`
	ObjectKey string `json:"object_key"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is in lower-case hex.
	SHA256    string `json:"sha256"`
	MediaType string `json:"media_type"`
	// Revision is the run's that the file is of; see OfRevision.
	Revision int `json:"revision,omitempty"`
}

// OfRevision is the revision that the file is of. What was kept before there
// were revisions is of the first.
func (f RunFile) OfRevision() int { return max(f.Revision, 1) }

// CallFate is what became of a call that a report has told of.
type CallFate string

// The fates of calls.
const (
	// CallThere: it is there, as a report tells it or otherwise.
	CallThere CallFate = "there"
	// CallJoined: it turned out to be part of another call.
	CallJoined CallFate = "joined"
	// CallErased: its number was erased on request.
	CallErased CallFate = "erased"
	// CallGone: retention has deleted it.
	CallGone CallFate = "gone"
)

// TouchedHour is an hour of whose calls deliveries have told.
type TouchedHour struct {
	// From is when the hour begins.
	From time.Time
	// Delivery is the newest of the deliveries.
	Delivery int64
}

// RunFilter selects runs, newest period first.
type RunFilter struct {
	Report string
	// Reports are names of which it must be one, if there are any; used to limit
	// what one may see.
	Reports []string
	State   RunState
	Limit   int
	Cursor  string
}

// MailState is what became of one mail to one recipient.
type MailState string

// The states of a mail.
const (
	// MailSending: the intent is committed, the result is not known yet.
	MailSending MailState = "sending"
	MailSent    MailState = "sent"
	// MailRetry: passing failure, to be tried again at NextTryAt.
	MailRetry MailState = "retry"
	// MailUncertain: the connection was lost after the final dot, or the
	// process died in between: it may have arrived.
	MailUncertain MailState = "uncertain"
	// MailRefused: the server refused the recipient for good.
	MailRefused MailState = "refused"
	// MailFailed: given up after a day of tries.
	MailFailed MailState = "failed"
)

// Mail is the mail of one revision of a run to one recipient.
type Mail struct {
	ID    string
	RunID string
	// Revision counts from 1.
	Revision  int
	Recipient string
	// MessageID stays the same over all tries.
	MessageID string
	State     MailState
	// Detail is the server's or the network's last word, for people.
	Detail   string
	Attempts int
	// CreatedAt is when the mail was begun, or, where a person had it sent
	// again, when that was: it is tried for a day since.
	CreatedAt time.Time
	// DatedAt is when it was begun first; zero: at CreatedAt.
	DatedAt   time.Time
	NextTryAt time.Time
	SentAt    time.Time
}

// Date is the date that the mail bears, the same over all tries.
func (m *Mail) Date() time.Time {
	if m.DatedAt.IsZero() {
		return m.CreatedAt
	}
	return m.DatedAt
}
