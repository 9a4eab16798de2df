package reports

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/xuri/excelize/v2"
)

// summary is the first sheet: the headline figures beside earlier ones, all
// measures, and charts.
func (b *book) summary() {
	const sheet = "Summary"
	f := b.figures
	b.widths(sheet, 38, 15, 15, 15, 12, 15, 15, 12)
	b.view(sheet, 0, 0)
	b.page(sheet, paper{portrait: true, wide: 1, high: 1})
	b.put(sheet, 1, 1, f.title(), b.title)
	b.do(b.file.SetRowHeight(sheet, 1, 28))
	b.put(sheet, 1, 2, f.Completeness(), b.lead)
	b.put(sheet, 1, 3, f.bounds(), b.note)

	row := b.headlines(sheet, 5) + 1
	if note := f.trendNote(); note != "" {
		b.put(sheet, 1, row, note, b.note)
		row++
	}
	row++
	below := row
	b.put(sheet, 1, row, "Measure", b.head)
	for i, title := range []string{"Inbound", "Outbound", "Total"} {
		b.put(sheet, i+2, row, title, b.headRight)
	}
	section := ""
	for _, m := range f.measures() {
		if m.section != section {
			section = m.section
			row++
			b.do(b.file.SetRowHeight(sheet, row, 22))
			for column := 1; column <= 4; column++ {
				b.put(sheet, column, row, nil, b.section)
			}
			b.put(sheet, 1, row, section, b.section)
		}
		row++
		style := b.label
		if m.detail {
			style = b.detail
		}
		b.put(sheet, 1, row, m.label, style)
		for i := range m.values {
			if m.has[i] {
				b.figure(sheet, i+2, row, m.values[i], m.unit)
			}
		}
	}
	b.charts(sheet, below)
}

// headlines writes the headline figures, each beside those of earlier periods,
// and returns the last row.
func (b *book) headlines(sheet string, row int) int {
	f := b.figures
	b.put(sheet, 1, row, "Headline figures", b.head)
	for i, title := range []string{f.Period.Label(), f.previousName(), "Change", "in %", f.usualName(), "Change", "in %"} {
		b.put(sheet, i+2, row, title, b.headRight)
	}
	b.do(b.file.SetRowHeight(sheet, row, 42))
	for _, h := range f.headlines() {
		row++
		b.do(b.file.SetRowHeight(sheet, row, 21))
		b.put(sheet, 1, row, h.Label, b.label)
		b.figureIn(sheet, 2, row, h.value, h.unit, b.headline(h.unit))
		for i, v := range []versus{h.Previous, h.Usual} {
			if v.Value == "" {
				continue
			}
			column, style := 3+3*i, b.of(h.unit)
			if h.unit == counts && v.value != math.Trunc(v.value) {
				style = b.tenths
			}
			b.figureIn(sheet, column, row, v.value, h.unit, style)
			difference, share := v.difference(h.value), v.share(h.value)
			if math.IsNaN(difference) {
				continue // said once, by the figure
			}
			changes := b.change(v)
			switch h.unit {
			case rates:
				b.put(sheet, column+1, row, 100*difference, changes.points)
				continue
			case seconds:
				b.put(sheet, column+1, row, difference, changes.seconds)
			default:
				if difference != math.Trunc(difference) {
					changes.number = changes.tenths
				}
				b.put(sheet, column+1, row, difference, changes.number)
			}
			if !math.IsNaN(share) {
				b.put(sheet, column+2, row, share, changes.share)
			}
		}
	}
	return row
}

// title names the report and its period.
func (f *Figures) title() string {
	title := f.Settings.name() + " · " + f.Period.Title()
	if f.Settings.Revision > 1 {
		title += fmt.Sprintf(" · revised (%d)", f.Settings.Revision)
	}
	return title
}

// bounds says which calls these are, and as of when.
func (f *Figures) bounds() string {
	zone := f.Period.From.Location()
	text := fmt.Sprintf("From %s to %s, %s · as of %s",
		f.Period.From.Format("2006-01-02 15:04"), f.Period.To.Format("2006-01-02 15:04"),
		zoneNote(f.Period), f.Settings.AsOf.In(zone).Format("2006-01-02 15:04:05"))
	if f.Settings.AsOf.Before(f.Period.To) {
		text += " · not over yet"
	}
	if f.Settings.Match != "" {
		text += " · only " + f.Settings.Match
	}
	return text
}

// agents ranks the agents by talk time.
func (b *book) agents(ctx context.Context) {
	n := len(b.figures.Agents)
	addList(ctx, b, list[rankedAgent]{
		sheet: "Agents", records: agentRecords(b.styles, b.in, b.figures), rows: int64(n),
		none: "No agent is named in this period's calls.", frozen: 2, pages: 2,
	})
	b.bars("Agents", fmt.Sprintf("L2:L%d", max(n, 1)+1), accentTint)
}

// slices is the sheet of a dimension.
func (b *book) slices(ctx context.Context, d dimension) {
	rows, told := b.figures.Slices[d.table]
	none := "No " + d.noun + " is named in this period's calls."
	if !told {
		none = notAvailable + ": the input, of an older version, does not tell."
	}
	addList(ctx, b, list[rankedSlice]{
		sheet: d.sheet, records: d.records(b.styles, b.in, b.figures), rows: int64(len(rows)),
		none: none, frozen: 2, pages: 3,
	})
	b.bars(d.sheet, fmt.Sprintf("C2:C%d", max(len(rows), 1)+1), accentTint)
}

// weekdayHours are the hours of each weekday.
func (b *book) weekdayHours(ctx context.Context) {
	const sheet = "Weekday hours"
	rows := 24 * len(b.figures.weekdays())
	addList(ctx, b, list[weekdayHour]{
		sheet: sheet, records: weekdayHourRecords(b.styles, b.in, b.figures), rows: int64(rows), frozen: 2, pages: 3,
	})
	b.bars(sheet, fmt.Sprintf("C2:C%d", rows+1), accentTint)
}

// bars draws the size of each figure into its cell.
func (b *book) bars(sheet, area, color string) {
	b.do(b.file.SetConditionalFormat(sheet, area, []excelize.ConditionalFormatOptions{{
		Type: "data_bar", Criteria: "=", MinType: "num", MinValue: "0", MaxType: "max",
		BarColor: "#" + color, BarSolid: true,
	}}))
}

// hours is the day by hours, and a heat map of weekdays and hours.
func (b *book) hours() {
	const sheet = "Hours"
	b.sheet(sheet)
	measures := hourMeasures()
	b.put(sheet, 1, 1, "Hour", b.head)
	widths := []float64{13}
	for i, m := range measures {
		b.put(sheet, i+2, 1, m.title, b.headRight)
		widths = append(widths, 11)
	}
	heat := len(measures) + 3
	widths = append(widths, 3, 13)
	b.put(sheet, heat, 1, "Offered", b.head)
	days := b.figures.weekdays()
	for i, day := range days {
		b.put(sheet, heat+1+i, 1, weekdayNames[day], b.headRight)
		widths = append(widths, 9)
	}
	b.widths(sheet, widths...)
	b.do(b.file.SetRowHeight(sheet, 1, 30))
	b.view(sheet, 1, 1)
	b.page(sheet, paper{wide: 1})
	for hour := range b.figures.Hours {
		row := hour + 2
		name := fmt.Sprintf("%02d", hour)
		b.put(sheet, 1, row, name, b.text)
		for i, m := range measures {
			b.figure(sheet, i+2, row, m.figure(&b.figures.Hours[hour]), m.unit)
		}
		b.put(sheet, heat, row, name, b.text)
		for i, day := range days {
			b.figure(sheet, heat+1+i, row, float64(b.figures.Week[day][hour].Inbound.Calls), counts)
		}
	}
	b.heat("B2:B25", accentTint)
	b.heat("D2:D25", badTint)
	b.heat("E2:E25", warnTint)
	b.heat("H2:H25", accentTint)
	b.heat(fmt.Sprintf("%s2:%s25", columnName(heat), columnName(heat+len(days)-1)), accentTint)
	b.trend(sheet)
	b.put(sheet, 1, 27, "By the clocks of "+b.in.zone.String()+"; an hour that daylight "+
		"saving repeats counts both. Inbound calls but for Outbound and Connected; talk time is of both.", b.note)
}

// trendRow is the row of the sheet Hours that heads the days of the trend.
const trendRow = 29

// trend lists the days up to the period's last, under the same measures.
func (b *book) trend(sheet string) {
	b.put(sheet, 1, trendRow, "Day", b.head)
	for i, m := range hourMeasures() {
		b.put(sheet, i+2, trendRow, m.title, b.headRight)
	}
	b.do(b.file.SetRowHeight(sheet, trendRow, 30))
	b.do(b.file.InsertPageBreak(sheet, fmt.Sprintf("A%d", trendRow)))
	for i := range b.figures.Trend {
		d := &b.figures.Trend[i]
		b.put(sheet, 1, trendRow+1+i, d.From, b.date)
		for j, m := range hourMeasures() {
			b.figure(sheet, j+2, trendRow+1+i, d.figure(m), m.unit)
		}
	}
}

// heat colours cells of the hours from white to a colour, by their figures.
func (b *book) heat(area, color string) {
	b.do(b.file.SetConditionalFormat("Hours", area, []excelize.ConditionalFormatOptions{{
		Type: "2_color_scale", Criteria: "=", MinType: "num", MinValue: "0", MaxType: "max",
		MinColor: "#FFFFFF", MaxColor: "#" + color,
	}}))
}

var weekdayNames = [7]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

// weekdays are the weekdays that the period has, Monday first.
func (f *Figures) weekdays() []int {
	if f.Period.Kind == Day {
		return []int{(int(f.Period.From.Weekday()) + 6) % 7}
	}
	return []int{0, 1, 2, 3, 4, 5, 6}
}

// definitions says what every word of the workbook means, so that two people
// who read it mean the same thing.
func (b *book) definitions() {
	const sheet = "Definitions"
	b.sheet(sheet)
	b.widths(sheet, 34, 100)
	b.view(sheet, 1, 0)
	b.page(sheet, paper{wide: 1, rows: 1})
	b.put(sheet, 1, 1, "Word", b.head)
	b.put(sheet, 2, 1, "Meaning in this report", b.head)
	for i, d := range b.figures.definitions() {
		b.put(sheet, 1, i+2, d.word, b.wrapped)
		b.put(sheet, 2, i+2, d.meaning, b.wrapped)
		lines := 0
		for line := range strings.SplitSeq(d.meaning, "\n") {
			lines += 1 + len(line)/110
		}
		b.do(b.file.SetRowHeight(sheet, i+2, float64(4+14*lines)))
	}
}
