package store

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"

	"callvault/internal/call"
)

// maxLocks is how many keys are locked one by one. PostgreSQL's lock table has
// room for some thousands, for all its clients together.
const maxLocks = 1000

// lock makes nodes that record legs of the same calls at once wait for each
// other: on PostgreSQL by advisory locks on the keys, so that calls which do
// not exist yet are covered too. SQLite has one writer. Whoever changes a leg
// holds its leg key, the call key that it had, and the one that it gets; so a
// call is computed from all of its legs.
//
// In the same journey it reads the legs, and what else the batch is likely to
// need; each statement sees what was committed before the locks were granted.
func (r *recorder) lock(ctx context.Context, fresh []int) error {
	var legKeys, keys []callKey
	var legs []call.Leg
	recordings := false
	for _, i := range fresh {
		for _, it := range r.stored[i].Items {
			if it.Leg != nil {
				l := leg{Leg: *it.Leg}
				legKeys = append(legKeys, callKey{it.Leg.Account, "", it.Leg.Key})
				keys = append(keys, l.callKey())
				legs = append(legs, l.Leg)
				recordings = recordings || len(it.Leg.Recordings) > 0
				// It may belong to a call that it does not name.
				r.lockAll = r.lockAll || l.NeedsMatch()
			}
			if it.Live != nil {
				keys = append(keys, callKey{it.Live.Account, it.Live.Key.Kind, it.Live.Key.Value})
			}
		}
	}
	held, err := r.lockKeys(ctx, slices.Concat(legKeys, keys))
	if err != nil {
		return err
	}
	if !held && r.tx.w.dialect.postgres {
		// Whoever draws an id for a delivery is seen to (SettledDeliveries).
		if err := r.tx.exec(ctx, "SELECT pg_advisory_xact_lock_shared(0)"); err != nil {
			return err
		}
	}
	// Asked when all is locked: whoever erases locks out all others.
	err = r.tx.later(ctx, statement{what: "look for erased numbers", query: "SELECT coalesce(max(seq), 0) FROM suppressed_numbers", scan: func(rows row) error { return rows.Scan(&r.suppressSeq) }})
	if err != nil {
		return err
	}
	if err := r.loadLegs(ctx, fresh); err != nil {
		return err
	}
	if err := r.askListed(ctx, legs); err != nil {
		return err
	}
	if err := r.foresee(ctx, len(fresh), len(legKeys), keys, recordings); err != nil {
		return err
	}
	if err := r.tx.flush(ctx); err != nil {
		return err
	}
	return r.lockKnown(ctx, fresh)
}

// foresee asks for what a batch with so many deliveries and legs is likely to
// need.
func (r *recorder) foresee(ctx context.Context, deliveries, legs int, keys []callKey, recordings bool) error {
	if err := r.askKeys(ctx, keys); err != nil {
		return err
	}
	if err := r.askLive(ctx, keys); err != nil {
		return err
	}
	if r.journaled == nil { // else they have ids
		if err := r.tx.allocate(ctx, "legs", legs, &r.legIDs); err != nil {
			return err
		}
		if err := r.tx.allocate(ctx, "deliveries", deliveries, &r.deliveryIDs); err != nil {
			return err
		}
	}
	if !recordings {
		return nil
	}
	return r.askPaused(ctx)
}

// lockKnown locks what the stored legs are known by, for a report may name
// less; and, where there are rows of call lists, what the legs are known by that
// these may be about, for a row may go to any of them. What was read before it
// was locked is read again, until there is nothing more to lock. Taking locks
// out of order may end in a deadlock, which the database breaks and the writer
// tries again.
func (r *recorder) lockKnown(ctx context.Context, fresh []int) error {
	for {
		legs := r.foreseen(fresh)
		if err := r.askListed(ctx, legs); err != nil {
			return err
		}
		if err := r.tx.flush(ctx); err != nil {
			return err
		}
		if !r.tx.w.dialect.postgres || r.heldAll {
			return nil
		}
		if err := r.askCandidates(ctx); err != nil {
			return err
		}
		more, err := r.lockKeys(ctx, r.knownKeys(fresh))
		if err != nil || !more {
			return err
		}
		clear(r.legs)
		clear(r.calls)
		clear(r.keys)
		clear(r.keysRead)
		clear(r.live)
		clear(r.liveRead)
		clear(r.tracesRead)
		if err := r.loadLegs(ctx, fresh); err != nil {
			return err
		}
		if err := r.askListed(ctx, legs); err != nil {
			return err
		}
		if err := r.tx.flush(ctx); err != nil {
			return err
		}
	}
}

// knownKeys are the call keys of the legs at hand, of those that the batch is
// about also as they will be, and the leg keys of rows of call lists.
func (r *recorder) knownKeys(fresh []int) []callKey {
	var keys []callKey
	for _, l := range r.legs {
		keys = append(keys, l.was)
		if l.Listed {
			keys = append(keys, callKey{l.Account, "", l.Key})
		}
	}
	for _, l := range r.foreseen(fresh) {
		l := leg{Leg: l}
		keys = append(keys, l.callKey())
	}
	return keys
}

// foreseen are the legs of the batch as they are and as they will be.
func (r *recorder) foreseen(fresh []int) []call.Leg {
	var legs []call.Leg
	filled := map[legKey]call.Leg{}
	for _, i := range fresh {
		for _, it := range r.stored[i].Items {
			if it.Leg == nil {
				continue
			}
			k := legKey{it.Leg.Account, it.Leg.Key}
			l, seen := filled[k]
			if known := r.legs[k]; !seen && known != nil {
				legs = append(legs, known.Leg)
				l, seen = known.Leg, true
			}
			if seen {
				l.Fill(*it.Leg)
			} else {
				l = *it.Leg
			}
			filled[k] = l
		}
	}
	for _, l := range filled {
		legs = append(legs, l)
	}
	return legs
}

// lockKeys locks the keys that are not held yet, and says whether there were
// any. A batch with very many keys locks out all others instead.
func (r *recorder) lockKeys(ctx context.Context, keys []callKey) (more bool, err error) {
	if !r.tx.w.dialect.postgres || r.heldAll {
		return false, nil
	}
	var hashes []int64
	for _, k := range keys {
		if r.held[k] {
			continue
		}
		r.held[k] = true
		h := fnv.New64a()
		h.Write([]byte(k.account + "\x00" + string(k.kind) + "\x00" + k.value))
		hashes = append(hashes, int64(h.Sum64()))
	}
	if len(hashes) == 0 {
		return false, nil
	}
	if r.lockAll || len(r.held) > maxLocks {
		r.heldAll = true
		err = r.tx.exec(ctx, "SELECT pg_advisory_xact_lock(0)")
	} else {
		slices.Sort(hashes)
		err = r.tx.exec(ctx, `SELECT pg_advisory_xact_lock_shared(0)
			UNION ALL SELECT pg_advisory_xact_lock(h) FROM (SELECT unnest(CAST(? AS BIGINT[])) AS h ORDER BY 1) AS keys`, slices.Compact(hashes))
	}
	if err != nil {
		return false, fmt.Errorf("lock the calls: %w", err)
	}
	return true, nil
}
