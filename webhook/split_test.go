package webhook

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSplit shows which reports are found in what shapes of requests.
func TestSplit(t *testing.T) {
	t.Parallel()
	form := "application/x-www-form-urlencoded"
	tests := []struct {
		name, contentType, query, body string
		want                           []string // reports as JSON, errors as !text
	}{
		{"object", "application/json", "", `{"CallSid": "1", "n": 12.50, "o": {"a": [1, 2]}}`,
			[]string{`{"CallSid":"1","n":12.50,"o":{"a":[1,2]}}`}},
		{"numbers as sent", "", "", `{"cmiuuid":"x","from":919812345678901234,"t":1e3}`,
			[]string{`{"cmiuuid":"x","from":919812345678901234,"t":1e3}`}},
		{"byte order mark", "application/json", "", "\ufeff{\"CallSid\":\"1\"}\r\n", []string{`{"CallSid":"1"}`}},
		{"wrong content type", form, "", ` {"CallSid":"1"}`, []string{`{"CallSid":"1"}`}},
		{"no content type", "", "", `CallSid=1&Status=NO+ANSWER`, []string{`{"CallSid":"1","Status":"NO ANSWER"}`}},
		{"form called JSON", "application/json", "", `CallSid=1`, []string{`{"CallSid":"1"}`}},
		{"array", "", "", `[{"CallSid":"1"},{"CallSid":"2"}]`, []string{`{"CallSid":"1"}`, `{"CallSid":"2"}`}},
		{"array with a bad element", "", "", `[{"CallSid":"1"},7]`,
			[]string{`{"CallSid":"1"}`, "!a report is expected to be an object, not 7"}},
		{"empty array", "", "", `[]`, nil},
		{"envelope with a count", "", "", `{"count":2,"code":200,"cdr":[{"cmiuuid":"1"},{"cmiuuid":"2"}]}`,
			[]string{`{"cmiuuid":"1"}`, `{"cmiuuid":"2"}`}},
		{"envelopes in each other", "", "", `{"payload":{"data":{"record":{"cmiuuid":"1"}}}}`, []string{`{"cmiuuid":"1"}`}},
		{"envelope that says what is inside", "", "", `{"type":"cdr","call":{"cmiuuid":"1"}}`,
			[]string{`{"cmiuuid":"1","type":"cdr"}`}},
		{"envelope of text", "", "", `{"body":"{\"cmiuuid\":\"1\"}"}`, []string{`{"cmiuuid":"1"}`}},
		{"a report's own record", "", "", `{"cmiuuid":"1","record":true,"data":{"x":1}}`,
			[]string{`{"cmiuuid":"1","data":{"x":1},"record":true}`}},
		{"lines", "", "", "{\"CallSid\":\"1\"}\n\n{\"CallSid\":\"2\"}\r\n", []string{`{"CallSid":"1"}`, `{"CallSid":"2"}`}},
		{"lines, one of them bad", "", "", "{\"CallSid\":\"1\"}\n{\"CallSid\":\n{\"CallSid\":\"3\"}",
			[]string{`{"CallSid":"1"}`, "!at byte 43: the JSON ends in the middle", `{"CallSid":"3"}`}},
		{"lines, one of them something else", "", "", "{\"CallSid\":\"1\"}\nhello\n{\"CallSid\":\"3\"},\n",
			[]string{`{"CallSid":"1"}`, "!at byte 17: invalid character 'h' looking for beginning of value", `{"CallSid":"3"}`}},
		{"torn list", "", "", "[{\"CallSid\":\"1\"},\n {\"CallSid\":\"2\"},\n {\"CallSid\":\n",
			[]string{"!at byte 48: the JSON ends in the middle", `{"CallSid":"2"}`, "!at byte 48: the JSON ends in the middle"}},
		{"documents after each other", "", "", `{"CallSid":"1"}{"CallSid":"2"}`, []string{`{"CallSid":"1"}`, `{"CallSid":"2"}`}},
		{"something after the JSON", "", "", `{"CallSid":"1"} <br>`, []string{"!at byte 16: there is something else after the JSON"}},
		{"torn", "", "", `{"CallSid":"1","Sta`, []string{"!at byte 19: the JSON ends in the middle"}},
		{"duplicated name", "", "", `{"CallSid":"1","a":1,"a":2}`, []string{`{"CallSid":"1","a":2}`}},
		{"duplicated field", form, "", `CallSid=1&CallSid=2`, []string{`{"CallSid":"2"}`}},
		{"JSON in a form field", form, "", `myoperator=%7B%22CallSid%22%3A%221%22%7D&x=1`, []string{`{"CallSid":"1"}`}},
		{"JSON in a query parameter", "", `data=%7B%22cmiuuid%22%3A%221%22%7D`, "", []string{`{"cmiuuid":"1"}`}},
		{"JSON as a form's name", form, "", `%7B%22CallSid%22%3A%221%3D2%22%7D=`, []string{`{"CallSid":"1=2"}`}},
		{"JSON as a query", "", `{%22cmiuuid%22:%221%22}`, "", []string{`{"cmiuuid":"1"}`}},
		{"JSON in a field of a report", form, "", `cmiuuid=1&custom={"a":1}`, []string{`{"cmiuuid":"1","custom":"{\"a\":1}"}`}},
		{"query", "", "CallSid=1&Start=2020-04-09n13:46:56", "", []string{`{"CallSid":"1","Start":"2020-04-09n13:46:56"}`}},
		{"query behind a query", "", "key=SECRET?SourceNumber=98&CallSid=1", "",
			[]string{`{"CallSid":"1","SourceNumber":"98","key":"SECRET"}`}},
		{"URL with a query in a query", "", "CallSid=1&CallRecordingUrl=https://h/x.wav?file=1", "",
			[]string{`{"CallRecordingUrl":"https://h/x.wav?file=1","CallSid":"1"}`}},
		{"body before query", "application/json", "CallSid=1", `{"CallSid":"2"}`, []string{`{"CallSid":"2"}`}},
		{"bad escape", form, "", `CallSid=1&x=100%`, []string{`{"CallSid":"1","x":"100%"}`}},
		{"not UTF-8", "", "", "{\"CallSid\":\"1\",\"n\":\"\xff\"}", []string{`{"CallSid":"1","n":"` + "\ufffd" + `"}`}},
		{"escaped, not UTF-8", form, "", `CallSid=1&n=%FF`, []string{`{"CallSid":"1","n":"` + "\ufffd" + `"}`}},
		{"control characters", "", "", `{"CallSid":"1","a\u0000b":"c\u0000d"}`, []string{`{"CallSid":"1","a` + "\ufffd" + `b":"c\u0000d"}`}},
		{"multipart", "multipart/form-data; boundary=xx", "",
			"--xx\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\n1\r\n--xx--\r\n", []string{`{"CallSid":"1"}`}},
		{"multipart without saying so", "", "",
			"--yy\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\n1\r\n--yy--\r\n", []string{`{"CallSid":"1"}`}},
		{"torn multipart", "multipart/form-data; boundary=xx", "",
			"--xx\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\n1\r\n--xx\r\nContent-Disposition: form-data; name=\"Sta\"\r\n\r\nAN", []string{`{"CallSid":"1"}`, "!multipart: unexpected EOF"}},
		{"nothing", "", "", " ", nil},
		{"empty object", "", "", `{}`, nil},
		{"empty object and a query", "application/json", "CallSid=1", `{}`, []string{`{"CallSid":"1"}`}},
		{"prose", "text/plain", "", "hello", []string{"!the body is neither JSON nor a form"}},
		{"markup", "text/html", "", `<a href="x">`, []string{"!the body is neither JSON nor a form"}},
		{"too deep", "", "", strings.Repeat("[", 33) + strings.Repeat("]", 33), []string{"!nested deeper than 32 levels"}},
		{"too many fields", "", strings.Repeat("a=1&", 1001) + "b=1", "", []string{`{"a":"1"}`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range split(tt.contentType, tt.query, []byte(tt.body)) {
				if p.err != "" {
					got = append(got, "!"+p.err)
					continue
				}
				text := []string{}
				for _, name := range sortedNames(p.fields) {
					text = append(text, string(quote(name))+":"+string(p.fields[name]))
				}
				got = append(got, "{"+strings.Join(text, ",")+"}")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func sortedNames(f fields) []string {
	return slices.Sorted(maps.Keys(f))
}

// TestSplitBounds: what is too much is told, and never takes long.
func TestSplitBounds(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 12_000 {
		fmt.Fprintf(&many, `{"CallSid":"%d"}`+"\n", i)
	}
	parts := split("", "", []byte(many.String()))
	if len(parts) != maxItems || parts[maxItems-1].err == "" || parts[maxItems-2].err != "" {
		t.Errorf("%d parts, last %+v", len(parts), parts[len(parts)-1])
	}
	for _, line := range []string{"{\n", "[\n", "{\"a\":\n", "[[[\n"} {
		parts := split("", "", []byte(strings.Repeat(line, maxBody/len(line))))
		if len(parts) == 0 || len(parts) > maxErrors || parts[0].err == "" {
			t.Errorf("%q: %d parts", line, len(parts))
		}
	}
	for _, element := range []string{"{}", "[]", "1", `{"CallSid":"1"}`} {
		parts := split("", "", []byte("["+strings.Repeat(element+",", 100_000)+element+"]"))
		if len(parts) > maxItems {
			t.Errorf("%s 100,000 times: %d parts", element, len(parts))
		}
	}
	enveloped := `{"type":"` + strings.Repeat("x", maxText) + `","direction":"in","data":[{"CallSid":1},{"CallSid":2}]}`
	for _, p := range split("", "", []byte(enveloped)) {
		if p.fields.has("type") || !p.fields.has("direction") {
			t.Errorf("a report was given what is no word: %v", sortedNames(p.fields))
		}
	}
	wide := make(map[string]int)
	for i := range maxFields + 1 {
		wide[fmt.Sprint(i)] = i
	}
	text, err := json.Marshal(wide)
	if err != nil {
		t.Fatal(err)
	}
	if parts := split("", "", text); len(parts) != 1 || parts[0].err == "" {
		t.Errorf("a report of %d fields was taken", len(wide))
	}
}

// FuzzMembers: members reads as encoding/json does.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, ` { "a" : [1,{"b":"]}\\\""}] , "c":null,"c" :-1.5e3} `,
		`{"\u0061":"x","a":true}`, `{"":{}}`, `{"a":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want map[string]json.RawMessage
		raw = []byte(strings.TrimLeft(string(raw), " \t\r\n"))
		if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &want) != nil {
			return
		}
		got := members(raw)
		if diff := cmp.Diff(want, map[string]json.RawMessage(got)); diff != "" && strings.ToValidUTF8(string(raw), "") == string(raw) {
			t.Errorf("%s: %s", raw, diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("application/json", "", []byte(`{"count":1,"cdr":[{"cmiuuid":"1","type":"cdr"}]}`))
	f.Add("application/x-www-form-urlencoded", "", []byte(`data=%7B%22CallSid%22%3A1%7D`))
	f.Add("multipart/form-data; boundary=xx", "", []byte("--xx\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\n1\r\n--xx--\r\n"))
	f.Add("", "key=SECRET?SourceNumber=98&CallSid=1", []byte(nil))
	f.Add("", "", []byte("{\"CallSid\":1}\n{\n[1,{}]"))
	d := newTestDecoder(f)
	f.Fuzz(func(t *testing.T, contentType, query string, body []byte) {
		for _, account := range []string{"sales", "support"} {
			checkDecode(t, d, account, contentType, query, body)
		}
	})
}
