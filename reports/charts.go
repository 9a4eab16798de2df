package reports

import (
	"fmt"

	"github.com/xuri/excelize/v2"
)

// The size of a chart in pixels, and how many rows of a sheet it takes.
const (
	chartWidth, chartHeight = 470, 330
	chartRows               = 18
)

// charts are those of the summary, one below the other. measures is the row that
// heads the measures.
func (b *book) charts(sheet string, measures int) {
	at := func(n int) string { return fmt.Sprintf("F%d", measures+chartRows*n) }
	b.hoursChart(sheet, at(0))
	b.trendChart(sheet, at(1))
	b.outcomeChart(sheet, at(2), measures)
	b.talkChart(sheet, at(3))
}

func (b *book) chartTitle(text string) excelize.ChartTitle {
	return excelize.ChartTitle{Paragraph: []excelize.RichTextRun{{
		Text: text, Font: &excelize.Font{Family: "Calibri", Size: 12, Bold: true, Color: inkColor},
	}}}
}

func solid(color string) excelize.Fill {
	return excelize.Fill{Type: "pattern", Pattern: 1, Color: []string{color}}
}

func axis(format string, lines bool) excelize.ChartAxis {
	return excelize.ChartAxis{
		MajorGridLines: lines,
		Font:           excelize.Font{Family: "Calibri", Size: 9, Color: quietColor},
		NumFmt:         excelize.ChartNumFmt{CustomNumFmt: format},
	}
}

func (b *book) hoursChart(sheet, cell string) {
	b.stacked(sheet, cell, "Inbound calls by hour", axis("", false), 2, len(b.figures.Hours)+1)
}

// trendChart shows the days by their day of the month; those that are not known
// are a gap.
func (b *book) trendChart(sheet, cell string) {
	b.stacked(sheet, cell, fmt.Sprintf("Inbound calls of %d days", len(b.figures.Trend)), axis("d", false), trendRow+1, trendRow+len(b.figures.Trend))
}

// stacked shows rows of the sheet Hours: calls answered, missed and abandoned.
func (b *book) stacked(sheet, cell, title string, across excelize.ChartAxis, first, last int) {
	series := func(column, color string) excelize.ChartSeries {
		return excelize.ChartSeries{
			Name:       "Hours!$" + column + "$1",
			Categories: fmt.Sprintf("Hours!$A$%d:$A$%d", first, last),
			Values:     fmt.Sprintf("Hours!$%s$%d:$%s$%d", column, first, column, last),
			Fill:       solid(color),
		}
	}
	gap := uint(40)
	b.do(b.file.AddChart(sheet, cell, &excelize.Chart{
		Type: excelize.ColStacked,
		Series: []excelize.ChartSeries{
			series("C", goodColor), series("D", badColor), series("E", warnColor),
		},
		Title:     b.chartTitle(title),
		Legend:    excelize.ChartLegend{Position: "bottom"},
		Dimension: excelize.ChartDimension{Width: chartWidth, Height: chartHeight},
		XAxis:     across,
		YAxis:     axis("#,##0", true),
		GapWidth:  &gap,
		Format:    excelize.GraphicOptions{AltText: title + ": answered, missed and abandoned"},
	}))
}

// outcomeChart shows which share of the calls had which outcome. first is the
// row of the summary that heads the measures.
func (b *book) outcomeChart(sheet, cell string, first int) {
	colors := map[string]string{
		"answered": goodColor, "outcome_missed": badColor, "outcome_voicemail": "D4795B", "outcome_busy": "E09D86",
		"outcome_rejected": "E9BBAA", "outcome_failed": "F2D8CD", "outcome_abandoned": warnColor, "outcome_cancelled": warnTint,
	}
	var series []excelize.ChartSeries
	row, section := first, ""
	for _, m := range b.figures.measures() {
		if m.section != section {
			section = m.section
			row++
		}
		row++
		if color := colors[m.name]; color != "" {
			series = append(series, excelize.ChartSeries{
				Name:       fmt.Sprintf("%s!$A$%d", sheet, row),
				Categories: fmt.Sprintf("%s!$B$%d:$D$%d", sheet, first, first),
				Values:     fmt.Sprintf("%s!$B$%d:$D$%d", sheet, row, row),
				Fill:       solid(color),
			})
		}
	}
	gap := uint(60)
	const title = "How calls ended"
	b.do(b.file.AddChart(sheet, cell, &excelize.Chart{
		Type: excelize.ColPercentStacked, Series: series,
		Title:     b.chartTitle(title),
		Legend:    excelize.ChartLegend{Position: "right"},
		Dimension: excelize.ChartDimension{Width: chartWidth, Height: chartHeight},
		XAxis:     axis("", false),
		YAxis:     axis("0%", true),
		GapWidth:  &gap,
		Format:    excelize.GraphicOptions{AltText: title + ": shares of the outcomes"},
	}))
}

func (b *book) talkChart(sheet, cell string) {
	n := min(len(b.figures.Agents), 12)
	if n == 0 {
		return
	}
	gap := uint(40)
	names := axis("", false)
	names.ReverseOrder = true // the first agent on top
	times := axis("[h]:mm", true)
	times.MajorUnit = float64(axisStep(b.figures.Agents[0].TalkSeconds())) / 86400
	b.do(b.file.AddChart(sheet, cell, &excelize.Chart{
		Type: excelize.Bar,
		Series: []excelize.ChartSeries{{
			Name:       "Agents!$L$1",
			Categories: fmt.Sprintf("Agents!$B$2:$B$%d", n+1),
			Values:     fmt.Sprintf("Agents!$L$2:$L$%d", n+1),
			Fill:       solid(accentColor),
		}},
		Title:     b.chartTitle("Talk time of the busiest agents"),
		Legend:    excelize.ChartLegend{Position: "none"},
		Dimension: excelize.ChartDimension{Width: chartWidth, Height: uint(120 + 22*n)},
		XAxis:     names,
		YAxis:     times,
		GapWidth:  &gap,
		Format:    excelize.GraphicOptions{AltText: "Talk time of the busiest agents"},
	}))
}

// axisStep is the distance, in seconds, of the lines of an axis that reaches to
// longest seconds: one that people count time by, and few enough lines.
func axisStep(longest int64) int64 {
	const lines = 6
	for _, step := range []int64{60, 5 * 60, 10 * 60, 15 * 60, 30 * 60, 3600, 2 * 3600, 4 * 3600, 12 * 3600} {
		if longest <= lines*step {
			return step
		}
	}
	days := (longest + lines*86400 - 1) / (lines * 86400)
	return days * 86400
}
