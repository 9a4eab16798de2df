package archive_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"

	"golang.org/x/mod/sumdb/tlog"
)

// sealedLog is a log that is only sealed.
type sealedLog struct {
	mu    sync.Mutex
	head  audit.Head
	seals map[string]audit.Seal // by object key
	last  string
}

func (l *sealedLog) grow() {
	l.head = audit.Head{Size: l.head.Size + 1, Hash: tlog.NodeHash(l.head.Hash, l.head.Hash)}
}

func (l *sealedLog) AuditHead(context.Context) (audit.Head, error) { return l.head, nil }

func (l *sealedLog) LastSeal(context.Context) (string, error) { return l.last, nil }

func (l *sealedLog) NoteSeal(_ context.Context, seal audit.Seal, objectKey string, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.seals[objectKey] = seal.Note, seal
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
	log := &sealedLog{seals: map[string]audit.Seal{}}
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
	// Of two nodes that seal at once one's counts for both.
	log.grow()
	log.last = ""
	one, err := sealer(t, log, vault, key, now).Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log.last = ""
	other, err := sealer(t, log, vault, key, now.Add(time.Second)).Seal(t.Context())
	if err != nil || other != one {
		t.Errorf("the other node has %+v, want %+v (%v)", other, one, err)
	}
	if log.seals["seals/000000000002.note"] != one {
		t.Errorf("seals are %+v", log.seals)
	}
	// A log that was changed after it was sealed is told, not sealed over.
	log.head.Hash, log.last = tlog.Hash{1}, ""
	if forged, err := sealer(t, log, vault, key, now).Seal(t.Context()); err == nil {
		t.Errorf("a changed log was sealed: %+v", forged)
	}
	// So is one whose seals are another's.
	if _, err := sealer(t, log, vault, auditKey(t), now).Seal(t.Context()); err == nil {
		t.Error("another key's seal was taken for one's own")
	}
}
