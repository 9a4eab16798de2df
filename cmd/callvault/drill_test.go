package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault/internal/config"
	"callvault/internal/drill"
)

// freeAddress is an address on this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// withDrills adds the accounts that the drill prints to the configuration.
func (in installation) withDrills(t *testing.T) {
	t.Helper()
	printed := commandJSON[map[string]string](t, "drill", "--print-config", "--listen", freeAddress(t))
	in.rewrite(t, config.FileName, func(text string) string {
		return strings.Replace(text, "accounts:\n", "accounts:\n"+printed["accounts"], 1)
	})
}

// rewrite writes the configuration, changed, to a file in the data folder and
// returns its name.
func (in installation) rewrite(t *testing.T, name string, change func(string) string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(in.data, config.FileName))
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(text))
	if changed == string(text) {
		t.Fatal("nothing is changed in the configuration")
	}
	file := filepath.Join(in.data, name)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDrillsAreNobodysAccounts: neither does the demo play on them, nor is a
// provider told of them.
func TestDrillsAreNobodysAccounts(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "reports: [{name: daily}]\n")
	in.withDrills(t)
	cfg, err := config.Load(config.Options{Data: in.data})
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{address: "127.0.0.1:1", secret: teleSecret}
	if _, err := demoConfig(cfg, p); err != nil {
		t.Fatal(err)
	}
	day, err := demoCommand{Calls: 20, Seed: 1}.day(cfg, p, time.Now(), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range day.Events {
		if e.Account != "sales" && e.Account != "support" {
			t.Fatalf("the demo plays on %s", e.Account)
		}
	}
	for _, a := range cfg.Accounts {
		if a.Drill == (a.RecordingHosts[0] == p.address) {
			t.Errorf("the demo fetches the recordings of %s from %v", a.Name, a.RecordingHosts)
		}
		if a.Drill && a.CanBackfill() {
			t.Errorf("%s is asked for its call list", a.Name)
		}
	}
	for _, h := range hooks(cfg, "https://calls.example.org") {
		if strings.HasPrefix(h.Account, "drill") {
			t.Errorf("%s is to be pasted", h.URL)
		}
	}
}

// drilled runs a drill and returns what it found, and its exit status.
func drilled(t *testing.T, args ...string) (drill.Result, outcome) {
	t.Helper()
	got := command(t, "", append([]string{"drill", "--json"}, args...)...)
	var result drill.Result
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		t.Fatalf("%v in %+v", err, got)
	}
	return result, got
}

func TestDrill(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "reports: [{name: daily}, {name: drills, match: {account: drill-callerdesk}}]\n")
		in.withDrills(t)
		p := in.start(t)
		// As a provider would be at work beside it.
		newLoad(in).post(t.Context(), p.url, 5)
		result, got := drilled(t, "--url", p.url, "--data", in.data)
		if got.status != exitDone || result.Broken != 0 || result.Held != len(result.Checks) || result.Held < 18 {
			t.Errorf("status %d: %+v\n%s", got.status, result, got.stderr)
		}
		// Once more, by a token of the operator's: nothing of the first is in
		// its way.
		token := commandJSON[map[string]string](t, "token", "add", "ops", "--role", "compliance", "--data", in.data)["token"]
		again := command(t, "", "drill", "--url", p.url, "--data", in.data, "--token", token)
		if again.status != exitDone || !strings.Contains(again.stdout, "0 broken") || strings.Count(again.stdout, "held  ") != result.Held {
			t.Errorf("again: %+v", again)
		}
		p.stop(syscall.SIGTERM)
		tokens := commandJSON[map[string][]principal](t, "token", "list", "--data", in.data)["tokens"]
		if len(tokens) != 2 || !tokens[0].Disabled || tokens[1].Disabled {
			t.Errorf("the drill leaves the tokens %+v", tokens)
		}
		// No report counts what never happened, unless it is asked to.
		today := time.Now().In(time.FixedZone("IST", 19800)).Format(time.DateOnly)
		if n := in.reported(t, "daily", today); n != 0 {
			t.Errorf("the daily report has %d calls of drills", n)
		}
		if n := in.reported(t, "drills", today); n < 300 {
			t.Errorf("a report of the drills has %d calls", n)
		}
	})
}

// reported builds a report and counts its calls.
func (in installation) reported(t *testing.T, name, date string) int {
	t.Helper()
	out := t.TempDir()
	commandJSON[map[string]any](t, "report", name, "--date", date, "--out", out, "--data", in.data)
	files, err := filepath.Glob(filepath.Join(out, "*-calls.csv"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return len(rows) - 1
}

// TestDrillFindsFaults breaks the installation on purpose.
func TestDrillFindsFaults(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	if got := command(t, "", "drill", "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "--print-config") {
		t.Errorf("without accounts for drills: %+v", got)
	}
	in.withDrills(t)
	p := in.start(t)
	if got := command(t, "", "drill", "--url", "http://127.0.0.1:1", "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "nobody answers") {
		t.Errorf("without a server: %+v", got)
	}
	if got := command(t, "", "drill", "--url", p.url, "--data", in.data, "--token", "cv_wrong"); got.status != exitWrong || !strings.Contains(got.stderr, "does not take the token") {
		t.Errorf("without a token that is taken: %+v", got)
	}
	broken := func(r drill.Result) map[string]string {
		names := map[string]string{}
		for _, c := range r.Checks {
			if !c.Held {
				if names[c.Name] = c.Seen; c.Do == "" {
					t.Errorf("%s: it is not said what to do", c.Name)
				}
			}
		}
		return names
	}
	// The drill knows another token than the server.
	other := in.rewrite(t, "token.yaml", func(text string) string {
		_, token, _ := strings.Cut(text, "provider: callerdesk\n    drill: true\n    token: ")
		return strings.Replace(text, token[:40], strings.Repeat("x", 40), 1)
	})
	result, got := drilled(t, "--url", p.url, "--data", in.data, "--config", other, "--wait", "10s")
	names := broken(result)
	if got.status != exitWrong || !strings.Contains(names["a plain report"], "404") || !strings.Contains(names["duplicates"], "404") {
		t.Errorf("a wrong token: status %d, broken are %v", got.status, names)
	}
	for _, name := range []string{"a recording by file name", "a wrong token", "every call exactly once"} {
		if seen, ok := names[name]; ok {
			t.Errorf("a wrong token breaks %s: %s", name, seen)
		}
	}
	// The server may not fetch from where the drill serves.
	other = in.rewrite(t, "host.yaml", func(text string) string {
		before, after, _ := strings.Cut(text, "provider: callerdesk\n    drill: true")
		line, rest, _ := strings.Cut(after, "allow_private_networks")
		token, _, _ := strings.Cut(line, "recording_hosts")
		return before + "provider: callerdesk\n    drill: true" + token + `recording_hosts: ["` + freeAddress(t) + "\"]\n    allow_private_networks" + rest
	})
	result, got = drilled(t, "--url", p.url, "--data", in.data, "--config", other, "--wait", "10s")
	names = broken(result)
	if got.status != exitWrong || !strings.Contains(names["a plain report"], "refused") || !strings.Contains(names["a document instead of audio"], "never asked for") {
		t.Errorf("a host that is not allowed: status %d, broken are %v", got.status, names)
	}
	if seen, ok := names["duplicates"]; ok {
		t.Errorf("a host that is not allowed breaks duplicates: %s", seen)
	}
	for _, c := range result.Checks {
		if strings.Contains(c.Seen+c.Do, "/webhook/drill") {
			t.Errorf("a check shows the webhook's address: %+v", c)
		}
	}
}

// TestDrillSeesWhatGoesWrong puts something in front of the installation that
// loses, doubles and alters what passes through.
func TestDrillSeesWhatGoesWrong(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	in.withDrills(t)
	p := in.start(t)
	target, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ModifyResponse: alter}
	var bursts atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/webhook/") {
			proxy.ServeHTTP(w, r)
			return
		}
		if r.ContentLength == 1000 {
			// As if the report that never ends had been read.
			control := http.NewResponseController(w)
			if err := errors.Join(control.EnableFullDuplex(), control.Flush()); err != nil {
				t.Error(err)
			}
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		text := string(body)
		switch {
		case len(body) > 1<<20, r.Header.Get("Content-Encoding") != "", strings.Contains(r.URL.Path, "00000000"):
			return // acknowledged, whatever it is
		case strings.Contains(text, `"direction":"outbound"`) && strings.Contains(text, `"leg":"a"`), strings.Contains(text, "not a report"):
			return // acknowledged and lost
		case strings.Contains(text, `"CallRecordingUrl":""`) && bursts.Add(1) == 100:
			return
		}
		r.Body = io.NopCloser(strings.NewReader(text))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	result, got := drilled(t, "--url", front.URL, "--data", in.data, "--wait", "12s")
	want := map[string]string{
		"a plain report":                    "what is downloaded has SHA-256",
		"a recording by file name":          "what is downloaded has SHA-256",
		"a recording sent slowly":           "what is downloaded has SHA-256",
		"a recording that comes later":      "what is downloaded has SHA-256",
		"a recording cut off in the middle": "what is downloaded has SHA-256",
		"an error page instead of audio":    "it should be pending",
		"a document instead of audio":       "it should be refused",
		"reports in the wrong order":        "1 legs instead of 2",
		"many reports at once":              "299 calls",
		"deliveries that cannot be read":    "5 of them kept",
		"a body over 1 MiB":                 "answers 200 OK instead of 413",
		"a wrong token":                     "answers 200 OK instead of 404",
		"a report that never ends":          "although it never ended",
		"every call exactly once":           "(missing)",
	}
	for _, c := range result.Checks {
		if says, broken := want[c.Name]; broken == c.Held || !strings.Contains(c.Seen, says) {
			t.Errorf("%s: held %v, %s", c.Name, c.Held, c.Seen)
		}
		delete(want, c.Name)
	}
	if got.status != exitWrong || len(want) > 0 {
		t.Errorf("status %d; not decided: %v", got.status, want)
	}
}

// alter changes what the API answers: of audio the last byte, and the states of
// recordings that are no audio.
func alter(r *http.Response) error {
	audio := strings.HasSuffix(r.Request.URL.Path, "/audio")
	if !audio && r.Request.URL.Path != "/api/v1/calls" {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if audio {
		body[len(body)-1]++
	} else {
		body = regexp.MustCompile(`"state":"(pending|refused)"([^{}]*"last_error":"the host sent (text/html|application/pdf))`).ReplaceAll(body, []byte(`"state":"archived"$2`))
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}
