package reports

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
)

// PermittedHours are when some outbound calls may be made, by the clock of the
// report's zone.
type PermittedHours struct {
	// Campaign is a campaign's id, in which * stands for anything. Agent is an
	// agent's id, name or number, of who is configured any of them. Case does not
	// count; empty is all of them.
	Campaign string `json:"campaign,omitempty"`
	Agent    string `json:"agent,omitempty"`
	// Hours are never empty.
	Hours []call.Hours `json:"hours"`
}

// String says them in words.
func (p *PermittedHours) String() string {
	var hours []string
	for _, h := range p.Hours {
		hours = append(hours, h.String())
	}
	text := strings.Join(hours, ", ")
	switch {
	case p.Campaign != "" && p.Agent != "":
		return "campaign " + p.Campaign + ", agent " + p.Agent + ": " + text
	case p.Campaign != "":
		return "campaign " + p.Campaign + ": " + text
	case p.Agent != "":
		return "agent " + p.Agent + ": " + text
	}
	return "all others: " + text
}

// permit says which calls were made outside the hours permitted.
type permit struct {
	rules     []PermittedHours
	campaigns []*regexp.Regexp
	people    []string // Rules.permittedPeople
	zone      *time.Location
}

func newPermit(in *Input) *permit {
	p := &permit{rules: in.Settings.PermittedHours, people: in.Settings.permittedPeople(), zone: in.zone}
	for _, rule := range p.rules {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(rule.Campaign), `\*`, ".*")
		p.campaigns = append(p.campaigns, regexp.MustCompile("(?is)^(?:"+pattern+")$"))
	}
	return p
}

// permittedPeople are, by rule of permitted hours, how calls name its agent; empty if
// nobody is known.
func (r *Rules) permittedPeople() []string {
	people := make([]string, len(r.PermittedHours))
	for i := range r.PermittedHours {
		if who := r.PermittedHours[i].Agent; who != "" && r.Roster != nil {
			people[i] = r.Roster.Who(who)
		}
	}
	return people
}

// broken is the rule against which an outbound call was made; nil if there is
// none.
func (p *permit) broken(c *row) *PermittedHours {
	if c.Direction != call.Outbound || c.StartedAt == 0 {
		return nil
	}
	for i := range p.rules {
		rule := &p.rules[i]
		if !p.ofAgent(i, c) || !p.ofCampaign(i, c) {
			continue
		}
		at := time.UnixMilli(c.StartedAt).In(p.zone)
		if slices.ContainsFunc(rule.Hours, func(h call.Hours) bool { return h.Contain(at) }) {
			return nil
		}
		return rule
	}
	return nil
}

// ofAgent reports whether the rule with an index is about a call's agent: as the
// call's reports say, or as the roster does.
func (p *permit) ofAgent(i int, c *row) bool {
	who := p.rules[i].Agent
	return who == "" || strings.EqualFold(who, c.Agent.Name) ||
		strings.EqualFold(who, c.Agent.ID) || strings.EqualFold(who, c.Agent.Number) ||
		p.people[i] != "" && c.Agent.Known && c.Agent.Name == p.people[i]
}

// ofCampaign reports whether the rule with an index is about a call's campaign.
func (p *permit) ofCampaign(i int, c *row) bool {
	return p.rules[i].Campaign == "" || p.campaigns[i].MatchString(c.Campaign)
}

// outsideCall is a call outside the hours permitted, and the rule.
type outsideCall struct {
	call *row
	rule *PermittedHours
}

// OutsideFigures count the calls of an agent in a campaign outside the hours
// permitted.
type OutsideFigures struct {
	// Campaign is as on the sheet Campaigns: those with too few calls share one.
	Campaign, Agent, Rule string
	Calls, Answered       int64
	First, Last           time.Time
}

// maxOutside bounds the rows of OutsideFigures: the rest share the last.
const maxOutside = 10_000

// outside counts the calls outside the hours permitted.
type outside struct {
	permit *permit
	// campaign finds how a campaign's row is called.
	campaign func(*row) string
	rows     map[OutsideFigures]*OutsideFigures
	// unseen says of which rules, by index, no call so far has the agent or the
	// campaign, whoever dialled.
	unseen map[int]unseen
}

// unseen says what of a rule no call has.
type unseen struct{ agent, campaign bool }

func newOutside(in *Input, slicers []*slicer) *outside {
	o := &outside{permit: newPermit(in), rows: make(map[OutsideFigures]*OutsideFigures),
		campaign: func(c *row) string { return c.Campaign }, unseen: make(map[int]unseen)}
	for i := range o.permit.rules {
		if rule := &o.permit.rules[i]; rule.Agent != "" || rule.Campaign != "" {
			// Whom the configuration knows, inputs of older programs do not tell.
			asked := in.Settings.Roster != nil && rule.Agent != ""
			o.unseen[i] = unseen{agent: asked && o.permit.people[i] == "", campaign: rule.Campaign != ""}
		}
	}
	for _, s := range slicers {
		if s.table == CampaignsTable {
			o.campaign = func(c *row) string { return s.label(s.find(c.Campaign)) }
		}
	}
	return o
}

// see notes that there are such an agent and such a campaign.
func (o *outside) see(c *row) {
	for i, u := range o.unseen {
		u.agent = u.agent && !o.permit.ofAgent(i, c)
		u.campaign = u.campaign && !o.permit.ofCampaign(i, c)
		if o.unseen[i] = u; u == (unseen{}) {
			delete(o.unseen, i)
		}
	}
}

// add counts a call if it was made outside the hours permitted.
func (o *outside) add(c *row) bool {
	if len(o.permit.rules) == 0 {
		return false
	}
	o.see(c)
	rule := o.permit.broken(c)
	if rule == nil {
		return false
	}
	key := OutsideFigures{Campaign: o.campaign(c), Agent: cmp.Or(label(c.Agent), "no agent"), Rule: rule.String()}
	f := o.rows[key]
	if f == nil {
		if len(o.rows) >= maxOutside {
			key = OutsideFigures{Campaign: "others", Agent: "others"}
			f = o.rows[key]
		}
		if f == nil {
			f = &OutsideFigures{Campaign: key.Campaign, Agent: key.Agent, Rule: key.Rule}
			o.rows[key] = f
		}
	}
	f.Calls++
	if c.Outcome == call.Answered {
		f.Answered++
	}
	at := time.UnixMilli(c.StartedAt).In(o.permit.zone)
	if f.First.IsZero() || at.Before(f.First) {
		f.First = at
	}
	if at.After(f.Last) {
		f.Last = at
	}
	return true
}

// unknownAgents says which agents rules of permitted hours name in vain: a slip of
// the pen would let them dial at any time that others may.
func (f *Figures) unknownAgents() []string {
	var list []string
	for i := range f.Settings.PermittedHours {
		if !f.unseen[i].agent {
			continue
		}
		text := "Permitted hours name the agent " + f.Settings.PermittedHours[i].Agent +
			", whom neither the configuration nor a call of this report knows: is the name as the calls have it?"
		if !slices.Contains(list, text) { // another rule may name them, too
			list = append(list, text)
		}
	}
	return list
}

// ranked are the rows, those with the most calls first.
func (o *outside) ranked() []*OutsideFigures {
	var all []*OutsideFigures
	for _, f := range o.rows {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *OutsideFigures) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Campaign, b.Campaign),
			strings.Compare(a.Agent, b.Agent), strings.Compare(a.Rule, b.Rule))
	})
	return all
}

// eachOutside calls fn for each call outside the hours permitted.
func (in *Input) eachOutside(ctx context.Context, fn func(outsideCall) error) error {
	permit := newPermit(in)
	if len(permit.rules) == 0 {
		return nil
	}
	_, err := in.each(ctx, func(c *row) error {
		if rule := permit.broken(c); rule != nil {
			return fn(outsideCall{c, rule})
		}
		return nil
	}, nil)
	return err
}

// permittedRecords count the calls outside the hours permitted by campaign and
// agent.
func permittedRecords(st *styles, in *Input, f *Figures) records[*OutsideFigures] {
	columns := []column[*OutsideFigures]{
		textColumn(st, "Campaign", "campaign", 24, func(o *OutsideFigures) string { return o.Campaign }),
		textColumn(st, "Agent", "agent_name", 24, func(o *OutsideFigures) string { return o.Agent }),
		countColumn(st, "Calls outside", "calls_outside", 14, func(o *OutsideFigures) int64 { return o.Calls }),
		countColumn(st, "Answered", "answered", 13, func(o *OutsideFigures) int64 { return o.Answered }),
		momentColumn(st, in.zone, "First", "first", func(o *OutsideFigures) int64 { return milliseconds(o.First) }),
		momentColumn(st, in.zone, "Last", "last", func(o *OutsideFigures) int64 { return milliseconds(o.Last) }),
		textColumn(st, "Permitted", "permitted", 50, func(o *OutsideFigures) string { return o.Rule }),
	}
	return records[*OutsideFigures]{columns, new(OutsideFigures), eachOf(f.Outside)}
}

// outsideRecords are the calls outside the hours permitted.
func outsideRecords(st *styles, in *Input) records[outsideCall] {
	text := func(title, name string, width float64, of func(outsideCall) string) column[outsideCall] {
		return textColumn(st, title, name, width, of)
	}
	columns := []column[outsideCall]{
		momentColumn(st, in.zone, "Started", "started_at", func(o outsideCall) int64 { return o.call.StartedAt }),
		text("Agent", "agent_name", 20, func(o outsideCall) string { return label(o.call.Agent) }),
		text("Campaign", "campaign", 16, func(o outsideCall) string { return o.call.Campaign }),
		text("Permitted", "permitted", 44, func(o outsideCall) string { return o.rule.String() }),
		text("Customer", "customer_number", 17, func(o outsideCall) string { return o.call.CustomerNumber }),
		text("Group", "group", 16, func(o outsideCall) string { return o.call.Group }),
		text("Outcome", "outcome", 11, func(o outsideCall) string { return string(o.call.Outcome) }),
		durationColumn(st, "Talk", "talk_seconds", func(o outsideCall) *int { return o.call.TalkSeconds }),
		text("Account", "account", 14, func(o outsideCall) string { return o.call.Account }),
		callColumn(st, in.Settings.PublicURL, func(o outsideCall) string { return o.call.ID }),
	}
	return records[outsideCall]{columns, outsideCall{new(row), new(PermittedHours)}, in.eachOutside}
}

// outside are the sheets of calls outside the hours permitted, if any are set:
// counts by campaign and agent, and the calls.
func (b *book) outside(ctx context.Context) {
	if len(b.in.Settings.PermittedHours) == 0 {
		return
	}
	const none = "No outbound call was made outside the permitted hours."
	addList(ctx, b, list[*OutsideFigures]{
		sheet: "Permitted hours", records: permittedRecords(b.styles, b.in, b.figures),
		rows: int64(len(b.figures.Outside)), none: none,
	})
	addList(ctx, b, list[outsideCall]{
		sheet: "Outside hours", records: outsideRecords(b.styles, b.in),
		rows: b.figures.OutsideCalls, none: none, frozen: 1,
	})
}
