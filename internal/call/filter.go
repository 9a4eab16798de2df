package call

import "time"

// Filter selects calls. Empty fields select everything.
type Filter struct {
	// From and To bound StartedAt: From <= StartedAt < To.
	From, To time.Time
	// NoStart selects only calls whose start is unknown.
	NoStart bool
	// Text matches the beginnings of names, of groups and of all identifiers.
	Text string
	// Number matches the customer's, the agent's or the business number by
	// its last digits; what is no digit is ignored.
	Number string
	// Agent matches id, name or number exactly, ignoring case.
	Agent   string
	Group   string
	Groups  []string // any of them; used to limit what a user may see
	Account string
	// Agents are found beside Agent, TextAgents beside Text, and GroupAgents and
	// GroupsAgents, on calls of no group, beside Group and Groups. Roster.Expand
	// sets them.
	Agents, TextAgents        *AgentSet
	GroupAgents, GroupsAgents *AgentSet
	// NotAccounts are accounts whose calls are left out.
	NotAccounts []string
	Direction   Direction
	Outcome     Outcome
	Campaign    string
	// Recording is a RecordingState, or RecordingNone for calls without one.
	Recording        RecordingState
	MinTalk, MaxTalk *int
	Sort             Sort
	// Limit is the page size, 1 to MaxLimit; 0 means DefaultLimit.
	Limit int
	// Cursor continues where a page ended, as returned with it.
	Cursor string
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
