package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// posted is a delivery that holds no report, with a body of its own.
func posted(n int) *call.Delivery {
	return &call.Delivery{
		Account: "sales", ReceivedAt: time.Now(), Method: "POST", ContentType: "application/json", Source: call.SourceWebhook,
		Query: "a=b&c=\xff", Body: fmt.Appendf(nil, `{"n": %d, "text": "<&>%s"}`, n, []string{"", "\u2028\x00", "\xff\xfe"}[n%3]),
		Items: []call.Item{{Outcome: call.Ignored, Error: "no report"}},
	}
}

func openJournal(t *testing.T, s archive.JournalStore, v archive.Vault) *archive.Journal {
	t.Helper()
	j, err := archive.NewJournal(archive.JournalOptions{Store: s, Vault: v, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// journaled reads the whole journal.
func journaled(t *testing.T, v archive.Vault) (deliveries []*call.JournaledDelivery, entries []audit.Entry, segments []call.JournalSegment) {
	t.Helper()
	for g, err := range archive.ReadJournal(t.Context(), v, nil) {
		if err != nil {
			t.Fatal(err)
		}
		deliveries, entries, segments = append(deliveries, g.Deliveries...), append(entries, g.Entries...), append(segments, g.JournalSegment)
	}
	return deliveries, entries, segments
}

// TestJournalOfTwoNodes: while two nodes record, and both write the journal,
// each delivery gets into it once, in an order in which none is passed over.
func TestJournalOfTwoNodes(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]store.Options{
		"SQLite":     {Path: filepath.Join(t.TempDir(), "callvault.db")},
		"PostgreSQL": {DSN: testenv.Postgres(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := onDirectory(t)
			const writers, each = 4, 60
			nodes := []*store.Store{openStore(t, o), openStore(t, o)}
			journals := []*archive.Journal{openJournal(t, nodes[0], v), openJournal(t, nodes[1], v)}
			var recording, writing sync.WaitGroup
			for w := range writers {
				recording.Go(func() {
					for n := range each {
						if err := nodes[w%2].Record(t.Context(), []*call.Delivery{posted(w*each + n)}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			done := make(chan struct{})
			for _, j := range journals {
				writing.Go(func() {
					for {
						if err := j.Write(t.Context()); err != nil {
							t.Error(err)
						}
						// Now the other one.
						if err := j.Flush(t.Context()); err != nil {
							t.Error(err)
						}
						select {
						case <-done:
							return
						default:
						}
					}
				})
			}
			recording.Wait()
			close(done)
			writing.Wait()
			if err := journals[0].Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, entries, segments := journaled(t, v)
			var want []*call.JournaledDelivery
			for d, err := range nodes[0].JournalDeliveries(t.Context(), 0, 1<<60) {
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, d)
			}
			if len(want) != writers*each {
				t.Fatalf("%d deliveries are stored, want %d", len(want), writers*each)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("journal differs (-stored +journaled):\n%.2000s", diff)
			}
			log, err := nodes[0].AuditEntries(t.Context(), 0, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			// What was said of the last segment is in none.
			if diff := cmp.Diff(log[:len(entries)], entries); diff != "" || len(log) > len(entries)+1 {
				t.Errorf("%d entries of %d are in the journal:\n%.2000s", len(entries), len(log), diff)
			}
			if len(segments) < 2 {
				t.Errorf("%d segments", len(segments))
			}
			// With nothing to say, nothing is said.
			if err := journals[1].Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, now := journaled(t, v); len(now) != len(segments) {
				t.Errorf("a segment was written of nothing")
			}
		})
	}
}

// TestJournalIsForPeople: a segment is JSON lines under zstd.
func TestJournalIsForPeople(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	if err := s.Record(t.Context(), []*call.Delivery{posted(0), posted(2)}); err != nil {
		t.Fatal(err)
	}
	if err := openJournal(t, s, v).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	body, _, err := v.Open(t.Context(), "journal/0000000001.jsonl.zst", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"segment":{"format":1,"number":1,"previous":"","at":`, `"body":"{\"n\": 0, \"text\": \"<&>\"}"`, `"body":{"base64":"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// dying is a store whose node dies before it can say that a segment was put.
type dying struct{ *store.Store }

var errDied = errors.New("died")

func (dying) FinishSegment(context.Context, string, call.JournalSegment) error { return errDied }

// later is a store that knows more of a delivery than it did.
type later struct {
	*store.Store
	change func(*call.JournaledDelivery)
}

func (l later) JournalDeliveries(ctx context.Context, after, to int64) iter.Seq2[*call.JournaledDelivery, error] {
	return func(yield func(*call.JournaledDelivery, error) bool) {
		for d, err := range l.Store.JournalDeliveries(ctx, after, to) {
			if err == nil {
				l.change(d)
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// openLocking makes a journal whose segments are promised to stay.
func openLocking(t *testing.T, s archive.JournalStore, v archive.Vault) *archive.Journal {
	t.Helper()
	until := func(at time.Time) time.Time { return at.AddDate(1, 0, 0) }
	j, err := archive.NewJournal(archive.JournalOptions{Store: s, Vault: v, Until: until, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestJournalAfterCrash: a node died after it had put a segment. Whoever goes
// on puts the same one, or adopts it; another one in its place is told of.
func TestJournalAfterCrash(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*call.JournaledDelivery)
		fails  bool
	}{
		"same bytes":             {func(*call.JournaledDelivery) {}, false},
		"another outcome by now": {func(d *call.JournaledDelivery) { d.Outcome, d.Error = call.Recorded, "" }, false},
		"not what was received":  {func(d *call.JournaledDelivery) { d.BodySHA256 = make([]byte, sha256.Size) }, true},
		"not from this database": {func(d *call.JournaledDelivery) { d.UID = "another" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, v := onSQLite(t), onDirectory(t)
			for n := range 3 {
				if err := s.Record(t.Context(), []*call.Delivery{posted(n)}); err != nil {
					t.Fatal(err)
				}
			}
			died := openLocking(t, dying{s}, v)
			if err := died.Flush(t.Context()); !errors.Is(err, errDied) {
				t.Fatal(err)
			}
			// It goes on, and more has come in meanwhile.
			if err := s.Record(t.Context(), []*call.Delivery{posted(3)}); err != nil {
				t.Fatal(err)
			}
			err := openLocking(t, later{s, c.change}, v).Flush(t.Context())
			if fault, ok := errors.AsType[*archive.JournalFaultError](err); ok != c.fails || ok && fault.Number != 1 {
				t.Fatalf("got %v", err)
			}
			if c.fails {
				return
			}
			got, _, segments := journaled(t, v)
			if len(got) != 4 || len(segments) != 2 || segments[0].DeliveriesTo != 3 || segments[1].Previous != segments[0].SHA256 {
				t.Errorf("%d deliveries in %+v", len(got), segments)
			}
			if until := segments[0].RetainUntil; !until.Equal(segments[0].At.AddDate(1, 0, 0)) {
				t.Errorf("what was promised is read back as %s", until)
			}
			state, err := s.JournalState(t.Context())
			if err != nil || state.Planned != nil || state.Last.SHA256 != segments[1].SHA256 {
				t.Errorf("%+v, %v", state, err)
			}
		})
	}
}

// TestJournalCutsSegments: much at once becomes several segments.
func TestJournalCutsSegments(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	for n := range 24 {
		d := posted(n)
		d.Body = bytes.Repeat(fmt.Appendf(nil, "%d ", n), 1<<18)
		if err := s.Record(t.Context(), []*call.Delivery{d}); err != nil {
			t.Fatal(err)
		}
	}
	if err := openJournal(t, s, v).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _, segments := journaled(t, v)
	if len(got) != 24 || len(segments) < 2 {
		t.Errorf("%d deliveries in %d segments", len(got), len(segments))
	}
}

// TestEntryFillsSegment: entries as large as a segment leave the deliveries to
// the next one.
func TestEntryFillsSegment(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	for _, size := range []int{7 << 19, 5 << 20} { // bytes; there is room for the second until half of a segment is full
		entry := audit.Entry{Action: audit.HoldPlaced, Facts: fmt.Appendf(nil, `{"calls":%q}`, strings.Repeat("x", size))}
		if err := s.Audit(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Record(t.Context(), []*call.Delivery{posted(1)}); err != nil {
		t.Fatal(err)
	}
	if err := openJournal(t, s, v).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _, segments := journaled(t, v)
	if len(got) != 1 || len(segments) != 2 {
		t.Errorf("%d deliveries in %d segments", len(got), len(segments))
	}
}

// TestJournalFaultsAreFound changes one thing at a time in the vault.
func TestJournalFaultsAreFound(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	j := openJournal(t, s, v)
	objects := map[string][]byte{}
	for n := range 3 {
		if err := s.Record(t.Context(), []*call.Delivery{posted(n)}); err != nil {
			t.Fatal(err)
		}
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		key := archive.SegmentKey(int64(n + 1))
		body, _, err := v.Open(t.Context(), key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if objects[key], err = io.ReadAll(body); err != nil || body.Close() != nil {
			t.Fatal(err)
		}
	}
	one, two, three := archive.SegmentKey(1), archive.SegmentKey(2), archive.SegmentKey(3)
	rewritten := rewrite(t, objects[two], `"method":"POST"`, `"method":"PUT"`)
	forged := rewrite(t, objects[two], `{\"n\": 1,`, `{\"n\": 7,`)
	for name, c := range map[string]struct {
		change map[string][]byte
		want   []int64
	}{
		"untouched":           {nil, nil},
		"first is gone":       {map[string][]byte{one: nil}, []int64{1}},
		"gap":                 {map[string][]byte{two: nil}, []int64{2}},
		"cut":                 {map[string][]byte{two: objects[two][:len(objects[two])/2]}, []int64{2}},
		"garbled":             {map[string][]byte{two: []byte("no segment")}, []int64{2}},
		"one for another":     {map[string][]byte{two: objects[three]}, []int64{2}},
		"written anew":        {map[string][]byte{two: rewritten}, []int64{3}},
		"a body that differs": {map[string][]byte{two: forged}, []int64{2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := onDirectory(t)
			for _, key := range []string{one, two, three} {
				object, ok := c.change[key]
				if !ok {
					object = objects[key]
				}
				if object == nil {
					continue
				}
				if err := changed.Put(t.Context(), key, bytes.NewReader(object), archive.PutOptions{Size: int64(len(object)), SHA256: sha256.Sum256(object)}); err != nil {
					t.Fatal(err)
				}
			}
			var got []int64
			for _, err := range archive.ReadJournal(t.Context(), changed, nil) {
				if fault, ok := errors.AsType[*archive.JournalFaultError](err); ok {
					got = append(got, fault.Number)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("faults in segments %v, want %v", got, c.want)
			}
		})
	}
}

// rewrite changes a segment and compresses it again.
func rewrite(t *testing.T, object []byte, from, to string) []byte {
	t.Helper()
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := r.DecodeAll(object, nil)
	if err != nil || !bytes.Contains(text, []byte(from)) {
		t.Fatalf("no %s in %s: %v", from, text, err)
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(bytes.ReplaceAll(text, []byte(from), []byte(to)), nil)
}

// TestOutrun tells a database that is older than the journal from one whose
// journal another node writes just now.
func TestOutrun(t *testing.T) {
	t.Parallel()
	v := onDirectory(t)
	s := onSQLite(t)
	j := openLocking(t, s, v)
	ask := func(s archive.JournalStates, want int64) {
		t.Helper()
		if got, err := archive.Outrun(t.Context(), s, v); got != want || err != nil {
			t.Errorf("got %d, %v, want %d", got, err, want)
		}
	}
	ask(s, 0)
	var states []call.JournalState
	for n := range 3 {
		if err := s.Record(t.Context(), []*call.Delivery{posted(n)}); err != nil {
			t.Fatal(err)
		}
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		state, err := s.JournalState(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, state)
		ask(s, 0)
	}
	// Put, and not committed yet; and committed while it is being asked.
	if err := s.Record(t.Context(), []*call.Delivery{posted(3)}); err != nil {
		t.Fatal(err)
	}
	if err := openLocking(t, dying{s}, v).Write(t.Context()); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	ask(s, 0)
	ask(&asked{states: states}, 0)
	// Copies of the database, and one that is another's.
	ask(&asked{states: states[:1]}, 2)
	ask(&asked{states: states[1:2]}, 3)
	ask(onSQLite(t), 1)
	planned := call.JournalSegment{Number: 4, Previous: states[2].Last.SHA256, At: time.Now()}
	ask(&asked{states: []call.JournalState{{Last: states[2].Last, Planned: &planned}}}, 4)
}

// asked says of a journal one thing after the other, and the last again.
type asked struct{ states []call.JournalState }

func (a *asked) JournalState(context.Context) (call.JournalState, error) {
	state := a.states[0]
	if len(a.states) > 1 {
		a.states = a.states[1:]
	}
	return state, nil
}
