package webhook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
)

// Explanation says what the decoder made of one report, and of what.
type Explanation struct {
	// Item is what Decode makes of it.
	Item call.Item
	// Call is the call of which nothing else is known; nil if there is no leg.
	Call *call.Call
	// Facts are what the report told.
	Facts []Fact
	// Unused are the fields that nothing was taken from, by their path. They
	// are kept with the call all the same.
	Unused []string
	// Strange are words that are not in the provider's vocabulary.
	Strange []string
}

// Fact is one thing that a report told.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// From is the field it was taken from, for people; empty for what stands in
	// the mapping itself.
	From string `json:"from,omitempty"`
}

// Explain says of each report in a delivery what the decoder makes of it. It
// takes far longer than Decode, and is for people who try a provider out.
func (d *Decoder) Explain(del *call.Delivery) []Explanation {
	a := d.accounts[del.Account]
	if a == nil {
		return []Explanation{{Item: unreadable("account %s is not configured", del.Account)}}
	}
	e := explainer{a, del}
	var list []Explanation
	for _, p := range a.parts(del) {
		if p.err != "" {
			list = append(list, Explanation{Item: unreadable("%s", p.err)})
		} else {
			list = append(list, e.explain(p.fields))
		}
	}
	return list
}

type explainer struct {
	account  *account
	delivery *call.Delivery
}

func (e *explainer) explain(f fields) Explanation {
	x := Explanation{Item: e.account.reader()(e.account, e.delivery, maps.Clone(f))}
	if l := x.Item.Leg; l != nil {
		c := call.Merge([]call.Leg{*l})
		x.Call = &c
	}
	used := make(map[string]bool)
	if e.account.mapped != nil {
		x.Facts, x.Strange = e.mappedFacts(f, used)
	} else {
		x.Facts = e.knownFacts(f, x.Item, used)
		if x.Item.Sense == call.StatusUnknown {
			x.Strange = []string{x.Item.Status}
		}
	}
	for _, path := range leaves(f) {
		if !isUsed(path, used) {
			x.Unused = append(x.Unused, path)
		}
	}
	return x
}

// isUsed tells whether a path, or what it leads through, was used.
func isUsed(path string, used map[string]bool) bool {
	for ; path != ""; path = path[:max(strings.LastIndexByte(path, '/'), 0)] {
		if used[path] {
			return true
		}
	}
	return false
}

// mappedFacts are told by the one who finds them.
func (e *explainer) mappedFacts(f fields, used map[string]bool) (facts []Fact, strange []string) {
	r := mappedReport{mapped: e.account.mapped, account: e.account, delivery: e.delivery, fields: f,
		found: func(name, value, from string) { facts = append(facts, Fact{name, value, from}) },
		read:  func(path string) { used[path] = true },
	}
	r.item()
	return facts, r.strange
}

// knownFacts finds what facts were made of by taking away, and by changing, one
// field after the other, and looking what is different then.
func (e *explainer) knownFacts(f fields, whole call.Item, used map[string]bool) []Fact {
	facts := factsOf(whole)
	from := make(map[string][]string)
	note := func(fact, field string) {
		used["/"+field] = true
		if !slices.Contains(from[fact], field) {
			from[fact] = append(from[fact], field)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		without := maps.Clone(f)
		delete(without, name)
		altered := maps.Clone(f)
		altered[name] = another(f[name])
		for _, other := range []fields{without, altered} {
			item := e.account.reader()(e.account, e.delivery, other)
			if (item.Leg == nil) != (whole.Leg == nil) || (item.Live == nil) != (whole.Live == nil) {
				used["/"+name] = true // it says what the report is about
				continue
			}
			left := factsOf(item)
			for _, fact := range facts {
				if !slices.Contains(left, fact) {
					note(fact.Name, name)
				}
			}
		}
	}
	for i := range facts {
		facts[i].From = strings.Join(from[facts[i].Name], ", ")
	}
	return facts
}

// another is a value of the same type that differs.
func another(raw json.RawMessage) json.RawMessage {
	switch {
	case len(raw) == 0:
	case raw[0] == '"':
		return quote(unquote(raw) + "1")
	case raw[0] == 't':
		return json.RawMessage("false")
	case raw[0] == 'f':
		return json.RawMessage("true")
	case raw[0] != '{' && raw[0] != '[' && raw[0] != 'n':
		return append(slices.Clone(raw), '1')
	}
	return raw
}

// factsOf are the fields of a leg or live call, by their JSON names.
func factsOf(it call.Item) []Fact {
	var facts []Fact
	add := func(name string, value any) {
		if text := factText(value); text != "" {
			facts = append(facts, Fact{Name: name, Value: text})
		}
	}
	if c := it.Live; c != nil {
		add("call_id", c.Key.Value)
		if c.LegKey != c.Key.Value {
			add("leg_id", c.LegKey)
		}
		add("state", string(c.State))
		add("direction", string(c.Direction))
		addParties(add, c.CustomerNumber, c.BusinessNumber, c.Agent)
		add("group", c.Group)
		add("started_at", c.Since)
		add("event_at", c.At)
	}
	if l := it.Leg; l != nil {
		add("call_id", l.CallKey().Value)
		if l.Key != l.CallKey().Value {
			add("leg_id", l.Key)
		}
		add("side", string(l.Side))
		add("direction", string(l.Direction))
		add("status", l.Status)
		add("outcome", string(l.Outcome))
		addParties(add, l.CustomerNumber, l.BusinessNumber, l.Agent)
		add("group", l.Group)
		add("campaign", l.Campaign)
		add("started_at", l.StartedAt)
		add("rang_at", l.RangAt)
		add("answered_at", l.AnsweredAt)
		add("ended_at", l.EndedAt)
		add("recorded_from", l.RecordedFrom)
		add("wait_seconds", l.WaitSeconds)
		add("talk_seconds", l.TalkSeconds)
		add("total_seconds", l.TotalSeconds)
		add("hangup_cause", l.HangupCause)
		add("hangup_by", l.HangupBy)
		add("cost", l.Cost)
		for _, k := range l.LinkKeys() {
			add(string(k.Kind)+" id", k.Value)
		}
		for _, w := range l.Recordings {
			add("recording", cmp.Or(w.Source, w.Location))
		}
	}
	return facts
}

func addParties(add func(string, any), customer, business string, agent call.Agent) {
	add("customer_number", customer)
	add("business_number", business)
	add("agent_id", agent.ID)
	add("agent_name", agent.Name)
	add("agent_number", agent.Number)
}

func factText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.Format(time.RFC3339)
	case *int:
		if v == nil {
			return ""
		}
		return fmt.Sprint(*v)
	}
	return fmt.Sprint(reflect.ValueOf(value))
}

// maxLeaves bounds what is listed of one report.
const maxLeaves = 1_000

// leaves are the paths of all single values that say something, as JSON
// pointers, sorted; those of a JSON text within a field, too.
func leaves(f fields) []string {
	var list []string
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var walk func(raw json.RawMessage, at string, depth int)
	walk = func(raw json.RawMessage, at string, depth int) {
		inner := jsonWithin(raw)
		switch {
		case len(list) >= maxLeaves || depth > maxDepth:
		case len(inner) > 0 && inner[0] == '{':
			for name, value := range members(inner) {
				walk(value, at+"/"+escape.Replace(name), depth+1)
			}
		case len(inner) > 0:
			var elements []json.RawMessage
			if json.Unmarshal(inner, &elements) == nil {
				for i, value := range elements {
					walk(value, fmt.Sprintf("%s/%d", at, i), depth+1)
				}
			}
		case plainText(raw) != "":
			list = append(list, at)
		}
	}
	for name, value := range f {
		walk(value, "/"+escape.Replace(name), 1)
	}
	slices.Sort(list)
	return list
}
