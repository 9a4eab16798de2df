package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"callvault/internal/call"
)

// Where operators' tools ask.
const (
	metricsPath = "/metrics"
	healthzPath = "/healthz"
	readyzPath  = "/readyz"
)

var probes = []string{metricsPath, healthzPath, readyzPath}

// readyLimit bounds how long the parts may take to say that they are there. A
// load balancer does not wait longer.
const readyLimit = 5 * time.Second

// healthz says that the process lives, and asks nothing of anybody: a restart
// would not bring a database back.
func healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, struct {
		Status string `json:"status"`
	}{"ok"})
}

// readyz says which part does not answer; why stands in the log, and here as far
// as everybody may know.
func (c *Console) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyLimit)
	defer cancel()
	status, parts := http.StatusOK, make(map[string]string)
	for name, err := range c.ready(ctx) {
		parts[name] = "ok"
		if err != nil {
			status, parts[name] = http.StatusServiceUnavailable, "does not answer"
			if public, ok := errors.AsType[*call.Error](err); ok {
				parts[name] = public.Message
			}
			c.logger.LogAttrs(r.Context(), slog.LevelWarn, "not ready",
				slog.String("part", name), slog.String("error", err.Error()))
		}
	}
	var notices map[string]string
	if c.notices != nil {
		notices = c.notices()
	}
	body, err := encode(struct {
		Ready   bool              `json:"ready"`
		Parts   map[string]string `json:"parts"`
		Notices map[string]string `json:"notices,omitempty"`
	}{status == http.StatusOK, parts, notices})
	if err != nil {
		return err
	}
	writeBody(w, status, body)
	return nil
}

func (c *Console) metrics(w http.ResponseWriter, r *http.Request) error {
	promhttp.HandlerFor(c.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(c.logger.Handler(), slog.LevelWarn),
	}).ServeHTTP(w, r)
	return nil
}
