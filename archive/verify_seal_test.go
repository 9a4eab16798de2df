package archive_test

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"golang.org/x/mod/sumdb/tlog"
)

// TestVerifyNotesSeals: a seal that a server had put when it was killed, and not
// noted, gets its row; whatever else lies there in the place of a seal is an object
// that no row knows.
func TestVerifyNotesSeals(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		s := openStore(t, o)
		key := auditKey(t)
		if err := s.UseAuditKey(t.Context(), key.Verifier()); err != nil {
			t.Fatal(err)
		}
		grow := func() {
			t.Helper()
			e, err := audit.New(audit.LiveViewed, "", map[string]int{"n": 1})
			if err == nil {
				err = s.Audit(t.Context(), e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		grow()
		head, err := s.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		put := func(where, note string) {
			t.Helper()
			err := v.Put(t.Context(), where, bytes.NewReader([]byte(note)), archive.PutOptions{Size: int64(len(note)), SHA256: sha256.Sum256([]byte(note)), MediaType: "text/plain"})
			if err != nil {
				t.Fatal(err)
			}
		}
		sign := func(key *audit.Key, head audit.Head) audit.Seal {
			t.Helper()
			seal, err := key.SignHead(head, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return seal
		}
		ours := sign(key, head)
		put(ours.ObjectKey(), ours.Note)
		grow()
		other := sign(key, audit.Head{Size: head.Size - 1, Hash: tlog.Hash{1}}) // the log never had it
		put(other.ObjectKey(), other.Note)
		grown, err := s.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		strange := sign(auditKey(t), grown)
		put(strange.ObjectKey(), strange.Note)
		later := sign(key, audit.Head{Size: grown.Size + 5, Hash: grown.Hash})
		put(later.ObjectKey(), later.Note)
		const elsewhere = audit.SealPrefix + "copy.note"
		put(elsewhere, ours.Note)

		verify := func() (faults []string) {
			t.Helper()
			err := archive.NewVerifier(archive.VerifyOptions{
				Store: s, Vault: v, Seals: s, Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
				Found: func(c call.Checked) error {
					for _, f := range c.Faults {
						faults = append(faults, string(f.Kind)+" "+f.Where)
					}
					return nil
				},
			}).All(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(faults)
			return faults
		}
		want := []string{"unknown " + elsewhere, "unknown " + later.ObjectKey(), "unknown " + other.ObjectKey(), "unknown " + strange.ObjectKey()}
		slices.Sort(want)
		for range 2 {
			if got := verify(); !slices.Equal(got, want) {
				t.Errorf("faults are %v, want %v", got, want)
			}
		}
		kept, err := s.Seals(t.Context(), 0, 10)
		if err != nil || len(kept) != 1 || kept[0].Note != ours.Note || kept[0].ObjectKey != ours.ObjectKey() {
			t.Errorf("seals are %+v, %v", kept, err)
		}
	})
}
