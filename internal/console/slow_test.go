package console_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"callvault/internal/console"
)

// TestSlowBodies: whoever does not send the body that he announced is cut off,
// also by a handler that does not read it, and one who did is not.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	server := httptest.NewServer(console.SlowBodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/unread":
			http.NotFound(w, r)
		case "/long":
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "a" {
				t.Errorf("read %q, %v", body, err)
			}
			timer := time.NewTimer(3 * limit)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				t.Error("cut off though the body was sent")
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}), limit))
	defer server.Close()

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); isTimeout(err) {
		t.Error("a connection is held by a body that does not come")
	}

	response, err := http.Post(server.URL+"/long", "text/plain", strings.NewReader("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusNoContent {
		t.Errorf("%s, %v", response.Status, err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
