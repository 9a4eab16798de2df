package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"callvault/internal/call"
)

// errRehearsed undoes a change that was made only to see what it does.
var errRehearsed = errors.New("rehearsed")

// Rehearse finds out what Record would make of deliveries, and changes nothing:
// it records them and undoes it. It sets what Record sets, but for the ids,
// and returns the calls that would change, in the order of their keys. Its errors
// are those of Record.
func (s *Store) Rehearse(ctx context.Context, deliveries []*call.Delivery) ([]call.CallChange, error) {
	var r *recorder
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		r = s.newRecorder(t)
		r.compare = true
		if err := r.record(ctx, deliveries); err != nil {
			return err
		}
		return errRehearsed
	})
	if !errors.Is(err, errRehearsed) {
		return nil, fmt.Errorf("rehearse %d deliveries: %w", len(deliveries), notWritten(err))
	}
	for i, d := range deliveries {
		d.Items, d.Outcome, d.Error = r.stored[i].Items, r.stored[i].Outcome, r.stored[i].Error
	}
	return r.changes, nil
}

// compareCalls runs write and notes which calls it changed, if anybody wants to
// know.
func (r *recorder) compareCalls(ctx context.Context, write func(context.Context) error) error {
	if !r.compare {
		return write(ctx)
	}
	ids := slices.Sorted(maps.Keys(r.calls))
	before, err := r.readCalls(ctx, ids)
	if err != nil {
		return err
	}
	if err := write(ctx); err != nil {
		return err
	}
	after, err := r.readCalls(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		was, is := before[id], after[id]
		if was != nil && is == nil {
			gone := *was
			gone.MergedInto = r.survivor(id)
			is = &gone
		}
		changes := call.Differences(was, is)
		if len(changes) == 0 {
			continue
		}
		c := call.CallChange{Account: is.Account, Key: is.Key, Changes: changes}
		if was != nil {
			c.ID = id
		}
		r.changes = append(r.changes, c)
	}
	slices.SortFunc(r.changes, func(a, b call.CallChange) int {
		return compareLinks(linkRow{callKey{a.Account, "", a.Key}, a.ID}, linkRow{callKey{b.Account, "", b.Key}, b.ID})
	})
	return nil
}

// readCalls reads calls, as far as they are stored.
func (r *recorder) readCalls(ctx context.Context, ids []string) (map[string]*call.Comparable, error) {
	found := map[string]*call.Comparable{}
	arg := func(id string, args []any) []any { return append(args, id) }
	err := selectMany(ctx, r.tx, "read calls", "SELECT "+callColumns+" FROM calls WHERE id IN ({rows})", "t", ids, arg, func(rows row) error {
		c := &call.Comparable{}
		err := rows.Scan(callFields(&c.Call)...)
		found[c.ID] = c
		return err
	})
	if err == nil {
		err = selectMany(ctx, r.tx, "count recordings", "SELECT call_id, id FROM recordings WHERE call_id IN ({rows})", "t", ids, arg, func(rows row) error {
			var callID, id string
			if err := rows.Scan(&callID, &id); err != nil {
				return err
			}
			if c := found[callID]; c != nil {
				c.Recordings++
			}
			return nil
		})
	}
	if err == nil {
		err = r.tx.flush(ctx)
	}
	return found, err
}
