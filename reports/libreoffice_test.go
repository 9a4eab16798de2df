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

// What LibreOffice reads in the workbook is what the CSV says, in every table.
func TestLibreOffice(t *testing.T) {
	t.Parallel()
	in := tangledInput(t, 7, filepath.Join(t.TempDir(), inputName))
	dir := buildBusy(t, in)
	sheets := sheetsAsCSV(t, filepath.Join(dir, "daily-2026-11-21.xlsx"))
	type table struct {
		table Table
		sheet string
		// columns are those of the sheet, by their names in CSV.
		columns []string
	}
	agents := []string{"rank", "agent_name", "group", "agent_number", "account"}
	tables := []table{
		{CallsTable, "Calls", nil}, {MissedTable, "Missed", nil}, {RecordingsTable, "Recordings", nil}, {HoursTable, "Hours", nil},
		{AgentsTable, "Agents", append(agents, names(agentHeadings())[6:]...)},
	}
	for _, d := range dimensions() {
		tables = append(tables, table{d.table, d.sheet, append([]string{"rank", d.column}, names(d.headings())[3:]...)})
	}
	for _, table := range tables {
		ours, shown := tableOf(t, in, table.table), sheets[table.sheet]
		if len(ours) < 2 || len(shown) < len(ours) {
			t.Fatalf("%s: %d lines of ours, %d of LibreOffice", table.sheet, len(ours), len(shown))
		}
		if table.columns == nil {
			table.columns = ours[0]
		}
		for i, record := range ours[1:] {
			for j, name := range table.columns {
				want := ""
				for k, title := range ours[0] {
					if title == name {
						want = record[k]
					}
				}
				if j == 1 && want == "" {
					continue // the sheet says what such a row is
				}
				if got := shown[i+1][j]; !showsSame(name, want, got) {
					t.Errorf("%s, line %d, %s: LibreOffice shows %q, CSV has %q", table.sheet, i+2, name, got, want)
				}
			}
		}
		if table.sheet != "Hours" && len(shown) != len(ours) {
			t.Errorf("%s: LibreOffice shows %d lines, CSV has %d", table.sheet, len(shown), len(ours))
		}
	}
}

var momentText = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`)

// showsSame says whether a cell as a spreadsheet shows it is the value of a
// column of CSV, as precise as it is shown.
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
	case number && (strings.HasSuffix(name, "_seconds") || name == "inbound_asa" || name == "total_talk_total"):
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
