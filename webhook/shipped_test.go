package webhook

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/mapping"
)

// sample is a delivery as a provider's documentation shows it.
type sample struct {
	name        string
	mapping     string
	contentType string
	query, body string
	want        string
	drift       string
}

const form = "application/x-www-form-urlencoded"

func samples() []sample {
	return []sample{
		{
			name: "Twilio: recording ready", mapping: "twilio", contentType: form,
			body: "RecordingSource=DialVerb&RecordingTrack=both&RecordingSid=RE557ce644e5ab84fa21cc21112e22c485&RecordingUrl=https%3A%2F%2Fapi.twilio.com%2F2010-04-01%2FAccounts%2FAC1%2FRecordings%2FRE557ce644e5ab84fa21cc21112e22c485&RecordingStatus=completed&RecordingChannels=2&ErrorCode=0&CallSid=CA42ed11f93dc08b952027ffbc406d0868&RecordingStartTime=Tue%2C+31+Aug+2021+20%3A36%3A28+%2B0000&AccountSid=AC1&RecordingDuration=7",
			want: "call CA42ed11f93dc08b952027ffbc406d0868 unknown; start 2021-08-31T20:36:28Z; " +
				"recording https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE557ce644e5ab84fa21cc21112e22c485; id RE557ce644e5ab84fa21cc21112e22c485",
		},
		{
			name: "Twilio: recording begun", mapping: "twilio", contentType: form,
			body: "RecordingSid=RE1&RecordingStatus=in-progress&CallSid=CA1&AccountSid=AC1", want: "ignored",
		},
		{
			name: "Twilio: recording absent", mapping: "twilio", contentType: form,
			body: "RecordingSid=RE1&RecordingStatus=absent&ErrorCode=16101&CallSid=CA1", want: "ignored",
		},
		{
			name: "Twilio: recorded by <Record>", mapping: "twilio", contentType: form,
			body: "CallSid=CA1&CallStatus=in-progress&Direction=inbound&From=%2B15005550006&To=%2B14155238886&RecordingSid=RE1&RecordingUrl=https%3A%2F%2Fapi.twilio.com%2FRE1&RecordingDuration=7&Digits=hangup",
			want: "call CA1 inbound unknown; customer +15005550006; business +14155238886; recording https://api.twilio.com/RE1; id RE1",
		},
		{
			name: "Twilio: call completed, recorded", mapping: "twilio", contentType: form,
			body: "CallSid=CA1&CallStatus=completed&CallDuration=7&RecordingSid=RE1&RecordingUrl=http%3A%2F%2Fapi.twilio.com%2FRE1&RecordingDuration=7",
			want: "call CA1 answered (completed); talk 7; recording https://api.twilio.com/RE1; id RE1",
		},
		{
			name: "Twilio: call completed", mapping: "twilio", contentType: form,
			body: "Called=%2B15005550006&ToState=CA&CallerCountry=US&Direction=outbound-api&Timestamp=Tue%2C+31+Aug+2021+20%3A37%3A28+%2B0000&CallbackSource=call-progress-events&SipResponseCode=200&CallSid=CA1&To=%2B15005550006&SequenceNumber=3&CallerZip=94105&CallStatus=completed&From=%2B14155238886&AccountSid=AC1&CallDuration=52&ApiVersion=2010-04-01",
			want: "call CA1 outbound answered (completed); customer +15005550006; business +14155238886; start 2021-08-31T20:36:36Z; answered 2021-08-31T20:36:36Z; end 2021-08-31T20:37:28Z; talk 52; total 52; cause 200",
		},
		{
			name: "Twilio: call ringing", mapping: "twilio", contentType: form,
			body: "Direction=inbound&Timestamp=Tue%2C+31+Aug+2021+20%3A36%3A28+%2B0000&CallSid=CA1&To=%2B14155238886&CallStatus=ringing&From=%2B15005550006",
			want: "live CA1 ringing inbound; customer +15005550006; business +14155238886; since 2021-08-31T20:36:28Z",
		},
		{
			name: "Plivo: hangup", mapping: "plivo", contentType: form,
			body: "AnswerTime=2023-03-30+06%3A20%3A09&BillDuration=9&BillRate=0.0085&CallStatus=completed&CallUUID=50a5e6b4-1b3e-4d41-b5b9-0a9b2d1d2a34&CallerName=x&Direction=inbound&Duration=9&EndTime=2023-03-30+06%3A20%3A18&Event=Hangup&From=12025551111&HangupCause=NORMAL_CLEARING&HangupCauseCode=4000&HangupCauseName=Normal+Hangup&HangupSource=Caller&SessionStart=2023-03-30+06%3A20%3A06.339726&StartTime=2023-03-30+06%3A20%3A06&STIRVerification=Not+Verified&To=12025552222&TotalCost=0.00850",
			want: "call 50a5e6b4-1b3e-4d41-b5b9-0a9b2d1d2a34 inbound answered (completed); customer +12025551111; business +12025552222; start 2023-03-30T06:20:06Z; answered 2023-03-30T06:20:09Z; end 2023-03-30T06:20:18Z; talk 9; total 12; cause Normal Hangup; cost 0.00850",
		},
		{
			name: "Plivo: recording ready", mapping: "plivo", contentType: form,
			body: "CallUUID=50a5e6b4-1b3e-4d41-b5b9-0a9b2d1d2a34&RecordUrl=https%3A%2F%2Fmedia.plivo.com%2Fv1%2FAccount%2FMA1%2FRecording%2Fc2186400.mp3&RecordingID=c2186400&RecordingDuration=9&RecordingDurationMs=9120&RecordingStartMs=1680157209000&RecordingEndMs=1680157218120",
			want: "call 50a5e6b4-1b3e-4d41-b5b9-0a9b2d1d2a34 unknown; start 2023-03-30T06:20:09Z; recording https://media.plivo.com/v1/Account/MA1/Recording/c2186400.mp3; id c2186400",
		},
		{
			name: "Plivo: ringing", mapping: "plivo", contentType: form,
			body: "CallStatus=ringing&CallUUID=1&Direction=outbound&Event=Ring&From=12025552222&To=12025551111&RequestUUID=2",
			want: "live 1 ringing outbound; customer +12025551111; business +12025552222",
		},
		{
			name: "Plivo: a digit", mapping: "plivo", contentType: form,
			body: "CallUUID=1&Digits=5&Event=Redirect", want: "ignored",
		},
		{
			name: "Exotel: StatusCallback", mapping: "exotel", contentType: "application/json",
			body: `{"CallSid":"80bfbec2d78bbbf10fb851f4fa165211","DateUpdated":"2024-01-15 14:30:45","Status":"completed","RecordingUrl":"https://s3-ap-southeast-1.amazonaws.com/recordings/abc123.mp3"}`,
			want: "call 80bfbec2d78bbbf10fb851f4fa165211 answered (completed); recording https://s3-ap-southeast-1.amazonaws.com/recordings/abc123.mp3",
		},
		{
			name: "Exotel: terminal event", mapping: "exotel", contentType: "application/json",
			body: `{"CallSid":"1","EventType":"terminal","DateCreated":"2024-01-15 14:29:00","DateUpdated":"2024-01-15 14:30:45","Status":"completed","To":"09812345678","From":"07652081234","PhoneNumberSid":"08068123456","StartTime":"2024-01-15 14:29:02","EndTime":"2024-01-15 14:30:43","ConversationDuration":41,"Direction":"outbound-api","RecordingUrl":"","Legs":[{"OnCallDuration":60,"Status":"completed"},{"OnCallDuration":41,"Status":"completed"}]}`,
			want: "call 1 outbound answered (completed); customer +919812345678; business +918068123456; agent +917652081234; start 2024-01-15T08:59:02Z; answered 2024-01-15T09:00:02Z; end 2024-01-15T09:00:43Z; talk 41; total 101",
		},
		{
			name: "Exotel: answered event", mapping: "exotel", contentType: form,
			body: "CallSid=1&EventType=answered&Status=in-progress&Direction=outbound-api&To=09812345678&From=07652081234",
			want: "live 1 answered outbound; customer +919812345678; agent +917652081234",
		},
		{
			name: "Exotel: Passthru", mapping: "exotel",
			query: "CallSid=2&CallFrom=09812345678&CallTo=08068123456&Direction=incoming&Created=Mon%2C+15+Jan+2024+14%3A29%3A02&DialCallDuration=41&StartTime=2024-01-15+14%3A29%3A02&EndTime=1970-01-01+05%3A30%3A00&CallType=completed&DialWhomNumber=07652081234&DialCallStatus=completed&RecordingUrl=https%3A%2F%2Frecordings.exotel.com%2Fexotelrecordings%2Fx%2F2.mp3&From=09812345678&To=08068123456&CurrentTime=2024-01-15+14%3A30%3A45",
			want:  "call 2 inbound answered (completed); customer +919812345678; business +918068123456; agent +917652081234; start 2024-01-15T08:59:02Z; talk 41; recording https://recordings.exotel.com/exotelrecordings/x/2.mp3",
		},
		{
			name: "Exotel: Passthru, nobody answered", mapping: "exotel",
			query: "CallSid=3&From=09812345678&To=08068123456&Direction=incoming&CallType=client-hangup&StartTime=2024-01-15+14%3A29%3A02&EndTime=0000-00-00+00%3A00%3A00&CurrentTime=x",
			want:  "call 3 inbound abandoned (client-hangup); customer +919812345678; business +918068123456; start 2024-01-15T08:59:02Z",
		},
		{
			name: "Exotel: agent popup", mapping: "exotel",
			query: "CallSid=3&CallFrom=09812345678&CallTo=08068123456&Direction=outbound-dial&CurrentTime=2024-01-15+14%3A29%3A10&DialWhomNumber=07652081234&Status=busy",
			want:  "ignored",
		},
		{
			name: "MyOperator: POST", mapping: "myoperator", contentType: form,
			body: `myoperator={"_ai":"5f0000000000a001","_so":"1","_ci":"5c0000000000c001","_cr":"9812345678","_cm":"","_cl":"%2B919812345678","_cy":"91","_se":"DL, IN","_ts":1594969967,"_st":1594969929,"_ms":1594969929000,"_ss":25929,"_et":1594969968,"_dr":"00:00:39","_drm":0.65,"_ty":1,"_ev":1,"_fn":"e673.mp3","_fu":"http:\/\/app.myoperator.co\/audio\/e673","_ns":"0","_su":1,"_dn":"sales","_di":"5c0000000000d001","_ld":[{"_rst":"2020-07-17 07:12:28","_ds":"ANSWER","_did":"1204567890","_rr":[{"_id":"5c0000000000b001","_na":"Asha","_em":"asha@example.org","_ex":"10","_ct":"7652081234","_nr":"%2B917652081234"}],"_tt":[],"_su":"1","_st":1594969959,"_et":1594969968,"_dr":"00:00:09","_ac":"received"}],"_ri":"","_cri":""}`,
			want: "call 5f0000000000a001 inbound answered (received); customer +919812345678; business +911204567890; agent 5c0000000000b001 Asha +917652081234; group sales; start 2020-07-17T07:12:09Z; answered 2020-07-17T07:12:39Z; end 2020-07-17T07:12:48Z; talk 9; total 39; recording https://app.myoperator.co/audio/e673",
		},
		{
			name: "MyOperator: GET", mapping: "myoperator",
			query: "_ai=5f0000000000a001&_cl=%2B919812345678&_st=1594969929&_et=1594969968&_dr=00%3A00%3A39&_ev=1&_su=2",
			want:  "call 5f0000000000a001 inbound missed (2); customer +919812345678; start 2020-07-17T07:12:09Z; end 2020-07-17T07:12:48Z; total 39",
		},
		{
			name: "Ozonetel", mapping: "ozonetel", contentType: form,
			body: "data=" + strings.NewReplacer("+", "%2B", "&", "%26").Replace(`{"monitorUCID":"9040000000000001","UUI":"Orders","Did":"918068123456","CampaignName":"Inbound_Chennai","Location":"Chennai","CallerID":"919812345678","PhoneName":"asha","Skill":"Orders","StartTime":"2018-08-06 16:59:33","EndTime":"2018-08-06 17:00:03","TimeToAnswer":"00:00:07","CallDuration":"00:00:30","Duration":"00:00:23","FallBackRule":"AgentDial","DialedNumber":"7652081234","Type":"inbound","AgentID":"asha_x","AgentPhoneNumber":"7652081234","AgentUniqueID":"10001","AgentName":"Asha","Disposition":"Wrap up time exceeded :120","HangupBy":"UserHangup","Status":"Answered","AudioFile":"http://recordings.kookoo.in/x/x_9040000000000001_20180806165933.mp3","TransferType":"No Transfers","TransferredTo":"","Comments":"","DialStatus":"answered","Apikey":"KKsecret","AgentStatus":"answered","CustomerStatus":"answered","UserName":"x","CallerConfAudioFile":"","ConfDuration":"00:00:00","CampaignStatus":"ONLINE"}`),
			want: "call 9040000000000001 inbound answered (Answered); customer +919812345678; business +918068123456; agent asha_x Asha +917652081234; group Orders; campaign Inbound_Chennai; start 2018-08-06T11:29:33Z; answered 2018-08-06T11:29:40Z; end 2018-08-06T11:30:03Z; wait 7; talk 23; total 30; by customer; recording https://recordings.kookoo.in/x/x_9040000000000001_20180806165933.mp3",
		},
		{
			name: "Smartflo: answered", mapping: "smartflo", contentType: "application/json",
			body: `{"uuid":"5cc1b8f8-1a2b","call_id":"1625138400.123","call_to_number":"911234567890","caller_id_number":"9812345678","start_stamp":"2021-07-01 16:50:00","answer_stamp":"2021-07-01 16:50:08","end_stamp":"2021-07-01 16:51:00","hangup_cause":"NORMAL_CLEARING","hangup_cause_description":"Call hungup by caller","billsec":"52","duration":"60","direction":"inbound","call_status":"answered","recording_url":"https://callrecordings.tatateleservices.com/x.mp3","answered_agent":{"id":"0501","name":"Asha","number":"+917652081234"},"answered_agent_name":"Asha","answered_agent_number":"+917652081234","missed_agent":[]}`,
			want: "call 1625138400.123 inbound answered (answered); customer +919812345678; business +911234567890; agent 0501 Asha +917652081234; start 2021-07-01T11:20:00Z; answered 2021-07-01T11:20:08Z; end 2021-07-01T11:21:00Z; talk 52; total 60; cause Call hungup by caller; recording https://callrecordings.tatateleservices.com/x.mp3; id 5cc1b8f8-1a2b",
		},
		{
			name: "Smartflo: missed", mapping: "smartflo", contentType: form,
			body: "uuid=u2&call_id=c2&call_to_number=911234567890&caller_id_number=9812345678&start_stamp=2021-07-01+16%3A50%3A00&end_stamp=2021-07-01+16%3A50%3A30&hangup_cause=ORIGINATOR_CANCEL&direction=inbound&call_status=missed&answered_agent_name=_name&answered_agent_number=_number&recording_url=&billsec=0&duration=30",
			want: "call c2 inbound missed (missed); customer +919812345678; business +911234567890; start 2021-07-01T11:20:00Z; end 2021-07-01T11:20:30Z; talk 0; total 30; cause ORIGINATOR_CANCEL; id u2",
		},
		{
			name: "Smartflo: a new word", mapping: "smartflo", contentType: form,
			body: "call_id=c3&end_stamp=2021-07-01+16%3A50%3A30&direction=inbound&call_status=teleported",
			want: "call c3 inbound unknown (teleported); start 2021-07-01T11:20:30Z; end 2021-07-01T11:20:30Z; total 0", drift: "teleported",
		},
	}
}

func TestShippedMappings(t *testing.T) {
	t.Parallel()
	tested := make(map[string]bool)
	for _, tt := range samples() {
		tested[tt.mapping] = true
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, drift := mappedDecoder(t, shippedMapping(t, tt.mapping))
			del := &call.Delivery{Account: "mapped", ContentType: tt.contentType, Query: tt.query, Body: []byte(tt.body), ReceivedAt: testReceivedAt}
			d.Decode(del)
			if len(del.Items) != 1 {
				t.Fatalf("%d items", len(del.Items))
			}
			if diff := cmp.Diff(tt.want, describeItem(del.Items[0])); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := strings.Join(*drift, ", "); got != tt.drift {
				t.Errorf("drift %q, want %q", got, tt.drift)
			}
			if leg := del.Items[0].Leg; leg != nil && strings.Contains(string(leg.Attributes["Apikey"]), "secret") {
				t.Error("the API key is kept with the call")
			}
		})
	}
	for _, name := range mapping.Shipped() {
		if !tested[name] {
			t.Errorf("%s is shipped and not tested", name)
		}
	}
}

// describeItem writes an item in a line, and of a leg the call that it makes.
func describeItem(it call.Item) string {
	var b strings.Builder
	say := func(name string, value any) {
		switch v := value.(type) {
		case string:
			if v != "" {
				fmt.Fprintf(&b, "; %s %s", name, v)
			}
		case *int:
			if v != nil {
				fmt.Fprintf(&b, "; %s %d", name, *v)
			}
		case time.Time:
			if !v.IsZero() {
				fmt.Fprintf(&b, "; %s %s", name, v.Format(time.RFC3339))
			}
		case call.Agent:
			if who := strings.Join(strings.Fields(v.ID+" "+v.Name+" "+v.Number), " "); who != "" {
				fmt.Fprintf(&b, "; %s %s", name, who)
			}
		}
	}
	if c := it.Live; c != nil {
		fmt.Fprintf(&b, "live %s %s %s", c.Key.Value, c.State, c.Direction)
		say("customer", c.CustomerNumber)
		say("business", c.BusinessNumber)
		say("agent", c.Agent)
		say("since", c.Since)
		return b.String()
	}
	if it.Leg == nil {
		return string(it.Outcome)
	}
	c := call.Merge([]call.Leg{*it.Leg})
	fmt.Fprintf(&b, "call %s", strings.Join(strings.Fields(c.Key+" "+string(c.Direction)+" "+string(c.Outcome)), " "))
	if c.Status != "" {
		fmt.Fprintf(&b, " (%s)", c.Status)
	}
	say("customer", c.CustomerNumber)
	say("business", c.BusinessNumber)
	say("agent", c.Agent)
	say("group", c.Group)
	say("campaign", c.Campaign)
	say("start", c.StartedAt)
	say("answered", c.AnsweredAt)
	say("end", c.EndedAt)
	say("wait", c.WaitSeconds)
	say("talk", c.TalkSeconds)
	say("total", c.TotalSeconds)
	say("cause", c.HangupCause)
	say("by", c.HangupBy)
	say("cost", c.Cost)
	for _, w := range it.Leg.Recordings {
		say("recording", w.Source)
	}
	for _, k := range it.Leg.Keys {
		if k.Kind == call.KeyOther {
			say("id", k.Value)
		}
	}
	return b.String()
}
