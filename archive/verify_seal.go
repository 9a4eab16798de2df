package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"callvault/internal/audit"
)

// SealNoter is what is asked of the database about a seal that it does not know.
type SealNoter interface {
	// AuditKey returns the public half of the key that signs the log; empty: none
	// does yet.
	AuditKey(ctx context.Context) (verifier string, err error)
	AuditHead(ctx context.Context) (audit.Head, error)
	// AuditHeadAt returns the head as it was with so many entries.
	AuditHeadAt(ctx context.Context, size int64) (audit.Head, error)
	NoteSeal(ctx context.Context, seal audit.Seal, objectKey string, until time.Time) error
}

// noteSeal gives an object its row if it is a seal that a server has put and could
// not note any more, for it was killed: signed by the key of the log, in its
// place, over a head that the log had. It reports whether it is.
func (v *Verifier) noteSeal(ctx context.Context, key string) (bool, error) {
	if v.o.Seals == nil || !strings.HasPrefix(key, audit.SealPrefix) {
		return false, nil
	}
	verifier, err := v.o.Seals.AuditKey(ctx)
	if err != nil || verifier == "" {
		return false, err
	}
	body, info, err := v.o.Vault.Open(ctx, key, 0, maxSeal)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	note, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	seal, err := audit.OpenSeal(string(note), verifier)
	if err != nil || seal.ObjectKey() != key || info.Size != int64(len(note)) {
		return false, nil //nolint:nilerr // it is not one of ours
	}
	now, err := v.o.Seals.AuditHead(ctx)
	if err != nil || seal.Size > now.Size {
		return false, err
	}
	then, err := v.o.Seals.AuditHeadAt(ctx, seal.Size)
	if err != nil || then != seal.Head {
		return false, err
	}
	return true, v.o.Seals.NoteSeal(ctx, seal, key, info.Protection.Until)
}
