package archive

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type retentionMetrics struct {
	deleted, bytes, lengthened prometheus.Counter
	runs                       *prometheus.CounterVec
	last                       *prometheus.GaugeVec
}

func newRetentionMetrics(registry prometheus.Registerer) (*retentionMetrics, error) {
	m := &retentionMetrics{
		deleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callvault_retention_deleted_total",
			Help: "Recordings that this node deleted because their retention was over.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callvault_retention_deleted_bytes_total",
			Help: "Bytes of audio that this node deleted because their retention was over.",
		}),
		lengthened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callvault_retention_lengthened_total",
			Help: "Recordings whose retention this node made longer.",
		}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callvault_retention_runs_total",
			Help: "Runs of retention's jobs on this node, by how they ended.",
		}, []string{"job", "result"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "callvault_retention_last_run_timestamp_seconds",
			Help: "When a job of retention last ended well on this node.",
		}, []string{"job"}),
	}
	if registry == nil {
		return m, nil
	}
	return m, errors.Join(registry.Register(m.deleted), registry.Register(m.bytes), registry.Register(m.lengthened),
		registry.Register(m.runs), registry.Register(m.last))
}

func (m *retentionMetrics) ran(job string, a Applied, err error, now time.Time) {
	m.deleted.Add(float64(a.Deleted))
	m.bytes.Add(float64(a.Bytes))
	m.lengthened.Add(float64(a.Lengthened))
	if err != nil {
		m.runs.WithLabelValues(job, "failed").Inc()
		return
	}
	m.runs.WithLabelValues(job, "done").Inc()
	m.last.WithLabelValues(job).Set(float64(now.Unix()))
}
