package console

import (
	"context"
	"net/http"

	"callvault/internal/call"
)

type driftJSON struct {
	ID          string          `json:"id"`
	Account     string          `json:"account"`
	Report      call.ReportKind `json:"report"`
	Aspect      call.Aspect     `json:"aspect"`
	Name        *string         `json:"name"`
	Type        *string         `json:"type"`
	Change      call.Change     `json:"change"`
	Sentence    string          `json:"sentence"`
	FirstSeenAt *string         `json:"first_seen_at"`
	LastSeenAt  *string         `json:"last_seen_at"`
	Reports     int64           `json:"reports"`
}

// drift lists what is new in the reports of providers.
func (c *Console) drift(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needAllGroups(who, aboutDeliveries); err != nil {
		return err
	}
	q := c.query(r)
	var f call.DriftFilter
	f.Account = q.text("account")
	f.Change = oneOf(q, "change", call.Changes()...)
	f.Limit, f.Cursor = q.page()
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, next, err := c.store.FindDrift(ctx, f)
	if err != nil {
		return err
	}
	drift := make([]driftJSON, len(found))
	for i, d := range found {
		drift[i] = driftJSON{
			ID:          d.ID,
			Account:     d.Account,
			Report:      d.Report,
			Aspect:      d.Aspect,
			Name:        optional(d.Name),
			Type:        optional(d.Type),
			Change:      d.Change,
			Sentence:    d.Sentence(),
			FirstSeenAt: moment(d.FirstSeen),
			LastSeenAt:  moment(d.LastSeen),
			Reports:     d.Reports,
		}
	}
	return writeJSON(w, struct {
		Drift      []driftJSON `json:"drift"`
		NextCursor *string     `json:"next_cursor"`
	}{drift, optional(next)})
}
