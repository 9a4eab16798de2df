package audit_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
)

func newKey(t testing.TB) *audit.Key {
	t.Helper()
	text, err := audit.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	k, err := audit.ReadKey(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealsAreCheckedWithThePublicHalfAlone(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	head := audit.Head{Size: 1234, Hash: tlog.RecordHash([]byte("x"))}
	at := time.Date(2026, 11, 22, 18, 0, 0, 7_900_000, time.FixedZone("IST", 19800))
	seal, err := key.SignHead(head, at, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.OpenSeal(seal.Note, key.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(audit.Seal{Head: head, At: time.Date(2026, 11, 22, 12, 30, 0, 7e6, time.UTC), Note: seal.Note}, got); diff != "" {
		t.Error(diff)
	}
	name, _, _ := strings.Cut(key.Verifier(), "+")
	want := name + "\n1234\n" + head.Hash.String() + "\ntime 2026-11-22T12:30:00.007Z\n\n— " + name + " "
	if !strings.HasPrefix(seal.Note, want) {
		t.Errorf("the note is %q, want it to begin with %q", seal.Note, want)
	}
	if _, err := audit.OpenSeal(seal.Note, other.Verifier()); err == nil {
		t.Error("another key's seal was taken")
	}
	if _, err := audit.OpenSeal(strings.Replace(seal.Note, "1234", "1235", 1), key.Verifier()); err == nil {
		t.Error("a changed seal was taken")
	}
	// What the key signed for another purpose is no head.
	signed, err := key.Sign("a manifest\n1\n2\n3\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenSeal(signed, key.Verifier()); err == nil {
		t.Error("a signed text that is no head was taken for one")
	}
	if len(key.Fingerprint()) != 64 || key.Fingerprint() == other.Fingerprint() {
		t.Errorf("fingerprints are %s and %s", key.Fingerprint(), other.Fingerprint())
	}
	if text, err := json.Marshal(seal); err != nil || !strings.Contains(string(text), `"size":1234,"hash":"`) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

// TestSealsSayHowLongTheyStay: what is promised for a seal is signed with it.
func TestSealsSayHowLongTheyStay(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	at := time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)
	seal, err := key.SignHead(audit.Head{Size: 12}, at, at.AddDate(8, 0, 0).In(time.FixedZone("IST", 19800)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "\ntime 2026-11-22T12:30:00.000Z\nkept until 2034-11-22T12:30:00.000Z\n\n"; !strings.Contains(seal.Note, want) {
		t.Errorf("the note is %q", seal.Note)
	}
	got, err := audit.OpenSeal(seal.Note, key.Verifier())
	if err != nil || !got.RetainUntil.Equal(at.AddDate(8, 0, 0)) {
		t.Errorf("read back: %+v, %v", got, err)
	}
	if diff := cmp.Diff(seal, got); diff != "" {
		t.Error(diff)
	}
	lines := strings.SplitAfter(strings.SplitAfter(seal.Note, "\n\n")[0], "\n")
	for _, text := range []string{
		strings.Join(lines[:4], "") + "kept for ever\n",
		strings.Join(lines[:3], "") + lines[4] + lines[3],
		strings.Join(lines[:5], "") + lines[4],
	} {
		signed, err := key.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.OpenSeal(signed, key.Verifier()); err == nil {
			t.Errorf("%q was taken for a head", text)
		}
	}
}

func FuzzReadKey(f *testing.F) {
	good, err := audit.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(strings.Replace(good, "PRIVATE", "PUBLIC", 1))
	f.Add(good[:len(good)-4])
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := audit.ReadKey(text)
		if err != nil {
			return
		}
		seal, err := k.SignHead(audit.Head{}, time.Unix(0, 0), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.OpenSeal(seal.Note, k.Verifier()); err != nil {
			t.Errorf("a key that was taken signs what it cannot check: %v", err)
		}
	})
}

func FuzzOpenSeal(f *testing.F) {
	text, err := audit.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	k, err := audit.ReadKey(text)
	if err != nil {
		f.Fatal(err)
	}
	name, _, _ := strings.Cut(k.Verifier(), "+")
	f.Add(name, "12", tlog.Hash{}.String(), "time 2026-11-22T12:30:00.007Z")
	f.Add(name, "12", tlog.Hash{}.String(), "time 2026-11-22T12:30:00.007Z\nkept until 2034-11-22T12:30:00.007Z")
	f.Add("x", "-1", "", "time")
	f.Fuzz(func(t *testing.T, name, size, hash, at string) {
		signed, err := k.Sign(name + "\n" + size + "\n" + hash + "\n" + at + "\n")
		if err != nil {
			return // not a text that can be signed
		}
		seal, err := audit.OpenSeal(signed, k.Verifier())
		if err != nil {
			return
		}
		again, err := k.SignHead(seal.Head, seal.At, seal.RetainUntil)
		if err != nil {
			t.Fatal(err)
		}
		if seal.Size < 0 || again.Head != seal.Head || !again.RetainUntil.Equal(seal.RetainUntil) {
			t.Errorf("%q was read as %+v", signed, seal)
		}
	})
}
