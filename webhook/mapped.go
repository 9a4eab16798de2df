package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/mapping"
)

// mapped is a mapping with what is worth keeping between deliveries.
type mapped struct {
	*mapping.Mapping
	zone *time.Location
	omit map[string]bool
}

func newMapped(a *Account) *mapped {
	m := &mapped{Mapping: a.Mapping, zone: a.Zone, omit: make(map[string]bool)}
	if a.Mapping.Times.Zone != "" {
		if zone, err := time.LoadLocation(a.Mapping.Times.Zone); err == nil { // config has looked
			m.zone = zone
		}
	}
	for _, name := range a.Mapping.Omit {
		m.omit[name] = true
	}
	return m
}

// parts finds the reports in a delivery of a mapped account: nothing is taken
// for an envelope but what the mapping calls one.
func (m *mapped) parts(del *call.Delivery) []part {
	var list []part
	room := maxBeside
	for _, p := range splitPlain(del.ContentType, del.Query, del.Body) {
		if p.err != "" {
			list = append(list, p)
		} else {
			list = append(list, m.unwrap(p.fields, &room)...)
		}
		if len(list) > maxItems {
			return append(list[:maxItems-1], part{err: fmt.Sprintf("more than %d reports: the rest is not read", maxItems-1)})
		}
	}
	return list
}

// unwrap finds the reports in an object, one more than maxItems at most. What
// stands beside them belongs to each, while there is room for it.
func (m *mapped) unwrap(f fields, room *int) []part {
	for _, path := range m.Reports {
		raw := jsonWithin(reach(f, path))
		if len(raw) == 0 {
			continue
		}
		var objects []json.RawMessage
		switch raw[0] {
		case '{':
			objects = []json.RawMessage{raw}
		case '[':
			if json.Unmarshal(raw, &objects) != nil {
				continue
			}
		default:
			continue
		}
		objects = objects[:min(len(objects), maxItems+1)]
		beside, size := outer(f, path.Tokens()[0])
		list := make([]part, 0, len(objects)+1)
		if size *= len(objects); size > *room {
			beside, size = nil, 0
			list = append(list, part{err: fmt.Sprintf("what stands beside %d reports is too much to be kept with each: it is not read", len(objects))})
		}
		*room -= size
		for _, object := range objects {
			if len(object) == 0 || object[0] != '{' {
				list = append(list, part{err: fmt.Sprintf("a report is expected to be an object, not %.20s", object)})
				continue
			}
			inner := members(object)
			if len(inner) > maxFields {
				list = append(list, part{err: fmt.Sprintf("more than %d fields", maxFields)})
				continue
			}
			for name, value := range beside {
				if _, has := inner[name]; !has {
					inner[name] = value
				}
			}
			inner.tidy()
			list = append(list, part{fields: inner})
		}
		return list
	}
	return []part{{fields: f}}
}

// maxBeside bounds, in bytes and over all reports of a delivery, what each is
// given of what stands beside them: it is kept with each.
const maxBeside = 4 << 20

// outer are the fields beside the one that holds reports, and their size in
// bytes.
func outer(f fields, holder string) (beside fields, size int) {
	beside = make(fields, len(f))
	for name, value := range f {
		if name != holder {
			beside[name] = value
			size += len(name) + len(value)
		}
	}
	return beside, size
}

// mappedReport is one report and the mapping that it is read by.
type mappedReport struct {
	*mapped
	account   *account
	delivery  *call.Delivery
	fields    fields
	query     []field
	queryRead bool
	// opened are the objects and lists that paths lead through, by the way to
	// them: each is read once.
	opened    map[string]container
	direction call.Direction
	// neither: the report's word for the direction says that it is neither.
	neither bool
	// found is told of each fact: its name, the value, and where it stood, which
	// is empty for a constant. It may be nil.
	found func(name, value, from string)
	// read is told of each pointer that was followed to a value. It may be nil.
	read func(path string)
	// status is the word that says what came of the call or how far it is, or
	// the first that the mapping does not know, and sense how it is understood.
	status string
	sense  call.StatusSense
	// strange are all words that the mapping does not know.
	strange []string
}

// readMapped reads a report by the account's mapping.
func readMapped(a *account, del *call.Delivery, f fields) call.Item {
	r := mappedReport{mapped: a.mapped, account: a, delivery: del, fields: f}
	return r.item()
}

// understood notes a word and whether the mapping knows it.
func (r *mappedReport) understood(word string, known bool) {
	word = shorten(word)
	if !known {
		r.strange = append(r.strange, word)
	}
	if r.sense != call.StatusUnknown {
		r.status, r.sense = word, senseOf(word, known)
	}
}

func (r *mappedReport) item() call.Item {
	kind := r.kind()
	if kind == mapping.Ignored {
		return ignored("about something else than a call, says the mapping")
	}
	if d := r.Direction; d != nil {
		var known bool
		word, from := r.find(d.From)
		if r.direction, known = d.Of(word); !known {
			r.understood(word, false)
		}
		r.neither = known && word != "" && r.direction == ""
		r.tellWord("direction", string(r.direction), word, from)
	}
	callID := r.key("call_id", r.Fields.CallID)
	if callID == "" {
		return unreadable("a report without a call id (%s)", r.paths(r.Fields.CallID))
	}
	legID := r.key("leg_id", r.Fields.LegID)
	if legID == "" {
		legID = callID
	}
	if kind == mapping.Live {
		live := r.live(callID, legID)
		return call.Item{Live: live, Status: r.status, Sense: r.sense}
	}
	l := r.leg(callID, legID)
	if kind == mapping.Call {
		r.outcome(l)
	}
	return call.Item{Leg: l, Status: r.status, Sense: r.sense}
}

// kind is what the report is about.
func (r *mappedReport) kind() mapping.EventKind {
	for _, e := range r.Events {
		if r.hold(e.When) {
			return e.Is
		}
	}
	if r.Otherwise != "" {
		return r.Otherwise
	}
	return mapping.Call
}

func (r *mappedReport) hold(list mapping.Conditions) bool {
	return !slices.ContainsFunc(list, func(c mapping.Condition) bool {
		value, _ := r.first(c.Field)
		return !c.Holds(value)
	})
}

// leg holds what any report may say of a leg: who, with whom, and where the
// recording is.
func (r *mappedReport) leg(callID, legID string) *call.Leg {
	f, a := &r.Fields, r.account
	l := &call.Leg{
		Account:        a.Name,
		Provider:       call.Mapped,
		Key:            legID,
		Direction:      r.direction,
		CustomerNumber: r.phone("customer_number", f.CustomerNumber),
		BusinessNumber: r.phone("business_number", f.BusinessNumber),
		Agent:          r.agent(),
		Group:          r.word("group", f.Group),
		Campaign:       r.word("campaign", f.Campaign),
		Attributes:     r.attributes(),
	}
	l.AddKey(call.KeyCall, callID)
	for _, path := range f.OtherIDs {
		if id := r.lookup(path); id != "" && len(id) <= maxKey && id != callID && id != legID {
			r.tell("other_id", id, path.String())
			l.AddKey(call.KeyOther, id)
		}
	}
	for i := range r.Recordings {
		r.recording(l, &r.Recordings[i])
	}
	return l
}

// outcome adds what only the report of a call says: when, how long, and how it
// ended.
func (r *mappedReport) outcome(l *call.Leg) {
	f := &r.Fields
	l.StartedAt = r.moment("started_at", f.StartedAt)
	l.RangAt = r.moment("rang_at", f.RangAt)
	l.AnsweredAt = r.moment("answered_at", f.AnsweredAt)
	l.EndedAt = r.moment("ended_at", f.EndedAt)
	l.WaitSeconds = r.seconds("wait_seconds", f.WaitSeconds)
	l.TalkSeconds = r.seconds("talk_seconds", f.TalkSeconds)
	l.TotalSeconds = r.seconds("total_seconds", f.TotalSeconds)
	l.HangupCause = r.word("hangup_cause", f.HangupCause)
	l.Cost = r.word("cost", f.Cost)
	if s := r.HangupBy; s != nil {
		word, from := r.find(s.From)
		l.HangupBy = s.Of(word)
		r.tellWord("hangup_by", l.HangupBy, word, from)
	}
	if o := r.Outcome; o != nil {
		word, from := r.find(o.From)
		l.Status = shorten(word)
		var known bool
		l.Outcome, known = o.Of(word)
		r.understood(word, known)
		r.tell("status", l.Status, from)
		r.tellWord("outcome", string(l.Outcome), word, from)
	}
}

func (r *mappedReport) live(callID, legID string) *call.LiveCall {
	f, a := &r.Fields, r.account
	c := &call.LiveCall{
		Account:        a.Name,
		Key:            call.Key{Kind: call.KeyCall, Value: callID},
		LegKey:         legID,
		Direction:      r.direction,
		State:          call.LiveOther,
		CustomerNumber: r.phone("customer_number", f.CustomerNumber),
		BusinessNumber: r.phone("business_number", f.BusinessNumber),
		Agent:          r.agent(),
		Group:          r.word("group", f.Group),
		Since:          r.moment("started_at", f.StartedAt),
		At:             r.moment("event_at", f.EventAt),
	}
	if legID != callID {
		c.Side = call.SideB // who was rung
	}
	if s := r.LiveState; s != nil {
		word, from := r.find(s.From)
		var known bool
		c.State, known = s.Of(word)
		r.understood(word, known)
		r.tellWord("state", string(c.State), word, from)
	}
	if c.State == call.Ringing {
		c.IsStart = !c.At.IsZero()
		if c.Since.IsZero() {
			c.Since = c.At
		}
	}
	if c.At.IsZero() {
		c.At = r.delivery.ReceivedAt
	}
	return c
}

func (r *mappedReport) agent() call.Agent {
	return call.Agent{
		ID:     r.key("agent_id", r.Fields.AgentID),
		Name:   r.word("agent_name", r.Fields.AgentName),
		Number: r.phone("agent_number", r.Fields.AgentNumber),
	}
}

// recording adds the audio file that the report names, if it does.
func (r *mappedReport) recording(l *call.Leg, rec *mapping.Recording) {
	if !r.hold(rec.When) {
		return
	}
	for _, path := range rec.URL {
		raw := path.ExpandURL(r.lookup)
		if !path.IsTemplate() {
			raw = r.lookup(path)
		}
		if rest, plain := strings.CutPrefix(raw, "http://"); plain && rec.HTTPS {
			raw = "https://" + rest
		}
		kind := call.Conversation
		if len(rec.VoicemailWhen) > 0 && r.hold(rec.VoicemailWhen) {
			kind = call.VoicemailMessage
		}
		if wanted, ok := wantedURL(kind, raw); ok {
			r.tell("recording", wanted.Source, path.String())
			l.Fill(call.Leg{Recordings: []call.Wanted{wanted}, LeftVoicemail: kind == call.VoicemailMessage,
				RecordedFrom: r.moment("recording started_at", rec.StartedAt)})
			return
		}
	}
}

// attributes are the report as it was sent, but for what the mapping omits.
func (r *mappedReport) attributes() call.Attributes {
	if len(r.omit) == 0 {
		return call.Attributes(r.fields)
	}
	kept := make(call.Attributes, len(r.fields))
	for name, value := range r.fields {
		if !r.omit[name] {
			kept[name] = value
		}
	}
	return kept
}

// tell says where a fact was found.
func (r *mappedReport) tell(name, value, from string) {
	if r.found != nil && name != "" && value != "" {
		r.found(name, value, from)
	}
}

// tellWord says which of the provider's words a fact was made of.
func (r *mappedReport) tellWord(name, value, word, from string) {
	if word != "" {
		from += " (" + word + ")"
	}
	r.tell(name, value, from)
}
