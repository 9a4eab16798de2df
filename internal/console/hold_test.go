package console_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"callvault/internal/audit"
	"callvault/internal/call"
)

func (s *fakeStore) Holds(context.Context) ([]call.Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.holds), s.err
}

func (s *fakeStore) Hold(_ context.Context, name string) (call.Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.holds, func(h call.Hold) bool { return h.Name == name })
	if i < 0 {
		return call.Hold{}, call.Errorf(call.NotFound, "there is no hold named %s", name)
	}
	return s.holds[i], s.err
}

func (s *fakeStore) HoldStats(context.Context, call.Hold) (call.HoldStats, error) {
	return call.HoldStats{Calls: 3, Recordings: 2, Bytes: 1000, NotPushed: 1}, s.err
}

func (s *fakeStore) HeldBy(_ context.Context, ids []string) (map[string][]call.Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[string][]call.Hold{}
	for _, id := range ids {
		for _, h := range s.holds {
			if h.InForce() && slices.Contains(h.CallIDs, id) {
				held[id] = append(held[id], h)
			}
		}
	}
	return held, s.err
}

func (s *fakeStore) PlaceHold(ctx context.Context, h call.Hold) (call.Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.PlacedBy = audit.ActorOf(ctx).Name
	s.holds = append(s.holds, h)
	return h, s.err
}

func (s *fakeStore) ReleaseHold(ctx context.Context, name, reason string, _ bool) (call.Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.holds {
		if s.holds[i].Name == name {
			s.holds[i].Asked = &call.HoldRelease{By: audit.ActorOf(ctx).Name, Reason: reason}
			return s.holds[i], s.err
		}
	}
	return call.Hold{}, call.Errorf(call.NotFound, "there is no hold named %s", name)
}

func (s *fakeStore) WithdrawRelease(_ context.Context, name, _ string) (call.Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.holds {
		if s.holds[i].Name == name {
			s.holds[i].Asked = nil
			return s.holds[i], s.err
		}
	}
	return call.Hold{}, call.Errorf(call.NotFound, "there is no hold named %s", name)
}

// post sends JSON and returns the status and the answer.
func (h *house) post(t *testing.T, path, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestHolds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tt := range []struct {
		name, path, token, body string
		status                  int
		says                    string
	}{
		{"placed by filter", "/holds", compliance, `{"name":"A","reason":"r","filter":{"number":"98123","from":"2026-01-01T00:00:00Z"}}`, 200, `"placed_by":"counsel"`},
		{"placed on calls", "/holds", admin, `{"name":"B","reason":"r","call_ids":["call-1"]}`, 200, `"call_ids":["call-1"]`},
		{"only now", "/holds", admin, `{"name":"C","reason":"r","filter":{"group":"Sales"},"only_now":true}`, 200, `"until":"2023-01-03T07:00:00Z"`},
		{"no reason", "/holds", admin, `{"name":"D","reason":" ","call_ids":["call-1"]}`, 400, "reason"},
		{"no calls", "/holds", admin, `{"name":"D","reason":"r"}`, 400, "call_ids or filter"},
		{"both", "/holds", admin, `{"name":"D","reason":"r","call_ids":["x"],"filter":{"q":"x"}}`, 400, "call_ids or filter"},
		{"a filter of nothing", "/holds", admin, `{"name":"D","reason":"r","filter":{}}`, 400, "select"},
		{"a filter's inside", "/holds", admin, `{"name":"D","reason":"r","filter":{"q":"x","groups":["Sales"]}}`, 400, "filter takes"},
		{"a direction that is none", "/holds", admin, `{"name":"D","reason":"r","filter":{"direction":"outbond"}}`, 400, "direction is none of"},
		{"backwards", "/holds", admin, `{"name":"D","reason":"r","filter":{"from":"2026-11-25T00:00:00Z","to":"2026-11-01T00:00:00Z"}}`, 400, "from is after to"},
		{"a number without digits", "/holds", admin, `{"name":"D","reason":"r","filter":{"number":"abc"}}`, 400, "no digits"},
		{"what no database takes", "/holds", admin, `{"name":"D","reason":"r","filter":{"number":"98123\u0000"}}`, 400, "plain text"},
		{"a field that is not known", "/holds", admin, `{"name":"D","reason":"r","filters":{}}`, 400, "openapi.json"},
		{"a name with a slash", "/holds", admin, `{"name":"a/b","reason":"r","call_ids":["x"]}`, 400, "name must"},
		{"a manager", "/holds", manager, `{"name":"D","reason":"r","call_ids":["x"]}`, 403, "compliance or admin"},
		{"limited to groups", "/holds", salesAdmin, `{"name":"D","reason":"r","call_ids":["x"]}`, 403, "limited to groups"},
		{"a stranger", "/holds", "nobody", `{}`, 401, "unauthorized"},
		{"released", "/holds/Case%207/release", compliance, `{"reason":"settled"}`, 200, `"release_asked":{"at":null,"by":"counsel","reason":"settled"}`},
		{"withdrawn", "/holds/Case%207/release", compliance, `{"reason":"too early","withdraw":true}`, 200, `"release_asked":null`},
		{"released without reason", "/holds/Case%207/release", compliance, `{}`, 400, "reason"},
		{"none", "/holds/none/release", compliance, `{"reason":"r"}`, 404, "no hold named"},
		{"released by a viewer", "/holds/Case%207/release", viewer, `{"reason":"r"}`, 403, "compliance or admin"},
	} {
		status, answer := h.post(t, "/api/v1"+tt.path, tt.token, tt.body)
		if status != tt.status || !strings.Contains(answer, tt.says) {
			t.Errorf("%s: status %d, want %d with %q: %s", tt.name, status, tt.status, tt.says, answer)
		}
	}
	if r := h.do(t, http.MethodGet, "/api/v1/holds/Case%207/release", admin); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != http.MethodPost {
		t.Errorf("GET of a release: %d, Allow %q", r.status, r.header.Get("Allow"))
	}
	if r := h.do(t, http.MethodDelete, "/api/v1/holds", admin); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("DELETE of holds: %d, Allow %q", r.status, r.header.Get("Allow"))
	}
	if got := h.get(t, "/api/v1/calls/call-1", compliance).json(t)["holds"]; len(in[[]any](t, got)) != 2 {
		t.Errorf("the call's holds are %v", got)
	}
	if got := h.get(t, "/api/v1/calls/call-1", viewer).json(t)["holds"]; got != nil {
		t.Errorf("a viewer sees the holds %v", got)
	}
}
