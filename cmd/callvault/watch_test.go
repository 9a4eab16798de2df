package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// TestSilentAccount lets running programs find out that an account, which was
// busy at this hour one and two weeks ago, has been silent for five hours: they
// say so once, by mail, webhook, log, metrics and API.
func TestSilentAccount(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		smtp := testenv.SMTP(t, testenv.SMTPOptions{})
		posts := make(chan []byte, 10)
		hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			posts <- body
		}))
		defer hook.Close()
		secret := hook.URL + "/the-secret-of-the-chat"
		in := install(t, s, anySize(), fmt.Sprintf(
			"public_url: https://calls.example.org\nalerts: {recipients: [ops@example.org], webhook: %q}\nmail: {smtp: %q, ca_file: %q, from: alerts@example.org}\n", secret, smtp.URL(), smtp.CAFile))
		kept, _ := in.openStored(t)
		makeSilence(t, kept, time.Now())
		token := commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "viewer", "--data", in.data)["token"]
		running := []*program{in.start(t)}
		if s.dsn != "" {
			running = append(running, in.secondNode(t).start(t))
		}
		if _, err := smtp.WaitMessages(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		var posted struct {
			Event, Text string
			Alert       struct{ Kind, Account string }
		}
		if err := json.Unmarshal(<-posts, &posted); err != nil {
			t.Fatal(err)
		}
		if posted.Event != "opened" || posted.Alert.Kind != "silence" || posted.Alert.Account != "sales" || !strings.Contains(posted.Text, "No call report has come from account sales") ||
			!strings.Contains(posted.Text, "(https://calls.example.org/webhook/sales/ and the token)") {
			t.Errorf("posted: %+v", posted)
		}
		found := get[struct{ Alerts []map[string]any }](t, running[0].url+"/api/v1/alerts?state=open", token)
		if len(found.Alerts) != 1 || found.Alerts[0]["kind"] != "silence" || found.Alerts[0]["account"] != "sales" {
			t.Errorf("alerts are %v", found)
		}
		for i, p := range running {
			eventually(t, "the metrics show the alert", func() bool {
				return strings.Contains(metrics(t, p.url), `callvault_alerts{account="sales",kind="silence"} 1`) || i > 0
			})
			p.stop(syscall.SIGTERM)
			if strings.Contains(p.log(), "the-secret-of-the-chat") {
				t.Error("the log holds the webhook's address")
			}
		}
		if n := len(smtp.Messages()); n != 1 || len(posts) != 0 {
			t.Errorf("%d mails and %d more posts", n, len(posts))
		}
		if m := smtp.Messages()[0]; !m.Encrypted || !strings.Contains(string(m.Data), "Subject: Alert: sales: no reports come") {
			t.Errorf("mail is %s", m.Data)
		}
	})
}

// makeSilence records reports of every five minutes, in the eight hours before
// this moment one and two weeks ago and in the hours before the last five of
// today; and that somebody has been watching all the while.
func makeSilence(t *testing.T, s *store.Store, now time.Time) {
	t.Helper()
	var batch []*call.Delivery
	add := func(from, to time.Time) {
		for at := from; at.Before(to); at = at.Add(5 * time.Minute) {
			key := fmt.Sprintf("%d.1", at.UnixMilli())
			l := &call.Leg{Account: "sales", Provider: call.CallerDesk, Key: key, Direction: call.Inbound, Status: "BUSY", Outcome: call.Busy, StartedAt: at}
			l.AddKey(call.KeyCall, key)
			batch = append(batch, &call.Delivery{Account: "sales", ReceivedAt: at, Method: "POST", Body: []byte(key), Source: call.SourceWebhook, Items: []call.Item{{Leg: l}}})
		}
	}
	for _, weeks := range []int{2, 1} {
		then := now.AddDate(0, 0, -7*weeks)
		add(then.Add(-8*time.Hour), then)
	}
	add(now.Add(-8*time.Hour), now.Add(-5*time.Hour))
	if err := s.Record(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{now.Add(-8 * time.Hour), now.Add(-10 * time.Minute)} {
		if _, _, err := s.TakeWatch(t.Context(), at, 0, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
}

func metrics(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDriftOfReports posts a status word that nobody knows: it is logged once
// over all nodes, counted, and listed with the number of its reports.
func TestDriftOfReports(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "")
		running := []*program{in.start(t)}
		token := commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "viewer", "--data", in.data)["token"]
		if s.dsn != "" {
			running = append(running, in.secondNode(t).start(t))
		}
		const posts = 5
		for i := range posts {
			p := running[i%len(running)]
			body := fmt.Sprintf(`{"CallSid":"1.%d","Status":"PARKED","Direction":"IVR","EndTime":"2026-11-20 10:00:00","SourceNumber":"09812345678","mood":"good"}`, i)
			response, err := http.Post(p.url+"/webhook/sales/"+salesToken, "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
				t.Fatalf("%s, %v", response.Status, err)
			}
		}
		drift := func(p *program, more string) []map[string]any {
			return get[struct{ Drift []map[string]any }](t, p.url+"/api/v1/drift?account=sales"+more, token).Drift
		}
		eventually(t, "the word is listed", func() bool { return len(drift(running[0], "")) > 0 })
		if got := drift(running[0], ""); len(got) != 1 || got[0]["name"] != "PARKED" || got[0]["change"] != "unknown_status" {
			t.Errorf("drift is %v", got)
		}
		if got := drift(running[0], "&change=baseline"); len(got) != 1 || got[0]["name"] != "mood" || got[0]["type"] != "string" {
			t.Errorf("baseline is %v", got)
		}
		logged := 0
		for _, p := range running {
			p.stop(syscall.SIGTERM)
			logged += strings.Count(p.log(), `msg="the provider's reports have changed; nothing is dropped for it" account=sales change=unknown_status report=report name=PARKED type=unknown`)
		}
		if logged != 1 {
			t.Errorf("logged %d times", logged)
		}
		kept, _ := in.openStored(t)
		found, _, err := kept.FindDrift(t.Context(), call.DriftFilter{})
		if err != nil || len(found) != 1 || found[0].Reports != posts {
			t.Errorf("after the end: %+v, %v", found, err)
		}
	})
}
