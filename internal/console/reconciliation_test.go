package console_test

import (
	"net/http"
	"testing"

	"callvault/internal/call"
)

func TestReconciliation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get(t, "/api/v1/reconciliation?account=sales&from=2023-01-01&to=2023-01-02T10:00:00Z&limit=2", admin)
	if r.status != http.StatusOK {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	days := in[[]any](t, r.json(t), "days")
	if len(days) != 2 {
		t.Fatalf("%d days", len(days))
	}
	// Of a day whose list was not read that is said, before all else.
	if reason := in[string](t, days[0], "differences", 0, "reason"); reason != string(call.NotRead) {
		t.Errorf("the first difference is %s", reason)
	}
	for _, want := range []struct {
		n    float64
		path []any
	}{
		{5, []any{"listed"}},
		{3, []any{"delivered"}},
		{4, []any{"calls"}},
		{2, []any{"recordings", "archived"}},
		{0, []any{"recordings", "erased"}},
		{1, []any{"counts", "not_read"}},
		{1, []any{"counts", "absent"}},
		{0, []any{"counts", "refused"}},
		{1, []any{"left_out"}},
	} {
		if n := in[float64](t, days[1], want.path...); n != want.n {
			t.Errorf("%v is %v, want %v", want.path, n, want.n)
		}
	}
	if key := in[string](t, days[1], "differences", 1, "key"); key != "1.1" {
		t.Errorf("the key is %s", key)
	}
	// Without from and to, three days of each account, to today.
	r = h.get(t, "/api/v1/reconciliation", admin)
	days = in[[]any](t, r.json(t), "days")
	if len(days) != 9 || in[string](t, days[8], "day") != "2023-01-03" || in[string](t, days[8], "differences", 0, "reason") != string(call.NoBackfill) {
		t.Errorf("%d days, %s", len(days), r.body)
	}
	h.get(t, "/api/v1/reconciliation?from=2022-01-01&to=2023-01-01", admin).wantError(t, http.StatusBadRequest, call.Invalid)
	h.get(t, "/api/v1/reconciliation?account=none", admin).wantError(t, http.StatusBadRequest, call.Invalid)
	for _, path := range []string{"/api/v1/reconciliation", "/api/v1/backfill"} {
		h.get(t, path, salesAdmin).wantError(t, http.StatusForbidden, call.Forbidden)
	}
}
