package console_test

import (
	"testing"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

func TestAlerts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	got := h.get(t, "/api/v1/alerts?account=sales&kind=silence&state=open&limit=7", viewer).json(t)
	want := call.AlertFilter{Account: "sales", Kind: call.AlertSilence, State: call.AlertOpen, Limit: 7}
	if diff := cmp.Diff(want, h.store.alertFilter); diff != "" {
		t.Error(diff)
	}
	open := object{"id": "a2", "kind": "silence", "account": "sales", "state": "open", "since": "2023-01-02T08:00:00Z",
		"opened_at": "2023-01-02T09:00:00Z", "sentence": "No call report has come.", "closed_at": nil, "closing": nil}
	closed := object{"id": "a1", "kind": "account_paused", "account": "support", "state": "closed", "since": "2023-01-02T07:00:00Z",
		"opened_at": "2023-01-02T07:00:00Z", "sentence": "Not fetched.", "closed_at": "2023-01-02T08:00:00Z", "closing": "Fetched again."}
	if diff := cmp.Diff([]any{open, closed}, in[[]any](t, got, "alerts")); diff != "" {
		t.Error(diff)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	got := h.get(t, "/api/v1/faults?kind=missing&state=open&limit=7", compliance).json(t)
	want := call.FaultFilter{Kind: call.FaultMissing, State: call.AlertOpen, Limit: 7}
	if diff := cmp.Diff(want, h.store.faultFilter); diff != "" {
		t.Error(diff)
	}
	open := object{"id": "f2", "kind": "missing", "where": "calls/2023/01/02/sales/rec-1.wav", "what": "it is not in the vault", "state": "open",
		"first_seen_at": "2023-01-02T09:00:00Z", "last_seen_at": "2023-01-02T10:00:00Z", "closed_at": nil}
	closed := object{"id": "f1", "kind": "call", "where": "call/call-2", "what": "not its legs", "state": "closed",
		"first_seen_at": "2023-01-02T09:00:00Z", "last_seen_at": "2023-01-02T09:00:00Z", "closed_at": "2023-01-02T10:00:00Z"}
	if diff := cmp.Diff([]any{open, closed}, in[[]any](t, got, "faults")); diff != "" {
		t.Error(diff)
	}
	h.get(t, "/api/v1/faults?kind=nonsense", compliance).wantError(t, 400, call.Invalid)
	h.get(t, "/api/v1/audit?action=nonsense", compliance).wantError(t, 400, call.Invalid)
}

func TestDrift(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	got := h.get(t, "/api/v1/drift?account=sales&change=new_field&limit=7", viewer).json(t)
	want := call.DriftFilter{Account: "sales", Change: call.ChangeNewField, Limit: 7}
	if diff := cmp.Diff(want, h.store.driftFilter); diff != "" {
		t.Error(diff)
	}
	field := object{"id": "d1", "account": "sales", "report": "report", "aspect": "field", "name": "recording_ms", "type": "number", "change": "new_field",
		"sentence":      "call reports have a new field: recording_ms (number)",
		"first_seen_at": "2023-01-02T09:00:00Z", "last_seen_at": "2023-01-02T10:00:00Z", "reports": 12.0}
	limit := object{"id": "d2", "account": "support", "report": "live", "aspect": "limit", "name": nil, "type": nil, "change": "too_many",
		"sentence":      "live events have so many different fields and words that new ones are not noted any more",
		"first_seen_at": "2023-01-02T09:00:00Z", "last_seen_at": nil, "reports": 1.0}
	if diff := cmp.Diff([]any{field, limit}, in[[]any](t, got, "drift")); diff != "" {
		t.Error(diff)
	}
}
