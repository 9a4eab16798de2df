package main

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// TestKilledWhileWritingTheJournal kills the program again and again while it
// writes the journal: at its start, when it writes what its last life left
// behind, and at its end. Over a line to the store that is slow and loses
// answers. Afterwards each delivery and each entry of the audit log is in one
// segment, each object has one version, nothing is wrong with anything, and the
// database can be made again as it is.
func TestKilledWhileWritingTheJournal(t *testing.T) {
	t.Parallel()
	t.Run("SQLite and directory", func(t *testing.T) {
		t.Parallel()
		killedWhileWritingTheJournal(t, storage{}, "vault: {directory: "+t.TempDir()+"}\n")
	})
	t.Run("PostgreSQL and MinIO", func(t *testing.T) {
		t.Parallel()
		b := testenv.MinIO(t, testenv.BucketOptions{Versioned: true})
		var puts atomic.Int64
		b.Endpoint = testenv.FaultyStore(t, b.Endpoint, func(r *http.Request) testenv.StoreFault {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, archive.JournalPrefix) {
				return testenv.NoFault
			}
			if puts.Add(1)%3 == 0 {
				return testenv.LoseAnswer
			}
			return testenv.SlowLine
		})
		killedWhileWritingTheJournal(t, storage{dsn: testenv.Postgres(t), bucket: &b}, "")
	})
}

func killedWhileWritingTheJournal(t *testing.T, s storage, more string) {
	t.Helper()
	in := install(t, s, anySize(), more)
	l := newLoad(in)
	for round := range 8 {
		p := in.start(t)
		moment := time.Duration(rand.Int64N(int64(100 * time.Millisecond)))
		if round%2 == 0 { // while it writes what was left behind
			l.underLoad(t, p, func(func(int) func() bool) {
				<-time.After(moment)
				p.stop(syscall.SIGKILL)
			})
			continue
		}
		l.post(t.Context(), p.url, 30)
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-time.After(moment) // while it writes what came last
		p.stop(syscall.SIGKILL)
	}
	p := in.start(t)
	l.post(t.Context(), p.url, 10)
	in.checkKept(t, l)
	p.stop(syscall.SIGTERM)

	in.checkJournal(t)
	in.checkRebuilt(t, s, more)
	if got, status := in.verify(t); status != exitDone || len(got.Faults) > 0 {
		t.Errorf("verify: status %d, %+v", status, got.Faults)
	}
}

// checkJournal makes sure that each delivery and each entry of the audit log is
// in one segment of the journal, as it is in the database, and that all that was
// put into the vault was put once.
func (in installation) checkJournal(t *testing.T) {
	t.Helper()
	stored, v := in.openStored(t)
	versions := map[string]int{}
	for _, prefix := range []string{archive.JournalPrefix, audit.SealPrefix, recordingsPrefix} {
		for o, err := range v.Versions(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			versions[o.Key]++
		}
	}
	for key, n := range versions {
		if n != 1 {
			t.Errorf("%s has %d versions", key, n)
		}
	}
	var deliveries, kept []int64
	var entries [][]byte
	segments := 0
	for g, err := range archive.ReadJournal(t.Context(), v, nil) {
		if err != nil {
			t.Fatal(err)
		}
		segments++
		for _, d := range g.Deliveries {
			deliveries = append(deliveries, d.ID)
		}
		for _, e := range g.Entries {
			entries = append(entries, record(t, e))
		}
	}
	filter := call.DeliveryFilter{Limit: call.MaxLimit}
	for {
		page, next, err := stored.FindDeliveries(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			kept = append(kept, d.ID)
		}
		if filter.Cursor = next; next == "" {
			break
		}
	}
	slices.Sort(kept)
	if diff := cmp.Diff(kept, deliveries); diff != "" {
		t.Errorf("deliveries in the database and in the journal (-database +journal):\n%.2000s", diff)
	}
	for from := int64(0); ; {
		page, err := stored.AuditEntries(t.Context(), from, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			from = e.Seq + 1
			switch {
			case e.Seq < int64(len(entries)):
				if !bytes.Equal(record(t, e), entries[e.Seq]) {
					t.Errorf("entry %d is another one in the journal", e.Seq)
				}
			case e.Action != audit.JournalWritten: // what is said of a segment is in the next
				t.Errorf("entry %d (%s) is not in the journal", e.Seq, e.Action)
			}
		}
	}
	t.Logf("%d segments with %d deliveries and %d entries", segments, len(deliveries), len(entries))
}

func record(t *testing.T, e audit.Entry) []byte {
	t.Helper()
	text, err := e.Record()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// checkRebuilt makes the database again and compares it, row by row.
func (in installation) checkRebuilt(t *testing.T, s storage, more string) {
	t.Helper()
	before := tables(t, in, s)
	again, empty := in, s
	again.data = t.TempDir()
	if s.dsn != "" {
		empty.dsn = testenv.Postgres(t)
	}
	again.configure(t, empty, more)
	got := commandJSON[rebuildResult](t, "rebuild", "--data", again.data)
	if len(got.Faults) > 0 || got.Adopted > 0 || got.UnknownCount > 0 {
		t.Errorf("rebuild: %+v", got)
	}
	after := tables(t, again, empty)
	// The rebuild itself, and its version, come after all that there was.
	log := after["audit_entries"]
	if n := len(log) - 2; n < 0 || !strings.Contains(log[n], "action=database.rebuilt") || !strings.Contains(log[n+1], "action=version.begun") {
		t.Errorf("the log ends otherwise: %v", log[max(0, n):])
	} else {
		after["audit_entries"] = log[:n]
	}
	for table, rows := range before {
		if diff := cmp.Diff(rows, after[table]); diff != "" {
			t.Errorf("%s differs (-before +after):\n%.3000s", table, diff)
		}
	}
}
