package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/internal/config"
	"callvault/internal/simulator"
	"callvault/internal/testenv"
)

// runAsProgram makes the test binary behave as the program: so that it can be
// killed, with the race detector in it.
const runAsProgram = "RUN_AS_CALLVAULT"

func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" {
		if err := os.Unsetenv(runAsProgram); err != nil {
			panic(err)
		}
		main()
	}
	os.Exit(m.Run())
}

// outcome is what a command line gave.
type outcome struct {
	status         int
	stdout, stderr string
}

// command runs a command line in this process, without an environment.
func command(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), args, &globals{
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr, environ: func() []string { return nil },
	})
	return outcome{status, stdout.String(), stderr.String()}
}

// commandJSON runs a command that must succeed and decodes what it gave.
func commandJSON[T any](t *testing.T, args ...string) T {
	t.Helper()
	got := command(t, "", append(args, "--json")...)
	var v T
	if got.status != exitDone {
		t.Fatalf("callvault %s: status %d\n%s", strings.Join(args, " "), got.status, got.stderr)
	}
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil {
		t.Fatalf("callvault %s: %v in %q", strings.Join(args, " "), err, got.stdout)
	}
	return v
}

// The tokens of the test installation.
const (
	salesToken   = "sales-token-0123456789"
	supportToken = "support-token-0123456789"
	teleSecret   = "the-secret-of-telecmi"
)

// installation is a data folder with a configuration, and the provider that
// its recordings come from.
type installation struct {
	data     string
	provider *httptest.Server
	// stdout takes what a started program prints; it may be read when the
	// program has ended.
	stdout io.Writer
	// sealed: a started program can write to nothing but the data folder.
	sealed bool
}

// storage is where an installation keeps things.
type storage struct {
	dsn    string
	bucket *testenv.Bucket
	// s3 is more of vault.s3, as "object_lock: governance".
	s3 string
}

// forEachStorage runs a test on both databases, each with one of the vaults.
func forEachStorage(t *testing.T, test func(t *testing.T, s storage)) {
	t.Helper()
	t.Run("SQLite and directory", func(t *testing.T) {
		t.Parallel()
		test(t, storage{})
	})
	t.Run("PostgreSQL and MinIO", func(t *testing.T) {
		t.Parallel()
		b := testenv.MinIO(t, testenv.BucketOptions{})
		test(t, storage{dsn: testenv.Postgres(t), bucket: &b})
	})
}

// install writes a configuration; more is added to its end.
func install(t *testing.T, s storage, provider http.Handler, more string) installation {
	t.Helper()
	in := installation{data: t.TempDir(), provider: httptest.NewServer(provider)}
	t.Cleanup(in.provider.Close)
	in.configure(t, s, more)
	return in
}

// configure writes the configuration, or another one.
func (in installation) configure(t *testing.T, s storage, more string) {
	t.Helper()
	host := strings.TrimPrefix(in.provider.URL, "http://")
	text := fmt.Sprintf(`
accounts:
  - {name: sales, provider: callerdesk, token: %s, recording_hosts: ["%s"], allow_private_networks: true}
  - {name: support, provider: telecmi, token: %s, app_id: "2222223", secret: %s, api_url: "http://%s/v2", allow_private_networks: true}
archive: {first_try_after: 0s, give_up_after: 30s, per_host: 8}
`, salesToken, host, supportToken, teleSecret, host)
	if s.dsn != "" {
		text += fmt.Sprintf("database: %q\n", s.dsn)
	}
	if b := s.bucket; b != nil {
		text += fmt.Sprintf("vault: {s3: {endpoint: %q, bucket: %q, access_key: %q, secret_key: %q, %s}}\n", b.Endpoint, b.Name, b.AccessKey, b.SecretKey, s.s3)
	}
	if err := os.WriteFile(filepath.Join(in.data, config.FileName), []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
}

// program is a running callvault.
type program struct {
	t    *testing.T
	cmd  *exec.Cmd
	url  string
	mu   sync.Mutex
	logs []string
	done chan struct{}
}

var (
	readyURL     = regexp.MustCompile(`msg="Callvault is ready" url=(\S+)`)
	listeningURL = regexp.MustCompile(`msg="the database does not answer; [^"]*" url=(\S+)`)
)

// start runs `callvault serve` as a process of its own and waits until it is
// ready.
func (in installation) start(t *testing.T) *program {
	t.Helper()
	return in.startUntil(t, readyURL)
}

// startListening waits only until it listens without its database.
func (in installation) startListening(t *testing.T) *program {
	t.Helper()
	return in.startUntil(t, listeningURL)
}

func (in installation) startUntil(t *testing.T, line *regexp.Regexp) *program {
	t.Helper()
	p := &program{t: t, done: make(chan struct{})}
	p.cmd = in.program("serve", "--listen", "127.0.0.1:0") // it is killed below
	p.cmd.Stdout = in.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.mu.Lock()
			p.logs = append(p.logs, lines.Text())
			p.mu.Unlock()
			if m := line.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m[1]
			}
		}
	}()
	t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	select {
	case p.url = <-ready:
	case <-p.done:
		t.Fatalf("callvault ended:\n%s", p.log())
	case <-time.After(time.Minute):
		t.Fatalf("callvault is not ready:\n%s", p.log())
	}
	return p
}

// program is this test binary as callvault, in a process of its own.
func (in installation) program(args ...string) *exec.Cmd {
	args = append([]string{os.Args[0], "--data", in.data}, args...)
	if in.sealed {
		args = append([]string{"unshare", "--mount", "sh", "-c", seal, in.data}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	// A container may have no temporary folder.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CALLVAULT_") }), runAsProgram+"=1", "TMPDIR=/no/such/folder")
	return cmd
}

// seal makes every file system read-only but for the data folder, $0, in a
// mount namespace of its own, and runs what follows there.
const seal = `
while read -r _ folder _; do mount -o remount,ro,bind "$folder" 2>/dev/null; done </proc/self/mounts
mount --bind "$0" "$0" && mount -o remount,rw,bind "$0" && cd / || exit
if touch /tmp/x "$0/../x" 2>/dev/null; then echo "not sealed" >&2; exit 1; fi
exec "$@"`

func (p *program) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.logs, "\n")
}

// stop ends the program by a signal, and waits for its end.
func (p *program) stop(s syscall.Signal) {
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
	<-p.done
	err := p.cmd.Wait()
	if s != syscall.SIGKILL && err != nil {
		p.t.Errorf("callvault ended with %v:\n%s", err, p.log())
	}
}

// get asks the API with a token and decodes the answer.
func get[T any](t *testing.T, url, token string) T {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	var v T
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", url, response.Status, body)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v in %.300s", url, err, body)
	}
	return v
}

// eventually waits until condition holds; it asks again and again, for a
// minute at most.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.After(4 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-limit:
			t.Fatalf("after four minutes still not: %s", what)
		case <-tick.C:
		}
	}
}

// anySize serves a recording of 20 kB under every name.
func anySize() http.Handler {
	return simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: teleSecret, AnySize: 20_000})
}

// load posts CallerDesk reports over several connections until stopped, and
// remembers which were acknowledged.
type load struct {
	client   *http.Client
	provider string
	mu       sync.Mutex
	acked    []string
	sent     int
}

func newLoad(in installation) *load {
	return &load{client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, provider: in.provider.URL}
}

// post sends reports through 8 connections until n more are acknowledged or
// ctx ends.
func (l *load) post(ctx context.Context, url string, n int) {
	l.mu.Lock()
	until := len(l.acked) + n
	l.mu.Unlock()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				l.mu.Lock()
				if len(l.acked) >= until {
					l.mu.Unlock()
					return
				}
				l.sent++
				sid := fmt.Sprintf("1763700000.%d", l.sent)
				l.mu.Unlock()
				if l.one(ctx, url, sid) {
					l.mu.Lock()
					l.acked = append(l.acked, sid)
					l.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

// one sends one report and says whether it was acknowledged.
func (l *load) one(ctx context.Context, url, sid string) bool {
	body := fmt.Sprintf(`{"type":"call_report","SourceNumber":"09812345678","DestinationNumber":"0806286123","DialWhomNumber":"07652081234",
		"CallDuration":"64","TalkDuration":"40","coins":"1","Status":"ANSWER","StartTime":"2026-11-20 14:32:30","EndTime":"2026-11-20 14:33:34",
		"CallSid":%q,"CallRecordingUrl":"%s/incoming/11_2026/%s.wav","Direction":"IVR","campid":"","call_group":"TestGroup","receiver_name":"Ashish",
		"error_code":"0","LegA_Picked_time":"2026-11-20 14:32:31","LegB_Start_time":"2026-11-20 14:32:45","LegB_Picked_time":"2026-11-20 14:32:54"}`, sid, l.provider, sid)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/webhook/sales/"+salesToken, strings.NewReader(body))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if err != nil {
		return false // the program was killed: not acknowledged
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.Body.Close() == nil && err == nil && response.StatusCode == http.StatusOK
}

// startFirst starts the program with nothing but a data folder and returns
// what it prints, too.
func (in installation) startFirst(t *testing.T) (*program, *bytes.Buffer) {
	t.Helper()
	var stdout bytes.Buffer
	return installation{data: in.data, provider: in.provider, stdout: &stdout}.start(t), &stdout
}
