package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/testenv"
)

// TestScheduledReport lets running programs find out that a report is due,
// build it once and mail it once to each recipient; two nodes at the same time
// where the database can be shared, and a restart afterwards.
func TestScheduledReport(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		smtp := testenv.SMTP(t, testenv.SMTPOptions{})
		in := install(t, s, anySize(), fmt.Sprintf(
			"reports: [{name: daily, schedule: \"0 0 * * *\", recipients: [ops@example.org, boss@example.org]}]\nmail: {smtp: %q, ca_file: %q, from: reports@example.org}\n",
			smtp.URL(), smtp.CAFile))
		yesterday := time.Now().In(time.FixedZone("IST", 19800)).AddDate(0, 0, -1)
		file := filepath.Join(t.TempDir(), "calls.jsonl")
		text := ""
		for i := range 5 {
			text += fmt.Sprintf("{\"CallSid\":\"1.%d\",\"Status\":\"BUSY\",\"Direction\":\"IVR\",\"StartTime\":\"%s 10:00:00\",\"EndTime\":\"%[2]s 10:00:20\"}\n", i, yesterday.Format(time.DateOnly))
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data); got.Recorded != 5 {
			t.Fatalf("imported: %+v", got)
		}
		// The report has been in the configuration since yesterday, and one
		// day has ended since.
		driver, dsn := "pgx", s.dsn
		if dsn == "" {
			driver, dsn = "sqlite", filepath.Join(in.data, databaseFile)
		}
		firstSeen := time.Date(yesterday.Year(), yesterday.Month(), yesterday.Day(), 0, 30, 0, 0, yesterday.Location())
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO report_schedules (report, first_seen) VALUES ('daily', %d)", firstSeen.UnixMilli())); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		nodes := []installation{in}
		if s.dsn != "" {
			nodes = append(nodes, in.secondNode(t))
		}
		for range 2 {
			running := make([]*program, len(nodes))
			for i, n := range nodes {
				running[i] = n.start(t)
			}
			if _, err := smtp.WaitMessages(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			for _, p := range running {
				p.stop(syscall.SIGTERM)
			}
		}
		kept, _ := in.openStored(t)
		runs, _, err := kept.FindRuns(t.Context(), call.RunFilter{Report: "daily"})
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) != 1 || runs[0].State != call.RunBuilt {
			t.Fatalf("runs are %+v", runs)
		}
		if n := len(smtp.Messages()); n != 2 {
			t.Errorf("%d mails of one run to two recipients", n)
		}
		mails, err := kept.Mails(t.Context(), runs[0].ID)
		if err != nil || len(mails) != 2 || mails[0].State != call.MailSent || mails[1].State != call.MailSent {
			t.Errorf("mails are %+v, %v", mails, err)
		}
	})
}

// TestNoMailTwiceAfterRebuild mails a report, loses the database before the
// journal has heard of it, and makes the database again from the vault: the
// report is built again, and its mails wait for a person.
func TestNoMailTwiceAfterRebuild(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		smtp := testenv.SMTP(t, testenv.SMTPOptions{})
		vault := ""
		if s.bucket == nil {
			vault = "vault: {directory: " + t.TempDir() + "}\n"
		}
		more := vault + fmt.Sprintf("reports: [{name: daily, schedule: \"0 0 * * *\", recipients: [ops@example.org, boss@example.org]}]\nmail: {smtp: %q, ca_file: %q, from: reports@example.org}\n",
			smtp.URL(), smtp.CAFile)
		in := install(t, s, anySize(), more)
		p := in.start(t)
		newLoad(in).post(t.Context(), p.url, 3)
		p.stop(syscall.SIGTERM) // which writes the journal
		// Of a command's work the journal hears when the next server runs.
		commandJSON[struct{ Files []string }](t, "report", "daily", "--send", "--out", t.TempDir(), "--data", in.data)
		if n := len(smtp.Messages()); n != 2 {
			t.Fatalf("%d mails of one run to two recipients", n)
		}

		again, empty := in, s
		again.data = t.TempDir()
		if s.dsn != "" {
			empty.dsn = testenv.Postgres(t)
		}
		again.configure(t, empty, more)
		// The report has sealed the log, with entries that no segment has.
		made := command(t, "", "rebuild", "--json", "--data", again.data)
		var got rebuildResult
		if err := json.Unmarshal([]byte(made.stdout), &got); err != nil || got.Uncertain != 2 || got.Calls < 3 {
			t.Fatalf("%v, %+v", err, made)
		}
		// The report has been in the configuration for a day.
		driver, dsn := "pgx", empty.dsn
		if dsn == "" {
			driver, dsn = "sqlite", filepath.Join(again.data, databaseFile)
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		result, err := db.ExecContext(t.Context(), "UPDATE report_schedules SET first_seen = first_seen - 86400000 WHERE report = 'daily'")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%d reports were seen, %v", n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		in.share(t, again, auditKeyFile)
		p = again.start(t)
		kept, _ := again.openStored(t)
		var runs []call.Run
		eventually(t, "the report is built again", func() bool {
			runs, _, err = kept.FindRuns(t.Context(), call.RunFilter{Report: "daily", State: call.RunBuilt})
			if err != nil {
				t.Fatal(err)
			}
			return len(runs) > 0
		})
		p.stop(syscall.SIGTERM)
		mails, err := kept.Mails(t.Context(), runs[0].ID)
		if err != nil || len(mails) != 2 || mails[0].State != call.MailUncertain || mails[1].State != call.MailUncertain {
			t.Errorf("mails are %+v, %v", mails, err)
		}
		if n := len(smtp.Messages()); n != 2 {
			t.Errorf("%d mails after the database was made again", n)
		}
		commandJSON[struct{ Files []string }](t, "report", "daily", "--send", "--out", t.TempDir(), "--data", again.data)
		if n := len(smtp.Messages()); n != 4 {
			t.Errorf("%d mails when they were sent again by hand", n)
		}
	})
}

// secondNode is another node on the same database and vault.
func (in installation) secondNode(t *testing.T) installation {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(in.data, config.FileName))
	if err != nil {
		t.Fatal(err)
	}
	other := installation{data: t.TempDir(), provider: in.provider}
	// All nodes sign the log with one key.
	switch key, err := os.ReadFile(filepath.Join(in.data, auditKeyFile)); {
	case err == nil:
		if err := os.WriteFile(filepath.Join(other.data, auditKeyFile), key, 0o600); err != nil {
			t.Fatal(err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other.data, config.FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return other
}
