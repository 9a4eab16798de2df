package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file lets segments of the journal be written again with something less.
// The new object is planned, put, then committed with an entry in the audit log;
// then the old one is deleted. Whoever is interrupted in between is gone on with.

// Segment returns a segment that is in the vault, or a call.NotFound error.
func (s *Store) Segment(ctx context.Context, number int64) (call.JournalSegment, error) {
	var g call.JournalSegment
	err := s.each(ctx, "SELECT "+segmentColumns+" FROM journal_segments WHERE number = ? AND sha256 <> ''", []any{number}, func(rows *sql.Rows) error {
		return rows.Scan(segmentFields(&g)...)
	})
	if err != nil {
		return g, fmt.Errorf("read journal segment %d: %w", number, err)
	}
	if g.Number == 0 {
		return g, call.Errorf(call.NotFound, "journal segment %d is not in the vault yet", number)
	}
	return g, nil
}

// PlanRewrite commits under which key a segment will be put again, which key
// makes of its next revision, and returns that revision. One that was planned
// and not finished is gone on with.
func (s *Store) PlanRewrite(ctx context.Context, number int64, key func(revision int64) string) (revision int64, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		if err := t.exec(ctx, "SELECT 1 FROM journal_segments WHERE number = ? {lock row}", number); err != nil {
			return err
		}
		found, err := t.one(ctx, "SELECT revision FROM journal_objects WHERE number = ? AND state = 'planned'", []any{number}, &revision)
		if err != nil || found {
			return err
		}
		_, err = t.one(ctx, `SELECT 1 + max(r) FROM (SELECT revision AS r FROM journal_segments WHERE number = ?
			UNION ALL SELECT revision FROM journal_objects WHERE number = ?) AS known`, []any{number, number}, &revision)
		if err != nil {
			return err
		}
		return t.exec(ctx, "INSERT INTO journal_objects (number, revision, object_key, state) VALUES (?, ?, ?, 'planned')", number, revision, key(revision))
	})
	if err != nil {
		return 0, fmt.Errorf("plan to write journal segment %d again: %w", number, err)
	}
	return revision, nil
}

// PlannedSegments returns the objects that segments are just being put again as,
// or were when somebody was interrupted: they may be in the vault, or not.
func (s *Store) PlannedSegments(ctx context.Context) ([]call.SegmentObject, error) {
	var planned []call.SegmentObject
	err := s.each(ctx, "SELECT number, revision, object_key FROM journal_objects WHERE state = 'planned' ORDER BY number", nil, func(rows *sql.Rows) error {
		var o call.SegmentObject
		err := rows.Scan(&o.Number, &o.Revision, &o.ObjectKey)
		planned = append(planned, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find planned objects of the journal: %w", err)
	}
	return planned, nil
}

// DropRewrite says that what lies under the key of a planned revision is not
// what belongs there any more, and is to be deleted.
func (s *Store) DropRewrite(ctx context.Context, o call.SegmentObject) error {
	_, err := s.update(ctx, "UPDATE journal_objects SET state = 'old', sha256 = ?, size = ? WHERE number = ? AND revision = ? AND state = 'planned'",
		o.SHA256, o.Size, o.Number, o.Revision)
	if err != nil {
		return fmt.Errorf("drop a revision of journal segment %d: %w", o.Number, err)
	}
	return nil
}

// FinishRewrite says that a segment's planned revision is in the vault and
// counts from now on, and that the old one, under oldKey, is to be deleted. It is
// a call.Conflict error if another has written the segment again meanwhile. why
// is that of call.JournalRewrite.
func (s *Store) FinishRewrite(ctx context.Context, old, g call.JournalSegment, oldKey, why string) error {
	entry, err := audit.New(audit.JournalRewritten, segmentSubject(g.Number), call.JournalRewrite{
		Number: g.Number, Revision: g.Revision, OldSHA256: old.SHA256, SHA256: g.SHA256, Size: g.Size, Deliveries: g.Deliveries, Why: why,
	})
	if err != nil {
		return err
	}
	entry.Actor = audit.ActorOf(ctx)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var planned, counts int64
		err := t.later(ctx, statement{affected: &counts, query: `UPDATE journal_segments SET sha256 = ?, size = ?, deliveries = ?, revision = ?
			WHERE number = ? AND sha256 = ? AND revision = ?`, args: []any{g.SHA256, g.Size, g.Deliveries, g.Revision, g.Number, old.SHA256, old.Revision}})
		if err == nil {
			err = t.later(ctx, statement{affected: &planned, query: "DELETE FROM journal_objects WHERE number = ? AND revision = ? AND state = 'planned'", args: []any{g.Number, g.Revision}})
		}
		if err == nil {
			err = t.flush(ctx)
		}
		if err == nil && (planned == 0 || counts == 0) {
			err = call.Errorf(call.Conflict, "journal segment %d was written again meanwhile", g.Number)
		}
		if err == nil {
			err = t.exec(ctx, "INSERT INTO journal_objects (number, revision, object_key, state, sha256, size) VALUES (?, ?, ?, 'old', ?, ?)",
				old.Number, old.Revision, oldKey, old.SHA256, old.Size)
		}
		if err != nil {
			return err
		}
		return t.audit(ctx, entry)
	})
	if err != nil {
		return fmt.Errorf("note that journal segment %d was written again: %w", g.Number, err)
	}
	return nil
}

func segmentSubject(number int64) string { return fmt.Sprintf("journal/%d", number) }

// OldSegments returns objects of segments that do not count any more and are
// still to be deleted; of one segment, or of all with number 0. noted is false
// as long as the journal in the vault does not tell yet that another has taken
// their places: until then they must stay, for the database may be lost.
func (s *Store) OldSegments(ctx context.Context, number int64, f func(o call.SegmentObject, noted bool) error) error {
	type old struct {
		call.SegmentObject
		noted bool
	}
	var found []old
	err := s.each(ctx, `SELECT number, revision, object_key, sha256, size, until_at,
			coalesce((SELECT max(seq) FROM audit_entries WHERE subject <> '' AND subject = 'journal/' || CAST(o.number AS TEXT) AND action = ?), -1)
				< (SELECT coalesce(max(entries_to), 0) FROM journal_segments WHERE sha256 <> '')
		FROM journal_objects o WHERE state = 'old' AND (number = ? OR ? = 0) ORDER BY number, revision`,
		[]any{string(audit.JournalRewritten), number, number}, func(rows *sql.Rows) error {
			var o old
			err := rows.Scan(&o.Number, &o.Revision, &o.ObjectKey, &o.SHA256, &o.Size, timeInto{&o.Until}, &o.noted)
			found = append(found, o)
			return err
		})
	if err != nil {
		return fmt.Errorf("find old objects of the journal: %w", err)
	}
	for _, o := range found {
		if err := f(o.SegmentObject, o.noted); err != nil {
			return err
		}
	}
	return nil
}

// AddOldSegment says that an object lies in the vault beside that of a segment
// that counts, and is to be deleted.
func (s *Store) AddOldSegment(ctx context.Context, o call.SegmentObject) error {
	_, err := s.update(ctx, "INSERT INTO journal_objects (number, revision, object_key, state, sha256, size) VALUES (?, ?, ?, 'old', ?, ?) ON CONFLICT DO NOTHING",
		o.Number, o.Revision, o.ObjectKey, o.SHA256, o.Size)
	if err != nil {
		return fmt.Errorf("note that %s is to be deleted: %w", o.ObjectKey, err)
	}
	return nil
}

// KeepOldSegment notes until when the vault keeps an old object of a segment.
func (s *Store) KeepOldSegment(ctx context.Context, o call.SegmentObject) error {
	if _, err := s.update(ctx, "UPDATE journal_objects SET until_at = ? WHERE number = ? AND revision = ? AND state = 'old'", millis(o.Until), o.Number, o.Revision); err != nil {
		return fmt.Errorf("note the lock of %s: %w", o.ObjectKey, err)
	}
	return nil
}

// ForgetOldSegment says that an old object of a segment is gone from the vault.
func (s *Store) ForgetOldSegment(ctx context.Context, o call.SegmentObject) error {
	if _, err := s.update(ctx, "DELETE FROM journal_objects WHERE number = ? AND revision = ? AND state = 'old'", o.Number, o.Revision); err != nil {
		return fmt.Errorf("note that %s is gone: %w", o.ObjectKey, err)
	}
	return nil
}

// ThinnedSegments returns the numbers of segments with deliveries that the
// database has no more, because their term was over.
func (s *Store) ThinnedSegments(ctx context.Context) ([]int64, error) {
	var numbers []int64
	err := s.each(ctx, `SELECT number FROM journal_segments WHERE sha256 <> '' AND deliveries >
		(SELECT count(*) FROM deliveries WHERE id > deliveries_after AND id <= deliveries_to) ORDER BY number`, nil, func(rows *sql.Rows) error {
		var n int64
		err := rows.Scan(&n)
		numbers = append(numbers, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find segments with forgotten deliveries: %w", err)
	}
	return numbers, nil
}

// AddErased adds to deliveries of the journal what the rows tell of legs from
// which a number was erased: GivenIDs with LegFacts.
func (s *Store) AddErased(ctx context.Context, page []*call.JournaledDelivery) error {
	erased := false
	err := s.each(ctx, "SELECT 1 FROM suppressed_numbers LIMIT 1", nil, func(*sql.Rows) error {
		erased = true
		return nil
	})
	if err != nil || !erased {
		return err
	}
	legs := map[int64]call.GivenIDs{}
	for _, d := range page {
		for _, g := range d.Given {
			if g.LegID != 0 {
				legs[g.LegID] = call.GivenIDs{}
			}
		}
	}
	err = inChunks(slices.Sorted(maps.Keys(legs)), func(chunk []int64) error { return s.readErased(ctx, chunk, legs) })
	if err != nil {
		return fmt.Errorf("read erased legs: %w", err)
	}
	for _, d := range page {
		for i, g := range d.Given {
			if erased := legs[g.LegID]; erased.LegFacts != nil {
				d.Given[i] = erased
			}
		}
	}
	return nil
}

func (s *Store) readErased(ctx context.Context, ids []int64, legs map[int64]call.GivenIDs) error {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	calls := map[string][]int64{}
	err := s.each(ctx, "SELECT id, call_id, facts FROM legs WHERE facts LIKE '%\"erased\":true%' AND id IN "+tuples(1, len(args)), args, func(rows *sql.Rows) error {
		var g call.GivenIDs
		var facts string
		if err := rows.Scan(&g.LegID, &g.CallID, &facts); err != nil {
			return err
		}
		var l call.Leg
		if err := json.Unmarshal([]byte(facts), &l); err != nil || !l.Erased {
			return err
		}
		g.LegFacts = json.RawMessage(facts)
		legs[g.LegID] = g
		calls[g.CallID] = append(calls[g.CallID], g.LegID)
		return nil
	})
	if err != nil || len(calls) == 0 {
		return err
	}
	of := slices.Sorted(maps.Keys(calls))
	args = make([]any, len(of))
	for i, id := range of {
		args[i] = id
	}
	err = s.each(ctx, "SELECT call_id, id FROM call_redirects WHERE call_id IN "+tuples(1, len(args))+" ORDER BY id", args, func(rows *sql.Rows) error {
		var id, was string
		err := rows.Scan(&id, &was)
		for _, l := range calls[id] {
			g := legs[l]
			g.Formerly = append(g.Formerly, was)
			legs[l] = g
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.each(ctx, "SELECT leg_id, id, kind, source, created_at, host FROM recordings WHERE call_id IN "+tuples(1, len(args))+" ORDER BY id", args, func(rows *sql.Rows) error {
		var l int64
		var r call.GivenRecording
		err := rows.Scan(&l, &r.ID, &r.Kind, &r.Source, timeInto{&r.CreatedAt}, &r.Host)
		if g := legs[l]; g.LegFacts != nil {
			g.Recordings = append(g.Recordings, r)
			legs[l] = g
		}
		return err
	})
}

// eraseFromJournal lists the segments that hold deliveries as parts of an
// erasure, when something was erased from those rows: what the journal may just
// be reading is not used.
func (t *tx) eraseFromJournal(ctx context.Context, erasureID string, deliveries []int64) error {
	if err := t.exec(ctx, "UPDATE journal SET erased = erased + 1 WHERE id = 1"); err != nil {
		return err
	}
	return selectMany(ctx, t, "list segments of the journal", `WITH d (erasure, id) AS ({rows})
		INSERT INTO erasure_items (erasure_id, kind, state, at, ref) SELECT DISTINCT d.erasure, '`+string(call.ErasedJournal)+`', 'due', {now}, CAST(g.number AS TEXT)
		FROM d JOIN journal_segments g ON g.deliveries_after < d.id AND g.deliveries_to >= d.id WHERE true
		ON CONFLICT (erasure_id, kind, ref) DO UPDATE SET state = 'due', until_at = NULL, why = '', at = excluded.at`, "ti", deliveries,
		func(id int64, args []any) []any { return append(args, erasureID, id) }, nil)
}

// deliveriesOf returns the ids of the deliveries that told of calls.
func (t *tx) deliveriesOf(ctx context.Context, calls []string) ([]int64, error) {
	found := map[int64]bool{}
	err := selectMany(ctx, t, "find deliveries", "SELECT i.delivery_id FROM legs l JOIN delivery_items i ON i.leg_id = l.id WHERE l.call_id IN ({rows})", "t", calls,
		func(id string, args []any) []any { return append(args, id) }, func(r row) error {
			var id int64
			err := r.Scan(&id)
			found[id] = true
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	return slices.Sorted(maps.Keys(found)), err
}
