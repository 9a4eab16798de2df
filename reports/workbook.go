package reports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"
)

// maxRows is how many rows a sheet holds, its header among them.
const maxRows = 1_048_576

// book is a workbook being made.
type book struct {
	file *excelize.File
	pack *packager
	*styles
	in      *Input
	figures *Figures
	// rowsPerSheet is maxRows but in tests.
	rowsPerSheet int64
	sheets       int
	err          error
}

// writeWorkbook writes the workbook of a frozen input to path.
func writeWorkbook(ctx context.Context, in *Input, figures *Figures, path string, rowsPerSheet int64) error {
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write workbook: %w", err)
	}
	if err := errors.Join(makeWorkbook(ctx, in, figures, out, rowsPerSheet), out.Close()); err != nil {
		return fmt.Errorf("write workbook: %w", err)
	}
	return nil
}

func makeWorkbook(ctx context.Context, in *Input, figures *Figures, out *os.File, rowsPerSheet int64) (err error) {
	b := &book{file: excelize.NewFile(), pack: newPackager(out, in.Settings.AsOf),
		in: in, figures: figures, rowsPerSheet: rowsPerSheet}
	defer func() { err = errors.Join(err, b.file.Close()) }()
	b.file.SetZipWriter(func(io.Writer) excelize.ZipWriter { return b.pack })
	if b.styles, err = newStyles(b.file); err != nil {
		return err
	}
	b.do(b.file.SetDefaultFont("Calibri"))
	// Charts refer to cells of sheets that must exist by then.
	b.sheet("Summary")
	b.agents(ctx)
	for _, d := range dimensions() {
		b.slices(ctx, d)
	}
	b.hours()
	b.summary()
	b.weekdayHours(ctx)
	b.missed(ctx)
	b.calls(ctx)
	b.recordings(ctx)
	b.changes(ctx)
	b.outside(ctx)
	b.definitions()
	b.properties()
	if b.err != nil {
		return b.err
	}
	return b.file.Write(out)
}

// do keeps the first error.
func (b *book) do(err error) {
	if b.err == nil {
		b.err = err
	}
}

// sheet adds a sheet.
func (b *book) sheet(name string) {
	b.sheets++
	if b.sheets == 1 {
		b.do(b.file.SetSheetName("Sheet1", name))
		return
	}
	_, err := b.file.NewSheet(name)
	b.do(err)
}

// put sets a cell. A text is a text whatever it begins with; NaN is n/a.
func (b *book) put(sheet string, column, row int, value any, style int) {
	cell, err := excelize.CoordinatesToCellName(column, row)
	b.do(err)
	switch v := value.(type) {
	case nil:
	case string:
		b.do(b.file.SetCellStr(sheet, cell, plainText(fitCell(validText(v)))))
	case float64:
		if math.IsNaN(v) {
			b.do(b.file.SetCellStr(sheet, cell, notAvailable))
			style = b.notAvailable
			break
		}
		b.do(b.file.SetCellFloat(sheet, cell, v, -1, 64))
	case time.Time:
		if !v.IsZero() {
			days := float64(wall(v).Unix()+excelEpoch) / 86400
			b.do(b.file.SetCellFloat(sheet, cell, days, 10, 64))
		}
	default:
		b.do(b.file.SetCellValue(sheet, cell, v))
	}
	b.do(b.file.SetCellStyle(sheet, cell, cell, style))
}

// figure sets a cell to a figure of a unit.
func (b *book) figure(sheet string, column, row int, v float64, u unit) {
	b.figureIn(sheet, column, row, v, u, b.of(u))
}

// figureIn is figure in a style of its own; Excel counts time in days.
func (b *book) figureIn(sheet string, column, row int, v float64, u unit, style int) {
	if u == seconds {
		v /= 86400
	}
	b.put(sheet, column, row, v, style)
}

func (b *book) widths(sheet string, widths ...float64) {
	for i, w := range widths {
		b.do(b.file.SetColWidth(sheet, columnName(i), columnName(i), w))
	}
}

// paper is how a sheet is printed on A4.
type paper struct {
	portrait bool
	// wide and high are how many pages it is fitted to; 0 is as many as it
	// takes.
	wide, high int
	// rows and columns are how many of the first are repeated on each page.
	rows, columns int
}

// page sets a sheet up for printing, with title and page number below.
func (b *book) page(sheet string, p paper) {
	orientation, size, fit := "landscape", 9, true
	if p.portrait {
		orientation = "portrait"
	}
	b.do(b.file.SetSheetProps(sheet, &excelize.SheetPropsOptions{FitToPage: &fit}))
	b.do(b.file.SetPageLayout(sheet, &excelize.PageLayoutOptions{
		Orientation: &orientation, Size: &size, FitToWidth: &p.wide, FitToHeight: &p.high,
	}))
	margin, edge, foot := 0.5, 0.6, 0.3
	b.do(b.file.SetPageMargins(sheet, &excelize.PageLayoutMarginsOptions{
		Left: &margin, Right: &margin, Top: &edge, Bottom: &edge, Header: &foot, Footer: &foot,
	}))
	b.do(b.file.SetHeaderFooter(sheet, &excelize.HeaderFooterOptions{
		OddFooter: "&L&8 " + b.in.Settings.name() + " " + b.figures.Period.Label() + "&C&8&A&R&8&P / &N",
	}))
	var titles []string
	if p.columns > 0 {
		titles = append(titles, fmt.Sprintf("'%s'!$A:$%s", sheet, columnName(p.columns-1)))
	}
	if p.rows > 0 {
		titles = append(titles, fmt.Sprintf("'%s'!$1:$%d", sheet, p.rows))
	}
	if len(titles) > 0 {
		b.do(b.file.SetDefinedName(&excelize.DefinedName{
			Name: "_xlnm.Print_Titles", Scope: sheet, RefersTo: strings.Join(titles, ","),
		}))
	}
}

// view hides a sheet's grid and keeps its first rows and columns in sight.
func (b *book) view(sheet string, frozenRows, frozenColumns int) {
	gridLines := false
	b.do(b.file.SetSheetView(sheet, 0, &excelize.ViewOptions{ShowGridLines: &gridLines}))
	if frozenRows == 0 && frozenColumns == 0 {
		return
	}
	corner, err := excelize.CoordinatesToCellName(frozenColumns+1, frozenRows+1)
	b.do(err)
	pane := "bottomLeft"
	if frozenColumns > 0 {
		pane = "bottomRight"
	}
	b.do(b.file.SetPanes(sheet, &excelize.Panes{
		Freeze: true, XSplit: frozenColumns, YSplit: frozenRows, TopLeftCell: corner, ActivePane: pane,
	}))
}

// properties sets what file managers show. Their times are the report's.
func (b *book) properties() {
	at := b.in.Settings.AsOf.UTC().Format(time.RFC3339)
	b.do(b.file.SetDocProps(&excelize.DocProperties{
		Title:   b.in.Settings.name() + " report, " + b.figures.Period.Title(),
		Subject: "Calls of " + b.figures.Period.Title(),
		Creator: "Callvault", LastModifiedBy: "Callvault",
		Description: b.figures.Completeness(), Identifier: b.in.Hash,
		Created: at, Modified: at, Revision: fmt.Sprint(b.in.Settings.Revision),
		Category: "Call report", Language: "en",
	}))
	b.do(b.file.SetAppProps(&excelize.AppProperties{Application: "Callvault"}))
}

// list is a table that is a sheet of its own, and more when it has more records
// than a sheet holds.
type list[T any] struct {
	sheet string
	records[T]
	rows int64
	// none is what a table without records says.
	none string
	// frozen is how many columns stay in view, on the screen and in print.
	frozen int
	// pages is how many pages wide it is printed; 0 is one.
	pages int
}

// addList adds a list's sheets. Their rows are written when the workbook is,
// under ctx.
func addList[T any](ctx context.Context, b *book, l list[T]) {
	l.columns = slices.DeleteFunc(l.columns, func(c column[T]) bool { return c.title == "" })
	perSheet := b.rowsPerSheet - 1
	for part := int64(0); part == 0 || part*perSheet < l.rows; part++ {
		name := l.sheet
		if part > 0 {
			name = fmt.Sprintf("%s %d", l.sheet, part+1)
		}
		first := part * perSheet
		n := min(l.rows-first, perSheet)
		b.sheet(name)
		for i, c := range l.columns {
			style := b.head
			if c.right {
				style = b.headFigure
			}
			b.put(name, i+1, 1, c.title, style)
			b.do(b.file.SetColWidth(name, columnName(i), columnName(i), c.width))
			if c.detail {
				b.do(b.file.SetColOutlineLevel(name, columnName(i), 1))
				b.do(b.file.SetColVisible(name, columnName(i), false))
			}
		}
		b.do(b.file.SetRowHeight(name, 1, 30))
		b.view(name, 1, l.frozen)
		b.page(name, paper{wide: max(l.pages, 1), rows: 1, columns: l.frozen})
		if l.rows == 0 {
			b.put(name, 1, 2, l.none, b.note)
		}
		b.table(name, len(l.columns), int(max(n, 1))+1)
		if l.rows == 0 {
			continue
		}
		b.pack.rows[fmt.Sprintf("xl/worksheets/sheet%d.xml", b.sheets)] = func(w io.Writer) error {
			return writeRows(ctx, w, b.in.zone, l, first, n)
		}
	}
}

// table makes the first rows of a sheet a table with filters. Its name must not
// look like a cell's.
func (b *book) table(sheet string, columns, rows int) {
	name := strings.ReplaceAll(sheet, " ", "_") + "_table"
	area := fmt.Sprintf("A1:%s%d", columnName(columns-1), rows)
	stripes := true
	b.do(b.file.AddTable(sheet, &excelize.Table{
		Range: area, Name: name,
		StyleName: "TableStyleLight1", ShowRowStripes: &stripes,
	}))
	b.do(b.file.SetSheetDimension(sheet, area))
}

// errEnough ends a pass over the rows when a sheet is full.
var errEnough = errors.New("the sheet is full")

func writeRows[T any](ctx context.Context, w io.Writer, zone *time.Location, l list[T], first, n int64) error {
	out := newCells(w, zone, 2, len(l.columns))
	at := int64(-1)
	err := l.each(ctx, func(of T) error {
		at++
		switch {
		case at < first:
			return nil
		case at >= first+n:
			return errEnough
		}
		out.begin()
		for i := range l.columns {
			l.columns[i].cell(out, of)
		}
		return out.end()
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (b *book) calls(ctx context.Context) {
	addList(ctx, b, list[*row]{
		sheet: "Calls", records: callRecords(b.styles, b.in),
		rows: b.figures.Rows, none: "No calls in this period.", frozen: 1, pages: 3,
	})
}

func (b *book) missed(ctx context.Context) {
	addList(ctx, b, list[*missing]{
		sheet: "Missed", records: missingRecords(b.styles, b.in),
		rows: b.figures.Missing + b.figures.Returned, none: "Nobody was missed.", frozen: 2,
	})
}

func (b *book) recordings(ctx context.Context) {
	problems := problemRecords(b.styles, b.in)
	problems.each = cmp.Or(b.figures.concerned, b.in).eachProblem
	addList(ctx, b, list[problem]{
		sheet: "Recordings", records: problems, rows: b.figures.Problems, frozen: 1,
		none: "Nothing is absent, refused or pending, and no audio is cut, too short or too long.",
	})
}

// eachProblem calls fn for each recording that needs attention.
func (in *Input) eachProblem(ctx context.Context, fn func(problem) error) error {
	_, err := in.each(ctx, func(r *row) error {
		match := r.audioMatch()
		for i := range r.Recordings {
			p := problem{r, &r.Recordings[i]}
			if !p.needsAttention(match) {
				continue
			}
			if err := fn(p); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	return err
}
