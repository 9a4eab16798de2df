package archive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"callvault/internal/call"
)

// ReportStore is what retention asks of the database about files of reports.
type ReportStore interface {
	FindRuns(ctx context.Context, f call.RunFilter) (runs []call.Run, next string, err error)
	HoldOfRun(ctx context.Context, run call.Run) (name, newest string, err error)
	BeginExpiringRun(ctx context.Context, id, newestHold, why string) (begun bool, err error)
	FinishExpiringRun(ctx context.Context, id, why string) error
	KeepRunFiles(ctx context.Context, id string, all bool, why string, until time.Time) error
}

// eachRun calls do for every run that has files in the vault, or may have: those
// whose deletion has begun are among them.
func (r *Retainer) eachRun(ctx context.Context, do func(call.Run) error) error {
	for cursor := ""; ; {
		runs, next, err := r.o.Store.FindRuns(ctx, call.RunFilter{State: call.RunBuilt, Limit: call.MaxLimit, Cursor: cursor})
		if err != nil {
			return err
		}
		for _, run := range runs {
			if len(run.Files) == 0 || !run.FilesExpiredAt.IsZero() {
				continue
			}
			if err := do(run); err != nil {
				return fmt.Errorf("run %s: %w", run.ID, err)
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// runEnds says when the term of a run's files is over by today's terms, and when
// they may be deleted: not before what was promised. Zero: never.
func (r *Retainer) runEnds(run call.Run) (over, due time.Time, err error) {
	term := r.o.Terms.Of[call.ReportObjects]
	if term.End == nil {
		return over, due, nil
	}
	zone, err := time.LoadLocation(run.Zone)
	if err != nil {
		return over, due, err
	}
	if over = term.End(run.PeriodTo.In(zone)); over.IsZero() {
		return over, due, nil
	}
	over = over.UTC()
	if run.RetainUntil.After(over) {
		return over, run.RetainUntil, nil
	}
	return over, over, nil
}

// expireReports deletes the files and frozen inputs of runs whose term is over,
// and goes on with those where somebody was interrupted.
func (r *Retainer) expireReports(ctx context.Context, a *Applied) error {
	return r.eachRun(ctx, func(run call.Run) error {
		_, due, err := r.runEnds(run)
		if err != nil {
			return err
		}
		begun, now := !run.FilesExpiringAt.IsZero(), r.o.Now()
		if !begun && (due.IsZero() || due.After(now)) || run.BlockedUntil.After(now) {
			return nil
		}
		return r.expireRun(ctx, run, due, a)
	})
}

// expireRun deletes the files of one run: all of them, or none as far as that is
// known beforehand.
func (r *Retainer) expireRun(ctx context.Context, run call.Run, due time.Time, a *Applied) error {
	hold, newest, err := r.o.Store.HoldOfRun(ctx, run)
	if err != nil {
		return err
	}
	there, locked, err := r.filesOf(ctx, run)
	if err != nil {
		return err
	}
	begun := !run.FilesExpiringAt.IsZero()
	switch {
	case hold != "" && !begun:
		a.ReportsBlocked++
		return nil // it is asked each time anew
	case hold != "":
		// It came after their deletion had begun: what is left is kept.
		locked = &LockedError{Protection: Protection{Hold: true}}
	}
	if locked != nil {
		a.ReportsBlocked++
		why, until := r.keptBy(locked)
		if hold != "" {
			why = "hold " + hold
		}
		return r.o.Store.KeepRunFiles(ctx, run.ID, there == len(run.Files), why, until)
	}
	why := fmt.Sprintf("%s: over since %s", r.o.Terms.Of[call.ReportObjects].Name, due.UTC().Format(time.RFC3339))
	if due.IsZero() {
		why = "it had begun under a term that was over"
	}
	if !begun {
		if begun, err = r.o.Store.BeginExpiringRun(ctx, run.ID, newest, why); err != nil || !begun {
			return err
		}
	}
	for _, f := range run.Files {
		if err := r.limit.Wait(ctx); err != nil {
			return err
		}
		limit, cancel := context.WithTimeout(ctx, objectTime)
		err := r.o.Vault.Delete(limit, f.ObjectKey)
		cancel()
		if locked, ok := errors.AsType[*LockedError](err); ok { // meanwhile
			a.ReportsBlocked++
			why, until := r.keptBy(locked)
			there, _, err := r.filesOf(ctx, run)
			return errors.Join(err, r.o.Store.KeepRunFiles(ctx, run.ID, err == nil && there == len(run.Files), why, until))
		}
		if err != nil {
			return err
		}
		a.ReportBytes += f.Size
	}
	// A shutdown must not keep from being written down what is gone.
	finishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	a.Reports++
	return r.o.Store.FinishExpiringRun(finishing, run.ID, why)
}

// filesOf counts the files of a run that are in the vault, and says what keeps
// one of them; nil: nothing does.
func (r *Retainer) filesOf(ctx context.Context, run call.Run) (there int, locked *LockedError, err error) {
	for _, f := range run.Files {
		limit, cancel := context.WithTimeout(ctx, objectTime)
		p, err := r.o.Vault.Protection(limit, f.ObjectKey)
		cancel()
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return there, locked, err
		}
		there++
		if !p.Keeps(r.o.Now()) {
			continue
		}
		if locked == nil {
			locked = &LockedError{Key: f.ObjectKey}
		}
		locked.Protection = locked.with(p)
	}
	return there, locked, nil
}

// folderOf is where files of a run lie: one folder of a revision, or that of all
// of them.
func folderOf(files []call.RunFile) string {
	folder := path.Dir(files[0].ObjectKey)
	for _, f := range files {
		if path.Dir(f.ObjectKey) != folder {
			return path.Dir(folder) + "/"
		}
	}
	return folder + "/"
}

// planReports adds to a plan what becomes of the files of reports until its time.
func (r *Retainer) planReports(ctx context.Context, plan *call.RetentionPlan, each func(call.PlanItem) error) error {
	return r.eachRun(ctx, func(run call.Run) error {
		over, due, err := r.runEnds(run)
		if err != nil || over.IsZero() || over.After(plan.By) {
			return err
		}
		p := call.PlanItem{Run: &run, RuleUntil: over, By: r.o.Terms.Of[call.ReportObjects].Name, Until: due}
		p.Rule, p.DueAt, p.ObjectKey = p.By, due, folderOf(run.Files)
		for _, f := range run.Files {
			p.Size += f.Size
		}
		hold, _, err := r.o.Store.HoldOfRun(ctx, run)
		switch {
		case err != nil:
			return err
		case due.After(plan.By):
			p.Why = call.KeptPromised
		case hold != "":
			p.Why, p.By, p.Until = call.KeptHeld, hold, time.Time{}
		case run.BlockedUntil.After(plan.By):
			p.Why, p.By, p.Until = call.KeptLocked, run.BlockedBy, run.BlockedUntil
		}
		plan.AddRun(p)
		if each == nil {
			return nil
		}
		return each(p)
	})
}
