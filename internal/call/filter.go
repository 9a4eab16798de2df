package call

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Filter selects calls. Empty fields select everything.
type Filter struct {
	// From and To bound StartedAt: From <= StartedAt < To.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// NoStart selects only calls whose start is unknown. From and To then bound
	// their end, else their answer; of which neither is known, when they were
	// first heard of.
	NoStart bool `json:"no_start,omitempty"`
	// Text matches the beginnings of names, of groups and of all identifiers.
	Text string `json:"q,omitempty"`
	// Number matches the customer's, the agent's or the business number by
	// its last digits; what is no digit is ignored.
	Number string `json:"number,omitempty"`
	// Agent matches id, name or number exactly, ignoring case.
	Agent   string   `json:"agent,omitempty"`
	Group   string   `json:"group,omitempty"`
	Groups  []string `json:"groups,omitempty"` // any of them; used to limit what a user may see
	Account string   `json:"account,omitempty"`
	// Agents are found beside Agent, TextAgents beside Text, and GroupAgents and
	// GroupsAgents, on calls of no group, beside Group and Groups. Roster.Expand
	// sets them.
	Agents       *AgentSet `json:"agents,omitempty"`
	TextAgents   *AgentSet `json:"text_agents,omitempty"`
	GroupAgents  *AgentSet `json:"group_agents,omitempty"`
	GroupsAgents *AgentSet `json:"groups_agents,omitempty"`
	// NotAccounts are accounts whose calls are left out.
	NotAccounts []string  `json:"not_accounts,omitempty"`
	Direction   Direction `json:"direction,omitempty"`
	Outcome     Outcome   `json:"outcome,omitempty"`
	Campaign    string    `json:"campaign,omitempty"`
	// Recording is a RecordingState, or RecordingNone for calls without one.
	Recording RecordingState `json:"recording,omitempty"`
	// Audio selects calls by what is wrong with their audio.
	Audio AudioFault `json:"audio,omitempty"`
	// MinTalk and MaxTalk bound the talk time, in seconds.
	MinTalk *int `json:"min_talk,omitempty"`
	MaxTalk *int `json:"max_talk,omitempty"`
	Sort    Sort `json:"sort,omitempty"`
	// Limit is the page size, 1 to MaxLimit; 0 means DefaultLimit.
	Limit int `json:"limit,omitempty"`
	// Cursor continues where a page ended, as returned with it.
	Cursor string `json:"cursor,omitempty"`
}

// RecordingNone selects, as Filter.Recording, calls that have no recording.
const RecordingNone RecordingState = "none"

// Sort is an order of calls.
type Sort string

// The orders in which calls are found.
const (
	NewestFirst Sort = "-started_at"
	OldestFirst Sort = "started_at"
)

// The bounds of Filter.Limit.
const (
	DefaultLimit = 50
	MaxLimit     = 500
)

// maxFilterText bounds, in bytes, each text of a filter.
const maxFilterText = 1000

// Check refuses what nobody can have meant: bounds between which nothing lies,
// and words that no call has. A hold or an export by such a filter would look
// like one, and keep or hold nothing. The Invalid error names all that is wrong.
func (f *Filter) Check() error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !f.From.IsZero() && !f.To.IsZero() && f.From.After(f.To) {
		fault("from is after to")
	}
	for _, t := range []struct{ name, value string }{
		{"q", f.Text}, {"number", f.Number}, {"agent", f.Agent}, {"group", f.Group}, {"account", f.Account}, {"campaign", f.Campaign},
	} {
		switch {
		case len(t.value) > maxFilterText:
			fault("%s is longer than %d bytes", t.name, maxFilterText)
		case !IsLine(t.value):
			fault("%s is not plain text", t.name)
		}
	}
	if f.Number != "" && onlyDigits(f.Number) == "" {
		fault("number has no digits")
	}
	checkWord(fault, "direction", f.Direction, []Direction{Inbound, Outbound})
	checkWord(fault, "outcome", f.Outcome, Outcomes())
	checkWord(fault, "recording", f.Recording, append(RecordingStates(), RecordingNone))
	checkWord(fault, "audio", f.Audio, AudioFaults())
	switch {
	case f.MinTalk != nil && *f.MinTalk < 0 || f.MaxTalk != nil && *f.MaxTalk < 0:
		fault("a talk time is never below 0")
	case f.MinTalk != nil && f.MaxTalk != nil && *f.MinTalk > *f.MaxTalk:
		fault("min_talk is greater than max_talk")
	}
	if len(faults) > 0 {
		return Errorf(Invalid, "%s", strings.Join(faults, "; "))
	}
	return nil
}

func checkWord[T ~string](fault func(string, ...any), name string, word T, words []T) {
	if word == "" || slices.Contains(words, word) {
		return
	}
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = string(w)
	}
	fault("%s is none of %s", name, strings.Join(texts, ", "))
}

// IsLine reports whether s is text without control characters, which any
// database and any terminal takes.
func IsLine(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
