package main

import (
	"strings"
	"syscall"
	"testing"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// TestKilledWhileErasing kills the program again and again in the middle of an
// erasure: first the command, as soon as the erasure is begun, then servers that
// go on with it. It comes to its end all the same, and nothing is left of the
// number, in rows, audio or journal.
func TestKilledWhileErasing(t *testing.T) {
	t.Parallel()
	t.Run("SQLite and directory", func(t *testing.T) {
		t.Parallel()
		killedWhileErasing(t, storage{}, "vault: {directory: "+t.TempDir()+"}\n")
	})
	t.Run("PostgreSQL and MinIO", func(t *testing.T) {
		t.Parallel()
		b := testenv.MinIO(t, testenv.BucketOptions{Versioned: true})
		killedWhileErasing(t, storage{dsn: testenv.Postgres(t), bucket: &b}, "")
	})
}

func killedWhileErasing(t *testing.T, s storage, more string) {
	t.Helper()
	const number = "+919812345678" // of all calls of a load
	in := install(t, s, anySize(), more)
	l := newLoad(in)
	p := in.start(t)
	l.post(t.Context(), p.url, 60)
	in.checkKept(t, l)
	p.stop(syscall.SIGTERM) // the journal has them

	stored, v := in.openStored(t)
	command := in.program("erase", number, "--reason", "request of 2026-11-20")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the erasure is begun", func() bool {
		_, begun := openErasure(t, stored)
		return begun
	})
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // killed
	begun, open := openErasure(t, stored)
	if !open {
		t.Fatal("the erasure had ended before the command was killed")
	}
	kills := 1
	for step := int64(1); open && kills < 6; step *= 3 {
		before := erasedItems(t, stored, begun.ID)
		in.tamper(t, s, "UPDATE erasures SET next_at = 1") // the lease is over
		p = in.start(t)
		eventually(t, "it goes on", func() bool {
			_, open = openErasure(t, stored)
			return !open || erasedItems(t, stored, begun.ID) >= before+step
		})
		p.stop(syscall.SIGKILL)
		if strings.Contains(p.log(), "9812345678") {
			t.Errorf("the log has the number:\n%s", p.log())
		}
		if _, open = openErasure(t, stored); open {
			kills++
		}
	}
	if kills < 3 {
		t.Errorf("it was interrupted %d times only", kills)
	}
	if open {
		in.tamper(t, s, "UPDATE erasures SET next_at = 1")
	}
	p = in.start(t)
	eventually(t, "the erasure comes to its end", func() bool {
		_, open := openErasure(t, stored)
		return !open
	})
	p.stop(syscall.SIGTERM)
	t.Logf("killed %d times", kills)

	in.checkForgotten(t, s, number)
	for o, err := range v.Versions(t.Context(), recordingsPrefix) {
		t.Errorf("left in the vault: %s, %v", o.Key, err)
	}
	in.checkJournal(t)
	in.checkRebuilt(t, s, more)
	if got, status := in.verify(t); status != exitDone || len(got.Faults) > 0 {
		t.Errorf("verify: status %d, %+v", status, got.Faults)
	}
}

// erasedItems counts what is gone of an erasure.
func erasedItems(t *testing.T, s *store.Store, id string) (n int64) {
	t.Helper()
	counts, err := s.CountErasureItems(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, states := range counts {
		n += states[call.ErasureDone]
	}
	return n
}
