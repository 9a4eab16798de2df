package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/archive"
)

// testVault is the contract that every vault keeps. Keys in one vault are
// shared by all its tests, so each has its own folder of keys.
func testVault(t *testing.T, open func(t *testing.T) archive.Vault, keepsMetadata bool) {
	v := open(t)
	testProtection(t, v)

	t.Run("what was put comes back", func(t *testing.T) {
		t.Parallel()
		for _, size := range []int{0, 1, 1000, 300_000} {
			key := fmt.Sprintf("back/2026/11/21/sales/%d.wav", size)
			body := bytes.Repeat([]byte("r"), size)
			opts := describe(body)
			opts.Metadata = map[string]string{"call-key": "1672649960.9601", "agent": "Zoë\n=?", "empty": ""}
			begin := time.Now().Add(-2 * time.Second)
			if err := v.Put(t.Context(), key, bytes.NewReader(body), opts); err != nil {
				t.Fatal(err)
			}
			want := archive.ObjectInfo{Key: key, Size: int64(size)}
			if keepsMetadata {
				want.SHA256, want.MediaType, want.Metadata = opts.SHA256, opts.MediaType, opts.Metadata
			}
			info, err := v.Stat(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if info.Modified.Before(begin) || info.Modified.After(time.Now().Add(2*time.Second)) {
				t.Errorf("modified at %v", info.Modified)
			}
			info.Modified = time.Time{}
			if diff := cmp.Diff(want, info); diff != "" {
				t.Errorf("stat (-want +got):\n%s", diff)
			}
			if got, _ := read(t, v, key, 0, -1); !bytes.Equal(got, body) {
				t.Errorf("%d bytes came back as %d others", size, len(got))
			}
		}
	})

	t.Run("ranges", func(t *testing.T) {
		t.Parallel()
		const text = "0123456789"
		put(t, v, "ranges/a", text)
		for _, tt := range []struct {
			offset, length int64
			want           string
		}{
			{0, -1, text}, {0, 1, "0"}, {0, 10, text}, {0, 100, text},
			{3, 4, "3456"}, {3, -1, "3456789"}, {9, 1, "9"}, {8, 100, "89"},
		} {
			got, info := read(t, v, "ranges/a", tt.offset, tt.length)
			if string(got) != tt.want || info.Size != 10 {
				t.Errorf("%d+%d: %q of %d, want %q of 10", tt.offset, tt.length, got, info.Size, tt.want)
			}
		}
		put(t, v, "ranges/empty", "")
		for _, tt := range []struct {
			key            string
			offset, length int64
		}{
			{"ranges/a", 10, -1}, {"ranges/a", 11, 1}, {"ranges/a", 0, 0},
			{"ranges/a", -1, 2}, {"ranges/empty", 0, 5}, {"ranges/empty", 1, -1},
		} {
			r, _, err := v.Open(t.Context(), tt.key, tt.offset, tt.length)
			if !errors.Is(err, archive.ErrRange) {
				t.Errorf("%s %d+%d: got %v, want %v", tt.key, tt.offset, tt.length, err, archive.ErrRange)
			}
			if err == nil {
				closeIt(t, r)
			}
		}
	})

	t.Run("a key is written once", func(t *testing.T) {
		t.Parallel()
		put(t, v, "once/a", "first")
		err := v.Put(t.Context(), "once/a", strings.NewReader("other"), describe([]byte("other")))
		if !errors.Is(err, archive.ErrExists) {
			t.Errorf("got %v, want %v", err, archive.ErrExists)
		}
		if got, _ := read(t, v, "once/a", 0, -1); string(got) != "first" {
			t.Errorf("now it is %q", got)
		}
	})

	t.Run("of many at once one wins", func(t *testing.T) {
		t.Parallel()
		const writers = 8
		results := make([]error, writers)
		var wait sync.WaitGroup
		for i := range writers {
			wait.Go(func() {
				body := bytes.Repeat([]byte{byte('a' + i)}, 100_000)
				results[i] = v.Put(t.Context(), "race/2026/a", bytes.NewReader(body), describe(body))
			})
		}
		wait.Wait()
		winner := slices.Index(results, nil)
		for i, err := range results {
			if i != winner && !errors.Is(err, archive.ErrExists) {
				t.Errorf("writer %d: got %v, want %v", i, err, archive.ErrExists)
			}
		}
		if winner < 0 {
			t.Fatal("nobody won")
		}
		got, _ := read(t, v, "race/2026/a", 0, -1)
		if want := bytes.Repeat([]byte{byte('a' + winner)}, 100_000); !bytes.Equal(got, want) {
			t.Errorf("what lies there is not of writer %d", winner)
		}
		if got := versions(t, v, "race/"); len(got) != 1 {
			t.Errorf("versions: %+v", got)
		}
	})

	t.Run("put once", func(t *testing.T) {
		t.Parallel()
		for range 2 { // the second finds what the first left
			err := archive.PutOnce(t.Context(), v, "again/a", strings.NewReader("audio"), describe([]byte("audio")))
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, other := range []string{"AUDIO", "other audio", ""} {
			err := archive.PutOnce(t.Context(), v, "again/a", strings.NewReader(other), describe([]byte(other)))
			if !errors.Is(err, archive.ErrConflict) {
				t.Errorf("%q: got %v, want %v", other, err, archive.ErrConflict)
			}
		}
		if got, _ := read(t, v, "again/a", 0, -1); string(got) != "audio" {
			t.Errorf("now it is %q", got)
		}
	})

	t.Run("other bytes than announced", func(t *testing.T) {
		t.Parallel()
		wrongSum := describe([]byte("hello"))
		wrongSum.SHA256[0]++
		err := v.Put(t.Context(), "wrong/sum", strings.NewReader("hello"), wrongSum)
		if !errors.Is(err, archive.ErrChecksum) {
			t.Errorf("wrong sum: got %v, want %v", err, archive.ErrChecksum)
		}
		tooShort := describe([]byte("hello and more"))
		if err := v.Put(t.Context(), "wrong/short", strings.NewReader("hello"), tooShort); err == nil {
			t.Error("a body that ends early is taken")
		}
		if keys := list(t, v, "wrong/"); len(keys) != 0 {
			t.Errorf("left behind: %v", keys)
		}
		if info, err := v.Stat(t.Context(), "wrong/sum"); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("stat: %+v, %v", info, err)
		}
	})

	t.Run("nothing there", func(t *testing.T) {
		t.Parallel()
		if _, err := v.Stat(t.Context(), "none/a"); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("stat: got %v, want %v", err, archive.ErrNotFound)
		}
		r, _, err := v.Open(t.Context(), "none/a", 0, -1)
		if !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("open: got %v, want %v", err, archive.ErrNotFound)
		}
		if err == nil {
			closeIt(t, r)
		}
		if err := v.Delete(t.Context(), "none/a"); err != nil {
			t.Errorf("delete: %v", err)
		}
	})

	t.Run("delete", func(t *testing.T) {
		t.Parallel()
		put(t, v, "gone/a", "x")
		if err := v.Delete(t.Context(), "gone/a"); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Stat(t.Context(), "gone/a"); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("got %v, want %v", err, archive.ErrNotFound)
		}
		if got := versions(t, v, "gone/"); len(got) != 0 {
			t.Errorf("still there: %+v", got)
		}
		put(t, v, "gone/a", "again") // and the key is free
	})

	t.Run("list", func(t *testing.T) {
		t.Parallel()
		keys := []string{"list/a.b", "list/a/b", "list/a/c/d", "list/a0", "list/é"}
		for _, key := range slices.Backward(keys) {
			put(t, v, key, key)
		}
		for prefix, want := range map[string][]string{
			"list/": keys, "list/a": keys[:4], "list/a/": keys[1:3], "list/a/c/d": keys[2:3],
			"list/a/c/d/": nil, "list/zz": nil,
		} {
			if diff := cmp.Diff(want, list(t, v, prefix)); diff != "" {
				t.Errorf("%q (-want +got):\n%s", prefix, diff)
			}
		}
		for info, err := range v.List(t.Context(), "list/") {
			if err != nil {
				t.Fatal(err)
			}
			if info.Size != int64(len(info.Key)) || time.Since(info.Modified).Abs() > time.Minute {
				t.Errorf("%+v", info)
			}
			break // and it must not go on
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var last error
		for _, err := range v.List(ctx, "list/") {
			last = err
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("cancelled: got %v", last)
		}
		for _, err := range v.Versions(ctx, "list/") {
			last = errors.Join(err, errors.New("of versions"))
		}
		if !errors.Is(last, context.Canceled) || !strings.Contains(last.Error(), "of versions") {
			t.Errorf("versions, cancelled: got %v", last)
		}
	})

	t.Run("keys that could lead elsewhere", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{
			"", ".", "..", "/", "/etc/passwd", "../a", "a/../b", "a/..", "a//b", "a/",
			"./a", "a\\b", "..\\a", "a\x00b", "a\nb", "\xff", ".incoming/a", "a/.hidden",
			strings.Repeat("x", 256), strings.Repeat("x/", 500) + "x",
		} {
			_, _, openErr := v.Open(t.Context(), key, 0, -1)
			_, statErr := v.Stat(t.Context(), key)
			for act, err := range map[string]error{
				"put":     v.Put(t.Context(), key, strings.NewReader("x"), describe([]byte("x"))),
				"open":    openErr,
				"stat":    statErr,
				"delete":  v.Delete(t.Context(), key),
				"protect": v.Protect(t.Context(), key, archive.Protection{}),
			} {
				if !errors.Is(err, archive.ErrKey) {
					t.Errorf("%s %.20q: got %v, want %v", act, key, err, archive.ErrKey)
				}
			}
		}
		for _, err := range v.List(t.Context(), "../") {
			if !errors.Is(err, archive.ErrKey) {
				t.Errorf("list: got %v, want %v", err, archive.ErrKey)
			}
		}
		for _, err := range v.Versions(t.Context(), "../") {
			if !errors.Is(err, archive.ErrKey) {
				t.Errorf("versions: got %v, want %v", err, archive.ErrKey)
			}
		}
	})

	t.Run("metadata that cannot be kept", func(t *testing.T) {
		t.Parallel()
		for _, metadata := range []map[string]string{
			{"sha256": "00"}, {"": "x"}, {"Call-Key": "x"}, {"a b": "x"}, {"a:": "x"},
			{"long": strings.Repeat("x", 2100)},
		} {
			opts := describe([]byte("x"))
			opts.Metadata = metadata
			if err := v.Put(t.Context(), "metadata/a", strings.NewReader("x"), opts); err == nil {
				t.Errorf("taken: %v", metadata)
			}
		}
	})

	t.Run("check", func(t *testing.T) {
		t.Parallel()
		for range 2 {
			if err := v.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range list(t, v, "") {
			if strings.HasPrefix(key, ".") {
				t.Errorf("listed: %s", key)
			}
		}
	})
}

func describe(body []byte) archive.PutOptions {
	return archive.PutOptions{
		Size: int64(len(body)), SHA256: sha256.Sum256(body), MediaType: "audio/wav",
	}
}

func put(t *testing.T, v archive.Vault, key, body string) {
	t.Helper()
	if err := v.Put(t.Context(), key, strings.NewReader(body), describe([]byte(body))); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, v archive.Vault, key string, offset, length int64) ([]byte, archive.ObjectInfo) {
	t.Helper()
	r, info, err := v.Open(t.Context(), key, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, r)
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return body, info
}

func list(t *testing.T, v archive.Vault, prefix string) (keys []string) {
	t.Helper()
	for info, err := range v.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func versions(t *testing.T, v archive.Vault, prefix string) (all []archive.Version) {
	t.Helper()
	for version, err := range v.Versions(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, version)
	}
	return all
}

func closeIt(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
