package console

import (
	"context"
	"net/http"

	"callvault/internal/call"
)

type alertJSON struct {
	ID       string          `json:"id"`
	Kind     call.AlertKind  `json:"kind"`
	Account  string          `json:"account"`
	State    call.AlertState `json:"state"`
	Since    *string         `json:"since"`
	OpenedAt *string         `json:"opened_at"`
	Sentence string          `json:"sentence"`
	ClosedAt *string         `json:"closed_at"`
	Closing  *string         `json:"closing"`
}

// aboutAlerts is what a token limited to groups is refused.
const aboutAlerts = "an alert"

// alerts lists what needs, or needed, a person.
func (c *Console) alerts(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needAllGroups(who, aboutAlerts); err != nil {
		return err
	}
	q := c.query(r)
	var f call.AlertFilter
	f.Account = q.text("account")
	f.Kind = oneOf(q, "kind", call.AlertKinds()...)
	f.State = oneOf(q, "state", call.AlertOpen, call.AlertClosed)
	f.Limit, f.Cursor = q.page()
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, next, err := c.store.FindAlerts(ctx, f)
	if err != nil {
		return err
	}
	alerts := make([]alertJSON, len(found))
	for i, a := range found {
		alerts[i] = alertJSON{
			ID:       a.ID,
			Kind:     a.Kind,
			Account:  a.Account,
			State:    call.AlertClosed,
			Since:    moment(a.Since),
			OpenedAt: moment(a.OpenedAt),
			Sentence: a.Opening,
			ClosedAt: moment(a.ClosedAt),
			Closing:  optional(a.Closing),
		}
		if a.IsOpen() {
			alerts[i].State = call.AlertOpen
		}
	}
	return writeJSON(w, struct {
		Alerts     []alertJSON `json:"alerts"`
		NextCursor *string     `json:"next_cursor"`
	}{alerts, optional(next)})
}
