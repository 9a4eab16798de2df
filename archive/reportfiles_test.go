package archive_test

import (
	"context"
	"encoding/hex"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/minio/minio-go/v7"
)

// keepReports lets files of reports be kept for a hundred days.
func (k *keeping) keepReports() {
	k.terms = call.Terms{Locks: k.locks(), Of: map[call.ObjectSort]call.Term{
		call.ReportObjects: {Name: "reports", End: func(start time.Time) time.Time { return start.AddDate(0, 0, 100) }},
	}}
}

// reported is a run of the day that was so many days ago, with two files that are
// locked as it was promised.
func (k *keeping) reported(report string, days int, promised time.Time) call.Run {
	k.Helper()
	from := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
	run, lease, won, err := k.store.ReserveRun(k.Context(), call.Run{Report: report, PeriodFrom: from, PeriodTo: from.AddDate(0, 0, 1), Zone: "UTC"}, time.Minute)
	if err != nil || !won {
		k.Fatalf("reserve: %t, %v", won, err)
	}
	run.Revision, run.RetainUntil = 1, promised
	for _, name := range []string{"calls.csv", "input.ndjson.zst"} {
		text := report + " " + name
		o := describe([]byte(text))
		o.Protection.Until = promised
		f := call.RunFile{
			Name: name, ObjectKey: path.Join("reports", report, from.Format(time.DateOnly), name), Size: o.Size, SHA256: hex.EncodeToString(o.SHA256[:]), MediaType: o.MediaType,
		}
		if err := k.vault.Put(k.Context(), f.ObjectKey, strings.NewReader(text), o); err != nil {
			k.Fatal(err)
		}
		run.Files = append(run.Files, f)
	}
	if err := k.store.FinishRun(k.Context(), lease, run); err != nil {
		k.Fatal(err)
	}
	return run
}

// filesStand makes sure of how many files of a run are left, of what its row
// says of them, and of the audit log.
func (k *keeping) filesStand(run call.Run, left int, log ...audit.Action) call.Run {
	k.Helper()
	there := 0
	for _, f := range run.Files {
		_, err := k.vault.Stat(k.Context(), f.ObjectKey)
		if err != nil && !errors.Is(err, archive.ErrNotFound) {
			k.Fatal(err)
		}
		if err == nil {
			there++
		}
	}
	now, err := k.store.Run(k.Context(), run.ID)
	if err != nil {
		k.Fatal(err)
	}
	if there != left || len(now.Files) != len(run.Files) || now.FilesExpiredAt.IsZero() != (left > 0) {
		k.Errorf("%s: %d files are left, want %d, and the row says %+v", run.Report, there, left, now)
	}
	entries, err := k.store.AuditEntries(k.Context(), 0, 1000)
	if err != nil {
		k.Fatal(err)
	}
	var actions []audit.Action
	for _, e := range entries {
		if e.Subject == "run/"+run.ID && e.Action != audit.RunBuilt {
			actions = append(actions, e.Action)
			if e.Reason == "" {
				k.Errorf("%s of %s does not say why", e.Action, run.Report)
			}
		}
	}
	if !slices.Equal(actions, log) {
		k.Errorf("the log says of %s: %v, want %v", run.Report, actions, log)
	}
	return now
}

// verified looks at all that lies in the vault, two hours later.
func (k *keeping) verified() {
	k.Helper()
	err := archive.NewVerifier(archive.VerifyOptions{
		Store: k.store, Vault: k.vault, Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
		Found: func(c call.Checked) error {
			for _, f := range c.Faults {
				k.Errorf("verify: %+v", f)
			}
			return nil
		},
	}).All(k.Context())
	if err != nil {
		k.Fatal(err)
	}
}

var fileGone = []audit.Action{audit.RunFilesExpiring, audit.RunFilesExpired}

// TestReportFilesGo deletes the files of runs whose term is over, and no others.
func TestReportFilesGo(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy()
		k.keepReports()
		old, young := k.reported("old", 200, time.Time{}), k.reported("young", 50, time.Time{})
		promisedUntil := time.Now().AddDate(0, 0, 30).UTC().Truncate(time.Millisecond)
		promised := k.reported("promised", 200, promisedUntil)
		held := k.reported("held", 300, time.Time{})
		mine := told("held call", "", 300)
		// Whatever the hour is, it belongs to the run's day.
		mine.Items[0].Leg.StartedAt = held.PeriodFrom.Add(time.Hour)
		queue(k, k.store, mine)
		found, _, err := k.store.FindCalls(k.Context(), call.Filter{Text: "held call"})
		if err != nil || len(found) != 1 {
			k.Fatalf("%d calls, %v", len(found), err)
		}
		hold, err := k.store.PlaceHold(k.Context(), call.Hold{Name: "case 7", Reason: "court", CallIDs: []string{found[0].ID}})
		if err != nil {
			k.Fatal(err)
		}
		if _, err := k.store.FillHold(k.Context(), hold, nil); err != nil {
			k.Fatal(err)
		}

		size := old.Files[0].Size + old.Files[1].Size
		month := old.PeriodTo.AddDate(0, 0, 100)
		month = time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, time.UTC)
		want := []call.RunSum{
			{Report: "old", Month: month, By: "reports", Runs: 1, Bytes: size},
			{Report: "held", Why: call.KeptHeld, By: "case 7", Runs: 1, Bytes: held.Files[0].Size + held.Files[1].Size},
			{Report: "promised", Why: call.KeptPromised, By: "reports", Until: promisedUntil, Runs: 1, Bytes: promised.Files[0].Size + promised.Files[1].Size},
		}
		if diff := cmp.Diff(want, k.plan(time.Now()).Reports); diff != "" {
			k.Errorf("plan (-want +got):\n%s", diff)
		}
		if applied := k.apply(); applied.Reports != 1 || applied.ReportBytes != size || applied.ReportsBlocked != 1 {
			k.Errorf("applied: %+v", applied)
		}
		gone := k.filesStand(old, 0, fileGone...)
		k.filesStand(young, 2)
		k.filesStand(promised, 2)
		k.filesStand(held, 2)
		if !strings.Contains(gone.FilesGone(), "deleted on ") {
			k.Errorf("people are told: %q", gone.FilesGone())
		}
		k.verified()
		if again := k.apply(); again.Reports != 0 {
			k.Errorf("applied again: %+v", again)
		}
		k.remade(old, young, promised, held)

		if _, err := k.store.ReleaseHold(k.Context(), "case 7", "closed", false); err != nil {
			k.Fatal(err)
		}
		if applied := k.apply(); applied.Reports != 1 {
			k.Errorf("applied after the release: %+v", applied)
		}
		k.filesStand(held, 0, fileGone...)
	})
}

// remade makes runs again from the log alone.
func (k *keeping) remade(runs ...call.Run) {
	k.Helper()
	entries, err := k.store.AuditEntries(k.Context(), 0, 1000)
	if err != nil {
		k.Fatal(err)
	}
	again := onSQLite(k.T)
	if err := again.RebuildEntries(k.Context(), entries); err != nil {
		k.Fatal(err)
	}
	for at, more := int64(0), true; more; {
		next, err := again.RebuildFacts(k.Context(), at)
		if err != nil {
			k.Fatal(err)
		}
		at, more = next, next != at
	}
	for _, run := range runs {
		before, err := k.store.Run(k.Context(), run.ID)
		if err != nil {
			k.Fatal(err)
		}
		after, err := again.Run(k.Context(), run.ID)
		if err != nil {
			k.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			k.Errorf("%s, made again (-before +after):\n%s", run.Report, diff)
		}
	}
}

// TestReportFilesHeldBySearch: a hold keeps also what its search finds and nobody
// has counted yet, and calls without a start.
func TestReportFilesHeldBySearch(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy()
		k.keepReports()
		sales, noStart := k.reported("sales", 200, time.Time{}), k.reported("no-start", 300, time.Time{})
		inPeriod := told("in period", "Sales", 200)
		inPeriod.Items[0].Leg.StartedAt = sales.PeriodTo.Add(-time.Millisecond)
		without := told("without start", "Sales", 300)
		l := without.Items[0].Leg
		l.StartedAt, l.EndedAt = time.Time{}, noStart.PeriodFrom.Add(time.Hour)
		queue(k, k.store, inPeriod, without)
		filter := call.Filter{Group: "Sales"}
		if _, err := k.store.PlaceHold(k.Context(), call.Hold{Name: "sales", Reason: "inspection", Filter: &filter, Expanded: &filter}); err != nil {
			k.Fatal(err)
		}
		if applied := k.apply(); applied.Reports != 0 || applied.ReportsBlocked != 2 {
			k.Errorf("applied: %+v", applied)
		}
		k.filesStand(sales, 2)
		k.filesStand(noStart, 2)
	})
}

// lamed is a vault that can delete only so many objects more.
type lamed struct {
	archive.Vault
	left int
}

var errLamed = errors.New("killed")

func (v *lamed) Delete(ctx context.Context, key string) error {
	if v.left--; v.left < 0 {
		return errLamed
	}
	return v.Vault.Delete(ctx, key)
}

// forgetful is a store that is killed before it can write down what is gone.
type forgetful struct{ *store.Store }

func (forgetful) FinishExpiringRun(context.Context, string, string) error { return errLamed }

// TestReportFilesInterrupted kills a retention between any two of its steps:
// verify knows what was under way, and the next one goes on.
func TestReportFilesInterrupted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		left, files int // deletions until it is killed, and files then left
		hold        bool
	}{
		"before the first object": {0, 2, false}, "after the first object": {1, 1, false}, "before it is written down": {2, 0, false},
		"and held before the first object": {0, 2, true}, "and held after the first object": {1, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEachKeeping(t, func(k *keeping) {
				k.keepBy()
				k.keepReports()
				run := k.reported("old", 200, time.Time{})
				var s archive.RetentionStore = k.store
				if tt.left == 2 {
					s = forgetful{k.store}
				}
				killed, err := archive.NewRetainer(archive.RetainerOptions{
					Store: s, Vault: &lamed{k.vault, tt.left}, Rules: func() call.Retention { return k.rules }, Terms: k.terms, PerSecond: 1000, Now: time.Now,
				})
				if err != nil {
					k.Fatal(err)
				}
				if _, err := killed.Apply(k.Context(), nil); !errors.Is(err, errLamed) {
					k.Fatalf("it was not killed: %v", err)
				}
				row, err := k.store.Run(k.Context(), run.ID)
				if err != nil || row.FilesExpiringAt.IsZero() || !row.FilesExpiredAt.IsZero() || row.FilesGone() == "" {
					k.Errorf("begun: %+v, %v", row, err)
				}
				k.verified()
				if !tt.hold {
					if applied := k.apply(); applied.Reports != 1 {
						k.Errorf("applied: %+v", applied)
					}
					k.filesStand(run, 0, fileGone...)
					k.verified()
					return
				}
				d := told("held call", "", 200)
				d.Items[0].Leg.StartedAt = run.PeriodFrom.Add(time.Hour)
				queue(k, k.store, d)
				filter := call.Filter{Text: "held call"}
				if _, err := k.store.PlaceHold(k.Context(), call.Hold{Name: "late", Reason: "court", Filter: &filter, Expanded: &filter}); err != nil {
					k.Fatal(err)
				}
				if applied := k.apply(); applied.Reports != 0 || applied.ReportsBlocked != 1 {
					k.Errorf("applied under a hold: %+v", applied)
				}
				row = k.filesStand(run, tt.files, audit.RunFilesExpiring, audit.RunFilesKept)
				// What is whole can be had again.
				if row.FilesExpiringAt.IsZero() != (tt.files == len(run.Files)) {
					k.Errorf("held: %+v", row)
				}
				k.verified()
			})
		})
	}
}

// TestLockedReportFiles: what somebody has locked longer stays, all of it, and
// goes when the lock is over.
func TestLockedReportFiles(t *testing.T) {
	t.Parallel()
	o := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	o.Lock = archive.Governance
	k := &keeping{T: t, store: onSQLite(t), vault: openS3(t, o)}
	k.keepBy()
	k.keepReports()
	locked, held, free := k.reported("locked", 200, time.Time{}), k.reported("held", 201, time.Time{}), k.reported("free", 202, time.Time{})
	until := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)
	somebody := plainClient(t, o)
	overwritten := free.Files[0].ObjectKey
	_, err := somebody.PutObject(t.Context(), o.Bucket, overwritten, strings.NewReader("forged"), 6, minio.PutObjectOptions{})
	if err := errors.Join(err, k.vault.Lengthen(t.Context(), locked.Files[1].ObjectKey, until),
		k.vault.Protect(t.Context(), held.Files[0].ObjectKey, archive.Protection{Hold: true})); err != nil {
		t.Fatal(err)
	}
	if applied := k.apply(); applied.Reports != 1 || applied.ReportsBlocked != 2 {
		t.Errorf("applied: %+v", applied)
	}
	k.filesStand(locked, 2, audit.RunFilesKept)
	k.filesStand(held, 2, audit.RunFilesKept)
	k.filesStand(free, 0, fileGone...)
	if left := versions(t, k.vault, overwritten); len(left) != 0 {
		t.Errorf("versions are left: %+v", left)
	}
	want := []call.RunSum{
		{Report: "held", Why: call.KeptLocked, By: "a legal hold on the object", Runs: 1},
		{Report: "locked", Why: call.KeptLocked, By: "a lock on the object", Until: until, Runs: 1},
	}
	got := k.plan(time.Now()).Reports
	for i := range got {
		if got[i].Report == "held" {
			got[i].Until = time.Time{} // when it is tried again
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(call.RunSum{}, "Bytes")); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	// They are not tried again before the date.
	if again := k.apply(); again.Reports != 0 || again.ReportsBlocked != 0 {
		t.Errorf("applied again: %+v", again)
	}
}
