package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/internal/config"
)

const (
	mobileToken = "mobile-token-0123456789"
	twilioToken = "the-auth-token-of-twilio"
	publicURL   = "https://calls.example.org"
)

// twilioPost posts what Twilio would, signed with a key.
func twilioPost(t *testing.T, base, key string, form url.Values) int {
	t.Helper()
	const path = "/webhook/mobile/" + mobileToken
	signed := publicURL + path
	for _, name := range slices.Sorted(maps.Keys(form)) {
		signed += name + form.Get(name)
	}
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(signed))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Error(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}

// TestMappedProvider takes Twilio's signed callbacks, the recording's before and
// after the call's, and fetches with basic credentials into the vault.
func TestMappedProvider(t *testing.T) {
	t.Parallel()
	audio := anySize()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "AC1" || password != twilioToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		audio.ServeHTTP(w, r)
	}))
	t.Cleanup(provider.Close)
	in := installation{data: t.TempDir(), provider: provider}
	// A mapping of one's own is begun with one that is shipped. This provider
	// has no certificate.
	own := strings.Replace(command(t, "", "config", "mapping", "twilio").stdout, "https: true", "https: false", 1)
	file := filepath.Join(in.data, "own.yaml")
	host := strings.TrimPrefix(provider.URL, "http://")
	text := fmt.Sprintf(`
public_url: %s
archive: {first_try_after: 0s, give_up_after: 30s}
accounts:
  - name: mobile
    provider: mapped
    token: %s
    mapping: %s
    signature_key: %s
    recording_user: AC1
    recording_password: %s
    recording_hosts: ["%s"]
    allow_private_networks: true
`, publicURL, mobileToken, file, twilioToken, twilioToken, host)
	for name, content := range map[string]string{file: own, filepath.Join(in.data, config.FileName): text} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := in.start(t)
	began := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	after := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	report := func(sid string) url.Values {
		return url.Values{"CallSid": {sid}, "CallStatus": {"completed"}, "Direction": {"inbound"}, "From": {"+919812345678"}, "To": {"+912235511457"},
			"CallDuration": {"40"}, "Timestamp": {after(49).Format(time.RFC1123Z)}}
	}
	recording := func(sid string) url.Values {
		return url.Values{"CallSid": {sid}, "RecordingSid": {"RE" + sid}, "RecordingStatus": {"completed"}, "RecordingDuration": {"40"},
			"RecordingUrl": {provider.URL + "/incoming/12_2024/" + sid + ".wav"}, "RecordingStartTime": {after(9).Format(time.RFC1123Z)}}
	}
	// A call that rings is live until it is reported, and is known to have begun
	// then.
	ringing := report("CA1")
	ringing.Set("CallStatus", "ringing")
	ringing.Set("Timestamp", began.Format(time.RFC1123Z))
	if status := twilioPost(t, p.url, twilioToken, ringing); status != http.StatusOK {
		t.Errorf("live event: %d", status)
	}
	token := commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "compliance", "--data", in.data)["token"]
	type live struct {
		Calls []struct {
			CallKey string `json:"call_key"`
			State   string
		}
	}
	if l := get[live](t, p.url+"/api/v1/live", token); len(l.Calls) != 1 || l.Calls[0].CallKey != "CA1" || l.Calls[0].State != "ringing" {
		t.Errorf("live calls are %+v", l)
	}
	for i, form := range []url.Values{report("CA1"), recording("CA1"), recording("CA2"), report("CA2"), report("CA2")} {
		if status := twilioPost(t, p.url, twilioToken, form); status != http.StatusOK {
			t.Errorf("delivery %d: %d", i, status)
		}
	}
	if status := twilioPost(t, p.url, "a guess", report("CA3")); status != http.StatusForbidden {
		t.Errorf("forged: %d", status)
	}
	if l := get[live](t, p.url+"/api/v1/live", token); len(l.Calls) != 0 {
		t.Errorf("still live: %+v", l)
	}
	type page struct {
		Calls []struct {
			CallKey    string `json:"call_key"`
			Provider   string
			Outcome    string
			StartedAt  string `json:"started_at"`
			Talk       int    `json:"talk_seconds"`
			Legs       int    `json:"legs_count"`
			Recordings []struct {
				State, Source string
				ObjectKey     string `json:"object_key"`
			}
		}
	}
	var got page
	eventually(t, "both recordings are archived", func() bool {
		got = get[page](t, p.url+"/api/v1/calls?recording=archived", token)
		return len(got.Calls) == 2
	})
	for _, c := range got.Calls {
		started := map[string]string{"CA1": began.Format(time.RFC3339), "CA2": after(9).Format(time.RFC3339)}[c.CallKey]
		if c.Provider != "mapped" || c.Outcome != "answered" || c.StartedAt != started || c.Talk != 40 || c.Legs != 1 || len(c.Recordings) != 1 {
			t.Errorf("call is %+v", c)
			continue
		}
		kept, err := os.ReadFile(filepath.Join(in.data, "recordings", c.Recordings[0].ObjectKey))
		if err != nil || !bytes.HasPrefix(kept, []byte("RIFF")) {
			t.Errorf("%s: %.4q, %v", c.CallKey, kept, err)
		}
	}
	if all := get[page](t, p.url+"/api/v1/calls", token); len(all.Calls) != 2 {
		t.Errorf("%d calls", len(all.Calls))
	}
	p.stop(syscall.SIGTERM)
	if log := p.log(); strings.Contains(log, twilioToken) || !strings.Contains(log, "signature does not hold") {
		t.Errorf("log:\n%s", log)
	}
	for _, name := range []string{"callvault.db", "callvault.db-wal"} {
		data, err := os.ReadFile(filepath.Join(in.data, name))
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		if bytes.Contains(data, []byte(twilioToken)) {
			t.Errorf("%s holds the secret", name)
		}
	}
}

// TestSample looks at reports in files, of a mapped and of a known provider.
func TestSample(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	text := fmt.Sprintf(`
accounts:
  - {name: mobile, provider: mapped, token: %s, mapping: ozonetel}
  - {name: sales, provider: callerdesk, token: %s}
  - {name: support, provider: telecmi, token: %s, app_id: "2222223", secret: %s}
`, mobileToken, salesToken, supportToken, teleSecret)
	if err := os.WriteFile(filepath.Join(data, config.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, account, sample string
		status                int
		want                  []string
	}{
		{"a form with JSON", "mobile", `data={"monitorUCID":"9","Type":"inbound","CallerID":"919812345678","Status":"Vanished","StartTime":"soon","Duration":"00:00:23","AudioFile":"http://recordings.kookoo.in/x.mp3","Shoe":{"Size":"44"}}`,
			exitDone, []string{"call_id 9 from monitorUCID", "customer_number +919812345678 from CallerID", "talk_seconds 23 from Duration",
				"started_at (cannot be read: soon) from StartTime", "recording https://recordings.kookoo.in/x.mp3 from AudioFile",
				"answered, inbound, talked 23 s", "/Shoe/Size", "Vanished"}},
		{"a query from a log", "mobile", `?monitorUCID=9&Type=inbound`, exitDone, []string{"call_id 9 from monitorUCID", "direction inbound from Type (inbound)"}},
		{"not a report", "mobile", `{"hello":"world"}`, exitWrong, []string{"cannot be read: a report without a call id (monitorUCID)"}},
		{"CallerDesk", "sales", `{"CallSid":"1.2","Status":"ANSWER","Direction":"IVR","SourceNumber":"09812345678","TalkDuration":"40","EndTime":"2026-11-20 14:33:34","error_code":"0"}`,
			exitDone, []string{"call_id 1.2 from CallSid", "customer_number +919812345678 from SourceNumber", "outcome answered from Status", "/error_code"}},
		{"TeleCMI", "support", `{"virtual_number":918069123456,"type":"cdr","direction":"inbound","cmiuuid":"u-1","conversation_uuid":"u-1","user":"204_2222223","status":"answered",
			"from":919812345678,"time":1634720920615,"answeredsec":11,"record":true,"filename":"1634720915260_2222223.mp3","ivr_name":"x"}`, exitDone,
			[]string{"call_id u-1 from conversation_uuid", "agent_id 204 from user", "talk_seconds 11 from answeredsec", "answered_at 2021-10-20T09:08:40Z from status, time",
				"recording 1634720915260_2222223.mp3 from filename", "/ivr_name"}},
		{"CallerDesk, live", "sales", `{"CallSid":"1.2","Status":"Picked","Direction":"IVR","type":"live_call"}`,
			exitDone, []string{"about a call in progress", "state answered from Status"}},
		{"CallerDesk, something else", "sales", `{"member":"x"}`, exitDone, []string{"ignored: no CallSid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := command(t, tt.sample, "config", "check", "--sample", "-", "--account", tt.account, "--data", data)
			plain := strings.Join(strings.Fields(got.stdout), " ")
			if got.status != tt.status {
				t.Errorf("status %d\n%s", got.status, got.stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(plain, want) {
					t.Errorf("%q is not said:\n%s", want, got.stdout)
				}
			}
		})
	}
	file := filepath.Join(data, "sample.json")
	if err := os.WriteFile(file, []byte(`{"data":[{"monitorUCID":"9"},{"monitorUCID":"10","Status":"Answered"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	result := commandJSON[explained](t, "config", "check", "--sample", file, "--account", "mobile", "--data", data)
	if len(result.Reports) != 2 || result.Reports[1].What != "call" || result.Reports[1].Call.Outcome != "answered" || result.Reports[1].Facts[0].Value != "10" {
		t.Errorf("result is %+v", result)
	}
	if got := command(t, "", "config", "check", "--sample", file, "--mapping", "ozonetel"); got.status != exitDone || !strings.Contains(got.stdout, "monitorUCID") {
		t.Errorf("without an account: %+v", got)
	}
	if got := command(t, "", "config", "check", "--sample", file, "--mapping", "ozone"); got.status != exitWrong || !strings.Contains(got.stderr, "is neither one of") {
		t.Errorf("without a mapping: %+v", got)
	}
	for _, args := range [][]string{{"config", "check", "--account", "mobile"}, {"config", "check", "--mapping", "twilio"}, {"config", "check", "--sample", file},
		{"config", "check", "--sample", file, "--account", "mobile", "--mapping", "twilio"}} {
		if got := command(t, "", append(args, "--data", data)...); got.status != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if got := command(t, "", "config", "check", "--sample", file, "--account", "nobody", "--data", data); got.status != exitWrong {
		t.Errorf("unknown account: %+v", got)
	}
	list := commandJSON[map[string][]string](t, "config", "mapping")["mappings"]
	if !slices.Contains(list, "twilio") {
		t.Errorf("mappings are %v", list)
	}
	if got := command(t, "", "config", "mapping", "twillio"); got.status != exitWrong || !strings.Contains(got.stderr, "did you mean twilio?") {
		t.Errorf("no such mapping: %+v", got)
	}
}

// TestMappedHook: who starts Callvault is told what to paste where.
func TestMappedHook(t *testing.T) {
	t.Parallel()
	m, err := config.ReadMapping("exotel")
	if err != nil {
		t.Fatal(err)
	}
	got := hooks(&config.Config{Accounts: []config.Account{{Name: "mobile", Provider: config.Mapped, Token: mobileToken,
		Mapping: config.Mapping{Name: "exotel", Mapping: m}}}}, publicURL)
	if len(got) != 1 || got[0].URL != publicURL+"/webhook/mobile/"+mobileToken || !strings.Contains(got[0].Where, "Exotel, StatusCallback and Passthru") {
		t.Errorf("hooks are %+v", got)
	}
}

// TestWorkedExample does what docs/providers.md tells people to do.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "### Mapping a new provider")
	var sample, mapping string
	for block := range strings.SplitSeq(example, "```") {
		if json, found := strings.CutPrefix(block, "json\n"); found {
			sample += json
		}
		if yaml, found := strings.CutPrefix(block, "yaml\nreports:"); found {
			mapping = "reports:" + yaml
		}
	}
	file := filepath.Join(t.TempDir(), "acme.yaml")
	if err := os.WriteFile(file, []byte(mapping), 0o600); err != nil {
		t.Fatal(err)
	}
	got := command(t, sample, "config", "check", "--sample", "-", "--mapping", file)
	plain := strings.Join(strings.Fields(got.stdout), " ")
	for _, want := range []string{"customer_number +919812345678 from caller", "agent_number +917652081234 from /agent/phone",
		"started_at 2024-12-30T07:13:19Z from begin", "talk_seconds 40 from talk_ms", "answered, inbound",
		"recording https://media.acme.example/v1/recordings/r-17/audio"} {
		if !strings.Contains(plain, want) {
			t.Errorf("%q is not said (status %d):\n%s%s", want, got.status, got.stdout, got.stderr)
		}
	}
}
