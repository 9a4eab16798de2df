package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"callvault/internal/config"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	commandJSON[map[string]int](t, "migrate", "--data", data)
	for _, tt := range []struct {
		name   string
		args   string
		status int
		says   string // in what is printed
	}{
		{"help", "--help", exitDone, "Archives call recordings"},
		{"help of a command", "report --help", exitDone, "--date"},
		{"nothing", "", exitUsage, "expected one of"},
		{"unknown command", "frobnicate", exitUsage, "frobnicate"},
		{"unknown flag", "serve --frobnicate", exitUsage, "--frobnicate"},
		{"version", "version", exitDone, "callvault"},
		{"no such file", "config check --config /no/such/file", exitWrong, "/no/such/file"},
		{"no such report", "report nope --data " + data, exitWrong, `no report named "nope"`},
		{"nothing there", "user list --data " + data + "/nothing", exitWrong, "no database"},
		{"bad role", "token add x --role king --data " + data, exitUsage, `no role "king"`},
		{"no such account", "import --account nope x.json --data " + data, exitWrong, `no account named "nope"`},
		{"no calls at all", "demo --calls 0 --data " + data, exitUsage, "--calls"},
		{"nobody answers", "healthcheck --listen 127.0.0.1:1 --data " + data, exitWrong, "no answer"},
		{"data before the command", "--data " + data + " user list", exitDone, "There are no users."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := command(t, "", strings.Fields(tt.args)...)
			if got.status != tt.status || !strings.Contains(got.stdout+got.stderr, tt.says) {
				t.Errorf("status %d, want %d, saying %q:\n%s%s", got.status, tt.status, tt.says, got.stdout, got.stderr)
			}
		})
	}
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	example := command(t, "", "config", "example")
	if example.status != exitDone || !strings.Contains(example.stdout, "accounts:") {
		t.Fatalf("example: %+v", example)
	}
	file := filepath.Join(data, "my.yaml")
	if err := os.WriteFile(file, []byte(example.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, "", "config", "check", "--config", file); got.status != exitDone {
		t.Errorf("the example is not good: %s%s", got.stdout, got.stderr)
	}
	if err := os.WriteFile(file, []byte("listen: nonsense\naccounts:\n  - {name: a, provider: callerdesk, token: short}\nretnetion: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := command(t, "", "config", "check", "--config", file)
	for _, want := range []string{"my.yaml:1: listen", "my.yaml:3: accounts[0].token", "my.yaml:4: retnetion", "retention"} {
		if got.status != exitWrong || !strings.Contains(got.stderr, want) {
			t.Errorf("status %d, %q is not among the faults:\n%s", got.status, want, got.stderr)
		}
	}
	in := install(t, storage{dsn: "postgres://user:hushhush@db.example.org/calls"}, anySize(), "")
	printed := command(t, "", "config", "print", "--data", in.data)
	if printed.status != exitDone || !strings.Contains(printed.stdout, "name: sales") {
		t.Errorf("print: %+v", printed)
	}
	for _, secret := range []string{salesToken, supportToken, teleSecret, "hushhush"} {
		if strings.Contains(printed.stdout, secret) {
			t.Errorf("config print shows %s", secret)
		}
	}
}

func TestUsersAndTokens(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	commandJSON[map[string]int](t, "migrate", "--data", data)
	added := commandJSON[map[string]string](t, "user", "add", "asha", "--role", "manager", "--group", "Sales", "--group", "Billing", "--data", data)
	if len(added["password"]) < 20 || added["role"] != "manager" {
		t.Errorf("user add gives %v", added)
	}
	if got := command(t, "", "user", "add", "asha", "--role", "viewer", "--data", data); got.status != exitWrong || !strings.Contains(got.stderr, "already") {
		t.Errorf("adding twice: %+v", got)
	}
	if got := command(t, "short\n", "user", "password", "asha", "--stdin", "--data", data); got.status != exitWrong || !strings.Contains(got.stderr, "shorter than 15") {
		t.Errorf("a short password: %+v", got)
	}
	if got := command(t, "correct horse battery\n", "user", "password", "asha", "--stdin", "--data", data); got.status != exitDone || strings.Contains(got.stdout, "horse") {
		t.Errorf("a password: %+v", got)
	}
	if got := command(t, "", "user", "disable", "asha", "--data", data); got.status != exitDone {
		t.Errorf("disable: %+v", got)
	}
	users := commandJSON[map[string][]principal](t, "user", "list", "--data", data)
	if u := users["users"]; len(u) != 1 || !u[0].Disabled || len(u[0].Groups) != 2 {
		t.Errorf("users are %+v", users)
	}
	token := commandJSON[map[string]string](t, "token", "add", "bi", "--role", "viewer", "--data", data)
	if token["name"] != "bi" || token["role"] != "viewer" || len(token["token"]) < 40 {
		t.Errorf("token add gives %v", token)
	}
	if got := command(t, "", "token", "list", "--data", data); got.status != exitDone || !strings.Contains(got.stdout, "bi") || strings.Contains(got.stdout, token["token"]) {
		t.Errorf("tokens: %+v", got)
	}
	schema := commandJSON[map[string]int](t, "migrate", "--data", data)
	if schema["database"] == 0 || schema["database"] != schema["program"] {
		t.Errorf("migrate gives %v", schema)
	}
}

// TestFirstStart: with nothing at all the program writes a configuration,
// makes an admin, and says what to paste where; the second start says nothing
// of the kind, and no log ever holds a token.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	in := installation{data: filepath.Join(t.TempDir(), "new")}
	// A first start that fails leaves the greeting to the next.
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if got := command(t, "", "serve", "--data", in.data, "--listen", taken.Addr().String()); got.status != exitWrong || !strings.Contains(got.stderr, "--listen") {
		t.Errorf("a port that is taken: %+v", got)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		p, stdout := in.startFirst(t)
		if got := command(t, "", "healthcheck", "--listen", strings.TrimPrefix(p.url, "http://"), "--data", in.data); got.status != exitDone {
			t.Errorf("healthcheck: %+v", got)
		}
		p.stop(syscall.SIGTERM)
		c, err := config.Load(config.Options{Data: in.data})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range c.Accounts {
			paste := regexp.MustCompile(`http://127\.0\.0\.1:\d+/webhook/` + a.Name + "/" + a.Token.Reveal())
			if paste.MatchString(stdout.String()) != (round == 0) {
				t.Errorf("start %d: what to paste for %s:\n%s", round+1, a.Name, stdout)
			}
			if strings.Contains(p.log(), a.Token.Reveal()) {
				t.Errorf("start %d: the log holds a token", round+1)
			}
		}
	}
	info, err := os.Stat(filepath.Join(in.data, config.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("configuration: %v, %v", info.Mode(), err)
	}
	p := in.start(t)
	if got := command(t, "", "demo", "--exit", "--data", in.data, "--listen", "127.0.0.1:0"); got.status != exitWrong || !strings.Contains(got.stderr, "another Callvault runs") {
		t.Errorf("a second server on the folder: %+v", got)
	}
	p.stop(syscall.SIGTERM)
	users := commandJSON[map[string][]principal](t, "user", "list", "--data", in.data)
	if u := users["users"]; len(u) != 1 || u[0].Role != "admin" {
		t.Errorf("users are %+v", u)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	lines := `{"type":"call_report","CallSid":"1763700000.1","Status":"ANSWER","TalkDuration":"5","StartTime":"2026-11-20 10:00:00","EndTime":"2026-11-20 10:00:20","Direction":"IVR"}
{"type":"call_report","CallSid":"1763700000.2","Status":"BUSY","StartTime":"2026-11-20 10:01:00","EndTime":"2026-11-20 10:01:20","Direction":"IVR"}
`
	file := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	first := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data)
	if first != (imported{Deliveries: 2, Recorded: 2}) {
		t.Errorf("first import: %+v", first)
	}
	again := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data)
	if again != (imported{Deliveries: 2, Duplicate: 2}) {
		t.Errorf("second import: %+v", again)
	}
	broken := command(t, "{\"CallSid\":}\n{\"CallSid\":\"1763700000.3\"}\n", "import", "-", "--account", "sales", "--data", in.data, "--json")
	var counted imported
	if err := json.Unmarshal([]byte(broken.stdout), &counted); err != nil || broken.status != exitWrong || counted != (imported{Deliveries: 2, Recorded: 1, Unreadable: 1}) {
		t.Errorf("a broken import: %+v, %v", broken, err)
	}
	out := t.TempDir()
	built := commandJSON[struct {
		Report   string
		Date     string
		Revision int
		Files    []string
	}](t, "report", "daily", "--date", "2026-11-20", "--out", out, "--data", in.reporting(t))
	if built.Report != "daily" || built.Date != "2026-11-20" || built.Revision != 1 || len(built.Files) != 4 {
		t.Errorf("report: %+v", built)
	}
	if got := command(t, "", "report", "daily", "--date", "20.11.2026", "--data", in.data); got.status != exitUsage {
		t.Errorf("a bad date: %+v", got)
	}
}

// reporting adds a report to the configuration.
func (in installation) reporting(t *testing.T) string {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(in.data, config.FileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("reports: [{name: daily}]\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return in.data
}
