package console

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"unicode/utf8"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/gorilla/mux"
)

type deliveryJSON struct {
	ID            int64                `json:"id"`
	Account       string               `json:"account"`
	Source        *call.DeliverySource `json:"source"`
	ReceivedAt    *string              `json:"received_at"`
	Method        *string              `json:"method"`
	ContentType   *string              `json:"content_type"`
	RemoteAddress *string              `json:"remote_address"`
	Outcome       call.DeliveryOutcome `json:"outcome"`
	Error         *string              `json:"error"`
	CallIDs       []string             `json:"call_ids"`
}

func deliveryOf(d call.Delivery) deliveryJSON {
	return deliveryJSON{
		ID:            d.ID,
		Account:       d.Account,
		Source:        optional(d.Source),
		ReceivedAt:    moment(d.ReceivedAt),
		Method:        optional(d.Method),
		ContentType:   optional(d.ContentType),
		RemoteAddress: optional(d.RemoteAddress),
		Outcome:       d.Outcome,
		Error:         optional(d.Error),
		CallIDs:       list(d.CallIDs),
	}
}

type deliveryDetailJSON struct {
	deliveryJSON
	Query *string `json:"query"`
	// Body is the body if it is UTF-8, else BodyBase64 is.
	Body       *string `json:"body"`
	BodyBase64 *string `json:"body_base64"`
}

// aboutDeliveries is what a token limited to groups is refused: one delivery
// may tell of calls of several groups, or could not be read at all.
const aboutDeliveries = "what providers deliver"

func (c *Console) findDeliveries(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needAllGroups(who, aboutDeliveries); err != nil {
		return err
	}
	q := c.query(r)
	var f call.DeliveryFilter
	f.Outcome = oneOf(q, "outcome", call.DeliveryOutcomes()...)
	f.Account = q.text("account")
	f.From, f.To = q.period()
	f.Limit, f.Cursor = q.page()
	if err := q.err(); err != nil {
		return err
	}
	if err := c.search(r, audit.DeliveriesSearched); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, next, err := c.store.FindDeliveries(ctx, f)
	if err != nil {
		return err
	}
	deliveries := make([]deliveryJSON, len(found))
	for i, d := range found {
		deliveries[i] = deliveryOf(d)
	}
	return writeJSON(w, struct {
		Deliveries []deliveryJSON `json:"deliveries"`
		NextCursor *string        `json:"next_cursor"`
	}{deliveries, optional(next)})
}

func (c *Console) delivery(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needAllGroups(who, aboutDeliveries); err != nil {
		return err
	}
	if err := c.query(r).err(); err != nil {
		return err
	}
	none := call.Errorf(call.NotFound, "there is no such delivery")
	id, err := strconv.ParseInt(mux.Vars(r)["id"], 10, 64)
	if err != nil {
		return none
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	d, err := c.store.Delivery(ctx, id)
	if call.CodeOf(err) == call.NotFound {
		return none
	}
	if err != nil {
		return err
	}
	if err := c.look(r, audit.DeliveryViewed, "delivery/"+strconv.FormatInt(d.ID, 10), map[string]any{"uid": d.UID, "account": d.Account, "body": who.Role.MayHear()}); err != nil {
		return err
	}
	answer := deliveryDetailJSON{deliveryJSON: deliveryOf(d)}
	if who.Role.MayHear() {
		answer.Query = optional(d.Query)
		if utf8.Valid(d.Body) {
			answer.Body = optional(string(d.Body))
		} else {
			answer.BodyBase64 = optional(base64.StdEncoding.EncodeToString(d.Body))
		}
	}
	return writeJSON(w, answer)
}
