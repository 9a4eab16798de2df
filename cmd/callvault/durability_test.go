package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// openStored opens what an installation has stored.
func (in installation) openStored(t *testing.T) (*store.Store, archive.Vault) {
	t.Helper()
	c, err := config.Load(config.Options{Data: in.data})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), storeOptions(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	v, err := openVault(c)
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

// checkKept makes sure that every acknowledged call is there once, and every
// recording is archived once.
func (in installation) checkKept(t *testing.T, l *load) {
	t.Helper()
	s, v := in.openStored(t)
	eventually(t, "all recordings are archived", func() bool {
		q, err := s.QueueStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return q.Pending == 0
	})
	calls, keys := map[string]int{}, map[string]bool{}
	err := s.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error {
		calls[c.Key]++
		if len(c.Recordings) != 1 {
			t.Errorf("call %s has %d recordings", c.Key, len(c.Recordings))
			return nil
		}
		r := c.Recordings[0]
		if r.State != call.Archived || keys[r.ObjectKey] {
			t.Errorf("recording of %s is %s (%s) at %s", c.Key, r.State, r.Reason, r.ObjectKey)
		}
		keys[r.ObjectKey] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, sid := range l.acked {
		if calls[sid] != 1 {
			t.Errorf("call %s was acknowledged and is there %d times", sid, calls[sid])
		}
	}
	if len(calls) < len(l.acked) || len(calls) > l.sent {
		t.Errorf("%d calls of %d acknowledged and %d sent", len(calls), len(l.acked), l.sent)
	}
	objects := 0
	for o, err := range v.Versions(t.Context(), "calls/") { // of each there is one
		if err != nil {
			t.Fatal(err)
		}
		objects++
		if !keys[o.Key] {
			t.Errorf("object %s belongs to no recording", o.Key)
		}
	}
	if objects != len(keys) {
		t.Errorf("%d objects for %d recordings", objects, len(keys))
	}
	t.Logf("%d sent, %d acknowledged, %d kept with their recordings", l.sent, len(l.acked), len(calls))
}

// TestKilledUnderLoad kills the program with SIGKILL in the middle of load,
// again and again: what was acknowledged is there once, and every recording is
// archived once.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "")
		l := newLoad(in)
		for round := range 3 {
			p := in.start(t)
			ctx, cancel := context.WithCancel(t.Context())
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				l.post(ctx, p.url, 1_000_000)
			}()
			eventually(t, "enough is acknowledged", func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return len(l.acked) >= 100*(round+1)
			})
			p.stop(syscall.SIGKILL)
			cancel()
			<-stopped
		}
		p := in.start(t)
		l.post(t.Context(), p.url, 50)
		in.checkKept(t, l)
		p.stop(syscall.SIGTERM)
	})
}

// TestDatabaseGoneUnderLoad takes PostgreSQL away under load and gives it
// back: every report is acknowledged all the while, and none is lost.
func TestDatabaseGoneUnderLoad(t *testing.T) {
	t.Parallel()
	pg := testenv.OwnPostgres(t, testenv.PostgresOptions{Fsync: true})
	in := install(t, storage{dsn: pg.DSN()}, anySize(), "")
	in.goneUnderLoad(t, func(*program) error { return pg.Stop() }, func(*program) error { return pg.Start(t.Context()) })
}

// TestSQLiteGoneUnderLoad makes SQLite impossible to write under load, and
// possible again: the same must hold.
func TestSQLiteGoneUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("somebody else writes and does not end", func(t *testing.T) {
		t.Parallel()
		in := install(t, storage{}, anySize(), "")
		db, err := sql.Open("sqlite", "file:"+filepath.Join(in.data, databaseFile)+"?_txlock=immediate&_pragma=busy_timeout(30000)")
		if err != nil {
			t.Fatal(err)
		}
		var other *sql.Tx
		in.goneUnderLoad(t, func(*program) error {
			other, err = db.BeginTx(t.Context(), nil)
			return err
		}, func(*program) error {
			return errors.Join(other.Rollback(), db.Close())
		})
	})
	t.Run("there is no space for it", func(t *testing.T) {
		t.Parallel()
		in := install(t, storage{}, anySize(), "")
		limit := func(p *program, size string) error {
			// Of the program's files none may grow beyond this size, as the
			// database's log would have to.
			said, err := exec.CommandContext(t.Context(), "prlimit", "--pid", strconv.Itoa(p.cmd.Process.Pid), "--fsize="+size+":").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, said)
			}
			return nil
		}
		in.goneUnderLoad(t, func(p *program) error {
			info, err := os.Stat(filepath.Join(in.data, databaseFile+"-wal"))
			if err != nil {
				return err
			}
			return limit(p, strconv.FormatInt(info.Size(), 10))
		}, func(p *program) error {
			return limit(p, "unlimited")
		})
	})
}

// goneUnderLoad starts the program, takes its database away under load and
// gives it back.
func (in installation) goneUnderLoad(t *testing.T, takeAway, giveBack func(*program) error) {
	t.Helper()
	l := newLoad(in)
	p := in.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		l.post(ctx, p.url, 1_000_000)
	}()
	acknowledged := func(n int) func() bool {
		l.mu.Lock()
		until := len(l.acked) + n
		l.mu.Unlock()
		return func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.acked) >= until
		}
	}
	eventually(t, "reports are acknowledged", acknowledged(100))
	if err := takeAway(p); err != nil {
		t.Fatal(err)
	}
	eventually(t, "reports go to the spool", func() bool { return strings.Contains(p.log(), "deliveries go to the spool") })
	eventually(t, "reports are acknowledged without the database", acknowledged(100))
	if err := giveBack(p); err != nil {
		t.Fatal(err)
	}
	eventually(t, "reports are acknowledged again", acknowledged(100))
	cancel()
	<-stopped
	s, _ := in.openStored(t)
	eventually(t, "the spool is drained", func() bool {
		n, err := s.CountCalls(t.Context(), call.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		return int(n) >= len(l.acked)
	})
	in.checkKept(t, l)
	p.stop(syscall.SIGTERM)
}

// TestStartWithoutDatabase starts while PostgreSQL is away: reports are taken
// all the same, also over a SIGKILL, and stored when it comes.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	pg := testenv.OwnPostgres(t, testenv.PostgresOptions{})
	in := install(t, storage{dsn: pg.DSN()}, anySize(), "")
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	l := newLoad(in)
	for range 2 {
		p := in.startListening(t)
		l.post(t.Context(), p.url, 20)
		p.stop(syscall.SIGKILL)
	}
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := in.start(t)
	l.post(t.Context(), p.url, 20)
	s, _ := in.openStored(t)
	eventually(t, "the spool is drained", func() bool {
		n, err := s.CountCalls(t.Context(), call.Filter{})
		return err == nil && int(n) >= len(l.acked)
	})
	in.checkKept(t, l)
	p.stop(syscall.SIGTERM)
	if strings.Contains(p.log(), salesToken) {
		t.Error("the log holds a webhook's token")
	}
	if leftovers, err := filepath.Glob(filepath.Join(in.data, "spool", "recordings", "*")); err != nil || len(leftovers) != 0 {
		t.Errorf("left in the spool: %v, %v", leftovers, err)
	}
}
