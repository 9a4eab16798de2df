package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file brings calls under holds that arrive, or change, after these were
// placed. What is recorded leaves no mark for it: the deliveries themselves say
// which calls they changed. What changes a call without a delivery is found
// when all calls are compared again, and, by HeldBy, before anything is deleted.

const (
	// refillEvery is how often all calls are compared with a hold again.
	refillEvery = 24 * time.Hour
	// commitTime is how long a delivery may have its id before it is committed.
	commitTime = 90 * time.Second
	// followLease is for how long one node follows and the others need not.
	followLease = time.Minute
)

// FollowHolds is one round of the work that holds need in the background: it
// brings calls under them that came or changed since the last round, calls that
// a hold was not filled with yet, and makes good what was interrupted. expand is
// Roster.Expand. It is to be called again and again, on any number of nodes, of
// which one does the work; where no hold takes calls in it costs next to
// nothing. It returns how many calls came under a hold.
func (s *Store) FollowHolds(ctx context.Context, expand func(call.Filter) call.Filter) (joined int, err error) {
	mine, err := s.update(ctx, "UPDATE hold_follow SET lease_until = {now} + ? WHERE id = 1 AND lease_until < {now} AND EXISTS (SELECT 1 FROM holds)", followLease.Milliseconds())
	if err == nil && mine == 1 {
		joined, err = s.followHolds(ctx, expand)
		if err == nil {
			_, err = s.update(ctx, "UPDATE hold_follow SET lease_until = 0 WHERE id = 1")
		}
	}
	if err != nil {
		return joined, fmt.Errorf("follow holds: %w", err)
	}
	return joined, nil
}

func (s *Store) followHolds(ctx context.Context, expand func(call.Filter) call.Filter) (joined int, err error) {
	if err := s.endReleases(ctx); err != nil {
		return 0, err
	}
	if err := s.moveMerged(ctx); err != nil {
		return 0, err
	}
	holds, err := s.following(ctx)
	if err != nil {
		return 0, err
	}
	if len(holds) == 0 {
		_, err := s.update(ctx, "UPDATE hold_follow SET delivery_id = NULL, seen_id = NULL, seen_at = NULL WHERE id = 1 AND seen_id IS NOT NULL")
		return 0, err
	}
	for i := range holds {
		if err := s.expandHold(ctx, &holds[i], expand); err != nil {
			return joined, err
		}
	}
	after, err := s.advanceFollow(ctx)
	if err != nil {
		return joined, err
	}
	for i := range holds {
		if time.Since(holds[i].FilledAt) < refillEvery && (holds[i].Until.IsZero() || time.Now().Before(holds[i].Until)) {
			continue
		}
		n, err := s.FillHold(ctx, holds[i], nil)
		joined += n
		if err != nil {
			return joined, err
		}
	}
	n, err := s.followDeliveries(ctx, after)
	return joined + n, err
}

// expandHold writes down whom the hold's filter means by now.
func (s *Store) expandHold(ctx context.Context, h *call.Hold, expand func(call.Filter) call.Filter) error {
	was, err := json.Marshal(h)
	if err != nil {
		return err
	}
	expanded := expand(*h.Filter)
	h.Expanded = &expanded
	now, err := json.Marshal(h)
	if err != nil || string(was) == string(now) {
		return err
	}
	// Not if somebody has just asked for its release.
	changed, err := s.update(ctx, "UPDATE holds SET facts = ? WHERE id = ? AND facts = ?", string(now), h.ID, string(was))
	if err == nil && changed == 1 {
		h.FilledAt = time.Time{} // whom it means now may have called long ago
	}
	return err
}

// advanceFollow returns the id of the delivery after which all are to be looked
// at in this round.
func (s *Store) advanceFollow(ctx context.Context) (after int64, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		// The first round begins with what is being committed.
		if err := t.exec(ctx, `UPDATE hold_follow SET delivery_id = coalesce(seen_id, (SELECT coalesce(max(id), 0) FROM deliveries)),
			seen_id = (SELECT coalesce(max(id), 0) FROM deliveries), seen_at = {now}
			WHERE id = 1 AND (seen_at IS NULL OR seen_at < {now} - ?)`, commitTime.Milliseconds()); err != nil {
			return err
		}
		_, err := t.one(ctx, "SELECT delivery_id FROM hold_follow WHERE id = 1", nil, &after)
		return err
	})
	return after, err
}

// followDeliveries compares the calls with the holds that deliveries told of.
func (s *Store) followDeliveries(ctx context.Context, after int64) (joined int, err error) {
	before, err := s.heldCalls(ctx)
	if err != nil {
		return 0, err
	}
	item := int64(math.MaxInt32)
	for more := true; more; {
		seen := map[string]bool{}
		var ids []string
		rows := 0
		err := s.each(ctx, `SELECT i.delivery_id, i.item, l.call_id FROM delivery_items i JOIN legs l ON l.id = i.leg_id
			WHERE (i.delivery_id, i.item) > (?, ?) ORDER BY i.delivery_id, i.item LIMIT ?`, []any{after, item, backgroundRows}, func(r *sql.Rows) error {
			rows++
			var id string
			err := r.Scan(&after, &item, &id)
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		if err := s.catchUp(ctx, ids); err != nil {
			return 0, err
		}
		more = rows == backgroundRows
	}
	now, err := s.heldCalls(ctx)
	return int(now - before), err
}

func (s *Store) heldCalls(ctx context.Context) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, "SELECT count(*) FROM hold_calls").Scan(&n)
	return n, err
}

// endReleases marks the recordings of holds whose release was interrupted.
func (s *Store) endReleases(ctx context.Context) error {
	var ids []string
	err := s.each(ctx, "SELECT id FROM holds WHERE released_at IS NOT NULL AND lifted = 0", nil, func(rows *sql.Rows) error {
		ids = append(ids, "")
		return rows.Scan(&ids[len(ids)-1])
	})
	for _, id := range ids {
		if err == nil {
			err = s.unpushHold(ctx, id)
		}
	}
	return err
}

// moveMerged lets holds follow calls that became part of others just when they
// came under the hold.
func (s *Store) moveMerged(ctx context.Context) error {
	var merged []mergedCalls
	err := s.each(ctx, "SELECT DISTINCT r.id, r.call_id FROM hold_calls h JOIN call_redirects r ON r.id = h.call_id LIMIT 500", nil, func(rows *sql.Rows) error {
		var m mergedCalls
		err := rows.Scan(&m.loser, &m.survivor)
		merged = append(merged, m)
		return err
	})
	if err != nil || len(merged) == 0 {
		return err
	}
	actor := audit.ActorOf(ctx)
	return s.change(ctx, func(ctx context.Context, t *tx) error {
		for _, m := range merged {
			if err := t.passHolds(ctx, actor, m.loser, m.survivor, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// passHolds keeps what left held calls.
func (r *recorder) passHolds(ctx context.Context) error {
	for _, p := range r.parted {
		if err := r.tx.passHolds(ctx, r.actor, r.survivor(p.loser), r.survivor(p.survivor), false); err != nil {
			return err
		}
	}
	return nil
}

// passedFacts is what the log says of a hold that keeps another call, too, because
// that is one with a call that it keeps, or has a leg of it; whole: in its place.
type passedFacts struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Whole bool   `json:"whole"`
}

// passHolds puts the call to under the holds that keep the call from; whole:
// nothing is left of that.
func (t *tx) passHolds(ctx context.Context, actor audit.Actor, from, to string, whole bool) error {
	say := func(r row) error {
		var id string
		if err := r.Scan(&id); err != nil {
			return err
		}
		e, err := audit.New(audit.HoldPassed, "hold/"+id, passedFacts{from, to, whole})
		if e.Actor = actor; err != nil {
			return err
		}
		return t.audit(ctx, e)
	}
	pass := statement{
		what:  "pass the holds of a call on",
		query: "INSERT INTO hold_calls (hold_id, call_id, since) SELECT hold_id, ?, since FROM hold_calls WHERE call_id = ? ON CONFLICT DO NOTHING", args: []any{to, from},
	}
	if !whole {
		pass.query += " RETURNING hold_id"
		pass.scan, pass.audits = say, true
	}
	err := t.later(ctx, pass)
	if err == nil {
		// Also those that only now are of a held call, whichever of the two was.
		err = t.later(ctx, statement{
			what: "pass the holds of a call on",
			query: `INSERT INTO held_recordings (recording_id) SELECT id FROM recordings WHERE call_id = ?
				AND EXISTS (SELECT 1 FROM hold_calls WHERE call_id IN (?, ?)) ON CONFLICT (recording_id) DO UPDATE SET pushed_at = NULL`, args: []any{to, from, to},
		})
	}
	if err == nil && whole {
		err = t.later(ctx, statement{
			what: "pass the holds of a call on",
			// Not from a hold that has taken it in only now: moveMerged passes that on.
			query: "DELETE FROM hold_calls WHERE call_id = ? AND EXISTS (SELECT 1 FROM hold_calls o WHERE o.hold_id = hold_calls.hold_id AND o.call_id = ?) RETURNING hold_id",
			args:  []any{from, to}, scan: say, audits: true,
		})
	}
	return err
}

// HoldRecording says whether a hold keeps the call of a recording that is about
// to be put into the vault. If so, its object is looked at when it is there, and
// again when the hold ends.
func (s *Store) HoldRecording(ctx context.Context, recordingID, callID string) (bool, error) {
	held, err := s.HeldBy(ctx, []string{callID})
	if err != nil || len(held) == 0 {
		return false, err
	}
	_, err = s.update(ctx, "INSERT INTO held_recordings (recording_id) VALUES (?) ON CONFLICT (recording_id) DO UPDATE SET pushed_at = NULL", recordingID)
	if err != nil {
		return false, fmt.Errorf("hold recording %s: %w", recordingID, err)
	}
	return true, nil
}

// HeldObjects returns recordings in the vault whose objects may not have the
// legal hold that they should, or have one that they should not, in the order
// of their ids from after on.
func (s *Store) HeldObjects(ctx context.Context, after string, limit int) ([]call.HeldObject, error) {
	var objects []call.HeldObject
	err := s.each(ctx, `SELECT r.id, r.object_key, CASE WHEN `+heldCall("r.call_id")+` THEN 1 ELSE 0 END
		FROM held_recordings o JOIN recordings r ON r.id = o.recording_id
		WHERE o.pushed_at IS NULL AND o.recording_id > ? AND r.state = 'archived' ORDER BY o.recording_id LIMIT ?`, []any{after, limit}, func(rows *sql.Rows) error {
		var o call.HeldObject
		var hold int
		err := rows.Scan(&o.RecordingID, &o.Key, &hold)
		o.Hold = hold == 1
		objects = append(objects, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the objects of held calls: %w", err)
	}
	return objects, nil
}

// MarkHeldObject says that the object is as o.Hold has it. It changes nothing
// if it should be otherwise by now.
func (s *Store) MarkHeldObject(ctx context.Context, o call.HeldObject) error {
	held := "EXISTS (SELECT 1 FROM recordings r WHERE r.id = held_recordings.recording_id AND " + heldCall("r.call_id") + ")"
	query := "DELETE FROM held_recordings WHERE recording_id = ? AND NOT " + held
	if o.Hold {
		query = "UPDATE held_recordings SET pushed_at = {now} WHERE recording_id = ? AND " + held
	}
	if _, err := s.update(ctx, query, o.RecordingID); err != nil {
		return fmt.Errorf("mark a held object: %w", err)
	}
	return nil
}
