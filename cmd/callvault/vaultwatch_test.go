package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"callvault/archive"
	"callvault/internal/testenv"
)

// moodyVault is a vault of which only the mood counts.
type moodyVault struct {
	archive.Vault

	err   error
	ahead time.Duration
}

func (v *moodyVault) Check(context.Context) error { return v.err }

func (v *moodyVault) ClockAhead() time.Duration { return v.ahead }

func TestVaultWatch(t *testing.T) {
	t.Parallel()
	var v moodyVault
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	w := newVaultWatch(&v, func() time.Time { return now }, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	for i, step := range []struct {
		wait  time.Duration
		err   error
		ahead time.Duration
		want  string
	}{
		{want: ""},                         // who has just come says nothing
		{wait: 59 * time.Minute, want: ""}, // the trouble may be another node's
		{wait: time.Minute, want: "vault over, vault_clock over"},
		{err: io.ErrUnexpectedEOF, want: "vault_clock over"},
		{wait: 9 * time.Minute, err: io.ErrUnexpectedEOF, want: "vault_clock over"},
		{wait: time.Minute, err: io.ErrUnexpectedEOF, want: "vault: Nothing can be archived, vault_clock over"},
		{want: "vault over, vault_clock over"},
		{err: fmt.Errorf("check: %w", archive.ErrCannotLock), want: "vault: Nothing is archived: the bucket cannot lock, vault_clock over"},
		{ahead: 7 * time.Second, want: "vault over, vault_clock: The vault's clock is 7s ahead of"},
		{ahead: -time.Minute, want: "vault over, vault_clock: The vault's clock is 1m0s behind"},
		{want: "vault over, vault_clock over"},
	} {
		now = now.Add(step.wait)
		v.err, v.ahead = step.err, step.ahead
		w.look(t.Context())
		var got []string
		for _, c := range w.conditions(t.Context(), now) {
			switch {
			case c.Bad:
				got = append(got, string(c.Kind)+": "+c.Sentence)
			case c.Well:
				got = append(got, string(c.Kind)+" over")
			}
		}
		want := strings.Split(step.want, ", ")
		if step.want == "" {
			want = nil
		}
		ok := len(got) == len(want)
		for i := range got {
			ok = ok && strings.HasPrefix(got[i], want[i])
		}
		if !ok {
			t.Errorf("step %d: %q, want %q", i, got, want)
		}
	}
}

// TestStoreWithAnotherClock starts before a store whose clock is an hour ahead:
// the log and the metrics say so at once, for locks are dates.
func TestStoreWithAnotherClock(t *testing.T) {
	t.Parallel()
	bucket := testenv.MinIO(t, testenv.BucketOptions{})
	bucket.Endpoint = testenv.FaultyStore(t, bucket.Endpoint, func(*http.Request) testenv.StoreFault { return testenv.WrongClock })
	in := install(t, storage{bucket: &bucket}, anySize(), "")
	p := in.start(t)
	eventually(t, "the log says that the clocks differ", func() bool {
		return strings.Contains(p.log(), "the clocks of vault and node differ") && strings.Contains(p.log(), "vault_is_ahead_by=")
	})
	// 3,600 seconds, but for what lies between the answer and the look at it.
	if told := metrics(t, p.url); !strings.Contains(told, "\ncallvault_vault_clock_ahead_seconds 3") {
		t.Error("the metrics do not say that the vault is an hour ahead")
	}
	p.stop(syscall.SIGTERM)
}

// TestBucketThatCannotLock starts with a bucket that was made without Object
// Lock though the configuration asks for it: nothing is archived, everything
// says why, and nothing is lost when a proper bucket is named.
func TestBucketThatCannotLock(t *testing.T) {
	t.Parallel()
	plain := testenv.MinIO(t, testenv.BucketOptions{Versioned: true})
	in := install(t, storage{bucket: &plain, s3: "object_lock: governance"}, anySize(), "")
	p := in.start(t)
	l := newLoad(in)
	l.post(t.Context(), p.url, 3)
	eventually(t, "the log says what is wrong", func() bool {
		return strings.Contains(p.log(), "level=ERROR msg=\"archiving waits\"") && strings.Contains(p.log(), "its bucket cannot lock objects")
	})
	answer, err := http.Get(p.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var ready struct{ Parts map[string]string }
	if err := json.NewDecoder(answer.Body).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"database": "ok", "queue": "ok", "vault": archive.ErrCannotLock.Error()}
	if diff := cmp.Diff(want, ready.Parts); diff != "" || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz: %s\n%s", answer.Status, diff)
	}
	s, v := in.openStored(t)
	if q, err := s.QueueStats(t.Context()); err != nil || q.Pending != int64(len(l.acked)) {
		t.Errorf("the queue is %+v, %v", q, err)
	}
	for o, err := range v.List(t.Context(), "") {
		t.Errorf("in the bucket: %v, %v", o, err)
	}
	p.stop(syscall.SIGTERM)

	// The same database, with a bucket that the program makes.
	missing := testenv.MinIO(t, testenv.BucketOptions{Missing: true})
	in.configure(t, storage{bucket: &missing, s3: "object_lock: compliance"}, "")
	p = in.start(t)
	in.checkKept(t, l)
	p.stop(syscall.SIGTERM)
	if strings.Contains(p.log(), "keeps no versions") {
		t.Error("a bucket with Object Lock is said to keep no versions")
	}
}
