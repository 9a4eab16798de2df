package main

import (
	"context"
	"log/slog"
	"slices"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// TestVerifyAfterRetention: what was deleted because its time was over is no
// fault: deliveries, recordings, the facts of calls. Nor is it in a database that
// was made again, where some of it is back.
func TestVerifyAfterRetention(t *testing.T) {
	t.Parallel()
	more := "vault: {directory: " + t.TempDir() + "}\n"
	const keep = "retention: {recordings: [{keep: 1d}], deliveries: 30d"
	in := install(t, storage{}, anySize(), "")
	in.configure(t, storage{}, more+keep+"}\n")
	clean := func(when string, in installation) {
		t.Helper()
		if got, status := in.verify(t); status != exitDone || len(got.Faults) > 0 {
			t.Errorf("%s: status %d, %+v", when, status, got.Faults)
		}
	}
	l := newLoad(in)
	post := func() (archived int64) {
		t.Helper()
		p := in.start(t)
		l.post(t.Context(), p.url, 4)
		s, _ := in.openStored(t)
		eventually(t, "all is archived", func() bool {
			q, err := s.QueueStats(context.WithoutCancel(t.Context()))
			archived = q.Archived
			return err == nil && q.Pending == 0 && archived >= 4
		})
		p.stop(syscall.SIGTERM)
		return archived
	}
	post()
	s, _ := in.openStored(t)
	if n, _, err := s.ForgetDeliveries(t.Context(), "sales", time.Now().Add(time.Minute), new(call.Place)); err != nil || n < 4 {
		t.Fatalf("%d deliveries were forgotten, %v", n, err)
	}
	clean("deliveries forgotten", in)
	archived := post()
	if done := commandJSON[archive.Applied](t, "retention", "apply", "--data", in.data); done.Deleted != archived {
		t.Fatalf("deleted: %+v", done)
	}
	clean("recordings expired", in)
	in.configure(t, storage{}, more+keep+", calls: 1d}\n")
	commandJSON[archive.Applied](t, "retention", "apply", "--data", in.data)
	if n, err := s.CountKept(t.Context()); err != nil || n["calls"]+n["recordings"]+n["deliveries"] != 0 {
		t.Fatalf("there still is %v, %v", n, err)
	}
	clean("calls forgotten", in)
	in.start(t).stop(syscall.SIGTERM)
	clean("all of it in the journal", in)
	again := in
	again.data = t.TempDir()
	again.configure(t, storage{}, more+keep+", calls: 1d}\n")
	in.share(t, again, "audit.key")
	commandJSON[rebuildResult](t, "rebuild", "--data", again.data)
	clean("made again", again)
}

// TestVerifyLegalHolds lets an object lose its legal hold, and another have one
// for nothing.
func TestVerifyLegalHolds(t *testing.T) {
	t.Parallel()
	b := testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true})
	st := storage{dsn: testenv.Postgres(t), bucket: &b, s3: "object_lock: governance"}
	in := livedIn(t, st, 16, "retention: {recordings: [{keep: 3y}]}\n")
	// The hold was placed just before the end: what it wants of the bucket is done
	// by whoever runs next.
	s, v := in.openStored(t)
	keeper := archive.NewHoldKeeper(archive.HoldKeeperOptions{Store: s, Vault: v, Expand: func(f call.Filter) call.Filter { return f }, Logger: slog.New(slog.DiscardHandler)})
	if err := keeper.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, status := in.verify(t); status != exitDone || len(got.Faults) > 0 {
		t.Fatalf("before: status %d, %+v", status, got.Faults)
	}
	keys := map[bool]string{} // by whether a hold keeps them
	rows, err := s.RecordingsByKey(t.Context(), "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.State == call.Archived {
			keys[r.Held] = r.ObjectKey
		}
	}
	for held, key := range keys {
		if err := v.Protect(t.Context(), key, archive.Protection{Hold: !held}); err != nil {
			t.Fatal(err)
		}
	}
	got, status := in.verify(t)
	var found []string
	for _, f := range got.Faults {
		found = append(found, string(f.Kind)+" "+f.Where)
	}
	slices.Sort(found)
	if diff := cmp.Diff([]string{"held " + keys[false], "weaker " + keys[true]}, found); diff != "" || status != exitWrong {
		t.Errorf("status %d, faults (-want +got):\n%s", status, diff)
	}
}
