package testenv

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// Dump is all that a database holds, table by table, each row on a line, in an
// order of its own: so two dumps differ exactly where rows do. dsn is a
// postgres:// URL; empty: the SQLite database at path. The counters from which
// ids are given out are left out, and the audit log: to do a thing again changes
// nothing but that it was done.
func Dump(t interface {
	Helper()
	Fatal(args ...any)
}, dsn, path string) string {
	t.Helper()
	text, err := dump(context.Background(), dsn, path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func dump(ctx context.Context, dsn, path string) (_ string, err error) {
	driver, list := "pgx", "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	if dsn == "" {
		driver, dsn, list = "sqlite", path, "SELECT name FROM sqlite_master WHERE type = 'table'"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return "", err
	}
	defer func() {
		if closing := db.Close(); err == nil {
			err = closing
		}
	}()
	tables, err := lines(ctx, db, list)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, table := range tables {
		if table == "sequences" || table == "audit_entries" || table == "audit_head" || strings.HasPrefix(table, "sqlite_") {
			continue
		}
		rows, err := lines(ctx, db, "SELECT * FROM "+table) //nolint:unqueryvet // whatever it holds
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%s\n  %s\n", table, strings.Join(rows, "\n  "))
	}
	return text.String(), nil
}

// lines runs a query and returns its rows as text, sorted.
func lines(ctx context.Context, db *sql.DB, query string) (all []string, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closing := rows.Close(); err == nil {
			err = closing
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, strings.Trim(fmt.Sprintf("%s", values), "[]"))
	}
	slices.Sort(all)
	return all, rows.Err()
}
