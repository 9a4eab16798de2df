package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

// NoteDisk keeps how full a disk is, by its name; SeenAt is the database's.
// What nobody has said for a day is forgotten.
func (s *Store) NoteDisk(ctx context.Context, d call.Disk) error {
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.exec(ctx, `INSERT INTO disks (name, free, size, fills_in, seen_at) VALUES (?, ?, ?, ?, {now})
			ON CONFLICT (name) DO UPDATE SET free = excluded.free, size = excluded.size, fills_in = excluded.fills_in, seen_at = excluded.seen_at`,
			d.Name, d.Free, d.Size, d.FillsIn.Milliseconds())
		if err != nil {
			return err
		}
		return t.exec(ctx, "DELETE FROM disks WHERE seen_at < {now} - ?", (24 * time.Hour).Milliseconds())
	})
	if err != nil {
		return fmt.Errorf("note how full the disk is: %w", err)
	}
	return nil
}

// Disks are those that a node has told of within a time, by the database's
// clock.
func (s *Store) Disks(ctx context.Context, within time.Duration) ([]call.Disk, error) {
	var disks []call.Disk
	err := s.each(ctx, "SELECT name, free, size, fills_in, seen_at FROM disks WHERE seen_at >= {now} - ? ORDER BY name", []any{within.Milliseconds()},
		func(rows *sql.Rows) error {
			var d call.Disk
			var fillsIn int64
			err := rows.Scan(&d.Name, &d.Free, &d.Size, &fillsIn, timeInto{&d.SeenAt})
			d.FillsIn = time.Duration(fillsIn) * time.Millisecond
			disks = append(disks, d)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read how full the disks are: %w", err)
	}
	return disks, nil
}
