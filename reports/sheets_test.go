package reports

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// Excel takes a table for damaged that has two columns of one title.
func TestTitles(t *testing.T) {
	t.Parallel()
	book := openBook(t, filepath.Join(buildBusy(t, goldenInput(t)), "daily-2026-11-21.xlsx"))
	for _, sheet := range book.GetSheetList() {
		tables, err := book.GetTables(sheet)
		if err != nil {
			t.Fatal(err)
		}
		if len(tables) == 0 {
			continue
		}
		rows, err := book.GetRows(sheet)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		for _, title := range rows[0] {
			if title == "" || seen[strings.ToLower(title)] {
				t.Errorf("%s: column %q is there twice", sheet, title)
			}
			seen[strings.ToLower(title)] = true
		}
	}
	names := make(map[string]bool)
	for _, m := range callMeasures(OfOffered) {
		if names[m.name] {
			t.Errorf("measure %s is there twice", m.name)
		}
		names[m.name] = true
	}
}

// Details are folded away, and can be unfolded: the sheet says so.
func TestFoldedColumns(t *testing.T) {
	t.Parallel()
	book := openBook(t, filepath.Join(buildBusy(t, busyInput(t)), "daily-2026-11-21.xlsx"))
	for sheet, first := range map[string]string{"Agents": "Y", "Groups": "AK", "Weekday hours": "AK"} {
		rows, err := book.GetRows(sheet)
		if err != nil {
			t.Fatal(err)
		}
		for i, title := range rows[0] {
			column := columnName(i)
			level, errLevel := book.GetColOutlineLevel(sheet, column)
			visible, errVisible := book.GetColVisible(sheet, column)
			if err := errors.Join(errLevel, errVisible); err != nil {
				t.Fatal(err)
			}
			folded := len(column) > len(first) || len(column) == len(first) && column >= first
			if visible == folded || (level == 1) != folded {
				t.Errorf("%s, column %s (%s): visible %v, level %d", sheet, column, title, visible, level)
			}
		}
	}
	if sheet := part(t, book, "xl/worksheets/sheet3.xml"); !strings.Contains(sheet, `<sheetFormatPr outlineLevelCol="1" `) {
		t.Error(sheet[:min(len(sheet), 1000)])
	}
}
