package reports

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
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

	Unique, Repeat int64
	Deliveries     map[call.DeliveryOutcome]int64

	// Missing are customers nobody answered, not yet called back;
	// FirstMissing the first of them. Returned are those called back, and
	// ReturnMinutes after how many whole minutes.
	Missing, Returned int64
	FirstMissing      []missing
	ReturnMinutes     Durations
	// Problems counts recordings that are not archived and not deleted.
	Problems int64
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
	// whose audio differs from the talk time by more than tolerance.
	Shorter, Longer, Compared int64
}

// Expected is how many recordings there should be.
func (r *RecordingFigures) Expected() int64 {
	n := r.NotNamed
	for _, count := range r.States {
		n += count
	}
	return n
}

// tolerance is how far audio and talk time may differ: 5 s, or 10 % of the talk
// time if that is more. Both are whole seconds by different clocks.
func tolerance(talk int) int { return max(5, talk/10) }

// AgentFigures are the measures of one agent.
type AgentFigures struct {
	call.Agent
	Account string
	// Group is that of the agent's last call that has one.
	Group string
	// Inbound are calls that ended with the agent: a transferred call counts
	// for the last who talked. Unanswered are the times the agent was rung and
	// did not answer, on any call.
	Inbound, Outbound Tally
	Unanswered        int64
	Talk              Durations
	// First and Last are the first start and the last end (or start).
	First, Last time.Time
	// Expected recordings of answered calls, and those of them archived.
	Expected, Archived int64

	hours map[int64]struct{}
}

// Offered is how often the agent was offered an inbound call.
func (a *AgentFigures) Offered() int64 { return a.Inbound.Answered() + a.Unanswered }

// AnswerRate is the share of the offered calls that the agent answered.
func (a *AgentFigures) AnswerRate() float64 { return ratio(a.Inbound.Answered(), a.Offered()) }

// ActiveHours counts the hours in which the agent had a call.
func (a *AgentFigures) ActiveHours() int64 { return int64(len(a.hours)) }

// Handled is how many calls the agent talked on.
func (a *AgentFigures) Handled() int64 { return a.Inbound.Answered() + a.Outbound.Answered() }

// CallsPerHour is calls made or answered per hour with calls.
func (a *AgentFigures) CallsPerHour() float64 {
	return ratio(a.Inbound.Answered()+a.Outbound.Calls, a.ActiveHours())
}

// label is how an agent is called in tables.
func label(a call.Agent) string { return cmp.Or(a.Name, a.ID, a.Number) }

// firstMissing is how many customers to call back a mail lists.
const firstMissing = 20

// measure computes a report's figures in one pass over its input. visit, if
// any, sees every call, too.
func measure(ctx context.Context, in *Input, visit func(*row) error) (*Figures, error) {
	f := &Figures{
		Settings: in.Settings, InputHash: in.Hash, Period: in.period(),
		Accounts:   make(map[string]int64),
		Recordings: RecordingFigures{States: make(map[call.RecordingState]int64)},
	}
	agents := make(map[string]*AgentFigures)
	onCall := func(c *row) error {
		f.add(c, in.zone, agents)
		if visit == nil {
			return nil
		}
		return visit(c)
	}
	onMissing := func(m *missing) error {
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
	for _, a := range agents {
		f.Agents = append(f.Agents, a)
	}
	slices.SortFunc(f.Agents, func(a, b *AgentFigures) int {
		return cmp.Or(
			cmp.Compare(b.Handled(), a.Handled()),
			cmp.Compare(b.Talk.Sum(), a.Talk.Sum()),
			cmp.Compare(a.Unanswered, b.Unanswered),
			strings.Compare(label(a.Agent), label(b.Agent)),
			strings.Compare(a.Account, b.Account),
			strings.Compare(a.ID, b.ID), strings.Compare(a.Number, b.Number),
		)
	})
	return f, nil
}

func (f *Figures) add(c *row, zone *time.Location, agents map[string]*AgentFigures) {
	f.Rows++
	f.Accounts[c.Account]++
	f.addRecordings(c)
	if c.StartedAt == 0 {
		f.NoStart++
		return
	}
	s := &f.Settings
	started := time.UnixMilli(c.StartedAt).In(zone)
	hour := &f.Hours[started.Hour()]
	f.Total.add(c, s)
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
}

func (f *Figures) addRecordings(c *row) {
	named := false
	for i := range c.Recordings {
		r := &c.Recordings[i]
		named = named || r.Kind == call.Conversation
		f.Recordings.States[r.State]++
		if attention(r.State) > 0 {
			f.Problems++
		}
	}
	f.Recordings.compare(c)
	if c.Outcome == call.Answered && !named {
		f.Recordings.NotNamed++
	}
}

// compare sets the talk time of a call against all its conversation recordings
// together: a provider may cut a conversation into several.
func (r *RecordingFigures) compare(c *row) {
	if c.TalkSeconds == nil {
		return
	}
	audio, parts := 0, 0
	for i := range c.Recordings {
		o := &c.Recordings[i]
		if o.Kind != call.Conversation {
			continue
		}
		if o.State != call.Archived || o.AudioSeconds == nil {
			return
		}
		audio += *o.AudioSeconds
		parts++
	}
	if parts == 0 {
		return
	}
	r.Compared++
	switch differ := audio - *c.TalkSeconds; {
	case differ < -tolerance(*c.TalkSeconds):
		r.Shorter++
	case differ > tolerance(*c.TalkSeconds):
		r.Longer++
	}
}

// agentOf finds the figures of an agent: known by the account's id, else by the
// number (which is one person on any account), else by the account's name.
func agentOf(agents map[string]*AgentFigures, account string, who call.Agent) *AgentFigures {
	key := "name\x00" + account + "\x00" + who.Name
	switch {
	case who.ID != "":
		key = "id\x00" + account + "\x00" + who.ID
	case who.Number != "":
		key = "number\x00" + who.Number
	}
	a, ok := agents[key]
	if !ok {
		a = &AgentFigures{Account: account, hours: make(map[int64]struct{})}
		agents[key] = a
	}
	a.ID = cmp.Or(a.ID, who.ID)
	a.Name = cmp.Or(a.Name, who.Name)
	a.Number = cmp.Or(a.Number, who.Number)
	return a
}

func (a *AgentFigures) add(c *row, s *Settings, zone *time.Location) {
	a.Group = cmp.Or(c.Group, a.Group)
	switch c.Direction {
	case call.Inbound:
		a.Inbound.add(c, s)
		if c.Outcome != call.Answered {
			return // a call offered and not answered: counted by its offers
		}
	case call.Outbound:
		a.Outbound.add(c, s)
	}
	a.active(c, zone, max(c.StartedAt, c.EndedAt))
	if c.Outcome != call.Answered {
		return
	}
	a.Talk.Add(c.TalkSeconds)
	expected, archived := int64(1), int64(0) // one even when none is named
	for i, r := range c.Recordings {
		expected = max(expected, int64(i+1))
		if r.State == call.Archived {
			archived++
		}
	}
	a.Expected += expected
	a.Archived += archived
}

// active notes that the agent was at work during a call.
func (a *AgentFigures) active(c *row, zone *time.Location, until int64) {
	start, end := time.UnixMilli(c.StartedAt).In(zone), time.UnixMilli(until).In(zone)
	if a.First.IsZero() || start.Before(a.First) {
		a.First = start
	}
	if end.After(a.Last) {
		a.Last = end
	}
	// An hour of the zone's clocks, which are not whole hours from UTC everywhere.
	a.hours[wall(start).Unix()/3600] = struct{}{}
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
