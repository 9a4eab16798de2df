// Package store keeps on disk what Callvault knows: one Store over
// database/sql, on SQLite or PostgreSQL. It is the only package that imports
// SQL drivers.
//
// Every change goes through one writer, which lets changes that wait together
// share a transaction, and so a commit (group commit). Reads have connections
// of their own.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"callvault/internal/call"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Options say which database to open.
type Options struct {
	// DSN is a postgres:// URL. Empty: SQLite at Path.
	DSN string
	// Path is the file of the SQLite database; its folder must exist.
	Path string
	// Logger gets what the store copes with by itself.
	Logger *slog.Logger
	// FirstTryAfter is how long after its report a recording is first due:
	// providers seldom have it at once. 0 or more.
	FirstTryAfter time.Duration
	// FirstTryAtLeast bounds what is learned of when an account's recordings are
	// ready, as FirstTryAfter counted from the report. 0 or more.
	FirstTryAtLeast time.Duration
}

// Store is what Callvault knows. Its methods are safe for concurrent use, and
// each exported one is one transaction.
type Store struct {
	dialect dialect
	read    *sql.DB
	write   *sql.DB
	pool    *pgxpool.Pool // on PostgreSQL the connections of write
	writer  *writer
	logger  *slog.Logger

	firstTries firstTries
	ownNumbers ownNumbers
	suppressed atomic.Pointer[suppressedNumbers]
}

// Open opens the database and brings its schema up to date; a schema newer
// than this program is an error. A PostgreSQL that does not answer is a
// call.Unavailable error. Close the store after use.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{logger: o.Logger}
	s.firstTries.after, s.firstTries.atLeast = o.FirstTryAfter, o.FirstTryAtLeast
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if o.DSN != "" {
		err = s.openPostgres(ctx, o.DSN)
	} else {
		err = s.openSQLite(o.Path)
	}
	if err != nil {
		return nil, err
	}
	if err := s.prepareSchema(ctx); err != nil {
		return nil, errors.Join(err, s.closePools())
	}
	s.writer = newWriter(s.write, s.pool, s.dialect)
	return s, nil
}

func (s *Store) openPostgres(ctx context.Context, dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The driver's error may hold the password.
		return errors.New("open the database: its address is not a valid postgres:// URL")
	}
	db := stdlib.OpenDB(*config)
	if err := db.PingContext(ctx); err != nil {
		err = errors.Join(err, db.Close())
		var refused *pgconn.PgError
		if errors.As(err, &refused) && (strings.HasPrefix(refused.Code, "28") || refused.Code == "3D000") {
			// Wrong password, no such database: it will not pass by itself.
			return fmt.Errorf("open the database: %s", refused.Message)
		}
		return fmt.Errorf("open the database: %w", errors.Join(call.Errorf(call.Unavailable, "PostgreSQL does not answer"), err))
	}
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	db.SetConnMaxIdleTime(5 * time.Minute)
	pool, err := openPool(ctx, dsn)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.pool = pool
	s.dialect, s.read, s.write = postgresDialect(), db, stdlib.OpenDBFromPool(pool)
	return nil
}

// openPool opens the connections that the writer uses by pgx itself, for
// database/sql cannot send several statements in one journey.
func openPool(ctx context.Context, dsn string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("open the database: its address is not a valid postgres:// URL")
	}
	config.MaxConns = 4
	// What is written is looked up by key. A plan that was made while a table
	// was small, and is kept, would read all of it later.
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		// What has no index then seems so dear that PostgreSQL would compile each
		// such statement before it runs, for a tenth of a second and more.
		_, err := c.Exec(ctx, "SET enable_seqscan = off; SET jit = off")
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return pool, nil
}

func (s *Store) openSQLite(path string) error {
	// A folder that cannot be written gives SQLite's "unable to open database
	// file (14)", which tells an operator nothing.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	dsn := func(pragmas ...string) string {
		q := url.Values{"_txlock": {"immediate"}}
		for _, p := range append(pragmas,
			"busy_timeout(4000)", "journal_mode(WAL)", "synchronous(FULL)",
			"foreign_keys(ON)",
			// Sorting must not need a temporary folder: a container may have
			// none.
			"temp_store(MEMORY)",
			// Pages that are written again and again are copied less often.
			"wal_autocheckpoint(4000)") {
			q.Add("_pragma", p)
		}
		return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: abs}).EscapedPath(), RawQuery: q.Encode()}).String()
	}
	write, err := sql.Open("sqlite", dsn("cache_size(-16000)"))
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn("query_only(ON)", "cache_size(-4000)"))
	if err != nil {
		return fmt.Errorf("open the database: %w", errors.Join(err, write.Close()))
	}
	read.SetMaxOpenConns(4)
	read.SetMaxIdleConns(4)
	s.dialect, s.read, s.write = sqliteDialect(), read, write
	return nil
}

// Close waits for the change under way and closes the database. Changes that
// still wait fail.
func (s *Store) Close() error {
	return errors.Join(s.writer.close(), s.closePools())
}

func (s *Store) closePools() error {
	err := errors.Join(s.read.Close(), s.write.Close())
	if s.pool != nil {
		s.pool.Close()
	}
	return err
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	return nil
}

// Writers is how many transactions the database behind a DSN (see Options)
// takes at a time from one node.
func Writers(dsn string) int {
	if dsn != "" {
		return postgresDialect().writers
	}
	return sqliteDialect().writers
}

// Kind names the database: "SQLite" or "PostgreSQL".
func (s *Store) Kind() string { return s.dialect.name }

// query runs a reading statement on the reading pool.
func (s *Store) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return s.read.QueryContext(ctx, s.dialect.bind(query), cleanArgs(args)...)
}

// each runs a reading statement and calls scan for every row. What cannot be
// scanned for what stands in it is a call.UnreadableError.
func (s *Store) each(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return err
	}
	return eachRow(rows, scan)
}

func eachRow(rows *sql.Rows, scan func(*sql.Rows) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return unreadable(rows, err)
		}
	}
	return rows.Err()
}

// cleanArgs makes texts fit for both databases: PostgreSQL takes neither NUL
// nor invalid UTF-8. What a provider sent stays as it was in the delivery's
// body, which is bytes.
func cleanArgs(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = cleanText(s)
		}
	}
	return args
}

func cleanText(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
