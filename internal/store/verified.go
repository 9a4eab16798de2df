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
// the order of keys and ids, beginning after the one given; those whose rows cannot
// be read are among them.
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
			if bad := call.AsUnreadable(unreadable(rows, err)); bad != nil {
				r, err = call.KeyedRecording{Unreadable: bad.What()}, nil
				r.ID, r.ObjectKey, r.State = bad.ID, rawText(rows, "object_key"), call.RecordingState(rawText(rows, "state"))
			}
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
// may just have been put for it and for runs. Seals, runs and certificates whose
// rows cannot be read are left out: the checks of the rows and of the log name them.
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
	return s.eachRunFile(ctx, f)
}

// eachRunFile calls f for the files of report runs.
func (s *Store) eachRunFile(ctx context.Context, f func(call.KeptObject) error) error {
	for after, more := "", true; more; {
		var runs []call.Run
		read := 0
		err := s.each(ctx, "SELECT "+runColumns+" FROM runs WHERE id > ? AND state = ? ORDER BY id LIMIT ?", []any{after, string(call.RunBuilt), backgroundRows}, func(rows *sql.Rows) error {
			var run call.Run
			err := rows.Scan(runFields(&run)...)
			if read++; err != nil {
				after = rawText(rows, "id")
				return passOver(rows, err)
			}
			after = run.ID
			runs = append(runs, run)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the files of reports: %w", err)
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
		more = read == backgroundRows
	}
	return nil
}

// eachSealObject calls f for the seals of the audit log.
func (s *Store) eachSealObject(ctx context.Context, f func(call.KeptObject) error) error {
	for after, more := int64(0), true; more; {
		seals, err := s.keptSeals(ctx, after, backgroundRows)
		if err != nil {
			return err
		}
		for i, seal := range seals {
			if after = seal.Size; seal.unreadable != "" {
				continue
			}
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
			var c audit.CertificateFacts
			if err := rows.Scan(jsonInto{&c}); err != nil {
				return passOver(rows, err)
			}
			kept = append(kept, c)
			return nil
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

// OldestDelivery is when the oldest delivery that is kept came; zero if none is.
func (s *Store) OldestDelivery(ctx context.Context) (at time.Time, err error) {
	// What stands there that is no number is named by the check of deliveries.
	err = s.each(ctx, "SELECT CAST(first AS BIGINT) FROM (SELECT min(received_at) AS first FROM deliveries) AS kept", nil, func(rows *sql.Rows) error { return rows.Scan(timeInto{&at}) })
	if err != nil {
		return at, fmt.Errorf("look for the oldest delivery: %w", err)
	}
	return at, nil
}

// EachSegment calls f for every segment of the journal that is in the vault. Those
// whose rows cannot be read are left out: the checks of log and journal name them.
func (s *Store) EachSegment(ctx context.Context, f func(call.JournalSegment) error) error {
	for after, more := int64(0), true; more; {
		var page []call.JournalSegment
		read := 0
		err := s.each(ctx, "SELECT number, size, sha256, retain_until, revision FROM journal_segments WHERE number > ? AND sha256 <> '' ORDER BY number LIMIT ?", []any{after, backgroundRows}, func(rows *sql.Rows) error {
			var g call.JournalSegment
			err := rows.Scan(&g.Number, &g.Size, &g.SHA256, timeInto{&g.RetainUntil}, &g.Revision)
			if read, after = read+1, g.Number; err != nil {
				return passOver(rows, err)
			}
			page = append(page, g)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the journal's segments: %w", err)
		}
		for _, g := range page {
			if err := f(g); err != nil {
				return err
			}
		}
		more = read == backgroundRows
	}
	return nil
}
