package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"callvault/internal/config"
	"callvault/internal/store"
)

type migrateCommand struct{}

// Run opens the database, which brings its schema up to date.
func (migrateCommand) Run(ctx context.Context, g *globals) error {
	c, err := g.load()
	if err != nil {
		return err
	}
	return withAnyStore(ctx, c, func(s *store.Store) error {
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
		DSN:             c.Database.Reveal(),
		Path:            filepath.Join(c.Data, databaseFile),
		FirstTryAfter:   c.Archive.FirstTryAfter,
		FirstTryAtLeast: c.Archive.FirstTryAtLeast(),
	}
}

// withStore opens the configured database for a command, beside a server that
// may be running. It makes no new one: a command in the wrong place would seem
// to work.
func (g *globals) withStore(ctx context.Context, f func(*store.Store) error) error {
	c, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(c); err != nil {
		return err
	}
	return withStore(ctx, c, f)
}

func hasStore(c *config.Config) error {
	if c.Database != "" {
		return nil
	}
	_, err := os.Stat(storeOptions(c).Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database in %s: give --data the folder of your Callvault, or start it there first (`callvault serve`)", c.Data)
	}
	return err
}

// withAnyStore opens the database for a command.
func withAnyStore(ctx context.Context, c *config.Config, f func(*store.Store) error) (err error) {
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

// withStore is withAnyStore, but for a database that is being made again: what is
// not in it yet must not pass for what is not kept, and what a command wrote into
// the audit log would stand in the place of an entry that is still to come.
func withStore(ctx context.Context, c *config.Config, f func(*store.Store) error) error {
	return withAnyStore(ctx, c, func(s *store.Store) error {
		rebuilding, err := s.IsRebuilding(ctx)
		switch {
		case err != nil:
			return err
		case rebuilding:
			return errRebuilding()
		}
		return f(s)
	})
}
