package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const (
	// forgetCalls is how many calls are forgotten in one transaction: each
	// brings its legs, keys and deliveries with it.
	forgetCalls = 100
	// lastOfMillisecond is greater than what ids have after their time.
	lastOfMillisecond = "-zzzz"
)

// ForgetDeliveries deletes at most 500 of an account's deliveries that were
// received before a time and that no hold keeps, with bodies that no other
// delivery has, and says so in the audit log. from is moved on; more says
// whether there may be others. The calls that they told of stay.
func (s *Store) ForgetDeliveries(ctx context.Context, account string, before time.Time, from *call.Place) (forgotten int, more bool, err error) {
	actor := audit.ActorOf(ctx)
	// The same rows before, to ask the holds, and within the transaction.
	rows := ` FROM deliveries WHERE account = ? AND received_at < ? AND received_at >= ? AND (received_at, id) > (?, ?)
		ORDER BY received_at, id LIMIT ` + strconv.Itoa(backgroundRows)
	args := []any{account, before.UnixMilli(), from.At, from.At, deliveryID(*from)}
	var calls []string
	err = s.each(ctx, `SELECT DISTINCT l.call_id FROM delivery_items i JOIN legs l ON l.id = i.leg_id
		WHERE i.delivery_id IN (SELECT id`+rows+")", slices.Clone(args), func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		calls = append(calls, id)
		return err
	})
	if err == nil {
		_, err = s.HeldBy(ctx, calls)
	}
	if err != nil {
		return 0, false, fmt.Errorf("forget deliveries: %w", err)
	}
	var page []forgettable
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		page, forgotten = nil, 0
		err := t.each(ctx, `SELECT id, received_at, body_sha256, CASE WHEN EXISTS (SELECT 1 FROM delivery_items i JOIN legs l ON l.id = i.leg_id
				WHERE i.delivery_id = deliveries.id AND `+heldCall("l.call_id")+`) THEN 1 ELSE 0 END`+rows,
			slices.Clone(args), func(r row) error {
				var f forgettable
				err := r.Scan(&f.id, &f.at, &f.body, &f.held)
				page = append(page, f)
				return err
			})
		if err != nil {
			return err
		}
		gone := slices.DeleteFunc(slices.Clone(page), func(f forgettable) bool { return f.held == 1 })
		if forgotten = len(gone); forgotten == 0 {
			return nil
		}
		if err := t.forgetDeliveries(ctx, gone); err != nil {
			return err
		}
		entry, err := audit.New(audit.DeliveriesExpired, "account/"+account, audit.ForgottenFacts{
			Deliveries: len(gone), DeliveryIDs: deliveryIDs(gone), ReceivedBefore: before.UTC(),
		})
		if err != nil {
			return err
		}
		entry.Actor, entry.Reason = actor, "retention.deliveries: over"
		return t.audit(ctx, entry)
	})
	if err != nil {
		return 0, false, fmt.Errorf("forget deliveries: %w", err)
	}
	if len(page) > 0 {
		last := page[len(page)-1]
		*from = call.Place{At: last.at, ID: strconv.FormatInt(last.id, 10)}
	}
	return forgotten, len(page) == backgroundRows, nil
}

func deliveryID(p call.Place) int64 {
	id, err := strconv.ParseInt(p.ID, 10, 64)
	if err != nil {
		return 0 // the beginning
	}
	return id
}

func deliveryIDs(gone []forgettable) audit.Ranges {
	ids := make([]int64, len(gone))
	for i, f := range gone {
		ids[i] = f.id
	}
	return audit.RangesOf(ids...)
}

// forgettable is a delivery that may go.
type forgettable struct {
	id, at int64
	body   []byte
	held   int
}

// forgetDeliveries deletes deliveries, their items, and the bodies that no other
// delivery has.
func (t *tx) forgetDeliveries(ctx context.Context, gone []forgettable) error {
	if t.w.dialect.postgres {
		// A delivery that comes just now must not find a body that goes.
		if err := t.exec(ctx, "LOCK TABLE bodies IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
	}
	for _, text := range []string{
		"DELETE FROM delivery_items WHERE delivery_id IN ({rows})",
		"DELETE FROM deliveries WHERE id IN ({rows})",
	} {
		err := selectMany(ctx, t, "forget deliveries", text, "i", gone,
			func(f forgettable, args []any) []any { return append(args, f.id) }, nil)
		if err != nil {
			return err
		}
	}
	return selectMany(ctx, t, "forget bodies", `DELETE FROM bodies WHERE sha256 IN ({rows}) AND NOT EXISTS
			(SELECT 1 FROM deliveries d WHERE substr(d.body_sha256, 1, 4) = substr(bodies.sha256, 1, 4) AND d.body_sha256 = bodies.sha256)`, "b", gone,
		func(f forgettable, args []any) []any { return append(args, f.body) }, nil)
}

// isForgettable: nothing of the call's audio is kept or wanted, and no hold
// keeps it.
var isForgettable = `NOT EXISTS (SELECT 1 FROM recordings WHERE recordings.call_id = calls.id AND
		(recordings.state IN ('archived', 'pending') OR recordings.state = 'expired' AND recordings.expired_at IS NULL))
	AND NOT ` + heldCall("calls.id")

// ForgetCalls deletes the facts of calls of an account that began before a
// time, and of which no audio is kept or wanted and which no hold keeps: legs,
// keys, recordings' rows, what lists say of them, and the deliveries that told
// of nothing else. It says so in the audit log. A call whose start is not known
// counts from when it was first heard of. from is moved on; more says whether
// there may be others.
func (s *Store) ForgetCalls(ctx context.Context, account string, before time.Time, from *call.Place) (forgotten int, more bool, err error) {
	actor := audit.ActorOf(ctx)
	type candidate struct {
		id string
		at int64
		ok int
	}
	var page []candidate
	var calls []string
	find := func(ctx context.Context, t *tx) error {
		page, calls = nil, nil
		err := t.each(ctx, "SELECT id, started_at, CASE WHEN "+isForgettable+` THEN 1 ELSE 0 END FROM calls
			WHERE account = ? AND started_at < ? AND (started_at > 0 OR id < ?) AND started_at >= ? AND (started_at, id) > (?, ?)
			ORDER BY started_at, id LIMIT `+strconv.Itoa(forgetCalls),
			[]any{account, before.UnixMilli(), madeBefore(before), from.At, from.At, from.ID}, func(r row) error {
				var c candidate
				err := r.Scan(&c.id, &c.at, &c.ok)
				page = append(page, c)
				return err
			})
		for _, c := range page {
			if c.ok == 1 {
				calls = append(calls, c.id)
			}
		}
		return err
	}
	// First without a lock, also to let the holds look at them.
	err = s.change(ctx, find)
	if err == nil && len(calls) > 0 {
		_, err = s.HeldBy(ctx, calls)
	}
	if err == nil && len(calls) > 0 {
		err = s.change(ctx, func(ctx context.Context, t *tx) error {
			// Nobody may record a leg of one of them meanwhile.
			r := s.newRecorder(t)
			r.lockAll = true
			if _, err := r.lockKeys(ctx, []callKey{{account: account}}); err != nil {
				return err
			}
			if err := find(ctx, t); err != nil || len(calls) == 0 {
				return err
			}
			deliveries, err := t.forgetCalls(ctx, calls)
			if err != nil {
				return err
			}
			entry, err := audit.New(audit.CallsExpired, "account/"+account, audit.ForgottenFacts{
				Calls: calls, Deliveries: len(deliveries), DeliveryIDs: deliveryIDs(deliveries), StartedBefore: before.UTC(),
			})
			if err != nil {
				return err
			}
			entry.Actor, entry.Reason = actor, "retention.calls: over"
			return t.audit(ctx, entry)
		})
	}
	if err != nil {
		return 0, false, fmt.Errorf("forget calls: %w", err)
	}
	if len(page) > 0 {
		last := page[len(page)-1]
		*from = call.Place{At: last.at, ID: last.id}
	}
	return len(calls), len(page) == forgetCalls, nil
}

// madeBefore is greater than all ids that newID made before a time, and less
// than all later ones.
func madeBefore(at time.Time) string {
	digits := fmt.Sprintf("%012x", max(at.UnixMilli()-1, 0))
	return digits[:8] + "-" + digits[8:] + lastOfMillisecond
}

// forgetCalls deletes calls and all that belongs to them, and returns the
// deliveries that went with them.
func (t *tx) forgetCalls(ctx context.Context, calls []string) ([]forgettable, error) {
	legs := map[int64]*leg{}
	var legIDs []int64
	byCall := func(id string, args []any) []any { return append(args, id) }
	err := selectMany(ctx, t, "read the legs of calls", "SELECT id, call_id, facts FROM legs WHERE call_id IN ({rows})", "t", calls, byCall,
		func(r row) error {
			l := &leg{}
			err := r.Scan(&l.id, &l.callID, jsonInto{&l.Leg})
			if legs[l.id] == nil { // SQLite may be asked for a call twice
				legIDs = append(legIDs, l.id)
			}
			legs[l.id] = l
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil {
		return nil, err
	}
	deliveries, err := t.forgetItems(ctx, legIDs)
	if err != nil {
		return nil, err
	}
	var keys, traces []linkRow
	for _, l := range legs {
		keys = append(keys, linkRow{l.callKey(), l.callID})
		for _, trace := range l.Traces() {
			traces = append(traces, linkRow{callKey{l.Account, "", trace}, l.Key})
		}
	}
	slices.SortFunc(keys, compareLinks)
	slices.SortFunc(traces, compareLinks)
	err = selectMany(ctx, t, "forget call keys", "DELETE FROM call_keys WHERE (value, kind, account, call_id) IN ({rows})", "tttt", slices.Compact(keys),
		func(k linkRow, args []any) []any { return append(args, k.value, string(k.kind), k.account, k.callID) }, nil)
	if err != nil {
		return nil, err
	}
	err = selectMany(ctx, t, "forget traces", "DELETE FROM list_traces WHERE (value, account, leg_key) IN ({rows})", "ttt", slices.Compact(traces),
		func(k linkRow, args []any) []any { return append(args, k.value, k.account, k.callID) }, nil)
	if err != nil {
		return nil, err
	}
	for text := range strings.SplitSeq(strings.TrimSpace(`
DELETE FROM call_links WHERE call_id IN ({rows})
DELETE FROM call_redirects WHERE call_id IN ({rows})
DELETE FROM listed_rows WHERE call_id IN ({rows})
DELETE FROM recording_media WHERE recording_id IN (SELECT id FROM recordings WHERE call_id IN ({rows}))
DELETE FROM recording_analyses WHERE recording_id IN (SELECT id FROM recordings WHERE call_id IN ({rows}))
DELETE FROM held_recordings WHERE recording_id IN (SELECT id FROM recordings WHERE call_id IN ({rows}))
DELETE FROM recordings WHERE call_id IN ({rows})
DELETE FROM legs WHERE call_id IN ({rows})
DELETE FROM calls WHERE id IN ({rows})`), "\n") {
		if err := selectMany(ctx, t, "forget calls", text, "t", calls, byCall, nil); err != nil {
			return nil, err
		}
	}
	return deliveries, nil
}

// forgetItems takes legs out of what deliveries told of, and deletes the
// deliveries that told of nothing else.
func (t *tx) forgetItems(ctx context.Context, legIDs []int64) ([]forgettable, error) {
	var told, gone []forgettable
	byLeg := func(id int64, args []any) []any { return append(args, id) }
	byDelivery := func(f forgettable, args []any) []any { return append(args, f.id) }
	err := selectMany(ctx, t, "find deliveries", "SELECT DISTINCT delivery_id FROM delivery_items WHERE leg_id IN ({rows})", "i", legIDs, byLeg,
		func(r row) error {
			var f forgettable
			err := r.Scan(&f.id)
			told = append(told, f)
			return err
		})
	if err == nil {
		err = selectMany(ctx, t, "forget items", "UPDATE delivery_items SET leg_id = NULL WHERE leg_id IN ({rows})", "i", legIDs, byLeg, nil)
	}
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(told, func(a, b forgettable) int { return int(a.id - b.id) })
	told = slices.CompactFunc(told, func(a, b forgettable) bool { return a.id == b.id })
	err = selectMany(ctx, t, "find deliveries", `SELECT id, body_sha256 FROM deliveries WHERE id IN ({rows}) AND NOT EXISTS
			(SELECT 1 FROM delivery_items i WHERE i.delivery_id = deliveries.id AND i.leg_id IS NOT NULL)`, "i", told, byDelivery,
		func(r row) error {
			var f forgettable
			err := r.Scan(&f.id, &f.body)
			gone = append(gone, f)
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	return gone, t.forgetDeliveries(ctx, gone)
}
