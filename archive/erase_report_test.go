package archive_test

import (
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
)

// TestErasureLeavesHeldReports: a hold on a call of somebody else keeps the files
// of the report that shows both, until it ends.
func TestErasureLeavesHeldReports(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		theirs, mine := customer("1.1", "+919800000001"), customer("2.2", subject)
		p.record(t, theirs, mine)
		p.archiveAll(t, archive.Protection{})
		// One without a frozen input: nobody knows whom it shows.
		day := started.UTC().Truncate(24 * time.Hour)
		run, lease, won, err := p.store.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: day, PeriodTo: day.AddDate(0, 0, 1), Zone: "UTC"}, time.Minute)
		if err != nil || !won {
			t.Fatalf("reserve: %t, %v", won, err)
		}
		const key = "reports/daily/calls.csv"
		put(t, v, key, "calls")
		run.Files = []call.RunFile{{Name: "calls.csv", ObjectKey: key, Size: 5}}
		if err := p.store.FinishRun(t.Context(), lease, run); err != nil {
			t.Fatal(err)
		}
		if _, err := p.store.PlaceHold(t.Context(), call.Hold{Name: "case", Reason: "r", CallIDs: theirs.CallIDs}); err != nil {
			t.Fatal(err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		c := p.certificate(t, e.ID)
		if len(c.Kept) != 1 || c.Kept[0].Kind != call.ErasedReport || c.Kept[0].Why != "legal hold case" {
			t.Errorf("kept: %+v", c.Kept)
		}
		if got := list(t, v, key); len(got) != 1 {
			t.Errorf("a held report lies in the vault as %v", got)
		}
		if _, err := p.store.ReleaseHold(t.Context(), "case", "r", false); err != nil {
			t.Fatal(err)
		}
		p.due(t, e.ID, o)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedReport] != 1 {
			t.Errorf("certificate: %+v", c)
		}
		if got := list(t, v, key); len(got) != 0 {
			t.Errorf("left in the vault: %v", got)
		}
		if run, err = p.store.Run(t.Context(), run.ID); err != nil || run.FilesGone() == "" {
			t.Errorf("people are told nothing of %+v, %v", run, err)
		}
	})
}
