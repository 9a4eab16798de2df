package store_test

import (
	"slices"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestPlannedFiles: what is being put for a run is known before, until it is the
// run's, or is gone.
func TestPlannedFiles(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		run, lease, won, err := s.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: nine, PeriodTo: nine.Add(24 * time.Hour), Zone: "UTC"}, -time.Second)
		if err != nil || !won {
			t.Fatal(won, err)
		}
		file := func(name string) call.RunFile {
			return call.RunFile{Name: name, ObjectKey: "reports/daily/r1-ab/" + name, Size: 3, SHA256: "ef", Revision: 1}
		}
		first, second := file("daily.xlsx"), file("daily.csv")
		for range 2 { // the second time changes nothing
			if err := s.PlanRunFiles(t.Context(), lease, []call.RunFile{first, second}); err != nil {
				t.Fatal(err)
			}
		}
		making := func() []call.RunInMaking {
			t.Helper()
			return must(s.RunsInMaking(t.Context()))(t)
		}
		kept := func() (keys []string) {
			t.Helper()
			err := s.EachKept(t.Context(), func(k call.KeptObject) error {
				if k.Going {
					keys = append(keys, k.Key)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(keys)
			return keys
		}
		m := making()
		if len(m) != 1 || m[0].Run.ID != run.ID || m[0].LeaseUntil.IsZero() || !m[0].LeaseUntil.Before(time.Now()) {
			t.Fatalf("in the making are %+v", m)
		}
		if diff := cmp.Diff([]call.RunFile{second, first}, m[0].Abandoned()); diff != "" {
			t.Errorf("abandoned (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{second.ObjectKey, first.ObjectKey}, kept()); diff != "" {
			t.Errorf("may lie in the vault (-want +got):\n%s", diff)
		}
		// Somebody else builds it, of whom something is heard.
		stop := func(since time.Duration) ([]call.RunFile, bool) {
			t.Helper()
			left, stopped, err := s.StopRun(t.Context(), run.ID, time.Now().Add(since))
			if err != nil {
				t.Fatal(err)
			}
			return left, stopped
		}
		if left, stopped := stop(-time.Hour); stopped || left != nil {
			t.Errorf("who was heard of within the hour is stopped: %t, %v", stopped, left)
		}
		if left, stopped := stop(0); !stopped || !cmp.Equal(left, []call.RunFile{second, first}) {
			t.Errorf("stopped %t, and left are %v", stopped, left)
		}
		if err := s.PlanRunFiles(t.Context(), lease, []call.RunFile{file("late")}); call.CodeOf(err) != call.Conflict {
			t.Errorf("who lost the lease plans: %v", err)
		}
		again, alive, won, err := s.ReserveRun(t.Context(), run, time.Minute)
		if err != nil || !won || again.ID != run.ID {
			t.Fatal(again, won, err)
		}
		for _, since := range []time.Duration{0, time.Hour} { // whatever time the caller has
			if left, stopped := stop(since); stopped || left != nil {
				t.Errorf("who has the lease is stopped: %t, %v", stopped, left)
			}
		}
		third := file("weekly.xlsx")
		if err := s.PlanRunFiles(t.Context(), alive, []call.RunFile{third}); err != nil {
			t.Errorf("who has the lease was stopped: %v", err)
		}
		again.Revision, again.Files = 1, []call.RunFile{third, first}
		if err := s.FinishRun(t.Context(), lease, again); call.CodeOf(err) != call.Conflict {
			t.Errorf("who lost the lease finishes: %v", err)
		}
		if err := s.FinishRun(t.Context(), alive, again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{second.ObjectKey}, kept()); diff != "" {
			t.Errorf("when it is built (-want +got):\n%s", diff)
		}
		if left, stopped := stop(time.Hour); !stopped || !cmp.Equal(left, []call.RunFile{second}) {
			t.Errorf("stopped %t, and left are %v", stopped, left)
		}
		for range 2 {
			if err := s.DropPlannedFile(t.Context(), run.ID, second, "nobody needs it"); err != nil {
				t.Fatal(err)
			}
		}
		if m := making(); len(m) != 0 {
			t.Errorf("in the end there are %+v", m)
		}
		entries := must(s.AuditEntries(t.Context(), 0, 100))(t)
		if last := entries[len(entries)-1]; last.Action != audit.OrphanRemoved || last.Subject != "run/"+run.ID || last.Reason != "nobody needs it" || entries[len(entries)-2].Action == audit.OrphanRemoved {
			t.Errorf("the log says %+v", last)
		}
	})
}
