package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/mux"

	"callvault/internal/call"
)

const salesPath = "/webhook/sales/sales-token-0123456789"

func handler(r *Receiver) http.Handler {
	router := mux.NewRouter()
	r.Routes(router)
	return router
}

// do answers a request without a network.
func do(r *Receiver, method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if change != nil {
		change(req)
	}
	w := httptest.NewRecorder()
	handler(r).ServeHTTP(w, req)
	return w
}

func TestStatus(t *testing.T) {
	t.Parallel()
	large := `{"CallSid":"` + strings.Repeat("1", maxBody) + `"}`
	tests := []struct {
		name, method, path, body string
		status                   int
		stored                   int
	}{
		{"POST", "POST", salesPath, callerDeskReport, 200, 1},
		{"GET", "GET", salesPath + "?CallSid=1&EndTime=", "", 200, 1},
		{"old token", "POST", "/webhook/sales/older-token-0123456789", callerDeskReport, 200, 1},
		{"unreadable is kept", "POST", salesPath, "hello", 200, 1},
		{"empty is kept", "GET", salesPath, "", 200, 1},
		{"wrong token", "POST", "/webhook/sales/support-token-0123456789", callerDeskReport, 404, 0},
		{"no token", "POST", "/webhook/sales/", callerDeskReport, 404, 0},
		{"unknown account", "POST", "/webhook/nobody/sales-token-0123456789", callerDeskReport, 404, 0},
		{"other method", "PUT", salesPath, callerDeskReport, 405, 0},
		{"HEAD", "HEAD", salesPath, "", 405, 0},
		{"other method of a stranger", "PUT", "/webhook/sales/x", callerDeskReport, 404, 0},
		{"as large as may be", "POST", salesPath, large[:maxBody], 200, 1},
		{"too large", "POST", salesPath, large, 413, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := &memory{}
			var told string
			r := newTestReceiver(t, m, func(o *Options) {
				o.Accounts[0].OldToken = "older-token-0123456789"
				o.Hooks.Answered = func(account string, status int) { told = fmt.Sprint(account, status) }
			})
			w := do(r, tt.method, tt.path, tt.body, nil)
			if w.Code != tt.status || len(m.stored()) != tt.stored {
				t.Errorf("%d %q, %d stored", w.Code, w.Body, len(m.stored()))
			}
			account := "sales"
			if tt.status == 404 {
				account = ""
			}
			if want := fmt.Sprint(account, tt.status); !strings.HasSuffix(tt.path, "/") && told != want {
				t.Errorf("told %q, want %q", told, want)
			}
			if tt.status == 200 && strings.TrimSpace(w.Body.String()) != "ok" {
				t.Errorf("%q", w.Body)
			}
			if tt.status == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

// TestStrangersLearnNothing: an account that does not exist is answered as one
// whose token is wrong.
func TestStrangersLearnNothing(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(t, &memory{}, nil)
	a := do(r, "POST", "/webhook/sales/wrong", "", nil)
	b := do(r, "POST", "/webhook/nobody/wrong", "", nil)
	if a.Code != b.Code || a.Body.String() != b.Body.String() || cmp.Diff(a.Header(), b.Header()) != "" {
		t.Errorf("%v %q and %v %q", a.Header(), a.Body, b.Header(), b.Body)
	}
}

// TestDelivery: everything is kept as it arrived.
func TestDelivery(t *testing.T) {
	t.Parallel()
	m := &memory{}
	r := newTestReceiver(t, m, func(o *Options) { o.Now = func() time.Time { return testReceivedAt.Add(time.Microsecond) } })
	do(r, "POST", salesPath+"?a=\xff&b=%FF", "{\"CallSid\":\"\xfe\x00", func(req *http.Request) {
		req.Header.Set("Content-Type", "application/json\xff")
		req.RemoteAddr = "[2001:db8::1]:4711"
	})
	got := m.stored()[0]
	if got.UID == "" {
		t.Error("no UID")
	}
	got.UID, got.BodySHA256 = "", nil // made beforehand for the store
	want := &call.Delivery{Account: "sales", ReceivedAt: testReceivedAt, Method: "POST", ContentType: "application/json\ufffd",
		Query: "a=%FF&b=%FF", Body: []byte("{\"CallSid\":\"\xfe\x00"), RemoteAddress: "2001:db8::1", Source: call.SourceWebhook,
		Items:   []call.Item{{Outcome: call.Unreadable, Error: got.Error}},
		Outcome: call.Unreadable, Error: "at byte 16: invalid character '\\x00' in string literal"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func gzipped(tb testing.TB, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	t.Parallel()
	pack := func(text string) string { return string(gzipped(t, text)) }
	packed := pack(callerDeskReport)
	tests := []struct {
		name, encoding, body string
		status               int
		kept                 string
	}{
		{"packed", "gzip", packed, 200, callerDeskReport},
		{"packed under an older name", "x-gzip", packed, 200, callerDeskReport},
		{"packed without a word", "", packed, 200, callerDeskReport},
		{"bomb", "gzip", pack(strings.Repeat(" ", maxBody+1)), 413, ""},
		{"torn", "gzip", packed[:len(packed)-9], 200, packed[:len(packed)-9]},
		{"not packed", "gzip", callerDeskReport, 200, callerDeskReport},
	}
	for _, tt := range tests {
		m := &memory{}
		w := do(newTestReceiver(t, m, nil), "POST", salesPath, tt.body, func(req *http.Request) {
			if tt.encoding != "" {
				req.Header.Set("Content-Encoding", tt.encoding)
			}
		})
		kept := ""
		if len(m.stored()) > 0 {
			kept = string(m.stored()[0].Body)
		}
		if w.Code != tt.status || kept != tt.kept {
			t.Errorf("%s: %d, kept %q", tt.name, w.Code, kept)
		}
	}
}

func TestAllowFrom(t *testing.T) {
	t.Parallel()
	r := newTestReceiver(t, &memory{}, func(o *Options) {
		o.Accounts[0].AllowFrom = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	})
	tests := []struct {
		remote    string
		forwarded []string
		status    int
	}{
		{"203.0.113.9:1", nil, 200},
		{"[::ffff:203.0.113.9]:1", nil, 200},
		{"198.51.100.1:1", nil, 403},
		{"198.51.100.1:1", []string{"203.0.113.9"}, 403},
		{"203.0.113.9", nil, 200}, // as a middleware sets it
		{"@", nil, 403},
	}
	for _, tt := range tests {
		w := do(r, "POST", salesPath, callerDeskReport, func(req *http.Request) {
			req.RemoteAddr = tt.remote
			req.Header["X-Forwarded-For"] = tt.forwarded
		})
		if w.Code != tt.status {
			t.Errorf("%s %v: %d", tt.remote, tt.forwarded, w.Code)
		}
	}
}

// TestRate: what is over the rate waits up to five seconds, the rest is turned
// away with the time to come back.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := newTestReceiver(t, m, func(o *Options) { o.Accounts[0].Rate, o.Accounts[0].Burst = 1, 2 })
		counts := make(map[int]int)
		var mu sync.Mutex
		var wg sync.WaitGroup
		began := time.Now()
		for range 10 {
			wg.Go(func() {
				w := do(r, "POST", salesPath, callerDeskReport, nil)
				mu.Lock()
				defer mu.Unlock()
				counts[w.Code]++
				if after := w.Header().Get("Retry-After"); w.Code == 429 && after != "6" {
					t.Errorf("Retry-After %q", after)
				}
			})
		}
		wg.Wait()
		if diff := cmp.Diff(map[int]int{200: 7, 429: 3}, counts); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(began); took != maxWait {
			t.Errorf("took %v", took)
		}
		// Another account is not concerned.
		if w := do(r, "POST", "/webhook/support/support-token-0123456789", inAnswered, nil); w.Code != 200 {
			t.Errorf("another account: %d", w.Code)
		}
	})
}

// TestSenderGone: a sender that gives up while it waits for the rate leaves its
// turn to others.
func TestSenderGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := newTestReceiver(t, m, func(o *Options) { o.Accounts[0].Rate, o.Accounts[0].Burst = 1, 1 })
		do(r, "POST", salesPath, callerDeskReport, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		do(r, "POST", salesPath, callerDeskReport, func(req *http.Request) { *req = *req.WithContext(ctx) })
		if len(m.stored()) != 1 {
			t.Errorf("%d stored", len(m.stored()))
		}
	})
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	m := &memory{fail: unavailable}
	r := newTestReceiver(t, m, nil)
	if w := do(r, "POST", salesPath, callerDeskReport, nil); w.Code != 200 {
		t.Errorf("with a spool: %d", w.Code)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.spool.dir); err != nil {
		t.Fatal(err)
	}
	w := do(r, "POST", salesPath, callerDeskReport, nil)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "away") {
		t.Errorf("without a spool: %d %q", w.Code, w.Body)
	}
}

// dial opens a connection to a server of the receiver.
func dial(t *testing.T, r *Receiver) net.Conn {
	t.Helper()
	server := httptest.NewServer(handler(r))
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answerOn reads an answer from a connection.
func answerOn(t *testing.T, conn net.Conn) (status int, text string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestTooLargeWhileSending: a client that sends everything before it reads gets
// the answer all the same.
func TestTooLargeWhileSending(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"known length": fmt.Sprintf("Content-Length: %d\r\n\r\n", 8*maxBody),
		"chunked":      fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", 8*maxBody),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &memory{}
			conn := dial(t, newTestReceiver(t, m, nil))
			if _, err := io.WriteString(conn, "POST "+salesPath+" HTTP/1.1\r\nHost: x\r\n"+header); err != nil {
				t.Fatal(err)
			}
			chunk := bytes.Repeat([]byte("1"), 64<<10)
			for range 8 * maxBody / len(chunk) {
				if _, err := conn.Write(chunk); err != nil {
					t.Fatalf("while sending: %v", err)
				}
			}
			if name == "chunked" {
				if _, err := io.WriteString(conn, "\r\n0\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			if status, text := answerOn(t, conn); status != http.StatusRequestEntityTooLarge || text != "larger than 1 MiB\n" {
				t.Errorf("%d %q", status, text)
			}
			if len(m.stored()) != 0 {
				t.Error("kept")
			}
		})
	}
}

// TestTooLargeExpected: a client that asks first is spared the sending.
func TestTooLargeExpected(t *testing.T) {
	t.Parallel()
	conn := dial(t, newTestReceiver(t, &memory{}, nil))
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", salesPath, 8*maxBody); err != nil {
		t.Fatal(err)
	}
	if status, _ := answerOn(t, conn); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", status)
	}
}

// TestSlowBody: a client that does not send on is cut off, and one that has
// sent everything may wait longer than that for its answer.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	m := &memory{fail: func(context.Context, []*call.Delivery) error { <-release; return nil }}
	r := newTestReceiver(t, m, nil)
	r.bodyTime = 100 * time.Millisecond
	conn := dial(t, r)
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", salesPath); err != nil {
		t.Fatal(err)
	}
	if status, _ := answerOn(t, conn); status != http.StatusRequestTimeout || len(m.stored()) != 0 {
		t.Errorf("slow: %d, %d stored", status, len(m.stored()))
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("slow: the connection is still open")
	}

	conn = dial(t, r)
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", salesPath); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(3*r.bodyTime, func() { close(release) })
	defer timer.Stop()
	if status, _ := answerOn(t, conn); status != http.StatusOK {
		t.Errorf("patient: %d", status)
	}
}

// TestSecretsStayOut: no token reaches the log or an error.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	for _, a := range testAccounts() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(verb, a); strings.Contains(s, "token-0123456789") {
				t.Errorf("%s: %s", verb, s)
			}
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"same name":        func(o *Options) { o.Accounts[1].Name = "sales" },
		"no name":          func(o *Options) { o.Accounts[0].Name = "" },
		"no token":         func(o *Options) { o.Accounts[0].Token = "" },
		"unknown provider": func(o *Options) { o.Accounts[0].Provider = "mapped" },
		"unknown field":    func(o *Options) { o.Accounts[0].OutgoingCustomer = "x" },
		"negative rate":    func(o *Options) { o.Accounts[0].Rate = -1 },
		"no spool":         func(o *Options) { o.Spool = "/dev/null/x" },
	} {
		o := Options{Accounts: testAccounts(), Store: &memory{}, Spool: t.TempDir(), Now: now, Logger: quiet}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestRefusalsDoNotFloodTheLog: each kind is told once in a while, and none
// hides another.
func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := newTestReceiver(t, &memory{}, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Accounts[0].AllowFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	large := strings.Repeat("x", maxBody+1)
	for range 5 {
		do(r, "POST", salesPath, large, func(req *http.Request) { req.RemoteAddr = "192.0.2.1:1" })
		do(r, "POST", salesPath, callerDeskReport, func(req *http.Request) { req.RemoteAddr = "198.51.100.1:1" })
	}
	for _, told := range []string{"delivery too large", "delivery from an address that is not allowed"} {
		if n := strings.Count(log.String(), told); n != 1 {
			t.Errorf("%q is told %d times:\n%s", told, n, log.String())
		}
	}
}
