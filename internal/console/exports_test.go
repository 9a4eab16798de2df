package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/export"

	"github.com/google/go-cmp/cmp"
)

func TestAskForExports(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	d := describe(t, h)
	const good = `{"filter": {"group": "Sales", "from": "2023-01-02T00:00:00Z"}, "reason": "court order 7"}`
	status, answer := h.post(t, "/api/v1/exports", salesAdmin, good)
	if status != http.StatusAccepted {
		t.Fatalf("status %d: %s", status, answer)
	}
	d.check(t, "the answer", in[object](t, d.object, "components", "schemas", "Export"), decode(t, answer))
	added := h.store.exports[len(h.store.exports)-1]
	var asked export.Request
	if err := json.Unmarshal(added.Request, &asked); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Sales"}, asked.Groups); diff != "" || asked.Filter.Group != "Sales" || asked.Reason != "court order 7" || asked.By.Kind != audit.KindToken || asked.By.Address == "" {
		t.Errorf("asked for %+v", asked)
	}
	for body, status := range map[string]int{
		`{"call_ids": ["call-1"], "reason": "x"}`:                             http.StatusAccepted,
		`{"call_ids": ["call-1"], "reason": " "}`:                             http.StatusBadRequest,
		`{"call_ids": ["call-1"]}`:                                            http.StatusBadRequest,
		`{"call_ids": [""], "reason": "x"}`:                                   http.StatusBadRequest,
		`{"call_ids": ["a"], "filter": {"group": "x"}, "reason": "x"}`:        http.StatusBadRequest,
		`{"filter": {"group": "x", "groups": ["Billing"]}, "reason": "x"}`:    http.StatusBadRequest,
		`{"filter": {}, "reason": "x"}`:                                       http.StatusBadRequest,
		`{"filter": {"group": "x"}, "reason": "x", "by": {"name": "nobody"}}`: http.StatusBadRequest,
		`{"filter": {"recording": "sideways"}, "reason": "x"}`:                http.StatusBadRequest,
		`{"reason": "x"}`: http.StatusBadRequest,
		`nonsense`:        http.StatusBadRequest,
		fmt.Sprintf(`{"call_ids": [%s"a"], "reason": "x"}`, strings.Repeat(`"a",`, export.MaxCalls)): http.StatusBadRequest,
	} {
		if got, answer := h.post(t, "/api/v1/exports", admin, body); got != status {
			t.Errorf("%.100s: status %d, want %d: %s", body, got, status, answer)
		}
	}
	for _, token := range []string{viewer, manager, ""} {
		if got, _ := h.post(t, "/api/v1/exports", token, good); got != http.StatusForbidden && got != http.StatusUnauthorized {
			t.Errorf("%q may export: status %d", token, got)
		}
	}
	if r := h.do(t, http.MethodPut, "/api/v1/exports", admin); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT: status %d, Allow %s", r.status, r.header.Get("Allow"))
	}
}

// A token limited to groups has to do with the exports of the same groups only.
func TestExportsOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tt := range []struct {
		method, path, token string
		status              int
	}{
		{"GET", "/exports/export-1", admin, 200},
		{"GET", "/exports/export-1", compliance, 200},
		{"GET", "/exports/export-1", manager, 403},
		{"GET", "/exports/export-1", salesAdmin, 404},
		{"GET", "/exports/export-1/file", salesAdmin, 404},
		{"DELETE", "/exports/export-1", salesAdmin, 404},
		{"GET", "/exports/export-2", salesAdmin, 200},
		{"GET", "/exports/export-2/file", salesAdmin, 409},
		{"GET", "/exports/export-1/file", manager, 403},
		{"DELETE", "/exports/export-1", manager, 403},
		{"DELETE", "/exports/export-2", salesAdmin, 200},
		{"DELETE", "/exports/none", admin, 404},
	} {
		if r := h.do(t, tt.method, "/api/v1"+tt.path, tt.token); r.status != tt.status {
			t.Errorf("%s %s by %s: status %d, want %d: %s", tt.method, tt.path, tt.token, r.status, tt.status, r.body)
		}
	}
	h.get(t, "/api/v1/exports?state=ready", salesAdmin)
	if diff := cmp.Diff(call.ExportFilter{State: call.ExportReady, Groups: []string{"Sales"}, Limit: 50}, h.store.exportFilter); diff != "" {
		t.Error(diff)
	}
}

// A bundle lies in pieces, and is given out as one file, whole and in ranges.
// That it was is logged first.
func TestExportFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const whole = "0123456789abcdefghijXYZ"
	const path = "/api/v1/exports/export-1/file"
	r := h.get(t, path, compliance)
	if r.status != http.StatusOK || string(r.body) != whole || r.header.Get("Content-Type") != "application/zip" ||
		!strings.Contains(r.header.Get("Content-Disposition"), "callvault-export-1.zip") {
		t.Errorf("status %d, header %v, body %s", r.status, r.header, r.body)
	}
	for from := range len(whole) {
		for _, to := range []int{from, min(from+11, len(whole)-1), len(whole) - 1} {
			r := h.get(t, path, compliance, "Range", fmt.Sprintf("bytes=%d-%d", from, to))
			if r.status != http.StatusPartialContent || string(r.body) != whole[from:to+1] {
				t.Errorf("%d to %d: status %d, %s", from, to, r.status, r.body)
			}
		}
	}
	if r := h.get(t, path, compliance, "Range", "bytes=23-"); r.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("beyond the end: status %d", r.status)
	}
	var logged int
	for _, e := range h.store.entries {
		if e.Action == audit.ExportDownloaded && e.Subject == "export/export-1" && e.Actor.Kind == audit.KindToken {
			logged++
		}
	}
	if logged != 1 { // they are one download
		t.Errorf("%d downloads are logged", logged)
	}
	h.clock = h.clock.Add(time.Hour)
	h.get(t, path, compliance, "Range", "bytes=1-")
	if last := h.store.entries[len(h.store.entries)-1]; last.Action != audit.ExportDownloaded || !last.At.Equal(h.clock) {
		t.Errorf("a download but for the first byte is not logged: %+v", last)
	}
	delete(h.vault.objects, "exports/export-1/a-000001")
	h.get(t, path, compliance).wantError(t, http.StatusServiceUnavailable, call.Unavailable)
	h.store.err = call.Errorf(call.Unavailable, "the database does not answer")
	before := len(h.vault.opened)
	h.get(t, path, compliance).wantError(t, http.StatusServiceUnavailable, call.Unavailable)
	if len(h.vault.opened) != before {
		t.Error("a bundle was handed out that could not be logged")
	}
}
