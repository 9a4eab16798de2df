package store

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
)

func (r *recorder) lock(ctx context.Context, fresh []int) error {
	var keys []callKey
	for _, i := range fresh {
		for _, it := range r.stored[i].Items {
			if it.Leg != nil {
				l := leg{Leg: *it.Leg}
				keys = append(keys, callKey{it.Leg.Account, "", it.Leg.Key}, l.callKey())
			}
			if it.Live != nil {
				keys = append(keys, callKey{it.Live.Account, it.Live.Key.Kind, it.Live.Key.Value})
			}
		}
	}
	if _, err := r.lockKeys(ctx, keys); err != nil {
		return err
	}
	if err := r.loadLegs(ctx, fresh); err != nil {
		return err
	}
	// A report may name less than its leg is known by. Then more is to be
	// locked, and what was read before is read again. Taking locks out of order
	// may end in a deadlock, which the database breaks and the writer tries
	// again.
	keys = keys[:0]
	for _, i := range fresh {
		for _, it := range r.stored[i].Items {
			if it.Leg == nil {
				continue
			}
			if known := r.legs[legKey{it.Leg.Account, it.Leg.Key}]; known != nil {
				filled := leg{Leg: known.Leg}
				filled.Fill(*it.Leg)
				keys = append(keys, known.was, filled.callKey())
			}
		}
	}
	more, err := r.lockKeys(ctx, keys)
	if err != nil || !more {
		return err
	}
	clear(r.legs)
	clear(r.calls)
	return r.loadLegs(ctx, fresh)
}

const maxLocks = 1000

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
	if len(r.held) > maxLocks {
		r.heldAll = true
		_, err = r.tx.exec(ctx, "SELECT pg_advisory_xact_lock(0)")
	} else {
		slices.Sort(hashes)
		_, err = r.tx.exec(ctx, `SELECT pg_advisory_xact_lock_shared(0)
			UNION ALL SELECT pg_advisory_xact_lock(h) FROM (SELECT unnest(CAST(? AS BIGINT[])) AS h ORDER BY 1) AS keys`, slices.Compact(hashes))
	}
	if err != nil {
		return false, fmt.Errorf("lock the calls: %w", err)
	}
	return true, nil
}
