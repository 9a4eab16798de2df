package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// questionLimit bounds how long the database may take for one answer.
const questionLimit = 30 * time.Second

// Errors with a status of HTTP's own: for the API's codes, the request is
// invalid.
var (
	errMethod = call.Errorf(call.Invalid, "this address does not answer this method; the header Allow says which it does")
	errRange  = call.Errorf(call.Invalid, "the range lies outside of what there is")
)

// statusGone is what the access log shows when the client left before its
// answer: nobody receives it.
const statusGone = 499

func readOnly(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return errMethod
	}
	return nil
}

// fail is the one place where an error becomes an answer. Only the text of a
// *call.Error leaves the house; the rest is logged, under the id that the
// client is told.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		w.WriteHeader(statusGone)
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fault{call.Unavailable, "the answer took too long; ask for less, or again later", err}
	}
	code := call.CodeOf(err)
	message := publicMessage(err)
	if message == "" {
		message = "something went wrong inside; the log has more"
		if id := w.Header().Get(requestIDHeader); id != "" {
			message += " under request " + id
		}
	}
	if code == call.Internal || code == call.Unavailable {
		c.logger.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("request_id", w.Header().Get(requestIDHeader)),
			slog.String("path", maskPath(r.URL.Path)),
			slog.String("code", string(code)),
			slog.String("error", err.Error()))
	}
	status := code.HTTPStatus()
	switch {
	case errors.Is(err, errMethod):
		status = http.StatusMethodNotAllowed
	case errors.Is(err, errRange):
		status = http.StatusRequestedRangeNotSatisfiable
	}
	answerError(w, r, status, code, message)
}

// answerError tells a browser of an error in a page, and everybody else, and
// whoever asks the API, in JSON.
func answerError(w http.ResponseWriter, r *http.Request, status int, code call.Code, message string) {
	if !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeFault(w, r, status, message)
		return
	}
	writeError(w, status, code, message)
}

// publicMessage is what may be told of err, empty if nothing may.
func publicMessage(err error) string {
	if e, ok := errors.AsType[*call.Error](err); ok {
		return e.Message
	}
	return ""
}

// fault is an error with two texts: Message for the one who asked, the cause
// for the log.
type fault struct {
	code    call.Code
	message string
	cause   error
}

func (f fault) Error() string { return fmt.Sprintf("%s: %v", f.message, f.cause) }

// Unwrap gives the answer before the cause, so that the cause's code and text
// are never the answer's.
func (f fault) Unwrap() []error {
	return []error{&call.Error{Code: f.code, Message: f.message}, f.cause}
}

func writeError(w http.ResponseWriter, status int, code call.Code, message string) {
	type detail struct {
		Code    call.Code `json:"code"`
		Message string    `json:"message"`
	}
	body, err := encode(struct {
		Error detail `json:"error"`
	}{detail{code, message}})
	if err != nil { // two strings always encode
		status, body = http.StatusInternalServerError, nil
	}
	writeBody(w, status, body)
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, v any) error { return writeStatus(w, http.StatusOK, v) }

// writeStatus answers with v and a status that is no error's.
func writeStatus(w http.ResponseWriter, status int, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	writeBody(w, status, body)
	return nil
}

// encode makes valid UTF-8 of whatever providers sent: encoding/json mends
// strings, but passes raw values through.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD")), nil
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that has gone needs no answer, and the access log shows how
	// many bytes it took.
	_, _ = w.Write(body)
}

// optional is nil, JSON's null, for the zero value: what is not known is said
// not to be.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// moment is RFC 3339 in UTC, with a fraction only where there is one.
func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.999Z07:00")
	return &s
}

// list is never null: a program can always go through it.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
