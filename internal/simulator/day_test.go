package simulator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"callvault/internal/simulator"

	"github.com/google/go-cmp/cmp"
)

func newDay(t *testing.T, options simulator.Options) *simulator.Day {
	t.Helper()
	if options.Date.IsZero() {
		options.Date = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	}
	day, err := simulator.NewDay(options)
	if err != nil {
		t.Fatal(err)
	}
	return day
}

func TestDayIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	first := newDay(t, simulator.Options{Seed: 7, Calls: 100, Later: 2})
	again := newDay(t, simulator.Options{Seed: 7, Calls: 100, Later: 2})
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("same seed, other day:\n%s", diff)
	}
	other := newDay(t, simulator.Options{Seed: 8, Calls: 100, Later: 2})
	if first.Conversations[0].Key == other.Conversations[0].Key {
		t.Error("another seed gives the same day")
	}
}

func TestDayHoldsWhatADayHolds(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("IST", 5*3600+1800)
	for seed := range uint64(5) {
		day := newDay(t, simulator.Options{Seed: seed, Later: 2})
		e := day.Expected
		if e.Calls != 300 || len(day.Conversations) != 300 {
			t.Fatalf("seed %d: %d calls expected, %d made", seed, e.Calls, len(day.Conversations))
		}
		if got := e.Reports + e.Live + e.Duplicates + e.NotCall; got != e.Deliveries || got != len(day.Events) {
			t.Errorf("seed %d: kinds of deliveries sum to %d of %d", seed, got, e.Deliveries)
		}
		if e.NeverAudio != 1 || e.Archived+1 != len(day.Recordings) {
			t.Errorf("seed %d: %d never audio, %d archived of %d", seed, e.NeverAudio, e.Archived, len(day.Recordings))
		}
		if e.Bytes < 10<<20 || e.Bytes > 150<<20 {
			t.Errorf("seed %d: recordings take %d bytes", seed, e.Bytes)
		}
		if e.Live < 50 || e.Duplicates < 5 || e.NotCall == 0 || e.Unnamed == 0 {
			t.Errorf("seed %d: something is missing: %+v", seed, e)
		}
		for _, kind := range []simulator.Kind{
			{"sales", "inbound", "answered"}, {"sales", "inbound", "missed"}, {"sales", "inbound", "abandoned"},
			{"sales", "outbound", "answered"}, {"sales", "outbound", "missed"},
			{"support", "inbound", "answered"}, {"support", "inbound", "missed"}, {"support", "inbound", "abandoned"},
			{"support", "inbound", "voicemail"}, {"support", "outbound", "answered"},
			{"support", "outbound", "missed"}, {"support", "outbound", "cancelled"},
		} {
			if e.Kinds[kind] == 0 {
				t.Errorf("seed %d: no call is %v", seed, kind)
			}
		}

		hours := make(map[int]int)
		keys := make(map[string]bool)
		callbacks, repeat := 0, make(map[string]int)
		for _, c := range day.Conversations {
			local := c.Started.In(zone)
			if local.YearDay() != 325 || local.Hour() < 8 || local.Hour() > 20 {
				t.Errorf("seed %d: call at %v", seed, local)
			}
			hours[local.Hour()]++
			if keys[c.Account+c.Key] {
				t.Errorf("seed %d: two calls are called %s", seed, c.Key)
			}
			keys[c.Account+c.Key] = true
			repeat[c.Customer]++
			if c.Callback {
				callbacks++
			}
			if c.Outcome == "answered" && (c.Talk < 10*time.Second || c.Talk > 12*time.Minute) {
				t.Errorf("seed %d: talk of %v", seed, c.Talk)
			}
		}
		if hours[11] < hours[13] || hours[16] < hours[18] {
			t.Errorf("seed %d: not busy around 11 and 16: %v", seed, hours)
		}
		if callbacks == 0 || len(repeat) == len(day.Conversations) {
			t.Errorf("seed %d: %d callbacks, %d customers", seed, callbacks, len(repeat))
		}
		sources := make(map[string]bool)
		for _, r := range day.Recordings {
			if sources[r.Source] {
				t.Errorf("seed %d: two recordings are called %s", seed, r.Source)
			}
			sources[r.Source] = true
		}
	}
}

func TestDayOfAnySize(t *testing.T) {
	t.Parallel()
	for _, calls := range []int{1, 2, 3, 10, 2000} {
		day := newDay(t, simulator.Options{Seed: 3, Calls: calls})
		if len(day.Conversations) != calls {
			t.Errorf("%d calls asked for, %d made", calls, len(day.Conversations))
		}
		for _, r := range day.Recordings {
			if r.Later != 0 {
				t.Errorf("%s comes later, though nothing should", r.Source)
			}
		}
	}
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	for name, options := range map[string]simulator.Options{
		"no date":          {},
		"fewer than none":  {Date: date, Calls: -1},
		"app id":           {Date: date, AppID: -1},
		"later":            {Date: date, Later: -1},
		"recording folder": {Date: date, RecordingURL: "http://127.0.0.1/recordings"},
		"recording URL":    {Date: date, RecordingURL: "127.0.0.1"},
	} {
		if day, err := simulator.NewDay(options); err == nil {
			t.Errorf("%s: a day of %d calls, want an error", name, len(day.Conversations))
		}
	}
}

// callerDeskFields are the documented fields of a call report.
var callerDeskFields = []string{
	"SourceNumber", "DestinationNumber", "DialWhomNumber", "CallDuration", "TalkDuration", "coins", "Status",
	"StartTime", "EndTime", "CallSid", "CallRecordingUrl", "Direction", "campid", "call_group", "receiver_name",
	"error_code", "LegA_Picked_time", "LegB_Start_time", "LegB_Picked_time",
}

func TestCallerDeskReports(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("IST", 5*3600+1800)
	day := newDay(t, simulator.Options{Seed: 1, RecordingURL: "http://127.0.0.1:9"})
	ways := make(map[string]int)
	for _, event := range day.Events {
		if event.Account != "sales" || event.Kind == simulator.NotACall {
			continue
		}
		way, payload := callerDeskPayload(t, event)
		truth := day.Conversations[event.Conversation]
		if payload["CallSid"] != truth.Key {
			t.Fatalf("CallSid %q of call %s", payload["CallSid"], truth.Key)
		}
		if event.Kind == simulator.Live {
			if payload["type"] != "live_call" || payload["EndTime"] != "" {
				t.Errorf("live event %v", payload)
			}
			continue
		}
		old := false
		for _, name := range callerDeskFields {
			if _, ok := payload[name]; !ok {
				old = true
				if way != "GET" {
					t.Errorf("%s report lacks %s", way, name)
				}
			}
		}
		if old {
			way = "old GET"
		}
		ways[way]++

		ended := strings.Replace(strings.Join(strings.Fields(payload["EndTime"]), " "), "n", " ", 1)
		if ended != payload["EndTime"] {
			ways["odd time"]++
		}
		at, err := time.ParseInLocation(time.DateTime, ended, zone)
		if err != nil || !at.Equal(truth.Ended) {
			t.Errorf("EndTime %q (%v), truly %v", payload["EndTime"], err, truth.Ended)
		}
		if event.At.Before(truth.Ended) {
			t.Errorf("call %s is reported before its end", truth.Key)
		}
		if talk, err := strconv.Atoi(payload["TalkDuration"]); err != nil || talk != int(truth.Talk.Seconds()) {
			t.Errorf("TalkDuration %q, truly %v", payload["TalkDuration"], truth.Talk)
		}
		wantURL := ""
		if truth.Recording >= 0 {
			wantURL = "http://127.0.0.1:9" + day.Recordings[truth.Recording].Source
		}
		if got := strings.TrimPrefix(payload["CallRecordingUrl"], "NA"); got != wantURL {
			t.Errorf("CallRecordingUrl %q, want %q", got, wantURL)
		}
		customer, direction := payload["SourceNumber"], "IVR"
		if truth.Direction == "outbound" {
			customer, direction = payload["DialWhomNumber"], "WEBOBD"
		}
		if !strings.HasSuffix(customer, truth.Customer[3:]) || payload["Direction"] != direction {
			t.Errorf("%s call of %q, truly %s of %s", payload["Direction"], customer, truth.Direction, truth.Customer)
		}
	}
	for _, way := range []string{"JSON", "form", "multipart", "GET", "old GET", "odd time"} {
		if ways[way] == 0 {
			t.Errorf("nothing was sent as %s: %v", way, ways)
		}
	}
}

// callerDeskPayload decodes an event with the standard library alone; all
// values must be strings.
func callerDeskPayload(t *testing.T, event simulator.Event) (way string, payload map[string]string) {
	t.Helper()
	values := func(text string) map[string]string {
		parsed, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		flat := make(map[string]string)
		for name := range parsed {
			flat[name] = parsed.Get(name)
		}
		return flat
	}
	if event.Method == http.MethodGet {
		return "GET", values(event.Query)
	}
	mediaType, parameters, err := mime.ParseMediaType(event.ContentType)
	if err != nil {
		t.Fatal(err)
	}
	switch mediaType {
	case "application/json":
		if err := json.Unmarshal(event.Body, &payload); err != nil {
			t.Fatalf("%s: %v", event.Body, err)
		}
		return "JSON", payload
	case "application/x-www-form-urlencoded":
		return "form", values(string(event.Body))
	default:
		payload = make(map[string]string)
		parts := multipart.NewReader(strings.NewReader(string(event.Body)), parameters["boundary"])
		for {
			part, err := parts.NextPart()
			if errors.Is(err, io.EOF) {
				return "multipart", payload
			}
			if err != nil {
				t.Fatal(err)
			}
			value, err := io.ReadAll(part)
			if err != nil {
				t.Fatal(err)
			}
			payload[part.FormName()] = string(value)
		}
	}
}

func TestTeleCMIReports(t *testing.T) {
	t.Parallel()
	fileName := regexp.MustCompile(`^[0-9]{13}[0-9_]*_2222223\.(mp3|wav)$`)
	day := newDay(t, simulator.Options{Seed: 1})
	legs := make(map[int]map[string]bool) // distinct legs of each conversation
	seen := make(map[string]int)
	for _, event := range day.Events {
		if event.Account != "support" || event.Kind == simulator.NotACall {
			continue
		}
		if event.Method != http.MethodPost || event.ContentType != "application/json" || event.Query != "" {
			t.Fatalf("sent as %s %s", event.Method, event.ContentType)
		}
		payload := make(map[string]any)
		decoder := json.NewDecoder(strings.NewReader(string(event.Body)))
		decoder.UseNumber()
		if err := decoder.Decode(&payload); err != nil {
			t.Fatalf("%s: %v", event.Body, err)
		}
		truth := day.Conversations[event.Conversation]
		key := payload["call_id"]
		if truth.Direction == "inbound" {
			if key = payload["conversation_uuid"]; key == nil {
				seen["no conversation_uuid"]++
				key = payload["cmiuuid"]
			}
		}
		if key != truth.Key {
			t.Errorf("report of call %v, truly %s", key, truth.Key)
		}
		if user, ok := payload["user"].(string); ok && !strings.HasSuffix(user, "_2222223") {
			t.Errorf("user %q", user)
		}
		if event.Kind == simulator.Live {
			seen[fmt.Sprint("live ", truth.Direction, payload["status"])]++
			if _, ok := payload["from"].(json.Number); ok || payload["type"] != "event" {
				t.Errorf("live event %s", event.Body)
			}
			continue
		}
		seen[fmt.Sprint(payload["direction"], payload["leg"], payload["status"])]++
		if legs[event.Conversation] == nil {
			legs[event.Conversation] = make(map[string]bool)
		}
		uuid, ok := payload["cmiuuid"].(string)
		if !ok {
			t.Fatalf("cmiuuid is %v", payload["cmiuuid"])
		}
		legs[event.Conversation][uuid] = true
		for _, name := range []string{"from", "to", "time", "answeredsec", "waitedsec", "appid"} {
			if value, sent := payload[name]; sent {
				if _, ok := value.(json.Number); !ok {
					t.Errorf("%s is %T in %s", name, value, event.Body)
				}
			}
		}
		for _, name := range []string{"custom", "extra_params"} {
			if text, _ := payload[name].(string); strings.HasPrefix(text, "{") && !json.Valid([]byte(text)) {
				t.Errorf("%s is %q", name, text)
			}
		}
		for _, name := range []string{"filename", "voicename"} {
			file, sent := payload[name].(string)
			if !sent {
				continue
			}
			seen[name]++
			if !fileName.MatchString(file) || day.Recordings[truth.Recording].Source != file {
				t.Errorf("%s is %q", name, file)
			}
		}
		if _, sent := payload["request_id"]; sent {
			seen["click to call"]++
		}
		if truth.Outcome == "answered" && payload["answeredsec"] != nil && payload["leg"] != "a" {
			if payload["time"] != json.Number(strconv.FormatInt(truth.Answered.UnixMilli(), 10)) ||
				payload["answeredsec"] != json.Number(strconv.Itoa(int(truth.Talk.Seconds()))) {
				t.Errorf("answered leg %s, truly at %d for %v", event.Body, truth.Answered.UnixMilli(), truth.Talk)
			}
		}
	}
	for i, distinct := range legs {
		if len(distinct) != day.Conversations[i].Legs {
			t.Errorf("call %s has %d legs, %d expected", day.Conversations[i].Key, len(distinct), day.Conversations[i].Legs)
		}
	}
	for _, shape := range []string{
		"inbound<nil>answered", "inbound<nil>missed", "inboundbmissed", "outboundaanswered", "outboundbanswered",
		"outboundamissed", "outboundbmissed", "filename", "voicename", "click to call", "no conversation_uuid",
		"live inboundwaiting", "live inboundstarted", "live inboundhangup", "live outboundstarted",
	} {
		if seen[shape] == 0 {
			t.Errorf("no report is %s: %v", shape, seen)
		}
	}
}

func TestOrderOfSending(t *testing.T) {
	t.Parallel()
	day := newDay(t, simulator.Options{Seed: 4})
	if !slices.IsSortedFunc(day.Events, func(x, y simulator.Event) int { return x.At.Compare(y.At) }) {
		t.Error("events are not sorted by time of sending")
	}
	sent := make(map[string]bool)
	late, swapped := 0, 0
	lastLeg := make(map[int]string)
	for _, event := range day.Events {
		content := event.Method + event.Query + event.ContentType + string(event.Body)
		if again := event.Kind == simulator.Duplicate; again != sent[content] {
			t.Errorf("%s was sent before: %v", event.Kind, sent[content])
		}
		sent[content] = true
		if event.Kind != simulator.Report {
			continue
		}
		truth := day.Conversations[event.Conversation]
		if !truth.Ended.IsZero() && event.At.Sub(truth.Ended) > 5*time.Minute {
			late++
		}
		var payload struct{ Direction, Leg string }
		if truth.Provider == "telecmi" {
			if err := json.Unmarshal(event.Body, &payload); err != nil {
				t.Fatal(err)
			}
			if payload.Direction == "outbound" && payload.Leg == "a" && lastLeg[event.Conversation] == "b" {
				swapped++
			}
			lastLeg[event.Conversation] = payload.Leg
		}
	}
	if late == 0 || swapped == 0 {
		t.Errorf("%d late reports and %d out of order, want some", late, swapped)
	}
}
