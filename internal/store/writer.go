package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The bounds of a shared transaction.
const (
	// maxShared is how many changes share a transaction at most.
	maxShared = 64
	// writeTimeout bounds one transaction, so that a database that hangs is
	// noticed: it is the least time that those who share it have, and
	// writeTimeout where nobody says. One who waits alone may have up to
	// patientTimeout.
	writeTimeout   = 8 * time.Second
	patientTimeout = time.Minute
	leastTimeout   = time.Second
	// What becomes of the queue's recordings is written down together: each of
	// these many small changes waits a little for others, so that they share
	// commits and entries of the audit log share its head.
	gatherTime   = 10 * time.Millisecond
	gatherEnough = 16
	// collisionTries is how often a change is tried that gets into the way of
	// another node's.
	collisionTries = 4
)

var errClosed = errors.New("the store is closed")

// change is what a transaction does. It may be run more than once, on
// different transactions, of which at most one is committed; so it changes
// nothing but the database and variables that it sets anew each time.
type change func(context.Context, *tx) error

// writer runs changes: on SQLite one after the other, on PostgreSQL in a few
// transactions at a time. Those that wait together share one
// transaction; if that fails for a reason that may be one change's alone, each
// is tried singly, so that a bad one never fails its neighbours.
type writer struct {
	db      *sql.DB
	pool    *pgxpool.Pool // on PostgreSQL
	dialect dialect
	jobs    chan *job
	quit    chan struct{}
	done    chan struct{}
	once    sync.Once

	// On SQLite one connection is held for good, and statements stay prepared
	// on it.
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

type job struct {
	ctx    context.Context //nolint:containedctx // of the caller who waits
	change change
	result chan error
	// patient: nobody minds if it waits for others.
	patient bool
	// taken is set by the first of the two: the writer that begins, or the
	// caller who gives up. A change that has begun is waited for: it works on
	// the caller's variables.
	taken atomic.Bool
}

func newWriter(db *sql.DB, pool *pgxpool.Pool, d dialect) *writer {
	w := &writer{
		db: db, pool: pool, dialect: d,
		jobs: make(chan *job, maxShared), quit: make(chan struct{}), done: make(chan struct{}),
		stmts: map[string]*sql.Stmt{},
	}
	var lanes sync.WaitGroup
	for range d.writers {
		lanes.Go(w.run)
	}
	go func() {
		lanes.Wait()
		close(w.done)
	}()
	return w
}

// change runs c in a transaction and returns after its commit. When ctx ends
// before it has begun, it never will.
func (s *Store) change(ctx context.Context, c change) error {
	return s.writer.do(&job{ctx: ctx, change: c, result: make(chan error, 1)})
}

// changePatiently is change for the queue's changes, which wait for each other.
func (s *Store) changePatiently(ctx context.Context, c change) error {
	return s.writer.do(&job{ctx: ctx, change: c, result: make(chan error, 1), patient: true})
}

func (w *writer) do(j *job) error {
	ctx := j.ctx
	if err := ctx.Err(); err != nil {
		return err // whoever has no time left begins nothing
	}
	select {
	case w.jobs <- j:
	case <-w.quit:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-j.result:
		return err
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		return <-j.result
	case <-w.done:
		if j.taken.CompareAndSwap(false, true) {
			return errClosed
		}
		return <-j.result
	}
}

func (w *writer) close() error {
	w.once.Do(func() { close(w.quit) })
	<-w.done
	if w.conn == nil {
		return nil
	}
	var errs []error
	for _, stmt := range w.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

func (w *writer) run() {
	shared := make([]*job, 0, maxShared)
	for {
		shared = shared[:0]
		select {
		case j := <-w.jobs:
			shared = append(shared, j)
		case <-w.quit:
			return
		}
		patient := shared[0].patient
		var gathered <-chan time.Time
	collect:
		for len(shared) < maxShared {
			select {
			case j := <-w.jobs:
				shared = append(shared, j)
				patient = patient && j.patient
				continue
			default:
			}
			if !patient || len(shared) >= gatherEnough {
				break
			}
			if gathered == nil {
				gathered = time.After(gatherTime)
			}
			select {
			case j := <-w.jobs:
				shared = append(shared, j)
				patient = patient && j.patient
			case <-gathered:
				break collect
			}
		}
		w.commit(shared)
	}
}

func (w *writer) commit(jobs []*job) {
	waiting := jobs[:0]
	for _, j := range jobs {
		if j.taken.CompareAndSwap(false, true) { // else nobody waits for it
			waiting = append(waiting, j)
		}
	}
	if len(waiting) == 0 {
		return
	}
	err := w.transact(waiting)
	if err == nil || !mayBeOne(err) || len(waiting) == 1 && !isCollision(err) {
		for _, j := range waiting {
			j.result <- err
		}
		return
	}
	for _, j := range waiting {
		j.result <- w.alone(j)
	}
}

// alone tries a change by itself, more than once if it gets into the way of
// another node's.
func (w *writer) alone(j *job) error {
	for n := 1; ; n++ {
		if err := j.ctx.Err(); err != nil {
			return err
		}
		err := w.transact([]*job{j})
		if n == collisionTries || !isCollision(err) {
			return err
		}
	}
}

// timeFor is how long a transaction may take: as long as all who wait for it
// have time, and one who waits alone may be patient.
func timeFor(jobs []*job) time.Duration {
	most := writeTimeout
	if len(jobs) == 1 {
		most = patientTimeout
	}
	limit, bounded := most, false
	for _, j := range jobs {
		if deadline, ok := j.ctx.Deadline(); ok {
			limit, bounded = min(limit, time.Until(deadline)), true
		}
	}
	if !bounded {
		return writeTimeout
	}
	return max(limit, leastTimeout)
}

func (w *writer) transact(jobs []*job) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeFor(jobs))
	defer cancel()
	t, err := w.begin(ctx)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	for _, j := range jobs {
		if err := j.change(ctx, t); err != nil {
			return errors.Join(err, t.rollback())
		}
	}
	if err := t.commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", errors.Join(err, t.rollback()))
	}
	return nil
}
