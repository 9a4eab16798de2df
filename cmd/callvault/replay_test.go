package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/simulator"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// withEachDatabase runs a test on both databases, with the vault in a directory.
func withEachDatabase(t *testing.T, test func(t *testing.T, s storage)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, storage{})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, storage{dsn: testenv.Postgres(t)})
	})
}

// dump is all that an installation's database holds.
func (in installation) dump(t *testing.T, s storage) string {
	t.Helper()
	return testenv.Dump(t, s.dsn, filepath.Join(in.data, "callvault.db"))
}

// replayResult is what `replay --json` gives.
type replayResult struct {
	Deliveries, Recorded, Duplicate, Ignored, Unreadable, Failed, Changed int
	DryRun                                                                bool `json:"dry_run"`
	Calls                                                                 []struct {
		ID      *string
		Account string
		Key     string `json:"call_key"`
		Changes map[string][2]any
	}
}

// TestReplayOfADay: while the day's reports come in, and when all are there,
// reading them again changes nothing.
func TestReplayOfADay(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(t *testing.T, s storage) {
		var server http.Handler
		in := install(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }), "")
		day, err := simulator.NewDay(simulator.Options{Seed: 5, Calls: 150, Date: time.Now().AddDate(0, 0, -1), RecordingURL: in.provider.URL})
		if err != nil {
			t.Fatal(err)
		}
		server = simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: teleSecret, Recordings: day.Recordings})
		p := in.start(t)
		player := simulator.Player{Concurrency: 4, URL: func(account string) string {
			return p.url + "/webhook/" + account + "/" + map[string]string{"sales": salesToken, "support": supportToken}[account]
		}}
		var playing sync.WaitGroup
		playing.Go(func() {
			if sent, err := player.Play(t.Context(), day.Events); err != nil || sent.Accepted != len(day.Events) {
				t.Errorf("sent: %+v, %v", sent, err)
			}
		})
		for range 3 {
			if got := command(t, "", "replay", "--data", in.data); got.status != exitDone {
				t.Errorf("beside a running server: %+v", got)
			}
		}
		playing.Wait()
		p.stop(syscall.SIGTERM)

		stored, _ := in.openStored(t)
		outcomes := map[string]string{}
		if err := stored.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error {
			outcomes[c.Account+" "+c.Key] += string(c.Outcome)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, c := range day.Conversations {
			want[c.Account+" "+c.Key] = c.Outcome
		}
		if diff := cmp.Diff(want, outcomes); diff != "" {
			t.Errorf("calls differ (-want +got):\n%s", diff)
		}
		before := in.dump(t, s)
		for _, args := range [][]string{{"--dry-run"}, nil, {"--outcome", "duplicate"}, {"--account", "support"}} {
			got := commandJSON[replayResult](t, append([]string{"replay", "--data", in.data}, args...)...)
			if got.Changed != 0 || got.Failed != 0 || got.Deliveries == 0 || len(args) < 2 && got.Deliveries != len(day.Events) {
				t.Errorf("replay %v of %d deliveries: %+v", args, len(day.Events), got)
			}
			if diff := cmp.Diff(before, in.dump(t, s)); diff != "" {
				t.Errorf("replay %v changes:\n%s", args, diff)
			}
		}
	})
}

// TestReplayCommand: what was unreadable when it came is read by today's
// decoder.
func TestReplayCommand(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "")
		if s.dsn == "" {
			if got := command(t, "", "replay", "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "no database") {
				t.Errorf("without a database: %+v", got)
			}
		}
		const total = 150 // more than one lot
		stored, _ := in.openStored(t)
		unreadable(t, stored, total)
		received := time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC)
		err := stored.Record(t.Context(), []*call.Delivery{
			misunderstood("sales", `{"CallSid":}`, received),
			misunderstood("closed", `{"CallSid":"1.1"}`, received), // of an account that is not configured any more
		})
		if err != nil {
			t.Fatal(err)
		}
		before := in.dump(t, s)
		run := func(args ...string) (replayResult, outcome) {
			t.Helper()
			got := command(t, "", append([]string{"replay", "--json", "--data", in.data}, args...)...)
			var result replayResult
			if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
				t.Fatalf("replay %v: %v in %+v", args, err, got)
			}
			return result, got
		}
		dry, got := run("--outcome", "unreadable", "--dry-run")
		if got.status != exitWrong || !dry.DryRun || dry.Deliveries != total+1 || dry.Recorded != total || dry.Unreadable != 1 || dry.Changed != total || len(dry.Calls) != total {
			t.Errorf("dry run: %+v", got)
		}
		if c := dry.Calls[0]; c.ID != nil || c.Account != "sales" || c.Changes["outcome"] != [2]any{nil, "answered"} || c.Changes["recordings"] != [2]any{0.0, 1.0} {
			t.Errorf("the dry run tells of %+v", c)
		}
		if diff := cmp.Diff(before, in.dump(t, s)); diff != "" {
			t.Errorf("the dry run changes:\n%s", diff)
		}
		for _, tt := range []struct {
			args string
			n    int
		}{
			{"--outcome recorded", 0}, {"--account support", 0},
			{"--from 2026-11-22", 0}, {"--to 2026-11-20", 0}, {"--from 2026-11-21 --to 2026-11-21", total + 1},
			{"--from 2026-11-20T20:00:01Z", 0}, {"--to 2026-11-20T20:00:01Z --from 2026-11-20T20:00:00Z", total + 1},
		} {
			if result, _ := run(append(strings.Fields(tt.args), "--dry-run")...); result.Deliveries != tt.n {
				t.Errorf("replay %s reads %d deliveries, want %d", tt.args, result.Deliveries, tt.n)
			}
		}
		done, got := run("--outcome", "unreadable")
		if got.status != exitWrong || !strings.Contains(got.stderr, "1 delivery cannot be read") {
			t.Errorf("replay: %+v", got)
		}
		dry.DryRun = false
		// In which lots they were read depends on how fast the machine is.
		for _, r := range []replayResult{dry, done} {
			sort.Slice(r.Calls, func(i, j int) bool { return r.Calls[i].Key < r.Calls[j].Key })
		}
		if diff := cmp.Diff(dry, done); diff != "" {
			t.Errorf("the dry run promised something else:\n%s", diff)
		}
		calls, _, err := stored.FindCalls(t.Context(), call.Filter{Recording: call.Pending, Limit: call.MaxLimit})
		if err != nil || len(calls) != total {
			t.Errorf("%d calls with a recording that is wanted, %v", len(calls), err)
		}
		left, err := stored.DeliveryCounts(t.Context(), call.DeliveryFilter{})
		if err != nil || left[call.Unreadable] != 2 || left[call.Recorded] != total {
			t.Errorf("afterwards the deliveries are %v, %v", left, err)
		}
		before = in.dump(t, s)
		if again, _ := run("--outcome", "recorded"); again.Changed != 0 || again.Recorded != total {
			t.Errorf("again: %+v", again)
		}
		if diff := cmp.Diff(before, in.dump(t, s)); diff != "" {
			t.Errorf("a second replay changes:\n%s", diff)
		}
	})
}

// unreadable stores reports of CallerDesk as if an older version had not
// understood them.
func unreadable(t *testing.T, s *store.Store, n int) {
	t.Helper()
	received := time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC) // in India, the next day
	var old []*call.Delivery
	for i := range n {
		body := fmt.Sprintf(`{"type":"call_report","CallSid":"1763700000.%d","Status":"ANSWER","TalkDuration":"5","StartTime":"2026-11-20 10:00:00","EndTime":"2026-11-20 10:00:20","Direction":"IVR","CallRecordingUrl":"https://new.callerdesk.io/%d.wav"}`, i, i)
		old = append(old, misunderstood("sales", body, received))
	}
	if err := s.Record(t.Context(), old); err != nil {
		t.Fatal(err)
	}
}

func misunderstood(account, body string, received time.Time) *call.Delivery {
	return &call.Delivery{Account: account, ReceivedAt: received, Method: "POST", ContentType: "application/json", Body: []byte(body),
		Source: call.SourceWebhook, Items: []call.Item{{Outcome: call.Unreadable, Error: "not understood by that version"}}}
}

// stopper ends something at the first that is said.
type stopper struct{ stop func() }

func (s stopper) Write(p []byte) (int, error) {
	s.stop()
	return len(p), nil
}

// TestReplayInterrupted: what is interrupted and run again ends as if it had
// not been.
func TestReplayInterrupted(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "")
		stored, _ := in.openStored(t)
		const total = 150
		unreadable(t, stored, total)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		status := run(ctx, []string{"replay", "--data", in.data}, &globals{stdin: strings.NewReader(""), stdout: io.Discard, stderr: stopper{stop}, environ: func() []string { return nil }})
		counts, err := stored.DeliveryCounts(t.Context(), call.DeliveryFilter{})
		if err != nil || status != exitWrong || counts[call.Recorded] == 0 || counts[call.Unreadable] == 0 {
			t.Fatalf("interrupted with status %d: %v, %v", status, counts, err)
		}
		done := commandJSON[replayResult](t, "replay", "--data", in.data)
		if done.Recorded != total || done.Changed != int(counts[call.Unreadable]) {
			t.Errorf("run again: %+v", done)
		}
		calls, _, err := stored.FindCalls(t.Context(), call.Filter{Outcome: call.Answered, Recording: call.Pending, Limit: call.MaxLimit})
		if err != nil || len(calls) != total {
			t.Errorf("%d calls, %v", len(calls), err)
		}
	})
}

func TestImportDryRun(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), "")
		line := `{"type":"call_report","CallSid":"1763700000.%d","Status":%q,"StartTime":"2026-11-20 10:00:00","EndTime":"2026-11-20 10:00:20","Direction":"IVR"}` + "\n"
		first, second := filepath.Join(in.data, "first.jsonl"), filepath.Join(in.data, "second.jsonl")
		for name, text := range map[string]string{
			first:  fmt.Sprintf(line, 1, "BUSY") + fmt.Sprintf(line, 2, "BUSY"),
			second: fmt.Sprintf(line, 1, "ANSWER") + fmt.Sprintf(line, 2, "BUSY") + fmt.Sprintf(line, 3, "BUSY"),
		} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if s.dsn == "" {
			if got := command(t, "", "import", first, "--account", "sales", "--dry-run", "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "no database") {
				t.Errorf("a dry run without a database: %+v", got)
			}
		}
		commandJSON[imported](t, "import", first, "--account", "sales", "--data", in.data)
		before := in.dump(t, s)
		got := commandJSON[replayResult](t, "import", second, "--account", "sales", "--dry-run", "--data", in.data)
		if !got.DryRun || got.Deliveries != 3 || got.Recorded != 2 || got.Duplicate != 1 || got.Changed != 2 || len(got.Calls) != 2 {
			t.Fatalf("dry run: %+v", got)
		}
		if c := got.Calls[0]; c.ID == nil || c.Key != "1763700000.1" || c.Changes["outcome"] != [2]any{"busy", "answered"} || len(c.Changes) != 2 {
			t.Errorf("the changed call is %+v", c)
		}
		if c := got.Calls[1]; c.ID != nil || c.Key != "1763700000.3" || c.Changes["legs_count"] != [2]any{0.0, 1.0} {
			t.Errorf("the new call is %+v", c)
		}
		shown := command(t, "", "import", second, "--account", "sales", "--dry-run", "--data", in.data)
		if shown.status != exitDone || !strings.Contains(shown.stdout, `outcome "busy" → "answered"`) || !strings.Contains(shown.stdout, "Nothing was stored.") {
			t.Errorf("shown is %+v", shown)
		}
		if diff := cmp.Diff(before, in.dump(t, s)); diff != "" {
			t.Errorf("the dry run changes:\n%s", diff)
		}
	})
}
