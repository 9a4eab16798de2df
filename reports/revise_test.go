package reports

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// revisions are the part of a memory store that finds out what to revise.
type revisions struct {
	settled int64
	touched []call.TouchedHour
	fates   map[string]call.CallFate
	// asked counts the questions which calls reports have told of.
	asked int
	// failFinishes makes that many FinishRuns fail.
	failFinishes int
}

func (s *memory) SettledDeliveries(context.Context) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.settled, 1), nil
}

func (s *memory) TouchedHours(_ context.Context, after int64) ([]call.TouchedHour, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return slices.DeleteFunc(slices.Clone(s.touched), func(h call.TouchedHour) bool { return h.Delivery <= after }), nil
}

func (s *memory) CallFates(_ context.Context, ids []string) (map[string]call.CallFate, error) {
	fates := make(map[string]call.CallFate)
	for _, id := range ids {
		fates[id] = call.CallGone
		if slices.ContainsFunc(s.calls, func(c call.CallWithRecordings) bool { return c.ID == id }) {
			fates[id] = call.CallThere
		}
		if fate := s.fates[id]; fate != "" {
			fates[id] = fate
		}
	}
	return fates, nil
}

func (s *memory) ReserveRevision(_ context.Context, id string, revision int, tick time.Time, _ time.Duration) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, leased := range s.leases {
		if leased == id {
			return "", false, nil
		}
	}
	for _, run := range s.runs {
		if run.ID == id && run.State == call.RunBuilt && run.Revision == revision && (tick.IsZero() || run.LookedAt.Before(tick)) {
			return s.lease(id), true, nil
		}
	}
	return "", false, nil
}

func (s *memory) LeaveRun(_ context.Context, token string, looked time.Time, delivery int64) error {
	err := s.mark(token, func(run *call.Run) {
		if !looked.IsZero() {
			run.LookedAt, run.KnownDeliveries = looked, delivery
		}
	})
	s.release(token)
	return err
}

// release ends a lease.
func (s *memory) release(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.leases[token]; ok {
		s.leases[token] = ""
	}
}

func (s *memory) NoteLooked(_ context.Context, ids []string, looked time.Time, delivery int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.runs {
		if slices.Contains(ids, s.runs[i].ID) {
			s.runs[i].LookedAt, s.runs[i].KnownDeliveries = looked, delivery
		}
	}
	return nil
}

// tell lets a late report change a call, or tell of a new one.
func (o *office) tell(id string, change func(*call.CallWithRecordings)) {
	s := o.store
	i := slices.IndexFunc(s.calls, func(c call.CallWithRecordings) bool { return c.ID == id })
	if i < 0 {
		i = len(s.calls)
		s.calls = append(s.calls, call.CallWithRecordings{Call: call.Call{ID: id, Account: "sales", Provider: call.CallerDesk, Key: id,
			Direction: call.Inbound, Outcome: call.Missed, CustomerNumber: "+919800000077", StartedAt: at("2026-11-21 15:00:00"), LegsCount: 1}})
	}
	change(&s.calls[i])
	o.touch(s.calls[i].StartedAt)
	slices.SortStableFunc(s.calls, func(a, b call.CallWithRecordings) int {
		if n := a.StartedAt.Compare(b.StartedAt); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// touch lets a delivery tell of a call that started at a time.
func (o *office) touch(at time.Time) {
	o.store.settled = max(o.store.settled, 1) + 1
	o.store.touched = append(o.store.touched, call.TouchedHour{From: at.UTC().Truncate(time.Hour), Delivery: o.store.settled})
}

// firstRun is the run of the day that busyOffice is about.
func (o *office) firstRun() call.Run { return o.store.runs[0] }

// mailText is the mail of a revision.
func (o *office) mailText(run call.Run, revision int) string {
	files := run.At(revision).Files
	return string(o.vault.files[files[slices.IndexFunc(files, func(f call.RunFile) bool { return f.Name == mailTextName })].ObjectKey])
}

// mailsOf are a run's mails.
func (o *office) mailsOf(run call.Run) []string {
	var mails []string
	for _, m := range o.store.mails {
		if m.RunID == run.ID {
			mails = append(mails, fmt.Sprintf("%s %d %s", m.Recipient, m.Revision, m.State))
		}
	}
	return mails
}

// revisedOffice is an office whose first report is built and mailed to ops, and a
// reporter for it. It is the next day's morning.
func revisedOffice(t *testing.T, recipients ...string) (*office, *Reporter) {
	t.Helper()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{}, recipients...)
	r.Look(context.Background())
	if o.firstRun().State != call.RunBuilt {
		t.Fatalf("the run is %s", o.firstRun().State)
	}
	o.clock.set(at("2026-11-23 07:30:00"))
	return o, r
}

func late(*call.CallWithRecordings) {}

// A report that arrives late makes a second revision at the next time of the
// schedule: of its own files, with a sheet of what changed, and mailed.
func TestRevision(t *testing.T) {
	t.Parallel()
	o, r := revisedOffice(t, "ops@example.org")
	before := o.firstRun()
	o.tell("late-1", late)
	o.tell("first", func(c *call.CallWithRecordings) { c.Outcome, c.Status = call.Busy, "BUSY" })
	r.Look(context.Background())
	run := o.firstRun()
	if run.ID != before.ID || run.Revision != 2 || run.MailRevision != 2 || !run.AsOf.Equal(o.clock.now()) || run.InputHash == before.InputHash {
		t.Fatalf("the run is %+v", run)
	}
	if diff := cmp.Diff(before.Files, run.At(1).Files); diff != "" {
		t.Errorf("the first revision's files changed: %s", diff)
	}
	for _, f := range run.Files {
		if o.vault.files[f.ObjectKey] == nil {
			t.Errorf("%s is not in the vault", f.ObjectKey)
		}
		if want := fmt.Sprintf("reports/daily/2026-11-21/r%d-", f.OfRevision()); !strings.HasPrefix(f.ObjectKey, want) {
			t.Errorf("%s does not begin with %s", f.ObjectKey, want)
		}
	}
	dir := t.TempDir()
	path, err := r.fetch(context.Background(), run.At(2).Files[0], dir)
	if err != nil {
		t.Fatal(err)
	}
	book := openBook(t, path)
	if title := cellsOf(t, book, "Summary", "A1")[0]; !strings.Contains(title, "revised (2)") {
		t.Errorf("the title is %q", title)
	}
	rows, err := book.GetRows("Changes")
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	for _, row := range rows[1:] {
		if row[0] != "figure" {
			changes = append(changes, strings.Join([]string{row[0], row[6], row[7], row[8]}, "|"))
		} else if row[7] == row[8] {
			t.Errorf("%s did not change", row[6])
		}
	}
	want := []string{"changed|Outcome|answered|busy", "changed|Provider's status||BUSY", "added|||missed"}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ops@example.org 1 sent", "ops@example.org 2 sent"}, o.mailsOf(run)); diff != "" {
		t.Error(diff)
	}
	text := o.mailText(run, 2)
	for _, want := range []string{"revised (2)", "since revision 1 (as of 2026-11-22 07:30) 1 call added, 1 changed, 0 taken away"} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail does not say %q:\n%s", want, text)
		}
	}
	// Nothing more comes of it.
	o.clock.set(at("2026-11-24 07:30:00"))
	r.Look(context.Background())
	if again := o.firstRun(); again.Revision != 2 || len(again.Files) != len(run.Files) {
		t.Errorf("revised again: %d", again.Revision)
	}
}

// The changes are those of the period that is asked for, or of the same days in a
// zone that the report had, and of no other.
func TestChangesOfPeriod(t *testing.T) {
	t.Parallel()
	o, r := revisedOffice(t)
	o.tell("late-1", late)
	r.Look(t.Context())
	changes := func() (string, error) {
		var out bytes.Buffer
		err := r.WriteTable(t.Context(), "daily", at("2026-11-21 00:00:00"), ChangesTable, TableCSV, &out)
		return out.String(), err
	}
	daily, err := changes()
	if err != nil || !strings.Contains(daily, "late-1") {
		t.Fatalf("%s, %v", daily, err)
	}
	r.reports[0].Zone = zone(t, "Europe/Berlin")
	if again, err := changes(); err != nil || again != daily {
		t.Errorf("in another zone: %v, %s", err, cmp.Diff(daily, again))
	}
	r.reports[0].Zone, r.reports[0].Period = kolkata, Week
	if weekly, err := changes(); call.CodeOf(err) != call.NotFound || weekly != "" {
		t.Errorf("the week has no report, and the day's changes are %q, %v", weekly, err)
	}
}

// At most one revision at a time of the schedule, and none after 35 days.
func TestRevisionsKeepToTheSchedule(t *testing.T) {
	t.Parallel()
	o, r := revisedOffice(t)
	r.reports[0].Formats = []Format{CSV} // workbooks take their time
	ctx := context.Background()
	revisionAfter := func(day string) int {
		o.tell(fmt.Sprint("late-", len(o.store.calls)), late)
		o.clock.set(at(day))
		r.Look(ctx)
		return o.firstRun().Revision
	}
	for _, look := range []struct {
		at   string
		want int
	}{
		{"2026-11-22 23:00:00", 1}, // its own time was the last
		{"2026-11-23 07:00:00", 2},
		{"2026-11-23 07:01:00", 2},
		{"2026-11-23 23:00:00", 2},
		{"2026-11-24 07:00:00", 3},
		{"2026-11-23 12:00:00", 3}, // the clock goes back
		{"2026-12-26 07:00:00", 4},
		{"2026-12-28 07:00:00", 4}, // 36 days after
	} {
		if got := revisionAfter(look.at); got != look.want {
			t.Errorf("%s: revision %d, want %d", look.at, got, look.want)
		}
	}
	if prefixes := len(slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, f := range o.firstRun().Files {
			if !yield(filepath.Dir(f.ObjectKey)) {
				return
			}
		}
	}))); prefixes != 4 {
		t.Errorf("%d folders of 4 revisions", prefixes)
	}
}

// What is no change of what call reports tell makes no revision.
func TestNothingToRevise(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*office){
		"nothing": func(*office) {},
		"told again": func(o *office) {
			o.tell("first", func(*call.CallWithRecordings) {})
		},
		"recordings arrive": func(o *office) {
			o.tell("first", func(c *call.CallWithRecordings) {
				c.Recordings = []call.Recording{{ID: "r", Kind: call.Conversation, State: call.Archived, Size: 7}}
			})
		},
		"an agent is named": func(o *office) {
			o.tell("first", func(c *call.CallWithRecordings) { c.Agent.ID, c.Agent.Name, c.Agent.Known = "7", "Asha Rao", true })
		},
		"those who were rung are named": func(o *office) {
			o.tell("missed", func(c *call.CallWithRecordings) {
				c.Group, c.Offers = "Red", []call.Agent{{ID: "8", Name: "Bela Roy", Known: true}}
			})
		},
		"a number is erased": func(o *office) {
			o.store.fates = map[string]call.CallFate{"first": call.CallErased}
			o.tell("first", func(c *call.CallWithRecordings) { c.CustomerNumber = "" })
		},
		"retention deletes a call": func(o *office) {
			o.tell("first", func(*call.CallWithRecordings) {})
			o.store.calls = slices.DeleteFunc(o.store.calls, func(c call.CallWithRecordings) bool { return c.ID == "first" })
		},
		"another day": func(o *office) {
			o.tell("late", func(c *call.CallWithRecordings) { c.StartedAt = at("2026-11-22 15:00:00") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := busyOffice(t)
			for i := range o.store.calls { // as if the agent had been reported by id
				o.store.calls[i].Agent.ID = "7"
			}
			o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{ID: "missed", Account: "sales", Direction: call.Inbound,
				Outcome: call.Missed, Group: "Blue", Offers: []call.Agent{{ID: "8", Name: "Agent 8"}}, StartedAt: at("2026-11-21 20:00:00")}})
			r := o.reporter(t, MailOptions{}, "ops@example.org")
			r.Look(context.Background())
			o.clock.set(at("2026-11-23 07:30:00"))
			change(o)
			for range 2 {
				r.Look(context.Background())
			}
			run := o.firstRun()
			if run.Revision != 1 || !run.LookedAt.Equal(at("2026-11-23 07:00:00")) {
				t.Errorf("revision %d, looked at %v:\n%s", run.Revision, run.LookedAt, o.log.text.String())
			}
			if o.store.asked != 1 {
				t.Errorf("asked %d times which calls were told of", o.store.asked)
			}
		})
	}
}

// A call that became part of another is taken away; one whose start was
// corrected moved, and is one change.
func TestCallsMoveAndJoin(t *testing.T) {
	t.Parallel()
	o, r := revisedOffice(t)
	joined, moved := "first", "second"
	o.store.fates = map[string]call.CallFate{joined: call.CallJoined}
	o.touch(at("2026-11-21 10:00:00"))
	o.store.calls = slices.DeleteFunc(o.store.calls, func(c call.CallWithRecordings) bool { return c.ID == joined })
	o.tell(moved, func(c *call.CallWithRecordings) { c.StartedAt = at("2026-11-21 23:30:00") })
	r.Look(context.Background())
	run := o.firstRun()
	if run.Revision != 2 {
		t.Fatalf("revision %d:\n%s", run.Revision, o.log.text.String())
	}
	in, err := r.currentInput(context.Background(), run, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := in.eachChange(context.Background(), func(c *callChange) error {
		got = append(got, c.What+"|"+c.ID+"|"+c.Field+"|"+c.After)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"taken away|" + joined + "||part of another call", "changed|" + moved + "|Started|2026-11-21 23:30:00"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v := in.Settings.Revises; v.Gone != 1 || v.Changed != 1 || v.Added != 0 || v.Lines != 2 {
		t.Errorf("%+v", v)
	}
}

// A revision is mailed only if a headline figure moved by more than the share,
// since the last that was mailed.
func TestRevisionMailedOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		share float64
		want  []int // revisions mailed after 1, 2 and 3 late calls
	}{
		{"anything", 0, []int{1, 2, 3, 4}},
		// 4 offered, then 5, 6 and 7: missed grows faster, of 1.
		{"more than all", 1.5, []int{1, 3}},
		{"never", -1, []int{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := busyOffice(t)
			report := dailyReport("ops@example.org")
			report.ReviseMailOver = tt.share
			r := o.reporterOf(t, MailOptions{}, report)
			r.Look(context.Background())
			for day := range 3 {
				o.clock.set(at("2026-11-23 07:30:00").AddDate(0, 0, day))
				o.tell(fmt.Sprint("late-", day), late)
				r.Look(context.Background())
			}
			if o.firstRun().Revision != 4 {
				t.Fatalf("revision %d", o.firstRun().Revision)
			}
			var mailed []int
			for _, m := range o.store.mails {
				if m.RunID == o.firstRun().ID {
					mailed = append(mailed, m.Revision)
				}
			}
			if diff := cmp.Diff(tt.want, mailed); diff != "" {
				t.Error(diff)
			}
			// Who got revision 1 last is told what changed since.
			said := "Missed: 2 before, 3 now"
			if tt.share > 0 {
				said = "Missed: 1 in the last mail, 3 now"
			}
			if text := o.mailText(o.firstRun(), 3); tt.share >= 0 && !strings.Contains(text, said) {
				t.Errorf("revision 3 does not say %q:\n%s", said, text)
			}
		})
	}
}

// A process dies after a revision's files were kept, and after it was recorded:
// in the end there is one more revision, and one mail of it.
func TestRevisionAfterCrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o, r := revisedOffice(t, "ops@example.org")
	o.tell("late-1", late)
	o.store.failFinishes = 2 // that of the 22nd, too
	r.Look(ctx)
	if run := o.firstRun(); run.Revision != 1 || run.State != call.RunBuilt || run.FilesGone() != "" {
		t.Fatalf("revision %d, %s", run.Revision, run.State)
	}
	o.clock.set(o.clock.now().Add(time.Minute))
	noMail := o.reporter(t, MailOptions{})
	noMail.Look(ctx) // builds it, and dies before mailing
	if diff := cmp.Diff([]string{"ops@example.org 1 sent"}, o.mailsOf(o.firstRun())); diff != "" || o.firstRun().Revision != 2 {
		t.Fatalf("revision %d, %s:\n%s", o.firstRun().Revision, diff, o.log.text.String())
	}
	var nodes sync.WaitGroup
	for range 3 {
		other := o.reporter(t, MailOptions{}, "ops@example.org", "new@example.org")
		nodes.Go(func() { other.Look(ctx) })
	}
	nodes.Wait()
	// Not to somebody who never got the report.
	if diff := cmp.Diff([]string{"ops@example.org 1 sent", "ops@example.org 2 sent"}, o.mailsOf(o.firstRun())); diff != "" {
		t.Error(diff)
	}
}

// Two nodes at the same time make one revision and one mail.
func TestTwoNodesOneRevision(t *testing.T) {
	t.Parallel()
	o, _ := revisedOffice(t, "ops@example.org")
	o.tell("late-1", late)
	var nodes sync.WaitGroup
	for range 4 {
		r := o.reporter(t, MailOptions{}, "ops@example.org")
		nodes.Go(func() { r.Look(context.Background()) })
	}
	nodes.Wait()
	o.reporter(t, MailOptions{}, "ops@example.org").Look(context.Background())
	if mails := o.mailsOf(o.firstRun()); o.firstRun().Revision != 2 || len(mails) != 2 {
		t.Errorf("revision %d, %v", o.firstRun().Revision, mails)
	}
}

// A mail of the first revision that could not be sent yet gives way to one of
// the second; if that is not to be mailed, the first's is sent as it was.
func TestRevisionWhileMailWaits(t *testing.T) {
	t.Parallel()
	for name, share := range map[string]float64{"mailed": 0, "not mailed": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := busyOffice(t)
			server, smtp := smtpServer(t, testenv.SMTPOptions{RefuseFirst: 1})
			report := dailyReport("ops@example.org")
			report.ReviseMailOver, report.Schedule = share, "0 * * * *"
			o.clock.set(at("2026-11-22 01:59:30"))
			r := o.reporterOf(t, MailOptions{SMTP: smtp}, report)
			r.Look(context.Background())
			if o.states()["ops@example.org"] != call.MailRetry {
				t.Fatalf("%v", o.states())
			}
			o.clock.set(at("2026-11-22 02:00:00"))
			o.tell("late-1", late)
			r.Look(context.Background())
			o.clock.set(at("2026-11-22 02:30:00"))
			r.Look(context.Background())
			if n := len(server.Messages()); n != 1 || o.firstRun().Revision != 2 {
				t.Fatalf("%d messages, revision %d", n, o.firstRun().Revision)
			}
			header, _ := testenv.ReadMail(t, server.Messages()[0].Data)
			subject := readSubject(t, header)
			if strings.Contains(subject, "revised") != (share >= 0) {
				t.Errorf("the mail is %q", subject)
			}
		})
	}
}

// By hand a revision is made at once; where nothing changed it is said, and the
// files are those that are kept.
func TestReviseByHand(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{}, "ops@example.org")
	day := at("2026-11-21 00:00:00")
	if _, err := r.Build(ctx, "daily", day, BuildOptions{Revise: true}); call.CodeOf(err) != call.NotFound {
		t.Errorf("revised what is not there: %v", err)
	}
	r.Look(ctx)
	out := filepath.Join(o.dir, "out")
	same, err := r.Build(ctx, "daily", day, BuildOptions{Revise: true, Out: out})
	if err != nil || same.Revised || same.Run.Revision != 1 || len(same.Files) != 4 {
		t.Fatalf("%+v, %v", same, err)
	}
	o.tell("late-1", late)
	done, err := r.Build(ctx, "daily", day, BuildOptions{Revise: true, Out: out})
	if err != nil || !done.Revised || done.Run.Revision != 2 || len(done.Files) != 4 {
		t.Fatalf("%+v, %v", done, err)
	}
	if title := cellsOf(t, openBook(t, done.Files[0]), "Summary", "A1")[0]; !strings.Contains(title, "revised (2)") {
		t.Errorf("the file says %q", title)
	}
	// --check finds each revision by its file.
	for revision := 1; revision <= 2; revision++ {
		file, err := r.fetch(ctx, done.Run.At(revision).Files[0], t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Check(ctx, "daily", day, file)
		if err != nil || c.Revision != revision || !c.SameBytes || !c.Kept {
			t.Errorf("revision %d: %+v, %v", revision, c, err)
		}
	}
}

// After a rebuild that knows only the first revision, the second is made again
// and its mails wait for a person.
func TestDoubtRevision(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o, r := revisedOffice(t, "ops@example.org")
	first := o.firstRun()
	o.tell("late-1", late)
	r.Look(ctx)
	o.store.runs[0] = first
	o.store.runs[0].KnownDeliveries = 0
	o.store.mails = slices.DeleteFunc(o.store.mails, func(m call.Mail) bool { return m.Revision == 2 })
	n, err := r.Doubt(ctx, func(_ context.Context, prefix string) (bool, error) {
		for key := range o.vault.files {
			if strings.HasPrefix(key, prefix) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil || n < 1 {
		t.Fatalf("%d mails in doubt, %v", n, err)
	}
	o.clock.set(o.clock.now().Add(time.Hour))
	r.Look(ctx)
	if diff := cmp.Diff([]string{"ops@example.org 1 sent", "ops@example.org 2 uncertain"}, o.mailsOf(first)); diff != "" || o.firstRun().Revision != 2 {
		t.Errorf("revision %d, %s", o.firstRun().Revision, diff)
	}
}

// The same inputs give the same revision, byte for byte.
func TestSameBytesOfRevision(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o, r := revisedOffice(t)
	o.tell("late-1", late)
	r.Look(ctx)
	in, err := r.currentInput(ctx, o.firstRun(), filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	built, _, err := BuildFiles(ctx, in, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range o.firstRun().At(2).Files[:len(built)] {
		if fmt.Sprintf("%x", built[i].SHA256) != f.SHA256 || f.Name != built[i].Name {
			t.Errorf("%s differs", f.Name)
		}
	}
}

func TestScheduleLast(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ cron, now, want string }{
		{"0 7 * * *", "2026-11-22 07:00:00", "2026-11-22 07:00:00"},
		{"0 7 * * *", "2026-11-22 06:59:59", "2026-11-21 07:00:00"},
		{"* * * * *", "2026-11-22 06:59:59", "2026-11-22 06:59:00"},
		{"0 7 * * 1", "2026-11-22 06:00:00", "2026-11-16 07:00:00"},
		{"0 7 1 * *", "2026-11-22 06:00:00", "2026-11-01 07:00:00"},
		{"0 7 29 2 *", "2026-11-22 06:00:00", "2024-02-29 07:00:00"},
	} {
		s, err := newSchedule(tt.cron, kolkata)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.last(at(tt.now)); !got.Equal(at(tt.want)) {
			t.Errorf("%s at %s: %v, want %s", tt.cron, tt.now, got, tt.want)
		}
	}
}
