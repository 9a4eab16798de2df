package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callvault/internal/call"
	"callvault/reports"

	"github.com/google/go-cmp/cmp"
)

// TestReportStdout: a pipe gets what the files have, and nothing else; nothing is
// made or kept by it.
func TestReportStdout(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	folder := in.reportedDays(t)
	for _, table := range []string{"calls", "agents", "summary"} {
		file, err := os.ReadFile(filepath.Join(folder, "daily-2026-11-20-"+table+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		got := command(t, "", "report", "daily", "--date", "2026-11-20", "--stdout", "csv", table, "--data", in.data)
		want := strings.TrimPrefix(string(file), "\uFEFF")
		if got.status != exitDone || got.stderr != "" {
			t.Errorf("%s: status %d: %s", table, got.status, got.stderr)
		}
		if diff := cmp.Diff(want, got.stdout); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
		records, err := csv.NewReader(strings.NewReader(want)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		piped := command(t, "", "report", "daily", "--date", "2026-11-20", "--stdout", "json", table, "--data", in.data)
		lines := strings.Split(strings.TrimSpace(piped.stdout), "\n")
		if table == "agents" { // nobody is named in these calls
			lines = nil
		}
		if piped.status != exitDone || piped.stderr != "" || len(lines) != len(records)-1 {
			t.Fatalf("%s: %d lines of JSON, %d of CSV: %+v", table, len(lines), len(records)-1, piped)
		}
		for i, line := range lines {
			var object map[string]any
			d := json.NewDecoder(strings.NewReader(line))
			d.UseNumber()
			if err := d.Decode(&object); err != nil {
				t.Fatalf("%s: %v in %s", table, err, line)
			}
			for column, name := range records[0] {
				v, named := object[name]
				text, ok := v.(string)
				switch v := v.(type) {
				case nil:
					text, ok = map[bool]string{true: "n/a"}[name == "value"], true
				case json.Number:
					text, ok = v.String(), true
				}
				if !named || !ok || text != strings.TrimPrefix(records[i+1][column], "'") {
					t.Errorf("%s, line %d: %s is %v, in CSV %q", table, i+1, name, v, records[i+1][column])
				}
			}
		}
	}
	for table, want := range map[string]int{"groups": 1, "numbers": 1, "campaigns": 1, "accounts": 1, "hours": 24, "missed": 0, "recordings": -1,
		"weekday-hours": 24, "changes": 0, "permitted-hours": 0, "outside-hours": 0, "definitions": -1} {
		plain := command(t, "", "report", "daily", "--date", "2026-11-20", "--stdout", "csv", table, "--data", in.data)
		records, err := csv.NewReader(strings.NewReader(plain.stdout)).ReadAll()
		if err != nil || plain.status != exitDone || len(records) == 0 || want >= 0 && len(records) != want+1 {
			t.Errorf("%s: %d records, %v: %s", table, len(records), err, plain.stderr)
		}
		piped := command(t, "", "report", "daily", "--date", "2026-11-20", "--stdout", "json", table, "--data", in.data)
		if n := strings.Count(piped.stdout, "\n"); piped.status != exitDone || n != len(records)-1 {
			t.Errorf("%s: %d lines of JSON, %d records", table, n, len(records))
		}
	}
	got := command(t, "", "report", "daily", "--date", "2026-11-20", "--stdout", "parquet", "calls", "--data", in.data)
	if got.status != exitDone || !strings.HasPrefix(got.stdout, "PAR1") || !strings.HasSuffix(got.stdout, "PAR1") {
		t.Errorf("no Parquet: status %d, %d bytes: %s", got.status, len(got.stdout), got.stderr)
	}
	if got := command(t, "", "report", "daily", "--date", "2026-11-18", "--stdout", "json", "calls", "--data", in.data); got.status != exitDone || got.stdout != "" {
		t.Errorf("a day without calls: %+v", got)
	}
	stored, _ := in.openStored(t)
	if runs, _, err := stored.FindRuns(t.Context(), call.RunFilter{}); err != nil || len(runs) != 2 {
		t.Errorf("%d runs, %v: only the two that were built shall be there", len(runs), err)
	}
	for _, args := range [][]string{
		{"--stdout", "xml", "calls"}, {"--stdout", "csv"}, {"--stdout", "csv", "people"}, {"calls"},
		{"--stdout", "csv", "calls", "--json"}, {"--stdout", "csv", "calls", "--send"}, {"--stdout", "csv", "calls", "--check", "x"},
	} {
		if got := command(t, "", append([]string{"report", "daily", "--date", "2026-11-20", "--data", in.data}, args...)...); got.status != exitUsage || got.stdout != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
	unknown := command(t, "", "report", "daily", "--date", "2026-11-20", "--data", in.data, "--stdout", "csv", "people")
	if want := `no table "people", only: calls, agents, `; !strings.Contains(unknown.stderr, want) {
		t.Errorf("an unknown table: %q, not %q", unknown.stderr, want)
	}
}

// TestReportChangesPiped: what the newest revision changed is a table, too; of a day
// without a report there is none.
func TestReportChangesPiped(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	in.reportedDays(t)
	in.tellLate(t, "2026-11-20 15:00:00")
	if got := in.revise(t); got.Revision != 2 {
		t.Fatalf("revised: %+v", got)
	}
	piped := command(t, "", "report", "daily", "--date", "2026-11-20", "--stdout", "csv", "changes", "--data", in.data)
	records, err := csv.NewReader(strings.NewReader(piped.stdout)).ReadAll()
	if err != nil || piped.status != exitDone || len(records) < 3 {
		t.Fatalf("%v: %+v", err, piped)
	}
	want := []string{"what", "started_at", "direction", "customer_number", "agent_name", "account", "field", "unit", "before", "now", "call_id"}
	if diff := cmp.Diff(want, records[0]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"figure", "", "", "", "", "", "Inbound calls offered", "count", "3", "4", ""}, records[1]); diff != "" {
		t.Error(diff)
	}
	last := records[len(records)-1]
	if last[0] != "added" || last[1] != "2026-11-20T15:00:00+05:30" || len(last[10]) == 0 {
		t.Errorf("the last change is %q", last)
	}
	none := command(t, "", "report", "daily", "--date", "2026-11-18", "--stdout", "csv", "changes", "--data", in.data)
	if none.status != exitWrong || none.stdout != "" || !strings.Contains(none.stderr, "no report daily of 2026-11-18 is kept") {
		t.Errorf("a day without a report: %+v", none)
	}
	help := command(t, "", "report", "--help")
	for _, table := range reports.Tables() {
		if !strings.Contains(help.stdout, "  "+string(table)+"  ") {
			t.Errorf("the help does not name %s: %s", table, help.stdout)
		}
	}
}

// TestReportBrokenPipe: who reads may go away, as head does.
func TestReportBrokenPipe(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	in.reportedDays(t)
	program := in.program("report", "daily", "--date", "2026-11-20", "--stdout", "json", "calls")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	program.Stdout, program.Stderr = write, &said
	if err := errors.Join(read.Close(), program.Start(), write.Close()); err != nil {
		t.Fatal(err)
	}
	if err := program.Wait(); err != nil || said.Len() > 0 {
		t.Errorf("%v: %s", err, said.String())
	}
	if left, err := os.ReadDir(filepath.Join(in.data, "spool", "reports")); err != nil || len(left) > 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
}

// TestReportOnFullDisk: that the output cannot be written is said once, with what
// to do.
func TestReportOnFullDisk(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	in.reportedDays(t)
	for _, form := range []string{"csv", "json", "parquet"} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		program := in.program("report", "daily", "--date", "2026-11-20", "--stdout", form, "calls")
		var said bytes.Buffer
		program.Stdout, program.Stderr = full, &said
		err = program.Run()
		const want = "callvault: standard output cannot be written (no space left on device): what came out is not the whole table; make room or write elsewhere, and ask again\n"
		if program.ProcessState.ExitCode() != exitWrong || said.String() != want {
			t.Errorf("%s: %v: %q", form, err, said.String())
		}
		if err := full.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReportSentOnly: who sends a report, and does not say where to write it,
// gets no files; who revises and sends it hears of each recipient once.
func TestReportSentOnly(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "reports: [{name: daily, recipients: [ops@example.org, lead@example.org]}]\n")
	in.tellLate(t, "2026-11-20 10:00:00")
	here := t.TempDir()
	send := func(more ...string) (got struct {
		Files []string
		Mails []mailed
	}) {
		t.Helper()
		program := in.program(append([]string{"report", "daily", "--date", "2026-11-20", "--json"}, more...)...)
		program.Dir, program.Stderr = here, t.Output()
		said, err := program.Output()
		if err == nil {
			err = json.Unmarshal(said, &got)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		return got
	}
	sent := send("--send")
	if left, err := os.ReadDir(here); err != nil || len(left) > 0 || len(sent.Files) > 0 || len(sent.Mails) != 2 {
		t.Errorf("written are %v, %v: %+v", left, err, sent)
	}
	if mails, err := os.ReadDir(filepath.Join(in.data, "mail")); err != nil || len(mails) != 2 {
		t.Errorf("%d mails, %v", len(mails), err)
	}
	in.tellLate(t, "2026-11-20 11:00:00")
	for range 2 {
		if sent := send("--revise", "--send"); len(sent.Mails) != 2 || len(sent.Files) > 0 {
			t.Errorf("revised and sent: %+v", sent)
		}
	}
	if written := send(); len(written.Files) != 4 {
		t.Errorf("neither sent nor --out: %+v", written)
	}
	if left, err := os.ReadDir(here); err != nil || len(left) != 4 {
		t.Errorf("written are %v, %v", left, err)
	}
}

// TestReportSentToNobodyThere: who sends by hand hears that it did not go, and why.
func TestReportSentToNobodyThere(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "reports: [{name: daily, recipients: [ops@example.org]}]\nmail: {smtp: \"smtp://127.0.0.1:1\", from: reports@example.org}\n")
	if made := command(t, "", "migrate", "--data", in.data); made.status != exitDone {
		t.Fatalf("%+v", made)
	}
	got := command(t, "", "report", "daily", "--date", "2026-11-20", "--send", "--out", t.TempDir(), "--data", in.data)
	if got.status != exitWrong || !strings.Contains(got.stdout, "Mail to ops@example.org: retry") || !strings.Contains(got.stderr, "mail to ops@example.org is not sent: ") {
		t.Errorf("%+v", got)
	}
}
