package archive

import (
	"context"
	"errors"
	"time"

	"callvault/internal/call"
)

// abandonedRuns is what the database knows of files that were being put for runs.
type abandonedRuns interface {
	StopRun(ctx context.Context, id string, since time.Time) (left []call.RunFile, stopped bool, err error)
	DropPlannedFile(ctx context.Context, runID string, f call.RunFile, why string) error
	HoldOfRun(ctx context.Context, run call.Run) (name, newest string, err error)
}

// leftBehind is what there is of the making of a run.
type leftBehind struct {
	// inMaking: somebody is at it, as far as anybody knows.
	inMaking bool
	// kept are files that nobody needs, and that a lock or a hold keeps; removed
	// is how many are gone.
	kept    []call.RunFile
	removed int
}

// clearRun deletes the files that somebody has begun to put for a run and never
// made its own, if his lease has been over for some time. Which these are is asked
// when he is stopped: he may have come back since the run was read.
func clearRun(ctx context.Context, s abandonedRuns, v Vault, run call.Run, now time.Time, overFor time.Duration) (left leftBehind, err error) {
	files, stopped, err := s.StopRun(ctx, run.ID, now.Add(-overFor))
	if err != nil || !stopped {
		return leftBehind{inMaking: err == nil}, err
	}
	if len(files) == 0 {
		return left, nil
	}
	hold, _, err := s.HoldOfRun(ctx, run)
	if err != nil {
		return left, err
	}
	for _, f := range files {
		gone, err := clearFile(ctx, v, f.ObjectKey, hold != "", now)
		if err != nil {
			return left, err
		}
		if !gone {
			left.kept = append(left.kept, f)
			continue
		}
		if err := s.DropPlannedFile(ctx, run.ID, f, "whoever put it did not come to say that the report was made"); err != nil {
			return left, err
		}
		left.removed++
	}
	return left, nil
}

// clearFile deletes an object unless something keeps it.
func clearFile(ctx context.Context, v Vault, key string, held bool, now time.Time) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, objectTime)
	defer cancel()
	p, err := v.Protection(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	if err != nil || held || p.Keeps(now) {
		return false, err
	}
	err = v.Delete(ctx, key)
	if _, locked := errors.AsType[*LockedError](err); locked {
		return false, nil
	}
	return err == nil, err
}
