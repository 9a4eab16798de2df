package console

import (
	"context"
	"net/http"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// How long after its last event a call is still taken to go on. No call that
// people hold lasts longer, nobody lets it ring longer, and the event or report
// that marks the end may never arrive.
const (
	liveFor    = 4 * time.Hour
	ringingFor = time.Hour
)

type liveJSON struct {
	Account        string          `json:"account"`
	CallKey        string          `json:"call_key"`
	Direction      *call.Direction `json:"direction"`
	State          call.LiveState  `json:"state"`
	StateSince     *string         `json:"state_since"`
	AgeSeconds     *int64          `json:"age_seconds"`
	CustomerNumber *string         `json:"customer_number"`
	BusinessNumber *string         `json:"business_number"`
	Agent          agentJSON       `json:"agent"`
	Group          *string         `json:"group"`
	Since          *string         `json:"since"`
}

type liveCallsJSON struct {
	Calls []liveJSON `json:"calls"`
}

func liveOf(l call.LiveCall, now time.Time) liveJSON {
	var age *int64
	if !l.StateSince.IsZero() {
		// The provider's clock may be ahead of ours.
		age = new(int64(max(now.Sub(l.StateSince), 0) / time.Second))
	}
	return liveJSON{
		Account:        l.Account,
		CallKey:        l.Key.Value,
		Direction:      optional(l.Direction),
		State:          l.State,
		StateSince:     moment(l.StateSince),
		AgeSeconds:     age,
		CustomerNumber: optional(l.CustomerNumber),
		BusinessNumber: optional(l.BusinessNumber),
		Agent:          agentOf(l.Agent),
		Group:          optional(l.Group),
		Since:          moment(l.Since),
	}
}

// liveCalls are the calls that are taken to go on.
func (c *Console) liveCalls(ctx context.Context) ([]call.LiveCall, error) {
	ctx, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	found, err := c.store.LiveCalls(ctx, liveFor)
	if err != nil {
		return nil, err
	}
	now := c.now()
	current := make([]call.LiveCall, 0, len(found))
	for _, l := range found {
		if goesOn(&l, now) {
			current = append(current, l)
		}
	}
	return current, nil
}

// goesOn says whether a call that the store heard of lately goes on by the
// provider's times: events may be old when they are imported or read again.
func goesOn(l *call.LiveCall, now time.Time) bool {
	silentFor := ringingFor
	if l.State == call.Talking {
		silentFor = liveFor
	}
	return (l.At.IsZero() || now.Sub(l.At) < silentFor) && (l.Since.IsZero() || now.Sub(l.Since) < liveFor)
}

func (c *Console) live(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := c.query(r).err(); err != nil {
		return err
	}
	if err := c.listen(r, audit.LiveViewed, "", nil); err != nil {
		return err
	}
	found, err := c.liveCalls(r.Context())
	if err != nil {
		return err
	}
	calls := []liveJSON{}
	for _, l := range found {
		if maySee(who, l.Group) {
			calls = append(calls, liveOf(l, c.now()))
		}
	}
	return writeJSON(w, liveCallsJSON{calls})
}
