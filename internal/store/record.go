package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"callvault/internal/call"

	"github.com/google/uuid"
)

// Record stores a batch of deliveries and what they tell in one transaction:
// deliveries, legs, the calls that follow from them, wanted recordings and
// live calls. It sets ID, CallIDs, Outcome and the outcomes of the items: what
// holds a leg or a live call becomes recorded or duplicate, the rest keeps
// what the decoder said. A delivery whose UID is stored already is left as it
// is. On error nothing of the batch is stored and nothing is set; the error is
// a call.Unavailable one if the database cannot be written just now, which is
// not the batch's fault.
func (s *Store) Record(ctx context.Context, deliveries []*call.Delivery) error {
	var r *recorder
	err := s.changeNow(ctx, func(ctx context.Context, t *tx) error {
		// Made anew each time: a change may be run twice.
		r = &recorder{
			tx: t, now: time.Now(), firstTryAfter: s.firstTryAfter, known: &s.ownNumbers,
			legs: map[legKey]*leg{}, keys: map[callKey]string{},
			calls: map[string]*callState{}, held: map[callKey]bool{},
		}
		return r.record(ctx, deliveries)
	})
	if err != nil && !isInputFault(err) {
		err = errors.Join(call.Errorf(call.Unavailable, "the database cannot be written just now"), err)
	}
	if err != nil {
		return fmt.Errorf("record %d deliveries: %w", len(deliveries), err)
	}
	s.ownNumbers.add(r.noted)
	for i, d := range deliveries {
		stored := r.stored[i]
		d.ID, d.Items, d.Outcome, d.Error, d.CallIDs = stored.ID, stored.Items, stored.Outcome, stored.Error, stored.CallIDs
	}
	return nil
}

type legKey struct{ account, key string }

type callKey struct {
	account string
	kind    call.KeyKind
	value   string
}

func (l *leg) callKey() callKey {
	k := l.CallKey()
	return callKey{l.Account, k.Kind, k.Value}
}

// leg is a leg under change.
type leg struct {
	call.Leg
	id      int64
	callID  string
	isNew   bool
	changed bool
	// json is the leg's JSON, if it was made beforehand and still is so.
	json string
	// was is the call key before the change; zero for a new leg.
	was callKey
}

// callState is a call under change.
type callState struct {
	id       string
	isNew    bool
	legs     map[int64]*leg
	loaded   bool // legs holds all of its legs
	hasLost  bool // a leg has left it
	isLoser  bool // all of its legs have gone to another call
	survivor string
}

// recorder is one run of Record: what it has read and what it will write. It
// reads and writes in few statements, however many deliveries there are,
// because on PostgreSQL each statement is a journey.
type recorder struct {
	tx     *tx
	now    time.Time
	stored []*call.Delivery

	firstTryAfter time.Duration
	known         *ownNumbers
	noted         []string

	// itemLegs are the legs of the items, by delivery and item.
	itemLegs [][]*leg
	legs     map[legKey]*leg
	keys     map[callKey]string
	calls    map[string]*callState
	merged   []mergedCalls
	// dropped are call keys that their last leg has left.
	dropped []callKey
	// held are the keys that are locked.
	held map[callKey]bool
	// heldAll: so many keys are locked that all are.
	heldAll bool
}

type mergedCalls struct{ loser, survivor string }

func (r *recorder) record(ctx context.Context, deliveries []*call.Delivery) error {
	for _, d := range deliveries {
		copied := *d
		copied.Items = slices.Clone(d.Items)
		r.stored = append(r.stored, &copied)
	}
	fresh, err := r.dropKnown(ctx)
	if err != nil {
		return err
	}
	if err := r.lock(ctx, fresh); err != nil {
		return err
	}
	r.fill(fresh)
	if err := r.joinCalls(ctx); err != nil {
		return err
	}
	if err := r.recordLive(ctx, fresh); err != nil {
		return err
	}
	if err := r.writeCalls(ctx); err != nil {
		return err
	}
	return r.writeDeliveries(ctx, fresh)
}

// dropKnown finds the deliveries that are stored already and returns the
// indexes of the others.
func (r *recorder) dropKnown(ctx context.Context) ([]int, error) {
	byUID := map[string]int{}
	var fresh []int
	for i, d := range r.stored {
		if d.UID == "" {
			d.UID = newID()
		}
		if d.MayBeStored {
			byUID[d.UID] = i
		}
	}
	known := map[int]int64{}
	err := selectMany(ctx, r.tx, "SELECT id, uid FROM deliveries WHERE uid IN (VALUES {rows})", 1,
		slices.Sorted(maps.Keys(byUID)), func(uid string, args []any) []any { return append(args, uid) },
		func(rows *sql.Rows) error {
			var id int64
			var uid string
			if err := rows.Scan(&id, &uid); err != nil {
				return err
			}
			known[byUID[uid]] = id
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("find known deliveries: %w", err)
	}
	for i, d := range r.stored {
		if id, ok := known[i]; ok {
			d.ID, d.Outcome = id, call.Duplicate
			continue
		}
		fresh = append(fresh, i)
	}
	return fresh, nil
}

// lock makes nodes that record legs of the same calls at once wait for each
// other: on PostgreSQL by advisory locks on the keys, so that calls which do
// not exist yet are covered too. SQLite has one writer. Whoever changes a leg
// holds its leg key, the call key that it had, and the one that it gets; so a
// call is computed from all of its legs.
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

// maxLocks is how many keys are locked one by one. PostgreSQL's lock table has
// room for some thousands, for all its clients together.
const maxLocks = 1000

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

func (r *recorder) loadLegs(ctx context.Context, fresh []int) error {
	var wanted []legKey
	seen := map[legKey]bool{}
	for _, i := range fresh {
		for _, it := range r.stored[i].Items {
			if it.Leg == nil {
				continue
			}
			k := legKey{it.Leg.Account, it.Leg.Key}
			if !seen[k] {
				seen[k] = true
				wanted = append(wanted, k)
			}
		}
	}
	err := selectMany(ctx, r.tx, "SELECT id, call_id, facts FROM legs WHERE (leg_key, account) IN (VALUES {rows})", 2,
		wanted, func(k legKey, args []any) []any { return append(args, k.key, k.account) }, r.scanLeg)
	if err != nil {
		return fmt.Errorf("read legs: %w", err)
	}
	return nil
}

// scanLeg takes in a leg that is stored, unless it is known already: then it
// may have been changed.
func (r *recorder) scanLeg(rows *sql.Rows) error {
	l := &leg{}
	if err := rows.Scan(&l.id, &l.callID, jsonInto{&l.Leg}); err != nil {
		return err
	}
	k := legKey{l.Account, l.Key}
	if _, known := r.legs[k]; !known {
		l.was = l.callKey()
		r.legs[k] = l
	}
	r.state(l.callID).legs[r.legs[k].id] = r.legs[k]
	return nil
}

func (r *recorder) state(id string) *callState {
	c, ok := r.calls[id]
	if !ok {
		c = &callState{id: id, legs: map[int64]*leg{}}
		r.calls[id] = c
	}
	return c
}

// fill joins the reports into their legs and says which told something new.
func (r *recorder) fill(fresh []int) {
	r.itemLegs = make([][]*leg, len(r.stored))
	for _, i := range fresh {
		items := r.stored[i].Items
		r.itemLegs[i] = make([]*leg, len(items))
		for n := range items {
			if items[n].Leg == nil {
				continue
			}
			k := legKey{items[n].Leg.Account, items[n].Leg.Key}
			l, known := r.legs[k]
			switch {
			case !known:
				l = &leg{Leg: *items[n].Leg, isNew: true, changed: true, json: items[n].LegJSON}
				r.legs[k] = l
				items[n].Outcome = call.Recorded
			case l.Fill(*items[n].Leg):
				l.changed, l.json = true, ""
				items[n].Outcome = call.Recorded
			default:
				items[n].Outcome = call.Duplicate
			}
			r.itemLegs[i][n] = l
		}
	}
}

// changedLegs are the legs to write, in a fixed order: two nodes that write
// the same rows do so in the same order.
func (r *recorder) changedLegs() []*leg {
	var changed []*leg
	for _, l := range r.legs {
		if l.changed {
			changed = append(changed, l)
		}
	}
	slices.SortFunc(changed, func(a, b *leg) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Key, b.Key))
	})
	return changed
}

// joinCalls gives every changed leg its call: the one that has its call key. A
// leg that learned a better key moves there; a call that loses its last leg so
// is one with the other, and of the two ids the older survives.
func (r *recorder) joinCalls(ctx context.Context) error {
	changed := r.changedLegs()
	if err := r.giveIDs(ctx, changed); err != nil {
		return err
	}
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
			target = newID()
			r.keys[key] = target
			r.state(target).isNew, r.state(target).loaded = true, true
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
		target = newID()
		r.keys[key] = target
		r.state(target).isNew, r.state(target).loaded = true, true
	case len(from.legs) == 0:
		r.drop(l.was, from.id)
		survivor := min(from.id, target) // ids are ordered by time
		r.mergeCalls(survivor, max(from.id, target))
		target = survivor
	default:
		from.hasLost = true
	}
	l.callID = target
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

func (r *recorder) giveIDs(ctx context.Context, changed []*leg) error {
	var fresh []*leg
	for _, l := range changed {
		if l.isNew {
			fresh = append(fresh, l)
		}
	}
	ids, err := r.tx.allocate(ctx, "legs", len(fresh))
	if err != nil {
		return err
	}
	for i, l := range fresh {
		l.id = ids[i]
	}
	return nil
}

func (r *recorder) loadKeys(ctx context.Context, keys []callKey) error {
	err := selectMany(ctx, r.tx, "SELECT account, kind, value, call_id FROM call_keys WHERE (value, kind, account) IN (VALUES {rows})", 3,
		keys, func(k callKey, args []any) []any { return append(args, k.value, string(k.kind), k.account) },
		func(rows *sql.Rows) error {
			var k callKey
			var id string
			if err := rows.Scan(&k.account, &k.kind, &k.value, &id); err != nil {
				return err
			}
			r.keys[k] = id
			return nil
		})
	if err != nil {
		return fmt.Errorf("read call keys: %w", err)
	}
	return nil
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
	err := selectMany(ctx, r.tx, "SELECT id, call_id, facts FROM legs WHERE call_id IN (VALUES {rows})", 1,
		slices.Compact(missing), func(id string, args []any) []any { return append(args, id) },
		r.scanMember)
	if err != nil {
		return fmt.Errorf("read the legs of calls: %w", err)
	}
	return nil
}

// scanMember takes in a leg found by its call; one that has just moved away is
// known, and stays where it went.
func (r *recorder) scanMember(rows *sql.Rows) error {
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

func (r *recorder) writeCalls(ctx context.Context) error {
	if err := r.writeMerged(ctx); err != nil {
		return err
	}
	changed := r.changedLegs()
	facts := map[*leg]string{}
	for _, l := range changed {
		text := l.json
		if text == "" {
			var err error
			if text, err = l.JSON(); err != nil {
				return fmt.Errorf("write leg %s: %w", l.Key, inputFault{err})
			}
		}
		facts[l] = text
	}
	err := insertMany(ctx, r.tx, "INSERT INTO legs (id, account, leg_key, call_id, facts)", "itttt",
		" ON CONFLICT (leg_key, account) DO UPDATE SET call_id = excluded.call_id, facts = excluded.facts", changed,
		func(l *leg, args []any) []any { return append(args, l.id, l.Account, l.Key, l.callID, facts[l]) })
	if err != nil {
		return fmt.Errorf("write legs: %w", err)
	}
	touched := map[string]*callState{}
	keys := map[callKey]string{}
	var links []linkRow
	addLinks := func(l *leg) {
		for _, k := range l.LinkKeys() {
			links = append(links, linkRow{callKey{l.Account, k.Kind, k.Value}, l.callID})
		}
	}
	for _, l := range changed {
		c := r.state(l.callID)
		touched[c.id] = c
		keys[l.callKey()] = c.id
		addLinks(l)
	}
	for id, c := range r.calls {
		if !c.hasLost || c.isLoser {
			continue
		}
		// The others stay, with what they tell alone.
		touched[id] = c
		if _, err := r.tx.exec(ctx, "DELETE FROM call_links WHERE call_id = ?", id); err != nil {
			return fmt.Errorf("write call links: %w", err)
		}
		for _, l := range c.legs {
			addLinks(l)
		}
	}
	if err := r.writeKeys(ctx, keys, links); err != nil {
		return err
	}
	calls := make([]call.Call, 0, len(touched))
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		members := make([]call.Leg, 0, len(touched[id].legs))
		for _, l := range touched[id].legs {
			members = append(members, l.Leg)
		}
		c := call.Merge(members)
		c.ID = id
		calls = append(calls, c)
	}
	if err := r.tx.upsertCalls(ctx, calls); err != nil {
		return err
	}
	if err := r.noteNumbers(ctx, calls); err != nil {
		return err
	}
	return r.wantRecordings(ctx, changed)
}

// writeMerged moves what belongs to a call that is one with an older one.
func (r *recorder) writeMerged(ctx context.Context) error {
	for _, m := range r.merged {
		for _, statement := range []string{
			"UPDATE call_redirects SET call_id = ? WHERE call_id = ?",
			"UPDATE recordings SET call_id = ? WHERE call_id = ?",
			"INSERT INTO call_links (value, kind, account, call_id) SELECT value, kind, account, ? FROM call_links WHERE call_id = ? ON CONFLICT DO NOTHING",
			"INSERT INTO call_redirects (call_id, id) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET call_id = excluded.call_id",
		} {
			if _, err := r.tx.exec(ctx, statement, m.survivor, m.loser); err != nil {
				return fmt.Errorf("make two calls one: %w", err)
			}
		}
		for _, statement := range []string{
			"DELETE FROM call_links WHERE call_id = ?",
			"DELETE FROM calls WHERE id = ?",
		} {
			if _, err := r.tx.exec(ctx, statement, m.loser); err != nil {
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
		if _, err := r.tx.exec(ctx, "DELETE FROM call_keys WHERE value = ? AND kind = ? AND account = ?", k.value, string(k.kind), k.account); err != nil {
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
	err := insertMany(ctx, r.tx, "INSERT INTO call_keys (value, kind, account, call_id)", "tttt",
		" ON CONFLICT (value, kind, account) DO UPDATE SET call_id = excluded.call_id", rows, args)
	if err != nil {
		return fmt.Errorf("write call keys: %w", err)
	}
	slices.SortFunc(links, compareLinks)
	err = insertMany(ctx, r.tx, "INSERT INTO call_links (value, kind, account, call_id)", "tttt",
		" ON CONFLICT DO NOTHING", slices.Compact(links), args)
	if err != nil {
		return fmt.Errorf("write call links: %w", err)
	}
	return nil
}

func compareLinks(a, b linkRow) int {
	return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(a.kind, b.kind),
		cmp.Compare(a.account, b.account), cmp.Compare(a.callID, b.callID))
}

func (r *recorder) writeDeliveries(ctx context.Context, fresh []int) error {
	ids, err := r.tx.allocate(ctx, "deliveries", len(fresh))
	if err != nil {
		return err
	}
	type bodyRow struct {
		sum, body []byte
	}
	type itemRow struct {
		delivery int64
		n        int
		call.Item
		leg *leg
	}
	rows := make([]*call.Delivery, 0, len(fresh))
	bodies := make([]bodyRow, 0, len(fresh))
	var items []itemRow
	for n, i := range fresh {
		d := r.stored[i]
		d.ID = ids[n]
		if d.BodySHA256 == nil {
			sum := sha256.Sum256(d.Body)
			d.BodySHA256 = sum[:]
		}
		bodies = append(bodies, bodyRow{d.BodySHA256, d.Body})
		for k, it := range d.Items {
			row := itemRow{d.ID, k, it, r.itemLegs[i][k]}
			if row.leg != nil && !slices.Contains(d.CallIDs, row.leg.callID) {
				d.CallIDs = append(d.CallIDs, row.leg.callID)
			}
			items = append(items, row)
		}
		d.Summarize()
		rows = append(rows, d)
	}
	slices.SortFunc(bodies, func(a, b bodyRow) int { return bytes.Compare(a.sum, b.sum) })
	bodies = slices.CompactFunc(bodies, func(a, b bodyRow) bool { return bytes.Equal(a.sum, b.sum) })
	err = insertMany(ctx, r.tx, "INSERT INTO bodies (sha256, body)", "bb", " ON CONFLICT DO NOTHING", bodies,
		func(b bodyRow, args []any) []any { return append(args, b.sum, notNil(b.body)) })
	if err != nil {
		return fmt.Errorf("write bodies: %w", err)
	}
	err = insertMany(ctx, r.tx, "INSERT INTO deliveries (id, uid, account, received_at, method, content_type, query, body_sha256, remote_address, source, outcome, error)", "ittittbbtttt", "", rows,
		func(d *call.Delivery, args []any) []any {
			return append(args, d.ID, d.UID, d.Account, d.ReceivedAt.UnixMilli(), d.Method, d.ContentType,
				[]byte(d.Query), d.BodySHA256, d.RemoteAddress, string(d.Source), string(d.Outcome), d.Error)
		})
	if err != nil {
		return fmt.Errorf("write deliveries: %w", err)
	}
	err = insertMany(ctx, r.tx, "INSERT INTO delivery_items (delivery_id, item, outcome, error, leg_id)", "iitti", "", items,
		func(it itemRow, args []any) []any {
			var legID any
			if it.leg != nil {
				legID = it.leg.id
			}
			return append(args, it.delivery, it.n, string(it.Outcome), it.Error, legID)
		})
	if err != nil {
		return fmt.Errorf("write delivery items: %w", err)
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// allocate gives n new ids in ascending order.
func (t *tx) allocate(ctx context.Context, sequence string, n int) ([]int64, error) {
	if n == 0 {
		return nil, nil
	}
	ids := make([]int64, 0, n)
	if t.w.dialect.postgres {
		err := t.each(ctx, "SELECT nextval('"+sequence+"_ids') FROM generate_series(1, ?)", []any{n}, func(rows *sql.Rows) error {
			var id int64
			defer func() { ids = append(ids, id) }()
			return rows.Scan(&id)
		})
		if err != nil {
			return nil, fmt.Errorf("allocate ids: %w", err)
		}
		slices.Sort(ids)
		return ids, nil
	}
	var last int64
	if _, err := t.one(ctx, "UPDATE sequences SET value = value + ? WHERE name = ? RETURNING value", []any{n, sequence}, &last); err != nil {
		return nil, fmt.Errorf("allocate ids: %w", err)
	}
	for i := range n {
		ids = append(ids, last-int64(n)+int64(i)+1)
	}
	return ids, nil
}

// newID makes an id that is ordered by the time of its making (UUID version
// 7, RFC 9562).
func newID() string { return uuid.Must(uuid.NewV7()).String() }
