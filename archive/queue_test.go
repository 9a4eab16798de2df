package archive_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/safehttp"
	"callvault/internal/simulator"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

const (
	appID  = "2222223"
	secret = "hunter2 & more"
)

var started = time.Date(2026, 11, 20, 20, 0, 0, 0, time.FixedZone("IST", 19800))

// onSQLite is a store that is quick to open.
func onSQLite(t testing.TB) *store.Store {
	t.Helper()
	return openStore(t, store.Options{Path: filepath.Join(t.TempDir(), "callvault.db")})
}

func openStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, s) })
	return s
}

func onDirectory(t testing.TB) *archive.Directory {
	t.Helper()
	v, err := archive.OpenDirectory(filepath.Join(t.TempDir(), "vault"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, v) })
	return v
}

// wanted is a call that should have the recording. A source without a scheme
// is TeleCMI's. attempt makes the report another one than before.
func wanted(source, location string, attempt int) *call.Delivery {
	l := &call.Leg{
		Account: "sales", Provider: call.CallerDesk, Key: "call of " + source, Direction: call.Inbound,
		Outcome: call.Answered, StartedAt: started, TalkSeconds: new(40), HangupCause: fmt.Sprint(attempt),
		Recordings: []call.Wanted{{Kind: call.Conversation, Source: source, Location: location}},
	}
	if !strings.Contains(source, "://") {
		l.Account, l.Provider = "support", call.TeleCMI
	}
	l.AddKey(call.KeyCall, l.Key)
	return &call.Delivery{
		Account: l.Account, ReceivedAt: time.Now(), Method: http.MethodPost, Source: call.SourceWebhook,
		Items: []call.Item{{Leg: l}},
	}
}

// queue records deliveries and returns the first one's recording.
func queue(t testing.TB, s *store.Store, deliveries ...*call.Delivery) func() call.Recording {
	t.Helper()
	if err := s.Record(t.Context(), deliveries); err != nil {
		t.Fatal(err)
	}
	return func() call.Recording {
		t.Helper()
		detail, err := s.Call(t.Context(), deliveries[0].CallIDs[0])
		if err != nil {
			t.Fatal(err)
		}
		return detail.Recordings[0]
	}
}

// options are those of an archiver that may fetch from loopback.
func options(t testing.TB, s archive.Store, v archive.Vault, host string) archive.Options {
	t.Helper()
	return archive.Options{
		Store: s, Vault: v, SpoolDir: t.TempDir(),
		Accounts: []archive.Account{
			{Name: "sales", Provider: call.CallerDesk, RecordingHosts: []string{"127.0.0.1"}, AllowPrivateNetworks: true},
			{Name: "support", Provider: call.TeleCMI, APIURL: host + "/v2", AppID: appID, Secret: secret, AllowPrivateNetworks: true},
		},
		GiveUpAfter: time.Second,
		Logger:      slog.New(noSecrets{t}),
	}
}

// noSecrets fails the test when a secret is logged.
type noSecrets struct{ t testing.TB }

func (noSecrets) Enabled(context.Context, slog.Level) bool { return true }
func (h noSecrets) WithGroup(string) slog.Handler          { return h }
func (h noSecrets) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.check("", a)
	}
	return h
}

func (h noSecrets) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		h.check(r.Message, a)
		return true
	})
	return nil
}

func (h noSecrets) check(message string, a slog.Attr) {
	if text := a.Value.String(); strings.Contains(text, "hunter2") {
		h.t.Errorf("log: %s: %s: %s", message, a.Key, text)
	}
}

// run runs an archiver until the test ends, or stop is called.
func run(t testing.TB, o archive.Options) (a *archive.Archiver, stop func()) {
	t.Helper()
	a, err := archive.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return a, stop
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func stats(t testing.TB, s *store.Store) call.QueueStats {
	t.Helper()
	q, err := s.QueueStats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// recorded is a recording of so many seconds.
func recorded(t *testing.T, seconds int) []byte {
	t.Helper()
	r := simulator.Recording{Source: "/incoming/a.wav", Format: simulator.WAVMuLaw, Duration: time.Duration(seconds) * time.Second}
	b, err := io.ReadAll(r.Audio())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDay archives all recordings of a simulated day, with their faults.
func TestDay(t *testing.T) {
	t.Parallel()
	t.Run("SQLite and a directory", func(t *testing.T) {
		t.Parallel()
		testDay(t, onSQLite(t), onDirectory(t), 1)
	})
	t.Run("PostgreSQL, S3 and two nodes", func(t *testing.T) {
		t.Parallel()
		v := openS3(t, s3Options(testenv.MinIO(t, testenv.BucketOptions{})))
		testDay(t, openStore(t, store.Options{DSN: testenv.Postgres(t)}), v, 2)
	})
}

func testDay(t *testing.T, s *store.Store, v archive.Vault, nodes int) {
	day, err := simulator.NewDay(simulator.Options{Calls: 60, Date: started, Later: 2})
	if err != nil {
		t.Fatal(err)
	}
	provider := simulator.NewServer(simulator.ServerOptions{AppID: 2222223, Secret: secret, Recordings: day.Recordings})
	host := serve(t, provider)
	counted := &countingVault{Vault: v, puts: map[string]int{}}
	var deliveries []*call.Delivery
	bySource := map[string]simulator.Recording{}
	for _, r := range day.Recordings {
		source := r.Source
		if strings.HasPrefix(source, "/") {
			source = host + source
		}
		bySource[source] = r
		deliveries = append(deliveries, wanted(source, "", 0))
	}
	for range nodes {
		o := options(t, s, counted, host)
		o.GiveUpAfter = 2 * time.Second
		run(t, o)
	}
	queue(t, s, deliveries...)
	eventually(t, "the day is archived", func() bool { return stats(t, s).Pending == 0 })

	if q := stats(t, s); int(q.Archived) != day.Expected.Archived || int(q.Absent) != day.Expected.NeverAudio {
		t.Errorf("queue is %+v, want %d archived and %d absent", q, day.Expected.Archived, day.Expected.NeverAudio)
	}
	keys := list(t, v, "calls/2026/11/20/")
	if len(keys) != day.Expected.Archived {
		t.Errorf("%d objects, want %d", len(keys), day.Expected.Archived)
	}
	counted.mu.Lock()
	defer counted.mu.Unlock()
	for _, d := range deliveries {
		detail, err := s.Call(t.Context(), d.CallIDs[0])
		if err != nil {
			t.Fatal(err)
		}
		r := detail.Recordings[0]
		truth := bySource[r.Source]
		if r.State == call.Absent {
			if truth.ErrorPage == "" || !strings.Contains(r.Reason, "text/html") {
				t.Errorf("absent: %+v", r)
			}
			continue
		}
		body, info := read(t, v, r.ObjectKey, 0, -1)
		audio, err := io.ReadAll(truth.Audio())
		if err != nil {
			t.Fatal(err)
		}
		sum := describe(audio).SHA256
		want := call.Recording{
			State: call.Archived, Size: int64(len(audio)), SHA256: hex.EncodeToString(sum[:]), MediaType: truth.Format.MediaType(),
			ObjectKey:    "calls/2026/11/20/" + r.Account + "/" + r.ID + filepath.Ext(r.ObjectKey),
			AudioSeconds: new(int(truth.Duration.Round(time.Second) / time.Second)),
		}
		got := call.Recording{
			State: r.State, Size: r.Size, SHA256: r.SHA256, MediaType: r.MediaType, ObjectKey: r.ObjectKey, AudioSeconds: r.AudioSeconds,
		}
		if m := r.Media; m.Codec == "" || m.Channels != 1 || m.Truncated || m.Corrupt != 0 {
			t.Errorf("%s: media is %+v", r.Source, m)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.Source, diff)
		}
		if string(body) != string(audio) || counted.puts[r.ObjectKey] != 1 {
			t.Errorf("%s: %d bytes put %d times", r.Source, len(body), counted.puts[r.ObjectKey])
		}
		if _, s3 := v.(*archive.S3); s3 && (info.SHA256 != sum || info.Metadata["call-key"] != "call of "+r.Source || info.Metadata["recording-id"] != r.ID) {
			t.Errorf("%s: metadata is %v", r.Source, info.Metadata)
		}
	}
}

// countingVault counts how often each key is put.
type countingVault struct {
	archive.Vault

	mu   sync.Mutex
	puts map[string]int
}

func (v *countingVault) Put(ctx context.Context, key string, body io.ReaderAt, opts archive.PutOptions) error {
	v.mu.Lock()
	v.puts[key]++
	v.mu.Unlock()
	return v.Vault.Put(ctx, key, body, opts)
}

// TestAnswers shows each kind of answer to an archiver and looks at what
// becomes of the recording.
func TestAnswers(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 3)
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	withoutLength := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "audio/wav")
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(body)
		}
	}
	png := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + strings.Repeat("\x00", 200)
	endless := append([]byte(nil), audio...)
	copy(endless[4:], "\xff\xff\xff\xff")
	cases := map[string]struct {
		telecmi bool
		handler http.HandlerFunc
		state   call.RecordingState
		reason  string // part of it
	}{
		"audio":                            {false, answer(200, "audio/wav", string(audio)), call.Archived, ""},
		"audio called text":                {false, answer(200, "text/html", string(audio)), call.Archived, ""},
		"audio without length":             {false, withoutLength(audio), call.Archived, ""},
		"audio of unknown length":          {false, withoutLength(endless), call.Archived, ""},
		"audio after a redirect":           {false, moved(audio), call.Archived, ""},
		"truncated":                        {false, truncated(audio), call.Absent, "ended the answer"},
		"truncated at the beginning":       {false, truncated(audio[:2000]), call.Absent, "ended the answer"},
		"header says more, to the end":     {false, withoutLength(audio[:9000]), call.Archived, ""},
		"too large":                        {false, answer(200, "audio/wav", string(audio)+strings.Repeat("x", 100_000)), call.Refused, "100000 bytes"},
		"too large without length":         {false, withoutLength(append(slices.Clip(audio), make([]byte, 100_000)...)), call.Refused, "100000 bytes"},
		"error page":                       {false, answer(200, "audio/wav", "<!DOCTYPE html><html><body>Sorry</body></html>"), call.Absent, "text/html"},
		"text":                             {false, answer(200, "text/plain", "No recorded File"), call.Absent, "text/plain"},
		"nothing":                          {false, answer(200, "audio/wav", ""), call.Absent, "with nothing"},
		"tiny":                             {false, answer(200, "audio/wav", string(audio[:50])), call.Absent, "only 50 bytes"},
		"image":                            {false, answer(200, "audio/wav", png), call.Refused, "image/png"},
		"document":                         {false, answer(200, "audio/wav", "%PDF-1.7\n"+strings.Repeat(" ", 200)), call.Refused, "application/pdf"},
		"not found":                        {false, answer(404, "text/html", "<html>"), call.Absent, "404 Not Found"},
		"audio under not found":            {false, answer(404, "audio/wav", string(audio)), call.Absent, "404 Not Found"},
		"gone":                             {false, answer(410, "text/html", "<html>"), call.Absent, "410 Gone"},
		"unauthorized":                     {false, answer(401, "text/html", "<html>"), call.Absent, "401 Unauthorized"},
		"forbidden":                        {false, answer(403, "text/html", "<html>"), call.Absent, "403 Forbidden"},
		"too many requests":                {false, answer(429, "text/plain", ""), call.Absent, "429 Too Many Requests"},
		"broken":                           {false, answer(503, "text/plain", ""), call.Absent, "503 Service Unavailable"},
		"partial":                          {false, answer(206, "audio/wav", string(audio)), call.Absent, "206 Partial Content"},
		"redirect to the inside":           {false, redirect("http://169.254.169.254/latest/meta-data"), call.Refused, safehttp.ReasonAddress},
		"redirect to somewhere else":       {false, redirect("http://other.example.org/?secret=hunter2"), call.Refused, safehttp.ReasonHost},
		"redirect in a circle":             {false, redirect(""), call.Absent, "too many redirects"},
		"slow":                             {false, slow(audio), call.Absent, "too slowly"},
		"no answer":                        {false, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, call.Absent, "the connection was cut"},
		"TeleCMI audio":                    {true, answer(200, "audio/mpeg", string(audio)), call.Archived, ""},
		"TeleCMI not ready":                {true, answer(200, "application/json", `{"code":502,"msg":"Internal Server Error"}`), call.Absent, "code 502 Internal Server Error"},
		"TeleCMI credentials":              {true, answer(200, "application/json", `{"code":407,"error":true,"msg":"Authentication Failed"}`), call.Refused, call.CredentialsRejected},
		"TeleCMI credentials, in quotes":   {true, answer(200, "text/html", `{"code":"407","error":true}`), call.Refused, call.CredentialsRejected},
		"TeleCMI credentials, by status":   {true, answer(407, "text/html", ""), call.Refused, call.CredentialsRejected},
		"TeleCMI parameter missing":        {true, answer(200, "application/json", `{"code":404,"error":true,"msg":"Parameter missing"}`), call.Refused, "Parameter missing"},
		"TeleCMI file missing":             {true, answer(200, "application/json", `{"code":404,"msg":"no such file"}`), call.Absent, "no such file"},
		"TeleCMI quotes the secret":        {true, answer(200, "application/json", `{"code":500,"msg":"bad hunter2 & more!"}`), call.Absent, "code 500 (its message quotes the secret)"},
		"TeleCMI quotes the request":       {true, quoting(func(r *http.Request) string { return r.URL.RequestURI() }), call.Absent, "quotes the secret"},
		"TeleCMI quotes it as scripts do":  {true, quoting(func(*http.Request) string { return "secret=hunter2%20%26%20more" }), call.Absent, "quotes the secret"},
		"TeleCMI quotes it as a path":      {true, quoting(func(r *http.Request) string { return url.PathEscape(r.URL.Query().Get("secret")) }), call.Absent, "quotes the secret"},
		"TeleCMI quotes it in small":       {true, quoting(func(r *http.Request) string { return "100% " + strings.ToLower(r.URL.RawQuery) }), call.Absent, "quotes the secret"},
		"TeleCMI quotes it twice escaped":  {true, quoting(func(r *http.Request) string { return url.QueryEscape(r.URL.String()) }), call.Absent, "quotes the secret"},
		"TeleCMI quotes it for a page":     {true, quoting(func(r *http.Request) string { return html.EscapeString(r.URL.Query().Get("secret")) }), call.Absent, "quotes the secret"},
		"TeleCMI has a parameter quoted":   {true, answer(200, "application/json", `{"code":404,"msg":"Parameter secret=hunter2+%26+more"}`), call.Refused, "quotes the secret"},
		"TeleCMI error page":               {true, answer(200, "text/html", "<html><body>Cannot GET</body></html>"), call.Absent, "text/html"},
		"TeleCMI code of another kind":     {true, answer(200, "application/json", `{"code":{"a":1}}`), call.Absent, "application/json"},
		"TeleCMI moves to an unknown host": {true, redirect("http://other.example.org/a.wav"), call.Pending, ""},
	}
	mux := http.NewServeMux()
	host := serve(t, mux)
	s, v := onSQLite(t), onDirectory(t)
	o := options(t, s, v, host)
	o.MaxSize, o.Workers, o.PerHost = 100_000, 64, 64
	o.Fetch = safehttp.Options{SlowTime: 100 * time.Millisecond}
	o.Accounts[0].RecordingHosts = append(o.Accounts[0].RecordingHosts, "169.254.169.254")
	recordings := map[string]func() call.Recording{}
	for name, tt := range cases {
		// Every case of TeleCMI is an account of its own: some are paused.
		id := fmt.Sprintf("case%d", len(recordings))
		mux.Handle("/"+id+"/", tt.handler)
		d := wanted(host+"/"+id+"/a.wav", "", 0)
		if tt.telecmi {
			d = wanted("1634720915260737218351_2222223.mp3", "", 0)
			d.Account, d.Items[0].Leg.Account = id, id
			account := o.Accounts[1]
			account.Name, account.APIURL = id, host+"/"+id
			o.Accounts = append(o.Accounts, account)
		}
		recordings[name] = queue(t, s, d)
	}
	run(t, o)
	eventually(t, "all but the paused is settled", func() bool {
		q := stats(t, s)
		return q.Pending == 1 && q.Leased == 0
	})
	paused, err := s.PausedAccounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range cases {
		r := recordings[name]()
		if r.State != tt.state || !strings.Contains(r.Reason, tt.reason) || strings.Contains(r.Reason+r.LastError, "hunter2") {
			t.Errorf("%s: %s: %q", name, r.State, r.Reason)
		}
		if (r.State == call.Archived) != (r.ObjectKey != "") {
			t.Errorf("%s: the object key is %q", name, r.ObjectKey)
		}
		if r.State == call.Absent && r.Attempts < 6 {
			t.Errorf("%s: given up after %d tries", name, r.Attempts)
		}
		if stop := r.State == call.Pending || r.Reason == call.CredentialsRejected; stop != (paused[r.Account] != "") {
			t.Errorf("%s: the account is paused: %q", name, paused[r.Account])
		}
	}
}

func moved(audio []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if path.Base(r.URL.Path) != "moved" {
			http.Redirect(w, r, "moved", http.StatusFound)
			return
		}
		_, _ = w.Write(audio)
	}
}

// quoting answers with an error that repeats some of the request.
func quoting(what func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"code": 500, "msg": "Cannot GET " + what(r)})
	}
}

func truncated(audio []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(audio)+1000))
		_, _ = w.Write(audio)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// slow sends a little and then nothing.
func slow(audio []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(audio[:5000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// TestBusy: while something more urgent needs the machine, one recording is
// under way at a time.
func TestBusy(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most := 0, 0
	audio := recorded(t, 1)
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		_, _ = w.Write(audio)
		mu.Lock()
		now--
		mu.Unlock()
	}))
	s := onSQLite(t)
	var deliveries []*call.Delivery
	for i := range 12 {
		deliveries = append(deliveries, wanted(fmt.Sprintf("%s/%d.wav", host, i), "", 0))
	}
	queue(t, s, deliveries...)
	o := options(t, s, onDirectory(t), host)
	o.Workers, o.PerHost, o.Busy = 8, 8, func() bool { return true }
	run(t, o)
	eventually(t, "all are archived", func() bool { return stats(t, s).Archived == 12 })
	mu.Lock()
	defer mu.Unlock()
	if most != 1 {
		t.Errorf("%d at once", most)
	}
}
