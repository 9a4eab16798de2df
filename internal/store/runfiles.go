package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file lets the files of runs go when their term is over.

// HoldOfRun names a hold that keeps the files of a run: one under which, or under
// whose search, any call falls that began in the run's period, whether the report
// shows it or not, and of calls without a start those that ended then or that tell
// no time at all. Empty: none. newest is what BeginExpiringRun asks for.
func (s *Store) HoldOfRun(ctx context.Context, run call.Run) (name, newest string, err error) {
	holds, err := s.holds(ctx, "")
	if err != nil || len(holds) == 0 {
		return "", "", err
	}
	newest = holds[len(holds)-1].ID
	for _, side := range []struct {
		where string
		args  []any
	}{
		{"calls.started_at >= ? AND calls.started_at < ?", []any{run.PeriodFrom.UnixMilli(), run.PeriodTo.UnixMilli()}},
		{"calls.started_at = 0 AND (" + endedOrAnswered + " IS NULL OR " + endedOrAnswered + " >= ? AND " + endedOrAnswered + " < ?)", []any{run.PeriodFrom.UnixMilli(), run.PeriodTo.UnixMilli()}},
	} {
		err := s.each(ctx, "SELECT coalesce(min(h.name), '') FROM calls JOIN hold_calls c ON c.call_id = calls.id JOIN holds h ON h.id = c.hold_id WHERE h.released_at IS NULL AND "+side.where,
			side.args, func(rows *sql.Rows) error { return rows.Scan(&name) })
		if err != nil || name != "" {
			return name, newest, holdingRun(run, err)
		}
		// What a search finds that has not been counted yet.
		for _, h := range holds {
			if h.Released != nil || !h.Follows() || h.Expanded == nil {
				continue
			}
			filter := *h.Expanded
			c, err := s.matching(ctx, filter)
			if err != nil {
				return "", newest, holdingRun(run, err)
			}
			c.add(side.where, slices.Clone(side.args)...)
			err = s.each(ctx, "SELECT 1 FROM calls"+c.where()+" LIMIT 1", c.args, func(*sql.Rows) error {
				name = h.Name
				return nil
			})
			if err != nil || name != "" {
				return name, newest, holdingRun(run, err)
			}
		}
	}
	return "", newest, nil
}

func holdingRun(run call.Run, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("look for holds of run %s: %w", run.ID, err)
}

// BeginExpiringRun says of a run that its files are being deleted, before the
// first of them is, and why; nobody revises it any more. begun is false if they are already, or a hold was
// placed after newestHold.
func (s *Store) BeginExpiringRun(ctx context.Context, id, newestHold, why string) (begun bool, err error) {
	n, err := s.actOnRun(ctx, audit.RunFilesExpiring, why, `UPDATE runs SET files_expiring_at = {now}, lease_token = NULL, blocked_until = NULL, blocked_by = ''
		WHERE id = ? AND state = 'built' AND files <> '[]' AND files_expiring_at IS NULL AND (SELECT coalesce(max(id), '') FROM holds) = ?`, id, newestHold)
	return n == 1, err
}

// FinishExpiringRun says that the files of a run, whose deletion had begun, are
// gone. Whoever is second changes nothing.
func (s *Store) FinishExpiringRun(ctx context.Context, id, why string) error {
	_, err := s.actOnRun(ctx, audit.RunFilesExpired, why, `UPDATE runs SET files_expired_at = {now}
		WHERE id = ? AND files_expiring_at IS NOT NULL AND files_expired_at IS NULL`, id)
	return err
}

// KeepRunFiles says that the files of a run are kept though their term is over,
// why, and when that is to be tried again. all: none of them is gone, so they
// can be had as before.
func (s *Store) KeepRunFiles(ctx context.Context, id string, all bool, why string, until time.Time) error {
	set := "blocked_until = ?, blocked_by = ?"
	if all {
		set += ", files_expiring_at = NULL"
	}
	_, err := s.actOnRun(ctx, audit.RunFilesKept, why, "UPDATE runs SET "+set+" WHERE id = ? AND files_expired_at IS NULL", millis(until), why, id)
	return err
}

func (s *Store) actOnRun(ctx context.Context, action audit.Action, why, update string, args ...any) (int64, error) {
	entry := runEntry(action)
	n, err := s.act(ctx, update+" RETURNING "+runColumns, args, func(r row) (audit.Entry, error) {
		e, err := entry(r)
		e.Reason = why
		return e, err
	})
	if err != nil {
		return n, fmt.Errorf("note what becomes of a report's files: %w", err)
	}
	return n, nil
}
