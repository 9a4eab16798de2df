package simulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"callvault/internal/simulator"

	"github.com/google/go-cmp/cmp"
)

func TestPlayerSendsEverythingOnceAndInOrder(t *testing.T) {
	t.Parallel()
	day := newDay(t, simulator.Options{Seed: 5, Calls: 100})

	var mu sync.Mutex
	underWay, most := 0, 0
	var received []string
	webhook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		underWay++
		most = max(most, underWay)
		mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		underWay--
		received = append(received, arrival(strings.TrimPrefix(r.URL.Path, "/webhook/"),
			r.Method, r.URL.RawQuery, r.Header.Get("Content-Type"), string(body)))
	}))
	defer webhook.Close()

	var progress []int
	player := simulator.Player{
		URL:         func(account string) string { return webhook.URL + "/webhook/" + account },
		Client:      webhook.Client(),
		Concurrency: 4,
		Progress:    func(done, _ int) { progress = append(progress, done) },
	}
	summary, err := player.Play(t.Context(), day.Events)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Sent != len(day.Events) || summary.Accepted != summary.Sent || summary.Failed != 0 {
		t.Errorf("of %d events: %+v", len(day.Events), summary)
	}
	if most > 4 {
		t.Errorf("%d requests at once, want at most 4", most)
	}
	if len(progress) != len(day.Events) || progress[len(progress)-1] != len(day.Events) {
		t.Errorf("progress was told %d times", len(progress))
	}

	// The events of each call arrive in the order in which they stand.
	conversation := make(map[string]int)
	sent, got := make(map[int][]string), make(map[int][]string)
	for _, e := range day.Events {
		key := arrival(e.Account, e.Method, e.Query, e.ContentType, string(e.Body))
		conversation[key] = e.Conversation
		if e.Conversation >= 0 {
			sent[e.Conversation] = append(sent[e.Conversation], key)
		}
	}
	for _, key := range received {
		if i, known := conversation[key]; !known {
			t.Fatalf("received what was not sent: %s", key)
		} else if i >= 0 {
			got[i] = append(got[i], key)
		}
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("other order (-sent +received):\n%s", diff)
	}
}

func arrival(parts ...string) string { return strings.Join(parts, " ") }

func TestPlayerCountsRefusalsAndDoesNotRepeat(t *testing.T) {
	t.Parallel()
	day := newDay(t, simulator.Options{Seed: 5, Calls: 20})
	var count atomic.Int64
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if count.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer webhook.Close()
	player := simulator.Player{URL: func(string) string { return webhook.URL }, Client: webhook.Client(), Rate: 1e6}
	summary, err := player.Play(t.Context(), day.Events)
	if err != nil {
		t.Fatal(err)
	}
	requests := int(count.Load())
	refused := summary.Refused[http.StatusServiceUnavailable]
	if requests != len(day.Events) || refused != requests/2 || summary.Accepted+refused != requests {
		t.Errorf("%d requests: %+v", requests, summary)
	}
}

func TestPlayerKeepsTheTokenToItself(t *testing.T) {
	t.Parallel()
	day := newDay(t, simulator.Options{Seed: 5, Calls: 5})
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, address := range []string{closed.URL + "/webhook/sales/geheim", "http://[::1/webhook/sales/geheim"} {
		player := simulator.Player{URL: func(string) string { return address }}
		summary, err := player.Play(t.Context(), day.Events)
		if err != nil {
			t.Fatal(err)
		}
		if summary.Failed != len(day.Events) || summary.FirstError == nil {
			t.Fatalf("%+v", summary)
		}
		if text := summary.FirstError.Error(); strings.Contains(text, "geheim") {
			t.Errorf("the error tells the token: %s", text)
		}
	}
}

func TestPlayerStops(t *testing.T) {
	t.Parallel()
	day := newDay(t, simulator.Options{Seed: 5, Calls: 50})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	webhook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer webhook.Close()
	player := simulator.Player{
		URL:    func(string) string { return webhook.URL },
		Client: webhook.Client(),
		Progress: func(done, _ int) {
			if done == 10 {
				cancel()
			}
		},
	}
	summary, err := player.Play(ctx, day.Events)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	if summary.Accepted >= len(day.Events) {
		t.Errorf("all of %d events were sent", len(day.Events))
	}
}
