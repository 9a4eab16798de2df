package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/simulator"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// verifyResult is what `verify --json` gives.
type verifyResult struct {
	Complete    bool
	Checked, OK int64
	Bytes       int64
	Faults      []call.Fault
	Notices     []call.Fault
	Parts       map[string]int64
}

// verify verifies, and says with which status.
func (in installation) verify(t *testing.T, args ...string) (verifyResult, int) {
	t.Helper()
	got := command(t, "", append([]string{"verify", "--json", "--data", in.data}, args...)...)
	var v verifyResult
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil {
		t.Fatalf("status %d, %v: %s%s", got.status, err, got.stdout, got.stderr)
	}
	return v, got.status
}

// tamper changes the database past the program.
func (in installation) tamper(t *testing.T, s storage, statement string) {
	t.Helper()
	driver, dsn := "pgx", s.dsn
	if dsn == "" {
		driver, dsn = "sqlite", "file:"+filepath.Join(in.data, databaseFile)+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	result, err := db.ExecContext(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s touches %d rows, %v", statement, n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestVerify verifies what a day of both providers left behind, while the server
// runs and after; and then what somebody changed in it.
func TestVerify(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		var server http.Handler
		in := install(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }), "reports: [{name: daily, schedule: \"0 0 * * *\"}]\n")
		day, err := simulator.NewDay(simulator.Options{Seed: 9, Calls: 40, Date: time.Now().AddDate(0, 0, -2), RecordingURL: in.provider.URL})
		if err != nil {
			t.Fatal(err)
		}
		server = simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: teleSecret, Recordings: day.Recordings})
		p := in.start(t)
		player := simulator.Player{Concurrency: 4, URL: func(account string) string {
			return p.url + "/webhook/" + account + "/" + map[string]string{"sales": salesToken, "support": supportToken}[account]
		}}
		if _, err := player.Play(t.Context(), day.Events); err != nil {
			t.Fatal(err)
		}
		stored, _ := in.openStored(t)
		eventually(t, "all is archived", func() bool {
			stats, err := stored.QueueStats(t.Context())
			return err == nil && stats.Archived >= int64(day.Expected.Archived)
		})
		commandJSON[map[string]any](t, "report", "daily", "--date", time.Now().AddDate(0, 0, -2).Format(time.DateOnly), "--data", in.data, "--out", t.TempDir())
		if got, status := in.verify(t); status != exitDone || len(got.Faults) > 0 || got.OK != got.Checked {
			t.Errorf("beside a running server: status %d, %+v", status, got)
		}
		p.stop(syscall.SIGTERM)
		got, status := in.verify(t)
		if status != exitDone || !got.Complete || len(got.Faults)+len(got.Notices) > 0 || got.OK != got.Checked || got.Bytes == 0 ||
			got.Parts["calls"] != int64(day.Expected.Calls) || got.Parts["deliveries"] != int64(day.Expected.Deliveries) ||
			got.Parts["objects"] < int64(day.Expected.Archived)+4 {
			t.Fatalf("status %d, %+v, expected %+v", status, got, day.Expected)
		}
		var victim call.CallWithRecordings
		err = stored.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error {
			if len(c.Recordings) == 1 && c.Recordings[0].State == call.Archived && c.CustomerNumber != "" {
				victim = c
			}
			return nil
		})
		if err != nil || victim.ID == "" {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name, change, undo string
			// only are the parts that find it.
			only []string
			want []string
		}{
			{
				"a call", "UPDATE calls SET customer_number = customer_number || '0' WHERE id = '" + victim.ID + "'",
				"UPDATE calls SET customer_number = substr(customer_number, 1, length(customer_number) - 1) WHERE id = '" + victim.ID + "'",
				[]string{"calls"}, []string{"call call/" + victim.ID},
			},
			{
				"a recording's hash", "UPDATE recordings SET sha256 = 'x' || sha256 WHERE call_id = '" + victim.ID + "'",
				"UPDATE recordings SET sha256 = substr(sha256, 2) WHERE call_id = '" + victim.ID + "'",
				[]string{"objects", "rows"}, []string{"mismatch " + victim.Recordings[0].ObjectKey, "recording recording/" + victim.Recordings[0].ID},
			},
			{
				"a line of the log", "UPDATE audit_entries SET actor_name = actor_name || 'x' WHERE seq = 3",
				"UPDATE audit_entries SET actor_name = substr(actor_name, 1, length(actor_name) - 1) WHERE seq = 3",
				[]string{"journal", "log"}, []string{"journal log/3", "log log/3"},
			},
		} {
			in.tamper(t, s, tt.change)
			in.verifyParts(t, tt.only, tt.want)
			got, status := in.verify(t)
			var found []string
			for _, f := range got.Faults {
				found = append(found, string(f.Kind)+" "+f.Where)
			}
			if diff := cmp.Diff(tt.want, found); diff != "" || status != exitWrong {
				t.Errorf("%s: status %d\n%s", tt.name, status, diff)
			}
			in.tamper(t, s, tt.undo)
		}
		if rec, err := stored.Recording(t.Context(), victim.Recordings[0].ID); err != nil || time.Since(rec.VerifiedAt) > time.Hour {
			t.Errorf("verified at %v, %v", rec.VerifiedAt, err)
		}
		if open, closed := faultCount(t, stored, call.AlertOpen), faultCount(t, stored, call.AlertClosed); open != 2 || closed != 3 {
			t.Errorf("%d faults are open and %d closed: nothing was verified since the last was undone", open, closed)
		}
		in.interrupt(t)
		in.verify(t)
		if open := faultCount(t, stored, call.AlertOpen); open != 0 {
			t.Errorf("%d faults are still open", open)
		}
		in.scrub(t, "")
		if s.bucket == nil {
			in.damage(t, victim.Recordings[0].ObjectKey)
		}
		if got, status := in.verify(t, "--from", time.Now().AddDate(0, 0, -30).Format(time.DateOnly), "--to", time.Now().AddDate(0, 0, -20).Format(time.DateOnly)); status != exitDone || got.Parts["objects"]+got.Parts["calls"]+got.Parts["deliveries"] > 0 {
			t.Errorf("days without calls: status %d, %+v", status, got)
		}
	})
}

// verifyParts verifies part by part, and expects some of them to find what was
// changed, each its own, and the others nothing.
func (in installation) verifyParts(t *testing.T, finding, want []string) {
	t.Helper()
	var found []string
	for _, p := range verifyParts() {
		got, status := in.verify(t, "--only", p.name)
		wrong := slices.Contains(finding, p.name)
		if _, done := got.Parts[p.name]; len(got.Parts) != 1 || !done || (status == exitWrong) != wrong || wrong == (len(got.Faults) == 0) {
			t.Errorf("--only %s: status %d, %+v", p.name, status, got)
		}
		for _, f := range got.Faults {
			found = append(found, string(f.Kind)+" "+f.Where)
		}
	}
	slices.Sort(found)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("the parts together:\n%s", diff)
	}
}

// cancelWriter ends a context when something is written to it.
type cancelWriter struct {
	bytes.Buffer
	cancel func()
	when   string
}

func (w *cancelWriter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.when)) {
		w.cancel()
	}
	return w.Buffer.Write(p)
}

// interrupt interrupts verify while it waits to read an object: what it has found
// by then is told.
func (in installation) interrupt(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout bytes.Buffer
	stderr := &cancelWriter{cancel: cancel, when: "calls checked"}
	status := run(ctx, []string{"verify", "--data", in.data, "--rate", "1KiB/s", "--only", "objects", "--only", "calls"}, &globals{stdout: &stdout, stderr: stderr, environ: func() []string { return nil }})
	if status != exitWrong || !strings.HasSuffix(stderr.String(), "callvault: interrupted\n") || !strings.Contains(stdout.String(), " computed again. ") ||
		!strings.HasSuffix(stdout.String(), "That is not all: it was ended before.\n") {
		t.Errorf("interrupted: status %d, %s%s", status, stdout.String(), stderr.String())
	}
}

func faultCount(t *testing.T, s *store.Store, state call.AlertState) int {
	t.Helper()
	found, _, err := s.FindFaults(t.Context(), call.FaultFilter{State: state})
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// scrub goes once through all that the rolling scrub checks, and expects it to
// find nothing but a fault at one place, if any, which Again finds as well.
func (in installation) scrub(t *testing.T, where string) {
	t.Helper()
	s, v := in.openStored(t)
	c, err := config.Load(config.Options{Data: in.data})
	if err != nil {
		t.Fatal(err)
	}
	o := scrubOptions(c, s, v, nil, nil, slog.New(slog.DiscardHandler))
	for _, p := range o.Parts {
		looked := int64(0)
		for next, more := "", true; more; more = next != "" {
			var checked []call.Checked
			if checked, next, err = p.Check(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			for _, c := range checked {
				looked += int64(len(c.Where))
				for _, f := range c.Faults {
					again, err := o.Again(t.Context(), f)
					if f.Where != where || err != nil || len(again) != 1 || len(again[0].Faults) == 0 {
						t.Errorf("%s: %+v; again: %+v, %v", p.Name, f, again, err)
					}
				}
			}
		}
		if n, err := p.Count(t.Context()); err != nil || p.Weight > 0 && (looked == 0 || looked > n && p.Name != "log") {
			t.Errorf("%s: %d of %d were looked at, %v", p.Name, looked, n, err)
		}
	}
}

// damage changes one bit of an object, and expects it to be named, also to
// people.
func (in installation) damage(t *testing.T, key string) {
	t.Helper()
	path := filepath.Join(in.data, "recordings", filepath.FromSlash(key))
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	body[len(body)/2] ^= 1
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	got, status := in.verify(t)
	if status != exitWrong || len(got.Faults) != 1 || got.Faults[0].Kind != call.FaultMismatch || got.Faults[0].Where != key {
		t.Errorf("a bit: status %d, %+v", status, got.Faults)
	}
	in.scrub(t, key)
	told := command(t, "", "verify", "--data", in.data, "--rate", "1GiB/s")
	if told.status != exitWrong || !strings.Contains(told.stdout, "mismatch  "+key) || !strings.Contains(told.stderr, "1 fault was found") ||
		!strings.Contains(told.stderr, "objects read: ") {
		t.Errorf("for people: %+v", told)
	}
	body[len(body)/2] ^= 1
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyUsage(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	if got := command(t, "", "verify", "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "no database") {
		t.Errorf("nothing there: %+v", got)
	}
	commandJSON[map[string]int](t, "migrate", "--data", in.data)
	for _, args := range [][]string{
		{"--rate", "fast"}, {"--rate", "0"}, {"--from", "yesterday"}, {"--from", "2026-11-20", "--to", "2026-11-19"},
		{"--only", "recordings"}, {"--only", ""}, {"--only", "calls,legs"}, {"--only", "log", "--to", "2026-11-20"}, {"--only", "calls", "--only", "journal", "--from", "2026-11-20"},
		{"--bundle", "x.zip", "--only", "objects"},
	} {
		if got := command(t, "", append([]string{"verify", "--data", in.data}, args...)...); got.status != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
	got, status := in.verify(t)
	// Of the log there are always a head, a key, the versions of the program, and
	// what lies beside the journal to look at.
	want := verifyResult{Complete: true, Checked: 4, OK: 4, Faults: []call.Fault{}, Notices: []call.Fault{}, Parts: map[string]int64{"objects": 0, "journal": 0, "calls": 0, "legs": 0, "deliveries": 0, "identifiers": 0, "rows": 0, "log": 4}}
	if diff := cmp.Diff(want, got); diff != "" || status != exitDone {
		t.Errorf("an empty vault: status %d\n%s", status, diff)
	}
}
