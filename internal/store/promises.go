package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// promisedRows say where it stands what is promised for objects of a sort: in
// which rows, what else must hold for these, and how they are read.
var promisedRows = map[call.ObjectSort]struct {
	table, id, where, columns string
	// number: the id is one.
	number bool
	scan   func(*sql.Rows, *call.Promised) error
}{
	call.SegmentObjects: {"journal_segments", "number", "sha256 <> ''", "CAST(number AS TEXT), at, retain_until, number, revision", true, func(rows *sql.Rows, p *call.Promised) error {
		var number, revision int64
		err := rows.Scan(&p.ID, timeInto{&p.Start}, timeInto{&p.Was}, &number, &revision)
		p.Keys = []string{call.SegmentKey(number, revision)}
		return err
	}},
	call.SealObjects: {"audit_seals", "size", "being_put = 0", "CAST(size AS TEXT), sealed_at, retain_until, object_key", true, func(rows *sql.Rows, p *call.Promised) error {
		p.Keys = make([]string, 1)
		return rows.Scan(&p.ID, timeInto{&p.Start}, timeInto{&p.Was}, &p.Keys[0])
	}},
	call.ReportObjects: {"runs", "id", "state = 'built' AND files <> '[]' AND files_expiring_at IS NULL", "id, period_to, retain_until, zone, files", false, func(rows *sql.Rows, p *call.Promised) error {
		var zone string
		var files []call.RunFile
		if err := rows.Scan(&p.ID, timeInto{&p.Start}, timeInto{&p.Was}, &zone, jsonInto{&files}); err != nil {
			return err
		}
		for _, f := range files {
			p.Keys = append(p.Keys, f.ObjectKey)
		}
		location, err := time.LoadLocation(zone)
		if err != nil {
			return fmt.Errorf("run %s: %w", p.ID, err)
		}
		p.Start = p.Start.In(location)
		return nil
	}},
}

// ToPromise finds at most n rows of objects of a sort, not of
// call.CertificateObjects, for which the term with this name has promised
// nothing yet. None: that was all.
func (s *Store) ToPromise(ctx context.Context, sort call.ObjectSort, term string, n int) ([]call.Promised, error) {
	of := promisedRows[sort]
	var found []call.Promised
	for _, side := range []string{"<", ">"} { // two ranges of one index
		if len(found) > 0 {
			break
		}
		err := s.each(ctx, "SELECT "+of.columns+" FROM "+of.table+" WHERE "+of.where+" AND promised_by "+side+" ? ORDER BY promised_by, "+of.table+"."+of.id+" LIMIT ?",
			[]any{term, n}, func(rows *sql.Rows) error {
				var p call.Promised
				err := of.scan(rows, &p)
				found = append(found, p)
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("find what nothing is promised for yet (%s): %w", sort, err)
		}
	}
	return found, nil
}

// SavePromised writes down what the term with this name promises for objects of
// a sort, and what became later by it into the audit log. A promised date never
// becomes earlier.
func (s *Store) SavePromised(ctx context.Context, sort call.ObjectSort, term string, promised []call.Promised) error {
	actor := audit.ActorOf(ctx)
	for chunk := range slices.Chunk(promised, backgroundRows) {
		err := s.change(ctx, func(ctx context.Context, t *tx) error {
			f := audit.PromiseFacts{Sort: string(sort), Term: term}
			for _, p := range chunk {
				if err := t.promise(ctx, sort, p.ID, p.RetainUntil, term); err != nil {
					return err
				}
				if p.RetainUntil.After(p.Was) {
					f.Objects = append(f.Objects, audit.PromisedObject{ID: p.ID, RetainUntil: p.RetainUntil})
				}
			}
			if len(f.Objects) == 0 {
				return nil
			}
			e, err := audit.New(audit.ObjectsRetained, "vault", f)
			if err != nil {
				return err
			}
			e.Actor = actor
			return t.audit(ctx, e)
		})
		if err != nil {
			return fmt.Errorf("write what is promised (%s): %w", sort, err)
		}
	}
	return nil
}

// promise writes a promise into its row.
func (t *tx) promise(ctx context.Context, sort call.ObjectSort, id string, until time.Time, term string) error {
	of, known := promisedRows[sort]
	if !known {
		return fmt.Errorf("nothing is promised for %q", sort)
	}
	which := any(id)
	if of.number {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return err
		}
		which = n
	}
	return t.exec(ctx, "UPDATE "+of.table+" SET promised_by = ?, retain_until = CASE WHEN retain_until >= coalesce(CAST(? AS BIGINT), 0) THEN retain_until ELSE ? END WHERE "+of.id+" = ?",
		term, millis(until), millis(until), which)
}

// remakePromises promises again what was promised.
func (t *tx) remakePromises(ctx context.Context, _ audit.Entry, f audit.PromiseFacts) error {
	for _, o := range f.Objects {
		if err := t.promise(ctx, call.ObjectSort(f.Sort), o.ID, o.RetainUntil, ""); err != nil {
			return err
		}
	}
	return nil
}

// RebuildSealPromises promises again what the log says was promised for seals, once
// their rows are there: these are made of what lies in the vault, when the log has
// been followed.
func (s *Store) RebuildSealPromises(ctx context.Context) error {
	var told []audit.PromiseFacts
	err := s.each(ctx, "SELECT facts FROM audit_entries WHERE action = ? AND action <> 'recording.archived' ORDER BY seq", []any{string(audit.ObjectsRetained)}, func(rows *sql.Rows) error {
		var f audit.PromiseFacts
		err := rows.Scan(jsonInto{&f})
		if call.ObjectSort(f.Sort) == call.SealObjects {
			told = append(told, f)
		}
		return err
	})
	for _, f := range told {
		if err == nil {
			err = s.change(ctx, func(ctx context.Context, t *tx) error { return t.remakePromises(ctx, audit.Entry{}, f) })
		}
	}
	if err != nil {
		return fmt.Errorf("promise again what was promised for seals: %w", err)
	}
	return nil
}
