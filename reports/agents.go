package reports

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
)

// AgentFigures are the measures of one agent.
type AgentFigures struct {
	call.Agent
	// Account is the agent's, or all of them in order, with commas.
	Account string
	// Group is that of the agent's last call that has one.
	Group string
	// CallFigures are of the calls that ended with the agent: a transferred call
	// counts for the last who talked. Unanswered are the times the agent was rung
	// and did not answer, on any call.
	CallFigures
	Unanswered int64
	// Ring is how long the agent's phone rang, of inbound calls answered, where
	// the wait is just that.
	Ring Durations
	// Callbacks are outbound calls in which the agent was the first to talk with
	// a customer who had been missed; negative if the input, of an older program,
	// does not tell who that was.
	Callbacks int64
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

// label is how an agent is called in tables. A mere id says nothing to people.
func label(a call.Agent) string {
	if a.Name == "" && a.ID != "" {
		return "Agent " + a.ID
	}
	return cmp.Or(a.Name, a.Number)
}

// agentOf finds the figures of an agent: one person if it is a configured one,
// else known by the account's id, else by the number, else by the account's
// name.
func agentOf(agents map[string]*AgentFigures, account string, who call.Agent) *AgentFigures {
	key := agentKey(account, who)
	a, ok := agents[key]
	if !ok {
		a = &AgentFigures{Account: account, hours: make(map[int64]struct{})}
		agents[key] = a
	}
	a.addAccount(account)
	a.ID = cmp.Or(a.ID, who.ID)
	a.Name = cmp.Or(a.Name, who.Name)
	a.Number = cmp.Or(a.Number, who.Number)
	a.Known = who.Known
	return a
}

func agentKey(account string, who call.Agent) string {
	switch {
	case who.Known:
		return "known\x00" + who.Name
	case who.ID != "":
		return "id\x00" + account + "\x00" + who.ID
	case who.Number != "":
		return "number\x00" + who.Number
	}
	return "name\x00" + account + "\x00" + who.Name
}

// callbacks are those made, NaN if that is not known.
func (a *AgentFigures) callbacks() float64 {
	if a.Callbacks < 0 {
		return math.NaN()
	}
	return float64(a.Callbacks)
}

// addReturn counts a call back for the agent who made it. A report of some calls
// tells only of the agents of these.
func (f *Figures) addReturn(agents map[string]*AgentFigures, r *returned) {
	if r == nil || r.Direction != call.Outbound || r.Agent == (call.Agent{}) {
		return
	}
	if agents[agentKey(r.Account, r.Agent)] == nil && f.Settings.Match != "" {
		return
	}
	agentOf(agents, r.Account, r.Agent).Callbacks++
}

func (a *AgentFigures) add(c *row, match call.AudioMatch, s *Settings, zone *time.Location) {
	a.Group = cmp.Or(c.Group, a.Group)
	a.CallFigures.add(c, match, s)
	if c.Direction == call.Inbound {
		if c.Outcome != call.Answered {
			return // a call offered and not answered: counted by its offers
		}
		if c.Provider == call.CallerDesk {
			a.Ring.Add(c.WaitSeconds)
		}
	}
	a.active(c, zone, max(c.StartedAt, c.EndedAt))
	if c.Outcome != call.Answered {
		return
	}
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

// accountComma stands between the accounts of one agent.
const accountComma = ", "

// addAccount notes that the agent was at work on an account.
func (a *AgentFigures) addAccount(account string) {
	if a.Account == "" || account == "" {
		a.Account = cmp.Or(a.Account, account)
		return
	}
	all := strings.Split(a.Account, accountComma)
	if i, known := slices.BinarySearch(all, account); !known {
		a.Account = strings.Join(slices.Insert(all, i, account), accountComma)
	}
}

// rankAgents joins the figures of agents who are one person and puts them in
// order: by talk time, then by the calls they talked on.
func rankAgents(agents map[string]*AgentFigures) []*AgentFigures {
	// By key first and then without changing what is equal: a map gives another
	// order each time, and two agents may be the same in all that is shown.
	all := make([]*AgentFigures, 0, len(agents))
	for _, key := range slices.Sorted(maps.Keys(agents)) {
		all = append(all, agents[key])
	}
	ranked := joinAgents(all)
	slices.SortStableFunc(ranked, func(a, b *AgentFigures) int {
		return cmp.Or(
			cmp.Compare(b.TalkSeconds(), a.TalkSeconds()),
			cmp.Compare(b.Handled(), a.Handled()),
			cmp.Compare(a.Unanswered, b.Unanswered),
			strings.Compare(label(a.Agent), label(b.Agent)),
			compareAgents(a, b),
		)
	})
	return ranked
}

// compareAgents puts agents in an order that does not depend on their figures,
// those who have a name first.
func compareAgents(a, b *AgentFigures) int {
	named := func(a *AgentFigures) int {
		if a.Name != "" {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(named(a), named(b)),
		strings.Compare(a.Account, b.Account), strings.Compare(a.ID, b.ID),
		strings.Compare(a.Number, b.Number), strings.Compare(a.Name, b.Name),
	)
}

// joinAgents makes one of the agents that have the same E.164 number: a number
// is one person, on whatever accounts. But an account that gives a number to
// two ids says that they are two people at one telephone; they stay apart.
func joinAgents(all []*AgentFigures) []*AgentFigures {
	slices.SortStableFunc(all, compareAgents)
	byNumber := make(map[string][]*AgentFigures)
	for _, a := range all {
		if strings.HasPrefix(a.Number, "+") && !a.Known {
			byNumber[a.Number] = append(byNumber[a.Number], a)
		}
	}
	var joined []*AgentFigures
	for _, a := range all {
		same := byNumber[a.Number]
		switch {
		case len(same) < 2 || a.Known || shared(same):
			joined = append(joined, a)
		case a == same[0]:
			for _, other := range same[1:] {
				a.merge(other)
			}
			joined = append(joined, a)
		}
	}
	return joined
}

// shared reports whether agents of one number have different ids on an account.
func shared(same []*AgentFigures) bool {
	ids := make(map[string]string)
	for _, a := range same {
		if a.ID == "" {
			continue
		}
		if ids[a.Account] != "" {
			return true // agentOf has one for each id
		}
		ids[a.Account] = a.ID
	}
	return false
}

// merge adds the figures of the same person on another account; o is used up, as
// by CallFigures.merge.
func (a *AgentFigures) merge(o *AgentFigures) {
	a.ID, a.Name = cmp.Or(a.ID, o.ID), cmp.Or(a.Name, o.Name)
	for account := range strings.SplitSeq(o.Account, accountComma) {
		a.addAccount(account)
	}
	if a.Group == "" || o.Group != "" && o.Last.After(a.Last) {
		a.Group = o.Group
	}
	a.CallFigures.merge(&o.CallFigures)
	a.Ring.merge(&o.Ring)
	a.Callbacks += o.Callbacks
	a.Unanswered += o.Unanswered
	if a.First.IsZero() || !o.First.IsZero() && o.First.Before(a.First) {
		a.First = o.First
	}
	if o.Last.After(a.Last) {
		a.Last = o.Last
	}
	a.Expected += o.Expected
	a.Archived += o.Archived
	maps.Copy(a.hours, o.hours)
}
