package export

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// Jobs is the queue of exports.
type Jobs interface {
	ClaimExport(ctx context.Context, lease time.Duration) (e call.Export, leaseToken string, found bool, err error)
	RenewExport(ctx context.Context, id, leaseToken string, lease time.Duration, done, total int) error
	ReleaseExport(ctx context.Context, id, leaseToken string, delay time.Duration, failed string) error
	FinishExport(ctx context.Context, id, leaseToken string, made call.ExportMade, keep time.Duration) error
	FailExport(ctx context.Context, id, leaseToken, reason string) error
	RemoveOldExports(ctx context.Context) ([]call.Export, error)
	ClearExport(ctx context.Context, id string) error
	Export(ctx context.Context, id string) (call.Export, error)
}

// Shelf is where finished bundles lie, in pieces, for all nodes.
type Shelf interface {
	Put(ctx context.Context, key string, body io.ReaderAt, size int64, sum [sha256.Size]byte) error
	// Clear removes all objects whose keys begin with prefix, but for those
	// that begin with keep; an empty keep keeps none.
	Clear(ctx context.Context, prefix, keep string) error
}

// RunnerOptions are what a Runner is made of.
type RunnerOptions struct {
	// Make says how bundles are made; Request and Dir are the jobs'.
	Make  Options
	Jobs  Jobs
	Shelf Shelf
	// Dir is where work folders lie.
	Dir string
	// Keep is how long a finished bundle is kept, over 0.
	Keep time.Duration
	// PieceSize is how large the pieces in the vault are, in bytes. Default
	// 1 GiB: S3 takes 5 GiB at once.
	PieceSize int64
	// Every is how often a node looks for jobs. Default 5 s.
	Every time.Duration
}

const (
	// jobLease is how long a job waits for a node that died.
	jobLease = 15 * time.Second
	// sweepEvery is how often a node looks for bundles whose time is over and
	// for work folders of jobs that others have finished.
	sweepEvery = time.Minute
	// A job that fails is tried again after jobPause, longer each time, and
	// given up after jobTries.
	jobPause = time.Minute
	jobTries = 5
	// releaseTime is what the end of a node may take to give its job back.
	releaseTime = 5 * time.Second
)

// Runner makes the bundles that jobs ask for, one at a time.
type Runner struct {
	RunnerOptions
	wake chan struct{}
}

// NewRunner makes a Runner.
func NewRunner(o RunnerOptions) *Runner {
	o.PieceSize = cmp.Or(o.PieceSize, 1<<30)
	o.Every = cmp.Or(o.Every, 5*time.Second)
	return &Runner{RunnerOptions: o, wake: make(chan struct{}, 1)}
}

// Wake lets the Runner look for work at once.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run makes bundles until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	var swept time.Time
	for ctx.Err() == nil {
		for r.one(ctx) {
		}
		if time.Since(swept) >= sweepEvery || r.woken() {
			swept = time.Now()
			if err := r.sweep(ctx); err != nil && ctx.Err() == nil {
				r.Make.Logger.WarnContext(ctx, "old exports could not be removed; it is tried again", "error", err)
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-r.wake:
			r.Wake() // for woken
		}
	}
}

func (r *Runner) woken() bool {
	select {
	case <-r.wake:
		return true
	default:
		return false
	}
}

// one makes one bundle, and says whether there may be more to do.
func (r *Runner) one(ctx context.Context) bool {
	e, leaseToken, found, err := r.Jobs.ClaimExport(ctx, jobLease)
	if err != nil && ctx.Err() == nil {
		r.Make.Logger.WarnContext(ctx, "exports could not be claimed", "error", err)
	}
	if err != nil || !found {
		return false
	}
	j := &job{Runner: r, export: e, token: leaseToken, dir: filepath.Join(r.Dir, e.ID)}
	j.run(ctx)
	return ctx.Err() == nil
}

// job is one export while this node makes it.
type job struct {
	*Runner
	export call.Export
	token  string
	dir    string

	mu          sync.Mutex
	done, total int
}

func (j *job) run(ctx context.Context) {
	logger := j.Make.Logger.With("export", j.export.ID)
	var request Request
	if err := json.Unmarshal(j.export.Request, &request); err != nil {
		j.giveUp(ctx, logger, fmt.Errorf("its request cannot be read: %w", err))
		return
	}
	ctx = audit.By(ctx, request.By)
	logger.InfoContext(ctx, "export begins", "attempt", j.export.Attempts)
	working, stop := context.WithCancelCause(ctx)
	var beat sync.WaitGroup
	beat.Go(func() { j.keepLease(working, stop) })
	made, err := j.build(working, request)
	stop(nil)
	beat.Wait()
	if err == nil {
		err = j.Jobs.FinishExport(ctx, j.export.ID, j.token, made, j.Keep)
	}
	switch {
	case err == nil:
		logger.InfoContext(ctx, "export is ready", "calls", made.Calls, "recordings", made.Recordings, "missing", made.Missing, "bytes", made.Size)
		j.clean(ctx, logger)
	case call.CodeOf(err) == call.Conflict || call.CodeOf(context.Cause(working)) == call.Conflict:
		// Somebody removed it, or another node has it; sweep takes the folder.
		logger.InfoContext(ctx, "export is no longer this node's")
	case ctx.Err() != nil:
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		if err := j.Jobs.ReleaseExport(late, j.export.ID, j.token, 0, ""); err != nil {
			logger.WarnContext(ctx, "an interrupted export could not be given back; it is gone on with when its lease is over", "error", err)
		}
	case full(err) || j.export.Attempts >= jobTries || call.CodeOf(err) == call.Invalid:
		j.giveUp(ctx, logger, err)
	default:
		pause := jobPause << (j.export.Attempts - 1)
		logger.WarnContext(ctx, "export failed; it is tried again", "after", pause, "error", err)
		if err := j.Jobs.ReleaseExport(ctx, j.export.ID, j.token, pause, told(err)); err != nil {
			logger.WarnContext(ctx, "a failed export could not be given back", "error", err)
		}
	}
}

// full reports whether an error says that a disk is full.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// told is what whoever asked for an export hears of an error: what is inside
// stays in the log.
func told(err error) string {
	if full(err) {
		return "the disk of the node that made it is full; free some space and ask again"
	}
	if e, ok := errors.AsType[*call.Error](err); ok {
		return e.Message
	}
	return "something went wrong; the log says what"
}

func (j *job) giveUp(ctx context.Context, logger *slog.Logger, err error) {
	logger.ErrorContext(ctx, "export failed for good", "error", err)
	if err := j.Jobs.FailExport(ctx, j.export.ID, j.token, told(err)); err != nil {
		logger.WarnContext(ctx, "a failed export could not be noted", "error", err)
	}
	j.clean(ctx, logger)
}

// clean removes the work folder.
func (j *job) clean(ctx context.Context, logger *slog.Logger) {
	if err := os.RemoveAll(j.dir); err != nil {
		logger.WarnContext(ctx, "a work folder could not be removed", "error", err)
	}
}

// keepLease renews the lease until ctx ends, and stops the work when it is
// lost.
func (j *job) keepLease(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(jobLease / 5)
	defer tick.Stop()
	held := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		j.mu.Lock()
		done, total := j.done, j.total
		j.mu.Unlock()
		err := j.Jobs.RenewExport(ctx, j.export.ID, j.token, jobLease, done, total)
		switch {
		case err == nil:
			held = time.Now()
		case call.CodeOf(err) == call.Conflict, time.Since(held) > jobLease:
			stop(call.Errorf(call.Conflict, "the lease was lost"))
			return
		}
	}
}

// build makes the bundle and puts it into the vault.
func (j *job) build(ctx context.Context, request Request) (call.ExportMade, error) {
	o := j.Make
	o.Request, o.Dir, o.ID = request, j.dir, j.export.ID
	o.Progress = func(done, total int) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.done, j.total = done, total
	}
	result, err := Make(ctx, o)
	if err != nil {
		return call.ExportMade{}, err
	}
	made := call.ExportMade{
		Calls: result.Calls, Recordings: result.Recordings, Missing: result.Missing, Altered: result.Altered,
		Size: result.Size, PieceSize: j.PieceSize, ManifestSHA256: result.ManifestSHA256,
		// An earlier attempt may have got half of its pieces there.
		Prefix: fmt.Sprintf("%s%s-", folderOf(j.export.ID), j.token),
	}
	if err := j.shelve(ctx, result.File, &made); err != nil {
		return made, fmt.Errorf("put the bundle into the vault: %w", err)
	}
	return made, j.Shelf.Clear(ctx, folderOf(j.export.ID), made.Prefix)
}

// folderOf is where an export's pieces lie in the vault.
func folderOf(id string) string { return "exports/" + id + "/" }

// PieceKey is the key of a bundle's nth piece, from 0.
func PieceKey(prefix string, n int64) string { return fmt.Sprintf("%s%06d", prefix, n+1) }

func (j *job) shelve(ctx context.Context, name string, made *call.ExportMade) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for n := int64(0); n*made.PieceSize < made.Size; n++ {
		piece := io.NewSectionReader(f, n*made.PieceSize, min(made.PieceSize, made.Size-n*made.PieceSize))
		sum := sha256.New()
		if _, err := io.Copy(sum, untilDone(ctx, piece)); err != nil {
			return err
		}
		if err := j.Shelf.Put(ctx, PieceKey(made.Prefix, n), piece, piece.Size(), [sha256.Size]byte(sum.Sum(nil))); err != nil {
			return err
		}
	}
	return nil
}

// sweep takes bundles out of the vault that are removed, and folders off this
// node's disk whose job is nobody's work any more.
func (r *Runner) sweep(ctx context.Context) error {
	old, err := r.Jobs.RemoveOldExports(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range old {
		err := r.Shelf.Clear(ctx, folderOf(e.ID), "")
		if err == nil {
			err = r.Jobs.ClearExport(ctx, e.ID)
		}
		errs = append(errs, err)
	}
	folders, err := os.ReadDir(r.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return errors.Join(errs...)
	}
	errs = append(errs, err)
	for _, f := range folders {
		e, err := r.Jobs.Export(ctx, f.Name())
		if call.CodeOf(err) == call.NotFound || err == nil && e.State != call.ExportWaiting && e.State != call.ExportBuilding {
			err = os.RemoveAll(filepath.Join(r.Dir, f.Name()))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
