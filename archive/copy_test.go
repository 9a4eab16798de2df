package archive_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/testenv"
)

// copied is a ledger by which vaults are copied; many may ask at once.
type copied struct {
	ledger
	mu sync.Mutex
}

func (c *copied) RecordingsByKey(ctx context.Context, afterKey, afterID string, limit int) ([]call.KeyedRecording, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ledger.RecordingsByKey(ctx, afterKey, afterID, limit)
}

func (c *copied) Recording(_ context.Context, id string) (call.Recording, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.ID == id {
			return r.Recording, nil
		}
	}
	return call.Recording{}, call.Errorf(call.NotFound, "no such recording")
}

// copy copies, and returns the faults as "kind key", the notices as "(kind key)".
func (c *copied) copy(t *testing.T, from, to archive.Vault, change ...func(*archive.CopyOptions)) (archive.Copied, []string, error) {
	t.Helper()
	var found []string
	o := archive.CopyOptions{
		Store: c, From: from, To: to, SpoolDir: t.TempDir(), Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
		Found: func(f call.Fault, notice bool) error {
			line := string(f.Kind) + " " + f.Where
			if notice {
				line = "(" + line + ")"
			}
			found = append(found, line)
			return nil
		},
	}
	for _, change := range change {
		change(&o)
	}
	copier, err := archive.NewCopier(o)
	if err != nil {
		t.Fatal(err)
	}
	err = copier.Check(t.Context())
	var n archive.Copied
	if err == nil {
		n, err = copier.Run(t.Context())
	}
	slices.Sort(found)
	return n, found, err
}

// want copies, and compares what came of it.
func (c *copied) want(t *testing.T, from, to archive.Vault, want archive.Copied, found ...string) {
	t.Helper()
	got, faults, err := c.copy(t, from, to)
	got.Bytes = 0
	if diff := cmp.Diff(want, got); err != nil || diff != "" || !slices.Equal(faults, found) {
		t.Errorf("%v, found %q, want %q (-want +got):\n%s", err, faults, found, diff)
	}
}

// add puts one more recording, with all that a vault may know of it.
func (c *copied) add(t *testing.T, v archive.Vault, id string, body []byte, until time.Time) string {
	t.Helper()
	key := "calls/2026/11/22/sales/" + id + ".wav"
	opts := describe(body)
	opts.Metadata = map[string]string{"call-key": "1672649960.9601", "recording-id": id, "account": "Zoë"}
	opts.Protection.Until = until
	if err := v.Put(t.Context(), key, bytes.NewReader(body), opts); err != nil {
		t.Fatal(err)
	}
	c.rows = append(c.rows, call.KeyedRecording{Recording: call.Recording{
		ID: id, State: call.Archived, ObjectKey: key, Size: opts.Size, SHA256: hex.EncodeToString(opts.SHA256[:]), RetainUntil: until, MediaType: "audio/wav",
	}})
	return key
}

// TestCopy copies between vaults of all kinds; again, which copies nothing; and
// what came since.
func TestCopy(t *testing.T) {
	t.Parallel()
	until := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)
	bucket := func(lock archive.LockMode) func(*testing.T) archive.Vault {
		return func(t *testing.T) archive.Vault {
			opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: lock != archive.Unlocked}))
			opts.Lock = lock
			return openS3(t, opts)
		}
	}
	directory := func(t *testing.T) archive.Vault { return openDirectory(t, t.TempDir()) }
	for name, tt := range map[string]struct {
		from, to func(*testing.T) archive.Vault
	}{
		"directory to governance":  {directory, bucket(archive.Governance)},
		"directory to compliance":  {directory, bucket(archive.Compliance)},
		"directory to directory":   {directory, directory},
		"compliance to directory":  {bucket(archive.Compliance), directory},
		"plain to compliance":      {bucket(archive.Unlocked), bucket(archive.Compliance)},
		"governance to compliance": {bucket(archive.Governance), bucket(archive.Compliance)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := tt.from(t), tt.to(t)
			var c copied
			c.fill(t, from, 6, until)
			large := c.add(t, from, "large", bytes.Repeat([]byte("0123456789"), 300_000), until.AddDate(1, 0, 0))
			c.rows[len(c.rows)-1].Held = true
			put(t, from, "exports/7/000.zip", "export")
			put(t, from, "erasures/3/1.txt", "certificate")
			c.want(t, from, to, archive.Copied{Copied: 10})
			for info, err := range from.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				sameObject(t, from, to, info.Key)
			}
			c.expect(t, to)
			got, err := to.Protection(t.Context(), large)
			want := archive.Protection{Until: until.AddDate(1, 0, 0), Hold: true}
			if to.Locks() == archive.Unlocked {
				want = archive.Protection{}
			}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v, (-want +got):\n%s", err, diff)
			}
			c.want(t, from, to, archive.Copied{Present: 10})
			c.add(t, from, "later", []byte("later"), until)
			c.want(t, from, to, archive.Copied{Copied: 1, Present: 10})
			if n, found, err := c.copy(t, from, to, func(o *archive.CopyOptions) { o.Reread = true }); err != nil || n.Present != 11 || len(found) > 0 {
				t.Errorf("reading again: %+v, %q, %v", n, found, err)
			}
		})
	}
}

// sameObject compares all that two vaults know of an object, but for when it was
// put and how it is locked.
func sameObject(t *testing.T, a, b archive.Vault, key string) {
	t.Helper()
	var bodies [2][]byte
	var infos [2]archive.ObjectInfo
	for i, v := range []archive.Vault{a, b} {
		bodies[i], infos[i] = read(t, v, key, 0, -1)
		infos[i].Modified, infos[i].Protection, infos[i].LockMode = time.Time{}, archive.Protection{}, ""
	}
	if diff := cmp.Diff(infos[0], infos[1]); diff != "" || !bytes.Equal(bodies[0], bodies[1]) {
		t.Errorf("%s is another object (-from +to):\n%s", key, diff)
	}
}

// TestCopyFaults: what is not as it was kept is named and not copied; what lies
// in the other vault is never replaced; what may not come back stays away.
func TestCopyFaults(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	from, to := openDirectory(t, folder), openDirectory(t, t.TempDir())
	var c copied
	c.fill(t, from, 8, time.Time{})
	keys := make([]string, len(c.rows))
	for i, r := range c.rows {
		keys[i] = r.ObjectKey
	}
	key := func(i int) string { return keys[i] }
	file := func(i int) string { return filepath.Join(folder, keys[i]) }
	write := func(name, text string) {
		t.Helper()
		err := os.Remove(name)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			err = os.WriteFile(name, []byte(text), 0o400)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const erased, stranger = "calls/2026/11/23/sales/01a2046c-c371-8895-8df2-8c9250b26409.wav", "notes/stranger.txt"
	whole, err := os.ReadFile(file(0))
	if err != nil {
		t.Fatal(err)
	}
	write(file(0), strings.ToUpper(string(whole)))
	if err := os.Remove(file(1)); err != nil {
		t.Fatal(err)
	}
	put(t, to, key(2), "other")
	c.rows[3].State = call.Expired
	put(t, from, erased, "erased")
	c.rows = append(c.rows, call.KeyedRecording{Recording: call.Recording{ID: "01a2046c-c371-8895-8df2-8c9250b26409", State: call.Erased}})
	put(t, from, stranger, "nobody knows it")
	put(t, to, key(4), key(4)) // of an earlier copy
	const removed = "exports/5/000.zip"
	put(t, to, removed, "an export that was removed since")
	c.others = append(c.others, call.KeptObject{Key: "reports/going.xlsx", Size: 5, SHA256: c.others[0].SHA256, Going: true})
	put(t, from, "reports/going.xlsx", "going")
	put(t, from, archive.SegmentKey(1), "with what was erased since")
	put(t, from, archive.RevisionKey(1, 1), "segment")
	sum := describe([]byte("segment")).SHA256
	c.segments = []call.JournalSegment{{Number: 1, Revision: 1, Size: 7, SHA256: hex.EncodeToString(sum[:])}}
	c.want(t, from, to, archive.Copied{Copied: 6, Present: 1},
		"(unknown "+key(3)+")", "(unknown "+erased+")", "(unknown "+removed+")", "(unknown "+archive.SegmentKey(1)+")", "(unknown "+stranger+")",
		"conflict "+key(2), "mismatch "+key(0), "missing "+key(1))
	if got, _ := read(t, to, key(2), 0, -1); string(got) != "other" {
		t.Errorf("what lay there became %q", got)
	}
	for _, key := range []string{key(0), key(1), key(3), erased, "reports/going.xlsx", archive.SegmentKey(1)} {
		if _, err := to.Stat(t.Context(), key); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s was copied: %v", key, err)
		}
	}
	// What was altered after it was copied is still whole there.
	write(file(5), "altered")
	// From a backup.
	write(file(0), string(whole))
	write(file(1), key(1))
	c.want(t, from, to, archive.Copied{Copied: 2, Present: 7}, "(unknown "+key(3)+")", "(unknown "+erased+")", "(unknown "+removed+")", "(unknown "+archive.SegmentKey(1)+")", "(unknown "+stranger+")", "conflict "+key(2))
	// Somebody has altered the copy behind the vault's back.
	if _, found, err := c.copy(t, from, copyAltered(t, to, key(6)), func(o *archive.CopyOptions) { o.Reread = true }); err != nil || !slices.Contains(found, "conflict "+key(6)) {
		t.Errorf("an altered copy: %q, %v", found, err)
	}
}

// alteredVault gives other bytes for one object, and knows nothing of it.
type alteredVault struct {
	archive.Vault
	key string
}

func copyAltered(t *testing.T, v archive.Vault, key string) archive.Vault {
	t.Helper()
	return &alteredVault{v, key}
}

func (a *alteredVault) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, archive.ObjectInfo, error) {
	body, info, err := a.Vault.Open(ctx, key, offset, length)
	if err != nil || key != a.key {
		return body, info, err
	}
	return struct {
		io.Reader
		io.Closer
	}{strings.NewReader(strings.Repeat("x", int(info.Size))), body}, info, nil
}

// TestCopyFollowsHolds: what became of holds and dates since an object was
// copied is made good by the next run.
func TestCopyFollowsHolds(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Governance
	from, to := openDirectory(t, t.TempDir()), openS3(t, opts)
	var c copied
	until := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)
	key := c.add(t, from, "r1", []byte("one"), until)
	expect := func(until time.Time, hold bool) {
		t.Helper()
		got, err := to.Protection(t.Context(), key)
		if diff := cmp.Diff(archive.Protection{Until: until, Hold: hold}, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	c.want(t, from, to, archive.Copied{Copied: 1})
	expect(until, false)
	c.rows[0].Held = true
	c.want(t, from, to, archive.Copied{Present: 1, Protected: 1})
	expect(until, true)
	c.rows[0].RetainUntil = until.AddDate(1, 0, 0)
	c.rows[0].Held = false
	c.want(t, from, to, archive.Copied{Present: 1, Protected: 1})
	expect(until.AddDate(1, 0, 0), false)
	c.rows[0].RetainUntil = until
	c.want(t, from, to, archive.Copied{Present: 1})
	expect(until.AddDate(1, 0, 0), false)
}

// TestCopyTakesOverLocks: what the store enforces counts, too, where it is more
// than the rows say.
func TestCopyTakesOverLocks(t *testing.T) {
	t.Parallel()
	open := func() *archive.S3 {
		opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
		opts.Lock = archive.Governance
		return openS3(t, opts)
	}
	from, to := open(), open()
	until := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)
	var c copied
	key := c.add(t, from, "r1", []byte("one"), until)
	c.rows[0].RetainUntil = time.Time{}
	if err := from.Protect(t.Context(), key, archive.Protection{Hold: true}); err != nil {
		t.Fatal(err)
	}
	c.want(t, from, to, archive.Copied{Copied: 1})
	got, err := to.Protection(t.Context(), key)
	if diff := cmp.Diff(archive.Protection{Until: until, Hold: true}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestCopyRefuses what cannot go well, before anything is copied.
func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	from := openDirectory(t, folder)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	plain := s3Options(testenv.MinIO(t, testenv.BucketOptions{}))
	alias, locking, stranger := plain, plain, plain
	alias.Endpoint = strings.Replace(plain.Endpoint, "127.0.0.1", "localhost", 1)
	locking.Lock = archive.Compliance
	stranger.SecretKey = "not the secret"
	for name, tt := range map[string]struct {
		from, to archive.Vault
		want     string
	}{
		"itself":            {from, openDirectory(t, folder), "is the one that is copied from"},
		"itself by a link":  {from, openDirectory(t, link), "is the one that is copied from"},
		"inside":            {from, openDirectory(t, filepath.Join(folder, "calls", "new")), "or lies in it"},
		"around":            {openDirectory(t, filepath.Join(folder, "old")), from, "or lies in it"},
		"the same bucket":   {openS3(t, plain), openS3(t, alias), "is the one that is copied from"},
		"cannot lock":       {from, openS3(t, locking), archive.ErrCannotLock.Error()},
		"wrong credentials": {from, openS3(t, stranger), "the vault that is copied to: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c copied
			_, _, err := c.copy(t, tt.from, tt.to)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), stranger.SecretKey) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Cleanup(func() { // after all of them
		for o := range plainClient(t, plain).ListObjectsIter(context.Background(), plain.Bucket, minio.ListObjectsOptions{Recursive: true}) {
			if o.Key != ".callvault-check" {
				t.Errorf("%s was left behind", o.Key)
			}
		}
	})
}

// stumblingVault fails a number of PUTs.
type stumblingVault struct {
	archive.Vault
	fails int
	err   error
}

func (s *stumblingVault) Put(ctx context.Context, key string, body io.ReaderAt, opts archive.PutOptions) error {
	if s.fails > 0 {
		s.fails--
		return fmt.Errorf("put %s: %w", key, s.err)
	}
	return s.Vault.Put(ctx, key, body, opts)
}

// TestCopyStumbles: what passes is waited for, what does not ends the copy, and
// one bad object is none of the others'.
func TestCopyStumbles(t *testing.T) {
	t.Parallel()
	from, to := openDirectory(t, t.TempDir()), openDirectory(t, t.TempDir())
	var c copied
	c.fill(t, from, 3, time.Time{})
	one := func(o *archive.CopyOptions) { o.Workers = 1 }
	if n, _, err := c.copy(t, from, &stumblingVault{to, 100, syscall.ENOSPC}, one); !errors.Is(err, syscall.ENOSPC) || n != (archive.Copied{}) {
		t.Errorf("a full disk: %+v, %v", n, err)
	}
	away := &stumblingVault{to, 100, errors.New("connection refused")}
	if _, _, err := c.copy(t, from, away, one, func(o *archive.CopyOptions) { o.Patience = time.Nanosecond }); !errors.Is(err, away.err) || away.fails < 95 {
		t.Errorf("a vault that stays away: %v, %d", err, away.fails)
	}
	failing := &failingVault{Vault: from, key: c.rows[1].ObjectKey}
	if n, found, err := c.copy(t, failing, &stumblingVault{to, 1, away.err}); err != nil || n.Copied != 3 || !slices.Equal(found, []string{"unreadable " + failing.key}) {
		t.Errorf("%+v, %q, %v", n, found, err)
	}
	c.want(t, from, to, archive.Copied{Copied: 1, Present: 3})
	c.expect(t, to)
	// The whole vault that is copied from does not answer.
	c.add(t, from, "later", []byte("later"), time.Time{})
	failing.down = true
	if _, found, err := c.copy(t, failing, to, func(o *archive.CopyOptions) { o.Patience = time.Nanosecond }); err == nil || len(found) > 0 {
		t.Errorf("%q, %v", found, err)
	}
}
