package webhook

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// The samples of TeleCMI's documentation.
const (
	inAnswered = `{"virtual_number":440000000000,"custom":"{\"key\":\"value\"}","appid":2222223,"type":"cdr","direction":"inbound",
		"cmiuuid":"g1","user":"204_2222223","status":"answered","to":442071838751,"from":442071838750,"time":1634720920615,
		"answeredsec":11,"team":"Sales_2222223","hangup_reason":"recv_bye","record":true,
		"filename":"1634720915260737218351_2222223.mp3","conversation_uuid":"g1","ivr_name":"salesivr"}`
	inMissed = `{"virtual_number":440000000000,"custom":"none","appid":2222223,"type":"cdr","direction":"inbound","cmiuuid":"g2",
		"status":"missed","from":442071838750,"time":1634721220656,"waitedsec":127,"hangup_reason":"%s","voicemail":%s,
		"voicename":"%s","conversation_uuid":"g2","team":"Sales_2222223","ivr_name":"salesivr"}`
	inUserMissed = `{"custom":"","appid":2222223,"type":"cdr","direction":"inbound","leg":"b","cmiuuid":"%s","conversation_uuid":"%s",
		"user":"%s_2222223","status":"missed","to":442071838751,"from":440000000000,"time":%d,"team":"Sales_2222223","hangup_reason":"recv_cancel"}`
	outA = `{"type":"cdr","direction":"outbound","status":"%s","leg":"a","cmiuuid":"a1","call_id":"c1","appid":2222223,
		"virtual_number":"440000000000","to":442071838750,"user":"202_2222223","time":1650630551178,"answeredsec":9,
		"hangup_reason":"%s","custom":"x"%s}`
	outB = `{"type":"cdr","direction":"outbound","status":"%s","leg":"b","cmiuuid":"b1","call_id":"c1","appid":2222223,
		"virtual_number":"440000000000","to":442071838750,"user":"202_2222223","time":1650630559000,"answeredsec":6,
		"hangup_reason":"%s","record":true,"filename":"16506305548176941220057791_2222223.mp3"}`
)

func milli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func TestTeleCMIInboundAnswered(t *testing.T) {
	t.Parallel()
	want := call.Call{
		Account: "support", Provider: call.TeleCMI, Key: "g1", KeyKind: call.KeyConversation,
		Direction: call.Inbound, Outcome: call.Answered, Status: "answered",
		CustomerNumber: "+442071838750", BusinessNumber: "440000000000",
		Agent: call.Agent{ID: "204", Number: "+442071838751"}, Group: "Sales",
		// The recording began before the call was answered.
		StartedAt: milli(1634720915260), AnsweredAt: milli(1634720920615), EndedAt: milli(1634720931615),
		TalkSeconds: new(11), TotalSeconds: new(16), HangupCause: "recv_bye", HangupBy: "customer", LegsCount: 1,
	}
	if diff := cmp.Diff(want, oneCall(t, "support", inAnswered)); diff != "" {
		t.Error(diff)
	}
	leg := oneItem(t, "support", inAnswered).Leg
	if diff := cmp.Diff([]call.Wanted{{Kind: call.Conversation, Source: "1634720915260737218351_2222223.mp3"}}, leg.Recordings); diff != "" {
		t.Error(diff)
	}
	if string(leg.Attributes["from"]) != "442071838750" || string(leg.Attributes["custom"]) != `"{\"key\":\"value\"}"` {
		t.Errorf("attributes %s", leg.Attributes)
	}

	// With the offers to two other agents it is still one call.
	got := oneCall(t, "support", fmt.Sprintf(inUserMissed, "b1", "g1", "201", 1634720895000), inAnswered,
		fmt.Sprintf(inUserMissed, "b2", "g1", "202", 1634720905000), inAnswered)
	want.LegsCount, want.StartedAt, want.TotalSeconds = 3, milli(1634720895000), new(36)
	want.Offers = []call.Agent{{ID: "201", Number: "+442071838751"}, {ID: "202", Number: "+442071838751"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTeleCMIInboundMissed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		hangup, voicemail, voicename string
		want                         call.Outcome
	}{
		{"recv_cancel", "false", "", call.Missed},
		{"recv_bye", "false", "", call.Abandoned},
		{"recv_bye", "false", "false", call.Abandoned},
		{"recv_bye", "true", "", call.Voicemail},
		{"recv_cancel", `"true"`, "", call.Voicemail},
		{"recv_cancel", "false", "1634721220656289350027_2222223.mp3", call.Voicemail},
		{"sent_reject", "false", "", call.Rejected},
		{"recv_reject", "false", "", call.Rejected},
		{"busy", "false", "", call.Busy},
		{"no_answer", "false", "", call.Missed},
	}
	for _, tt := range tests {
		c := oneCall(t, "support", fmt.Sprintf(inMissed, tt.hangup, tt.voicemail, tt.voicename),
			fmt.Sprintf(inUserMissed, "b1", "g2", "201", 1634721225000))
		if c.Outcome != tt.want || c.LegsCount != 2 || len(c.Offers) != 1 || !c.StartedAt.Equal(milli(1634721220656)) ||
			!c.EndedAt.IsZero() || *c.WaitSeconds != 127 || *c.TotalSeconds != 127 || c.CustomerNumber != "+442071838750" {
			t.Errorf("%+v: %+v", tt, c)
		}
	}
	leg := oneItem(t, "support", fmt.Sprintf(inMissed, "recv_bye", "true", "1634721220656289350027_2222223.mp3")).Leg
	if diff := cmp.Diff([]call.Wanted{{Kind: call.VoicemailMessage, Source: "1634721220656289350027_2222223.mp3"}}, leg.Recordings); diff != "" {
		t.Error(diff)
	}

	// Nothing but an unanswered offer is no missed call, and tells no customer.
	c := oneCall(t, "support", fmt.Sprintf(inUserMissed, "b1", "g3", "201", 1634721225000))
	if c.Outcome != call.Unknown || c.CustomerNumber != "" || c.Key != "g3" {
		t.Errorf("offer alone: %+v", c)
	}
}

func TestTeleCMIOutbound(t *testing.T) {
	t.Parallel()
	request := `,"request_id":"r1","extra_params":"{}"`
	tests := []struct {
		name   string
		bodies []string
		want   call.Outcome
		talk   int
	}{
		{"both answered", []string{fmt.Sprintf(outA, "answered", "", ""), fmt.Sprintf(outB, "answered", "sent_bye")}, call.Answered, 6},
		{"customer missed", []string{fmt.Sprintf(outA, "answered", "", ""), fmt.Sprintf(outB, "missed", "recv_cancel")}, call.Missed, -1},
		{"customer rejected", []string{fmt.Sprintf(outA, "answered", "", ""), fmt.Sprintf(outB, "missed", "recv_reject")}, call.Rejected, -1},
		{"customer busy", []string{fmt.Sprintf(outB, "missed", "busy")}, call.Busy, -1},
		{"agent alone answered", []string{fmt.Sprintf(outA, "answered", "", "")}, call.Answered, 9},
		{"agent missed", []string{fmt.Sprintf(outA, "missed", "recv_cancel", "")}, call.Missed, -1},
		{"agent missed a request", []string{fmt.Sprintf(outA, "missed", "recv_cancel", request)}, call.Cancelled, -1},
	}
	for _, tt := range tests {
		c := oneCall(t, "support", tt.bodies...)
		if c.Outcome != tt.want || c.Key != "c1" || c.KeyKind != call.KeyCall || c.Direction != call.Outbound ||
			c.CustomerNumber != "+442071838750" || c.BusinessNumber != "440000000000" || c.Agent.ID != "202" {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if tt.talk >= 0 && (c.TalkSeconds == nil || *c.TalkSeconds != tt.talk) {
			t.Errorf("%s: talk %v", tt.name, c.TalkSeconds)
		}
	}
	leg := oneItem(t, "support", fmt.Sprintf(outA, "missed", "", request)).Leg
	if diff := cmp.Diff([]call.Key{{Kind: call.KeyCall, Value: "c1"}, {Kind: call.KeyRequest, Value: "r1"}}, leg.Keys); diff != "" {
		t.Error(diff)
	}
}

// TestTeleCMIVariants: other products, other years.
func TestTeleCMIVariants(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		check      func(call.Call, *call.Leg) bool
	}{
		{"one u", `{"type":"cdr","cmiuid":"x","direction":"inbound","status":"answered","time":"1634720920615","answeredsec":"11"}`,
			func(c call.Call, _ *call.Leg) bool {
				return c.Key == "x" && c.Outcome == call.Answered && *c.TalkSeconds == 11
			}},
		{"no type", `{"cmiuid":"x","direction":"inbound","status":"answered","time":1634720920,"answeredsec":11,"record":"true","filename":"true"}`,
			func(c call.Call, l *call.Leg) bool {
				return c.AnsweredAt.Equal(milli(1634720920000)) && l.Recordings == nil
			}},
		{"row of a list", `{"cmiuid":"x","from":"442071838750","time":1634720920615,"duration":20,"billedsec":11,"rate":0.6,"agent":"201_2222223","name":"unknown"}`,
			func(c call.Call, l *call.Leg) bool {
				return c.Outcome == call.Answered && l.Agent.ID == "201" && l.Agent.Name == "" && c.Cost == "0.6"
			}},
		{"app_id, no suffix", `{"type":"cdr","cmiuuid":"x","app_id":"7","user":"5_7","team":"DID","status":"user_missed"}`,
			func(_ call.Call, l *call.Leg) bool {
				return l.Agent.ID == "5" && l.Group == "DID" && l.Outcome == call.Missed
			}},
		{"app id of the account", `{"type":"cdr","cmiuuid":"x","user":"5_2222223","status":"no-answer"}`,
			func(_ call.Call, l *call.Leg) bool { return l.Agent.ID == "5" && l.Outcome == call.Missed }},
		{"before virtual numbers", `{"type":"cdr","cmiuuid":"x","direction":"inbound","status":"missed","from":"442071838750","to":"442071838751"}`,
			func(c call.Call, _ *call.Leg) bool {
				return c.BusinessNumber == "+442071838751" && c.Agent.IsZero() && c.CustomerNumber == "+442071838750"
			}},
		{"PIOPIY", `{"type":"cdr","cmiuuid":"x","direction":"outbound","status":"answered","time":1634720920615,"start_time":1634720910,
			"answer_time":1634720920,"end_time":1634720950,"duration":40,"extra_params":"{ 'Name': 'Akil', 'ID':8915726 }","callerid":"442071838751",
			"to":442071838750,"call_rate":"0.3"}`,
			func(c call.Call, _ *call.Leg) bool {
				return *c.TalkSeconds == 30 && c.StartedAt.Equal(milli(1634720910000)) && c.EndedAt.Equal(milli(1634720950000)) &&
					c.BusinessNumber == "+442071838751" && c.Cost == "0.3"
			}},
		{"words", `{"type":"cdr","cmiuuid":"x","direction":"outbound","leg":"b","status":"Rejected","from":"","to":0}`,
			func(c call.Call, _ *call.Leg) bool { return c.Outcome == call.Rejected && c.CustomerNumber == "" }},
	}
	for _, tt := range tests {
		leg := oneItem(t, "support", tt.body).Leg
		if leg == nil {
			t.Errorf("%s: no leg", tt.name)
			continue
		}
		if c := call.Merge([]call.Leg{*leg}); !tt.check(c, leg) {
			t.Errorf("%s: %+v\n%+v", tt.name, c, leg)
		}
	}
}

func TestTeleCMIFileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"demo_1111113.wav", "1789452492960_1000010414748_5130_33337312.wav", "a.MP3"} {
		if !isFileName(name) {
			t.Errorf("%s is not taken", name)
		}
	}
	for _, name := range []string{"", "true", "x.mp", "../../etc/passwd.mp3", "a/b.mp3", "a.mp3?x=1", ".hidden.mp3", "a b.mp3", "a%2f.mp3",
		"a\u0000.mp3", "noextension", "x.exe", ".mp3"} {
		if isFileName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

// TestTeleCMIKinds tells reports, live events and the rest apart.
func TestTeleCMIKinds(t *testing.T) {
	t.Parallel()
	tests := []struct{ body, want string }{
		{`{"type":"cdr","cmiuuid":"x"}`, "leg"},
		{`{"cmiuuid":"x","status":"answered","answeredsec":3}`, "leg"},
		{`{"type":"event","cmiuuid":"x","status":"waiting"}`, "live ringing"},
		{`{"cmiuid":"x","status":"ringing"}`, "live ringing"},
		{`{"cmiuid":"x","status":"answered"}`, "live answered"},
		{`{"cmiuuid":"x","status":"out_bridged"}`, "live answered"},
		{`{"type":"event","cmiuuid":"x","status":"hangup"}`, "live hangup"},
		{`{"type":"event","cmiuuid":"x","status":"dancing"}`, "live unknown"},
		{`{"action":"inbound","from":" 44","to":" 44","time":1634720920615,"cmuuid":"x"}`, "ignored"},
		{`{"type":"sms","cmiuuid":"x","status":"delivered"}`, "ignored"},
		{`{"type":"whatsapp","text":"hi"}`, "ignored"},
		{`{"message":"hi","from":44}`, "ignored"},
		{`{"type":"cdr","status":"answered"}`, "unreadable"},
		{`{"hello":"world"}`, "unreadable"},
		{`{}`, "ignored"},
	}
	for _, tt := range tests {
		if got := kindOf(oneItem(t, "support", tt.body)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.body, got, tt.want)
		}
	}
}

func TestTeleCMILive(t *testing.T) {
	t.Parallel()
	at := milli(1634720900000)
	conversation := call.Key{Kind: call.KeyConversation, Value: "g1"}
	tests := []struct {
		name, body string
		want       call.LiveCall
	}{
		{"guest waits", `{"type":"event","direction":"inbound","status":"waiting","conversation_uuid":"g1","cmiuuid":"g1","app_id":2222223,
			"from":"442071838750","to":"442071838751","time":1634720900000,"custom":"x"}`,
			call.LiveCall{Key: conversation, LegKey: "g1", Direction: call.Inbound, State: call.Ringing, IsStart: true,
				CustomerNumber: "+442071838750", BusinessNumber: "+442071838751"}},
		{"agent is rung, called outbound", `{"type":"event","direction":"outbound","leg":"b","status":"started","conversation_uuid":"g1","cmiuuid":"b1",
			"app_id":2222223,"team":"Sales_2222223","user":"204_2222223","from":"442071838750","time":1634720900000}`,
			call.LiveCall{Key: conversation, LegKey: "b1", Side: call.SideB, Direction: call.Inbound, State: call.Ringing,
				Agent: call.Agent{ID: "204"}, Group: "Sales"}},
		{"agent's phone is silent again", `{"type":"event","direction":"outbound","leg":"b","status":"hangup","conversation_uuid":"g1","cmiuuid":"b1",
			"app_id":2222223,"user":"204_2222223","from":"442071838750","time":1634720900000}`,
			call.LiveCall{Key: conversation, LegKey: "b1", Side: call.SideB, Direction: call.Inbound, State: call.HungUp,
				Agent: call.Agent{ID: "204"}}},
		{"agent is rung, in 2019", `{"type":"event","direction":"inbound","status":"ringing","parent_uid":"g1","cmiuid":"b1",
			"app_id":2222223,"user":"204_2222223","from":442071838750,"to":442071838752,"time":1634720900000}`,
			call.LiveCall{Key: conversation, LegKey: "b1", Side: call.SideB, Direction: call.Inbound, State: call.Ringing,
				Agent: call.Agent{ID: "204", Number: "+442071838752"}}},
		{"guest, in 2019", `{"type":"event","direction":"inbound","status":"waiting","cmiuid":"g1",
			"app_id":2222223,"from":442071838750,"to":442071838751,"time":1634720900000}`,
			call.LiveCall{Key: conversation, LegKey: "g1", Direction: call.Inbound, State: call.Ringing, IsStart: true,
				CustomerNumber: "+442071838750", BusinessNumber: "+442071838751"}},
		{"PIOPIY, guest", `{"type":"event","direction":"inbound","status":"in_answered","conversation_uuid":"g1","cmiuuid":"g1",
			"appid":2222223,"from":442071838750,"to":442071838751,"time":1634720900000}`,
			call.LiveCall{Key: conversation, LegKey: "g1", Direction: call.Inbound, State: call.Talking,
				CustomerNumber: "+442071838750", BusinessNumber: "+442071838751"}},
		{"PIOPIY, customer is bridged", `{"type":"event","direction":"outbound","leg":"b","status":"out_bridged","conversation_uuid":"g1","cmiuuid":"b1",
			"appid":2222223,"callerid":442071838751,"to":442071838750,"time":1634720900000}`,
			call.LiveCall{Key: conversation, LegKey: "b1", Side: call.SideB, Direction: call.Outbound, State: call.Talking,
				CustomerNumber: "+442071838750", BusinessNumber: "+442071838751"}},
		{"PIOPIY, agent who calls", `{"type":"event","direction":"outbound","leg":"a","status":"out_answered","conversation_uuid":"g1","cmiuuid":"a1",
			"appid":2222223,"callerid":442071838751,"to":442071838750,"time":1634720900000}`,
			call.LiveCall{Key: conversation, LegKey: "a1", Side: call.SideA, Direction: call.Outbound, State: call.Talking,
				CustomerNumber: "+442071838750", BusinessNumber: "+442071838751"}},
		{"outbound", `{"type":"event","direction":"outbound","leg":"a","status":"started","call_id":"c1","conversation_uuid":"g1","cmiuuid":"a1",
			"app_id":2222223,"user":"204_2222223","callerid":"442071838751","to":"442071838750","time":1634720900000,"request_id":"r1"}`,
			call.LiveCall{Key: call.Key{Kind: call.KeyCall, Value: "c1"}, LegKey: "a1", Side: call.SideA, Direction: call.Outbound, State: call.Ringing, IsStart: true,
				Agent: call.Agent{ID: "204"}, CustomerNumber: "+442071838750", BusinessNumber: "+442071838751"}},
		{"outbound, customer answers", `{"type":"event","direction":"outbound","leg":"b","status":"answered","call_id":"c1","cmiuuid":"b1",
			"app_id":2222223,"user":"204_2222223","to":"442071838750","time":1634720900000}`,
			call.LiveCall{Key: call.Key{Kind: call.KeyCall, Value: "c1"}, LegKey: "b1", Side: call.SideB, Direction: call.Outbound, State: call.Talking,
				Agent: call.Agent{ID: "204"}, CustomerNumber: "+442071838750"}},
	}
	for _, tt := range tests {
		tt.want.Account, tt.want.Since, tt.want.At = "support", at, at
		got := oneItem(t, "support", tt.body)
		if got.Sense != call.StatusKnown {
			t.Errorf("%s: status %s is %s", tt.name, got.Status, got.Sense)
		}
		if diff := cmp.Diff(&tt.want, got.Live); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func FuzzTeleCMI(f *testing.F) {
	f.Add(inAnswered)
	f.Add(fmt.Sprintf(inMissed, "recv_bye", `"true"`, "1634721220656289350027_2222223.mp3"))
	f.Add(fmt.Sprintf(outB, "answered", "sent_bye"))
	f.Add(`{"type":"event","cmiuuid":"x","status":"waiting","time":9e99}`)
	f.Add(`{"cmiuuid":[1],"cmiuid":"\u0000x","time":"99999999999999999999","user":"_2222223","filename":"0000000000000.mp3","start_time":1,"answer_time":-5}`)
	d := newTestDecoder(f)
	f.Fuzz(func(t *testing.T, body string) {
		checkDecode(t, d, "support", "", "", []byte(body))
	})
}
