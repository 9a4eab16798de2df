package call

import "time"

// AlertKind is what an alert is about.
type AlertKind string

// The kinds of alerts.
const (
	// AlertSilence: no call report comes, against the account's habit.
	AlertSilence AlertKind = "silence"
	// AlertNoRecordings: reports of answered calls come, their recordings
	// don't.
	AlertNoRecordings AlertKind = "no_recordings"
	// AlertUnreadable: much of what comes cannot be read.
	AlertUnreadable AlertKind = "unreadable"
	// AlertPaused: the account's recordings wait for somebody to mend its
	// configuration.
	AlertPaused AlertKind = "account_paused"
	// AlertVault: the vault takes nothing, so that recordings wait. It is of no
	// account, and so are those below.
	AlertVault AlertKind = "vault"
	// AlertVaultClock: the clocks of vault and node differ, so that locks end
	// at another time than promised.
	AlertVaultClock AlertKind = "vault_clock"
	// AlertFaults: something is not as it was kept.
	AlertFaults AlertKind = "faults"
	// AlertJournal: deliveries wait for long to get into the vault's journal.
	AlertJournal AlertKind = "journal"
	// AlertOutrun: the vault's journal is newer than the database, as after an
	// older copy of it was restored.
	AlertOutrun AlertKind = "database_outrun"
	// AlertRetention: what is due is not deleted, for the daily job fails or does
	// not come.
	AlertRetention AlertKind = "retention"
	// AlertBlocked: what is due is locked in the vault for longer than was
	// promised.
	AlertBlocked AlertKind = "retention_blocked"
	// AlertDisk: a node's disk is nearly full, or soon will be.
	AlertDisk AlertKind = "disk"
	// AlertReports: a report's last runs could not be made, or did not reach
	// everybody.
	AlertReports AlertKind = "reports"
)

// AlertKinds lists every kind.
func AlertKinds() []AlertKind {
	return []AlertKind{AlertSilence, AlertNoRecordings, AlertUnreadable, AlertPaused, AlertVault, AlertVaultClock, AlertFaults, AlertJournal, AlertOutrun,
		AlertRetention, AlertBlocked, AlertDisk, AlertReports}
}

// Alert is something that needs a person. Of each kind and account at most one
// is open.
type Alert struct {
	ID   string
	Kind AlertKind
	// Account is empty for what is of no account.
	Account string
	// Since is when the trouble began, as far as it is known.
	Since    time.Time
	OpenedAt time.Time
	// Opening says for people what happened and what to do.
	Opening string
	// ClosedAt is zero while the alert is open; then Closing says how it ended.
	ClosedAt time.Time
	Closing  string
}

// IsOpen reports whether the trouble goes on.
func (a Alert) IsOpen() bool { return a.ClosedAt.IsZero() }

// AlertState is whether an alert is open.
type AlertState string

// The states of alerts.
const (
	AlertOpen   AlertState = "open"
	AlertClosed AlertState = "closed"
)

// AlertFilter selects alerts, the last opened first. Empty fields select all.
type AlertFilter struct {
	Account string
	Kind    AlertKind
	State   AlertState
	// Limit is the page size, 1 to MaxLimit; 0 means DefaultLimit.
	Limit  int
	Cursor string
}

// NoticeEvent is what of an alert is told.
type NoticeEvent string

// What is told of an alert.
const (
	NoticeOpened NoticeEvent = "opened"
	NoticeClosed NoticeEvent = "closed"
)

// NoticeState is what became of a notice.
type NoticeState string

// The states of notices.
const (
	// NoticeDue: to be sent, or being sent.
	NoticeDue  NoticeState = "due"
	NoticeSent NoticeState = "sent"
	// NoticeFailed: given up after several tries.
	NoticeFailed NoticeState = "failed"
	// NoticeDropped: no need to send it any more.
	NoticeDropped NoticeState = "dropped"
)

// Notice is one message to one target about an alert.
type Notice struct {
	// ID stays the same over all tries.
	ID    string
	Event NoticeEvent
	// Target is a mail address, or a word for what is not to be stored.
	Target string
	// Attempts counts the tries, this one included.
	Attempts  int
	CreatedAt time.Time
	Alert     Alert
}

// Activity is how many call reports the webhook brought in one hour.
type Activity struct {
	Account string
	// Hour is its beginning, a whole hour in UTC.
	Hour    time.Time
	Reports int64
	// LastAt is when the last of them came.
	LastAt time.Time
}

// AnsweredCall is an answered call with talk time, and whether there is a
// recording of it.
type AnsweredCall struct {
	// EndedAt is its end, or its start where the end is not known.
	EndedAt time.Time
	// Named: the provider named a recording. Archived: it lies in the vault, or
	// did until its retention was over.
	Named, Archived bool
	// ArchivedAt is zero unless it is archived.
	ArchivedAt time.Time
}
