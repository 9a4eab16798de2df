package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// ClaimJournal makes the caller, who goes by a token, the one who writes the
// journal, for as long as the lease holds by the database's clock. Of all nodes
// one gets it, and renews it by claiming it again.
func (s *Store) ClaimJournal(ctx context.Context, token string, lease time.Duration) (won bool, err error) {
	n, err := s.update(ctx, `UPDATE journal SET lease_token = ?, lease_until = {now} + CAST(? AS BIGINT)
		WHERE id = 1 AND (lease_token IS NULL OR lease_token = ? OR lease_until <= {now})`, token, lease.Milliseconds(), token)
	if err != nil {
		return false, fmt.Errorf("claim the journal: %w", err)
	}
	return n == 1, nil
}

// ReleaseJournal lets another node write the journal.
func (s *Store) ReleaseJournal(ctx context.Context, token string) error {
	if _, err := s.update(ctx, "UPDATE journal SET lease_token = NULL, lease_until = NULL WHERE lease_token = ?", token); err != nil {
		return fmt.Errorf("release the journal: %w", err)
	}
	return nil
}

const segmentColumns = "number, previous, at, deliveries_after, deliveries_to, deliveries, entries_from, entries_to, sha256, size, retain_until, revision"

func segmentFields(g *call.JournalSegment) []any {
	return []any{&g.Number, &g.Previous, timeInto{&g.At}, &g.DeliveriesAfter, &g.DeliveriesTo, &g.Deliveries, &g.EntriesFrom, &g.EntriesTo, &g.SHA256, &g.Size, timeInto{&g.RetainUntil}, &g.Revision}
}

// JournalState says how far the journal is.
func (s *Store) JournalState(ctx context.Context) (call.JournalState, error) {
	var state call.JournalState
	err := s.each(ctx, "SELECT "+segmentColumns+" FROM journal_segments ORDER BY number DESC LIMIT 2", nil, func(rows *sql.Rows) error {
		var g call.JournalSegment
		if err := rows.Scan(segmentFields(&g)...); err != nil {
			return err
		}
		switch {
		case g.SHA256 == "":
			state.Planned = &g
		case state.Last.Number == 0:
			state.Last = g
		}
		return nil
	})
	if err == nil {
		err = s.each(ctx, "SELECT erased FROM journal WHERE id = 1", nil, func(rows *sql.Rows) error { return rows.Scan(&state.Erased) })
	}
	if err != nil {
		return state, fmt.Errorf("read how far the journal is: %w", err)
	}
	return state, nil
}

// JournalLag is since when the oldest delivery waits that is not in the
// journal; zero if none does.
func (s *Store) JournalLag(ctx context.Context) (oldest time.Time, err error) {
	err = s.each(ctx, `SELECT received_at FROM deliveries WHERE id >
		(SELECT coalesce(max(deliveries_to), 0) FROM journal_segments WHERE sha256 <> '') ORDER BY id LIMIT 1`, nil,
		func(rows *sql.Rows) error { return rows.Scan(timeInto{&oldest}) })
	if err != nil {
		return oldest, fmt.Errorf("measure how late the journal is: %w", err)
	}
	return oldest, nil
}

// settlePoll is how often it is looked whether transactions have ended.
const settlePoll = 20 * time.Millisecond

// SettledDeliveries is the highest id up to which all deliveries are known: none
// with a lower one will appear any more. It waits for the transactions under way
// as long as ctx lives.
//
// On SQLite ids appear in their order. On PostgreSQL they do not: an id is drawn
// within a transaction, and a later one may be committed earlier. But whoever
// draws one holds the lock that all recorders share (recorder.lock), from before
// the draw until the end of the transaction. So of those who have drawn up to
// now each either has ended or is seen holding that lock; when all who are seen
// have ended, every id drawn up to now is visible or never will be. Recording
// pays nothing for this.
func (s *Store) SettledDeliveries(ctx context.Context) (int64, error) {
	drawn, err := s.drawnDeliveries(ctx)
	if err == nil && s.dialect.postgres {
		err = s.awaitRecorders(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("find the deliveries that are settled: %w", err)
	}
	return drawn, nil
}

// drawnDeliveries is the highest id that was drawn for a delivery.
func (s *Store) drawnDeliveries(ctx context.Context) (drawn int64, err error) {
	query := "SELECT value FROM sequences WHERE name = 'deliveries'"
	if s.dialect.postgres {
		query = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM deliveries_ids"
	}
	err = s.each(ctx, query, nil, func(rows *sql.Rows) error { return rows.Scan(&drawn) })
	return drawn, err
}

// awaitRecorders waits until all transactions have ended that hold the
// recorders' lock now.
func (s *Store) awaitRecorders(ctx context.Context) error {
	var waiting map[string]bool
	for {
		now := map[string]bool{}
		err := s.each(ctx, `SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND classid = 0 AND objid = 0 AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, nil,
			func(rows *sql.Rows) error {
				var id string
				err := rows.Scan(&id)
				now[id] = true
				return err
			})
		if err != nil {
			return err
		}
		if waiting == nil {
			waiting = now
		}
		maps.DeleteFunc(waiting, func(id string, _ bool) bool { return !now[id] })
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePoll):
		}
	}
}

// journalPage is how many deliveries are read at a time: each may have a body
// of a mebibyte.
const journalPage = 64

// JournalDeliveries yields the deliveries with after < id <= to in the order of
// their ids, as the journal keeps them. It ends after an error.
func (s *Store) JournalDeliveries(ctx context.Context, after, to int64) iter.Seq2[*call.JournaledDelivery, error] {
	return func(yield func(*call.JournaledDelivery, error) bool) {
		for {
			page, err := s.journalPage(ctx, after, to)
			if err != nil {
				yield(nil, fmt.Errorf("read deliveries for the journal: %w", err))
				return
			}
			for _, d := range page {
				if !yield(d, nil) {
					return
				}
				after = d.ID
			}
			if len(page) < journalPage {
				return
			}
		}
	}
}

func (s *Store) journalPage(ctx context.Context, after, to int64) ([]*call.JournaledDelivery, error) {
	var page []*call.JournaledDelivery
	byID := map[int64]*call.JournaledDelivery{}
	err := s.each(ctx, "SELECT "+deliveryColumns+`, body_sha256, erased, (SELECT body FROM bodies WHERE sha256 = body_sha256) FROM deliveries
		WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`, []any{after, to, journalPage}, func(rows *sql.Rows) error {
		d := &call.JournaledDelivery{}
		page = append(page, d)
		var query []byte
		err := rows.Scan(&d.ID, &d.UID, &d.Account, timeInto{&d.ReceivedAt}, &d.Method, &d.ContentType, &query, &d.RemoteAddress,
			&d.Source, &d.Outcome, &d.Error, &d.BodySHA256, &d.Erased, &d.Body)
		d.Query = string(query)
		byID[d.ID] = d
		return err
	})
	if err != nil || len(page) == 0 {
		return nil, err
	}
	// What the ids of drawn calls and recordings are must be said; others
	// follow from their deliveries.
	drawn := map[string]bool{}
	err = s.each(ctx, `SELECT i.delivery_id, i.outcome, i.error, coalesce(i.leg_id, 0), coalesce(l.call_id, '') FROM delivery_items i
		LEFT JOIN legs l ON l.id = i.leg_id WHERE i.delivery_id >= ? AND i.delivery_id <= ? ORDER BY i.delivery_id, i.item`,
		[]any{page[0].ID, page[len(page)-1].ID}, func(rows *sql.Rows) error {
			var id int64
			var it call.Item
			var given call.GivenIDs
			if err := rows.Scan(&id, &it.Outcome, &it.Error, &given.LegID, &given.CallID); err != nil {
				return err
			}
			d := byID[id]
			if d == nil {
				return nil
			}
			d.Items, d.Given = append(d.Items, it), append(d.Given, given)
			if given.CallID != "" && !isDerived(given.CallID) {
				drawn[given.CallID] = true
			}
			return nil
		})
	if err == nil && len(drawn) > 0 {
		err = s.addDrawn(ctx, page, slices.Sorted(maps.Keys(drawn)))
	}
	if err == nil {
		err = s.AddErased(ctx, page)
	}
	return page, err
}

// addDrawn adds what is known of calls whose ids were drawn.
func (s *Store) addDrawn(ctx context.Context, page []*call.JournaledDelivery, calls []string) error {
	formerly := map[string][]string{}
	recordings := map[int64][]call.GivenRecording{}
	err := inChunks(calls, func(chunk []string) error {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		err := s.each(ctx, "SELECT call_id, id FROM call_redirects WHERE call_id IN "+tuples(1, len(args))+" ORDER BY id", args, func(rows *sql.Rows) error {
			var id, was string
			err := rows.Scan(&id, &was)
			if !isDerived(was) {
				formerly[id] = append(formerly[id], was)
			}
			return err
		})
		if err != nil {
			return err
		}
		return s.each(ctx, "SELECT leg_id, id, kind, source FROM recordings WHERE call_id IN "+tuples(1, len(args))+" ORDER BY id", args, func(rows *sql.Rows) error {
			var leg int64
			var r call.GivenRecording
			err := rows.Scan(&leg, &r.ID, &r.Kind, &r.Source)
			if !isDerived(r.ID) {
				recordings[leg] = append(recordings[leg], r)
			}
			return err
		})
	})
	for _, d := range page {
		for i := range d.Given {
			g := &d.Given[i]
			g.Formerly, g.Recordings = formerly[g.CallID], recordings[g.LegID]
		}
	}
	return err
}

// errJournalLost is what a node gets that does not write the journal any more.
func errJournalLost() error {
	return call.Errorf(call.Conflict, "another node writes the journal: the lease was lost")
}

// whoWrites holds only for the node that has the lease.
const whoWrites = " EXISTS (SELECT 1 FROM journal WHERE id = 1 AND lease_token = ? AND lease_until > {now})"

// PlanSegment commits what the next segment will hold, before it is put. erased
// is JournalState.Erased from before the rows were read. A loser of the lease
// gets a call.Conflict error, as does one who plans what another has, or has
// read rows from which something was erased meanwhile.
func (s *Store) PlanSegment(ctx context.Context, token string, g call.JournalSegment, erased int64) error {
	// Of two who plan at once one waits for the other's row; so the bounds of
	// the one that is lost are never used. Whoever erases waits, too, and then
	// sees the segment.
	var n int64
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.exec(ctx, "SELECT 1 FROM journal WHERE id = 1 {lock row}")
		if err != nil {
			return err
		}
		return t.later(ctx, statement{affected: &n, query: "INSERT INTO journal_segments (" + segmentColumns + `)
			SELECT CAST(? AS BIGINT), ?, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), '', 0, CAST(? AS BIGINT), 0
			FROM journal WHERE id = 1 AND lease_token = ? AND lease_until > {now} AND erased = ? ON CONFLICT DO NOTHING`,
			args: []any{g.Number, g.Previous, g.At.UnixMilli(), g.DeliveriesAfter, g.DeliveriesTo, g.Deliveries, g.EntriesFrom, g.EntriesTo, millis(g.RetainUntil), token, erased}})
	})
	if err != nil {
		return fmt.Errorf("plan journal segment %d: %w", g.Number, err)
	}
	if n == 0 {
		return errJournalLost()
	}
	return nil
}

// FinishSegment says that a planned segment is in the vault, with its hash and
// size. A loser of the lease gets a call.Conflict error.
func (s *Store) FinishSegment(ctx context.Context, token string, g call.JournalSegment) error {
	entry, err := segmentEntry(g)
	if err != nil {
		return err
	}
	var n int64
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.later(ctx, statement{
			query: "UPDATE journal_segments SET sha256 = ?, size = ?, deliveries = ? WHERE number = ? AND sha256 = '' AND" + whoWrites,
			args:  []any{g.SHA256, g.Size, g.Deliveries, g.Number, token}, affected: &n,
		})
		if err = errors.Join(err, t.flush(ctx)); err != nil || n == 0 {
			return err
		}
		return t.audit(ctx, entry)
	})
	if err != nil {
		return fmt.Errorf("finish journal segment %d: %w", g.Number, err)
	}
	if n == 0 {
		return errJournalLost()
	}
	return nil
}

// segmentEntry is what the audit log says of a segment. It follows from the
// segment alone, so that it can be made again where no later one holds it.
func segmentEntry(g call.JournalSegment) (audit.Entry, error) {
	e, err := audit.New(audit.JournalWritten, fmt.Sprintf("journal/%d", g.Number), struct {
		SHA256          string `json:"sha256"`
		Size            int64  `json:"size"`
		Previous        string `json:"previous"`
		DeliveriesAfter int64  `json:"deliveries_after"`
		DeliveriesTo    int64  `json:"deliveries_to"`
		Deliveries      int64  `json:"deliveries"`
		EntriesFrom     int64  `json:"entries_from"`
		EntriesTo       int64  `json:"entries_to"`
	}{g.SHA256, g.Size, g.Previous, g.DeliveriesAfter, g.DeliveriesTo, g.Deliveries, g.EntriesFrom, g.EntriesTo})
	e.At, e.Actor = g.At, audit.Actor{Kind: audit.KindSystem}
	return e, err
}
