package call

import (
	"encoding/json"
	"time"
)

// CallChange says what has become of a call, or would become of it.
type CallChange struct {
	// ID is the call's id; empty: it is new.
	ID      string
	Account string
	// Key is the call's key, after the change.
	Key     string
	Changes FieldChanges
}

// FieldChanges are the fields that change, by their names in the JSON API, each
// with its old and its new value as the API gives them.
type FieldChanges map[string][2]any

// Then adds later changes of the same call: what changes back is no change.
func (c FieldChanges) Then(later FieldChanges) {
	for name, values := range later {
		if first, ok := c[name]; ok {
			values[0] = first[0]
		}
		if c[name] = values; values[0] == values[1] {
			delete(c, name)
		}
	}
}

// MarshalJSON gives the object that commands print.
func (c CallChange) MarshalJSON() ([]byte, error) {
	var id *string
	if c.ID != "" {
		id = &c.ID
	}
	return json.Marshal(struct {
		ID      *string      `json:"id"`
		Account string       `json:"account"`
		Key     string       `json:"call_key"`
		Changes FieldChanges `json:"changes"`
	}{id, c.Account, c.Key, c.Changes})
}

// Replayed is what came of reading deliveries again.
type Replayed struct {
	// Outcomes counts the deliveries by how they end now.
	Outcomes map[DeliveryOutcome]int64
	// Changed are the calls that are others now, in the order of their keys.
	Changed []CallChange
}

// Comparable is a call as changes see it.
type Comparable struct {
	Call
	// Recordings is how many recordings the call has.
	Recordings int
	// MergedInto is the id of the call that this one turned out to be part of.
	MergedInto string
}

// Differences are the fields in which two states of a call differ. A state that
// is nil does not exist: before, the call is new.
func Differences(before, after *Comparable) FieldChanges {
	changes := FieldChanges{}
	was, is := before.fields(), after.fields()
	for i, f := range is {
		if old := was[i].value; old != f.value {
			changes[f.name] = [2]any{old, f.value}
		}
	}
	return changes
}

type fieldValue struct {
	name  string
	value any // comparable; nil: unknown
}

// fields are always the same ones, in the same order.
func (c *Comparable) fields() []fieldValue {
	if c == nil {
		c = &Comparable{}
	}
	var offers any
	if len(c.Offers) > 0 {
		offers = len(c.Offers)
	}
	return []fieldValue{
		{"call_key", text(c.Key)},
		{"direction", text(c.Direction)},
		{"outcome", text(c.Outcome)},
		{"provider_status", text(c.Status)},
		{"customer_number", text(c.CustomerNumber)},
		{"business_number", text(c.BusinessNumber)},
		{"agent.id", text(c.Agent.ID)},
		{"agent.name", text(c.Agent.Name)},
		{"agent.number", text(c.Agent.Number)},
		{"unanswered_offers", offers},
		{"group", text(c.Group)},
		{"campaign", text(c.Campaign)},
		{"started_at", instant(c.StartedAt)},
		{"answered_at", instant(c.AnsweredAt)},
		{"ended_at", instant(c.EndedAt)},
		{"wait_seconds", whole(c.WaitSeconds)},
		{"talk_seconds", whole(c.TalkSeconds)},
		{"total_seconds", whole(c.TotalSeconds)},
		{"hangup_cause", text(c.HangupCause)},
		{"hangup_by", text(c.HangupBy)},
		{"cost", text(c.Cost)},
		{"legs_count", c.LegsCount},
		{"recordings", c.Recordings},
		{"merged_into", text(c.MergedInto)},
	}
}

func text[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func whole(n *int) any {
	if n == nil {
		return nil
	}
	return *n
}
