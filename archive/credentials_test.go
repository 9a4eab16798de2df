package archive_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"

	"callvault/archive"
	"callvault/internal/call"
)

// TestMappedCredentials fetches with basic credentials, headers and parameters;
// none of them goes along to another host, nor is seen anywhere.
func TestMappedCredentials(t *testing.T) {
	t.Parallel()
	audio := recorded(t, 1)
	var mu sync.Mutex
	strangers := map[string]http.Header{}
	var queries []string
	elsewhere := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		strangers[r.URL.Path] = r.Header
		queries = append(queries, r.URL.RawQuery)
		if r.URL.Path == "/denied.wav" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(audio)
	}))
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "AC1" || password != "hunter2" || r.Header.Get("X-Api-Key") != "hunter3" || r.URL.Query().Get("key") != "hunter 4" || r.URL.Query().Get("v") != "1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if to, away := strings.CutPrefix(r.URL.Path, "/away/"); away {
			http.Redirect(w, r, elsewhere+"/"+to, http.StatusFound)
			return
		}
		_, _ = w.Write(audio)
	}))
	s, v := onSQLite(t), onDirectory(t)
	var log bytes.Buffer
	start := func(c archive.Credentials) func() {
		o := options(t, s, v, host)
		o.Workers = 1
		o.Accounts[0] = archive.Account{Name: "sales", Provider: call.Mapped, AllowPrivateNetworks: true, Credentials: c,
			RecordingHosts: []string{strings.TrimPrefix(host, "http://"), strings.TrimPrefix(elsewhere, "http://")}}
		o.Logger = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(line)
		}), &slog.HandlerOptions{Level: slog.LevelDebug}))
		_, stop := run(t, o)
		return stop
	}
	first := queue(t, s, wanted(host+"/a.wav?v=1", "", 0))
	right := archive.Credentials{User: "AC1", Password: "hunter2", Header: http.Header{"X-Api-Key": {"hunter3"}}, Query: url.Values{"key": {"hunter 4"}}}
	wrong := right
	wrong.Password = "hunter5"
	stop := start(wrong)
	eventually(t, "the account with wrong credentials is paused", func() bool {
		accounts, err := s.PausedAccounts(t.Context())
		return err == nil && strings.Contains(accounts["sales"], "recording_password") && stats(t, s).Leased == 0
	})
	stop()
	if r := first(); r.State != call.Refused || r.Reason != call.CredentialsRejected {
		t.Errorf("recording is %+v", r)
	}
	denied := queue(t, s, wanted(host+"/away/denied.wav?v=1", "", 0))
	queue(t, s, wanted(host+"/away/b.wav?v=1", "", 0))
	stop = start(right)
	eventually(t, "two are archived", func() bool { return stats(t, s).Archived == 2 })
	eventually(t, "another host's refusal is no reason to pause", func() bool { return denied().LastError != "" })
	stop()
	if accounts, err := s.PausedAccounts(t.Context()); err != nil || len(accounts) != 0 {
		t.Errorf("paused: %v, %v", accounts, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(strangers) != 2 {
		t.Errorf("asked elsewhere: %v", strangers)
	}
	for at, header := range strangers {
		if header.Get("Authorization") != "" || header.Get("X-Api-Key") != "" {
			t.Errorf("%s was told %v", path.Base(at), header)
		}
	}
	for _, seen := range []string{log.String(), strings.Join(queries, " "), first().Location + first().Source + first().Reason,
		denied().LastError + denied().Reason + denied().Source} {
		if strings.Contains(seen, "hunter") {
			t.Errorf("a secret is seen in %s", seen)
		}
	}
}
