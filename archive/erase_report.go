package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
)

// This file erases reports: those that are made, and those that are being made
// meanwhile of what was there before.

// findReports lists the runs over these calls whose input holds the number.
func (r *round) findReports(ctx context.Context) error {
	runs, err := r.o.Store.RunsOver(ctx, r.erasure.ID, true)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := r.findReport(ctx, run.ID, run.Files); err != nil {
			return err
		}
	}
	return nil
}

// findReport lists a run if these of its files hold the number.
func (r *round) findReport(ctx context.Context, id string, files []call.RunFile) error {
	holds, err := r.filesHold(ctx, files)
	if err == nil && holds {
		err = r.o.Store.AddErasureItem(ctx, r.erasure.ID, call.ErasedReport, id)
	}
	if err != nil {
		return err
	}
	return r.o.Store.RenewErasure(ctx, r.token, eraseLease)
}

// findMade lists the runs that were made since all was looked through, of calls
// as they were then. Now that these are redacted, what is begun from here on
// cannot hold the number any more; what somebody has begun before must be waited
// for, wait, and the files that he has left behind go.
func (r *round) findMade(ctx context.Context) (wait bool, err error) {
	if r.erasure.Number == "" || r.guessed {
		return false, nil // no call was redacted since that was done, but those of others, too
	}
	making, err := r.o.Store.RunsInMakingOver(ctx, r.erasure.ID)
	if err != nil {
		return false, err
	}
	listed, err := r.o.Store.ErasureItems(ctx, r.erasure.ID, call.ErasedReport, "", call.MaxLimit, call.ErasureDue, call.ErasureKept)
	if err != nil {
		return false, err
	}
	isListed := func(id string) bool {
		return slices.ContainsFunc(listed, func(i call.ErasureItem) bool { return i.Ref == id })
	}
	for _, m := range making {
		left, err := clearRun(ctx, r.o.Store, r.o.Vault, m.Run, r.o.Now(), inFlight)
		if err != nil {
			return false, err
		}
		switch {
		case left.inMaking:
			wait = true
		case len(left.kept) > 0 && !isListed(m.Run.ID):
			if err := r.findReport(ctx, m.Run.ID, left.kept); err != nil {
				return false, err
			}
		}
	}
	since := r.began
	if !r.erasure.FoundAt.IsZero() {
		since = r.erasure.FoundAt
	}
	runs, err := r.o.Store.RunsOver(ctx, r.erasure.ID, false)
	if err != nil {
		return false, err
	}
	for _, run := range runs {
		if run.BuiltAt.Before(since.Add(-clockSlack)) || isListed(run.ID) {
			continue
		}
		if err := r.findReport(ctx, run.ID, run.Files); err != nil {
			return false, err
		}
	}
	return wait, nil
}

// clockSlack is by how much the clocks of nodes and database differ at most.
const clockSlack = 5 * time.Minute

// filesHold looks for the number in the frozen inputs among files of a run, of
// which all of these are made.
func (r *round) filesHold(ctx context.Context, files []call.RunFile) (bool, error) {
	redactor := call.NewRedactor(r.erasure.Number, nil)
	looked := false
	for _, f := range files {
		if !strings.HasSuffix(f.Name, ".ndjson.zst") {
			continue
		}
		body, _, err := r.o.Vault.Open(ctx, f.ObjectKey, 0, -1)
		if errors.Is(err, ErrNotFound) {
			return true, nil // whatever else is left of it
		}
		if err != nil {
			return false, err
		}
		holds, err := holdsNumber(body, redactor)
		if err := errors.Join(err, body.Close()); err != nil {
			return false, fmt.Errorf("look through %s: %w", f.ObjectKey, err)
		}
		if holds {
			return true, nil
		}
		looked = true
	}
	return !looked, nil // without input nobody knows
}

// report deletes the files of a run, of all its revisions. Whether its period has
// calls of the erasure does not count any more: their own term may be over.
func (r *round) report(ctx context.Context, item call.ErasureItem) error {
	m, err := r.o.Store.RunInMaking(ctx, item.Ref)
	if err != nil && call.CodeOf(err) != call.NotFound {
		return err
	}
	if until := m.LeaseUntil.Add(inFlight); len(m.Planned) > 0 && until.After(r.o.Now()) {
		return r.keep(ctx, item, until, "it is just being made")
	}
	planned := m.Abandoned()
	files := planned
	if m.Run.FilesExpiredAt.IsZero() {
		files = append(slices.Clone(m.Run.Files), planned...)
	}
	if len(files) > 0 {
		hold, _, err := r.o.Store.HoldOfRun(ctx, m.Run)
		if err != nil {
			return err
		}
		if hold != "" { // it keeps the whole report, also what is of others
			return r.keep(ctx, item, time.Time{}, "legal hold "+hold)
		}
	}
	for _, f := range files {
		if kept, err := r.locked(ctx, item, f.ObjectKey); kept || err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := r.remove(ctx, f.ObjectKey); err != nil {
			return err
		}
	}
	for _, f := range planned {
		if err := r.o.Store.DropPlannedFile(ctx, item.Ref, f, "erasure "+r.erasure.ID); err != nil {
			return err
		}
	}
	return r.o.Store.EraseRunFiles(ctx, r.erasure.ID, item.Ref, m.Run.Revision)
}
