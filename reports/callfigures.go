package reports

import (
	"math"
	"strings"

	"callvault/internal/call"
)

// CallFigures are the measures of some calls: of all, of a group, an agent, an
// hour.
type CallFigures struct {
	// Undirected are calls of which nobody said who dialled.
	Inbound, Outbound, Undirected Tally
	Callers
	// Missing are customers nobody answered, not yet called back, and Returned
	// those who were; ReturnMinutes after how many whole minutes. Of a part of the
	// calls they are those whose last call was one of them; negative if the input,
	// of an older program, does not tell which that was.
	Missing, Returned int64
	ReturnMinutes     Durations
}

// of is the tally of a direction.
func (f *CallFigures) of(d call.Direction) *Tally {
	switch d {
	case call.Inbound:
		return &f.Inbound
	case call.Outbound:
		return &f.Outbound
	}
	return &f.Undirected
}

// add counts a call; match is how its audio compares with its talk. A call
// without a start counts with its recordings alone.
func (f *CallFigures) add(c *row, match call.AudioMatch, s *Settings) {
	t := f.of(c.Direction)
	t.Recordings.add(c, match)
	if c.StartedAt != 0 {
		t.add(c, s)
	}
}

// addMissing counts a customer nobody answered.
func (f *CallFigures) addMissing(m *missing) {
	if m.ReturnedAt == 0 {
		f.Missing++
		return
	}
	f.Returned++
	f.ReturnMinutes.Add(m.minutes())
}

// merge adds the measures of other calls. Their customers then count here and
// not there any more: o is not to be shown again.
func (f *CallFigures) merge(o *CallFigures) {
	f.Inbound.merge(&o.Inbound)
	f.Outbound.merge(&o.Outbound)
	f.Undirected.merge(&o.Undirected)
	f.join(&o.Callers)
	f.Missing += o.Missing
	f.Returned += o.Returned
	f.ReturnMinutes.merge(&o.ReturnMinutes)
}

// Calls are all calls whose outcome is known.
func (f *CallFigures) Calls() int64 { return f.Inbound.Calls + f.Outbound.Calls + f.Undirected.Calls }

// TalkSeconds are those of all talks.
func (f *CallFigures) TalkSeconds() int64 {
	return f.Inbound.Talk.Sum() + f.Outbound.Talk.Sum() + f.Undirected.Talk.Sum()
}

// total are all calls, whoever dialled.
func (f *CallFigures) total() *Tally {
	t := new(Tally)
	for _, o := range []*Tally{&f.Inbound, &f.Outbound, &f.Undirected} {
		t.merge(o)
	}
	return t
}

// has reports whether there is anything to tell.
func (f *CallFigures) has() bool {
	t := f.total()
	return t.Calls+t.Unknown+t.Recordings.Expected()+f.Missing+f.Returned > 0
}

// callMeasure is one measure of some calls; total are all of them.
type callMeasure struct {
	title, name string
	unit        unit
	figure      func(f *CallFigures, total *Tally) float64
	// detail: people see it when they ask for it.
	detail bool
}

// callMeasures are the measures of some calls: first those that people look at,
// then the details, inbound and outbound apart. Offered, rates and waits are of
// inbound calls.
func callMeasures(formula Formula) []callMeasure {
	type side struct {
		title, name string
		of          func(*CallFigures, *Tally) *Tally
	}
	inbound := side{", inbound", "inbound_", func(f *CallFigures, _ *Tally) *Tally { return &f.Inbound }}
	outbound := side{", outbound", "outbound_", func(f *CallFigures, _ *Tally) *Tally { return &f.Outbound }}
	both := side{of: func(_ *CallFigures, total *Tally) *Tally { return total }}
	var list []callMeasure
	detail := false
	add := func(s side, title, name string, u unit, fn func(*Tally) float64) {
		list = append(list, callMeasure{title, name, u, func(f *CallFigures, total *Tally) float64 { return fn(s.of(f, total)) }, detail})
	}
	n := func(s side, title, name string, fn func(*Tally) int64) {
		add(s, title, name, counts, func(t *Tally) float64 { return float64(fn(t)) })
	}
	whole := func(title, name string, u unit, fn func(*CallFigures) float64) {
		list = append(list, callMeasure{title, name, u, func(f *CallFigures, _ *Tally) float64 { return fn(f) }, detail})
	}
	customers := func(fn func(*CallFigures) int64) func(*CallFigures) float64 {
		return func(f *CallFigures) float64 {
			if v := fn(f); v >= 0 {
				return float64(v)
			}
			return math.NaN()
		}
	}
	recordings := func(s side, title, name string, fn func(*RecordingFigures) int64) {
		n(s, title, name, func(t *Tally) int64 { return fn(&t.Recordings) })
	}
	state := func(s side, title, name string, of call.RecordingState) {
		recordings(s, title, name, func(r *RecordingFigures) int64 { return r.States[of] })
	}

	n(both, "Calls", "calls", func(t *Tally) int64 { return t.Calls })
	n(inbound, "Offered", "offered", func(t *Tally) int64 { return t.Calls })
	n(inbound, "Answered", "answered", (*Tally).Answered)
	n(inbound, "Missed", "missed", (*Tally).Missed)
	n(inbound, "Abandoned", "abandoned", (*Tally).Abandoned)
	n(inbound, "Short abandons", "short_abandons", func(t *Tally) int64 { return t.ShortAbandons })
	add(inbound, "Answer rate", "answer_rate", rates, (*Tally).AnswerRate)
	add(inbound, "Abandon. rate", "abandonment_rate", rates, (*Tally).AbandonmentRate)
	add(inbound, "Service level", "service_level", rates, func(t *Tally) float64 { return t.ServiceLevel(formula) })
	add(inbound, "Share judged", "service_level_judged", rates, (*Tally).Judged)
	add(inbound, "Speed of answer", "asa_seconds", seconds, func(t *Tally) float64 { return t.Wait.Mean() })
	add(inbound, "Wait before abandoning", "abandon_wait_seconds", seconds, func(t *Tally) float64 { return t.AbandonWait.Mean() })
	n(outbound, "Outbound", "outbound", func(t *Tally) int64 { return t.Calls })
	n(outbound, "Connected", "connected", (*Tally).Answered)
	add(outbound, "Connect rate", "connect_rate", rates, (*Tally).ConnectRate)
	n(both, "Outcome not known", "unknown", func(t *Tally) int64 { return t.Unknown })
	add(both, "Talk time", "talk_total_seconds", seconds, func(t *Tally) float64 { return float64(t.Talk.Sum()) })
	add(both, "Mean talk (AHT)", "aht_seconds", seconds, func(t *Tally) float64 { return t.Talk.Mean() })
	add(both, "Median talk", "talk_median_seconds", seconds, func(t *Tally) float64 { return t.Talk.Median() })
	add(both, "90th perc. of talk", "talk_p90_seconds", seconds, func(t *Tally) float64 { return t.Talk.Percentile(90) })
	add(both, "Longest talk", "talk_longest_seconds", seconds, func(t *Tally) float64 { return t.Talk.Longest() })
	whole("Unique callers", "unique_callers", counts, customers(func(f *CallFigures) int64 { return f.Unique }))
	whole("Repeat callers", "repeat_callers", counts, customers(func(f *CallFigures) int64 { return f.Repeat }))
	whole("To call back", "not_returned", counts, customers(func(f *CallFigures) int64 { return f.Missing }))
	whole("Called back", "returned", counts, customers(func(f *CallFigures) int64 { return f.Returned }))
	recordings(both, "Recordings expected", "recordings_expected", (*RecordingFigures).Expected)
	state(both, "Archived", "recordings_archived", call.Archived)
	state(both, "Pending", "recordings_pending", call.Pending)
	state(both, "Absent", "recordings_absent", call.Absent)
	state(both, "Refused", "recordings_refused", call.Refused)
	recordings(both, "Not named", "recordings_not_named", func(r *RecordingFigures) int64 { return r.NotNamed })
	recordings(both, "Audio shorter", "audio_shorter", func(r *RecordingFigures) int64 { return r.Shorter })
	recordings(both, "Audio longer", "audio_longer", func(r *RecordingFigures) int64 { return r.Longer })
	add(both, "Cost", "cost", costs, (*Tally).Cost)

	detail = true
	n(inbound, "Waits known, answered", "asa_known", func(t *Tally) int64 { return t.Wait.Count() })
	n(inbound, "Waits known, abandoned", "abandon_wait_known", func(t *Tally) int64 { return t.AbandonWait.Count() })
	whole("Median minutes to call back", "return_median_minutes", minutes, func(f *CallFigures) float64 { return f.ReturnMinutes.Median() })
	whole("90th perc. of minutes", "return_p90_minutes", minutes, func(f *CallFigures) float64 { return f.ReturnMinutes.Percentile(90) })
	n(both, "Answered, all", "answered_total", (*Tally).Answered)
	n(both, "Missed, all", "missed_total", (*Tally).Missed)
	n(both, "Abandoned, all", "abandoned_total", (*Tally).Abandoned)
	state(both, "Expired", "recordings_expired", call.Expired)
	state(both, "Erased", "recordings_erased", call.Erased)
	recordings(both, "Audio compared", "audio_compared", func(r *RecordingFigures) int64 { return r.Compared })
	recordings(both, "Audio without its end", "audio_truncated", func(r *RecordingFigures) int64 { return r.Truncated })
	for _, s := range []side{inbound, outbound} {
		outcome := func(title string, o call.Outcome) {
			n(s, title+s.title, s.name+"outcome_"+string(o), func(t *Tally) int64 { return t.Outcomes[o] })
		}
		if s.name == outbound.name {
			n(s, "Missed"+s.title, s.name+"missed", (*Tally).Missed)
			n(s, "Abandoned"+s.title, s.name+"abandoned", (*Tally).Abandoned)
		}
		outcome("Nobody answered", call.Missed)
		outcome("Voicemail", call.Voicemail)
		outcome("Busy", call.Busy)
		outcome("Rejected", call.Rejected)
		outcome("Failed", call.Failed)
		outcome("Hung up", call.Abandoned)
		outcome("Cancelled", call.Cancelled)
		n(s, "Outcome not known"+s.title, s.name+"unknown", func(t *Tally) int64 { return t.Unknown })
		add(s, "Talk time"+s.title, s.name+"talk_total_seconds", seconds, func(t *Tally) float64 { return float64(t.Talk.Sum()) })
		add(s, "Mean talk"+s.title, s.name+"aht_seconds", seconds, func(t *Tally) float64 { return t.Talk.Mean() })
		add(s, "Median talk"+s.title, s.name+"talk_median_seconds", seconds, func(t *Tally) float64 { return t.Talk.Median() })
		add(s, "90th perc."+s.title, s.name+"talk_p90_seconds", seconds, func(t *Tally) float64 { return t.Talk.Percentile(90) })
		add(s, "Longest talk"+s.title, s.name+"talk_longest_seconds", seconds, func(t *Tally) float64 { return t.Talk.Longest() })
		recordings(s, "Rec. expected"+s.title, s.name+"recordings_expected", (*RecordingFigures).Expected)
		for _, of := range call.RecordingStates() {
			state(s, strings.ToUpper(string(of[:1]))+string(of[1:])+s.title, s.name+"recordings_"+string(of), of)
		}
		recordings(s, "Not named"+s.title, s.name+"recordings_not_named", func(r *RecordingFigures) int64 { return r.NotNamed })
		recordings(s, "Audio shorter"+s.title, s.name+"audio_shorter", func(r *RecordingFigures) int64 { return r.Shorter })
		recordings(s, "Audio longer"+s.title, s.name+"audio_longer", func(r *RecordingFigures) int64 { return r.Longer })
		recordings(s, "Audio compared"+s.title, s.name+"audio_compared", func(r *RecordingFigures) int64 { return r.Compared })
		add(s, "Cost"+s.title, s.name+"cost", costs, (*Tally).Cost)
	}
	return list
}
