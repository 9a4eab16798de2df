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

const runColumns = "id, report, period_from, period_to, zone, state, revision, as_of, input_hash, files, error, created_at, built_at, retain_until, files_expiring_at, files_expired_at, blocked_until, blocked_by, mail_revision, known_deliveries, looked_at"

func runFields(r *call.Run) []any {
	return []any{&r.ID, &r.Report, timeInto{&r.PeriodFrom}, timeInto{&r.PeriodTo}, &r.Zone, &r.State, &r.Revision, timeInto{&r.AsOf}, &r.InputHash,
		jsonInto{&r.Files}, &r.Error, timeInto{&r.CreatedAt}, timeInto{&r.BuiltAt},
		timeInto{&r.RetainUntil}, timeInto{&r.FilesExpiringAt}, timeInto{&r.FilesExpiredAt}, timeInto{&r.BlockedUntil}, &r.BlockedBy, &r.MailRevision, &r.KnownDeliveries, timeInto{&r.LookedAt}}
}

func runEntry(action audit.Action) func(row) (audit.Entry, error) {
	return func(rows row) (audit.Entry, error) {
		var r call.Run
		if err := rows.Scan(runFields(&r)...); err != nil {
			return audit.Entry{}, err
		}
		f := audit.RunFacts{
			ID: r.ID, Report: r.Report, PeriodFrom: r.PeriodFrom, PeriodTo: r.PeriodTo, Zone: r.Zone, State: string(r.State), Revision: r.Revision,
			AsOf: r.AsOf, InputHash: r.InputHash, Error: r.Error, CreatedAt: r.CreatedAt, BuiltAt: r.BuiltAt,
			RetainUntil: r.RetainUntil, FilesExpiringAt: r.FilesExpiringAt, FilesExpiredAt: r.FilesExpiredAt,
			BlockedBy: r.BlockedBy, BlockedUntil: r.BlockedUntil, MailRevision: r.MailRevision, KnownDeliveries: &r.KnownDeliveries,
		}
		for _, file := range r.Files {
			f.Files = append(f.Files, audit.RunFile(file))
		}
		return audit.New(action, "run/"+r.ID, f)
	}
}

// ReportSeen returns when the report was first seen in the configuration: now,
// if it never was before.
func (s *Store) ReportSeen(ctx context.Context, report string) (time.Time, error) {
	var seen time.Time
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		isNew, err := t.one(ctx, "INSERT INTO report_schedules (report, first_seen) VALUES (?, {now}) ON CONFLICT (report) DO NOTHING RETURNING first_seen",
			[]any{report}, timeInto{&seen})
		if err != nil {
			return err
		}
		if !isNew {
			_, err := t.one(ctx, "SELECT first_seen FROM report_schedules WHERE report = ?", []any{report}, timeInto{&seen})
			return err
		}
		e, err := audit.New(audit.ReportSeen, "report/"+report, audit.ScheduleFacts{Report: report, FirstSeen: seen})
		if err != nil {
			return err
		}
		e.Actor = actor
		return t.audit(ctx, e)
	})
	if err != nil {
		return seen, fmt.Errorf("note report %s: %w", report, err)
	}
	return seen, nil
}

// ReserveRun decides who builds a report for a period: there is one row for
// each. won is true for the one who may build, until the lease ends, and gives
// the token to finish with. A run that failed, or whose builder's lease is
// over, can be won again; one that is built cannot.
func (s *Store) ReserveRun(ctx context.Context, run call.Run, lease time.Duration) (reserved call.Run, leaseToken string, won bool, err error) {
	leaseToken = newID()
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		reserved = call.Run{}
		var err error
		won, err = t.one(ctx, `INSERT INTO runs (id, report, period_from, period_to, zone, state, created_at, lease_token, lease_until)
			VALUES (?, ?, ?, ?, ?, 'building', {now}, ?, {now} + ?)
			ON CONFLICT (report, period_from, period_to) DO UPDATE SET state = 'building', lease_token = excluded.lease_token, lease_until = excluded.lease_until
			WHERE runs.state = 'failed' OR runs.state = 'building' AND runs.lease_until < {now}
			RETURNING `+runColumns,
			[]any{newID(), run.Report, run.PeriodFrom.UnixMilli(), run.PeriodTo.UnixMilli(), run.Zone, leaseToken, lease.Milliseconds()}, runFields(&reserved)...)
		if err != nil || won {
			return err
		}
		_, err = t.one(ctx, "SELECT "+runColumns+" FROM runs WHERE report = ? AND period_from = ? AND period_to = ?",
			[]any{run.Report, run.PeriodFrom.UnixMilli(), run.PeriodTo.UnixMilli()}, runFields(&reserved)...)
		return err
	})
	if err != nil {
		return reserved, "", false, fmt.Errorf("reserve a run of report %s: %w", run.Report, err)
	}
	if !won {
		leaseToken = ""
	}
	return reserved, leaseToken, won, nil
}

// RenewRun lets the builder's lease hold for lease from now on.
func (s *Store) RenewRun(ctx context.Context, leaseToken string, lease time.Duration) error {
	return s.markRun(ctx, "renew the lease of a run", "", "lease_until = {now} + ?", leaseToken, lease.Milliseconds())
}

// FinishRun says that the run, or a new revision of it, is built: Revision, AsOf,
// InputHash, Files, RetainUntil, MailRevision and KnownDeliveries are taken from
// run. A builder who lost the lease gets a call.Conflict error, and so does one who
// put the files for less long than was promised for the run meanwhile.
func (s *Store) FinishRun(ctx context.Context, leaseToken string, run call.Run) error {
	files, err := json.Marshal(run.Files)
	if err != nil {
		return fmt.Errorf("finish a run: %w", err)
	}
	var n int64
	actor := audit.ActorOf(ctx)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.act(ctx, actor, `UPDATE runs SET state = 'built', lease_token = NULL, error = '', built_at = {now}, revision = ?, as_of = ?, input_hash = ?, files = ?,
			retain_until = ?, mail_revision = ?, known_deliveries = ?
			WHERE lease_token = ? AND coalesce(retain_until, 0) <= coalesce(CAST(? AS BIGINT), 0) RETURNING `+runColumns, []any{
			run.Revision, millis(run.AsOf), run.InputHash, string(files), millis(run.RetainUntil), run.MailRevision, run.KnownDeliveries, leaseToken, millis(run.RetainUntil),
		}, runEntry(audit.RunBuilt), &n)
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil || n == 0 {
			return err
		}
		return t.keepPlanned(ctx, run.Files)
	})
	if err != nil {
		return fmt.Errorf("finish a run: %w", err)
	}
	if n == 0 {
		return errRunLost()
	}
	return nil
}

// FailRun says that the run could not be built; it can be reserved again.
func (s *Store) FailRun(ctx context.Context, leaseToken, reason string) error {
	return s.markRun(ctx, "fail a run", audit.RunFailed, "state = 'failed', lease_token = NULL, error = ?", leaseToken, reason)
}

func (s *Store) markRun(ctx context.Context, what string, action audit.Action, set, leaseToken string, args ...any) error {
	update, args := "UPDATE runs SET "+set+" WHERE lease_token = ?", append(args, leaseToken)
	var n int64
	var err error
	if action == "" {
		n, err = s.update(ctx, update, args...)
	} else {
		n, err = s.act(ctx, update+" RETURNING "+runColumns, args, runEntry(action))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n == 0 {
		return errRunLost()
	}
	return nil
}

// update runs one statement as a change and returns how many rows it touched.
func (s *Store) update(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		return t.later(ctx, statement{query: query, args: slices.Clone(args), affected: &n})
	})
	return n, err
}

// FindRuns finds runs, the newest period first, and the cursor of the next
// page, empty after the last.
func (s *Store) FindRuns(ctx context.Context, f call.RunFilter) ([]call.Run, string, error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, "", err
	}
	var c conditions
	if f.Report != "" {
		c.add("report = ?", f.Report)
	}
	if len(f.Reports) > 0 {
		c.texts = append(c.texts, c.oneOf("report", f.Reports))
	}
	if f.State != "" {
		c.add("state = ?", string(f.State))
	}
	if f.Cursor != "" {
		at, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("(period_from, id) < (?, ?)", at, id)
	}
	var runs []call.Run
	err = s.each(ctx, "SELECT "+runColumns+" FROM runs"+c.where()+" ORDER BY period_from DESC, id DESC LIMIT ?", append(c.args, limit+1),
		func(rows *sql.Rows) error {
			runs = append(runs, call.Run{})
			return rows.Scan(runFields(&runs[len(runs)-1])...)
		})
	if err != nil {
		return nil, "", fmt.Errorf("find runs: %w", err)
	}
	if len(runs) <= limit {
		return runs, "", nil
	}
	last := runs[limit-1]
	return runs[:limit], makeCursor(last.PeriodFrom.UnixMilli(), last.ID), nil
}

// Run returns one run, or a call.NotFound error.
func (s *Store) Run(ctx context.Context, id string) (call.Run, error) {
	var r call.Run
	found := false
	err := s.each(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", []any{id}, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(runFields(&r)...)
	})
	if err != nil {
		return r, fmt.Errorf("read run: %w", err)
	}
	if !found {
		return r, errNoRun()
	}
	return r, nil
}

func errNoRun() error { return call.Errorf(call.NotFound, "there is no report run with this id") }
