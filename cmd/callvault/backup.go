package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"callvault/internal/audit"
	"callvault/internal/store"

	"github.com/dustin/go-humanize"
)

type backupCommand struct {
	File string `arg:"" help:"The file to write; it must not be there yet."`
}

// Run writes a copy of the SQLite database, or says how PostgreSQL is copied.
func (c backupCommand) Run(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if cfg.Database != "" {
		return errors.New("the database is PostgreSQL, which has its own tools: pg_dump --format=custom --file=callvault.dump and the address of the " +
			"configuration's database makes a copy while Callvault runs, pg_restore brings it back")
	}
	if _, err := os.Lstat(c.File); err == nil {
		return fmt.Errorf("there is a file %s already, and a backup replaces none", c.File)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var size int64
	err = g.withStore(ctx, func(s *store.Store) (err error) {
		// A copy is a look at all there is.
		if err := noteAct(ctx, s, audit.DatabaseCopied, "", map[string]string{"file": c.File}); err != nil {
			return err
		}
		size, err = copyDatabase(ctx, s, c.File)
		return err
	})
	if err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	result := struct {
		File string `json:"file"`
		Size int64  `json:"size"`
	}{c.File, size}
	return g.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "%s holds the database, %s. Keep the configuration and audit.key beside it.\n", c.File, humanize.IBytes(uint64(size)))
	})
}

// copyDatabase writes the copy beside its place and then names it, so that what
// has the name is whole. It holds hashes of passwords: only its owner reads it.
func copyDatabase(ctx context.Context, s *store.Store, file string) (size int64, err error) {
	folder, err := os.MkdirTemp(filepath.Dir(file), ".callvault-backup-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	part, err := filepath.Abs(filepath.Join(folder, "part"))
	if err != nil {
		return 0, err
	}
	if err := s.Backup(ctx, part); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), handOut(part, file)
}
