package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file takes a number out of rows. What is left of a leg is marked, and a
// call stays what follows from its legs.

// EraseCalls takes the customer's number out of calls and of all that is stored
// for them but deliveries: legs, identifiers, sources of recordings. Those that a
// hold keeps are left, and their items stay as they are.
func (s *Store) EraseCalls(ctx context.Context, erasureID string, callIDs []string) error {
	actor := audit.ActorOf(ctx)
	if err := s.catchUp(ctx, callIDs); err != nil {
		return erasing("calls", err)
	}
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		e := &eraser{recorder: s.newRecorder(t)}
		e.lockAll, e.actor = true, actor
		if _, err := e.lockKeys(ctx, []callKey{{kind: "erasure"}}); err != nil {
			return err
		}
		var err error
		if e.hashes, err = t.erasureKey(ctx); err != nil {
			return err
		}
		if err := e.addSurvivors(ctx, actor, erasureID, callIDs); err != nil {
			return err
		}
		if _, err := t.one(ctx, "SELECT number FROM erasures WHERE id = ?", []any{erasureID}, &e.number); err != nil {
			return err
		}
		if e.keyLost, err = t.lostKey(ctx, erasureID); err != nil {
			return err
		}
		done, err := e.calls(ctx, callIDs)
		if err != nil {
			return err
		}
		if err := e.followErasures(ctx); err != nil {
			return err
		}
		told, err := t.deliveriesOf(ctx, done)
		if err != nil {
			return err
		}
		if err := t.eraseFromJournal(ctx, erasureID, told); err != nil {
			return err
		}
		return t.erased(ctx, actor, erasureID, call.ErasedCall, done)
	})
	return erasing("calls", err)
}

type eraser struct {
	*recorder
	hashes erasureHashes
	// number is the erasure's; empty if it is forgotten. keyLost: nor can it be
	// told by its hash.
	number  string
	keyLost bool
}

// addSurvivors adds the calls to an erasure that calls of it became one with
// since it began.
func (e *eraser) addSurvivors(ctx context.Context, actor audit.Actor, erasureID string, callIDs []string) error {
	var ids []string
	err := selectMany(ctx, e.tx, "find what calls became", "SELECT call_id FROM call_redirects WHERE id IN ({rows})", "t", callIDs,
		func(id string, args []any) []any { return append(args, id) }, func(r row) error {
			var id string
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		})
	if err == nil {
		err = e.tx.flush(ctx)
	}
	if err != nil {
		return err
	}
	return e.tx.addErasureItems(ctx, actor, erasureID, ids)
}

// calls redacts the calls that no hold keeps, and returns the ids of those that
// are done.
func (e *eraser) calls(ctx context.Context, callIDs []string) (done []string, err error) {
	numbers := map[string]string{}
	held := map[string]bool{}
	err = selectMany(ctx, e.tx, "read calls", "SELECT id, customer_number, CASE WHEN "+heldCall("calls.id")+" THEN 1 ELSE 0 END FROM calls WHERE id IN ({rows})", "t",
		callIDs, func(id string, args []any) []any { return append(args, id) }, func(rows row) error {
			var id, number string
			var hold int
			if err := rows.Scan(&id, &number, &hold); err != nil {
				return err
			}
			numbers[id], held[id] = number, hold == 1
			return nil
		})
	if err == nil {
		err = e.tx.flush(ctx)
	}
	if err != nil {
		return nil, err
	}
	var redact []string
	for _, id := range callIDs {
		if held[id] {
			continue
		}
		done = append(done, id) // also one that is another's part, or redacted already
		if _, there := numbers[id]; there {
			redact = append(redact, id)
		}
	}
	if err := e.loadCalls(ctx, redact); err != nil {
		return nil, err
	}
	for _, id := range redact {
		number := e.number
		if e.keyLost {
			number = cmp.Or(number, numbers[id])
		}
		// It may have become one with another person's call.
		r := e.hashes.redactor(number)
		whole := numbers[id] == "" || r.IsNumber(numbers[id])
		for _, l := range e.state(id).legs {
			if l.Erased || !whole && !r.IsNumber(l.CustomerNumber) {
				continue
			}
			if err := e.leg(ctx, r, l); err != nil {
				return nil, err
			}
		}
		e.state(id).hasLost = true // its links are written anew
		if err := e.recordings(ctx, r, id, whole); err != nil {
			return nil, err
		}
	}
	if err := e.joinCalls(ctx); err != nil {
		return nil, err
	}
	return done, e.writeCalls(ctx)
}

func (e *eraser) leg(ctx context.Context, r *call.Redactor, l *leg) error {
	before := l.Key
	for _, trace := range l.Traces() {
		if err := e.tx.exec(ctx, "DELETE FROM list_traces WHERE value = ? AND account = ? AND leg_key = ?", trace, l.Account, l.Key); err != nil {
			return err
		}
	}
	r.Leg(&l.Leg)
	l.changed, l.json = true, ""
	if l.Key == before {
		return nil
	}
	return e.tx.exec(ctx, "UPDATE legs SET leg_key = ? WHERE id = ?", l.Key, l.id)
}

// recordings redacts where the call's audio lay, and the rows of call lists;
// whole: the call has no other customer.
func (e *eraser) recordings(ctx context.Context, r *call.Redactor, callID string, whole bool) error {
	type named struct{ id, name string }
	var sources, rows []named
	err := e.tx.each(ctx, "SELECT id, source FROM recordings WHERE call_id = ?", []any{callID}, func(row row) error {
		var n named
		err := row.Scan(&n.id, &n.name)
		sources = append(sources, n)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range sources {
		if !whole && !r.Holds(n.name) {
			continue
		}
		if err := e.tx.exec(ctx, "UPDATE recordings SET source = ?, location = '' WHERE id = ?", r.ID(n.name), n.id); err != nil {
			return err
		}
	}
	err = e.tx.each(ctx, "SELECT row_key FROM listed_rows WHERE call_id = ?", []any{callID}, func(row row) error {
		var n named
		err := row.Scan(&n.name)
		rows = append(rows, n)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range rows {
		if r.Holds(n.name) {
			if err := e.tx.exec(ctx, "UPDATE listed_rows SET row_key = ? WHERE row_key = ? AND call_id = ?", r.ID(n.name), n.name, callID); err != nil {
				return err
			}
		}
	}
	return nil
}

// EraseLive forgets the calls in progress with a number.
func (s *Store) EraseLive(ctx context.Context, number string) error {
	r := call.NewRedactor(number, nil)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		var keys []callKey
		err := t.each(ctx, "SELECT account, kind, value, customer_number FROM live_calls", nil, func(rows row) error {
			var k callKey
			var customer string
			err := rows.Scan(&k.account, &k.kind, &k.value, &customer)
			if r.IsNumber(customer) {
				keys = append(keys, k)
			}
			return err
		})
		for _, k := range keys {
			if err == nil {
				err = t.exec(ctx, "DELETE FROM live_calls WHERE account = ? AND kind = ? AND value = ?", k.account, string(k.kind), k.value)
			}
		}
		return err
	})
	return erasing("live calls", err)
}

// The two ways in which a delivery is erased.
const (
	erasedPart  = "part"
	erasedWhole = "whole"
)

// EraseDelivery takes the number out of a delivery. If all that it told of are
// calls of the erasure, or nothing that was kept, a note stands in the place of
// query and body; else just the number goes. Its calls are erased before. The
// SHA-256 of what was delivered stays. An erasure that does not know its number any more cannot do that: a
// call.Conflict error.
func (s *Store) EraseDelivery(ctx context.Context, erasure call.Erasure, ref string) error {
	actor := audit.ActorOf(ctx)
	id, err := strconv.ParseInt(ref, 10, 64)
	if err != nil {
		return erasing("a delivery", err)
	}
	unknown := false
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		unknown = false
		var query, sum, body []byte
		var was string
		found, err := t.one(ctx, "SELECT d.query, d.body_sha256, b.body, d.erased FROM deliveries d JOIN bodies b ON b.sha256 = d.body_sha256 WHERE d.id = ?", []any{id}, &query, &sum, &body, &was)
		if err != nil {
			return err
		}
		if !found || was != "" && erasure.Number == "" { // its own term is over, or it was done before a rebuild
			return t.erased(ctx, actor, erasure.ID, call.ErasedDelivery, []string{ref})
		}
		r := call.NewRedactor(erasure.Number, nil)
		whole, speaks := true, r.Holds(string(body))
		err = t.each(ctx, `SELECT l.leg_key, CASE WHEN EXISTS (SELECT 1 FROM erasure_items e WHERE e.erasure_id = ? AND e.kind = 'call' AND e.ref = l.call_id)
				AND l.facts LIKE '%"erased":true%' THEN 1 ELSE 0 END
			FROM delivery_items i JOIN legs l ON l.id = i.leg_id WHERE i.delivery_id = ?`, []any{erasure.ID, id}, func(rows row) error {
			var key string
			var ours int
			err := rows.Scan(&key, &ours)
			whole = whole && ours == 1
			speaks = speaks || bytes.Contains(body, []byte(key))
			return err
		})
		if err != nil {
			return err
		}
		if unknown, err = t.lostKey(ctx, erasure.ID); err != nil {
			return err
		}
		if unknown = unknown && !whole && erasure.Number == ""; unknown {
			return nil
		}
		how, newQuery, newBody := erasedPart, []byte(r.Text(string(query))), []byte(r.Text(string(body)))
		if whole {
			how, newQuery = erasedWhole, []byte{}
			if speaks { // others may have sent the same few bytes, such as {}
				newBody = []byte(erasedNote(erasure.ID) + "\n")
			}
		}
		asCame := sha256.Sum256(body) // the body of another that was the same may be erased
		if was == "" && how == erasedPart && bytes.Equal(query, newQuery) && bytes.Equal(body, newBody) && bytes.Equal(asCame[:], sum) {
			return t.doneWith(ctx, actor, erasure.ID, itemFacts{Kind: call.ErasedDelivery, Refs: []string{ref}, Untouched: true}) // another person's alone
		}
		if !bytes.Equal(body, newBody) {
			if err := t.exec(ctx, "UPDATE bodies SET body = ? WHERE sha256 = ?", newBody, sum); err != nil {
				return err
			}
		}
		if err := t.exec(ctx, "UPDATE deliveries SET query = ?, remote_address = CASE WHEN CAST(? AS TEXT) = 'whole' THEN '' ELSE remote_address END, erased = CAST(? AS TEXT), error = ? WHERE id = ?",
			newQuery, how, how, erasedNote(erasure.ID), id); err != nil {
			return err
		}
		if err := t.eraseFromJournal(ctx, erasure.ID, []int64{id}); err != nil {
			return err
		}
		return t.erased(ctx, actor, erasure.ID, call.ErasedDelivery, []string{ref})
	})
	if err == nil && unknown {
		err = call.Errorf(call.Conflict, "delivery %d tells of others, too, and the number is not known", id)
		return fmt.Errorf("erase a delivery: %w", err)
	}
	return erasing("a delivery", err)
}

// erasedNote stands in the place of what was erased.
func erasedNote(erasureID string) string { return "erased on request, erasure " + erasureID }

// DeliveryCalls returns the calls that a delivery told of.
func (s *Store) DeliveryCalls(ctx context.Context, ref string) ([]string, error) {
	id, err := strconv.ParseInt(ref, 10, 64)
	if err != nil {
		return nil, err
	}
	found := []call.Delivery{{ID: id}}
	return found[0].CallIDs, s.addCallIDs(ctx, found)
}

// EraseRecording says that a recording is erased, before its object is deleted,
// and returns its key; empty: there is none. Nobody fetches it any more.
func (s *Store) EraseRecording(ctx context.Context, erasureID, id string) (key string, err error) {
	_, err = s.act(ctx, `UPDATE recordings SET state = 'erased', reason = ?, next_try_at = NULL, lease_token = NULL, location = '', last_error = ''
		WHERE id = ? AND state <> 'erased' AND NOT `+heldCall("recordings.call_id")+" RETURNING "+auditedRecording,
		[]any{"erasure " + erasureID, id}, recordingEntry(audit.RecordingErased, nil))
	if err != nil {
		return "", erasing("a recording", err)
	}
	r, err := s.Recording(ctx, id)
	if err == nil && r.State != call.Erased {
		err = call.Errorf(call.Conflict, "recording %s came under a hold just now", id)
	}
	return r.ObjectKey, err
}

// EraseRecordingFailed says that the vault keeps the object after all.
func (s *Store) EraseRecordingFailed(ctx context.Context, id string) error {
	_, err := s.act(ctx, `UPDATE recordings SET state = 'archived', reason = '' WHERE id = ? AND state = 'erased' AND archived_at IS NOT NULL
		RETURNING `+auditedRecording, []any{id}, recordingEntry(audit.RecordingErasureFailed, nil))
	return erasing("a recording", err)
}

// ErasedAudio says that the object of a recording is gone.
func (s *Store) ErasedAudio(ctx context.Context, erasureID, id string) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		for _, table := range []string{"recording_media", "recording_analyses"} { // how it sounded
			if err := t.exec(ctx, "DELETE FROM "+table+" WHERE recording_id = ?", id); err != nil {
				return err
			}
		}
		return t.erased(ctx, actor, erasureID, call.ErasedAudio, []string{id})
	})
	return erasing("a recording", err)
}

// lockSuppressed is lock for reports of which numbers may have to be taken out
// first.
func (r *recorder) lockSuppressed(ctx context.Context, fresh []int) error {
	r.suppress(fresh)
	if err := r.lock(ctx, fresh); err != nil {
		return err
	}
	newer, err := r.loadSuppressed(ctx)
	if err != nil {
		return err
	}
	if newer { // identifiers may be others now
		r.suppress(fresh)
		if err := r.lock(ctx, fresh); err != nil {
			return err
		}
	}
	r.suppressKnown(fresh)
	return nil
}

// suppress redacts the reports of a batch that speak of calls from before their
// number was erased. It is called before what is stored is read, for
// identifiers may hold the number.
func (r *recorder) suppress(fresh []int) {
	list := r.suppressed
	if list == nil {
		return
	}
	for _, i := range fresh {
		d := r.stored[i]
		for n := range d.Items {
			l := d.Items[n].Leg
			if l == nil || l.Erased || l.CustomerNumber == "" {
				continue
			}
			hash := list.hashes.number(l.CustomerNumber)
			before, ok := list.numbers[hash]
			if began := l.Began(); !ok || !began.IsZero() && began.UnixMilli() > before {
				continue
			}
			r.redactDelivery(i, list.hashes.redactor(l.CustomerNumber))
			redacted := *l
			list.hashes.redactor(l.CustomerNumber).Leg(&redacted)
			d.Items[n].Leg, d.Items[n].LegJSON = &redacted, ""
			r.keptOut[legKey{redacted.Account, redacted.Key}] = hash
		}
	}
}

// suppressKnown redacts reports of legs that were erased, whatever they say of
// when that was.
func (r *recorder) suppressKnown(fresh []int) {
	for _, i := range fresh {
		for _, it := range r.stored[i].Items {
			if it.Leg == nil || it.Leg.Erased || it.Leg.CustomerNumber == "" {
				continue
			}
			if known := r.legs[legKey{it.Leg.Account, it.Leg.Key}]; known != nil && known.Erased {
				r.redactDelivery(i, call.NewRedactor(it.Leg.CustomerNumber, nil))
			}
		}
	}
}

func (r *recorder) redactDelivery(i int, by *call.Redactor) {
	d := r.stored[i]
	if d.BodySHA256 == nil {
		sum := sha256.Sum256(d.Body)
		d.BodySHA256 = sum[:]
	}
	d.Body, d.Query = []byte(by.Text(string(d.Body))), by.Text(d.Query)
	if !slices.Contains(r.redacted, i) {
		r.redacted = append(r.redacted, i)
	}
}

// markRedacted says of deliveries that they are not kept as they came.
func (r *recorder) markRedacted(ctx context.Context) error {
	for _, i := range r.redacted {
		if err := r.tx.exec(ctx, "UPDATE deliveries SET erased = 'part' WHERE id = ?", r.stored[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// suppressedNumbers are the erased numbers as hashes, with the moment before
// which their calls must not come back, in Unix milliseconds.
type suppressedNumbers struct {
	seq     int64
	hashes  erasureHashes
	numbers map[string]int64
}

// loadSuppressed brings the list up to date if there are newer ones, and says
// whether there were.
func (r *recorder) loadSuppressed(ctx context.Context) (newer bool, err error) {
	if r.suppressSeq == 0 || r.suppressed != nil && r.suppressed.seq >= r.suppressSeq {
		return false, nil
	}
	list := &suppressedNumbers{seq: r.suppressSeq, numbers: map[string]int64{}}
	if list.hashes, err = r.tx.erasureKey(ctx); err != nil {
		return false, err
	}
	err = r.tx.each(ctx, "SELECT number_hash, before_at FROM suppressed_numbers", nil, func(rows row) error {
		var hash string
		var before int64
		err := rows.Scan(&hash, &before)
		list.numbers[hash] = max(list.numbers[hash], before)
		return err
	})
	r.suppressed = list
	return true, err
}
