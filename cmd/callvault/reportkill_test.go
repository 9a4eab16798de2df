package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// barrier is a line to a store, on which requests can be held.
type barrier struct {
	mu   sync.Mutex
	hold func(*http.Request) bool // nil: nothing is held
	held chan struct{}            // closed when something is
	lost chan struct{}            // closed to cut what is held
}

// choose is for testenv.FaultyStore.
func (g *barrier) choose(r *http.Request) testenv.StoreFault {
	g.mu.Lock()
	if g.hold == nil || !g.hold(r) {
		g.mu.Unlock()
		return testenv.NoFault
	}
	select {
	case <-g.held:
	default:
		close(g.held)
	}
	lost := g.lost
	g.mu.Unlock()
	<-lost
	panic(http.ErrAbortHandler) // the store never hears of it
}

// shut holds requests from now on; what it returns is closed at the first.
func (g *barrier) shut(hold func(*http.Request) bool) (held <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold, g.held, g.lost = hold, make(chan struct{}), make(chan struct{})
	return g.held
}

// open loses what is held, and lets all else through.
func (g *barrier) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold != nil {
		g.hold = nil
		close(g.lost)
	}
}

// reached waits until something has happened.
func reached(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(4 * time.Minute):
		t.Fatalf("after four minutes still not: %s", what)
	}
}

// noonZone is a zone in which it is about noon, so that no day ends while a test
// runs, and the day before in it.
func noonZone() (name string, yesterday time.Time) {
	now := time.Now().UTC()
	ahead := 12 - now.Hour()
	zone := time.FixedZone("", ahead*3600)
	return fmt.Sprintf("Etc/GMT%+d", -ahead), now.In(zone).AddDate(0, 0, -1)
}

// reportOf is a report in a configuration that is due at midnight.
func reportOf(name, zone string, recipients ...string) string {
	return fmt.Sprintf("  - {name: %s, time_zone: %s, schedule: \"0 0 * * *\", recipients: [%s]}\n", name, zone, strings.Join(recipients, ", "))
}

// importCalls imports calls that began at these times.
func (in installation) importCalls(t *testing.T, times ...time.Time) {
	t.Helper()
	var lines strings.Builder
	for i, at := range times {
		local := at.In(time.FixedZone("IST", 19800)).Format(time.DateTime)
		fmt.Fprintf(&lines, "{\"CallSid\":\"1.%d\",\"Status\":\"BUSY\",\"Direction\":\"IVR\",\"SourceNumber\":\"+91981234567%d\",\"StartTime\":%q,\"EndTime\":%[3]q}\n", i, i%10, local)
	}
	file := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data); got.Recorded != int64(len(times)) {
		t.Fatalf("imported: %+v", got)
	}
}

// endLeases does what time does to the leases of nodes that are no more.
func (in installation) endLeases(t *testing.T, s storage) {
	t.Helper()
	db := in.openDatabase(t, s, "")
	for _, statement := range []string{
		"UPDATE runs SET lease_until = 1 WHERE lease_token IS NOT NULL",
		"UPDATE mails SET lease_until = 1 WHERE state = 'sending'",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// openDatabase opens the database past the program.
func (in installation) openDatabase(t *testing.T, s storage, options string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", s.dsn
	if dsn == "" {
		driver, dsn = "sqlite", "file:"+filepath.Join(in.data, databaseFile)+"?_pragma=busy_timeout(60000)"+options
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// lockMails keeps what becomes of mails from being written down. What waits for
// it is lost when it ends; waiting says whether something does, where the
// database can tell.
func (in installation) lockMails(t *testing.T, s storage) (waiting func() bool, unlock func()) {
	t.Helper()
	db := in.openDatabase(t, s, "&_txlock=immediate")
	lock, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	end := func() {
		if err := lock.Rollback(); err != nil {
			t.Error(err)
		}
	}
	if s.dsn == "" {
		return func() bool { return true }, end
	}
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLE mails IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	const others = " FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%mails%'"
	count := func(what string) (n int) {
		// Not within the lock's transaction: that sees who waited when it first looked.
		if err := db.QueryRowContext(t.Context(), "SELECT count("+what+")"+others).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return func() bool { return count("*") > 0 }, func() {
		count("pg_terminate_backend(pid)")
		end()
	}
}

// TestKilledWhileReporting kills the program with SIGKILL at each step of one
// report: while it is built, when some of its files are stored, when all are and
// no mail is begun, while the mail server has a mail and has not answered, and
// when it has answered and that is not written down. Then two nodes are started,
// where the database can be shared. There is one run, each of its files is in the
// vault once, and whoever may have got the mail does not get it again until a
// person says so.
func TestKilledWhileReporting(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]storage{"SQLite": {}, "PostgreSQL": {dsn: "wanted"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s.dsn != "" {
				s.dsn = testenv.Postgres(t)
			}
			bucket := testenv.MinIO(t, testenv.BucketOptions{Versioned: true})
			line := new(barrier)
			bucket.Endpoint = testenv.FaultyStore(t, bucket.Endpoint, line.choose)
			t.Cleanup(line.open)
			s.bucket = &bucket
			killedWhileReporting(t, s, line)
		})
	}
}

func killedWhileReporting(t *testing.T, s storage, line *barrier) {
	t.Helper()
	const first, second, third = "first@example.org", "second@example.org", "third@example.org"
	arrived, answer, answered := make(chan string, 10), make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(answer) })
	smtp := testenv.SMTP(t, testenv.SMTPOptions{
		BeforeAnswer: func(m testenv.Message) {
			arrived <- m.To[0]
			if m.To[0] != third {
				<-answer
			}
		},
		AfterAnswer: func(m testenv.Message) {
			if m.To[0] == second {
				select {
				case <-answered:
				default:
					close(answered)
				}
			}
		},
	})
	t.Cleanup(letGo)
	zone, yesterday := noonZone()
	in := install(t, s, anySize(), "reports:\n"+reportOf("daily", zone, first, second, third)+
		fmt.Sprintf("mail: {smtp: %q, ca_file: %q, from: reports@example.org}\n", smtp.URL(), smtp.CAFile))
	in.importCalls(t, yesterday, yesterday, yesterday)
	in.tamper(t, s, fmt.Sprintf("INSERT INTO report_schedules (report, first_seen) VALUES ('daily', %d)", yesterday.UnixMilli()))
	kept, vault := in.openStored(t)
	run := func() call.Run {
		t.Helper()
		runs := runsOf(t, kept)
		if len(runs) > 1 {
			t.Fatalf("runs are %+v", runs)
		}
		return append(runs, call.Run{})[0]
	}
	mails := func() map[string]call.MailState {
		t.Helper()
		states := make(map[string]call.MailState)
		for _, m := range mailsOf(t, kept, run().ID) {
			states[m.Recipient] = m.State
		}
		return states
	}
	files := func() int { return len(reportObjects(t, vault)) }
	// kill kills the program at a moment at which it cannot go on.
	kill := func(p *program) {
		t.Helper()
		p.stop(syscall.SIGKILL)
		line.open()
		in.endLeases(t, s)
	}

	held := line.shut(func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/seals/")
	})
	p := in.start(t)
	reached(t, "the log is being sealed", held)
	eventually(t, "the report is being built", func() bool { return run().State == call.RunBuilding })
	kill(p)
	if n := files(); n != 0 || run().State != call.RunBuilding {
		t.Fatalf("killed while building: %d files, the run is %s", n, run().State)
	}

	puts := 0
	held = line.shut(func(r *http.Request) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/reports/") {
			return false
		}
		puts++
		return puts > 3
	})
	p = in.start(t)
	reached(t, "the fourth file is being stored", held)
	kill(p)
	if n := files(); n != 3 || run().State != call.RunBuilding {
		t.Fatalf("killed while storing: %d files, the run is %s", n, run().State)
	}

	held = line.shut(func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/mail.txt")
	})
	p = in.start(t)
	reached(t, "the mail is being read from the vault", held)
	kill(p)
	if got := run(); got.State != call.RunBuilt || len(got.Files) < 8 || len(mails()) != 0 {
		t.Fatalf("killed before mailing: %+v, mails %v", got, mails())
	}
	built := run()

	p = in.start(t)
	if to := <-arrived; to != first {
		t.Fatalf("the first mail is to %s", to)
	}
	kill(p)
	if diff := cmp.Diff(map[string]call.MailState{first: call.MailSending}, mails()); diff != "" {
		t.Fatalf("killed while the mail server had a mail: %s", diff)
	}

	p = in.start(t)
	if to := <-arrived; to != second {
		t.Fatalf("the next mail is to %s", to)
	}
	waiting, unlock := in.lockMails(t, s)
	letGo()
	reached(t, "the mail server has answered", answered)
	eventually(t, "the result is being written down", waiting)
	p.stop(syscall.SIGKILL)
	unlock()
	kill(p)
	if got := mails(); got[second] != call.MailSending || got[third] != "" {
		t.Fatalf("killed before the result was written down: %v", got)
	}

	nodes := []*program{in.start(t)}
	if s.dsn != "" {
		nodes = append(nodes, in.secondNode(t).start(t))
	}
	want := map[string]call.MailState{first: call.MailUncertain, second: call.MailUncertain, third: call.MailSent}
	eventually(t, "all mails are settled", func() bool { return cmp.Equal(want, mails()) })
	for _, p := range nodes {
		p.stop(syscall.SIGTERM)
	}
	if diff := cmp.Diff(built, run()); diff != "" {
		t.Errorf("the run has become another: %s", diff)
	}
	checkReported(t, kept, vault, smtp)

	// Somebody looks, and sends again what is uncertain.
	day := yesterday.Format(time.DateOnly)
	commandJSON[struct{}](t, "report", "daily", "--date", day, "--send", "--out", t.TempDir(), "--data", in.data)
	if diff := cmp.Diff(map[string]call.MailState{first: call.MailSent, second: call.MailSent, third: call.MailSent}, mails()); diff != "" {
		t.Errorf("sent by hand: %s", diff)
	}
	times := make(map[string]int) // by recipient and Message-ID
	for _, m := range smtp.Messages() {
		header, _ := testenv.ReadMail(t, m.Data)
		times[m.To[0]+" "+header.Get("Message-Id")]++
	}
	if n := slices.Sorted(maps.Values(times)); !slices.Equal(n, []int{1, 2, 2}) {
		t.Errorf("mails by recipient and Message-ID: %v", times)
	}
}

// runsOf are all runs.
func runsOf(t *testing.T, s *store.Store) []call.Run {
	t.Helper()
	runs, next, err := s.FindRuns(t.Context(), call.RunFilter{Limit: call.MaxLimit})
	if err != nil || next != "" {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	return runs
}

// mailsOf are the mails of a run.
func mailsOf(t *testing.T, s *store.Store, run string) []call.Mail {
	t.Helper()
	mails, err := s.Mails(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return mails
}

// reportObjects counts the versions of each object of reports in a vault.
func reportObjects(t *testing.T, v archive.Vault) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for o, err := range v.Versions(t.Context(), "reports/") {
		if err != nil {
			t.Fatal(err)
		}
		found[o.Key]++
	}
	return found
}

// checkReported makes sure that each period has one run; that the vault has the
// files of runs, each once and with the bytes that were recorded, and nothing else
// but what killed nodes are known to have put, which goes after a day; and that each mail that is sent came once, each that is uncertain
// once at most, and no other at all: with the files as they are kept.
func checkReported(t *testing.T, s *store.Store, v archive.Vault, smtp *testenv.SMTPServer) {
	t.Helper()
	came := make(map[string][]testenv.Message) // by Message-ID
	for _, m := range smtp.Messages() {
		header, _ := testenv.ReadMail(t, m.Data)
		id := header.Get("Message-Id")
		came[id] = append(came[id], m)
	}
	runs := runsOf(t, s)
	want, periods := make(map[string]int), make(map[string]bool)
	for _, run := range runs {
		period := run.Report + " " + run.PeriodFrom.String()
		if run.State != call.RunBuilt || run.Revision != 1 || periods[period] {
			t.Errorf("a run of %s is %s, revision %d", period, run.State, run.Revision)
		}
		periods[period] = true
		hashes := make(map[string]string) // by name
		for _, f := range run.Files {
			want[f.ObjectKey] = 1
			hashes[f.Name] = f.SHA256
			body, _, err := v.Open(t.Context(), f.ObjectKey, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			hash := sha256.New()
			_, err = io.Copy(hash, body)
			if err := body.Close(); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%x", hash.Sum(nil)); err != nil || got != f.SHA256 {
				t.Errorf("%s has the SHA-256 %s, not %s as recorded (%v)", f.ObjectKey, got, f.SHA256, err)
			}
		}
		for _, m := range mailsOf(t, s, run.ID) {
			messages := came["<"+m.MessageID+">"]
			delete(came, "<"+m.MessageID+">")
			if m.State != call.MailSent && m.State != call.MailUncertain || len(messages) > 1 || len(messages) == 0 && m.State == call.MailSent {
				t.Errorf("the mail of %s to %s is %s, and came %d times", period, m.Recipient, m.State, len(messages))
			}
			for _, message := range messages {
				_, parts := testenv.ReadMail(t, message.Data)
				attached := 0
				for name, content := range parts {
					if hash := fmt.Sprintf("%x", sha256.Sum256(content)); strings.HasPrefix(name, run.Report+"-") {
						attached++
						if hash != hashes[name] {
							t.Errorf("%s in the mail to %s is not what is kept", name, m.Recipient)
						}
					}
				}
				if attached != 4 || !slices.Equal(message.To, []string{m.Recipient}) {
					t.Errorf("%d files were mailed to %s, recorded as %s", attached, message.To, m.Recipient)
				}
			}
		}
	}
	for id := range came {
		t.Errorf("a mail came that nobody has begun: %s", id)
	}
	// What else was put is known, and goes.
	known := maps.Clone(want)
	making, err := s.RunsInMaking(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range making {
		for _, f := range m.Abandoned() {
			known[f.ObjectKey] = 1
		}
	}
	for key, versions := range reportObjects(t, v) {
		if versions != known[key] {
			t.Errorf("%s lies in the vault in %d versions", key, versions)
		}
	}
	swept, err := archive.NewSweeper(archive.SweeperOptions{
		Store: s, Vault: v, Wake: func() {}, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Now().Add(48 * time.Hour) },
	}).Pass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, reportObjects(t, v)); diff != "" {
		t.Errorf("report files in the vault, by versions (-recorded +there), after %+v:\n%s", swept, diff)
	}
}

// TestReportsKilledAtAnyMoment kills the program with SIGKILL again and again,
// at moments that nobody planned, while it catches up with the reports of some
// days and mails them.
func TestReportsKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	var s storage // SQLite and a directory
	smtp := testenv.SMTP(t, testenv.SMTPOptions{})
	zone, yesterday := noonZone()
	in := install(t, s, anySize(), "reports:\n"+reportOf("daily", zone, "ops@example.org", "boss@example.org")+reportOf("late", zone, "late@example.org")+
		fmt.Sprintf("mail: {smtp: %q, ca_file: %q, from: reports@example.org}\n", smtp.URL(), smtp.CAFile))
	const days = 2
	var times []time.Time
	for n := range days {
		times = append(times, yesterday.AddDate(0, 0, -n), yesterday.AddDate(0, 0, -n))
	}
	in.importCalls(t, times...)
	for _, report := range []string{"daily", "late"} {
		in.tamper(t, s, fmt.Sprintf("INSERT INTO report_schedules (report, first_seen) VALUES ('%s', %d)", report, yesterday.AddDate(0, 0, 1-days).UnixMilli()))
	}
	kept, vault := in.openStored(t)
	settled := func() bool {
		ctx := context.WithoutCancel(t.Context())
		runs, _, err := kept.FindRuns(ctx, call.RunFilter{State: call.RunBuilt})
		if err != nil || len(runs) < 2*days {
			return false
		}
		n := 0
		for _, run := range runs {
			mails, err := kept.Mails(ctx, run.ID)
			if err != nil {
				return false
			}
			for _, m := range mails {
				if m.State == call.MailSent || m.State == call.MailUncertain {
					n++
				}
			}
		}
		return n == 3*days
	}
	// done grows with each file that is stored and each mail that is begun.
	done := func() int { return len(reportObjects(t, vault)) + smtp.Tries() }
	kills := 0
	for ; kills < 5 && !settled(); kills++ {
		until := done() + 1 + rand.IntN(12)
		p := in.start(t)
		eventually(t, "some more is done", func() bool { return done() >= until || settled() })
		p.stop(syscall.SIGKILL)
		in.endLeases(t, s)
	}
	uncertain := 0
	for _, run := range runsOf(t, kept) {
		for _, m := range mailsOf(t, kept, run.ID) {
			if m.State != call.MailSent {
				uncertain++
			}
		}
	}
	t.Logf("killed %d times, in %d mails", kills, uncertain)
	p := in.start(t)
	eventually(t, "all reports are built and mailed", settled)
	p.stop(syscall.SIGTERM)
	checkReported(t, kept, vault, smtp)
}
