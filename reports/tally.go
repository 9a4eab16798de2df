package reports

import (
	"cmp"
	"math"
	"math/big"

	"callvault/internal/call"
)

// Tally counts calls of one kind: of a direction, an hour, an agent. Its
// definitions are printed in every workbook (definitions.go); keep them alike.
type Tally struct {
	// Calls are all but those of unknown outcome, which Unknown counts and
	// nothing else does.
	Calls, Unknown int64
	// Outcomes counts Calls.
	Outcomes map[call.Outcome]int64
	// ShortAbandons are abandoned calls whose wait is known and within the
	// report's bound.
	ShortAbandons int64
	// InTime are the answered calls whose wait is known and within the service
	// level's bound.
	InTime int64
	// Wait is of answered, AbandonWait of abandoned calls.
	Wait, AbandonWait Durations
	// Talk is of answered calls.
	Talk Durations
	// costs counts calls by their cost as it was sent, if it is a number: few
	// costs differ, and to add fractions call by call takes longer than all
	// the rest. cost is the exact sum of others.
	costs map[string]int64
	cost  *big.Rat
	// Recordings are those of all these calls, also where their outcome or their
	// start is not known.
	Recordings RecordingFigures
}

// maxCosts bounds Tally.costs.
const maxCosts = 256

func (t *Tally) add(c *row, s *Settings) {
	if c.Outcome == call.Unknown {
		t.Unknown++
		return
	}
	t.Calls++
	if t.Outcomes == nil {
		t.Outcomes = make(map[call.Outcome]int64)
	}
	t.Outcomes[c.Outcome]++
	t.addCost(c.Cost, 1)
	known := c.WaitSeconds != nil && *c.WaitSeconds >= 0
	switch c.Outcome {
	case call.Answered:
		t.Wait.Add(c.WaitSeconds)
		t.Talk.Add(c.TalkSeconds)
		if known && *c.WaitSeconds <= s.Within {
			t.InTime++
		}
	case call.Abandoned, call.Cancelled:
		t.AbandonWait.Add(c.WaitSeconds)
		if known && *c.WaitSeconds <= s.ShortAbandon {
			t.ShortAbandons++
		}
	}
}

// addSums adds calls of which only the sums are known. They have no cost.
func (t *Tally) addSums(s *call.CallSums) {
	if s.Outcome == call.Unknown {
		t.Unknown += s.Calls
		return
	}
	t.Calls += s.Calls
	if t.Outcomes == nil {
		t.Outcomes = make(map[call.Outcome]int64)
	}
	t.Outcomes[s.Outcome] += s.Calls
	switch s.Outcome {
	case call.Answered:
		t.Wait.addSum(s.Waits, s.WaitSeconds)
		t.Talk.addSum(s.Talks, s.TalkSeconds)
		t.InTime += s.Soon
	case call.Abandoned, call.Cancelled:
		t.AbandonWait.addSum(s.Waits, s.WaitSeconds)
		t.ShortAbandons += s.Soon
	}
}

// merge adds the calls of another tally.
func (t *Tally) merge(o *Tally) {
	t.Calls += o.Calls
	t.Unknown += o.Unknown
	if t.Outcomes == nil && o.Outcomes != nil {
		t.Outcomes = make(map[call.Outcome]int64)
	}
	for outcome, n := range o.Outcomes {
		t.Outcomes[outcome] += n
	}
	t.ShortAbandons += o.ShortAbandons
	t.InTime += o.InTime
	t.Wait.merge(&o.Wait)
	t.AbandonWait.merge(&o.AbandonWait)
	t.Talk.merge(&o.Talk)
	t.mergeCosts(o)
	t.Recordings.merge(&o.Recordings)
}

func (t *Tally) mergeCosts(o *Tally) {
	for cost, n := range o.costs {
		t.addCost(cost, n)
	}
	if o.cost != nil {
		t.cost = new(big.Rat).Add(cmp.Or(t.cost, new(big.Rat)), o.cost)
	}
}

// addCost adds n calls that cost as much.
func (t *Tally) addCost(cost string, n int64) {
	if t.costs[cost] == 0 && !isNumber(cost) {
		return
	}
	if t.costs == nil {
		t.costs = make(map[string]int64)
	}
	t.costs[cost] += n
	if len(t.costs) > maxCosts {
		t.cost = t.sumCosts()
		clear(t.costs)
	}
}

// sumCosts is the exact sum of all costs, nil if there are none.
func (t *Tally) sumCosts() *big.Rat {
	if len(t.costs) == 0 {
		return t.cost
	}
	sum := new(big.Rat).Set(cmp.Or(t.cost, new(big.Rat)))
	for cost, n := range t.costs {
		if each, ok := new(big.Rat).SetString(cost); ok {
			sum.Add(sum, each.Mul(each, new(big.Rat).SetInt64(n)))
		}
	}
	return sum
}

// Answered counts the calls that were answered.
func (t *Tally) Answered() int64 { return t.Outcomes[call.Answered] }

// Missed counts the calls that nobody answered and the caller did not give up:
// outcome missed, busy, rejected, voicemail or failed.
func (t *Tally) Missed() int64 {
	return t.Outcomes[call.Missed] + t.Outcomes[call.Busy] + t.Outcomes[call.Rejected] +
		t.Outcomes[call.Voicemail] + t.Outcomes[call.Failed]
}

// Abandoned counts the calls that the caller gave up: outcome abandoned or
// cancelled. Calls = Answered + Missed + Abandoned, always.
func (t *Tally) Abandoned() int64 {
	return t.Outcomes[call.Abandoned] + t.Outcomes[call.Cancelled]
}

// AnswerRate is Answered / (Calls − ShortAbandons); NaN without such calls, as
// all rates.
func (t *Tally) AnswerRate() float64 { return ratio(t.Answered(), t.Calls-t.ShortAbandons) }

// AbandonmentRate is (Abandoned − ShortAbandons) / (Calls − ShortAbandons).
func (t *Tally) AbandonmentRate() float64 {
	return ratio(t.Abandoned()-t.ShortAbandons, t.Calls-t.ShortAbandons)
}

// ConnectRate is Answered / Calls, for outbound calls.
func (t *Tally) ConnectRate() float64 { return ratio(t.Answered(), t.Calls) }

// Judged is the share of the answered calls whose wait is known: the others
// are left out of ServiceLevel.
func (t *Tally) Judged() float64 { return ratio(t.Wait.Count(), t.Answered()) }

// ServiceLevel is the share of calls answered in time, by a formula. It is NaN
// when fewer than half of the answered calls can be judged.
func (t *Tally) ServiceLevel(f Formula) float64 {
	judged, answered := t.Wait.Count(), t.Answered()
	if 2*judged < answered {
		return math.NaN()
	}
	switch f {
	case OfAnswered:
		return ratio(t.InTime, judged)
	case OfAnsweredAndAbandoned:
		return ratio(t.InTime, judged+t.Abandoned()-t.ShortAbandons)
	case OfOffered:
	}
	return ratio(t.InTime, t.Calls-t.ShortAbandons-(answered-judged))
}

// Cost is the sum of the costs, in the provider's units; NaN if no call told
// one.
func (t *Tally) Cost() float64 {
	sum := t.sumCosts()
	if sum == nil {
		return math.NaN()
	}
	f, _ := sum.Float64()
	return f
}

// isNumber reports whether s is a decimal number of at most 15 digits (what a
// spreadsheet keeps exactly), with an optional minus and fraction and without
// leading zeros, which would be lost.
func isNumber(s string) bool {
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	digits, point := 0, -1
	for i := range len(s) {
		switch {
		case s[i] >= '0' && s[i] <= '9':
			digits++
		case s[i] == '.' && point < 0 && i > 0 && i < len(s)-1:
			point = i
		default:
			return false
		}
	}
	zeroFirst := len(s) > 1 && s[0] == '0' && point != 1
	return digits > 0 && digits <= 15 && !zeroFirst
}
