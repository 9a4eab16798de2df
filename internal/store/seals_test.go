package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

func TestSealsAreNoted(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		if note := must(s.LastSeal(t.Context()))(t); note != "" {
			t.Errorf("a new log has the seal %q", note)
		}
		for _, size := range []int64{3, 1, 3} {
			seal := audit.Seal{Head: audit.Head{Size: size}, At: nine, Note: fmt.Sprintf("note %d", size)}
			if err := s.NoteSeal(t.Context(), seal, seal.ObjectKey(), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		if note := must(s.LastSeal(t.Context()))(t); note != "note 3" {
			t.Errorf("the last seal is %q", note)
		}
		want := []audit.KeptSeal{{Size: 1, ObjectKey: "seals/000000000001.note", Note: "note 1", At: nine}, {Size: 3, ObjectKey: "seals/000000000003.note", Note: "note 3", At: nine}}
		if diff := cmp.Diff(want, must(s.Seals(t.Context(), 0, 10))(t)); diff != "" {
			t.Error(diff)
		}
		if rest := must(s.Seals(t.Context(), 1, 1))(t); len(rest) != 1 || rest[0].Size != 3 {
			t.Errorf("after the first: %+v", rest)
		}
	})
}

// TestSealsArePlanned: one seal at a time is on its way, the newest; nobody
// waits for it without end, nor if there is a later one.
func TestSealsArePlanned(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		s, now := nodes[0], time.Now().UTC().Truncate(time.Millisecond)
		if _, err := s.PlanSeal(t.Context(), audit.Seal{}, "seals/0", now); call.CodeOf(err) != call.Conflict {
			t.Errorf("planned without a key: %v", err)
		}
		if err := s.UseAuditKey(t.Context(), "key"); err != nil {
			t.Fatal(err)
		}
		seal := func(size int64, at time.Time) audit.Seal {
			return audit.Seal{Head: audit.Head{Size: size}, At: at, Note: fmt.Sprintf("note %d of %d", size, at.UnixMilli())}
		}
		plan := func(s *store.Store, l audit.Seal) bool {
			t.Helper()
			planned, err := s.PlanSeal(t.Context(), l, l.ObjectKey(), now)
			if err != nil {
				t.Fatal(err)
			}
			return planned
		}
		// Of two nodes at once one plans, be it of the same log or not.
		var won atomic.Int64
		var group sync.WaitGroup
		for i, s := range nodes {
			group.Go(func() {
				l := seal(5+int64(i), now)
				planned, err := s.PlanSeal(t.Context(), l, l.ObjectKey(), now)
				if err != nil {
					t.Error(err)
				}
				if planned {
					won.Add(1)
				}
			})
		}
		group.Wait()
		first := must(s.NewestSeal(t.Context()))(t)
		if won.Load() != 1 || !first.BeingPut || !first.MayLack || !first.RetainUntil.Equal(now) || plan(s, seal(9, now)) {
			t.Errorf("%d nodes have planned %+v, or one more", won.Load(), first)
		}
		if note := must(s.LastSeal(t.Context()))(t); note != "" {
			t.Errorf("it counts before it is put: %s", note)
		}
		if none := must(s.ToPromise(t.Context(), call.SealObjects, "reports: 7y", 10))(t); len(none) > 0 {
			t.Errorf("promised before it is put: %+v", none)
		}
		put := seal(first.Size, now.Add(-time.Second)) // what another had put
		for range 2 {
			if err := s.NoteSealPut(t.Context(), put, put.At.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		first.Note, first.At, first.RetainUntil, first.BeingPut, first.MayLack = put.Note, put.At, put.At.Add(time.Hour), false, false
		if diff := cmp.Diff(first, must(s.NewestSeal(t.Context()))(t)); diff != "" {
			t.Errorf("put (-want +got):\n%s", diff)
		}
		if plan(s, seal(first.Size, now)) || plan(s, seal(first.Size-1, now)) {
			t.Error("another was planned of a log that is sealed")
		}
		if err := s.WithdrawSeal(t.Context(), first.Size); err != nil {
			t.Fatal(err)
		}
		// An hour is enough, and a later one came only after it.
		if !plan(s, seal(20, now.Add(-time.Hour-time.Minute))) {
			t.Fatal("it was not planned")
		}
		if old := must(s.NewestSeal(t.Context()))(t); !old.BeingPut || old.MayLack {
			t.Errorf("after an hour: %+v", old)
		}
		if err := s.WithdrawSeal(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		if !plan(s, seal(21, now)) {
			t.Fatal("it was not planned after one was withdrawn")
		}
		if err := s.NoteSeal(t.Context(), seal(22, now), "seals/x", now); err != nil {
			t.Fatal(err)
		}
		kept := must(s.Seals(t.Context(), 0, 10))(t)
		if len(kept) != 3 || kept[0] != first || !kept[1].BeingPut || kept[1].MayLack || kept[2].BeingPut {
			t.Errorf("with a later one: %+v", kept)
		}
	})
}
