package archive_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// TestAbsentUntilNamedAgain gives a recording up, and gets it when a later
// report names it.
func TestAbsentUntilNamedAgain(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	var there atomic.Bool
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !there.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(audio)
	}))
	s := onSQLite(t)
	// What is asked for is the address as it was reported.
	source, location := host+"/a.wav", host+"/a.wav?signature=hunter2"
	recording := queue(t, s, wanted(source, location, 0))
	o := options(t, s, onDirectory(t), host)
	registry := prometheus.NewRegistry()
	o.Metrics = registry
	a, stop := run(t, o)
	eventually(t, "it is absent", func() bool { return recording().State == call.Absent })
	if r := recording(); !strings.HasPrefix(r.Reason, "not offered within 1s; the last of ") ||
		!strings.HasSuffix(r.Reason, "the host answered 404 Not Found") || r.Attempts < 6 || r.ObjectKey != "" {
		t.Errorf("recording is %+v", r)
	}
	there.Store(true)
	queue(t, s, wanted(source, location, 1))
	a.Wake()
	eventually(t, "it is archived", func() bool { return recording().State == call.Archived })
	if r := recording(); r.Attempts != 1 || r.Reason != "" {
		t.Errorf("recording is %+v", r)
	}
	stop() // a try is counted after its mark
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			counts[key] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	tries := counts["callvault_recording_tries_total sales not_ready"] + 2
	if counts["callvault_recording_tries_total sales archived"] != 1 ||
		counts["callvault_recording_tries_total sales absent"] != 1 || tries < 4 ||
		counts["callvault_recording_archived_bytes_total sales"] != float64(len(audio)) ||
		counts["callvault_recording_try_seconds"] != tries || counts["callvault_recording_delay_seconds"] != 1 {
		t.Errorf("metrics are %v", counts)
	}
}

// TestUnreachableHost tells people a sentence, and only the log addresses.
func TestUnreachableHost(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	closeIt(t, listener) // nobody listens there any more
	s := onSQLite(t)
	recording := queue(t, s, wanted("http://"+address+"/a.wav", "http://"+address+"/hunter2.wav?signature=hunter2", 0))
	o := options(t, s, onDirectory(t), "http://"+address)
	var mu sync.Mutex
	var log strings.Builder
	o.Logger = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(line)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	_, stop := run(t, o)
	eventually(t, "it was tried", func() bool { return recording().LastError != "" })
	stop()
	if seen := recording().LastError; seen != "the host refused the connection" {
		t.Errorf("last error is %q", seen)
	}
	if logged := log.String(); !strings.Contains(logged, "dial tcp "+address) || strings.Contains(logged, "hunter2") {
		t.Errorf("logged:\n%s", logged)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestRetryAfter has a host ask for more patience than the schedule has.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1200")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	s := onSQLite(t)
	recording := queue(t, s, wanted(host+"/a.wav", "", 0))
	o := options(t, s, onDirectory(t), host)
	o.GiveUpAfter = time.Hour
	run(t, o)
	eventually(t, "it was tried", func() bool { return recording().LastError != "" })
	if r := recording(); r.State != call.Pending || time.Until(r.NextTryAt) < 19*time.Minute || time.Until(r.NextTryAt) > 21*time.Minute {
		t.Errorf("recording is %+v", r)
	}
}

// TestCredentials has an account without credentials, then with wrong and at
// last with right ones, each after a restart.
func TestCredentials(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	var asked atomic.Int32
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Query().Get("secret") != secret {
			_, _ = io.WriteString(w, `{"code":407,"error":true,"msg":"Authentication Failed"}`)
			return
		}
		_, _ = w.Write(audio)
	}))
	s, v := onSQLite(t), onDirectory(t)
	first := queue(t, s, wanted("1634720915260_2222223.mp3", "", 0))
	queue(t, s, wanted("1634720915261_2222223.mp3", "", 0), wanted("1634720915262_2222223.mp3", "", 0))
	start := func(accounts func(*archive.Options)) func() {
		o := options(t, s, v, host)
		o.Workers = 1
		accounts(&o)
		_, stop := run(t, o)
		return stop
	}
	paused := func(with string) func() bool {
		return func() bool {
			accounts, err := s.PausedAccounts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(accounts["support"], with) && stats(t, s).Leased == 0
		}
	}
	stop := start(func(o *archive.Options) { o.Accounts = o.Accounts[:1] })
	eventually(t, "the unknown account is paused", paused("not in the configuration"))
	stop()
	stop = start(func(o *archive.Options) { o.Accounts[1].Secret = "" })
	eventually(t, "it stays paused", paused("configur"))
	stop()
	if q := stats(t, s); q.Pending != 3 || asked.Load() != 0 || first().Attempts != 0 {
		t.Errorf("asked %d times, queue is %+v", asked.Load(), q)
	}
	stop = start(func(o *archive.Options) { o.Accounts[1].Secret = "wrong" })
	eventually(t, "the account with wrong credentials is paused", paused("rejected"))
	stop()
	if q := stats(t, s); q.Refused != 1 || q.Pending != 2 || asked.Load() != 1 {
		t.Errorf("asked %d times, queue is %+v", asked.Load(), q)
	}
	start(func(*archive.Options) {})
	eventually(t, "all are archived", func() bool { return stats(t, s).Archived == 3 })
	if accounts, err := s.PausedAccounts(t.Context()); err != nil || len(accounts) != 0 {
		t.Errorf("still paused: %v, %v", accounts, err)
	}
}

// forgetfulStore has lost the pauses, but not what they did to recordings: as
// when a node died between the two.
type forgetfulStore struct{ *store.Store }

func (forgetfulStore) PausedAccounts(context.Context) (map[string]string, error) {
	return map[string]string{}, nil
}

// TestStuckAccount wakes recordings that wait for the end of a pause that
// nobody knows of, and leaves those alone that wait for their time.
func TestStuckAccount(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(audio) }))
	s := onSQLite(t)
	later := queue(t, s, wanted(host+"/later.wav", "", 0))
	claims, err := s.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Minute})
	if err != nil || len(claims) != 1 {
		t.Fatalf("claimed %v, %v", claims, err)
	}
	if err := s.MarkPending(t.Context(), claims[0].LeaseToken, time.Hour, "not yet"); err != nil {
		t.Fatal(err)
	}
	due := later().NextTryAt
	stuck := queue(t, s, wanted("1634720915260_2222223.mp3", "", 0))
	if err := s.PauseAccount(t.Context(), "support", call.CredentialsRejected); err != nil {
		t.Fatal(err)
	}
	if next := stuck().NextTryAt; !next.IsZero() {
		t.Fatalf("the paused recording is due at %v", next)
	}
	o := options(t, s, onDirectory(t), host)
	o.Store = forgetfulStore{s}
	run(t, o)
	eventually(t, "it is archived", func() bool { return stuck().State == call.Archived })
	if r := later(); r.State != call.Pending || !r.NextTryAt.Equal(due) {
		t.Errorf("recording is %+v, want it due at %v", r, due)
	}
}

// gate is a host that says when it was asked, and answers when told to.
type gate struct {
	asked, answer, gone chan struct{}
	audio               []byte
}

func newGate(t *testing.T) gate {
	t.Helper()
	return gate{make(chan struct{}, 100), make(chan struct{}), make(chan struct{}, 100), recorded(t, 1)}
}

func (g gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.asked <- struct{}{}
	select {
	case <-g.answer:
		_, _ = w.Write(g.audio)
	case <-r.Context().Done():
		g.gone <- struct{}{}
	}
}

func TestShutdownGivesBack(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t testing.TB) *store.Store{
		"SQLite": onSQLite,
		"PostgreSQL": func(t testing.TB) *store.Store {
			t.Helper()
			return openStore(t, store.Options{DSN: testenv.Postgres(t)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			host := serve(t, g)
			s := open(t)
			recording := queue(t, s, wanted(host+"/a.wav", "", 0), wanted(host+"/b.wav", "", 0))
			_, stop := run(t, options(t, s, onDirectory(t), host))
			<-g.asked
			<-g.asked
			stop()
			if q := stats(t, s); q.Due != 2 || q.Leased != 0 || recording().Attempts != 0 {
				t.Errorf("queue is %+v, recording %+v", q, recording())
			}
		})
	}
}

// strayStore is a store whose leases the test can take away.
type strayStore struct {
	*store.Store

	tokens  chan string
	renew   atomic.Value // of error
	nothing atomic.Bool  // is due any more
}

func (s *strayStore) ClaimRecordings(ctx context.Context, o call.ClaimOptions) ([]call.Claim, error) {
	if s.nothing.Load() {
		return nil, nil
	}
	claims, err := s.Store.ClaimRecordings(ctx, o)
	for _, c := range claims {
		s.tokens <- c.LeaseToken
	}
	return claims, err
}

func (s *strayStore) RenewLease(ctx context.Context, token string, lease time.Duration) error {
	if err, ok := s.renew.Load().(error); ok {
		return err
	}
	return s.Store.RenewLease(ctx, token, lease)
}

// TestLostLease takes the lease away while a recording is fetched, and while
// the database cannot be asked: the work ends, and changes nothing.
func TestLostLease(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, s *strayStore, token string){
		"another worker has it": func(t *testing.T, s *strayStore, token string) {
			t.Helper()
			if err := s.MarkPending(t.Context(), token, 0, ""); err != nil {
				t.Error(err)
			}
		},
		"it cannot be renewed": func(_ *testing.T, s *strayStore, _ string) {
			s.renew.Store(errors.New("no database"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			host := serve(t, g)
			s := &strayStore{Store: onSQLite(t), tokens: make(chan string, 100)}
			recording := queue(t, s.Store, wanted(host+"/a.wav", "", 0))
			v := onDirectory(t)
			o := options(t, s, v, host)
			o.Lease, o.Workers = 400*time.Millisecond, 1
			run(t, o)
			<-g.asked
			before := recording()
			s.nothing.Store(true)
			lose(t, s, <-s.tokens)
			var mine []call.Claim
			eventually(t, "the test has the lease", func() (done bool) {
				var err error
				mine, err = s.Store.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Hour})
				return err != nil || len(mine) == 1
			})
			<-g.gone
			if len(mine) != 1 {
				t.Fatal("the test did not get the lease")
			}
			if err := s.Store.RenewLease(t.Context(), mine[0].LeaseToken, time.Hour); err != nil {
				t.Errorf("the loser has changed the recording: %v", err)
			}
			if r := recording(); r.State != call.Pending || r.ObjectKey != "" || r.Attempts != before.Attempts+1 {
				t.Errorf("recording is %+v", r)
			}
		})
	}
}

// TestLeaseIsRenewed works longer than the lease lasts.
func TestLeaseIsRenewed(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	host := serve(t, g)
	s := onSQLite(t)
	recording := queue(t, s, wanted(host+"/a.wav", "", 0))
	o := options(t, s, onDirectory(t), host)
	o.Lease = 2 * time.Second
	run(t, o)
	<-g.asked
	claimed := recording()
	eventually(t, "the first lease is over", func() bool {
		return recording().NextTryAt.Sub(claimed.NextTryAt) > o.Lease
	})
	close(g.answer)
	eventually(t, "it is archived", func() bool { return recording().State == call.Archived })
	if r := recording(); r.Attempts != 1 {
		t.Errorf("tried %d times", r.Attempts)
	}
}

// TestVaultDown stops the vault while recordings come in. None is lost, and
// the hosts are left alone.
func TestVaultDown(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	var asked atomic.Int32
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(audio)
	}))
	server := testenv.OwnMinIO(t)
	bucket, err := server.NewBucket(t.Context(), testenv.BucketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := onSQLite(t)
	o := options(t, s, openS3(t, s3Options(bucket)), host)
	o.Workers, o.GiveUpAfter = 2, 500*time.Millisecond
	run(t, o)
	queue(t, s, wanted(host+"/0.wav", "", 0))
	eventually(t, "the first is archived", func() bool { return stats(t, s).Archived == 1 })
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var deliveries []*call.Delivery
	for _, name := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		deliveries = append(deliveries, wanted(host+"/"+name+".wav", "", 0))
	}
	recording := queue(t, s, deliveries...)
	eventually(t, "the vault is missed for longer than a recording is waited for", func() bool {
		return strings.Contains(recording().LastError, "vault") && time.Since(begin) > o.GiveUpAfter
	})
	if n := asked.Load(); n > 1+2*int32(o.Workers) {
		t.Errorf("the host was asked %d times for nothing", n-1)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are archived", func() bool { return stats(t, s).Archived == 9 })
}

// failingStore fails a few times.
type failingStore struct {
	*store.Store

	claims, marks, keys atomic.Int32
}

var errNoDatabase = errors.New("no database")

func (s *failingStore) ClaimRecordings(ctx context.Context, o call.ClaimOptions) ([]call.Claim, error) {
	if s.claims.Add(1) <= 2 {
		return nil, errNoDatabase
	}
	return s.Store.ClaimRecordings(ctx, o)
}

func (s *failingStore) ChooseObjectKey(ctx context.Context, token, key string) (string, error) {
	if s.keys.Add(1) <= 1 {
		return "", errNoDatabase
	}
	return s.Store.ChooseObjectKey(ctx, token, key)
}

func (s *failingStore) MarkArchived(ctx context.Context, token string, a call.Archiving) error {
	if s.marks.Add(1) <= 1 {
		return errNoDatabase
	}
	return s.Store.MarkArchived(ctx, token, a)
}

// TestDatabaseFails lets every step fail once. What was put without being
// marked is found again under the key that was chosen.
func TestDatabaseFails(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(audio) }))
	s := &failingStore{Store: onSQLite(t)}
	v := onDirectory(t)
	recording := queue(t, s.Store, wanted(host+"/a.wav", "", 0))
	o := options(t, s, v, host)
	o.Lease = 300 * time.Millisecond
	run(t, o)
	eventually(t, "it is archived", func() bool { return recording().State == call.Archived })
	if keys := list(t, v, "calls"); len(keys) != 1 || keys[0] != recording().ObjectKey || s.marks.Load() != 2 {
		t.Errorf("after %d marks the vault holds %v", s.marks.Load(), keys)
	}
}

// TestOtherBytesUnderTheKey keeps both apart, and says which one counts.
func TestOtherBytesUnderTheKey(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(audio) }))
	s, v := onSQLite(t), onDirectory(t)
	recording := queue(t, s, wanted(host+"/a.wav", "", 0))
	key := "calls/2026/11/20/sales/" + recording().ID + ".wav"
	put(t, v, key, "earlier")
	run(t, options(t, s, v, host))
	eventually(t, "it is archived", func() bool { return recording().State == call.Archived })
	r := recording()
	if dir, name := filepath.Split(r.ObjectKey); dir != "calls/2026/11/20/sales/" ||
		!strings.HasPrefix(name, r.ID+".conflict-"+r.SHA256[:16]) || filepath.Ext(name) != ".wav" {
		t.Errorf("it lies at %s", r.ObjectKey)
	}
	if body, _ := read(t, v, r.ObjectKey, 0, -1); string(body) != string(audio) {
		t.Errorf("%d bytes were kept", len(body))
	}
	if body, _ := read(t, v, key, 0, -1); string(body) != "earlier" {
		t.Errorf("the earlier one is now %d bytes", len(body))
	}
}

// TestHostsDoNotStarveEachOther has one host that does not answer, and many
// more of its recordings than workers.
func TestHostsDoNotStarveEachOther(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most := 0, 0
	slow := newGate(t)
	stuck := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		slow.ServeHTTP(w, r)
		mu.Lock()
		now--
		mu.Unlock()
	}))
	quick := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(slow.audio) }))
	s := onSQLite(t)
	var deliveries []*call.Delivery
	for _, host := range []string{stuck, quick} {
		for i := range 20 {
			deliveries = append(deliveries, wanted(host+"/"+string(rune('a'+i))+".wav", "", 0))
		}
	}
	queue(t, s, deliveries...)
	o := options(t, s, onDirectory(t), quick)
	o.Workers, o.PerHost = 4, 3
	run(t, o)
	eventually(t, "the quick host's are archived", func() bool { return stats(t, s).Archived == 20 })
	// Three are under way; as many as there are workers may be claimed ahead.
	if q := stats(t, s); q.Leased < 3 || q.Leased > 3+int64(o.Workers) {
		t.Errorf("%d are claimed", q.Leased)
	}
	close(slow.answer)
	eventually(t, "all are archived", func() bool { return stats(t, s).Archived == 40 })
	mu.Lock()
	defer mu.Unlock()
	if most != o.PerHost {
		t.Errorf("%d at once from one host, want %d", most, o.PerHost)
	}
}

func TestOptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	for name, change := range map[string]func(*archive.Options){
		"no store":      func(o *archive.Options) { o.Store = nil },
		"no vault":      func(o *archive.Options) { o.Vault = nil },
		"no spool":      func(o *archive.Options) { o.SpoolDir = "" },
		"bad host":      func(o *archive.Options) { o.Accounts[0].RecordingHosts = []string{"https://a/b"} },
		"no api_url":    func(o *archive.Options) { o.Accounts[1].APIURL = "" },
		"odd api_url":   func(o *archive.Options) { o.Accounts[1].APIURL = "http://[" + secret },
		"metrics twice": func(o *archive.Options) { registerTwice(t, o) },
	} {
		o := options(t, s, v, "http://127.0.0.1")
		change(&o)
		if _, err := archive.New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func registerTwice(t *testing.T, o *archive.Options) {
	t.Helper()
	o.Metrics = prometheus.NewRegistry()
	if _, err := archive.New(*o); err != nil {
		t.Error(err)
	}
}
