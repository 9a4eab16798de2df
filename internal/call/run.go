package call

import "time"

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
	Files     []RunFile
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

// RunFile is one file of a run.
type RunFile struct {
	Name      string `json:"name"`
	ObjectKey string `json:"object_key"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is in lower-case hex.
	SHA256    string `json:"sha256"`
	MediaType string `json:"media_type"`
}

// RunFilter selects runs, newest period first.
type RunFilter struct {
	Report string
	State  RunState
	Limit  int
	Cursor string
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

// Mail is one run's mail to one recipient.
type Mail struct {
	ID        string
	RunID     string
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
