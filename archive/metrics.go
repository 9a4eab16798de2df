package archive

import (
	"errors"
	"time"

	"callvault/internal/call"

	"github.com/prometheus/client_golang/prometheus"
)

// result is how one try ended, as the metrics call it.
type result string

const (
	resultArchived  result = "archived"
	resultNotReady  result = "not_ready"
	resultAbsent    result = "absent"
	resultRefused   result = "refused"
	resultPaused    result = "paused"  // the account's credentials or settings
	resultStorage   result = "storage" // vault, spool or database failed
	resultLeaseLost result = "lease_lost"
	resultReleased  result = "released" // by shutdown
)

type metrics struct {
	tries   *prometheus.CounterVec
	bytes   *prometheus.CounterVec
	seconds prometheus.Histogram
	delay   prometheus.Histogram
	ready   *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callvault_recording_tries_total",
			Help: "Tries to archive a recording, by how they ended.",
		}, []string{"account", "result"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callvault_recording_archived_bytes_total",
			Help: "Bytes of audio put into the vault.",
		}, []string{"account"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "callvault_recording_try_seconds",
			Help:    "How long a try took, fetching and storing.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 9), // to 11 min
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "callvault_recording_delay_seconds",
			Help:    "How long after it was wanted a recording was archived.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 10), // to 3 days
		}),
		ready: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "callvault_recording_ready_seconds",
			Help:    "How long after the end of its call a recording was found ready.",
			Buckets: readyBuckets(),
		}, []string{"account"}),
	}
	if registry == nil {
		return m, nil
	}
	return m, errors.Join(registry.Register(m.tries), registry.Register(m.bytes),
		registry.Register(m.seconds), registry.Register(m.delay), registry.Register(m.ready))
}

func readyBuckets() []float64 {
	var seconds []float64
	for _, bound := range call.ReadyBounds() {
		seconds = append(seconds, bound.Seconds())
	}
	return seconds
}

func (m *metrics) tried(account string, r result, took time.Duration) {
	m.tries.WithLabelValues(account, string(r)).Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) archived(account string, size int64, delay time.Duration) {
	m.bytes.WithLabelValues(account).Add(float64(size))
	m.delay.Observe(delay.Seconds())
}
