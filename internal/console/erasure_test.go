package console_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

var oneErasure = call.Erasure{
	ID: "erasure-1", NumberHash: "ab12", Number: "+919812345678", Reason: "request", AskedAt: time.Date(2023, 1, 3, 0, 0, 0, 0, time.UTC), AskedBy: "counsel",
	NextAt: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC), Certificate: "erasures/erasure-1/certificate-1", Certificates: 1,
}

func (s *fakeStore) Erasures(context.Context) ([]call.Erasure, error) {
	return []call.Erasure{oneErasure}, s.err
}

func (s *fakeStore) Erasure(_ context.Context, id string) (call.Erasure, error) {
	if id != oneErasure.ID {
		return call.Erasure{}, call.Errorf(call.NotFound, "there is no erasure with this id")
	}
	return oneErasure, s.err
}

func (s *fakeStore) BeginErasure(ctx context.Context, _, reason string) (call.Erasure, error) {
	if audit.ActorOf(ctx).Kind != audit.KindToken {
		return call.Erasure{}, call.Errorf(call.Internal, "nobody asks")
	}
	e := oneErasure
	e.Reason = reason
	return e, s.err
}

func (s *fakeStore) ErasureItems(_ context.Context, _ string, kind call.ErasureKind, _ string, _ int, _ ...call.ErasureState) ([]call.ErasureItem, error) {
	return []call.ErasureItem{{Kind: kind, Ref: "rec-1", State: call.ErasureKept, Until: oneErasure.NextAt, Why: "the bucket's lock"}}, s.err
}

func (s *fakeStore) ErasureReopenings(context.Context, string) ([]call.ErasureReopening, error) {
	return []call.ErasureReopening{{At: oneErasure.AskedAt, CallIDs: []string{"call-1"}, Certificate: "erasures/erasure-1/certificate-1"}}, s.err
}

func (s *fakeStore) CountErasureItems(context.Context, string) (map[call.ErasureKind]map[call.ErasureState]int64, error) {
	return map[call.ErasureKind]map[call.ErasureState]int64{
		call.ErasedCall: {call.ErasureDone: 2}, call.ErasedAudio: {call.ErasureDone: 1, call.ErasureKept: 1},
	}, s.err
}

func TestErasures(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, tt := range []struct {
		name, token, body string
		status            int
		says              string
	}{
		{"begun", compliance, `{"number":"+919812345678","reason":"request of today"}`, 200, `"id":"erasure-1"`},
		{"no country code", compliance, `{"number":"9812345678","reason":"r"}`, 400, "country code"},
		{"no reason", compliance, `{"number":"+919812345678"}`, 400, "reason must say why"},
		{"the number as reason", compliance, `{"number":"+919812345678","reason":"09812345678 asks"}`, 400, "must not name"},
		{"a manager", manager, `{"number":"+919812345678","reason":"r"}`, 403, "compliance or admin"},
		{"limited to groups", salesAdmin, `{"number":"+919812345678","reason":"r"}`, 403, "limited to groups"},
	} {
		status, answer := h.post(t, "/api/v1/erasures", tt.token, tt.body)
		if status != tt.status || !strings.Contains(answer, tt.says) {
			t.Errorf("%s: status %d, want %d with %q: %s", tt.name, status, tt.status, tt.says, answer)
		}
		if strings.Contains(answer, "12345678") && status == 200 {
			t.Errorf("%s: the answer holds the number: %s", tt.name, answer)
		}
	}
	answer := string(h.get(t, "/api/v1/erasures/erasure-1", admin).body)
	for _, want := range []string{`"erased":{"audio":1,"call":2,"delivery":0,"export":0,"journal":0,"report":0}`, `"until":"2026-01-03T00:00:00Z"`, `"kept_count":1`, `certificate-1.txt`} {
		if !strings.Contains(answer, want) {
			t.Errorf("%s is not in %s", want, answer)
		}
	}
}
