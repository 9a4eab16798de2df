package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/watch"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// journalPatience is how late the journal may be before people are told:
	// what is not in it would be lost with the database.
	journalPatience = time.Hour
	// outrunEvery is how often it is looked whether the vault's journal is newer
	// than the database.
	outrunEvery = time.Minute
	outrunTime  = 30 * time.Second
)

// journalWatch tells how late the journal is, by what the database says, and
// whether the database is older than the journal.
type journalWatch struct {
	store  *store.Store
	vault  archive.Vault
	logger *slog.Logger
	lag    *prometheus.Desc
	// began is when this program did: what came before may be older than the
	// journal, which has yet to take it in.
	began time.Time

	mu sync.Mutex
	// outrun: the vault holds a segment that the database does not know, that
	// with this number.
	outrun  span
	segment int64
}

func newJournalWatch(s *store.Store, v archive.Vault, r prometheus.Registerer, logger *slog.Logger) *journalWatch {
	w := &journalWatch{store: s, vault: v, logger: logger, began: time.Now(), lag: prometheus.NewDesc("callvault_journal_lag_seconds",
		"How long the oldest delivery has waited that is not in the vault's journal yet; 0 if none does. The same on all nodes.", nil, nil)}
	r.MustRegister(w)
	return w
}

// Describe implements prometheus.Collector.
func (w *journalWatch) Describe(c chan<- *prometheus.Desc) { c <- w.lag }

// Collect implements prometheus.Collector.
func (w *journalWatch) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	oldest, err := w.store.JournalLag(ctx)
	if err != nil {
		w.logger.WarnContext(ctx, "how late the journal is could not be measured", "error", err)
		return
	}
	lag := 0.0
	if !oldest.IsZero() {
		lag = max(0, time.Since(oldest).Seconds())
	}
	c <- prometheus.MustNewConstMetric(w.lag, prometheus.GaugeValue, lag)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// run looks until ctx ends.
func (w *journalWatch) run(ctx context.Context) {
	tick := time.NewTicker(outrunEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look asks whether the vault's journal is newer than the database.
func (w *journalWatch) look(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, outrunTime)
	defer cancel()
	segment, err := archive.Outrun(limit, w.store, w.vault)
	if err != nil {
		if ctx.Err() == nil {
			w.logger.WarnContext(ctx, "the journal in the vault could not be compared with the database; it is tried again", "error", err)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.segment = segment
	if w.outrun.see(segment > 0, time.Now()) && segment > 0 {
		w.logger.ErrorContext(ctx, "the vault's journal is newer than the database", "segment", segment, "what_to_do", outrunSentence(segment))
	}
}

// outrunSentence says what happened and what to do.
func outrunSentence(segment int64) string {
	return fmt.Sprintf("The vault holds segment %d of the journal, which this database did not write: an older copy of the database was restored, or another installation "+
		"uses the same vault. Calls that came after the copy are missing here, and what comes in now gets into no journal: it would be lost with this database. Reports are taken "+
		"all the same. Now: end all servers, put this database aside (do not delete it), make a new one from the vault with `callvault rebuild`, start on that, and ask the providers "+
		"with `callvault backfill` for the calls since. docs/operations.md, \"Restoring a backup\", has the steps.", segment)
}

// notices says what stands in /readyz though the program is ready.
func (w *journalWatch) notices() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.outrun.bad {
		return nil
	}
	return map[string]string{"journal": "the vault's journal is newer than the database; the alert " + string(call.AlertOutrun) + " says what to do"}
}

// isOutrun opens an alert while the vault's journal is newer than the database.
func (w *journalWatch) isOutrun(ctx context.Context) watch.Condition {
	w.mu.Lock()
	unknown := w.outrun.since.IsZero()
	w.mu.Unlock()
	if unknown { // the alert need not wait for the next time that it is asked for
		w.look(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := watch.Condition{Kind: call.AlertOutrun, Bad: w.outrun.bad, Well: !w.outrun.bad && !w.outrun.since.IsZero(), Since: w.outrun.since}
	c.Sentence = "The database knows all of the vault's journal again."
	if c.Bad {
		c.Sentence = outrunSentence(w.segment)
	}
	return c
}

// conditions opens an alert while the journal is late, and while it is newer than
// the database.
func (w *journalWatch) conditions(ctx context.Context, now time.Time) []watch.Condition {
	condition := watch.Condition{Kind: call.AlertJournal}
	oldest, err := w.store.JournalLag(ctx)
	switch {
	case err != nil: // of the database others tell
	case !oldest.IsZero() && now.Sub(later(oldest, w.began)) >= journalPatience:
		condition.Bad, condition.Since = true, oldest
		condition.Sentence = fmt.Sprintf("The journal in the vault is late: a delivery of %s is not in it yet. If the database were lost now, so would be what "+
			"came since. The log says why (\"the journal could not be written\").", oldest.UTC().Format(time.RFC3339))
	default:
		condition.Well, condition.Sentence = true, "The journal in the vault holds all deliveries again."
	}
	return []watch.Condition{condition, w.isOutrun(ctx)}
}
