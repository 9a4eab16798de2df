package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"callvault/internal/call"
)

var quiet = slog.New(slog.DiscardHandler)

func now() time.Time { return time.Now() }

// pass lets the clock of a synctest bubble go on, which takes no time.
func pass(d time.Duration) { <-time.After(d) }

func delivery(r *Receiver, body string) *call.Delivery {
	d := &call.Delivery{UID: uuid.NewString(), Account: "sales", Method: "POST", Body: []byte(body),
		ReceivedAt: testReceivedAt, Source: call.SourceWebhook}
	r.decoder.Decode(d)
	return d
}

// takeAll takes deliveries at once and returns what their senders are told.
func takeAll(r *Receiver, bodies ...string) []error {
	errs := make([]error, len(bodies))
	var wg sync.WaitGroup
	for i, body := range bodies {
		wg.Go(func() { errs[i] = r.ingest.take(context.Background(), delivery(r, body)) })
	}
	wg.Wait()
	return errs
}

func report(i int) string { return fmt.Sprintf(`{"CallSid":"%04d","EndTime":""}`, i) }

// TestGroupCommit: those who come while a batch is being committed share the
// next one.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{fail: func(context.Context, []*call.Delivery) error {
			pass(time.Second)
			return nil
		}}
		r := newTestReceiver(t, m, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.ingest.take(context.Background(), delivery(r, report(0))); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // the first batch is on its way
		bodies := make([]string, maxBatch+50)
		for i := range bodies {
			bodies[i] = report(i + 1)
		}
		for _, err := range takeAll(r, bodies...) {
			if err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		var sizes []int
		for _, b := range m.batches {
			sizes = append(sizes, len(b))
		}
		if diff := cmp.Diff([]int{1, maxBatch, 50}, sizes); diff != "" {
			t.Error(diff)
		}
		if len(m.stored()) != len(bodies)+1 {
			t.Errorf("%d stored", len(m.stored()))
		}
	})
}

// TestBatchBounds: large deliveries make small batches.
func TestBatchBounds(t *testing.T) {
	t.Parallel()
	in := ingest{}
	add := func(items, bytes int) {
		in.waiting = append(in.waiting, &receipt{delivery: &call.Delivery{
			Items: make([]call.Item, items), Body: make([]byte, bytes)}})
	}
	add(maxItems, 1)
	add(1, 3<<20)
	add(1, 1<<20)
	add(1, 1)
	add(1, 1)
	for i, want := range []int{1, 2, 2, 0} {
		if got := len(in.next()); got != want {
			t.Errorf("batch %d: %d deliveries, want %d", i, got, want)
		}
	}
}

// TestBadDelivery: one that the store cannot take spoils only itself, and is
// kept as unreadable.
func TestBadDelivery(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func() error{
		"error": func() error { return errors.New("check constraint violated") },
		"panic": func() error { panic("index out of range") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			poison := func(_ context.Context, batch []*call.Delivery) error {
				for _, d := range batch {
					if strings.Contains(string(d.Body), "poison") && d.Items[0].Leg != nil {
						return trouble()
					}
				}
				return nil
			}
			m := &memory{fail: poison}
			r := newTestReceiver(t, m, nil)
			batch := []*call.Delivery{delivery(r, report(1)), delivery(r, `{"CallSid":"poison","EndTime":""}`), delivery(r, report(2))}
			if err := Record(t.Context(), m, quiet, batch); err != nil {
				t.Fatal(err)
			}
			if err := r.ingest.take(context.Background(), delivery(r, `{"CallSid":"poison 2","EndTime":""}`)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range m.stored() {
				got = append(got, fmt.Sprintf("%s %s", d.Items[0].Outcome, d.Error))
			}
			bad := "unreadable what it says could not be stored"
			if diff := cmp.Diff([]string{" ", bad, " ", bad}, got); diff != "" {
				t.Error(diff)
			}
			if n, err := r.Spooled(); err != nil || n != 0 {
				t.Errorf("%d bytes spooled, %v", n, err)
			}
		})
	}
}

// TestSpoolAndDrain: what the database cannot take is acknowledged from the
// spool and stored when the database is back.
func TestSpoolAndDrain(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(context.Context, []*call.Delivery) error{
		"away": unavailable,
		"hangs": func(ctx context.Context, _ []*call.Delivery) error {
			<-ctx.Done()
			return fmt.Errorf("record: %w", ctx.Err())
		},
		"broken": func(context.Context, []*call.Delivery) error { return errors.New("disk I/O error") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{fail: fail}
				r := newTestReceiver(t, m, nil)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					r.Run(ctx)
				}()
				var want []string
				for i := range 20 {
					want = append(want, report(i))
				}
				began := time.Now()
				for _, err := range takeAll(r, want...) {
					if err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(began); took > 2*recordTime {
					t.Errorf("senders waited %v", took)
				}
				if len(m.stored()) != 0 {
					t.Fatal("stored although the database is away")
				}
				if n, err := r.Spooled(); err != nil || n == 0 {
					t.Errorf("%d bytes spooled, %v", n, err)
				}

				pass(3 * time.Minute)
				before := m.triesSoFar()
				pass(3 * time.Minute)
				if n := m.triesSoFar() - before; n < 3 || n > 40 {
					t.Errorf("%d tries in three minutes", n)
				}
				m.failWith(nil)
				pass(maxPause + patientTime + time.Second)
				if diff := cmp.Diff(want, m.bodies()); diff != "" {
					t.Error(diff)
				}
				for _, d := range m.stored() {
					if d.Items[0].Leg == nil || !d.ReceivedAt.Equal(testReceivedAt) || d.Source != call.SourceWebhook {
						t.Errorf("not as it was received: %+v", d)
					}
				}
				if n, err := r.Spooled(); err != nil || n != 0 {
					t.Errorf("%d bytes still spooled, %v", n, err)
				}
				if err := r.ingest.take(context.Background(), delivery(r, report(99))); err != nil || len(m.stored()) != 21 {
					t.Errorf("not straight to the database again: %v", err)
				}
				cancel()
				<-done
			})
		})
	}
}

// TestSpoolIsNotBlocked: a delivery for whose sake the store blames the
// database does not stand in the way of the others in the spool.
func TestSpoolIsNotBlocked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{fail: func(ctx context.Context, batch []*call.Delivery) error {
			for _, d := range batch {
				if strings.Contains(string(d.Body), "endless") && d.Items[0].Leg != nil {
					<-ctx.Done()
					return ctx.Err()
				}
			}
			return nil
		}}
		r := newTestReceiver(t, m, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		endless := `{"CallSid":"endless","EndTime":""}`
		for _, err := range takeAll(r, report(1), endless, report(2), report(3)) {
			if err != nil {
				t.Error(err)
			}
		}
		pass(5 * patientTime)
		if diff := cmp.Diff([]string{report(1), report(2), report(3), endless}, m.bodies()); diff != "" {
			t.Error(diff)
		}
		for _, d := range m.stored() {
			if unread := d.Outcome == call.Unreadable; unread != (string(d.Body) == endless) {
				t.Errorf("%s is %s", d.Body, d.Outcome)
			}
		}
		if n, err := r.Spooled(); err != nil || n != 0 {
			t.Errorf("%d bytes still spooled, %v", n, err)
		}
		cancel()
		synctest.Wait()
	})
}

// TestDatabaseLeftAlone: a database that hangs is not asked by every batch.
func TestDatabaseLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{fail: unavailable}
		r := newTestReceiver(t, m, nil)
		for i := range 10 {
			if errs := takeAll(r, report(i)); errs[0] != nil {
				t.Fatal(errs[0])
			}
		}
		if m.tries != 1 {
			t.Errorf("%d tries in no time", m.tries)
		}
		pass(minPause)
		takeAll(r, report(10))
		if m.tries != 2 {
			t.Errorf("%d tries after a pause", m.tries)
		}
	})
}

// TestNeitherDatabaseNorSpool: then, and only then, the sender is told to try
// again, and the database is asked each time.
func TestNeitherDatabaseNorSpool(t *testing.T) {
	t.Parallel()
	m := &memory{fail: unavailable}
	r := newTestReceiver(t, m, nil)
	if err := os.RemoveAll(r.spool.dir); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if errs := takeAll(r, report(i)); errs[0] == nil {
			t.Fatal("acknowledged although it is nowhere")
		}
	}
	m.failWith(nil)
	if errs := takeAll(r, report(3)); errs[0] != nil || len(m.stored()) != 1 {
		t.Errorf("not taken by a database that works: %v", errs[0])
	}
}

// TestSpoolAfterCrash: torn and damaged lines cost nothing but themselves, and
// draining twice stores once.
func TestSpoolAfterCrash(t *testing.T) {
	t.Parallel()
	m := &memory{}
	r := newTestReceiver(t, m, nil)
	var want []string
	var batch []*call.Delivery
	for i := range 5 {
		batch = append(batch, delivery(r, report(i)))
		want = append(want, report(i))
	}
	if err := r.spool.append(batch); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	name := spoolFiles(t, r, spoolSuffix)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	drain := func() int {
		t.Helper()
		n, err := r.spool.drain(t.Context(), func(ctx context.Context, batch []*call.Delivery) error {
			return Record(ctx, m, quiet, batch)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}

	// Torn at every byte of the last line: the whole ones are stored.
	lastLine := strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n') + 1
	for _, end := range []int{lastLine + 1, lastLine + 9, len(whole) - 1, len(whole)} {
		if err := os.WriteFile(name, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		lines := 4
		if end == len(whole) {
			lines = 5
		}
		if n := drain(); n != lines {
			t.Errorf("torn at %d of %d: %d deliveries", end, len(whole), n)
		}
		if left := spoolFiles(t, r, ""); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
	if diff := cmp.Diff(want, m.bodies()); diff != "" {
		t.Error(diff)
	}

	// A bit that flipped in the first line: the others are stored, and the file
	// stays for people to look at.
	whole[20] ^= 1
	if err := os.WriteFile(name, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := drain(); n != 4 {
		t.Errorf("damaged: %d deliveries", n)
	}
	if left := spoolFiles(t, r, damagedSuffix); len(left) != 1 {
		t.Errorf("the damaged file is gone: %v", left)
	}
	if n := drain(); n != 0 {
		t.Errorf("a damaged file was drained again: %d", n)
	}
}

func spoolFiles(t *testing.T, r *Receiver, suffix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(r.spool.dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// TestSpoolLeftOver: what an earlier process left is drained at the start, by
// the accounts as they are configured now.
func TestSpoolLeftOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	earlier := newTestReceiver(t, &memory{}, func(o *Options) { o.Spool = dir })
	gone := delivery(earlier, report(2))
	gone.Account = "gone"
	if err := earlier.spool.append([]*call.Delivery{delivery(earlier, report(1)), gone}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := newTestReceiver(t, m, func(o *Options) { o.Spool = dir })
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		synctest.Wait()
		got := make(map[string]string)
		for _, d := range m.stored() {
			got[d.Account] = string(d.Items[0].Outcome) + d.Error
		}
		if diff := cmp.Diff(map[string]string{"sales": "", "gone": "unreadableaccount gone is not configured"}, got); diff != "" {
			t.Error(diff)
		}
		cancel()
		synctest.Wait()
	})
}

func FuzzSpool(f *testing.F) {
	line, err := encodeLine(&call.Delivery{UID: "u", Account: "sales", Body: []byte{0, 255, '\n'}, Query: "a=\n", ReceivedAt: testReceivedAt})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line, []byte{0, 255, '\n'}, "a=b")
	f.Add([]byte("00000000 {}\n"), []byte(nil), "\xff")
	f.Fuzz(func(t *testing.T, line, body []byte, query string) {
		if d, err := decodeLine(line); err == nil && d == nil {
			t.Error("neither delivery nor error")
		}
		in := &call.Delivery{UID: "u", Account: "a", Body: body, Query: escapeInvalid(query), ReceivedAt: testReceivedAt}
		text, err := encodeLine(in)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n != 1 || text[len(text)-1] != '\n' {
			t.Errorf("%d lines", n)
		}
		out, err := decodeLine(text)
		if err != nil || string(out.Body) != string(body) || out.Query != in.Query || !out.ReceivedAt.Equal(in.ReceivedAt) {
			t.Errorf("%+v came back as %+v, %v", in, out, err)
		}
	})
}

// TestBusy: a crowd of deliveries is noticed, and forgotten when it is over.
func TestBusy(t *testing.T) {
	t.Parallel()
	now := testReceivedAt
	in := &ingest{store: &memory{}, now: func() time.Time { return now }, logger: slog.New(slog.DiscardHandler)}
	come := func(n int) {
		for range n {
			in.waiting = append(in.waiting, &receipt{&call.Delivery{}, make(chan error, 1)})
		}
		in.working++
		in.work(t.Context())
	}
	come(crowd - 1)
	if in.busy() {
		t.Error("a few are a crowd")
	}
	come(crowd)
	if !in.busy() {
		t.Error("a crowd is not noticed")
	}
	if now = now.Add(crowdTime); in.busy() {
		t.Error("the crowd is gone and not forgotten")
	}
}
