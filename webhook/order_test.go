package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestOrderCannotMatter: the reports of conversations, in any order, any number
// of times and with some of them poorer than others, make the same calls.
func TestOrderCannotMatter(t *testing.T) {
	t.Parallel()
	d := newTestDecoder(t)
	rapid.Check(t, func(t *rapid.T) {
		account, conversation, needed := "support", teleCMIConversation, teleCMINeeded
		if rapid.Bool().Draw(t, "callerdesk") {
			account, conversation, needed = "sales", callerDeskConversation, callerDeskNeeded
		}
		var reports []map[string]any
		for i := range rapid.IntRange(1, 4).Draw(t, "conversations") {
			reports = append(reports, conversation(t, i)...)
		}
		want := calls(t, d, account, texts(t, reports)...)

		more := slices.Clone(reports)
		for range rapid.IntRange(0, 6).Draw(t, "repeated") {
			more = append(more, impoverish(t, rapid.SampledFrom(reports).Draw(t, "which"), needed))
		}
		got := calls(t, d, account, texts(t, rapid.Permutation(more).Draw(t, "order"))...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func texts(t *rapid.T, reports []map[string]any) []string {
	list := make([]string, len(reports))
	for i, r := range reports {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = string(text)
	}
	return list
}

// The fields without which a report means something else.
var (
	teleCMINeeded    = []string{"cmiuuid", "type", "direction", "leg", "status", "user"}
	callerDeskNeeded = []string{"CallSid", "type", "Direction"}
)

// impoverish leaves out some fields.
func impoverish(t *rapid.T, report map[string]any, needed []string) map[string]any {
	poorer := make(map[string]any)
	names := make([]string, 0, len(report))
	for name := range report {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(needed, name) || rapid.Bool().Draw(t, name) {
			poorer[name] = report[name]
		}
	}
	return poorer
}

func teleCMIConversation(t *rapid.T, i int) []map[string]any {
	start := rapid.Int64Range(1.7e12, 1.8e12).Draw(t, "start")
	later := func(name string) int64 { return start + rapid.Int64Range(0, 100_000).Draw(t, name) }
	outcome := func(r map[string]any, name string) map[string]any {
		r["hangup_reason"] = rapid.SampledFrom([]string{"recv_bye", "sent_bye", "recv_cancel", "sent_reject", "busy"}).Draw(t, name)
		r["time"] = later(name + " time")
		if r["status"] = rapid.SampledFrom([]string{"answered", "missed"}).Draw(t, name+" status"); r["status"] == "answered" {
			r["answeredsec"] = rapid.IntRange(0, 600).Draw(t, name+" seconds")
			r["filename"] = fmt.Sprintf("%d737218351_2222223.mp3", later(name+" recording"))
		} else {
			r["waitedsec"] = rapid.IntRange(0, 600).Draw(t, name+" waited")
		}
		return r
	}
	number := rapid.Int64Range(919000000000, 919999999999).Draw(t, "number")
	if rapid.Bool().Draw(t, "outbound") {
		key := fmt.Sprintf("c%d", i)
		legs := []map[string]any{}
		for _, side := range []string{"a", "b"} {
			legs = append(legs, outcome(map[string]any{"type": "cdr", "direction": "outbound", "leg": side, "call_id": key,
				"cmiuuid": key + side, "to": number, "user": "202_2222223", "virtual_number": "918069123456", "appid": 2222223}, side))
		}
		return legs[:rapid.IntRange(1, 2).Draw(t, "legs")]
	}
	key := fmt.Sprintf("g%d", i)
	legs := []map[string]any{outcome(map[string]any{"type": "cdr", "direction": "inbound", "cmiuuid": key, "from": number,
		"virtual_number": 918069123456, "team": "Sales_2222223", "user": "201_2222223", "appid": 2222223}, "guest")}
	for j := range rapid.IntRange(0, 3).Draw(t, "offers") {
		legs = append(legs, map[string]any{"type": "cdr", "direction": "inbound", "leg": "b", "status": "missed", "appid": 2222223,
			"cmiuuid": fmt.Sprintf("%sb%d", key, j), "conversation_uuid": key, "user": fmt.Sprintf("20%d_2222223", j),
			"from": 918069123456, "time": later(fmt.Sprint("offer ", j))})
	}
	return legs
}

func callerDeskConversation(t *rapid.T, i int) []map[string]any {
	clock := func(name string, from, to int) string {
		return fmt.Sprintf("2024-12-30 12:%02d:%02d", rapid.IntRange(from, to).Draw(t, name), rapid.IntRange(0, 59).Draw(t, name))
	}
	r := map[string]any{"type": "call_report", "CallSid": fmt.Sprint(1586420216, ".", i),
		"Direction":    rapid.SampledFrom([]string{"IVR", "WEBOBD"}).Draw(t, "direction"),
		"Status":       rapid.SampledFrom([]string{"ANSWER", "NOANSWER", "CANCEL", "BUSY (17-agent)", "Flummoxed"}).Draw(t, "status"),
		"SourceNumber": "09812345678", "DialWhomNumber": "07652081234", "DestinationNumber": "1204567890",
		"StartTime": clock("start", 0, 9), "LegB_Start_time": clock("rang", 10, 19), "EndTime": clock("end", 30, 39),
		"TalkDuration": fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "talk")), "CallDuration": "600", "call_group": "Sales",
		"CallRecordingUrl": fmt.Sprintf("https://h/%d.wav?Expires=%d", i, rapid.IntRange(0, 9).Draw(t, "expires"))}
	if rapid.Bool().Draw(t, "picked") {
		r["LegB_Picked_time"] = clock("picked", 20, 29)
	}
	return []map[string]any{r}
}
