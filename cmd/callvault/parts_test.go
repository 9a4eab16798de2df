package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callvault/internal/call"
)

// TestReportParts mails a report to somebody who sees all, and to two who see
// their groups: each gets one mail, and files of their calls.
func TestReportParts(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), `reports:
  - name: daily
    recipients:
      - ops@example.org
      - {address: sales@example.org, match: {group: Sales}}
      - {address: both@example.org, match: {group: [Support, Sales]}}
`)
		var lines strings.Builder
		for i, group := range []string{"Sales", "Support", "Billing"} {
			fmt.Fprintf(&lines, `{"type":"call_report","CallSid":"9.%d","Status":"BUSY","SourceNumber":"+91981234567%[1]d","call_group":"%s","StartTime":"2026-11-20 10:00:0%[1]d","EndTime":"2026-11-20 10:01:00","Direction":"IVR"}`+"\n", i, group)
		}
		file := filepath.Join(t.TempDir(), "calls.jsonl")
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data); got.Recorded != 3 {
			t.Fatalf("imported: %+v", got)
		}
		for range 2 {
			sent := commandJSON[struct{ Mails []mailed }](t, "report", "daily", "--date", "2026-11-20", "--send", "--out", t.TempDir(), "--data", in.data)
			if len(sent.Mails) != 3 {
				t.Errorf("mails are %+v", sent.Mails)
			}
		}
		mails, err := os.ReadDir(filepath.Join(in.data, "mail"))
		if err != nil || len(mails) != 3 {
			t.Errorf("%d mails, %v", len(mails), err)
		}
		kept, vault := in.openStored(t)
		runs, _, err := kept.FindRuns(t.Context(), call.RunFilter{})
		if err != nil || len(runs) != 3 {
			t.Fatalf("runs are %+v, %v", runs, err)
		}
		for _, run := range runs {
			want := map[string]bool{"Sales": true, "Support": true, "Billing": true}
			switch {
			case strings.HasPrefix(run.Report, "daily.sales-support-"):
				want["Billing"] = false
			case strings.HasPrefix(run.Report, "daily.sales-"):
				want["Billing"], want["Support"] = false, false
			case run.Report != "daily":
				t.Errorf("a run of %s", run.Report)
			}
			for _, f := range run.Files {
				if !strings.HasSuffix(f.Name, "-calls.csv") && f.Name != "mail.txt" {
					continue
				}
				body, _, err := vault.Open(t.Context(), f.ObjectKey, 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(body)
				if err := body.Close(); err != nil {
					t.Fatal(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				for i, group := range []string{"Sales", "Support", "Billing"} {
					if number := fmt.Sprintf("+91981234567%d", i); strings.Contains(string(text), number) != want[group] {
						t.Errorf("%s, %s of %s: %t, want %t", run.Report, number, f.Name, !want[group], want[group])
					}
				}
			}
		}
		part := runs[0].Report
		for _, run := range runs {
			if len(run.Report) > len("daily") {
				part = run.Report
			}
		}
		own := commandJSON[struct{ Files []string }](t, "report", part, "--date", "2026-11-20", "--out", t.TempDir(), "--data", in.data)
		if len(own.Files) != 4 || !strings.HasPrefix(filepath.Base(own.Files[0]), part) {
			t.Errorf("a part by name gives %+v", own)
		}
		for _, name := range []string{"daily.none", "nightly"} {
			got := command(t, "", "report", name, "--date", "2026-11-20", "--data", in.data)
			if got.status != exitWrong || !strings.Contains(got.stderr, "there is no report named \""+name+"\"") || !strings.Contains(got.stderr, "\n  daily\n") {
				t.Errorf("a report that there is not: %+v", got)
			}
			for _, run := range runs {
				if !strings.Contains(got.stderr, run.Report) {
					t.Errorf("%s is not named: %s", run.Report, got.stderr)
				}
			}
			if !strings.Contains(got.stderr, "(group Sales, for sales@example.org)") {
				t.Errorf("parts are not explained: %s", got.stderr)
			}
		}
	})
}

// TestMaskedReport makes a report with pseudonyms, by the key of the audit log,
// and checks its files.
func TestMaskedReport(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "reports: [{name: daily, mask_numbers: true}]\n")
		file := filepath.Join(t.TempDir(), "calls.jsonl")
		line := `{"type":"call_report","CallSid":"9.1","Status":"BUSY","SourceNumber":"+919812345671","StartTime":"2026-11-20 10:00:00","EndTime":"2026-11-20 10:01:00","Direction":"IVR"}` + "\n"
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data)
		made := commandJSON[struct{ Files []string }](t, "report", "daily", "--date", "2026-11-20", "--out", t.TempDir(), "--data", in.data)
		masked := ""
		for _, path := range made.Files {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(path, "-calls.csv") {
				masked = string(content)
			}
			if got, plain := in.check(t, path); plain.status != exitDone || !got.SameBytes || !got.Kept {
				t.Errorf("%s: %+v, %+v", path, got, plain)
			}
		}
		if strings.Contains(masked, "9812345671") || !strings.Contains(masked, ",C-") {
			t.Errorf("calls are\n%s", masked)
		}
		piped := command(t, "", "report", "daily", "--date", "2026-11-20", "--stdout", "csv", "calls", "--data", in.data)
		if piped.status != exitDone || strings.Contains(piped.stdout, "9812345671") || !strings.Contains(piped.stdout, ",C-") {
			t.Errorf("%+v", piped)
		}
	})
}
