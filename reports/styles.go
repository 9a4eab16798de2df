package reports

import (
	"errors"

	"github.com/xuri/excelize/v2"
)

// The palette, of workbook and mail alike: ink on white, one accent, and green
// and red that differ in lightness, too, for those who cannot tell them apart.
const (
	inkColor    = "1F2A37"
	quietColor  = "64707D"
	accentColor = "1F4E79"
	washColor   = "F1F5F9"
	lineColor   = "D5DDE5"
	goodColor   = "2F8F7B"
	badColor    = "C4512D"
	warnColor   = "E3A33B"
	// Behind figures: light enough to read ink on.
	accentTint = "9CBADB"
	badTint    = "EBA793"
	warnTint   = "F3D29B"
)

// styles are the cell styles of a workbook.
type styles struct {
	title, note, lead              int
	head, headRight, section       int
	tileLabel, tileNumber          int
	tileRate, tileText             int
	label, detail                  int
	text, wrapped, link, alarm     int
	integer, number, tenths, rate  int
	duration, moment, notAvailable int
}

func newStyles(f *excelize.File) (*styles, error) {
	var faults []error
	style := func(s excelize.Style) int {
		if s.Font == nil {
			s.Font = &excelize.Font{}
		}
		s.Font.Family = "Calibri"
		if s.Font.Size == 0 {
			s.Font.Size = 10
		}
		if s.Font.Color == "" {
			s.Font.Color = inkColor
		}
		if s.Alignment == nil {
			s.Alignment = &excelize.Alignment{}
		}
		if s.Alignment.Vertical == "" {
			s.Alignment.Vertical = "center"
		}
		id, err := f.NewStyle(&s)
		faults = append(faults, err)
		return id
	}
	format := func(code string) excelize.Style {
		return excelize.Style{CustomNumFmt: &code}
	}
	// Figures stand to the right, but not against the text that follows: "_)"
	// leaves the width of a bracket free. (LibreOffice forgets an indent to the
	// right in some cells.)
	figure := func(code string) int { return style(format(code + "_)_)")) }
	fill := func(color string) excelize.Fill {
		return excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{color}}
	}
	tile := func(code string) excelize.Style {
		s := format(code)
		s.Font = &excelize.Font{Size: 18, Bold: true, Color: accentColor}
		s.Fill = fill(washColor)
		s.Alignment = &excelize.Alignment{Horizontal: "left", Indent: 1}
		return s
	}
	moment := format("yyyy-mm-dd hh:mm:ss")
	moment.Alignment = &excelize.Alignment{Horizontal: "left"}
	const plain = "General"
	st := &styles{
		title: style(excelize.Style{Font: &excelize.Font{Size: 18, Bold: true, Color: accentColor}}),
		note:  style(excelize.Style{Font: &excelize.Font{Color: quietColor}}),
		lead:  style(excelize.Style{Font: &excelize.Font{Size: 11, Bold: true}}),
		head: style(excelize.Style{
			Font:      &excelize.Font{Bold: true, Color: "FFFFFF"},
			Fill:      fill(accentColor),
			Alignment: &excelize.Alignment{WrapText: true, Vertical: "center"},
		}),
		headRight: style(excelize.Style{
			Font:      &excelize.Font{Bold: true, Color: "FFFFFF"},
			Fill:      fill(accentColor),
			Alignment: &excelize.Alignment{Horizontal: "right", WrapText: true, Vertical: "center"},
		}),
		section: style(excelize.Style{
			Font:   &excelize.Font{Bold: true, Color: accentColor, Size: 11},
			Border: []excelize.Border{{Type: "bottom", Color: accentColor, Style: 1}},
		}),
		tileLabel: style(excelize.Style{
			Font: &excelize.Font{Color: quietColor, Size: 9}, Fill: fill(washColor),
			Alignment: &excelize.Alignment{Horizontal: "left", Indent: 1, Vertical: "bottom"},
		}),
		tileNumber: style(tile("#,##0")),
		tileRate:   style(tile("0.0%")),
		tileText:   style(tile(plain)),
		label:      style(excelize.Style{}),
		detail: style(excelize.Style{
			Font:      &excelize.Font{Color: quietColor},
			Alignment: &excelize.Alignment{Horizontal: "left", Indent: 2},
		}),
		// To the left also where the text runs to it.
		text:    style(excelize.Style{Alignment: &excelize.Alignment{Horizontal: "left"}}),
		wrapped: style(excelize.Style{Alignment: &excelize.Alignment{WrapText: true, Vertical: "top"}}),
		link:    style(excelize.Style{Font: &excelize.Font{Color: accentColor, Underline: "single"}}),
		alarm:   style(excelize.Style{Font: &excelize.Font{Color: badColor, Bold: true}}),
		integer: figure("#,##0"),
		number:  figure("#,##0.00##"),
		tenths:  figure("0.0"),
		rate:    figure("0.0%"),
		// Beyond 24 hours the hours go on counting.
		duration: figure("[h]:mm:ss"),
		moment:   style(moment),
		notAvailable: style(excelize.Style{
			Font:      &excelize.Font{Color: quietColor, Italic: true},
			Alignment: &excelize.Alignment{Horizontal: "right", Indent: 1},
		}),
	}
	return st, errors.Join(faults...)
}

// of is the style of figures of a unit.
func (st *styles) of(u unit) int {
	switch u {
	case rates:
		return st.rate
	case seconds:
		return st.duration
	case counts:
		return st.integer
	case hourly, minutes:
		return st.tenths
	case costs:
	}
	return st.number
}
