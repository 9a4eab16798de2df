package archive_test

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// TestHoldsReachTheObjects: the store's own legal hold is on what was archived
// before the hold, on what is archived under it, and on nothing when it ends.
func TestHoldsReachTheObjects(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 2)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/wav")
		_, _ = w.Write(audio)
	}))
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Governance
	v := openS3(t, opts)
	s := openStore(t, store.Options{DSN: testenv.Postgres(t)})
	run(t, options(t, s, v, host))
	before := queue(t, s, wanted(host+"/before.wav", "", 0))
	eventually(t, "the first is archived", func() bool { return before().State == call.Archived })
	isHeld := func(r call.Recording) bool {
		t.Helper()
		p, err := v.Protection(t.Context(), r.ObjectKey)
		if err != nil {
			t.Fatal(err)
		}
		return p.Hold
	}
	if isHeld(before()) {
		t.Fatal("held without a hold")
	}
	filter := &call.Filter{Account: "sales"}
	if _, err := s.PlaceHold(t.Context(), call.Hold{Name: "case", Reason: "court order", Filter: filter}); err != nil {
		t.Fatal(err)
	}
	// It is put under the hold, before anybody looked for calls that match.
	later := queue(t, s, wanted(host+"/later.wav", "", 0))
	eventually(t, "the second is archived", func() bool { return later().State == call.Archived })
	if !isHeld(later()) {
		t.Error("what is archived under a hold is not held by the vault")
	}
	keeper := archive.NewHoldKeeper(archive.HoldKeeperOptions{
		Store: s, Vault: v, Expand: func(f call.Filter) call.Filter { return f }, Logger: slog.New(slog.DiscardHandler),
	})
	if err := keeper.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !isHeld(before()) {
		t.Error("what was archived before is not held by the vault")
	}
	locked, ok := errors.AsType[*archive.LockedError](v.Delete(t.Context(), before().ObjectKey))
	if !ok || !locked.Hold {
		t.Error("what is held can be deleted")
	}
	if n, err := keeper.Push(t.Context()); n != 0 || err != nil {
		t.Errorf("told the vault of %d objects again, %v", n, err)
	}
	if _, err := s.ReleaseHold(t.Context(), "case", "settled", false); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range []call.Recording{before(), later()} {
		if isHeld(r) {
			t.Errorf("%s is held after the release", r.ObjectKey)
		}
		if err := v.Delete(t.Context(), r.ObjectKey); err != nil {
			t.Error(err)
		}
	}
}
