package reports

import "context"

// summaryLine is one figure of the summary in long form.
type summaryLine struct {
	period                      Period
	section, measure, direction string
	// hour is of the day; nil if the figure is not of one.
	hour *int
	figure
}

// summaryRecords are all figures of the summary, each on a line of its own. A
// figure that does not exist (an empty denominator) is n/a.
func summaryRecords(st *styles, in *Input, f *Figures) records[summaryLine] {
	text := func(name string, of func(summaryLine) string) column[summaryLine] {
		return textColumn(st, "", name, 0, of)
	}
	columns := []column[summaryLine]{
		text("report", func(summaryLine) string { return f.Settings.Report }),
		momentColumn(st, in.zone, "", "period_from", func(l summaryLine) int64 { return milliseconds(l.period.From) }),
		momentColumn(st, in.zone, "", "period_to", func(l summaryLine) int64 { return milliseconds(l.period.To) }),
		text("section", func(l summaryLine) string { return l.section }),
		text("measure", func(l summaryLine) string { return l.measure }),
		text("direction", func(l summaryLine) string { return l.direction }),
		optionalColumn(st, "", "hour", 0, func(l summaryLine) *int { return l.hour }),
		text("unit", func(l summaryLine) string { return string(l.unit) }),
		{name: "value", value: func(l summaryLine) any { return l.figure }},
	}
	return records[summaryLine]{columns: columns, each: func(ctx context.Context, fn func(summaryLine) error) error {
		return eachOf(f.summaryLines())(ctx, fn)
	}}
}

func (f *Figures) summaryLines() []summaryLine {
	var lines []summaryLine
	add := func(p Period, section, measure, direction string, hour *int, u unit, value float64) {
		lines = append(lines, summaryLine{p, section, measure, direction, hour, figure{value, u}})
	}
	for _, m := range f.measures() {
		for i, direction := range [...]string{"inbound", "outbound", "total"} {
			if m.has[i] {
				add(f.Period, m.section, m.name, direction, nil, m.unit, m.values[i])
			}
		}
	}
	for hour := range f.Hours {
		for _, m := range hourMeasures() {
			add(f.Period, "Hours", m.name, m.direction, &hour, m.unit, m.figure(&f.Hours[hour]))
		}
	}
	for _, h := range f.headlines() {
		if h.Previous.Value == "" {
			continue
		}
		add(f.Period.Before(), "Previous", h.name, h.direction, nil, h.unit, h.Previous.value)
		add(f.Period, "Mean of four before", h.name, h.direction, nil, h.unit, h.Usual.value)
	}
	for i := range f.Trend {
		d := &f.Trend[i]
		for _, m := range hourMeasures() {
			add(Period{Day, d.From, d.To}, "Days", m.name, m.direction, nil, m.unit, d.figure(m))
		}
	}
	return lines
}
