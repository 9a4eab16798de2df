package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

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
	options := []goose.ProviderOption{
		goose.WithDisableGlobalRegistry(true),
		// No migration needs those with lower numbers that came after it: they
		// are made by several people at a time.
		goose.WithAllowOutofOrder(true),
	}
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

// prepareSchema brings the schema up to date. On SQLite other processes may be
// doing the same at the same moment: whoever comes late is told that something
// is locked or there already, looks again, and finds it done.
func (s *Store) prepareSchema(ctx context.Context) error {
	for tries := 1; ; tries++ {
		err := s.trySchema(ctx)
		var final schemaError
		if err == nil || s.dialect.postgres || tries == schemaTries || errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(schemaPause):
		}
	}
}

const (
	schemaTries = 20
	schemaPause = 50 * time.Millisecond
)

// schemaError says what no further try changes.
type schemaError struct{ error }

func (s *Store) trySchema(ctx context.Context) error {
	p, err := s.goose(s.write)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	v, err := schemaVersion(ctx, p)
	if err != nil {
		return err
	}
	if v.Database > v.Program {
		return schemaError{fmt.Errorf("the database has schema version %d, and this program knows up to %d: it was last used by a newer Callvault; run that one", v.Database, v.Program)}
	}
	if pending, err := p.HasPending(ctx); err != nil || !pending {
		if err != nil {
			err = fmt.Errorf("read the schema's version: %w", err)
		}
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}
