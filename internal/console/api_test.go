package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCallIsAsTheContractSays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	page := h.get(t, "/api/v1/calls?limit=1", compliance).json(t)
	got := in[object](t, page, "calls", 0)
	got["recordings"] = in[[]any](t, got, "recordings")[:2]
	hash := h.store.calls[0].Recordings[0].SHA256
	want := decode(t, `{"id": "call-1", "account": "sales", "provider": "callerdesk", "call_key": "1672649960.9601",
	 "direction": "inbound", "outcome": "answered", "provider_status": "ANSWER",
	 "customer_number": "+919812345678", "business_number": "+911204567890",
	 "agent": {"id": null, "name": "Ashish", "number": "+919281234567"},
	 "group": "Sales", "campaign": null,
	 "started_at": "2023-01-02T09:02:30Z", "answered_at": "2023-01-02T09:02:54.5Z", "ended_at": "2023-01-02T09:03:34Z",
	 "wait_seconds": 0, "talk_seconds": 40, "total_seconds": 64,
	 "hangup_cause": null, "hangup_by": null, "cost": "1", "legs_count": 1,
	 "recordings": [
	  {"id": "rec-1", "kind": "conversation", "state": "archived",
	   "source": "https://newcallrecords.callerdesk.io/incoming/01_2023/x-9601.wav",
	   "object_key": "calls/2023/01/02/sales/rec-1.wav", "size": 100000, "sha256": "`+hash+`",
	   "media_type": "audio/wav", "audio_seconds": 40,
	   "media": {"format": "wav", "codec": "pcm_mulaw", "channels": 1, "sample_rate": 8000, "bit_rate": 64000,
	    "truncated": true, "corrupt": 0, "flags": ["no_length", "audio_long"]}, "archived_at": "2023-01-02T09:04:00Z", "verified_at": null,
	   "rule": "group Sales: 3y", "retain_until": "2026-01-02T09:02:30Z", "due_at": "2026-01-02T09:02:30Z", "locked_until": "2026-01-02T09:02:30Z",
	   "holds": ["Case 7"], "attempts": 1, "last_error": null},
	  {"id": "rec-2", "kind": "voicemail", "state": "refused",
	   "source": "https://newcallrecords.callerdesk.io/incoming/01_2023/x-9601.wav",
	   "object_key": null, "size": null, "sha256": null, "media_type": null, "audio_seconds": null, "media": null,
	   "archived_at": null, "verified_at": null, "rule": null, "retain_until": null, "due_at": null, "locked_until": null,
	   "holds": ["Case 7"], "attempts": 1, "last_error": "X-9601.WAV is an image"}]}`)
	if diff := cmp.Diff(want, any(got)); diff != "" {
		t.Error(diff)
	}
}

func TestCallDetail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get(t, "/api/v1/calls/call-1", admin)
	if !utf8.Valid(r.body) || !bytes.Contains(r.body, []byte("?b=2&c=3")) {
		t.Errorf("the answer is not plain UTF-8: %q", r.body)
	}
	got := r.json(t)
	leg := in[object](t, got, "legs", 0)
	attributes := in[object](t, leg, "attributes")
	if attributes["record"] != true || attributes["from"] != float64(919812345678) || attributes["broken"] != "\uFFFD" ||
		!strings.HasSuffix(in[string](t, attributes, "CallRecordingUrl"), "x-9601.wav?sig=1") || len(attributes) != 14 {
		t.Errorf("attributes are not as sent: %v", attributes)
	}
	delete(leg, "attributes")
	if diff := cmp.Diff(decode(t, `[{"leg_key": "1672649960.9601", "leg": "b", "status": "ANSWER",
		"agent": {"id": null, "name": "Ashish", "number": "+919281234567"},
		"started_at": "2023-01-02T09:02:30Z", "answered_at": "2023-01-02T09:02:54Z", "ended_at": "2023-01-02T09:03:34Z",
		"talk_seconds": 40, "hangup_cause": "16"}]`), got["legs"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(decode(t, `[{"id": 7, "account": "sales", "source": "webhook", "received_at": "2023-01-02T09:03:40Z", "method": "POST",
		"content_type": "application/json", "remote_address": "192.0.2.7", "outcome": "recorded", "error": null,
		"call_ids": ["call-1", "call-2"]}]`), got["deliveries"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(decode(t, `[{"name": "Case 7", "reason": "court order", "placed_at": "2023-01-02T10:00:00Z"}]`), got["holds"]); diff != "" {
		t.Error(diff)
	}
}

// Without the audio permission, nothing in an answer leads to a recording.
func TestNothingLeadsToARecordingWithoutPermission(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, token := range []string{viewer, manager, salesManager} {
		for _, path := range []string{"/api/v1/calls", "/api/v1/calls/call-1"} {
			r := h.get(t, path, token)
			if r.status != http.StatusOK {
				t.Fatalf("%s: status %d", path, r.status)
			}
			for _, secret := range []string{"x-9601", "callerdesk.io", "example.org", "calls/2023", ".mp3", "z.wav"} {
				if strings.Contains(strings.ToLower(string(r.body)), secret) {
					t.Errorf("%s of a %s holds %q: %s", path, token, secret, r.body)
				}
			}
		}
		leg := in[object](t, h.get(t, "/api/v1/calls/call-1", token).json(t), "legs", 0)
		want := map[string]any{
			"CallRecordingUrl": nil, "filename": nil, "voicename": nil, "record": nil, "file": nil, "record_url": nil,
			"extra_params": nil, "custom": nil, "link": nil, "nested": nil,
			"broken": "\uFFFD", "CallSid": "1672649960.9601", "from": float64(919812345678), "TalkDuration": "40",
		}
		if diff := cmp.Diff(want, leg["attributes"]); diff != "" {
			t.Error(diff)
		}
	}
	// What does not name the source stays.
	poor := h.get(t, "/api/v1/calls/call-2", viewer).json(t)
	if e := in[string](t, poor, "recordings", 0, "last_error"); e != "the host answers 502" {
		t.Errorf("last_error is %v", e)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const ok, no, none = http.StatusOK, http.StatusForbidden, http.StatusNotFound
	tokens := []string{viewer, manager, compliance, admin, salesManager, salesAdmin}
	for path, want := range map[string][]int{
		"/api/v1/calls":                        {ok, ok, ok, ok, ok, ok},
		"/api/v1/calls/call-1":                 {ok, ok, ok, ok, ok, ok},
		"/api/v1/calls/call-2":                 {ok, ok, ok, ok, none, none}, // of another group
		"/api/v1/calls/call-3":                 {ok, ok, ok, ok, none, none}, // of no group
		"/api/v1/recordings/rec-1/audio":       {no, no, ok, ok, no, ok},
		"/api/v1/recordings/rec-billing/audio": {no, no, none, none, no, none},
		"/api/v1/deliveries":                   {ok, ok, ok, ok, no, no},
		"/api/v1/deliveries/7":                 {ok, ok, ok, ok, no, no},
		"/api/v1/live":                         {ok, ok, ok, ok, ok, ok},
		"/api/v1/alerts":                       {ok, ok, ok, ok, no, no},
		"/api/v1/audit":                        {no, no, ok, ok, no, no},
		"/api/v1/audit/head":                   {no, no, ok, ok, no, no},
		"/api/v1/audit/proof":                  {no, no, ok, ok, no, no},
		"/api/v1/drift":                        {ok, ok, ok, ok, no, no},
		"/api/v1/faults":                       {no, no, ok, ok, no, no},
		"/api/v1/reports":                      {ok, ok, ok, ok, no, no},
		"/api/v1/reports/run-1/files/daily%202023-01-02%20calls.csv": {ok, ok, ok, ok, no, no},
	} {
		for i, token := range tokens {
			if r := h.get(t, path, token); r.status != want[i] {
				t.Errorf("%s with %s: status %d, want %d: %s", path, token, r.status, want[i], r.body)
			}
		}
		for _, token := range []string{"", "wrong", disabled} {
			r := h.get(t, path, token)
			r.wantError(t, http.StatusUnauthorized, call.Unauthorized)
			if r.header.Get("WWW-Authenticate") != `Bearer realm="callvault"` {
				t.Errorf("WWW-Authenticate is %q", r.header.Get("WWW-Authenticate"))
			}
		}
		h.clock = h.clock.Add(time.Hour) // so that these do not count together
	}
	message := h.get(t, "/api/v1/deliveries", salesAdmin).wantError(t, no, call.Forbidden)
	if !strings.Contains(message, "limited to groups") {
		t.Errorf("%q does not say why", message)
	}
}

func TestGroupsLimitWhatIsFound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if n := len(in[[]any](t, h.get(t, "/api/v1/calls", admin).json(t), "calls")); n != 3 {
		t.Errorf("admin finds %d calls", n)
	}
	if n := len(in[[]any](t, h.get(t, "/api/v1/calls?group=Billing", salesAdmin).json(t), "calls")); n != 1 {
		t.Errorf("sales finds %d calls", n)
	}
	if diff := cmp.Diff([]string{"Sales"}, h.store.filter.Groups); diff != "" || h.store.filter.Group != "Billing" {
		t.Errorf("filter is %+v: %s", h.store.filter, diff)
	}
	live := h.get(t, "/api/v1/live", salesAdmin).json(t)["calls"]
	if diff := cmp.Diff(decode(t, `[{"account": "sales", "call_key": "live-1", "direction": "inbound", "state": "ringing",
		"state_since": "2023-01-03T06:58:29.999Z", "age_seconds": 90,
		"customer_number": "+919812345678", "business_number": "+911204567890",
		"agent": {"id": null, "name": "Ashish", "number": "+919281234567"}, "group": "Sales",
		"since": "2023-01-03T06:58:00Z"}]`), live); diff != "" {
		t.Error(diff)
	}
	// A batch tells of other groups' calls, too.
	ids := in[[]any](t, h.get(t, "/api/v1/calls/call-1", salesAdmin).json(t), "deliveries", 0, "call_ids")
	if diff := cmp.Diff([]any{"call-1"}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestAuthorizationIsReadAsTheRFCSays(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for header, want := range map[string]int{
		"bearer " + viewer:     http.StatusOK,
		"Bearer   " + viewer:   http.StatusOK,
		"Bearer":               http.StatusUnauthorized,
		"Basic " + viewer:      http.StatusUnauthorized,
		viewer:                 http.StatusUnauthorized,
		"Bearer " + viewer[1:]: http.StatusUnauthorized,
	} {
		if r := h.get(t, "/api/v1/calls", "", "Authorization", header); r.status != want {
			t.Errorf("%q: status %d, want %d", header, r.status, want)
		}
	}
}

func TestWrongTokensAreLimited(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	limited := 0
	for range 40 {
		if h.get(t, "/api/v1/calls", "wrong").status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited != 10 || h.store.tokenLookups != 30 {
		t.Errorf("%d of 40 were limited and %d looked up, want 10 and 30", limited, h.store.tokenLookups)
	}
	r := h.get(t, "/api/v1/calls", viewer)
	r.wantError(t, http.StatusTooManyRequests, call.Limited)
	if r.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After is %q", r.header.Get("Retry-After"))
	}
	h.clock = h.clock.Add(2 * time.Second)
	for range 100 {
		if r := h.get(t, "/api/v1/calls", viewer); r.status != http.StatusOK {
			t.Fatalf("after waiting, a right token gets status %d", r.status)
		}
	}
}

// Strangers cannot fill the memory: beyond 10,000 addresses, newcomers share
// one allowance, until the others are forgotten.
func TestAddressesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ask := func(address, token string) int {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/live", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		return w.Code
	}
	known := func(i int) string { return fmt.Sprintf("[2001:db8:%x::1]:443", i) }
	for i := range 10_000 {
		ask(known(i), "wrong")
	}
	for i := range 30 {
		if status := ask(fmt.Sprintf("192.0.2.%d:1", i), "wrong"); status != http.StatusUnauthorized {
			t.Fatalf("newcomer %d: status %d", i, status)
		}
	}
	for address, want := range map[string]int{
		"192.0.2.99:1": http.StatusTooManyRequests, "nowhere": http.StatusTooManyRequests,
		known(1): http.StatusOK, "2001:db8:1::2": http.StatusOK, // the same /64
	} {
		if status := ask(address, viewer); status != want {
			t.Errorf("%s: status %d, want %d", address, status, want)
		}
	}
	h.clock = h.clock.Add(time.Minute)
	for range 31 {
		ask("192.0.2.99:1", "wrong")
	}
	if a, b := ask("192.0.2.99:1", viewer), ask("192.0.2.98:1", viewer); a != http.StatusTooManyRequests || b != http.StatusOK {
		t.Errorf("after the others were forgotten: status %d and %d", a, b)
	}
}

func TestCallFilter(t *testing.T) {
	t.Parallel()
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	for query, want := range map[string]call.Filter{
		"":                                    {},
		"from=2026-11-21&to=2026-11-21":       {From: day(21), To: day(22)},
		"to=2026-11-21T00:00:00Z":             {To: day(21)},
		"from=2026-11-21T05:30:00%2B05:30":    {From: day(21)},
		"from=2026-11-21T05:30:00+05:30":      {From: day(21)},
		"q=Ash&number=5678&agent=203":         {Text: "Ash", Number: "5678", Agent: "203"},
		"group=A%26B&account=sales":           {Group: "A&B", Account: "sales"},
		"direction=inbound&outcome=missed":    {Direction: call.Inbound, Outcome: call.Missed},
		"campaign=c&recording=none":           {Campaign: "c", Recording: call.RecordingNone},
		"recording=absent&sort=started_at":    {Recording: call.Absent, Sort: call.OldestFirst},
		"min_talk=0&max_talk=60&sort=":        {MinTalk: new(0), MaxTalk: new(60)},
		"limit=500&cursor=0&sort=-started_at": {Limit: 500, Cursor: "0", Sort: call.NewestFirst},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if r := h.get(t, "/api/v1/calls?"+query, viewer); r.status != http.StatusOK {
				t.Fatalf("status %d: %s", r.status, r.body)
			}
			if want.Limit == 0 {
				want.Limit = call.DefaultLimit
			}
			equal := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
			if diff := cmp.Diff(want, h.store.filter, equal); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDatesAreDaysOfTheZone(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouseIn(t, zone)
	h.get(t, "/api/v1/deliveries?from=2026-10-25&to=2026-10-25", viewer)
	f := h.store.deliveryFilter
	if d := f.To.Sub(f.From); d != 25*time.Hour {
		t.Errorf("the day on which clocks go back has %s", d)
	}
}

func TestInvalidParameters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for path, want := range map[string]string{
		"calls?form=2026-11-21&zzz=1":              `unknown parameter "form", "zzz" (it takes from, to, q,`,
		"calls?from=yesterday":                     "from is neither RFC 3339",
		"calls?from=2026-11-22&to=2026-11-20":      "from is after to",
		"calls?limit=0":                            "limit is not a whole number from 1 to 500",
		"calls?limit=501":                          "limit is not",
		"calls?limit=ten&min_talk=-1":              "min_talk is not a whole number from 0 to 2147483647; limit is not",
		"calls?min_talk=5&max_talk=4":              "min_talk is greater",
		"calls?outcome=lost":                       "outcome is none of answered, missed,",
		"calls?direction=up":                       "direction is none of inbound, outbound",
		"calls?recording=lost":                     "recording is none of pending,",
		"calls?sort=agent":                         "sort is none of -started_at, started_at",
		"calls?q=a&q=b":                            "q is given 2 times",
		"calls?q=%00":                              "q is not plain text",
		"calls?q=%ff":                              "q is not plain text",
		"calls?q=%zz":                              "the query is not well-formed",
		"calls?q=" + strings.Repeat("x", 1001):     "q is longer than 1000 bytes",
		"calls?" + strings.Repeat("x", 999) + "=1": "…",
		"calls?cursor=nonsense":                    "cursor is not one",
		"calls/call-1?verbose=1":                   `unknown parameter "verbose" (it takes none)`,
		"recordings/rec-1/audio?download=yes":      "download is none of 0, 1",
		"recordings/rec-1/audio?dowload=1":         "unknown parameter",
		"deliveries?outcome=lost":                  "outcome is none of recorded,",
		"deliveries?cursor=nonsense":               "cursor is not one",
		"deliveries/7?x=1":                         "unknown parameter",
		"live?x=1":                                 "unknown parameter",
		"reports?state=lost":                       "state is none of building,",
		"reports/run-1/files/x?download=1":         "unknown parameter",
	} {
		message := h.get(t, "/api/v1/"+path, admin).wantError(t, http.StatusBadRequest, call.Invalid)
		if !strings.Contains(message, want) {
			t.Errorf("%s: message is %q, want %q in it", path, message, want)
		}
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for path, want := range map[string]struct {
		list  string
		count int
	}{
		"/api/v1/calls":      {"calls", 3},
		"/api/v1/deliveries": {"deliveries", 2},
		"/api/v1/alerts":     {"alerts", 2},
		"/api/v1/drift":      {"drift", 2},
		"/api/v1/reports":    {"runs", 2},
	} {
		var ids []any
		cursor := ""
		for range want.count {
			page := h.get(t, path+"?limit=1&cursor="+url.QueryEscape(cursor), viewer).json(t)
			for i := range in[[]any](t, page, want.list) {
				ids = append(ids, in[any](t, page, want.list, i, "id"))
			}
			next, more := page["next_cursor"].(string)
			if more != (len(ids) < want.count) {
				t.Errorf("%s: next_cursor is %v after %d of %d", path, page["next_cursor"], len(ids), want.count)
			}
			cursor = next
		}
		if len(ids) != want.count {
			t.Errorf("%s: pages hold %v", path, ids)
		}
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.get(t, "/api/v1/deliveries?outcome=unreadable&account=sales&from=2026-11-20&to=2026-11-21&limit=9", viewer)
	if diff := cmp.Diff(call.DeliveryFilter{
		Outcome: call.Unreadable, Account: "sales", Limit: 9,
		From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
	}, h.store.deliveryFilter); diff != "" {
		t.Error(diff)
	}
	const head = `{"id": 7, "account": "sales", "source": "webhook", "received_at": "2023-01-02T09:03:40Z", "method": "POST",
		"content_type": "application/json", "remote_address": "192.0.2.7", "outcome": "recorded", "error": null,
		"call_ids": ["call-1", "call-2"], `
	for path, want := range map[string]string{
		viewer + " 7":     head + `"query": null, "body": null, "body_base64": null}`,
		compliance + " 7": head + `"query": "a=1", "body": "{\"CallSid\":\"1672649960.9601\"}", "body_base64": null}`,
		compliance + " 8": `{"id": 8, "account": "sales", "source": null, "received_at": "2023-01-02T09:03:41Z", "method": "POST",
			"content_type": null, "remote_address": "192.0.2.7", "outcome": "unreadable",
			"error": "the body is neither JSON nor a form", "call_ids": [],
			"query": null, "body": null, "body_base64": "/wB4"}`,
	} {
		token, id, _ := strings.Cut(path, " ")
		if diff := cmp.Diff(decode(t, want), any(h.get(t, "/api/v1/deliveries/"+id, token).json(t))); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.get(t, "/api/v1/reports?report=daily&state=built", manager)
	if diff := cmp.Diff(call.RunFilter{Report: "daily", State: call.RunBuilt, Limit: call.DefaultLimit}, h.store.runFilter); diff != "" {
		t.Error(diff)
	}
	run := h.store.runs[0]
	if diff := cmp.Diff(decode(t, `{"id": "run-1", "report": "daily", "period_from": "2023-01-02T00:00:00Z",
		"period_to": "2023-01-03T00:00:00Z", "time_zone": "Asia/Kolkata", "state": "built", "revision": 1,
		"as_of": "2023-01-02T23:59:59Z", "input_hash": "`+run.InputHash+`", "error": null,
		"created_at": "2023-01-02T23:59:59Z", "built_at": "2023-01-02T23:59:59Z", "retain_until": null, "files_deleted_at": null,
		"files": [{"name": "daily 2023-01-02 calls.csv", "size": 17, "sha256": "`+run.Files[0].SHA256+`",
			"media_type": "text/csv; charset=utf-8", "object_key": null}],
		"revisions": [{"revision": 1, "files": [{"name": "daily 2023-01-02 calls.csv", "size": 17, "sha256": "`+run.Files[0].SHA256+`",
			"media_type": "text/csv; charset=utf-8", "object_key": null}]}]}`), in[any](t, r.json(t), "runs", 0)); diff != "" {
		t.Error(diff)
	}
	file := h.get(t, "/api/v1/reports/run-1/files/daily%202023-01-02%20calls.csv", manager)
	if string(file.body) != "call_id\r\ncall-1\r\n" || file.header.Get("Content-Type") != "text/csv; charset=utf-8" ||
		file.header.Get("Content-Disposition") != `attachment; filename="daily 2023-01-02 calls.csv"` {
		t.Errorf("file is %q, header %v", file.body, file.header)
	}
	// Each revision has its files.
	h.store.runs[0].Revision = 2
	newer := run.Files[0]
	newer.Revision, newer.Name = 2, "revised.csv"
	h.store.runs[0].Files = append(h.store.runs[0].Files, newer)
	listed := in[any](t, h.get(t, "/api/v1/reports", manager).json(t), "runs", 0)
	if one, two := in[any](t, listed, "files", 0, "name"), in[any](t, listed, "revisions", 1, "files", 0, "name"); one != "revised.csv" || two != run.Files[0].Name {
		t.Errorf("the newest has %v, the first %v", one, two)
	}
	for path, want := range map[string]int{
		"revised.csv": http.StatusOK, "revised.csv?revision=2": http.StatusOK, "revised.csv?revision=1": http.StatusNotFound,
		"daily%202023-01-02%20calls.csv": http.StatusNotFound, "daily%202023-01-02%20calls.csv?revision=1": http.StatusOK,
		"revised.csv?revision=3": http.StatusNotFound, "revised.csv?revision=0": http.StatusBadRequest,
	} {
		if got := h.get(t, "/api/v1/reports/run-1/files/"+path, manager); got.status != want {
			t.Errorf("%s: %d, want %d: %s", path, got.status, want, got.body)
		}
	}
	h.store.runs[0].Revision, h.store.runs[0].Files = 1, run.Files
	// Later its term is over.
	h.store.runs[0].FilesExpiringAt = time.Date(2031, 1, 3, 1, 30, 0, 0, time.UTC)
	if gone := in[any](t, h.get(t, "/api/v1/reports", manager).json(t), "runs", 0, "files_deleted_at"); gone != "2031-01-03T01:30:00Z" {
		t.Errorf("files are gone since %v", gone)
	}
	file = h.get(t, "/api/v1/reports/run-1/files/daily%202023-01-02%20calls.csv", manager)
	if file.status != http.StatusNotFound || !strings.Contains(string(file.body), "deleted on 2031-01-03: their term (retention.reports) was over") {
		t.Errorf("a file that is gone: %d %s", file.status, file.body)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{
		"calls/none", "calls/%00", "calls/%ff", "recordings/none/audio", "recordings/%00/audio", "recordings/rec-2/audio",
		"deliveries/99", "deliveries/x", "deliveries/99999999999999999999", "reports/none/files/x", "reports/%00/files/x",
		"reports/run-1/files/none", "calls/call-1/none", "none", "",
	} {
		h.get(t, "/api/v1/"+path, admin).wantError(t, http.StatusNotFound, call.NotFound)
	}
	if m := h.get(t, "/api/v1/recordings/rec-2/audio", admin).wantError(t, 404, call.NotFound); m != "the recording is refused: there is no audio" {
		t.Errorf("message is %q", m)
	}
}

func TestOnlyReading(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, path := range []string{"/api/v1/calls", "/api/v1/openapi.json", "/", "/readyz"} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			r := h.do(t, method, path, admin)
			r.wantError(t, http.StatusMethodNotAllowed, call.Invalid)
			if r.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", r.header.Get("Allow"))
			}
		}
		if r := h.do(t, http.MethodHead, path, admin); r.status != http.StatusOK || len(r.body) != 0 {
			t.Errorf("HEAD %s: status %d, %d bytes", path, r.status, len(r.body))
		}
	}
}

// A client that leaves is no fault of ours, and gets no answer.
func TestClientThatLeaves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.store.err = fmt.Errorf("find calls: %w", context.Canceled)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/calls", nil)
	r.Header.Set("Authorization", "Bearer "+viewer)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if e := h.log.entries(t, "request"); w.Code != 499 || len(e) != 1 || e[0]["status"] != float64(499) ||
		len(h.log.entries(t, "request failed")) != 0 {
		t.Errorf("status %d, the log has %s", w.Code, h.log)
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial postgres://callvault:hunter2@db")
	for name, tt := range map[string]struct {
		err     error
		code    call.Code
		message string
	}{
		"unknown":     {secret, call.Internal, "something went wrong inside"},
		"conflict":    {call.Errorf(call.Conflict, "it changed"), call.Conflict, "it changed"},
		"unavailable": {call.Errorf(call.Unavailable, "not now"), call.Unavailable, "not now"},
		"slow":        {fmt.Errorf("find calls: %w", context.DeadlineExceeded), call.Unavailable, "the answer took too long"},
		"wrapped":     {errors.Join(secret, call.Errorf(call.TooLarge, "too much")), call.TooLarge, "too much"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.store.err = tt.err
			for _, path := range []string{"calls", "calls/call-1", "recordings/rec-1/audio", "deliveries", "deliveries/7", "live",
				"reports", "reports/run-1/files/x"} {
				r := h.get(t, "/api/v1/"+path, admin)
				message := r.wantError(t, tt.code.HTTPStatus(), tt.code)
				if !strings.HasPrefix(message, tt.message) || strings.Contains(message, "hunter2") {
					t.Errorf("%s: message is %q", path, message)
				}
				if id := r.header.Get("X-Request-ID"); tt.code == call.Internal && (!strings.HasSuffix(message, id) || !strings.Contains(h.log.String(), id)) {
					t.Errorf("%s: %q and the log do not name request %s", path, message, id)
				}
			}
			if tt.code == call.Internal && !strings.Contains(h.log.String(), "hunter2") {
				t.Error("the log does not say why")
			}
		})
	}
}
