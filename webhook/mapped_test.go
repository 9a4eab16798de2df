package webhook

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/mapping"
)

// shippedMapping reads a mapping that is part of the program.
func shippedMapping(tb testing.TB, name string) *mapping.Mapping {
	tb.Helper()
	m, err := config.ReadMapping(name)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// mappedDecoder decodes for the account "mapped", and notes words that are
// drift.
func mappedDecoder(tb testing.TB, m *mapping.Mapping) (d *Decoder, drift *[]string) {
	tb.Helper()
	drift = new([]string)
	d, err := NewDecoder([]Account{{Name: "mapped", Provider: call.Mapped, Token: "t", Zone: testZone, Region: "IN", Mapping: m}},
		Hooks{Drift: func(_, word string) { *drift = append(*drift, word) }})
	if err != nil {
		tb.Fatal(err)
	}
	return d, drift
}

func paths(tb testing.TB, texts ...string) mapping.Paths {
	tb.Helper()
	var list mapping.Paths
	for _, text := range texts {
		p, err := mapping.ParsePath(text)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func from(tb testing.TB, texts ...string) mapping.Field {
	tb.Helper()
	return mapping.Field{From: paths(tb, texts...)}
}

func TestMappedPaths(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body, query string
		path, want        string
	}{
		{"a field", `{"id":1,"a":"x"}`, "", "a", "x"},
		{"a pointer", `{"id":1,"a":{"b":[{"c":7},{"c":8.50}]}}`, "", "/a/b/1/c", "8.50"},
		{"escapes", `{"id":1,"a/b":{"m~n":"x"}}`, "", "/a~1b/m~0n", "x"},
		{"an empty name", `{"id":1,"":"x"}`, "", "/", "x"},
		{"beyond a list", `{"id":1,"a":["x"]}`, "", "/a/1", ""},
		{"not an index", `{"id":1,"a":["x"]}`, "", "/a/00", ""},
		{"into a text", `{"id":1,"a":"x"}`, "", "/a/b", ""},
		{"JSON in a text", `{"id":1,"a":"{\"b\":\"x\"}"}`, "", "/a/b", "x"},
		{"JSON in a form", `id=1&a=%7B%22b%22%3A%5B%22x%22%5D%7D`, "", "/a/b/0", "x"},
		{"text that only begins like JSON", `id=1&a=%7Bno`, "", "/a/b", ""},
		{"a form", `id=1&a=x+y`, "", "/a", "x y"},
		{"a query", "", "id=1&a=x", "a", "x"},
		{"a query beside a body", `{"id":1,"a":"body"}`, "a=query", "?a", "query"},
		{"a template", `{"id":1,"d":"2024-12-30","t":"12:43"}`, "", "{d} at {/t}", "2024-12-30 at 12:43"},
		{"a template without one of its fields", `{"id":1,"d":"2024-12-30"}`, "", "{d} at {/t}", ""},
		{"an object", `{"id":1,"a":{}}`, "", "a", ""},
		{"nothing", `{"id":1,"a":"NA"}`, "", "a", ""},
		{"nothing to this provider", `{"id":1,"a":"_NAME"}`, "", "a", ""},
		{"null", `{"id":1,"a":null}`, "", "a", ""},
		{"a number", `{"id":1,"a":9007199254740993}`, "", "a", "9007199254740993"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, _ := mappedDecoder(t, &mapping.Mapping{Nothing: []string{"_name"},
				Fields: mapping.Fields{CallID: from(t, "id"), Group: from(t, tt.path)}})
			del := &call.Delivery{Account: "mapped", Query: tt.query, Body: []byte(tt.body), ReceivedAt: testReceivedAt}
			d.Decode(del)
			if len(del.Items) != 1 || del.Items[0].Leg == nil || del.Items[0].Leg.Group != tt.want {
				t.Errorf("%s is %+v, want %q", tt.path, del.Items[0].Leg, tt.want)
			}
		})
	}
}

func TestMappedValues(t *testing.T) {
	t.Parallel()
	m := &mapping.Mapping{
		Fields: mapping.Fields{
			CallID:         from(t, "id", "uid"),
			CustomerNumber: mapping.Field{Inbound: paths(t, "from"), Outbound: paths(t, "to"), From: paths(t, "who")},
			Group:          mapping.Field{From: paths(t, "team"), Value: "Support"},
			StartedAt:      from(t, "start"),
			EndedAt:        from(t, "end"),
			WaitSeconds:    from(t, "wait"),
			TalkSeconds:    mapping.Field{From: paths(t, "talk"), Unit: mapping.Milliseconds},
			TotalSeconds:   mapping.Field{From: paths(t, "total"), Unit: mapping.Minutes},
		},
		Direction: &mapping.Directions{From: from(t, "dir"), Inbound: mapping.Words{"in*"}, Outbound: mapping.Words{"OUT"}},
		Outcome: &mapping.Outcomes{From: from(t, "end_state"), Answered: mapping.Words{"ok"}, Busy: mapping.Words{"engaged"},
			Otherwise: call.Missed},
		Times: mapping.Times{Formats: mapping.Formats{"02/01/2006 15:04:05", mapping.UnixMS, mapping.Auto}, Zone: "Europe/London"},
		Omit:  []string{"api_key"},
	}
	d, drift := mappedDecoder(t, m)
	items := decodeItems(t, d, "mapped", `{"uid":"u1","id":"none","dir":"INcoming","from":"09812345678","to":"0806286123","start":"30/12/2024 12:43:19",
		"end":1735562599000,"wait":"01:05","talk":40900,"total":"1.5","end_state":"Engaged","api_key":"s3cret"}`)
	wait, talk, total := 65, 40, 90
	want := &call.Leg{Account: "mapped", Provider: call.Mapped, Key: "u1", Direction: call.Inbound, Keys: []call.Key{{Kind: call.KeyCall, Value: "u1"}},
		Status: "Engaged", Outcome: call.Busy, CustomerNumber: "+919812345678", Group: "Support",
		StartedAt: time.Date(2024, 12, 30, 12, 43, 19, 0, time.UTC), EndedAt: time.Date(2024, 12, 30, 12, 43, 19, 0, time.UTC),
		WaitSeconds: &wait, TalkSeconds: &talk, TotalSeconds: &total}
	got := items[0].Leg
	if got == nil {
		t.Fatal(items[0].Error)
	}
	if _, kept := got.Attributes["api_key"]; kept || len(got.Attributes) != 11 {
		t.Errorf("kept are %v", got.Attributes)
	}
	got.Attributes = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leg (-want +got):\n%s", diff)
	}
	if len(*drift) != 0 {
		t.Errorf("drift: %v", *drift)
	}

	got = decodeItems(t, d, "mapped", `{"id":"2","dir":"sideways","who":"9812345678","from":"1","end_state":"exploded","talk":"-1","start":"yesterday"}`)[0].Leg
	if got.Direction != "" || got.CustomerNumber != "+919812345678" || got.Outcome != call.Missed || got.Status != "exploded" ||
		got.TalkSeconds != nil || !got.StartedAt.IsZero() {
		t.Errorf("leg: %+v", got)
	}
	if diff := cmp.Diff([]string{"sideways"}, *drift); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
}

func TestMappedEnvelopes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body, want string }{
		{"an object within", `{"account":"x","data":{"id":"1"}}`, "1 x"},
		{"a list within", `{"account":"x","data":[{"id":"1"},{"id":"2","account":"y"}]}`, "1 x, 2 y"},
		{"JSON in a form", `account=x&data=%5B%7B%22id%22%3A1%7D%2C%7B%22id%22%3A2%7D%5D`, "1 x, 2 x"},
		{"the second name", `{"account":"x","rows":[{"id":"1"}]}`, "1 x"},
		{"bare", `{"account":"x","id":"1"}`, "1 x"},
		{"lines", "{\"id\":1}\n{\"id\":2}\n", "1 , 2 "},
		{"not an object", `{"data":["x",{"id":"1"}]}`, "unreadable, 1 "},
		{"text", `hello`, "unreadable"},
		{"empty", ``, "ignored"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, _ := mappedDecoder(t, &mapping.Mapping{Reports: paths(t, "/data", "/rows"),
				Fields: mapping.Fields{CallID: from(t, "id"), Group: from(t, "account")}})
			var got []string
			for _, it := range decodeItems(t, d, "mapped", tt.body) {
				if it.Leg != nil {
					got = append(got, it.Leg.Key+" "+it.Leg.Group)
				} else {
					got = append(got, string(it.Outcome))
				}
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
		})
	}
}

func TestMappedRecordings(t *testing.T) {
	t.Parallel()
	m := &mapping.Mapping{
		Fields: mapping.Fields{CallID: from(t, "id")},
		Recordings: mapping.Recordings{
			{URL: paths(t, "url"), HTTPS: true, VoicemailWhen: mapping.Conditions{{Field: paths(t, "kind"), In: mapping.Words{"vm"}}}},
			{URL: paths(t, "https://example.org/audio/{sid}.mp3?of={who}&format=mp3"), When: mapping.Conditions{{Field: paths(t, "ready"), In: mapping.Words{"1"}}}},
		},
	}
	d, _ := mappedDecoder(t, m)
	for _, tt := range []struct {
		name, body string
		want       []call.Wanted
	}{
		{"a field", `{"id":1,"url":"http://Example.org/a.wav"}`, []call.Wanted{{Kind: call.Conversation, Source: "https://example.org/a.wav"}}},
		{"a signed address", `{"id":1,"url":"https://user:pass@example.org/a.wav?token=x&v=1"}`, []call.Wanted{{Kind: call.Conversation,
			Source: "https://example.org/a.wav?v=1", Location: "https://example.org/a.wav?token=x&v=1"}}},
		{"a voicemail", `{"id":1,"kind":"VM","url":"https://example.org/a.wav"}`, []call.Wanted{{Kind: call.VoicemailMessage, Source: "https://example.org/a.wav"}}},
		{"a template", `{"id":1,"ready":1,"sid":"RE 1/../x?y","who":"a&b=c"}`, []call.Wanted{{Kind: call.Conversation,
			Source: "https://example.org/audio/RE%201%2F..%2Fx%3Fy.mp3?of=a%26b%3Dc&format=mp3"}}},
		{"a template that lacks a field", `{"id":1,"ready":1,"sid":"RE1"}`, nil},
		{"not ready", `{"id":1,"ready":0,"sid":"RE1","who":"a"}`, nil},
		{"no URL", `{"id":1,"url":"a.wav"}`, nil},
		{"another scheme", `{"id":1,"url":"file:///etc/passwd"}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			leg := decodeItems(t, d, "mapped", tt.body)[0].Leg
			if diff := cmp.Diff(tt.want, leg.Recordings); diff != "" {
				t.Errorf("recordings (-want +got):\n%s", diff)
			}
			if voicemail := leg.LeftVoicemail; voicemail != (tt.name == "a voicemail") {
				t.Errorf("left a voicemail: %t", voicemail)
			}
		})
	}
}

// TestMappedBounds: reports beyond the bound, and what is too large to be kept
// with each of many, are not left out in silence; and what many paths lead
// through is read once.
func TestMappedBounds(t *testing.T) {
	t.Parallel()
	d, _ := mappedDecoder(t, &mapping.Mapping{Reports: paths(t, "/data"), Fields: mapping.Fields{CallID: from(t, "id")}})
	body := `{"note":"` + strings.Repeat("x", 500_000) + `","data":[` + strings.Repeat(`{"id":1},`, 20_000) + `{"id":2}]}`
	items := decodeItems(t, d, "mapped", body)
	if len(items) != maxItems || !strings.Contains(items[0].Error, "beside 10001 reports") ||
		items[1].Leg == nil || len(items[1].Leg.Attributes) != 1 {
		t.Errorf("%d items, the first %+v", len(items), items[0])
	}
	for n, want := range map[int]string{maxItems: "", maxItems + 1: "more than"} {
		items := decodeItems(t, d, "mapped", `{"data":[`+strings.Repeat(`{"id":1},`, n-1)+`{"id":2}]}`)
		if last := items[len(items)-1]; len(items) != maxItems || !strings.Contains(last.Error, want) || (want == "") != (last.Leg != nil) {
			t.Errorf("of %d reports the last is %+v", n, last)
		}
	}
	kept := 0
	line := `{"note":"` + strings.Repeat("x", 10_000) + `","data":[` + strings.Repeat(`{"id":1},`, 199) + `{"id":2}]}` + "\n"
	for _, it := range decodeItems(t, d, "mapped", strings.Repeat(line, 48)) {
		if it.Leg != nil {
			kept += len(it.Leg.Attributes["note"])
		}
	}
	if kept == 0 || kept > maxBeside {
		t.Errorf("%d bytes of what stands beside are kept", kept)
	}
	few := decodeItems(t, d, "mapped", `{"note":"x","data":[{"id":1},{"id":2}]}`)
	if len(few) != 2 || len(few[1].Leg.Attributes) != 2 {
		t.Errorf("items: %+v", few)
	}
	var other []string
	for i := range 400 {
		other = append(other, fmt.Sprintf("/deep/%d/x", i))
	}
	d, _ = mappedDecoder(t, &mapping.Mapping{Fields: mapping.Fields{CallID: from(t, "id"), Group: from(t, other...)}})
	deep := `{"id":1,"deep":"[` + strings.Repeat(`{\"y\":1},`, 60_000) + `1]"}`
	if leg := decodeItems(t, d, "mapped", deep)[0].Leg; leg == nil || leg.Group != "" {
		t.Errorf("leg: %+v", leg)
	}
}

// TestMappedOrder: in whatever order and number the events of a call come, and
// with whatever poorer ones among them, the call is the same.
func TestMappedOrder(t *testing.T) {
	t.Parallel()
	events := []string{
		"CallSid=CA1&CallStatus=ringing&Direction=inbound&From=%2B919812345678&To=%2B912235511457&Timestamp=Mon%2C+30+Dec+2024+07%3A13%3A00+%2B0000",
		"CallSid=CA1&CallStatus=completed&CallDuration=60&Direction=inbound&From=%2B919812345678&To=%2B912235511457&Timestamp=Mon%2C+30+Dec+2024+07%3A14%3A19+%2B0000",
		"CallSid=CA2&ParentCallSid=CA1&CallStatus=no-answer&Direction=outbound-dial&From=%2B912235511457&To=%2B917652081234&Timestamp=Mon%2C+30+Dec+2024+07%3A13%3A30+%2B0000",
		"CallSid=CA3&ParentCallSid=CA1&CallStatus=completed&CallDuration=40&Direction=outbound-dial&From=%2B912235511457&To=%2B917652089999&Timestamp=Mon%2C+30+Dec+2024+07%3A14%3A19+%2B0000",
		"CallSid=CA1&RecordingSid=RE1&RecordingStatus=completed&RecordingUrl=https%3A%2F%2Fapi.twilio.com%2FRE1&RecordingDuration=41&RecordingStartTime=Mon%2C+30+Dec+2024+07%3A13%3A38+%2B0000",
	}
	d, _ := mappedDecoder(t, shippedMapping(t, "twilio"))
	poorer := rapid.Custom(func(t *rapid.T) string {
		values, err := url.ParseQuery(rapid.SampledFrom(events[1:]).Draw(t, "event"))
		if err != nil {
			t.Fatal(err)
		}
		// What says whose report it is, and what about, is always there.
		for _, name := range rapid.SliceOf(rapid.SampledFrom([]string{"CallDuration", "Direction", "From", "To", "Timestamp", "RecordingUrl", "RecordingStartTime"})).Draw(t, "without") {
			values.Del(name)
		}
		return values.Encode()
	})
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.Permutation(append(rapid.SliceOf(poorer).Draw(t, "poorer"), events[1:]...)).Draw(t, "mixed")
		order = append(order, rapid.SliceOf(rapid.SampledFrom(events[1:])).Draw(t, "again")...)
		got := calls(t, d, "mapped", order...)
		if len(got) != 1 {
			t.Fatalf("%d calls", len(got))
		}
		c := got[0]
		if c.Key != "CA1" || c.Direction != call.Inbound || c.Outcome != call.Answered || c.CustomerNumber != "+919812345678" ||
			c.BusinessNumber != "+912235511457" || c.Agent.Number != "+917652089999" || c.LegsCount != 3 ||
			c.TalkSeconds == nil || *c.TalkSeconds != 40 || len(c.Offers) != 1 || c.Offers[0].Number != "+917652081234" ||
			!c.AnsweredAt.Equal(time.Date(2024, 12, 30, 7, 13, 39, 0, time.UTC)) || !c.StartedAt.Equal(time.Date(2024, 12, 30, 7, 13, 38, 0, time.UTC)) {
			t.Fatalf("the call is %+v", c)
		}
	})
	live := decodeItems(t, d, "mapped", events[0])[0].Live
	if live == nil || live.State != call.Ringing || !live.IsStart || live.Key.Value != "CA1" || live.CustomerNumber != "+919812345678" {
		t.Errorf("live call: %+v", live)
	}
}

// FuzzMapped: whatever comes, and whatever the mapping, what is made of it can
// be stored.
func FuzzMapped(f *testing.F) {
	f.Add("myoperator", "", "", []byte(`myoperator={"_ai":"1","_ld":[{"_rr":[{"_na":"x"}]}]}`))
	f.Add("ozonetel", "application/x-www-form-urlencoded", "", []byte(`data=%7B%22monitorUCID%22%3A%221%22%7D`))
	f.Add("twilio", "", "CallSid=CA1&RecordingStatus=completed&RecordingUrl=https://api.twilio.com/RE1", []byte{})
	f.Add("exotel", "application/json", "", []byte(`{"CallSid":"1","Legs":[{"OnCallDuration":41}],"Status":"completed"}`))
	f.Add("smartflo", "", "", []byte(`{"call_id":"1","answered_agent":{"name":"x"},"start_date":"2024-01-01","start_time":"10:00:00"}`))
	decoders := make(map[string]*Decoder)
	for _, name := range mapping.Shipped() {
		decoders[name], _ = mappedDecoder(f, shippedMapping(f, name))
	}
	f.Fuzz(func(t *testing.T, name, contentType, query string, body []byte) {
		d := decoders[name]
		if d == nil {
			d = decoders["myoperator"]
		}
		checkDecode(t, d, "mapped", contentType, query, body)
	})
}
