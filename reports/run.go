package reports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"callvault/internal/call"
)

const (
	// lookEvery is how often a Reporter looks for due reports and mails.
	lookEvery = time.Minute
	// buildLease is for how long a node that builds a run and is not heard of
	// keeps it from the others.
	buildLease = 2 * time.Minute
	// renewEvery is how often a node that builds a run says so.
	renewEvery = buildLease / 4
	// mailWindow is for how long after its time, or after it was built if that
	// was later, a run's mails are begun, and how long one is tried again.
	mailWindow = 24 * time.Hour
)

// Run looks for what is due at once and then every minute, until ctx ends. It
// returns ctx's error. At once and then every hour it removes what processes
// that were killed have left in the spool.
func (r *Reporter) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var cleaned time.Time
	for {
		if r.now().Sub(cleaned) >= cleanEvery {
			cleaned = r.now()
			if err := r.cleanSpool(); err != nil {
				r.log.WarnContext(ctx, "spool of reports cannot be cleaned", "error", err)
			}
		}
		r.Look(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// Look builds and mails what is due by now: every ended period without a run
// whose local time has come, since its report was first seen and at most seven
// back; revisions of the runs of the last weeks; and the mails that are to be
// tried again. What goes wrong is logged and tried again later.
func (r *Reporter) Look(ctx context.Context) {
	for i := range r.reports {
		if err := r.lookAt(ctx, &r.reports[i], r.schedules[i]); err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "report cannot be looked at", "report", r.reports[i].Name, "error", err)
		}
		if err := r.revise(ctx, &r.reports[i], r.schedules[i]); err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "report cannot be revised", "report", r.reports[i].Name, "error", err)
		}
	}
	if err := r.mailAgain(ctx); err != nil && ctx.Err() == nil {
		r.log.ErrorContext(ctx, "mails cannot be sent again", "error", err)
	}
}

func (r *Reporter) lookAt(ctx context.Context, report *Report, s schedule) error {
	firstSeen, err := r.store.ReportSeen(ctx, report.Name)
	if err != nil {
		return err
	}
	due := s.due(report.Period, firstSeen, r.now())
	if len(due) == 0 {
		return nil
	}
	known, err := r.knownRuns(ctx, report, due[0].Period)
	if err != nil {
		return err
	}
	for _, d := range due {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := d.Period
		run, ok := known[boundsOf(p.From, p.To)]
		if !ok || run.State != call.RunBuilt {
			key := report.Name + " " + p.Label()
			if r.now().Before(r.failures[key].next) {
				continue
			}
			run, _, err = r.buildRun(ctx, report, p)
			if err != nil {
				r.noteFailure(ctx, key, err)
				continue
			}
			delete(r.failures, key)
		}
		if run.State != call.RunBuilt {
			continue // another node is at it
		}
		if r.now().Sub(mailFrom(run, d.At)) < mailWindow {
			err = r.mailRun(ctx, run, report.Recipients, byItself)
		} else {
			err = r.noteLate(ctx, run, p, report.Recipients)
		}
		if err != nil {
			r.log.ErrorContext(ctx, "report cannot be mailed", "report", report.Name,
				"period", p.Label(), "error", err)
		}
	}
	return nil
}

// mailFrom is since when a run that is due at a time is mailed to those who have
// got none of its revisions. A run made by hand may have been there long before
// its time; and a revision is news only to those who know the earlier one.
func mailFrom(run call.Run, due time.Time) time.Time {
	if run.Revision < 2 && run.BuiltAt.After(due) {
		return run.BuiltAt
	}
	return due
}

// noteLate logs, once, that a run is not mailed any more to recipients whose
// mail has never been begun.
func (r *Reporter) noteLate(ctx context.Context, run call.Run, p Period, recipients []string) error {
	if len(recipients) == 0 || r.late[run.ID] {
		return nil
	}
	mails, err := r.mailsOf(ctx, run)
	if err != nil {
		return err
	}
	r.late[run.ID] = true
	var never []string
	for _, recipient := range recipients {
		if _, begun := mails[recipient]; !begun {
			never = append(never, recipient)
		}
	}
	if len(never) > 0 {
		r.log.WarnContext(ctx, "report is too old to be mailed by itself; report NAME --date DATE --send sends it",
			"report", run.Report, "period", p.Label(), "recipients", never)
	}
	return nil
}

// noteFailure logs that a run cannot be built and delays the next try: a
// minute, then twice as long each time, up to an hour.
func (r *Reporter) noteFailure(ctx context.Context, key string, err error) {
	if ctx.Err() != nil {
		return
	}
	f := r.failures[key]
	f.tries++
	f.next = r.now().Add(min(time.Minute<<min(f.tries-1, 6), time.Hour))
	r.failures[key] = f
	r.log.ErrorContext(ctx, "report cannot be built", "report", key, "error", err,
		"tries", f.tries, "next_try", f.next)
}

// bounds are a period's, in Unix milliseconds. Both tell periods apart: a week
// begins with a day, and a report's period may be changed from one to the other.
type bounds struct{ from, to int64 }

func boundsOf(from, to time.Time) bounds { return bounds{from.UnixMilli(), to.UnixMilli()} }

// knownRuns finds the runs of the periods since first.
func (r *Reporter) knownRuns(ctx context.Context, report *Report, first Period) (map[bounds]call.Run, error) {
	known := make(map[bounds]call.Run)
	filter := call.RunFilter{Report: report.Name, Limit: 2 * lookBack}
	for {
		runs, next, err := r.store.FindRuns(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			known[boundsOf(run.PeriodFrom, run.PeriodTo)] = run
			if run.PeriodFrom.Before(first.From) {
				return known, nil // newest first: the rest are older still
			}
		}
		if next == "" {
			return known, nil
		}
		filter.Cursor = next
	}
}

// findRun finds the run of a period; the zero Run if there is none.
func (r *Reporter) findRun(ctx context.Context, report *Report, p Period) (call.Run, error) {
	known, err := r.knownRuns(ctx, report, p)
	return known[boundsOf(p.From, p.To)], err
}

// buildRun reserves, builds and keeps a run. When it is there already, or
// another node has it, made is false and the run is as that node has left it.
func (r *Reporter) buildRun(ctx context.Context, report *Report, p Period) (run call.Run, made bool, err error) {
	run, lease, won, err := r.store.ReserveRun(ctx, call.Run{
		Report: report.Name, PeriodFrom: p.From, PeriodTo: p.To, Zone: report.Zone.String(),
	}, buildLease)
	if err != nil || !won {
		return run, false, err
	}
	// Why it failed, for people; the error itself may name paths and addresses.
	why := "its calls could not be read or its files not be made"
	err = r.inSpool(func(dir string) error {
		return r.holding(ctx, lease, func(ctx context.Context) error {
			b, err := r.build(ctx, report, p, 1, dir)
			if err != nil {
				return err
			}
			why = "its files could not be put into the vault"
			run, err = r.keep(ctx, lease, run, b)
			return err
		})
	})
	if err == nil {
		why = "that it is made could not be recorded"
		err = r.store.FinishRun(ctx, lease, run)
	}
	if err == nil {
		r.log.InfoContext(ctx, "report built", "report", report.Name, "period", p.Label(), "run", run.ID)
		run, err = r.store.Run(ctx, run.ID)
		return run, err == nil, err
	}
	reason := "The report could not be made: " + why + ". The log says more; it is tried again."
	if ctx.Err() != nil {
		reason = "Interrupted, to be built again."
	}
	// Also when ctx has ended, so that a restart need not wait for the lease.
	give, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if failed := r.store.FailRun(give, lease, reason); call.CodeOf(failed) != call.Conflict {
		err = errors.Join(err, failed)
	}
	return run, false, err
}

// holding calls fn and renews the lease of a run meanwhile. When another node
// has taken the run, fn's context ends, and the error says so.
func (r *Reporter) holding(ctx context.Context, lease string, fn func(context.Context) error) error {
	held, lose := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(renewEvery)
		defer ticker.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-ticker.C:
			}
			err := r.store.RenewRun(held, lease, buildLease)
			switch {
			case err == nil || held.Err() != nil:
			case call.CodeOf(err) == call.Conflict:
				lose(err)
			default:
				// Passing, or FinishRun will tell.
				r.log.WarnContext(ctx, "lease of a report cannot be renewed", "error", err)
			}
		}
	})
	err := fn(held)
	lose(errHeld)
	renewing.Wait()
	if cause := context.Cause(held); err != nil && ctx.Err() == nil && !errors.Is(cause, errHeld) {
		return cause
	}
	return err
}

// errHeld ends the renewing of a lease that was held to the end.
var errHeld = errors.New("the lease is not needed any more")

// built is a report that has been built in a folder.
type built struct {
	input   *Input
	figures *Figures
	files   []File
	// known is the delivery up to which the input tells all; 0: nobody knows.
	known int64
	// tell: the revision is mailed to those who have an earlier one.
	tell bool
	// reconfigured: the configuration has other rules than the run has had.
	reconfigured bool
}

func (r *Reporter) build(ctx context.Context, report *Report, p Period, revision int, dir string) (*built, error) {
	known, err := r.settled(ctx)
	if err != nil && ctx.Err() == nil {
		// A report does not wait for it: at the next look all is compared.
		r.log.WarnContext(ctx, "deliveries under way keep from knowing what a report tells", "report", report.Name, "error", err)
		known, err = 0, nil
	}
	if err != nil {
		return nil, err
	}
	in, err := r.freeze(ctx, report, p, revision, filepath.Join(dir, inputName))
	if err == nil {
		err = r.hide(in)
	}
	if err != nil {
		return nil, err
	}
	files, figures, err := BuildFiles(ctx, in, dir)
	if err != nil {
		return nil, err
	}
	return &built{input: in, figures: figures, files: files, known: known}, nil
}

// keep puts a built report, its input and its mail's texts into the vault, which
// the database knows before, and returns the run as it is to be recorded. The
// files of earlier revisions stay.
func (r *Reporter) keep(ctx context.Context, lease string, run call.Run, b *built) (call.Run, error) {
	dir := filepath.Dir(b.input.path)
	texts, err := r.writeMail(run, b, dir)
	if err != nil {
		return run, err
	}
	input := File{Name: inputName, Path: b.input.path, MediaType: "application/zstd"}
	files := append(append([]File{}, b.files...), append(texts, input)...)
	s := &b.input.Settings
	run.Revision, run.AsOf, run.InputHash = s.Revision, s.AsOf, b.input.Hash
	run.Files = slices.DeleteFunc(slices.Clone(run.Files), func(f call.RunFile) bool { return f.OfRevision() >= s.Revision })
	if until := r.until(b.input.period().To); until.After(run.RetainUntil) {
		run.RetainUntil = until
	}
	run.KnownDeliveries = b.known
	if b.tell {
		run.MailRevision = s.Revision
	}
	// The hash keeps apart what two nodes built of one period.
	prefix := revisionPrefix(s.Report, b.input.period(), s.Revision) + b.input.Hash[:12] + "/"
	planned := make([]call.RunFile, len(files))
	for i := range files {
		f := &files[i]
		if err := f.sum(); err != nil {
			return run, err
		}
		planned[i] = call.RunFile{
			Name: f.Name, ObjectKey: prefix + f.Name, Size: f.Size, SHA256: fmt.Sprintf("%x", f.SHA256), MediaType: f.MediaType, Revision: s.Revision,
		}
	}
	if err := r.store.PlanRunFiles(ctx, lease, planned); err != nil {
		return run, err
	}
	for i := range files {
		if err := r.put(ctx, &files[i], planned[i].ObjectKey, run.RetainUntil); err != nil {
			return run, err
		}
	}
	run.Files = append(run.Files, planned...)
	return run, nil
}

// filesPrefix is what the keys of all files of a report's period begin with.
func filesPrefix(report string, p Period) string {
	return call.FilesPrefix(report) + p.Label() + "/"
}

// BuildOptions say what to do with a report that is built by hand.
type BuildOptions struct {
	// Out is the folder that the files are written to; it is made when
	// missing. Empty writes none.
	Out string
	// Send mails the run to Recipients, or to the report's own if there are
	// none. Who has got it already does not get it again. It is an act of
	// somebody who knows: mails that were refused, have failed or are uncertain
	// are sent again.
	Send       bool
	Recipients []string
	// Revise gives the period's run a new revision, if call reports have changed
	// what it tells. The run must be there. Out then gets the newest revision's
	// files.
	Revise bool
	// RulesOfNow lets the revision be by the agents, groups, match, thresholds and
	// permitted hours that are configured now, and not by those that the run was
	// made with. The run is then revised also if these alone change something, or
	// MaskNumbers has been changed.
	RulesOfNow bool
}

// Result is what became of a report that was built by hand.
type Result struct {
	// Run is the period's run. Its ID is empty if there is none yet.
	Run    call.Run
	Period Period
	// Revised: the run has got a new revision.
	Revised bool
	// Reconfigured: the configuration has changed since the run was made, or
	// revised by what was configured then.
	Reconfigured bool
	// Files are the paths of the files written to Out.
	Files []string
	// Mails are the run's mails, if it was to be sent: to each of those whom it was
	// to be sent to the newest.
	Mails []call.Mail
}

// Build builds a report by hand, for the period that holds a date (see
// Report.PeriodOf), from what is known now. It makes the period's run if there
// is none and the time to report the period has come, or the run is to be sent;
// a run that is there is left as it is, but if it is to be revised.
//
// What is sent or revised are also its parts, for their own recipients.
func (r *Reporter) Build(ctx context.Context, name string, date time.Time, o BuildOptions) (Result, error) {
	result, err := r.buildOne(ctx, name, date, o)
	if err != nil || len(o.Recipients) > 0 || !o.Send && !o.Revise {
		return result, err
	}
	var faults []error
	for _, part := range r.partsOf(name)[1:] {
		built, err := r.buildOne(ctx, part, date, BuildOptions{Send: o.Send, Revise: o.Revise, RulesOfNow: o.RulesOfNow})
		if o.Revise && call.CodeOf(err) == call.NotFound {
			err = nil // it has become one since
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("report %s: %w", part, err))
		}
		result.Mails = append(result.Mails, built.Mails...)
	}
	return result, errors.Join(faults...)
}

func (r *Reporter) buildOne(ctx context.Context, name string, date time.Time, o BuildOptions) (Result, error) {
	n, err := r.index(name)
	if err != nil {
		return Result{}, err
	}
	report := &r.reports[n]
	result := Result{Period: report.PeriodOf(date)}
	now := r.now()
	ended := !now.Before(result.Period.To)
	if o.Send && !ended {
		return result, call.Errorf(call.Invalid, "%s has not ended, so it cannot be sent yet", result.Period.Title())
	}
	dueAt := r.schedules[n].dueAt(result.Period)
	made := false
	switch {
	case o.Revise:
		var done revision
		done, err = r.reviseByHand(ctx, report, result.Period, o.RulesOfNow)
		result.Run, result.Revised, result.Reconfigured = done.run, done.made, done.reconfigured
		made = true
	case o.Send, ended && !now.Before(dueAt):
		result.Run, made, err = r.buildRun(ctx, report, result.Period)
	case ended:
		// What is known now is not yet what the report is to tell at its time.
		result.Run, err = r.findRun(ctx, report, result.Period)
	}
	if err != nil {
		return result, err
	}
	if o.Out != "" {
		if result.Files, err = r.writeOut(ctx, report, result, made, o.Out); err != nil {
			return result, fmt.Errorf("write report %s: %w", name, err)
		}
	}
	if !o.Send {
		return result, nil
	}
	if result.Run.State != call.RunBuilt {
		return result, call.Errorf(call.Conflict, "another node is building this report; try again in a few minutes")
	}
	recipients := o.Recipients
	if len(recipients) == 0 {
		recipients = report.Recipients
	}
	if len(recipients) == 0 && len(report.Parts) > 0 {
		return result, nil
	}
	if len(recipients) == 0 {
		return result, call.Errorf(call.Invalid, "report %s has no recipients", name)
	}
	if err := r.mailRun(ctx, result.Run, recipients, byHand); err != nil {
		return result, err
	}
	mails, err := r.mailsOf(ctx, result.Run)
	for _, recipient := range recipients {
		if m, begun := mails[recipient]; begun {
			result.Mails = append(result.Mails, m)
		}
	}
	return result, err
}

// reviseByHand revises the run of a period.
func (r *Reporter) reviseByHand(ctx context.Context, report *Report, p Period, rulesOfNow bool) (revision, error) {
	run, err := r.findRun(ctx, report, p)
	if err != nil {
		return revision{run: run}, err
	}
	if run.State != call.RunBuilt {
		return revision{run: run}, call.Errorf(call.NotFound, "there is no report of %s yet, so there is nothing to revise", p.Title())
	}
	if gone := run.FilesGone(); gone != "" {
		return revision{run: run}, call.Errorf(call.NotFound, "%s", gone)
	}
	return r.reviseRun(ctx, report, run, time.Time{}, rulesOfNow)
}

// writeOut writes a report's files to a folder: those of the run if this call
// has just made it, or was to revise it, else files made of what is known now.
func (r *Reporter) writeOut(ctx context.Context, report *Report, result Result, made bool, out string) (paths []string, err error) {
	if err := os.MkdirAll(out, 0o750); err != nil {
		return nil, err
	}
	if made {
		for _, f := range result.Run.At(result.Run.Revision).Files {
			if !isAttachment(f.Name) {
				continue
			}
			path, err := r.fetch(ctx, f, out)
			if err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
		return paths, nil
	}
	err = r.inSpool(func(dir string) error {
		b, err := r.build(ctx, report, result.Period, max(result.Run.Revision, 1), dir)
		if err != nil {
			return err
		}
		for i := range b.files {
			if err := b.files[i].copyTo(out); err != nil {
				return err
			}
			paths = append(paths, filepath.Join(out, b.files[i].Name))
		}
		return nil
	})
	return paths, err
}

// fetch gets a file of a run from the vault into a folder.
func (r *Reporter) fetch(ctx context.Context, f call.RunFile, dir string) (path string, err error) {
	body, err := r.vault.OpenFile(ctx, f.ObjectKey)
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", f.Name, err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	file := File{Name: f.Name, Path: filepath.Join(dir, filepath.Base(f.Name))}
	out, err := os.OpenFile(file.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, body)
	if err := errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("fetch %s: %w", f.Name, err)
	}
	if err := file.sum(); err != nil {
		return "", err
	}
	if got := fmt.Sprintf("%x", file.SHA256); got != f.SHA256 {
		return "", fmt.Errorf("fetch %s: its SHA-256 is %s, not %s as kept", f.Name, got, f.SHA256)
	}
	return file.Path, nil
}
