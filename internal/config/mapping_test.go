package config

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/mapping"
)

func TestShippedMappings(t *testing.T) {
	t.Parallel()
	for _, name := range mapping.Shipped() {
		m, err := ReadMapping(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Description == "" || m.Fields.CallID.IsZero() || len(m.Recordings) == 0 {
			t.Errorf("%s says nothing: %+v", name, m)
		}
		// Its hosts are those of the account, and are looked at as such.
		a := load(t, mappedAccount+"    mapping: "+name+"\n").Accounts[0]
		if diff := cmp.Diff(m.RecordingHosts, a.RecordingHosts); diff != "" || len(a.RecordingHosts) == 0 {
			t.Errorf("%s: hosts (-mapping +account):\n%s", name, diff)
		}
	}
}

const mappedAccount = `
public_url: https://calls.example.org
accounts:
  - name: mobile
    provider: mapped
    token: mobile-token-0123456789
`

func TestMappingIsNamed(t *testing.T) {
	t.Parallel()
	a := load(t, mappedAccount+"    mapping: twilio\n    signature_key: k\n    recording_user: AC1\n    recording_password: p\n").Accounts[0]
	if m := a.Mapping; m.Name != "twilio" || m.Signature.Scheme != mapping.Twilio || a.APIURL != "" {
		t.Errorf("account is %+v", a)
	}
	if diff := cmp.Diff([]string{"api.twilio.com"}, a.RecordingHosts); diff != "" {
		t.Errorf("recording_hosts (-want +got):\n%s", diff)
	}
	a = load(t, strings.Replace(mappedAccount, "mapped", "mapped\n    recording_hosts: [example.org]", 1), "CALLVAULT_ACCOUNTS_MOBILE_MAPPING=twilio").Accounts[0]
	if a.Mapping.Mapping == nil || a.RecordingHosts[0] != "example.org" {
		t.Errorf("account is %+v", a)
	}
	file := writeFile(t, "acme.yaml", "fields: {call_id: [a, /b/0]}\nrecordings: url\n")
	a = load(t, mappedAccount+"    mapping: "+file+"\n").Accounts[0]
	if m := a.Mapping; m.Fields.CallID.From.String() != "a, /b/0" || m.Recordings[0].URL.String() != "url" {
		t.Errorf("mapping is %+v", m)
	}
}

func TestMappingIsInline(t *testing.T) {
	t.Parallel()
	c := load(t, mappedAccount+`    mapping:
      fields:
        call_id: id
        customer_number: {inbound: From, outbound: [To, /to]}
      events:
        - {is: ignored, when: {field: x, present: false}}
        - is: live
          when: [{field: x, in: a}, {field: [y, z], not_in: [b, c]}]
      outcome: {from: s, answered: ok}
      signature: {header: X-S, signed: "{timestamp}.{body}", timestamp_header: X-T, timestamp_prefix: t=, window: 90s}
`)
	m := c.Accounts[0].Mapping
	if len(m.Events) != 2 || len(m.Events[1].When) != 2 || m.Events[1].When[1].NotIn[1] != "c" || m.Signature.Window.Seconds() != 90 {
		t.Errorf("mapping is %+v", m.Mapping)
	}
	// What is printed can be read again, and is the same.
	var printed strings.Builder
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	again := load(t, strings.ReplaceAll(printed.String(), mask, "0123456789abcdef"))
	if diff := cmp.Diff(m.Mapping, again.Accounts[0].Mapping.Mapping, cmp.Comparer(func(a, b mapping.Path) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("printed and read again (-before +after):\n%s\n%s", diff, &printed)
	}
}

func TestMappingFaults(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "acme.yaml", `reports: ""
feilds: {}
events:
  - {is: phone, when: {field: a}}
  - {is: call}
fields:
  leg_id: /a~2
  started_at: {from: b, unit: seconds}
  talk_seconds: {from: c, unit: hours}
direction: {inbound: [a, A]}
outcome: {from: d, otherwise: lost}
times: {formats: [auto, hh:mm], zone: India}
recordings: ["https://{host}/x", "https://example.org/{x}?api_key=s3cret", "{unclosed"]
signature: {header: "X Y", hash: md5, signed: "{timestamp}", timestamp_prefix: t=, window: 48h}
`)
	got := faultsOf(t, mappedAccount+"    mapping: "+file+"\n    api_url: https://example.org\n    recording_user: u:v\n"+
		"    recording_headers: [{name: Host, value: x}, {name: X-Key}]\n")
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], file, "acme.yaml")
	}
	want := strings.Split(strings.TrimSpace(`
acme.yaml:1: accounts[0].mapping.reports[0]: a path must not be empty
acme.yaml:2: accounts[0].mapping.feilds: unknown key; did you mean fields?
acme.yaml:4: accounts[0].mapping.events[0].is: "phone" must be one of call, live, recording, ignored
acme.yaml:4: accounts[0].mapping.events[0].when[0]: must have one of in, not_in and present
acme.yaml:5: accounts[0].mapping.events[1].when: must be given; for all reports there is otherwise
acme.yaml:6: accounts[0].mapping.fields.call_id: must be given: without it nothing can be joined to a call
acme.yaml:7: accounts[0].mapping.fields.leg_id.from[0]: "/a~2" is not a JSON pointer: ~ is written ~0, / in a name ~1
acme.yaml:8: accounts[0].mapping.fields.started_at.unit: is for durations only
acme.yaml:9: accounts[0].mapping.fields.talk_seconds.unit: "hours" must be one of seconds, minutes, milliseconds
acme.yaml:10: accounts[0].mapping.direction.from: must be given
acme.yaml:10: accounts[0].mapping.direction.inbound[1]: "A" is already one of inbound
acme.yaml:11: accounts[0].mapping.outcome: must have words for at least one of abandoned, answered, busy, cancelled, failed, missed, rejected, unknown, voicemail
acme.yaml:11: accounts[0].mapping.outcome.otherwise: "lost" must be one of answered, missed, abandoned, busy, rejected, cancelled, failed, voicemail, unknown
acme.yaml:12: accounts[0].mapping.times.formats[1]: "hh:mm" is neither auto, unix, unix_ms nor a layout that writes 2 January 2006, 15:04:05 with its date, hour and minute
acme.yaml:12: accounts[0].mapping.times.zone: "India" is not a time zone such as Asia/Kolkata or UTC
acme.yaml:13: accounts[0].mapping.recordings[0].url[0]: must begin with https:// and a whole host: only what follows may be taken from a report
acme.yaml:13: accounts[0].mapping.recordings[1].url[0]: api_key looks like a secret, which would be kept with the recording; it belongs into the account's recording_query
acme.yaml:13: accounts[0].mapping.recordings[2].url[0]: "{unclosed": each { must be closed by a } and hold a path
acme.yaml:14: accounts[0].mapping.signature.hash: "md5" must be one of sha1, sha256, sha512
acme.yaml:14: accounts[0].mapping.signature.header: must be the name of a header
acme.yaml:14: accounts[0].mapping.signature.signed: must hold {body}, once
acme.yaml:14: accounts[0].mapping.signature.timestamp_prefix: must be given with timestamp_header
acme.yaml:14: accounts[0].mapping.signature.window: must be given with timestamp_header
callvault.yaml:4: accounts[0].recording_password: must be given with recording_user
callvault.yaml:8: accounts[0].api_url: is not for accounts of mapped, which has no API
callvault.yaml:10: accounts[0].recording_headers[0].name: Host is not for credentials
callvault.yaml:10: accounts[0].recording_headers[1].value: must be given
`), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	for text, want := range map[string]string{
		mappedAccount + "    mapping: twillio\n":     `did you mean twilio?`,
		mappedAccount + "    mapping: ./none.yaml\n": "no such file",
		mappedAccount: "mapping: must be given",
		mappedAccount + "    mapping: [twilio]\n":                                                                                      "must be a single value",
		mappedAccount + "    mapping: ozonetel\n    signature_key: k\n":                                                                "the mapping has no signature",
		strings.Replace(mappedAccount, "public_url: https://calls.example.org", "", 1) + "    mapping: twilio\n    signature_key: k\n": "needs public_url",
		strings.Replace(mappedAccount, "mapped", "callerdesk", 1) + "    mapping: twilio\n    recording_user: x\n":                     "is for accounts of mapped only",
	} {
		if got := strings.Join(faultsOf(t, text), "\n"); !strings.Contains(got, want) {
			t.Errorf("%s\ngives %q, want %q", text, got, want)
		}
	}
}

// TestDocumentationHasEveryMappingKey: docs/providers.md names all keys.
func TestDocumentationHasEveryMappingKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	var walk func(t reflect.Type, at string)
	walk = func(t reflect.Type, at string) {
		for _, k := range keysOf(t) {
			at, inner := join(at, k.name), k.field.Type
			keys = append(keys, at)
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Slice && !isScalar(inner.Elem()) {
				at, inner = at+"[]", inner.Elem()
			}
			if inner.Kind() == reflect.Struct && !isScalar(inner) && inner != reflect.TypeFor[mapping.Field]() &&
				inner != reflect.TypeFor[mapping.Condition]() {
				walk(inner, at)
			}
		}
	}
	walk(reflect.TypeFor[mapping.Mapping](), "")
	walk(reflect.TypeFor[mapping.Field](), "")
	walk(reflect.TypeFor[mapping.Condition](), "")
	for _, key := range keys {
		if !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("`%s` is not in docs/providers.md", key)
		}
	}
}
