package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sightings(at time.Time, reports int64, traits ...call.Sighting) call.Sightings {
	for i := range traits {
		traits[i].Reports = reports
	}
	return call.Sightings{Account: "sales", Report: call.CallReport, Reports: reports, At: at, Traits: traits}
}

func fieldOf(name, kind string) call.Sighting {
	return call.Sighting{Aspect: call.AspectField, Name: name, Type: kind}
}

var sameDrift = cmpopts.IgnoreFields(call.Drift{}, "ID")

func TestDrift(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		note := func(seen call.Sightings) []call.Drift { return must(s.NoteSightings(t.Context(), seen))(t) }
		documented := call.Sighting{Aspect: call.AspectField, Name: "CallSid", Type: "string", Documented: true}
		unknown := call.Sighting{Aspect: call.AspectStatus, Name: "PARKED", Type: string(call.StatusUnknown)}
		drift := note(sightings(nine, 100, documented, fieldOf("early", "string"), unknown))
		wantUnknown := call.Drift{Trait: call.Trait{Account: "sales", Report: call.CallReport, Aspect: call.AspectStatus, Name: "PARKED", Type: "unknown"},
			Change: call.ChangeUnknownStatus, FirstSeen: nine, LastSeen: nine, Reports: 100}
		if diff := cmp.Diff([]call.Drift{wantUnknown}, drift, sameDrift); diff != "" {
			t.Fatal(diff)
		}
		later := nine.Add(25 * time.Hour)
		drift = note(sightings(later, 3, documented, fieldOf("early", "string"), unknown, fieldOf("late", "number"), fieldOf("early", "number")))
		wantLate := call.Drift{Trait: call.Trait{Account: "sales", Report: call.CallReport, Aspect: call.AspectField, Name: "late", Type: "number"},
			Change: call.ChangeNewField, FirstSeen: later, LastSeen: later, Reports: 3}
		wantType := wantLate
		wantType.Name, wantType.Change = "early", call.ChangeType
		if diff := cmp.Diff([]call.Drift{wantLate, wantType}, drift, sameDrift); diff != "" {
			t.Fatal(diff)
		}
		if again := note(sightings(later, 2, fieldOf("late", "number"))); len(again) != 0 {
			t.Errorf("told twice: %+v", again)
		}
		// Live events and other accounts have a baseline of their own.
		other := sightings(later, 2, fieldOf("late", "number"))
		other.Report = call.LiveEvent
		if drift := note(other); len(drift) != 0 {
			t.Errorf("first live events: %+v", drift)
		}
		wantUnknown.LastSeen, wantUnknown.Reports = later, 103
		wantLate.Reports = 5
		found, next := page(t, s, call.DriftFilter{Account: "sales", Limit: 2})
		rest, end := page(t, s, call.DriftFilter{Account: "sales", Limit: 2, Cursor: next})
		if diff := cmp.Diff([]call.Drift{wantLate, wantType, wantUnknown}, append(found, rest...), sameDrift,
			cmpopts.SortSlices(func(a, b call.Drift) bool { return a.Change > b.Change })); diff != "" || next == "" || end != "" {
			t.Error(diff, next, end)
		}
		if found, _ := page(t, s, call.DriftFilter{Change: call.ChangeBaseline}); len(found) != 2 {
			t.Errorf("baseline is %+v", found)
		}
		if found, _ := page(t, s, call.DriftFilter{Change: call.ChangeNone}); len(found) != 1 || found[0].Name != "CallSid" || found[0].Reports != 103 {
			t.Errorf("as expected are %+v", found)
		}
		if found, _ := page(t, s, call.DriftFilter{Account: "other"}); len(found) != 0 {
			t.Errorf("of another account: %+v", found)
		}
	})
}

func page(t *testing.T, s *store.Store, f call.DriftFilter) ([]call.Drift, string) {
	t.Helper()
	found, next, err := s.FindDrift(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return found, next
}

// Several nodes see the same at the same moment: it is new to one of them.
func TestDriftIsNewOnce(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		must(nodes[0].NoteSightings(t.Context(), sightings(nine, 100, fieldOf("a", "string"))))(t)
		later := nine.Add(48 * time.Hour)
		var mu sync.Mutex
		var told []call.Drift
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				drift, err := nodes[i%2].NoteSightings(t.Context(), sightings(later, 1, fieldOf("b", "string"), fieldOf("c", "number")))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				told = append(told, drift...)
			})
		}
		wg.Wait()
		if len(told) != 2 {
			t.Errorf("told: %+v", told)
		}
		if found, _ := page(t, nodes[1], call.DriftFilter{}); len(found) != 2 || found[0].Reports != 6 {
			t.Errorf("found: %+v", found)
		}
	})
}

func TestDriftIsBounded(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		var told []call.Drift
		for round := range 3 {
			var traits []call.Sighting
			for i := range call.MaxTraits - 100 {
				traits = append(traits, fieldOf(fmt.Sprintf("f%d_%d", round, i), "string"))
			}
			told = append(told, must(s.NoteSightings(t.Context(), sightings(nine, 1, traits...)))(t)...)
		}
		if len(told) != 1 || told[0].Change != call.ChangeTooMany {
			t.Errorf("told: %+v", told)
		}
		documented := fieldOf("CallSid", "string")
		documented.Documented = true
		must(s.NoteSightings(t.Context(), sightings(nine, 1, documented)))(t)
		for change, want := range map[call.Change]int{call.ChangeBaseline: call.MaxTraits, call.ChangeTooMany: 1, call.ChangeNone: 1} {
			if found, _ := page(t, s, call.DriftFilter{Change: change, Limit: call.MaxLimit}); len(found) != want {
				t.Errorf("%d are %s, want %d", len(found), change, want)
			}
		}
	})
}
