package console_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.ready = map[string]error{"database": nil, "vault": nil, "queue": nil}
	r := h.get(t, "/readyz", "")
	if diff := cmp.Diff(decode(t, `{"ready": true, "parts": {"database": "ok", "vault": "ok", "queue": "ok"}}`), any(r.json(t))); diff != "" || r.status != 200 {
		t.Errorf("status %d: %s", r.status, diff)
	}
	h.notices = map[string]string{"journal": "it is newer than the database"}
	r = h.get(t, "/readyz", "")
	if diff := cmp.Diff(decode(t, `{"ready": true, "parts": {"database": "ok", "vault": "ok", "queue": "ok"}, "notices": {"journal": "it is newer than the database"}}`), any(r.json(t))); diff != "" || r.status != 200 {
		t.Errorf("with a notice: status %d: %s", r.status, diff)
	}
	h.notices = nil
	h.ready["vault"] = errors.New("dial 10.0.0.7:9000: connection refused")
	r = h.get(t, "/readyz", "")
	if diff := cmp.Diff(decode(t, `{"ready": false, "parts": {"database": "ok", "vault": "does not answer", "queue": "ok"}}`), any(r.json(t))); diff != "" ||
		r.status != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", r.status, diff)
	}
	if e := h.log.entries(t, "not ready"); len(e) != 1 || e[0]["part"] != "vault" || e[0]["error"] != "dial 10.0.0.7:9000: connection refused" {
		t.Errorf("the log has %v", e)
	}
	if r := h.get(t, "/healthz", ""); r.status != 200 || strings.TrimSpace(string(r.body)) != `{"status":"ok"}` {
		t.Errorf("healthz: status %d, %s", r.status, r.body)
	}
}

// Probes come every few seconds: only those that fail are worth a line.
func TestProbesThatGoWellAreNotLogged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		h.get(t, path, "")
	}
	h.ready = map[string]error{"queue": errors.New("it stands still")}
	h.get(t, "/readyz", "")
	h.settle()
	if e := h.log.entries(t, "request"); len(e) != 1 || e[0]["status"] != float64(503) {
		t.Errorf("the log has %v", e)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if r := h.get(t, "/metrics", ""); r.status != 200 || !strings.Contains(string(r.body), "\ncallvault_test_total 1\n") {
		t.Errorf("status %d, %s", r.status, r.body)
	}
}

func TestHomeSaysWhereTheAPIIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get(t, "/", "")
	for _, want := range []string{"Callvault 1.2.3", "/api/v1/openapi.json", "callvault token add"} {
		if !strings.Contains(string(r.body), want) {
			t.Errorf("the page does not say %q: %s", want, r.body)
		}
	}
	if r.status != 200 || r.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("status %d, %s", r.status, r.header.Get("Content-Type"))
	}
}
