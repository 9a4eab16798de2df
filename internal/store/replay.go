package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file reads kept deliveries again. A leg is a function of its reports: so
// a leg that a replayed delivery speaks of is made anew of all deliveries that
// do, read by today's decoder, and its call of its legs. What was read wrongly
// before is so put right, not only added to.

// ReplayOptions say how deliveries are read again.
type ReplayOptions struct {
	// Decode sets the items of a delivery by today's decoder. It is called
	// within the transaction, and for other deliveries of the same legs too.
	Decode func(*call.Delivery)
	// DryRun: only find out what would change.
	DryRun bool
}

// Replay reads the deliveries with these ids again, in one transaction, and
// replaces what was made of them when they came; a few hundred at most. Others
// that must move to another leg with them are brought along, and not counted.
// An id that is not there is passed over. What an item told when it came,
// recorded or duplicate, stays so; one that told nothing then is recorded if it
// changes its leg now. Live calls do not begin again. Run twice it changes
// nothing the second time.
//
// A leg that no report speaks of any more stays, unless all of its reports turn
// out to speak of another one: then it, and its call, become one with that.
func (s *Store) Replay(ctx context.Context, ids []int64, o ReplayOptions) (call.Replayed, error) {
	ctx, cancel := context.WithTimeout(ctx, patientTimeout)
	defer cancel()
	var p *replay
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		p = &replay{recorder: s.newRecorder(t), decode: o.Decode}
		p.isReplay, p.compare, p.actor = true, true, actor
		err := p.run(ctx, ids)
		if err == nil && o.DryRun {
			err = errRehearsed
		}
		if err == nil && len(p.changes) > 0 {
			err = t.forgetKnown(ctx, slices.Sorted(maps.Keys(p.calls)))
		}
		return err
	})
	if err != nil && !errors.Is(err, errRehearsed) {
		return call.Replayed{}, fmt.Errorf("replay %d deliveries: %w", len(ids), notWritten(err))
	}
	if err == nil {
		s.ownNumbers.add(p.noted)
	}
	done := call.Replayed{Outcomes: map[call.DeliveryOutcome]int64{}, Changed: p.changes}
	for _, d := range p.stored {
		if slices.Contains(ids, d.ID) { // not brought along
			done.Outcomes[d.Outcome]++
		}
	}
	return done, nil
}

// replay is one run of Replay. The recorder's stored deliveries are those that
// are read again.
type replay struct {
	*recorder
	decode func(*call.Delivery)
	// was is what was made of the deliveries before, by id.
	was map[int64]*readBefore
	// spokenOf are the stored legs that the deliveries spoke of.
	spokenOf map[int64]bool
	// reports are what today's decoder reads of the legs that are touched, moved
	// what the items that spoke of a stored leg say, of whichever leg.
	reports map[legKey][]call.Leg
	moved   map[int64][]call.Leg
	// elsewhere are legs of which other deliveries spoke, too.
	elsewhere map[legKey]bool
}

// readBefore is what was made of a delivery.
type readBefore struct {
	outcome call.DeliveryOutcome
	err     string
	items   []itemBefore
}

type itemBefore struct {
	outcome call.DeliveryOutcome
	err     string
	legID   int64 // 0: none
	told    toldStart
}

// supersededLeg is a stored leg whose reports turned out to speak of another.
// callWas is its call before.
type supersededLeg struct {
	leg, by *leg
	callWas string
}

// maxReplayed bounds the deliveries of one transaction, together with those
// that must be read again with them.
const maxReplayed = 1000

func (p *replay) run(ctx context.Context, ids []int64) error {
	// Two replays of the same deliveries would write the same items.
	if _, err := p.lockKeys(ctx, []callKey{{kind: "replay"}}); err != nil {
		return err
	}
	if err := p.read(ctx, ids); err != nil {
		return err
	}
	var fresh []int
	// What is to be locked is known only when it has been read; what was read
	// before it was locked is read again.
	for more := true; more; {
		clear(p.legs)
		clear(p.calls)
		clear(p.tracesRead)
		fresh = fresh[:0]
		for i := range p.stored {
			fresh = append(fresh, i)
		}
		moving, err := p.loadTouched(ctx, fresh)
		if err != nil {
			return err
		}
		if len(moving) > 0 && len(p.stored)+len(moving) <= maxReplayed {
			// A report must not get lost between the leg that it leaves and
			// the one to which it goes.
			if err := p.read(ctx, moving); err != nil {
				return err
			}
			continue
		}
		p.reread()
		if err := p.loadListed(ctx); err != nil {
			return err
		}
		if more, err = p.lockKeys(ctx, p.touchedKeys(fresh)); err != nil {
			return err
		}
	}
	p.attribute(fresh)
	if err := p.askBorn(ctx); err != nil {
		return err
	}
	if err := p.tx.allocate(ctx, "legs", len(p.legs), &p.legIDs); err != nil {
		return err
	}
	if err := p.tx.flush(ctx); err != nil {
		return err
	}
	p.supersede()
	if err := p.conclude(ctx, fresh); err != nil {
		return err
	}
	if err := p.rewrite(ctx); err != nil {
		return err
	}
	return p.followErasures(ctx)
}

// read reads the deliveries and what was made of them, and decodes them.
func (p *replay) read(ctx context.Context, ids []int64) error {
	if p.was == nil {
		p.was, p.spokenOf = map[int64]*readBefore{}, map[int64]bool{}
	}
	err := p.eachDelivery(ctx, ids, func(d *call.Delivery) {
		p.was[d.ID] = &readBefore{outcome: d.Outcome, err: d.Error}
		p.decode(d)
		d.Body = nil
		p.stored = append(p.stored, d)
	})
	if err != nil {
		return err
	}
	// In the order in which they came.
	slices.SortFunc(p.stored, func(a, b *call.Delivery) int { return cmp.Compare(a.ID, b.ID) })
	return p.each(ctx, "read delivery items", "SELECT delivery_id, item, outcome, error, coalesce(leg_id, 0), coalesce(told_leg, 0), coalesce(told_from, 0), coalesce(told_by, 0) FROM delivery_items WHERE delivery_id IN ({rows}) ORDER BY delivery_id, item",
		ids, func(r row) error {
			var id, n int64
			var it itemBefore
			if err := r.Scan(&id, &n, &it.outcome, &it.err, &it.legID, &it.told.legID, &it.told.from, &it.told.by); err != nil {
				return err
			}
			was := p.was[id]
			if was == nil {
				return nil // of a delivery that is not kept any more
			}
			was.items = append(was.items, it) // numbered from 0 without gaps
			if it.legID != 0 {
				p.spokenOf[it.legID] = true
			}
			return nil
		})
}

// each runs a statement over ids, whose rows are scanned when it returns.
func (p *replay) each(ctx context.Context, what, query string, ids []int64, scan func(row) error) error {
	err := selectMany(ctx, p.tx, what, query, "i", ids, func(id int64, args []any) []any { return append(args, id) }, scan)
	if err != nil {
		return err
	}
	return p.tx.flush(ctx)
}

// eachDelivery reads deliveries with their bodies, one after the other.
func (p *replay) eachDelivery(ctx context.Context, ids []int64, f func(*call.Delivery)) error {
	return p.each(ctx, "read deliveries", "SELECT "+deliveryColumns+", (SELECT body FROM bodies WHERE sha256 = body_sha256) FROM deliveries WHERE erased <> 'whole' AND id IN ({rows})",
		ids, func(r row) error {
			d := &call.Delivery{}
			var query []byte
			err := r.Scan(&d.ID, &d.UID, &d.Account, timeInto{&d.ReceivedAt}, &d.Method, &d.ContentType, &query, &d.RemoteAddress,
				&d.Source, &d.Outcome, &d.Error, &d.Body)
			if err != nil {
				return err
			}
			d.Query = string(query)
			f(d)
			return nil
		})
}

// loadTouched reads the legs that the deliveries spoke of and those that they
// speak of, and the reports of all of these. moving are other deliveries, which
// spoke of one of these legs and by today's reading speak of another.
func (p *replay) loadTouched(ctx context.Context, fresh []int) (moving []int64, err error) {
	err = selectMany(ctx, p.tx, "read legs", "SELECT id, call_id, facts FROM legs WHERE id IN ({rows})", "i", slices.Sorted(maps.Keys(p.spokenOf)),
		func(id int64, args []any) []any { return append(args, id) }, p.scanLeg)
	if err != nil {
		return nil, err
	}
	if err := p.loadLegs(ctx, fresh); err != nil {
		return nil, err
	}
	if err := p.tx.flush(ctx); err != nil {
		return nil, err
	}
	p.reports, p.moved = map[legKey][]call.Leg{}, map[int64][]call.Leg{}
	byID := map[int64]legKey{}
	for k, l := range p.legs {
		byID[l.id] = k
	}
	for _, d := range p.stored {
		p.addReports(d, func(legKey) bool { return true })
		for n, it := range p.was[d.ID].items {
			if it.legID != 0 && n < len(d.Items) && d.Items[n].Leg != nil {
				p.moved[it.legID] = append(p.moved[it.legID], *d.Items[n].Leg)
			}
		}
	}
	others := map[int64][]legKey{}
	p.elsewhere = map[legKey]bool{}
	err = p.each(ctx, "find the deliveries of legs", "SELECT DISTINCT delivery_id, leg_id FROM delivery_items WHERE leg_id IN ({rows})",
		slices.Sorted(maps.Keys(byID)), func(r row) error {
			var delivery, leg int64
			err := r.Scan(&delivery, &leg)
			if p.was[delivery] == nil {
				others[delivery] = append(others[delivery], byID[leg])
				p.elsewhere[byID[leg]] = true
			}
			return err
		})
	if err != nil {
		return nil, err
	}
	err = p.eachDelivery(ctx, slices.Sorted(maps.Keys(others)), func(d *call.Delivery) {
		p.decode(d)
		p.addReports(d, func(k legKey) bool { return p.legs[k] != nil })
		if speaksOfAnother(d, others[d.ID]) {
			moving = append(moving, d.ID)
		}
	})
	return moving, err
}

// speaksOfAnother reports whether a delivery that spoke of the legs tells
// nothing of one of them any more, but of another.
func speaksOfAnother(d *call.Delivery, legs []legKey) bool {
	now := map[legKey]bool{}
	for _, it := range d.Items {
		if it.Leg != nil {
			now[legKey{it.Leg.Account, it.Leg.Key}] = true
		}
	}
	return len(now) > 0 && slices.ContainsFunc(legs, func(k legKey) bool { return !now[k] })
}

func (p *replay) addReports(d *call.Delivery, wanted func(legKey) bool) {
	for _, it := range d.Items {
		if it.Leg == nil {
			continue
		}
		if k := (legKey{it.Leg.Account, it.Leg.Key}); wanted(k) {
			p.reports[k] = append(p.reports[k], *it.Leg)
		}
	}
}

// reread makes the touched legs anew of their reports.
func (p *replay) reread() {
	for k, reports := range p.reports {
		l := p.legs[k]
		if l == nil {
			l = &leg{isNew: true, changed: true}
			l.Leg = l.Reread(reports, nil)
			p.legs[k] = l
			continue
		}
		before := l.Leg
		l.before, l.callWas = &before, l.callID
		if again := l.Reread(reports, p.moved[l.id]); !sameLeg(&before, &again) {
			l.Leg, l.changed = again, true
		}
	}
}

// loadListed reads the rows of call lists that are about the legs, as these
// were or as they are now.
func (p *replay) loadListed(ctx context.Context) error {
	var legs []call.Leg
	for _, l := range p.legs {
		p.lockAll = p.lockAll || l.NeedsMatch()
		legs = append(legs, l.Leg)
		if l.before != nil {
			legs = append(legs, *l.before)
		}
	}
	if err := p.askListed(ctx, legs); err != nil {
		return err
	}
	return p.tx.flush(ctx)
}

// sameLeg compares legs as they are stored.
func sameLeg(a, b *call.Leg) bool {
	one, err := a.JSON()
	if err != nil {
		return false
	}
	other, err := b.JSON()
	return err == nil && cleanText(one) == cleanText(other)
}

// touchedKeys are what is to be locked: every touched leg's own key, and the
// keys of its call before and after.
func (p *replay) touchedKeys(fresh []int) []callKey {
	var keys []callKey
	for _, l := range p.legs {
		keys = append(keys, callKey{l.Account, "", l.Key}, l.callKey())
		if !l.isNew {
			keys = append(keys, l.was)
		}
	}
	for k := range p.liveEvents(fresh) {
		keys = append(keys, k)
	}
	return keys
}

// attribute says of each item of the deliveries which leg it speaks of, and
// what became of it.
func (p *replay) attribute(fresh []int) {
	p.itemLegs = make([][]*leg, len(p.stored))
	for _, i := range fresh {
		items := p.stored[i].Items
		p.itemLegs[i] = make([]*leg, len(items))
		for n := range items {
			if items[n].Leg == nil {
				continue
			}
			l := p.legs[legKey{items[n].Leg.Account, items[n].Leg.Key}]
			p.itemLegs[i][n] = l
			p.noteOrigins(i, n)
			if l.isNew && l.born == "" {
				l.born = derivedID(p.stored[i], n, "call", l.Key)
			}
			items[n].Outcome = call.Duplicate
			if l.changed {
				items[n].Outcome = call.Recorded
			}
		}
	}
}

// askBorn looks whether what an item gave rise to when it was read otherwise has
// the id of a call that it would give rise to now.
func (p *replay) askBorn(ctx context.Context) error {
	born := map[string]*leg{}
	for _, l := range p.legs {
		if l.born != "" {
			born[l.born] = l
		}
	}
	ids := slices.Sorted(maps.Keys(born))
	for _, table := range []string{"calls", "call_redirects"} {
		err := selectMany(ctx, p.tx, "look for calls", "SELECT id FROM "+table+" WHERE id IN ({rows})", "t", ids,
			func(id string, args []any) []any { return append(args, id) }, func(r row) error {
				var id string
				err := r.Scan(&id)
				born[id].born = newID()
				return err
			})
		if err != nil {
			return err
		}
	}
	return p.tx.flush(ctx)
}

// supersede finds the legs that nobody speaks of any more because all of their
// reports speak of another. Such a leg goes where the other goes, and then goes
// for good.
func (p *replay) supersede() {
	by := map[int64]*leg{}
	for i, d := range p.stored {
		for n, it := range p.was[d.ID].items {
			if it.legID != 0 && n < len(d.Items) && p.itemLegs[i][n] != nil && by[it.legID] == nil {
				by[it.legID] = p.itemLegs[i][n]
			}
		}
	}
	for k, l := range p.legs {
		other := by[l.id]
		if l.isNew || other == nil || len(p.reports[k]) > 0 || p.elsewhere[k] {
			continue
		}
		if !l.IsSaidBy(p.moved[l.id]) {
			continue // reports that are not kept any more told of it, too
		}
		l.Leg, l.changed = other.Leg, true
		other.changed = true
		p.superseded = append(p.superseded, supersededLeg{l, other, l.callID})
	}
}

// leaveSuperseded takes the superseded legs out of their calls, once these are
// joined with those of the others, and out of what is written. What links to
// the calls of legs that were made anew is written anew, too.
func (r *recorder) leaveSuperseded() {
	if !r.isReplay {
		return
	}
	gone := map[*leg]bool{}
	for _, s := range r.superseded {
		gone[s.leg] = true
		delete(r.state(s.leg.callID).legs, s.leg.id)
		r.state(s.by.callID).hasLost = true
	}
	maps.DeleteFunc(r.legs, func(_ legKey, l *leg) bool { return gone[l] })
	for _, l := range r.legs {
		if l.changed && l.before != nil {
			r.state(l.callID).hasLost = true
		}
	}
}

// writeSuperseded removes the superseded legs and gives what they had to the
// others.
func (r *recorder) writeSuperseded(ctx context.Context) error {
	for _, s := range r.superseded {
		// Recordings are found by their call, which may be one with another by
		// now.
		if err := r.tx.exec(ctx, "UPDATE recordings SET leg_id = ?, call_id = ? WHERE call_id IN (?, ?) AND leg_id = ?",
			s.by.id, s.by.callID, s.callWas, r.survivor(s.callWas), s.leg.id); err != nil {
			return fmt.Errorf("remove legs: %w", err)
		}
		if err := r.tx.exec(ctx, "DELETE FROM legs WHERE id = ?", s.leg.id); err != nil {
			return fmt.Errorf("remove legs: %w", err)
		}
		r.parted = append(r.parted, mergedCalls{s.callWas, s.by.callID})
	}
	return nil
}

// rewrite writes what is made of the deliveries now, where it is something
// else.
func (p *replay) rewrite(ctx context.Context) error {
	type itemRow struct {
		delivery, n int64
		item        itemBefore
	}
	var rows []itemRow
	for i, d := range p.stored {
		was := p.was[d.ID]
		now := make([]itemBefore, len(d.Items))
		for n := range d.Items {
			it := &d.Items[n]
			if n < len(was.items) && (it.Leg != nil || it.Live != nil) && told(was.items[n].outcome) {
				it.Outcome = was.items[n].outcome
			}
			now[n] = itemBefore{outcome: it.Outcome, err: cleanText(it.Error), told: p.told[it]}
			if now[n].told == (toldStart{}) && n < len(was.items) {
				now[n].told = was.items[n].told
			}
			if l := p.itemLegs[i][n]; l != nil {
				now[n].legID = l.id
			}
		}
		d.Summarize()
		if d.Outcome != was.outcome || cleanText(d.Error) != was.err {
			if err := p.tx.exec(ctx, "UPDATE deliveries SET outcome = ?, error = ? WHERE id = ?", string(d.Outcome), d.Error, d.ID); err != nil {
				return fmt.Errorf("write deliveries: %w", err)
			}
		}
		if slices.Equal(now, was.items) {
			continue
		}
		if err := p.tx.exec(ctx, "DELETE FROM delivery_items WHERE delivery_id = ?", d.ID); err != nil {
			return fmt.Errorf("write delivery items: %w", err)
		}
		for n, it := range now {
			rows = append(rows, itemRow{d.ID, int64(n), it})
		}
	}
	return insertMany(ctx, p.tx, "write delivery items", "INSERT INTO delivery_items (delivery_id, item, outcome, error, leg_id, told_leg, told_from, told_by)", "iittiiii", "", rows,
		func(r itemRow, args []any) []any {
			var legID any
			if r.item.legID != 0 {
				legID = r.item.legID
			}
			return r.item.told.append(append(args, r.delivery, r.n, string(r.item.outcome), r.item.err, legID))
		})
}

// told reports whether an item had something to tell when it came.
func told(o call.DeliveryOutcome) bool { return o == call.Recorded || o == call.Duplicate }
