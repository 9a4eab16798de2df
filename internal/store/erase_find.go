package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file lists what belongs to an erasure.

// addErasureItems adds the calls with their recordings and deliveries, and writes into
// the log those that were not listed yet.
func (t *tx) addErasureItems(ctx context.Context, actor audit.Actor, id string, callIDs []string) error {
	pair := func(callID string, args []any) []any { return append(args, id, callID) }
	for _, s := range []struct {
		kind call.ErasureKind
		from string
	}{
		{call.ErasedCall, "k.call FROM k"},
		{call.ErasedAudio, "r.id FROM k JOIN recordings r ON r.call_id = k.call"},
		{call.ErasedDelivery, "CAST(i.delivery_id AS TEXT) FROM k JOIN legs l ON l.call_id = k.call JOIN delivery_items i ON i.leg_id = l.id"},
	} {
		var added []string
		err := selectMany(ctx, t, "list what is to be erased", `WITH k (erasure, call) AS ({rows})
			INSERT INTO erasure_items (erasure_id, kind, state, at, ref) SELECT DISTINCT k.erasure, '`+string(s.kind)+`', 'due', {now}, `+s.from+`
			WHERE true ON CONFLICT DO NOTHING RETURNING ref`, "tt", callIDs, pair, func(r row) error {
			var ref string
			err := r.Scan(&ref)
			added = append(added, ref)
			return err
		})
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil {
			return err
		}
		slices.Sort(added)
		for refs := range slices.Chunk(added, backgroundRows) {
			if err := t.tellItems(ctx, actor, id, itemFacts{Kind: s.kind, Refs: refs}); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellItems writes into the log that items belong to an erasure: a database that is
// made again goes on with them, and one that is on the list and not in the log was put
// there by somebody else.
func (t *tx) tellItems(ctx context.Context, actor audit.Actor, id string, items itemFacts) error {
	e, err := audit.New(audit.ErasureFound, "erasure/"+id, items)
	if e.Actor = actor; err != nil {
		return err
	}
	return t.audit(ctx, e)
}

// FollowErasure lists what has become part of an erasure's calls since it began,
// as calls that became one with them.
func (s *Store) FollowErasure(ctx context.Context, id string) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.followErasure(ctx, actor, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("follow the calls of an erasure: %w", err)
	}
	return nil
}

// followErasure does that, and says whether there is anything that nobody has
// worked on.
func (t *tx) followErasure(ctx context.Context, actor audit.Actor, id string) (isDue bool, err error) {
	var calls []string
	err = t.each(ctx, `SELECT DISTINCT coalesce(r.call_id, i.ref) FROM erasure_items i LEFT JOIN call_redirects r ON r.id = i.ref
		WHERE i.erasure_id = ? AND i.kind = 'call' ORDER BY 1`, []any{id}, func(r row) error {
		var call string
		err := r.Scan(&call)
		calls = append(calls, call)
		return err
	})
	if err == nil {
		err = t.addErasureItems(ctx, actor, id, calls)
	}
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil {
		return false, err
	}
	return t.one(ctx, "SELECT 1 FROM erasure_items WHERE erasure_id = ? AND state = 'due' LIMIT 1", []any{id}, new(int))
}

const (
	// scanPage is how many deliveries are looked through at a time: each may be a
	// MiB.
	scanPage = 100
	// scanNoted is of how many deliveries, by their ids, it is written down together
	// that they have been looked through: in the row, and in the log, which must not
	// grow by an entry for each page.
	scanNoted = 10_000
)

// ScanDeliveries looks through the next deliveries from before the erasure for
// its number and lists those that hold it; done: it was the last page. Whoever is
// interrupted begins again with the last that was written down.
func (s *Store) ScanDeliveries(ctx context.Context, e *call.Erasure) (done bool, err error) {
	r := call.NewRedactor(e.Number, nil)
	var found []string
	actor, last, n := audit.ActorOf(ctx), e.Scanned, 0
	err = s.each(ctx, "SELECT d.id, d.query, b.body FROM deliveries d JOIN bodies b ON b.sha256 = d.body_sha256 WHERE d.id > ? AND d.received_at <= ? ORDER BY d.id LIMIT ?",
		[]any{e.Scanned, e.AskedAt.UnixMilli(), scanPage}, func(rows *sql.Rows) error {
			var query, body []byte
			if err := rows.Scan(&last, &query, &body); err != nil {
				return err
			}
			if n++; r.Holds(string(query)) || r.Holds(string(body)) {
				found = append(found, fmt.Sprint(last))
			}
			return nil
		})
	if err == nil {
		done = n < scanPage
		isNoted := done || last/scanNoted > e.Scanned/scanNoted
		err = s.change(ctx, func(ctx context.Context, t *tx) error {
			if err := t.foundToErase(ctx, actor, e.ID, call.ErasedDelivery, found); err != nil {
				return err
			}
			if !isNoted {
				return nil
			}
			err := t.exec(ctx, "UPDATE erasures SET scanned = ?, found_at = CASE WHEN ? = 1 THEN {now} ELSE found_at END WHERE id = ?", last, flag(done), e.ID)
			if err != nil {
				return err
			}
			return t.tellItems(ctx, actor, e.ID, itemFacts{Kind: call.ErasedDelivery, Refs: []string{}, Through: &last, All: done})
		})
	}
	if err != nil {
		return false, fmt.Errorf("look through the deliveries: %w", err)
	}
	e.Scanned = last
	return done, nil
}

// AddErasureItem adds an item that is due and was not listed yet.
func (s *Store) AddErasureItem(ctx context.Context, id string, kind call.ErasureKind, ref string) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error { return t.foundToErase(ctx, actor, id, kind, []string{ref}) })
	if err != nil {
		return fmt.Errorf("list what is to be erased: %w", err)
	}
	return nil
}

// foundToErase lists items, and writes them into the log.
func (t *tx) foundToErase(ctx context.Context, actor audit.Actor, id string, kind call.ErasureKind, refs []string) error {
	if len(refs) == 0 {
		return nil
	}
	if err := t.listToErase(ctx, id, kind, refs, time.Now()); err != nil {
		return err
	}
	return t.tellItems(ctx, actor, id, itemFacts{Kind: kind, Refs: refs})
}

// listToErase lists items that are due, but those that are listed already.
func (t *tx) listToErase(ctx context.Context, id string, kind call.ErasureKind, refs []string, at time.Time) error {
	return insertMany(ctx, t, "list what is to be erased", "INSERT INTO erasure_items (erasure_id, kind, ref, state, at)", "tttti", " ON CONFLICT DO NOTHING", refs,
		func(ref string, args []any) []any {
			return append(args, id, string(kind), ref, string(call.ErasureDue), at.UnixMilli())
		})
}
