package webhook

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// callerDeskReport is the sample of CallerDesk's documentation, answered.
const callerDeskReport = `{"type":"call_report","SourceNumber":"09812345678","DestinationNumber":"1204567890",
 "DialWhomNumber":"09281234567","CallDuration":"64","TalkDuration":"40","coins":"1","Status":"ANSWER",
 "StartTime":"2023-01-02 14:32:30","EndTime":"2023-01-02 14:33:34","CallSid":"1672649960.9601",
 "CallRecordingUrl":"https://newcallrecords.callerdesk.io/incoming/01_2023/x.wav","Direction":"IVR","campid":"",
 "call_group":"TestGroup","receiver_name":"Ashish","error_code":"0","LegA_Picked_time":"2023-01-02 14:32:40",
 "LegB_Start_time":"2023-01-02 14:32:45","LegB_Picked_time":"2023-01-02 14:32:54","key_press":"1",
 "hangup_cause":"ANSWER(16-customer)","Uniqueid":"1672649960.9602"}`

func ist(s string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, s, testZone)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func TestCallerDeskReport(t *testing.T) {
	t.Parallel()
	got := oneCall(t, "sales", callerDeskReport)
	want := call.Call{
		Account: "sales", Provider: call.CallerDesk, Key: "1672649960.9601", KeyKind: call.KeyCall,
		Direction: call.Inbound, Outcome: call.Answered, Status: "ANSWER",
		CustomerNumber: "+919812345678", BusinessNumber: "+911204567890",
		Agent: call.Agent{Name: "Ashish", Number: "+919281234567"}, Group: "TestGroup",
		StartedAt: ist("2023-01-02 14:32:30"), AnsweredAt: ist("2023-01-02 14:32:54"), EndedAt: ist("2023-01-02 14:33:34"),
		WaitSeconds: new(9), TalkSeconds: new(40), TotalSeconds: new(64),
		HangupCause: "16", HangupBy: "customer", Cost: "1", LegsCount: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	leg := oneItem(t, "sales", callerDeskReport).Leg
	if diff := cmp.Diff([]call.Wanted{{Kind: call.Conversation,
		Source: "https://newcallrecords.callerdesk.io/incoming/01_2023/x.wav"}}, leg.Recordings); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]call.Key{{Kind: call.KeyCall, Value: "1672649960.9601"},
		{Kind: call.KeyOther, Value: "1672649960.9602"}}, leg.Keys); diff != "" {
		t.Error(diff)
	}
	if len(leg.Attributes) != 23 || string(leg.Attributes["error_code"]) != `"0"` {
		t.Errorf("attributes %s", leg.Attributes)
	}
}

// TestCallerDeskGET is the official sample of the GET hook: an n between date
// and time, no fields of later years.
func TestCallerDeskGET(t *testing.T) {
	t.Parallel()
	del := &call.Delivery{Account: "sales", Method: "GET", ReceivedAt: testReceivedAt, Query: "SourceNumber=9811126123&" +
		"DestinationNumber=1206851234&DialWhomNumber=08595911234&CallDuration=210&coins=4&Status=ANSWER&" +
		"StartTime=2020-04-09n13:46:56&EndTime=2020-04-09n13:50:26&CallSid=1586420216.71&" +
		"CallRecordingUrl=https://callrecords.callerdesk.io/0/x.wav&Direction=IVR&campid=&TalkDuration=200"}
	newTestDecoder(t).Decode(del)
	if len(del.Items) != 1 || del.Items[0].Leg == nil {
		t.Fatalf("%+v", del.Items)
	}
	c := call.Merge([]call.Leg{*del.Items[0].Leg})
	// The first half of CallSid is the start in Unix seconds.
	if want := time.Unix(1586420216, 0); !c.StartedAt.Equal(want) {
		t.Errorf("started %v, want %v", c.StartedAt, want)
	}
	if c.Outcome != call.Answered || c.WaitSeconds != nil || !c.AnsweredAt.Equal(c.EndedAt.Add(-200*time.Second)) ||
		c.Campaign != "" || c.CustomerNumber != "+919811126123" {
		t.Errorf("%+v", c)
	}
}

// TestCallerDeskOutcome has a row for each rule of what a status word means.
func TestCallerDeskOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		direction, status, talk, picked, hangup string
		want                                    call.Outcome
		by                                      string
	}{
		{"IVR", "ANSWER", "40", "2023-01-02 14:32:54", "ANSWER(16-agent)", call.Answered, "agent"},
		{"IVR", "NOANSWER", "40", "2023-01-02 14:32:54", "", call.Answered, ""}, // the times disagree
		{"IVR", "answered", "", "", "", call.Answered, ""},
		{"WEBOBD", "Leg B Answer", "0", "0", "", call.Answered, ""},
		{"WEBOBD", "Leg A Answer", "0", "0", "", call.Missed, ""},
		{"IVR", "NO ANSWER", "0", "", "", call.Missed, ""},
		{"IVR", "NO ANSWER (0-Agent)", "0", "", "", call.Missed, "agent"},
		{"IVR", "NOANSWER", "0", "", "NOANSWER(21-agent)", call.Rejected, "agent"},
		{"IVR", "Unavailable (19)", "0", "", "", call.Missed, ""},
		{"IVR", "Not connected", "0", "", "", call.Missed, ""},
		{"IVR", "AbandonedCall", "0", "", "", call.Abandoned, ""},
		{"IVR", "Abandoned", "0", "", "", call.Abandoned, ""},
		{"IVR", "abandonment", "0", "", "", call.Abandoned, ""},
		{"IVR", "CANCEL", "0", "", "", call.Abandoned, ""},
		{"WEBOBD", "CANCEL", "0", "", "", call.Cancelled, ""},
		{"WEBOBD", "Leg A Cancel - Agent No Answer (0 Agent)", "0", "", "", call.Cancelled, "agent"},
		{"WEBOBD", "Cancel-Agent", "0", "", "", call.Cancelled, ""},
		{"WEBOBD", "Cancel-Customer NOANSWER (0-customer)", "0", "", "", call.Missed, "customer"},
		{"WEBOBD", "Cancel_Customer Busy (17-customer)", "0", "", "", call.Busy, "customer"},
		{"WEBOBD", "Cancel-Customer Congestion (1-customer)", "0", "", "", call.Failed, "customer"},
		{"IVR", "BUSY (17)", "0", "", "", call.Busy, ""},
		{"IVR", "AgentEngaged (0-Agent)", "0", "", "", call.Busy, "agent"},
		{"IVR", "Agent engaged", "0", "", "", call.Busy, ""},
		{"IVR", "AgentonRing", "0", "", "", call.Busy, ""},
		{"IVR", "CONGESTION", "0", "", "", call.Failed, ""},
		{"IVR", "CHANUNAVAIL", "0", "", "", call.Failed, ""},
		{"IVR", "Flummoxed", "7", "", "", call.Answered, ""},
		{"IVR", "Flummoxed", "0", "", "", call.Missed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.direction+" "+tt.status+" "+tt.hangup, func(t *testing.T) {
			t.Parallel()
			c := oneCall(t, "sales", fmt.Sprintf(`{"CallSid":"1","Direction":%q,"Status":%q,"TalkDuration":%q,
				"LegB_Picked_time":%q,"hangup_cause":%q,"StartTime":"2023-01-02 14:32:30","EndTime":"2023-01-02 14:33:34"}`,
				tt.direction, tt.status, tt.talk, tt.picked, tt.hangup))
			if c.Outcome != tt.want || c.HangupBy != tt.by || c.Status != tt.status {
				t.Errorf("%s by %q, want %s by %q", c.Outcome, c.HangupBy, tt.want, tt.by)
			}
		})
	}
}

func TestCallerDeskUnanswered(t *testing.T) {
	t.Parallel()
	c := oneCall(t, "sales", `{"type":"call_report","CallSid":1672649960.9601,"Direction":"IVR","Status":"NOANSWER",
		"SourceNumber":"unknown","DialWhomNumber":"9281234567","TalkDuration":0,"CallDuration":"60","StartTime":"2023-01-02  14:32:30",
		"EndTime":"2023-01-02 14:33:30","LegB_Start_time":"2023-01-02 14:33:00","LegB_Picked_time":"0000-00-00 00:00:00",
		"CallRecordingUrl":"No recorded File"}`)
	want := call.Call{
		Account: "sales", Provider: call.CallerDesk, Key: "1672649960.9601", KeyKind: call.KeyCall,
		Direction: call.Inbound, Outcome: call.Missed, Status: "NOANSWER",
		Agent: call.Agent{Number: "+919281234567"}, Offers: []call.Agent{{Number: "+919281234567"}},
		StartedAt: ist("2023-01-02 14:32:30"), EndedAt: ist("2023-01-02 14:33:30"), LegsCount: 1,
		WaitSeconds: new(30), TalkSeconds: new(0), TotalSeconds: new(60),
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

// TestCallerDeskParties: of outgoing calls the account says where the customer
// is.
func TestCallerDeskParties(t *testing.T) {
	t.Parallel()
	tests := []struct{ account, direction, customer, business, agent string }{
		{"sales", "IVR", "+919811111111", "+911204567890", "+919822222222"},
		{"sales", "WEBOBD", "+919822222222", "+911204567890", "+919811111111"},
		{"source", "WEBOBD", "+919811111111", "+911204567890", "+919822222222"},
		{"destination", "WEBOBD", "+911204567890", "+919811111111", "+919822222222"},
		{"destination", "IVR", "+919811111111", "+911204567890", "+919822222222"},
	}
	for _, tt := range tests {
		c := oneCall(t, tt.account, fmt.Sprintf(`{"CallSid":"8397472","EndTime":"","Direction":%q,"SourceNumber":"09811111111",
			"DialWhomNumber":"919822222222","DestinationNumber":"+91 120-4567890","campid":"11387004"}`, tt.direction))
		if c.CustomerNumber != tt.customer || c.BusinessNumber != tt.business || c.Agent.Number != tt.agent || c.Campaign != "11387004" {
			t.Errorf("%s %s: customer %s business %s agent %s", tt.account, tt.direction, c.CustomerNumber, c.BusinessNumber, c.Agent.Number)
		}
	}
}

func TestCallerDeskRecording(t *testing.T) {
	t.Parallel()
	wanted := func(source, location string) []call.Wanted {
		return []call.Wanted{{Kind: call.Conversation, Source: source, Location: location}}
	}
	tests := []struct {
		url  string
		want []call.Wanted
	}{
		{"https://h/x.wav", wanted("https://h/x.wav", "")},
		{"https://H.example/a b.wav", wanted("https://h.example/a%20b.wav", "")},
		{"https://user:password@h/x.wav#t=1", wanted("https://h/x.wav", "")},
		{"https://h/get?file=x.wav&Expires=1&Signature=abc", wanted("https://h/get?file=x.wav", "https://h/get?file=x.wav&Expires=1&Signature=abc")},
		{"https://h/x.wav?X-Amz-Date=1&X-Amz-Signature=2", wanted("https://h/x.wav", "https://h/x.wav?X-Amz-Date=1&X-Amz-Signature=2")},
		{"", nil}, {"NA", nil}, {"null", nil}, {"0", nil}, {"No recorded File", nil},
		{"file:///etc/passwd", nil}, {"//h/x.wav", nil}, {"https:///x.wav", nil}, {"javascript:x", nil}, {"https://h/%zz", nil},
		{"https://h/" + strings.Repeat("x", 2000), nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, callerDeskRecordings(tt.url)); diff != "" {
			t.Errorf("%.60s: %s", tt.url, diff)
		}
	}
}

// TestCallerDeskKinds tells reports, live events and the rest apart.
func TestCallerDeskKinds(t *testing.T) {
	t.Parallel()
	tests := []struct{ body, want string }{
		{`{"type":"call_report","CallSid":"1"}`, "leg"},
		{`{"CallSid":"1","EndTime":""}`, "leg"},
		{`{"CallSid":"1","CallDuration":"0"}`, "leg"},
		{`{"CallSid":"1","CallRecordingUrl":"https://h/x.wav"}`, "leg"},
		{`{"sid_id":"1","EndTime":""}`, "leg"},
		{`{"CallSid":"1","Status":"ANSWER"}`, "live answered"},
		{`{"type":"live_call","CallSid":"1","EndTime":""}`, "live ringing"},
		{`{"type":"live_call","CallSid":"1","Status":"Picked"}`, "live answered"},
		{`{"type":"live_call","CallSid":"1","Status":"Transfer to agent"}`, "live ringing"},
		{`{"type":"live_call","CallSid":"1","Status":"CANCEL"}`, "live hangup"},
		{`{"type":"live_call","CallSid":"1","Status":"Abandoned"}`, "live hangup"},
		{`{"type":"live_call","CallSid":"1","Status":"Leg A Answer"}`, "live ringing"},
		{`{"type":"live_call","CallSid":"1","Status":"LEG B ANSWER"}`, "live answered"},
		{`{"type":"live_call","CallSid":"1","Status":"AgentonRing"}`, "live ringing"},
		{`{"type":"live_call","CallSid":"1","Status":"Agent engaged"}`, "live unknown"},
		{`{"type":"live_call","CallSid":"1","Status":"NO ANSWER (0-Agent)"}`, "live unknown"},
		{`{"type":"live_call","CallSid":"1","Status":"Dancing"}`, "live unknown"},
		{`{"type":"member_status","member_num":"98"}`, "ignored"},
		{`{"type":"call_group_update","call_group":"Sales"}`, "ignored"},
		{`{"type":"sms","CallSid":"1"}`, "ignored"},
		{`{"type":"call_report","Status":"ANSWER"}`, "unreadable"},
		{`{"SourceNumber":"98","EndTime":"","CallSid":"NA"}`, "unreadable"},
		{`{"CallSid":{"a":1},"EndTime":""}`, "unreadable"},
		{`{"EndTime":"","CallSid":"` + strings.Repeat("1", 300) + `"}`, "unreadable"},
		{`[[]]`, "ignored"},
	}
	for _, tt := range tests {
		if got := kindOf(oneItem(t, "sales", tt.body)); got != tt.want {
			t.Errorf("%.80s: %s, want %s", tt.body, got, tt.want)
		}
	}
}

func kindOf(it call.Item) string {
	switch {
	case it.Leg != nil:
		return "leg"
	case it.Live != nil:
		return "live " + string(it.Live.State)
	}
	return string(it.Outcome)
}

func TestCallerDeskLive(t *testing.T) {
	t.Parallel()
	got := oneItem(t, "sales", `{"SourceNumber":"09812345678","DestinationNumber":"1204567890","DialWhomNumber":"",
		"Status":"","StartTime":"2023-01-02 14:32:30","CallSid":"1672649960.9601","Direction":"IVR","campid":"","call_group":"TestGroup"}`)
	want := call.Item{Live: &call.LiveCall{
		Account: "sales", Key: call.Key{Kind: call.KeyCall, Value: "1672649960.9601"}, LegKey: "1672649960.9601",
		Direction: call.Inbound, State: call.Ringing, CustomerNumber: "+919812345678", BusinessNumber: "+911204567890",
		Group: "TestGroup", Since: ist("2023-01-02 14:32:30"), At: testReceivedAt,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestDrift: words that are not known, or that the times contradict, are told.
func TestDrift(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var words []string
	d, err := NewDecoder(testAccounts(), Hooks{Drift: func(account, word string) {
		mu.Lock()
		defer mu.Unlock()
		words = append(words, account+" "+word)
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []string{"ANSWER", "NOANSWER", "Flummoxed"} {
		decodeItems(t, d, "sales", `{"CallSid":"1","Status":"`+status+`","TalkDuration":"3","LegB_Picked_time":"2023-01-02 14:32:54"}`)
	}
	decodeItems(t, d, "support", `{"cmiuuid":"1","type":"cdr","status":"missed"}`)
	decodeItems(t, d, "support", `{"cmiuuid":"1","type":"cdr","status":"amazed"}`)
	if diff := cmp.Diff([]string{"sales NOANSWER", "sales Flummoxed", "support amazed"}, words); diff != "" {
		t.Error(diff)
	}
}

func FuzzCallerDesk(f *testing.F) {
	f.Add(callerDeskReport)
	f.Add(`{"CallSid":1,"EndTime":1e300,"TalkDuration":-1,"CallDuration":"00:00:30","StartTime":1672649960,"Status":"(((","hangup_cause":"("}`)
	f.Add(`{"type":"live_call","CallSid":"1","Status":"\u0000"}`)
	f.Add("{\"CallSid\":\"1\",\"EndTime\":\"2020-04-09n13:50:26.1+05:30\",\"receiver_name\":\"\\ud800\",\"CallRecordingUrl\":\"https://[::1]:x/\"}")
	d := newTestDecoder(f)
	f.Fuzz(func(t *testing.T, body string) {
		checkDecode(t, d, "sales", "", "", []byte(body))
	})
}
