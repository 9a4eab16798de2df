package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"callvault/internal/audit"
	"callvault/internal/store"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// checkLog computes the tree of the entries alone and compares the log's head
// with it, its proofs, and what it says of itself; it returns the entries.
func checkLog(t testing.TB, s *store.Store) []audit.Entry {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	entries, err := s.AuditEntries(ctx, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	var leaves []tlog.Hash
	for i, e := range entries {
		if e.Seq != int64(i) {
			t.Fatalf("entry %d has place %d", i, e.Seq)
		}
		if e.At.IsZero() {
			t.Fatalf("entry %d has no time", i)
		}
		record, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, tlog.RecordHash(record))
		hashes, err := tlog.StoredHashes(int64(i), record, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	size := int64(len(entries))
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.AuditHead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := (audit.Head{Size: size, Hash: root}); head != want {
		t.Fatalf("the head is %+v, want %+v", head, want)
	}
	for _, older := range []int64{1, size / 2, size - 1, size} {
		if older < 1 || older > size {
			continue
		}
		then, err := s.AuditHeadAt(ctx, older)
		if err != nil {
			t.Fatal(err)
		}
		grown, err := s.AuditConsistency(ctx, size, older)
		if err == nil {
			err = tlog.CheckTree(grown, size, root, older, then.Hash)
		}
		if err != nil {
			t.Fatalf("growth from %d to %d: %v", older, size, err)
		}
		proof, err := s.AuditProof(ctx, size, older-1)
		if err == nil {
			err = tlog.CheckRecord(proof, size, root, older-1, leaves[older-1])
		}
		if err != nil {
			t.Fatalf("entry %d of %d: %v", older-1, size, err)
		}
	}
	return entries
}

// TestLogIsWhatTlogComputes: after any series of appends by two nodes, of which
// some fail and spoil the transaction that they share with others, the log has
// just what was acknowledged, without gaps.
func TestLogIsWhatTlogComputes(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		acknowledged, round := map[string]bool{}, 0
		rapid.Check(t, func(r *rapid.T) {
			round++
			// 0 fails, all others are so many entries.
			sizes := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 12).Draw(r, "changes")
			var wg sync.WaitGroup
			var mu sync.Mutex
			for n, size := range sizes {
				wg.Go(func() {
					subject := fmt.Sprintf("call/%d-%d", round, n)
					entries := []audit.Entry{{Action: audit.CallViewed, Subject: subject, Actor: audit.Actor{Kind: audit.KindUser, Name: "asha"}}}
					for i := 1; i < size; i++ {
						entries = append(entries, audit.Entry{Action: audit.CallsSearched, Subject: subject, Facts: json.RawMessage(`{"number": "<98>"}`)})
					}
					if size == 0 {
						entries = append(entries, audit.Entry{Action: audit.CallViewed, Subject: subject, Facts: json.RawMessage(`[]`)})
					}
					err := nodes[n%2].Audit(context.WithoutCancel(t.Context()), entries...)
					if (err == nil) != (size > 0) {
						t.Errorf("%d entries: %v", size, err)
					}
					mu.Lock()
					defer mu.Unlock()
					acknowledged[subject] = err == nil
				})
			}
			wg.Wait()
		})
		seen := map[string]bool{}
		for _, e := range checkLog(t, nodes[0]) {
			seen[e.Subject] = true
		}
		for subject, ok := range acknowledged {
			if seen[subject] != ok {
				t.Errorf("%s is in the log: %v, and was acknowledged: %v", subject, seen[subject], ok)
			}
		}
	})
}

func TestProofsOfWhatNeverWas(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		if entries := checkLog(t, s); len(entries) != 0 {
			t.Fatalf("a new log has %d entries", len(entries))
		}
		if err := s.Audit(t.Context(), audit.Entry{Action: audit.CallViewed}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ size, seq int64 }{{2, 0}, {1, 1}, {1, -1}, {-1, 0}, {0, 0}} {
			if _, err := s.AuditProof(t.Context(), c.size, c.seq); err == nil {
				t.Errorf("entry %d of %d was proved", c.seq, c.size)
			}
		}
		for _, c := range []struct{ size, older int64 }{{2, 1}, {1, 2}, {1, 0}, {0, 0}} {
			if _, err := s.AuditConsistency(t.Context(), c.size, c.older); err == nil {
				t.Errorf("growth from %d to %d was proved", c.older, c.size)
			}
		}
	})
}
