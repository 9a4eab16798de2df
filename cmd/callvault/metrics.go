package main

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/webhook"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// webhookHooks count what the webhook answers.
func webhookHooks(r prometheus.Registerer, watch *webhook.DriftWatch, strangers *audit.Strangers) webhook.Hooks {
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callvault_webhook_requests_total",
		Help: "Webhook requests by account and HTTP status; the account is empty for strangers.",
	}, []string{"account", "status"})
	drift := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callvault_webhook_drift_total",
		Help: "Reports whose status word is not in the provider's vocabulary or contradicts their times.",
	}, []string{"account"})
	r.MustRegister(answers, drift)
	return webhook.Hooks{
		Answered: func(account string, status int) {
			answers.WithLabelValues(account, strconv.Itoa(status)).Inc()
			if status == http.StatusNotFound || status == http.StatusForbidden || status == http.StatusUnauthorized {
				strangers.Count(time.Now(), "webhook_"+strconv.Itoa(status))
			}
		},
		Drift: func(account, _ string) { drift.WithLabelValues(account).Inc() },
		Watch: watch,
	}
}

// driftFound counts what is new in providers' reports.
func driftFound(r prometheus.Registerer) func(call.Drift) {
	found := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callvault_drift_found_total",
		Help: "New fields, types and status words in providers' reports, each counted once over all nodes.",
	}, []string{"account", "change"})
	r.MustRegister(found)
	return func(d call.Drift) { found.WithLabelValues(d.Account, string(d.Change)).Inc() }
}

// queue asks the store for the queue's length when the metrics are read.
type queue struct {
	store      *store.Store
	receiver   *webhook.Receiver
	logger     *slog.Logger
	recordings *prometheus.Desc
	due        *prometheus.Desc
	spooled    *prometheus.Desc

	mu      sync.Mutex
	counted time.Time
	stats   call.QueueStats
}

// countEvery is how old the counts of recordings may be: counting reads an
// index of all that there ever were.
const countEvery = 30 * time.Second

func registerQueue(r prometheus.Registerer, s *store.Store, receiver *webhook.Receiver, logger *slog.Logger) {
	r.MustRegister(&queue{
		store: s, receiver: receiver, logger: logger,
		recordings: prometheus.NewDesc("callvault_recordings", "Recordings by state.", []string{"state"}, nil),
		due:        prometheus.NewDesc("callvault_recordings_due", "Recordings that could be fetched now and are not being fetched.", nil, nil),
		spooled:    prometheus.NewDesc("callvault_spooled_bytes", "Deliveries on disk that wait for the database, in bytes.", nil, nil),
	})
}

func (q *queue) count(ctx context.Context) (call.QueueStats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.counted) < countEvery {
		return q.stats, nil
	}
	stats, err := q.store.QueueStats(ctx)
	if err != nil {
		return stats, err
	}
	q.stats, q.counted = stats, time.Now()
	return stats, nil
}

// Describe implements prometheus.Collector.
func (q *queue) Describe(c chan<- *prometheus.Desc) {
	c <- q.recordings
	c <- q.due
	c <- q.spooled
}

// Collect implements prometheus.Collector.
func (q *queue) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if stats, err := q.count(ctx); err != nil {
		q.logger.WarnContext(ctx, "the queue could not be counted", "error", err)
	} else {
		for state, n := range map[string]int64{"pending": stats.Pending, "archived": stats.Archived, "absent": stats.Absent, "refused": stats.Refused} {
			c <- prometheus.MustNewConstMetric(q.recordings, prometheus.GaugeValue, float64(n), state)
		}
		c <- prometheus.MustNewConstMetric(q.due, prometheus.GaugeValue, float64(stats.Due))
	}
	if bytes, err := q.receiver.Spooled(); err != nil {
		q.logger.WarnContext(ctx, "the spool could not be measured", "error", err)
	} else {
		c <- prometheus.MustNewConstMetric(q.spooled, prometheus.GaugeValue, float64(bytes))
	}
}
