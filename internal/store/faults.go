package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// NoteChecked keeps what was found of what was looked at: faults that are new
// are opened, those that were found again stay open, and those that were looked
// for and not found are closed. The audit log says so of each; audit.ActorOf(ctx)
// is who looked. It returns those that it opened.
func (s *Store) NoteChecked(ctx context.Context, checked ...call.Checked) (opened []call.Fault, err error) {
	actor := audit.ActorOf(ctx)
	checked, err = s.noteworthy(ctx, checked)
	if err != nil {
		return nil, fmt.Errorf("note what was found: %w", err)
	}
	if len(checked) == 0 {
		return nil, nil
	}
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		opened = nil
		for _, c := range checked {
			if err := t.noteChecked(ctx, actor, c, &opened); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("note what was found: %w", err)
	}
	return opened, nil
}

// fewFaults is how many open faults are looked through in memory.
const fewFaults = 1000

// noteworthy leaves out what is well and was so when it was looked at last: most
// of what is checked, and no reason to write.
func (s *Store) noteworthy(ctx context.Context, checked []call.Checked) ([]call.Checked, error) {
	open, rows := map[string]bool{}, 0
	err := s.each(ctx, "SELECT place FROM faults WHERE closed_at IS NULL LIMIT ?", []any{fewFaults}, func(r *sql.Rows) error {
		var place string
		err := r.Scan(&place)
		open[place] = true
		rows++
		return err
	})
	if err != nil || rows == fewFaults {
		return checked, err
	}
	var worthy []call.Checked
	for _, c := range checked {
		if len(c.Faults) > 0 || slices.ContainsFunc(c.Where, func(where string) bool { return open[cleanText(where)] }) {
			worthy = append(worthy, c)
		}
	}
	return worthy, nil
}

func (t *tx) noteChecked(ctx context.Context, actor audit.Actor, c call.Checked, opened *[]call.Fault) error {
	type open struct {
		id string
		call.Fault
	}
	var known []open
	err := selectMany(ctx, t, "read open faults", "SELECT id, kind, place FROM faults WHERE closed_at IS NULL AND place IN ({rows})", "t", c.Where,
		func(where string, args []any) []any { return append(args, where) }, func(r row) error {
			var o open
			err := r.Scan(&o.id, &o.Kind, &o.Where)
			// On SQLite a place may be asked for twice.
			if !slices.Contains(known, o) {
				known = append(known, o)
			}
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil {
		return err
	}
	for _, f := range c.Faults {
		place := cleanText(f.Where)
		i := slices.IndexFunc(known, func(o open) bool { return o.Kind == f.Kind && o.Where == place })
		if i >= 0 {
			err = t.exec(ctx, "UPDATE faults SET last_seen = {now}, what = ? WHERE id = ?", f.What, known[i].id)
			known = slices.Delete(known, i, i+1)
		} else {
			err = t.openFault(ctx, actor, f, opened)
		}
		if err != nil {
			return err
		}
	}
	for _, o := range known {
		if slices.Contains(c.Kinds, o.Kind) {
			if err := t.closeFault(ctx, actor, o.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// openFault opens a fault, unless somebody else has just done so.
func (t *tx) openFault(ctx context.Context, actor audit.Actor, f call.Fault, opened *[]call.Fault) error {
	id := newID()
	return t.later(ctx, statement{
		query: `INSERT INTO faults (id, kind, place, what, first_seen, last_seen) VALUES (?, ?, ?, ?, {now}, {now})
			ON CONFLICT (place, kind) WHERE closed_at IS NULL DO UPDATE SET last_seen = excluded.last_seen, what = excluded.what RETURNING id`,
		args: []any{id, string(f.Kind), f.Where, f.What}, audits: true, scan: func(r row) error {
			var kept string
			if err := r.Scan(&kept); err != nil || kept != id {
				return err
			}
			*opened = append(*opened, f)
			return t.auditFault(ctx, actor, audit.FaultOpened, id, f)
		},
	})
}

func (t *tx) closeFault(ctx context.Context, actor audit.Actor, id string) error {
	return t.later(ctx, statement{
		query: "UPDATE faults SET closed_at = {now} WHERE id = ? AND closed_at IS NULL RETURNING kind, place, what",
		args:  []any{id}, audits: true, scan: func(r row) error {
			var f call.Fault
			if err := r.Scan(&f.Kind, &f.Where, &f.What); err != nil {
				return err
			}
			return t.auditFault(ctx, actor, audit.FaultClosed, id, f)
		},
	})
}

func (t *tx) auditFault(ctx context.Context, actor audit.Actor, action audit.Action, id string, f call.Fault) error {
	e, err := audit.New(action, "fault/"+id, f)
	if e.Actor = actor; err != nil {
		return err
	}
	return t.audit(ctx, e)
}

const faultColumns = "id, kind, place, what, first_seen, last_seen, closed_at"

// faults reads faults, and passes over rows that cannot be read: the check of the rows
// names them, and the others must be known all the same. It returns how many rows
// there were, too.
func (s *Store) faults(ctx context.Context, where string, args ...any) (found []call.FoundFault, n int, err error) {
	err = s.each(ctx, "SELECT "+faultColumns+" FROM faults"+where, args, func(rows *sql.Rows) error {
		var f call.FoundFault
		n++
		err := rows.Scan(&f.ID, &f.Kind, &f.Where, &f.What, timeInto{&f.FirstSeen}, timeInto{&f.LastSeen}, timeInto{&f.ClosedAt})
		if err != nil {
			return passOver(rows, err)
		}
		found = append(found, f)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read faults: %w", err)
	}
	return found, n, nil
}

// FindFaults finds faults, the last found first, and the cursor of the next
// page, empty after the last.
func (s *Store) FindFaults(ctx context.Context, f call.FaultFilter) ([]call.FoundFault, string, error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, "", err
	}
	var c conditions
	// On SQLite text can stand there: that is more than any number, and would come
	// first on each page.
	c.add("first_seen <= ?", int64(math.MaxInt64))
	if f.Kind != "" {
		c.add("kind = ?", string(f.Kind))
	}
	switch f.State {
	case call.AlertOpen:
		c.add("closed_at IS NULL")
	case call.AlertClosed:
		c.add("closed_at IS NOT NULL")
	}
	if f.Cursor != "" {
		at, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("(first_seen, id) < (?, ?)", at, id)
	}
	found, n, err := s.faults(ctx, c.where()+" ORDER BY first_seen DESC, id DESC LIMIT ?", append(c.args, limit+1)...)
	if err != nil || n <= limit || len(found) == 0 {
		return found, "", err
	}
	found = found[:min(limit, len(found))]
	last := found[len(found)-1]
	return found, makeCursor(last.FirstSeen.UnixMilli(), last.ID), nil
}

// StaleFaults returns at most limit open faults that were last looked for
// before a time, the longest ago first. Those that cannot be read are not among them.
func (s *Store) StaleFaults(ctx context.Context, before time.Time, limit int) ([]call.FoundFault, error) {
	found, _, err := s.faults(ctx, " WHERE closed_at IS NULL AND last_seen < ? ORDER BY last_seen LIMIT ?", before.UnixMilli(), limit)
	return found, err
}

// OpenFaults counts the open faults by their kinds, and says when the first of
// them was found; no time, if what stands there is none.
func (s *Store) OpenFaults(ctx context.Context) (counts map[call.FaultKind]int64, since time.Time, err error) {
	counts = map[call.FaultKind]int64{}
	err = s.each(ctx, "SELECT kind, count(*), min(first_seen) FROM faults WHERE closed_at IS NULL GROUP BY kind", nil, func(rows *sql.Rows) error {
		var kind call.FaultKind
		var n int64
		var first any // an altered row counts all the same
		err := rows.Scan(&kind, &n, &first)
		counts[kind] = n
		if ms, isTime := first.(int64); isTime && (since.IsZero() || time.UnixMilli(ms).Before(since)) {
			since = time.UnixMilli(ms).UTC()
		}
		return err
	})
	if err != nil {
		return nil, since, fmt.Errorf("count faults: %w", err)
	}
	return counts, since, nil
}

// TakeScrub takes the scrub for as long as the lease holds, unless another node
// has it, and returns how far it is.
func (s *Store) TakeScrub(ctx context.Context, lease time.Duration) (state call.Scrub, token string, won bool, err error) {
	token = newID()
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var err error
		won, err = t.one(ctx, `INSERT INTO scrub (id, lease_token, lease_until, began_at, part, next, done, total) VALUES (1, ?, {now} + ?, 0, '', '', 0, 0)
			ON CONFLICT (id) DO UPDATE SET lease_token = excluded.lease_token, lease_until = excluded.lease_until WHERE scrub.lease_until <= {now}
			RETURNING began_at, part, next, done, total`, []any{token, lease.Milliseconds()},
			timeInto{&state.BeganAt}, &state.Part, &state.Next, &state.Done, &state.Total)
		return err
	})
	if err != nil {
		return state, "", false, fmt.Errorf("take the scrub: %w", err)
	}
	return state, token, won, nil
}

// KeepScrub writes down how far the scrub is, and lets the lease hold for lease
// from now on. Who lost the lease gets a call.Conflict error.
func (s *Store) KeepScrub(ctx context.Context, token string, state call.Scrub, lease time.Duration) error {
	began := int64(0)
	if !state.BeganAt.IsZero() {
		began = state.BeganAt.UnixMilli()
	}
	n, err := s.update(ctx, "UPDATE scrub SET lease_until = {now} + ?, began_at = ?, part = ?, next = ?, done = ?, total = ? WHERE lease_token = ?",
		lease.Milliseconds(), began, state.Part, state.Next, state.Done, state.Total, token)
	if err != nil {
		return fmt.Errorf("keep the scrub's place: %w", err)
	}
	if n == 0 {
		return call.Errorf(call.Conflict, "another node has taken the scrub: the lease was lost")
	}
	return nil
}

// CountKept counts what a pass over everything looks at: recordings that have
// an object key, lines of the journal, calls, legs, deliveries, identifiers,
// rows that the audit log tells of, and its entries.
func (s *Store) CountKept(ctx context.Context) (map[string]int64, error) {
	counts := map[string]int64{}
	for name, query := range map[string]string{
		"recordings": "count(*) FROM recordings WHERE object_key <> ''", "calls": "count(*) FROM calls", "legs": "count(*) FROM legs",
		"deliveries": "count(*) FROM deliveries", "identifiers": "count(*) FROM call_keys", "log": "count(*) FROM audit_entries",
		"rows": "(SELECT count(*) FROM recordings) + (SELECT count(*) FROM runs) + (SELECT count(*) FROM mails) + (SELECT count(*) FROM holds) + (SELECT count(*) FROM erasures) + (SELECT count(*) FROM users) + (SELECT count(*) FROM tokens) + (SELECT count(*) FROM call_redirects)" +
			" + (SELECT count(*) FROM exports) + (SELECT count(*) FROM account_pauses) + (SELECT count(*) FROM report_schedules) + (SELECT count(*) FROM held_recordings WHERE pushed_at IS NOT NULL) + (SELECT count(*) FROM suppressed_numbers) + (SELECT count(DISTINCT user_name) FROM sessions) + (SELECT count(*) FROM faults)",
		"journal": "CAST(coalesce(sum(1 + deliveries + entries_to - entries_from), 0) AS BIGINT) FROM journal_segments WHERE sha256 <> ''",
	} {
		err := s.each(ctx, "SELECT "+query, nil, func(rows *sql.Rows) error {
			var n int64
			err := rows.Scan(&n)
			counts[name] = n
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("count %s: %w", name, err)
		}
	}
	return counts, nil
}
