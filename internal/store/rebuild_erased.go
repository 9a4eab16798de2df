package store

import (
	"context"
	"encoding/json"

	"callvault/internal/call"
)

// takeErased gives a delivery from which something was erased the items that it
// had: what it says now does not tell them any more.
func takeErased(d *call.Delivery, j *call.JournaledDelivery) error {
	items := d.Items
	if len(items) != len(j.Items) || j.Erased == erasedWhole {
		items = make([]call.Item, len(j.Items))
		copy(items, j.Items)
	}
	erased := j.Erased == erasedWhole
	for n := range min(len(items), len(j.Given)) {
		facts := j.Given[n].LegFacts
		if facts == nil {
			continue
		}
		var l call.Leg
		if err := json.Unmarshal(facts, &l); err != nil {
			return err
		}
		items[n] = call.Item{Outcome: j.Items[n].Outcome, Error: j.Items[n].Error, Leg: &l, LegJSON: string(facts)}
		erased = true
	}
	if erased {
		d.Items = items
	}
	return nil
}

// keepErased makes the rows of erased legs' recordings again, which no leg names
// any more; what became of them the log says.
func (r *recorder) keepErased(ctx context.Context) error {
	type wanted struct {
		call.GivenRecording
		leg *leg
	}
	var rows []wanted
	for i, legs := range r.itemLegs {
		given := r.journaled[r.stored[i].UID].Given
		for n, l := range legs {
			if l == nil || n >= len(given) || given[n].LegFacts == nil {
				continue
			}
			for _, g := range given[n].Recordings {
				rows = append(rows, wanted{g, l})
			}
		}
	}
	return insertMany(ctx, r.tx, "keep recordings of erased legs", `INSERT INTO recordings (id, account, provider, kind, source, location, leg_id, call_id, state,
		created_at, wanted_at, host)`, "ttttttittiit", " ON CONFLICT DO NOTHING", rows,
		func(w wanted, args []any) []any {
			at := w.CreatedAt.UnixMilli()
			return append(args, w.ID, w.leg.Account, string(w.leg.Provider), string(w.Kind), w.Source, "", w.leg.id, w.leg.callID,
				string(call.Erased), at, at, w.Host)
		})
}
