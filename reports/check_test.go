package reports

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

// Cells as other programs write them are the same; what shows something else is
// not.
func TestSameCell(t *testing.T) {
	t.Parallel()
	texts := []string{"first", "second"}
	row := func(t *testing.T, cell string) bookCell {
		t.Helper()
		s := sheetReader{xml: xml.NewDecoder(strings.NewReader("<sheetData><row r=\"7\">" + cell + "</row></sheetData>")), texts: texts}
		if err := s.next(); err != nil {
			t.Fatalf("%s: %v", cell, err)
		}
		if len(s.cells) == 0 {
			return bookCell{}
		}
		return s.cells[0]
	}
	for _, test := range []struct {
		name, a, b string
		same       bool
	}{
		{"shared text", `<c t="s"><v>1</v></c>`, `<c t="inlineStr"><is><t>second</t></is></c>`, true},
		{"text in pieces", `<c t="inlineStr"><is><r><t>sec</t></r><r><t>ond</t></r></is></c>`, `<c t="s"><v>1</v></c>`, true},
		{"escaped text", `<c t="inlineStr"><is><t>_x0041_</t></is></c>`, `<c t="inlineStr"><is><t>A</t></is></c>`, true},
		{"text that looks escaped", `<c t="inlineStr"><is><t>_x005F_x0041_</t></is></c>`, `<c t="inlineStr"><is><t>A</t></is></c>`, false},
		{"another text", `<c t="s"><v>0</v></c>`, `<c t="s"><v>1</v></c>`, false},
		{"15 digits", `<c><v>46347.4236111111</v></c>`, `<c><v>46347.42361111111</v></c>`, true},
		{"exponent", `<c><v>1.15741E-5</v></c>`, `<c><v>0.0000115741</v></c>`, true},
		{"a second more", `<c><v>46347.4236226852</v></c>`, `<c><v>46347.4236111111</v></c>`, false},
		{"a hundredth more", `<c><v>1000000.31</v></c>`, `<c><v>1000000.3</v></c>`, false},
		{"number as text", `<c t="str"><v>5</v></c>`, `<c><v>5</v></c>`, false},
		{"not a number", `<c><v>NaN</v></c>`, `<c><v>5</v></c>`, false},
		{"error", `<c t="e"><v>#N/A</v></c>`, `<c t="str"><v>#N/A</v></c>`, false},
		{"nothing but a style", `<c s="3"/>`, ``, true},
		{"empty text", `<c t="inlineStr"><is><t></t></is></c>`, `<c s="3"/>`, true},
		{"formula", `<c><f>1+2</f><v>3</v></c>`, `<c><v>3</v></c>`, false},
		{"another link", `<c t="str"><f>HYPERLINK("https://b","x")</f><v>x</v></c>`, `<c t="str"><f>HYPERLINK("https://a","x")</f><v>x</v></c>`, false},
	} {
		a, b := row(t, test.a), row(t, test.b)
		if a.same(b) != test.same || b.same(a) != test.same {
			t.Errorf("%s: %+v and %+v: want same %v", test.name, a, b, test.same)
		}
	}
}

// What the differences of a sheet look like, also where rows and cells are
// missing on either side.
func TestCompareSheets(t *testing.T) {
	t.Parallel()
	dir := buildBusy(t, busyInput(t))
	want := filepath.Join(dir, "daily-2026-11-21.xlsx")
	for name, test := range map[string]struct {
		part, old, with string
		want            []Difference
	}{
		"a time, a duration": {"xl/worksheets/sheet10.xml", `<v>0.0010416667</v>`, `<v>0.0416666667</v>`, []Difference{{"Calls!O2", "1:00:00", "1:30"}}},
		"a row less":         {"xl/worksheets/sheet9.xml", `<row r="3">`, `<row r="30">`, nil},
		"a cell less":        {"xl/worksheets/sheet10.xml", `t="inlineStr"><is><t>inbound</t></is></c>`, `/>`, nil},
		"a share":            {"xl/worksheets/sheet1.xml", `<v>0.6666666666666666</v>`, `<v>0.9</v>`, []Difference{{"Summary!B7", "90%", "66.7%"}}},
		"a share that looks alike": {"xl/worksheets/sheet1.xml", `<v>0.6666666666666666</v>`, `<v>0.66667</v>`,
			[]Difference{{"Summary!B7", `"0.66667" (number)`, `"0.6666666666666666" (number)`}}},
		"what a terminal would obey": {"xl/worksheets/sheet10.xml", `<is><t>inbound</t>`, `<is><t>&#x9b;31m</t>`, []Difference{{"Calls!D2", `"\u009b31m"`, `"inbound"`}}},
		"nothing":                    {"xl/worksheets/sheet1.xml", `<v>0.6666666666666666</v>`, `<v>0.6666666666666666</v>`, []Difference{}},
	} {
		path := edited(t, want, test.part, test.old, test.with)
		var c Checked
		if err := c.compareBooks(context.Background(), path, want); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if test.want == nil {
			if c.Differences == 0 {
				t.Errorf("%s: not seen", name)
			}
			continue
		}
		if diff := cmp.Diff(test.want, append([]Difference{}, c.First...)); diff != "" || int(c.Differences) != len(test.want) {
			t.Errorf("%s: %d differences: %s", name, c.Differences, diff)
		}
	}
	for name, test := range map[string]struct{ part, old, with string }{
		"not XML":             {"xl/worksheets/sheet10.xml", `</row>`, `</wor>`},
		"rows out of order":   {"xl/worksheets/sheet10.xml", `<row r="4">`, `<row r="2">`},
		"a text that is none": {"xl/worksheets/sheet1.xml", `t="s"><v>`, `t="s"><v>-`},
		"no relation":         {"xl/_rels/workbook.xml.rels", `worksheets/sheet1.xml`, `worksheets/sheet99.xml`},
	} {
		var c Checked
		err := c.compareBooks(context.Background(), edited(t, want, test.part, test.old, test.with), want)
		if call.CodeOf(err) != call.Invalid {
			t.Errorf("%s: %v, %d differences", name, err, c.Differences)
		}
	}
}

// edited copies a workbook with the first occurrence of a text in one of its
// parts replaced.
func edited(t *testing.T, path, part, old, with string) string {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range archive.File {
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, errRead := io.ReadAll(body)
		if f.Name == part {
			if !bytes.Contains(content, []byte(old)) {
				t.Fatalf("%s does not say %s", part, old)
			}
			content = bytes.Replace(content, []byte(old), []byte(with), 1)
		}
		to, err := w.Create(f.Name)
		if err := errors.Join(errRead, body.Close(), err); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(t.TempDir(), "book.xlsx")
	if err := errors.Join(w.Close(), archive.Close(), os.WriteFile(copied, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// A report that was daily and became weekly, and is not configured any more: a
// file of either is found by any of its days. An input that was changed in the
// vault is not taken.
func TestCheckFindsRun(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.reporter(t, MailOptions{}).Look(context.Background())
	weekly := dailyReport()
	weekly.Period = Week
	o.clock.set(at("2026-11-23 08:00:00"))
	o.reporterOf(t, MailOptions{}, weekly).Look(context.Background())
	other := dailyReport()
	other.Name = "other"
	r := o.reporterOf(t, MailOptions{}, other)
	dir := t.TempDir()
	for _, run := range o.store.runs {
		if _, err := r.fetch(context.Background(), run.Files[0], dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, label := range map[string]string{"daily-2026-11-21.xlsx": "2026-11-21", "daily-2026-W47.xlsx": "2026-W47"} {
		got, err := r.Check(context.Background(), "daily", at("2026-11-21 00:00:00"), filepath.Join(dir, name))
		if err != nil || !got.SameBytes || !got.Kept || got.Period.Label() != label {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := r.Check(context.Background(), "daily", at("2026-11-24 00:00:00"), filepath.Join(dir, "daily-2026-W47.xlsx")); call.CodeOf(err) != call.NotFound {
		t.Errorf("a day of which there is no report: %v", err)
	}
	files := o.store.runs[0].Files
	input := &files[len(files)-1]
	later := o.store.runs[1].Files
	o.vault.files[input.ObjectKey] = o.vault.files[later[len(later)-1].ObjectKey]
	if _, err := r.Check(context.Background(), "daily", at("2026-11-21 00:00:00"), filepath.Join(dir, "daily-2026-11-21.xlsx")); err == nil || !strings.Contains(err.Error(), "input in the vault was changed") {
		t.Errorf("with another input in the vault: %v", err)
	}
}

func FuzzSheetReader(f *testing.F) {
	f.Add(`<worksheet><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" s="2"><f>A1</f><v>1e9</v></c></row><row/></sheetData></worksheet>`)
	f.Add(`<row r="0"><c r="ZZZZ9"/></row>`)
	f.Fuzz(func(t *testing.T, sheet string) {
		s := sheetReader{xml: xml.NewDecoder(strings.NewReader(sheet)), texts: []string{"a"}}
		for row := 0; s.next() == nil; row = s.row {
			if s.row <= row {
				t.Fatalf("row %d after %d", s.row, row)
			}
			for i, c := range s.cells {
				if c.column < 0 || i > 0 && c.column <= s.cells[i-1].column {
					t.Fatalf("cells are out of order: %+v", s.cells)
				}
			}
		}
	})
}
