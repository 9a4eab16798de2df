package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadinessIsTold archives the recording of a call that has just ended: the
// metrics and the API say how long after its end it was ready.
func TestReadinessIsTold(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	p := in.start(t)
	token := commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "viewer", "--data", in.data)["token"]
	ended := time.Now().Add(-time.Minute).In(time.FixedZone("IST", 5*3600+1800))
	body := fmt.Sprintf(`{"type":"call_report","CallSid":"1.1","Status":"ANSWER","Direction":"IVR","SourceNumber":"09812345678",
		"TalkDuration":"40","StartTime":%q,"EndTime":%q,"CallRecordingUrl":"%s/incoming/11_2026/1.1.wav"}`,
		ended.Add(-time.Minute).Format(time.DateTime), ended.Format(time.DateTime), in.provider.URL)
	response, err := http.Post(p.url+"/webhook/sales/"+salesToken, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", response.Status, err)
	}
	eventually(t, "the metrics tell of it", func() bool {
		return strings.Contains(metrics(t, p.url), "\n"+`callvault_recording_ready_seconds_count{account="sales"} 1`)
	})
	type readiness struct {
		Accounts []struct {
			Account      string
			Observations int
		}
	}
	eventually(t, "the API tells of it", func() bool {
		got := get[readiness](t, p.url+"/api/v1/readiness", token)
		return len(got.Accounts) == 1 && got.Accounts[0].Account == "sales" && got.Accounts[0].Observations == 1
	})
	p.stop(syscall.SIGTERM)
}
