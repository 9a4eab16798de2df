package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
)

// objectTerms say how long what is no recording is promised to stay in the
// vault, and is locked where that locks. docs/compliance.md has the table and
// the reasons.
func objectTerms(c *config.Config, locks bool) call.Terms {
	// What is kept for ever is promised only where it is locked: by another name
	// all is promised anew when a directory has moved into a bucket.
	suffix := ""
	if locks {
		suffix = ", locked"
	}
	reports := call.Term{Name: "reports: " + c.Retention.Reports.String() + suffix, End: c.Retention.Reports.After}
	journal := journalTerm(&c.Retention)
	journal.Name += suffix
	return call.Terms{Locks: locks, Of: map[call.ObjectSort]call.Term{
		call.SegmentObjects: journal,
		call.ReportObjects:  reports,
		// Reports print them.
		call.SealObjects: reports,
		// They say what is gone from all of these.
		call.CertificateObjects: {Name: "erasures", End: func(start time.Time) time.Time {
			if journal.End == nil {
				return reports.End(start)
			}
			return latest(journal.End(start), reports.End(start))
		}},
	}}
}

// journalTerm is the longest of the terms of what a database can be made again
// from segments for: audio, with its custody, facts of calls, and requests. Facts
// and requests count only where somebody has given them an end: that they are
// kept for ever is also what nobody has decided, and a segment that is locked
// keeps back what is to be erased. Nothing is promised where no term is given. A
// term of its own is as long as all of these.
func journalTerm(r *config.Retention) call.Term {
	if !r.Journal.IsForever() {
		return call.Term{Name: "journal: " + r.Journal.String(), End: r.Journal.After}
	}
	var terms []config.Term
	var names []string
	add := func(t config.Term) {
		terms = append(terms, t)
		names = append(names, t.String())
	}
	for _, rule := range r.Recordings {
		add(rule.Keep)
	}
	for _, t := range []config.Term{r.Calls, r.Deliveries} {
		if !t.IsForever() {
			add(t)
		}
	}
	if len(terms) == 0 {
		return call.Term{}
	}
	return call.Term{Name: "journal: longest of " + strings.Join(names, ", "), End: func(start time.Time) time.Time {
		ends := make([]time.Time, len(terms))
		for i, t := range terms {
			ends[i] = t.After(start)
		}
		return latest(ends...)
	}}
}

// latest is the latest of the ends of terms, of which the zero time is that of
// one that never ends.
func latest(ends ...time.Time) time.Time {
	var last time.Time
	for _, end := range ends {
		if end.IsZero() {
			return end
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

// promiser says until when objects of a sort are promised that are put now.
func promiser(t call.Terms, sort call.ObjectSort) func(start time.Time) time.Time {
	return func(start time.Time) time.Time { return t.Promise(sort, start) }
}

// tellTerms says at start what a vault that locks does with what is no recording.
func tellTerms(ctx context.Context, t call.Terms, logger *slog.Logger) {
	if !t.Locks {
		return
	}
	journal := t.Of[call.SegmentObjects]
	if journal.End == nil {
		logger.WarnContext(ctx, "the journal is not locked: no term of retention.recordings, calls or deliveries says for how long")
	}
	logger.InfoContext(ctx, "the vault locks what is put into it", "journal", journal.Name, "reports", t.Of[call.ReportObjects].Name)
}
