package reports

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"time"

	"callvault/internal/call"
)

// Figures are the measures of one report.
type Figures struct {
	Settings Settings
	// InputHash is the SHA-256 of the frozen input.
	InputHash string
	// Period is the report's, in its zone.
	Period Period

	// CallFigures are those of all calls, but that unique and repeat callers are as
	// the input tells them. Total are the calls of all directions.
	CallFigures
	Total Tally
	// NoStart counts calls whose start is not known: they are in nothing else
	// but Tally.Recordings.
	NoStart int64
	// Rows counts all calls of the report, Accounts by account.
	Rows     int64
	Accounts map[string]int64

	// Hours are by hour of the day, Week by weekday (Monday first) and hour, both
	// by the clocks of the report's zone.
	Hours [24]Hour
	Week  [7][24]CallFigures

	Agents []*AgentFigures
	// Slices are the rows of each dimension: groups, numbers, campaigns, accounts.
	// A dimension of which the input, made by an older program, does not tell is
	// not there.
	Slices map[Table][]*SliceFigures
	// OutsideCalls are outbound calls outside the hours permitted, Outside the
	// same by campaign and agent.
	OutsideCalls int64
	Outside      []*OutsideFigures

	// Trend are 30 days or, if it is longer, all of the period, oldest first and
	// the period's last day last. Previous is the period before, Usual the same
	// weekday of the four weeks before, or the four weeks or months before.
	Trend           []DayFigures
	Previous, Usual Reference
	// tellsEarlier is false for the inputs of older programs.
	tellsEarlier bool

	Deliveries map[call.DeliveryOutcome]int64

	// FirstMissing are the first of those to call back.
	FirstMissing []missing
	// Problems counts recordings that need attention: neither archived nor
	// deleted, or archived with audio that is not as it should be.
	Problems int64
	// unseen are the rules of permitted hours, by index, whose agent or campaign no
	// call has.
	unseen map[int]unseen
	// concerned has their calls alone, that nobody need read all of them again;
	// nil if they were not gathered.
	concerned *Input
}

// Hour is an hour of the day.
type Hour struct{ Inbound, Outbound Tally }

// RecordingFigures count recordings. Expected is the sum of all states and
// NotNamed.
type RecordingFigures struct {
	States map[call.RecordingState]int64
	// NotNamed are answered calls for which the provider named no recording.
	NotNamed int64
	// Compared are calls whose talk time is known and whose conversation is
	// archived with a known length, all of it; Shorter and Longer those of them
	// whose audio differs from the talk time by more than call.AudioTolerance.
	Shorter, Longer, Compared int64
	// Truncated are archived recordings whose end is missing.
	Truncated int64
}

// Expected is how many recordings there should be.
func (r *RecordingFigures) Expected() int64 {
	n := r.NotNamed
	for _, count := range r.States {
		n += count
	}
	return n
}

// firstMissing is how many customers to call back a mail lists.
const firstMissing = 20

// measure computes a report's figures in one pass over its input. visit, if
// any, sees every call, too, and whether a recording of it needs attention.
func measure(ctx context.Context, in *Input, visit func(c *row, attention bool) error) (f *Figures, err error) {
	f = &Figures{
		Settings: in.Settings, InputHash: in.Hash, Period: in.period(),
		Accounts: make(map[string]int64),
		Slices:   make(map[Table][]*SliceFigures),
	}
	slicers := newSlicers(in)
	outside := newOutside(in, slicers)
	callers := newCallerCounter(filepath.Dir(in.path))
	defer func() { err = errors.Join(err, callers.close()) }()
	for _, d := range days(f.Period.From, f.Period.To) {
		f.Trend = append(f.Trend, DayFigures{From: d.From, To: d.To, Known: true})
	}
	agents := make(map[string]*AgentFigures)
	for _, p := range in.Settings.People {
		agentOf(agents, p.Account, p.Agent).Group = p.Group
	}
	var counting []*Callers // those who count the call at hand
	onCall := func(c *row) error {
		before := f.Problems
		var match call.AudioMatch
		match, counting = f.add(c, in.zone, agents, counting[:0])
		for _, s := range slicers {
			found := s.find(s.of(c))
			found.add(c, match, &f.Settings)
			counting = append(counting, &found.Callers)
		}
		if c.Direction == call.Inbound && c.Outcome != call.Unknown && c.CustomerNumber != "" && c.StartedAt != 0 {
			if err := callers.add(c.CustomerNumber, counting...); err != nil {
				return err
			}
		}
		if outside.add(c) {
			f.OutsideCalls++
		}
		if visit == nil {
			return nil
		}
		return visit(c, f.Problems > before)
	}
	// What older programs did not write.
	toldBy, toldOf := true, true
	onMissing := func(m *missing) error {
		for _, of := range f.lastCalled(m, slicers, agents, in.zone) {
			of.addMissing(m)
		}
		f.addReturn(agents, m.Return)
		toldBy = toldBy && (m.ReturnedAt == 0 || m.Return != nil)
		toldOf = toldOf && m.Of != nil
		if m.ReturnedAt == 0 && len(f.FirstMissing) < firstMissing {
			f.FirstMissing = append(f.FirstMissing, *m)
		}
		return nil
	}
	compare, err := in.each(ctx, onCall, onMissing)
	if err != nil {
		return nil, err
	}
	f.Unique, f.Repeat, f.Deliveries = compare.Unique, compare.Repeat, compare.Deliveries
	f.Total = *f.total()
	for day := range f.Week {
		for hour := range f.Week[day] {
			f.Hours[hour].Inbound.merge(&f.Week[day][hour].Inbound)
			f.Hours[hour].Outbound.merge(&f.Week[day][hour].Outbound)
		}
	}
	if day := &f.Trend[0]; len(f.Trend) == 1 {
		day.Inbound, day.Outbound, day.Total = f.Inbound, f.Outbound, f.Total
	}
	f.compare(compare.Days)
	f.Agents = rankAgents(agents)
	if err := callers.count(); err != nil {
		return nil, err
	}
	for _, s := range slicers {
		f.Slices[s.table] = s.ranked()
	}
	f.Outside, f.unseen = outside.ranked(), outside.unseen
	f.forget(toldBy, toldOf)
	return f, nil
}

// lastCalled are those who count a customer whom nobody answered.
func (f *Figures) lastCalled(m *missing, slicers []*slicer, agents map[string]*AgentFigures, zone *time.Location) []*CallFigures {
	of := []*CallFigures{&f.CallFigures, f.weekCell(m.LastAt, zone)}
	for _, s := range slicers {
		if m.Of != nil || s.table != CampaignsTable {
			of = append(of, &s.find(s.lastCalled(m)).CallFigures)
		}
	}
	if m.Of != nil {
		if a := agents[agentKey(m.Account, m.Of.Agent)]; a != nil {
			of = append(of, &a.CallFigures)
		}
	}
	return of
}

// forget marks what the input, of an older program, does not tell: who called
// back, and which agent and campaign a customer called last.
func (f *Figures) forget(toldBy, toldOf bool) {
	for _, a := range f.Agents {
		if !toldBy {
			a.Callbacks = -1
		}
		if !toldOf {
			a.Missing, a.Returned, a.ReturnMinutes = -1, -1, Durations{}
		}
	}
	if !toldOf {
		for _, s := range f.Slices[CampaignsTable] {
			s.Missing, s.Returned, s.ReturnMinutes = -1, -1, Durations{}
		}
	}
}

// weekCell is the hour of a weekday that a moment (Unix milliseconds) is in.
func (f *Figures) weekCell(ms int64, zone *time.Location) *CallFigures {
	at := time.UnixMilli(ms).In(zone)
	return &f.Week[(int(at.Weekday())+6)%7][at.Hour()]
}

// add counts a call. It returns how its audio compares with its talk, and appends
// to counting those who count its customer.
func (f *Figures) add(c *row, zone *time.Location, agents map[string]*AgentFigures, counting []*Callers) (call.AudioMatch, []*Callers) {
	f.Rows++
	f.Accounts[c.Account]++
	s := &f.Settings
	match := c.audioMatch()
	f.CallFigures.add(c, match, s)
	for i := range c.Recordings {
		if (problem{c, &c.Recordings[i]}).needsAttention(match) {
			f.Problems++
		}
	}
	if c.StartedAt == 0 {
		f.NoStart++
		return match, counting
	}
	hour := f.weekCell(c.StartedAt, zone)
	hour.add(c, match, s)
	counting = append(counting, &hour.Callers)
	if len(f.Trend) > 1 {
		f.dayAt(c.StartedAt).add(c, s)
	}
	for _, offer := range c.Offers {
		a := agentOf(agents, c.Account, offer)
		a.Unanswered++
		a.active(c, zone, c.StartedAt)
	}
	if c.Agent != (call.Agent{}) {
		a := agentOf(agents, c.Account, c.Agent)
		a.add(c, match, s, zone)
		counting = append(counting, &a.Callers)
	}
	return match, counting
}

// add counts the recordings of a call.
func (r *RecordingFigures) add(c *row, match call.AudioMatch) {
	named := false
	for i := range c.Recordings {
		o := &c.Recordings[i]
		named = named || o.Kind == call.Conversation
		if r.States == nil {
			r.States = make(map[call.RecordingState]int64)
		}
		r.States[o.State]++
		if o.State == call.Archived && o.Truncated {
			r.Truncated++
		}
	}
	r.compare(match)
	if c.Outcome == call.Answered && !named {
		r.NotNamed++
	}
}

// merge adds other recordings.
func (r *RecordingFigures) merge(o *RecordingFigures) {
	if r.States == nil && o.States != nil {
		r.States = make(map[call.RecordingState]int64)
	}
	for state, n := range o.States {
		r.States[state] += n
	}
	r.NotNamed += o.NotNamed
	r.Shorter += o.Shorter
	r.Longer += o.Longer
	r.Compared += o.Compared
	r.Truncated += o.Truncated
}

// compare counts how the audio of a call compares with its talk time.
func (r *RecordingFigures) compare(match call.AudioMatch) {
	switch match {
	case call.AudioShorter:
		r.Shorter++
	case call.AudioLonger:
		r.Longer++
	case call.AudioAgrees:
	default:
		return
	}
	r.Compared++
}

// percent makes a rate one for people, "n/a" if there is none.
func percent(rate float64) string {
	if math.IsNaN(rate) {
		return notAvailable
	}
	return formatFloat(100*rate, 1) + " %"
}

// notAvailable stands where there is no figure: an empty denominator is
// neither 0 % nor 100 %.
const notAvailable = "n/a"
