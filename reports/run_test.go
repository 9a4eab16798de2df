package reports

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// periods are the days of the runs in a state, in order of reserving.
func (o *office) periods(state call.RunState) []string {
	var days []string
	for _, r := range o.store.runs {
		if r.State == state {
			days = append(days, r.PeriodFrom.In(kolkata).Format(time.DateOnly))
		}
	}
	return days
}

func TestLookBuildsOnce(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{}, "ops@example.org")
	for range 3 {
		r.Look(context.Background())
	}
	if o.store.built != 1 {
		t.Fatalf("built %d times", o.store.built)
	}
	run := o.store.runs[0]
	if !run.PeriodFrom.Equal(at("2026-11-21 00:00:00")) || !run.PeriodTo.Equal(at("2026-11-22 00:00:00")) ||
		run.Zone != "Asia/Kolkata" || run.Revision != 1 || len(run.InputHash) != 64 {
		t.Errorf("run %+v", run)
	}
	var names []string
	for _, f := range run.Files {
		names = append(names, f.Name)
		if !strings.HasPrefix(f.ObjectKey, "reports/daily/2026-11-21/r1-") || o.vault.files[f.ObjectKey] == nil {
			t.Errorf("%s is not in the vault under %s", f.Name, f.ObjectKey)
		}
	}
	want := []string{"daily-2026-11-21.xlsx", "daily-2026-11-21-calls.csv", "daily-2026-11-21-agents.csv",
		"daily-2026-11-21-summary.csv", "mail.txt", "mail.html", "mail-hours.png", "input.ndjson.zst"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if left, err := os.ReadDir(filepath.Join(o.dir, "spool")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
}

// The files in the vault are what the frozen input in the vault gives.
func TestRebuiltFromVault(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.reporter(t, MailOptions{}).Look(context.Background())
	files := make(map[string][]byte)
	for _, f := range o.store.runs[0].Files {
		files[f.Name] = o.vault.files[f.ObjectKey]
	}
	dir := t.TempDir()
	path := filepath.Join(dir, inputName)
	if err := os.WriteFile(path, files[inputName], 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInput(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if in.Hash != o.store.runs[0].InputHash {
		t.Errorf("hash %s, the run says %s", in.Hash, o.store.runs[0].InputHash)
	}
	built, _, err := BuildFiles(context.Background(), in, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range built {
		content, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, files[f.Name]) {
			t.Errorf("%s is not what is in the vault", f.Name)
		}
	}
}

func TestTwoNodesOneReport(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	var wg sync.WaitGroup
	for range 4 {
		r := o.reporter(t, MailOptions{}, "ops@example.org", "boss@example.org")
		wg.Go(func() { r.Look(context.Background()) })
	}
	wg.Wait()
	o.reporter(t, MailOptions{}, "ops@example.org", "boss@example.org").Look(context.Background())
	if o.store.built != 1 || len(o.store.runs) != 1 {
		t.Errorf("built %d times, %d runs", o.store.built, len(o.store.runs))
	}
	var recipients []string
	for _, m := range o.store.mails {
		recipients = append(recipients, m.Recipient+" "+string(m.State))
	}
	if diff := cmp.Diff([]string{"ops@example.org sent", "boss@example.org sent"}, recipients); diff != "" {
		t.Error(diff)
	}
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{})
	r.Look(context.Background())
	o.clock.set(at("2026-11-25 06:00:00")) // down since; the 24th's time has not come
	r.Look(context.Background())
	want := []string{"2026-11-21", "2026-11-22", "2026-11-23"}
	if diff := cmp.Diff(want, o.periods(call.RunBuilt)); diff != "" {
		t.Error(diff)
	}
	o.clock.set(at("2026-12-25 08:00:00")) // a month: only seven back
	r.Look(context.Background())
	got := o.periods(call.RunBuilt)[3:]
	want = []string{"2026-12-18", "2026-12-19", "2026-12-20", "2026-12-21", "2026-12-22", "2026-12-23", "2026-12-24"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A report that was daily and becomes weekly: Monday's run is not the week's.
func TestPeriodIsChanged(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.store.firstSeen = at("2026-11-10 00:00:00")
	o.clock.set(at("2026-11-17 08:00:00")) // Monday the 16th is reported
	o.reporter(t, MailOptions{}).Look(context.Background())
	o.clock.set(at("2026-11-23 08:00:00")) // Monday again: the week is over
	weekly := dailyReport()
	weekly.Period = Week
	r := o.reporterOf(t, MailOptions{}, weekly)
	r.Look(context.Background())
	r.Look(context.Background())
	last := o.store.runs[len(o.store.runs)-1]
	if !last.PeriodFrom.Equal(at("2026-11-16 00:00:00")) || !last.PeriodTo.Equal(at("2026-11-23 00:00:00")) || last.State != call.RunBuilt {
		t.Errorf("the last run is of %v to %v, %s", last.PeriodFrom, last.PeriodTo, last.State)
	}
}

func TestFailedBuildIsTriedAgain(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.store.failBuilds = 1
	r := o.reporter(t, MailOptions{})
	r.Look(context.Background())
	if got := o.store.runs[0]; got.State != call.RunFailed || !strings.Contains(got.Error, "calls could not be read") || strings.Contains(got.Error, "went away") {
		t.Fatalf("%s: %q", got.State, got.Error)
	}
	if o.log.count("the database went away") != 1 {
		t.Error("the log does not say why")
	}
	r.Look(context.Background())
	if o.store.runs[0].State != call.RunFailed {
		t.Error("tried again at once")
	}
	o.clock.set(o.clock.now().Add(time.Minute))
	r.Look(context.Background())
	if o.store.runs[0].State != call.RunBuilt {
		t.Error("not tried again after a minute")
	}
}

// A report that takes longer than its lease keeps it.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	synctest.Test(t, func(t *testing.T) {
		o.store.slow = make(chan struct{}) // closed by the third renewal
		began := time.Now()
		o.reporter(t, MailOptions{}).Look(t.Context())
		if took := time.Since(began); o.store.built != 1 || took < renewEvery || took >= buildLease {
			t.Errorf("built %d times, the third renewal came after %v", o.store.built, took)
		}
	})
}

// Another node has taken the run: building ends, and the run is left to it.
func TestLeaseIsLost(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	synctest.Test(t, func(t *testing.T) {
		o.store.slow = make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			o.reporter(t, MailOptions{}).Look(t.Context())
		}()
		synctest.Wait()
		o.store.mu.Lock()
		clear(o.store.leases)
		o.store.mu.Unlock()
		<-done
	})
	if got := o.store.runs[0]; got.State != call.RunBuilding || len(o.vault.files) != 0 || o.log.count("lease lost") != 1 {
		t.Errorf("the run is %s, %d files in the vault:\n%s", got.State, len(o.vault.files), o.log.text.String())
	}
}

// Another node has taken the run just before its files are put: none is.
func TestLeaseIsLostBeforePutting(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.store.losesRun = true
	o.reporter(t, MailOptions{}).Look(t.Context())
	if got := o.store.runs[0]; got.State != call.RunBuilding || len(o.vault.files) != 0 || o.log.count("lease lost") != 1 {
		t.Errorf("the run is %s, %d files in the vault:\n%s", got.State, len(o.vault.files), o.log.text.String())
	}
}

// The program is stopped in the middle: the run says so, and can be won again.
func TestInterruptedBuild(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	synctest.Test(t, func(t *testing.T) {
		o.store.slow = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			o.reporter(t, MailOptions{}).Look(ctx)
		}()
		synctest.Wait()
		cancel()
		<-done
	})
	if got := o.store.runs[0]; got.State != call.RunFailed || got.Error != "Interrupted, to be built again." {
		t.Errorf("%s: %q", got.State, got.Error)
	}
	o.store.slow = nil
	o.reporter(t, MailOptions{}).Look(context.Background())
	if got := o.store.runs[0]; got.State != call.RunBuilt || got.Error != "" {
		t.Errorf("%s: %q", got.State, got.Error)
	}
}

// A process that died between building and mailing: the next one mails.
func TestMailAfterCrash(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.reporter(t, MailOptions{}).Look(context.Background()) // no recipients: no mail
	o.reporter(t, MailOptions{}, "ops@example.org").Look(context.Background())
	if len(o.store.mails) != 1 || o.store.built != 1 {
		t.Fatalf("%d mails, built %d times", len(o.store.mails), o.store.built)
	}
	// But not long afterwards: who is added later does not get old reports.
	o.clock.set(o.clock.now().Add(25 * time.Hour))
	o.reporter(t, MailOptions{}, "ops@example.org", "new@example.org").Look(context.Background())
	for _, m := range o.store.mails {
		if m.Recipient == "new@example.org" && m.RunID == "run-1" {
			t.Error("an old report was mailed to a new recipient")
		}
	}
}

// A run that was made by hand long before its time is mailed at its time, and
// for a day.
func TestMailedFromItsTime(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := newOffice(t)
	weekly := dailyReport("ops@example.org")
	weekly.Period, weekly.Schedule = Week, "0 7 * * 3"
	r := o.reporterOf(t, MailOptions{}, weekly)
	o.clock.set(at("2026-11-23 00:05:00")) // Monday; Wednesday's schedule is more than a day away
	if _, err := r.Build(ctx, "daily", at("2026-11-20 00:00:00"), BuildOptions{Send: true, Recipients: []string{"boss@example.org"}}); err != nil {
		t.Fatal(err)
	}
	r.Look(ctx)
	if _, begun := o.states()["ops@example.org"]; begun {
		t.Fatal("mailed before its time")
	}
	for _, look := range []string{"2026-11-26 07:00:00", "2026-11-26 07:01:00"} {
		o.clock.set(at(look))
		r.Look(ctx)
	}
	if _, begun := o.states()["ops@example.org"]; begun || o.log.count("too old to be mailed") != 1 {
		t.Errorf("a day after its time: mailed %v, said %d times that it is too old", begun, o.log.count("too old to be mailed"))
	}
	o.clock.set(at("2026-11-26 06:59:00"))
	r.Look(ctx)
	if got := o.states()["ops@example.org"]; got != call.MailSent {
		t.Errorf("within a day of its time: %s", got)
	}
}

// A report by hand before its time gives files, and leaves the run to its time:
// else the manager would be told at seven what was known at five past midnight.
func TestBuildByHandBeforeItsTime(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := busyOffice(t)
	o.clock.set(at("2026-11-22 00:05:00"))
	r := o.reporter(t, MailOptions{}, "ops@example.org")
	result, err := r.Build(ctx, "daily", at("2026-11-21 00:00:00"), BuildOptions{Out: filepath.Join(o.dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Files) != 4 || result.Run.ID != "" || len(o.store.runs) != 0 {
		t.Fatalf("%d files, run %q, %d runs", len(result.Files), result.Run.ID, len(o.store.runs))
	}
	o.clock.set(at("2026-11-22 07:00:00"))
	r.Look(ctx)
	if asOf := o.store.runs[0].AsOf; !asOf.Equal(at("2026-11-22 07:00:00")) {
		t.Errorf("the run is as of %v", asOf)
	}
	// Sent by hand before its time, the run is there, and told.
	o.clock.set(at("2026-11-23 00:05:00"))
	sent, err := r.Build(ctx, "daily", at("2026-11-22 00:00:00"), BuildOptions{Send: true})
	if err != nil || sent.Run.State != call.RunBuilt {
		t.Fatalf("%+v, %v", sent.Run, err)
	}
	again, err := r.Build(ctx, "daily", at("2026-11-22 00:00:00"), BuildOptions{})
	if err != nil || again.Run.ID != sent.Run.ID {
		t.Errorf("run %q, want %q, %v", again.Run.ID, sent.Run.ID, err)
	}
}

func TestBuildByHand(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{})
	ctx := context.Background()
	out := filepath.Join(o.dir, "out")
	result, err := r.Build(ctx, "daily", at("2026-11-21 15:00:00"),
		BuildOptions{Out: out, Send: true, Recipients: []string{"someone@localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	if result.Run.ID != "run-1" || len(result.Files) != 4 || len(result.Mails) != 1 {
		t.Fatalf("%+v", result)
	}
	for i, path := range result.Files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, o.vault.files[result.Run.Files[i].ObjectKey]) {
			t.Errorf("%s is not the file that is kept", path)
		}
	}
	eml := result.Mails[0].Detail
	if name := filepath.Base(eml); filepath.Dir(eml) != filepath.Join(o.dir, "mail") ||
		!regexp.MustCompile(`^daily-2026-11-21-r1-someone@localhost-[0-9a-f]{8}\.eml$`).MatchString(name) {
		t.Errorf("mail %s", eml)
	}
	info, err := os.Stat(eml)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode of the mail %v, %v", info.Mode(), err)
	}

	// Once more: the run stays, the files are of now.
	o.clock.set(o.clock.now().Add(time.Hour))
	again, err := r.Build(ctx, "daily", at("2026-11-21 15:00:00"), BuildOptions{Out: out})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(result.Run, again.Run); diff != "" {
		t.Errorf("the run changed: %s", diff)
	}
	if diff := cmp.Diff(result.Files, again.Files); diff != "" {
		t.Error(diff)
	}
	book := openBook(t, again.Files[0])
	if got := cellsOf(t, book, "Summary", "A3")[0]; !strings.Contains(got, "as of 2026-11-22 08:30:00") {
		t.Errorf("the files say %q", got)
	}
}

func TestBuildByHandOfToday(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{}, "ops@example.org")
	ctx := context.Background()
	result, err := r.Build(ctx, "daily", o.clock.now(), BuildOptions{Out: filepath.Join(o.dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Files) != 4 || len(o.store.runs) != 0 {
		t.Errorf("%d files, %d runs: a day that goes on must have none", len(result.Files), len(o.store.runs))
	}
	f := openBook(t, filepath.Join(o.dir, "out", "daily-2026-11-22.xlsx"))
	if said := cellsOf(t, f, "Summary", "A3")[0]; !strings.HasSuffix(said, "· not over yet") {
		t.Errorf("the summary says %q", said)
	}
	if _, err := r.Build(ctx, "daily", o.clock.now(), BuildOptions{Send: true}); call.CodeOf(err) != call.Invalid {
		t.Errorf("sent a day that goes on: %v", err)
	}
	if _, err := r.Build(ctx, "weekly", o.clock.now(), BuildOptions{}); call.CodeOf(err) != call.NotFound {
		t.Errorf("built an unknown report: %v", err)
	}
}

func TestUnwritableOut(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	out := filepath.Join(o.dir, "file")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := o.reporter(t, MailOptions{}).Build(context.Background(), "daily", at("2026-11-21 00:00:00"), BuildOptions{Out: out})
	if err == nil || !strings.Contains(err.Error(), out) {
		t.Errorf("error %v does not name the folder", err)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.reporter(t, MailOptions{}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A process that was killed leaves its folder; the next one removes it, but not
// one in which somebody may be at work.
func TestSpoolOfDeadProcess(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for path, age := range map[string]time.Duration{
		"report-dead/input.ndjson.zst": 7 * time.Hour, "report-alive/input.ndjson.zst": 5 * time.Hour,
		"fetch-old/audio.part": 7 * time.Hour,
	} {
		path = filepath.Join(o.dir, "spool", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		// The folder is as old as a folder can be: what counts is the newest.
		for name, age := range map[string]time.Duration{path: age, filepath.Dir(path): 48 * time.Hour} {
			if err := os.Chtimes(name, time.Time{}, o.clock.now().Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.reporter(t, MailOptions{}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(o.dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"fetch-old", "report-alive"}, left); diff != "" {
		t.Error(diff)
	}
}

func TestNewFaults(t *testing.T) {
	t.Parallel()
	report := dailyReport()
	report.Schedule = "at seven"
	if _, err := New(Options{Reports: []Report{report}}); err == nil || !strings.Contains(err.Error(), "daily") {
		t.Errorf("a bad schedule: %v", err)
	}
	if _, err := New(Options{Mail: MailOptions{From: "nobody"}}); err == nil {
		t.Error("a bad sender was taken")
	}
}
