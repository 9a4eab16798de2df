package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
)

func (s *fakeStore) Audit(_ context.Context, entries ...audit.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.auditErr != nil {
		return s.auditErr
	}
	for _, e := range entries {
		e.Seq = int64(len(s.entries))
		s.entries = append(s.entries, e)
	}
	return nil
}

func (s *fakeStore) FindAudit(_ context.Context, f audit.Filter) ([]audit.Entry, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []audit.Entry
	for _, e := range slices.Backward(s.entries) {
		if (f.Before == nil || e.Seq < *f.Before) && (f.Action == "" || e.Action == f.Action) && (f.Actor == "" || e.Actor.Name == f.Actor) {
			found = append(found, e)
		}
	}
	return found[:min(len(found), f.Limit)], len(found) > f.Limit, nil
}

func (s *fakeStore) AuditHead(context.Context) (audit.Head, error) {
	return audit.Head{Size: 2, Hash: tlog.Hash{1}}, nil
}

func (s *fakeStore) AuditHeadAt(_ context.Context, size int64) (audit.Head, error) {
	if size > 2 {
		return audit.Head{}, call.Errorf(call.Invalid, "the log has 2 entries, and never had %d", size)
	}
	return audit.Head{Size: size, Hash: tlog.Hash{1}}, nil
}

func (s *fakeStore) AuditKey(context.Context) (string, error) { return "callvault-a+01+AA", nil }

func (s *fakeStore) LastSeal(context.Context) (string, error) { return "note\n", nil }

func (s *fakeStore) AuditProof(context.Context, int64, int64) (tlog.RecordProof, error) {
	return tlog.RecordProof{{2}}, nil
}

func (s *fakeStore) AuditConsistency(context.Context, int64, int64) (tlog.TreeProof, error) {
	return tlog.TreeProof{{3}}, nil
}

// logged are the entries, as "actor action subject facts".
func (s *fakeStore) logged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []string{}
	for _, e := range s.entries {
		line := fmt.Sprintf("%s %s %s %s %s", e.Actor.Kind, e.Actor.Name, e.Action, e.Subject, e.Facts)
		if e.Reason != "" {
			line += " because " + e.Reason
		}
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

// TestLooksAreLogged: who sees a call, a delivery, a report's file or the calls
// in progress, or hears a recording, is in the log when the answer comes.
func TestLooksAreLogged(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		"/calls/call-1?reason=case+12":       {"token counsel call.viewed call/call-1 because case 12"},
		"/calls/none":                        {},
		"/recordings/rec-1/audio":            {"token counsel audio.played recording/rec-1"},
		"/recordings/rec-1/audio?download=1": {"token counsel audio.downloaded recording/rec-1"},
		"/recordings/rec-1/peaks":            {"token counsel waveform.viewed recording/rec-1"},
		"/deliveries/7":                      {"token counsel delivery.viewed delivery/7"},
		"/live":                              {"token counsel live.viewed"},
		"/holds":                             {"token counsel holds.viewed"},
		"/holds/Case%207":                    {"token counsel holds.viewed hold/hold-1"},
		"/holds/none":                        {},
		"/exports":                           {"token counsel exports.viewed"},
		"/exports/export-1":                  {"token counsel exports.viewed export/export-1"},
		"/exports/export-1/file":             {"token counsel export.downloaded export/export-1"},
		"/reports/run-1/files/daily%202023-01-02%20calls.csv": {"token counsel report.downloaded run/run-1"},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			r := h.get(t, "/api/v1"+path, compliance)
			if wantStatus := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[len(want) > 0]; r.status != wantStatus {
				t.Fatalf("status %d: %s", r.status, r.body)
			}
			got := h.store.logged()
			for i := range got { // what the facts are is said elsewhere
				if at := strings.IndexByte(got[i], '{'); at >= 0 {
					got[i] = strings.TrimSpace(got[i][:at])
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for _, e := range h.store.entries {
				if e.Actor.Address != "127.0.0.1" || !e.At.Equal(h.clock) {
					t.Errorf("entry is %+v", e)
				}
			}
		})
	}
}

// TestSearchesAreLoggedInBatches: pages of one search are one entry with its
// filters, which is in the log at the latest when the server ends.
func TestSearchesAreLoggedInBatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{
		"/calls?number=5678&limit=1", "/calls?number=5678&limit=1&cursor=1", "/calls?group=Sales", "/deliveries?account=sales", "/audit?action=call.viewed",
	} {
		if r := h.get(t, "/api/v1"+path, compliance); r.status != http.StatusOK {
			t.Fatalf("%s: status %d: %s", path, r.status, r.body)
		}
	}
	if got := h.store.logged(); len(got) != 0 {
		t.Errorf("logged one by one: %v", got)
	}
	if err := h.console.FlushLooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`token counsel calls.searched {"number":"5678"}`, `token counsel calls.searched {"group":"Sales"}`,
		`token counsel deliveries.searched {"account":"sales"}`, `token counsel log.searched {"action":"call.viewed"}`,
	}
	if diff := cmp.Diff(want, h.store.logged()); diff != "" {
		t.Error(diff)
	}
	if err := h.console.FlushLooks(t.Context()); err != nil || len(h.store.logged()) != len(want) {
		t.Errorf("flushed twice: %v, %v", h.store.logged(), err)
	}
}

// TestOneListeningIsOneEntry: a player asks for many ranges. After a while, or
// for another reason, it is another listening.
func TestOneListeningIsOneEntry(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	listen := func(want int, header ...string) {
		t.Helper()
		if r := h.get(t, "/api/v1/recordings/rec-1/audio", compliance, header...); r.status != http.StatusPartialContent && r.status != http.StatusOK {
			t.Fatalf("status %d", r.status)
		}
		if got := len(h.store.logged()); got != want {
			t.Errorf("%d entries, want %d", got, want)
		}
	}
	listen(1, "Range", "bytes=0-9")
	listen(1, "Range", "bytes=10-19")
	h.clock = h.clock.Add(9 * time.Minute)
	listen(1, "Range", "bytes=20-29")
	h.clock = h.clock.Add(10 * time.Minute)
	listen(2)
	listen(3, "X-Audit-Reason", "another case")
	for range 10 {
		h.clock = h.clock.Add(9 * time.Minute)
		if r := h.get(t, "/api/v1/recordings/rec-1/audio", compliance); r.status != http.StatusOK {
			t.Fatalf("status %d", r.status)
		}
	}
	if got := len(h.store.logged()); got != 4 {
		t.Errorf("%d entries: a listening must end after an hour", got)
	}
}

// TestNobodyLooksUnseen: while the log cannot be written, nothing is shown.
func TestNobodyLooksUnseen(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.store.auditErr = errors.New("disk full at /var/lib/secret")
	for _, path := range []string{"/calls/call-1", "/recordings/rec-1/audio", "/deliveries/7", "/live", "/reports/run-1/files/daily%202023-01-02%20calls.csv"} {
		r := h.get(t, "/api/v1"+path, compliance)
		if r.status != http.StatusServiceUnavailable || strings.Contains(string(r.body), "secret") {
			t.Errorf("%s: status %d: %s", path, r.status, r.body)
		}
	}
	// Searches wait for it, and are not lost.
	if r := h.get(t, "/api/v1/calls", compliance); r.status != http.StatusOK {
		t.Errorf("a search: status %d", r.status)
	}
	if err := h.console.FlushLooks(t.Context()); err == nil {
		t.Error("that searches cannot be logged was not told")
	}
	h.store.auditErr = nil
	if err := h.console.FlushLooks(t.Context()); err != nil || len(h.store.logged()) != 1 {
		t.Errorf("logged afterwards: %v, %v", h.store.logged(), err)
	}
}

// TestRefusalsAreLogged: those of who is known one by one, strangers' counted.
func TestRefusalsAreLogged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for path, token := range map[string]string{"/audit": viewer, "/recordings/rec-1/audio": manager, "/deliveries": salesAdmin} {
		if r := h.get(t, "/api/v1"+path, token); r.status != http.StatusForbidden {
			t.Errorf("%s: status %d", path, r.status)
		}
	}
	got := h.store.logged()
	slices.Sort(got)
	for i, path := range []string{"/audit", "/deliveries", "/recordings/rec-1/audio"} {
		if !slices.ContainsFunc(got, func(line string) bool {
			return strings.HasPrefix(line, "token access.refused {") && strings.Contains(line, `"path":"/api/v1`+path+`"`)
		}) || len(got) != 3 {
			t.Errorf("%d: %s is not in %v", i, path, got)
		}
	}
	// What is hidden looks as if it were not there, and is a refusal all the
	// same; what is not there is none.
	for _, path := range []string{"/calls/call-2", "/recordings/rec-billing/audio", "/exports/export-1", "/exports/export-1/file", "/calls/none", "/exports/none"} {
		if r := h.get(t, "/api/v1"+path, salesAdmin); r.status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, r.status)
		}
	}
	if got := h.store.logged()[3:]; len(got) != 4 || !strings.Contains(got[0], `"path":"/api/v1/calls/call-2"`) || !strings.Contains(got[1], "rec-billing") {
		t.Errorf("hidden: %v", got)
	}
	for range 3 {
		h.get(t, "/api/v1/calls", "cv_wrong")
	}
	if err := h.console.FlushLooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := h.store.entries[len(h.store.entries)-1]
	var facts audit.StrangersFacts
	if err := json.Unmarshal(last.Facts, &facts); err != nil || last.Action != audit.StrangersRefused || facts.Counts["api_unauthorized"] != 3 || last.Actor.Kind != audit.KindStranger {
		t.Errorf("the last entry is %+v with %s", last, last.Facts)
	}
}

func TestReasonsAreOneLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, query := range []string{"reason=a%0Ab", "reason=" + strings.Repeat("x", 501), "reason=a&reason=b"} {
		if r := h.get(t, "/api/v1/calls/call-1?"+query, compliance); r.status != http.StatusBadRequest {
			t.Errorf("%.20s: status %d", query, r.status)
		}
	}
	if got := h.store.logged(); len(got) != 0 {
		t.Errorf("logged: %v", got)
	}
}
