package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// All faults are told at once, in the order of the file, then by variable.
func TestLoadAllFaults(t *testing.T) {
	t.Parallel()
	got := faultsOf(t, `lissten: 127.0.0.1:8080
listen: nonsense
public_url: ftp://calls.example.org
tls: {cert_file: cert.pem}
database: mysql://root:hunter2@db/x
trusted_proxies: [10.0.0.0/33]
vault:
  directory: /srv/recordings
  s3:
    endpoint: https://minio/path
    bucket: Recordings
    secret_key: abc
    object_lock: legal
    encryption: "sse-kms:"
retention:
  recordings:
    - keep: 7y
    - {match: {direction: inward}, keep: 20y}
    - match: {account: sale}
  calls: 5y
agents:
  - {name: Asha, numbers: ["98123"], telecmi: ["203_2222223"]}
  - {name: Asha, telecmi: "203", names: [asha, ""]}
alerts: {recipients: [a@example.org, nobody, A@example.org], webhook: http://hooks.example.org/hunter2}
accounts:
  - name: Sales
    provider: callerdesk
    token: short
    time_zone: Asia/Calcuta
    region: XX
    allow_from: [everywhere]
    recording_hosts: ["*.com", "127.0.0.1", "http://x"]
    app_id: "22"
    api_url: http://app.callerdesk.io/api
  - name: support
    provider: telecmy
    token: 0123456789abcdef
  - name: support
    provider: mapped
    token: 0123456789abcdef
    rate: {per_second: 0, burst: many}
    watch: {silence: perhaps, holidays: [2026-12-25, Diwali]}
  - provider: telecmi
    token: has a space in it
    secret: abc
archive:
  workers: 0
  max_size: 6GiB
  first_try_after: 1
  give_up_after: 0s
reports:
  - name: daily
    schedule: "0 7 * *"
    period: year
    match: {account: support}
    formats: [pdf, csv, csv]
    service_level: {formula: x, within: 2h}
    mask_numbers: maybe
    recipients: [nobody]
  - name: yearly
    schedule: "0 0 31 2 *"
    formats: []
  - name: zoned
    schedule: TZ=UTC
  - name: often
    schedule: "@every 1h"
    permitted_hours: [{campaign: x, hours: [sat 19:00-09:00]}, {agent: Asha}, {hours: ["mon 9-5"]}, {hours: [daily 09:00-10:00]}]
mail:
  smtp: http://user:hunter2@mail.example.org
  on_uncertain: again
  attachment_limit: 1GB
`, "CALLVAULT_ARCHIVE_PER_HOST=none", "CALLVAULT_ACCOUNTS_SUPPORTED_TOKEN=x",
		"CALLVAULT_MAIL_FROM=nobody", "CALLVAULT_DATA_BASE=x")
	want := strings.Split(strings.TrimSpace(`
callvault.yaml:1: lissten: unknown key; did you mean listen?
callvault.yaml:2: listen: must be host:port, such as 127.0.0.1:8080 or :8080
callvault.yaml:3: public_url: must start with https:// (or http://)
callvault.yaml:4: tls.key_file: must be given with tls.cert_file
callvault.yaml:5: database: must start with postgres:// (or be empty for SQLite in the data folder)
callvault.yaml:6: trusted_proxies[0]: "10.0.0.0/33" is not a network such as 203.0.113.0/24
callvault.yaml:7: vault: directory and s3 cannot both be given
callvault.yaml:9: vault.s3.access_key: must be given
callvault.yaml:10: vault.s3.endpoint: must be host and port only; the bucket has its own key
callvault.yaml:11: vault.s3.bucket: "Recordings" is not a bucket name (3 to 63 of a-z, 0-9, - and .)
callvault.yaml:13: vault.s3.object_lock: "legal" must be one of off, governance, compliance
callvault.yaml:14: vault.s3.encryption: must be off, sse-s3 or sse-kms:KEYID
callvault.yaml:18: retention.recordings[1]: is never reached: retention.recordings[0] matches every call
callvault.yaml:18: retention.recordings[1].keep: 20y is over ten years; if it is meant, set retention.allow_over_10y
callvault.yaml:18: retention.recordings[1].match.direction: "inward" must be one of inbound, outbound
callvault.yaml:19: retention.recordings[2]: is never reached: retention.recordings[0] matches every call
callvault.yaml:19: retention.recordings[2].keep: must be given, such as 7y or forever
callvault.yaml:19: retention.recordings[2].match.account: "sale" must be one of Sales, support; did you mean Sales?
callvault.yaml:20: retention.calls: 5y is shorter than the audio's 7y (retention.recordings[0])
callvault.yaml:20: retention.calls: 5y is shorter than the audio's 20y (retention.recordings[1])
callvault.yaml:22: agents[0].numbers[0]: "98123" is not a number such as +919311122233
callvault.yaml:22: agents[0].telecmi[0]: "203_2222223" must be without the app id, as in 203
callvault.yaml:23: agents[1].name: "Asha" is already agents[0].name
callvault.yaml:23: agents[1].names[0]: "asha" is already agents[0].name
callvault.yaml:23: agents[1].names[1]: must not be empty
callvault.yaml:23: agents[1].telecmi: must be a list, such as [a, b]
callvault.yaml:24: alerts.recipients[1]: "nobody" is not a mail address
callvault.yaml:24: alerts.recipients[2]: "a@example.org" is already alerts.recipients[0]
callvault.yaml:24: alerts.webhook: must be https (http only on this machine)
callvault.yaml:26: accounts[0].name: "Sales" may only hold a-z, 0-9, - and _, at most 40, and begins with a letter or digit
callvault.yaml:28: accounts[0].token: must be at least 16 characters
callvault.yaml:29: accounts[0].time_zone: "Asia/Calcuta" is not a time zone such as Asia/Kolkata or UTC
callvault.yaml:30: accounts[0].region: "XX" is not a country such as IN
callvault.yaml:31: accounts[0].allow_from[0]: "everywhere" is not a network such as 203.0.113.0/24
callvault.yaml:32: accounts[0].recording_hosts[0]: "*.com" is too wide: name the domain of one company
callvault.yaml:32: accounts[0].recording_hosts[1]: "127.0.0.1" is a private address (allowed only with allow_private_networks)
callvault.yaml:32: accounts[0].recording_hosts[2]: "http://x" must be a host alone, without http:// or https://
callvault.yaml:33: accounts[0].app_id: is for accounts of telecmi only
callvault.yaml:34: accounts[0].api_url: must be https (http only with allow_private_networks)
callvault.yaml:36: accounts[1].provider: "telecmy" must be one of callerdesk, telecmi, mapped; did you mean telecmi?
callvault.yaml:38: accounts[2].mapping: must be given: one of exotel, myoperator, ozonetel, plivo, smartflo, twilio, a file, or the mapping itself
callvault.yaml:38: accounts[2].name: "support" is already accounts[1].name
callvault.yaml:40: accounts[2].token: must differ from accounts[1].token
callvault.yaml:41: accounts[2].rate.burst: "many" is not a whole number
callvault.yaml:41: accounts[2].rate.per_second: must be between 1 and 1000000
callvault.yaml:42: accounts[2].watch.holidays[1]: "Diwali" is not a date such as 2026-12-25
callvault.yaml:42: accounts[2].watch.silence: "perhaps" is neither true nor false
callvault.yaml:43: accounts[3].app_id: must be given with secret
callvault.yaml:43: accounts[3].name: must be given
callvault.yaml:44: accounts[3].token: may only hold A-Z, a-z, 0-9, - . _ and ~
callvault.yaml:47: archive.workers: must be between 1 and 256
callvault.yaml:48: archive.max_size: must be between 1KiB and 5GiB
callvault.yaml:49: archive.first_try_after: "1" is not a duration such as 10s, 15m or 72h
callvault.yaml:50: archive.give_up_after: must be between 1s and 2160h
callvault.yaml:50: archive.give_up_after: must be longer than archive.first_try_after (10s)
callvault.yaml:53: reports[0].schedule: "0 7 * *" is not a cron expression such as "0 7 * * *": expected exactly 5 fields, found 4: [0 7 * *]
callvault.yaml:54: reports[0].period: "year" must be one of day, week, month
callvault.yaml:56: reports[0].formats[0]: "pdf" must be one of xlsx, csv
callvault.yaml:56: reports[0].formats[2]: "csv" is already reports[0].formats[1]
callvault.yaml:57: reports[0].service_level.formula: "x" must be one of answered_in_time_of_offered, answered_in_time_of_answered, answered_in_time_of_answered_and_abandoned
callvault.yaml:57: reports[0].service_level.within: must be between 1s and 1h
callvault.yaml:58: reports[0].mask_numbers: "maybe" is neither true nor false
callvault.yaml:59: reports[0].recipients[0]: "nobody" is not a mail address
callvault.yaml:61: reports[1].schedule: "0 0 31 2 *" never comes
callvault.yaml:62: reports[1].formats: must name xlsx, csv or both
callvault.yaml:64: reports[2].schedule: must not name a time zone; use time_zone
callvault.yaml:66: reports[3].schedule: must be times of day: @every would count from the program's start
callvault.yaml:67: reports[3].permitted_hours[0].hours[0]: "sat 19:00-09:00" must end after they begin; what goes over midnight is two: one until 24:00, one from 00:00
callvault.yaml:67: reports[3].permitted_hours[1].hours: must name hours, such as ["mon-fri 09:00-19:00"]
callvault.yaml:67: reports[3].permitted_hours[2].hours[0]: "mon 9-5" are not hours such as "mon-fri 09:00-19:00" or "daily 09:00-19:00"
callvault.yaml:67: reports[3].permitted_hours[3]: is never reached: permitted_hours[2] matches the same calls
callvault.yaml:69: mail.smtp: must start with smtp:// or smtps://
callvault.yaml:70: mail.on_uncertain: "again" must be one of hold, resend
callvault.yaml:71: mail.attachment_limit: must be between 0 and 100MB
CALLVAULT_ACCOUNTS_SUPPORTED_TOKEN: unknown variable; did you mean CALLVAULT_ACCOUNTS_SUPPORT_TOKEN?
CALLVAULT_ARCHIVE_PER_HOST: archive.per_host: "none" is not a whole number
CALLVAULT_DATA_BASE: unknown variable; did you mean CALLVAULT_DATABASE?
CALLVAULT_MAIL_FROM: mail.from: "nobody" is not a mail address
`), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// What is wrong with the shape of the file.
func TestLoadMalformed(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"not YAML", "listen: :1\n\tdata: x\n",
			"callvault.yaml:2: is not YAML: found a tab character that violates indentation"},
		{"not UTF-8", "listen: \x80\n",
			"callvault.yaml: is not YAML: invalid leading UTF-8 octet (value: 128)"},
		{"a list", "- a\n", "callvault.yaml:1: the file: must be keys and values"},
		{"two documents", "listen: :1\n---\nlisten: :2\n",
			"callvault.yaml:2: holds a second YAML document; only one is read"},
		{"twice", "listen: :1\ndata: x\nlisten: :2\n",
			"callvault.yaml:3: listen: is given twice, first in line 1"},
		{"secret that looks like an alias", "database: *hunter2\n",
			"callvault.yaml:1: is not YAML: a value that begins with * must be quoted"},
		{"anchor", "listen: &x :1\n", "callvault.yaml:1: listen: anchors and " +
			"aliases (& and *) are not supported; quote a value that begins with one"},
		{"merge", "tls:\n  <<: {cert_file: x}\n",
			"callvault.yaml:2: tls.<<: unknown key"},
		{"mapping for value", "listen: {host: x}\n",
			"callvault.yaml:1: listen: must be a single value"},
		{"value for mapping", "vault: s3\n",
			"callvault.yaml:1: vault: must be keys and values"},
		{"empty entry", "accounts:\n  -\n",
			"callvault.yaml:2: accounts[0]: must not be empty"},
		{"secret in two ways", "database: postgres://h/d\ndatabase_file: x\n",
			"callvault.yaml:2: database_file: cannot be given together with database"},
		{"no sender", "mail: {smtp: 'smtp://mail.example.org'}\n",
			"callvault.yaml:1: mail.from: must be given with mail.smtp"},
		{"password that cannot be parsed", "database: 'postgres://u:%hunter2@h/d'\n",
			"callvault.yaml:1: database: is not a URL (special characters in user " +
				"name and password must be percent-encoded)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := faultsOf(t, test.text)
			if got[0] != test.want {
				t.Errorf("fault %q, want %q", got[0], test.want)
			}
			if strings.Contains(strings.Join(got, "\n"), "hunter2") {
				t.Errorf("a fault repeats a secret: %q", got)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	c := load(t, `
vault: {s3: }
accounts:
  - {name: sales-in, provider: callerdesk, token: 0123456789abcdef}
  - {name: sales, provider: telecmi, token: fedcba9876543210}
reports:
  - {name: daily}
`,
		"CALLVAULT_VAULT_S3_ENDPOINT=http://minio:9000/",
		"CALLVAULT_VAULT_S3_BUCKET=calls",
		"CALLVAULT_VAULT_S3_ACCESS_KEY=key",
		"CALLVAULT_VAULT_S3_SECRET_KEY=*secret",
		"CALLVAULT_VAULT_S3_PATH_STYLE=false",
		"CALLVAULT_TRUSTED_PROXIES=10.0.0.1, 10.1.0.0/16",
		"CALLVAULT_ACCOUNTS_SALES_IN_TOKEN=token-from-the-environment",
		"CALLVAULT_ACCOUNTS_1_SECRET=null",
		"CALLVAULT_ACCOUNTS_SALES_APP_ID=0022",
		"CALLVAULT_ACCOUNTS_2_NAME=added",
		"CALLVAULT_ACCOUNTS_2_PROVIDER=telecmi",
		"CALLVAULT_ACCOUNTS_2_TOKEN=token-of-the-added-one",
		"CALLVAULT_REPORTS_DAILY_SERVICE_LEVEL_WITHIN=30s",
		"CALLVAULT_REPORTS_DAILY_RECIPIENTS=a@example.org,b@example.org",
		"PATH=/bin",
		// What Kubernetes adds for a service named callvault.
		"CALLVAULT_SERVICE_HOST=10.0.0.1",
		"CALLVAULT_SERVICE_PORT=8080",
		"CALLVAULT_SERVICE_PORT_HTTP=8080",
		"CALLVAULT_PORT=tcp://10.0.0.1:8080",
		"CALLVAULT_PORT_8080_TCP_ADDR=10.0.0.1",
	)
	s3 := c.Vault.S3
	if s3.Endpoint != "http://minio:9000" || s3.Bucket != "calls" || s3.PathStyle ||
		s3.SecretKey.Reveal() != "*secret" || s3.Region != "us-east-1" {
		t.Errorf("vault.s3 = %+v", s3)
	}
	if len(c.TrustedProxies) != 2 || c.TrustedProxies[0].String() != "10.0.0.1/32" {
		t.Errorf("trusted_proxies = %v", c.TrustedProxies)
	}
	a := c.Accounts
	if len(a) != 3 || a[0].Token.Reveal() != "token-from-the-environment" ||
		a[1].Secret.Reveal() != "null" || a[1].AppID != "0022" ||
		a[2].Name != "added" || a[2].Region != "IN" {
		t.Errorf("accounts = %+v", a)
	}
	if c.Reports[0].ServiceLevel.Within.String() != "30s" ||
		len(c.Reports[0].Recipients) != 2 {
		t.Errorf("reports = %+v", c.Reports)
	}
}

func TestEnvironmentFaults(t *testing.T) {
	t.Parallel()
	const accounts = "accounts:\n" +
		"  - {name: a-b, provider: telecmi, token: 0123456789abcdef}\n" +
		"  - {name: a_b, provider: telecmi, token: fedcba9876543210}\n"
	tests := []struct{ name, text, variable, want string }{
		{"ambiguous", accounts, "CALLVAULT_ACCOUNTS_A_B_REGION=IN",
			"CALLVAULT_ACCOUNTS_A_B_REGION: could mean more than one entry; " +
				"use the entry's number instead of its name"},
		{"gap", accounts, "CALLVAULT_ACCOUNTS_7_REGION=IN",
			"CALLVAULT_ACCOUNTS_7_REGION: unknown variable; " +
				"did you mean CALLVAULT_ACCOUNTS_0_REGION?"},
		{"not Kubernetes'", "", "CALLVAULT_PORT=8080",
			"CALLVAULT_PORT: unknown variable"},
		{"wrong value", accounts, "CALLVAULT_ACCOUNTS_1_TOKEN=short",
			"CALLVAULT_ACCOUNTS_1_TOKEN: accounts[1].token: " +
				"must be at least 16 characters"},
		{"file's kind", "vault: [1]\n", "CALLVAULT_VAULT_S3_BUCKET=calls",
			"callvault.yaml:1: vault: must be keys and values"},
		{"missing beside it", "", "CALLVAULT_VAULT_S3_BUCKET=calls",
			"CALLVAULT_VAULT_S3_BUCKET: vault.s3.access_key: must be given"},
		{"item of a list", "", "CALLVAULT_TRUSTED_PROXIES=10.0.0.1,x",
			`CALLVAULT_TRUSTED_PROXIES: trusted_proxies[1]: ` +
				`"x" is not a network such as 203.0.113.0/24`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := faultsOf(t, test.text, test.variable); got[0] != test.want {
				t.Errorf("fault %q, want %q", got[0], test.want)
			}
		})
	}
}

func TestJournalTerm(t *testing.T) {
	t.Parallel()
	const lacks = ": a database that is made again from the journal would lack what is still kept"
	for text, want := range map[string][]string{
		"{journal: 7y}": {
			"retention.journal: 7y is shorter than the forever of retention.calls" + lacks,
			"retention.journal: 7y is shorter than the forever of retention.deliveries" + lacks,
		},
		"{recordings: [{keep: 3y}], calls: 5y, deliveries: 2y, journal: 3y}":      {"retention.journal: 3y is shorter than the 5y of retention.calls" + lacks},
		"{recordings: [{keep: 3y}], calls: 5y, deliveries: 2y, journal: 20y}":     {"retention.journal: 20y is over ten years; if it is meant, set retention.allow_over_10y"},
		"{recordings: [{keep: 3y}], calls: 5y, deliveries: 5y, journal: 5y}":      nil,
		"{recordings: [{keep: 3y}], calls: 5y, deliveries: 2y}":                   nil,
		"{recordings: [{keep: 3y}], calls: 5y, deliveries: 2y, journal: forever}": nil,
	} {
		if want == nil {
			load(t, "retention: "+text+"\n")
			continue
		}
		for i := range want {
			want[i] = "callvault.yaml:1: " + want[i]
		}
		if diff := cmp.Diff(want, faultsOf(t, "retention: "+text+"\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "secret", "a-token-in-a-file\r\n")
	const account = "accounts:\n  - {name: sales, provider: telecmi, "
	for name, c := range map[string]*Config{
		"file": load(t, account+"token_file: "+file+"}\n"),
		"variable": load(t, account+"token: 0123456789abcdef}\n",
			"CALLVAULT_ACCOUNTS_SALES_TOKEN_FILE="+file),
		"variable over file's file": load(t, account+"token_file: /none}\n",
			"CALLVAULT_ACCOUNTS_SALES_TOKEN=a-token-in-a-file"),
	} {
		if got := c.Accounts[0].Token.Reveal(); got != "a-token-in-a-file" {
			t.Errorf("%s: token = %q", name, got)
		}
	}
	empty := writeFile(t, "empty", "\n")
	lines := writeFile(t, "lines", "one\ntwo\n")
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct{ name, keys, variable, want string }{
		{"empty", "token_file: " + empty, "X=",
			"callvault.yaml:2: accounts[0].token_file: " + empty + " is empty"},
		{"lines", "token_file: " + lines, "X=",
			"callvault.yaml:2: accounts[0].token_file: " + lines +
				" is not one line of text"},
		{"missing", "token_file: " + missing, "X=",
			"callvault.yaml:2: accounts[0].token_file: open " + missing +
				": no such file or directory"},
		{"too short", "provider: telecmi", "CALLVAULT_ACCOUNTS_0_TOKEN_FILE=" +
			writeFile(t, "short", "x"), "CALLVAULT_ACCOUNTS_0_TOKEN_FILE: " +
			"accounts[0].token: must be at least 16 characters"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			text := "accounts:\n  - {name: sales, provider: telecmi, " + test.keys + "}\n"
			text = strings.Replace(text, "provider: telecmi, provider: telecmi",
				"provider: telecmi", 1)
			got := faultsOf(t, text, test.variable)
			if len(got) != 1 || got[0] != test.want {
				t.Errorf("faults %q, want %q", got, test.want)
			}
		})
	}
	both := faultsOf(t, "", "CALLVAULT_MAIL_SMTP=smtp://localhost",
		"CALLVAULT_MAIL_SMTP_FILE="+file, "CALLVAULT_MAIL_FROM=a@example.org")
	if want := "CALLVAULT_MAIL_SMTP_FILE: mail.smtp_file: " +
		"cannot be given together with mail.smtp"; both[0] != want {
		t.Errorf("fault %q, want %q", both[0], want)
	}
}

// Certificates are read when the configuration is, not when they are needed.
func TestCertificates(t *testing.T) {
	t.Parallel()
	bad := writeFile(t, "bad.pem", "no certificate")
	got := strings.Join(faultsOf(t, "tls: {cert_file: "+bad+", key_file: "+bad+"}\n"+
		"mail: {ca_file: "+bad+"}\n"), "\n")
	for _, want := range []string{
		"callvault.yaml:1: tls: " + bad + " and " + bad + ": tls: failed to find any PEM data",
		"callvault.yaml:2: mail.ca_file: " + bad + " holds no PEM certificate",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("faults %q lack %q", got, want)
		}
	}
}

// A test server on this machine is allowed where it is asked for.
func TestAllowPrivateNetworks(t *testing.T) {
	t.Parallel()
	c := load(t, `accounts:
  - name: support
    provider: telecmi
    token: 0123456789abcdef
    app_id: 2222223
    secret: abc
    api_url: http://127.0.0.1:9999/v2/
    recording_hosts: [localhost, "127.0.0.1:9998", "[::1]:80", "*.lan"]
    allow_private_networks: true
`)
	a := c.Accounts[0]
	want := []string{"localhost", "127.0.0.1:9998", "[::1]:80", "*.lan",
		"127.0.0.1:9999"}
	if diff := cmp.Diff(want, a.RecordingHosts); diff != "" {
		t.Errorf("recording_hosts (-want +got):\n%s", diff)
	}
	if a.APIURL != "http://127.0.0.1:9999/v2" {
		t.Errorf("api_url = %q", a.APIURL)
	}
}

// Whatever the file and a variable say, Load answers with a configuration that
// can be printed and read again, or with faults.
func FuzzLoad(f *testing.F) {
	f.Add(contractYAML, "CALLVAULT_VAULT_S3_BUCKET=calls")
	f.Add(Example(), "CALLVAULT_ACCOUNTS_SALES_TOKEN=x")
	f.Add("accounts: [{name: &a x, token: *a}]\n", "CALLVAULT_ACCOUNTS_0_NAME=y")
	f.Add("? [a]\n: b\n<<: {x: 1}\n---\n", "CALLVAULT_TLS=")
	f.Add("reports: [{schedule: 'TZ='}, {schedule: '*/0 * * * *'}]", "CALLVAULT_=")
	f.Add("accounts: [{provider: mapped, mapping: {fields: {call_id: [a, '{b}']}, recordings: {url: 'https://h/{x}'}, signature: {scheme: twilio}}}]",
		"CALLVAULT_ACCOUNTS_0_MAPPING=twilio")
	file := filepath.Join(f.TempDir(), FileName)
	comment := regexp.MustCompile(`(?m)^\s*#.*$`)
	mappingFile := regexp.MustCompile(`(?i)mapping["'\s:=>|-]*[^\n{]*[/\\.]`)
	f.Fuzz(func(t *testing.T, text, variable string) {
		if strings.Contains(text+variable, "_file") ||
			strings.Contains(variable, "_FILE") ||
			strings.Contains(variable, "CALLVAULT_CONFIG") ||
			mappingFile.MatchString(comment.ReplaceAllString(text, "")+"\n"+variable) {
			return // the fuzzer is not to read the machine's files
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Options{File: file, Environ: environment(variable)})
		if err != nil {
			if err.Error() == "" {
				t.Error("an error says nothing")
			}
			return
		}
		var printed strings.Builder
		if err := c.Print(&printed); err != nil {
			t.Errorf("Print: %v", err)
		}
	})
}

// TestOldToken: a second token is taken during a change, under the same rules.
func TestOldToken(t *testing.T) {
	t.Parallel()
	const account = "accounts:\n  - {name: sales, provider: telecmi, token: 0123456789abcdef, old_token: "
	c := load(t, account+"fedcba9876543210}\n")
	if got := c.Accounts[0].OldToken.Reveal(); got != "fedcba9876543210" {
		t.Errorf("old_token = %q", got)
	}
	if !slices.ContainsFunc(c.Notices, func(n Fault) bool { return strings.Contains(n.String(), "accounts[0].old_token: is taken as well") }) {
		t.Errorf("notices %v do not remind of it", c.Notices)
	}
	for value, want := range map[string]string{
		"0123456789abcdef": "callvault.yaml:2: accounts[0].old_token: must differ from accounts[0].token",
		"short":            "callvault.yaml:2: accounts[0].old_token: must be at least 16 characters",
	} {
		if got := faultsOf(t, account+value+"}\n"); len(got) != 1 || got[0] != want {
			t.Errorf("faults %q, want %q", got, want)
		}
	}
}
