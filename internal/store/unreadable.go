package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"callvault/internal/call"
)

// scanError is how the error begins of a value that does not fit to what it is
// read into. database/sql has no type for it.
const scanError = "sql: Scan error on column index "

// unreadable makes a call.UnreadableError of an error that came of scanning a
// row, if what stands in the row is the reason; and leaves all others.
func unreadable(rows *sql.Rows, err error) error {
	if call.AsUnreadable(err) != nil {
		return err
	}
	scan := err
	for scan != nil && !strings.HasPrefix(scan.Error(), scanError) {
		scan = errors.Unwrap(scan)
	}
	if scan == nil {
		return err
	}
	bad := &call.UnreadableError{Err: err}
	// …column index 3, name "size": …
	if _, named, ok := strings.Cut(scan.Error(), `, name "`); ok {
		if name, _, _ := strings.Cut(named, `"`); isName(name) {
			bad.Column = name
		}
	}
	bad.ID = rawText(rows, "id")
	return bad
}

// isName reports whether a column is one of a table, not what was computed.
func isName(column string) bool {
	return column != "" && strings.Trim(column, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// rawText is what stands in a column of the row at hand, whatever it is; empty, if
// there is no such column.
func rawText(rows *sql.Rows, column string) string {
	names, err := rows.Columns()
	if err != nil {
		return ""
	}
	row, into := anyRow(len(names))
	if rows.Scan(into...) != nil {
		return ""
	}
	for i, name := range names {
		if name == column {
			return anyText(row[i])
		}
	}
	return ""
}

// anyText is a value as text, as the database has it.
func anyText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	default:
		return fmt.Sprint(v)
	}
}

// passOver leaves out a row that cannot be read and that another check names.
func passOver(rows *sql.Rows, err error) error {
	if call.AsUnreadable(unreadable(rows, err)) != nil {
		return nil //nolint:nilerr // as the comment says
	}
	return err
}
