package console_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

// listener is a client of /live/events.
type listener struct {
	t      *testing.T
	body   io.ReadCloser
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func (h *house) listen(t *testing.T, token string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url+"/api/v1/live/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" ||
		res.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, header %v", res.StatusCode, res.Header)
	}
	return &listener{t, res.Body, bufio.NewScanner(res.Body), cancel}
}

// next is the next event, as NAME DATA, or ":" for a comment; empty at the end.
func (l *listener) next() string {
	l.t.Helper()
	var name string
	for l.lines.Scan() {
		field, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch field {
		case ":":
			return ":"
		case "event":
			name = value
		case "data":
			return name + " " + value
		}
	}
	return ""
}

// want reads the next event, of which only what is not age is compared.
func (l *listener) want(name, data string) {
	l.t.Helper()
	got, text, _ := strings.Cut(l.next(), " ")
	if got != name {
		l.t.Fatalf("event %s %s, want %s %s", got, text, name, data)
	}
	if diff := cmp.Diff(decode(l.t, data), decode(l.t, text)); diff != "" {
		l.t.Fatalf("%s: %s", name, diff)
	}
}

// until waits for something that happens behind a client's back.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !is() {
		select {
		case <-limit:
			t.Fatal("waited in vain: ", what)
		case <-tick.C:
		}
	}
}

const (
	never = time.Hour
	soon  = 2 * time.Millisecond
)

// liveSample is a call in progress, and as the API has it.
func liveSample(h *house, key, group string, state call.LiveState) (call.LiveCall, string) {
	return call.LiveCall{Account: "sales", Key: call.Key{Kind: call.KeyCall, Value: key}, Group: group, State: state,
			StateSince: h.clock.Add(-3 * time.Second), At: h.clock, Agent: call.Agent{ID: "204"}},
		fmt.Sprintf(`{"account": "sales", "call_key": "%s", "direction": null, "state": "%s",
			"state_since": "2023-01-03T06:59:57Z", "age_seconds": 3, "customer_number": null, "business_number": null,
			"agent": {"id": "204", "name": null, "number": null}, "group": "%s", "since": null}`, key, state, group)
}

func TestStream(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.console.Hasten(soon, never, never)
	h.store.setLive(nil)
	all, sales := h.listen(t, viewer), h.listen(t, salesManager)
	all.want("snapshot", `{"calls": []}`)
	sales.want("snapshot", `{"calls": []}`)

	one, oneJSON := liveSample(h, "1", "Sales", call.Ringing)
	other, otherJSON := liveSample(h, "2", "Billing", call.Ringing)
	h.store.setLive(nil, other)
	all.want("call", otherJSON)
	h.store.setLive(nil, other, one)
	all.want("call", oneJSON)
	sales.want("call", oneJSON) // and not the other
	// Who comes later sees the same.
	late := h.listen(t, admin)
	late.want("snapshot", `{"calls": [`+otherJSON+`, `+oneJSON+`]}`)

	// That more was heard of it is no change; what it does now is one.
	one.At = one.At.Add(time.Second)
	h.store.setLive(nil, other, one)
	one, oneJSON = liveSample(h, "1", "Sales", call.Talking)
	h.store.setLive(nil, one, other)
	all.want("call", oneJSON)
	sales.want("call", oneJSON)
	late.want("call", oneJSON)

	// A call that moves to another group is over for those of its old one.
	moved, movedJSON := liveSample(h, "1", "Billing", call.Talking)
	h.store.setLive(nil, moved, other)
	all.want("call", movedJSON)
	sales.want("ended", `{"account": "sales", "call_key": "1"}`)
	h.store.setLive(nil, moved)
	all.want("ended", `{"account": "sales", "call_key": "2"}`)
	late.want("call", movedJSON)
	late.want("ended", `{"account": "sales", "call_key": "2"}`)
}

// A client that goes leaves nothing behind; the last to go ends the looking.
func TestStreamIsLeft(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.console.Hasten(soon, soon, never)
	l := h.listen(t, viewer)
	l.next()
	if got := l.next(); got != ":" {
		t.Fatalf("%q is no sign of life", got)
	}
	l.cancel()
	until(t, "the stream to end", func() bool { return h.console.Listeners(1) == 0 })
	// The next begins anew.
	next := h.listen(t, viewer)
	next.next()
	r := h.get(t, "/api/v1/live/events", viewer)
	r.wantError(t, http.StatusTooManyRequests, call.Limited)
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if r := h.do(t, http.MethodHead, "/api/v1/live/events?x=1", viewer); r.status != http.StatusBadRequest {
		t.Errorf("status %d", r.status)
	}
	h.get(t, "/api/v1/live/events", "wrong").wantError(t, http.StatusUnauthorized, call.Unauthorized)
	next.cancel()
	until(t, "the stream to end", func() bool { return h.console.Listeners(1) == 0 })
	if r := h.do(t, http.MethodHead, "/api/v1/live/events", viewer); r.status != http.StatusOK || len(r.body) > 0 {
		t.Errorf("status %d, body %q", r.status, r.body)
	}
}

// The end of the server is the end of its streams, at once.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	l := h.listen(t, viewer)
	l.next()
	h.console.EndStreams()
	if got := l.next(); got != "" || l.lines.Err() != nil {
		t.Errorf("after the end: %q, %v", got, l.lines.Err())
	}
	h.get(t, "/api/v1/live/events", viewer).wantError(t, http.StatusServiceUnavailable, call.Unavailable)
	h.console.EndStreams() // twice is no harm
}

// A database that fails is an answer at first; later the stream waits for it.
func TestStreamOutlastsTheDatabase(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.console.Hasten(soon, never, never)
	h.store.setLive(errors.New("dial postgres://secret"))
	r := h.get(t, "/api/v1/live/events", viewer)
	if message := r.wantError(t, http.StatusInternalServerError, call.Internal); strings.Contains(message, "secret") {
		t.Errorf("message %q", message)
	}
	one, oneJSON := liveSample(h, "1", "Sales", call.Ringing)
	h.store.setLive(nil, one)
	l := h.listen(t, viewer)
	l.want("snapshot", `{"calls": [`+oneJSON+`]}`)
	h.store.setLive(errors.New("dial postgres://secret"))
	warned := func() int { return len(h.log.entries(t, "calls in progress cannot be read; their streams wait")) }
	until(t, "a word in the log", func() bool { return warned() >= 2 }) // one of each outage
	h.store.setLive(nil)
	l.want("ended", `{"account": "sales", "call_key": "1"}`)
	if n := warned(); n != 2 {
		t.Errorf("%d warnings", n)
	}
}

// A stream ends with the token that opened it, and follows its groups.
func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.console.Hasten(soon, soon, never)
	one, oneJSON := liveSample(h, "1", "Sales", call.Ringing)
	h.store.setLive(nil, one)
	l := h.listen(t, viewer)
	l.want("snapshot", `{"calls": [`+oneJSON+`]}`)
	grant := func(token call.Token) {
		h.store.mu.Lock()
		defer h.store.mu.Unlock()
		h.store.tokens[sha256.Sum256([]byte(viewer))] = token
	}
	past := func() string { // what comes after the signs of life
		for {
			if got := l.next(); got != ":" {
				return got
			}
		}
	}
	grant(call.Token{Role: call.Viewer, Groups: []string{"Billing"}})
	if got := past(); !strings.HasPrefix(got, "ended ") {
		t.Errorf("event %q", got)
	}
	grant(call.Token{Role: call.Viewer, Disabled: true})
	if got := past(); got != "" {
		t.Errorf("event %q", got)
	}
}

// Who takes nothing is cut off, and holds up nobody.
func TestStreamOfOneWhoTakesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.console.Hasten(soon, never, 100*time.Millisecond)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /api/v1/live/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", viewer); err != nil {
		t.Fatal(err)
	}
	until(t, "the stream to begin", func() bool { return h.console.Listeners(9) == 1 })
	long := strings.Repeat("9", 1<<20)
	n := 0
	until(t, "the stream to be cut off", func() bool {
		one, _ := liveSample(h, "1", "Sales", call.Ringing)
		one.CustomerNumber = fmt.Sprint(n, long)
		n++
		h.store.setLive(nil, one)
		return h.console.Listeners(9) == 0
	})
}

// A call that rings for hours rings no more; one that is talked on goes on, but
// not for ever. Events that were old when they came tell of nothing that goes on.
func TestLiveCallsEndByAge(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ringing, _ := liveSample(h, "1", "Sales", call.Ringing)
	talking, _ := liveSample(h, "2", "Sales", call.Talking)
	long, _ := liveSample(h, "3", "Sales", call.Talking)
	long.Since = h.clock.Add(-3 * time.Hour)
	h.store.setLive(nil, ringing, talking, long)
	for after, want := range map[time.Duration]int{
		-time.Minute: 3, 59 * time.Minute: 3, 61 * time.Minute: 1, 239 * time.Minute: 1, 241 * time.Minute: 0,
	} {
		h.clock = ringing.At.Add(after)
		if n := len(in[[]any](t, h.get(t, "/api/v1/live", viewer).json(t), "calls")); n != want {
			t.Errorf("after %s there are %d calls", after, n)
		}
	}
}
