package archive

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lingering answers at once, and reads the request's body for a second more,
// as net/http does when a store answers early or cuts the connection.
type lingering struct {
	answer *http.Response
	err    error
}

func (l lingering) RoundTrip(r *http.Request) (*http.Response, error) {
	go func() {
		<-time.After(time.Second) // of synctest's clock
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(err)
		}
		if err := r.Body.Close(); err != nil {
			panic(err)
		}
	}()
	return l.answer, l.err
}

// TestBodyIsOwn: whoever tries again has the body alone.
func TestBodyIsOwn(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]lingering{
		"the connection is cut": {err: errors.New("connection reset")},
		"an early answer":       {answer: &http.Response{StatusCode: http.StatusServiceUnavailable, Body: io.NopCloser(strings.NewReader("SlowDown"))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				text := strings.NewReader("audio")
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://store/key", io.NopCloser(text))
				if err != nil {
					t.Fatal(err)
				}
				answer, err := ownBody{next}.RoundTrip(r)
				if err == nil {
					err = answer.Body.Close()
				}
				if !errors.Is(err, next.err) {
					t.Errorf("it ended with %v", err)
				}
				if text.Len() > 0 {
					t.Error("the next try may begin while the last one still reads the body")
				}
			})
		})
	}
}
