package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// SchemaVersion is how far the schema is, and how far this program knows it.
type SchemaVersion struct {
	Database int64 `json:"database"`
	Program  int64 `json:"program"`
}

// Version reads the schema's version.
func (s *Store) Version(ctx context.Context) (SchemaVersion, error) {
	// Not on the writing pool: on SQLite the writer holds its one connection.
	p, err := s.goose(s.read)
	if err != nil {
		return SchemaVersion{}, err
	}
	return schemaVersion(ctx, p)
}

func (s *Store) goose(db *sql.DB) (*goose.Provider, error) {
	folder, err := fs.Sub(migrations, s.dialect.folder)
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if s.dialect.postgres {
		// Nodes that start together wait for each other. SQLite has one
		// writer anyway, and its first transaction takes the lock.
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(goose.Dialect(s.dialect.goose), db, folder, options...)
}

func schemaVersion(ctx context.Context, p *goose.Provider) (SchemaVersion, error) {
	database, program, err := p.GetVersions(ctx)
	if err != nil {
		return SchemaVersion{}, fmt.Errorf("read the schema's version: %w", err)
	}
	return SchemaVersion{database, program}, nil
}

func (s *Store) prepareSchema(ctx context.Context, migrate bool) error {
	p, err := s.goose(s.write)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	v, err := schemaVersion(ctx, p)
	if err != nil {
		return err
	}
	switch {
	case v.Database > v.Program:
		return fmt.Errorf("the database has schema version %d, and this program knows up to %d: it was last used by a newer Callvault; run that one", v.Database, v.Program)
	case v.Database == v.Program:
		return nil
	case !migrate:
		return errors.New("the database's schema is older than this program: run `callvault migrate`")
	}
	// On SQLite a second process may have begun to migrate at the same time.
	// Each migration is a transaction, so the one who comes late fails, and
	// finds what the other has done.
	for tries := 1; ; tries++ {
		_, err := p.Up(ctx)
		if err == nil {
			return nil
		}
		if v, versionErr := schemaVersion(ctx, p); versionErr == nil && v.Database == v.Program {
			return nil
		}
		if tries == migrateTries {
			return fmt.Errorf("bring the schema up to date: %w", err)
		}
	}
}

// migrateTries is how often a migration is tried that another process may be
// making, too.
const migrateTries = 5
