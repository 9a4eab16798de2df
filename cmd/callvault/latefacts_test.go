package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/testenv"
)

// TestLateFactsOnlyLengthen: a call report that comes when the recording is
// archived, and says of the call what another rule is for, lets row and lock last
// longer if that rule does, and leaves both as they were if it does not.
func TestLateFactsOnlyLengthen(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"SQLite": "", "PostgreSQL": testenv.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := storage{dsn: dsn, bucket: locked(t), s3: "object_lock: compliance"}
			in := install(t, s, anySize(), "retention: {recordings: [{match: {group: Sales}, keep: 7y}, {match: {group: Trainees}, keep: 1y}, {keep: 3y}]}\n")
			p := in.start(t)
			report := func(sid, group string) {
				t.Helper()
				body := fmt.Sprintf(`{"type":"call_report","SourceNumber":"09812345678","DestinationNumber":"0806286123","TalkDuration":"40","Status":"ANSWER",
					"StartTime":"2026-11-20 14:32:30","EndTime":"2026-11-20 14:33:34","CallSid":%q,"CallRecordingUrl":"%s/incoming/11_2026/%s.wav","Direction":"IVR"%s}`, sid, in.provider.URL, sid, group)
				response, err := http.Post(p.url+"/webhook/sales/"+salesToken, "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("a report got %s, %v", response.Status, err)
				}
			}
			for _, sid := range []string{"1763700000.1", "1763700000.2", "1763700000.3"} {
				report(sid, "")
			}
			stored, v := in.openStored(t)
			eventually(t, "all recordings are archived", func() bool {
				q, err := stored.QueueStats(t.Context())
				return err == nil && q.Archived == 3
			})
			began := time.Date(2026, 11, 20, 9, 2, 30, 0, time.UTC)
			expect := func(when, sid string, years int) {
				t.Helper()
				calls, _, err := stored.FindCalls(t.Context(), call.Filter{Text: sid})
				if err != nil || len(calls) != 1 || len(calls[0].Recordings) != 1 {
					t.Fatalf("calls %s are %+v, %v", sid, calls, err)
				}
				r, until := calls[0].Recordings[0], began.AddDate(years, 0, 0)
				info, err := v.Stat(t.Context(), r.ObjectKey)
				if err != nil || info.LockMode != archive.Compliance || !r.RetainUntil.Equal(until) || !info.Protection.Until.Equal(until) {
					t.Errorf("%s call %s is kept until %s, and locked (%s) until %s, want %s (%v)", when, sid, r.RetainUntil, info.LockMode, info.Protection.Until, until, err)
				}
			}
			for _, sid := range []string{"1763700000.1", "1763700000.2", "1763700000.3"} {
				expect("at first", sid, 3)
			}
			report("1763700000.1", `,"call_group":"Trainees"`)
			report("1763700000.2", `,"call_group":"Sales"`)
			if applied := commandJSON[archive.Applied](t, "retention", "apply", "--data", in.data); applied.Lengthened != 1 || applied.Deleted != 0 {
				t.Errorf("applied: %+v", applied)
			}
			expect("with less", "1763700000.1", 3)
			expect("with more", "1763700000.2", 7)
			expect("without", "1763700000.3", 3)
			p.stop(syscall.SIGTERM)
			if got, status := in.verify(t); status != exitDone {
				t.Errorf("status %d: %+v", status, got.Faults)
			}
		})
	}
}
