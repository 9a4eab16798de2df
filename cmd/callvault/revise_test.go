package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// tellLate imports a call that nobody has told of yet, which began at a time in
// Kolkata.
func (in installation) tellLate(t *testing.T, at string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "late.jsonl")
	line := fmt.Sprintf(`{"type":"call_report","CallSid":"late.%s","Status":"BUSY","StartTime":"%s","EndTime":"%[2]s","Direction":"IVR"}`+"\n", strings.NewReplacer(" ", ".", ":", "").Replace(at), at)
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data); got.Recorded != 1 {
		t.Fatalf("imported: %+v", got)
	}
}

// revisedResult is what report --revise prints.
type revisedResult struct {
	Revision     int
	Revised      bool
	Reconfigured bool
	Files        []string
}

// revise revises the report of 2026-11-20.
func (in installation) revise(t *testing.T) revisedResult {
	t.Helper()
	return commandJSON[revisedResult](t, "report", "daily", "--date", "2026-11-20", "--revise", "--out", t.TempDir(), "--data", in.data)
}

// TestRevisedReport revises a report by hand: what is kept of all revisions
// verifies, and a rebuild knows them.
func TestRevisedReport(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		more := ""
		if s.bucket == nil {
			more = "vault: {directory: " + t.TempDir() + "}\n"
		}
		in := install(t, s, anySize(), more)
		in.reportedDays(t)
		if got := in.revise(t); got.Revised || got.Revision != 1 || len(got.Files) != 4 {
			t.Errorf("nothing was told late: %+v", got)
		}
		in.tellLate(t, "2026-11-20 15:00:00")
		got := in.revise(t)
		if !got.Revised || got.Revision != 2 {
			t.Fatalf("revised: %+v", got)
		}
		for _, file := range got.Files {
			if checked, plain := in.check(t, file); plain.status != exitDone || !checked.SameBytes || checked.Revision != 2 {
				t.Errorf("%s: %+v, %+v", file, checked, plain)
			}
		}
		if again := in.revise(t); again.Revised || again.Revision != 2 {
			t.Errorf("revised again: %+v", again)
		}
		plain := command(t, "", "report", "daily", "--date", "2026-11-20", "--revise", "--out", t.TempDir(), "--data", in.data)
		if plain.status != exitDone || !strings.Contains(plain.stdout, "stays as it is: nothing has changed it since revision 2") {
			t.Errorf("%+v", plain)
		}
		if got := command(t, "", "report", "daily", "--date", "2026-11-18", "--revise", "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "there is no report of Wednesday, 18 November 2026 yet") {
			t.Errorf("of a day without a report: %+v", got)
		}
		if got := command(t, "", "report", "daily", "--revise", "--data", in.data); got.status != exitUsage {
			t.Errorf("without a date: %+v", got)
		}

		in.start(t).stop(syscall.SIGTERM) // which writes the journal
		if found, status := in.verify(t); status != exitDone || len(found.Faults) > 0 {
			t.Errorf("verify: status %d, %+v", status, found.Faults)
		}
		kept, _ := in.openStored(t)
		before, _, err := kept.FindRuns(t.Context(), call.RunFilter{Report: "daily"})
		if err != nil || len(before) != 2 {
			t.Fatalf("runs are %+v, %v", before, err)
		}
		// Each revision has all files; which these are depends on the figures.
		files := make(map[int]int)
		for _, f := range before[0].Files {
			files[f.Revision]++
		}
		if files[1] < 5 || files[1] != files[2] || files[1]+files[2] != len(before[0].Files) {
			t.Fatalf("files by revision are %v: %+v", files, before[0].Files)
		}
		again, empty := in, s
		again.data = t.TempDir()
		if s.dsn != "" {
			empty.dsn = testenv.Postgres(t)
		}
		again.configure(t, empty, more+"reports: [{name: daily}]\n")
		in.share(t, again, auditKeyFile)
		made := command(t, "", "rebuild", "--json", "--data", again.data)
		var rebuilt rebuildResult
		if err := json.Unmarshal([]byte(made.stdout), &rebuilt); err != nil {
			t.Fatalf("%v, %+v", err, made)
		}
		remade, _ := again.openStored(t)
		after, _, err := remade.FindRuns(t.Context(), call.RunFilter{Report: "daily"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range before { // nobody knows that any more
			before[i].KnownDeliveries, before[i].LookedAt = 0, time.Time{}
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("runs after a rebuild (-before +after):\n%s", diff)
		}
		if got := again.revise(t); got.Revised || got.Revision != 2 {
			t.Errorf("revised after a rebuild: %+v", got)
		}
	})
}

// TestScheduledRevision lets running programs find out that a report must be
// revised, do it once and mail it once; two nodes at the same time where the
// database can be shared, killed afterwards and started again.
func TestScheduledRevision(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		smtp := testenv.SMTP(t, testenv.SMTPOptions{})
		in := install(t, s, anySize(), fmt.Sprintf(
			"reports: [{name: daily, schedule: \"0 0 * * *\", recipients: [ops@example.org]}]\nmail: {smtp: %q, ca_file: %q, from: reports@example.org}\n",
			smtp.URL(), smtp.CAFile))
		day := time.Now().In(time.FixedZone("IST", 19800)).AddDate(0, 0, -3).Format(time.DateOnly)
		in.tellLate(t, day+" 10:00:00")
		commandJSON[struct{}](t, "report", "daily", "--date", day, "--send", "--out", t.TempDir(), "--data", in.data)
		in.tellLate(t, day+" 11:00:00")
		// As if it had been made two days ago.
		in.tamper(t, s, "UPDATE runs SET as_of = as_of - 2 * 86400000")
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
				p.stop(syscall.SIGKILL)
			}
		}
		in.start(t).stop(syscall.SIGTERM)
		kept, _ := in.openStored(t)
		runs, _, err := kept.FindRuns(t.Context(), call.RunFilter{Report: "daily"})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(runs, func(r call.Run) bool { return r.Revision == 2 })
		if i < 0 {
			t.Fatalf("runs are %+v", runs)
		}
		mails, err := kept.Mails(t.Context(), runs[i].ID)
		if err != nil || len(mails) != 2 || mails[1].Revision != 2 {
			t.Errorf("mails are %+v, %v", mails, err)
		}
		if n := len(smtp.Messages()); n != 2 {
			t.Errorf("%d mails", n)
		}
	})
}
