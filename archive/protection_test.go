package archive_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/archive"
)

// testProtection is the part of the contract that is about locks. A vault
// that does not lock takes the same calls and keeps nothing of them.
func testProtection(t *testing.T, v archive.Vault) {
	t.Helper()
	locks := v.Locks() != archive.Unlocked
	soon := time.Now().Add(time.Hour).UTC()
	// as is what the vault makes of a protection.
	as := func(p archive.Protection) archive.Protection {
		if !locks {
			return archive.Protection{}
		}
		if p.Until.Nanosecond() > 0 {
			p.Until = p.Until.Truncate(time.Second).Add(time.Second)
		}
		return p
	}
	check := func(t *testing.T, key string, want archive.Protection) {
		t.Helper()
		got, err := v.Protection(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(as(want), got); diff != "" {
			t.Errorf("protection of %s (-want +got):\n%s", key, diff)
		}
	}
	protect := func(t *testing.T, key string, p archive.Protection) {
		t.Helper()
		if err := v.Protect(t.Context(), key, p); err != nil {
			t.Fatal(err)
		}
	}
	// remains makes sure that the object can be deleted only where nothing is
	// locked.
	remains := func(t *testing.T, key string, want archive.Protection) {
		t.Helper()
		err := v.Delete(t.Context(), key)
		if !locks {
			if err != nil {
				t.Error(err)
			}
			return
		}
		locked, ok := errors.AsType[*archive.LockedError](err)
		if !ok {
			t.Fatalf("got %v, want a LockedError", err)
		}
		if diff := cmp.Diff(archive.LockedError{Key: key, Protection: as(want)}, *locked); diff != "" {
			t.Errorf("error (-want +got):\n%s", diff)
		}
		if got := versions(t, v, key); len(got) != 1 || got[0].Marker || !got[0].Latest {
			t.Errorf("versions: %+v", got)
		}
		read(t, v, key, 0, -1)
	}

	t.Run("protected when put", func(t *testing.T) {
		t.Parallel()
		for key, p := range map[string]archive.Protection{
			"protected/until": {Until: soon}, "protected/hold": {Hold: true},
			"protected/both": {Until: soon, Hold: true},
		} {
			opts := describe([]byte("audio"))
			opts.Protection = p
			if err := v.Put(t.Context(), key, strings.NewReader("audio"), opts); err != nil {
				t.Fatal(err)
			}
			check(t, key, p)
			info, err := v.Stat(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			_, opened := read(t, v, key, 1, 2)
			if diff := cmp.Diff(info.Protection, opened.Protection); diff != "" || info.LockMode != opened.LockMode {
				t.Errorf("stat and open differ (-stat +open), %q and %q:\n%s", info.LockMode, opened.LockMode, diff)
			}
			want := v.Locks()
			if p.Until.IsZero() {
				want = archive.Unlocked
			}
			if info.LockMode != want {
				t.Errorf("%s: mode %q, want %q", key, info.LockMode, want)
			}
			remains(t, key, p)
		}
	})

	t.Run("not protected", func(t *testing.T) {
		t.Parallel()
		for key, p := range map[string]archive.Protection{
			"free/none": {}, "free/over": {Until: time.Now().Add(-time.Hour)},
		} {
			opts := describe([]byte("audio"))
			opts.Protection = p
			if err := v.Put(t.Context(), key, strings.NewReader("audio"), opts); err != nil {
				t.Fatal(err)
			}
			protect(t, key, p)
			check(t, key, archive.Protection{})
			if err := v.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
		}
	})

	t.Run("protected later", func(t *testing.T) {
		t.Parallel()
		const key = "later/a"
		put(t, v, key, "audio")
		until := archive.Protection{Until: soon}
		protect(t, key, until)
		check(t, key, until)
		protect(t, key, archive.Protection{Until: soon.Add(-time.Minute)}) // shortens nothing
		protect(t, key, archive.Protection{})
		check(t, key, until)
		longer := archive.Protection{Until: soon.Add(time.Hour), Hold: true}
		protect(t, key, longer)
		check(t, key, longer)
		longer.Hold = false
		protect(t, key, archive.Protection{}) // lifts the hold
		check(t, key, longer)
		remains(t, key, longer)
	})

	t.Run("protected by many at once", func(t *testing.T) {
		t.Parallel()
		const key = "many/a"
		put(t, v, key, "audio")
		var wait sync.WaitGroup
		for i := range 6 {
			wait.Go(func() {
				p := archive.Protection{Until: soon.Add(time.Duration(i) * time.Minute), Hold: true}
				if err := v.Protect(t.Context(), key, p); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		check(t, key, archive.Protection{Until: soon.Add(5 * time.Minute), Hold: true})
	})

	t.Run("put once protects what is there", func(t *testing.T) {
		t.Parallel()
		const key = "adopted/a"
		adopt := func(p archive.Protection) {
			opts := describe([]byte("audio"))
			opts.Protection = p
			if err := archive.PutOnce(t.Context(), v, key, strings.NewReader("audio"), opts); err != nil {
				t.Fatal(err)
			}
		}
		adopt(archive.Protection{})
		adopt(archive.Protection{Until: soon})
		check(t, key, archive.Protection{Until: soon})
		adopt(archive.Protection{Hold: true})
		adopt(archive.Protection{Until: soon.Add(-time.Minute)}) // takes nothing away
		check(t, key, archive.Protection{Until: soon, Hold: true})
	})

	t.Run("a lock ends by itself", func(t *testing.T) {
		t.Parallel()
		const key = "ends/a"
		opts := describe([]byte("audio"))
		opts.Protection = archive.Protection{Until: time.Now().Add(1200 * time.Millisecond)}
		if err := v.Put(t.Context(), key, strings.NewReader("audio"), opts); err != nil {
			t.Fatal(err)
		}
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			err := v.Delete(t.Context(), key)
			if err == nil {
				break
			}
			if _, ok := errors.AsType[*archive.LockedError](err); !ok || !locks {
				t.Fatal(err)
			}
			<-ticker.C
		}
		if locks && time.Now().Before(opts.Protection.Until) {
			t.Error("deleted while locked")
		}
	})

	t.Run("nothing there to protect", func(t *testing.T) {
		t.Parallel()
		if err := v.Protect(t.Context(), "none/b", archive.Protection{Until: soon}); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("protect: got %v, want %v", err, archive.ErrNotFound)
		}
		if _, err := v.Protection(t.Context(), "none/b"); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("protection: got %v, want %v", err, archive.ErrNotFound)
		}
	})
}
