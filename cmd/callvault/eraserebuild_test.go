package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/klauspost/compress/zstd"
)

// checkForgotten makes sure that a number stands neither in the database nor in
// the journal in the vault, under whatever name.
func (in installation) checkForgotten(t *testing.T, s storage, number string) {
	t.Helper()
	digits := strings.TrimPrefix(number, "+91")
	for line := range strings.Lines(testenv.Dump(t, s.dsn, filepath.Join(in.data, databaseFile))) {
		if strings.Contains(line, digits) {
			t.Errorf("the number is in the database: %.300s", line)
		}
	}
	_, v := in.openStored(t)
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for o, err := range v.List(t.Context(), archive.JournalPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		text, err := r.DecodeAll(readObject(t, v, o.Key), nil)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, digits) {
				t.Errorf("the number is in %s: %.300s", o.Key, line)
			}
		}
	}
}

// openErasure returns the erasure that has not come to its end.
func openErasure(t *testing.T, s *store.Store) (open call.Erasure, found bool) {
	t.Helper()
	all, err := s.Erasures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.FinishedAt.IsZero() {
			open, found = e, true
		}
	}
	return open, found
}

// TestErasureGoesOnAfterRebuild loses the database while an erasure waits for a
// hold, and while an object of the journal that another took the place of is
// still there: in the database that is made again both go on by themselves.
func TestErasureGoesOnAfterRebuild(t *testing.T) {
	t.Parallel()
	vault := t.TempDir()
	more := "vault: {directory: " + vault + "}\n"
	in := livedIn(t, storage{}, 24, more)
	s, v := in.openStored(t)
	holds, err := s.Holds(t.Context())
	if err != nil || len(holds) != 1 {
		t.Fatalf("%d holds, %v", len(holds), err)
	}
	held, err := s.Call(t.Context(), holds[0].CallIDs[0])
	if err != nil || held.CustomerNumber == "" {
		t.Fatalf("%+v, %v", held, err)
	}
	// One that comes to its end, whose old segment is put back as if locked.
	before := map[string][]byte{}
	for o, err := range v.List(t.Context(), archive.JournalPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		before[o.Key] = readObject(t, v, o.Key)
	}
	eraseOne(t, in)
	kept := command(t, "", "erase", held.CustomerNumber, "--reason", "request of 2026-11-20", "--data", in.data)
	if kept.status != exitDone || !strings.Contains(kept.stdout, "legal hold") {
		t.Fatalf("erase: %+v", kept)
	}
	was, found := openErasure(t, s)
	if !found {
		t.Fatal("nothing is kept")
	}
	in.start(t).stop(syscall.SIGTERM) // the journal has all of it
	var replaced []string
	for key, object := range before {
		if _, err := v.Stat(t.Context(), key); !errors.Is(err, archive.ErrNotFound) {
			continue
		}
		replaced = append(replaced, key)
		if err := os.WriteFile(filepath.Join(vault, filepath.FromSlash(key)), object, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if len(replaced) == 0 {
		t.Fatal("no segment was written again")
	}

	again := in
	again.data = t.TempDir()
	again.configure(t, storage{}, more)
	in.share(t, again, "audit.key")
	if got := commandJSON[rebuildResult](t, "rebuild", "--data", again.data); got.OldSegments != len(replaced) || len(got.Faults) > 0 {
		t.Errorf("rebuild: %+v", got)
	}
	if got, status := again.verify(t); status != exitDone {
		t.Errorf("verify: status %d, %+v", status, got.Faults)
	}
	p := again.start(t)
	eventually(t, "the old objects are gone", func() bool {
		return !slices.ContainsFunc(replaced, func(key string) bool {
			_, err := v.Stat(t.Context(), key)
			return err == nil
		})
	})
	stored, _ := again.openStored(t)
	eventually(t, "the erasure says what keeps it", func() bool {
		items, err := stored.ErasureItems(t.Context(), was.ID, call.ErasedCall, "", 100, call.ErasureKept)
		return err == nil && len(items) == 1 && items[0].Ref == held.ID && strings.Contains(items[0].Why, "legal hold")
	})
	p.stop(syscall.SIGTERM)
	if now, found := openErasure(t, stored); !found || now.ID != was.ID || now.Number != held.CustomerNumber {
		t.Errorf("the erasure is %+v, and was %+v", now, was)
	}

	if got := command(t, "", "hold", "release", "case 12", "--reason", "it is over", "--data", again.data); got.status != exitDone {
		t.Fatalf("release: %+v", got)
	}
	again.tamper(t, storage{}, "UPDATE erasures SET next_at = 1 WHERE next_at IS NOT NULL")
	p = again.start(t)
	eventually(t, "the erasure comes to its end", func() bool {
		_, found := openErasure(t, stored)
		return !found
	})
	p.stop(syscall.SIGTERM)
	again.checkForgotten(t, storage{}, held.CustomerNumber)
	done, err := stored.Call(t.Context(), held.ID)
	if err != nil || done.CustomerNumber != "" || len(done.Recordings) != 1 || done.Recordings[0].State != call.Erased {
		t.Errorf("what is left of the call: %+v, %v", done, err)
	}
	if got, status := again.verify(t); status != exitDone {
		t.Errorf("verify afterwards: status %d, %+v", status, got.Faults)
	}
}

func readObject(t *testing.T, v archive.Vault, key string) []byte {
	t.Helper()
	body, _, err := v.Open(t.Context(), key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	object, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return object
}
