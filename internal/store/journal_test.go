package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/jackc/pgx/v5"
)

// TestSettledWaitsForSmallerIDs: an id is drawn and its transaction is not over
// when a greater one is committed; the journal must not pass the smaller one
// over.
func TestSettledWaitsForSmallerIDs(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	s := open(t, store.Options{DSN: dsn})
	slow, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := slow.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As a recorder does: the lock, then the id.
	var id int64
	if err := tx.QueryRow(t.Context(), "SELECT nextval('deliveries_ids') FROM (SELECT pg_advisory_xact_lock_shared(0)) AS held").Scan(&id); err != nil {
		t.Fatal(err)
	}
	d := delivery(report("1.1"))
	record(t, s, d)
	if d.ID <= id {
		t.Fatalf("delivery %d was stored after %d was drawn", d.ID, id)
	}
	brief, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if settled, err := s.SettledDeliveries(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("settled up to %d (%v) while %d is under way", settled, err, id)
	}
	// Those that begin meanwhile are not waited for.
	settled := make(chan int64)
	go func() {
		n, err := s.SettledDeliveries(t.Context())
		if err != nil {
			t.Error(err)
		}
		settled <- n
	}()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := <-settled; n != d.ID {
		t.Errorf("settled up to %d, want %d", n, d.ID)
	}
}

// TestEveryRecorderIsSeen: whoever draws an id holds the lock by which the
// journal sees it, also for a delivery that tells of no call.
func TestEveryRecorderIsSeen(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	s := open(t, store.Options{DSN: dsn})
	other, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Nobody else may hold it now.
	if _, err := tx.Exec(t.Context(), "SELECT pg_advisory_xact_lock(0)"); err != nil {
		t.Fatal(err)
	}
	recorded := make(chan error)
	go func() {
		nothing := delivery()
		nothing.Body = []byte("no call")
		recorded <- s.Record(t.Context(), []*call.Delivery{nothing})
	}()
	waits := func() (n int) {
		if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 0").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for waits() == 0 {
		select {
		case err := <-recorded:
			t.Fatalf("it was stored without the lock (%v)", err)
		default:
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-recorded; err != nil {
		t.Fatal(err)
	}
}
