package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// maxSealNote bounds a seal: it is a few lines.
const maxSealNote = 64 << 10

// seals compares the log with the seals in the vault: the roots that were signed
// must be those of the log as it is now.
func (b *rebuilder) seals(ctx context.Context) error {
	keys, err := b.store.AuditKeys(ctx)
	if err != nil {
		return err
	}
	head, err := b.store.AuditHead(ctx)
	if err != nil {
		return err
	}
	lost := int64(0)
	for o, err := range b.vault.List(ctx, audit.SealPrefix) {
		if err != nil {
			return err
		}
		seal, err := b.openSeal(ctx, o.Key, keys)
		if err != nil {
			return err
		}
		if seal.Note == "" {
			b.result.Faults = append(b.result.Faults, fmt.Sprintf("seal %s is not signed by a key of this log", o.Key))
			continue
		}
		if seal.Size > head.Size {
			lost = max(lost, seal.Size-head.Size)
			continue
		}
		at, err := b.store.AuditHeadAt(ctx, seal.Size)
		if err != nil {
			return err
		}
		if at != seal.Head {
			b.result.Faults = append(b.result.Faults, fmt.Sprintf("seal %s: the log had another root with %d entries than it has now: it was changed", o.Key, seal.Size))
			continue
		}
		until, err := b.sealUntil(ctx, seal, o.Key)
		if err != nil {
			return err
		}
		if err := b.store.NoteSeal(ctx, seal, o.Key, until); err != nil {
			return err
		}
	}
	if err := b.store.RebuildSealPromises(ctx); err != nil {
		return err
	}
	if lost > 0 {
		b.result.Faults = append(b.result.Faults, fmt.Sprintf("%d entries of the audit log came after the last journal segment and are lost: a seal counts them", lost))
	}
	return nil
}

// sealUntil is until when a seal must have been promised to stay: as it says itself,
// by its lock, or by today's term, whichever says longest. One of an earlier version
// says nothing: what was promised for it stood in the database alone.
func (b *rebuilder) sealUntil(ctx context.Context, seal audit.Seal, key string) (time.Time, error) {
	p, err := b.vault.Protection(ctx, key)
	if err != nil {
		return time.Time{}, err
	}
	return slices.MaxFunc([]time.Time{seal.RetainUntil, p.Until, b.terms.Promise(call.SealObjects, seal.At)}, time.Time.Compare), nil
}

// openSeal reads a seal; its note is empty if none of the keys signed it.
func (b *rebuilder) openSeal(ctx context.Context, key string, verifiers []string) (audit.Seal, error) {
	body, _, err := b.vault.Open(ctx, key, 0, maxSealNote)
	if err != nil {
		return audit.Seal{}, err
	}
	note, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return audit.Seal{}, fmt.Errorf("read %s: %w", key, err)
	}
	for _, v := range verifiers {
		if seal, err := audit.OpenSeal(string(note), v); err == nil {
			seal.Note = string(note)
			return seal, nil
		}
	}
	return audit.Seal{}, nil
}
