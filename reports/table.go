package reports

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"time"

	"callvault/internal/call"
)

// Table is a table of a report, for other programs.
type Table string

// The tables: every call, every agent, group, business number, campaign and
// account, the hours of the day, the customers to call back, the recordings that
// need attention, the calls outside permitted hours, and every figure of the summary on a line of its own.
const (
	CallsTable      Table = "calls"
	AgentsTable     Table = "agents"
	GroupsTable     Table = "groups"
	NumbersTable    Table = "numbers"
	CampaignsTable  Table = "campaigns"
	AccountsTable   Table = "accounts"
	HoursTable      Table = "hours"
	MissedTable     Table = "missed"
	RecordingsTable Table = "recordings"
	OutsideTable    Table = "outside-hours"
	SummaryTable    Table = "summary"
)

// Tables are all tables.
func Tables() []Table {
	return []Table{CallsTable, AgentsTable, GroupsTable, NumbersTable, CampaignsTable, AccountsTable,
		HoursTable, MissedTable, RecordingsTable, OutsideTable, SummaryTable}
}

// TableForm is how a table is written for other programs.
type TableForm string

// The forms. All are UTF-8 with the same names of columns; JSON has one object a
// line, and Parquet the type of each column.
const (
	TableCSV     TableForm = "csv"
	TableJSON    TableForm = "json"
	TableParquet TableForm = "parquet"
)

// TableForms are all forms.
func TableForms() []TableForm { return []TableForm{TableCSV, TableJSON, TableParquet} }

// recorder takes the records of a table, in order. A field is a string, an
// integer, a *int that is nil if it is not known, an instant, a figure, a
// json.Number, or nil for nothing.
type recorder interface {
	write(fields ...any) error
	close() error
}

// instant is a moment in Unix milliseconds; 0 is not known.
type instant int64

// figure is a figure of a unit; NaN is n/a.
type figure struct {
	value float64
	unit  unit
}

// jsonLines writes records as JSON, an object a line. What is not known is null.
type jsonLines struct {
	out  *bufio.Writer
	line bytes.Buffer
	json *json.Encoder
	// keys are what stands before each value: the names, quoted.
	keys []string
	zone *time.Location
}

func newJSONLines(out io.Writer, zone *time.Location, headings []heading) *jsonLines {
	j := &jsonLines{out: bufio.NewWriterSize(out, 64<<10), zone: zone}
	j.json = json.NewEncoder(&j.line)
	j.json.SetEscapeHTML(false)
	for i, h := range headings {
		j.keys = append(j.keys, fmt.Sprintf("%c%q:", "{,"[min(i, 1)], h.name))
	}
	return j
}

func (j *jsonLines) write(fields ...any) error {
	j.line.Reset()
	for i, field := range fields {
		j.line.WriteString(j.keys[i])
		if err := j.json.Encode(j.value(field)); err != nil {
			return err
		}
		j.line.Truncate(j.line.Len() - 1) // the line that the encoder ends
	}
	j.line.WriteString("}\n")
	_, err := j.out.Write(j.line.Bytes())
	return err
}

func (j *jsonLines) value(field any) any {
	switch v := field.(type) {
	case instant:
		if v == 0 {
			return nil
		}
		return formatMoment(int64(v), j.zone)
	case figure:
		if math.IsNaN(v.value) {
			return nil
		}
		return json.Number(csvFigure(v.value, v.unit))
	}
	return field
}

func (j *jsonLines) close() error { return j.out.Flush() }

// agentHeadings are the columns of the table of agents.
func agentHeadings() []heading {
	all := append([]heading{{"rank", integers}}, textHeadings("agent_name", "agent_id", "agent_number", "account", "group")...)
	for _, m := range agentMeasures() {
		if m.moment != nil {
			all = append(all, heading{m.name, moments})
			continue
		}
		all = append(all, figureHeading(m.name, m.unit))
	}
	return all
}

// agentRecords writes the figures of all agents.
func agentRecords(f *Figures, to recorder) error {
	for i, a := range f.Agents {
		fields := []any{i + 1, a.Name, a.ID, a.Number, a.Account, a.Group}
		for _, m := range agentMeasures() {
			if m.moment != nil {
				fields = append(fields, instant(milliseconds(m.moment(a))))
				continue
			}
			fields = append(fields, figure{m.figure(a), m.unit})
		}
		if err := to.write(fields...); err != nil {
			return err
		}
	}
	return nil
}

// summaryHeadings are the columns of the summary in long form.
func summaryHeadings() []heading {
	all := []heading{{"report", texts}, {"period_from", moments}, {"period_to", moments}}
	all = append(all, textHeadings("section", "measure", "direction")...)
	return append(all, heading{"hour", integers}, heading{"unit", texts}, heading{"value", decimals})
}

// summaryRecords writes the summary in long form: one figure a record. A figure
// that does not exist (an empty denominator) is n/a.
func summaryRecords(f *Figures, to recorder) error {
	write := func(p Period, section, measure, direction string, hour any, u unit, value float64) error {
		return to.write(f.Settings.Report, instant(milliseconds(p.From)), instant(milliseconds(p.To)),
			section, measure, direction, hour, string(u), figure{value, u})
	}
	for _, m := range f.measures() {
		for i, direction := range [...]string{"inbound", "outbound", "total"} {
			if m.has[i] {
				if err := write(f.Period, m.section, m.name, direction, nil, m.unit, m.values[i]); err != nil {
					return err
				}
			}
		}
	}
	for hour := range f.Hours {
		for _, m := range hourMeasures() {
			if err := write(f.Period, "Hours", m.name, m.direction, hour, m.unit, m.figure(&f.Hours[hour])); err != nil {
				return err
			}
		}
	}
	for _, h := range f.headlines() {
		if h.Previous.Value == "" {
			continue
		}
		err := write(f.Period.Before(), "Previous", h.name, h.direction, nil, h.unit, h.Previous.value)
		if err == nil {
			err = write(f.Period, "Mean of four before", h.name, h.direction, nil, h.unit, h.Usual.value)
		}
		if err != nil {
			return err
		}
	}
	for i := range f.Trend {
		d := &f.Trend[i]
		for _, m := range hourMeasures() {
			if err := write(Period{Day, d.From, d.To}, "Days", m.name, m.direction, nil, m.unit, d.figure(m)); err != nil {
				return err
			}
		}
	}
	return nil
}

// hourHeadings are the columns of the table of hours.
func hourHeadings() []heading {
	all := []heading{{"hour", integers}}
	for _, m := range hourMeasures() {
		all = append(all, figureHeading(m.direction+"_"+m.name, m.unit))
	}
	return all
}

// hourRecords writes the hours of the day.
func hourRecords(f *Figures, to recorder) error {
	for hour := range f.Hours {
		fields := []any{hour}
		for _, m := range hourMeasures() {
			fields = append(fields, figure{m.figure(&f.Hours[hour]), m.unit})
		}
		if err := to.write(fields...); err != nil {
			return err
		}
	}
	return nil
}

// WriteTable writes a table of the report's period that holds a date, made of
// what is known now, and nothing else. It makes no run. The CSV is that of the
// report's file but for the byte order mark, which spreadsheets ask for and other
// programs take for a part of the first name. An error of out is returned as it
// is, or wrapped.
func (r *Reporter) WriteTable(ctx context.Context, name string, date time.Time, table Table, form TableForm, out io.Writer) error {
	report, err := r.Report(name)
	if err != nil {
		return err
	}
	if !slices.Contains(Tables(), table) || !slices.Contains(TableForms(), form) {
		return call.Errorf(call.Invalid, "there is no table %q as %q", table, form)
	}
	return r.inSpool(func(dir string) error {
		in, err := r.freeze(ctx, &report, report.PeriodOf(date), 1, filepath.Join(dir, inputName))
		if err == nil {
			err = r.hide(in)
		}
		if err != nil {
			return err
		}
		return in.writeTable(ctx, table, form, out)
	})
}

func (in *Input) writeTable(ctx context.Context, table Table, form TableForm, out io.Writer) error {
	switch table {
	case CallsTable:
		return writeRecords(in, form, out, callColumns(new(styles), in.zone, ""), new(row), func(fn func(*row) error) error {
			_, err := in.each(ctx, fn, nil)
			return err
		})
	case MissedTable:
		return writeRecords(in, form, out, missingColumns(new(styles)), new(missing), func(fn func(*missing) error) error {
			_, err := in.each(ctx, nil, fn)
			return err
		})
	case RecordingsTable:
		return writeRecords(in, form, out, problemColumns(new(styles), ""), problem{new(row), new(recording)}, func(fn func(problem) error) error {
			return in.eachProblem(ctx, fn)
		})
	case OutsideTable:
		return writeRecords(in, form, out, outsideColumns(new(styles), ""), outsideCall{new(row), new(PermittedHours)}, func(fn func(outsideCall) error) error {
			return in.eachOutside(ctx, fn)
		})
	}
	header, records := agentHeadings(), agentRecords
	switch table {
	case SummaryTable:
		header, records = summaryHeadings(), summaryRecords
	case HoursTable:
		header, records = hourHeadings(), hourRecords
	}
	for _, d := range dimensions() {
		if d.table == table {
			header, records = d.headings(), d.records
		}
	}
	to, err := in.newRecorder(form, out, header)
	if err != nil {
		return err
	}
	figures, err := measure(ctx, in, nil)
	if err != nil {
		return err
	}
	return errors.Join(records(figures, to), to.close())
}

// writeRecords writes the rows of a long table; empty is one of which nothing is
// known.
func writeRecords[T any](in *Input, form TableForm, out io.Writer, columns []column[T], empty T, each func(func(T) error) error) error {
	to, err := in.newRecorder(form, out, headings(columns, empty))
	if err != nil {
		return err
	}
	err = each(func(of T) error { return to.write(fields(columns, of)...) })
	return errors.Join(err, to.close())
}

func (in *Input) newRecorder(form TableForm, out io.Writer, header []heading) (recorder, error) {
	switch form {
	case TableJSON:
		return newJSONLines(out, in.zone, header), nil
	case TableParquet:
		return newParquet(out, in.Settings.Version, header)
	case TableCSV:
	}
	return newCSV(unclosed{out}, in.zone, header...)
}

// unclosed is an output that is not ours to close.
type unclosed struct{ io.Writer }

// Close does nothing.
func (unclosed) Close() error { return nil }
