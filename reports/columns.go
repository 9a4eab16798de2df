package reports

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// column is one column of a table, in the workbook and for other programs.
type column[T any] struct {
	// title heads it in the workbook, name for other programs; empty: it is not
	// there.
	title, name string
	width       float64
	cell        func(*cells, T)
	value       func(T) any
	// text is the same for CSV where there are many records, and spares the
	// memory of value.
	text func(T) string
	// right: its figures stand to the right, and so does the title.
	right bool
	// detail: the sheet shows it when it is asked to.
	detail bool
}

func textColumn[T any](st *styles, title, name string, width float64, of func(T) string) column[T] {
	return column[T]{title: title, name: name, width: width,
		cell:  func(c *cells, r T) { c.text(of(r), st.text) },
		text:  func(r T) string { return guard(of(r)) },
		value: func(r T) any { return of(r) }}
}

// momentColumn is one of moments in Unix milliseconds, 0 if not known.
func momentColumn[T any](st *styles, zone *time.Location, title, name string, of func(T) int64) column[T] {
	return column[T]{title: title, name: name, width: 19,
		cell:  func(c *cells, r T) { c.time(of(r), st.moment) },
		text:  func(r T) string { return formatMoment(of(r), zone) },
		value: func(r T) any { return instant(of(r)) }}
}

// durationColumn is one of seconds, nil if not known.
func durationColumn[T any](st *styles, title, name string, of func(T) *int) column[T] {
	return column[T]{title: title, name: name, width: 10, right: true,
		cell:  func(c *cells, r T) { c.seconds(of(r), st.duration) },
		text:  func(r T) string { return formatSeconds(of(r)) },
		value: func(r T) any { return of(r) }}
}

func countColumn[T any](st *styles, title, name string, width float64, of func(T) int64) column[T] {
	return column[T]{title: title, name: name, width: width, right: true,
		cell:  func(c *cells, r T) { c.integer(of(r), st.integer) },
		text:  func(r T) string { return strconv.FormatInt(of(r), 10) },
		value: func(r T) any { return of(r) }}
}

// optionalColumn is one of whole numbers, nil if there is none.
func optionalColumn[T any](st *styles, title, name string, width float64, of func(T) *int) column[T] {
	return column[T]{title: title, name: name, width: width, right: true,
		cell: func(c *cells, r T) {
			if n := of(r); n != nil {
				c.integer(int64(*n), st.integer)
			} else {
				c.blank()
			}
		},
		value: func(r T) any { return of(r) }}
}

func figureColumn[T any](st *styles, title, name string, u unit, of func(T) float64) column[T] {
	return column[T]{title: title, name: name, width: 14, right: true,
		cell:  func(c *cells, r T) { c.figure(of(r), u, st) },
		value: func(r T) any { return figure{of(r), u} }}
}

// callColumn is one of calls' ids that open the call in the console.
func callColumn[T any](st *styles, publicURL string, of func(T) string) column[T] {
	return column[T]{title: "Call", name: "call_id", width: 38,
		cell: func(c *cells, r T) {
			id := of(r)
			if id == "" || publicURL == "" {
				c.text(id, st.text)
				return
			}
			c.link(publicURL+"/calls/"+id, id, st.link)
		},
		text:  func(r T) string { return guard(of(r)) },
		value: func(r T) any { return of(r) }}
}

// callRecords are every call.
func callRecords(st *styles, in *Input) records[*row] {
	text := func(title, name string, width float64, of func(*row) string) column[*row] {
		return textColumn(st, title, name, width, of)
	}
	moment := func(title, name string, of func(*row) int64) column[*row] {
		return momentColumn(st, in.zone, title, name, of)
	}
	duration := func(title, name string, of func(*row) *int) column[*row] {
		return durationColumn(st, title, name, of)
	}
	number := func(title, name string, width float64, of func(*row) int64) column[*row] {
		return countColumn(st, title, name, width, of)
	}
	columns := []column[*row]{
		moment("Started", "started_at", func(r *row) int64 { return r.StartedAt }),
		moment("Answered", "answered_at", func(r *row) int64 { return r.AnsweredAt }),
		moment("Ended", "ended_at", func(r *row) int64 { return r.EndedAt }),
		text("Direction", "direction", 11, func(r *row) string { return string(r.Direction) }),
		text("Outcome", "outcome", 11, func(r *row) string { return string(r.Outcome) }),
		text("Provider's status", "provider_status", 26, func(r *row) string { return r.Status }),
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
		{title: "Cost", name: "cost", width: 10, right: true,
			cell: func(c *cells, r *row) { c.number(r.Cost, st.number, st.text) },
			text: func(r *row) string { return guardNumber(r.Cost) },
			value: func(r *row) any {
				if isNumber(r.Cost) {
					return json.Number(r.Cost)
				}
				return r.Cost
			}},
		text("Account", "account", 14, func(r *row) string { return r.Account }),
		text("Provider", "provider", 12, func(r *row) string { return string(r.Provider) }),
		number("Unanswered offers", "unanswered_offers", 15, func(r *row) int64 { return int64(len(r.Offers)) }),
		text("Offered to", "offered_to", 30, (*row).offeredTo),
		number("Legs", "legs", 9, func(r *row) int64 { return int64(r.LegsCount) }),
		text("Recording", "recording", 13, (*row).recordingState),
		duration("Audio", "audio_seconds", func(r *row) *int { return r.audioSeconds(call.Conversation, call.VoicemailMessage) }),
		number("Audio bytes", "audio_bytes", 13, (*row).audioBytes),
		text("Recording note", "recording_note", 30, (*row).recordingNote),
		text("Call key", "call_key", 36, func(r *row) string { return r.Key }),
		callColumn(st, in.Settings.PublicURL, func(r *row) string { return r.ID }),
	}
	return records[*row]{columns, new(row), func(ctx context.Context, fn func(*row) error) error {
		_, err := in.each(ctx, fn, nil)
		return err
	}}
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

// missingRecords are the customers to call back, and those who were.
func missingRecords(st *styles, in *Input) records[*missing] {
	text := func(title, name string, width float64, of func(*missing) string) column[*missing] {
		return textColumn(st, title, name, width, of)
	}
	moment := func(title, name string, of func(*missing) int64) column[*missing] {
		return momentColumn(st, in.zone, title, name, of)
	}
	columns := []column[*missing]{
		{title: "State", name: "state", width: 14, cell: func(c *cells, m *missing) {
			if m.ReturnedAt == 0 {
				c.text(m.state(), st.alarm)
			} else {
				c.text(m.state(), st.text)
			}
		}, value: func(m *missing) any { return m.state() }},
		text("Customer", "customer_number", 18, func(m *missing) string { return m.Number }),
		moment("First attempt", "first_attempt", func(m *missing) int64 { return m.FirstAt }),
		countColumn(st, "Attempts", "attempts", 12, func(m *missing) int64 { return int64(m.Attempts) }),
		moment("Last attempt", "last_attempt", func(m *missing) int64 { return m.LastAt }),
		text("Number called", "business_number", 18, func(m *missing) string { return m.Called }),
		text("Group", "group", 16, func(m *missing) string { return m.Group }),
		text("Account", "account", 14, func(m *missing) string { return m.Account }),
		moment("Called back", "returned_at", func(m *missing) int64 { return m.ReturnedAt }),
		optionalColumn(st, "Minutes to call back", "minutes_to_return", 14, (*missing).minutes),
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
	return records[*missing]{columns, new(missing), func(ctx context.Context, fn func(*missing) error) error {
		_, err := in.each(ctx, nil, fn)
		return err
	}}
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

// problemRecords are the recordings that need attention.
func problemRecords(st *styles, in *Input) records[problem] {
	text := func(title, name string, width float64, of func(problem) string) column[problem] {
		return textColumn(st, title, name, width, of)
	}
	columns := []column[problem]{
		text("State", "state", 11, func(p problem) string { return string(p.recording.State) }),
		text("Why", "why", 60, problem.why),
		countColumn(st, "Tries", "tries", 9, func(p problem) int64 { return int64(p.recording.Attempts) }),
		text("Kind", "kind", 14, func(p problem) string { return string(p.recording.Kind) }),
		momentColumn(st, in.zone, "Call started", "started_at", func(p problem) int64 { return p.call.StartedAt }),
		text("Outcome", "outcome", 11, func(p problem) string { return string(p.call.Outcome) }),
		durationColumn(st, "Talk", "talk_seconds", func(p problem) *int { return p.call.TalkSeconds }),
		text("Customer", "customer_number", 17, func(p problem) string { return p.call.CustomerNumber }),
		text("Agent", "agent_name", 20, func(p problem) string { return label(p.call.Agent) }),
		text("Account", "account", 14, func(p problem) string { return p.call.Account }),
		callColumn(st, in.Settings.PublicURL, func(p problem) string { return p.call.ID }),
	}
	return records[problem]{columns, problem{new(row), new(recording)}, in.eachProblem}
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
