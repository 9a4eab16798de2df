package store_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestExports leads jobs through their lives on two nodes.
func TestExports(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, options store.Options) {
		a, b := open(t, options), open(t, options)
		ctx := audit.By(t.Context(), audit.Actor{Kind: audit.KindToken, Name: "meera"})
		first := must(a.AddExport(ctx, call.Export{Request: json.RawMessage(`{"calls":["x"]}`), By: "meera", Reason: "court", Groups: []string{"B", "A"}}))(t)
		if first.State != call.ExportWaiting || first.Reason != "court" || first.CreatedAt.IsZero() {
			t.Errorf("added: %+v", first)
		}
		if _, err := a.AddExport(ctx, call.Export{Request: json.RawMessage(`{}`), By: "meera"}); err != nil {
			t.Fatal(err)
		}
		one, oneToken, found, err := a.ClaimExport(ctx, time.Minute)
		if err != nil || !found || one.ID != first.ID || one.State != call.ExportBuilding || one.Attempts != 1 {
			t.Fatalf("claimed: %+v, %v, %v", one, found, err)
		}
		two, twoToken, found, err := b.ClaimExport(ctx, 0)
		if err != nil || !found || two.ID == one.ID {
			t.Fatalf("claimed by the other: %+v, %v, %v", two, found, err)
		}
		// Its lease is over at once, and somebody else goes on.
		again, againToken, found, err := a.ClaimExport(ctx, time.Minute)
		if err != nil || !found || again.ID != two.ID || again.Attempts != 2 {
			t.Fatalf("claimed again: %+v, %v, %v", again, found, err)
		}
		if _, _, found, err = b.ClaimExport(ctx, time.Minute); err != nil || found {
			t.Fatalf("a third: %v, %v", found, err)
		}
		if err := b.RenewExport(ctx, two.ID, twoToken, time.Minute, 1, 2); call.CodeOf(err) != call.Conflict {
			t.Errorf("a loser renews: %v", err)
		}
		if err := a.RenewExport(ctx, one.ID, oneToken, time.Minute, 1, 2); err != nil {
			t.Error(err)
		}
		made := call.ExportMade{Calls: 1, Recordings: 2, Missing: 3, Altered: 1, Size: 4, PieceSize: 5, ManifestSHA256: "ab", Prefix: "exports/x/"}
		if err := a.FinishExport(ctx, one.ID, oneToken, made, time.Hour); err != nil {
			t.Error(err)
		}
		ready := must(b.Export(ctx, one.ID))(t)
		if diff := cmp.Diff(made, ready.ExportMade); diff != "" || ready.State != call.ExportReady || ready.RemoveAt.Sub(ready.FinishedAt) != time.Hour || ready.Done != 2 {
			t.Errorf("ready: %+v\n%s", ready, diff)
		}
		if err := a.ReleaseExport(ctx, again.ID, againToken, 0, "it broke"); err != nil {
			t.Error(err)
		}
		again, againToken, _, err = b.ClaimExport(ctx, time.Minute)
		if err != nil || again.Attempts != 3 || again.Error != "it broke" {
			t.Errorf("after a failure: %+v, %v", again, err)
		}
		if err := b.FailExport(ctx, again.ID, againToken, "it broke for good"); err != nil {
			t.Error(err)
		}
		if old := must(a.RemoveOldExports(ctx))(t); len(old) != 0 {
			t.Errorf("old too soon: %+v", old)
		}
		for range 2 { // twice is once
			if e, err := a.RemoveExport(ctx, one.ID); err != nil || e.State != call.ExportRemoved {
				t.Errorf("removed: %+v, %v", e, err)
			}
		}
		if old := must(a.RemoveOldExports(ctx))(t); len(old) != 1 || old[0].ID != one.ID {
			t.Errorf("to be cleared: %+v", old)
		}
		if err := a.ClearExport(ctx, one.ID); err != nil {
			t.Error(err)
		}
		if old := must(a.RemoveOldExports(ctx))(t); len(old) != 0 {
			t.Errorf("cleared: %+v", old)
		}
		found2, cursor, err := a.FindExports(ctx, call.ExportFilter{Limit: 1})
		if err != nil || len(found2) != 1 || found2[0].ID != two.ID || cursor == "" {
			t.Errorf("first page: %+v, %q, %v", found2, cursor, err)
		}
		found2, cursor, err = a.FindExports(ctx, call.ExportFilter{Limit: 1, Cursor: cursor})
		if err != nil || len(found2) != 1 || found2[0].ID != one.ID || cursor != "" {
			t.Errorf("second page: %+v, %q, %v", found2, cursor, err)
		}
		limited, _, err := a.FindExports(ctx, call.ExportFilter{Groups: []string{"A", "B"}})
		if err != nil || len(limited) != 1 || limited[0].ID != one.ID {
			t.Errorf("of groups: %+v, %v", limited, err)
		}
		// All of it is in the log.
		var actions []audit.Action
		for _, seq := range must(a.AuditAbout(ctx, []string{"export/" + one.ID, "export/" + two.ID}))(t) {
			e := must(a.AuditEntries(ctx, seq, 1))(t)[0]
			actions = append(actions, e.Action)
			if e.Actor.Name != "meera" {
				t.Errorf("%s is by %+v", e.Action, e.Actor)
			}
		}
		want := []audit.Action{audit.ExportRequested, audit.ExportRequested, audit.ExportMade, audit.ExportFailed, audit.ExportRemoved}
		slices.Sort(actions)
		slices.Sort(want)
		if diff := cmp.Diff(want, actions); diff != "" {
			t.Errorf("logged (-want +got):\n%s", diff)
		}
		if _, err := a.Export(ctx, "nothing"); call.CodeOf(err) != call.NotFound {
			t.Errorf("no export: %v", err)
		}
		if _, err := a.RemoveExport(ctx, "nothing"); call.CodeOf(err) != call.NotFound {
			t.Errorf("remove no export: %v", err)
		}
	})
}
