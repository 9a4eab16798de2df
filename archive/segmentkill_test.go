package archive_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
)

// killedApplying applies retention, which is killed when so many steps are done;
// false: it had come to its end before.
func (k *keeping) killedApplying(steps int) bool {
	k.Helper()
	ctx, cancel := context.WithCancel(k.Context())
	defer cancel()
	dying := &dyingVault{Vault: k.vault, left: steps, die: cancel}
	r, err := archive.NewRetainer(archive.RetainerOptions{
		Store: &dyingStore{k.store, dying}, Vault: dying, Rules: func() call.Retention { return k.rules }, Terms: k.terms, PerSecond: 1000, Now: time.Now,
		Calls: k.over, Deliveries: k.over, Journal: k.over,
	})
	if err != nil {
		k.Fatal(err)
	}
	_, err = r.Apply(ctx, nil)
	if err != nil && !errors.Is(err, errKilled) && !errors.Is(err, context.Canceled) {
		k.Fatal(err)
	}
	return err != nil
}

// nothingOrphaned makes sure that of each segment there is just what counts, and
// that nothing is planned or to be deleted any more.
func (k *keeping) nothingOrphaned() {
	k.Helper()
	var want, got []string
	err := k.store.EachSegment(k.Context(), func(g call.JournalSegment) error {
		want = append(want, archive.RevisionKey(g.Number, g.Revision))
		return nil
	})
	if err != nil {
		k.Fatal(err)
	}
	for v, err := range k.vault.Versions(k.Context(), archive.JournalPrefix) {
		if err != nil {
			k.Fatal(err)
		}
		got = append(got, v.Key)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		k.Errorf("in the vault are %v, want %v", got, want)
	}
	planned, err := k.store.PlannedSegments(k.Context())
	if err != nil || len(planned) > 0 {
		k.Errorf("planned are %+v, %v", planned, err)
	}
	err = k.store.OldSegments(k.Context(), 0, func(o call.SegmentObject, _ bool) error {
		k.Errorf("to be deleted is %+v", o)
		return nil
	})
	if err != nil {
		k.Fatal(err)
	}
}

// requests are the keys of the requests that the journal has.
func (k *keeping) requests() (keys []string) {
	k.Helper()
	deliveries, _, _ := journaled(k.T, k.vault)
	for _, d := range deliveries {
		if _, key, ok := strings.Cut(string(d.Body), `{"key": "`); ok {
			keys = append(keys, strings.TrimSuffix(key, `"}`))
		}
	}
	return keys
}

// TestKilledWhileThinning ends what takes requests out of the journal between any
// two of its steps. What is there then is whole, for verify, too; whoever comes
// next goes on, also when less or more is to stay by then; and nothing is left
// over.
func TestKilledWhileThinning(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepJournal()
		kills := 0
		for _, tt := range []struct {
			name string
			// noted: the journal tells of the rewriting before, so that what was
			// there before is deleted.
			noted bool
			// otherwise: meanwhile a hold ends, and more may go.
			otherwise bool
		}{{"writing", false, false}, {"deleting", true, false}, {"writing what then has less", false, true}} {
			for step := 1; ; step++ {
				gone, held := fmt.Sprintf("gone %d %s", step, tt.name), fmt.Sprintf("held %d %s", step, tt.name)
				calls := k.segmented(200, time.Time{}, gone, held)
				name := "case " + held
				if _, err := k.store.PlaceHold(k.Context(), call.Hold{Name: name, Reason: "a letter", CallIDs: calls[1:]}); err != nil {
					k.Fatal(err)
				}
				if tt.noted {
					k.apply()
					k.journalWritten()
				}
				killed := k.killedApplying(step)
				k.verified()
				if keys := k.requests(); !slices.Contains(keys, held) {
					k.Errorf("%s, step %d: the journal has %v", tt.name, step, keys)
				}
				if tt.otherwise {
					if _, err := k.store.ReleaseHold(k.Context(), name, "it is settled", false); err != nil {
						k.Fatal(err)
					}
					if killed && k.killedApplying(2) { // in the middle of giving the other up
						kills++
					}
					k.verified()
				}
				k.apply()
				k.journalWritten()
				k.apply()
				k.verified()
				k.nothingOrphaned()
				if keys := k.requests(); slices.Contains(keys, gone) || slices.Contains(keys, held) == tt.otherwise {
					k.Errorf("%s, step %d: in the end the journal has %v", tt.name, step, keys)
				}
				if !killed {
					break
				}
				kills++
			}
		}
		if kills < 7 {
			k.Errorf("it was interrupted %d times only", kills)
		}
	})
}

// TestThinningGivenUp: what was put when it was killed goes by itself if nobody
// wants it any more, for the term is another since.
func TestThinningGivenUp(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepJournal()
		k.segmented(200, time.Time{}, "there")
		if !k.killedApplying(2) {
			k.Fatal("it came to its end")
		}
		planned, err := k.store.PlannedSegments(k.Context())
		if err != nil || len(planned) != 1 {
			k.Fatalf("planned are %+v, %v", planned, err)
		}
		if _, err := k.vault.Stat(k.Context(), planned[0].ObjectKey); err != nil {
			k.Fatal(err)
		}
		clearing := func(now func() time.Time) func() {
			e := archive.NewEraser(archive.EraserOptions{Store: k.store, Vault: k.vault, Now: now, Logger: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(k.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				e.Run(ctx)
			}()
			return func() { cancel(); <-ended }
		}
		stop := clearing(func() time.Time { return time.Now().Add(time.Hour) })
		eventually(k.T, "it is gone, and noted so", func() bool {
			_, err := k.vault.Stat(k.Context(), planned[0].ObjectKey)
			left := 0
			old := k.store.OldSegments(k.Context(), 0, func(call.SegmentObject, bool) error { left++; return nil })
			return errors.Is(err, archive.ErrNotFound) && old == nil && left == 0
		})
		stop()
		k.verified()
		k.nothingOrphaned()
		if keys := k.requests(); !slices.Contains(keys, "there") {
			k.Errorf("the journal has %v", keys)
		}
	})
}
