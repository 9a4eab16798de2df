package call

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// KeyKind says what kind of identifier a provider's id is. The first three
// join legs to calls, the others only link for searching.
type KeyKind string

// The identifiers that join, best first, and those that only link.
const (
	// KeyCall identifies the whole call: CallerDesk's CallSid, TeleCMI's
	// call_id, a mapping's call_id.
	KeyCall KeyKind = "call"
	// KeyConversation is TeleCMI's conversation_uuid, and a guest leg's own
	// cmiuuid, which is the conversation_uuid of its agent legs.
	KeyConversation KeyKind = "conversation"
	// KeyLeg is the leg's own key, for a leg that names nothing better.
	KeyLeg KeyKind = "leg"
	// KeyRequest is the id of a click-to-call request.
	KeyRequest KeyKind = "request"
	// KeyCampaign is CallerDesk's campid.
	KeyCampaign KeyKind = "campaign"
	// KeyOther is any further identifier that people may search for.
	KeyOther KeyKind = "other"
)

// Key is one identifier that a provider gives. Keys are unique within an
// account and kind.
type Key struct {
	Kind  KeyKind `json:"kind"`
	Value string  `json:"value"`
}

// Side says which end of a call a leg is, as the provider names it: "a", "b"
// or empty.
type Side string

// The sides of a call. TeleCMI: inbound, a is the guest (or nothing is sent)
// and b an agent who is rung; outbound, a is the agent and b the customer.
const (
	SideA Side = "a"
	SideB Side = "b"
)

// Attributes are the fields of a report as the provider sent them, known or
// not, each as compact JSON.
type Attributes map[string]json.RawMessage

// Leg is what reports have said of one leg so far. It holds facts, not
// conclusions: what follows from them for the call is Merge's to say, so that
// the order in which reports arrive cannot matter.
type Leg struct {
	Account  string   `json:"account"`
	Provider Provider `json:"provider"`
	// Key is unique within the account.
	Key       string    `json:"key"`
	Side      Side      `json:"side,omitempty"`
	Direction Direction `json:"direction,omitempty"`
	// Keys are the identifiers sent beside Key, without duplicates, sorted.
	Keys []Key `json:"keys,omitempty"`
	// Status is the provider's word; Outcome what that word alone means for
	// this leg, empty when there is none or it is not known.
	Status         string  `json:"status,omitempty"`
	Outcome        Outcome `json:"outcome,omitempty"`
	CustomerNumber string  `json:"customer_number,omitempty"`
	BusinessNumber string  `json:"business_number,omitempty"`
	Agent          Agent   `json:"agent,omitzero"`
	Group          string  `json:"group,omitempty"`
	Campaign       string  `json:"campaign,omitempty"`
	// StartedAt is the start that the report gives: CallerDesk's StartTime,
	// TeleCMI's `time` of a leg that was not answered.
	StartedAt time.Time `json:"started_at,omitzero"`
	// RangAt is when the agent's phone began to ring: CallerDesk's
	// LegB_Start_time.
	RangAt time.Time `json:"rang_at,omitzero"`
	// AnsweredAt is CallerDesk's LegB_Picked_time, TeleCMI's `time` of an
	// answered leg.
	AnsweredAt time.Time `json:"answered_at,omitzero"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	// RecordedFrom is when the recording began: the moment in the name of
	// TeleCMI's, or what a mapped report of it says.
	RecordedFrom time.Time `json:"recorded_from,omitzero"`
	// LiveFrom is the moment of a live `waiting` or `started` event.
	LiveFrom     time.Time `json:"live_from,omitzero"`
	WaitSeconds  *int      `json:"wait_seconds,omitempty"`
	TalkSeconds  *int      `json:"talk_seconds,omitempty"`
	TotalSeconds *int      `json:"total_seconds,omitempty"`
	HangupCause  string    `json:"hangup_cause,omitempty"`
	HangupBy     string    `json:"hangup_by,omitempty"`
	Cost         string    `json:"cost,omitempty"`
	// LeftVoicemail: the report says that the caller left a voicemail.
	LeftVoicemail bool `json:"left_voicemail,omitempty"`
	// Recordings are the audio files that the reports name.
	Recordings []Wanted   `json:"recordings,omitempty"`
	Attributes Attributes `json:"attributes,omitempty"`
	// Listed: it is a row of a provider's call list. Its Key is ListedKey of
	// the provider's id.
	Listed bool `json:"listed,omitempty"`
	// Joined is the call key of the reported leg that a row is about, where
	// the row does not name it. The store sets it.
	Joined Key `json:"joined,omitzero"`
	// Erased: a person's number was taken out of it on request. No report tells
	// it anything any more.
	Erased bool `json:"erased,omitempty"`
}

// Wanted names an audio file that a leg's reports say exists.
type Wanted struct {
	Kind RecordingKind `json:"kind"`
	// Source identifies the file within account and kind: the file name, or
	// the URL without credentials and passing query.
	Source string `json:"source"`
	// Location is where to fetch it, when Source alone does not say: the URL
	// as reported. Empty when Source suffices.
	Location string `json:"location,omitempty"`
}

// IsGuest reports whether the leg is the customer's side of an inbound
// TeleCMI call. Agents who are rung have side b.
func (l *Leg) IsGuest() bool { return l.Direction == Inbound && l.Side != SideB }

// Began is the earliest moment that is known of the leg; zero: none is.
func (l *Leg) Began() time.Time {
	return earliest(earliest(l.first(), l.EndedAt), earliest(l.RecordedFrom, l.LiveFrom))
}

// TellsEnd reports whether what was reported of the leg speaks of the call's
// end: neither an agent who was rung in vain nor a recording does. live is the
// direction of the call as its live events tell it, which decides where a leg
// that was sent as outbound may be an agent's of an inbound call, as PIOPIY's
// are.
func (l *Leg) TellsEnd(live Direction) bool {
	switch l.Provider {
	case CallerDesk:
		return true
	case Mapped:
		return l.Outcome != "" || l.Status != "" || !l.EndedAt.IsZero()
	}
	return l.IsGuest() || l.Direction == Outbound && live != Inbound || l.Outcome == Answered
}

// CallKey is the best identifier of the call that the leg belongs to: legs of
// an account are of one call exactly if their CallKeys are equal.
func (l *Leg) CallKey() Key {
	if l.Joined != (Key{}) {
		return l.Joined
	}
	if k, ok := l.key(KeyCall); ok && (l.Provider != TeleCMI || l.Direction != Inbound) {
		return k
	}
	if k, ok := l.key(KeyConversation); ok {
		return k
	}
	if l.Provider == TeleCMI && l.IsGuest() {
		return Key{KeyConversation, l.ID()}
	}
	return Key{KeyLeg, l.ID()}
}

// LinkKeys are the identifiers by which people search but which join nothing.
func (l *Leg) LinkKeys() []Key {
	var links []Key
	best := l.CallKey()
	for _, k := range l.Keys {
		if k != best {
			links = append(links, k)
		}
	}
	return links
}

// HasKey reports whether the leg's reports gave an identifier of this kind.
func (l *Leg) HasKey(kind KeyKind) bool {
	_, ok := l.key(kind)
	return ok
}

func (l *Leg) key(kind KeyKind) (Key, bool) {
	// Keys are sorted: of several values the first counts, whatever order
	// they came in.
	for _, k := range l.Keys {
		if k.Kind == kind {
			return k, true
		}
	}
	return Key{}, false
}

// AddKey adds an identifier; an empty value is none.
func (l *Leg) AddKey(kind KeyKind, value string) {
	if value == "" {
		return
	}
	k := Key{kind, value}
	if i, found := slices.BinarySearchFunc(l.Keys, k, compareKeys); !found {
		l.Keys = slices.Insert(l.Keys, i, k)
	}
}

// Fill joins another report of the same leg into l: it fills in and never
// takes back. Fill is commutative, associative and idempotent, so a leg does
// not depend on the order, the number or the completeness of its reports:
// where two reports disagree, the rule below decides, not the arrival.
//
//   - status: the better outcome wins (answered before all others);
//   - texts: the longer wins, then the greater;
//   - starts: the earliest; ends and durations: the greatest;
//   - identifiers and recordings: the union.
//
// A leg that was erased stays as it is. Fill reports whether l has changed.
func (l *Leg) Fill(o Leg) (changed bool) {
	if l.Erased {
		return false
	}
	before := *l
	if c := cmp.Compare(rank(o.Outcome), rank(l.Outcome)); c > 0 ||
		c == 0 && richer(l.Status, o.Status) == o.Status {
		l.Outcome, l.Status = o.Outcome, o.Status
	}
	l.Side = max(l.Side, o.Side)
	l.Direction = Direction(richer(string(l.Direction), string(o.Direction)))
	l.CustomerNumber = richer(l.CustomerNumber, o.CustomerNumber)
	l.BusinessNumber = richer(l.BusinessNumber, o.BusinessNumber)
	l.Agent.ID = richer(l.Agent.ID, o.Agent.ID)
	l.Agent.Name = richer(l.Agent.Name, o.Agent.Name)
	l.Agent.Number = richer(l.Agent.Number, o.Agent.Number)
	l.Group = richer(l.Group, o.Group)
	l.Campaign = richer(l.Campaign, o.Campaign)
	l.StartedAt = earliest(l.StartedAt, o.StartedAt)
	l.RangAt = earliest(l.RangAt, o.RangAt)
	l.AnsweredAt = earliest(l.AnsweredAt, o.AnsweredAt)
	l.EndedAt = latest(l.EndedAt, o.EndedAt)
	l.RecordedFrom = earliest(l.RecordedFrom, o.RecordedFrom)
	l.LiveFrom = earliest(l.LiveFrom, o.LiveFrom)
	l.WaitSeconds = greatest(l.WaitSeconds, o.WaitSeconds)
	l.TalkSeconds = greatest(l.TalkSeconds, o.TalkSeconds)
	l.TotalSeconds = greatest(l.TotalSeconds, o.TotalSeconds)
	l.HangupCause = richer(l.HangupCause, o.HangupCause)
	l.HangupBy = richer(l.HangupBy, o.HangupBy)
	l.Cost = richer(l.Cost, o.Cost)
	l.LeftVoicemail = l.LeftVoicemail || o.LeftVoicemail
	l.Listed = l.Listed && o.Listed
	l.Keys = union(l.Keys, o.Keys, compareKeys)
	l.Recordings = joinWanted(l.Recordings, o.Recordings)
	l.Attributes = joinAttributes(l.Attributes, o.Attributes)
	return !reflect.DeepEqual(before, *l)
}

// FillAll is what reports of one leg give together: the first, filled by the others.
// Without reports it is the zero Leg.
func FillAll(reports []Leg) (together Leg) {
	for i, r := range reports {
		if i == 0 {
			together = r
			continue
		}
		together.Fill(r)
	}
	return together
}

// Reread is the leg as today's reading of its reports has it: as if they came
// for the first time. What none of them tells is kept: the true start, which is
// of a live event. moved are reports that were once taken to be of this leg, and
// are of another. Where all of these together no longer say what the leg has
// among its attributes, because older deliveries are not kept any more, or where
// the leg has no report, they only fill in.
func (l *Leg) Reread(reports, moved []Leg) Leg {
	if len(reports) == 0 || l.Erased {
		return *l
	}
	again := FillAll(reports)
	if !l.IsSaidBy(append(slices.Clone(moved), again)) {
		filled := *l
		filled.Fill(again)
		return filled
	}
	again.LiveFrom = earliest(again.LiveFrom, l.LiveFrom)
	again.Joined = l.Joined
	return again
}

// IsSaidBy reports whether the reports together sent all that those of l did,
// by the attributes of both.
func (l *Leg) IsSaidBy(reports []Leg) bool {
	var said Attributes
	for _, r := range reports {
		said = joinAttributes(said, r.Attributes)
	}
	for name, value := range l.Attributes {
		now, ok := said[name]
		if !ok || !bytes.Equal(now, value) && richerValue(value, now) {
			return false
		}
	}
	return true
}

// JSON is the leg as the store keeps it: with & < > as themselves, so that
// attributes read back are those that were written.
func (l *Leg) JSON() (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// rank orders outcomes by how much they say; Fill keeps the greatest.
func rank(o Outcome) int {
	order := [...]Outcome{"", Unknown, Failed, Missed, Abandoned, Cancelled,
		Rejected, Busy, Voicemail, Answered}
	return slices.Index(order[:], o)
}

func richer(a, b string) string {
	if len(a) != len(b) {
		if len(a) > len(b) {
			return a
		}
		return b
	}
	return max(a, b)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func greatest(a, b *int) *int {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func compareKeys(a, b Key) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Value, b.Value))
}

// union keeps a when it already holds all of b, so that an unchanged leg
// costs nothing.
func union[T any](a, b []T, compare func(T, T) int) []T {
	for _, x := range b {
		if i, found := slices.BinarySearchFunc(a, x, compare); !found {
			a = slices.Insert(slices.Clone(a), i, x)
		}
	}
	return a
}

func joinWanted(a, b []Wanted) []Wanted {
	compare := func(x, y Wanted) int {
		return cmp.Or(strings.Compare(string(x.Kind), string(y.Kind)), strings.Compare(x.Source, y.Source))
	}
	for _, w := range b {
		i, found := slices.BinarySearchFunc(a, w, compare)
		switch {
		case !found:
			a = slices.Insert(slices.Clone(a), i, w)
		case richer(a[i].Location, w.Location) != a[i].Location:
			a = slices.Clone(a)
			a[i].Location = w.Location
		}
	}
	return a
}

func joinAttributes(a, b Attributes) Attributes {
	var joined Attributes
	for name, value := range b {
		old, ok := a[name]
		if ok && (bytes.Equal(old, value) || !richerValue(value, old)) {
			continue
		}
		if joined == nil {
			joined = make(Attributes, len(a)+len(b))
			maps.Copy(joined, a)
		}
		joined[name] = value
	}
	if joined == nil {
		return a
	}
	return joined
}

// richerValue reports whether JSON value v says more than old: anything says
// more than null and the empty string.
func richerValue(v, old json.RawMessage) bool {
	empty := func(r json.RawMessage) bool {
		s := string(r)
		return s == "null" || s == `""` || s == ""
	}
	if empty(v) != empty(old) {
		return empty(old)
	}
	return richer(string(v), string(old)) == string(v)
}

// Earliest is the earliest moment that the leg names; zero if it names none.
func (l *Leg) Earliest() time.Time { return earliest(l.first(), l.EndedAt) }

// DiffersFrom names, as they stand in its JSON, the facts in which a leg is not
// what all of its reports give; attributes as "attributes.<name>". What no
// report tells is left out: the true start, which is of a live event, and the
// leg that a row of a call list was found to be about.
func (l *Leg) DiffersFrom(reports []Leg) ([]string, error) {
	again := FillAll(reports)
	again.LiveFrom, again.Joined = l.LiveFrom, l.Joined
	var was, is map[string]json.RawMessage
	for _, side := range []struct {
		leg  *Leg
		into *map[string]json.RawMessage
	}{{l, &was}, {&again, &is}} {
		copied := *side.leg
		attributes := copied.Attributes
		copied.Attributes = nil
		text, err := copied.JSON()
		if err == nil {
			err = json.Unmarshal([]byte(text), side.into)
		}
		if err != nil {
			return nil, err
		}
		for name, value := range attributes {
			(*side.into)["attributes."+name] = value
		}
	}
	var differ []string
	for name, value := range is {
		if !bytes.Equal(was[name], value) {
			differ = append(differ, name)
		}
	}
	for name := range was {
		if _, ok := is[name]; !ok {
			differ = append(differ, name)
		}
	}
	slices.Sort(differ)
	return differ, nil
}
