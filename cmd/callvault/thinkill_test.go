package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/testenv"
)

// fuse is a line to a store on which a program is killed when it has sent so many
// requests that change the journal.
type fuse struct {
	mu      sync.Mutex
	program *exec.Cmd // nil: nobody is killed
	left    int
	// after: the store does what the last request says; else it never hears of it.
	after bool
}

func (f *fuse) choose(r *http.Request) testenv.StoreFault {
	changes := r.Method == http.MethodPut || r.Method == http.MethodDelete || r.Method == http.MethodPost && r.URL.Query().Has("delete")
	if !changes || !strings.Contains(r.URL.Path, "/"+archive.JournalPrefix) && r.Method != http.MethodPost {
		return testenv.NoFault
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.program == nil {
		return testenv.NoFault
	}
	if f.left--; f.left > 0 {
		return testenv.NoFault
	}
	// All of it, and for whoever is dead, too.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	*r = *r.WithContext(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	_ = f.program.Process.Kill() // it may be dead
	if !f.after {
		panic(http.ErrAbortHandler)
	}
	return testenv.LoseAnswer
}

// run runs a program that is killed at one of its requests, and says whether it
// was.
func (f *fuse) run(t *testing.T, program *exec.Cmd, request int, after bool) (killed bool) {
	t.Helper()
	var stderr bytes.Buffer
	program.Stderr = &stderr
	f.mu.Lock() // until it is known whom to kill
	err := program.Start()
	f.program, f.left, f.after = program, request, after
	f.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = program.Wait()
	f.mu.Lock()
	f.program = nil
	f.mu.Unlock()
	status, isStatus := program.ProcessState.Sys().(syscall.WaitStatus)
	if killed = isStatus && status.Signaled(); !killed && err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return killed
}

// TestKilledWhileThinningTheJournal kills `retention apply` at each request by
// which it takes requests out of the journal whose term is over: before the store
// has heard of it, and after. Each time all is as it must be, for verify, too, and
// whoever comes next goes on; nothing is left over, and the database can be made
// again.
func TestKilledWhileThinningTheJournal(t *testing.T) {
	t.Parallel()
	b := testenv.MinIO(t, testenv.BucketOptions{Versioned: true})
	var f fuse
	s := storage{bucket: &b}
	b.Endpoint = testenv.FaultyStore(t, b.Endpoint, f.choose)
	const more = "retention: {recordings: [{keep: 1d}], calls: 1d, deliveries: 1d, journal: 1d}\n"
	in := install(t, s, anySize(), more)
	stored, v := in.openStored(t)
	segment := func(sid string) {
		t.Helper()
		line := `{"type":"call_report","CallSid":"` + sid + `","Status":"BUSY","StartTime":"2026-11-20 10:00:00","EndTime":"2026-11-20 10:00:20","Direction":"IVR"}`
		line += "\n" + strings.Replace(line, sid, sid+"9", 1)
		if got := command(t, line, "import", "-", "--account", "sales", "--data", in.data); got.status != exitDone {
			t.Fatalf("import: %+v", got)
		}
		found, _, err := stored.FindCalls(t.Context(), call.Filter{Text: sid + "9"})
		if err != nil || len(found) != 1 {
			t.Fatalf("%d calls: %v", len(found), err)
		}
		if got := command(t, "", "hold", "place", "case "+sid, "--reason", "a letter", "--call", found[0].ID, "--data", in.data); got.status != exitDone {
			t.Fatalf("hold: %+v", got)
		}
		// As if it had been written when they came, two days ago.
		journal, err := archive.NewJournal(archive.JournalOptions{
			Store: stored, Vault: v, Now: func() time.Time { return time.Now().AddDate(0, 0, -2) }, Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			err = journal.Flush(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	verified := func(when string) {
		t.Helper()
		if got, status := in.verify(t); status != exitDone {
			t.Errorf("%s: status %d: %+v", when, status, got.Faults)
		}
	}
	kills := 0
	// killed applies retention until it is not killed any more.
	killed := func(what string, after bool) {
		t.Helper()
		for request := 1; f.run(t, in.program("retention", "apply"), request, after) && request < 10; request++ {
			kills++
			verified("killed while " + what)
			in.tamper(t, s, "UPDATE retention_jobs SET lease_until = 1") // it is over
		}
	}
	for i, after := range []bool{false, true} {
		segment([]string{"1763700000.1", "1763700000.2"}[i])
		killed("it wrote", after)
		in.start(t).stop(syscall.SIGTERM) // the journal tells of it, so that what was before can go
		killed("it deleted", after)
	}
	if kills < 4 {
		t.Errorf("it was killed %d times only", kills)
	}
	t.Logf("killed %d times", kills)
	rewritten, versions := 0, map[string]int{}
	for o, err := range v.Versions(t.Context(), archive.JournalPrefix) {
		if err != nil {
			t.Fatal(err)
		}
		versions[o.Key]++
		if strings.Contains(o.Key, ".r") {
			rewritten++
		}
	}
	if _, old := versions[archive.SegmentKey(1)]; old || rewritten < 2 {
		t.Errorf("in the vault are %v", versions)
	}
	for key, n := range versions {
		if n != 1 {
			t.Errorf("%s has %d versions", key, n)
		}
	}
	verified("in the end")
	again := in
	again.data = t.TempDir()
	again.configure(t, s, more)
	if got := commandJSON[rebuildResult](t, "rebuild", "--data", again.data); len(got.Faults) > 0 || got.Calls != 2 || got.UnknownCount > 0 {
		t.Errorf("rebuild: %+v", got)
	}
}
