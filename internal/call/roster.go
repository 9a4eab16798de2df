package call

import (
	"encoding/json"
	"slices"
	"strings"
)

// Person is somebody who answers calls, as configured: one person, whatever
// the providers call them.
type Person struct {
	// Name is how the person is called everywhere; no two have the same.
	Name string `json:"name"`
	// Group is the group of the person's calls that name none.
	Group string `json:"group,omitempty"`
	// TeleCMI are extensions at TeleCMI, without the app id.
	TeleCMI []string `json:"telecmi,omitempty"`
	// Numbers are phone numbers in E.164.
	Numbers []string `json:"numbers,omitempty"`
	// Names are how providers spell the name, where that differs.
	Names []string `json:"names,omitempty"`
}

// Member is an entry of a provider's own list of people: who is reached at a
// number.
type Member struct {
	Account string `json:"account"`
	// Number is in E.164 if it is a valid number, as an Agent's is.
	Number string `json:"number"`
	Name   string `json:"name"`
}

// Roster knows the people behind the ids, numbers and names by which reports
// name agents. It is asked when calls are read: what is stored stays as it was
// reported, so a name that is configured today names the calls of years.
type Roster struct {
	people   []Person
	ids      map[string]int // of people
	numbers  map[string]int
	names    map[string]int
	members  []Member
	memberOf map[memberKey]string // the name
}

type memberKey struct{ account, number string }

// NewRoster makes a Roster. Of two people with the same id, number or name the
// first counts, which a valid configuration does not have.
func NewRoster(people []Person, members []Member) *Roster {
	r := &Roster{
		people: people, members: members,
		ids: make(map[string]int), numbers: make(map[string]int), names: make(map[string]int),
		memberOf: make(map[memberKey]string, len(members)),
	}
	note := func(known map[string]int, i int, words ...string) {
		for _, w := range words {
			if _, taken := known[w]; !taken && w != "" {
				known[w] = i
			}
		}
	}
	for i, p := range people {
		note(r.ids, i, p.TeleCMI...)
		note(r.numbers, i, p.Numbers...)
		note(r.names, i, p.spellings()...)
	}
	for _, m := range members {
		r.memberOf[memberKey{m.Account, m.Number}] = m.Name
	}
	return r
}

// rosterJSON is a Roster as JSON.
type rosterJSON struct {
	People  []Person `json:"people,omitempty"`
	Members []Member `json:"members,omitempty"`
}

// MarshalJSON writes whom the roster was made of.
func (r *Roster) MarshalJSON() ([]byte, error) { return json.Marshal(rosterJSON{r.people, r.members}) }

// UnmarshalJSON makes the roster again, so that it gives the names and groups
// that it gave when it was written.
func (r *Roster) UnmarshalJSON(text []byte) error {
	var of rosterJSON
	if err := json.Unmarshal(text, &of); err != nil {
		return err
	}
	*r = *NewRoster(of.People, of.Members)
	return nil
}

// spellings are the names of a person, folded.
func (p *Person) spellings() []string {
	all := []string{FoldName(p.Name)}
	for _, n := range p.Names {
		all = append(all, FoldName(n))
	}
	return all
}

// FoldName makes a name comparable: of ASCII letters the case does not count,
// of others it does, as in the databases.
func FoldName(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Resolve says who an agent of a report is: the person who has the extension,
// else the one who has the number, else the one who has the name; a nameless
// number has the name that the provider's list of members gives it. Id and
// number stay as they were reported.
func (r *Roster) Resolve(account string, provider Provider, a Agent) Agent {
	if i, ok := r.person(account, provider, a); ok {
		a.Name, a.Known = r.people[i].Name, true
	} else if a.Name == "" && a.Number != "" {
		a.Name = r.memberOf[memberKey{account, a.Number}]
	}
	return a
}

// Who is how calls name whoever has an id, a number or a name, whose case does
// not count; empty if nobody has it.
func (r *Roster) Who(who string) string {
	folded := FoldName(who)
	for i := range r.people {
		p := &r.people[i]
		if slices.Contains(p.spellings(), folded) || slices.Contains(p.TeleCMI, who) || slices.Contains(p.Numbers, who) {
			return p.Name
		}
	}
	for _, m := range r.members {
		if m.Number == who || FoldName(m.Name) == folded {
			return r.Resolve(m.Account, CallerDesk, Agent{Number: m.Number}).Name
		}
	}
	return ""
}

// person is the index of the person who an agent is.
func (r *Roster) person(account string, provider Provider, a Agent) (i int, ok bool) {
	if provider == TeleCMI && a.ID != "" {
		if i, ok = r.ids[a.ID]; ok {
			return i, true
		}
	}
	if a.Number != "" {
		if i, ok = r.numbers[a.Number]; ok {
			return i, true
		}
		if a.Name == "" {
			a.Name = r.memberOf[memberKey{account, a.Number}]
		}
	}
	if a.Name == "" {
		return 0, false
	}
	i, ok = r.names[FoldName(a.Name)]
	return i, ok
}

// groupOf is the configured group of an agent; empty if there is none.
func (r *Roster) groupOf(account string, provider Provider, a Agent) string {
	if i, ok := r.person(account, provider, a); ok {
		return r.people[i].Group
	}
	return ""
}

// Name puts into a call who its agents are, and, where its reports name no
// group, that of its agent.
func (r *Roster) Name(c *Call) {
	if c.Group == "" {
		c.Group = r.groupOf(c.Account, c.Provider, c.Agent)
	}
	c.Agent = r.Resolve(c.Account, c.Provider, c.Agent)
	for i, o := range c.Offers {
		c.Offers[i] = r.Resolve(c.Account, c.Provider, o)
	}
}

// NameLive does for a live call, which is of the provider, what Name does.
func (r *Roster) NameLive(c *LiveCall, provider Provider) {
	if c.Group == "" {
		c.Group = r.groupOf(c.Account, provider, c.Agent)
	}
	c.Agent = r.Resolve(c.Account, provider, c.Agent)
}

// AgentSet selects the agents who are some of the people of a roster: exactly
// those whom Resolve takes for one of them, for it has the same order.
type AgentSet struct {
	// IDs are extensions at TeleCMI, Numbers phone numbers, Names folded names.
	IDs     []string `json:"ids,omitempty"`
	Numbers []string `json:"numbers,omitempty"`
	Names   []string `json:"names,omitempty"`
	// OtherIDs and OtherNumbers are those of other people. Who has such an id
	// is not selected by number or name, who has such a number not by name.
	OtherIDs     []string `json:"other_ids,omitempty"`
	OtherNumbers []string `json:"other_numbers,omitempty"`
	// Members select agents without a name by the number on an account.
	Members []Member `json:"members,omitempty"`
}

// selected selects people, and the agents without a name whose number a list of
// members gives to a name that is selected;
// nil if there are none.
func (r *Roster) selected(person func(*Person) bool, name func(folded string) bool) *AgentSet {
	var s AgentSet
	empty := true
	for i := range r.people {
		p := &r.people[i]
		if !person(p) {
			s.OtherIDs = append(s.OtherIDs, p.TeleCMI...)
			s.OtherNumbers = append(s.OtherNumbers, p.Numbers...)
			continue
		}
		empty = false
		s.IDs = append(s.IDs, p.TeleCMI...)
		s.Numbers = append(s.Numbers, p.Numbers...)
		s.Names = append(s.Names, p.spellings()...)
	}
	for _, m := range r.members {
		folded := FoldName(m.Name)
		i, known := r.names[folded]
		if known && person(&r.people[i]) || !known && name(folded) {
			s.Members = append(s.Members, m)
			empty = false
		}
	}
	if empty {
		return nil
	}
	return &s
}

// Expand makes a filter that asks for people ask for what reports call them:
// all ids, numbers and names of whom Filter.Agent names, or whose name begins
// with Filter.Text, and the agents of a group whose calls name none.
func (r *Roster) Expand(f Filter) Filter {
	if f.Agent != "" {
		wanted := FoldName(f.Agent)
		i, known := r.names[wanted]
		f.Agents = r.selected(
			func(p *Person) bool { return known && p == &r.people[i] },
			func(name string) bool { return name == wanted })
		if known {
			f.Agent = "" // who is not that person is not asked for
		}
	}
	if f.Text != "" {
		begins := func(name string) bool { return strings.HasPrefix(name, FoldName(f.Text)) }
		f.TextAgents = r.selected(func(p *Person) bool { return slices.ContainsFunc(p.spellings(), begins) }, begins)
	}
	none := func(string) bool { return false }
	if f.Group != "" {
		f.GroupAgents = r.selected(func(p *Person) bool { return p.Group == f.Group }, none)
	}
	if len(f.Groups) > 0 {
		f.GroupsAgents = r.selected(func(p *Person) bool { return slices.Contains(f.Groups, p.Group) }, none)
	}
	return f
}

// Colleague is somebody whom a report lists also without calls.
type Colleague struct {
	Agent
	// Account is that of the list of members; empty for who is configured.
	Account string `json:"account,omitempty"`
	Group   string `json:"group,omitempty"`
}

// Colleagues are the people whose calls a filter would be about: who is
// configured, and who is on the providers' lists. On which accounts somebody
// works only those lists say, and on which campaigns and numbers nobody.
func (r *Roster) Colleagues(f Filter) []Colleague {
	if f.Number != "" || f.Campaign != "" {
		return nil
	}
	wanted := FoldName(f.Agent)
	apart := f.Group != "" || len(f.Groups) > 0
	var all []Colleague
	listed := make([]bool, len(r.people))
	add := func(i int) {
		p := &r.people[i]
		if listed[i] || f.Group != "" && p.Group != f.Group || len(f.Groups) > 0 && !slices.Contains(f.Groups, p.Group) || f.Agent != "" && !slices.Contains(p.spellings(), wanted) {
			return
		}
		listed[i] = true
		all = append(all, Colleague{Agent: Agent{Name: p.Name, Known: true}, Group: p.Group})
	}
	if f.Account == "" {
		for i := range r.people {
			add(i)
		}
	}
	for _, m := range r.members {
		if f.Account != "" && m.Account != f.Account || slices.Contains(f.NotAccounts, m.Account) {
			continue
		}
		if i, ok := r.person(m.Account, CallerDesk, Agent{Number: m.Number}); ok {
			add(i)
		} else if !apart && (f.Agent == "" || FoldName(m.Name) == wanted) {
			all = append(all, Colleague{Agent: Agent{Name: m.Name, Number: m.Number}, Account: m.Account})
		}
	}
	return all
}
