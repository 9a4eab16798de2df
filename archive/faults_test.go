package archive_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// lockedBucket is a bucket that locks what is put, on a server of its own.
func lockedBucket(t *testing.T) archive.S3Options {
	t.Helper()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Compliance
	return opts
}

// checkOnce makes sure that the recordings of the deliveries are archived, each
// as one version of one object that has its bytes, and that nothing else lies
// in the vault.
func checkOnce(t *testing.T, s *store.Store, v archive.Vault, deliveries []*call.Delivery) {
	t.Helper()
	there := map[string]int{}
	for _, version := range versions(t, v, "calls/") {
		there[version.Key]++
	}
	for _, d := range deliveries {
		detail, err := s.Call(t.Context(), d.CallIDs[0])
		if err != nil {
			t.Fatal(err)
		}
		r := detail.Recordings[0]
		if r.State != call.Archived || there[r.ObjectKey] != 1 {
			t.Errorf("recording %s is %s, with %d versions of its object", r.ID, r.State, there[r.ObjectKey])
			continue
		}
		delete(there, r.ObjectKey)
		body, _ := read(t, v, r.ObjectKey, 0, -1)
		if sum := describe(body).SHA256; hex.EncodeToString(sum[:]) != r.SHA256 {
			t.Errorf("%s has other bytes than were archived", r.ObjectKey)
		}
	}
	for key, n := range there {
		t.Errorf("%d versions of %s belong to no recording", n, key)
	}
}

// TestFaultyVault archives over a bad line to a bad store: every second
// request goes wrong in one way or another.
func TestFaultyVault(t *testing.T) {
	t.Parallel()
	direct := lockedBucket(t)
	var n atomic.Int64
	var met [testenv.LoseAnswer + 1]atomic.Int64
	opts := direct
	opts.Endpoint = testenv.FaultyStore(t, direct.Endpoint, func(r *http.Request) testenv.StoreFault {
		fault := testenv.NoFault
		if i := n.Add(1); i%2 == 0 {
			fault = testenv.StoreFault(i / 2 % int64(len(met)))
		}
		if fault == testenv.CutUpload && r.ContentLength < 2 {
			fault = testenv.LoseAnswer // there is nothing to be cut
		}
		met[fault].Add(1)
		return fault
	})
	small, large := recorded(t, 1), recorded(t, 150) // in memory, and in a file
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "large") {
			_, _ = w.Write(large)
			return
		}
		_, _ = w.Write(small)
	}))
	s := openStore(t, store.Options{DSN: testenv.Postgres(t)})
	var deliveries []*call.Delivery
	for i := range 24 {
		deliveries = append(deliveries, wanted(fmt.Sprintf("%s/%s-%d.wav", host, []string{"small", "large"}[i%4/3], i), "", 0))
	}
	queue(t, s, deliveries...)
	for range 2 {
		o := options(t, s, openS3(t, opts), host)
		o.GiveUpAfter = 2 * time.Second // so are the waits between tries short
		run(t, o)
	}
	eventually(t, "all are archived", func() bool { return stats(t, s).Archived == int64(len(deliveries)) })
	checkOnce(t, s, openS3(t, direct), deliveries)
	for fault := range met {
		if met[fault].Load() == 0 {
			t.Errorf("fault %d did not occur", fault)
		}
	}
}

// stubbornVault goes on writing when its worker is told to stop, as a store
// does that has got a request already.
type stubbornVault struct {
	archive.Vault

	writing chan struct{} // the first is about to write
	goOn    chan struct{}
	once    sync.Once
	written chan error
}

func (v *stubbornVault) Put(ctx context.Context, key string, body io.ReaderAt, opts archive.PutOptions) error {
	var err error
	first := false
	v.once.Do(func() {
		first = true
		// What it writes is given back when it returns.
		text, readErr := io.ReadAll(io.NewSectionReader(body, 0, opts.Size))
		close(v.writing)
		go func() {
			<-v.goOn
			err := v.Vault.Put(context.WithoutCancel(ctx), key, strings.NewReader(string(text)), opts)
			v.written <- err
		}()
		<-ctx.Done()
		if err = readErr; err == nil {
			err = ctx.Err()
		}
	})
	if first {
		return err
	}
	return v.Vault.Put(ctx, key, body, opts)
}

// TestLeaseLostWhileWriting lets a worker lose its lease in the middle of a
// PUT that goes through all the same, before and after another worker has
// archived the recording.
func TestLeaseLostWhileWriting(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"after the other": true, "before the other": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			close(g.answer)
			host := serve(t, g)
			loser := &strayStore{Store: onSQLite(t), tokens: make(chan string, 100)}
			s := loser.Store
			delivery := wanted(host+"/a.wav", "", 0)
			recording := queue(t, s, delivery)
			inner := openS3(t, lockedBucket(t))
			v := &stubbornVault{Vault: inner, writing: make(chan struct{}), goOn: make(chan struct{}), written: make(chan error, 1)}
			o := options(t, loser, v, host)
			o.Lease = 600 * time.Millisecond
			_, stop := run(t, o)
			<-v.writing
			loser.nothing.Store(true)
			loser.renew.Store(call.Errorf(call.Conflict, "another has it"))
			if !late {
				close(v.goOn)
				if err := <-v.written; err != nil {
					t.Fatal(err)
				}
			}
			run(t, options(t, s, inner, host))
			eventually(t, "the other archives it", func() bool { return recording().State == call.Archived })
			before := recording()
			if late {
				close(v.goOn)
				if err := <-v.written; err == nil {
					t.Error("it is written twice")
				}
			}
			stop()
			checkOnce(t, s, inner, []*call.Delivery{delivery})
			if diff := cmp.Diff(before, recording()); diff != "" {
				t.Errorf("the loser has changed the recording (-want +got):\n%s", diff)
			}
		})
	}
}

// deafStore claims recordings, and the answer is lost.
type deafStore struct {
	*store.Store

	lost atomic.Int64
}

func (s *deafStore) ClaimRecordings(ctx context.Context, o call.ClaimOptions) ([]call.Claim, error) {
	claims, err := s.Store.ClaimRecordings(ctx, o)
	if err == nil && len(claims) > 0 && s.lost.Add(1) == 1 {
		return nil, errNoDatabase
	}
	return claims, err
}

// TestDatabaseGoneWhileClaiming loses the answer to a claim that was
// committed: the recordings are claimed again when the lease is over.
func TestDatabaseGoneWhileClaiming(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(audio) }))
	s := &deafStore{Store: openStore(t, store.Options{DSN: testenv.Postgres(t)})}
	v := openS3(t, lockedBucket(t))
	var deliveries []*call.Delivery
	for i := range 6 {
		deliveries = append(deliveries, wanted(fmt.Sprintf("%s/%d.wav", host, i), "", 0))
	}
	queue(t, s.Store, deliveries...)
	o := options(t, s, v, host)
	o.Lease = 500 * time.Millisecond
	run(t, o)
	eventually(t, "all are archived", func() bool { return stats(t, s.Store).Archived == 6 })
	if s.lost.Load() < 2 {
		t.Error("no claim was lost")
	}
	checkOnce(t, s.Store, v, deliveries)
}

// TestDatabaseGoneWhileArchiving stops PostgreSQL while recordings are being
// fetched, and starts it when they have been put.
func TestDatabaseGoneWhileArchiving(t *testing.T) {
	t.Parallel()
	pg := testenv.OwnPostgres(t, testenv.PostgresOptions{Fsync: true})
	s := openStore(t, store.Options{DSN: pg.DSN()})
	g := newGate(t)
	host := serve(t, g)
	v := openS3(t, lockedBucket(t))
	var deliveries []*call.Delivery
	for i := range 4 {
		deliveries = append(deliveries, wanted(fmt.Sprintf("%s/%d.wav", host, i), "", 0))
	}
	queue(t, s, deliveries...)
	o := options(t, s, v, host)
	o.Lease = 3 * time.Second
	run(t, o)
	for range deliveries {
		<-g.asked
	}
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	close(g.answer)
	if err := pg.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are archived", func() bool {
		q, err := s.QueueStats(t.Context())
		return err == nil && q.Archived == int64(len(deliveries))
	})
	checkOnce(t, s, v, deliveries)
}
