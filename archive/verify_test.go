package archive_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/testenv"
)

// ledger is what must lie in a vault, as a store tells it.
type ledger struct {
	rows     []call.KeyedRecording
	others   []call.KeptObject
	segments []call.JournalSegment
	verified []string
}

func (l *ledger) RecordingsByKey(_ context.Context, afterKey, afterID string, limit int) (page []call.KeyedRecording, _ error) {
	slices.SortFunc(l.rows, func(a, b call.KeyedRecording) int {
		return cmp.Or(strings.Compare(a.ObjectKey, b.ObjectKey), strings.Compare(a.ID, b.ID))
	})
	for _, r := range l.rows {
		after := cmp.Or(strings.Compare(r.ObjectKey, afterKey), strings.Compare(r.ID, afterID)) > 0
		if r.ObjectKey != "" && after && len(page) < limit {
			page = append(page, r)
		}
	}
	return page, nil
}

func (l *ledger) MarkVerified(_ context.Context, ids []string) error {
	l.verified = append(l.verified, ids...)
	return nil
}

func (l *ledger) EachSegment(_ context.Context, f func(call.JournalSegment) error) error {
	for _, g := range l.segments {
		if err := f(g); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) EachKept(_ context.Context, f func(call.KeptObject) error) error {
	for _, k := range l.others {
		if err := f(k); err != nil {
			return err
		}
	}
	return nil
}

// fill puts n recordings and one report file into a vault.
func (l *ledger) fill(t *testing.T, v archive.Vault, n int, until time.Time) {
	t.Helper()
	for i := range n {
		key := fmt.Sprintf("calls/2026/11/%02d/sales/r%d.wav", 20+i/2, i)
		opts := describe([]byte(key))
		opts.Protection.Until = until
		if err := v.Put(t.Context(), key, strings.NewReader(key), opts); err != nil {
			t.Fatal(err)
		}
		l.rows = append(l.rows, call.KeyedRecording{Recording: call.Recording{
			ID: fmt.Sprintf("r%d", i), State: call.Archived, ObjectKey: key, Size: int64(len(key)), SHA256: hex.EncodeToString(opts.SHA256[:]), RetainUntil: until,
		}})
	}
	put(t, v, "reports/daily/2026-11-20/r1-0/daily.xlsx", "report")
	sum := describe([]byte("report")).SHA256
	l.others = []call.KeptObject{{Key: "reports/daily/2026-11-20/r1-0/daily.xlsx", Size: 6, SHA256: hex.EncodeToString(sum[:])}}
}

// verify verifies, two hours later unless days are given.
func (l *ledger) verify(t *testing.T, v archive.Vault, days ...time.Time) (found []string, looked int) {
	t.Helper()
	l.verified = nil
	verifier := archive.NewVerifier(archive.VerifyOptions{
		Store: l, Vault: v, Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
		Found: func(c call.Checked) error {
			looked += len(c.Where)
			for _, f := range c.Faults {
				found = append(found, string(f.Kind)+" "+f.Where)
			}
			return nil
		},
	})
	var err error
	if len(days) == 2 {
		err = verifier.Days(t.Context(), days[0], days[1])
	} else {
		err = verifier.All(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found, looked
}

func (l *ledger) expect(t *testing.T, v archive.Vault, want ...string) {
	t.Helper()
	found, _ := l.verify(t, v)
	slices.Sort(want)
	if diff := gocmp.Diff(want, found); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// TestVerifyDays reads whole days in UTC, at whatever hour the bounds are: days of
// other time zones begin and end in the middle of them.
func TestVerifyDays(t *testing.T) {
	t.Parallel()
	v := openDirectory(t, t.TempDir())
	var l ledger
	l.fill(t, v, 6, time.Now().Add(24*time.Hour)) // two each on the 20th, 21st and 22nd
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 30, 0, 0, time.UTC) }
	india := at(20, 18).In(time.FixedZone("IST", 5*3600+1800))
	for _, c := range []struct {
		from, to time.Time
		want     int
	}{
		{at(20, 0), at(20, 23), 2},
		{at(20, 18), at(21, 18).Add(-time.Millisecond), 4},
		{india, india.AddDate(0, 0, 1).Add(-time.Millisecond), 4},
		{at(20, 23), at(22, 1), 6},
		{time.Time{}, at(21, 1), 4},
		{at(23, 18), at(24, 18), 0},
	} {
		if found, looked := l.verify(t, v, c.from, c.to); looked != c.want || len(found) > 0 {
			t.Errorf("%s to %s: %d of %d recordings, %v", c.from, c.to, looked, c.want, found)
		}
	}
}

// TestVerifyDirectory changes one thing after the other in a folder, as its
// administrator could, and expects it to be named, and nothing else.
func TestVerifyDirectory(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	v := openDirectory(t, folder)
	var l ledger
	l.fill(t, v, 6, time.Now().Add(24*time.Hour))
	l.expect(t, v)
	if len(l.verified) != 6 {
		t.Errorf("verified: %v", l.verified)
	}
	key := l.rows[2].ObjectKey
	path := filepath.Join(folder, filepath.FromSlash(key))
	write := func(path, text string) {
		t.Helper()
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	flipped := []byte(key)
	flipped[5] ^= 1
	write(path, string(flipped))
	l.expect(t, v, "mismatch "+key)
	if slices.Contains(l.verified, "r2") || len(l.verified) != 5 {
		t.Errorf("verified: %v", l.verified)
	}
	write(path, key[:10])
	l.expect(t, v, "mismatch "+key)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.expect(t, v, "missing "+key)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	l.expect(t, v, "missing "+key)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(path, key)
	l.expect(t, v)

	stranger := filepath.Join(folder, "calls/2026/11/21/sales/stranger.wav")
	write(stranger, "x")
	l.expect(t, v, "unknown calls/2026/11/21/sales/stranger.wav")
	early, late := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 23, 0, 0, 0, time.UTC)
	if found, looked := l.verify(t, v, early, early); len(found) != 0 || looked != 2 {
		t.Errorf("the first day: %v of %d", found, looked)
	}
	if found, looked := l.verify(t, v, time.Time{}, late); len(found) != 1 || looked != 5 {
		t.Errorf("the first two days: %v of %d", found, looked)
	}
	if err := os.Remove(stranger); err != nil {
		t.Fatal(err)
	}
	// What no row knows the hash of is compared with what was put.
	const piece = "exports/e1/bundle-000001"
	if err := v.Put(t.Context(), piece, strings.NewReader("PK"), archive.PutOptions{Size: 2, SHA256: sha256.Sum256([]byte("PK"))}); err != nil {
		t.Fatal(err)
	}
	l.expect(t, v)
	if err := os.Chmod(filepath.Join(folder, piece), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, piece), []byte("XY"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.expect(t, v, "mismatch "+piece)
	if err := os.Remove(filepath.Join(folder, piece)); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(folder, "elsewhere.txt"), "x")
	l.expect(t, v, "unknown elsewhere.txt")
	if err := os.Remove(filepath.Join(folder, "elsewhere.txt")); err != nil {
		t.Fatal(err)
	}

	put(t, v, archive.SegmentKey(1), "segment")
	l.expect(t, v, "unknown "+archive.SegmentKey(1))
	segment := describe([]byte("segment")).SHA256
	l.segments = []call.JournalSegment{{Number: 1, Size: 7, SHA256: hex.EncodeToString(segment[:])}}
	l.expect(t, v)
	write(filepath.Join(folder, filepath.FromSlash(archive.SegmentKey(1))), "sEgment")
	l.expect(t, v, "mismatch "+archive.SegmentKey(1))
	write(filepath.Join(folder, filepath.FromSlash(archive.SegmentKey(1))), "segment")

	// The row is what was changed.
	right := slices.Clone(l.rows)
	l.rows[1].SHA256 = strings.Repeat("0", 64)
	l.expect(t, v, "mismatch "+right[1].ObjectKey)
	copy(l.rows, right)
	l.rows[1].ObjectKey = "calls/2026/11/20/sales/zzz.wav"
	l.expect(t, v, "missing calls/2026/11/20/sales/zzz.wav", "unknown "+right[1].ObjectKey)
	l.rows = slices.Clone(right)
	for _, state := range []call.RecordingState{call.Expired, call.Erased, call.Absent} {
		l.rows[1].State = state
		l.expect(t, v, "unknown "+right[1].ObjectKey)
	}
	l.rows[1].State = call.Pending // it is on its way
	l.expect(t, v)
	l.rows = slices.Delete(l.rows, 1, 2)
	l.expect(t, v, "unknown "+right[1].ObjectKey)
	l.rows = right
	write(filepath.Join(folder, filepath.FromSlash(l.others[0].Key)), "others")
	l.expect(t, v, "mismatch "+l.others[0].Key)
	if err := os.Remove(filepath.Join(folder, filepath.FromSlash(l.others[0].Key))); err != nil {
		t.Fatal(err)
	}
	l.expect(t, v, "missing "+l.others[0].Key)
}

// TestVerifyYoungObjects: what has just been put may be on its way into the
// database.
func TestVerifyYoungObjects(t *testing.T) {
	t.Parallel()
	v := openDirectory(t, t.TempDir())
	put(t, v, "calls/2026/11/20/sales/young.wav", "x")
	verifier := archive.NewVerifier(archive.VerifyOptions{Store: &ledger{}, Vault: v, Found: func(c call.Checked) error {
		t.Errorf("found %+v", c)
		return nil
	}})
	if err := verifier.All(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyBucket does what the owner of a store can do with root's
// credentials.
func TestVerifyBucket(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	for name, tt := range map[string]struct {
		bucket testenv.BucketOptions
		lock   archive.LockMode
	}{
		"plain":      {},
		"governance": {testenv.BucketOptions{ObjectLock: true}, archive.Governance},
		"compliance": {testenv.BucketOptions{ObjectLock: true}, archive.Compliance},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := s3Options(testenv.MinIO(t, tt.bucket))
			opts.Lock = tt.lock
			v := openS3(t, opts)
			if err := v.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			root := plainClient(t, opts)
			var l ledger
			l.fill(t, v, 6, until)
			l.expect(t, v)
			key := func(i int) string { return l.rows[i].ObjectKey }
			overwrite := func(key string) {
				t.Helper()
				if _, err := root.PutObject(t.Context(), opts.Bucket, key, strings.NewReader("other"), 5, minio.PutObjectOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			remove := func(key string, o minio.RemoveObjectOptions) {
				t.Helper()
				if err := root.RemoveObject(t.Context(), opts.Bucket, key, o); err != nil {
					t.Fatal(err)
				}
			}
			var want []string
			expect := func(more ...string) {
				t.Helper()
				want = append(want, more...)
				l.expect(t, v, want...)
			}
			overwrite(key(0))
			if tt.lock == archive.Unlocked {
				expect("mismatch " + key(0))
				remove(key(1), minio.RemoveObjectOptions{})
				expect("missing " + key(1))
			} else {
				// Over a locked version only another can be put, which is not
				// locked itself.
				expect("mismatch "+key(0), "versions "+key(0), "weaker "+key(0))
				remove(key(1), minio.RemoveObjectOptions{})
				expect("missing " + key(1))
				// The same bytes over the object.
				if _, err := root.PutObject(t.Context(), opts.Bucket, key(2), strings.NewReader(key(2)), int64(len(key(2))), minio.PutObjectOptions{
					Mode: minio.RetentionMode(strings.ToUpper(string(tt.lock))), RetainUntilDate: until,
				}); err != nil {
					t.Fatal(err)
				}
				expect("versions " + key(2))
				// More is promised than was locked.
				l.rows[3].RetainUntil = until.Add(time.Hour)
				expect("weaker " + key(3))
				holdInTurns(t, &l, v, want)
			}
			if tt.lock == archive.Governance {
				mode, sooner := minio.Governance, until.Add(-time.Hour)
				if err := root.PutObjectRetention(t.Context(), opts.Bucket, key(4), minio.PutObjectRetentionOptions{GovernanceBypass: true, Mode: &mode, RetainUntilDate: &sooner}); err != nil {
					t.Fatal(err)
				}
				expect("weaker " + key(4))
				info, err := root.StatObject(t.Context(), opts.Bucket, key(5), minio.StatObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				remove(key(5), minio.RemoveObjectOptions{VersionID: info.VersionID, GovernanceBypass: true})
				expect("missing " + key(5))
			}
			put(t, v, "calls/2026/11/20/sales/stranger.wav", "x")
			expect("unknown calls/2026/11/20/sales/stranger.wav")
		})
	}
}

// holdInTurns lets a legal hold be lost, and be there for nothing; want are the
// faults of before. The vault may not have been told yet.
func holdInTurns(t *testing.T, l *ledger, v archive.Vault, want []string) {
	t.Helper()
	row := &l.rows[3]
	protect := func(hold bool) {
		t.Helper()
		if err := v.Protect(t.Context(), row.ObjectKey, archive.Protection{Hold: hold}); err != nil {
			t.Fatal(err)
		}
	}
	row.Held, row.HoldMoving = true, true
	l.expect(t, v, want...)
	row.RetainUntil = row.RetainUntil.Add(-time.Hour)
	row.HoldMoving = false
	l.expect(t, v, want...) // it is weaker all the same
	protect(true)
	less := slices.DeleteFunc(slices.Clone(want), func(w string) bool { return w == "weaker "+row.ObjectKey })
	l.expect(t, v, less...)
	row.Held = false
	l.expect(t, v, slices.Concat(less, []string{"held " + row.ObjectKey})...)
	row.HoldMoving = true
	l.expect(t, v, less...)
	protect(false)
	row.HoldMoving = false
	l.expect(t, v, less...)
	row.RetainUntil = row.RetainUntil.Add(time.Hour)
}

// failingVault gives some objects out only in part.
type failingVault struct {
	archive.Vault
	key   string
	tries atomic.Int32
	down  bool
}

func (f *failingVault) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, archive.ObjectInfo, error) {
	if key == f.key || f.down {
		f.tries.Add(1)
		return nil, archive.ObjectInfo{}, errors.New("input/output error")
	}
	return f.Vault.Open(ctx, key, offset, length)
}

func (f *failingVault) Stat(ctx context.Context, key string) (archive.ObjectInfo, error) {
	if f.down {
		return archive.ObjectInfo{}, errors.New("connection refused")
	}
	return f.Vault.Stat(ctx, key)
}

// TestVerifyBadDisk: an object that cannot be read is a fault; a vault that
// does not answer at all is none of its objects'.
func TestVerifyBadDisk(t *testing.T) {
	t.Parallel()
	v := openDirectory(t, t.TempDir())
	var l ledger
	l.fill(t, v, 3, time.Time{})
	failing := &failingVault{Vault: v, key: l.rows[1].ObjectKey}
	l.expect(t, failing, "unreadable "+l.rows[1].ObjectKey)
	if failing.tries.Load() < 2 {
		t.Error("it was not tried again")
	}
	failing.down = true
	verifier := archive.NewVerifier(archive.VerifyOptions{Store: &l, Vault: failing, Found: func(c call.Checked) error {
		if len(c.Faults) > 0 {
			t.Errorf("found %+v", c)
		}
		return nil
	}})
	if err := verifier.All(t.Context()); err == nil || !strings.Contains(err.Error(), "input/output") {
		t.Errorf("a vault that does not answer gives %v", err)
	}
}

// TestVerifyRate: reading is as slow as asked for.
func TestVerifyRate(t *testing.T) {
	t.Parallel()
	v := openDirectory(t, t.TempDir())
	var l ledger
	body := bytes.Repeat([]byte("x"), 600<<10)
	opts := describe(body)
	for i := range 2 {
		key := fmt.Sprintf("calls/2026/11/20/sales/r%d.wav", i)
		if err := v.Put(t.Context(), key, bytes.NewReader(body), opts); err != nil {
			t.Fatal(err)
		}
		l.rows = append(l.rows, call.KeyedRecording{Recording: call.Recording{ID: key, State: call.Archived, ObjectKey: key, Size: int64(len(body)), SHA256: hex.EncodeToString(opts.SHA256[:])}})
	}
	verifier := archive.NewVerifier(archive.VerifyOptions{Store: &l, Vault: v, Rate: 1 << 20, Found: func(call.Checked) error { return nil }})
	began := time.Now()
	if err := verifier.All(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The first buffer is free, what follows of 1.2 MB takes its time.
	if took := time.Since(began); took < 700*time.Millisecond {
		t.Errorf("1.2 MB at 1 MiB/s took %s", took)
	}
}

func (l *ledger) Run(context.Context, string) (call.Run, error) {
	return call.Run{}, errors.New("there is no run")
}
