package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const exportColumns = `id, state, request, groups_of, asked_by, reason, created_at, finished_at, remove_at, attempts, done, total,
	calls, recordings, missing, altered, size, piece_size, manifest_sha256, prefix, error`

func exportFields(e *call.Export) []any {
	return []any{&e.ID, &e.State, jsonInto{&e.Request}, jsonInto{&e.Groups}, &e.By, &e.Reason, timeInto{&e.CreatedAt}, timeInto{&e.FinishedAt}, timeInto{&e.RemoveAt},
		&e.Attempts, &e.Done, &e.Total, &e.Calls, &e.Recordings, &e.Missing, &e.Altered, &e.Size, &e.PieceSize, &e.ManifestSHA256, &e.Prefix, &e.Error}
}

// exportEntry is what the audit log says of an export.
func exportEntry(actor audit.Actor, action audit.Action, e *call.Export) (audit.Entry, error) {
	facts := audit.ExportFacts{
		ID: e.ID, Request: e.Request, State: string(e.State), Calls: e.Calls, Recordings: e.Recordings, Missing: e.Missing, Altered: e.Altered,
		Size: e.Size, ManifestSHA256: e.ManifestSHA256, Error: e.Error,
		By: e.By, Groups: e.Groups, CreatedAt: e.CreatedAt, FinishedAt: e.FinishedAt, RemoveAt: e.RemoveAt, PieceSize: e.PieceSize, Prefix: e.Prefix,
	}
	entry, err := audit.New(action, "export/"+e.ID, facts)
	entry.Actor, entry.Reason = actor, e.Reason
	return entry, err
}

// changeExport runs an UPDATE or INSERT that gives back at most one export, and
// logs the act. found is false if there was none, and nothing was changed.
func (s *Store) changeExport(ctx context.Context, action audit.Action, query string, args ...any) (e call.Export, found bool, err error) {
	actor := audit.ActorOf(ctx)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		e = call.Export{}
		var err error
		found, err = t.one(ctx, query+" RETURNING "+exportColumns, append([]any{}, args...), exportFields(&e)...)
		if err != nil || !found || action == "" {
			return err
		}
		entry, err := exportEntry(actor, action, &e)
		if err != nil {
			return err
		}
		return t.audit(ctx, entry)
	})
	return e, found, err
}

// exportGroups is the same for the same groups in any order.
func exportGroups(groups []string) string {
	text, err := json.Marshal(slices.Sorted(slices.Values(groups)))
	if err != nil || len(groups) == 0 { // strings always marshal
		return ""
	}
	return string(text)
}

// AddExport makes a job of a request; the rest of e is given.
func (s *Store) AddExport(ctx context.Context, e call.Export) (call.Export, error) {
	e, _, err := s.changeExport(ctx, audit.ExportRequested, `INSERT INTO exports (id, state, request, groups_of, asked_by, reason, created_at, next_try_at)
		VALUES (?, 'waiting', ?, ?, ?, ?, {now}, {now})`, newID(), string(e.Request), exportGroups(e.Groups), e.By, e.Reason)
	if err != nil {
		return e, fmt.Errorf("add an export: %w", err)
	}
	return e, nil
}

// ClaimExport claims an export that is due, the oldest first, for as long as the
// lease holds by the database's clock; found is false if none is.
func (s *Store) ClaimExport(ctx context.Context, lease time.Duration) (e call.Export, leaseToken string, found bool, err error) {
	leaseToken = newID()
	e, found, err = s.changeExport(ctx, "", `UPDATE exports SET state = 'building', lease_token = ?, next_try_at = {now} + ?, attempts = attempts + 1
		WHERE id IN (SELECT id FROM exports WHERE next_try_at <= {now} ORDER BY next_try_at LIMIT 1 {skip locked})`, leaseToken, lease.Milliseconds())
	if err != nil {
		return e, "", false, fmt.Errorf("claim an export: %w", err)
	}
	return e, leaseToken, found, nil
}

func errExportLost() error {
	return call.Errorf(call.Conflict, "another node has taken this export, or somebody removed it")
}

// markExport changes the export that the lease token holds; a loser changes
// nothing and gets a call.Conflict error.
func (s *Store) markExport(ctx context.Context, what string, action audit.Action, id, leaseToken, set string, args ...any) error {
	_, found, err := s.changeExport(ctx, action, "UPDATE exports SET "+set+" WHERE id = ? AND lease_token = ?", append(args, id, leaseToken)...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if !found {
		return errExportLost()
	}
	return nil
}

// RenewExport lets a claim hold for lease from now on, and says how far it is.
func (s *Store) RenewExport(ctx context.Context, id, leaseToken string, lease time.Duration, done, total int) error {
	return s.markExport(ctx, "renew an export", "", id, leaseToken, "next_try_at = {now} + ?, done = ?, total = ?", lease.Milliseconds(), done, total)
}

// ReleaseExport gives an export back, to be gone on with after delay. An attempt
// that was interrupted, and did not fail, does not count.
func (s *Store) ReleaseExport(ctx context.Context, id, leaseToken string, delay time.Duration, failed string) error {
	less := 0
	if failed == "" {
		less = 1
	}
	return s.markExport(ctx, "release an export", "", id, leaseToken,
		"state = 'waiting', lease_token = NULL, next_try_at = {now} + ?, attempts = attempts - ?, error = ?", delay.Milliseconds(), less, failed)
}

// FinishExport says that the bundle lies in the vault, where it is kept for a
// while.
func (s *Store) FinishExport(ctx context.Context, id, leaseToken string, made call.ExportMade, keep time.Duration) error {
	return s.markExport(ctx, "finish an export", audit.ExportMade, id, leaseToken,
		`state = 'ready', lease_token = NULL, next_try_at = NULL, error = '', finished_at = {now}, remove_at = {now} + ?, done = total,
		calls = ?, recordings = ?, missing = ?, altered = ?, size = ?, piece_size = ?, manifest_sha256 = ?, prefix = ?`,
		keep.Milliseconds(), made.Calls, made.Recordings, made.Missing, made.Altered, made.Size, made.PieceSize, made.ManifestSHA256, made.Prefix)
}

// FailExport gives an export up.
func (s *Store) FailExport(ctx context.Context, id, leaseToken, reason string) error {
	return s.markExport(ctx, "give an export up", audit.ExportFailed, id, leaseToken,
		"state = 'failed', lease_token = NULL, next_try_at = NULL, error = ?, finished_at = {now}", reason)
}

// RemoveExport takes an export away, whatever becomes of it, or is a
// call.NotFound error. A node that is making it stops.
func (s *Store) RemoveExport(ctx context.Context, id string) (call.Export, error) {
	e, found, err := s.changeExport(ctx, audit.ExportRemoved, "UPDATE exports SET state = 'removed', lease_token = NULL, next_try_at = NULL, remove_at = {now} WHERE id = ? AND state <> 'removed'", id)
	if err != nil {
		return e, fmt.Errorf("remove an export: %w", err)
	}
	if !found {
		return s.Export(ctx, id)
	}
	return e, nil
}

// RemoveOldExports takes away those whose time is over, and returns the first
// few of all whose pieces are still to be taken out of the vault.
func (s *Store) RemoveOldExports(ctx context.Context) ([]call.Export, error) {
	for range backgroundRows {
		_, found, err := s.changeExport(ctx, audit.ExportRemoved, `UPDATE exports SET state = 'removed'
			WHERE id IN (SELECT id FROM exports WHERE state = 'ready' AND remove_at <= {now} LIMIT 1 {skip locked})`)
		if err != nil {
			return nil, fmt.Errorf("remove old exports: %w", err)
		}
		if !found {
			break
		}
	}
	return s.exports(ctx, "WHERE state = 'removed' AND cleared = 0 ORDER BY created_at, id LIMIT 100")
}

// ClearExport notes that nothing of a removed export is left in the vault.
func (s *Store) ClearExport(ctx context.Context, id string) error {
	if _, err := s.update(ctx, "UPDATE exports SET cleared = 1 WHERE id = ? AND state = 'removed'", id); err != nil {
		return fmt.Errorf("clear an export: %w", err)
	}
	return nil
}

// Export returns one export, or a call.NotFound error.
func (s *Store) Export(ctx context.Context, id string) (call.Export, error) {
	found, err := s.exports(ctx, "WHERE id = ?", id)
	if err != nil {
		return call.Export{}, err
	}
	if len(found) == 0 {
		return call.Export{}, call.Errorf(call.NotFound, "there is no export with this id")
	}
	return found[0], nil
}

// FindExports finds exports, newest first, and the cursor of the next page,
// empty after the last.
func (s *Store) FindExports(ctx context.Context, f call.ExportFilter) ([]call.Export, string, error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, "", err
	}
	var c conditions
	if f.State != "" {
		c.add("state = ?", string(f.State))
	}
	if len(f.Groups) > 0 {
		c.add("groups_of = ?", exportGroups(f.Groups))
	}
	if f.Cursor != "" {
		at, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("(created_at, id) < (?, ?)", at, id)
	}
	found, err := s.exports(ctx, c.where()+" ORDER BY created_at DESC, id DESC LIMIT ?", append(c.args, limit+1)...)
	if err != nil || len(found) <= limit {
		return found, "", err
	}
	last := found[limit-1]
	return found[:limit], makeCursor(last.CreatedAt.UnixMilli(), last.ID), nil
}

func (s *Store) exports(ctx context.Context, where string, args ...any) ([]call.Export, error) {
	var found []call.Export
	err := s.each(ctx, "SELECT "+exportColumns+" FROM exports "+where, args, func(rows *sql.Rows) error {
		found = append(found, call.Export{})
		return rows.Scan(exportFields(&found[len(found)-1])...)
	})
	if err != nil {
		return nil, fmt.Errorf("read exports: %w", err)
	}
	return found, nil
}

// AuditAbout returns the places in the audit log of all entries about one of
// the subjects, in any order.
func (s *Store) AuditAbout(ctx context.Context, subjects []string) ([]int64, error) {
	var seqs []int64
	err := inChunks(subjects, func(chunk []string) error {
		args := make([]any, len(chunk))
		for i := range chunk {
			args[i] = chunk[i]
		}
		// A condition of the index is said again, else it is not used.
		return s.each(ctx, "SELECT seq FROM audit_entries WHERE subject <> '' AND subject IN "+tuples(1, len(args)), args, func(rows *sql.Rows) error {
			var seq int64
			err := rows.Scan(&seq)
			seqs = append(seqs, seq)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return seqs, nil
}
