package console

import (
	"context"
	"net/http"

	"callvault/internal/call"
)

type faultJSON struct {
	ID          string          `json:"id"`
	Kind        call.FaultKind  `json:"kind"`
	Where       string          `json:"where"`
	What        string          `json:"what"`
	State       call.AlertState `json:"state"`
	FirstSeenAt *string         `json:"first_seen_at"`
	LastSeenAt  *string         `json:"last_seen_at"`
	ClosedAt    *string         `json:"closed_at"`
}

// faults lists what is not as it was kept. Object keys are for those who may
// hear.
func (c *Console) faults(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if !who.Role.MayHear() {
		return call.Errorf(call.Forbidden, "looking at faults needs the role %s or %s", call.Compliance, call.Admin)
	}
	if err := needAllGroups(who, "a fault"); err != nil {
		return err
	}
	q := c.query(r)
	var f call.FaultFilter
	f.Kind = oneOf(q, "kind", call.FaultKinds()...)
	f.State = oneOf(q, "state", call.AlertOpen, call.AlertClosed)
	f.Limit, f.Cursor = q.page()
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, next, err := c.store.FindFaults(ctx, f)
	if err != nil {
		return err
	}
	faults := make([]faultJSON, len(found))
	for i, o := range found {
		faults[i] = faultJSON{
			ID: o.ID, Kind: o.Kind, Where: o.Where, What: o.What, State: call.AlertClosed,
			FirstSeenAt: moment(o.FirstSeen), LastSeenAt: moment(o.LastSeen), ClosedAt: moment(o.ClosedAt),
		}
		if o.ClosedAt.IsZero() {
			faults[i].State = call.AlertOpen
		}
	}
	return writeJSON(w, struct {
		Faults     []faultJSON `json:"faults"`
		NextCursor *string     `json:"next_cursor"`
	}{faults, optional(next)})
}
