package store

import (
	"context"
	"errors"
	"fmt"
)

// Backup writes a consistent copy of a SQLite database into a file that is not
// there yet, while others write. Only for SQLite.
func (s *Store) Backup(ctx context.Context, file string) (err error) {
	// Not the writer's connection, for which others would wait.
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// The copy is written, too.
	if _, err = conn.ExecContext(ctx, "PRAGMA query_only(OFF)"); err == nil {
		_, err = conn.ExecContext(ctx, "VACUUM INTO ?", file)
	}
	_, again := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA query_only(ON)")
	if err = errors.Join(err, again); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}
