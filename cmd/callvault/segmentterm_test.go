package main

import (
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/console"

	"github.com/google/go-cmp/cmp"
)

// TestJournalTerm lets the term of requests in the journal be over: the plan says
// so, apply takes them out, nobody takes that for a loss, and a database is made
// again that has all that is kept.
func TestJournalTerm(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		vault := ""
		if s.bucket == nil {
			vault = "vault: {directory: " + t.TempDir() + "}\n"
		}
		more := vault + "retention: {recordings: [{keep: 1d}], calls: 1d, deliveries: 1d, journal: 1d}\n"
		in := install(t, s, anySize(), more)
		const lines = `{"type":"call_report","CallSid":"1763700000.1","Status":"BUSY","StartTime":"2026-11-20 10:00:00","EndTime":"2026-11-20 10:00:20","Direction":"IVR"}
{"type":"call_report","CallSid":"1763700000.2","Status":"BUSY","StartTime":"2026-11-20 10:01:00","EndTime":"2026-11-20 10:01:20","Direction":"IVR"}
`
		if got := command(t, lines, "import", "-", "--account", "sales", "--data", in.data); got.status != exitDone {
			t.Fatalf("import: %+v", got)
		}
		stored, v := in.openStored(t)
		found, _, err := stored.FindCalls(t.Context(), call.Filter{Account: "sales"})
		if err != nil || len(found) != 2 {
			t.Fatalf("%d calls: %v", len(found), err)
		}
		if got := command(t, "", "hold", "place", "case", "--reason", "a letter", "--call", found[0].ID, "--data", in.data); got.status != exitDone {
			t.Fatalf("hold: %+v", got)
		}
		// As if it had been written when they came, two days ago.
		journal, err := archive.NewJournal(archive.JournalOptions{
			Store: stored, Vault: v, Now: func() time.Time { return time.Now().AddDate(0, 0, -2) }, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		plan := command(t, "", "retention", "plan", "--list", "--data", in.data)
		if !strings.Contains(plan.stdout, "REQUESTS IN THE JOURNAL") || !strings.Contains(plan.stdout, archive.SegmentKey(1)) {
			t.Errorf("plan: %+v", plan)
		}
		planned := commandJSON[console.RetentionPlan](t, "retention", "plan", "--data", in.data)
		if len(planned.Journal) != 1 || planned.Journal[0].Segments != 1 || planned.Journal[0].By != "case" || planned.Journal[0].Bytes == 0 {
			t.Errorf("plan: %+v", planned.Journal)
		}
		applied := command(t, "", "retention", "apply", "--data", in.data)
		if applied.status != exitDone || !strings.Contains(applied.stdout, "1 segment of the journal") {
			t.Errorf("apply: %+v", applied)
		}
		in.start(t).stop(syscall.SIGTERM) // the journal tells of it
		if got := command(t, "", "retention", "apply", "--data", in.data); got.status != exitDone {
			t.Errorf("apply: %+v", got)
		}
		var keys []string
		for o, err := range v.List(t.Context(), archive.JournalPrefix) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, o.Key)
		}
		if len(keys) != 2 || keys[0] != archive.RevisionKey(1, 1) || keys[1] != archive.SegmentKey(2) {
			t.Errorf("in the vault are %v", keys)
		}
		if got, status := in.verify(t); status != exitDone {
			t.Errorf("verify: status %d: %+v", status, got.Faults)
		}

		before := tables(t, in, s)
		if len(before["calls"]) != 1 || len(before["deliveries"]) != 1 {
			t.Errorf("left are %v and %v", before["calls"], before["deliveries"])
		}
		again := in
		again.data = t.TempDir()
		to := storage{bucket: s.bucket, s3: s.s3}
		again.configure(t, to, more)
		got := command(t, "", "rebuild", "--data", again.data)
		if got.status != exitDone || !strings.Contains(got.stdout, "1 journal segment told nothing any more of requests whose term was over") {
			t.Errorf("rebuild: %+v", got)
		}
		after := tables(t, again, to)
		for _, table := range []string{"calls", "legs", "call_keys", "recordings", "deliveries", "delivery_items", "bodies", "holds", "hold_calls", "journal_segments"} {
			if diff := cmp.Diff(before[table], after[table]); diff != "" {
				t.Errorf("%s made again (-before +after):\n%s", table, diff)
			}
		}
	})
}
