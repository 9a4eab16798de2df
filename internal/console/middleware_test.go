package console_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"callvault/internal/call"
	"callvault/internal/console"
)

func TestAccessLogMasksTokens(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef-token"
	long := "/" + strings.Repeat("x", 1000)
	for path, want := range map[string]string{
		"/webhook/sales/" + token:                 "/webhook/sales/***",
		"/webhook/sales/" + token + "/more":       "/webhook/sales/***",
		"/webhook/sales/":                         "/webhook/sales/***",
		"/webhook/sales":                          "/webhook/sales",
		"/webhook/":                               "/webhook/",
		"/webhook":                                "/webhook",
		"/webhook//" + token:                      "/webhook/***",
		"/webhook/" + token:                       "/webhook/***",
		"/webhook/sales%2F" + token:               "/webhook/sales/***",
		"/webhook/Sales;" + token + "/x":          "/webhook/***",
		"/proxy/webhook/sales/" + token:           "/proxy/webhook/sales/***",
		"/WEBHOOK/sales/" + token:                 "/WEBHOOK/sales/***",
		"/webhook/sales/" + token + "?a=" + token: "/webhook/sales/***",
		"/api/v1/calls?q=secret":                  "/api/v1/calls",
		long:                                      long[:256] + "…",
	} {
		log := &logged{}
		handler := console.AccessLog(http.NotFoundHandler(), slog.New(slog.NewJSONHandler(log, nil)))
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, nil))
		e := log.entries(t, "request")
		if len(e) != 1 || e[0]["path"] != want || strings.Contains(log.String(), token) {
			t.Errorf("%s is logged as %s, want %s", path, log, want)
		}
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		status  float64
		bytes   float64
	}{
		"silent": {func(http.ResponseWriter, *http.Request) {}, 200, 0},
		"body": {func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.WriteString(w, "hello"); err != nil {
				panic(err)
			}
		}, 200, 5},
		"status": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		}, 418, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &logged{}
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/x", nil)
			r.Header.Set("X-Request-ID", "forged")
			console.AccessLog(tt.handler, slog.New(slog.NewJSONHandler(log, nil))).ServeHTTP(w, r)
			e := log.entries(t, "request")
			if len(e) != 1 || e[0]["status"] != tt.status || e[0]["bytes"] != tt.bytes || e[0]["method"] != "GET" ||
				e[0]["remote_address"] != r.RemoteAddr || e[0]["level"] != "INFO" {
				t.Errorf("the log has %v", e)
			}
			if d, ok := e[0]["duration"].(float64); !ok || d <= 0 {
				t.Errorf("duration is %v", e[0]["duration"])
			}
			if id := w.Header().Get("X-Request-ID"); len(id) != 36 || e[0]["request_id"] != id {
				t.Errorf("request id is %q, in the log %v", id, e[0]["request_id"])
			}
		})
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.store.panics = true
	r := h.get(t, "/api/v1/calls", admin)
	message := r.wantError(t, http.StatusInternalServerError, call.Internal)
	if strings.Contains(message, "the store panics") {
		t.Errorf("message is %q", message)
	}
	e := h.log.entries(t, "request panicked")
	if len(e) != 1 || e[0]["panic"] != "the store panics" || !strings.Contains(in[string](t, e[0], "stack"), "FindCalls") ||
		e[0]["request_id"] != r.header.Get("X-Request-ID") {
		t.Errorf("the log has %v", e)
	}
}

// An answer that panics half-way must not look whole.
func TestPanicCutsAnAnswerShort(t *testing.T) {
	t.Parallel()
	log := &logged{}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	server := httptest.NewServer(console.AccessLog(console.Recover(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, strings.Repeat("x", 10_000)); err != nil {
			panic(err)
		}
		panic("half-way")
	}), logger), logger))
	defer server.Close()
	res, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the answer looks whole")
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if len(log.entries(t, "request panicked")) != 1 {
		t.Errorf("the log has %s", log)
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/readyz", "/api/v1/calls", "/none"} {
		header := h.get(t, path, "").header
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if header.Get(name) != value {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
		if !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", path, header.Get("Content-Security-Policy"))
		}
	}
}
