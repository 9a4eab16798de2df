package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
)

// TestRetentionSurvivesItsEnd: a retention that is killed at its work is
// finished by the next one, and nothing of it looks like a loss.
func TestRetentionSurvivesItsEnd(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		const calls = 24
		in := install(t, s, http.NotFoundHandler(), "retention: {recordings: [{keep: 30d}], per_second: 5}\n")
		st, v := in.openStored(t)
		rules := call.Retention{} // judged by the command itself
		for i := range calls {
			l := &call.Leg{Account: "sales", Provider: call.CallerDesk, Key: fmt.Sprint("1.", i), Direction: call.Inbound, Outcome: call.Answered,
				StartedAt: time.Now().AddDate(0, 0, -100), Recordings: []call.Wanted{{Kind: call.Conversation, Source: fmt.Sprint("https://r.callerdesk.io/", i)}}}
			l.AddKey(call.KeyCall, l.Key)
			if err := st.Record(t.Context(), []*call.Delivery{{Account: "sales", ReceivedAt: time.Now(), Source: call.SourceWebhook, Items: []call.Item{{Leg: l}}}}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all are due", func() bool {
			q, err := st.QueueStats(t.Context())
			return err == nil && q.Due == calls
		})
		claims, err := st.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: calls, Lease: time.Minute, RulesID: rules.ID(time.Now())})
		if err != nil || len(claims) != calls {
			t.Fatalf("%d claims, %v", len(claims), err)
		}
		for _, c := range claims {
			sum := sha256.Sum256([]byte(c.ID))
			err := v.Put(t.Context(), "calls/"+c.ID, strings.NewReader(c.ID), archive.PutOptions{Size: int64(len(c.ID)), SHA256: sum})
			if err == nil {
				err = st.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: "calls/" + c.ID, Size: int64(len(c.ID)), SHA256: hex.EncodeToString(sum[:])})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if plan := commandJSON[planned](t, "retention", "plan", "--data", in.data); plan.Recordings != calls || plan.Unjudged != calls {
			t.Errorf("plan: %+v", plan)
		}
		// objects counts those that are still there.
		objects := func() (n int) {
			for _, c := range claims {
				if _, err := v.Stat(t.Context(), "calls/"+c.ID); err == nil {
					n++
				} else if !errors.Is(err, archive.ErrNotFound) {
					t.Fatal(err)
				}
			}
			return n
		}
		apply := in.program("retention", "apply")
		if err := apply.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "some are gone", func() bool { return objects() < calls-4 })
		if err := apply.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := apply.Wait(); err == nil {
			t.Error("a killed command ended well")
		}
		left := objects()
		if left == 0 {
			t.Fatal("it was killed too late to say anything")
		}
		for _, c := range claims {
			r, err := st.Recording(t.Context(), c.ID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Stat(t.Context(), r.ObjectKey); r.State == call.Archived && err != nil {
				t.Errorf("%s looks like a loss: %v", r.ObjectKey, err)
			}
		}
		// The dead one's lease runs out by itself; nobody waits for it here.
		in.tamper(t, s, "UPDATE retention_jobs SET lease_until = 0")
		done := commandJSON[archive.Applied](t, "retention", "apply", "--data", in.data)
		if done.Deleted == 0 || objects() != 0 {
			t.Errorf("afterwards %d objects are left: %+v", objects(), done)
		}
		for _, c := range claims {
			if r, err := st.Recording(t.Context(), c.ID); err != nil || r.State != call.Expired || r.ExpiredAt.IsZero() {
				t.Errorf("%s is %s since %s, %v", c.ID, r.State, r.ExpiredAt, err)
			}
		}
	})
}
