package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// sealed opens a store whose log has entries, two seals, and an archived
// recording.
func sealed(t *testing.T, o store.Options) (s *store.Store, verifier, recording string) {
	t.Helper()
	s = open(t, o)
	text, err := audit.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UseAuditKey(t.Context(), key.Verifier()); err != nil {
		t.Fatal(err)
	}
	record(t, s, delivery(report("1.1")))
	claims := must(s.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Minute}))(t)
	if len(claims) != 1 {
		t.Fatalf("%d claims", len(claims))
	}
	if err := s.MarkArchived(t.Context(), claims[0].LeaseToken, call.Archiving{ObjectKey: "calls/a.wav", Size: 7, SHA256: strings.Repeat("ab", 32)}); err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		entry, err := audit.New(audit.CallViewed, fmt.Sprintf("call/%d", i), map[string]int{"n": i})
		if err != nil {
			t.Fatal(err)
		}
		entry.Actor = audit.Actor{Kind: audit.KindUser, Name: "asha", Address: "203.0.113.9"}
		if err := s.Audit(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		if i == 2 || i == 6 {
			seal, err := key.SignHead(must(s.AuditHead(t.Context()))(t), nine, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.NoteSeal(t.Context(), seal, seal.ObjectKey(), time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, key.Verifier(), claims[0].ID
}

// checkAllOfLog checks the whole log, and the rows that it tells of, some at a
// time.
func checkAllOfLog(t *testing.T, s *store.Store, verifier string, limit int) []string {
	t.Helper()
	var faults []call.Fault
	for _, check := range []func(context.Context, call.CheckOptions, string, int) (call.Checked, error){s.CheckLog, s.CheckRows} {
		for next, more := "", true; more; more = next != "" {
			page, err := check(t.Context(), call.CheckOptions{Verifier: verifier}, next, limit)
			if err != nil {
				t.Fatal(err)
			}
			faults = append(faults, page.Faults...)
			next = page.Next
		}
	}
	return faultsOf(faults)
}

// TestCheckLog changes one thing after the other in the log and what it proves,
// and expects it to be named, and nothing else.
func TestCheckLog(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, verifier, id := sealed(t, o)
		for _, limit := range []int{1, 2, 5, 500} {
			if got := checkAllOfLog(t, s, verifier, limit); len(got) != 0 {
				t.Fatalf("before, %d at a time: %v", limit, got)
			}
		}
		head := must(s.AuditHead(t.Context()))(t)
		if head.Size != 11 {
			t.Fatalf("the log has %d entries", head.Size)
		}
		seals := must(s.Seals(t.Context(), 0, 10))(t)
		zero := "x'" + strings.Repeat("00", 32) + "'"
		if o.DSN != "" {
			zero = `'\x` + strings.Repeat("00", 32) + "'::bytea"
		}
		restore := remember(t, o, "audit_entries", "audit_head", "audit_key", "audit_seals", "recordings")
		for _, tt := range []struct {
			name, change string
			want         []string
		}{
			{"who", "UPDATE audit_entries SET actor_name = 'ravi' WHERE seq = 4", []string{"log log/4"}},
			{"what", "UPDATE audit_entries SET action = 'call.exported' WHERE seq = 5", []string{"log log/5"}},
			{"when", "UPDATE audit_entries SET at = at - 1000 WHERE seq = 10", []string{"log log/10"}},
			{"from where", "UPDATE audit_entries SET actor_address = '203.0.113.1' WHERE seq = 3", []string{"log log/3"}},
			{"about what", "UPDATE audit_entries SET subject = 'call/99' WHERE seq = 6", []string{"log log/6"}},
			{"why", "UPDATE audit_entries SET reason = 'asked' WHERE seq = 6", []string{"log log/6"}},
			{"facts", `UPDATE audit_entries SET facts = '{"n":7}' WHERE seq = 6`, []string{"log log/6"}},
			{"a hash", "UPDATE audit_entries SET hashes = " + zero + " WHERE seq = 6", []string{"log log/6"}},
			{"two are swapped", `UPDATE audit_entries SET subject = (SELECT subject FROM audit_entries_copy c WHERE c.seq = 9 - audit_entries.seq),
				facts = (SELECT facts FROM audit_entries_copy c WHERE c.seq = 9 - audit_entries.seq) WHERE seq IN (4, 5)`, []string{"log log/4", "log log/5"}},
			{"two are taken out", "UPDATE audit_entries SET seq = CASE seq WHEN 4 THEN -4 ELSE -5 END WHERE seq IN (4, 5)", []string{"log log/-4", "log log/-5", "log log/4"}},
			{"one is gone", "DELETE FROM audit_entries WHERE seq = 4", []string{"log log/4"}},
			{"the last is gone", "DELETE FROM audit_entries WHERE seq = 10", []string{"log log/10"}},
			{"the head", "UPDATE audit_head SET edge = " + strings.Replace(zero, strings.Repeat("00", 32), strings.Repeat("00", 32*3), 1), []string{"log log/head"}},
			{"the head's size", "UPDATE audit_head SET size = 10", []string{"log log/head"}},
			{"the key", "UPDATE audit_key SET verifier = 'x+1+y'", []string{"log log/key"}},
			{"a seal's text", "UPDATE audit_seals SET note = replace(note, '5', '6') WHERE size = " + fmt.Sprint(seals[0].Size), []string{"seal " + seals[0].ObjectKey}},
			{"a seal of another time", fmt.Sprintf("UPDATE audit_seals SET note = (SELECT note FROM audit_seals_copy WHERE size = %d) WHERE size = %d", seals[1].Size, seals[0].Size),
				[]string{"seal " + seals[0].ObjectKey}},
			{"a seal's time", "UPDATE audit_seals SET sealed_at = sealed_at + 1000 WHERE size = " + fmt.Sprint(seals[1].Size), []string{"seal " + seals[1].ObjectKey}},
			{"a seal's place", "UPDATE audit_seals SET object_key = 'seals/x.note' WHERE size = " + fmt.Sprint(seals[1].Size), []string{"seal seals/x.note"}},
			{"an old seal is still to be put", "UPDATE audit_seals SET being_put = 1 WHERE size = " + fmt.Sprint(seals[0].Size), []string{"seal " + seals[0].ObjectKey}},
			{"a recording's hash", "UPDATE recordings SET sha256 = 'x', stored_sha256 = 'x'", []string{"recording recording/" + id}},
			{"a recording's source", "UPDATE recordings SET source = 'https://elsewhere.example/x.wav'", []string{"recording recording/" + id}},
			{"a recording is gone", "DELETE FROM recordings", []string{"recording recording/" + id}},
		} {
			tamper(t, o, tt.change)
			if diff := cmp.Diff(tt.want, checkAllOfLog(t, s, verifier, 500)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
			restore()
		}
		// Cut off behind the first seal, with a head that fits.
		first := must(s.AuditHeadAt(t.Context(), 8))(t)
		tamper(t, o, "DELETE FROM audit_entries WHERE seq >= 8")
		edge := "x'" + fmt.Sprintf("%x", first.Hash[:]) + "'" // of 8 entries the root is all
		if o.DSN != "" {
			edge = `'\x` + fmt.Sprintf("%x", first.Hash[:]) + "'::bytea"
		}
		tamper(t, o, "UPDATE audit_head SET size = 8, edge = "+edge)
		if diff := cmp.Diff([]string{"seal " + seals[1].ObjectKey}, checkAllOfLog(t, s, verifier, 500)); diff != "" {
			t.Errorf("cut off:\n%s", diff)
		}
		restore()
		if diff := cmp.Diff([]string{"log log/key"}, checkAllOfLog(t, s, "callvault+1+other", 500)); diff != "" {
			t.Errorf("another key on this machine:\n%s", diff)
		}
	})
}
