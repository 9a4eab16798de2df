package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file makes a database again from the journal: deliveries are recorded as
// they were when they came, by today's decoder, with the ids that they had.

// freshLegs is where the ids begin of legs that the journal does not know, for
// today's decoder reads what none did before.
const freshLegs = 1 << 40

// BeginRebuild prepares an empty database for being made again, or goes on with
// one where that was interrupted; last is the last segment that was taken in,
// with Number 0 if there is none. A database that holds anything is a
// call.Conflict error. Until EndRebuild, IsRebuilding says that it is not whole.
func (s *Store) BeginRebuild(ctx context.Context) (last call.JournalSegment, err error) {
	rebuilding, err := s.IsRebuilding(ctx)
	if err != nil {
		return last, err
	}
	if rebuilding {
		state, err := s.JournalState(ctx)
		return state.Last, err
	}
	holds, err := s.firstFilled(ctx)
	if err != nil {
		return last, err
	}
	if holds != "" {
		return last, call.Errorf(call.Conflict, "the database is not empty: it holds %s", holds)
	}
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		if err := t.exec(ctx, "UPDATE journal SET rebuilding = 1 WHERE id = 1"); err != nil {
			return err
		}
		return t.setSequence(ctx, "legs", freshLegs)
	})
	if err != nil {
		return last, fmt.Errorf("begin to make the database again: %w", err)
	}
	return last, nil
}

// IsRebuilding reports whether a rebuild was begun and not ended.
func (s *Store) IsRebuilding(ctx context.Context) (bool, error) {
	var yes int
	if err := s.read.QueryRowContext(ctx, "SELECT rebuilding FROM journal WHERE id = 1").Scan(&yes); err != nil {
		return false, fmt.Errorf("ask whether the database is being made again: %w", err)
	}
	return yes != 0, nil
}

// firstFilled names what an empty database would not have; empty if there is
// nothing.
func (s *Store) firstFilled(ctx context.Context) (string, error) {
	for _, q := range []struct{ table, what string }{
		{"deliveries", "deliveries"}, {"calls", "calls"}, {"recordings", "recordings"}, {"runs", "report runs"},
		{"journal_segments", "a journal"}, {"users", "users"}, {"tokens", "tokens"}, {"audit_entries", "an audit log"},
	} {
		found := false
		err := s.each(ctx, "SELECT 1 FROM "+q.table+" LIMIT 1", nil, func(*sql.Rows) error {
			found = true
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("look whether the database is empty: %w", err)
		}
		if found {
			return q.what, nil
		}
	}
	return "", nil
}

func (t *tx) setSequence(ctx context.Context, name string, value int64) error {
	if t.w.dialect.postgres {
		return t.exec(ctx, "SELECT setval('"+name+"_ids', GREATEST(CAST(? AS BIGINT), 1), CAST(? AS BIGINT) > 0)", value, value)
	}
	return t.exec(ctx, "UPDATE sequences SET value = ? WHERE name = ?", value, name)
}

// RebuildOptions say how deliveries are taken in again.
type RebuildOptions struct {
	// LiveMaxAge is how long a live call is remembered without a report, as
	// when the deliveries came (ForgetLiveCalls).
	LiveMaxAge time.Duration
}

// RebuildDeliveries records deliveries of the journal as if they came now, one
// after the other, and keeps their ids and what became of them. Their Items are
// those of today's decoder; journaled, in the same order, says what the journal
// knows. Those that are stored already are left as they are.
func (s *Store) RebuildDeliveries(ctx context.Context, deliveries []*call.Delivery, journaled []*call.JournaledDelivery, o RebuildOptions) error {
	ctx, cancel := context.WithTimeout(ctx, patientTimeout)
	defer cancel()
	for i, d := range deliveries {
		if err := takeErased(d, journaled[i]); err != nil {
			return fmt.Errorf("take in delivery %d of the journal: %w", journaled[i].ID, err)
		}
	}
	var noted []string
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		noted = nil
		before := len(t.entries)
		for _, lot := range apart(deliveries) {
			r := s.newRecorder(t)
			batch := deliveries[lot.from:lot.to]
			r.journaled = make(map[string]*call.JournaledDelivery, len(batch))
			for i, d := range batch {
				r.journaled[d.UID] = journaled[lot.from+i]
			}
			r.now = batch[len(batch)-1].ReceivedAt
			// Live calls were forgotten meanwhile.
			if err := t.exec(ctx, "DELETE FROM live_calls WHERE updated_at <= ?", batch[0].ReceivedAt.Add(-o.LiveMaxAge).UnixMilli()); err != nil {
				return err
			}
			if err := r.record(ctx, batch); err != nil {
				return err
			}
			if err := r.keepFormer(ctx); err != nil {
				return err
			}
			if err := r.keepErased(ctx); err != nil {
				return err
			}
			for _, d := range batch {
				if j := r.journaled[d.UID]; j.Erased != "" {
					if err := t.exec(ctx, "UPDATE deliveries SET erased = ?, error = ? WHERE uid = ?", j.Erased, j.Error, d.UID); err != nil {
						return err
					}
				}
			}
			noted = append(noted, r.noted...)
		}
		// The log has what came of this then.
		if err := t.flush(ctx); err != nil {
			return err
		}
		t.entries = t.entries[:before]
		return nil
	})
	if err != nil {
		return fmt.Errorf("take in %d deliveries of the journal: %w", len(deliveries), err)
	}
	s.ownNumbers.add(noted)
	return nil
}

// lot is a part of a list.
type lot struct{ from, to int }

// apart cuts deliveries into lots of which no two deliveries may be about the
// same call. Those of one lot may be recorded together: it comes to the same as
// one after the other. So a call that became one with another later does so
// again, and its id still leads there.
func apart(deliveries []*call.Delivery) []lot {
	var lots []lot
	seen := map[string]bool{}
	from := 0
	for i, d := range deliveries {
		names := namesIn(d)
		if i > from && slices.ContainsFunc(names, func(n string) bool { return seen[n] }) {
			lots, from = append(lots, lot{from, i}), i
			clear(seen)
		}
		for _, n := range names {
			seen[n] = true
		}
	}
	if from < len(deliveries) {
		lots = append(lots, lot{from, len(deliveries)})
	}
	return lots
}

// namesIn are all names by which a delivery may be found to be about a call.
func namesIn(d *call.Delivery) []string {
	var names []string
	for i := range d.Items {
		if l := d.Items[i].Leg; l != nil {
			names = append(names, l.ID(), l.CallKey().Value)
			for _, k := range l.Keys {
				names = append(names, k.Value)
			}
			for _, w := range l.Recordings {
				names = append(names, w.Source)
			}
			names = append(names, l.Traces()...)
		}
		if l := d.Items[i].Live; l != nil {
			names = append(names, l.Key.Value)
		}
	}
	return names
}

// takeJournaled gives the deliveries the ids and the new legs those that the
// journal knows.
func (r *recorder) takeJournaled(ctx context.Context, fresh []int) error {
	wanted := map[int64]*leg{}
	for _, i := range fresh {
		j := r.journaled[r.stored[i].UID]
		r.deliveryIDs = append(r.deliveryIDs, j.ID)
		for n, l := range r.itemLegs[i] {
			if l == nil || n >= len(j.Given) {
				continue
			}
			g := j.Given[n]
			for _, w := range g.Recordings {
				k := recordingKey{l.Account, w.Kind, w.Source}
				r.origins[k] = origin{w.ID, r.stored[i].ReceivedAt}
			}
			if l.isNew && l.id == 0 && g.LegID != 0 && wanted[g.LegID] == nil {
				wanted[g.LegID], l.id = l, g.LegID
				if g.CallID != "" && (g.LegFacts != nil || !isDerived(g.CallID)) {
					l.born = g.CallID
				}
			}
		}
	}
	// Read otherwise today, a leg may have gone apart in two.
	err := selectMany(ctx, r.tx, "look for legs", "SELECT id FROM legs WHERE id IN ({rows})", "i", slices.Sorted(maps.Keys(wanted)),
		func(id int64, args []any) []any { return append(args, id) }, func(row row) error {
			var id int64
			err := row.Scan(&id)
			wanted[id].id = 0
			return err
		})
	if err != nil {
		return err
	}
	if err := r.tx.flush(ctx); err != nil {
		return err
	}
	without := 0
	for _, l := range r.legs {
		if l.isNew && l.id == 0 {
			without++
		}
	}
	if err := r.tx.allocate(ctx, "legs", without, &r.legIDs); err != nil {
		return err
	}
	return r.tx.flush(ctx)
}

// keepOutcomes lets items keep what they told when they came: which of two
// nodes took them together, and so which was a duplicate, is not known.
func (r *recorder) keepOutcomes() {
	for _, d := range r.stored {
		j := r.journaled[d.UID]
		for n := range d.Items {
			it := &d.Items[n]
			if j != nil && n < len(j.Items) && (it.Leg != nil || it.Live != nil) && told(j.Items[n].Outcome) {
				it.Outcome = j.Items[n].Outcome
			}
		}
	}
}

// keepFormer lets the ids of calls that were drawn, and became one with others
// before the journal had them, lead to those.
func (r *recorder) keepFormer(ctx context.Context) error {
	type redirect struct{ former, call string }
	var rows []redirect
	for i, legs := range r.itemLegs {
		given := r.journaled[r.stored[i].UID].Given
		for n, l := range legs {
			if l == nil || n >= len(given) {
				continue
			}
			for _, id := range given[n].Formerly {
				rows = append(rows, redirect{id, l.callID})
			}
		}
	}
	return insertMany(ctx, r.tx, "lead former ids of calls", "INSERT INTO call_redirects (id, call_id)", "tt", " ON CONFLICT DO NOTHING", rows,
		func(x redirect, args []any) []any { return append(args, x.former, x.call) })
}

// RebuildEntries appends entries of the journal to the audit log, as they were.
// Those that are there already are passed over; a gap is an error.
func (s *Store) RebuildEntries(ctx context.Context, entries []audit.Entry) error {
	for chunk := range slices.Chunk(entries, backgroundRows) {
		err := s.change(ctx, func(ctx context.Context, t *tx) error {
			var size int64
			if _, err := t.one(ctx, "SELECT size FROM audit_head WHERE id = 0 {lock row}", nil, &size); err != nil {
				return err
			}
			for _, e := range chunk {
				if e.Seq < size {
					continue
				}
				if e.Seq > size+int64(len(t.entries)) {
					return fmt.Errorf("entry %d follows on %d", e.Seq, size+int64(len(t.entries))-1)
				}
				if err := t.audit(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("take in the audit log: %w", err)
		}
	}
	return nil
}

// RebuildSegment says that a segment was taken in whole.
func (s *Store) RebuildSegment(ctx context.Context, g call.JournalSegment) error {
	_, err := s.update(ctx, "INSERT INTO journal_segments ("+segmentColumns+") VALUES ("+strings.Repeat("?,", 11)+"?) ON CONFLICT DO NOTHING",
		g.Number, g.Previous, g.At.UnixMilli(), g.DeliveriesAfter, g.DeliveriesTo, g.Deliveries, g.EntriesFrom, g.EntriesTo, g.SHA256, g.Size, millis(g.RetainUntil), g.Revision)
	if err != nil {
		return fmt.Errorf("take in journal segment %d: %w", g.Number, err)
	}
	return nil
}

// CloseLog appends what the log said of the last segment, if that was the next
// that it said, as far as is known: then the log is as it was.
func (s *Store) CloseLog(ctx context.Context) error {
	state, err := s.JournalState(ctx)
	if err != nil {
		return err
	}
	entry, err := segmentEntry(state.Last)
	if err != nil {
		return err
	}
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var size int64
		if _, err := t.one(ctx, "SELECT size FROM audit_head WHERE id = 0 {lock row}", nil, &size); err != nil || size != state.Last.EntriesTo {
			return err
		}
		return t.audit(ctx, entry)
	})
	if err != nil {
		return fmt.Errorf("close the audit log: %w", err)
	}
	return nil
}

// Rebuilt counts what a database that was made again holds.
type Rebuilt struct {
	Calls      int64 `json:"calls"`
	Legs       int64 `json:"legs"`
	Recordings int64 `json:"recordings"`
}

// EndRebuild makes the database ready for use: ids go on behind those that were
// given, and pending recordings are waited for as if they were new.
func (s *Store) EndRebuild(ctx context.Context) (Rebuilt, error) {
	var counts Rebuilt
	state, err := s.JournalState(ctx)
	if err == nil {
		err = s.endRebuild(ctx, state.Last)
	}
	if err != nil {
		return counts, fmt.Errorf("end making the database again: %w", err)
	}
	err = s.each(ctx, "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM legs), (SELECT count(*) FROM recordings)", nil, func(rows *sql.Rows) error {
		return rows.Scan(&counts.Calls, &counts.Legs, &counts.Recordings)
	})
	if err != nil {
		return counts, fmt.Errorf("count what was made again: %w", err)
	}
	return counts, nil
}

func (s *Store) endRebuild(ctx context.Context, last call.JournalSegment) error {
	var legs, deliveries int64
	err := s.each(ctx, "SELECT (SELECT max(id) FROM (SELECT coalesce(max(id), 0) AS id FROM legs UNION ALL SELECT coalesce(max(told_leg), 0) FROM delivery_items) AS known), (SELECT coalesce(max(id), 0) FROM deliveries)", nil, func(rows *sql.Rows) error {
		return rows.Scan(&legs, &deliveries)
	})
	if err != nil {
		return err
	}
	// Those that are pending are waited for as if they were new.
	err = s.changeInSteps(ctx, "", `UPDATE recordings SET wanted_at = {now}, next_try_at = {now}
		WHERE id IN (SELECT id FROM recordings WHERE state = 'pending' AND wanted_at < ? LIMIT ?)`, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	actor := audit.ActorOf(ctx)
	return s.change(ctx, func(ctx context.Context, t *tx) error {
		var size int64
		if _, err := t.one(ctx, "SELECT size FROM audit_head WHERE id = 0 {lock row}", nil, &size); err != nil {
			return err
		}
		entry, err := audit.New(audit.DatabaseRebuilt, "", map[string]int64{"segment": last.Number, "entries": size})
		if err != nil {
			return err
		}
		entry.Actor = actor
		if err := t.audit(ctx, entry); err != nil {
			return err
		}
		for _, set := range []error{
			t.setSequence(ctx, "legs", legs),
			// Not below what the journal has seen: it goes on from there.
			t.setSequence(ctx, "deliveries", max(deliveries, last.DeliveriesTo)),
			t.settleRebuilt(ctx),
			t.settleErasures(ctx, actor),
			t.settleRedirects(ctx, actor),
			t.exec(ctx, "UPDATE journal SET rebuilding = 0 WHERE id = 1"),
		} {
			if set != nil {
				return set
			}
		}
		return nil
	})
}
