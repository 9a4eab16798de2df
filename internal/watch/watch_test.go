package watch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
	"callvault/internal/watch"
)

func forEachDatabase(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	for name, options := range map[string]func(*testing.T) store.Options{
		"SQLite": func(t *testing.T) store.Options {
			t.Helper()
			return store.Options{Path: filepath.Join(t.TempDir(), "callvault.db")}
		},
		"PostgreSQL": func(t *testing.T) store.Options { t.Helper(); return store.Options{DSN: testenv.Postgres(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := store.Open(t.Context(), options(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, s)
		})
	}
}

// told is a Sender that remembers, and fails as often as it is told to.
type told struct {
	mu    sync.Mutex
	lines []string
	fail  int
}

func (s *told) Send(_ context.Context, target string, m watch.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("the line is busy")
	}
	s.lines = append(s.lines, target+" "+string(m.Event)+" "+m.Subject)
	return nil
}

func (s *told) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

// TestConditions lets one of two nodes see trouble that is of no account.
func TestConditions(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		var mail told
		now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
		senders := map[string]watch.Sender{"ops@example.org": &mail}
		n := &nodes{now: now}
		condition := watch.Condition{Kind: call.AlertVault}
		seeing, err := watch.New(watch.Options{Store: s, Senders: senders, Now: func() time.Time { return n.now },
			Logger:     slog.New(slog.NewTextHandler(&n.log, nil)),
			Conditions: func(context.Context, time.Time) []watch.Condition { return []watch.Condition{condition} }})
		if err != nil {
			t.Fatal(err)
		}
		n.watchers = []*watch.Watcher{seeing, seeing}
		n.pass(t.Context(), time.Hour)
		condition = watch.Condition{Kind: call.AlertVault, Bad: true, Since: now, Sentence: "It is full."}
		n.pass(t.Context(), time.Hour)
		condition = watch.Condition{Kind: call.AlertVault} // nobody knows better
		n.pass(t.Context(), time.Hour)
		open, err := s.OpenAlerts(t.Context())
		if err != nil || len(open) != 1 || open[0].Account != "" || open[0].Opening != "It is full." || !open[0].Since.Equal(now) {
			t.Errorf("open: %+v, %v", open, err)
		}
		condition = watch.Condition{Kind: call.AlertVault, Well: true, Sentence: "There is room again."}
		n.pass(t.Context(), time.Hour)
		want := []string{
			"ops@example.org opened Alert: Callvault: the vault takes nothing",
			"ops@example.org closed Over: Callvault: the vault takes nothing",
		}
		if diff := cmp.Diff(want, mail.all()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// nodes are several watchers on one store, whose clock a test moves.
type nodes struct {
	now      time.Time
	watchers []*watch.Watcher
	registry *prometheus.Registry
	log      bytes.Buffer
}

func newNodes(t *testing.T, s watch.Store, accounts []watch.Account, senders map[string]watch.Sender, now time.Time) *nodes {
	t.Helper()
	n := &nodes{now: now, registry: prometheus.NewRegistry()}
	for range 2 {
		o := watch.Options{Store: s, Accounts: accounts, Senders: senders, Now: func() time.Time { return n.now },
			Logger: slog.New(slog.NewTextHandler(&n.log, nil))}
		if n.watchers == nil {
			o.Metrics = n.registry
		}
		w, err := watch.New(o)
		if err != nil {
			t.Fatal(err)
		}
		n.watchers = append(n.watchers, w)
	}
	return n
}

// pass lets time pass, with all nodes looking and telling now and then: less
// often than they do, and often enough to have been there all the time.
func (n *nodes) pass(ctx context.Context, d time.Duration) {
	for end := n.now.Add(d); n.now.Before(end); n.now = n.now.Add(10 * time.Minute) {
		for _, w := range n.watchers {
			w.Look(ctx)
			w.Tell(ctx)
		}
	}
}

// shown are the alerts that the metrics show as open.
func (n *nodes) shown(t *testing.T) (open []string) {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "callvault_alerts" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetGauge().GetValue() == 1 {
				open = append(open, m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue())
			}
		}
	}
	return open
}

// report is a delivery of one report of an answered call that ended at at.
func report(account string, at time.Time) *call.Delivery {
	key := fmt.Sprintf("%d.1", at.UnixMilli())
	l := &call.Leg{
		Account: account, Provider: call.CallerDesk, Key: key, Direction: call.Inbound, Status: "ANSWER", Outcome: call.Answered,
		CustomerNumber: "+919812345678", StartedAt: at.Add(-time.Minute), AnsweredAt: at.Add(-50 * time.Second), EndedAt: at, TalkSeconds: new(50),
	}
	l.AddKey(call.KeyCall, key)
	return &call.Delivery{Account: account, ReceivedAt: at, Method: "POST", Body: []byte(key), Source: call.SourceWebhook, Items: []call.Item{{Leg: l}}}
}

// work records a report every twenty minutes of working hours (9 to 18 on
// weekdays, UTC).
func work(t *testing.T, s *store.Store, account string, from, to time.Time) {
	t.Helper()
	var batch []*call.Delivery
	for at := from; at.Before(to); at = at.Add(20 * time.Minute) {
		if day := at.Weekday(); day != time.Saturday && day != time.Sunday && at.Hour() >= 9 && at.Hour() < 18 {
			batch = append(batch, report(account, at))
		}
	}
	for len(batch) > 0 {
		n := min(len(batch), 250)
		if err := s.Record(t.Context(), batch[:n]); err != nil {
			t.Fatal(err)
		}
		batch = batch[n:]
	}
}

func alerts(t *testing.T, s *store.Store) (lines []string) {
	t.Helper()
	found, _, err := s.FindAlerts(t.Context(), call.AlertFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range found {
		line := fmt.Sprintf("%s %s since %s", a.Kind, a.Account, a.Since.Format("2 Jan 15:04"))
		if !a.IsOpen() {
			line += ", over"
		}
		lines = append(lines, line)
	}
	return lines
}

// Friday is quiet from 10 on; the alert opens once over two nodes, is told once
// to each, and closes with the next report, which is told, too.
func TestSilenceFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		friday := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
		work(t, s, "sales", friday.AddDate(0, 0, -30), friday.Add(10*time.Hour))
		work(t, s, "support", friday.AddDate(0, 0, -30), friday.Add(18*time.Hour))
		work(t, s, "quiet", friday.AddDate(0, 0, -30), friday.Add(10*time.Hour))
		sender := &told{fail: 1}
		n := newNodes(t, s, []watch.Account{{Name: "sales", Silence: true}, {Name: "support", Silence: true}, {Name: "quiet"}},
			map[string]watch.Sender{"ops@example.org": sender, watch.WebhookTarget: sender}, friday.Add(9*time.Hour))
		n.pass(t.Context(), 3*time.Hour)
		if got := alerts(t, s); got != nil {
			t.Fatalf("at noon: %v", got)
		}
		n.pass(t.Context(), 6*time.Hour)
		if diff := cmp.Diff([]string{"silence sales since 20 Nov 09:40"}, alerts(t, s)); diff != "" {
			t.Fatal(diff)
		}
		opened := "Alert: sales: no reports come"
		got := sender.all()
		if len(got) != 2 || !strings.HasSuffix(got[0], "opened "+opened) || !strings.HasSuffix(got[1], "opened "+opened) || got[0] == got[1] {
			t.Errorf("told: %q", got)
		}
		if diff := cmp.Diff([]string{"silence sales"}, n.shown(t)); diff != "" {
			t.Error(diff)
		}
		// It stays overnight, and ends with Monday's first report.
		n.pass(t.Context(), 12*time.Hour)
		monday := friday.AddDate(0, 0, 3).Add(8 * time.Hour)
		n.now = monday
		if err := s.Record(t.Context(), []*call.Delivery{report("sales", monday)}); err != nil {
			t.Fatal(err)
		}
		n.pass(t.Context(), 10*time.Minute)
		if diff := cmp.Diff([]string{"silence sales since 20 Nov 09:40, over"}, alerts(t, s)); diff != "" {
			t.Fatal(diff)
		}
		if open := n.shown(t); open != nil {
			t.Errorf("the metrics show %v", open)
		}
		got = sender.all()[2:]
		if len(got) != 2 || !strings.HasSuffix(got[0], "closed Over: sales: no reports come") || got[0] == got[1] {
			t.Errorf("told: %q", got)
		}
		if log := n.log.String(); strings.Count(log, "level=ERROR msg=alert ") != 1 || strings.Count(log, `msg="alert is over"`) != 1 {
			t.Errorf("log is %s", log)
		}
	})
}

func TestRecordingsUnreadableAndPauses(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		var batch []*call.Delivery
		for i := range 30 {
			batch = append(batch, report("sales", now.Add(-time.Duration(100+i)*time.Minute)))
		}
		for i := range 12 {
			batch = append(batch, &call.Delivery{Account: "support", ReceivedAt: now.Add(-time.Duration(i) * time.Minute), Method: "POST",
				Body: fmt.Appendf(nil, "nonsense %d", i), Source: call.SourceWebhook, Items: []call.Item{{Outcome: call.Unreadable, Error: "nonsense"}}})
		}
		if err := s.Record(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if err := s.PauseAccount(t.Context(), "mapped", "the secret is wrong"); err != nil {
			t.Fatal(err)
		}
		accounts := []watch.Account{{Name: "sales", Silence: true, Recordings: true}, {Name: "support"}, {Name: "mapped"}}
		n := newNodes(t, s, accounts, nil, now)
		n.pass(t.Context(), time.Minute)
		found, _, err := s.FindAlerts(t.Context(), call.AlertFilter{State: call.AlertOpen})
		if err != nil || len(found) != 3 {
			t.Fatalf("alerts are %+v, %v", found, err)
		}
		// The trouble is mended, and one account is not watched any more.
		if err := s.WakeAccount(t.Context(), "mapped"); err != nil {
			t.Fatal(err)
		}
		n = newNodes(t, s, []watch.Account{{Name: "sales", Silence: true}, {Name: "support"}, {Name: "mapped"}}, nil, now.Add(2*time.Hour))
		if err := s.Record(t.Context(), []*call.Delivery{report("support", n.now)}); err != nil {
			t.Fatal(err)
		}
		n.pass(t.Context(), 20*time.Minute)
		closed, _, err := s.FindAlerts(t.Context(), call.AlertFilter{State: call.AlertClosed})
		if err != nil || len(closed) != 3 {
			t.Fatalf("closed are %+v, %v", closed, err)
		}
		closings := map[call.AlertKind]string{}
		for _, a := range closed {
			closings[a.Kind] = a.Closing
		}
		if diff := cmp.Diff(map[call.AlertKind]string{
			call.AlertNoRecordings: "It is not watched any more.",
			call.AlertUnreadable:   "1 of the 1 deliveries of the last hour could be read.",
			call.AlertPaused:       "Its recordings are being fetched again.",
		}, closings); diff != "" {
			t.Error(diff)
		}
	})
}

// What cannot be told is tried again some times, and then given up; whoever was
// never told of the beginning is not told of the end.
func TestNoticesAreGivenUp(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
		if err := s.PauseAccount(t.Context(), "sales", "the secret is wrong"); err != nil {
			t.Fatal(err)
		}
		good, broken := &told{}, &told{fail: 1000}
		n := newNodes(t, s, []watch.Account{{Name: "sales"}}, map[string]watch.Sender{"good@example.org": good, "broken@example.org": broken}, now)
		n.pass(t.Context(), 5*time.Hour)
		if tries := 1000 - broken.fail; tries != 7 {
			t.Errorf("%d tries", tries)
		}
		if err := s.WakeAccount(t.Context(), "sales"); err != nil {
			t.Fatal(err)
		}
		broken.fail = 0
		n.pass(t.Context(), time.Hour)
		if len(good.all()) != 2 || broken.all() != nil {
			t.Errorf("told: %q and %q", good.all(), broken.all())
		}
		// The next alert finds a target that was taken out of the configuration.
		if err := s.PauseAccount(t.Context(), "sales", "the secret is wrong"); err != nil {
			t.Fatal(err)
		}
		for _, w := range n.watchers {
			n.now = n.now.Add(time.Hour)
			w.Look(t.Context())
		}
		without := newNodes(t, s, []watch.Account{{Name: "sales"}}, map[string]watch.Sender{"broken@example.org": broken}, n.now)
		without.pass(t.Context(), time.Hour)
		if len(good.all()) != 2 || len(broken.all()) != 1 {
			t.Errorf("told: %q and %q", good.all(), broken.all())
		}
		if strings.Contains(n.log.String(), "could not be") {
			t.Errorf("log is %s", n.log.String())
		}
	})
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies [][]byte
	status := http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/hook/hunter2" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		bodies = append(bodies, body)
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	hook, err := watch.NewWebhook(server.URL + "/hook/hunter2")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	message := watch.Message{ID: "n1", Event: call.NoticeOpened, Subject: "Alert: sales: no reports come", At: at,
		Alert: call.Alert{ID: "a1", Kind: call.AlertSilence, Account: "sales", Since: at.Add(-time.Hour), OpenedAt: at, Opening: "No call report has come."}}
	if err := hook.Send(t.Context(), watch.WebhookTarget, message); err != nil {
		t.Fatal(err)
	}
	message.Event, message.Alert.ClosedAt, message.Alert.Closing = call.NoticeClosed, at.Add(time.Hour), "Reports come again."
	if err := hook.Send(t.Context(), watch.WebhookTarget, message); err != nil {
		t.Fatal(err)
	}
	alert := func(closed any, sentence string) map[string]any {
		return map[string]any{"id": "a1", "kind": "silence", "account": "sales", "since": "2026-11-20T11:00:00Z", "opened_at": "2026-11-20T12:00:00Z",
			"closed_at": closed, "sentence": sentence}
	}
	want := []map[string]any{
		{"id": "n1", "event": "opened", "text": "Alert: sales: no reports come\nNo call report has come.", "alert": alert(nil, "No call report has come.")},
		{"id": "n1", "event": "closed", "text": "Alert: sales: no reports come\nReports come again.", "alert": alert("2026-11-20T13:00:00Z", "Reports come again.")},
	}
	got := make([]map[string]any, len(bodies))
	for i, body := range bodies {
		if err := json.Unmarshal(body, &got[i]); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// What does not arrive is an error, which does not hold the address.
	for _, status = range []int{http.StatusInternalServerError, http.StatusNotFound} {
		if err := hook.Send(t.Context(), watch.WebhookTarget, message); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("status %d: %v", status, err)
		}
	}
	server.Close()
	if err := hook.Send(t.Context(), watch.WebhookTarget, message); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("without a server: %v", err)
	}
	if _, err := watch.NewWebhook("https://user:hunter2@[::1/%zz"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("not a URL: %v", err)
	}
}
