package console_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

// Standing implements console.Retainer.
func (h *house) Standing(context.Context) (call.RetentionStanding, error) {
	return call.RetentionStanding{
		Rules: []string{"group Sales: 3y", "all: 1y"}, Terms: "calls: 8y", Since: h.clock.AddDate(0, 0, -3), WaitsUntil: h.clock.AddDate(0, 0, 4),
		Job: call.JobRun{NextAt: h.clock.Add(time.Hour), EndedAt: h.clock.Add(-23 * time.Hour), Result: []byte(`{"deleted": 4, "bytes": 40, "error": "the vault does not answer"}`)},
	}, h.store.err
}

// Plan implements console.Retainer: one recording goes a day.
func (h *house) Plan(_ context.Context, by time.Time, _ func(call.PlanItem) error) (call.RetentionPlan, error) {
	plan := call.RetentionPlan{By: by, Unjudged: 1}
	due := call.PlanItem{Recording: call.Recording{Account: "sales"}, By: "all: 1y", Until: h.clock}
	days := int64(by.Sub(h.clock)/(24*time.Hour)) + 1
	plan.Add(due, days, 10*days)
	due.Why, due.By = call.KeptLocked, "a lock on the object"
	plan.Add(due, 2, 20)
	due.Until = h.clock.AddDate(0, 0, 9)
	plan.Add(due, 1, 10)
	due.Why, due.By, due.Until = call.KeptHeld, "Case 7", time.Time{}
	plan.Add(due, 1, 10)
	plan.AddSegment(call.PlanItem{Recording: call.Recording{Size: 9}, By: "journal: 8y", Until: h.clock})
	plan.AddSegment(call.PlanItem{Recording: call.Recording{Size: 5}, Why: call.KeptHeld, By: "Case 7"})
	return plan, nil
}

// Forecast implements console.Retainer.
func (h *house) Forecast(context.Context) (call.Forecast, error) {
	return call.Forecast{
		AsOf: h.clock, From: h.clock.AddDate(0, 0, -28), BytesPerDay: 7,
		Totals: []call.StorageTotal{{Account: "sales", Recordings: 3, Bytes: 30}},
		Days:   []call.StorageDay{{Day: h.clock.AddDate(0, 0, -1), Account: "sales", Added: 2, AddedBytes: 20, Deleted: 1, DeletedBytes: 10}},
		Growth: []call.StorageGrowth{{Days: 7, Added: 2, AddedBytes: 20, Deleted: 1, DeletedBytes: 10}},
		Frees: []call.DueSum{{Account: "sales", Month: h.clock, Recordings: 1, Bytes: 10}, {Account: "support", Month: h.clock, Recordings: 2, Bytes: 5},
			{Account: "sales", Month: h.clock.AddDate(0, 1, 0), Recordings: 1, Bytes: 10}},
	}, h.store.err
}

func TestRetentionIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get(t, "/api/v1/retention?by=2023-01-05", compliance)
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	answer := r.json(t)
	want := object{"why": "locked", "by": "a lock on the object", "account": "sales", "from": "2023-01-03T07:00:00Z", "until": "2023-01-12T07:00:00Z", "recordings": 3.0, "bytes": 30.0}
	if diff := cmp.Diff(want, in[object](t, answer, "now", "kept", 0)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if held := in[object](t, answer, "now", "kept", 1); held["why"] != "held" || held["from"] != nil || held["until"] != nil {
		t.Errorf("held: %v", held)
	}
	journal := []any{
		object{"month": "2023-01", "why": nil, "by": "journal: 8y", "until": nil, "segments": 1.0, "bytes": 9.0},
		object{"month": nil, "why": "held", "by": "Case 7", "until": nil, "segments": 1.0, "bytes": 5.0},
	}
	if diff := cmp.Diff(journal, in[object](t, answer, "now")["journal"]); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	// A day is part of the plan, and what is due now is told beside it.
	if now, until := in[float64](t, answer, "now", "recordings"), in[float64](t, answer, "until", "recordings"); now != 1 || until != 3 {
		t.Errorf("%v may go now, %v until then", now, until)
	}
	if by := in[string](t, answer, "until", "by"); by != "2023-01-05T23:59:59.999Z" {
		t.Errorf("until %s", by)
	}
	if e := in[string](t, answer, "last_run", "error"); e != "the vault does not answer" {
		t.Errorf("the last run met %q", e)
	}
	if alone := h.get(t, "/api/v1/retention", compliance).json(t); alone["until"] != nil {
		t.Errorf("not asked for: %v", alone["until"])
	}
	h.get(t, "/api/v1/retention?by=soon", compliance).wantError(t, http.StatusBadRequest, call.Invalid)
}

func TestStorageIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	answer := h.get(t, "/api/v1/storage", admin).json(t)
	want := []any{object{"month": "2023-01", "recordings": 3.0, "bytes": 15.0}, object{"month": "2023-02", "recordings": 1.0, "bytes": 10.0}}
	if diff := cmp.Diff(want, answer["frees"]); diff != "" {
		t.Errorf("frees (-want +got):\n%s", diff)
	}
	if in[string](t, answer, "since") != "2022-12-06" || in[string](t, answer, "days", 0, "day") != "2023-01-02" {
		t.Errorf("answer: %v", answer)
	}
}

// How things are kept is for those who keep them, and nobody's look at it is
// logged: it tells of nobody.
func TestKeepersAloneSeeRetention(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/api/v1/retention", "/api/v1/storage"} {
		for _, token := range []string{viewer, manager, salesManager, salesAdmin} {
			h.get(t, path, token).wantError(t, http.StatusForbidden, call.Forbidden)
		}
		for _, token := range []string{compliance, admin} {
			before := len(h.store.entries)
			if r := h.get(t, path, token); r.status != http.StatusOK || len(h.store.entries) != before {
				t.Errorf("%s: status %d, %d entries", path, r.status, len(h.store.entries)-before)
			}
		}
	}
}

// A recording says by which rule it is kept, until when, and what else keeps
// it.
func TestRecordingsSayWhatKeepsThem(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const until = "2026-01-02T09:02:30Z"
	for _, path := range []string{"/api/v1/calls", "/api/v1/calls/call-1"} {
		for token, holds := range map[string]any{admin: []any{"Case 7"}, viewer: nil} {
			answer := any(h.get(t, path, token).json(t))
			if path == "/api/v1/calls" {
				answer = in[object](t, answer, "calls", 0)
			}
			got := map[string]any{}
			for _, name := range []string{"rule", "retain_until", "due_at", "locked_until", "holds"} {
				got[name] = in[object](t, answer, "recordings", 0)[name]
			}
			want := map[string]any{"rule": "group Sales: 3y", "retain_until": until, "due_at": until, "locked_until": until, "holds": holds}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s as %s (-want +got):\n%s", path, token, diff)
			}
			if refused := in[object](t, answer, "recordings", 1); refused["locked_until"] != nil || refused["rule"] != nil {
				t.Errorf("refused: %v", refused)
			}
		}
	}
}
