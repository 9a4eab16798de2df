package archive_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// TestErasureWaitsForLockedSegments: a segment of the journal is written again at
// once; the object whose place that took is locked, so it is listed with its
// date, and goes by itself when the lock is over.
func TestErasureWaitsForLockedSegments(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Compliance
	v := openS3(t, opts)
	o := store.Options{DSN: testenv.Postgres(t)}
	s := openStore(t, o)
	p := newPremises(t, s, v)
	var until time.Time
	journal, err := archive.NewJournal(archive.JournalOptions{
		Store: s, Vault: v, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Until: func(at time.Time) time.Time {
			until = at.Add(5 * time.Second)
			return until
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.journal = journal
	p.eraser = archive.NewEraser(archive.EraserOptions{
		Store: s, Vault: v, Now: func() time.Time { return p.now }, Logger: slog.New(slog.DiscardHandler), WriteJournal: journal.Write,
	})
	p.record(t, customer("1.1", subject))
	p.archiveAll(t, archive.Protection{})
	p.writeJournal(t)
	locked := until
	e := p.begin(t)
	p.goOn(t, e.ID)
	first := archive.SegmentKey(1)
	c := p.certificate(t, e.ID)
	if c.Complete || len(c.Kept) != 1 || c.Kept[0].Kind != call.ErasedJournal || c.Kept[0].Ref != "1" || c.Kept[0].Until == nil || c.Kept[0].Until.Before(locked.Truncate(time.Second)) {
		t.Fatalf("certificate: %+v", c)
	}
	if keys := list(t, v, archive.JournalPrefix); !slices.Contains(keys, first) || !slices.Contains(keys, archive.RevisionKey(1, 1)) {
		t.Errorf("while it is locked: %v", keys)
	}
	p.forgets(t, dumpOf(t, o))

	eventually(t, "the lock ends", func() bool {
		protection, err := v.Protection(t.Context(), first)
		return err == nil && !protection.Keeps(time.Now().Add(-time.Second))
	})
	p.due(t, e.ID, o)
	// As a server does, which nobody tells.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.eraser.Run(ctx)
	}()
	eventually(t, "it goes by itself", func() bool {
		now, err := s.Erasure(t.Context(), e.ID)
		return err == nil && !now.FinishedAt.IsZero()
	})
	cancel()
	<-ended
	if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedJournal] != 1 {
		t.Errorf("certificate: %+v", c)
	}
	for o, err := range v.Versions(t.Context(), first) {
		t.Errorf("left: %+v, %v", o, err)
	}
	p.journalForgets(t)
}
