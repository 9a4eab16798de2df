package reports

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// column is one column of a long table, in the workbook and in CSV.
type column[T any] struct {
	// title heads it in the workbook, name in CSV.
	title, name string
	width       float64
	cell        func(*cells, T)
	text        func(T) string
	// value is the same for a recorder; text spares CSV the memory of it.
	value func(T) any
}

// callColumns are the columns of every call.
func callColumns(st *styles, zone *time.Location, publicURL string) []column[*row] {
	text := func(title, name string, width float64, of func(*row) string) column[*row] {
		return column[*row]{title, name, width,
			func(c *cells, r *row) { c.text(of(r), st.text) },
			func(r *row) string { return guard(of(r)) },
			func(r *row) any { return of(r) }}
	}
	moment := func(title, name string, of func(*row) int64) column[*row] {
		return column[*row]{title, name, 19,
			func(c *cells, r *row) { c.time(of(r), st.moment) },
			func(r *row) string { return formatMoment(of(r), zone) },
			func(r *row) any { return instant(of(r)) }}
	}
	duration := func(title, name string, of func(*row) *int) column[*row] {
		return column[*row]{title, name, 10,
			func(c *cells, r *row) { c.seconds(of(r), st.duration) },
			func(r *row) string { return formatSeconds(of(r)) },
			func(r *row) any { return of(r) }}
	}
	number := func(title, name string, width float64, of func(*row) int64) column[*row] {
		return column[*row]{title, name, width,
			func(c *cells, r *row) { c.integer(of(r), st.integer) },
			func(r *row) string { return strconv.FormatInt(of(r), 10) },
			func(r *row) any { return of(r) }}
	}
	return []column[*row]{
		moment("Started", "started_at", func(r *row) int64 { return r.StartedAt }),
		moment("Answered", "answered_at", func(r *row) int64 { return r.AnsweredAt }),
		moment("Ended", "ended_at", func(r *row) int64 { return r.EndedAt }),
		text("Direction", "direction", 11, func(r *row) string { return string(r.Direction) }),
		text("Outcome", "outcome", 11, func(r *row) string { return string(r.Outcome) }),
		text("Provider's status", "provider_status", 16, func(r *row) string { return r.Status }),
		text("Customer", "customer_number", 17, func(r *row) string { return r.CustomerNumber }),
		text("Business number", "business_number", 17, func(r *row) string { return r.BusinessNumber }),
		text("Agent", "agent_name", 20, func(r *row) string { return r.Agent.Name }),
		text("Agent id", "agent_id", 10, func(r *row) string { return r.Agent.ID }),
		text("Agent number", "agent_number", 17, func(r *row) string { return r.Agent.Number }),
		text("Group", "group", 16, func(r *row) string { return r.Group }),
		text("Campaign", "campaign", 14, func(r *row) string { return r.Campaign }),
		duration("Wait", "wait_seconds", func(r *row) *int { return r.WaitSeconds }),
		duration("Talk", "talk_seconds", func(r *row) *int { return r.TalkSeconds }),
		duration("Total", "total_seconds", func(r *row) *int { return r.TotalSeconds }),
		text("Hangup cause", "hangup_cause", 15, func(r *row) string { return r.HangupCause }),
		text("Hung up by", "hangup_by", 12, func(r *row) string { return r.HangupBy }),
		{"Cost", "cost", 9,
			func(c *cells, r *row) { c.number(r.Cost, st.number, st.text) },
			func(r *row) string { return guardNumber(r.Cost) },
			func(r *row) any {
				if isNumber(r.Cost) {
					return json.Number(r.Cost)
				}
				return r.Cost
			}},
		text("Account", "account", 14, func(r *row) string { return r.Account }),
		text("Provider", "provider", 12, func(r *row) string { return string(r.Provider) }),
		number("Unanswered offers", "unanswered_offers", 12, func(r *row) int64 { return int64(len(r.Offers)) }),
		text("Offered to", "offered_to", 24, (*row).offeredTo),
		number("Legs", "legs", 7, func(r *row) int64 { return int64(r.LegsCount) }),
		text("Recording", "recording", 13, (*row).recordingState),
		duration("Audio", "audio_seconds", func(r *row) *int { return r.audioSeconds(call.Conversation, call.VoicemailMessage) }),
		number("Audio bytes", "audio_bytes", 13, (*row).audioBytes),
		text("Recording note", "recording_note", 24, (*row).recordingNote),
		text("Call key", "call_key", 22, func(r *row) string { return r.Key }),
		{"Call", "call_id", 38,
			func(c *cells, r *row) {
				if publicURL == "" {
					c.text(r.ID, st.text)
					return
				}
				c.link(publicURL+"/calls/"+r.ID, r.ID, st.link)
			},
			func(r *row) string { return guard(r.ID) },
			func(r *row) any { return r.ID }},
	}
}

// offeredTo names the agents who were rung and did not answer.
func (r *row) offeredTo() string {
	switch len(r.Offers) {
	case 0:
		return ""
	case 1:
		return label(r.Offers[0])
	}
	names := make([]string, len(r.Offers))
	for i, o := range r.Offers {
		names[i] = label(o)
	}
	return strings.Join(names, ", ")
}

// notNamed is shown for an answered call of which the provider named no
// recording.
const notNamed = "not named"

// recordingState is the state of the call's recordings; of several the one that
// needs most attention.
func (r *row) recordingState() string {
	if len(r.Recordings) == 0 {
		if r.Outcome == call.Answered {
			return notNamed
		}
		return ""
	}
	return string(r.worst().State)
}

func (r *row) worst() *recording {
	worst := &r.Recordings[0]
	for i := range r.Recordings {
		if attention(r.Recordings[i].State) > attention(worst.State) {
			worst = &r.Recordings[i]
		}
	}
	return worst
}

func attention(s call.RecordingState) int {
	switch s {
	case call.Refused:
		return 3
	case call.Absent:
		return 2
	case call.Pending:
		return 1
	case call.Archived, call.Expired, call.Erased:
	}
	return 0
}

func (r *row) recordingNote() string {
	if len(r.Recordings) == 0 {
		return ""
	}
	return r.worst().note()
}

func (r *recording) note() string {
	if attention(r.State) == 0 {
		return ""
	}
	return cmp.Or(r.Reason, r.LastError)
}

// audioSeconds is the audio of all recordings of the kinds.
func (r *row) audioSeconds(kinds ...call.RecordingKind) *int {
	var sum *int
	for _, o := range r.Recordings {
		if o.AudioSeconds == nil || !slices.Contains(kinds, o.Kind) {
			continue
		}
		if sum == nil {
			sum = o.AudioSeconds
		} else {
			sum = new(*sum + *o.AudioSeconds)
		}
	}
	return sum
}

func (r *row) audioBytes() int64 {
	var sum int64
	for _, o := range r.Recordings {
		sum += o.Size
	}
	return sum
}

// missingColumns are the columns of the customers to call back.
func missingColumns(st *styles) []column[*missing] {
	text := func(title, name string, width float64, of func(*missing) string) column[*missing] {
		return column[*missing]{title: title, name: name, width: width,
			cell:  func(c *cells, m *missing) { c.text(of(m), st.text) },
			value: func(m *missing) any { return of(m) }}
	}
	moment := func(title, name string, of func(*missing) int64) column[*missing] {
		return column[*missing]{title: title, name: name, width: 19,
			cell:  func(c *cells, m *missing) { c.time(of(m), st.moment) },
			value: func(m *missing) any { return instant(of(m)) }}
	}
	return []column[*missing]{
		{title: "State", name: "state", width: 14, cell: func(c *cells, m *missing) {
			if m.ReturnedAt == 0 {
				c.text(m.state(), st.alarm)
			} else {
				c.text(m.state(), st.text)
			}
		}, value: func(m *missing) any { return m.state() }},
		text("Customer", "customer_number", 18, func(m *missing) string { return m.Number }),
		moment("First attempt", "first_attempt", func(m *missing) int64 { return m.FirstAt }),
		{title: "Attempts", name: "attempts", width: 10,
			cell:  func(c *cells, m *missing) { c.integer(int64(m.Attempts), st.integer) },
			value: func(m *missing) any { return m.Attempts }},
		moment("Last attempt", "last_attempt", func(m *missing) int64 { return m.LastAt }),
		text("Number called", "business_number", 18, func(m *missing) string { return m.Called }),
		text("Group", "group", 16, func(m *missing) string { return m.Group }),
		text("Account", "account", 14, func(m *missing) string { return m.Account }),
		moment("Called back", "returned_at", func(m *missing) int64 { return m.ReturnedAt }),
		{title: "Minutes to call back", name: "minutes_to_return", width: 13,
			cell: func(c *cells, m *missing) {
				if n := m.minutes(); n != nil {
					c.integer(int64(*n), st.integer)
				} else {
					c.blank()
				}
			}, value: func(m *missing) any { return m.minutes() }},
		text("By", "returned_by", 20, func(m *missing) string {
			if m.Return == nil {
				return ""
			}
			return label(m.Return.Agent)
		}),
		text("In a call", "returned_direction", 11, func(m *missing) string {
			if m.Return == nil {
				return ""
			}
			return string(m.Return.Direction)
		}),
	}
}

func (m *missing) state() string {
	if m.ReturnedAt == 0 {
		return "not returned"
	}
	return "returned"
}

// minutes are the whole ones from the last attempt to the call back; nil if
// there was none.
func (m *missing) minutes() *int {
	if m.ReturnedAt == 0 {
		return nil
	}
	return new(int((m.ReturnedAt - m.LastAt) / time.Minute.Milliseconds()))
}

// audioMatch is how the call's audio compares with its talk time.
func (r *row) audioMatch() call.AudioMatch {
	var sum call.AudioSum
	for i := range r.Recordings {
		o := &r.Recordings[i]
		sum.Add(o.Kind, o.State, o.AudioSeconds)
	}
	return sum.Against(r.TalkSeconds)
}

// problem is a recording that needs attention, and its call.
type problem struct {
	call      *row
	recording *recording
}

// needsAttention holds for what is not in the vault, and for audio that is cut
// or, in a call whose audio compares so, shorter or longer than the talk.
func (p problem) needsAttention(match call.AudioMatch) bool {
	r := p.recording
	differs := r.Kind == call.Conversation && (match == call.AudioShorter || match == call.AudioLonger)
	return attention(r.State) > 0 || r.State == call.Archived && (r.Truncated || differs)
}

// why says what is the matter.
func (p problem) why() string {
	r := p.recording
	if r.State != call.Archived {
		return r.note()
	}
	var why []string
	if r.Truncated {
		why = append(why, "the end of the audio is missing")
	}
	if r.Kind == call.Conversation {
		differs := map[call.AudioMatch]string{call.AudioShorter: "shorter", call.AudioLonger: "longer"}[p.call.audioMatch()]
		if differs != "" { // then both are known
			audio, talk := p.call.audioSeconds(call.Conversation), p.call.TalkSeconds
			why = append(why, fmt.Sprintf("the audio is %s than the talk: %s against %s", differs, clock(float64(*audio)), clock(float64(*talk))))
		}
	}
	return strings.Join(why, "; ")
}

// problemColumns are the columns of the recordings that need attention.
func problemColumns(st *styles, publicURL string) []column[problem] {
	text := func(title, name string, width float64, of func(problem) string) column[problem] {
		return column[problem]{title: title, name: name, width: width,
			cell:  func(c *cells, p problem) { c.text(of(p), st.text) },
			value: func(p problem) any { return of(p) }}
	}
	return []column[problem]{
		text("State", "state", 11, func(p problem) string { return string(p.recording.State) }),
		text("Why", "why", 60, problem.why),
		{title: "Tries", name: "tries", width: 8,
			cell:  func(c *cells, p problem) { c.integer(int64(p.recording.Attempts), st.integer) },
			value: func(p problem) any { return p.recording.Attempts }},
		text("Kind", "kind", 14, func(p problem) string { return string(p.recording.Kind) }),
		{title: "Call started", name: "started_at", width: 19,
			cell:  func(c *cells, p problem) { c.time(p.call.StartedAt, st.moment) },
			value: func(p problem) any { return instant(p.call.StartedAt) }},
		text("Outcome", "outcome", 11, func(p problem) string { return string(p.call.Outcome) }),
		{title: "Talk", name: "talk_seconds", width: 10,
			cell:  func(c *cells, p problem) { c.seconds(p.call.TalkSeconds, st.duration) },
			value: func(p problem) any { return p.call.TalkSeconds }},
		text("Customer", "customer_number", 17, func(p problem) string { return p.call.CustomerNumber }),
		text("Agent", "agent_name", 20, func(p problem) string { return label(p.call.Agent) }),
		text("Account", "account", 14, func(p problem) string { return p.call.Account }),
		{title: "Call", name: "call_id", width: 38, cell: func(c *cells, p problem) {
			if publicURL == "" {
				c.text(p.call.ID, st.text)
				return
			}
			c.link(publicURL+"/calls/"+p.call.ID, p.call.ID, st.link)
		}, value: func(p problem) any { return p.call.ID }},
	}
}

// formatMoment writes a moment (Unix milliseconds) for CSV: RFC 3339 in the
// report's zone, to the second; empty if it is not known.
func formatMoment(ms int64, zone *time.Location) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).In(zone).Format(time.RFC3339)
}

func formatSeconds(s *int) string {
	if s == nil {
		return ""
	}
	return strconv.Itoa(*s)
}
