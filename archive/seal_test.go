package archive_test

import (
	"context"
	"io"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"

	"golang.org/x/mod/sumdb/tlog"
)

// sealedLog is a log that is only sealed.
type sealedLog struct {
	head  audit.Head
	seals []audit.KeptSeal // by their sizes
}

func (l *sealedLog) grow() {
	l.head = audit.Head{Size: l.head.Size + 1, Hash: tlog.NodeHash(l.head.Hash, l.head.Hash)}
}

func (l *sealedLog) AuditHead(context.Context) (audit.Head, error) { return l.head, nil }

func (l *sealedLog) NewestSeal(context.Context) (newest audit.KeptSeal, err error) {
	if len(l.seals) > 0 {
		newest = l.seals[len(l.seals)-1]
	}
	return newest, nil
}

func (l *sealedLog) PlanSeal(_ context.Context, seal audit.Seal, objectKey string, until time.Time) (bool, error) {
	l.seals = append(l.seals, audit.KeptSeal{Size: seal.Size, ObjectKey: objectKey, Note: seal.Note, At: seal.At, RetainUntil: until, BeingPut: true})
	return true, nil
}

func (l *sealedLog) NoteSealPut(_ context.Context, seal audit.Seal, until time.Time) error {
	last := &l.seals[len(l.seals)-1]
	last.Note, last.At, last.RetainUntil, last.BeingPut = seal.Note, seal.At, until, false
	return nil
}

func (l *sealedLog) WithdrawSeal(context.Context, int64) error {
	l.seals = l.seals[:len(l.seals)-1]
	return nil
}

func sealer(t *testing.T, l *sealedLog, v archive.Vault, key *audit.Key, now time.Time) *archive.Sealer {
	t.Helper()
	return archive.NewSealer(archive.SealOptions{Store: l, Vault: v, Key: key, Now: func() time.Time { return now }})
}

func auditKey(t *testing.T) *audit.Key {
	t.Helper()
	text, err := audit.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSeal(t *testing.T) {
	t.Parallel()
	vault, err := archive.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, now := auditKey(t), time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
	log := &sealedLog{}
	log.grow()
	first, err := sealer(t, log, vault, key, now).Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.Head != log.head || !first.At.Equal(now) {
		t.Errorf("the seal is %+v", first)
	}
	// Nothing was added: the same again, however late.
	again, err := sealer(t, log, vault, key, now.Add(time.Hour)).Seal(t.Context())
	if err != nil || again != first {
		t.Errorf("another seal of the same head: %+v, %v", again, err)
	}
	// What lies in the vault is what was signed.
	r, info, err := vault.Open(t.Context(), "seals/000000000001.note", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil || r.Close() != nil || string(body) != first.Note || info.MediaType != "text/plain; charset=utf-8" {
		t.Errorf("in the vault: %q (%s), %v", body, info.MediaType, err)
	}
	// What lies there of the same log counts, also if no row knows it.
	log.grow()
	one, err := sealer(t, log, vault, key, now).Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log.seals = log.seals[:1]
	other, err := sealer(t, log, vault, key, now.Add(time.Second)).Seal(t.Context())
	if err != nil || other != one {
		t.Errorf("the other has %+v, want %+v (%v)", other, one, err)
	}
	if last := log.seals[len(log.seals)-1]; len(log.seals) != 2 || last.ObjectKey != "seals/000000000002.note" || last.Note != one.Note || !last.At.Equal(one.At) || last.BeingPut {
		t.Errorf("seals are %+v", log.seals)
	}
	// A log that was changed after it was sealed is told, not sealed over, whether
	// its row is there or not; and when it has grown it is sealed again.
	log.head.Hash = tlog.Hash{1}
	for _, left := range []int{2, 1} {
		log.seals = log.seals[:left]
		if forged, err := sealer(t, log, vault, key, now).Seal(t.Context()); err == nil {
			t.Errorf("a changed log was sealed: %+v", forged)
		}
		if len(log.seals) != left {
			t.Errorf("seals are %+v", log.seals)
		}
	}
	// So is one whose seals are another's.
	if _, err := sealer(t, log, vault, auditKey(t), now).Seal(t.Context()); err == nil {
		t.Error("another key's seal was taken for one's own")
	}
	log.grow()
	if grown, err := sealer(t, log, vault, key, now).Seal(t.Context()); err != nil || grown.Head != log.head {
		t.Errorf("after it had grown: %+v, %v", grown, err)
	}
	// And so is one that is shorter than it was.
	log.head = one.Head
	if cut, err := sealer(t, log, vault, key, now).Seal(t.Context()); err == nil {
		t.Errorf("a log that was cut off was sealed: %+v", cut)
	}
}
