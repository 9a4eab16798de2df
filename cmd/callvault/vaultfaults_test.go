package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/simulator"
	"callvault/internal/testenv"
)

// locked is a bucket that locks what is put into it.
func locked(t *testing.T) *testenv.Bucket {
	t.Helper()
	b := testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true})
	return &b
}

// The configuration that locks all that is archived for years.
const (
	lockOn    = "object_lock: compliance"
	threeYear = "retention: {recordings: [{keep: 3y}]}\n"
)

// checkLocked makes sure that all is kept, and locked by the store itself.
func (in installation) checkLocked(t *testing.T, l *load) {
	t.Helper()
	in.checkKept(t, l)
	_, v := in.openStored(t)
	for o, err := range v.List(t.Context(), "calls/") {
		if err != nil {
			t.Fatal(err)
		}
		info, err := v.Stat(t.Context(), o.Key)
		if err != nil || info.LockMode != archive.Compliance || info.Protection.Until.Before(time.Now().AddDate(2, 0, 0)) {
			t.Errorf("%s is locked (%s) until %v, %v", o.Key, info.LockMode, info.Protection.Until, err)
		}
	}
}

// underLoad posts reports to programs until done returns.
func (l *load) underLoad(t *testing.T, p *program, done func(acknowledged func(more int) func() bool)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		l.post(ctx, p.url, 1_000_000)
	}()
	done(func(more int) func() bool {
		l.mu.Lock()
		until := len(l.acked) + more
		l.mu.Unlock()
		return func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.acked) >= until
		}
	})
	cancel()
	<-stopped
}

// TestVaultGoneUnderLoad stops MinIO under load and starts it again: reports
// are taken all the while, and every recording is archived once.
func TestVaultGoneUnderLoad(t *testing.T) {
	t.Parallel()
	server := testenv.OwnMinIO(t)
	bucket, err := server.NewBucket(t.Context(), testenv.BucketOptions{ObjectLock: true})
	if err != nil {
		t.Fatal(err)
	}
	in := install(t, storage{bucket: &bucket, s3: lockOn}, anySize(), threeYear)
	l := newLoad(in)
	p := in.start(t)
	l.underLoad(t, p, func(acknowledged func(int) func() bool) {
		for range 2 {
			eventually(t, "reports are acknowledged", acknowledged(50))
			if err := server.Stop(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "reports are acknowledged without the vault", acknowledged(50))
			eventually(t, "the log says that the vault is away", func() bool {
				return strings.Contains(p.log(), "archiving waits")
			})
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "reports are acknowledged again", acknowledged(50))
	})
	in.checkLocked(t, l)
	p.stop(syscall.SIGTERM)
}

// TestFaultyVaultUnderLoad lets two nodes archive over a bad line to a store
// that is slow and refuses now and then.
func TestFaultyVaultUnderLoad(t *testing.T) {
	t.Parallel()
	bucket := locked(t)
	direct := bucket.Endpoint
	var n, faults atomic.Int64
	bucket.Endpoint = testenv.FaultyStore(t, direct, func(r *http.Request) testenv.StoreFault {
		i := n.Add(1)
		if i%3 != 0 || r.Method != http.MethodPut || r.ContentLength < 2 {
			return testenv.NoFault
		}
		faults.Add(1)
		return testenv.StoreFault(1 + i/3%int64(testenv.LoseAnswer))
	})
	in := install(t, storage{dsn: testenv.Postgres(t), bucket: bucket, s3: lockOn}, anySize(), threeYear)
	l := newLoad(in)
	nodes := []*program{in.start(t), in.secondNode(t).start(t)}
	for _, p := range nodes {
		l.post(t.Context(), p.url, 60)
	}
	in.checkLocked(t, l)
	for _, p := range nodes {
		p.stop(syscall.SIGTERM)
	}
	if faults.Load() < 20 {
		t.Errorf("only %d requests met a fault", faults.Load())
	}
}

// TestKilledAtAnyMoment kills the program with SIGKILL again and again, at
// moments that nobody chose, while a slow store is being written to.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	bucket := locked(t)
	bucket.Endpoint = testenv.FaultyStore(t, bucket.Endpoint, func(*http.Request) testenv.StoreFault { return testenv.SlowLine })
	in := install(t, storage{bucket: bucket, s3: lockOn}, anySize(), threeYear)
	l := newLoad(in)
	for range 6 {
		p := in.start(t)
		l.underLoad(t, p, func(acknowledged func(int) func() bool) {
			eventually(t, "some are acknowledged", acknowledged(5))
			moment := time.Duration(rand.Int64N(int64(700 * time.Millisecond)))
			t.Logf("killed after %v", moment)
			<-time.After(moment)
			p.stop(syscall.SIGKILL)
		})
	}
	p := in.start(t)
	in.checkLocked(t, l)
	p.stop(syscall.SIGTERM)
}

// TestSpoolDiskFull has no room for large recordings: they wait, however long,
// small ones do not, and all are archived when there is room.
func TestSpoolDiskFull(t *testing.T) {
	t.Parallel()
	large := simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: teleSecret, AnySize: 3 << 20})
	in := install(t, storage{dsn: testenv.Postgres(t), bucket: locked(t), s3: lockOn}, large, threeYear)
	p := in.start(t)
	limit := func(size string) {
		t.Helper()
		// Of the program's files none may grow beyond this size.
		said, err := exec.CommandContext(t.Context(), "prlimit", "--pid", strconv.Itoa(p.cmd.Process.Pid), "--fsize="+size+":").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	limit("1500000")
	l := newLoad(in)
	l.post(t.Context(), p.url, 3)
	eventually(t, "the log says that there is no room", func() bool {
		return strings.Contains(p.log(), "recording could not be stored") && strings.Contains(p.log(), "file too large")
	})
	s, _ := in.openStored(t)
	if q, err := s.QueueStats(t.Context()); err != nil || q.Pending != int64(len(l.acked)) {
		t.Errorf("the queue is %+v, %v", q, err)
	}
	limit("unlimited")
	in.checkLocked(t, l)
	p.stop(syscall.SIGTERM)
}
