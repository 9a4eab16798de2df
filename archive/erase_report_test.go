package archive_test

import (
	"fmt"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/klauspost/compress/zstd"
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

// TestErasureFindsAnyRevision: the number stands only in the input of a later
// revision, and the files of all revisions go.
func TestErasureFindsAnyRevision(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		p.record(t, customer("1.1", subject))
		p.archiveAll(t, archive.Protection{})
		packer, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		day := started.UTC().Truncate(24 * time.Hour)
		run, lease, won, err := p.store.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: day, PeriodTo: day.AddDate(0, 0, 1), Zone: "UTC"}, time.Minute)
		if err != nil || !won {
			t.Fatalf("reserve: %t, %v", won, err)
		}
		const prefix = "reports/daily/"
		for revision, content := range []string{"nobody", "nobody", `{"customer_number":"` + subject + `"}`} {
			packed := packer.EncodeAll([]byte(content), nil)
			key := fmt.Sprintf("%sr%d/input.ndjson.zst", prefix, revision+1)
			put(t, v, key, string(packed))
			run.Files = append(run.Files, call.RunFile{Name: "input.ndjson.zst", ObjectKey: key, Size: int64(len(packed)), Revision: revision + 1})
		}
		run.Revision = 3
		if err := p.store.FinishRun(t.Context(), lease, run); err != nil {
			t.Fatal(err)
		}
		revising, won, err := p.store.ReserveRevision(t.Context(), run.ID, 3, time.Time{}, time.Minute)
		if err != nil || !won {
			t.Fatalf("reserve a revision: %t, %v", won, err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedReport] != 1 {
			t.Errorf("certificate: %+v", c)
		}
		if got := list(t, v, prefix); len(got) != 0 {
			t.Errorf("left in the vault: %v", got)
		}
		if err := p.store.FinishRun(t.Context(), revising, run); call.CodeOf(err) != call.Conflict {
			t.Errorf("a further revision brought the number back: %v", err)
		}
		fates, err := p.store.CallFates(t.Context(), p.ids(t))
		if err != nil || len(fates) != 1 {
			t.Fatalf("%v, %v", fates, err)
		}
		for id, fate := range fates {
			if fate != call.CallErased {
				t.Errorf("call %s is %s", id, fate)
			}
		}
	})
}

// ids are those of all calls.
func (p *premises) ids(t *testing.T) []string {
	t.Helper()
	calls, _, err := p.store.FindCalls(t.Context(), call.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.ID
	}
	return ids
}
