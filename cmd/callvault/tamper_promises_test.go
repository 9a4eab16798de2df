package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// year2999 is a time to which somebody may put off what he wants nobody to do, in
// Unix milliseconds.
const year2999 = "32472144000000"

// tamperedPromises are changes of what rows promise, and of when something is done
// about them.
func tamperedPromises(names *strings.Replacer) []tampered {
	// Promised again, by the log, and taken back.
	retained := func(sort call.ObjectSort, id, change string) tampered {
		return tampered{name: "what was promised later, of " + string(sort), want: []string{"log log/{next}"}, do: func(t *testing.T, in installation) {
			t.Helper()
			s, _ := in.openStored(t)
			if err := s.SavePromised(t.Context(), sort, "longer", []call.Promised{{ID: names.Replace(id), RetainUntil: time.Now().AddDate(9, 0, 0)}}); err != nil {
				t.Fatal(err)
			}
			in.tamper(t, storage{}, names.Replace(change))
		}}
	}
	return append(slices.Concat(
		column("recordings", "id = '{recording}'", map[string]string{
			"reason": "'x'", "rule_until": "1", "wanted_at": "wanted_at + 1", "attempts": "attempts + 1", "last_error": "'x'", "blocked_by": "'x'", "blocked_until": year2999,
			"location": "'https://elsewhere.example/x.wav'", "next_try_at": "1",
		}, "recording recording/{recording}"),
		column("runs", "id = '{run}'", map[string]string{
			"known_deliveries": "1", "looked_at": year2999, "blocked_by": "'x'", "blocked_until": year2999,
		}, "run run/{run}"),
		column("journal_segments", "number = 2", map[string]string{"blocked_until": year2999}, "segment journal/2"),
	),
		tampered{name: "a recording that was given up, wanted in the year 2999", change: "UPDATE recordings SET state = 'pending', next_try_at = " + year2999 + " WHERE id = '{absent}'", want: []string{"recording recording/{absent}"}},
		tampered{name: "segment's revision", change: "UPDATE journal_segments SET revision = 7 WHERE number = 2", want: []string{"missing " + archive.RevisionKey(2, 7), "segment journal/2", "unknown {second}"}},
		tampered{name: "object that a row of planned files explains", do: func(t *testing.T, in installation) {
			t.Helper()
			path, long := in.object("calls/x.wav"), time.Now().Add(-3*time.Hour)
			if err := os.WriteFile(path, []byte("RIFF"), 0o400); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, long, long); err != nil {
				t.Fatal(err)
			}
			in.tamper(t, storage{}, names.Replace("INSERT INTO planned_files (object_key, run_id, name, size, sha256, revision) VALUES ('calls/x.wav', '{run}', 'x.wav', 4, 'x', 1)"))
		}, want: []string{"run run/{run}", "unknown calls/x.wav"}},
		retained(call.SegmentObjects, "2", "UPDATE journal_segments SET retain_until = NULL WHERE number = 2"),
		retained(call.SealObjects, "{seal size}", "UPDATE audit_seals SET retain_until = 1 WHERE size = {seal size}"),
		retained(call.ReportObjects, "{run}", "UPDATE runs SET retain_until = NULL WHERE id = '{run}'"),
	)
}

// TestPromisesAreCompared: what was promised for segments, seals and reports when
// they were put, and what a longer term added, cannot be taken back in their rows,
// also in a database that was made again under a shorter term.
func TestPromisesAreCompared(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]storage{"SQLite": {}, "PostgreSQL": {dsn: testenv.Postgres(t)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vault := "vault: {directory: " + t.TempDir() + "}\nreports: [{name: daily}]\n"
			in := install(t, s, anySize(), "")
			in.configure(t, s, vault+"retention: {recordings: [{keep: 3y}], deliveries: 5y, reports: 7y, wait_after_change: 0s}\n")
			p := in.start(t)
			if !newLoad(in).one(t.Context(), p.url, "1763700000.1") {
				t.Fatal("a report was not taken")
			}
			stored, _ := in.openStored(t)
			eventually(t, "the recording is archived", func() bool {
				q, err := stored.QueueStats(t.Context())
				return err == nil && q.Archived == 1
			})
			commandJSON[struct{}](t, "report", "daily", "--date", "2026-11-20", "--out", t.TempDir(), "--data", in.data)
			p.stop(syscall.SIGTERM)
			clean := func(when string, in installation) {
				t.Helper()
				if got, status := in.verify(t); status != exitDone || len(got.Notices) > 0 {
					t.Errorf("%s: status %d, %+v", when, status, got)
				}
			}
			// less takes a year of each promise, and gives it back.
			less := func(when string, want ...string) {
				t.Helper()
				const year = "31536000000"
				tables := []string{"journal_segments", "audit_seals", "runs"}
				for _, table := range tables {
					in.tamper(t, s, "UPDATE "+table+" SET retain_until = retain_until - "+year)
				}
				got, _ := in.verify(t)
				found := map[string]bool{}
				for _, f := range got.Faults {
					noun, _, _ := strings.Cut(f.Where, "/")
					found[string(f.Kind)+" in "+noun] = true
					if !strings.Contains(f.What, "promise") {
						t.Errorf("%s: %+v", when, f)
					}
				}
				wanted := map[string]bool{}
				for _, w := range want {
					wanted[w] = true
				}
				if diff := cmp.Diff(wanted, found); diff != "" {
					t.Errorf("%s (-want +got):\n%s", when, diff)
				}
				for _, table := range tables {
					in.tamper(t, s, "UPDATE "+table+" SET retain_until = retain_until + "+year)
				}
			}
			clean("as it was put", in)
			less("as it was put", "journal in journal", "seal in seals", "run in run")
			in.configure(t, s, vault+"retention: {recordings: [{keep: 3y}], deliveries: 8y, reports: 9y, wait_after_change: 0s}\n")
			if done := commandJSON[archive.Applied](t, "retention", "apply", "--data", in.data); done.Promised < 3 {
				t.Fatalf("applied: %+v", done)
			}
			clean("promised for longer", in)
			less("promised for longer", "log in log")
			in.start(t).stop(syscall.SIGTERM) // so that the journal tells of it

			again, other := in, storage{}
			again.data = t.TempDir()
			if s.dsn != "" {
				other.dsn = testenv.Postgres(t)
			}
			again.configure(t, other, vault+"retention: {recordings: [{keep: 3y}], deliveries: 3y, reports: 3y, wait_after_change: 0s}\n")
			in.share(t, again, "audit.key")
			commandJSON[rebuildResult](t, "rebuild", "--data", again.data)
			clean("made again", again)
		})
	}
}

// TestUnfinishedReportIsNoticed: what a row of planned files says to be put for a
// report is no fault, but it is said when nobody has finished it for days.
func TestUnfinishedReportIsNoticed(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "reports: [{name: daily}]\n")
	s, v := in.openStored(t)
	run, lease, _, err := s.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: time.Unix(1767225600, 0), PeriodTo: time.Unix(1767312000, 0), Zone: "UTC"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	const content = "no calls\n"
	sum := sha256.Sum256([]byte(content))
	file := call.RunFile{Name: "daily.csv", ObjectKey: "reports/daily/2026-01-01/r1-0/daily.csv", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
	if err := s.PlanRunFiles(t.Context(), lease, []call.RunFile{file}); err != nil {
		t.Fatal(err)
	}
	if err := v.Put(t.Context(), file.ObjectKey, strings.NewReader(content), archive.PutOptions{Size: file.Size, SHA256: sum}); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-3 * time.Hour)
	if err := os.Chtimes(filepath.Join(in.data, "recordings", filepath.FromSlash(file.ObjectKey)), long, long); err != nil {
		t.Fatal(err)
	}
	if got, status := in.verify(t); status != exitDone || len(got.Notices) > 0 {
		t.Errorf("while it is made: %+v", got)
	}
	in.tamper(t, storage{}, "UPDATE runs SET lease_until = 1 WHERE id = '"+run.ID+"'")
	got, status := in.verify(t)
	if status != exitDone || len(got.Notices) != 1 || got.Notices[0].Where != file.ObjectKey || !strings.Contains(got.Notices[0].What, run.ID) {
		t.Errorf("after days: status %d, %+v", status, got)
	}
}
