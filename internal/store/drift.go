package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

const driftColumns = "id, account, report, aspect, name, type, change, first_seen, last_seen, reports"

func driftFields(d *call.Drift) []any {
	return []any{&d.ID, &d.Account, &d.Report, &d.Aspect, &d.Name, &d.Type, &d.Change, timeInto{&d.FirstSeen}, timeInto{&d.LastSeen}, &d.Reports}
}

// NoteSightings adds to what is known of an account's reports, and returns the
// drift in it that no node has noted before. Beyond call.MaxTraits what is new
// is not kept, but noted once.
func (s *Store) NoteSightings(ctx context.Context, seen call.Sightings) (drift []call.Drift, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var err error
		drift, err = noteSightings(ctx, t, seen)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("note what reports of %s are made of: %w", seen.Account, err)
	}
	return drift, nil
}

func noteSightings(ctx context.Context, t *tx, seen call.Sightings) (drift []call.Drift, err error) {
	// This row's lock lets one node after the other note, so that what is new
	// is new to one of them.
	var first time.Time
	var reports int64
	_, err = t.one(ctx, `INSERT INTO report_kinds (account, report, first_seen, reports) VALUES (?, ?, ?, ?)
		ON CONFLICT (account, report) DO UPDATE SET reports = report_kinds.reports + excluded.reports
		RETURNING first_seen, reports`,
		[]any{seen.Account, string(seen.Report), seen.At.UnixMilli(), seen.Reports}, timeInto{&first}, &reports)
	if err != nil {
		return nil, err
	}
	known := map[call.Trait]bool{}
	types := map[string][]string{}
	err = t.each(ctx, "SELECT aspect, name, type FROM traits WHERE account = ? AND report = ?", []any{seen.Account, string(seen.Report)},
		func(rows row) error {
			k := call.Trait{Account: seen.Account, Report: seen.Report}
			err := rows.Scan(&k.Aspect, &k.Name, &k.Type)
			known[k] = true
			if k.Aspect == call.AspectField {
				types[k.Name] = append(types[k.Name], k.Type)
			}
			return err
		})
	if err != nil {
		return nil, err
	}
	baseline := call.InBaseline(first, seen.At, reports)
	rows := make([]call.Drift, 0, len(seen.Traits))
	place := map[call.Trait]int{}
	for _, sighting := range seen.Traits {
		k := call.Trait{Account: seen.Account, Report: seen.Report, Aspect: sighting.Aspect, Name: sighting.Name, Type: sighting.Type}
		isField := k.Aspect == call.AspectField
		if !known[k] && len(known) >= call.MaxTraits && (!isField || !sighting.Documented) {
			sighting = call.Sighting{Aspect: call.AspectLimit, Reports: sighting.Reports}
			k.Aspect, k.Name, k.Type, isField = sighting.Aspect, "", "", false
		}
		if at, twice := place[k]; twice {
			rows[at].Reports += sighting.Reports
			continue
		}
		place[k] = len(rows)
		d := call.Drift{ID: newID(), Trait: k, Change: sighting.ChangeOf(types[k.Name], baseline), FirstSeen: seen.At, LastSeen: seen.At, Reports: sighting.Reports}
		rows = append(rows, d)
		if known[k] {
			continue
		}
		known[k] = true
		if isField {
			types[k.Name] = append(types[k.Name], k.Type)
		}
		if d.Change.IsDrift() {
			drift = append(drift, d)
		}
	}
	return drift, insertMany(ctx, t, "write traits", "INSERT INTO traits ("+driftColumns+")", "tttttttiii",
		" ON CONFLICT (account, report, aspect, name, type) DO UPDATE SET reports = traits.reports + excluded.reports, last_seen = excluded.last_seen",
		rows, func(d call.Drift, args []any) []any {
			return append(args, d.ID, d.Account, string(d.Report), string(d.Aspect), d.Name, d.Type, string(d.Change),
				d.FirstSeen.UnixMilli(), d.LastSeen.UnixMilli(), d.Reports)
		})
}

// FindDrift finds what accounts' reports have been seen to have, the newest
// first, and the cursor of the next page, empty after the last.
func (s *Store) FindDrift(ctx context.Context, f call.DriftFilter) ([]call.Drift, string, error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, "", err
	}
	var c conditions
	if f.Account != "" {
		c.add("account = ?", f.Account)
	}
	if f.Change != "" {
		c.add("change = ?", string(f.Change))
	} else {
		c.add("change NOT IN ('none', 'baseline')")
	}
	if f.Cursor != "" {
		at, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("(first_seen, id) < (?, ?)", at, id)
	}
	var found []call.Drift
	err = s.each(ctx, "SELECT "+driftColumns+" FROM traits"+c.where()+" ORDER BY first_seen DESC, id DESC LIMIT ?", append(c.args, limit+1),
		func(rows *sql.Rows) error {
			found = append(found, call.Drift{})
			return rows.Scan(driftFields(&found[len(found)-1])...)
		})
	if err != nil {
		return nil, "", fmt.Errorf("find drift: %w", err)
	}
	if len(found) <= limit {
		return found, "", nil
	}
	last := found[limit-1]
	return found[:limit], makeCursor(last.FirstSeen.UnixMilli(), last.ID), nil
}
