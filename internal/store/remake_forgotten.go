package store

import (
	"context"

	"callvault/internal/audit"
)

// isForgetting holds for what the log says of facts whose terms were over.
func isForgetting(e audit.Entry) bool {
	return e.Action == audit.CallsExpired || e.Action == audit.DeliveriesExpired
}

// remakeForgotten deletes again what ForgetCalls and ForgetDeliveries have
// deleted. A call that was told of anew afterwards stays with all that was known
// of it, for nothing says which of it was told before: nothing that was kept is
// lost, and what is over goes when retention is applied next.
func (t *tx) remakeForgotten(ctx context.Context, e audit.Entry, f audit.ForgottenFacts) error {
	var calls []string
	at := e.At.UnixMilli()
	err := selectMany(ctx, t, "find calls that were forgotten", `WITH gone (id, at) AS ({rows})
		SELECT DISTINCT gone.id FROM gone JOIN calls ON calls.id = gone.id WHERE NOT EXISTS (SELECT 1 FROM legs l
			JOIN delivery_items i ON i.leg_id = l.id JOIN deliveries d ON d.id = i.delivery_id WHERE l.call_id = gone.id AND d.received_at > gone.at)`,
		"ti", f.Calls, func(id string, args []any) []any { return append(args, id, at) }, func(r row) error {
			var id string
			err := r.Scan(&id)
			calls = append(calls, id)
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	if err == nil {
		_, err = t.forgetCalls(ctx, calls)
	}
	if err != nil {
		return err
	}
	var gone []forgettable
	err = selectMany(ctx, t, "find deliveries that were forgotten", `WITH gone (first, last) AS ({rows})
		SELECT DISTINCT deliveries.id, deliveries.body_sha256 FROM gone JOIN deliveries ON deliveries.id >= gone.first AND deliveries.id <= gone.last`,
		"ii", f.DeliveryIDs, func(ids [2]int64, args []any) []any { return append(args, ids[0], ids[1]) }, func(r row) error {
			var d forgettable
			err := r.Scan(&d.id, &d.body)
			gone = append(gone, d)
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil || len(gone) == 0 {
		return err
	}
	return t.forgetDeliveries(ctx, gone)
}
