package reports

import (
	"cmp"
	"context"
	"encoding/json"
	"hash/maphash"
	"slices"
	"strings"
)

// A dimension is by what calls are told apart in a table of its own.
type dimension struct {
	table Table
	// sheet is the table's in the workbook; title heads the names in it, and
	// column in CSV.
	sheet, title, column string
	// noun is what one row is; several share the last.
	noun string
	// least is how many calls have a row of their own; fewer share one.
	least uint32
	of    func(*row) string
	// lastCalled is where a customer was missed last.
	lastCalled func(*missing) string
}

// dimensions are all but the agents.
func dimensions() []dimension {
	return []dimension{
		{GroupsTable, "Groups", "Group", "group", "group", 1,
			func(r *row) string { return r.Group }, func(m *missing) string { return m.Group }},
		{NumbersTable, "Numbers", "Business number", "business_number", "number", 1,
			func(r *row) string { return r.BusinessNumber }, func(m *missing) string { return m.Called }},
		// CallerDesk gives every click-to-call a campaign of its own.
		{CampaignsTable, "Campaigns", "Campaign", "campaign", "campaign", 2,
			func(r *row) string { return r.Campaign }, (*missing).campaign},
		{AccountsTable, "Accounts", "Account", "account", "account", 1,
			func(r *row) string { return r.Account }, func(m *missing) string { return m.Account }},
	}
}

const (
	// maxSlices bounds the rows of a dimension: those with the most calls.
	maxSlices = 1000
	// maxNamed bounds the names that are counted for them.
	maxNamed = 20 * maxSlices
)

// named are the values of a dimension that have a row of their own, as a frozen
// input has them: so that one pass is enough to measure them, in bounded memory.
type named struct {
	Names []string `json:"names"`
	// Others is how many more share a row.
	Others int `json:"others,omitempty"`
}

// counter counts the calls of the values of a dimension.
type counter struct {
	least uint32
	seed  maphash.Seed
	// calls are by the hash of a name: a day may have a million campaigns.
	calls map[uint64]uint32
	names map[uint64]string
}

func newCounter(least uint32) *counter {
	return &counter{least: least, seed: maphash.MakeSeed(), calls: make(map[uint64]uint32), names: make(map[uint64]string)}
}

func (c *counter) add(name string) {
	if name == "" {
		return
	}
	key := maphash.String(c.seed, name)
	c.calls[key]++
	if c.calls[key] == c.least && len(c.names) < maxNamed {
		c.names[key] = strings.Clone(name)
	}
}

// named are those with the most calls.
func (c *counter) named() named {
	type counted struct {
		name  string
		calls uint32
	}
	all := make([]counted, 0, len(c.names))
	for key, name := range c.names {
		all = append(all, counted{name, c.calls[key]})
	}
	slices.SortFunc(all, func(a, b counted) int {
		return cmp.Or(cmp.Compare(b.calls, a.calls), strings.Compare(a.name, b.name))
	})
	all = all[:min(len(all), maxSlices)]
	n := named{Names: make([]string, len(all)), Others: len(c.calls) - len(all)}
	for i := range all {
		n.Names[i] = all[i].name
	}
	return n
}

// counters count the dimensions of a period's calls.
type counters struct {
	dimensions []dimension
	of         []*counter
}

func newCounters() *counters {
	c := &counters{dimensions: dimensions()}
	for _, d := range c.dimensions {
		c.of = append(c.of, newCounter(d.least))
	}
	return c
}

func (c *counters) add(r *row) {
	for i := range c.dimensions {
		c.of[i].add(c.dimensions[i].of(r))
	}
}

// named are the rows of all dimensions, their names as they will be read again
// with the calls: JSON mends text that is not UTF-8.
func (c *counters) named() (all map[Table]named, err error) {
	raw := make(map[Table]named, len(c.of))
	for i, d := range c.dimensions {
		raw[d.table] = c.of[i].named()
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(text, &all)
}

// SliceFigures are the measures of one group, business number, campaign or
// account, or of those that share a row.
type SliceFigures struct {
	// Name is empty for calls that name none.
	Name string
	// Others is how many share the row; 0 is a row of its own.
	Others int
	CallFigures
}

// slicer measures a dimension.
type slicer struct {
	dimension
	rows map[string]*SliceFigures
	// others and none are of the calls that share a row, and of those that name
	// none.
	others, none SliceFigures
}

// newSlicers are of those dimensions of which the input tells.
func newSlicers(in *Input) []*slicer {
	var all []*slicer
	for _, d := range dimensions() {
		n, ok := in.named[d.table]
		if !ok {
			continue
		}
		s := &slicer{dimension: d, rows: make(map[string]*SliceFigures, len(n.Names))}
		for _, name := range n.Names {
			s.rows[name] = &SliceFigures{Name: name}
		}
		s.others.Others = n.Others
		all = append(all, s)
	}
	return all
}

func (s *slicer) find(name string) *SliceFigures {
	if name == "" {
		return &s.none
	}
	if found := s.rows[name]; found != nil {
		return found
	}
	return &s.others
}

// ranked are the rows: by their calls, then by talk time and name, and last
// what is no row of its own.
func (s *slicer) ranked() []*SliceFigures {
	var all []*SliceFigures
	for _, row := range s.rows {
		all = append(all, row)
	}
	slices.SortFunc(all, func(a, b *SliceFigures) int {
		return cmp.Or(cmp.Compare(b.Calls(), a.Calls()), cmp.Compare(b.TalkSeconds(), a.TalkSeconds()), strings.Compare(a.Name, b.Name))
	})
	if s.others.Others > 0 {
		all = append(all, &s.others)
	}
	if s.none.has() {
		all = append(all, &s.none)
	}
	return all
}

// label is how a row is called in the workbook.
func (d *dimension) label(s *SliceFigures) string {
	switch {
	case s.Others > 0:
		return plural(int64(s.Others), "other "+d.noun)
	case s.Name == "":
		return "no " + d.noun
	}
	return s.Name
}

// measured is a row of a table whose figures are those of some calls.
type measured interface {
	figures() (f *CallFigures, total *Tally)
}

// measureColumns are all measures of some calls, but those whose names are taken.
func measureColumns[T measured](st *styles, formula Formula, taken ...string) []column[T] {
	var columns []column[T]
	for _, m := range callMeasures(formula) {
		if slices.Contains(taken, m.name) {
			continue
		}
		c := figureColumn(st, m.title, m.name, m.unit, func(of T) float64 { return m.figure(of.figures()) })
		c.detail = m.detail
		columns = append(columns, c)
	}
	return columns
}

// rankedSlice is a row of a dimension and its place; nil for a row that several
// share and for that of the calls that name none.
type rankedSlice struct {
	rank *int
	*SliceFigures
	all *Tally
}

func (s rankedSlice) figures() (*CallFigures, *Tally) { return &s.CallFigures, s.all }

// records are the dimension's rows. One that several share, and that of the calls
// that name none, have no name and no rank.
func (d dimension) records(st *styles, _ *Input, f *Figures) records[rankedSlice] {
	columns := []column[rankedSlice]{
		optionalColumn(st, "Rank", "rank", 9, func(s rankedSlice) *int { return s.rank }),
		{title: d.title, name: d.column, width: 26,
			cell:  func(c *cells, s rankedSlice) { c.text(d.label(s.SliceFigures), st.text) },
			value: func(s rankedSlice) any { return s.Name }},
		countColumn(st, "", "others", 0, func(s rankedSlice) int64 { return int64(s.Others) }),
	}
	columns = append(columns, measureColumns[rankedSlice](st, f.Settings.Formula)...)
	return records[rankedSlice]{columns, rankedSlice{nil, new(SliceFigures), new(Tally)}, func(_ context.Context, fn func(rankedSlice) error) error {
		for i, s := range f.Slices[d.table] {
			one := rankedSlice{nil, s, s.total()}
			if s.Name != "" {
				one.rank = new(i + 1)
			}
			if err := fn(one); err != nil {
				return err
			}
		}
		return nil
	}}
}

// weekdayHour is an hour of a weekday, Monday being 0.
type weekdayHour struct {
	day, hour int
	of        *CallFigures
	all       *Tally
}

func (h weekdayHour) figures() (*CallFigures, *Tally) { return h.of, h.all }

// weekdayHourRecords are the hours of the period's weekdays.
func weekdayHourRecords(st *styles, _ *Input, f *Figures) records[weekdayHour] {
	columns := []column[weekdayHour]{
		textColumn(st, "Weekday", "weekday", 13, func(h weekdayHour) string { return weekdayNames[h.day] }),
		countColumn(st, "Hour", "hour", 9, func(h weekdayHour) int64 { return int64(h.hour) }),
	}
	columns = append(columns, measureColumns[weekdayHour](st, f.Settings.Formula)...)
	return records[weekdayHour]{columns, weekdayHour{of: new(CallFigures), all: new(Tally)}, func(_ context.Context, fn func(weekdayHour) error) error {
		for _, day := range f.weekdays() {
			for hour := range f.Week[day] {
				of := &f.Week[day][hour]
				if err := fn(weekdayHour{day, hour, of, of.total()}); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}
