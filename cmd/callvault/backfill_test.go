package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/simulator"
)

const salesAuthCode = "the-authcode-of-sales"

// installListed is install for accounts whose providers can be asked for their
// call lists.
func installListed(t *testing.T, s storage, provider http.Handler) installation {
	t.Helper()
	in := installation{data: t.TempDir(), provider: httptest.NewServer(provider)}
	t.Cleanup(in.provider.Close)
	host := strings.TrimPrefix(in.provider.URL, "http://")
	text := fmt.Sprintf(`
accounts:
  - {name: sales, provider: callerdesk, token: %s, authcode: %s, api_url: "http://%s/api", recording_hosts: ["%[3]s"], allow_private_networks: true}
  - {name: support, provider: telecmi, token: %[4]s, app_id: "2222223", secret: %s, api_url: "http://%[3]s/v2", allow_private_networks: true}
  - {name: alone, provider: callerdesk, token: alone-token-0123456789}
archive: {first_try_after: 0s, give_up_after: 3s, per_host: 8}
`, salesToken, salesAuthCode, host, supportToken, teleSecret)
	if s.dsn != "" {
		text += fmt.Sprintf("database: %q\n", s.dsn)
	}
	if b := s.bucket; b != nil {
		text += fmt.Sprintf("vault: {s3: {endpoint: %q, bucket: %q, access_key: %q, secret_key: %q}}\n", b.Endpoint, b.Name, b.AccessKey, b.SecretKey)
	}
	if err := os.WriteFile(filepath.Join(in.data, config.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return in
}

// TestNothingStaysMissing: a fifth of the reports gets lost on the way, and
// after a backfill nothing is missing, whichever came first: calls are what
// they were, all recordings are archived, and each difference has its reason.
func TestNothingStaysMissing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		listFirst, otherIDs bool
	}{
		{"webhooks first", false, false},
		{"list first", true, false},
		{"webhooks first, other ids", false, true},
		{"list first, other ids", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			forEachStorage(t, func(t *testing.T, s storage) {
				if s.dsn != "" && tt.listFirst == tt.otherIDs {
					return // half of them there: it is about the same code
				}
				testNothingMissing(t, s, tt.listFirst, tt.otherIDs)
			})
		})
	}
}

func testNothingMissing(t *testing.T, s storage, listFirst, otherIDs bool) {
	// The provider's address stands in its calls, so it is there before them.
	var server atomic.Pointer[simulator.Server]
	in := installListed(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.Load().ServeHTTP(w, r) }))
	date := time.Now().In(time.FixedZone("IST", 19800)).AddDate(0, 0, -1)
	day, err := simulator.NewDay(simulator.Options{Seed: 5, Calls: 90, Date: date, RecordingURL: in.provider.URL, Lost: 0.2, OtherIDs: otherIDs})
	if err != nil {
		t.Fatal(err)
	}
	if len(day.Lost) == 0 {
		t.Fatal("nothing is lost")
	}
	provider := simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: teleSecret, AuthCode: salesAuthCode, Recordings: day.Recordings, Listed: day.Listed})
	server.Store(provider)
	p := in.start(t)
	from, to := date.Format(time.DateOnly), date.AddDate(0, 0, 1).Format(time.DateOnly)
	backfill := func(flags ...string) map[string]call.Backfill {
		t.Helper()
		results := map[string]call.Backfill{}
		for _, r := range commandJSON[backfilled](t, append([]string{"backfill", "--from", from, "--to", to, "--data", in.data}, flags...)...).Accounts {
			results[r.Account] = r
		}
		return results
	}
	play := func() {
		t.Helper()
		player := simulator.Player{Concurrency: 8, URL: func(account string) string {
			return p.url + "/webhook/" + account + "/" + map[string]string{"sales": salesToken, "support": supportToken}[account]
		}}
		if sent, err := player.Play(t.Context(), day.Events); err != nil || sent.Accepted != len(day.Events) {
			t.Fatalf("sent: %+v, %v", sent, err)
		}
	}
	if !listFirst {
		play()
	}
	rehearsed, done := backfill("--dry-run"), backfill()
	for account, r := range done {
		d := rehearsed[account]
		// Two rows about one call that is not there yet are both new, until
		// the first is taken in.
		if r.Listed == 0 || r.New == 0 || r.New+r.Filled+r.Known != r.Listed || r.New != d.New || r.Listed != d.Listed {
			t.Errorf("%s: %+v, and %+v as rehearsed", account, r, d)
		}
		if !listFirst && r.Filled > r.Known {
			t.Errorf("%s: the list fills more than it knows: %+v", account, r)
		}
		if listFirst && r.New != r.Listed {
			t.Errorf("%s: %+v, but nothing was there", account, r)
		}
	}
	if listFirst {
		play()
	}
	for account, r := range backfill() {
		if r.Known != r.Listed {
			t.Errorf("%s: a row tells news again: %+v", account, r)
		}
	}
	// What is kept says the same when it is read again.
	if got := commandJSON[replayResult](t, "replay", "--data", in.data); got.Changed != 0 || got.Failed != 0 || got.Deliveries <= len(day.Events) {
		t.Errorf("replay of %d events and rows: %+v", len(day.Events), got)
	}
	token := commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "compliance", "--data", in.data)["token"]
	in.checkNothingMissing(t, p, token, day, otherIDs)
	p.stop(syscall.SIGTERM)
	for _, secret := range []string{salesAuthCode, teleSecret} {
		if strings.Contains(p.log(), secret) {
			t.Errorf("the log holds the secret %s", secret)
		}
	}
}

func (in installation) checkNothingMissing(t *testing.T, p *program, token string, day *simulator.Day, otherIDs bool) {
	t.Helper()
	type apiCall struct {
		Account, Direction, Outcome string
		CallKey                     string     `json:"call_key"`
		Customer                    string     `json:"customer_number"`
		Talk                        *int       `json:"talk_seconds"`
		Answered                    *time.Time `json:"answered_at"`
		Started                     *time.Time `json:"started_at"`
		Recordings                  []struct{ Source, State string }
	}
	type page struct {
		Calls []apiCall
		Next  *string `json:"next_cursor"`
	}
	eventually(t, "the recordings are settled", func() bool {
		return len(get[page](t, p.url+"/api/v1/calls?recording=pending&limit=1", token).Calls) == 0
	})
	// A call that only the list has may have another key: a customer calls but
	// once at a time.
	type moment struct {
		account, customer string
		at                int64
	}
	when := func(answered, started *time.Time) int64 {
		if answered != nil {
			return answered.Unix()
		}
		return started.Unix()
	}
	byKey, byMoment, total := map[string]apiCall{}, map[moment]apiCall{}, 0
	for cursor := ""; ; {
		got := get[page](t, p.url+"/api/v1/calls?limit=50"+cursor, token)
		for _, c := range got.Calls {
			total++
			byKey[c.Account+" "+c.CallKey] = c
			byMoment[moment{c.Account, c.Customer, when(c.Answered, c.Started)}] = c
		}
		if got.Next == nil {
			break
		}
		cursor = "&cursor=" + *got.Next
	}
	if total != day.Expected.Calls {
		t.Errorf("%d calls, want %d", total, day.Expected.Calls)
	}
	lost := map[int]bool{}
	for _, e := range day.Lost {
		lost[e.Conversation] = true
	}
	archived := map[string]string{}
	for i, want := range day.Conversations {
		got, ok := byKey[want.Account+" "+want.Key]
		// The row of a lost call tells its time: the first since it began, for the
		// customer may have called before, and be called back.
		var at time.Time
		for _, r := range day.Listed {
			if r.Account == want.Account && strings.Contains(string(r.Row), want.Customer[1:]) &&
				!r.At.Before(want.Started.Truncate(time.Second)) && (at.IsZero() || r.At.Before(at)) {
				at = r.At
			}
		}
		if !ok {
			got, ok = byMoment[moment{want.Account, want.Customer, at.Unix()}]
		}
		if !ok {
			t.Errorf("call %s of %s is missing", want.Key, want.Account)
			continue
		}
		// Of an unanswered call TeleCMI's list tells no more.
		outcome := got.Outcome == want.Outcome ||
			lost[i] && want.Account == "support" && want.Outcome != string(call.Answered) && got.Outcome == string(call.Missed)
		if got.Direction != want.Direction || !outcome || got.Customer != want.Customer {
			t.Errorf("call %s is %+v, want %+v", want.Key, got, want)
		}
		if want.Outcome == string(call.Answered) && (got.Talk == nil || *got.Talk != int(want.Talk/time.Second) || !got.Answered.Truncate(time.Second).Equal(want.Answered.Truncate(time.Second))) {
			t.Errorf("call %s: talk %v, answered %v, want %v and %v", want.Key, got.Talk, got.Answered, want.Talk, want.Answered)
		}
		for _, r := range got.Recordings {
			archived[r.State] += r.Source + "\n"
		}
	}
	if n := strings.Count(archived[string(call.Archived)], "\n"); n != day.Expected.Archived {
		t.Errorf("%d recordings archived, want %d", n, day.Expected.Archived)
	}

	counts := map[call.Reason]int64{}
	reconciled := get[struct {
		Days []struct {
			Account, Day string
			Counts       map[call.Reason]int64
			Calls        int64
		}
	}](t, p.url+"/api/v1/reconciliation?limit=500&from="+reconciledDay(day, 0)+"&to="+reconciledDay(day, 1), token)
	calls := int64(0)
	for _, d := range reconciled.Days {
		calls += d.Calls
		for reason, n := range d.Counts {
			counts[reason] += n
		}
	}
	if int(calls) != total {
		t.Errorf("%d calls are compared of %d", calls, total)
	}
	for reason, want := range map[call.Reason]int{
		call.NoBackfill: 2, call.NotRead: 0, call.NotTaken: 0, call.NotListed: 0, call.NotArchivedYet: 0, call.RecordingRefused: 0,
		call.NotNamed: day.Expected.Unnamed, call.RecordingAbsent: day.Expected.NeverAudio,
	} {
		if counts[reason] != int64(want) {
			t.Errorf("%d differences are %s, want %d", counts[reason], reason, want)
		}
	}
	if counts[call.NotDelivered] == 0 || otherIDs && counts[call.NotDelivered] != int64(len(lost)) {
		t.Errorf("%d calls were not delivered, of %d that lost reports", counts[call.NotDelivered], len(lost))
	}
}

// reconciledDay is the day of the conversations, or one later.
func reconciledDay(day *simulator.Day, later int) string {
	return day.Conversations[0].Started.In(time.FixedZone("IST", 19800)).AddDate(0, 0, later).Format(time.DateOnly)
}

func TestBackfillMisuse(t *testing.T) {
	t.Parallel()
	in := installListed(t, storage{}, http.NotFoundHandler())
	for _, tt := range []struct {
		args   string
		status int
		says   string
	}{
		{"--account none", exitWrong, "no account named"},
		{"--account alone", exitWrong, "no credentials"},
		{"--from yesterday", exitUsage, "must be a day such as"},
		{"--from 2026-11-02 --to 2026-11-01T10:00:00Z", exitUsage, "before --to"},
		{"--from 2999-01-01", exitUsage, "before --to"},
		{"--account sales --from 2026-11-01 --to 2026-11-01", exitWrong, "the provider answered 404"},
	} {
		got := command(t, "", append([]string{"backfill", "--data", in.data}, strings.Fields(tt.args)...)...)
		if got.status != tt.status || !strings.Contains(got.stderr, tt.says) || strings.Contains(got.stderr, salesAuthCode) {
			t.Errorf("%s: status %d, %s", tt.args, got.status, got.stderr)
		}
	}
}
