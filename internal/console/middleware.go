package console

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"

	"github.com/google/uuid"
)

// requestIDHeader carries the id under which the log speaks of a request. It
// is always our own: a client's could be anything.
const requestIDHeader = "X-Request-ID"

// AccessLog logs each request after it is answered: request id, method, path,
// status, bytes, duration and remote address. What follows the account in a
// webhook's path is the account's secret, and masked whether or not the route
// exists; the query, which may hold a whole call report, is left out. The
// remote address is r.RemoteAddr: whoever believes a proxy sets that first.
// Probes and webhooks that go well are logged as debug.
func AccessLog(next http.Handler, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, begin := r.Context(), time.Now()
		id := uuid.NewString()
		w.Header().Set(requestIDHeader, id)
		counted := &countingWriter{ResponseWriter: w}
		method, path := r.Method, maskPath(r.URL.Path)
		defer func() { // also when a handler aborts the connection
			level := slog.LevelInfo
			// Probes come several times a minute for ever, and deliveries that
			// were taken stand in the database.
			if counted.status == http.StatusOK && (slices.Contains(probes, path) || strings.HasPrefix(path, "/webhook/")) {
				level = slog.LevelDebug
			}
			if !logger.Enabled(ctx, level) {
				return
			}
			logger.LogAttrs(ctx, level, "request",
				slog.String("request_id", id),
				slog.String("method", method),
				slog.String("path", path),
				slog.Int("status", counted.status),
				slog.Int64("bytes", counted.bytes),
				slog.Duration("duration", time.Since(begin)),
				slog.String("remote_address", r.RemoteAddr))
		}()
		next.ServeHTTP(counted, r)
		if counted.status == 0 { // net/http sends 200 for a handler that is silent
			counted.status = http.StatusOK
		}
	})
}

// countingWriter counts what was answered. A status of 0 in the log means that
// nothing was.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // 1xx are followed by another
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Recover turns a panic into an answer and an entry in the log, so that one
// request cannot end the others. An answer that has begun is cut off instead,
// so that nobody takes it for whole.
func Recover(next http.Handler, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, counted := r.Context(), &countingWriter{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
			logger.LogAttrs(ctx, slog.LevelError, "request panicked",
				slog.String("request_id", w.Header().Get(requestIDHeader)),
				slog.String("path", maskPath(r.URL.Path)),
				slog.String("panic", fmt.Sprint(p)),
				slog.String("stack", string(debug.Stack())))
			if counted.status != 0 {
				panic(http.ErrAbortHandler)
			}
			answerError(w, r, http.StatusInternalServerError, call.Internal,
				"something went wrong inside; the log has more under request "+w.Header().Get(requestIDHeader))
		}()
		next.ServeHTTP(counted, r)
	})
}

// SecurityHeaders tells browsers to trust answers with nothing: no scripts, no
// frames, no guessing of types, no addresses passed on.
func SecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		next.ServeHTTP(w, r)
	})
}

// webhookPath finds a webhook's path wherever a proxy or a slip of the hand
// put it; accountName is what an account can be called.
var (
	webhookPath = regexp.MustCompile(`(?i)webhook/`)
	accountName = regexp.MustCompile(`^[a-z0-9_-]+$`)
)

// minToken is the length, in bytes, from which a webhook's token is accepted.
const minToken = 16

// maxLoggedPath bounds, in bytes, how much of a path a stranger can put into
// the log.
const maxLoggedPath = 256

// maskPath is path as the log may show it: of a webhook only the account, and
// not even that when it cannot be one and so may be the secret misplaced.
func maskPath(path string) string {
	if at := webhookPath.FindStringIndex(path); at != nil {
		account, token, more := strings.Cut(path[at[1]:], "/")
		switch {
		case account == "" && token == "":
		case !accountName.MatchString(account), !more && len(account) >= minToken:
			path = path[:at[1]] + "***"
		case more:
			path = path[:at[1]] + account + "/***"
		}
	}
	if len(path) > maxLoggedPath {
		path = path[:maxLoggedPath] + "…"
	}
	return path
}
