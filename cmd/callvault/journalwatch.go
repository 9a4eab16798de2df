package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/watch"

	"github.com/prometheus/client_golang/prometheus"
)

// journalPatience is how late the journal may be before people are told: what
// is not in it would be lost with the database.
const journalPatience = time.Hour

// journalWatch tells how late the journal is, by what the database says.
type journalWatch struct {
	store  *store.Store
	logger *slog.Logger
	lag    *prometheus.Desc
	// began is when this program did: what came before may be older than the
	// journal, which has yet to take it in.
	began time.Time
}

func newJournalWatch(s *store.Store, r prometheus.Registerer, logger *slog.Logger) *journalWatch {
	w := &journalWatch{store: s, logger: logger, began: time.Now(), lag: prometheus.NewDesc("callvault_journal_lag_seconds",
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

// conditions opens an alert while the journal is late.
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
	return []watch.Condition{condition}
}
