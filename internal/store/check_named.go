package store

import (
	"context"
	"database/sql"
	"slices"

	"callvault/internal/call"
)

// This file looks whether the recordings that legs name have rows: of one that was
// never archived the log tells nothing, and without its row nobody would fetch it.

// lacking returns the calls of which a leg names a recording that has no row. Of
// erased legs nobody knows what they named; and a row that none of them names may
// be the one, changed: the check of the rows says so.
func (c *checker) lacking(ctx context.Context, page []keptCall) (map[string]bool, error) {
	named := map[recordingKey][]string{}
	var calls []string
	for _, kept := range page {
		for i := range kept.legs {
			l := &kept.legs[i]
			if l.Erased || kept.broken {
				continue
			}
			for _, w := range l.Recordings {
				k := recordingKey{cleanText(l.Account), w.Kind, cleanText(w.Source)}
				named[k] = append(named[k], kept.id)
				calls = append(calls, kept.id)
			}
		}
	}
	calls = slices.Compact(calls)
	strays := map[string]int{}
	drop := func(rows *sql.Rows) error {
		var k recordingKey
		var id string
		err := rows.Scan(&k.account, &k.kind, &k.source, &id)
		if _, is := named[k]; !is {
			strays[id]++
		}
		delete(named, k)
		return err
	}
	err := inChunks(calls, func(chunk []string) error {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		return c.each(ctx, "SELECT account, kind, source, call_id FROM recordings WHERE call_id IN "+tuples(1, len(args)), args, drop)
	})
	// What several legs name is one row, of whichever call.
	for k := range named {
		if err == nil {
			err = c.each(ctx, "SELECT account, kind, source, call_id FROM recordings WHERE source = ? AND kind = ? AND account = ?", []any{k.source, string(k.kind), k.account}, drop)
		}
	}
	if err != nil {
		return nil, err
	}
	lacking := map[string]bool{}
	for _, ids := range named {
		for _, id := range ids {
			if strays[id]--; strays[id] < 0 {
				lacking[id] = true
			}
		}
	}
	return lacking, nil
}

// lacks looks once more at a call that lacks the row of a recording: it may have
// been erased meanwhile, or be gone.
func (c *checker) lacks(ctx context.Context, id string) error {
	place := "call/" + id
	if slices.ContainsFunc(c.checked.Faults, func(f call.Fault) bool { return f.Where == place }) {
		return nil // one fault of a place is enough
	}
	var one conditions
	one.add("id = ?", id)
	again, err := c.keptCalls(ctx, one, 1)
	if err != nil {
		return err
	}
	lacking, err := c.lacking(ctx, again)
	if err != nil || !lacking[id] {
		return err
	}
	erased, err := c.isErased(ctx, call.ErasedCall, id)
	if err == nil && !erased {
		c.fault(call.FaultCall, place, "one of its legs names a recording that has no row any more: nobody would fetch it")
	}
	return err
}
