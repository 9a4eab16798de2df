package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file keeps what is being put into the vault for runs, so that it is known
// also if nobody comes to say that it was.

const plannedColumns = "name, object_key, size, sha256, revision"

func plannedFields(f *call.RunFile) []any {
	return []any{&f.Name, &f.ObjectKey, &f.Size, &f.SHA256, &f.Revision}
}

// ofNoOther holds for planned files that no other run has: what is abandoned gets
// deleted.
const ofNoOther = `NOT EXISTS (SELECT 1 FROM runs WHERE runs.id <> run_id AND replace(files, '"' || object_key || '"', '') <> files)`

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

// RunInMaking returns one run with the files that have been planned for it, or a
// call.NotFound error. It need not be in the making.
func (s *Store) RunInMaking(ctx context.Context, id string) (call.RunInMaking, error) {
	runs, err := s.runsWithPlanned(ctx, "id = ?", id)
	if err != nil || len(runs) == 0 {
		return call.RunInMaking{}, cmp.Or(err, errNoRun())
	}
	return runs[0], nil
}

func (s *Store) runsInMaking(ctx context.Context, and string, args ...any) ([]call.RunInMaking, error) {
	return s.runsWithPlanned(ctx, "(lease_token IS NOT NULL OR id IN (SELECT run_id FROM planned_files))"+and, args...)
}

func (s *Store) runsWithPlanned(ctx context.Context, where string, args ...any) ([]call.RunInMaking, error) {
	var runs []call.RunInMaking
	at := map[string]int{}
	err := s.each(ctx, "SELECT "+runColumns+", coalesce(lease_until, 0) FROM runs WHERE "+where+" ORDER BY id", args, func(rows *sql.Rows) error {
		var m call.RunInMaking
		err := rows.Scan(append(runFields(&m.Run), timeInto{&m.LeaseUntil})...)
		at[m.Run.ID] = len(runs)
		runs = append(runs, m)
		return err
	})
	if err == nil && len(runs) > 0 {
		err = s.each(ctx, "SELECT run_id, "+plannedColumns+" FROM planned_files WHERE "+ofNoOther+" ORDER BY object_key", nil, func(rows *sql.Rows) error {
			var id string
			var f call.RunFile
			err := rows.Scan(append([]any{&id}, plannedFields(&f)...)...)
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

// StopRun takes the lease from the builder of a run whose lease was over at a time:
// whatever he still does, he cannot finish. left are the files that he has planned
// and that are not the run's, as of that moment. stopped is false if somebody is at
// it, as far as anybody knows.
func (s *Store) StopRun(ctx context.Context, id string, since time.Time) (left []call.RunFile, stopped bool, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) (err error) {
		var m call.RunInMaking
		stopped, err = t.one(ctx, "SELECT report, files FROM runs WHERE id = ? AND (lease_token IS NULL OR lease_until < {now}) AND coalesce(lease_until, 0) <= ? {lock row}",
			[]any{id, since.UnixMilli()}, &m.Run.Report, jsonInto{&m.Run.Files})
		if err != nil || !stopped {
			return err
		}
		if err := t.exec(ctx, "UPDATE runs SET lease_token = NULL WHERE id = ?", id); err != nil {
			return err
		}
		err = t.each(ctx, "SELECT "+plannedColumns+" FROM planned_files WHERE run_id = ? AND "+ofNoOther+" ORDER BY object_key", []any{id}, func(r row) error {
			m.Planned = append(m.Planned, call.RunFile{})
			return r.Scan(plannedFields(&m.Planned[len(m.Planned)-1])...)
		})
		left = m.Abandoned()
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("stop the builder of run %s: %w", id, err)
	}
	return left, stopped, nil
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

// plannedLong is after how long a running server has removed what nobody has
// finished, if nothing keeps it.
const plannedLong = 3 * 24 * time.Hour

// eachPlanned calls f for what may just have been put for runs.
func (s *Store) eachPlanned(ctx context.Context, f func(call.KeptObject) error) error {
	runs, err := s.RunsInMaking(ctx)
	if err != nil {
		return err
	}
	for _, m := range runs {
		why := ""
		if m.LeaseUntil.Before(time.Now().Add(-plannedLong)) {
			why = "by its row it was put for run " + m.Run.ID + ", which does not have it: a running server removes it as soon as no lock and no hold keeps it"
		}
		for _, file := range m.Abandoned() {
			if err := f(call.KeptObject{Key: file.ObjectKey, Size: file.Size, SHA256: file.SHA256, Going: true, Why: why}); err != nil {
				return err
			}
		}
	}
	return nil
}

// overCalls selects runs that tell of calls of an erasure: its id, and 1 for those
// of which one is not erased yet. Of calls without a start these are the runs in
// whose period they ended; those that tell no time may be in any.
const overCalls = ` AND EXISTS (SELECT 1 FROM erasure_items i JOIN calls ON calls.id = i.ref WHERE i.erasure_id = ? AND i.kind = 'call' AND (? = 0 OR i.state <> 'erased')
	AND (calls.started_at >= runs.period_from AND calls.started_at < runs.period_to
		OR calls.started_at = 0 AND coalesce(` + endedOrAnswered + `, runs.period_from) >= runs.period_from AND coalesce(` + endedOrAnswered + `, runs.period_from) < runs.period_to))`

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
