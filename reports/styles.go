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
	title, note, lead        int
	head, headRight, section int
	// headFigure heads figures in a table with filters: their button has the
	// right end of the cell.
	headFigure                    int
	label, detail                 int
	text, wrapped, link, alarm    int
	integer, number, tenths, rate int
	duration, moment, date        int
	notAvailable                  int
	// The headline figures, and how they have changed.
	topNumber, topRate, topDuration int
	changes                         [3]changeStyles // neither, better, worse
}

// changeStyles are those of a change: with its sign, in the colour of what it
// means.
type changeStyles struct{ number, tenths, points, seconds, share int }

// change are the styles of a change.
func (st *styles) change(v versus) changeStyles {
	switch {
	case v.Better:
		return st.changes[1]
	case v.Worse:
		return st.changes[2]
	}
	return st.changes[0]
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
	top := func(code string) int {
		s := format(code + "_)_)")
		s.Font = &excelize.Font{Size: 12, Bold: true, Color: accentColor}
		return style(s)
	}
	signed := func(color, code string) int {
		s := format("+" + code + "_)_);−" + code + "_)_);±0_)_)")
		s.Font = &excelize.Font{Color: color}
		return style(s)
	}
	moment := format("yyyy-mm-dd hh:mm:ss")
	moment.Alignment = &excelize.Alignment{Horizontal: "left"}
	date := format("ddd d mmm")
	date.Alignment = &excelize.Alignment{Horizontal: "left"}
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
		headFigure: style(excelize.Style{
			Font:      &excelize.Font{Bold: true, Color: "FFFFFF"},
			Fill:      fill(accentColor),
			Alignment: &excelize.Alignment{Horizontal: "right", Indent: 2, WrapText: true, Vertical: "center"},
		}),
		section: style(excelize.Style{
			Font:   &excelize.Font{Bold: true, Color: accentColor, Size: 11},
			Border: []excelize.Border{{Type: "bottom", Color: accentColor, Style: 1}},
		}),
		label: style(excelize.Style{}),
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
		date:     style(date),
		notAvailable: style(excelize.Style{
			Font:      &excelize.Font{Color: quietColor, Italic: true},
			Alignment: &excelize.Alignment{Horizontal: "right", Indent: 1},
		}),
	}
	st.topNumber, st.topRate, st.topDuration = top("#,##0"), top("0.0%"), top("[h]:mm:ss")
	for i, color := range [...]string{inkColor, goodColor, badColor} {
		st.changes[i] = changeStyles{number: signed(color, "#,##0"), tenths: signed(color, "#,##0.0"), points: signed(color, `0.0" points"`),
			seconds: signed(color, `#,##0.0" s"`), share: signed(color, "0.0%")}
	}
	return st, errors.Join(faults...)
}

// headline is the style of headline figures of a unit.
func (st *styles) headline(u unit) int {
	switch u {
	case rates:
		return st.topRate
	case seconds:
		return st.topDuration
	default:
		return st.topNumber
	}
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
