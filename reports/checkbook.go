package reports

import (
	"archive/zip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"callvault/internal/call"
)

// compareBooks compares the cells of a workbook, their values and formulas, with
// what they should be. Sheets are read as streams: a day of a million calls must
// not be in memory.
func (c *Checked) compareBooks(ctx context.Context, path, want string) (err error) {
	made, err := openBookParts(want, math.MaxInt64)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, made.zip.Close()) }()
	// What a stranger gives may unpack to anything.
	given, err := openBookParts(path, 4*made.size()+64<<20)
	if err != nil {
		return call.Errorf(call.Invalid, "%s is no whole workbook: %v", path, err)
	}
	defer func() { err = errors.Join(err, given.zip.Close()) }()
	st, err := reportStyles()
	if err != nil {
		return err
	}
	known := func(s sheetPart) bool {
		return slices.ContainsFunc(made.sheets, func(m sheetPart) bool { return m.Name == s.Name })
	}
	if !slices.ContainsFunc(given.sheets, known) {
		return call.Errorf(call.Invalid, "%s is a workbook, but no report's: it has none of a report's sheets", path)
	}
	for _, m := range made.sheets {
		at := slices.IndexFunc(given.sheets, func(g sheetPart) bool { return g.Name == m.Name })
		if at < 0 {
			c.add(m.Name, "no such sheet", "a sheet")
			continue
		}
		if err := c.compareSheets(ctx, given, given.sheets[at], made, m, st); err != nil {
			return fmt.Errorf("sheet %s: %w", m.Name, err)
		}
	}
	for _, g := range given.sheets {
		if !known(g) {
			c.add(quote(g.Name), "a sheet", "no such sheet")
		}
	}
	return nil
}

// compareSheets compares the cells of two sheets, row by row.
func (c *Checked) compareSheets(ctx context.Context, given *bookParts, g sheetPart, made *bookParts, m sheetPart, st *styles) (err error) {
	file, err := given.open(g)
	if err != nil {
		return given.invalid(err)
	}
	defer func() { err = errors.Join(err, file.body.Close()) }()
	report, err := made.open(m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, report.body.Close()) }()
	more := []error{file.next(), report.next()}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case more[0] != nil && !errors.Is(more[0], io.EOF):
			return given.invalid(more[0])
		case more[1] != nil && !errors.Is(more[1], io.EOF):
			return more[1]
		case more[0] != nil && more[1] != nil:
			return nil
		}
		// Rows without cells may be left out of a sheet.
		var a, b []bookCell
		row := report.row
		takeA := more[0] == nil && (more[1] != nil || file.row <= report.row)
		takeB := more[1] == nil && (more[0] != nil || report.row <= file.row)
		if takeA {
			a, row = file.cells, file.row
		}
		if takeB {
			b = report.cells
		}
		c.compareRows(m.Name, row, a, b, st)
		if takeA {
			more[0] = file.next()
		}
		if takeB {
			more[1] = report.next()
		}
	}
}

// compareRows compares the cells of a row; both are in order of the columns.
func (c *Checked) compareRows(sheet string, row int, file, report []bookCell, st *styles) {
	for len(file) > 0 || len(report) > 0 {
		var a, b bookCell
		switch {
		case len(report) == 0 || len(file) > 0 && file[0].column < report[0].column:
			a, file = file[0], file[1:]
			b.column = a.column
		case len(file) == 0 || report[0].column < file[0].column:
			b, report = report[0], report[1:]
		default:
			a, b, file, report = file[0], report[0], file[1:], report[1:]
		}
		if a.same(b) {
			continue
		}
		x, y := a.show(b.style, st), b.show(b.style, st)
		if x == y {
			x, y = a.raw(), b.raw()
		}
		c.add(fmt.Sprintf("%s!%s%d", sheet, columnName(b.column), row), x, y)
	}
}

// bookCell is a cell of a sheet.
type bookCell struct {
	// column counts from 0.
	column, style  int
	kind           cellKind
	value, formula string
}

// cellKind is what the value of a cell is.
type cellKind string

const (
	textCell   cellKind = "text"
	numberCell cellKind = "number"
	otherCell  cellKind = "error, boolean or date"
)

// same holds for what shows the same: a number may be written in several ways.
func (a bookCell) same(b bookCell) bool {
	if a.formula != b.formula {
		return false
	}
	if a.value == b.value {
		return a.value == "" || a.kind == b.kind
	}
	if a.kind != numberCell || b.kind != numberCell {
		return false
	}
	x, errX := strconv.ParseFloat(a.value, 64)
	y, errY := strconv.ParseFloat(b.value, 64)
	// Some programs write 15 digits.
	return errX == nil && errY == nil && math.Abs(x-y) <= 1e-14*max(math.Abs(x), math.Abs(y))
}

// show is the cell for people, in the style of the report's cell.
func (a bookCell) show(style int, st *styles) string {
	v, err := strconv.ParseFloat(a.value, 64)
	switch {
	case a.formula != "":
		return quote("=" + a.formula)
	case a.value == "":
		return "nothing"
	case a.kind != numberCell || err != nil:
		return quote(a.value)
	}
	switch style {
	case st.moment:
		return time.Unix(int64(math.Round(v*86400))-excelEpoch, 0).UTC().Format(time.DateTime)
	case st.duration, st.topDuration:
		return clock(v * 86400)
	case st.rate, st.topRate:
		return formatFloat(v*100, 1) + "%"
	}
	return formatFloat(v, 3)
}

// raw is the cell as it is in the file, for those that look alike.
func (a bookCell) raw() string {
	shown := quote(a.value) + " (" + string(a.kind) + ")"
	if a.formula != "" {
		shown += ", " + quote("="+a.formula)
	}
	return shown
}

// reportStyles are the styles that each workbook of a report has.
func reportStyles() (st *styles, err error) {
	f := excelize.NewFile()
	defer func() { err = errors.Join(err, f.Close()) }()
	return newStyles(f)
}

// workbookPart lists the sheets of a workbook.
const workbookPart = "xl/workbook.xml"

// bookParts are the parts of a workbook that say what its cells are.
type bookParts struct {
	path   string
	zip    *zip.ReadCloser
	sheets []sheetPart
	// texts are those that cells refer to by number.
	texts []string
	// limit bounds each part, in bytes.
	limit int64
}

// sheetPart is a sheet of a workbook.
type sheetPart struct {
	Name string `xml:"name,attr"`
	ID   string `xml:"id,attr"`
	part string
}

func openBookParts(name string, limit int64) (b *bookParts, err error) {
	archive, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	b = &bookParts{path: name, zip: archive, limit: limit}
	if err := b.read(); err != nil {
		return nil, errors.Join(err, archive.Close())
	}
	return b, nil
}

// size is how many bytes all parts are.
func (b *bookParts) size() (sum int64) {
	for _, f := range b.zip.File {
		sum += int64(f.UncompressedSize64)
	}
	return sum
}

// invalid says that the workbook cannot be read.
func (b *bookParts) invalid(err error) error {
	return call.Errorf(call.Invalid, "%s cannot be read: %v", b.path, err)
}

// read reads which sheets there are, and the shared texts.
func (b *bookParts) read() error {
	var book struct {
		Sheets []sheetPart `xml:"sheets>sheet"`
	}
	var relations struct {
		All []struct {
			ID     string `xml:"Id,attr"`
			Target string `xml:"Target,attr"`
		} `xml:"Relationship"`
	}
	if err := errors.Join(b.decode(workbookPart, &book), b.decode("xl/_rels/workbook.xml.rels", &relations)); err != nil {
		return err
	}
	for _, s := range book.Sheets {
		for _, r := range relations.All {
			if r.ID == s.ID {
				// From the folder of the workbook's part, or from the top.
				s.part = strings.TrimPrefix(r.Target, "/")
				if s.part == r.Target {
					s.part = path.Join("xl", r.Target)
				}
			}
		}
		b.sheets = append(b.sheets, s)
	}
	var texts struct {
		All []richText `xml:"si"`
	}
	if b.find(sharedTexts) == nil {
		return nil
	}
	if err := b.decode(sharedTexts, &texts); err != nil {
		return err
	}
	for _, t := range texts.All {
		b.texts = append(b.texts, t.String())
	}
	return nil
}

// sharedTexts is the part of the texts that cells refer to.
const sharedTexts = "xl/sharedStrings.xml"

func (b *bookParts) find(name string) *zip.File {
	at := slices.IndexFunc(b.zip.File, func(f *zip.File) bool { return f.Name == name })
	if at < 0 {
		return nil
	}
	return b.zip.File[at]
}

// reader reads a part, no further than the limit.
func (b *bookParts) reader(name string) (io.ReadCloser, error) {
	file := b.find(name)
	if file == nil {
		return nil, fmt.Errorf("there is no part %q", name)
	}
	if file.UncompressedSize64 > uint64(b.limit) {
		return nil, fmt.Errorf("part %q is larger than that of any such report", name)
	}
	return file.Open()
}

func (b *bookParts) decode(name string, v any) (err error) {
	body, err := b.reader(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if err := xml.NewDecoder(io.LimitReader(body, b.limit)).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// richText is a text in one piece, or in several of which each has a font.
type richText struct {
	Text   string   `xml:"t"`
	Pieces []string `xml:"r>t"`
}

// String is the text without its fonts.
func (t richText) String() string { return unescape(t.Text + strings.Join(t.Pieces, "")) }

// unescape reads what plainText and others write: "_x0041_" is "A".
func unescape(s string) string {
	return escapedUnit.ReplaceAllStringFunc(s, func(unit string) string {
		n, err := strconv.ParseUint(unit[2:6], 16, 16)
		if err != nil {
			return unit
		}
		return string(rune(n))
	})
}

// sheetReader reads the rows of a sheet, one after the other.
type sheetReader struct {
	body  io.ReadCloser
	xml   *xml.Decoder
	texts []string
	// row counts from 1; cells are those that hold something, in order.
	row   int
	cells []bookCell
}

func (b *bookParts) open(s sheetPart) (*sheetReader, error) {
	body, err := b.reader(s.part)
	if err != nil {
		return nil, err
	}
	return &sheetReader{body: body, xml: xml.NewDecoder(io.LimitReader(body, b.limit)), texts: b.texts}, nil
}

// sheetCell is a cell as SpreadsheetML has it.
type sheetCell struct {
	Ref     string   `xml:"r,attr"`
	Style   int      `xml:"s,attr"`
	Type    string   `xml:"t,attr"`
	Formula string   `xml:"f"`
	Value   string   `xml:"v"`
	Inline  richText `xml:"is"`
}

// next reads the next row. After the last its error is io.EOF.
func (s *sheetReader) next() error {
	start, err := s.find("row")
	if err != nil {
		return err
	}
	before := s.row
	s.row++
	s.cells = s.cells[:0]
	for _, a := range start.Attr {
		if a.Name.Local == "r" {
			if s.row, err = strconv.Atoi(a.Value); err != nil {
				return err
			}
		}
	}
	if s.row <= before {
		return fmt.Errorf("row %d comes after row %d", s.row, before)
	}
	column := 0
	for {
		token, err := s.xml.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return nil // the row's: cells are read to their ends
		case xml.StartElement:
			var c sheetCell
			if err := s.xml.DecodeElement(&c, &t); err != nil {
				return err
			}
			if column, err = s.add(c, column); err != nil {
				return err
			}
		}
	}
}

// find reads up to the next element of a name.
func (s *sheetReader) find(name string) (xml.StartElement, error) {
	for {
		token, err := s.xml.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == name {
			return start, nil
		}
	}
}

// add adds a cell, if there is something in it, and returns the column that
// comes next if none is named.
func (s *sheetReader) add(c sheetCell, column int) (next int, err error) {
	if c.Ref != "" {
		at, _, err := excelize.CellNameToCoordinates(c.Ref)
		if err != nil {
			return 0, err
		}
		if at-1 < column {
			return 0, fmt.Errorf("cell %s is out of order", c.Ref)
		}
		column = at - 1
	}
	cell := bookCell{column: column, style: c.Style, kind: otherCell, value: c.Value, formula: c.Formula}
	switch c.Type {
	case "", "n":
		cell.kind = numberCell
	case "inlineStr":
		cell.kind, cell.value = textCell, c.Inline.String()
	case "str":
		cell.kind, cell.value = textCell, unescape(c.Value)
	case "s":
		n, err := strconv.Atoi(strings.TrimSpace(c.Value))
		if err != nil || n < 0 || n >= len(s.texts) {
			return 0, fmt.Errorf("cell %s refers to the text %q, which does not exist", c.Ref, c.Value)
		}
		cell.kind, cell.value = textCell, s.texts[n]
	}
	if cell.value != "" || cell.formula != "" {
		s.cells = append(s.cells, cell)
	}
	return column + 1, nil
}
