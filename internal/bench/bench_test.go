package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/webhook"

	"github.com/google/go-cmp/cmp"
)

func TestCallReportsAreUnderstood(t *testing.T) {
	t.Parallel()
	decoder, err := webhook.NewDecoder([]webhook.Account{
		{Name: account, Provider: call.CallerDesk, Token: token, Zone: kolkata(), Region: "IN"},
	}, webhook.Hooks{Drift: func(_, status string) { t.Errorf("status %q is not known", status) }})
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[call.Outcome]int{}
	for i := range 800 {
		d, err := bigDayReport(decoder, 1600+i, 800, 2)
		if err != nil {
			t.Fatal(err)
		}
		leg := d.Items[0].Leg
		outcomes[leg.Outcome]++
		if leg.StartedAt.Before(bigDate()) || !leg.StartedAt.Before(bigDate().AddDate(0, 0, 1)) {
			t.Errorf("call %d began at %s, on another day", i, leg.StartedAt)
		}
		if len(leg.CustomerNumber) != len("+919811122233") || leg.Agent.Name == "" || leg.EndedAt.IsZero() {
			t.Errorf("call %d: customer %q, agent %q, ended %s", i, leg.CustomerNumber, leg.Agent.Name, leg.EndedAt)
		}
		if got := len(leg.Recordings) == 1; got != (leg.Outcome == call.Answered) {
			t.Errorf("call %d is %s and has recordings %v", i, leg.Outcome, leg.Recordings)
		}
	}
	for number, days := range map[int]int{0: -2, 799: -2, 800: -1, 1599: -1} {
		d, err := bigDayReport(decoder, number, 800, 2)
		if err != nil {
			t.Fatal(err)
		}
		if at := d.Items[0].Leg.StartedAt; at.Before(bigDate().AddDate(0, 0, days)) || !at.Before(bigDate().AddDate(0, 0, days+1)) {
			t.Errorf("call %d began at %s", number, at)
		}
	}
	for _, o := range []call.Outcome{call.Answered, call.Missed, call.Busy} {
		if outcomes[o] == 0 {
			t.Errorf("no call of 800 is %s: %v", o, outcomes)
		}
	}
}

func TestReadAnswer(t *testing.T) {
	t.Parallel()
	r := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-length: 3\r\nX: y\r\n\r\nok\n" +
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"))
	for _, want := range []int{200, 503} {
		if got, err := readAnswer(r); err != nil || got != want {
			t.Errorf("readAnswer = %d, %v, want %d", got, err, want)
		}
	}
	for _, text := range []string{"", "nonsense\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"} {
		if _, err := readAnswer(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("readAnswer(%q) found nothing wrong", text)
		}
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	same := func(v float64) float64 { return v }
	if got, want := spread([]float64{3, 1, 2, 10}, "%.1f ms", same), "2.5 (1.0–10.0) ms"; got != want {
		t.Errorf("spread = %q, want %q", got, want)
	}
	if got, want := spread([]float64{3}, "%.1f ms", same), "3.0 ms"; got != want {
		t.Errorf("spread of one = %q, want %q", got, want)
	}
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(i+1))
	}
	if p50, p99 := percentile(times, 50), percentile(times, 99); p50 != 100 || p99 != 198 {
		t.Errorf("percentiles = %d, %d, want 100, 198", p50, p99)
	}
}

func TestReplaceSection(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "performance.md")
	const document = "A\n<!-- bench ingest -->\nold\n<!-- end of bench ingest -->\nB\n"
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := replaceSection(path, "ingest", "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "A\n<!-- bench ingest -->\n\nnew\n\n<!-- end of bench ingest -->\nB\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if err := replaceSection(path, "archive", "new\n"); err == nil {
		t.Error("a document without marks was written")
	}
}

func TestDocumentHasAllSections(t *testing.T) {
	t.Parallel()
	for _, one := range benchmarks() {
		if err := hasSection(filepath.Join("..", "..", "docs", "performance.md"), one.name); err != nil {
			t.Error(err)
		}
	}
}
