package reports

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"time"

	"callvault/internal/call"
)

// Table is a table of a report, for other programs.
type Table string

// The tables; Doc says what each holds.
const (
	CallsTable        Table = "calls"
	AgentsTable       Table = "agents"
	GroupsTable       Table = "groups"
	NumbersTable      Table = "numbers"
	CampaignsTable    Table = "campaigns"
	AccountsTable     Table = "accounts"
	HoursTable        Table = "hours"
	WeekdayHoursTable Table = "weekday-hours"
	MissedTable       Table = "missed"
	RecordingsTable   Table = "recordings"
	ChangesTable      Table = "changes"
	PermittedTable    Table = "permitted-hours"
	OutsideTable      Table = "outside-hours"
	SummaryTable      Table = "summary"
	DefinitionsTable  Table = "definitions"
)

// table is a table of a report.
type table struct {
	name Table
	// doc says what it holds.
	doc   string
	write tableWriter
}

// tableWriter writes a table of an input.
type tableWriter func(ctx context.Context, in *Input, form TableForm, out io.Writer) error

// tables are all tables.
func tables() []table {
	all := []table{
		{CallsTable, "every call", ofInput(callRecords)},
		{AgentsTable, "the measures of each agent", ofFigures(agentRecords)},
	}
	for _, d := range dimensions() {
		all = append(all, table{d.table, "the measures of each " + d.noun, ofFigures(d.records)})
	}
	return append(all,
		table{HoursTable, "the hours of the day", ofFigures(hourRecords)},
		table{WeekdayHoursTable, "the hours of each weekday", ofFigures(weekdayHourRecords)},
		table{MissedTable, "customers to call back, and those who were", ofInput(missingRecords)},
		table{RecordingsTable, "recordings that need attention", ofInput(problemRecords)},
		table{ChangesTable, "what the newest revision that is kept changed", ofFigures(changeRecords)},
		table{PermittedTable, "calls outside the permitted hours, counted by campaign and agent", ofFigures(permittedRecords)},
		table{OutsideTable, "each call outside the permitted hours", ofInput(outsideRecords)},
		table{SummaryTable, "every figure of the summary on a line of its own", ofFigures(summaryRecords)},
		table{DefinitionsTable, "what the words mean", ofFigures(definitionRecords)},
	)
}

// Tables are all tables.
func Tables() []Table {
	var names []Table
	for _, t := range tables() {
		names = append(names, t.name)
	}
	return names
}

// find is the table of a name; ok is false if there is none.
func (name Table) find() (found table, ok bool) {
	for _, t := range tables() {
		if t.name == name {
			return t, true
		}
	}
	return table{}, false
}

// Doc says what a table holds.
func (name Table) Doc() string {
	t, _ := name.find()
	return t.doc
}

// records are what a table is made of, in the workbook and for other programs.
type records[T any] struct {
	columns []column[T]
	// empty is a record of which nothing is known: its values tell the columns'
	// types.
	empty T
	// each gives the records, in order.
	each func(context.Context, func(T) error) error
}

// eachOf gives the records of a list.
func eachOf[T any](all []T) func(context.Context, func(T) error) error {
	return func(_ context.Context, fn func(T) error) error {
		for _, of := range all {
			if err := fn(of); err != nil {
				return err
			}
		}
		return nil
	}
}

// ofInput writes a table that the lines of an input tell.
func ofInput[T any](of func(*styles, *Input) records[T]) tableWriter {
	return func(ctx context.Context, in *Input, form TableForm, out io.Writer) error {
		return writeRecords(ctx, in, form, out, of(new(styles), in))
	}
}

// ofFigures writes a table of which all has to be counted first.
func ofFigures[T any](of func(*styles, *Input, *Figures) records[T]) tableWriter {
	return func(ctx context.Context, in *Input, form TableForm, out io.Writer) error {
		figures, err := measure(ctx, in, nil)
		if err != nil {
			return err
		}
		return writeRecords(ctx, in, form, out, of(new(styles), in, figures))
	}
}

func writeRecords[T any](ctx context.Context, in *Input, form TableForm, out io.Writer, of records[T]) error {
	to, err := in.newRecorder(form, out, of.headings())
	if err != nil {
		return err
	}
	return errors.Join(of.write(ctx, to), to.close())
}

// write writes the records.
func (of records[T]) write(ctx context.Context, to recorder) error {
	var fields []any
	return of.each(ctx, func(one T) error {
		fields = fields[:0]
		for i := range of.columns {
			if of.columns[i].name != "" {
				fields = append(fields, of.columns[i].value(one))
			}
		}
		return to.write(fields...)
	})
}

// headings are the columns for other programs.
func (of records[T]) headings() []heading {
	var all []heading
	for _, c := range of.columns {
		if c.name != "" {
			all = append(all, heading{c.name, kindOfValue(c.value(of.empty))})
		}
	}
	return all
}

// WriteTable writes a table of the report's period that holds a date, made of
// what is known now, and nothing else. It makes no run. ChangesTable is what the
// newest revision of that period has changed, which may be the same days in a
// zone that the report had; call.NotFound if none is kept, for other periods
// that hold the date are not asked for. The CSV is that of the report's file but
// for the byte order mark, which spreadsheets ask for and other programs take for
// a part of the first name. An error of out is returned as it is, or wrapped.
func (r *Reporter) WriteTable(ctx context.Context, name string, date time.Time, table Table, form TableForm, out io.Writer) error {
	report, err := r.Report(name)
	if err != nil {
		return err
	}
	if _, ok := table.find(); !ok || !slices.Contains(TableForms(), form) {
		return call.Errorf(call.Invalid, "there is no table %q as %q", table, form)
	}
	return r.inSpool(func(dir string) (err error) {
		var in *Input
		if table == ChangesTable {
			in, err = r.openNewest(ctx, &report, date, dir)
		} else {
			in, err = r.freeze(ctx, &report, report.PeriodOf(date), 1, filepath.Join(dir, inputName))
		}
		if err == nil {
			err = r.hide(in)
		}
		if err != nil {
			return err
		}
		return in.writeTable(ctx, table, form, out)
	})
}

// openNewest gets the input of the newest revision of the report's period that
// holds a date; or of the same days in a zone that the report had.
func (r *Reporter) openNewest(ctx context.Context, report *Report, date time.Time, dir string) (*Input, error) {
	runs, err := r.runsOf(ctx, report.Name, date)
	if err != nil {
		return nil, err
	}
	period := report.PeriodOf(date)
	at := slices.IndexFunc(runs, func(run call.Run) bool {
		return run.PeriodFrom.Equal(period.From) && run.PeriodTo.Equal(period.To)
	})
	if at < 0 {
		at = slices.IndexFunc(runs, func(run call.Run) bool {
			return run.PeriodFrom.Format(time.DateOnly) == period.From.Format(time.DateOnly) &&
				run.PeriodTo.Format(time.DateOnly) == period.To.Format(time.DateOnly)
		})
	}
	if at < 0 {
		return nil, call.Errorf(call.NotFound, "no report %s of %s is kept, only of another period with that day", report.Name, period.Title())
	}
	return r.currentInput(ctx, runs[at], dir)
}

func (in *Input) writeTable(ctx context.Context, name Table, form TableForm, out io.Writer) error {
	t, _ := name.find()
	return t.write(ctx, in, form, out)
}
