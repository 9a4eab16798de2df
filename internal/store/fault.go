package store

import (
	"context"
	"errors"
	"strings"

	"callvault/internal/call"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// inputFault marks an error that the input causes, whatever the database.
type inputFault struct{ error }

// Unwrap gives the cause.
func (f inputFault) Unwrap() error { return f.error }

// isInputFault reports whether the database refuses what it was given, so that
// another try would end alike. All else (no connection, no space, no time) may
// pass.
func isInputFault(err error) bool {
	if _, ok := errors.AsType[inputFault](err); ok {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Classes of SQLSTATE: data exception, integrity constraint
		// violation, program limit exceeded (PostgreSQL, appendix A).
		class := pg.Code[:min(2, len(pg.Code))]
		return class == "22" || class == "23" || class == "54"
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff { // the primary code
		case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE:
			return true
		}
	}
	return false
}

// notWritten makes a call.Unavailable error of one that is the database's fault.
func notWritten(err error) error {
	if isInputFault(err) {
		return err
	}
	return errors.Join(call.Errorf(call.Unavailable, "the database cannot be written just now"), err)
}

// isCollision reports whether two transactions got into each other's way and
// the database ended this one, which may simply be tried again. So it is with
// one that stored what the other has just stored (unique_violation): now it is
// known.
func isCollision(err error) bool {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(pg.Code, "40") || pg.Code == "23505")
}

// mayBeOne reports whether an error of a shared transaction may be the fault of
// one change, so that the others would succeed by themselves. When the
// database does not answer, trying one after the other only makes all wait.
func mayBeOne(err error) bool {
	if isInputFault(err) || isCollision(err) || errors.Is(err, errRehearsed) {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Connection exception, insufficient resources, operator intervention.
		class := pg.Code[:min(2, len(pg.Code))]
		return class != "08" && class != "53" && class != "57"
	}
	return false
}
