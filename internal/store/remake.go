package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file makes rows again from what the audit log tells of them: an entry's
// facts are the row as it was after the act, so that the last entry counts.

// remake makes the rows again that an entry is about.
func (t *tx) remake(ctx context.Context, e audit.Entry) error {
	noun, _, _ := strings.Cut(string(e.Action), ".")
	var err error
	switch noun {
	case "recording":
		err = remakeFrom(ctx, e, t.remakeRecording)
	case "objects":
		err = remakeFrom(ctx, e, t.remakePromises)
	case "erasure":
		err = t.remakeErasure(ctx, e)
	case "account":
		err = remakeFrom(ctx, e, t.remakePause)
	case "calls", "deliveries":
		if isForgetting(e) {
			err = remakeFrom(ctx, e, t.remakeForgotten)
		}
	case "call":
		if e.Action == audit.CallJoined {
			err = remakeFrom(ctx, e, t.remakeRedirect)
		}
	case "report":
		err = remakeFrom(ctx, e, t.remakeSchedule)
	case "run":
		err = remakeFrom(ctx, e, t.remakeRun)
	case "log":
		err = remakeFrom(ctx, e, t.remakeKey)
	case "hold":
		err = t.remakeHold(ctx, e)
	case "journal":
		err = t.remakeSegment(ctx, e)
	case "mail":
		err = remakeFrom(ctx, e, t.remakeMail)
	}
	if err != nil {
		return fmt.Errorf("audit entry %d (%s): %w", e.Seq, e.Action, err)
	}
	return nil
}

// remakeFrom reads the facts of an entry.
func remakeFrom[T any](ctx context.Context, e audit.Entry, remake func(context.Context, audit.Entry, T) error) error {
	var facts T
	if err := json.Unmarshal(e.Facts, &facts); err != nil {
		return err
	}
	return remake(ctx, e, facts)
}

// toldAfter holds if a delivery that came after a moment speaks of the
// recording's leg.
const toldAfter = `EXISTS (SELECT 1 FROM delivery_items i JOIN deliveries d ON d.id = i.delivery_id
	WHERE i.leg_id = recordings.leg_id AND d.received_at > ?)`

func (t *tx) remakeRecording(ctx context.Context, e audit.Entry, f audit.RecordingFacts) error {
	if f.ID == "" || f.State == "" {
		return nil
	}
	err := t.exec(ctx, `UPDATE recordings SET state = ?, reason = ?, object_key = ?, size = ?, sha256 = ?, stored_sha256 = ?, media_type = ?, audio_seconds = ?,
		wanted_at = ?, archived_at = ?, retain_until = ?, rule = ?, rule_until = ?, blocked_by = ?, blocked_until = ?, due_at = ?, expired_at = ?, attempts = ?, last_error = ?, lease_token = NULL,
		next_try_at = CASE WHEN CAST(? AS TEXT) = 'pending' THEN wanted_at END WHERE id = ?`,
		f.State, f.Reason, f.ObjectKey, f.Size, f.SHA256, f.StoredSHA256, f.MediaType, number(f.AudioSeconds), f.WantedAt.UnixMilli(), millis(f.ArchivedAt), millis(f.RetainUntil),
		f.Rule, millis(f.RuleUntil), f.BlockedBy, millis(f.BlockedUntil), millis(f.DueAt), millis(f.ExpiredAt), f.Attempts, f.LastError, f.State, f.ID)
	if err == nil && f.State == string(call.Archived) && (f.Media != nil || e.Action == audit.RecordingArchived) {
		err = t.remakeMedia(ctx, f.ID, f.Media)
	}
	if err != nil || e.Action != audit.RecordingAbsent {
		return err
	}
	// A later report wakes it, of which the log says nothing.
	return t.exec(ctx, `UPDATE recordings SET state = 'pending', reason = '', attempts = 0, next_try_at = wanted_at WHERE id = ? AND `+toldAfter, f.ID, e.At.UnixMilli())
}

// remakeMedia writes down what the bytes of a recording say of it, as far as
// that is known, and lets it be analysed.
func (t *tx) remakeMedia(ctx context.Context, id string, m *audit.MediaFacts) error {
	if m == nil {
		m = &audit.MediaFacts{}
	}
	return t.exec(ctx, "INSERT INTO recording_media (recording_id"+mediaColumns+", analyse_at) SELECT id, "+mediaValues+", {now} FROM recordings WHERE id = ?"+
		" ON CONFLICT (recording_id) DO UPDATE SET "+mediaSets, append(mediaArgs(m), id)...)
}

func (t *tx) remakePause(ctx context.Context, e audit.Entry, f audit.AccountFacts) error {
	switch e.Action {
	case audit.AccountPaused:
		return t.exec(ctx, `INSERT INTO account_pauses (account, reason, paused_at) VALUES (?, ?, ?)
			ON CONFLICT (account) DO UPDATE SET reason = excluded.reason, paused_at = excluded.paused_at`, f.Account, f.Reason, f.PausedAt.UnixMilli())
	case audit.AccountWoken:
		return t.exec(ctx, "DELETE FROM account_pauses WHERE account = ?", f.Account)
	}
	return nil
}

func (t *tx) remakeSchedule(ctx context.Context, e audit.Entry, f audit.ScheduleFacts) error {
	if e.Action != audit.ReportSeen {
		return nil
	}
	return t.exec(ctx, "INSERT INTO report_schedules (report, first_seen) VALUES (?, ?) ON CONFLICT DO NOTHING", f.Report, f.FirstSeen.UnixMilli())
}

func (t *tx) remakeRun(ctx context.Context, _ audit.Entry, f audit.RunFacts) error {
	if f.ID == "" || f.State == "" {
		return nil
	}
	files := make([]call.RunFile, 0, len(f.Files))
	for _, file := range f.Files {
		files = append(files, call.RunFile(file))
	}
	text, err := json.Marshal(files)
	if err != nil {
		return err
	}
	return t.exec(ctx, `INSERT INTO runs (id, report, period_from, period_to, zone, state, revision, as_of, input_hash, files, error, created_at, built_at, retain_until, files_expiring_at, files_expired_at, blocked_by, blocked_until, mail_revision)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, revision = excluded.revision, as_of = excluded.as_of,
			input_hash = excluded.input_hash, files = excluded.files, error = excluded.error, built_at = excluded.built_at,
			retain_until = excluded.retain_until, files_expiring_at = excluded.files_expiring_at, files_expired_at = excluded.files_expired_at,
			blocked_by = excluded.blocked_by, blocked_until = excluded.blocked_until, mail_revision = excluded.mail_revision`,
		f.ID, f.Report, f.PeriodFrom.UnixMilli(), f.PeriodTo.UnixMilli(), f.Zone, f.State, f.Revision, millis(f.AsOf), f.InputHash, string(text), f.Error,
		f.CreatedAt.UnixMilli(), millis(f.BuiltAt), millis(f.RetainUntil), millis(f.FilesExpiringAt), millis(f.FilesExpiredAt), f.BlockedBy, millis(f.BlockedUntil), f.MailRevision)
}

func (t *tx) remakeMail(ctx context.Context, _ audit.Entry, f audit.MailFacts) error {
	if f.ID == "" || f.State == "" {
		return nil
	}
	// A revision's mails may belong to a run that is lost.
	return t.exec(ctx, `INSERT INTO mails (id, run_id, revision, recipient, message_id, state, detail, attempts, created_at, dated_at, next_try_at, sent_at)
		SELECT ?, id, CAST(? AS BIGINT), ?, ?, ?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT) FROM runs WHERE id = ?
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, detail = excluded.detail, attempts = excluded.attempts,
			created_at = excluded.created_at, dated_at = excluded.dated_at, next_try_at = excluded.next_try_at, sent_at = excluded.sent_at`,
		f.ID, max(f.Revision, 1), f.Recipient, f.MessageID, f.State, f.Detail, f.Attempts, f.CreatedAt.UnixMilli(), millis(f.DatedAt), millis(f.NextTryAt), millis(f.SentAt), f.RunID)
}

// remakeSegment says again what keeps a segment whose term is over.
func (t *tx) remakeSegment(ctx context.Context, e audit.Entry) error {
	if e.Action != audit.JournalKept {
		return nil
	}
	return remakeFrom(ctx, e, func(ctx context.Context, _ audit.Entry, k call.SegmentKept) error {
		return t.exec(ctx, "UPDATE journal_segments SET blocked_by = ?, blocked_until = ? WHERE number = ?", k.KeptBy, millis(k.Again), k.Number)
	})
}

// remakeKey says which key signs the log: another one is refused afterwards, too.
func (t *tx) remakeKey(ctx context.Context, e audit.Entry, f audit.KeyFacts) error {
	if f.Verifier == "" {
		return nil
	}
	return t.exec(ctx, `INSERT INTO audit_key (id, verifier, created_at) VALUES (0, ?, ?)
		ON CONFLICT (id) DO UPDATE SET verifier = excluded.verifier, created_at = excluded.created_at`, f.Verifier, e.At.UnixMilli())
}

// remakeHold lets the objects of held calls be compared again with what holds
// want.
func (t *tx) remakeHold(ctx context.Context, e audit.Entry) error {
	_, id, _ := strings.Cut(e.Subject, "/")
	if e.Action == audit.HoldJoined {
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f heldFacts) error {
			since := e.At
			if !f.Since.IsZero() {
				since = f.Since
			}
			type held struct{ hold, call string }
			rows := make([]held, len(f.Calls))
			for i, c := range f.Calls {
				rows[i] = held{id, c}
			}
			err := insertMany(ctx, t, "bring calls under a hold", "INSERT INTO hold_calls (hold_id, call_id, since)", "tti", " ON CONFLICT DO NOTHING", rows,
				func(h held, args []any) []any { return append(args, h.hold, h.call, since.UnixMilli()) })
			if err != nil {
				return err
			}
			return t.pushRecordings(ctx, f.Calls)
		})
	}
	if e.Action == audit.HoldPassed {
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f passedFacts) error {
			err := t.exec(ctx, `INSERT INTO hold_calls (hold_id, call_id, since) VALUES (?, ?, coalesce((SELECT since FROM hold_calls WHERE hold_id = ? AND call_id = ?), CAST(? AS BIGINT)))
				ON CONFLICT DO NOTHING`, id, f.To, id, f.From, e.At.UnixMilli())
			if err == nil && f.Whole {
				err = t.exec(ctx, "DELETE FROM hold_calls WHERE hold_id = ? AND call_id = ?", id, f.From)
			}
			if err != nil {
				return err
			}
			return t.pushRecordings(ctx, []string{f.To})
		})
	}
	return remakeFrom(ctx, e, func(ctx context.Context, _ audit.Entry, h call.Hold) error {
		if h.ID != id || h.Name == "" {
			return nil
		}
		facts, err := json.Marshal(h)
		if err != nil {
			return err
		}
		var released any
		if h.Released != nil {
			released = h.Released.At.UnixMilli()
		}
		return t.exec(ctx, `INSERT INTO holds (id, name, facts, released_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET facts = excluded.facts, released_at = excluded.released_at`, h.ID, h.Name, string(facts), released)
	})
}

// RebuildFacts makes rows again by a page of the audit log, from an entry on,
// and returns where the next page begins: the same place, if there is no more.
func (s *Store) RebuildFacts(ctx context.Context, from int64) (next int64, err error) {
	entries, err := s.AuditEntries(ctx, from, backgroundRows)
	if err != nil || len(entries) == 0 {
		return from, err
	}
	// What was forgotten together is enough for a transaction.
	if i := slices.IndexFunc(entries, isForgetting); i >= 0 {
		entries = entries[:i+1]
	}
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		for _, e := range entries {
			if err := t.remake(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return from, fmt.Errorf("make rows again by the audit log: %w", err)
	}
	return entries[len(entries)-1].Seq + 1, nil
}

// settleRebuilt settles what was under way when the log ended.
func (t *tx) settleRebuilt(ctx context.Context) error {
	for _, statement := range []string{
		// What became of these afterwards is not known. None may arrive twice.
		`UPDATE mails SET state = 'uncertain', next_try_at = NULL,
			detail = 'the database was made again from the vault, which does not say whether this was sent' WHERE state IN ('sending', 'retry')`,
		"UPDATE recordings SET next_try_at = NULL WHERE state = 'pending' AND account IN (SELECT account FROM account_pauses)",
		"INSERT INTO report_schedules (report, first_seen) SELECT report, min(created_at) FROM runs GROUP BY report ON CONFLICT DO NOTHING",
	} {
		if err := t.exec(ctx, statement); err != nil {
			return fmt.Errorf("settle what was under way: %w", err)
		}
	}
	return nil
}

// VaultRecording is what the database knows of a recording that lies in the
// vault, or should.
type VaultRecording struct {
	ID        string
	State     call.RecordingState
	ObjectKey string
}

// RecordingsByID returns the recordings with these ids, by id; few hundred at
// most.
func (s *Store) RecordingsByID(ctx context.Context, ids []string) (map[string]VaultRecording, error) {
	found := make(map[string]VaultRecording, len(ids))
	err := inChunks(ids, func(chunk []string) error {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		return s.each(ctx, "SELECT id, state, object_key FROM recordings WHERE id IN "+tuples(1, len(args)), args, scanVaultRecording(func(r VaultRecording) { found[r.ID] = r }))
	})
	if err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	return found, nil
}

// ArchivedAfter returns recordings that are archived, in the order of their
// ids, after one; 500 at most.
func (s *Store) ArchivedAfter(ctx context.Context, id string) ([]VaultRecording, error) {
	var page []VaultRecording
	err := s.each(ctx, "SELECT id, state, object_key FROM recordings WHERE id > ? AND state = 'archived' ORDER BY id LIMIT ?", []any{id, backgroundRows},
		scanVaultRecording(func(r VaultRecording) { page = append(page, r) }))
	if err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	return page, nil
}

// AdoptRecording says that a recording that nobody knew to be archived lies in
// the vault since at. One that is archived already stays as it is.
func (s *Store) AdoptRecording(ctx context.Context, id string, a call.Archiving, at time.Time) error {
	actor, entry := audit.ActorOf(ctx), recordingEntry(audit.RecordingArchived, nil)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		var adopted int64
		err := t.act(ctx, actor, `UPDATE recordings SET state = 'archived', lease_token = NULL, next_try_at = NULL, reason = '', last_error = '', archived_at = ?,
			object_key = ?, size = ?, sha256 = ?, media_type = ? WHERE id = ? AND state IN ('pending', 'absent', 'refused') RETURNING `+auditedRecording,
			[]any{at.UnixMilli(), a.ObjectKey, a.Size, a.SHA256, a.MediaType, id}, func(r row) (audit.Entry, error) {
				e, err := entry(r)
				e.Reason = "it was found in the vault when the database was made again"
				return e, err
			}, &adopted)
		if err != nil {
			return err
		}
		return t.remakeMedia(ctx, id, nil)
	})
	if err != nil {
		return fmt.Errorf("adopt recording %s: %w", id, err)
	}
	return nil
}

func scanVaultRecording(f func(VaultRecording)) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var r VaultRecording
		err := rows.Scan(&r.ID, &r.State, &r.ObjectKey)
		f(r)
		return err
	}
}

// AuditKeys returns the public halves of all keys that have signed the log.
func (s *Store) AuditKeys(ctx context.Context) ([]string, error) {
	var keys []string
	err := s.each(ctx, "SELECT facts FROM audit_entries WHERE action IN (?, ?) AND action <> 'recording.archived' ORDER BY seq",
		[]any{string(audit.LogKeyMade), string(audit.LogKeyChanged)}, func(rows *sql.Rows) error {
			var f audit.KeyFacts
			err := rows.Scan(jsonInto{&f})
			keys = append(keys, f.Verifier)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read the keys of the audit log: %w", err)
	}
	return keys, nil
}
