package store_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

func claim(t *testing.T, s *store.Store, o call.ClaimOptions) []call.Claim {
	t.Helper()
	if o.Lease == 0 {
		o.Lease = time.Minute
	}
	if o.Limit == 0 {
		o.Limit = 10
	}
	claims, err := s.ClaimRecordings(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestQueue(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i := range 3 {
			record(t, s, delivery(report(fmt.Sprintf("1.%d", i))))
		}
		first := claim(t, s, call.ClaimOptions{Limit: 2})
		if len(first) != 2 || first[0].Attempts != 1 || first[0].Host != "rec.callerdesk.io" || first[0].CallKey == "" || !first[0].StartedAt.Equal(nine) {
			t.Fatalf("claims are %+v", first)
		}
		if rest := claim(t, s, call.ClaimOptions{SkipHosts: []string{"rec.callerdesk.io"}}); len(rest) != 0 {
			t.Fatalf("a host to skip was claimed: %+v", rest)
		}
		rest := claim(t, s, call.ClaimOptions{})
		if len(rest) != 1 || rest[0].ID == first[0].ID || rest[0].ID == first[1].ID {
			t.Fatalf("claims are %+v", rest)
		}
		if more := claim(t, s, call.ClaimOptions{}); len(more) != 0 {
			t.Fatalf("claimed twice: %+v", more)
		}

		c := first[0]
		key := must(s.ChooseObjectKey(t.Context(), c.LeaseToken, "calls/a.wav"))(t)
		if again := must(s.ChooseObjectKey(t.Context(), c.LeaseToken, "calls/b.wav"))(t); key != "calls/a.wav" || again != key {
			t.Errorf("keys are %s and %s", key, again)
		}
		done := call.Archiving{ObjectKey: key, Size: 12, SHA256: "ab", MediaType: "audio/wav", Media: phoneAudio(40)}
		if err := s.MarkArchived(t.Context(), c.LeaseToken, done); err != nil {
			t.Fatal(err)
		}
		if err := s.MarkAbsent(t.Context(), c.LeaseToken, "late"); call.CodeOf(err) != call.Conflict {
			t.Errorf("a mark after the lease gives %v", err)
		}
		r := must(s.Recording(t.Context(), c.ID))(t)
		if r.State != call.Archived || r.Size != 12 || *r.AudioSeconds != 40 || r.ArchivedAt.IsZero() || !cmp.Equal(r.Media, phoneAudio(40)) {
			t.Errorf("recording is %+v", r)
		}

		if err := s.MarkPending(t.Context(), first[1].LeaseToken, 0, "not yet"); err != nil {
			t.Fatal(err)
		}
		again := claim(t, s, call.ClaimOptions{})
		if len(again) != 1 || again[0].Attempts != 2 || again[0].LastError != "not yet" {
			t.Fatalf("claims are %+v", again)
		}
		if err := s.ReleaseClaim(t.Context(), again[0].LeaseToken); err != nil {
			t.Fatal(err)
		}
		again = claim(t, s, call.ClaimOptions{})
		if len(again) != 1 || again[0].Attempts != 2 {
			t.Fatalf("claims are %+v", again)
		}
		if err := s.MarkRefused(t.Context(), again[0].LeaseToken, "too large"); err != nil {
			t.Fatal(err)
		}
		q := must(s.QueueStats(t.Context()))(t)
		if q.Archived != 1 || q.Refused != 1 || q.Pending != 1 || q.Leased != 1 || q.Due != 0 {
			t.Errorf("queue is %+v", q)
		}
	})
}

func TestLeaseRunsOut(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		// A lease that is over at once: its worker died.
		dead := claim(t, s, call.ClaimOptions{Lease: -time.Second})
		alive := claim(t, s, call.ClaimOptions{})
		if len(dead) != 1 || len(alive) != 1 || alive[0].ID != dead[0].ID {
			t.Fatalf("claims are %+v and %+v", dead, alive)
		}
		if err := s.RenewLease(t.Context(), dead[0].LeaseToken, time.Minute); call.CodeOf(err) != call.Conflict {
			t.Errorf("the dead renews with %v", err)
		}
		if err := s.MarkArchived(t.Context(), dead[0].LeaseToken, call.Archiving{ObjectKey: "x"}); call.CodeOf(err) != call.Conflict {
			t.Errorf("the dead marks with %v", err)
		}
		if err := s.RenewLease(t.Context(), alive[0].LeaseToken, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestAbsentWakes: a later report that names a recording which was given up
// wakes it, also if it tells nothing else, and only that.
func TestAbsentWakes(t *testing.T) {
	t.Parallel()
	richer, poorer := report("1.1"), report("1.1")
	richer.HangupCause = "16"
	poorer.Recordings = nil
	absent := func(s *store.Store, c call.Claim) error {
		return s.MarkAbsent(t.Context(), c.LeaseToken, "not offered within 72 hours")
	}
	tests := []struct {
		name  string
		ended func(*store.Store, call.Claim) error
		later *call.Leg
		want  call.DeliveryOutcome
		wakes bool
	}{
		{"the same", absent, report("1.1"), call.Duplicate, true},
		{"a richer one", absent, richer, call.Recorded, true},
		{"one that does not name it", absent, poorer, call.Duplicate, false},
		{"one of another call", absent, report("1.2"), call.Duplicate, false},
		{"the same, archived", func(s *store.Store, c call.Claim) error {
			return s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: "x"})
		}, report("1.1"), call.Duplicate, false},
		{"the same, refused", func(s *store.Store, c call.Claim) error {
			return s.MarkRefused(t.Context(), c.LeaseToken, "certainly no recording")
		}, report("1.1"), call.Duplicate, false},
	}
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i, tt := range tests {
			// Each in an account of its own.
			of := func(l *call.Leg) *call.Delivery {
				own := *l
				own.Account = fmt.Sprint("account", i)
				return delivery(&own)
			}
			record(t, s, of(report("1.1")))
			ended := claim(t, s, call.ClaimOptions{})
			record(t, s, of(report("1.2")))
			if other := claim(t, s, call.ClaimOptions{}); len(ended) != 1 || len(other) != 1 {
				t.Fatalf("claimed are %+v and %+v", ended, other)
			}
			if err := tt.ended(s, ended[0]); err != nil {
				t.Fatal(err)
			}
			for time.Since(ended[0].WantedAt) < 2*time.Millisecond {
				runtime.Gosched() // so that the moment in which it is wanted again differs
			}
			later := of(tt.later)
			record(t, s, later)
			woken := claim(t, s, call.ClaimOptions{})
			if later.Outcome != tt.want || (len(woken) > 0) != tt.wakes {
				t.Errorf("%s is %s and wakes %+v", tt.name, later.Outcome, woken)
			}
			for _, c := range woken {
				if c.ID != ended[0].ID || c.Attempts != 1 || c.Reason != "" || !c.WantedAt.After(ended[0].WantedAt) {
					t.Errorf("%s wakes %+v", tt.name, c)
				}
			}
		}
	})
}

// TestAbsentWakesOfPausedAccount: it waits for the account's credentials like
// any other.
func TestAbsentWakesOfPausedAccount(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		if err := s.MarkAbsent(t.Context(), claim(t, s, call.ClaimOptions{})[0].LeaseToken, "not offered"); err != nil {
			t.Fatal(err)
		}
		if err := s.PauseAccount(t.Context(), "sales", call.CredentialsRejected); err != nil {
			t.Fatal(err)
		}
		record(t, s, delivery(report("1.1")))
		if woken := claim(t, s, call.ClaimOptions{}); len(woken) != 0 {
			t.Errorf("claimed of a paused account: %+v", woken)
		}
		if err := s.WakeAccount(t.Context(), "sales"); err != nil {
			t.Fatal(err)
		}
		if woken := claim(t, s, call.ClaimOptions{}); len(woken) != 1 {
			t.Errorf("due after the pause: %+v", woken)
		}
	})
}

func TestPauseAndWake(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i := range 3 {
			record(t, s, delivery(report(fmt.Sprintf("1.%d", i))))
		}
		c := claim(t, s, call.ClaimOptions{Limit: 1})[0]
		if err := s.PauseAccount(t.Context(), "sales", call.CredentialsRejected); err != nil {
			t.Fatal(err)
		}
		if err := s.MarkRefused(t.Context(), c.LeaseToken, call.CredentialsRejected); err != nil {
			t.Fatal(err)
		}
		record(t, s, delivery(report("1.9"))) // comes while the account is paused
		if claims := claim(t, s, call.ClaimOptions{}); len(claims) != 0 {
			t.Fatalf("claimed of a paused account: %+v", claims)
		}
		if paused := must(s.PausedAccounts(t.Context()))(t); paused["sales"] == "" {
			t.Errorf("paused accounts are %v", paused)
		}
		if err := s.WakeAccount(t.Context(), "sales"); err != nil {
			t.Fatal(err)
		}
		if claims := claim(t, s, call.ClaimOptions{}); len(claims) != 4 {
			t.Errorf("%d are due after the pause", len(claims))
		}
		// A wake that is interrupted after its first step is finished by the
		// next one.
		record(t, s, delivery(report("1.10")))
		if err := s.PauseAccount(t.Context(), "sales", "test"); err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.WakeAccount(over, "sales"); err == nil {
			t.Error("a wake without time ends well")
		}
		for range 2 {
			if err := s.WakeAccount(t.Context(), "sales"); err != nil {
				t.Fatal(err)
			}
		}
		if claims := claim(t, s, call.ClaimOptions{}); len(claims) != 5 {
			t.Errorf("%d are due after the second pause", len(claims))
		}
	})
}

func TestFirstTryAfter(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		o.FirstTryAfter = time.Hour
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		if claims := claim(t, s, call.ClaimOptions{}); len(claims) != 0 {
			t.Errorf("claimed at once: %+v", claims)
		}
		if q := must(s.QueueStats(t.Context()))(t); q.Pending != 1 || time.Until(q.NextTryAt) < 55*time.Minute {
			t.Errorf("queue is %+v", q)
		}
	})
}
