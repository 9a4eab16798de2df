package store

import (
	"context"
	"database/sql"
	"fmt"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file keeps what is being put into the vault for runs, so that it is known
// also if nobody comes to say that it was.

// PlanRunFiles keeps the files that the builder of a run is about to put into the
// vault; FinishRun makes them the run's. A builder who lost the lease gets a
// call.Conflict error, and must put nothing.
func (s *Store) PlanRunFiles(ctx context.Context, leaseToken string, files []call.RunFile) error {
	held := false
	err := s.change(ctx, func(ctx context.Context, t *tx) (err error) {
		var id string
		held, err = t.one(ctx, "SELECT id FROM runs WHERE lease_token = ? {lock row}", []any{leaseToken}, &id)
		if err != nil || !held {
			return err
		}
		return insertMany(ctx, t, "plan the files of a run", "INSERT INTO planned_files (object_key, run_id, name, size, sha256, revision)", "tttiti", " ON CONFLICT (object_key) DO NOTHING", files,
			func(f call.RunFile, args []any) []any {
				return append(args, f.ObjectKey, id, f.Name, f.Size, f.SHA256, int64(f.OfRevision()))
			})
	})
	if err != nil {
		return fmt.Errorf("plan the files of a run: %w", err)
	}
	if !held {
		return errRunLost()
	}
	return nil
}

func errRunLost() error {
	return call.Errorf(call.Conflict, "another node has taken this run: the lease was lost")
}

// keepPlanned says of planned files that they are a run's.
func (t *tx) keepPlanned(ctx context.Context, files []call.RunFile) error {
	return selectMany(ctx, t, "keep the files of a run", "DELETE FROM planned_files WHERE object_key IN ({rows})", "t", files,
		func(f call.RunFile, args []any) []any { return append(args, f.ObjectKey) }, nil)
}

// RunsInMaking returns the runs that somebody builds or revises, or for which
// files have been planned, whoever still comes to put them.
func (s *Store) RunsInMaking(ctx context.Context) ([]call.RunInMaking, error) {
	return s.runsInMaking(ctx, "")
}

func (s *Store) runsInMaking(ctx context.Context, and string, args ...any) ([]call.RunInMaking, error) {
	var runs []call.RunInMaking
	at := map[string]int{}
	err := s.each(ctx, "SELECT "+runColumns+", coalesce(lease_until, 0) FROM runs WHERE (lease_token IS NOT NULL OR id IN (SELECT run_id FROM planned_files))"+and+" ORDER BY id", args, func(rows *sql.Rows) error {
		var m call.RunInMaking
		err := rows.Scan(append(runFields(&m.Run), timeInto{&m.LeaseUntil})...)
		at[m.Run.ID] = len(runs)
		runs = append(runs, m)
		return err
	})
	if err == nil && len(runs) > 0 {
		err = s.each(ctx, "SELECT run_id, name, object_key, size, sha256, revision FROM planned_files ORDER BY object_key", nil, func(rows *sql.Rows) error {
			var id string
			var f call.RunFile
			err := rows.Scan(&id, &f.Name, &f.ObjectKey, &f.Size, &f.SHA256, &f.Revision)
			if i, ok := at[id]; ok {
				runs[i].Planned = append(runs[i].Planned, f)
			}
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("find reports in the making: %w", err)
	}
	return runs, nil
}

// StopRun takes the lease from the builder of a run of whom nothing was heard
// while it held: whatever he still does, he cannot finish.
func (s *Store) StopRun(ctx context.Context, id string) error {
	_, err := s.update(ctx, "UPDATE runs SET lease_token = NULL WHERE id = ? AND lease_token IS NOT NULL AND lease_until < {now}", id)
	if err != nil {
		return fmt.Errorf("stop the builder of run %s: %w", id, err)
	}
	return nil
}

// DropPlannedFile says that a planned file, which never became the run's, is not
// in the vault any more, and why.
func (s *Store) DropPlannedFile(ctx context.Context, runID string, f call.RunFile, why string) error {
	_, err := s.act(ctx, "DELETE FROM planned_files WHERE object_key = ? AND run_id = ? RETURNING object_key", []any{f.ObjectKey, runID}, func(row) (audit.Entry, error) {
		e, err := audit.New(audit.OrphanRemoved, "run/"+runID, audit.OrphanFacts{ObjectKey: f.ObjectKey, Size: f.Size, SHA256: f.SHA256})
		e.Reason = why
		return e, err
	})
	if err != nil {
		return fmt.Errorf("note that %s is gone: %w", f.ObjectKey, err)
	}
	return nil
}

// eachPlanned calls f for what may just have been put for runs.
func (s *Store) eachPlanned(ctx context.Context, f func(call.KeptObject) error) error {
	runs, err := s.RunsInMaking(ctx)
	if err != nil {
		return err
	}
	for _, m := range runs {
		for _, file := range m.Abandoned() {
			if err := f(call.KeptObject{Key: file.ObjectKey, Size: file.Size, SHA256: file.SHA256, Going: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// overCalls selects runs that tell of calls of an erasure: its id, and 1 for those
// of which one is not erased yet. Of calls without a start these are the runs in
// whose period they ended; those that tell no time may be in any.
const overCalls = ` AND EXISTS (SELECT 1 FROM erasure_items i JOIN calls c ON c.id = i.ref WHERE i.erasure_id = ? AND i.kind = 'call' AND (? = 0 OR i.state <> 'erased')
	AND (c.started_at >= runs.period_from AND c.started_at < runs.period_to
		OR c.started_at = 0 AND coalesce(nullif(c.ended_at, 0), nullif(c.answered_at, 0), runs.period_from) >= runs.period_from
			AND coalesce(nullif(c.ended_at, 0), nullif(c.answered_at, 0), runs.period_from) < runs.period_to))`

// RunsOver returns the built runs whose period has one of the erasure's calls in
// it, open: one that is not erased yet. Their files may hold the number.
func (s *Store) RunsOver(ctx context.Context, erasureID string, open bool) ([]call.Run, error) {
	var runs []call.Run
	err := s.each(ctx, "SELECT "+runColumns+" FROM runs WHERE state = 'built' AND files <> '[]' AND files_expired_at IS NULL"+overCalls+" ORDER BY id", []any{erasureID, flag(open)}, func(rows *sql.Rows) error {
		runs = append(runs, call.Run{})
		return rows.Scan(runFields(&runs[len(runs)-1])...)
	})
	if err != nil {
		return nil, fmt.Errorf("find the reports of calls: %w", err)
	}
	return runs, nil
}

// RunsInMakingOver returns those of RunsInMaking whose period has one of the
// erasure's calls in it.
func (s *Store) RunsInMakingOver(ctx context.Context, erasureID string) ([]call.RunInMaking, error) {
	return s.runsInMaking(ctx, overCalls, erasureID, flag(false))
}
