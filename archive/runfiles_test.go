package archive_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
)

// TestSweeperRemovesUnfinishedReports: the files of a report whose builder was
// killed before they were the report's go after a day, if no hold keeps them;
// those that have become a report's stay, whatever says otherwise.
func TestSweeperRemovesUnfinishedReports(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		d := customer("1.1", subject)
		p.record(t, d)
		pass := func(later time.Duration) archive.Swept {
			t.Helper()
			swept, err := archive.NewSweeper(archive.SweeperOptions{
				Store: p.store, Vault: v, Wake: func() {}, Now: func() time.Time { return time.Now().Add(later) }, Logger: slog.New(slog.DiscardHandler),
			}).Pass(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return swept
		}
		b := p.build(t, true, subject, -time.Second)
		b.plan()
		b.put()
		made := b.run.Files[0]
		execute(t, o, fmt.Sprintf("INSERT INTO planned_files (object_key, run_id, name, size, sha256, revision) VALUES ('%s', '%s', 'x', 1, 'x', 1)", made.ObjectKey, b.run.ID))
		if swept := pass(23 * time.Hour); swept != (archive.Swept{}) {
			t.Errorf("within the day: %+v", swept)
		}
		if _, err := p.store.PlaceHold(t.Context(), call.Hold{Name: "case", Reason: "r", CallIDs: d.CallIDs}); err != nil {
			t.Fatal(err)
		}
		if swept := pass(25 * time.Hour); swept != (archive.Swept{Kept: 2}) {
			t.Errorf("under a hold: %+v", swept)
		}
		if _, err := p.store.ReleaseHold(t.Context(), "case", "r", false); err != nil {
			t.Fatal(err)
		}
		if swept := pass(25 * time.Hour); swept != (archive.Swept{Removed: 2}) {
			t.Errorf("after a day: %+v", swept)
		}
		if swept := pass(25 * time.Hour); swept != (archive.Swept{}) {
			t.Errorf("once more: %+v", swept)
		}
		if left := list(t, v, "reports/"); len(left) != len(b.run.Files) {
			t.Errorf("left are %v", left)
		}
		p.nothingUnknown(t)
		if err := b.finish(); call.CodeOf(err) != call.Conflict {
			t.Errorf("its builder came back: %v", err)
		}
	})
}

// finishing is a database of which a report is finished as soon as somebody has
// seen that it is in the making.
type finishing struct {
	*store.Store
	finish func() error
}

func (s *finishing) RunsInMaking(ctx context.Context) ([]call.RunInMaking, error) {
	runs, err := s.Store.RunsInMaking(ctx)
	return runs, errors.Join(err, s.finish())
}

// TestSweeperLeavesReportsThatAreFinished: a builder of whom nothing was heard for a
// day, as when his machine was suspended, may come back while somebody clears up.
func TestSweeperLeavesReportsThatAreFinished(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		b := p.build(t, false, "nobody", -25*time.Hour)
		b.plan()
		b.put()
		swept, err := archive.NewSweeper(archive.SweeperOptions{
			Store: &finishing{p.store, b.finish}, Vault: v, Wake: func() {}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		}).Pass(t.Context())
		if err != nil || swept != (archive.Swept{}) {
			t.Errorf("swept %+v, %v", swept, err)
		}
		if left := list(t, v, "reports/"); len(left) != len(b.files) {
			t.Errorf("of the report are left %v", left)
		}
		p.nothingUnknown(t)
	})
}
