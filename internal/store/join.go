package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

type mergedCalls struct{ loser, survivor string }

// joinCalls gives every changed leg its call: the one that has its call key. A
// leg that learned a better key moves there; a call that loses its last leg so
// is one with the other, and of the two ids the older survives.
func (r *recorder) joinCalls(ctx context.Context) error {
	changed := r.changedLegs()
	r.giveIDs(changed)
	keys := make([]callKey, 0, len(changed))
	// A leg that leaves a call must know whether others stay.
	var left []string
	for _, l := range changed {
		keys = append(keys, l.callKey())
		if l.isMoving() {
			left = append(left, l.callID)
		}
	}
	if err := r.loadKeys(ctx, keys); err != nil {
		return err
	}
	if err := r.loadCalls(ctx, left); err != nil {
		return err
	}
	for _, l := range changed {
		if k := l.callKey(); l.born != "" && (r.births[k] == "" || l.born < r.births[k]) {
			r.births[k] = l.born
		}
	}
	for _, l := range changed {
		r.join(l)
	}
	var touched []string
	for id, c := range r.calls {
		if !c.isLoser && c.isTouched() {
			touched = append(touched, id)
		}
	}
	return r.loadCalls(ctx, touched)
}

func (l *leg) isMoving() bool { return !l.isNew && l.was != l.callKey() }

func (c *callState) isTouched() bool {
	for _, l := range c.legs {
		if l.changed {
			return true
		}
	}
	return false
}

func (r *recorder) join(l *leg) {
	key := l.callKey()
	target, found := r.keys[key]
	if l.isNew {
		if !found {
			target = r.births[key]
			r.keys[key] = target
			c := r.state(target)
			c.isNew, c.born, c.loaded = true, true, true
		}
		l.callID = target
		r.state(target).legs[l.id] = l
		return
	}
	if found && target == l.callID {
		return
	}
	from := r.state(l.callID)
	delete(from.legs, l.id)
	switch {
	case !found && len(from.legs) == 0:
		// The call only got a better name.
		from.legs[l.id] = l
		r.keys[key] = from.id
		r.drop(l.was, from.id)
		return
	case !found:
		// The others stay without it.
		from.hasLost = true
		target = splitID(l)
		r.keys[key] = target
		r.state(target).isNew, r.state(target).loaded = true, true
		r.parted = append(r.parted, mergedCalls{from.id, target})
	case len(from.legs) == 0:
		r.drop(l.was, from.id)
		survivor := min(from.id, target) // ids are ordered by time
		r.mergeCalls(survivor, max(from.id, target))
		target = survivor
	default:
		from.hasLost = true
		r.parted = append(r.parted, mergedCalls{from.id, target})
	}
	l.callID, l.moved = target, true
	r.state(target).legs[l.id] = l
}

// drop forgets a call key that the last leg of the call has left, so that it
// does not attract legs which have no other tie to it.
func (r *recorder) drop(key callKey, id string) {
	r.dropped = append(r.dropped, key)
	if r.keys[key] == id {
		delete(r.keys, key)
	}
}

// mergeCalls makes loser one with survivor.
func (r *recorder) mergeCalls(survivor, loser string) {
	s, l := r.state(survivor), r.state(loser)
	for id, leg := range l.legs {
		leg.callID, leg.changed = survivor, true
		s.legs[id] = leg
	}
	l.legs = map[int64]*leg{}
	l.isLoser, l.survivor = true, survivor
	// What is stored of either and not read yet is found after the keys have
	// been moved, under the survivor.
	s.loaded = s.loaded && l.loaded
	for k, id := range r.keys {
		if id == loser {
			r.keys[k] = survivor
		}
	}
	r.merged = append(r.merged, mergedCalls{loser, survivor})
}

// survivor is the call that the call with this id is one with by now.
func (r *recorder) survivor(id string) string {
	for c := r.state(id); c.isLoser; c = r.state(c.survivor) {
		id = c.survivor
	}
	return id
}

func (r *recorder) giveIDs(changed []*leg) {
	n := 0
	for _, l := range changed {
		if l.isNew && l.id == 0 {
			l.id = r.legIDs[n]
			n++
		}
	}
}

// askKeys asks for the calls of the keys, as far as they were not looked for
// yet. They are known after the next flush.
func (r *recorder) askKeys(ctx context.Context, keys []callKey) error {
	return selectMany(ctx, r.tx, "read call keys", "SELECT account, kind, value, call_id FROM call_keys WHERE (value, kind, account) IN ({rows})", "ttt",
		notRead(r.keysRead, keys), func(k callKey, args []any) []any { return append(args, k.value, string(k.kind), k.account) },
		func(rows row) error {
			var k callKey
			var id string
			if err := rows.Scan(&k.account, &k.kind, &k.value, &id); err != nil {
				return err
			}
			r.keys[k] = id
			return nil
		})
}

func (r *recorder) loadKeys(ctx context.Context, keys []callKey) error {
	if err := r.askKeys(ctx, keys); err != nil {
		return err
	}
	return r.tx.flush(ctx)
}

// notRead are the keys that are not in read yet; they are from now on.
func notRead(read map[callKey]bool, keys []callKey) []callKey {
	var left []callKey
	for _, k := range keys {
		if !read[k] {
			read[k] = true
			left = append(left, k)
		}
	}
	return left
}

// loadCalls reads all legs of the calls, as far as they are stored.
func (r *recorder) loadCalls(ctx context.Context, ids []string) error {
	var missing []string
	for _, id := range ids {
		if c := r.state(id); !c.loaded {
			c.loaded = true
			missing = append(missing, id)
			for _, m := range r.merged {
				if r.survivor(m.loser) == id {
					missing = append(missing, m.loser)
				}
			}
		}
	}
	slices.Sort(missing)
	err := selectMany(ctx, r.tx, "read the legs of calls", "SELECT id, call_id, facts FROM legs WHERE call_id IN ({rows})", "t",
		slices.Compact(missing), func(id string, args []any) []any { return append(args, id) },
		r.scanMember)
	if err != nil {
		return err
	}
	return r.tx.flush(ctx)
}

// scanMember takes in a leg found by its call; one that has just moved away is
// known, and stays where it went.
func (r *recorder) scanMember(rows row) error {
	l := &leg{}
	if err := rows.Scan(&l.id, &l.callID, jsonInto{&l.Leg}); err != nil {
		return err
	}
	k := legKey{l.Account, l.Key}
	if _, known := r.legs[k]; known {
		return nil
	}
	if now := r.survivor(l.callID); now != l.callID {
		l.callID, l.changed = now, true
	}
	l.was = l.callKey()
	r.legs[k] = l
	r.state(l.callID).legs[l.id] = l
	return nil
}

// writeMerged moves what belongs to a call that is one with an older one.
func (r *recorder) writeMerged(ctx context.Context) error {
	for _, p := range r.parted {
		// What a leg founds may be what it founded before, and was made one with
		// this call since: splitID is the same then.
		if err := r.tx.exec(ctx, "DELETE FROM call_redirects WHERE id = ?", p.survivor); err != nil {
			return fmt.Errorf("part calls: %w", err)
		}
	}
	for _, m := range r.merged {
		if err := r.tx.auditJoined(ctx, r.actor, m.loser, m.survivor); err != nil {
			return err
		}
		err := r.tx.later(ctx, statement{
			what: "make two calls one", query: "UPDATE call_redirects SET call_id = ? WHERE call_id = ? RETURNING id", args: []any{m.survivor, m.loser},
			audits: true, scan: func(row row) error {
				var former string
				if err := row.Scan(&former); err != nil {
					return err
				}
				return r.tx.auditJoined(ctx, r.actor, former, m.survivor)
			},
		})
		if err != nil {
			return err
		}
		for _, statement := range []string{
			"UPDATE recordings SET call_id = ? WHERE call_id = ?",
			"INSERT INTO call_links (value, kind, account, call_id) SELECT value, kind, account, ? FROM call_links WHERE call_id = ? ON CONFLICT DO NOTHING",
			"INSERT INTO call_redirects (call_id, id) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id",
		} {
			if err := r.tx.exec(ctx, statement, m.survivor, m.loser); err != nil {
				return fmt.Errorf("make two calls one: %w", err)
			}
		}
		if err := r.tx.passHolds(ctx, r.actor, m.loser, m.survivor, true); err != nil {
			return err
		}
		for _, statement := range []string{
			"DELETE FROM call_links WHERE call_id = ?",
			"DELETE FROM calls WHERE id = ?",
		} {
			if err := r.tx.exec(ctx, statement, m.loser); err != nil {
				return fmt.Errorf("make two calls one: %w", err)
			}
		}
	}
	return nil
}

type linkRow struct {
	callKey
	callID string
}

func (r *recorder) writeKeys(ctx context.Context, keys map[callKey]string, links []linkRow) error {
	for _, k := range r.dropped {
		if err := r.tx.exec(ctx, "DELETE FROM call_keys WHERE value = ? AND kind = ? AND account = ?", k.value, string(k.kind), k.account); err != nil {
			return fmt.Errorf("drop call keys: %w", err)
		}
	}
	rows := make([]linkRow, 0, len(keys))
	for k, id := range keys {
		rows = append(rows, linkRow{k, id})
	}
	args := func(l linkRow, args []any) []any {
		return append(args, l.value, string(l.kind), l.account, l.callID)
	}
	slices.SortFunc(rows, compareLinks)
	// Of a new call nothing is there: its key was not found either.
	isNew := func(l linkRow) bool { return r.isNewCall(l.callID) }
	err := upsertMany(ctx, r.tx, "write call keys", "INSERT INTO call_keys (value, kind, account, call_id)", "tttt",
		" ON CONFLICT (value, kind, account) DO UPDATE SET call_id = excluded.call_id", rows, isNew, args)
	if err != nil {
		return err
	}
	slices.SortFunc(links, compareLinks)
	return upsertMany(ctx, r.tx, "write call links", "INSERT INTO call_links (value, kind, account, call_id)", "tttt",
		" ON CONFLICT DO NOTHING", slices.Compact(links), isNew, args)
}

func compareLinks(a, b linkRow) int {
	return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.kind, b.kind),
		cmp.Compare(a.account, b.account), cmp.Compare(a.callID, b.callID))
}
