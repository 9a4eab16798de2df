package reports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"callvault/internal/call"
)

const (
	// reviseWithin is for how long after its period a run is revised by itself.
	reviseWithin = 35 * 24 * time.Hour
	// strayed is how far from a period a call may have come that was of it when
	// it was reported: its start was corrected, or it became part of another.
	strayed = 3 * time.Hour
	// settleTime is how long is waited for deliveries that are being recorded.
	settleTime = 30 * time.Second
)

// RevisionStore finds the runs that must be revised, and decides who does it.
type RevisionStore interface {
	SettledDeliveries(context.Context) (int64, error)
	TouchedHours(ctx context.Context, after int64) ([]call.TouchedHour, error)
	CallFates(ctx context.Context, ids []string) (map[string]call.CallFate, error)
	ReserveRevision(ctx context.Context, id string, revision int, tick time.Time, lease time.Duration) (leaseToken string, won bool, err error)
	LeaveRun(ctx context.Context, leaseToken string, looked time.Time, delivery int64) error
	NoteLooked(ctx context.Context, ids []string, looked time.Time, delivery int64) error
}

// revise looks, once for each time of a report's schedule, which of its runs of
// the last weeks tell of calls that reports have changed since, and gives these a
// new revision; and it mails the revisions that are to be mailed.
func (r *Reporter) revise(ctx context.Context, report *Report, s schedule) error {
	now := r.now()
	runs, err := r.recentRuns(ctx, report, now.Add(-reviseWithin))
	if err != nil {
		return err
	}
	if tick := s.last(now); !tick.IsZero() {
		if runs, err = r.reviseRuns(ctx, report, runs, tick); err != nil {
			return err
		}
	}
	for _, run := range runs {
		if run.MailRevision < 2 || now.Sub(run.BuiltAt) >= mailWindow {
			continue
		}
		if err := r.mailRun(ctx, run, report.Recipients, onlyRevised); err != nil {
			return fmt.Errorf("mail revision %d of %s: %w", run.Revision, r.periodOf(report, run).Label(), err)
		}
	}
	return nil
}

// recentRuns finds the built runs of a report whose periods ended after a time
// and whose files are there.
func (r *Reporter) recentRuns(ctx context.Context, report *Report, after time.Time) (recent []call.Run, err error) {
	filter := call.RunFilter{Report: report.Name, State: call.RunBuilt, Limit: 50}
	for {
		runs, next, err := r.store.FindRuns(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			// Newest first, and the longest period is a month.
			if run.PeriodFrom.Before(after.AddDate(0, -1, -1)) {
				return recent, nil
			}
			if run.PeriodTo.After(after) && run.State == call.RunBuilt && len(run.Files) > 0 && run.FilesGone() == "" {
				recent = append(recent, run)
			}
		}
		if next == "" {
			return recent, nil
		}
		filter.Cursor = next
	}
}

// reviseRuns revises those of the runs that must be, and returns all as they
// then are.
func (r *Reporter) reviseRuns(ctx context.Context, report *Report, runs []call.Run, tick time.Time) ([]call.Run, error) {
	waiting := slices.ContainsFunc(runs, func(run call.Run) bool { return awaits(run, tick) })
	if !waiting {
		return runs, nil
	}
	settled, err := r.settled(ctx)
	if err != nil {
		return runs, err
	}
	// Since when it is not known of every run whether its calls changed.
	after := settled
	for _, run := range runs {
		if awaits(run, tick) && run.KnownDeliveries > 0 {
			after = min(after, run.KnownDeliveries)
		}
	}
	touched, err := r.store.TouchedHours(ctx, after)
	if err != nil {
		return runs, err
	}
	var untouched []string
	for i, run := range runs {
		if !awaits(run, tick) {
			continue
		}
		if run.KnownDeliveries > 0 && !touches(touched, run) {
			untouched = append(untouched, run.ID)
			continue
		}
		p := r.periodOf(report, run)
		key := report.Name + " " + p.Label() + " revision"
		if r.now().Before(r.failures[key].next) {
			continue
		}
		done, err := r.reviseRun(ctx, report, run, tick, false)
		switch {
		case call.CodeOf(err) == call.Conflict: // another node is at it
		case err != nil:
			r.noteFailure(ctx, key, err)
		default:
			delete(r.failures, key)
			runs[i] = done.run
		}
		if err := ctx.Err(); err != nil {
			return runs, err
		}
	}
	if len(untouched) == 0 {
		return runs, nil
	}
	return runs, r.store.NoteLooked(ctx, untouched, tick, settled)
}

// awaits reports whether a run is to be looked at, at a time of the schedule: it
// tells what was known before, and was not looked at since.
func awaits(run call.Run, tick time.Time) bool {
	return run.AsOf.Before(tick) && run.LookedAt.Before(tick) && !tick.After(run.PeriodTo.Add(reviseWithin))
}

// touches reports whether deliveries that a run does not know have told of calls
// near its period.
func touches(hours []call.TouchedHour, run call.Run) bool {
	return slices.ContainsFunc(hours, func(h call.TouchedHour) bool {
		if h.Delivery <= run.KnownDeliveries {
			return false
		}
		return h.From.Add(time.Hour+strayed).After(run.PeriodFrom) && h.From.Add(-strayed).Before(run.PeriodTo)
	})
}

// settled is the delivery up to which all are known.
func (r *Reporter) settled(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return r.store.SettledDeliveries(ctx)
}

// periodOf is the period of a run of a report.
func (r *Reporter) periodOf(report *Report, run call.Run) Period {
	p := Period{report.Period, run.PeriodFrom.In(report.Zone), run.PeriodTo.In(report.Zone)}
	// The report may have been of other periods when the run was made.
	for _, kind := range []Kind{Day, Week, Month} {
		if of := PeriodOf(kind, p.From); of.From.Equal(p.From) && of.To.Equal(p.To) {
			p.Kind = kind
		}
	}
	return p
}

// revision is what came of looking whether a run must be revised.
type revision struct {
	// run is as it is now.
	run call.Run
	// made: it has got a new revision.
	made bool
	// reconfigured: the configuration has other rules than the run keeps to.
	reconfigured bool
}

// reviseRun makes a new revision of a run if call reports have changed what it
// tells. It keeps to the run's rules, for a revision tells facts that came late,
// not how people and groups are ordered by now; or takes those of now, and is
// then made also if these alone change something, or mask_numbers has been
// changed. A zero tick is an act of a person. It is a call.Conflict error if
// another node is at it, or has just been.
func (r *Reporter) reviseRun(ctx context.Context, report *Report, run call.Run, tick time.Time, rulesOfNow bool) (revision, error) {
	done := revision{run: run}
	lease, won, err := r.store.ReserveRevision(ctx, run.ID, run.Revision, tick, buildLease)
	if err == nil && !won {
		err = call.Errorf(call.Conflict, "another node is at this report, or has just revised it; try again in a few minutes")
	}
	if err != nil {
		return done, err
	}
	var known int64
	revised, made := run, false
	err = r.inSpool(func(dir string) error {
		return r.holding(ctx, lease, func(ctx context.Context) error {
			b, err := r.buildRevision(ctx, report, run, rulesOfNow, dir)
			done.reconfigured = b.reconfigured
			if err != nil || b.figures == nil {
				known = b.known
				return err
			}
			made = true
			revised, err = r.keep(ctx, lease, run, &b)
			return err
		})
	})
	if err == nil && !made {
		return done, r.store.LeaveRun(ctx, lease, tick, known)
	}
	if err == nil {
		err = r.store.FinishRun(ctx, lease, revised)
	}
	if err == nil {
		r.log.InfoContext(ctx, "report revised", "report", report.Name, "period", r.periodOf(report, run).Label(),
			"run", run.ID, "revision", revised.Revision, "mailed", revised.MailRevision == revised.Revision)
		done.run, err = r.store.Run(ctx, run.ID)
		done.made = err == nil
		return done, err
	}
	// Also when ctx has ended, so that a restart need not wait for the lease.
	give, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if left := r.store.LeaveRun(give, lease, time.Time{}, 0); call.CodeOf(left) != call.Conflict {
		err = errors.Join(err, left)
	}
	return done, err
}

// buildRevision builds the next revision of a run in a folder. Its figures are
// nil if there is nothing to revise.
func (r *Reporter) buildRevision(ctx context.Context, report *Report, run call.Run, rulesOfNow bool, dir string) (b built, err error) {
	was, err := r.currentInput(ctx, run, filepath.Join(dir, "was"))
	if err != nil {
		return b, err
	}
	if b.known, err = r.settled(ctx); err != nil {
		return b, err
	}
	now := r.rules(report)
	rules := was.Settings.kept(now)
	b.reconfigured = !rules.same(now)
	anew := rulesOfNow && (!rules.looksSame(now) || was.Settings.Masked != report.MaskNumbers)
	if rulesOfNow {
		rules = now
	}
	is, err := r.freezeBy(ctx, rules, report, was.period(), run.Revision+1, filepath.Join(dir, "now.ndjson.zst"))
	if err != nil {
		return b, err
	}
	d, err := compareInputs(ctx, was, is, r.store.CallFates)
	if err != nil {
		return b, fmt.Errorf("compare with revision %d: %w", run.Revision, err)
	}
	if d.deleted {
		r.log.InfoContext(ctx, "report is not revised: retention has deleted calls of its period",
			"report", report.Name, "period", was.period().Label(), "run", run.ID)
		return b, nil
	}
	if !d.matters && !anew && (!rulesOfNow || d.lines == 0) {
		return b, nil
	}
	figures, err := measure(ctx, was, nil)
	if err != nil {
		return b, err
	}
	v := Revises{Revision: was.Settings.Revision, InputHash: was.Hash, AsOf: was.Settings.AsOf,
		Added: d.added, Changed: d.changed, Gone: d.gone, Lines: d.lines, Before: figures.headlineValues()}
	switch {
	case rulesOfNow:
		v.Rules = rulesNew
	case was.Settings.Filter != nil:
		v.Rules = rulesKept
	}
	mailed := v.Before
	if earlier := was.Settings.Revises; earlier != nil && run.MailRevision != run.Revision {
		// Small steps must not add up to a large one that nobody hears of.
		if v.Mailed = earlier.Mailed; v.Mailed == nil {
			v.Mailed = earlier.Before
		}
		mailed = v.Mailed
	}
	if b.input, err = writeRevision(ctx, is, v, d, filepath.Join(dir, inputName)); err != nil {
		return b, err
	}
	if err := r.hide(b.input); err != nil {
		return b, err
	}
	if b.files, b.figures, err = BuildFiles(ctx, b.input, dir); err != nil {
		return b, err
	}
	b.tell = b.figures.moved(mailed, report.ReviseMailOver)
	return b, nil
}

// currentInput gets the input of a run's newest revision from the vault into a
// folder.
func (r *Reporter) currentInput(ctx context.Context, run call.Run, dir string) (*Input, error) {
	kept, err := inputOf(&run)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return r.openKept(ctx, kept, dir)
}

// writeRevision writes a frozen input once more, with what it changes.
func writeRevision(ctx context.Context, is *Input, v Revises, d *difference, path string) (*Input, error) {
	settings := is.Settings
	settings.Revises = &v
	w, err := createInput(path, settings)
	if err != nil {
		return nil, err
	}
	first := true
	var last []byte // the comparison
	err = is.lines(ctx, func(raw []byte) error {
		if first {
			first = false
			return nil
		}
		if last != nil {
			if err := w.raw(last); err != nil {
				return err
			}
			last = nil
		}
		if !bytes.HasPrefix(raw, callLine) {
			last = bytes.Clone(raw)
			return nil
		}
		return w.raw(raw)
	})
	lines := int64(0)
	if err == nil {
		err = d.write(ctx, func(c *callChange) error {
			lines++
			return w.write(line{Change: c})
		})
	}
	if err == nil && lines != v.Lines {
		err = fmt.Errorf("%d lines of changes, not %d as counted", lines, v.Lines)
	}
	if err == nil {
		err = w.raw(last)
	}
	if err := errors.Join(err, w.close()); err != nil {
		return nil, fmt.Errorf("freeze input of revision: %w", err)
	}
	return OpenInput(ctx, path)
}

// raw writes a line that is encoded already.
func (w *inputWriter) raw(text []byte) error {
	for _, part := range [][]byte{text, {'\n'}} {
		w.hash.Write(part)
		if _, err := w.zstd.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// revisionPrefix is what the keys of the files of one revision begin with.
func revisionPrefix(report string, p Period, revision int) string {
	return fmt.Sprintf("%sr%d-", filesPrefix(report, p), revision)
}
