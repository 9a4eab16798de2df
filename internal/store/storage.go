package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

// countedDay is one day's sums of what was archived on it, whatever became of
// it.
const countedDay = `SELECT account, count(*), coalesce(sum(size), 0) FROM recordings
	WHERE archived_at IS NOT NULL AND archived_at >= ? AND archived_at < ? GROUP BY account`

// CountStorage sums up the UTC days that are over and not counted yet, one in a
// transaction, up to the day of now.
func (s *Store) CountStorage(ctx context.Context, now time.Time) error {
	var first, counted time.Time
	err := s.each(ctx, "SELECT (SELECT min(archived_at) FROM recordings WHERE archived_at IS NOT NULL), (SELECT max(day) FROM storage_days WHERE account = '')", nil,
		func(rows *sql.Rows) error { return rows.Scan(timeInto{&first}, timeInto{&counted}) })
	if err != nil {
		return fmt.Errorf("count what was archived: %w", err)
	}
	day := counted.Add(24 * time.Hour)
	if counted.IsZero() {
		day = first.UTC().Truncate(24 * time.Hour)
	}
	for ; !first.IsZero() && !day.Add(24*time.Hour).After(now); day = day.Add(24 * time.Hour) {
		err := s.change(ctx, func(ctx context.Context, t *tx) error {
			rows := []call.StorageDay{{Day: day}} // says that it was counted
			err := t.each(ctx, countedDay, []any{day.UnixMilli(), day.Add(24 * time.Hour).UnixMilli()}, func(r row) error {
				d := call.StorageDay{Day: day}
				err := r.Scan(&d.Account, &d.Added, &d.AddedBytes)
				rows = append(rows, d)
				return err
			})
			if err != nil {
				return err
			}
			return insertMany(ctx, t, "write what was archived", "INSERT INTO storage_days (day, account, added, added_bytes)", "itii",
				" ON CONFLICT (day, account) DO UPDATE SET added = excluded.added, added_bytes = excluded.added_bytes", rows,
				func(d call.StorageDay, args []any) []any {
					return append(args, d.Day.UnixMilli(), d.Account, d.Added, d.AddedBytes)
				})
		})
		if err != nil {
			return fmt.Errorf("count what was archived: %w", err)
		}
	}
	return nil
}

// noteDeleted adds what was deleted to its day.
func (t *tx) noteDeleted(ctx context.Context, r call.Recording) error {
	return t.later(ctx, statement{what: "count what was deleted", query: `INSERT INTO storage_days (day, account, deleted, deleted_bytes) VALUES (?, ?, 1, ?)
		ON CONFLICT (day, account) DO UPDATE SET deleted = storage_days.deleted + 1, deleted_bytes = storage_days.deleted_bytes + excluded.deleted_bytes`,
		args: []any{time.Now().UTC().Truncate(24 * time.Hour).UnixMilli(), r.Account, r.Size}})
}

// Storage returns what is in the vault by account, and what came and went on
// the days from one on, as far as CountStorage has counted them.
func (s *Store) Storage(ctx context.Context, from time.Time) (totals []call.StorageTotal, days []call.StorageDay, err error) {
	err = s.each(ctx, "SELECT account, count(*), coalesce(sum(size), 0) FROM recordings WHERE state = 'archived' GROUP BY account ORDER BY account", nil,
		func(rows *sql.Rows) error {
			var t call.StorageTotal
			err := rows.Scan(&t.Account, &t.Recordings, &t.Bytes)
			totals = append(totals, t)
			return err
		})
	if err == nil {
		err = s.each(ctx, "SELECT day, account, added, added_bytes, deleted, deleted_bytes FROM storage_days WHERE day >= ? AND account <> '' ORDER BY day, account",
			[]any{from.UnixMilli()}, func(rows *sql.Rows) error {
				var d call.StorageDay
				err := rows.Scan(timeInto{&d.Day}, &d.Account, &d.Added, &d.AddedBytes, &d.Deleted, &d.DeletedBytes)
				days = append(days, d)
				return err
			})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sum up what is kept: %w", err)
	}
	return totals, days, nil
}
