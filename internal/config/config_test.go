package config

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// environment is an Options.Environ.
func environment(pairs ...string) func() []string {
	return func() []string { return pairs }
}

// writeFile writes a file into a folder of the test's own.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// load loads a configuration that must be valid.
func load(t *testing.T, text string, environ ...string) *Config {
	t.Helper()
	c, err := Load(Options{
		File:    writeFile(t, FileName, text),
		Environ: environment(environ...),
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// faultsOf loads a configuration that must not be valid, and returns its faults
// without the folder of the file.
func faultsOf(t *testing.T, text string, environ ...string) []string {
	t.Helper()
	file := writeFile(t, FileName, text)
	_, err := Load(Options{File: file, Environ: environment(environ...)})
	if _, ok := errors.AsType[Faults](err); !ok {
		t.Fatalf("Load: %v, want faults", err)
	}
	return strings.Split(strings.ReplaceAll(err.Error(), file, FileName), "\n")
}

// contractYAML has every section of the file, as the documentation shows it.
const contractYAML = `
listen: 127.0.0.1:8080
public_url: https://calls.example.org
data: ./callvault-data
tls: {cert_file: "", key_file: ""}
database: ""
trusted_proxies: []
vault:
  directory: ""
  s3:
    endpoint: https://minio.example.org:9000
    bucket: recordings
    region: us-east-1
    access_key: callvault
    secret_key: minio-secret
    path_style: true
    ca_file: ""
    create_bucket: true
    object_lock: off
    encryption: off
retention:
  recordings:
    - match: {direction: inbound, group: Sales}
      keep: 7y
    - keep: 3y
  calls: 8y
  deliveries: 2y
  reports: 8y
  allow_over_10y: false
agents:
  - {name: Asha Rao, group: Billing, telecmi: ["203"], numbers: ["+919311122233"], names: [Asha R.]}
alerts: {recipients: [], webhook: ""}
audit: {key: ""}
accounts:
  - name: sales
    provider: callerdesk
    token: 0123456789abcdef
    time_zone: Asia/Kolkata
    region: IN
    allow_from: [203.0.113.0/24, 2001:db8::1]
    recording_hosts: ["*.callerdesk.io"]
    allow_private_networks: false
    authcode: the-authcode
    api_url: https://app.callerdesk.io/api
  - name: support
    provider: telecmi
    token: fedcba9876543210
    app_id: "2222223"
    secret: the-secret
    api_url: https://rest.telecmi.com/v2
archive:
  workers: 8
  per_host: 4
  max_size: 512MiB
  first_try_after: 10s
  give_up_after: 72h
reports:
  - name: daily
    schedule: "0 7 * * *"
    time_zone: Asia/Kolkata
    period: day
    match: {}
    formats: [xlsx, csv]
    service_level: {formula: answered_in_time_of_offered, within: 20s, short_abandon: 5s}
    mask_numbers: false
    recipients: [ops@example.org]
mail:
  smtp: smtp://user:pass%20word@mail.example.org:587
  from: Callvault <reports@example.org>
`

func sameZone() cmp.Option {
	return cmp.Comparer(func(a, b Zone) bool { return a.String() == b.String() })
}

func TestLoadContract(t *testing.T) {
	t.Parallel()
	got := load(t, contractYAML)
	want := Default()
	want.PublicURL = "https://calls.example.org"
	want.TrustedProxies = []netip.Prefix{}
	want.Vault.S3 = &S3{
		Endpoint: "https://minio.example.org:9000", Bucket: "recordings",
		Region: "us-east-1", AccessKey: "callvault", SecretKey: "minio-secret",
		PathStyle: true, CreateBucket: true, ObjectLock: "off", Encryption: "off",
	}
	want.Retention.Recordings = []RetentionRule{
		{Match: Match{Direction: "inbound", Group: "Sales"}, Keep: Term{Years: 7}},
		{Keep: Term{Years: 3}},
	}
	want.Retention.Calls, want.Retention.Deliveries, want.Retention.Reports = Term{Years: 8}, Term{Years: 2}, Term{Years: 8}
	want.Agents = []Agent{{Name: "Asha Rao", Group: "Billing",
		TeleCMI: []string{"203"}, Numbers: []string{"+919311122233"}, Names: []string{"Asha R."}}}
	want.Alerts.Recipients = []string{}
	rate, watch := Rate{PerSecond: 5000, Burst: 10000}, Watch{Silence: true, Recordings: true}
	hourly := Backfill{Every: time.Hour, Window: 48 * time.Hour}
	want.Accounts = []Account{{
		Name: "sales", Provider: CallerDesk, Token: "0123456789abcdef",
		TimeZone: defaultZone(), Region: "IN",
		AllowFrom: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"),
			netip.MustParsePrefix("2001:db8::1/128")},
		RecordingHosts: []string{"*.callerdesk.io"}, OutgoingCustomer: "dial_whom",
		AuthCode: "the-authcode", APIURL: "https://app.callerdesk.io/api", Rate: rate, Watch: watch,
		Backfill: hourly,
	}, {
		Name: "support", Provider: TeleCMI, Token: "fedcba9876543210",
		TimeZone: defaultZone(), Region: "IN",
		RecordingHosts: []string{"rest.telecmi.com"}, AppID: "2222223",
		Secret: "the-secret", APIURL: "https://rest.telecmi.com/v2", Rate: rate, Watch: watch,
		Backfill: hourly,
	}}
	want.Reports = []Report{{
		Name: "daily", Schedule: "0 7 * * *", TimeZone: defaultZone(),
		Period: PeriodDay, Formats: []Format{FormatXLSX, FormatCSV},
		ServiceLevel: ServiceLevel{Formula: OfOffered, Within: 20 * time.Second,
			ShortAbandon: 5 * time.Second},
		ReviseMailOver: 0.05,
		Recipients:     []Recipient{{Address: "ops@example.org"}},
	}}
	want.Mail.SMTP = "smtp://user:pass%20word@mail.example.org:587"
	want.Mail.From = "Callvault <reports@example.org>"
	want.File = got.File
	if diff := cmp.Diff(want, *got, cmp.Exporter(func(reflect.Type) bool {
		return true
	}), sameZone(),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestLoadNothing(t *testing.T) {
	t.Parallel()
	want := Default()
	want.Data = t.TempDir()
	for name, text := range map[string]string{
		"no file": "-", "empty": "", "comments": "# nothing\n", "null": "~\n",
		"empty keys": "accounts:\nvault:\nmail:\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := want
			want.Data = t.TempDir()
			if text != "-" {
				want.File = filepath.Join(want.Data, FileName)
				if err := os.WriteFile(want.File, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Load(Options{Data: want.Data})
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			if diff := cmp.Diff(want, *got, sameZone()); diff != "" {
				t.Errorf("Load (-want +got):\n%s", diff)
			}
		})
	}
}

// The file is chosen, and its values overridden, in the documented order.
func TestLoadPrecedence(t *testing.T) {
	t.Parallel()
	flagFile := writeFile(t, "flag.yaml", "listen: :1\n")
	variableFile := writeFile(t, "variable.yaml", "listen: :2\n")
	data := t.TempDir()
	dataFile := filepath.Join(data, FileName)
	if err := os.WriteFile(dataFile, []byte("listen: :3\ndata: /elsewhere\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	config := "CALLVAULT_CONFIG=" + variableFile
	tests := []struct {
		name               string
		options            Options
		environ            []string
		file, listen, data string
	}{
		{"flag", Options{File: flagFile}, []string{config},
			flagFile, ":1", "./callvault-data"},
		{"variable", Options{Data: data}, []string{config}, variableFile, ":2", data},
		{"data flag", Options{Data: data}, nil, dataFile, ":3", data},
		{"data variable", Options{}, []string{"CALLVAULT_DATA=" + data},
			dataFile, ":3", data},
		{"file's data", Options{File: dataFile}, nil, dataFile, ":3", "/elsewhere"},
		{"listen variable", Options{File: flagFile},
			[]string{"CALLVAULT_LISTEN=:4", "LISTEN=:9", "CALLVAULT_DATABASE="},
			flagFile, ":4", "./callvault-data"},
		{"listen flag", Options{File: flagFile, Listen: ":5"},
			[]string{"CALLVAULT_LISTEN=:4"}, flagFile, ":5", "./callvault-data"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.options.Environ = environment(test.environ...)
			c, err := Load(test.options)
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			if c.File != test.file || c.Listen != test.listen || c.Data != test.data {
				t.Errorf("file, listen, data = %q, %q, %q; want %q, %q, %q", c.File,
					c.Listen, c.Data, test.file, test.listen, test.data)
			}
		})
	}
}

// TestLoginsInTheClear: a server that more than this machine reaches without TLS
// is told of.
func TestLoginsInTheClear(t *testing.T) {
	t.Parallel()
	const address = "public_url: https://calls.example.org\n"
	for yaml, told := range map[string]bool{
		"listen: 127.0.0.1:8080\n":                              false,
		"listen: localhost:8080\n":                              false,
		"listen: '[::1]:8080'\n":                                false,
		"listen: :8080\n":                                       true,
		"listen: 192.0.2.1:8080\n":                              true,
		"listen: '[::]:8080'\n":                                 true,
		"listen: calls.example.org:8080\n":                      true,
		"listen: :8080\n" + address:                             false,
		"listen: :8080\npublic_url: http://calls.example.org\n": true,
	} {
		c := load(t, yaml)
		if got := slices.ContainsFunc(c.Notices, func(n Fault) bool { return n.Key == "public_url" && strings.Contains(n.Message, "in the clear") }); got != told {
			t.Errorf("%q: notices are %v", yaml, c.Notices)
		}
	}
}

func TestLoadNoSuchFile(t *testing.T) {
	t.Parallel()
	_, err := Load(Options{File: filepath.Join(t.TempDir(), "none.yaml")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v, want that the file does not exist", err)
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	c := load(t, Example())
	want := Default()
	got := *c
	// Keys that have a default show it.
	got.File, got.Notices, got.Accounts, got.Reports = "", nil, nil, nil
	got.TrustedProxies, got.Alerts.Recipients = nil, nil
	if diff := cmp.Diff(want, got, sameZone()); diff != "" {
		t.Errorf("example is not the defaults (-default +example):\n%s", diff)
	}
	for i, provider := range []Provider{CallerDesk, TeleCMI} {
		a := Account{Provider: provider}
		a.setDefaults()
		a.complete()
		if c.Accounts[i].Rate != a.Rate || c.Accounts[i].APIURL != a.APIURL ||
			c.Accounts[i].OutgoingCustomer != a.OutgoingCustomer {
			t.Errorf("accounts[%d] does not show the defaults", i)
		}
	}
	var notices strings.Builder
	for _, notice := range c.Notices {
		notices.WriteString(notice.String() + "\n")
	}
	if got := strings.Count(notices.String(), "which everybody can read"); got != 2 {
		t.Errorf("%d notices of example tokens, want 2:\n%s", got, &notices)
	}
}

// allKeys are the paths of all keys, [] for every entry of a list.
func allKeys(t reflect.Type, at string) []string {
	var keys []string
	for _, k := range keysOf(t) {
		at := join(at, k.name)
		keys = append(keys, at)
		inner := k.field.Type
		for !k.file && !isScalar(inner) && inner.Kind() != reflect.Struct {
			if inner.Kind() == reflect.Slice {
				at += "[]"
			}
			inner = inner.Elem()
		}
		if !k.file && !isScalar(inner) {
			keys = append(keys, allKeys(inner, at)...)
		}
	}
	return keys
}

func nodeKeys(n *yaml.Node, at string, into map[string]bool) {
	into[at] = true
	for i, child := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			nodeKeys(child, at+"[]", into)
		case i%2 == 1:
			nodeKeys(child, join(at, n.Content[i-1].Value), into)
		}
	}
}

func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	all := regexp.MustCompile(`(?m)^( *)#(\S)`).ReplaceAllString(Example(), "$1$2")
	var document yaml.Node
	if err := yaml.Load([]byte(all), &document); err != nil {
		t.Fatalf("example with all its lines in force: %v", err)
	}
	found := make(map[string]bool)
	nodeKeys(document.Content[0], "", found)
	for _, key := range allKeys(reflect.TypeFor[Config](), "") {
		if !found[key] {
			t.Errorf("%s is not in config.example.yaml", key)
		}
	}
}

func TestDocumentationHasEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range allKeys(reflect.TypeFor[Config](), "") {
		if strings.Contains(string(text), "`"+key+"`") {
			continue
		}
		t.Errorf("`%s` is not in docs/configuration.md", key)
	}
}

func TestPrintMasksSecrets(t *testing.T) {
	t.Parallel()
	c := load(t, contractYAML,
		"CALLVAULT_DATABASE=postgres://vault:dsn-secret@db/calls?password=dsn-query")
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"minio-secret", "0123456789abcdef",
		"the-authcode", "the-secret", "pass%20word", "dsn-secret", "dsn-query"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("Print shows %q", secret)
		}
	}
	golden, err := os.ReadFile("testdata/print.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), out.String()); diff != "" {
		t.Errorf("Print (-golden +got):\n%s", diff)
	}
}

func TestWriteFirst(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "new", "data")
	agents := []Agent{{Name: `دیپا "D" नायर`, Group: "Sales: 1", TeleCMI: []string{"205", "206"}, Numbers: []string{"+919845011223"}}}
	c, err := WriteFirst(Options{Data: data, Listen: "127.0.0.1:0"}, agents)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(data, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600", info.Mode().Perm())
	}
	sales, ok := c.Account("sales")
	if !ok || sales.Provider != CallerDesk {
		t.Errorf("account sales = %v, %v", sales, ok)
	}
	support, ok := c.Account("support")
	if !ok || support.Provider != TeleCMI {
		t.Errorf("account support = %v, %v", support, ok)
	}
	if len(sales.Token) < 32 || len(support.Token) < 32 ||
		sales.Token == support.Token {
		t.Errorf("tokens have %d and %d characters, want two of 32 or more",
			len(sales.Token), len(support.Token))
	}
	if _, ok := c.Report("daily"); !ok {
		t.Error("there is no daily report")
	}
	if c.Listen != "127.0.0.1:0" {
		t.Errorf("listen = %q, want the flag's", c.Listen)
	}
	if diff := cmp.Diff(agents, c.Agents); diff != "" {
		t.Errorf("agents (-given +read): %s", diff)
	}
	if c, err := WriteFirst(Options{Data: filepath.Join(data, "of nobody")}, nil); err != nil || len(c.Agents) != 0 {
		t.Errorf("without agents: %v, %v", c, err)
	}
	if _, err := WriteFirst(Options{Data: data}, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second WriteFirst: %v, want that it exists", err)
	}
	again, err := Load(Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if account, _ := again.Account("sales"); account.Token != sales.Token {
		t.Error("the token changed")
	}
}
