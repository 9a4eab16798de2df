package console

import (
	"context"
	"net/http"
	"time"

	"callvault/internal/call"
)

// liveFor is how long after its last event a call is still taken to go on. No
// call that people hold lasts longer, and an event that marks the end may
// never arrive.
const liveFor = 4 * time.Hour

type liveJSON struct {
	Account        string          `json:"account"`
	CallKey        string          `json:"call_key"`
	Direction      *call.Direction `json:"direction"`
	State          call.LiveState  `json:"state"`
	CustomerNumber *string         `json:"customer_number"`
	BusinessNumber *string         `json:"business_number"`
	Agent          agentJSON       `json:"agent"`
	Group          *string         `json:"group"`
	Since          *string         `json:"since"`
}

func (c *Console) live(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := c.query(r).err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, err := c.store.LiveCalls(ctx, liveFor)
	if err != nil {
		return err
	}
	calls := []liveJSON{}
	for _, l := range found {
		if !maySee(who, l.Group) {
			continue
		}
		calls = append(calls, liveJSON{
			Account:        l.Account,
			CallKey:        l.Key.Value,
			Direction:      optional(l.Direction),
			State:          l.State,
			CustomerNumber: optional(l.CustomerNumber),
			BusinessNumber: optional(l.BusinessNumber),
			Agent:          agentOf(l.Agent),
			Group:          optional(l.Group),
			Since:          moment(l.Since),
		})
	}
	return writeJSON(w, struct {
		Calls []liveJSON `json:"calls"`
	}{calls})
}
