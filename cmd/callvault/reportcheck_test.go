package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"
)

// reportedDays imports calls of two days and makes the report of each; it gives the
// folder of the files.
func (in installation) reportedDays(t *testing.T) string {
	t.Helper()
	var lines strings.Builder
	for _, day := range []string{"19", "20"} {
		for i := range 3 {
			fmt.Fprintf(&lines, `{"type":"call_report","CallSid":"1763%s.%d","Status":"ANSWER","TalkDuration":"%d","StartTime":"2026-11-%[1]s 10:00:0%[2]d","EndTime":"2026-11-%[1]s 10:01:00","Direction":"IVR"}`+"\n", day, i, 10+i)
		}
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "calls.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.reporting(t)); got.Recorded != 6 {
		t.Fatalf("imported: %+v", got)
	}
	for _, day := range []string{"2026-11-19", "2026-11-20"} {
		commandJSON[struct{}](t, "report", "daily", "--date", day, "--out", folder, "--data", in.data)
	}
	return folder
}

// rewritten copies a file of a folder with a text of it replaced.
func rewritten(t *testing.T, folder, name, old, with string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(content), old); n == 0 {
		t.Fatalf("%s does not say %q", name, old)
	}
	path := filepath.Join(t.TempDir(), "from a mail.csv")
	if err := os.WriteFile(path, bytes.Replace(content, []byte(old), []byte(with), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// savedAgain lets another program open a workbook, change it and save it.
func savedAgain(t *testing.T, path string, change func(*excelize.File) error) string {
	t.Helper()
	f, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "saved.xlsx")
	if err := errors.Join(change(f), f.SaveAs(saved), f.Close()); err != nil {
		t.Fatal(err)
	}
	return saved
}

// check checks a file against the report of 2026-11-20.
func (in installation) check(t *testing.T, file string) (checkedReport, outcome) {
	t.Helper()
	args := []string{"report", "daily", "--date", "2026-11-20", "--check", file, "--data", in.data}
	plain, asJSON := command(t, "", args...), command(t, "", append(args, "--json")...)
	var got checkedReport
	if asJSON.stdout != "" {
		if err := json.Unmarshal([]byte(asJSON.stdout), &got); err != nil {
			t.Fatalf("%s: %v in %q", file, err, asJSON.stdout)
		}
	}
	if asJSON.status != plain.status {
		t.Errorf("%s: status %d, with --json %d", file, plain.status, asJSON.status)
	}
	return got, plain
}

// TestReportCheck asks of files that somebody has at hand whether they are what
// the kept input gives.
func TestReportCheck(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	folder := in.reportedDays(t)
	book := filepath.Join(folder, "daily-2026-11-20.xlsx")
	for _, name := range []string{"daily-2026-11-20.xlsx", "daily-2026-11-20-calls.csv", "daily-2026-11-20-agents.csv", "daily-2026-11-20-summary.csv"} {
		got, plain := in.check(t, filepath.Join(folder, name))
		if plain.status != exitDone || !got.Same || !got.SameBytes || !got.Kept || got.Revision != 1 || len(got.InputHash) != 64 ||
			!strings.Contains(plain.stdout, "byte for byte, what the frozen input of report daily, 2026-11-20, revision 1 gives") {
			t.Errorf("%s: %+v, %+v", name, got, plain)
		}
	}

	same := func(*excelize.File) error { return nil }
	got, plain := in.check(t, savedAgain(t, book, same))
	if plain.status != exitDone || !got.Same || got.SameBytes || got.Kept || !strings.Contains(plain.stdout, "Its bytes differ") {
		t.Errorf("saved again: %+v, %+v", got, plain)
	}

	for name, test := range map[string]struct {
		file string
		want []difference
	}{
		"a changed figure and a changed text": {
			savedAgain(t, book, func(f *excelize.File) error {
				return errors.Join(f.SetCellValue("Calls", "O3", 60.0/86400), f.SetCellStr("Calls", "D2", "outbound"), f.SetCellValue("Summary", "B19", 7))
			}),
			[]difference{{"Summary!B19", "7", "3"}, {"Calls!D2", `"outbound"`, `"inbound"`}, {"Calls!O3", "1:00", "0:11"}},
		},
		"a formula that shows the same": {
			savedAgain(t, book, func(f *excelize.File) error { return f.SetCellFormula("Summary", "B19", "1+2") }),
			[]difference{{"Summary!B19", `"=1+2"`, "3"}},
		},
		"a number that has become a text, and a sheet too much": {
			savedAgain(t, book, func(f *excelize.File) error {
				_, err := f.NewSheet("Notes")
				return errors.Join(err, f.SetCellStr("Summary", "B19", "3"))
			}),
			[]difference{{"Summary!B19", `"3"`, "3"}, {`"Notes"`, "a sheet", "no such sheet"}},
		},
		"a changed CSV figure": {
			rewritten(t, folder, "daily-2026-11-20-calls.csv", ",11,", ",61,"),
			[]difference{{"line 3, talk_seconds", `"61"`, `"11"`}},
		},
		"a line too much": {
			rewritten(t, folder, "daily-2026-11-20-agents.csv", "\r\n", "\r\n1,Asha,7,8\r\n"),
			[]difference{{"line 2", `"1,Asha,7"`, "no such line"}},
		},
		"a column less": {
			rewritten(t, folder, "daily-2026-11-20-agents.csv", "agent_name", "agent"),
			[]difference{{"line 1, agent_name", "no such column", "a column"}, {`line 1, "agent"`, "a column", "no such column"}},
		},
	} {
		got, plain := in.check(t, test.file)
		if diff := cmp.Diff(test.want, got.First); diff != "" || got.Differences != int64(len(test.want)) || got.Same {
			t.Errorf("%s: %+v %s", name, got, diff)
		}
		if plain.status != exitWrong || !strings.Contains(plain.stdout, test.want[0].Where) || !strings.Contains(plain.stderr, "is not what the frozen input of report daily, 2026-11-20, revision 1 gives") {
			t.Errorf("%s: %+v", name, plain)
		}
	}

	for _, name := range []string{"daily-2026-11-19.xlsx", "daily-2026-11-19-calls.csv"} {
		got, plain := in.check(t, filepath.Join(folder, name))
		if plain.status != exitWrong || got.Same || got.Differences < 3 || len(got.First) == 0 || int64(len(got.First)) > got.Differences {
			t.Errorf("%s: %+v, %+v", name, got, plain)
		}
		if want := "2026-11-19T10:00:00"; strings.HasSuffix(name, "csv") && (got.First[0].Where != "line 2, started_at" || !strings.Contains(got.First[0].File, want)) {
			t.Errorf("%s: %+v", name, got.First[0])
		}
	}

	for name, want := range map[string]string{
		rewritten(t, folder, "daily-2026-11-20-calls.csv", "\uFEFFstarted_at", `"`): "neither a workbook nor a CSV file",
		cut(t, book):                       "is no whole workbook",
		zipOf(t, "a", "b"):                 "a ZIP file and no workbook",
		otherBook(t):                       "no report's",
		filepath.Join(folder, "none.xlsx"): "no such file",
		folder:                             "is a directory",
	} {
		if _, plain := in.check(t, name); plain.status != exitWrong || plain.stdout != "" || !strings.Contains(plain.stderr, want) {
			t.Errorf("%s: %+v, want %q", name, plain, want)
		}
	}
	if got := command(t, "", "report", "daily", "--date", "2026-11-18", "--check", book, "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "no report daily of 2026-11-18 is kept") {
		t.Errorf("a day without a report: %+v", got)
	}
	if got := command(t, "", "report", "daily", "--check", book, "--data", in.data); got.status != exitUsage {
		t.Errorf("without a date: %+v", got)
	}
}

// TestReportCheckRevision: the revision that is not the last is found, too.
func TestReportCheckRevision(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "")
		book := filepath.Join(in.reportedDays(t), "daily-2026-11-20.xlsx")
		in.tellLate(t, "2026-11-20 15:00:00")
		if got := in.revise(t); got.Revision != 2 {
			t.Fatalf("revised: %+v", got)
		}
		got, plain := in.check(t, book)
		if plain.status != exitDone || !got.SameBytes || got.Revision != 1 || !got.Kept {
			t.Errorf("an earlier revision: %+v, %+v", got, plain)
		}
		got, plain = in.check(t, savedAgain(t, book, func(f *excelize.File) error { return f.SetCellValue("Agents", "A9", "x") }))
		if want := []difference{{"Agents!A9", `"x"`, "nothing"}}; plain.status != exitWrong || got.Revision != 1 || cmp.Diff(want, got.First) != "" {
			t.Errorf("a changed earlier revision: %+v, %+v", got, plain)
		}
	})
}

// cut is the first half of a file.
func cut(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(t.TempDir(), "half.xlsx")
	if err := os.WriteFile(half, content[:len(content)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	return half
}

func zipOf(t *testing.T, name, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	part, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(part, content)
	path := filepath.Join(t.TempDir(), "a.zip")
	if err := errors.Join(err, w.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func otherBook(t *testing.T) string {
	t.Helper()
	f := excelize.NewFile()
	path := filepath.Join(t.TempDir(), "other.xlsx")
	if err := errors.Join(f.SetCellValue("Sheet1", "A1", 1), f.SaveAs(path), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}
