package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// SegmentsBefore returns segments of the journal that hold requests and were
// written before a time, in their order: at most n after the one with a number.
func (s *Store) SegmentsBefore(ctx context.Context, before time.Time, after int64, n int) ([]call.AgedSegment, error) {
	var found []call.AgedSegment
	err := s.each(ctx, "SELECT "+segmentColumns+`, blocked_by, blocked_until, coalesce((SELECT `+holdName("l.call_id")+` FROM delivery_items i JOIN legs l ON l.id = i.leg_id
			WHERE i.delivery_id > deliveries_after AND i.delivery_id <= deliveries_to AND `+heldCall("l.call_id")+` LIMIT 1), '')
		FROM journal_segments WHERE sha256 <> '' AND deliveries > 0 AND at < ? AND number > ? ORDER BY number LIMIT ?`,
		[]any{before.UnixMilli(), after, n}, func(rows *sql.Rows) error {
			var g call.AgedSegment
			err := rows.Scan(append(segmentFields(&g.JournalSegment), &g.BlockedBy, timeInto{&g.BlockedUntil}, &g.HeldBy)...)
			found = append(found, g)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("find segments of the journal whose term is over: %w", err)
	}
	return found, nil
}

// KeepSegment says that the vault keeps a segment whose own term is over, or,
// without KeptBy, that it does no more. The audit log tells of the former when it
// is another thing that keeps it than the last time, or another date.
func (s *Store) KeepSegment(ctx context.Context, k call.SegmentKept) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		var was string
		var until time.Time
		found, err := t.one(ctx, "SELECT blocked_by, blocked_until FROM journal_segments WHERE number = ? {lock row}", []any{k.Number}, &was, timeInto{&until})
		if err != nil || !found {
			return err
		}
		if err := t.exec(ctx, "UPDATE journal_segments SET blocked_by = ?, blocked_until = ? WHERE number = ?", k.KeptBy, millis(k.Again), k.Number); err != nil {
			return err
		}
		if k.KeptBy == "" || was == k.KeptBy && (k.Until.IsZero() || k.Until.UnixMilli() == until.UnixMilli()) {
			return nil
		}
		e, err := audit.New(audit.JournalKept, segmentSubject(k.Number), k)
		if e.Actor, e.Reason = actor, k.KeptBy; err != nil {
			return err
		}
		return t.audit(ctx, e)
	})
	if err != nil {
		return fmt.Errorf("note what keeps journal segment %d: %w", k.Number, err)
	}
	return nil
}

// KnownLegs returns which of the legs with these ids there are.
func (s *Store) KnownLegs(ctx context.Context, ids []int64) (map[int64]bool, error) {
	known := map[int64]bool{}
	err := inChunks(ids, func(chunk []int64) error {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		return s.each(ctx, "SELECT id FROM legs WHERE id IN "+tuples(1, len(args)), args, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			known[id] = true
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look for legs: %w", err)
	}
	return known, nil
}

// HasCallBefore reports whether there is a call that began before a time, or of
// which nobody knows when it did.
func (s *Store) HasCallBefore(ctx context.Context, at time.Time) (found bool, err error) {
	err = s.each(ctx, "SELECT 1 FROM calls WHERE started_at < ? LIMIT 1", []any{at.UnixMilli()}, func(*sql.Rows) error {
		found = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for calls from before a segment: %w", err)
	}
	return found, nil
}
