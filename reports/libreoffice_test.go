package reports

import (
	"context"
	"encoding/csv"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sheetsAsCSV has LibreOffice convert each sheet of a workbook, as it shows it.
func sheetsAsCSV(t *testing.T, path string) map[string][][]string {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	// Comma, quotation mark, UTF-8, from the first line, as shown, every sheet.
	program := exec.CommandContext(ctx, "soffice", "-env:UserInstallation=file://"+filepath.Join(dir, "profile"), "--headless",
		"--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,true,false,false,-1", "--outdir", dir, path)
	program.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	if out, err := program.CombinedOutput(); err != nil {
		t.Fatalf("LibreOffice: %v\n%s", err, out)
	}
	base := strings.TrimSuffix(filepath.Base(path), ".xlsx")
	files, err := filepath.Glob(filepath.Join(dir, base+"-*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	sheets := make(map[string][][]string)
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(file)
		r.FieldsPerRecord = -1
		records, err := r.ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		sheets[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), base+"-"), ".csv")] = records
	}
	return sheets
}

// What LibreOffice reads in the workbook is what the CSV says, on every sheet.
func TestLibreOffice(t *testing.T) {
	t.Parallel()
	in := tangledInput(t, 7, filepath.Join(t.TempDir(), inputName))
	f, err := measure(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	sheets := sheetsAsCSV(t, filepath.Join(buildBusy(t, in), "daily-2026-11-21.xlsx"))
	book := shownBook{in, f, sheets}
	compared := map[string]bool{"Summary": true, "Hours": true}
	book.compareSummary(t)
	book.compareHours(t)
	for sheet, table := range map[string]Table{
		"Calls": CallsTable, "Missed": MissedTable, "Recordings": RecordingsTable, "Changes": ChangesTable, "Agents": AgentsTable,
		"Permitted hours": PermittedTable, "Outside hours": OutsideTable, "Definitions": DefinitionsTable,
		"Groups": GroupsTable, "Numbers": NumbersTable, "Campaigns": CampaignsTable, "Accounts": AccountsTable,
		"Weekday hours": WeekdayHoursTable,
	} {
		book.compareTable(t, sheet, table)
		compared[sheet] = true
	}
	for sheet := range sheets {
		if !compared[sheet] {
			t.Errorf("sheet %s is not compared", sheet)
		}
	}
}

// shownBook is a workbook as LibreOffice shows it, and what it is made of.
type shownBook struct {
	in      *Input
	figures *Figures
	sheets  map[string][][]string
}

// compareTable compares a sheet that is one table with the CSV of it.
func (b shownBook) compareTable(t *testing.T, sheet string, table Table) {
	t.Helper()
	ours, shown := tableOf(t, b.in, table), b.sheets[sheet]
	if len(ours) < 2 || len(shown) != len(ours) {
		t.Fatalf("%s: %d lines of ours, %d of LibreOffice", sheet, len(ours), len(shown))
	}
	// The columns of the sheet, by their names in CSV.
	var columns []string
	for _, name := range ours[0] {
		if name != "others" && name != "unit" {
			columns = append(columns, name)
		}
	}
	if table == AgentsTable {
		columns = append([]string{"rank", "agent_name", "group", "agent_number", "account"}, columns[6:]...)
	}
	if len(shown[0]) != len(columns) {
		t.Fatalf("%s: %d columns, CSV has %q", sheet, len(shown[0]), columns)
	}
	for i, record := range ours[1:] {
		of := make(map[string]string)
		for j, name := range ours[0] {
			of[name] = record[j]
		}
		for j, name := range columns {
			if j == 1 && of[name] == "" {
				continue // the sheet says what such a row is
			}
			if got := shown[i+1][j]; !showsSame(name+"_"+of["unit"], of[name], got) {
				t.Errorf("%s, line %d, %s: LibreOffice shows %q, CSV has %q", sheet, i+2, name, got, of[name])
			}
		}
	}
}

// long finds a value of the summary in long form.
func long(t *testing.T, summary [][]string, section, measure, direction, from, hour string) string {
	t.Helper()
	for _, r := range summary {
		if strings.Contains(section, r[3]) && r[4] == measure && r[5] == direction && strings.HasPrefix(r[1], from) && r[6] == hour {
			return r[8]
		}
	}
	t.Fatalf("the summary has no %s of %s, %s %s", measure, section, direction, from)
	return ""
}

// compareSummary compares the headline figures, those of earlier periods and all
// measures with the summary in long form.
func (b shownBook) compareSummary(t *testing.T) {
	t.Helper()
	shown, summary := b.sheets["Summary"], tableOf(t, b.in, SummaryTable)
	row := 0
	next := func(label string) []string {
		for ; row < len(shown); row++ {
			if shown[row][0] == label {
				row++
				return shown[row-1]
			}
		}
		t.Fatalf("no line %q on the sheet Summary", label)
		return nil
	}
	compare := func(label string, u unit, want, got string) {
		if !showsSame(label+"_"+string(u), want, got) {
			t.Errorf("Summary, %s: LibreOffice shows %q, CSV has %q", label, got, want)
		}
	}
	const now = "Calls, Rates, Waiting, Talking, Customers, Recordings, Cost"
	next("Headline figures")
	for _, h := range b.figures.headlines() {
		line := next(h.Label)
		if h.name == "" {
			compare(h.Label, h.unit, long(t, summary, now, "not_returned", "inbound", "", ""), line[1])
			continue
		}
		compare(h.Label, h.unit, long(t, summary, now, h.name, h.direction, "", ""), line[1])
		compare(h.Label, h.unit, long(t, summary, "Previous", h.name, h.direction, "", ""), line[2])
		compare(h.Label, h.unit, long(t, summary, "Mean of four before", h.name, h.direction, "", ""), line[5])
	}
	next("Measure")
	section := ""
	for _, m := range b.figures.measures() {
		if m.section != section {
			section = m.section
			next(section)
		}
		line := next(m.label)
		for i, direction := range []string{"inbound", "outbound", "total"} {
			want := ""
			if m.has[i] {
				want = long(t, summary, m.section, m.name, direction, "", "")
			}
			compare(m.label+" "+direction, m.unit, want, line[i+1])
		}
	}
}

// compareHours compares the hours, the heat map and the days.
func (b shownBook) compareHours(t *testing.T) {
	t.Helper()
	shown, summary, measures := b.sheets["Hours"], tableOf(t, b.in, SummaryTable), hourMeasures()
	compare := func(where string, m hourMeasure, want, got string) {
		if !showsSame(m.name+"_"+string(m.unit), want, got) {
			t.Errorf("Hours, %s, %s: LibreOffice shows %q, CSV has %q", where, m.title, got, want)
		}
	}
	for i, record := range tableOf(t, b.in, HoursTable)[1:] {
		for j, m := range measures {
			compare("line "+strconv.Itoa(i+2), m, record[1+j], shown[i+1][1+j])
			compare("line "+strconv.Itoa(i+2), m, long(t, summary, "Hours", m.name, m.direction, "", strconv.Itoa(i)), shown[i+1][1+j])
		}
	}
	heat := len(measures) + 2
	if shown[0][heat] != "Offered" {
		t.Fatalf("no heat map in %q", shown[0])
	}
	cells := 0
	for _, of := range columnsOf(t, tableOf(t, b.in, WeekdayHoursTable), "weekday", "hour", "offered") {
		field := strings.Split(of, ",")
		for column, day := range shown[0] {
			if hour, err := strconv.Atoi(field[1]); err == nil && column > heat && day == field[0] {
				compare(of, measures[0], field[2], shown[hour+1][column])
				cells++
			}
		}
	}
	if days := len(b.figures.weekdays()); cells != 24*days {
		t.Errorf("%d cells of the heat map compared, of %d days", cells, days)
	}
	for i := range b.figures.Trend {
		from := b.figures.Trend[i].From
		line := shown[trendRow+i]
		if line[0] != from.Format("Mon 2 Jan") {
			t.Fatalf("day %d is %q", i, line[0])
		}
		for j, m := range measures {
			compare(line[0], m, long(t, summary, "Days", m.name, m.direction, from.Format(time.RFC3339), ""), line[1+j])
		}
	}
}

var momentText = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`)

// showsSame says whether a cell as a spreadsheet shows it is the value of a
// column of CSV, as precise as it is shown. name ends with the unit.
func showsSame(name, value, shown string) bool {
	shown = strings.TrimSpace(shown)
	v, err := strconv.ParseFloat(value, 64)
	number := err == nil && isNumber(value)
	near := func(text string, unit, precision float64) bool {
		n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
		return err == nil && math.Abs(n*unit-v) <= precision/2+1e-9
	}
	switch {
	case momentText.MatchString(value):
		return shown == strings.Replace(momentText.FindString(value), "T", " ", 1)
	case number && strings.HasSuffix(strings.TrimSuffix(name, "_"), "_seconds"):
		parts := strings.Split(shown, ":")
		sum := 0
		for _, p := range parts {
			n, err := strconv.Atoi(p)
			if err != nil {
				return false
			}
			sum = 60*sum + n
		}
		return len(parts) == 3 && math.Abs(float64(sum)-v) <= 0.5
	case number && strings.HasSuffix(shown, "%"):
		return near(strings.TrimSuffix(shown, "%"), 0.01, 0.001)
	case number && strings.Contains(value, "."):
		return near(shown, 1, 0.1)
	case number && near(shown, 1, 0):
		return true
	}
	return shown == strings.TrimSpace(validText(strings.TrimPrefix(value, "'")))
}
