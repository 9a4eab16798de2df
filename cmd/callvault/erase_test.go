package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

func TestEraseCommand(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	in.withStore(t, func(ctx context.Context, s *store.Store) string {
		l := &call.Leg{
			Account: "sales", Provider: call.CallerDesk, Key: "1.1", Direction: call.Inbound, CustomerNumber: "+919812345678", BusinessNumber: "+911204567890",
			StartedAt: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Attributes: call.Attributes{"from": json.RawMessage("919812345678")},
		}
		l.AddKey(call.KeyCall, l.Key)
		d := &call.Delivery{
			Account: "sales", ReceivedAt: time.Now(), Method: "POST", Source: call.SourceWebhook, Body: []byte(`{"from":919812345678}`),
			Items: []call.Item{{Leg: l}},
		}
		if err := s.Record(ctx, []*call.Delivery{d}); err != nil {
			t.Fatal(err)
		}
		return ""
	})
	erase := func(args ...string) outcome {
		return command(t, "", append([]string{"--data", in.data, "erase", "--reason", "request of today"}, args...)...)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"a business number", []string{"+911204567890"}, exitWrong, "of the business"},
		{"too short", []string{"12345"}, exitWrong, "8 to 15 digits"},
		{"no number", []string{"nobody"}, exitUsage, "not a number"},
		{"the number as reason", []string{"--reason", "9812345678 asks", "9812345678"}, exitUsage, "must not name"},
		{"looked at first", []string{"--dry-run", "9812345678"}, exitDone, "1 call with 0 recordings"},
	} {
		if got := erase(tt.args...); got.status != tt.status || !strings.Contains(got.stdout+got.stderr, tt.says) {
			t.Errorf("%s: status %d, want %d, saying %q:\n%s%s", tt.name, got.status, tt.status, tt.says, got.stdout, got.stderr)
		}
	}
	if looked := in.logged(t, "erasure.rehearsed"); len(looked) != 1 || looked[0].Reason == "" || strings.Contains(string(looked[0].Facts), "12345678") {
		t.Errorf("the look beforehand is logged as %+v", looked)
	}
	// As a person types it, in the accounts' region.
	got := erase("98123 45678")
	if got.status != exitDone || !strings.Contains(got.stdout, "1 call, 0 recordings and 1 request erased") || !strings.Contains(got.stdout, "certificate-1.txt") {
		t.Errorf("status %d:\n%s%s", got.status, got.stdout, got.stderr)
	}
	if strings.Contains(got.stdout+testenv.Dump(t, "", in.data+"/callvault.db"), "9812345678") {
		t.Error("the number is still there")
	}
	// Nothing is left to find: that is no error.
	if got := erase("+919812345678"); got.status != exitDone || !strings.Contains(got.stdout, "0 calls") {
		t.Errorf("again: status %d:\n%s%s", got.status, got.stdout, got.stderr)
	}
}
