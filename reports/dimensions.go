package reports

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"callvault/internal/call"
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
	// lastCalled is where a customer was missed last; nil if that is not known.
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
			func(r *row) string { return r.Campaign }, nil},
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

func (c *counters) named() map[Table]named {
	all := make(map[Table]named, len(c.of))
	for i, d := range c.dimensions {
		all[d.table] = c.of[i].named()
	}
	return all
}

// SliceFigures are the measures of one group, business number, campaign or
// account, or of those that share a row.
type SliceFigures struct {
	// Name is empty for calls that name none.
	Name string
	// Others is how many share the row; 0 is a row of its own.
	Others int
	// Undirected are calls of which nobody said who dialled.
	Inbound, Outbound, Undirected Tally
	Recordings                    RecordingFigures
	// Missing are customers to call back whose last call was here, Returned
	// those who were.
	Missing, Returned int64
}

// Calls are all calls whose outcome is known.
func (s *SliceFigures) Calls() int64 { return s.Inbound.Calls + s.Outbound.Calls + s.Undirected.Calls }

// talk are all talks.
func (s *SliceFigures) talk() *Durations {
	var d Durations
	for _, t := range []*Tally{&s.Inbound, &s.Outbound, &s.Undirected} {
		d.merge(&t.Talk)
	}
	return &d
}

// cost is the sum of the costs; NaN if no call told one.
func (s *SliceFigures) cost() float64 {
	var all Tally
	for _, t := range []*Tally{&s.Inbound, &s.Outbound, &s.Undirected} {
		all.mergeCosts(t)
	}
	return all.Cost()
}

func (s *SliceFigures) add(c *row, match call.AudioMatch, settings *Settings) {
	s.Recordings.add(c, match)
	if c.StartedAt == 0 {
		return
	}
	switch c.Direction {
	case call.Inbound:
		s.Inbound.add(c, settings)
	case call.Outbound:
		s.Outbound.add(c, settings)
	default:
		s.Undirected.add(c, settings)
	}
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

func (s *slicer) addMissing(m *missing) {
	if s.lastCalled == nil {
		return
	}
	if found := s.find(s.lastCalled(m)); m.ReturnedAt == 0 {
		found.Missing++
	} else {
		found.Returned++
	}
}

// ranked are the rows: by their calls, then by talk time and name, and last
// what is no row of its own.
func (s *slicer) ranked() []*SliceFigures {
	var all []*SliceFigures
	talk := make(map[*SliceFigures]int64, len(s.rows))
	for _, row := range s.rows {
		all = append(all, row)
		talk[row] = row.talk().Sum()
	}
	slices.SortFunc(all, func(a, b *SliceFigures) int {
		return cmp.Or(cmp.Compare(b.Calls(), a.Calls()), cmp.Compare(talk[b], talk[a]), strings.Compare(a.Name, b.Name))
	})
	if s.others.Others > 0 {
		all = append(all, &s.others)
	}
	if s.none.has() {
		all = append(all, &s.none)
	}
	return all
}

// has reports whether there is anything in a row.
func (s *SliceFigures) has() bool {
	unknown := s.Inbound.Unknown + s.Outbound.Unknown + s.Undirected.Unknown
	return s.Calls()+unknown+s.Recordings.Expected()+s.Missing+s.Returned > 0
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

// sliceMeasure is one figure of a row of a dimension.
type sliceMeasure struct {
	title, name string
	unit        unit
	figure      func(*SliceFigures) float64
}

// measures are those of the dimension's rows.
func (d *dimension) measures(formula Formula) []sliceMeasure {
	n := func(fn func(*SliceFigures) int64) func(*SliceFigures) float64 {
		return func(s *SliceFigures) float64 { return float64(fn(s)) }
	}
	in := func(fn func(*Tally) int64) func(*SliceFigures) float64 {
		return func(s *SliceFigures) float64 { return float64(fn(&s.Inbound)) }
	}
	rate := func(fn func(*Tally) float64) func(*SliceFigures) float64 {
		return func(s *SliceFigures) float64 { return fn(&s.Inbound) }
	}
	talk := func(fn func(*Durations) float64) func(*SliceFigures) float64 {
		return func(s *SliceFigures) float64 { return fn(s.talk()) }
	}
	list := []sliceMeasure{
		{"Calls", "calls", counts, n((*SliceFigures).Calls)},
		{"Offered", "offered", counts, in(func(t *Tally) int64 { return t.Calls })},
		{"Answered", "answered", counts, in((*Tally).Answered)},
		{"Missed", "missed", counts, in((*Tally).Missed)},
		{"Abandoned", "abandoned", counts, in((*Tally).Abandoned)},
		{"Short abandons", "short_abandons", counts, in(func(t *Tally) int64 { return t.ShortAbandons })},
		{"Answer rate", "answer_rate", rates, rate((*Tally).AnswerRate)},
		{"Abandon. rate", "abandonment_rate", rates, rate((*Tally).AbandonmentRate)},
		{"Service level", "service_level", rates, rate(func(t *Tally) float64 { return t.ServiceLevel(formula) })},
		{"Share judged", "service_level_judged", rates, rate((*Tally).Judged)},
		{"Speed of answer", "asa_seconds", seconds, rate(func(t *Tally) float64 { return t.Wait.Mean() })},
		{"Wait before abandoning", "abandon_wait_seconds", seconds, rate(func(t *Tally) float64 { return t.AbandonWait.Mean() })},
		{"Outbound", "outbound", counts, n(func(s *SliceFigures) int64 { return s.Outbound.Calls })},
		{"Connected", "connected", counts, n(func(s *SliceFigures) int64 { return s.Outbound.Answered() })},
		{"Connect rate", "connect_rate", rates, func(s *SliceFigures) float64 { return s.Outbound.ConnectRate() }},
		{"Outcome not known", "unknown", counts, n(func(s *SliceFigures) int64 {
			return s.Inbound.Unknown + s.Outbound.Unknown + s.Undirected.Unknown
		})},
		{"Talk time", "talk_total_seconds", seconds, talk(func(d *Durations) float64 { return float64(d.Sum()) })},
		{"Mean talk (AHT)", "aht_seconds", seconds, talk((*Durations).Mean)},
		{"Median talk", "talk_median_seconds", seconds, talk((*Durations).Median)},
		{"90th perc. of talk", "talk_p90_seconds", seconds, talk(func(d *Durations) float64 { return d.Percentile(90) })},
		{"Longest talk", "talk_longest_seconds", seconds, talk((*Durations).Longest)},
	}
	if d.lastCalled != nil {
		list = append(list,
			sliceMeasure{"To call back", "not_returned", counts, n(func(s *SliceFigures) int64 { return s.Missing })},
			sliceMeasure{"Called back", "returned", counts, n(func(s *SliceFigures) int64 { return s.Returned })})
	}
	return append(list,
		sliceMeasure{"Recordings expected", "recordings_expected", counts, n(func(s *SliceFigures) int64 { return s.Recordings.Expected() })},
		sliceMeasure{"Archived", "recordings_archived", counts, n(func(s *SliceFigures) int64 { return s.Recordings.States[call.Archived] })},
		sliceMeasure{"Pending", "recordings_pending", counts, n(func(s *SliceFigures) int64 { return s.Recordings.States[call.Pending] })},
		sliceMeasure{"Absent", "recordings_absent", counts, n(func(s *SliceFigures) int64 { return s.Recordings.States[call.Absent] })},
		sliceMeasure{"Refused", "recordings_refused", counts, n(func(s *SliceFigures) int64 { return s.Recordings.States[call.Refused] })},
		sliceMeasure{"Not named", "recordings_not_named", counts, n(func(s *SliceFigures) int64 { return s.Recordings.NotNamed })},
		sliceMeasure{"Audio shorter", "audio_shorter", counts, n(func(s *SliceFigures) int64 { return s.Recordings.Shorter })},
		sliceMeasure{"Audio longer", "audio_longer", counts, n(func(s *SliceFigures) int64 { return s.Recordings.Longer })},
		sliceMeasure{"Cost", "cost", costs, (*SliceFigures).cost})
}

// rankedSlice is a row of a dimension and its place; nil for a row that several
// share and for that of the calls that name none.
type rankedSlice struct {
	rank *int
	*SliceFigures
}

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
	for _, m := range d.measures(f.Settings.Formula) {
		columns = append(columns, figureColumn(st, m.title, m.name, m.unit, func(s rankedSlice) float64 { return m.figure(s.SliceFigures) }))
	}
	var ranked []rankedSlice
	for i, s := range f.Slices[d.table] {
		one := rankedSlice{nil, s}
		if s.Name != "" {
			one.rank = new(i + 1)
		}
		ranked = append(ranked, one)
	}
	return records[rankedSlice]{columns, rankedSlice{nil, new(SliceFigures)}, eachOf(ranked)}
}

// weekdayHour is an hour of a weekday, Monday being 0.
type weekdayHour struct{ day, hour int }

// weekdayHourRecords are the hours of the period's weekdays.
func weekdayHourRecords(st *styles, _ *Input, f *Figures) records[weekdayHour] {
	columns := []column[weekdayHour]{
		textColumn(st, "Weekday", "weekday", 13, func(h weekdayHour) string { return weekdayNames[h.day] }),
		countColumn(st, "Hour", "hour", 9, func(h weekdayHour) int64 { return int64(h.hour) }),
		figureColumn(st, "Offered", "offered", counts, func(h weekdayHour) float64 { return float64(f.Heat[h.day][h.hour]) }),
	}
	var hours []weekdayHour
	for _, day := range f.weekdays() {
		for hour := range 24 {
			hours = append(hours, weekdayHour{day, hour})
		}
	}
	return records[weekdayHour]{columns: columns, each: eachOf(hours)}
}
