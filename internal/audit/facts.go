package audit

import (
	"encoding/json"
	"time"
)

// What entries tell. Each is the row as it was after the act; secrets and what
// follows from them are left out.

// RecordingFacts is a recording's row, but for where the audio lay, which may
// hold a person's number: the log is never changed.
type RecordingFacts struct {
	ID        string `json:"id"`
	CallID    string `json:"call_id"`
	Account   string `json:"account"`
	Provider  string `json:"provider"`
	Kind      string `json:"kind"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
	ObjectKey string `json:"object_key,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes
	SHA256    string `json:"sha256,omitempty"`
	// StoredSHA256 is of the object.
	StoredSHA256 string    `json:"stored_sha256,omitempty"`
	MediaType    string    `json:"media_type,omitempty"`
	AudioSeconds *int      `json:"audio_seconds,omitempty"`
	CreatedAt    time.Time `json:"created_at,omitzero"`
	WantedAt     time.Time `json:"wanted_at,omitzero"`
	ArchivedAt   time.Time `json:"archived_at,omitzero"`
	// RetainUntil is the date promised, Rule the retention rule that decides, and
	// DueAt when it may be deleted.
	RetainUntil time.Time `json:"retain_until,omitzero"`
	Rule        string    `json:"rule,omitempty"`
	DueAt       time.Time `json:"due_at,omitzero"`
	// RuleUntil is when the term of Rule ends by itself.
	RuleUntil time.Time `json:"rule_until,omitzero"`
	// BlockedBy says what keeps one that is due, BlockedUntil until when.
	BlockedBy    string    `json:"blocked_by,omitempty"`
	BlockedUntil time.Time `json:"blocked_until,omitzero"`
	// ExpiredAt is when the object of an expired one was gone.
	ExpiredAt time.Time `json:"expired_at,omitzero"`
	Attempts  int       `json:"attempts"`
	LastError string    `json:"last_error,omitempty"`
	// Media is given with recording.archived.
	Media *MediaFacts `json:"media,omitempty"`
}

// MediaFacts is what the bytes of a recording say of it.
type MediaFacts struct {
	Format     string `json:"format,omitempty"`
	Codec      string `json:"codec,omitempty"`
	Channels   int    `json:"channels,omitempty"`
	SampleRate int    `json:"sample_rate,omitempty"` // Hz
	BitRate    int    `json:"bit_rate,omitempty"`    // bit/s
	DurationMS int64  `json:"duration_ms,omitempty"`
	Truncated  bool   `json:"truncated,omitempty"`
	CorruptPPM int64  `json:"corrupt_ppm,omitempty"` // share of the bytes, per million
	Flags      string `json:"flags,omitempty"`       // separated by blanks
}

// ForgottenFacts are what retention has deleted of one account's facts: calls
// with all that belongs to them, or deliveries.
type ForgottenFacts struct {
	Calls []string `json:"calls,omitempty"`
	// Deliveries is how many went, and DeliveryIDs their ids.
	Deliveries  int    `json:"deliveries"`
	DeliveryIDs Ranges `json:"delivery_ids,omitempty"`
	// StartedBefore is the end of the term of calls, ReceivedBefore that of
	// deliveries.
	StartedBefore  time.Time `json:"started_before,omitzero"`
	ReceivedBefore time.Time `json:"received_before,omitzero"`
}

// OrphanFacts is an object that its recording's row does not speak of.
type OrphanFacts struct {
	ObjectKey string    `json:"object_key"`
	Size      int64     `json:"size"` // bytes
	SHA256    string    `json:"sha256,omitempty"`
	Modified  time.Time `json:"modified"`
}

// VersionFacts is a version of the program that began to read what comes.
type VersionFacts struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	// Earlier are those of before, where the log has not told of any yet, or
	// not since the database was made again.
	Earlier []VersionSince `json:"earlier,omitempty"`
}

// VersionSince is since when a version of the program read what came.
type VersionSince struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
}

// VaultCopyFacts is a copy of the vault. It says where the vaults are, and
// nothing of how one gets in. The counts are given with vault.copied.
type VaultCopyFacts struct {
	From      string `json:"from"`
	To        string `json:"to"`
	Copied    int64  `json:"copied,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"`
	Present   int64  `json:"present,omitempty"`
	Protected int64  `json:"protected,omitempty"`
	Faults    int64  `json:"faults,omitempty"`
	// Error says why it came to no end.
	Error string `json:"error,omitempty"`
}

// AccountFacts is an account whose recordings wait, or wait no more.
type AccountFacts struct {
	Account  string    `json:"account"`
	Reason   string    `json:"reason,omitempty"`
	PausedAt time.Time `json:"paused_at,omitzero"`
}

// ScheduleFacts is a report that was seen in the configuration for the first
// time.
type ScheduleFacts struct {
	Report    string    `json:"report"`
	FirstSeen time.Time `json:"first_seen"`
}

// RunFacts is a run's row.
type RunFacts struct {
	ID         string    `json:"id"`
	Report     string    `json:"report"`
	PeriodFrom time.Time `json:"period_from"`
	PeriodTo   time.Time `json:"period_to"`
	Zone       string    `json:"zone"`
	State      string    `json:"state"`
	Revision   int       `json:"revision"`
	AsOf       time.Time `json:"as_of,omitzero"`
	InputHash  string    `json:"input_hash,omitempty"`
	Files      []RunFile `json:"files,omitempty"`
	Error      string    `json:"error,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	BuiltAt    time.Time `json:"built_at,omitzero"`
	// RetainUntil is until when the files are promised to stay. Afterwards they
	// are deleted: FilesExpiringAt is when that began, FilesExpiredAt when they
	// were gone.
	RetainUntil     time.Time `json:"retain_until,omitzero"`
	FilesExpiringAt time.Time `json:"files_expiring_at,omitzero"`
	FilesExpiredAt  time.Time `json:"files_expired_at,omitzero"`
	// BlockedBy says what in the vault keeps the files though their term is over,
	// BlockedUntil until when.
	BlockedBy    string    `json:"blocked_by,omitempty"`
	BlockedUntil time.Time `json:"blocked_until,omitzero"`
	// MailRevision is the newest revision that is mailed also to those who have
	// an earlier one.
	MailRevision int `json:"mail_revision,omitempty"`
	// KnownDeliveries is the delivery up to which the run tells all; 0: nobody
	// knows. Entries of earlier versions have neither it nor BlockedBy.
	KnownDeliveries *int64 `json:"known_deliveries,omitempty"`
}

// PromiseFacts is until when objects that are no recordings are promised to stay
// by a term, at most some hundred.
type PromiseFacts struct {
	// Sort is "journal", "reports" or "seals".
	Sort    string           `json:"sort"`
	Term    string           `json:"term"`
	Objects []PromisedObject `json:"objects"`
}

// PromisedObject is what is promised for the objects of one row.
type PromisedObject struct {
	// ID is a segment's number, a seal's size, or the id of a run, all of whose
	// files are meant.
	ID          string    `json:"id"`
	RetainUntil time.Time `json:"retain_until"`
}

// CertificateFacts is a certificate of an erasure.
type CertificateFacts struct {
	ObjectKey string `json:"object_key"`
	SHA256    string `json:"sha256"`
	// Kept counts what could not be erased yet.
	Kept     int  `json:"kept"`
	Complete bool `json:"complete"`
	// Objects are all of its objects, and RetainUntil is until when they are
	// promised to stay.
	Objects     []KeptFile `json:"objects"`
	RetainUntil time.Time  `json:"retain_until,omitzero"`
}

// KeptFile is an object in the vault.
type KeptFile struct {
	ObjectKey string `json:"object_key"`
	Size      int64  `json:"size"` // bytes
	SHA256    string `json:"sha256"`
}

// RunFile is one file of a run.
type RunFile struct {
	Name      string `json:"name"`
	ObjectKey string `json:"object_key"`
	Size      int64  `json:"size"` // bytes
	SHA256    string `json:"sha256"`
	MediaType string `json:"media_type"`
	// Revision is 0 of a file that was kept before there were revisions.
	Revision int `json:"revision,omitempty"`
}

// MailFacts is a mail's row.
type MailFacts struct {
	ID    string `json:"id"`
	RunID string `json:"run_id"`
	// Revision is left out where it is the first.
	Revision  int       `json:"revision,omitempty"`
	Recipient string    `json:"recipient"`
	MessageID string    `json:"message_id"`
	State     string    `json:"state"`
	Detail    string    `json:"detail,omitempty"`
	Attempts  int       `json:"attempts"`
	CreatedAt time.Time `json:"created_at"`
	DatedAt   time.Time `json:"dated_at,omitzero"`
	NextTryAt time.Time `json:"next_try_at,omitzero"`
	SentAt    time.Time `json:"sent_at,omitzero"`
}

// PersonFacts is the row of a user or token, without what lets them in.
type PersonFacts struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Groups    []string  `json:"groups"`
	CreatedAt time.Time `json:"created_at"`
	Disabled  bool      `json:"disabled"`
	// Fingerprint is of the salted hash of the password, or of the hash of the token;
	// empty in entries of earlier versions. Nobody can guess from it what lets them in.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// ExportFacts is an export: what was asked for, and what came of it.
type ExportFacts struct {
	ID string `json:"id"`
	// Request has filter or calls, groups, reason and who asked.
	Request    json.RawMessage `json:"request,omitempty"`
	State      string          `json:"state"`
	Calls      int             `json:"calls"`
	Recordings int             `json:"recordings"`
	Missing    int             `json:"missing"`
	Altered    int             `json:"altered"`
	Size       int64           `json:"size,omitempty"` // bytes
	// ManifestSHA256 is what the bundle's signature is over.
	ManifestSHA256 string `json:"manifest_sha256,omitempty"`
	Error          string `json:"error,omitempty"`
	// By is who asked for it, and Groups limit them. These and the others are
	// missing in entries of earlier versions, and of bundles made by a command.
	By        string    `json:"asked_by,omitempty"`
	Groups    []string  `json:"groups,omitempty"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	// FinishedAt is when it was ready or failed, RemoveAt when it goes.
	FinishedAt time.Time `json:"finished_at,omitzero"`
	RemoveAt   time.Time `json:"remove_at,omitzero"`
	// PieceSize is in bytes; Prefix begins the keys of its pieces in the vault.
	PieceSize int64  `json:"piece_size,omitempty"`
	Prefix    string `json:"prefix,omitempty"`
}

// KeyFacts is the public half of a key that signs the log from now on.
type KeyFacts struct {
	Verifier    string `json:"verifier"`
	Fingerprint string `json:"fingerprint"`
	// Before is the public half of the one that signed until now.
	Before string `json:"before,omitempty"`
}
