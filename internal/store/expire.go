package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// isDue: the retention of an archived recording is over by the rules with an
// id (the argument), and nothing that is known keeps it.
const isDue = `state = 'archived' AND due_at IS NOT NULL AND due_at <= {now} AND judged = ?
	AND (blocked_until IS NULL OR blocked_until <= {now})`

// beginTries is how often BeginExpiring begins anew when a hold is placed, or
// another node takes what it would have taken.
const beginTries = 3

// BeginExpiring takes at most n archived recordings that are due by the rules
// with this id, by the database's clock, and that no hold keeps, and says of
// them that they are expired, before their objects are deleted: what is missing
// in the vault is then never one that should be there. Whoever takes them
// deletes the objects and calls FinishExpiring.
func (s *Store) BeginExpiring(ctx context.Context, rulesID string, n int) ([]call.Expiring, error) {
	for tries := 0; tries < beginTries; {
		newest, ids, found, err := s.dueNow(ctx, rulesID, n)
		if err != nil || found == 0 {
			return nil, err
		}
		if len(ids) == 0 {
			continue // a hold keeps them all, and they are not found again
		}
		begun, err := s.beginExpiring(ctx, rulesID, newest, ids)
		if err != nil || len(begun) > 0 {
			return begun, err
		}
		tries++
	}
	return nil, nil
}

// dueNow finds recordings that may go: of found ones those that no hold keeps,
// of all that were placed up to the newest.
func (s *Store) dueNow(ctx context.Context, rulesID string, n int) (newest string, ids []string, found int, err error) {
	err = s.each(ctx, "SELECT coalesce(max(id), '') FROM holds", nil, func(rows *sql.Rows) error { return rows.Scan(&newest) })
	var calls []string
	callOf := map[string]string{}
	if err == nil {
		err = s.each(ctx, "SELECT id, call_id FROM recordings WHERE "+isDue+" AND NOT "+heldCall("recordings.call_id")+" ORDER BY due_at LIMIT "+strconv.Itoa(n),
			[]any{rulesID}, func(rows *sql.Rows) error {
				var id, callID string
				err := rows.Scan(&id, &callID)
				callOf[id] = callID
				calls = append(calls, callID)
				return err
			})
	}
	if err != nil {
		return "", nil, 0, fmt.Errorf("find what is due: %w", err)
	}
	held, err := s.HeldBy(ctx, calls)
	if err != nil {
		return "", nil, 0, err
	}
	for id, callID := range callOf {
		if len(held[callID]) == 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return newest, ids, len(calls), nil
}

func (s *Store) beginExpiring(ctx context.Context, rulesID, newestHold string, ids []string) ([]call.Expiring, error) {
	actor := audit.ActorOf(ctx)
	var begun []call.Expiring
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		begun = begun[:0]
		args := []any{rulesID, newestHold}
		for _, id := range ids {
			args = append(args, id)
		}
		return t.later(ctx, statement{
			query: `UPDATE recordings SET state = 'expired', expired_at = NULL, blocked_until = NULL, blocked_by = ''
				WHERE id IN (SELECT id FROM recordings WHERE ` + isDue + ` AND NOT ` + heldCall("recordings.call_id") + `
					AND (SELECT coalesce(max(id), '') FROM holds) = ? AND id IN ` + tuples(1, len(ids)) + ` {skip locked})
				RETURNING ` + auditedRecording,
			args: args, audits: true, scan: func(r row) error {
				recording, entry, err := scanAudited(r, audit.RecordingExpiring, nil)
				if err != nil {
					return err
				}
				begun = append(begun, call.Expiring{Recording: recording})
				entry.Actor, entry.Reason = actor, whyExpired(recording)
				return t.audit(ctx, entry)
			}})
	})
	if err != nil {
		return nil, fmt.Errorf("begin to delete what is due: %w", err)
	}
	return begun, nil
}

// Expiring finds at most n recordings whose deletion has begun and not ended,
// with ids after one, in their order: those of somebody who was interrupted.
func (s *Store) Expiring(ctx context.Context, after string, n int) ([]call.Expiring, error) {
	var found []call.Expiring
	err := s.each(ctx, "SELECT "+recordingColumns+" FROM recordings WHERE state = 'expired' AND expired_at IS NULL AND id > ? ORDER BY id LIMIT ?",
		[]any{after, n}, func(rows *sql.Rows) error {
			var e call.Expiring
			err := rows.Scan(recordingFields(&e.Recording)...)
			found = append(found, e)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("find what is being deleted: %w", err)
	}
	calls := make([]string, len(found))
	for i, e := range found {
		calls[i] = e.CallID
	}
	held, err := s.HeldBy(ctx, calls)
	for i := range found {
		found[i].Held = len(held[found[i].CallID]) > 0
	}
	return found, err
}

// FinishExpiring writes down what became of recordings whose deletion had
// begun: gone, or kept by the vault for a while, and archived as before.
// Whoever is second changes nothing.
func (s *Store) FinishExpiring(ctx context.Context, results []call.Expiry) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		for _, e := range results {
			if err := t.finishExpiring(ctx, actor, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write down what was deleted: %w", err)
	}
	return nil
}

func (t *tx) finishExpiring(ctx context.Context, actor audit.Actor, e call.Expiry) error {
	action, set, args := audit.RecordingExpired, "expired_at = {now}", []any(nil)
	if e.KeptBy != "" {
		action, set = audit.RecordingKept, "state = 'archived', blocked_by = ?, blocked_until = ?"
		args = []any{e.KeptBy, millis(e.KeptUntil)}
	}
	gone := []call.Recording(nil)
	err := t.later(ctx, statement{
		query: "UPDATE recordings SET " + set + " WHERE id = ? AND state = 'expired' AND expired_at IS NULL RETURNING " + auditedRecording,
		args:  append(args, e.ID), audits: true, scan: func(r row) error {
			recording, entry, err := scanAudited(r, action, nil)
			if err != nil {
				return err
			}
			entry.Actor, entry.Reason = actor, cmp.Or(e.KeptBy, whyExpired(recording))
			if e.KeptBy == "" {
				gone = append(gone, recording)
			}
			return t.audit(ctx, entry)
		},
	})
	if err == nil {
		err = t.flush(ctx)
	}
	for _, recording := range gone {
		if err == nil {
			err = t.noteDeleted(ctx, recording)
		}
		if err == nil {
			err = t.exec(ctx, "DELETE FROM recording_analyses WHERE recording_id = ?", recording.ID) // how it sounded
		}
	}
	return err
}

// whyExpired says for people by which rule a recording goes, and since when.
func whyExpired(r call.Recording) string {
	return fmt.Sprintf("retention rule %q: over since %s", r.Rule, r.DueAt.UTC().Format(time.RFC3339))
}
