package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"callvault/internal/call"
	"callvault/internal/simulator"
	"callvault/internal/testenv"

	"github.com/xuri/excelize/v2"
)

// TestDemo plays the demo to its end, and once more: the second time changes
// nothing.
func TestDemo(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "demo")
	want, err := simulator.NewDay(simulator.Options{Seed: 7, Calls: 120, Date: time.Now().In(time.FixedZone("IST", 19800)).AddDate(0, 0, -1), Later: demoLater})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		played := command(t, "", "demo", "--exit", "--calls", "120", "--seed", "7", "--data", data, "--listen", "127.0.0.1:0", "--json")
		var got demoSummary
		if err := json.Unmarshal([]byte(played.stdout), &got); played.status != exitDone || err != nil {
			t.Fatalf("round %d: status %d, %v\n%s", round, played.status, err, played.stderr)
		}
		if round == 0 {
			checkKnownAgents(t, data)
			checkProgress(t, played.stderr, want.Expected.Deliveries, want.Expected.Archived+want.Expected.NeverAudio)
		}
		// No other command can tell the password.
		if shown := strings.Contains(played.stderr, "The first user is admin, with the password "); shown != (round == 0) {
			t.Errorf("round %d: the first user's password is shown: %t", round, shown)
		}
		if int(got.Calls) != want.Expected.Calls || int(got.Deliveries) != (round+1)*want.Expected.Deliveries {
			t.Errorf("round %d: %d calls of %d deliveries, want %d of %d", round, got.Calls, got.Deliveries, want.Expected.Calls, want.Expected.Deliveries)
		}
		recordings := demoRecordings{Archived: int64(want.Expected.Archived), Absent: int64(want.Expected.NeverAudio)}
		if got.Recordings != recordings {
			t.Errorf("round %d: recordings are %+v, want %+v", round, got.Recordings, recordings)
		}
		if len(got.Report.Files) != 4 || len(got.Mail) != 1 {
			t.Errorf("round %d: files %v, mails %v", round, got.Report.Files, got.Mail)
		}
		for _, f := range append(got.Report.Files, got.Mail...) {
			if info, err := os.Stat(f); err != nil || info.Size() == 0 {
				t.Errorf("round %d: %s: %v", round, f, err)
			}
		}
	}
	checkAgents(t, filepath.Join(data, "reports"))
	mailed, err := filepath.Glob(filepath.Join(data, "mail", "*.eml"))
	if err != nil || len(mailed) != 1 {
		t.Fatalf("mails: %v, %v", mailed, err)
	}
	text, err := os.ReadFile(mailed[0])
	if err != nil {
		t.Fatal(err)
	}
	checkMail(t, text, want.Expected.Calls)
	// A folder with real calls is left alone.
	inUse := install(t, storage{}, anySize(), "reports: [{name: daily}]\n")
	file := filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(file, []byte(`{"CallSid":"1.1","Status":"BUSY","EndTime":"2026-11-20 10:00:00"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	commandJSON[imported](t, "import", file, "--account", "sales", "--data", inUse.data)
	if got := command(t, "", "demo", "--exit", "--data", inUse.data, "--listen", "127.0.0.1:0"); got.status != exitWrong || !strings.Contains(got.stderr, "real calls") {
		t.Errorf("a demo into real calls: %+v", got)
	}
}

// checkKnownAgents makes sure that commands know the people whom the demo knew:
// they find its report as it is, and nothing to revise.
func checkKnownAgents(t *testing.T, data string) {
	t.Helper()
	books, err := filepath.Glob(filepath.Join(data, "reports", "*.xlsx"))
	if err != nil || len(books) != 1 {
		t.Fatalf("workbooks: %v, %v", books, err)
	}
	date := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(books[0]), "daily-"), ".xlsx")
	commandJSON[checkedReport](t, "report", "daily", "--date", date, "--check", books[0], "--data", data)
	again := command(t, "", "report", "daily", "--date", date, "--revise", "--out", t.TempDir(), "--data", data)
	if again.status != exitDone || !strings.Contains(again.stdout, "stays as it is") || strings.Contains(again.stdout, "configured otherwise") {
		t.Errorf("after the demo: %+v", again)
	}
	agents := command(t, "", "report", "daily", "--date", date, "--stdout", "csv", "agents", "--data", data)
	kept, err := os.ReadFile(filepath.Join(data, "reports", "daily-"+date+"-agents.csv"))
	if err != nil || "\uFEFF"+agents.stdout != string(kept) {
		t.Errorf("agents by now (%v):\n%s\nas the demo had them:\n%s", err, agents.stdout, kept)
	}
}

// checkProgress makes sure that somebody who does not watch on a terminal sees
// how far the demo is, on plain lines.
func checkProgress(t *testing.T, said string, deliveries, recordings int) {
	t.Helper()
	if strings.ContainsFunc(said, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
		t.Errorf("not plain lines: %q", said)
	}
	for _, lines := range []string{
		fmt.Sprintf(`call reports received: \d+ of %d\n(.*\n)*call reports received: %[1]d of %[1]d\n`, deliveries),
		fmt.Sprintf(`recordings settled: \d+ of %d\n(.*\n)*recordings settled: %[1]d of %[1]d\n`, recordings), // the error page takes a while
	} {
		if !regexp.MustCompile(lines).MatchString(said) {
			t.Errorf("no lines as %q:\n%s", lines, said)
		}
	}
}

// checkAgents makes sure that each of the office's people is one agent, whose
// calls came from both providers, and that nobody is left without a name.
func checkAgents(t *testing.T, folder string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*-agents.csv"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	got, onBoth := map[string]int{}, 0
	for _, row := range rows[1:] {
		got[row[1]]++
		if strings.Contains(row[4], ", ") {
			onBoth++
		}
	}
	for _, a := range simulator.Agents() {
		if got[a.Name] != 1 {
			t.Errorf("%s is %d agents", a.Name, got[a.Name])
		}
	}
	if len(got) != len(simulator.Agents()) || onBoth < 5 {
		t.Errorf("%d of the agents %v are on both accounts", onBoth, got)
	}
}

// checkMail makes sure that a mail carries a workbook and CSV files that hold
// so many calls.
func checkMail(t *testing.T, text []byte, calls int) {
	t.Helper()
	_, parts := testenv.ReadMail(t, text)
	found := map[string]bool{}
	for name, content := range parts {
		found[filepath.Ext(name)] = true
		switch {
		case strings.HasSuffix(name, ".xlsx"):
			checkWorkbook(t, content, calls)
		case strings.HasSuffix(name, "-calls.csv"):
			rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff")))).ReadAll()
			if err != nil || len(rows) != calls+1 {
				t.Errorf("%s has %d rows for %d calls (%v)", name, len(rows), calls, err)
			}
		}
	}
	if !found[".xlsx"] || !found[".csv"] {
		t.Errorf("attached are %v", found)
	}
}

func checkWorkbook(t *testing.T, content []byte, calls int) {
	t.Helper()
	f, err := excelize.OpenReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, sheet := range []string{"Summary", "Agents", "Hours", "Missed", "Calls", "Recordings", "Definitions"} {
		if i, err := f.GetSheetIndex(sheet); err != nil || i < 0 {
			t.Errorf("there is no sheet %s", sheet)
		}
	}
	rows, err := f.GetRows("Calls")
	if err != nil || len(rows) != calls+1 {
		t.Errorf("the sheet Calls has %d rows for %d calls (%v)", len(rows), calls, err)
	}
}

// TestWholeLine runs the whole line as a process on both databases and vaults:
// a day from both providers arrives, its recordings are archived, the report
// is built and mailed over real SMTP, and the API gives it all back.
func TestWholeLine(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		smtp := testenv.SMTP(t, testenv.SMTPOptions{})
		var server http.Handler
		in := install(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }),
			fmt.Sprintf("reports: [{name: daily, recipients: [ops@example.org, boss@example.org]}]\nmail: {smtp: %q, ca_file: %q, from: reports@example.org}\n", smtp.URL(), smtp.CAFile))
		date := time.Now().In(time.FixedZone("IST", 19800)).AddDate(0, 0, -1)
		day, err := simulator.NewDay(simulator.Options{Seed: 3, Calls: 80, Date: date, RecordingURL: in.provider.URL, Later: 1})
		if err != nil {
			t.Fatal(err)
		}
		server = simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: teleSecret, Recordings: day.Recordings})
		p := in.start(t)
		player := simulator.Player{Concurrency: 8, URL: func(account string) string {
			return p.url + "/webhook/" + account + "/" + map[string]string{"sales": salesToken, "support": supportToken}[account]
		}}
		sent, err := player.Play(t.Context(), day.Events)
		if err != nil || sent.Accepted != len(day.Events) {
			t.Fatalf("sent: %+v, %v", sent, err)
		}
		token := commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "compliance", "--data", in.data)["token"]
		in.checkDay(t, p, token, day)

		commandJSON[map[string]any](t, "report", "daily", "--date", date.Format(time.DateOnly), "--send", "--out", t.TempDir(), "--data", in.data)
		messages, err := smtp.WaitMessages(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if !m.Encrypted || !m.Authenticated {
				t.Errorf("a mail went unprotected: %+v", m.To)
			}
			checkMail(t, m.Data, day.Expected.Calls)
		}
		runs := get[struct{ Runs []map[string]any }](t, p.url+"/api/v1/reports", token)
		if len(runs.Runs) != 1 {
			t.Errorf("runs are %v", runs)
		}
		p.stop(syscall.SIGTERM)
		for _, secret := range []string{salesToken, supportToken, teleSecret, smtp.Password, token} {
			if strings.Contains(p.log(), secret) {
				t.Errorf("the log holds the secret %s", secret)
			}
		}
	})
}

// checkDay asks the API for the calls of a day and compares with the truth.
func (in installation) checkDay(t *testing.T, p *program, token string, day *simulator.Day) {
	t.Helper()
	type apiCall struct {
		ID         string
		CallKey    string `json:"call_key"`
		Account    string
		Direction  string
		Outcome    string
		Customer   *string `json:"customer_number"`
		Recordings []struct {
			ID, State string
			Size      int64
		}
	}
	type page struct {
		Calls []apiCall
		Next  *string `json:"next_cursor"`
	}
	eventually(t, "the recordings are settled", func() bool {
		return len(get[page](t, p.url+"/api/v1/calls?recording=pending&limit=1", token).Calls) == 0
	})
	found := map[string]apiCall{}
	cursor := ""
	for {
		got := get[page](t, p.url+"/api/v1/calls?limit=50"+cursor, token)
		for _, c := range got.Calls {
			found[c.Account+" "+c.CallKey] = c
		}
		if got.Next == nil {
			break
		}
		cursor = "&cursor=" + *got.Next
	}
	if len(found) != day.Expected.Calls {
		t.Errorf("%d calls, want %d", len(found), day.Expected.Calls)
	}
	var archived string
	for _, want := range day.Conversations {
		got, ok := found[want.Account+" "+want.Key]
		if !ok {
			t.Errorf("call %s is missing", want.Key)
			continue
		}
		if got.Direction != want.Direction || got.Outcome != want.Outcome || got.Customer == nil || *got.Customer != want.Customer {
			t.Errorf("call %s is %+v, want %+v", want.Key, got, want)
		}
		for _, r := range got.Recordings {
			if r.State == string(call.Archived) {
				archived = r.ID
			}
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/recordings/"+archived+"/audio", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Range", "bytes=0-3")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	head, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusPartialContent || len(head) != 4 || string(head) != "RIFF" && string(head[:3]) != "ID3" && head[0] != 0xff {
		t.Errorf("the audio begins with %q, status %d, %v", head, response.StatusCode, err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
}
