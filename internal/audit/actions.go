package audit

// Action is what was done: a noun and a verb, as "recording.archived".
type Action string

// What becomes of recordings. Subject: "recording/<id>".
const (
	RecordingArchived Action = "recording.archived"
	RecordingAbsent   Action = "recording.absent"
	RecordingRefused  Action = "recording.refused"
	// RecordingWoken: one that was absent or refused is wanted again.
	RecordingWoken Action = "recording.woken"
)

// What becomes of accounts. Subject: "account/<name>".
const (
	AccountPaused Action = "account.paused"
	AccountWoken  Action = "account.woken"
)

// What becomes of reports and their mails. Subjects: "run/<id>", "mail/<id>".
const (
	RunBuilt     Action = "run.built"
	RunFailed    Action = "run.failed"
	MailBegun    Action = "mail.begun"
	MailFinished Action = "mail.finished"
	MailResent   Action = "mail.resent"
)

// What becomes of those who may look. Subjects: "user/<name>", "token/<name>".
const (
	UserAdded           Action = "user.added"
	UserDisabled        Action = "user.disabled"
	UserPasswordChanged Action = "user.password_changed"
	TokenAdded          Action = "token.added"
	TokenDisabled       Action = "token.disabled"
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
	ReportDownloaded   Action = "report.downloaded"
	LiveViewed         Action = "live.viewed"
)

// Refusals.
const (
	// AccessRefused: a known user or token was forbidden something.
	AccessRefused Action = "access.refused"
	// StrangersRefused counts, for a minute, those who showed nothing that is
	// known. Facts: {"from", "to", "counts": {kind: n}}.
	StrangersRefused Action = "strangers.refused"
)
