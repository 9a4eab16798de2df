package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"callvault/internal/audit"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// row is one row of an answer, of whichever database.
type row interface{ Scan(dest ...any) error }

// statement is one statement of a change.
type statement struct {
	// what it does, for its error; may be empty.
	what  string
	query string
	args  []any
	// scan is called for each row of the answer; nil: there is none.
	scan func(row) error
	// affected, if set, becomes how many rows were touched.
	affected *int64
	// audits says that scan may add entries to the audit log.
	audits bool
}

func (s *statement) failed(err error) error {
	if err == nil || s.what == "" {
		return err
	}
	return fmt.Errorf("%s: %w", s.what, err)
}

// tx is the transaction that a change works in.
//
// On PostgreSQL every journey to the server costs more than most statements do.
// So statements wait, in their order, until somebody needs an answer or the
// transaction ends, and then travel together; one that fails stops those
// behind it, the commit too. On SQLite each runs at once.
type tx struct {
	w       *writer
	pg      *pgxpool.Conn
	waiting []statement
	begun   bool          // on PostgreSQL: the server was told
	entries []audit.Entry // for the audit log, written just before the commit
}

func (w *writer) begin(ctx context.Context) (*tx, error) {
	if w.pool != nil {
		conn, err := w.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		return &tx{w: w, pg: conn, waiting: []statement{{query: "BEGIN"}}}, nil
	}
	if w.conn == nil {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		w.conn = conn
	}
	t := &tx{w: w}
	if err := t.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		// It may have begun just as its time was over.
		return nil, errors.Join(err, t.rollback()) //nolint:contextcheck // undoing has a time of its own
	}
	return t, nil
}

func (t *tx) commit(ctx context.Context) error {
	if err := t.writeAudit(ctx); err != nil {
		return err
	}
	if t.pg != nil && !t.begun && len(t.waiting) == 1 {
		t.pg.Release() // nothing was done
		return nil
	}
	if err := t.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	if err := t.flush(ctx); err != nil {
		return err
	}
	if t.pg != nil {
		t.pg.Release()
	}
	return nil
}

// rollback undoes the transaction; that nothing is left to undo is no error.
func (t *tx) rollback() error {
	// The transaction's own time may be over: undoing must not depend on it.
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if t.pg != nil {
		// The pool throws away a connection that is still in a transaction.
		defer t.pg.Release()
		t.waiting = nil
		if !t.begun || t.pg.Conn().IsClosed() {
			return nil
		}
		_, err := t.pg.Exec(ctx, "ROLLBACK")
		return err
	}
	if err := t.exec(ctx, "ROLLBACK"); err != nil && !strings.Contains(err.Error(), "no transaction is active") {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// later runs a statement whose answer nobody needs before the next flush.
func (t *tx) later(ctx context.Context, s statement) error {
	s.query, s.args = t.w.dialect.bind(s.query), cleanArgs(s.args)
	if t.pg != nil {
		t.waiting = append(t.waiting, s)
		return nil
	}
	return s.failed(t.runOnSQLite(ctx, &s))
}

// exec is later for a statement that has no answer.
func (t *tx) exec(ctx context.Context, query string, args ...any) error {
	return t.later(ctx, statement{query: query, args: args})
}

// each runs a statement, with all that wait, and calls scan for every row.
func (t *tx) each(ctx context.Context, query string, args []any, scan func(row) error) error {
	if err := t.later(ctx, statement{query: query, args: args, scan: scan}); err != nil {
		return err
	}
	return t.flush(ctx)
}

// one runs a statement that gives at most one row, and says whether it did.
func (t *tx) one(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	err = t.each(ctx, query, args, func(r row) error {
		found = true
		return r.Scan(dest...)
	})
	return found, err
}

// flush runs all statements that wait, in one journey.
func (t *tx) flush(ctx context.Context) error {
	if len(t.waiting) == 0 {
		return nil
	}
	batch := &pgx.Batch{QueuedQueries: make([]*pgx.QueuedQuery, 0, len(t.waiting))}
	for i := range t.waiting {
		batch.Queue(t.waiting[i].query, t.waiting[i].args...)
	}
	t.begun = true
	results := t.pg.SendBatch(ctx, batch)
	for i := range t.waiting {
		if err := t.waiting[i].take(results); err != nil {
			err = t.waiting[i].failed(err)
			t.waiting = nil
			// Closing tells of the same error once more.
			_ = results.Close()
			return err
		}
	}
	t.waiting = t.waiting[:0]
	return results.Close()
}

// take reads the statement's answer from those of a batch.
func (s *statement) take(results pgx.BatchResults) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if s.scan == nil {
			continue
		}
		if err := s.scan(rows); err != nil {
			return err
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	if s.affected != nil {
		*s.affected = rows.CommandTag().RowsAffected()
	}
	return nil
}

// runOnSQLite runs a statement at once. Its context does not reach the driver,
// which would start two goroutines to watch it: a statement waits for nothing
// but the disk, which heeds nobody, and for the lock, for which it has
// busy_timeout.
func (t *tx) runOnSQLite(ctx context.Context, s *statement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	stmt, err := t.w.prepared(ctx, s.query) //nolint:sqlclosecheck // it stays prepared as long as the writer lives
	if err != nil {
		return err
	}
	if s.scan != nil {
		rows, err := stmt.QueryContext(ctx, s.args...)
		if err != nil {
			return err
		}
		return eachRow(rows, func(rows *sql.Rows) error { return s.scan(rows) })
	}
	result, err := stmt.ExecContext(ctx, s.args...)
	if err != nil || s.affected == nil {
		return err
	}
	*s.affected, err = result.RowsAffected()
	return err
}

func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := w.stmts[query]; ok {
		return stmt, nil
	}
	stmt, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = stmt
	return stmt, nil
}
