package reports

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"callvault/internal/call"
)

// buildBusy builds all files of the busy day and gives their folder.
func buildBusy(t *testing.T, in *Input) string {
	t.Helper()
	dir := t.TempDir()
	if _, _, err := BuildFiles(context.Background(), in, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openBook(t *testing.T, path string) *excelize.File {
	t.Helper()
	f, err := excelize.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func cellsOf(t *testing.T, f *excelize.File, sheet string, cells ...string) []string {
	t.Helper()
	var values []string
	for _, cell := range cells {
		v, err := f.GetCellValue(sheet, cell)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	return values
}

func TestWorkbookCells(t *testing.T) {
	t.Parallel()
	f := openBook(t, filepath.Join(buildBusy(t, busyInput(t)), "daily-2026-11-21.xlsx"))
	want := []string{"Summary", "Agents", "Groups", "Numbers", "Campaigns", "Accounts", "Hours", "Weekday hours", "Missed", "Calls", "Recordings", "Definitions"}
	if diff := cmp.Diff(want, f.GetSheetList()); diff != "" {
		t.Fatal(diff)
	}
	for _, test := range []struct {
		sheet string
		cells []string
		want  []string
	}{
		{"Summary", []string{"A1", "A5", "B5", "C5", "A6", "B6", "C6", "D6", "B7", "A14", "B14", "C14"},
			[]string{"daily · Saturday, 21 November 2026", "Headline figures", "2026-11-21", "Fri 20 Nov",
				"Inbound calls offered", "4", "n/a", "", "66.7%", "To call back", "1", ""}},
		{"Summary", []string{"A15", "A17", "A18", "A19", "B19", "C19", "D19"},
			[]string{"n/a: not all accounts of the report had calls before this period.",
				"Measure", "Calls", "Calls (inbound: offered)", "4", "2", "6"}},
		{"Agents", []string{"A2", "B2", "C2", "F2", "I2", "L2", "V2", "A3", "B3", "V3", "B4", "I4"},
			[]string{"1", "Asha", "Sales", "3", "66.7%", "0:04:50", "1.0", "2", "Bela", "0.5", "Zoë 🎧 שלום", "n/a"}},
		{"Hours", []string{"A2", "B2", "C2", "A12", "B12", "D12", "M1", "M12"},
			[]string{"00", "1", "1", "10", "2", "1", "Sat", "2"}},
		{"Missed", []string{"A2", "B2", "C2", "D2", "E2", "F2", "A3", "I3", "J3"},
			[]string{"not returned", "+919800000009", "2026-11-21 10:30:00", "2", "2026-11-21 11:00:00", "+911204567890",
				"returned", "2026-11-21 09:12:30", "12"}},
		{"Calls", []string{"A2", "B2", "C2", "D2", "G2", "N2", "O2", "S2", "W2", "Y2", "Z2", "AD2"},
			[]string{"2026-11-21 00:00:00", "2026-11-21 00:00:10", "2026-11-21 00:01:40", "inbound", "+919800000001",
				"0:00:10", "0:01:30", "2.00", "Bela", "archived", "0:01:24", "first"}},
		{"Calls", []string{"G4", "I4", "W4", "Y6", "A9", "AD9", "A10"},
			[]string{"=HYPERLINK(1)", "Zoë 🎧 שלום", "Asha, Bela", "not named", "", "timeless", ""}},
		{"Recordings", []string{"A2", "B2", "C2", "E2", "K2", "A3"},
			[]string{"absent", "=not offered", "9", "2026-11-21 10:15:00", "second", ""}},
		{"Definitions", []string{"A2", "B2"}, []string{"Report", "daily, revision 1, by Callvault 1.0"}},
	} {
		got := cellsOf(t, f, test.sheet, test.cells...)
		for i := range got {
			got[i] = strings.TrimRight(got[i], " ") // the room beside a figure
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.sheet, diff)
		}
	}
	formula, err := f.GetCellFormula("Calls", "AD2")
	if err != nil || formula != `HYPERLINK("https://calls.example.org/calls/first","first")` {
		t.Errorf("link %q, %v", formula, err)
	}
	if formula, err := f.GetCellFormula("Calls", "G4"); err != nil || formula != "" {
		t.Errorf("a customer's number is the formula %q, %v", formula, err)
	}
	raw, err := f.GetCellValue("Calls", "A2", excelize.Options{RawCellValue: true})
	if err != nil || raw != "46347" {
		t.Errorf("the start is %q, %v; want the day's number", raw, err)
	}
	for sheet, charts := range map[string]int{"Summary": 4} {
		if n := strings.Count(part(t, f, "xl/drawings/drawing1.xml"), "<c:chart "); n != charts {
			t.Errorf("%s has %d charts", sheet, n)
		}
	}
	for _, sheet := range want {
		tables, err := f.GetTables(sheet)
		if err != nil {
			t.Fatal(err)
		}
		wantTables := map[string]int{"Agents": 1, "Groups": 1, "Numbers": 1, "Campaigns": 1, "Accounts": 1, "Weekday hours": 1, "Missed": 1, "Calls": 1, "Recordings": 1}[sheet]
		if len(tables) != wantTables {
			t.Errorf("%s has %d tables", sheet, len(tables))
		}
	}
}

// The pages on which a sheet is printed, and what is repeated on each.
func TestPrinting(t *testing.T) {
	t.Parallel()
	f := openBook(t, filepath.Join(buildBusy(t, busyInput(t)), "daily-2026-11-21.xlsx"))
	titles := make(map[string]string)
	for _, name := range f.GetDefinedName() {
		if name.Name == "_xlnm.Print_Titles" {
			titles[name.Scope] = name.RefersTo
		}
	}
	for _, test := range []struct {
		sheet, orientation string
		wide, high         int
		titles             string
	}{
		{"Summary", "portrait", 1, 1, ""},
		{"Agents", "landscape", 2, 0, "'Agents'!$A:$B,'Agents'!$1:$1"},
		{"Groups", "landscape", 3, 0, "'Groups'!$A:$B,'Groups'!$1:$1"},
		{"Numbers", "landscape", 3, 0, "'Numbers'!$A:$B,'Numbers'!$1:$1"},
		{"Campaigns", "landscape", 3, 0, "'Campaigns'!$A:$B,'Campaigns'!$1:$1"},
		{"Accounts", "landscape", 3, 0, "'Accounts'!$A:$B,'Accounts'!$1:$1"},
		{"Hours", "landscape", 1, 0, ""},
		{"Missed", "landscape", 1, 0, "'Missed'!$A:$B,'Missed'!$1:$1"},
		{"Calls", "landscape", 3, 0, "'Calls'!$A:$A,'Calls'!$1:$1"},
		{"Definitions", "landscape", 1, 0, "'Definitions'!$1:$1"},
	} {
		layout, err := f.GetPageLayout(test.sheet)
		if err != nil {
			t.Fatal(err)
		}
		props, err := f.GetSheetProps(test.sheet)
		if err != nil {
			t.Fatal(err)
		}
		if !*props.FitToPage || *layout.Size != 9 || *layout.Orientation != test.orientation || *layout.FitToWidth != test.wide || *layout.FitToHeight != test.high {
			t.Errorf("%s: paper %d, %s, fitted %v to %d × %d", test.sheet, *layout.Size, *layout.Orientation, *props.FitToPage, *layout.FitToWidth, *layout.FitToHeight)
		}
		if titles[test.sheet] != test.titles {
			t.Errorf("%s repeats %q, want %q", test.sheet, titles[test.sheet], test.titles)
		}
	}
}

// The chart's bars descend, and its lines are times that people count by.
func TestTalkChart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ longest, want int64 }{
		{0, 60}, {360, 60}, {361, 300}, {3600, 600}, {3601, 900}, {20_000, 3600}, {86_400, 4 * 3600}, {700_000, 2 * 86_400},
	} {
		if got := axisStep(test.longest); got != test.want {
			t.Errorf("lines every %d s up to %d s, want %d", got, test.longest, test.want)
		}
	}
	// The one who talked on more calls, but for less time, comes second.
	agents := make(map[string]*AgentFigures)
	for i, talk := range []int{30, 30, 100} {
		who := call.Agent{Name: map[bool]string{true: "Often", false: "Long"}[i < 2]}
		agentOf(agents, "sales", who).add(&row{Direction: call.Inbound, Outcome: call.Answered, TalkSeconds: &talk}, "", &settings, time.UTC)
	}
	if ranked := rankAgents(agents); ranked[0].Name != "Long" || ranked[1].Name != "Often" {
		t.Errorf("%s before %s", ranked[0].Name, ranked[1].Name)
	}
}

func part(t *testing.T, f *excelize.File, name string) string {
	t.Helper()
	content, found := f.Pkg.Load(name)
	raw, ok := content.([]byte)
	if !found || !ok {
		t.Fatalf("no part %s", name)
	}
	return string(raw)
}

// Where a recording can be played by anybody is in no file.
func TestNoSourceInFiles(t *testing.T) {
	t.Parallel()
	dir := buildBusy(t, busyInput(t))
	archive, err := zip.OpenReader(filepath.Join(dir, "daily-2026-11-21.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := archive.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte("provider.example")) {
			t.Errorf("%s holds a recording's address", f.Name)
		}
		if strings.HasSuffix(f.Name, ".xml") || strings.HasSuffix(f.Name, ".rels") {
			wellFormed(t, f.Name, content)
		}
	}
}

func wellFormed(t *testing.T, name string, content []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(content))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestSameBytes(t *testing.T) {
	t.Parallel()
	in := busyInput(t)
	first := buildBusy(t, in)
	again, err := OpenInput(context.Background(), in.path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in.Hash, again.Hash); diff != "" {
		t.Fatalf("hash of the input: %s", diff)
	}
	for range 4 {
		second := buildBusy(t, again)
		for _, name := range []string{"daily-2026-11-21.xlsx", "daily-2026-11-21-calls.csv",
			"daily-2026-11-21-agents.csv", "daily-2026-11-21-summary.csv"} {
			a, errA := os.ReadFile(filepath.Join(first, name))
			b, errB := os.ReadFile(filepath.Join(second, name))
			if err := errors.Join(errA, errB); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a, b) {
				t.Errorf("%s differs when built again", name)
			}
		}
	}
}

func TestInputNotWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), inputName)
	w, err := createInput(path, Settings{Zone: "UTC"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.write(line{Call: &row{ID: "a"}}), w.close()); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInput(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := measure(context.Background(), in, nil); err == nil {
		t.Error("an input without its last line was taken")
	}
}

func TestNoCalls(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	r := o.reporter(t, MailOptions{})
	report := dailyReport()
	in, err := r.freeze(context.Background(), &report, report.PeriodOf(at("2026-11-21 00:00:00")), 1,
		filepath.Join(t.TempDir(), inputName))
	if err != nil {
		t.Fatal(err)
	}
	f := openBook(t, filepath.Join(buildBusy(t, in), "daily-2026-11-21.xlsx"))
	for sheet, want := range map[string]string{
		"Calls": "No calls in this period.", "Missed": "Nobody was missed.",
		"Recordings": "Nothing is absent, refused or pending, and no audio is cut, too short or too long.",
	} {
		if got := cellsOf(t, f, sheet, "A2"); got[0] != want {
			t.Errorf("%s says %q", sheet, got[0])
		}
	}
	if diff := cmp.Diff([]string{"0 ", "n/a", "n/a"}, cellsOf(t, f, "Summary", "B6", "B7", "B8")); diff != "" {
		t.Error(diff)
	}
}

// More calls than a sheet holds continue on the next.
func TestNextSheet(t *testing.T) {
	t.Parallel()
	in := busyInput(t)
	figures, err := measure(context.Background(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "book.xlsx")
	if err := writeWorkbook(context.Background(), in, figures, path, 4); err != nil {
		t.Fatal(err)
	}
	f := openBook(t, path)
	var got []string
	for _, sheet := range []string{"Calls", "Calls 2", "Calls 3"} {
		got = append(got, cellsOf(t, f, sheet, "AD1", "AD2", "AD3", "AD4", "AD5")...)
	}
	want := []string{"Call", "first", "second", "third", "", "Call", "fourth", "fifth", "sixth", "",
		"Call", "seventh", "timeless", "", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content, found := bytes.CutPrefix(content, []byte("\uFEFF"))
	if !found {
		t.Error("no byte order mark")
	}
	records, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func TestCSV(t *testing.T) {
	t.Parallel()
	dir := buildBusy(t, busyInput(t))
	calls := readCSV(t, filepath.Join(dir, "daily-2026-11-21-calls.csv"))
	if len(calls) != 9 || len(calls[0]) != 30 {
		t.Fatalf("%d lines of %d fields", len(calls), len(calls[0]))
	}
	want := []string{"2026-11-21T00:00:00+05:30", "2026-11-21T00:00:10+05:30", "2026-11-21T00:01:40+05:30",
		"inbound", "answered", "", "+919800000001", "+911204567890", "Asha", "201", "+919311122233", "Billing", "",
		"10", "90", "100", "", "", "2", "sales", "callerdesk", "1", "Bela", "0", "archived", "84", "1000", "", "1.1", "first"}
	if diff := cmp.Diff(want, calls[1]); diff != "" {
		t.Error(diff)
	}
	agents := readCSV(t, filepath.Join(dir, "daily-2026-11-21-agents.csv"))
	if diff := cmp.Diff([]string{"1", "Asha", "201", "+919311122233", "sales", "Sales", "3", "2", "1", "0.666667"}, agents[1][:10]); diff != "" {
		t.Error(diff)
	}
	summary := readCSV(t, filepath.Join(dir, "daily-2026-11-21-summary.csv"))
	found := 0
	for _, record := range summary {
		switch strings.Join(record[4:], " ") {
		case "calls inbound  count 4":
			if record[3] == "Days" && record[1] == "2026-11-21T00:00:00+05:30" {
				found++
			}
		case "answer_rate inbound  rate 0.666667":
			if record[3] == "Rates" {
				found++
			}
		case "return_p90 inbound  minutes 12", "calls inbound 10 count 2",
			"answer_rate inbound 9 rate n/a":
			found++
		}
	}
	if found != 5 {
		t.Errorf("%d of 5 figures found in the summary", found)
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]string{
		0: "0", 86400: "1", 43200: "0.5", 1: "0.0000115741", 86399: "0.9999884259", 25569 * 86400: "25569",
		90061: "1.0423726852",
	} {
		if got := string(appendDays(nil, seconds)); got != want {
			t.Errorf("%d s are %s, want %s", seconds, got, want)
		}
	}
}

func TestColumnName(t *testing.T) {
	t.Parallel()
	for i, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 29: "AD", 51: "AZ", 52: "BA", 701: "ZZ", 702: "AAA"} {
		if got := columnName(i); got != want {
			t.Errorf("column %d is %s, want %s", i, got, want)
		}
	}
}

// A part over 4 GiB says in both headers that it takes zip64.
func TestZip64Mark(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}()
	p := newPackager(file, time.Unix(0, 0))
	p.zip64From = 100
	for name, size := range map[string]int{"a": 10, "b": 200, "c": 10} {
		w, err := p.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte{'x'}, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	var versions []byte
	for i := 0; ; {
		next := bytes.Index(content[i:], []byte("PK\x03\x04"))
		if next < 0 {
			break
		}
		i += next + 4
		versions = append(versions, content[i])
	}
	if diff := cmp.Diff([]byte{20, 45, 20}, versions); diff != "" {
		t.Error(diff)
	}
}

func FuzzAppendXML(f *testing.F) {
	f.Add("=1+1")
	f.Add("_x0041_ a\r\n<&>\"'\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var got struct {
			Text string `xml:",chardata"`
		}
		if err := xml.Unmarshal(append(appendXML([]byte("<t>"), s), "</t>"...), &got); err != nil {
			t.Fatalf("%q is not well formed: %v", s, err)
		}
		if !utf8.ValidString(got.Text) {
			t.Fatalf("%q", got.Text)
		}
	})
}

// Keys and ids that are UUIDs can be read whole on paper, which no column can be
// made wider on.
func TestKeysAreWhole(t *testing.T) {
	t.Parallel()
	f := openBook(t, filepath.Join(buildBusy(t, busyInput(t)), "daily-2026-11-21.xlsx"))
	titles, err := f.GetRows("Calls")
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for i, title := range titles[0] {
		if title != "Call key" && title != "Call" {
			continue
		}
		whole++
		if width, err := f.GetColWidth("Calls", columnName(i)); err != nil || width < 36 {
			t.Errorf("%s is %v wide, %v: a UUID has 36 characters", title, width, err)
		}
	}
	if whole != 2 {
		t.Errorf("%d columns of keys in %q", whole, titles[0])
	}
}

// What makes the workbook more than its cells: its properties, headers that stay in
// sight, the heat map and the bars behind the longest.
func TestWorkbookIsRealExcel(t *testing.T) {
	t.Parallel()
	f := openBook(t, filepath.Join(buildBusy(t, busyInput(t)), "daily-2026-11-21.xlsx"))
	props, err := f.GetDocProps()
	if err != nil {
		t.Fatal(err)
	}
	if props.Title != "daily report, Saturday, 21 November 2026" || props.Creator != "Callvault" || !strings.HasPrefix(props.Description, "8 calls from 2 accounts") {
		t.Errorf("properties %+v", props)
	}
	for sheet, kind := range map[string]string{"Agents": "data_bar", "Groups": "data_bar", "Hours": "2_color_scale", "Calls": "", "Missed": ""} {
		panes, err := f.GetPanes(sheet)
		if err != nil {
			t.Fatal(err)
		}
		if !panes.Freeze || panes.YSplit != 1 {
			t.Errorf("%s: the header is not frozen: %+v", sheet, panes)
		}
		formats, err := f.GetConditionalFormats(sheet)
		if err != nil {
			t.Fatal(err)
		}
		found := kind == ""
		for _, of := range formats {
			for _, format := range of {
				found = found || format.Type == kind
			}
		}
		if !found {
			t.Errorf("%s has no %s: %+v", sheet, kind, formats)
		}
	}
}
