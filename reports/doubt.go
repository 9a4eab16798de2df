package reports

import (
	"context"
	"time"

	"callvault/internal/call"
)

// What is said of a run and of mails of which the database was lost.
const (
	lostRun  = "This report had been made, but what the database said of it is lost."
	lostMail = "the database was made again from the vault, which does not say whether this was sent"
)

// Doubt makes sure that no mail is sent twice after the database was made again
// from the vault, which may know less than the database did: what happened last
// is not in its journal. Of each run whose mails would be begun by themselves
// now, mails that are not known to have been begun become uncertain; so do
// those of a run that nothing is known of but its files, which stored finds by
// what their keys begin with. Such a run is built again. It returns how many
// mails have become uncertain.
//
// A run's files are put into the vault before its first mail is begun: where
// there are none, nothing was sent.
func (r *Reporter) Doubt(ctx context.Context, stored func(ctx context.Context, prefix string) (bool, error)) (int, error) {
	doubted := 0
	for i := range r.reports {
		report := &r.reports[i]
		n, err := r.doubtRevisions(ctx, report, stored)
		doubted += n
		if err != nil {
			return doubted, err
		}
		p := PeriodOf(report.Period, r.now().In(report.Zone))
		for range lookBack {
			p = p.Before()
			run, err := r.findRun(ctx, report, p)
			if err != nil {
				return doubted, err
			}
			if r.now().Sub(mailFrom(run, r.schedules[i].dueAt(p))) >= mailWindow {
				continue // it is too late for that
			}
			if run.State != call.RunBuilt {
				if found, err := stored(ctx, filesPrefix(report.Name, p)); err != nil || !found {
					if err != nil {
						return doubted, err
					}
					continue
				}
				if run, err = r.loseRun(ctx, report, p); err != nil {
					return doubted, err
				}
				n, err := r.doubtLost(ctx, report, run, stored)
				doubted += n
				if err != nil {
					return doubted, err
				}
			}
			n, err := r.doubtMails(ctx, run, report.Recipients, 1)
			doubted += n
			if err != nil {
				return doubted, err
			}
		}
	}
	return doubted, nil
}

// loseRun leaves a run to be built again.
func (r *Reporter) loseRun(ctx context.Context, report *Report, p Period) (call.Run, error) {
	run, lease, won, err := r.store.ReserveRun(ctx, call.Run{
		Report: report.Name, PeriodFrom: p.From, PeriodTo: p.To, Zone: report.Zone.String(),
	}, time.Minute)
	if err == nil && won {
		err = r.store.FailRun(ctx, lease, lostRun)
	}
	return run, err
}

// doubtRevisions makes those mails of revisions uncertain that would be begun by
// themselves now, or will be when a revision is made again of which nothing is
// known but its files.
func (r *Reporter) doubtRevisions(ctx context.Context, report *Report, stored func(ctx context.Context, prefix string) (bool, error)) (doubted int, err error) {
	runs, err := r.recentRuns(ctx, report, r.now().Add(-reviseWithin))
	if err != nil {
		return 0, err
	}
	for _, run := range runs {
		if run.MailRevision > 1 && r.now().Sub(run.BuiltAt) < mailWindow {
			n, err := r.doubtMails(ctx, run, report.Recipients, run.MailRevision)
			doubted += n
			if err != nil {
				return doubted, err
			}
		}
		n, err := r.doubtLost(ctx, report, run, stored)
		doubted += n
		if err != nil {
			return doubted, err
		}
	}
	return doubted, nil
}

// doubtLost does so for the revisions of a run that are lost.
func (r *Reporter) doubtLost(ctx context.Context, report *Report, run call.Run, stored func(ctx context.Context, prefix string) (bool, error)) (doubted int, err error) {
	p := r.periodOf(report, run)
	for revision := max(run.Revision, 1) + 1; ; revision++ {
		found, err := stored(ctx, revisionPrefix(report.Name, p, revision))
		if err != nil || !found {
			return doubted, err
		}
		n, err := r.doubtMails(ctx, run.At(revision), report.Recipients, revision)
		doubted += n
		if err != nil {
			return doubted, err
		}
	}
}

// doubtMails makes the mails of a run's revision uncertain to those recipients
// to whom no mail of a revision from one on has been begun.
func (r *Reporter) doubtMails(ctx context.Context, run call.Run, recipients []string, from int) (doubted int, err error) {
	mails, err := r.mailsOf(ctx, run)
	if err != nil {
		return 0, err
	}
	for _, recipient := range recipients {
		if m, begun := mails[recipient]; begun && m.Revision >= from {
			continue
		}
		m, begun, err := r.beginMail(ctx, run, recipient)
		if err == nil && begun {
			err = r.store.FinishMail(ctx, m.ID, call.MailUncertain, lostMail, 0)
			doubted++
		}
		if err != nil {
			return doubted, err
		}
	}
	return doubted, nil
}
