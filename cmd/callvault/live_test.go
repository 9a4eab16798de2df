package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// liveEvent is an event of /api/v1/live/events, as far as this test looks.
type liveEvent struct {
	Name    string
	Calls   []liveEvent
	CallKey string `json:"call_key"`
	State   string
	Agent   struct{ ID string }
	Group   string
}

// listenLive lets what comes at a node's stream out of a channel, which is
// closed at the stream's end.
func listenLive(t *testing.T, p *program, token string) <-chan liveEvent {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/live/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	events := make(chan liveEvent)
	go func() {
		defer close(events)
		lines := bufio.NewScanner(response.Body)
		name := ""
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			if field == "event" {
				name = value
			}
			if field != "data" {
				continue
			}
			e := liveEvent{Name: name}
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				t.Errorf("data %q: %v", value, err)
			}
			events <- e
		}
	}()
	return events
}

// post posts a report or event to a node.
func (p *program) post(account, token, body string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/webhook/"+account+"/"+token, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		p.t.Fatal(response.Status, err)
	}
}

// TestLiveEvents follows calls in progress through the streams of all nodes:
// what one node is told, each shows, until a hangup or the report ends it. And
// a node that is told to end does so though somebody listens.
func TestLiveEvents(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "")
		first := in.start(t)
		nodes := []*program{first}
		if s.dsn != "" {
			nodes = append(nodes, in.secondNode(t).start(t))
		}
		last := nodes[len(nodes)-1]
		all := commandJSON[map[string]string](t, "token", "add", "wall", "--role", "viewer", "--data", in.data)["token"]
		limited := commandJSON[map[string]string](t, "token", "add", "billing", "--role", "viewer", "--group", "Billing", "--data", in.data)["token"]
		var streams []<-chan liveEvent
		for _, p := range nodes {
			streams = append(streams, listenLive(t, p, all))
		}
		billing := listenLive(t, last, limited)
		want := func(stream <-chan liveEvent, what string) {
			t.Helper()
			select {
			case e, ok := <-stream:
				got := "the end"
				if ok {
					got = strings.Join(strings.Fields(fmt.Sprint(e.Name, " ", e.CallKey, " ", e.State, " ", e.Agent.ID, " ", len(e.Calls))), " ")
				}
				if got != what {
					t.Fatalf("event %s, want %s", got, what)
				}
			case <-time.After(time.Minute):
				t.Fatalf("no event for a minute, want %s", what)
			}
		}
		each := func(what string) {
			t.Helper()
			for _, s := range streams {
				want(s, what)
			}
		}
		each("snapshot 0")
		want(billing, "snapshot 0")

		at := func(second int) int64 { return time.Now().Add(-time.Minute).UnixMilli() + int64(second)*1000 }
		guest := func(status string, second int) string {
			return fmt.Sprintf(`{"type":"event","direction":"inbound","status":"%s","conversation_uuid":"g1","cmiuuid":"g1","app_id":2222223,
				"from":"919811111111","to":"914440051100","time":%d}`, status, at(second))
		}
		agent := func(status string, second int) string {
			return fmt.Sprintf(`{"type":"event","direction":"outbound","leg":"b","status":"%s","conversation_uuid":"g1","cmiuuid":"b1","app_id":2222223,
				"user":"204_2222223","team":"Sales_2222223","from":"919811111111","time":%d}`, status, at(second))
		}
		first.post("support", supportToken, guest("waiting", 0))
		each("call g1 ringing 0")
		first.post("support", supportToken, agent("started", 5))
		each("call g1 ringing 204 0")
		first.post("support", supportToken, agent("answered", 9))
		each("call g1 answered 204 0")
		// Late, and so nothing new.
		last.post("support", supportToken, guest("waiting", 0))
		last.post("sales", salesToken, `{"type":"live_call","CallSid":"1.1","Status":"ringing","Direction":"IVR","call_group":"Billing","SourceNumber":"09822222222"}`)
		each("call 1.1 ringing 0")
		want(billing, "call 1.1 ringing 0")
		last.post("support", supportToken, guest("hangup", 30))
		each("ended g1 0")
		first.post("sales", salesToken, `{"type":"call_report","CallSid":"1.1","Status":"ANSWER","Direction":"IVR","StartTime":"2026-11-20 10:00:00","EndTime":"2026-11-20 10:00:20"}`)
		each("ended 1.1 0")
		want(billing, "ended 1.1 0")

		begin := time.Now()
		last.stop(syscall.SIGTERM)
		if took := time.Since(begin); took >= shutdownTimeout {
			t.Errorf("a node that somebody listens to ended after %s", took)
		}
		want(streams[len(streams)-1], "the end")
		want(billing, "the end")
	})
}
