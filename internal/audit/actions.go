package audit

import (
	"slices"
	"strings"
)

// Action is what was done: a noun and a verb, as "recording.archived".
type Action string

// What becomes of recordings. Subject: "recording/<id>". Facts: RecordingFacts.
const (
	RecordingArchived Action = "recording.archived"
	RecordingAbsent   Action = "recording.absent"
	RecordingRefused  Action = "recording.refused"
	// RecordingWoken: one that was absent or refused is wanted again.
	RecordingWoken Action = "recording.woken"
	// RecordingRetained: what retention says of it changed. Facts: what it says
	// now, and what it said.
	RecordingRetained Action = "recording.retained"
	// RecordingExpiring: its retention is over and its object will be deleted
	// now. RecordingExpired: the object is gone. RecordingKept: it is not, for
	// the vault holds it; the recording stays archived.
	RecordingExpiring Action = "recording.expiring"
	RecordingExpired  Action = "recording.expired"
	RecordingKept     Action = "recording.kept"
	// CallsExpired and DeliveriesExpired: the facts of calls, and requests as
	// they arrived, were deleted because their terms were over. Subject:
	// "account/<name>". Facts say which.
	CallsExpired      Action = "calls.expired"
	DeliveriesExpired Action = "deliveries.expired"
	// OrphanRemoved: an object of the recording that is not the one it was
	// archived as is being deleted. Facts: OrphanFacts.
	OrphanRemoved Action = "orphan.removed"
)

// ObjectsRetained says that objects that are no recordings stay until a
// later date. Subject: "vault". Facts: PromiseFacts.
const ObjectsRetained Action = "objects.retained"

// What becomes of accounts. Subject: "account/<name>". Facts: AccountFacts.
const (
	AccountPaused Action = "account.paused"
	AccountWoken  Action = "account.woken"
)

// What becomes of reports and their mails. Subjects: "report/<name>",
// "run/<id>", "mail/<id>". Facts: ScheduleFacts, RunFacts, MailFacts.
const (
	// ReportSeen: it stands in the configuration for the first time.
	ReportSeen Action = "report.seen"
	RunBuilt   Action = "run.built"
	RunFailed  Action = "run.failed"
	// RunFilesExpiring: the term of its files is over, and they will be deleted
	// now. RunFilesExpired: they are gone. RunFilesKept: they are not, for a lock
	// or a hold keeps them.
	RunFilesExpiring Action = "run.files_expiring"
	RunFilesExpired  Action = "run.files_expired"
	RunFilesKept     Action = "run.files_kept"
	MailBegun        Action = "mail.begun"
	MailFinished     Action = "mail.finished"
	MailResent       Action = "mail.resent"
)

// What becomes of those who may look. Subjects: "user/<name>", "token/<name>".
// Facts: PersonFacts.
const (
	UserAdded           Action = "user.added"
	UserDisabled        Action = "user.disabled"
	UserPasswordChanged Action = "user.password_changed"
	TokenAdded          Action = "token.added"
	TokenDisabled       Action = "token.disabled"
)

// Logins to the console's pages. Subject: "user/<name>". Facts of the first two:
// {"session_fingerprint"}, which tells that it is the same session, and no more.
const (
	UserLoggedIn  Action = "user.logged_in"
	UserLoggedOut Action = "user.logged_out"
	// UserLoginRefused: somebody gave the name of a user and a wrong password, or
	// the user is disabled. Those who give another name are strangers.
	UserLoginRefused Action = "user.login_refused"
)

// How calls came in, but by a webhook. Facts say what was asked for, and counts.
const (
	// BackfillEnded: a provider's call list was read. Subject:
	// "account/<name>".
	BackfillEnded Action = "backfill.ended"
	// DeliveriesImported: reports were taken from files. Subject:
	// "account/<name>".
	DeliveriesImported Action = "deliveries.imported"
	// DeliveriesReplayed: kept deliveries were read again. Of both, with
	// "dry_run": what it would change was shown, and nothing changed.
	DeliveriesReplayed Action = "deliveries.replayed"
)

// CallJoined says that a call turned out to be part of another, older one, to which
// its id leads from now on. Subject: "redirect/<former id>". Facts: {"call_id"}: of which
// it is part now. It is told again when that becomes part of a third one.
const CallJoined Action = "call.joined"

// What becomes of the log's own key. Subject: "log". Facts: KeyFacts.
const (
	LogKeyMade    Action = "log.key_made"
	LogKeyChanged Action = "log.key_changed"
)

// Looks at personal data.
const (
	// CallsSearched and DeliveriesSearched: Facts hold the filters.
	CallsSearched      Action = "calls.searched"
	DeliveriesSearched Action = "deliveries.searched"
	CallViewed         Action = "call.viewed"
	DeliveryViewed     Action = "delivery.viewed"
	AudioPlayed        Action = "audio.played"
	AudioDownloaded    Action = "audio.downloaded"
	WaveformViewed     Action = "waveform.viewed"
	ReportDownloaded   Action = "report.downloaded"
	LiveViewed         Action = "live.viewed"
	// ReconciliationViewed lists calls that differ.
	ReconciliationViewed Action = "reconciliation.viewed"
	// LogSearched is about the audit log itself: a search, or a copy of it.
	LogSearched Action = "log.searched"
	// HoldsViewed and ExportsViewed: their names, reasons and filters, which may
	// hold numbers. Subject: that of the one, empty for the list.
	HoldsViewed   Action = "holds.viewed"
	ExportsViewed Action = "exports.viewed"
	// ErasureRehearsed: what is kept under a number was counted.
	ErasureRehearsed Action = "erasure.rehearsed"
	// DatabaseCopied: a backup was written. Facts: {"file"}.
	DatabaseCopied Action = "database.copied"
)

// Refusals.
const (
	// AccessRefused: a known user or token was forbidden something, or a command
	// whoever gave it.
	AccessRefused Action = "access.refused"
	// StrangersRefused counts, for a minute, those who showed nothing that is
	// known. Facts: StrangersFacts.
	StrangersRefused Action = "strangers.refused"
)

// What becomes of exports. Subject: "export/<id>"; of one that a command made
// the id is the bundle's. ExportMade is logged before the bundle is handed out.
const (
	ExportRequested  Action = "export.requested"
	ExportMade       Action = "export.made"
	ExportFailed     Action = "export.failed"
	ExportRemoved    Action = "export.removed"
	ExportDownloaded Action = "export.downloaded"
)

// What becomes of legal holds and of the calls under them. Subject:
// "hold/<id>". Facts of HoldPlaced and those of its release: the hold as it
// then is; of HoldJoined: {"calls": [ids], "since"}.
const (
	HoldPlaced Action = "hold.placed"
	// HoldJoined: calls came under the hold.
	HoldJoined Action = "hold.joined"
	// HoldPassed: a call that it keeps became one with another, or a leg of it went
	// to another, which it keeps from then on. Facts: {"from", "to", "whole"};
	// whole: nothing is left of the first.
	HoldPassed Action = "hold.passed"
	// HoldReleaseAsked: the first of two people wants it released.
	HoldReleaseAsked Action = "hold.release_asked"
	// HoldReleaseWithdrawn: that was taken back.
	HoldReleaseWithdrawn Action = "hold.release_withdrawn"
	HoldReleased         Action = "hold.released"
)

// Erasures of a person's number. Subject: "erasure/<id>", of the first two
// "recording/<id>" with RecordingFacts. No entry holds the number.
const (
	RecordingErased Action = "recording.erased"
	// RecordingErasureFailed: the vault keeps it after all.
	RecordingErasureFailed Action = "recording.erasure_failed"

	// ErasureBegun: Facts hold the number's keyed hash and the ids of its calls.
	ErasureBegun Action = "erasure.begun"
	// ErasureFound: Facts hold more items, as the search for them finds them, or up to
	// which request all have been looked through ("through"), all of them at the end
	// ("all").
	ErasureFound Action = "erasure.found"
	// ErasureKept: an item cannot be erased yet. Facts hold until when, if that is
	// known, and why; it is told again when either is another.
	ErasureKept Action = "erasure.kept"
	// ErasureDone: Facts hold the items that were erased, by their kinds.
	ErasureDone Action = "erasure.done"
	// ErasureReopened: calls turned out to be parts of the calls of an erasure that
	// was complete. Facts: {"calls", "certificate"}: the calls that they are parts
	// of now, and the last certificate that was issued.
	ErasureReopened Action = "erasure.reopened"
	// ErasureCertified: a certificate lies in the vault. Facts: CertificateFacts.
	ErasureCertified Action = "erasure.certified"
)

// What becomes of the journal. Subject: "journal/<number>".
const (
	// JournalWritten: a segment lies in the vault. It follows from the segment
	// alone, its time too, which is that of the segment.
	JournalWritten Action = "journal.segment"
	// JournalRewritten: a segment was written again with something less, and the
	// object that was written first, or last, is being deleted. Facts:
	// call.JournalRewrite.
	JournalRewritten Action = "journal.rewritten"
	// JournalKept: its own term is over, and the vault keeps it; told when that is
	// found, and when it is another thing that keeps it, or another date. Facts:
	// call.SegmentKept.
	JournalKept Action = "journal.kept"
	// DatabaseRebuilt: the database was made again from the vault; the log goes
	// on where the last segment ends. Facts: {"segment", "entries"}: the last
	// segment, and how many entries were known.
	DatabaseRebuilt Action = "database.rebuilt"
	// VersionBegun: a version of the program began to read what comes, for the
	// first time or after another. Facts: VersionFacts.
	VersionBegun Action = "version.begun"
)

// What was found not to be as it was kept. Subject: "fault/<id>". Facts: kind,
// where and what, as call.Fault has them.
const (
	FaultOpened Action = "fault.opened"
	// FaultClosed: it was looked for again, and not found.
	FaultClosed Action = "fault.closed"
)

// Copies of the whole vault into another. Facts: VaultCopyFacts.
const (
	VaultCopyBegun Action = "vault.copy_begun"
	// VaultCopied: the copy ended, well or not.
	VaultCopied Action = "vault.copied"
)

// Actions lists every action, by their groups above.
func Actions() []Action {
	return []Action{
		RecordingArchived, RecordingAbsent, RecordingRefused, RecordingWoken, RecordingRetained, RecordingExpiring,
		RecordingExpired, RecordingKept, CallsExpired, DeliveriesExpired, OrphanRemoved, ObjectsRetained, AccountPaused,
		AccountWoken, ReportSeen, RunBuilt, RunFailed, RunFilesExpiring, RunFilesExpired, RunFilesKept, MailBegun,
		MailFinished, MailResent, UserAdded, UserDisabled, UserPasswordChanged, TokenAdded, TokenDisabled,
		UserLoggedIn, UserLoggedOut, UserLoginRefused, BackfillEnded,
		DeliveriesImported, DeliveriesReplayed, CallJoined, LogKeyMade, LogKeyChanged, CallsSearched, DeliveriesSearched, CallViewed,
		DeliveryViewed, AudioPlayed, AudioDownloaded, WaveformViewed, ReportDownloaded, LiveViewed, ReconciliationViewed,
		LogSearched, HoldsViewed, ExportsViewed, ErasureRehearsed, DatabaseCopied, AccessRefused, StrangersRefused,
		ExportRequested, ExportMade, ExportFailed, ExportRemoved, ExportDownloaded, HoldPlaced, HoldJoined,
		HoldPassed, HoldReleaseAsked, HoldReleaseWithdrawn, HoldReleased, RecordingErased, RecordingErasureFailed, ErasureBegun, ErasureFound, ErasureKept, ErasureDone, ErasureReopened,
		ErasureCertified, JournalWritten, JournalRewritten, JournalKept, DatabaseRebuilt, VersionBegun, FaultOpened, FaultClosed, VaultCopyBegun,
		VaultCopied,
	}
}

// IsKnown reports whether the log ever has the action, or, with a dot at its
// end, any of that kind: what Filter.Action may be.
func (a Action) IsKnown() bool {
	return slices.ContainsFunc(Actions(), func(known Action) bool {
		return a == known || strings.HasSuffix(string(a), ".") && strings.HasPrefix(string(known), string(a))
	})
}
