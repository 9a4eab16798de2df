package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
)

// recordingsPrefix is what the keys of recordings begin with.
const recordingsPrefix = "calls/"

// listedKeys is how many keys a result lists of each kind.
const listedKeys = 20

// objectBatch is how many objects are looked up at a time.
const objectBatch = 500

// reconcile compares the recordings with the objects in the vault: it adopts
// those that were archived after the last segment and says what is missing.
func (b *rebuilder) reconcile(ctx context.Context, g *globals) error {
	shown := newProgress(g.stderr, "recordings looked for in the vault")
	looked, known := 0, int64(0)
	defer func() { shown.end(looked, 0) }()
	batch := make([]archive.ObjectInfo, 0, objectBatch)
	look := func() error {
		n, err := b.lookUp(ctx, batch)
		looked, known = looked+len(batch), known+n
		shown.show(looked, 0)
		batch = batch[:0]
		return err
	}
	for o, err := range b.vault.List(ctx, recordingsPrefix) {
		if err != nil {
			return err
		}
		if batch = append(batch, o); len(batch) == objectBatch {
			if err := look(); err != nil {
				return err
			}
		}
	}
	if err := look(); err != nil {
		return err
	}
	q, err := b.store.QueueStats(ctx)
	if err != nil || q.Archived == known {
		return err
	}
	return b.findMissing(ctx)
}

// oldSegments lists what is still to be deleted of the journal. Where a part of
// it is lost nobody knows what counts.
func (b *rebuilder) oldSegments(ctx context.Context) error {
	if len(b.result.Faults) > 0 {
		return nil
	}
	for o, err := range archive.Leftovers(ctx, b.vault, b.store) {
		if err == nil {
			err = b.store.AddOldSegment(ctx, o)
		}
		if err != nil {
			return err
		}
		b.result.OldSegments++
	}
	return nil
}

// lookUp says how many of the objects are recordings that are archived, after
// it has adopted those that can be.
func (b *rebuilder) lookUp(ctx context.Context, objects []archive.ObjectInfo) (known int64, err error) {
	ids := make([]string, len(objects))
	for i, o := range objects {
		ids[i] = strings.TrimSuffix(path.Base(o.Key), path.Ext(o.Key))
	}
	recordings, err := b.store.RecordingsByID(ctx, ids)
	if err != nil {
		return 0, err
	}
	for i, o := range objects {
		r, ok := recordings[ids[i]]
		switch {
		case ok && r.State == call.Archived && r.ObjectKey == o.Key:
			known++
		case ok && (r.State == call.Pending || r.State == call.Absent || r.State == call.Refused):
			if err := b.adopt(ctx, r, o); err != nil {
				return known, err
			}
			known++
			b.result.Adopted++
		default:
			b.result.UnknownCount++
			if len(b.result.Unknown) < listedKeys {
				b.result.Unknown = append(b.result.Unknown, o.Key)
			}
		}
	}
	return known, nil
}

func (b *rebuilder) adopt(ctx context.Context, r store.VaultRecording, o archive.ObjectInfo) error {
	body, info, err := b.vault.Open(ctx, o.Key, 0, -1)
	if err != nil {
		return err
	}
	hash := sha256.New()
	size, err := io.Copy(hash, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return fmt.Errorf("read %s: %w", o.Key, err)
	}
	return b.store.AdoptRecording(ctx, r.ID, call.Archiving{
		ObjectKey: o.Key, Size: size, SHA256: hex.EncodeToString(hash.Sum(nil)), MediaType: info.MediaType,
	}, o.Modified)
}

// findMissing looks for the object of each archived recording by itself.
func (b *rebuilder) findMissing(ctx context.Context) error {
	last := ""
	for {
		page, err := b.store.ArchivedAfter(ctx, last)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			last = r.ID
			_, err := b.vault.Stat(ctx, r.ObjectKey)
			if err == nil {
				continue
			}
			if !errors.Is(err, archive.ErrNotFound) {
				return err
			}
			b.result.MissingCount++
			if len(b.result.Missing) < listedKeys {
				b.result.Missing = append(b.result.Missing, r.ObjectKey)
			}
		}
	}
}
