package archive_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// sweep is a vault with recordings and what became of their objects.
type sweep struct {
	*store.Store

	t     *testing.T
	vault archive.Vault
	host  string
	now   time.Time
	// states are those that the database is taken to have.
	states map[string]call.RecordingState
}

func (s *sweep) Recording(ctx context.Context, id string) (call.Recording, error) {
	r, err := s.Store.Recording(ctx, id)
	if state, ok := s.states[id]; ok {
		r.State = state
	}
	return r, err
}

func (s *sweep) RecordingsByKey(ctx context.Context, key, id string, limit int) ([]call.KeyedRecording, error) {
	found, err := s.Store.RecordingsByKey(ctx, key, id, limit)
	for i := range found {
		if state, ok := s.states[found[i].ID]; ok {
			found[i].State = state
		}
	}
	return found, err
}

// claimed is a recording that a worker has chosen a key for.
func (s *sweep) claimed(name string) call.Claim {
	s.t.Helper()
	queue(s.t, s.Store, wanted(s.host+"/"+name+".wav", "", 0))
	claims, err := s.ClaimRecordings(s.t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Hour})
	if err != nil || len(claims) != 1 {
		s.t.Fatal(claims, err)
	}
	c := claims[0]
	c.ObjectKey, err = s.ChooseObjectKey(s.t.Context(), c.LeaseToken, "calls/2026/11/20/sales/"+c.ID+".wav")
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// put puts an object as a worker does.
func (s *sweep) put(c call.Claim, key string, body []byte, p archive.Protection) {
	s.t.Helper()
	o := describe(body)
	o.Protection, o.Metadata = p, map[string]string{"recording-id": c.ID}
	if err := s.vault.Put(s.t.Context(), key, strings.NewReader(string(body)), o); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sweep) markArchived(c call.Claim, body []byte) {
	s.t.Helper()
	sum := describe(body).SHA256
	err := s.MarkArchived(s.t.Context(), c.LeaseToken, call.Archiving{
		ObjectKey: c.ObjectKey, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:]), MediaType: "audio/wav",
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func beside(c call.Claim) string {
	return strings.TrimSuffix(c.ObjectKey, ".wav") + ".conflict-0123456789abcdef.wav"
}

func (s *sweep) pass() archive.Swept {
	s.t.Helper()
	swept, err := archive.NewSweeper(archive.SweeperOptions{
		Store: s, Vault: s.vault, Wake: func() {}, Now: func() time.Time { return s.now }, Logger: slog.New(slog.DiscardHandler),
	}).Pass(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return swept
}

// removals are the entries of the audit log about orphans.
func (s *sweep) removals() (found []string) {
	s.t.Helper()
	entries, err := s.AuditEntries(s.t.Context(), 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Action != audit.OrphanRemoved {
			continue
		}
		var facts audit.OrphanFacts
		if err := json.Unmarshal(e.Facts, &facts); err != nil {
			s.t.Fatal(err)
		}
		found = append(found, fmt.Sprintf("%s: %s, %d bytes: %s", e.Subject, facts.ObjectKey, facts.Size, e.Reason))
	}
	return found
}

// TestOrphans lets objects come to lie in the vault in every way there is, and
// some that there is not, and looks what is done about them.
func TestOrphans(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) (*store.Store, archive.Vault){
		"SQLite and a directory": func(t *testing.T) (*store.Store, archive.Vault) {
			t.Helper()
			return onSQLite(t), onDirectory(t)
		},
		"PostgreSQL and a locked bucket": func(t *testing.T) (*store.Store, archive.Vault) {
			t.Helper()
			return openStore(t, store.Options{DSN: testenv.Postgres(t)}), openS3(t, lockedBucket(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, v := open(t)
			testOrphans(t, db, v)
		})
	}
}

func testOrphans(t *testing.T, db *store.Store, v archive.Vault) {
	t.Helper()
	var asked atomic.Int64
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.NotFound(w, r)
	}))
	s := &sweep{Store: db, t: t, vault: v, host: host, now: time.Now(), states: map[string]call.RecordingState{}}
	audio := recorded(t, 2)
	free, lockedYet := archive.Protection{}, archive.Protection{Until: time.Now().AddDate(1, 0, 0)}

	good := s.claimed("archived")
	s.put(good, good.ObjectKey, audio, free)
	s.put(good, beside(good), []byte("superseded"), free)
	s.markArchived(good, audio)

	blocked := s.claimed("blocked")
	s.put(blocked, blocked.ObjectKey, audio, free)
	s.put(blocked, beside(blocked), []byte("locked"), lockedYet)
	s.markArchived(blocked, audio)

	lost := s.claimed("lost") // what lies beside may be all that there is
	s.put(lost, beside(lost), []byte("the last copy"), free)
	s.markArchived(lost, audio)

	absent := s.claimed("absent")
	s.put(absent, absent.ObjectKey, audio, free)
	if err := s.MarkAbsent(t.Context(), absent.LeaseToken, "not offered"); err != nil {
		t.Fatal(err)
	}

	pending := s.claimed("pending")
	s.put(pending, pending.ObjectKey, audio, free)
	s.put(pending, beside(pending), []byte("earlier"), free)

	erased := s.claimed("erased")
	s.put(erased, erased.ObjectKey, audio, free)
	s.markArchived(erased, audio)
	s.states[erased.ID] = call.Erased

	held := s.claimed("held")
	s.put(held, held.ObjectKey, audio, free)
	s.put(held, beside(held), []byte("held"), free)
	s.markArchived(held, audio)
	_, err := s.PlaceHold(t.Context(), call.Hold{Name: "case 1", Reason: "a court asks", CallIDs: []string{held.CallID}})
	if err != nil {
		t.Fatal(err)
	}

	foreign := []string{
		"calls/2026/11/20/sales/readme.txt", "calls/2026/11/20/sales/01890000-0000-7000-8000-000000000000.wav",
		"calls/2026/11/20/sales/" + good.ID + ".peaks.json", "reports/x.xlsx",
	}
	for _, key := range foreign {
		put(t, v, key, "foreign")
	}

	before := list(t, v, "")
	if swept := s.pass(); swept != (archive.Swept{}) {
		t.Errorf("young objects: %+v", swept)
	}
	if diff := cmp.Diff(before, list(t, v, "")); diff != "" {
		t.Errorf("young objects (-before +after):\n%s", diff)
	}

	s.now = time.Now().Add(25 * time.Hour)
	want := archive.Swept{Woken: 1, Removed: 2, Kept: 2, Failed: 1}
	gone := []string{beside(good), erased.ObjectKey}
	if v.Locks() == archive.Unlocked {
		want = archive.Swept{Woken: 1, Removed: 3, Kept: 1, Failed: 1}
		gone = append(gone, beside(blocked))
	}
	if diff := cmp.Diff(want, s.pass()); diff != "" {
		t.Errorf("swept (-want +got):\n%s", diff)
	}
	left := map[string]bool{}
	for _, key := range before {
		left[key] = true
	}
	for _, key := range gone {
		delete(left, key)
	}
	got := map[string]bool{}
	for _, version := range versions(t, v, "") {
		got[version.Key] = true
	}
	if diff := cmp.Diff(left, got); diff != "" {
		t.Errorf("left in the vault (-want +got):\n%s", diff)
	}
	removals := strings.Join(s.removals(), "\n")
	for _, line := range []string{
		fmt.Sprintf("recording/%s: %s, 10 bytes: the recording was archived as %s", good.ID, beside(good), good.ObjectKey),
		fmt.Sprintf("recording/%s: %s, %d bytes: the recording is erased", erased.ID, erased.ObjectKey, len(audio)),
	} {
		if !strings.Contains(removals, line) {
			t.Errorf("the audit log does not say %q, but\n%s", line, removals)
		}
	}

	// The one that was given up has its audio now, without a word to its host.
	archiver, stop := run(t, options(t, s.Store, v, host))
	archiver.Wake()
	eventually(t, "it is archived", func() bool {
		r, err := db.Recording(t.Context(), absent.ID)
		return err == nil && r.State == call.Archived && r.ObjectKey == absent.ObjectKey
	})
	stop()
	if n := asked.Load(); n != 0 {
		t.Errorf("the host was asked %d times", n)
	}
}

// countedVault counts how often it is listed.
type countedVault struct {
	archive.Vault

	lists atomic.Int64
}

func (v *countedVault) List(ctx context.Context, prefix string) iter.Seq2[archive.ObjectInfo, error] {
	v.lists.Add(1)
	return v.Vault.List(ctx, prefix)
}

// TestOneNodeLooksForOrphans lets several nodes start at once.
func TestOneNodeLooksForOrphans(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), &countedVault{Vault: onDirectory(t)}
	var nodes sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		sweeper := archive.NewSweeper(archive.SweeperOptions{
			Store: s, Vault: v, Wake: func() {}, Now: time.Now, Logger: slog.New(noSecrets{t}),
		})
		nodes.Go(func() { sweeper.Run(ctx) })
	}
	eventually(t, "a pass is over", func() bool {
		job, err := s.JobRun(t.Context(), archive.OrphanJob)
		return err == nil && !job.EndedAt.IsZero() && string(job.Result) == `{"woken":0,"removed":0,"kept":0,"failed":0}` &&
			job.NextAt.After(time.Now().Add(23*time.Hour))
	})
	cancel()
	nodes.Wait()
	if n := v.lists.Load(); n != 1 {
		t.Errorf("the vault was listed %d times", n)
	}
}

// TestTakenFromTheVault has what an earlier try has put, as it was put and
// altered since.
func TestTakenFromTheVault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lies  string // what is there now
		asked int64
	}{
		"as it was put": {"", 0},
		"altered":       {"forged", 1},
		"of another":    {"of another", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			audio := recorded(t, 2)
			var asked atomic.Int64
			host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				_, _ = w.Write(audio)
			}))
			opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{}))
			s := &sweep{Store: onSQLite(t), t: t, vault: openS3(t, opts), host: host}
			tried := s.claimed("a")
			switch c.lies {
			case "of another":
				put(t, s.vault, tried.ObjectKey, c.lies)
			default:
				s.put(tried, tried.ObjectKey, audio, archive.Protection{})
			}
			if c.lies == "forged" { // whoever owns the store can say what he likes of it
				sum := describe(audio).SHA256
				_, err := plainClient(t, opts).PutObject(t.Context(), opts.Bucket, tried.ObjectKey, strings.NewReader(c.lies), int64(len(c.lies)),
					minio.PutObjectOptions{UserMetadata: map[string]string{"sha256": hex.EncodeToString(sum[:]), "recording-id": tried.ID}})
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := s.ReleaseClaim(t.Context(), tried.LeaseToken); err != nil {
				t.Fatal(err)
			}
			run(t, options(t, s.Store, s.vault, host))
			var r call.Recording
			eventually(t, "it is archived", func() bool {
				var err error
				r, err = s.Store.Recording(t.Context(), tried.ID)
				return err == nil && r.State == call.Archived
			})
			body, _ := read(t, s.vault, r.ObjectKey, 0, -1)
			if string(body) != string(audio) || asked.Load() != c.asked || (r.ObjectKey == tried.ObjectKey) != (c.asked == 0) {
				t.Errorf("%d bytes at %s, the host was asked %d times", len(body), r.ObjectKey, asked.Load())
			}
			if r.MediaType != "audio/wav" || r.AudioSeconds == nil || *r.AudioSeconds != 2 {
				t.Errorf("recording is %+v", r)
			}
		})
	}
}
