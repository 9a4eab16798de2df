package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
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
	tries, actor := 0, audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		// Made anew each time: a change may be run twice.
		r = s.newRecorder(t)
		r.actor, r.isAgain = actor, tries > 0
		tries++
		return r.record(ctx, deliveries)
	})
	if err != nil {
		return fmt.Errorf("record %d deliveries: %w", len(deliveries), notWritten(err))
	}
	s.ownNumbers.add(r.noted)
	s.suppressed.Store(r.suppressed)
	for i, d := range deliveries {
		stored := r.stored[i]
		d.ID, d.Items, d.Outcome, d.Error, d.CallIDs = stored.ID, stored.Items, stored.Outcome, stored.Error, stored.CallIDs
	}
	return nil
}

func (s *Store) newRecorder(t *tx) *recorder {
	return &recorder{
		tx: t, now: time.Now(), firstTries: &s.firstTries, known: &s.ownNumbers, suppressed: s.suppressed.Load(),
		legs: map[legKey]*leg{}, keys: map[callKey]string{},
		calls: map[string]*callState{}, held: map[callKey]bool{},
		live: map[callKey]liveState{}, keysRead: map[callKey]bool{}, liveRead: map[callKey]bool{}, tracesRead: map[callKey]bool{},
		births: map[callKey]string{}, origins: map[recordingKey]origin{}, keptOut: map[legKey]string{}, told: map[*call.Item]toldStart{},
	}
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
	// moved: it went from one call to another.
	moved bool
	// json is the leg's JSON, if it was made beforehand and still is so.
	json string
	// was is the call key before the change; zero for a new leg.
	was callKey
	// born is the id of the call that a new leg gives rise to, if there is none
	// yet.
	born string
	// before is the leg as it was before its reports were read again, callWas
	// its call then; nil if they were not.
	before  *call.Leg
	callWas string
}

// callState is a call under change.
type callState struct {
	id    string
	isNew bool
	// born: its id follows from a delivery that is being stored.
	born     bool
	legs     map[int64]*leg
	loaded   bool // legs holds all of its legs
	hasLost  bool // a leg has left it, or tells less than before
	isLoser  bool // all of its legs have gone to another call
	survivor string
}

// recorder is one run of Record: what it has read and what it will write. It
// reads and writes in few statements, however many deliveries there are, and
// asks beforehand for all that it is likely to need: on PostgreSQL what is
// asked for together is one journey, and for a batch of new calls there are two,
// one that reads and one that writes.
type recorder struct {
	tx     *tx
	now    time.Time
	stored []*call.Delivery

	firstTries *firstTries
	known      *ownNumbers
	noted      []string

	// itemLegs are the legs of the items, by delivery and item.
	itemLegs [][]*leg
	legs     map[legKey]*leg
	keys     map[callKey]string
	calls    map[string]*callState
	merged   []mergedCalls
	// suppressed are the erased numbers as far as they are known, suppressSeq is
	// the last there is, and redacted are the deliveries, by index, that numbers
	// were taken out of.
	suppressed  *suppressedNumbers
	suppressSeq int64
	redacted    []int
	// keptOut are legs that lost a number so, with its hash, and withErased calls
	// of which erasures must be told.
	keptOut    map[legKey]string
	withErased []joinedErased
	// actor is who records.
	actor audit.Actor
	// parted are calls of which a leg went to another: what holds kept of it is
	// kept there, too.
	parted []mergedCalls
	// live are the live calls that were read. keysRead and liveRead are the
	// keys that were looked for, found or not.
	live     map[callKey]liveState
	keysRead map[callKey]bool
	liveRead map[callKey]bool
	// tracesRead are those by which rows of call lists were looked for.
	tracesRead map[callKey]bool
	// told are the items with which it became known since when a call rang.
	told map[*call.Item]toldStart
	// paused are the paused accounts; nil: not read.
	paused map[string]bool
	// legIDs and deliveryIDs are ids for new rows, in ascending order.
	legIDs, deliveryIDs []int64
	// isReplay: what is recorded was delivered long ago.
	isReplay bool
	// isAgain: it could not be recorded in a transaction before.
	isAgain bool
	// compare: changes becomes what the calls were and are.
	compare bool
	changes []call.CallChange
	// superseded are stored legs that are to be removed.
	superseded []supersededLeg
	// dropped are call keys that their last leg has left.
	dropped []callKey
	// held are the keys that are locked.
	held map[callKey]bool
	// lockAll: all are to be locked. heldAll: they are.
	lockAll, heldAll bool
	// again are recordings named by reports that tell nothing new.
	again []wantedAgain
	// births are the ids of the calls that new legs give rise to.
	births map[callKey]string
	// origins are the items that first name a recording.
	origins map[recordingKey]origin
	// journaled is what the journal says of the deliveries, by UID; nil but when
	// a database is made again.
	journaled map[string]*call.JournaledDelivery
}

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
	if err := r.lockSuppressed(ctx, fresh); err != nil {
		return err
	}
	r.fill(fresh)
	if r.journaled != nil {
		if err := r.takeJournaled(ctx, fresh); err != nil {
			return err
		}
	}
	if err := r.conclude(ctx, fresh); err != nil {
		return err
	}
	if r.journaled != nil {
		r.keepOutcomes()
	}
	if err := r.writeDeliveries(ctx, fresh); err != nil {
		return err
	}
	if err := r.markRedacted(ctx); err != nil {
		return err
	}
	return r.followErasures(ctx)
}

// conclude gives the changed legs their calls, and writes both.
func (r *recorder) conclude(ctx context.Context, fresh []int) error {
	if err := r.matchListed(ctx); err != nil {
		return err
	}
	if err := r.joinCalls(ctx); err != nil {
		return err
	}
	r.leaveSuperseded()
	if err := r.recordLive(ctx, fresh); err != nil {
		return err
	}
	return r.compareCalls(ctx, r.writeCalls)
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
	if len(byUID) > 0 {
		err := selectMany(ctx, r.tx, "find known deliveries", "SELECT id, uid FROM deliveries WHERE uid IN ({rows})", "t",
			slices.Sorted(maps.Keys(byUID)), func(uid string, args []any) []any { return append(args, uid) },
			func(rows row) error {
				var id int64
				var uid string
				if err := rows.Scan(&id, &uid); err != nil {
					return err
				}
				known[byUID[uid]] = id
				return nil
			})
		if err == nil {
			err = r.tx.flush(ctx)
		}
		if err != nil {
			return nil, err
		}
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

// loadLegs asks for the legs that the reports are about.
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
	return selectMany(ctx, r.tx, "read legs", "SELECT id, call_id, facts FROM legs WHERE (leg_key, account) IN ({rows})", "tt",
		wanted, func(k legKey, args []any) []any { return append(args, k.key, k.account) }, r.scanLeg)
}

// scanLeg takes in a leg that is stored, unless it is known already: then it
// may have been changed.
func (r *recorder) scanLeg(rows row) error {
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
			r.noteOrigins(i, n)
			switch {
			case !known:
				l = &leg{Leg: *items[n].Leg, isNew: true, changed: true, json: items[n].LegJSON, born: derivedID(r.stored[i], n, "call", items[n].Leg.Key)}
				r.legs[k] = l
				items[n].Outcome = call.Recorded
			case l.Fill(*items[n].Leg):
				l.changed, l.json = true, ""
				items[n].Outcome = call.Recorded
			default:
				items[n].Outcome = call.Duplicate
				for _, w := range items[n].Leg.Recordings {
					r.again = append(r.again, wantedAgain{k.account, w})
				}
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
		// Of two with one key, which only a replay has, the stored one is first.
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Key, b.Key), cmp.Compare(b.id, a.id))
	})
	return changed
}

// writeCalls writes the changed legs, and the calls that follow from them.
func (r *recorder) writeCalls(ctx context.Context) error {
	if err := r.writeMerged(ctx); err != nil {
		return err
	}
	if err := r.writeSuperseded(ctx); err != nil {
		return err
	}
	changed := r.changedLegs()
	if err := r.writeLegs(ctx, changed); err != nil {
		return err
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
		if c.hasLost && c.isLoser {
			r.state(r.survivor(id)).hasLost = true // which has got what led to it
		}
	}
	for id, c := range r.calls {
		if !c.hasLost || c.isLoser {
			continue
		}
		// The others stay, with what they tell alone.
		touched[id] = c
		if err := r.tx.exec(ctx, "DELETE FROM call_links WHERE call_id = ?", id); err != nil {
			return fmt.Errorf("write call links: %w", err)
		}
		for _, l := range c.legs {
			addLinks(l)
		}
	}
	if err := r.writeKeys(ctx, keys, links); err != nil {
		return err
	}
	r.noteErased(touched)
	calls := make([]call.Call, 0, len(touched))
	var hidden []call.Leg
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		members := make([]call.Leg, 0, len(touched[id].legs))
		for _, l := range touched[id].legs {
			members = append(members, l.Leg)
		}
		c := call.Merge(members)
		c.ID = id
		calls = append(calls, c)
		for i := range members {
			if c.Hides(&members[i]) {
				hidden = append(hidden, members[i])
			}
		}
	}
	if err := r.tx.upsertCalls(ctx, calls, func(c call.Call) bool { return r.isNewCall(c.ID) }); err != nil {
		return err
	}
	if err := r.noteNumbers(ctx, calls); err != nil {
		return err
	}
	if err := r.writeTraces(ctx, changed, hidden); err != nil {
		return err
	}
	if err := r.wantRecordings(ctx, changed); err != nil {
		return err
	}
	if err := r.passHolds(ctx); err != nil {
		return err
	}
	if err := r.judgeAgain(ctx, r.changedCalls(touched)); err != nil {
		return err
	}
	return r.wakeRecordings(ctx)
}

func (r *recorder) writeLegs(ctx context.Context, legs []*leg) error {
	facts := map[*leg]string{}
	for _, l := range legs {
		text := l.json
		if text == "" {
			var err error
			if text, err = l.JSON(); err != nil {
				return fmt.Errorf("write leg %s: %w", l.Key, inputFault{err})
			}
		}
		facts[l] = text
	}
	return upsertMany(ctx, r.tx, "write legs", "INSERT INTO legs (id, account, leg_key, call_id, facts)", "itttt",
		" ON CONFLICT (leg_key, account) DO UPDATE SET call_id = excluded.call_id, facts = excluded.facts", legs,
		func(l *leg) bool { return l.isNew && r.knowsNew() },
		func(l *leg, args []any) []any { return append(args, l.id, l.Account, l.Key, l.callID, facts[l]) })
}

// knowsNew reports whether what was not found is taken for new: it was looked for
// under the locks of its call keys. A replay or a rebuild makes some of it on
// other grounds; and whoever was wrong once does not rely on it again.
func (r *recorder) knowsNew() bool { return !r.isReplay && !r.isAgain && r.journaled == nil }

func (r *recorder) isNewCall(id string) bool { return r.state(id).born && r.knowsNew() }

// changedCalls are those of the touched calls that were stored already.
func (r *recorder) changedCalls(touched map[string]*callState) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		if !touched[id].isNew {
			ids = append(ids, id)
		}
	}
	return ids
}

// writeDeliveries writes the deliveries with what became of them.
func (r *recorder) writeDeliveries(ctx context.Context, fresh []int) error {
	type bodyRow struct {
		sum, body []byte
	}
	type itemRow struct {
		delivery int64
		n        int
		call.Item
		leg  *leg
		told toldStart
	}
	rows := make([]*call.Delivery, 0, len(fresh))
	bodies := make([]bodyRow, 0, len(fresh))
	var items []itemRow
	for n, i := range fresh {
		d := r.stored[i]
		d.ID = r.deliveryIDs[n]
		if d.BodySHA256 == nil {
			sum := sha256.Sum256(d.Body)
			d.BodySHA256 = sum[:]
		}
		bodies = append(bodies, bodyRow{d.BodySHA256, d.Body})
		for k, it := range d.Items {
			row := itemRow{d.ID, k, it, r.itemLegs[i][k], r.told[&d.Items[k]]}
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
	err := insertMany(ctx, r.tx, "write bodies", "INSERT INTO bodies (sha256, body)", "bb", " ON CONFLICT DO NOTHING", bodies,
		func(b bodyRow, args []any) []any { return append(args, b.sum, notNil(b.body)) })
	if err != nil {
		return err
	}
	err = insertMany(ctx, r.tx, "write deliveries", "INSERT INTO deliveries (id, uid, account, received_at, method, content_type, query, body_sha256, remote_address, source, outcome, error)", "ittittbbtttt", "", rows,
		func(d *call.Delivery, args []any) []any {
			return append(args, d.ID, d.UID, d.Account, d.ReceivedAt.UnixMilli(), d.Method, d.ContentType,
				[]byte(d.Query), d.BodySHA256, d.RemoteAddress, string(d.Source), string(d.Outcome), d.Error)
		})
	if err != nil {
		return err
	}
	return insertMany(ctx, r.tx, "write delivery items", "INSERT INTO delivery_items (delivery_id, item, outcome, error, leg_id, told_leg, told_from, told_by)", "iittiiii", "", items,
		func(it itemRow, args []any) []any {
			var legID any
			if it.leg != nil {
				legID = it.leg.id
			}
			return it.told.append(append(args, it.delivery, it.n, string(it.Outcome), it.Error, legID))
		})
}

// append appends it as its columns are written.
func (t toldStart) append(args []any) []any {
	if t == (toldStart{}) {
		return append(args, nil, nil, nil)
	}
	return append(args, t.legID, t.from, t.by)
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// allocate asks for n new ids in ascending order, which are there after the
// next flush. Some may stay unused.
func (t *tx) allocate(ctx context.Context, sequence string, n int, ids *[]int64) error {
	if n == 0 {
		return nil
	}
	s := statement{what: "allocate ids", query: "UPDATE sequences SET value = value + ? WHERE name = ? RETURNING value", args: []any{n, sequence}}
	s.scan = func(r row) error {
		var last int64
		err := r.Scan(&last)
		for i := range n {
			*ids = append(*ids, last-int64(n)+int64(i)+1)
		}
		return err
	}
	if t.w.dialect.postgres {
		s.query, s.args = "SELECT nextval('"+sequence+"_ids') FROM generate_series(1, ?)", []any{n}
		s.scan = func(r row) error {
			var id int64
			err := r.Scan(&id)
			*ids = append(*ids, id) // nextval ascends
			return err
		}
	}
	return t.later(ctx, s)
}
