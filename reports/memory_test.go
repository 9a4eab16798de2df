package reports

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/internal/call"
)

// memory is a store in memory, for any number of reporters.
type memory struct {
	calls      []call.CallWithRecordings
	missing    []call.Missing
	deliveries []call.Delivery
	firstSeen  time.Time
	// heard is when calls were first heard of; noon of 21 November 2026 if it
	// does not say.
	heard map[string]time.Time
	now   func() time.Time

	mu     sync.Mutex
	runs   []call.Run
	leases map[string]string // run id by lease token
	mails  []call.Mail
	// failBuilds makes that many EachCalls fail.
	failBuilds int
	built      int
	// slow, if set, is waited for by EachCall, or for its context.
	slow    chan struct{}
	renewed int
	// planned are the files that were to be put; losesRun: another node takes
	// the run just then.
	planned  []call.RunFile
	losesRun bool
	revisions
}

func (s *memory) EachCall(ctx context.Context, f call.Filter, fn func(call.CallWithRecordings) error) error {
	s.mu.Lock()
	fail := s.failBuilds > 0
	s.failBuilds--
	s.mu.Unlock()
	if fail {
		return errors.New("the database went away")
	}
	if s.slow != nil {
		select {
		case <-s.slow:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, c := range s.calls {
		if f.NoStart != c.StartedAt.IsZero() {
			continue
		}
		when := c.StartedAt
		for _, other := range []time.Time{c.EndedAt, c.AnsweredAt, s.heardAt(c.ID)} {
			if when.IsZero() {
				when = other
			}
		}
		if when.Before(f.From) || !when.Before(f.To) {
			continue
		}
		if f.Account != "" && f.Account != c.Account || f.Direction != "" && f.Direction != c.Direction {
			continue
		}
		ofGroup := f.Group == c.Group || c.Group == "" && f.GroupAgents != nil && slices.Contains(f.GroupAgents.IDs, c.Agent.ID)
		if f.Group != "" && !ofGroup {
			continue
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

// heardAt is when a call was first heard of.
func (s *memory) heardAt(id string) time.Time {
	if heard, ok := s.heard[id]; ok {
		return heard
	}
	return at("2026-11-21 12:00:00")
}

func (s *memory) CustomerStats(_ context.Context, f call.Filter) (call.CustomerStats, error) {
	if f.Direction == call.Outbound {
		return call.CustomerStats{}, nil
	}
	return call.CustomerStats{Unique: 7, Repeat: 2}, nil
}

func (s *memory) NotReturned(_ context.Context, f call.Filter, _ time.Time, fn func(call.Missing) error) error {
	for _, m := range s.missing {
		if f.Direction == call.Outbound {
			break
		}
		if err := fn(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *memory) DeliveryCounts(_ context.Context, f call.DeliveryFilter) (map[call.DeliveryOutcome]int64, error) {
	counts := make(map[call.DeliveryOutcome]int64)
	for _, d := range s.deliveries {
		if !d.ReceivedAt.Before(f.From) && d.ReceivedAt.Before(f.To) && (f.Account == "" || f.Account == d.Account) {
			counts[d.Outcome]++
		}
	}
	return counts, nil
}

func (s *memory) SumCalls(ctx context.Context, f call.Filter, soon call.WaitBounds) ([]call.CallSums, error) {
	type key struct {
		account   string
		direction call.Direction
		outcome   call.Outcome
	}
	all := make(map[key]*call.CallSums)
	for _, c := range s.calls {
		if c.StartedAt.IsZero() || c.StartedAt.Before(f.From) || !c.StartedAt.Before(f.To) ||
			f.Account != "" && f.Account != c.Account || f.Direction != "" && f.Direction != c.Direction {
			continue
		}
		k := key{c.Account, c.Direction, c.Outcome}
		if all[k] == nil {
			all[k] = &call.CallSums{Account: k.account, Direction: k.direction, Outcome: k.outcome}
		}
		sum := all[k]
		sum.Calls++
		if c.WaitSeconds != nil {
			sum.Waits++
			sum.WaitSeconds += int64(*c.WaitSeconds)
			bound := soon.Abandoned
			if c.Outcome == call.Answered {
				bound = soon.Answered
			}
			if *c.WaitSeconds <= bound {
				sum.Soon++
			}
		}
		if c.TalkSeconds != nil {
			sum.Talks++
			sum.TalkSeconds += int64(*c.TalkSeconds)
		}
	}
	var sums []call.CallSums
	for _, sum := range all {
		sums = append(sums, *sum)
	}
	slices.SortFunc(sums, func(a, b call.CallSums) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Outcome, b.Outcome))
	})
	return sums, ctx.Err()
}

func (s *memory) FirstCall(_ context.Context, account string, from, to time.Time) (first time.Time, err error) {
	for _, c := range s.calls {
		if c.Account == account && !c.StartedAt.Before(from) && c.StartedAt.Before(to) && (first.IsZero() || c.StartedAt.Before(first)) {
			first = c.StartedAt
		}
	}
	return first, nil
}

func (s *memory) ReportSeen(context.Context, string) (time.Time, error) { return s.firstSeen, nil }

func (s *memory) ReserveRun(_ context.Context, run call.Run, _ time.Duration) (call.Run, string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.runs {
		if r.Report == run.Report && r.PeriodFrom.Equal(run.PeriodFrom) && r.PeriodTo.Equal(run.PeriodTo) {
			if r.State != call.RunFailed {
				return r, "", false, nil
			}
			s.runs[i].State = call.RunBuilding
			return s.runs[i], s.lease(r.ID), true, nil
		}
	}
	run.ID = fmt.Sprintf("run-%d", len(s.runs)+1)
	run.State, run.CreatedAt = call.RunBuilding, s.now()
	s.runs = append(s.runs, run)
	return run, s.lease(run.ID), true, nil
}

func (s *memory) lease(id string) string {
	if s.leases == nil {
		s.leases = make(map[string]string)
	}
	token := fmt.Sprintf("lease-%d", len(s.leases))
	s.leases[token] = id
	return token
}

func (s *memory) mark(token string, change func(*call.Run)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.runs {
		if s.runs[i].ID == s.leases[token] {
			change(&s.runs[i])
			return nil
		}
	}
	return call.Errorf(call.Conflict, "lease lost")
}

func (s *memory) RenewRun(_ context.Context, token string, _ time.Duration) error {
	return s.mark(token, func(*call.Run) {
		s.renewed++
		if s.renewed == 3 && s.slow != nil {
			close(s.slow)
		}
	})
}

func (s *memory) PlanRunFiles(_ context.Context, token string, files []call.RunFile) error {
	if s.losesRun {
		s.mu.Lock()
		clear(s.leases)
		s.mu.Unlock()
	}
	return s.mark(token, func(*call.Run) { s.planned = append(s.planned, files...) })
}

func (s *memory) FinishRun(_ context.Context, token string, run call.Run) error {
	if s.failFinishes > 0 {
		s.failFinishes--
		return errors.New("the database went away")
	}
	for _, f := range run.Files {
		if f.OfRevision() == run.Revision && !slices.Contains(s.planned, f) {
			return fmt.Errorf("%s was not planned", f.ObjectKey)
		}
	}
	return s.mark(token, func(r *call.Run) {
		s.built++
		id := r.ID
		*r = run
		r.ID, r.State, r.Error, r.BuiltAt = id, call.RunBuilt, "", s.now()
		s.leases[token] = ""
	})
}

func (s *memory) FailRun(_ context.Context, token string, reason string) error {
	return s.mark(token, func(r *call.Run) { r.State, r.Error = call.RunFailed, reason })
}

func (s *memory) FindRuns(_ context.Context, f call.RunFilter) ([]call.Run, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var runs []call.Run
	for _, r := range s.runs {
		if (f.Report == "" || f.Report == r.Report) && (f.State == "" || f.State == r.State) {
			runs = append([]call.Run{r}, runs...) // built in order of time
		}
	}
	return runs, "", nil
}

func (s *memory) Run(_ context.Context, id string) (call.Run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return call.Run{}, call.Errorf(call.NotFound, "no run %s", id)
}

func (s *memory) BeginMail(_ context.Context, m call.Mail) (call.Mail, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.mails {
		old := &s.mails[i]
		if old.RunID == m.RunID && max(old.Revision, 1) == max(m.Revision, 1) && old.Recipient == m.Recipient {
			if old.State != call.MailRetry {
				return *old, false, nil
			}
			old.State = call.MailSending
			old.Attempts++
			return *old, true, nil
		}
	}
	m.ID, m.State, m.Attempts, m.CreatedAt = fmt.Sprint(len(s.mails)), call.MailSending, 1, s.now()
	s.mails = append(s.mails, m)
	return m, true, nil
}

func (s *memory) FinishMail(_ context.Context, id string, state call.MailState, detail string, next time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.mails {
		if s.mails[i].ID == id {
			s.mails[i].State, s.mails[i].Detail, s.mails[i].NextTryAt = state, detail, s.now().Add(next)
		}
	}
	return nil
}

func (s *memory) ResendMail(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.mails {
		m := &s.mails[i]
		if m.ID == id && (m.State == call.MailRefused || m.State == call.MailFailed || m.State == call.MailUncertain) {
			m.State, m.NextTryAt, m.DatedAt, m.CreatedAt = call.MailRetry, s.now(), m.Date(), s.now()
			return nil
		}
	}
	return call.Errorf(call.NotFound, "no mail %s to send again", id)
}

func (s *memory) DueMails(context.Context) ([]call.Mail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []call.Mail
	for _, m := range s.mails {
		if m.State == call.MailRetry && !m.NextTryAt.After(s.now()) {
			due = append(due, m)
		}
	}
	return due, nil
}

func (s *memory) Mails(_ context.Context, run string) ([]call.Mail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var mails []call.Mail
	for _, m := range s.mails {
		if m.RunID == run {
			mails = append(mails, m)
		}
	}
	return mails, nil
}

// shelf is a vault in memory.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (v *shelf) PutFile(_ context.Context, key string, body io.ReadSeeker, size int64, sum [32]byte, _ string, _ time.Time) error {
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(content)) != size || sha256.Sum256(content) != sum {
		return errors.New("size or hash is wrong")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if old, ok := v.files[key]; ok && !bytes.Equal(old, content) {
		return errors.New("another file has this key")
	}
	if v.files == nil {
		v.files = make(map[string][]byte)
	}
	v.files[key] = content
	return nil
}

func (v *shelf) OpenFile(_ context.Context, key string) (io.ReadCloser, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	content, ok := v.files[key]
	if !ok {
		return nil, call.Errorf(call.NotFound, "no file %s", key)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (v *shelf) ListFiles(_ context.Context, prefix string) iter.Seq2[string, error] {
	v.mu.Lock()
	defer v.mu.Unlock()
	keys := slices.Sorted(maps.Keys(v.files))
	return func(yield func(string, error) bool) {
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return
			}
		}
	}
}

// clockAt is a clock that tests set.
type clockAt struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clockAt) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clockAt) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// journal collects what reporters log.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// count is how often something has been logged.
func (j *journal) count(s string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), s)
}

// office is a store, a vault and a clock for reporters of one test. It is
// 22 November 2026, 07:30 in Kolkata; the daily report has been known for a
// day.
type office struct {
	store *memory
	vault *shelf
	clock *clockAt
	log   journal
	dir   string
	// roster is Options.Roster.
	roster func() *call.Roster
}

func newOffice(t *testing.T) *office {
	t.Helper()
	clock := &clockAt{t: at("2026-11-22 07:30:00")}
	return &office{
		store: &memory{now: clock.now, firstSeen: at("2026-11-21 09:00:00")},
		vault: &shelf{}, clock: clock, dir: t.TempDir(),
	}
}

func (o *office) reporter(t *testing.T, m MailOptions, recipients ...string) *Reporter {
	t.Helper()
	return o.reporterOf(t, m, dailyReport(recipients...))
}

func (o *office) reporterOf(t *testing.T, m MailOptions, report Report) *Reporter {
	t.Helper()
	if m.Dir == "" {
		m.Dir = filepath.Join(o.dir, "mail")
	}
	r, err := New(Options{Store: o.store, Vault: o.vault, Reports: []Report{report}, Roster: o.roster,
		PublicURL: "https://calls.example.org", SpoolDir: filepath.Join(o.dir, "spool"), Mail: m,
		Mask:    func() (func(string) string, error) { return MaskBy([]byte("secret")), nil },
		Version: "1.0", Now: o.clock.now, Log: slog.New(slog.NewTextHandler(&o.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func dailyReport(recipients ...string) Report {
	return Report{Name: "daily", Schedule: "0 7 * * *", Zone: kolkata, Period: Day,
		Formats:      []Format{XLSX, CSV},
		ServiceLevel: ServiceLevel{OfOffered, 20 * time.Second, 5 * time.Second}, Recipients: recipients}
}

// at is a time in Kolkata.
func at(s string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, s, kolkata)
	if err != nil {
		panic(err)
	}
	return t
}
