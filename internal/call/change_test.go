package call_test

import (
	"encoding/json"
	"testing"
	"time"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	one := call.Comparable{Call: call.Call{Account: "sales", Key: "1.1", Outcome: call.Missed, LegsCount: 1,
		StartedAt: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}}
	two := one
	two.Outcome, two.TalkSeconds, two.StartedAt, two.Recordings = call.Answered, new(40), time.Time{}, 1
	changes := call.Differences(&one, &two)
	want := call.FieldChanges{
		"outcome": {"missed", "answered"}, "talk_seconds": {nil, 40}, "started_at": {"2026-11-20T09:00:00Z", nil}, "recordings": {0, 1},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	if got := call.Differences(&one, &one); len(got) != 0 {
		t.Errorf("of itself a call differs in %v", got)
	}
	if got := call.Differences(nil, &one); got["call_key"] != [2]any{nil, "1.1"} || got["legs_count"] != [2]any{0, 1} {
		t.Errorf("a new call differs in %v", got)
	}
	// There and back again is no change; further is one change.
	changes.Then(call.Differences(&two, &one))
	if len(changes) != 0 {
		t.Errorf("there and back: %v", changes)
	}
	three := two
	three.TalkSeconds = new(50)
	changes = call.Differences(&one, &two)
	changes.Then(call.Differences(&two, &three))
	if changes["talk_seconds"] != [2]any{nil, 50} {
		t.Errorf("further: %v", changes)
	}
	text, err := json.Marshal(call.CallChange{Account: "sales", Key: "1.1", Changes: call.FieldChanges{"outcome": {nil, "missed"}}})
	if err != nil || string(text) != `{"id":null,"account":"sales","call_key":"1.1","changes":{"outcome":[null,"missed"]}}` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}
