package reports

import (
	"context"
	"fmt"
	"math"
	"time"

	"callvault/internal/call"
)

// unit is what a figure is counted in.
type unit string

// The units of figures. Rates are fractions of 1.
const (
	counts  unit = "count"
	rates   unit = "rate"
	seconds unit = "seconds"
	minutes unit = "minutes"
	costs   unit = "units"
	hourly  unit = "per_hour"
)

// measureLine is one measure of the summary, for inbound, outbound and all
// calls; has says for which of them it is defined. Workbook and CSV are both
// made of these, so that they agree.
type measureLine struct {
	section, label, name string
	unit                 unit
	values               [3]float64
	has                  [3]bool
	// detail marks a part of the line above.
	detail bool
}

// measures lists the summary's measures in the order in which people read
// them.
func (f *Figures) measures() []measureLine {
	var lines []measureLine
	section := ""
	add := func(label, name string, u unit, in, out, total func() float64) *measureLine {
		l := measureLine{section: section, label: label, name: name, unit: u}
		for i, value := range [...]func() float64{in, out, total} {
			if value != nil {
				l.values[i], l.has[i] = value(), true
			}
		}
		lines = append(lines, l)
		return &lines[len(lines)-1]
	}
	// of is a measure of a tally for the three of them, and only those asked.
	of := func(t *Tally, fn func(*Tally) float64) func() float64 {
		return func() float64 { return fn(t) }
	}
	all := func(label, name string, u unit, fn func(*Tally) float64) *measureLine {
		return add(label, name, u, of(&f.Inbound, fn), of(&f.Outbound, fn), of(&f.Total, fn))
	}
	inbound := func(label, name string, u unit, fn func(*Tally) float64) *measureLine {
		return add(label, name, u, of(&f.Inbound, fn), nil, nil)
	}
	total := func(label, name string, n int64) *measureLine {
		return add(label, name, counts, nil, nil, func() float64 { return float64(n) })
	}
	n := func(fn func(*Tally) int64) func(*Tally) float64 {
		return func(t *Tally) float64 { return float64(fn(t)) }
	}
	outcome := func(label string, o call.Outcome) {
		all(label, "outcome_"+string(o), counts,
			n(func(t *Tally) int64 { return t.Outcomes[o] })).detail = true
	}

	section = "Calls"
	all("Calls (inbound: offered)", "calls", counts, n(func(t *Tally) int64 { return t.Calls }))
	all("Answered", "answered", counts, n((*Tally).Answered))
	all("Missed", "missed", counts, n((*Tally).Missed))
	outcome("nobody answered", call.Missed)
	outcome("left a voicemail", call.Voicemail)
	outcome("busy", call.Busy)
	outcome("rejected", call.Rejected)
	outcome("failed", call.Failed)
	all("Abandoned", "abandoned", counts, n((*Tally).Abandoned))
	outcome("caller hung up", call.Abandoned)
	outcome("cancelled", call.Cancelled)
	inbound("short abandons", "short_abandons", counts,
		n(func(t *Tally) int64 { return t.ShortAbandons })).detail = true
	all("Outcome not known (not counted above)", "unknown", counts,
		n(func(t *Tally) int64 { return t.Unknown }))
	total("Start not known (not counted above)", "no_start", f.NoStart)

	if len(f.Settings.PermittedHours) > 0 {
		add("Outside the permitted hours", "outside_hours", counts, nil, func() float64 { return float64(f.OutsideCalls) }, nil)
	}

	section = "Rates"
	inbound("Answer rate", "answer_rate", rates, (*Tally).AnswerRate)
	inbound("Abandonment rate", "abandonment_rate", rates, (*Tally).AbandonmentRate)
	inbound(fmt.Sprintf("Service level, within %d s", f.Settings.Within), "service_level", rates,
		func(t *Tally) float64 { return t.ServiceLevel(f.Settings.Formula) })
	inbound("share of answered calls judged", "service_level_judged", rates, (*Tally).Judged).detail = true
	add("Connect rate", "connect_rate", rates, nil, of(&f.Outbound, (*Tally).ConnectRate), nil)

	section = "Waiting"
	inbound("Average speed of answer (ASA)", "asa", seconds, func(t *Tally) float64 { return t.Wait.Mean() })
	inbound("answered calls whose wait is known", "asa_known", counts,
		func(t *Tally) float64 { return float64(t.Wait.Count()) }).detail = true
	inbound("Average wait before abandoning", "abandon_wait", seconds,
		func(t *Tally) float64 { return t.AbandonWait.Mean() })
	inbound("abandoned calls whose wait is known", "abandon_wait_known", counts,
		func(t *Tally) float64 { return float64(t.AbandonWait.Count()) }).detail = true

	section = "Talking"
	all("Talk time", "talk_total", seconds, func(t *Tally) float64 { return float64(t.Talk.Sum()) })
	all("Average handling time (AHT): mean talk", "aht", seconds, func(t *Tally) float64 { return t.Talk.Mean() })
	all("Median talk", "talk_median", seconds, func(t *Tally) float64 { return t.Talk.Median() })
	all("90th percentile of talk", "talk_p90", seconds, func(t *Tally) float64 { return t.Talk.Percentile(90) })
	all("Longest talk", "talk_longest", seconds, func(t *Tally) float64 { return t.Talk.Longest() })

	section = "Customers"
	add("Unique callers", "unique_callers", counts, func() float64 { return float64(f.Unique) }, nil, nil)
	add("Repeat callers", "repeat_callers", counts, func() float64 { return float64(f.Repeat) }, nil, nil)
	add("Missed and not returned", "not_returned", counts, func() float64 { return float64(f.Missing) }, nil, nil)
	add("Missed and returned", "returned", counts, func() float64 { return float64(f.Returned) }, nil, nil)
	add("median minutes to call back", "return_median", minutes, f.ReturnMinutes.Median, nil, nil).detail = true
	add("90th percentile", "return_p90", minutes, func() float64 { return f.ReturnMinutes.Percentile(90) }, nil, nil).detail = true

	section = "Recordings"
	recordings := func(label, name string, fn func(*RecordingFigures) int64) *measureLine {
		return all(label, name, counts, n(func(t *Tally) int64 { return fn(&t.Recordings) }))
	}
	recordings("Expected", "recordings_expected", (*RecordingFigures).Expected)
	for _, s := range call.RecordingStates() {
		recordings(stateLabel(s), "recordings_"+string(s), func(r *RecordingFigures) int64 { return r.States[s] }).detail = true
	}
	recordings("not named by the provider", "recordings_not_named", func(r *RecordingFigures) int64 { return r.NotNamed }).detail = true
	recordings("Audio shorter than the talk time", "audio_shorter", func(r *RecordingFigures) int64 { return r.Shorter })
	recordings("Audio longer than the talk time", "audio_longer", func(r *RecordingFigures) int64 { return r.Longer })
	recordings("calls compared", "audio_compared", func(r *RecordingFigures) int64 { return r.Compared }).detail = true
	recordings("Audio without its end", "audio_truncated", func(r *RecordingFigures) int64 { return r.Truncated })

	section = "Cost"
	all("Cost, in the provider's units", "cost", costs, (*Tally).Cost)
	return lines
}

func stateLabel(s call.RecordingState) string {
	switch s {
	case call.Archived:
		return "archived and verified"
	case call.Expired:
		return "expired (retention over)"
	case call.Erased:
		return "erased on request"
	default:
		return string(s)
	}
}

// agentMeasure is one figure of an agent, of whose calls all are the total;
// exactly one of figure and moment is set.
type agentMeasure struct {
	title, name string
	unit        unit
	figure      func(a *AgentFigures, all *Tally) float64
	moment      func(*AgentFigures) time.Time
}

func agentMeasures() []agentMeasure {
	of := func(fn func(*AgentFigures) float64) func(*AgentFigures, *Tally) float64 {
		return func(a *AgentFigures, _ *Tally) float64 { return fn(a) }
	}
	n := func(fn func(*AgentFigures) int64) func(*AgentFigures, *Tally) float64 {
		return of(func(a *AgentFigures) float64 { return float64(fn(a)) })
	}
	talk := func(fn func(*Durations) float64) func(*AgentFigures, *Tally) float64 {
		return func(_ *AgentFigures, all *Tally) float64 { return fn(&all.Talk) }
	}
	return []agentMeasure{
		{title: "Offered", name: "offered", unit: counts, figure: n((*AgentFigures).Offered)},
		{title: "Answered", name: "answered", unit: counts,
			figure: n(func(a *AgentFigures) int64 { return a.Inbound.Answered() })},
		{title: "Unanswered", name: "unanswered", unit: counts,
			figure: n(func(a *AgentFigures) int64 { return a.Unanswered })},
		{title: "Answer rate", name: "answer_rate", unit: rates, figure: of((*AgentFigures).AnswerRate)},
		{title: "Outbound made", name: "outbound", unit: counts,
			figure: n(func(a *AgentFigures) int64 { return a.Outbound.Calls })},
		{title: "Connected", name: "connected", unit: counts,
			figure: n(func(a *AgentFigures) int64 { return a.Outbound.Answered() })},
		{title: "Talk time", name: "talk_total_seconds", unit: seconds,
			figure: talk(func(d *Durations) float64 { return float64(d.Sum()) })},
		{title: "Mean talk", name: "talk_mean_seconds", unit: seconds, figure: talk((*Durations).Mean)},
		{title: "Median talk", name: "talk_median_seconds", unit: seconds, figure: talk((*Durations).Median)},
		{title: "Longest talk", name: "talk_longest_seconds", unit: seconds, figure: talk((*Durations).Longest)},
		{title: "Mean wait for answer", name: "wait_mean_seconds", unit: seconds,
			figure: of(func(a *AgentFigures) float64 { return a.Inbound.Wait.Mean() })},
		{title: "Mean ring", name: "ring_mean_seconds", unit: seconds,
			figure: of(func(a *AgentFigures) float64 { return a.Ring.Mean() })},
		{title: "Callbacks made", name: "callbacks", unit: counts, figure: of((*AgentFigures).callbacks)},
		{title: "First activity", name: "first_activity", moment: func(a *AgentFigures) time.Time { return a.First }},
		{title: "Last activity", name: "last_activity", moment: func(a *AgentFigures) time.Time { return a.Last }},
		{title: "Hours with calls", name: "active_hours", unit: counts, figure: n((*AgentFigures).ActiveHours)},
		{title: "Calls per active hour", name: "calls_per_active_hour", unit: hourly, figure: of((*AgentFigures).CallsPerHour)},
		{title: "Recordings archived", name: "recordings_archived", unit: counts,
			figure: n(func(a *AgentFigures) int64 { return a.Archived })},
		{title: "Recordings expected", name: "recordings_expected", unit: counts,
			figure: n(func(a *AgentFigures) int64 { return a.Expected })},
	}
}

// hourMeasure is one figure of an hour of the day.
type hourMeasure struct {
	title, name, direction string
	unit                   unit
	figure                 func(*Hour) float64
}

func hourMeasures() []hourMeasure {
	return []hourMeasure{
		{"Offered", "calls", "inbound", counts, func(h *Hour) float64 { return float64(h.Inbound.Calls) }},
		{"Answered", "answered", "inbound", counts, func(h *Hour) float64 { return float64(h.Inbound.Answered()) }},
		{"Missed", "missed", "inbound", counts, func(h *Hour) float64 { return float64(h.Inbound.Missed()) }},
		{"Abandoned", "abandoned", "inbound", counts, func(h *Hour) float64 { return float64(h.Inbound.Abandoned()) }},
		{"Answer rate", "answer_rate", "inbound", rates, func(h *Hour) float64 { return h.Inbound.AnswerRate() }},
		{"Mean wait", "asa", "inbound", seconds, func(h *Hour) float64 { return h.Inbound.Wait.Mean() }},
		{"Outbound", "calls", "outbound", counts, func(h *Hour) float64 { return float64(h.Outbound.Calls) }},
		{"Connected", "answered", "outbound", counts, func(h *Hour) float64 { return float64(h.Outbound.Answered()) }},
		{"Talk time", "talk_total", "total", seconds, func(h *Hour) float64 {
			return float64(h.Inbound.Talk.Sum() + h.Outbound.Talk.Sum())
		}},
	}
}

// rankedAgent is an agent and the place among all.
type rankedAgent struct {
	rank int
	*AgentFigures
	all *Tally
}

func (a rankedAgent) figures() (*CallFigures, *Tally) { return &a.CallFigures, a.all }

// agentRecords are the agents, the one who talked longest first.
func agentRecords(st *styles, in *Input, f *Figures) records[rankedAgent] {
	// Sheet and CSV have these in another order.
	shown := func(title string, width float64, of func(rankedAgent) string) column[rankedAgent] {
		return textColumn(st, title, "", width, of)
	}
	told := func(name string, of func(rankedAgent) string) column[rankedAgent] {
		return textColumn(st, "", name, 0, of)
	}
	columns := []column[rankedAgent]{
		countColumn(st, "Rank", "rank", 9, func(a rankedAgent) int64 { return int64(a.rank) }),
		told("agent_name", func(a rankedAgent) string { return a.Name }),
		told("agent_id", func(a rankedAgent) string { return a.ID }),
		told("agent_number", func(a rankedAgent) string { return a.Number }),
		told("account", func(a rankedAgent) string { return a.Account }),
		told("group", func(a rankedAgent) string { return a.Group }),
		shown("Agent", 24, func(a rankedAgent) string { return label(a.Agent) }),
		shown("Group", 16, func(a rankedAgent) string { return a.Group }),
		shown("Agent number", 17, func(a rankedAgent) string { return a.Number }),
		shown("Account", 14, func(a rankedAgent) string { return a.Account }),
	}
	for _, m := range agentMeasures() {
		if m.moment != nil {
			columns = append(columns, momentColumn(st, in.zone, m.title, m.name, func(a rankedAgent) int64 { return milliseconds(m.moment(a.AgentFigures)) }))
			continue
		}
		columns = append(columns, figureColumn(st, m.title, m.name, m.unit, func(a rankedAgent) float64 { return m.figure(a.AgentFigures, a.all) }))
	}
	// What agents are offered and answer is counted in another way than of others;
	// all else is as for a group.
	var taken []string
	for _, c := range columns {
		taken = append(taken, c.name)
	}
	for _, c := range measureColumns[rankedAgent](st, f.Settings.Formula, taken...) {
		c.detail = true
		columns = append(columns, c)
	}
	return records[rankedAgent]{columns, rankedAgent{0, new(AgentFigures), new(Tally)}, func(_ context.Context, fn func(rankedAgent) error) error {
		for i, a := range f.Agents {
			if err := fn(rankedAgent{i + 1, a, a.total()}); err != nil {
				return err
			}
		}
		return nil
	}}
}

// hourRecords are the hours of the day. The workbook has them beside the heat map.
func hourRecords(st *styles, _ *Input, f *Figures) records[int] {
	columns := []column[int]{countColumn(st, "", "hour", 0, func(hour int) int64 { return int64(hour) })}
	for _, m := range hourMeasures() {
		columns = append(columns, figureColumn(st, "", m.direction+"_"+m.name, m.unit, func(hour int) float64 { return m.figure(&f.Hours[hour]) }))
	}
	return records[int]{columns: columns, each: func(_ context.Context, fn func(int) error) error {
		for hour := range f.Hours {
			if err := fn(hour); err != nil {
				return err
			}
		}
		return nil
	}}
}

// forPeople writes a figure of a measure as people read it.
func forPeople(v float64, u unit) string {
	if math.IsNaN(v) {
		return notAvailable
	}
	switch u {
	case rates:
		return percent(v)
	case seconds:
		return clock(v)
	case counts:
		return count(int64(v))
	case minutes, costs, hourly:
	}
	return formatFloat(v, 2)
}
