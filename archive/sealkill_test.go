package archive_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// sealing is a log with a key, whose seals go into a vault.
type sealing struct {
	*testing.T
	o     store.Options
	store *store.Store
	vault archive.Vault
	key   *audit.Key
	// said is what the last expect found to be wrong.
	said string
}

func newSealing(t *testing.T, o store.Options, v archive.Vault) *sealing {
	t.Helper()
	s := &sealing{T: t, o: o, store: openStore(t, o), vault: v, key: auditKey(t)}
	if err := s.store.UseAuditKey(t.Context(), s.key.Verifier()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sealing) grow() {
	s.Helper()
	e, err := audit.New(audit.LiveViewed, "", map[string]int{"n": 1})
	if err == nil {
		err = s.store.Audit(s.Context(), e)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// seal seals the log by a clock that is off by a while.
func (s *sealing) seal(kept archive.SealStore, v archive.Vault, off time.Duration) (audit.Seal, error) {
	return archive.NewSealer(archive.SealOptions{
		Store: kept, Vault: v, Key: s.key, Now: func() time.Time { return time.Now().Add(off) },
		Until: func(at time.Time) time.Time { return at.Add(time.Hour) },
	}).Seal(s.Context())
}

func (s *sealing) mustSeal(off time.Duration) audit.Seal {
	s.Helper()
	seal, err := s.seal(s.store, s.vault, off)
	if err != nil {
		s.Fatal(err)
	}
	return seal
}

// expect compares the faults that are found when all objects are old enough.
func (s *sealing) expect(when string, want ...string) {
	s.Helper()
	var faults []string
	s.said = ""
	err := archive.NewVerifier(archive.VerifyOptions{
		Store: s.store, Vault: s.vault, Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
		Found: func(c call.Checked) error {
			for _, f := range c.Faults {
				faults = append(faults, string(f.Kind)+" "+f.Where)
				s.said += f.What
			}
			return nil
		},
	}).All(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	slices.Sort(faults)
	slices.Sort(want)
	if diff := cmp.Diff(want, faults); diff != "" {
		s.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// lies returns what lies in the place of a seal, and makes sure that nothing was
// put over it.
func (s *sealing) lies(key string) string {
	s.Helper()
	versions := 0
	for v, err := range s.vault.Versions(s.Context(), key) {
		if err != nil {
			s.Fatal(err)
		}
		if v.Key == key {
			versions++
		}
	}
	if versions != 1 {
		s.Errorf("%s has %d versions", key, versions)
	}
	r, _, err := s.vault.Open(s.Context(), key, 0, -1)
	if err != nil {
		s.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		s.Fatal(err)
	}
	return string(body)
}

// dyingPut is a vault that a program is killed over: before an object is put, or
// after.
type dyingPut struct {
	archive.Vault
	after bool
}

func (v dyingPut) Put(ctx context.Context, key string, body io.ReaderAt, opts archive.PutOptions) error {
	if v.after {
		if err := v.Vault.Put(ctx, key, body, opts); err != nil {
			return err
		}
	}
	return errKilled
}

// dyingNote is a database that a program is killed over when it notes that a seal
// is put.
type dyingNote struct{ *store.Store }

func (dyingNote) NoteSealPut(context.Context, audit.Seal, time.Time) error { return errKilled }

// TestKilledWhileSealing ends what seals the log between any two of its steps. By
// the row verify knows what is there, and what is not; the next seal, of whichever
// node, first puts the very same bytes, once; and nothing is left to be told.
func TestKilledWhileSealing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		put   bool
		store func(*store.Store) archive.SealStore
		vault func(archive.Vault) archive.Vault
	}{
		{"before it is put", false, func(s *store.Store) archive.SealStore { return s }, func(v archive.Vault) archive.Vault { return dyingPut{v, false} }},
		{"before it is known that it is put", true, func(s *store.Store) archive.SealStore { return s }, func(v archive.Vault) archive.Vault { return dyingPut{v, true} }},
		{"before that is noted", true, func(s *store.Store) archive.SealStore { return dyingNote{s} }, func(v archive.Vault) archive.Vault { return v }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
				s := newSealing(t, o, v)
				before := s.mustSeal(0)
				s.grow()
				if _, err := s.seal(tt.store(s.store), tt.vault(v), 0); !errors.Is(err, errKilled) {
					t.Fatalf("it was not killed: %v", err)
				}
				planned, err := s.store.NewestSeal(t.Context())
				if err != nil || !planned.BeingPut || planned.Size <= before.Size {
					t.Fatalf("planned is %+v, %v", planned, err)
				}
				if _, err := v.Stat(t.Context(), planned.ObjectKey); (err == nil) != tt.put {
					t.Fatalf("in the vault: %v", err)
				}
				s.expect("when it was killed")
				if note, err := s.store.LastSeal(t.Context()); err != nil || note != before.Note {
					t.Errorf("the last seal is %q, %v", note, err)
				}
				s.grow()
				later := s.mustSeal(time.Minute)
				if later.Size != planned.Size+1 {
					t.Errorf("the next seal is %+v", later)
				}
				if body := s.lies(planned.ObjectKey); body != planned.Note {
					t.Errorf("other bytes were put: %q, want %q", body, planned.Note)
				}
				if p, err := v.Protection(t.Context(), planned.ObjectKey); err != nil || v.Locks() != archive.Unlocked && (p.Until.Before(planned.RetainUntil) || p.Until.After(planned.RetainUntil.Add(time.Second))) {
					t.Errorf("it is locked until %s, want %s (%v)", p.Until, planned.RetainUntil, err)
				}
				kept, err := s.store.Seals(t.Context(), 0, 10)
				if err != nil || len(kept) != 3 || slices.ContainsFunc(kept, func(k audit.KeptSeal) bool { return k.BeingPut }) ||
					kept[1].Note != planned.Note || kept[2].Note != later.Note {
					t.Errorf("seals are %+v, %v", kept, err)
				}
				s.expect("in the end")
			})
		})
	}
}

// TestAdoptedSeal: what a database that is lost had put there for the same log is
// promised for as long as it is locked.
func TestAdoptedSeal(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		s := newSealing(t, o, v)
		first := s.mustSeal(-30 * time.Minute)
		for _, until := range []time.Duration{time.Hour, 2 * time.Hour} { // also by a longer term than it was made with
			execute(t, s.o, "DELETE FROM audit_seals")
			again, err := archive.NewSealer(archive.SealOptions{
				Store: s.store, Vault: s.vault, Key: s.key, Until: func(at time.Time) time.Time { return at.Add(until) },
			}).Seal(t.Context())
			if err != nil || again.Note != first.Note {
				t.Fatalf("adopted %+v, %v", again, err)
			}
			kept, err := s.store.NewestSeal(t.Context())
			if err != nil || kept.BeingPut || !kept.At.Equal(first.At) || !kept.RetainUntil.Equal(first.At.Add(until)) {
				t.Errorf("kept is %+v, %v", kept, err)
			}
			if p, err := v.Protection(t.Context(), kept.ObjectKey); err != nil || v.Locks() != archive.Unlocked && (p.Until.Before(kept.RetainUntil) || p.Until.After(kept.RetainUntil.Add(time.Second))) {
				t.Errorf("it is locked until %s, and promised until %s (%v)", p.Until, kept.RetainUntil, err)
			}
			s.expect("when it is adopted")
		}
	})
}

// TestForgedSeals: whoever can write the database and the vault cannot hide behind
// what is on its way that a seal was taken away, or is another.
func TestForgedSeals(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"SQLite": "", "PostgreSQL": testenv.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealing(t, store.Options{DSN: dsn, Path: t.TempDir() + "/callvault.db"}, onDirectory(t))
			remove := func(l audit.Seal) {
				t.Helper()
				if err := s.vault.Delete(t.Context(), l.ObjectKey()); err != nil {
					t.Fatal(err)
				}
			}
			old := s.mustSeal(-3 * time.Hour)
			s.grow()
			last := s.mustSeal(-2 * time.Hour)
			s.expect("before")

			// There is no row: it may as well be somebody else's.
			execute(t, s.o, fmt.Sprintf("DELETE FROM audit_seals WHERE size = %d", last.Size))
			s.expect("its row is gone", "unknown "+last.ObjectKey())
			if err := s.store.NoteSeal(t.Context(), last, last.ObjectKey(), time.Time{}); err != nil {
				t.Fatal(err)
			}
			// Servers put what is to be put within the hour.
			execute(t, s.o, fmt.Sprintf("UPDATE audit_seals SET being_put = 1 WHERE size = %d", last.Size))
			s.expect("it is to be put, and there")
			remove(last)
			s.expect("it should have been put", "missing "+last.ObjectKey())
			if !strings.Contains(s.said, "the next that starts puts it") {
				t.Errorf("nobody is told what becomes of it: %s", s.said)
			}
			// What is made only when the one before is there says that it was.
			s.mustSeal(0)
			s.expect("it was put again")
			s.grow()
			newest := s.mustSeal(0)
			execute(t, s.o, fmt.Sprintf("UPDATE audit_seals SET being_put = 1 WHERE size = %d", old.Size))
			remove(old)
			s.grow()
			s.mustSeal(0)
			s.expect("an old one", "missing "+old.ObjectKey())
			put(t, s.vault, old.ObjectKey(), old.Note)

			// Whatever lies in the place of one on its way must be that one.
			s.grow()
			if _, err := s.seal(s.store, dyingPut{s.vault, false}, 0); !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			planned, err := s.store.NewestSeal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.expect("on its way")
			put(t, s.vault, planned.ObjectKey, newest.Note)
			s.expect("another in its place", "mismatch "+planned.ObjectKey)
			if got, err := s.seal(s.store, s.vault, 0); err == nil {
				t.Errorf("it was taken for %+v", got)
			}
			s.expect("another in its place, and withdrawn", "unknown "+planned.ObjectKey)
			s.grow()
			s.mustSeal(0)
			s.expect("in the end", "unknown "+planned.ObjectKey)
		})
	}
}

// execute changes rows behind the program's back.
func execute(t *testing.T, o store.Options, statement string) {
	t.Helper()
	driver, source := "pgx", o.DSN
	if o.DSN == "" {
		driver, source = "sqlite", o.Path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(t, db)
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
