package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// jsonColumn is a column of a table as JSON has it.
func jsonColumn(t *testing.T, in *Input, table Table, name string) (values []any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(tableAs(t, in, table, TableJSON)))
	d.UseNumber()
	for d.More() {
		var record map[string]any
		if err := d.Decode(&record); err != nil {
			t.Fatal(err)
		}
		v := record[name]
		if n, ok := v.(json.Number); ok {
			v = n.String()
		}
		values = append(values, v)
	}
	return values
}

// parquetColumn is the same as Parquet has it.
func parquetColumn(t *testing.T, in *Input, table Table, name string) (values []any) {
	t.Helper()
	columns, rows := readParquet(t, tableAs(t, in, table, TableParquet), in.zone)
	at := slices.IndexFunc(columns, func(c string) bool { return strings.HasPrefix(c, name+" ") })
	for _, row := range rows {
		values = append(values, row[at])
	}
	return values
}

func TestHostileTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 40_000)
	emoji := strings.Repeat("🎧", 20_000) // 40,000 UTF-16 units
	tests := []struct{ name, text, cell, csv string }{
		{"formula", `=cmd|'/C calc'!A0`, `=cmd|'/C calc'!A0`, `'=cmd|'/C calc'!A0`},
		{"minus", "-2+3", "-2+3", "'-2+3"},
		{"at", "@SUM(A1)", "@SUM(A1)", "'@SUM(A1)"},
		{"tab", "\t=1", "\t=1", "'\t=1"},
		{"phone", "+919800000001", "+919800000001", "+919800000001"},
		{"zeros", "007", "007", "007"},
		{"plus alone", "+", "+", "'+"},
		{"plus and more", "+91 98", "+91 98", "'+91 98"},
		{"markup", `<b>&"x"</b>`, `<b>&"x"</b>`, `<b>&"x"</b>`},
		{"control", "a\x00b\x07c", "a\uFFFDb\uFFFDc", "a\x00b\x07c"},
		{"broken UTF-8", "a\xffb", "a\uFFFDb", "a\uFFFDb"}, // JSON mends it in the input
		{"noncharacter", "a\uFFFFb", "a\uFFFDb", "a\uFFFFb"},
		{"looks escaped", "_x0041_", "_x0041_", "_x0041_"},
		{"right to left", "שלום עולם", "שלום עולם", "שלום עולם"},
		{"spaces", "  a  ", "  a  ", "  a  "},
		{"too long", long, long[:32766] + "…", long},
		{"too long in UTF-16", emoji, strings.Repeat("🎧", 16_383) + "…", emoji},
	}
	o := newOffice(t)
	for i, test := range tests {
		o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{
			ID: fmt.Sprint(i), Account: "sales", Direction: call.Inbound, Outcome: call.Answered,
			StartedAt: at("2026-11-21 10:00:00"), Agent: call.Agent{Name: test.text}, Group: test.text,
		}})
	}
	report := dailyReport()
	in, err := o.reporter(t, MailOptions{}).freeze(context.Background(), &report,
		report.PeriodOf(at("2026-11-21 00:00:00")), 1, filepath.Join(t.TempDir(), inputName))
	if err != nil {
		t.Fatal(err)
	}
	dir := buildBusy(t, in)
	f := openBook(t, filepath.Join(dir, "daily-2026-11-21.xlsx"))
	calls := readCSV(t, filepath.Join(dir, "daily-2026-11-21-calls.csv"))
	named := map[string]map[string]bool{"Agents": {}, "Groups": {}}
	for sheet := range named {
		for i := range tests {
			cell := fmt.Sprintf("B%d", i+2)
			named[sheet][cellsOf(t, f, sheet, cell)[0]] = true
			if formula, err := f.GetCellFormula(sheet, cell); err != nil || formula != "" {
				t.Errorf("%s %s: formula %q, %v", sheet, cell, formula, err)
			}
		}
	}
	inJSON := jsonColumn(t, in, CallsTable, "agent_name")
	inParquet := parquetColumn(t, in, CallsTable, "agent_name")
	var groups []string
	for _, record := range tableOf(t, in, GroupsTable)[1:] {
		groups = append(groups, record[1])
	}
	for i, test := range tests {
		cell := fmt.Sprintf("I%d", i+2)
		if got := cellsOf(t, f, "Calls", cell)[0]; got != test.cell {
			t.Errorf("%s: %.60q, want %.60q", test.name, got, test.cell)
		}
		if formula, err := f.GetCellFormula("Calls", cell); err != nil || formula != "" {
			t.Errorf("%s: formula %q, %v", test.name, formula, err)
		}
		for sheet := range named {
			if !named[sheet][test.cell] {
				t.Errorf("%s: not on sheet %s", test.name, sheet)
			}
		}
		if !slices.Contains(groups, test.csv) {
			t.Errorf("%s: not in the table of groups", test.name)
		}
		// Other programs get the text itself, without an apostrophe.
		want := test.csv
		if want == "'"+test.text {
			want = test.text
		}
		if inJSON[i] != want || inParquet[i] != want {
			t.Errorf("%s: JSON %.60q, Parquet %.60q, want %.60q", test.name, inJSON[i], inParquet[i], want)
		}
		if got := calls[i+1][8]; got != test.csv {
			t.Errorf("%s: CSV %.60q, want %.60q", test.name, got, test.csv)
		}
	}
}

// Durations that cannot be, calls without a start, and people of one name are
// told as they are, in every form, and spoil no figure.
func TestStrangeCalls(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	one, two := call.Agent{Name: "Asha", Number: "+919300000001"}, call.Agent{Name: "Asha", Number: "+919300000002"}
	add := func(id string, who call.Agent, wait, talk *int) {
		o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{ID: id, Account: "sales", Direction: call.Inbound,
			Outcome: call.Answered, Agent: who, WaitSeconds: wait, TalkSeconds: talk, StartedAt: at("2026-11-21 10:00:00")}})
	}
	add("negative", one, new(-5), new(-1))
	add("absurd", two, new(10), new(2_000_000_000)) // 63 years
	add("missing", one, nil, nil)
	add("plain", one, new(30), new(60))
	o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{ID: "timeless", Account: "sales", Direction: call.Inbound,
		Outcome: call.Answered, TalkSeconds: new(77), EndedAt: at("2026-11-21 10:00:00")}})
	in := o.inputOf(t, dailyReport())

	want := map[string][]any{
		"call_id":      {"negative", "absurd", "missing", "plain", "timeless"},
		"wait_seconds": {"-5", "10", nil, "30", nil}, "talk_seconds": {"-1", "2000000000", nil, "60", "77"},
		"started_at": append(slices.Repeat([]any{"2026-11-21T10:00:00+05:30"}, 4), nil),
	}
	records := tableOf(t, in, CallsTable)
	for name, want := range want {
		if diff := cmp.Diff(want, jsonColumn(t, in, CallsTable, name)); diff != "" {
			t.Errorf("JSON, %s: %s", name, diff)
		}
		if diff := cmp.Diff(want, parquetColumn(t, in, CallsTable, name)); diff != "" {
			t.Errorf("Parquet, %s: %s", name, diff)
		}
		var inCSV []any
		for _, text := range columnsOf(t, records, name) {
			if text == "" {
				inCSV = append(inCSV, nil)
			} else {
				inCSV = append(inCSV, text)
			}
		}
		if diff := cmp.Diff(want, inCSV); diff != "" {
			t.Errorf("CSV, %s: %s", name, diff)
		}
	}
	book := openBook(t, filepath.Join(buildBusy(t, in), "daily-2026-11-21.xlsx"))
	got := cellsOf(t, book, "Calls", "N2", "O2", "O3", "N4", "O4", "O5", "A6", "O6")
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if diff := cmp.Diff([]string{"-5 s", "-1 s", "555555:33:20", "", "", "0:01:00", "", "0:01:17"}, got); diff != "" {
		t.Errorf("sheet: %s", diff)
	}
	agents := columnsOf(t, tableOf(t, in, AgentsTable), "agent_name", "agent_number", "answered", "talk_total_seconds", "wait_mean_seconds")
	if diff := cmp.Diff([]string{"Asha,+919300000002,1,2000000000,10", "Asha,+919300000001,3,60,30"}, agents); diff != "" {
		t.Errorf("agents: %s", diff)
	}
	summary := tableOf(t, in, SummaryTable)
	for measure, want := range map[string]string{"answered": "4", "talk_total": "2000000060", "talk_median": "1000000030", "talk_longest": "2000000000",
		"asa": "20", "asa_known": "2"} {
		if got := long(t, summary, "Calls, Waiting, Talking", measure, "inbound", "", ""); got != want {
			t.Errorf("%s: %s, want %s", measure, got, want)
		}
	}
	if got := long(t, summary, "Calls", "no_start", "total", "", ""); got != "1" {
		t.Errorf("%s calls without a start", got)
	}
}

// A day without calls gives every table, in every form.
func TestTablesWithoutCalls(t *testing.T) {
	t.Parallel()
	in := newOffice(t).inputOf(t, dailyReport())
	always := map[Table]int{HoursTable: 24, WeekdayHoursTable: 24}
	for _, table := range Tables() {
		if table == SummaryTable || table == DefinitionsTable {
			continue // always have lines
		}
		_, rows := readParquet(t, tableAs(t, in, table, TableParquet), in.zone)
		for form, n := range map[TableForm]int{TableCSV: len(tableOf(t, in, table)) - 1, TableParquet: len(rows),
			TableJSON: bytes.Count(tableAs(t, in, table, TableJSON), []byte("\n"))} {
			if n != always[table] {
				t.Errorf("%s as %s: %d records, want %d", table, form, n, always[table])
			}
		}
	}
}

// full is an output that takes nothing.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

// What cannot be written is an error, whichever file or table it is.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	in := tangledInput(t, 3, filepath.Join(t.TempDir(), inputName))
	for _, table := range Tables() {
		for _, form := range TableForms() {
			if err := in.writeTable(t.Context(), table, form, full{}); !errors.Is(err, errFull) {
				t.Errorf("%s as %s: %v", table, form, err)
			}
		}
	}
	for _, name := range []string{".xlsx", "-calls.csv", "-agents.csv", "-summary.csv"} {
		dir := t.TempDir()
		if err := os.Symlink("/dev/full", filepath.Join(dir, "daily-2026-11-21"+name)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := BuildFiles(t.Context(), in, dir); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "write ") {
			t.Errorf("%s on a full disk: %v", name, err)
		}
	}
	if _, _, err := BuildFiles(t.Context(), in, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
