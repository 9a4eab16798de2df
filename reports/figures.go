package reports

import (
	"context"
	"math"
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

	// Inbound and Outbound are by direction. Undirected are calls of which
	// nobody said who dialled; Total are all three.
	Inbound, Outbound, Undirected, Total Tally
	// NoStart counts calls whose start is not known: they are in nothing else
	// but Recordings.
	NoStart int64
	// Rows counts all calls of the report, Accounts by account.
	Rows     int64
	Accounts map[string]int64

	// Hours are by hour of the day, Heat inbound calls by weekday (Monday
	// first) and hour, both by the clocks of the report's zone.
	Hours [24]Hour
	Heat  [7][24]int64

	Agents     []*AgentFigures
	Recordings RecordingFigures
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

	Unique, Repeat int64
	Deliveries     map[call.DeliveryOutcome]int64

	// Missing are customers nobody answered, not yet called back;
	// FirstMissing the first of them. Returned are those called back, and
	// ReturnMinutes after how many whole minutes.
	Missing, Returned int64
	FirstMissing      []missing
	ReturnMinutes     Durations
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
func measure(ctx context.Context, in *Input, visit func(c *row, attention bool) error) (*Figures, error) {
	f := &Figures{
		Settings: in.Settings, InputHash: in.Hash, Period: in.period(),
		Accounts: make(map[string]int64),
		Slices:   make(map[Table][]*SliceFigures),
	}
	slicers := newSlicers(in)
	outside := newOutside(in, slicers)
	for _, d := range days(f.Period.From, f.Period.To) {
		f.Trend = append(f.Trend, DayFigures{From: d.From, To: d.To, Known: true})
	}
	agents := make(map[string]*AgentFigures)
	for _, p := range in.Settings.People {
		agentOf(agents, p.Account, p.Agent).Group = p.Group
	}
	onCall := func(c *row) error {
		before := f.Problems
		match := f.add(c, in.zone, agents)
		for _, s := range slicers {
			s.find(s.of(c)).add(c, match, &f.Settings)
		}
		if outside.add(c) {
			f.OutsideCalls++
		}
		if visit == nil {
			return nil
		}
		return visit(c, f.Problems > before)
	}
	toldBy := true
	onMissing := func(m *missing) error {
		for _, s := range slicers {
			s.addMissing(m)
		}
		f.addReturn(agents, m.Return)
		toldBy = toldBy && (m.ReturnedAt == 0 || m.Return != nil)
		if m.ReturnedAt != 0 {
			f.Returned++
			f.ReturnMinutes.Add(new(int((m.ReturnedAt - m.LastAt) / time.Minute.Milliseconds())))
			return nil
		}
		f.Missing++
		if len(f.FirstMissing) < firstMissing {
			f.FirstMissing = append(f.FirstMissing, *m)
		}
		return nil
	}
	compare, err := in.each(ctx, onCall, onMissing)
	if err != nil {
		return nil, err
	}
	f.Unique, f.Repeat, f.Deliveries = compare.Unique, compare.Repeat, compare.Deliveries
	if day := &f.Trend[0]; len(f.Trend) == 1 {
		day.Inbound, day.Outbound, day.Total = f.Inbound, f.Outbound, f.Total
	}
	f.compare(compare.Days)
	f.Agents = rankAgents(agents)
	if !toldBy {
		for _, a := range f.Agents {
			a.Callbacks = -1
		}
	}
	for _, s := range slicers {
		f.Slices[s.table] = s.ranked()
	}
	f.Outside, f.unseen = outside.ranked(), outside.unseen
	return f, nil
}

// add counts a call, and returns how its audio compares with its talk.
func (f *Figures) add(c *row, zone *time.Location, agents map[string]*AgentFigures) call.AudioMatch {
	f.Rows++
	f.Accounts[c.Account]++
	match := c.audioMatch()
	f.addRecordings(c, match)
	if c.StartedAt == 0 {
		f.NoStart++
		return match
	}
	s := &f.Settings
	started := time.UnixMilli(c.StartedAt).In(zone)
	hour := &f.Hours[started.Hour()]
	f.Total.add(c, s)
	if len(f.Trend) > 1 {
		f.dayAt(c.StartedAt).add(c, s)
	}
	switch c.Direction {
	case call.Inbound:
		f.Inbound.add(c, s)
		hour.Inbound.add(c, s)
		if c.Outcome != call.Unknown {
			f.Heat[(int(started.Weekday())+6)%7][started.Hour()]++
		}
	case call.Outbound:
		f.Outbound.add(c, s)
		hour.Outbound.add(c, s)
	default:
		f.Undirected.add(c, s)
	}
	for _, offer := range c.Offers {
		a := agentOf(agents, c.Account, offer)
		a.Unanswered++
		a.active(c, zone, c.StartedAt)
	}
	if c.Agent != (call.Agent{}) {
		agentOf(agents, c.Account, c.Agent).add(c, s, zone)
	}
	return match
}

func (f *Figures) addRecordings(c *row, match call.AudioMatch) {
	f.Recordings.add(c, match)
	for i := range c.Recordings {
		if (problem{c, &c.Recordings[i]}).needsAttention(match) {
			f.Problems++
		}
	}
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
