package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// RecordingsByKey returns at most limit recordings that have an object key, in
// the order of keys and ids, beginning after the one given.
func (s *Store) RecordingsByKey(ctx context.Context, afterKey, afterID string, limit int) ([]call.KeyedRecording, error) {
	var found []call.KeyedRecording
	// The object has what holds want when HoldKeeper has said so last.
	err := s.each(ctx, "SELECT "+recordingColumns+", CASE WHEN "+heldCall("recordings.call_id")+` THEN 1 ELSE 0 END,
			coalesce((SELECT CASE WHEN h.pushed_at IS NULL THEN 2 ELSE 1 END FROM held_recordings h WHERE h.recording_id = recordings.id), 0)
		FROM recordings WHERE object_key <> '' AND object_key >= ? AND (object_key, id) > (?, ?) ORDER BY object_key, id LIMIT ?`,
		[]any{afterKey, afterKey, afterID, limit}, func(rows *sql.Rows) error {
			var r call.KeyedRecording
			var held, pushed int
			err := rows.Scan(append(recordingFields(&r.Recording), &held, &pushed)...)
			r.Held, r.HoldMoving = held == 1, pushed == 2
			found = append(found, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read recordings by their keys: %w", err)
	}
	return found, nil
}

// EachKept calls f for every object that must be in the vault and is no
// recording: the files of report runs, the seals of the audit log, the
// certificates of erasures, what is still to be deleted of the journal, and what
// may just have been put for it and for runs.
func (s *Store) EachKept(ctx context.Context, f func(call.KeptObject) error) error {
	if err := s.eachSealObject(ctx, f); err != nil {
		return err
	}
	if err := s.eachCertificate(ctx, f); err != nil {
		return err
	}
	err := s.OldSegments(ctx, 0, func(o call.SegmentObject, noted bool) error {
		return f(call.KeptObject{Key: o.ObjectKey, Size: o.Size, SHA256: o.SHA256, Going: noted})
	})
	if err != nil {
		return err
	}
	planned, err := s.PlannedSegments(ctx)
	for _, o := range planned {
		if err == nil {
			err = f(call.KeptObject{Key: o.ObjectKey, Going: true})
		}
	}
	if err == nil {
		err = s.eachPlanned(ctx, f)
	}
	if err != nil {
		return err
	}
	for cursor := ""; ; {
		runs, next, err := s.FindRuns(ctx, call.RunFilter{State: call.RunBuilt, Limit: call.MaxLimit, Cursor: cursor})
		if err != nil {
			return err
		}
		for _, run := range runs {
			if !run.FilesExpiredAt.IsZero() {
				continue
			}
			for _, file := range run.Files {
				if err := f(call.KeptObject{
					Key: file.ObjectKey, Size: file.Size, SHA256: file.SHA256, RetainUntil: run.RetainUntil, RunID: run.ID, Going: !run.FilesExpiringAt.IsZero(),
				}); err != nil {
					return err
				}
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// eachSealObject calls f for the seals of the audit log.
func (s *Store) eachSealObject(ctx context.Context, f func(call.KeptObject) error) error {
	for after, more := int64(0), true; more; {
		seals, err := s.Seals(ctx, after, backgroundRows)
		if err != nil {
			return err
		}
		for i, seal := range seals {
			after = seal.Size
			k := call.KeptObject{
				Key: seal.ObjectKey, Size: int64(len(seal.Note)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(seal.Note))), RetainUntil: seal.RetainUntil,
				Going: seal.MayLack,
			}
			if isNewest := i == len(seals)-1 && len(seals) < backgroundRows; seal.BeingPut && !seal.MayLack && isNewest {
				k.Why = "it was to be put on " + seal.At.UTC().Format(time.RFC3339) + ", and no server has said since that it is there: the next that starts puts it"
			}
			if err := f(k); err != nil {
				return err
			}
		}
		more = len(seals) == backgroundRows
	}
	return nil
}

// eachCertificate calls f for the objects of erasures' certificates, of which
// the audit log tells; of those that an earlier version has made it has not all
// that is asked for, and they are passed over.
func (s *Store) eachCertificate(ctx context.Context, f func(call.KeptObject) error) error {
	var kept []audit.CertificateFacts
	err := s.each(ctx, "SELECT facts FROM audit_entries WHERE action = ? AND action <> 'recording.archived' ORDER BY seq",
		[]any{string(audit.ErasureCertified)}, func(rows *sql.Rows) error {
			kept = append(kept, audit.CertificateFacts{})
			return rows.Scan(jsonInto{&kept[len(kept)-1]})
		})
	if err != nil {
		return fmt.Errorf("read the certificates of erasures: %w", err)
	}
	for _, c := range kept {
		for _, o := range c.Objects {
			if err := f(call.KeptObject{Key: o.ObjectKey, Size: o.Size, SHA256: o.SHA256, RetainUntil: c.RetainUntil}); err != nil {
				return err
			}
		}
	}
	return nil
}

// MarkVerified notes that the objects of these recordings were just read, and
// found to be as they were archived.
func (s *Store) MarkVerified(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), backgroundRows)]
		ids = ids[len(some):]
		err := s.change(ctx, func(ctx context.Context, t *tx) error {
			return selectMany(ctx, t, "mark recordings verified", "UPDATE recordings SET verified_at = {now} WHERE id IN ({rows})", "t", some,
				func(id string, args []any) []any { return append(args, id) }, nil)
		})
		if err != nil {
			return fmt.Errorf("mark recordings verified: %w", err)
		}
	}
	return nil
}

// BeginVersion notes that this version of the program reads what comes from now
// on, if another did last, and returns since when it has.
func (s *Store) BeginVersion(ctx context.Context, version string) (since time.Time, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var last string
		found, err := t.one(ctx, "SELECT version, since_at FROM program_versions ORDER BY since_at DESC LIMIT 1", nil, &last, timeInto{&since})
		if err != nil || found && last == version {
			return err
		}
		_, err = t.one(ctx, "INSERT INTO program_versions (version, since_at) VALUES (?, {now}) ON CONFLICT (version) DO UPDATE SET since_at = excluded.since_at RETURNING since_at",
			[]any{version}, timeInto{&since})
		return err
	})
	if err != nil {
		return since, fmt.Errorf("note the program's version: %w", err)
	}
	return since, nil
}

// VersionSince is since when this version of the program has been reading what
// comes: zero if no other ever did, now if another did last.
func (s *Store) VersionSince(ctx context.Context, version string) (since time.Time, err error) {
	n := 0
	err = s.each(ctx, "SELECT version, since_at FROM program_versions ORDER BY since_at", nil, func(rows *sql.Rows) error {
		var v string
		var at time.Time
		n++
		err := rows.Scan(&v, timeInto{&at})
		if since = at; v != version {
			since = time.Now()
		} else if n == 1 {
			since = time.Time{}
		}
		return err
	})
	if err != nil {
		return since, fmt.Errorf("read the program's versions: %w", err)
	}
	return since, nil
}

// OldestDelivery is when the oldest delivery that is kept came; zero if none is.
func (s *Store) OldestDelivery(ctx context.Context) (at time.Time, err error) {
	err = s.each(ctx, "SELECT min(received_at) FROM deliveries", nil, func(rows *sql.Rows) error { return rows.Scan(timeInto{&at}) })
	if err != nil {
		return at, fmt.Errorf("look for the oldest delivery: %w", err)
	}
	return at, nil
}

// EachSegment calls f for every segment of the journal that is in the vault.
func (s *Store) EachSegment(ctx context.Context, f func(call.JournalSegment) error) error {
	for after, more := int64(0), true; more; {
		var page []call.JournalSegment
		err := s.each(ctx, "SELECT number, size, sha256, retain_until, revision FROM journal_segments WHERE number > ? AND sha256 <> '' ORDER BY number LIMIT ?", []any{after, backgroundRows}, func(rows *sql.Rows) error {
			var g call.JournalSegment
			err := rows.Scan(&g.Number, &g.Size, &g.SHA256, timeInto{&g.RetainUntil}, &g.Revision)
			page = append(page, g)
			return err
		})
		if err != nil {
			return fmt.Errorf("read the journal's segments: %w", err)
		}
		for _, g := range page {
			after = g.Number
			if err := f(g); err != nil {
				return err
			}
		}
		more = len(page) == backgroundRows
	}
	return nil
}
