// Package reports tells managers how a day, a week or a month of calls went:
// it freezes a period's calls, measures them, writes a workbook and CSV files
// from the frozen input, keeps all of it in the vault, and mails it.
//
// The frozen input is everything that files are made of. The same input and
// the same program give the same bytes, so a figure can be shown years later
// to be what the calls gave.
package reports

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// Store is what reports ask of the database.
type Store interface {
	CallStore
	RunStore
	RevisionStore
	MailStore
}

// CallStore tells what a report is made of.
type CallStore interface {
	EachCall(context.Context, call.Filter, func(call.CallWithRecordings) error) error
	CustomerStats(context.Context, call.Filter) (call.CustomerStats, error)
	NotReturned(ctx context.Context, f call.Filter, asOf time.Time, fn func(call.Missing) error) error
	DeliveryCounts(context.Context, call.DeliveryFilter) (map[call.DeliveryOutcome]int64, error)
	// SumCalls and FirstCall tell of the days before the period.
	SumCalls(context.Context, call.Filter, call.WaitBounds) ([]call.CallSums, error)
	FirstCall(ctx context.Context, account string, from, to time.Time) (time.Time, error)
}

// RunStore decides who builds a run, and keeps it.
type RunStore interface {
	ReportSeen(ctx context.Context, report string) (firstSeen time.Time, err error)
	ReserveRun(ctx context.Context, run call.Run, lease time.Duration) (got call.Run, leaseToken string, won bool, err error)
	RenewRun(ctx context.Context, leaseToken string, lease time.Duration) error
	PlanRunFiles(ctx context.Context, leaseToken string, files []call.RunFile) error
	FinishRun(ctx context.Context, leaseToken string, run call.Run) error
	FailRun(ctx context.Context, leaseToken string, reason string) error
	FindRuns(context.Context, call.RunFilter) (runs []call.Run, next string, err error)
	Run(ctx context.Context, id string) (call.Run, error)
}

// MailStore decides who sends a mail, and keeps what became of it.
type MailStore interface {
	BeginMail(context.Context, call.Mail) (mail call.Mail, send bool, err error)
	FinishMail(ctx context.Context, id string, state call.MailState, detail string, nextTry time.Duration) error
	ResendMail(ctx context.Context, id string) error
	DueMails(context.Context) ([]call.Mail, error)
	Mails(ctx context.Context, runID string) ([]call.Mail, error)
}

// Vault is where report files are kept. Putting the same bytes under the same
// key again is no error.
type Vault interface {
	// PutFile keeps size bytes, whose SHA-256 is sum, under key, and promises
	// that they stay until a date (zero: nothing).
	PutFile(ctx context.Context, key string, body io.ReadSeeker, size int64, sum [32]byte, mediaType string, until time.Time) error
	OpenFile(ctx context.Context, key string) (io.ReadCloser, error)
	// ListFiles yields the keys that begin with prefix, in order. It ends after
	// an error.
	ListFiles(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Witness seals the audit log, so that reports can say how it stood.
type Witness interface {
	// Seal returns the log's signed head.
	Seal(context.Context) (audit.Seal, error)
	// Fingerprint is that of the key that signs.
	Fingerprint() string
}

// Report is one configured report. All fields but Match and Recipients are
// required.
type Report struct {
	// Name is a plain name, as used in file names.
	Name string
	// Schedule is a cron expression of five fields, in Zone.
	Schedule string
	Zone     *time.Location
	Period   Kind
	// Match selects the calls; its bounds of time are not used.
	Match        call.Filter
	Formats      []Format
	ServiceLevel ServiceLevel
	// ReviseMailOver is by more than which share a headline figure must have
	// moved for a revision to be mailed to those who have an earlier one: 0.05 is
	// 5 %. 0: by anything at all. Negative: none is mailed by itself.
	ReviseMailOver float64
	// PermittedHours are when outbound calls may be made: the first that matches
	// a call decides. With none they may be made at any time.
	PermittedHours []PermittedHours
	// Recipients are mail addresses. With none nothing is mailed.
	Recipients []string
	// MaskNumbers hides customers' numbers in the report's files and mails.
	MaskNumbers bool
	// Parts are for recipients who see less.
	Parts []Part

	// whole is the name of the report that this is a part of; empty: it is whole.
	whole string
}

// Format is a kind of report file.
type Format string

// The formats.
const (
	XLSX Format = "xlsx"
	CSV  Format = "csv"
)

// Options are what a Reporter needs. All but Reports, Roster, Witness, Until,
// PublicURL and SMTP are required.
type Options struct {
	Store   Store
	Vault   Vault
	Reports []Report
	// Roster, if set, knows the people as they are configured now: who is listed
	// also without calls, whom Match means, and the names and groups of calls,
	// which the store gives as they were reported.
	Roster func() *call.Roster
	// Mask gives what hides a customer's number, the same for the same number. It
	// is asked for by reports with MaskNumbers.
	Mask func() (mask func(number string) string, err error)
	// Witness, if set, seals the audit log for each report.
	Witness Witness
	// Until, if set, says until when the files of a period that ends at a time,
	// in the report's zone, are promised to stay; zero: nothing is promised.
	Until func(end time.Time) time.Time
	// PublicURL is where the console is, without a slash at the end; empty if
	// that is not known. Links in files and mails begin with it.
	PublicURL string
	// SpoolDir is for files being built; it is made when missing.
	SpoolDir string
	Mail     MailOptions
	// Version is the program's, printed in every report.
	Version string
	Now     func() time.Time
	Log     *slog.Logger
}

// Reporter builds and mails reports. Any number of nodes may run one on the
// same store: for each period one of them builds.
type Reporter struct {
	store     Store
	vault     Vault
	witness   Witness
	until     func(end time.Time) time.Time
	reports   []Report
	roster    func() *call.Roster
	mask      func() (func(string) string, error)
	schedules []schedule
	publicURL string
	spoolDir  string
	mail      MailOptions
	version   string
	now       func() time.Time
	log       *slog.Logger
	// failures delays the next try of a run that could not be built; it is
	// used by Look alone.
	failures map[string]failure
	// late are the runs of which noteLate has been called; also Look's alone.
	late map[string]bool
}

// failure says how often a run could not be built on this node, and when it is
// tried again.
type failure struct {
	tries int
	next  time.Time
}

// New makes a Reporter. Its error is a fault of the options.
func New(o Options) (*Reporter, error) {
	r := &Reporter{
		store: o.Store, vault: o.Vault, witness: o.Witness, until: o.Until, roster: o.Roster, mask: o.Mask,
		publicURL: o.PublicURL, spoolDir: o.SpoolDir, mail: o.Mail,
		version: o.Version, now: o.Now, log: o.Log,
		failures: make(map[string]failure), late: make(map[string]bool),
	}
	if r.until == nil {
		r.until = func(time.Time) time.Time { return time.Time{} }
	}
	if r.roster == nil {
		nobody := call.NewRoster(nil, nil)
		r.roster = func() *call.Roster { return nobody }
	}
	for _, report := range o.Reports {
		s, err := newSchedule(report.Schedule, report.Zone)
		if err != nil {
			return nil, fmt.Errorf("report %s: %w", report.Name, err)
		}
		r.reports, r.schedules = append(r.reports, report), append(r.schedules, s)
		for _, p := range report.Parts {
			part, err := report.part(p)
			if err != nil {
				return nil, err
			}
			r.reports, r.schedules = append(r.reports, part), append(r.schedules, s)
		}
	}
	if err := r.mail.complete(); err != nil {
		return nil, err
	}
	return r, nil
}

// Report finds a configured report; call.NotFound if there is none.
func (r *Reporter) Report(name string) (Report, error) {
	n, err := r.index(name)
	if err != nil {
		return Report{}, err
	}
	return r.reports[n], nil
}

func (r *Reporter) index(name string) (int, error) {
	for n := range r.reports {
		if r.reports[n].Name == name {
			return n, nil
		}
	}
	return 0, call.Errorf(call.NotFound, "no report is called %q", name)
}

// PeriodOf returns the period of a report that holds a date (year, month and
// day of date count, not its location).
func (r *Report) PeriodOf(date time.Time) Period {
	year, month, day := date.Date()
	return PeriodOf(r.Period, firstInstant(year, month, day, 0, 0, 0, r.Zone))
}

func (r *Report) has(format Format) bool { return slices.Contains(r.Formats, format) }

// Formula is how the service level is counted. Vendors disagree, so every
// report prints which one it used.
type Formula string

// The formulas. Each is over answered calls whose wait is known; see
// Tally.ServiceLevel.
const (
	OfOffered              Formula = "answered_in_time_of_offered"
	OfAnswered             Formula = "answered_in_time_of_answered"
	OfAnsweredAndAbandoned Formula = "answered_in_time_of_answered_and_abandoned"
)

// ServiceLevel says what a call answered in time is. The zero Formula is
// OfOffered.
type ServiceLevel struct {
	Formula Formula
	// Within is the longest wait of a call answered in time.
	Within time.Duration
	// ShortAbandon is the longest wait of a caller who hung up so soon that
	// nobody could have answered.
	ShortAbandon time.Duration
}

func (s ServiceLevel) formula() Formula { return cmp.Or(s.Formula, OfOffered) }
