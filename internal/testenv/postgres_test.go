package testenv

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPostgresGivesEachTestItsOwnDatabase(t *testing.T) {
	t.Parallel()
	first, second := Postgres(t), Postgres(t)
	if first == second {
		t.Fatalf("two databases with one DSN %s", first)
	}
	for _, dsn := range []string{first, second} {
		if err := inDatabase(t.Context(), dsn, `CREATE TABLE calls (id bigint)`); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOwnPostgresKeepsItsDataOverStopAndStart(t *testing.T) {
	t.Parallel()
	server := OwnPostgres(t, PostgresOptions{Fsync: true})
	if got := setting(t, server.DSN(), "fsync"); got != "on" {
		t.Errorf("fsync is %s, want on", got)
	}
	err := inDatabase(t.Context(), server.DSN(), `CREATE TABLE calls (id bigint)`)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := inDatabase(t.Context(), server.DSN(), `SELECT 1`); err == nil {
		t.Fatal("the stopped server answers")
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := inDatabase(t.Context(), server.DSN(), `SELECT id FROM calls`); err != nil {
		t.Fatal(err)
	}
}

// setting returns one of the server's settings.
func setting(t *testing.T, dsn, name string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	var value string
	err = conn.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&value)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return value
}
