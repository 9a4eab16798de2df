package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"callvault/internal/config"
	"callvault/internal/store"
)

type migrateCommand struct{}

// Run opens the database, which brings its schema up to date.
func (migrateCommand) Run(ctx context.Context, g *globals) error {
	return g.withStore(ctx, func(s *store.Store) error {
		v, err := s.Version(ctx)
		if err != nil {
			return err
		}
		return g.print(v, func(w io.Writer) {
			fmt.Fprintf(w, "The %s database has schema version %d, which is this program's.\n", s.Kind(), v.Database)
		})
	})
}

// databaseFile is the SQLite database in the data folder.
const databaseFile = "callvault.db"

// storeOptions say which database the configuration means.
func storeOptions(c *config.Config) store.Options {
	return store.Options{
		DSN:           c.Database.Reveal(),
		Path:          filepath.Join(c.Data, databaseFile),
		FirstTryAfter: c.Archive.FirstTryAfter,
	}
}

// withStore opens the configured database for a command, beside a server that
// may be running.
func (g *globals) withStore(ctx context.Context, f func(*store.Store) error) error {
	c, err := g.load()
	if err != nil {
		return err
	}
	return withStore(ctx, c, f)
}

func withStore(ctx context.Context, c *config.Config, f func(*store.Store) error) (err error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	s, err := store.Open(ctx, storeOptions(c))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return f(s)
}
