package webhook

import (
	"fmt"
	"testing"
	"time"

	"callvault/internal/call"
)

func BenchmarkDecodeCallerDesk(b *testing.B) {
	benchmarkDecode(b, "sales", func(i int) string {
		return fmt.Sprintf(`{"type":"call_report","SourceNumber":"09%09d","DestinationNumber":"0806286123",`+
			`"DialWhomNumber":"07652081234","CallDuration":"26","TalkDuration":"2","coins":"2","Status":"ANSWER",`+
			`"StartTime":"2024-12-30 12:43:19","EndTime":"2024-12-30 12:43:45","CallSid":"1586420216.%d",`+
			`"CallRecordingUrl":"https://newcallrecords.callerdesk.io/outgoing/12_2024/x%d.wav","Direction":"IVR",`+
			`"campid":"","call_group":"TestGroup","receiver_name":"Ashish","error_code":"0",`+
			`"LegA_Picked_time":"2024-12-30 12:43:21","LegB_Start_time":"2024-12-30 12:43:30",`+
			`"LegB_Picked_time":"2024-12-30 12:43:43","key_press":"1","hangup_cause":"ANSWER(16-customer)","Uniqueid":"1586420216.%d"}`,
			i%1_000_000_000, i, i, i)
	})
}

func BenchmarkDecodeTeleCMI(b *testing.B) {
	benchmarkDecode(b, "support", func(i int) string {
		return fmt.Sprintf(`{"virtual_number":918069123456,"custom":"{\"key\":\"value\"}","appid":2222223,"type":"cdr",`+
			`"direction":"inbound","cmiuuid":"a%d","user":"204_2222223","status":"answered","to":919811122233,`+
			`"from":919%09d,"time":1634720920615,"answeredsec":11,"team":"Sales_2222223","hangup_reason":"recv_bye",`+
			`"record":true,"filename":"1634720915260737218351_2222223.mp3","conversation_uuid":"a%d","ivr_name":"salesivr"}`,
			i, i%1_000_000_000, i)
	})
}

func BenchmarkDecodeMapped(b *testing.B) {
	d, _ := mappedDecoder(b, shippedMapping(b, "smartflo"))
	benchmarkDecoder(b, d, "mapped", func(i int) string {
		return fmt.Sprintf(`{"uuid":"5cc1b8f8-%d","call_id":"1625138400.%d","call_to_number":"911234567890","caller_id_number":"9%09d",`+
			`"start_stamp":"2021-07-01 16:50:00","answer_stamp":"2021-07-01 16:50:08","end_stamp":"2021-07-01 16:51:00",`+
			`"hangup_cause":"NORMAL_CLEARING","billsec":"52","duration":"60","direction":"inbound","call_status":"answered",`+
			`"recording_url":"https://callrecordings.example.org/%d.mp3","answered_agent":{"id":"0501","name":"Asha","number":"+917652081234"},`+
			`"answered_agent_name":"Asha","answered_agent_number":"+917652081234","missed_agent":[]}`, i, i, i%1_000_000_000, i)
	})
}

// benchmarkDecode decodes reports that all come from another customer, which is
// the worst case for the memory of phone numbers.
func benchmarkDecode(b *testing.B, account string, body func(int) string) {
	b.Helper()
	_, d := newTestWatch(b, &notebook{}, nil, quiet) // as when it serves
	benchmarkDecoder(b, d, account, body)
}

func benchmarkDecoder(b *testing.B, d *Decoder, account string, body func(int) string) {
	b.Helper()
	bodies := make([][]byte, 20_000)
	for i := range bodies {
		bodies[i] = []byte(body(i * 4099))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		del := call.Delivery{Account: account, Method: "POST", ReceivedAt: time.Unix(1.7e9, 0),
			ContentType: "application/json", Body: bodies[i%len(bodies)], Source: call.SourceWebhook}
		d.Decode(&del)
		if del.Items[0].Leg == nil {
			b.Fatal(del.Items[0].Error)
		}
	}
}
