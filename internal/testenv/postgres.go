package testenv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PostgresVariable names the environment variable with the address of a
// running server: a postgres:// URL of a role that may create databases. It
// does not begin with CALLVAULT_: Callvault refuses such variables when it does
// not know them, and tests start it with their own environment.
const PostgresVariable = "TESTENV_POSTGRES"

// PostgresOptions says how a server runs. The zero value is the fastest.
type PostgresOptions struct {
	// Fsync makes every commit durable, as in production (fsync,
	// synchronous_commit and full_page_writes on). Benchmarks want it.
	Fsync bool
	// MaxConnections is PostgreSQL's max_connections; 0 means 300.
	MaxConnections int
}

// PostgresServer is a PostgreSQL server process of our own. Its methods are
// for one goroutine at a time; the server of course is for many.
type PostgresServer struct {
	dir        string
	bin        string
	role       string
	port       int
	options    PostgresOptions
	credential *syscall.Credential
	run        *process // nil while stopped
}

// Postgres returns the DSN of a fresh, empty database, dropped when the test
// ends.
func Postgres(t testing.TB) string {
	t.Helper()
	address := os.Getenv(PostgresVariable)
	if address == "" {
		server, err := sharedPostgres()
		if err != nil {
			t.Fatal(err)
		}
		address = server.DSN()
	}
	name := uniqueName("test_")
	err := inDatabase(t.Context(), address, `CREATE DATABASE `+name+` TEMPLATE template0`)
	if err != nil {
		t.Fatalf("create database for test: %v", err)
	}
	t.Cleanup(func() {
		// t.Context() has ended by now.
		err := inDatabase(context.Background(), address, `DROP DATABASE `+name+` WITH (FORCE)`)
		if err != nil {
			t.Errorf("drop database of test: %v", err)
		}
	})
	return withDatabase(address, name)
}

// OwnPostgres starts a server for this test alone, which may stop it and
// start it again. It ends with the test.
func OwnPostgres(t testing.TB, options PostgresOptions) *PostgresServer {
	t.Helper()
	server, err := StartPostgres(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// sharedPostgres is the server that all tests of this process share when none
// is named in the environment. It is the one thing here that must be known
// process-wide; it ends with the process.
var sharedPostgres = sync.OnceValues(func() (*PostgresServer, error) {
	return StartPostgres(context.Background(), PostgresOptions{})
})

// StartPostgres makes a new database cluster in a temporary folder and starts
// a server on it. PostgreSQL refuses to run as root; then it runs as user
// postgres.
func StartPostgres(ctx context.Context, options PostgresOptions) (*PostgresServer, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	credential, err := postgresCredential()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "callvault-postgres-")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	server := &PostgresServer{
		dir: dir, bin: bin, options: options, credential: credential,
		// A role that no other server knows: should two processes pick the
		// same port, one fails instead of using the other's server.
		role: uniqueName("role_"),
	}
	err = server.initialize(ctx)
	if err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// initialize makes the cluster and starts the server for the first time.
func (s *PostgresServer) initialize(ctx context.Context) error {
	if s.credential != nil {
		err := os.Chown(s.dir, int(s.credential.Uid), int(s.credential.Gid))
		if err != nil {
			return fmt.Errorf("start PostgreSQL: %w", err)
		}
	}
	//nolint:gosec // The program is the installed initdb.
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"),
		"--pgdata="+filepath.Join(s.dir, "data"), "--username="+s.role, "--auth=trust",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	initdb.Dir = s.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	output, err := initdb.CombinedOutput()
	if err != nil {
		return fmt.Errorf("make PostgreSQL cluster: %w: %s", err, output)
	}
	s.port, err = freePort(ctx)
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	return s.Start(ctx)
}

// Start starts the stopped server again, on the same port and data, and waits
// until it answers.
func (s *PostgresServer) Start(ctx context.Context) error {
	if s.run != nil {
		return errors.New("start PostgreSQL: it is running")
	}
	durable := "off"
	if s.options.Fsync {
		durable = "on"
	}
	connections := s.options.MaxConnections
	if connections == 0 {
		connections = 300
	}
	run, err := program{
		name: "PostgreSQL", dir: s.dir, credential: s.credential,
		stopSignal: "QUIT", // immediate shutdown: no goodbye to clients, no checkpoint
		args: []string{
			filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.dir, "data"),
			"-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(s.port),
			"-c", "unix_socket_directories=",
			"-c", "max_connections=" + strconv.Itoa(connections),
			"-c", "fsync=" + durable, "-c", "synchronous_commit=" + durable,
			"-c", "full_page_writes=" + durable,
		},
	}.start()
	if err != nil {
		return err
	}
	s.run = run
	err = run.waitUntil(ctx, func(ctx context.Context) error {
		return inDatabase(ctx, s.DSN(), "SELECT 1")
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.Stop())
	}
	return nil
}

// Stop ends the server at once, as a power cut would for its clients, and
// leaves its data for Start. Stopping a stopped server does nothing.
func (s *PostgresServer) Stop() error {
	if s.run == nil {
		return nil
	}
	err := s.run.stop()
	s.run = nil
	return err
}

// Close stops the server and removes its data.
func (s *PostgresServer) Close() error {
	return errors.Join(s.Stop(), os.RemoveAll(s.dir))
}

// DSN returns the server's own database as a postgres:// URL. It is empty at
// first and stays the same over Stop and Start.
func (s *PostgresServer) DSN() string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable", s.role, s.port)
}

// NewDatabase returns the DSN of a fresh, empty database on this server. It goes
// with the server.
func (s *PostgresServer) NewDatabase(ctx context.Context) (string, error) {
	name := uniqueName("test_")
	if err := inDatabase(ctx, s.DSN(), `CREATE DATABASE `+name+` TEMPLATE template0`); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return withDatabase(s.DSN(), name), nil
}

// Vacuum does at once for a database of this server, after much was written to
// it, what PostgreSQL's autovacuum does within minutes: it looks at what is in
// the tables, on which the plans of statements depend.
func (s *PostgresServer) Vacuum(ctx context.Context, dsn string) error {
	if err := inDatabase(ctx, dsn, "VACUUM ANALYZE"); err != nil {
		return fmt.Errorf("vacuum database: %w", err)
	}
	return nil
}

// postgresCredential returns the user to run PostgreSQL as, nil for our own.
func postgresCredential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // exec takes nil as: our own user.
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find the user to run PostgreSQL as: %w: run `make tools`", err)
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("find the user to run PostgreSQL as: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// postgresPrograms returns the folder of the newest installed PostgreSQL.
// Debian keeps server programs out of the search path, one folder a version.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL: %w", err)
	}
	best, newest := "", 0
	for _, path := range found {
		bin := filepath.Dir(path)
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
		if err == nil && version > newest {
			best, newest = bin, version
		}
	}
	if best == "" {
		return "", errors.New("PostgreSQL's server is not installed: run `make tools`")
	}
	return best, nil
}

// inDatabase connects, runs one statement and disconnects.
func inDatabase(ctx context.Context, dsn, statement string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// withDatabase returns dsn with another database name.
func withDatabase(dsn, name string) string {
	address, rest, found := strings.Cut(dsn, "?")
	if found {
		rest = "?" + rest
	}
	return address[:strings.LastIndex(address, "/")+1] + url.PathEscape(name) + rest
}
