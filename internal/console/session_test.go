package console_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/console"
)

// The password of every user in these tests, and its hash.
const password = "correct horse battery staple"

var passwordHash = console.HashPassword(password)

func (s *fakeStore) User(_ context.Context, name string) (call.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.users[name]; ok {
		return u, s.err
	}
	return call.User{}, call.Errorf(call.NotFound, "no user %s", name)
}

func (s *fakeStore) HasLoggedInFrom(_ context.Context, name, network string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.networks[name+" "+network], nil
}

func (s *fakeStore) AddSession(ctx context.Context, in call.Session) error {
	s.mu.Lock()
	if s.sessions == nil {
		s.sessions, s.networks = map[[32]byte]call.Session{}, map[string]bool{}
	}
	s.sessions[in.Hash] = in
	s.networks[in.User.Name+" "+in.Network] = true
	s.mu.Unlock()
	return s.Audit(ctx, audit.Entry{Action: audit.UserLoggedIn, Actor: audit.ActorOf(ctx), Subject: "user/" + in.User.Name})
}

func (s *fakeStore) SessionUser(_ context.Context, hash [32]byte) (call.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.sessions[hash]
	if !ok {
		return call.User{}, call.Errorf(call.NotFound, "no session")
	}
	return s.users[session.User.Name], nil
}

func (s *fakeStore) EndSession(ctx context.Context, hash [32]byte) error {
	if s.endErr != nil {
		return s.endErr
	}
	s.mu.Lock()
	u := s.sessions[hash].User
	delete(s.sessions, hash)
	s.mu.Unlock()
	return s.Audit(ctx, audit.Entry{Action: audit.UserLoggedOut, Actor: audit.ActorOf(ctx), Subject: "user/" + u.Name})
}

// people puts users into the house: of each role one of that name, and leila, a
// manager, and omar, a compliance officer, of the group Sales alone.
func (h *house) people() {
	h.store.users = map[string]call.User{}
	for _, role := range call.Roles() {
		h.store.users[string(role)] = call.User{Name: string(role), Role: role, PasswordHash: passwordHash}
	}
	h.store.users["leila"] = call.User{Name: "leila", Role: call.Manager, Groups: []string{"Sales"}, PasswordHash: passwordHash}
	h.store.users["omar"] = call.User{Name: "omar", Role: call.Compliance, Groups: []string{"Sales"}, PasswordHash: passwordHash}
	h.store.users["gone"] = call.User{Name: "gone", Role: call.Admin, PasswordHash: passwordHash, Disabled: true}
}

// submit sends a form as a browser on the same site does.
func (h *house) submit(t *testing.T, path string, form url.Values, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "text/html,*/*")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, body}
}

// cookie is the session's cookie that an answer sets.
func (r reply) cookie(t *testing.T) *http.Cookie {
	t.Helper()
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if strings.TrimPrefix(c.Name, "__Host-") == "callvault_session" {
			return c
		}
	}
	t.Fatalf("status %d sets no session: %v", r.status, r.header)
	return nil
}

// loggedIn logs a user in, and is the header with which a browser goes on.
func (h *house) loggedIn(t *testing.T, name string) []string {
	t.Helper()
	r := h.submit(t, "/login", url.Values{"name": {name}, "password": {password}})
	if r.status != http.StatusSeeOther {
		t.Fatalf("log in as %s: status %d: %s", name, r.status, r.body)
	}
	return []string{"Cookie", "callvault_session=" + r.cookie(t).Value, "Accept", "text/html,*/*;q=0.8"}
}

// TestFormsOfOtherSites: no other site can log anybody in or out.
func TestFormsOfOtherSites(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	session := h.loggedIn(t, "manager")
	form := url.Values{"name": {"manager"}, "password": {password}}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "", "Origin", "https://evil.example.org"}, {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		for _, path := range []string{"/login", "/logout"} {
			r := h.submit(t, path, form, append(slices.Clone(header), session[:2]...)...)
			if r.status != http.StatusForbidden || len(r.header.Values("Set-Cookie")) != 0 || !strings.Contains(string(r.body), "another site") {
				t.Errorf("%s with %v: status %d: %s", path, header, r.status, r.body)
			}
		}
	}
	if r := h.get(t, "/reports", "", session...); r.status != http.StatusOK {
		t.Errorf("the session has ended: status %d", r.status)
	}
	h.store.endErr = errors.New("disk full")
	if r := h.submit(t, "/logout", nil, session[:2]...); r.status != http.StatusInternalServerError || r.cookie(t).MaxAge >= 0 {
		t.Errorf("a logout that the database does not take: status %d", r.status)
	}
	if r := h.get(t, "/logout", "", session...); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" {
		t.Errorf("a link to the logout: status %d", r.status)
	}
	if err := h.console.FlushLooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.store.logged(); !strings.Contains(got[len(got)-1], `"cross_origin":8`) {
		t.Errorf("the log has %v", got)
	}
}

// TestSessionsAreNoTokens: the API takes no cookies, and pages no tokens; what is
// no session is counted.
func TestSessionsAreNoTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	session := h.loggedIn(t, "admin")
	for _, path := range []string{"/api/v1/calls/call-1", "/api/v1/recordings/rec-1/audio", "/api/v1/reports"} {
		h.get(t, path, "", session...).wantError(t, http.StatusUnauthorized, call.Unauthorized)
	}
	if r := h.get(t, "/calls/call-1", admin); r.status != http.StatusSeeOther {
		t.Errorf("a token: status %d", r.status)
	}
	made := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	for i, value := range []string{"", "x", made[:20], made + "AAAA", "=" + made} {
		if r := h.get(t, "/reports", "", "Cookie", "callvault_session="+value); r.status != http.StatusSeeOther {
			t.Errorf("%d: status %d", i, r.status)
		}
	}
	for range 30 { // wrong tokens are a program's, and shut out nobody who is logged in
		h.get(t, "/api/v1/reports", "wrong")
	}
	if r := h.get(t, "/reports", "", session...); r.status != http.StatusOK {
		t.Errorf("after wrong tokens: status %d", r.status)
	}
	for i := range 40 { // nor do sessions that are none, as all have after a rebuild
		if r := h.get(t, "/reports", "", "Cookie", "callvault_session="+made); r.status != http.StatusSeeOther {
			t.Fatalf("%d: status %d", i, r.status)
		}
	}
	if r := h.get(t, "/reports", "", session...); r.status != http.StatusOK {
		t.Errorf("after sessions that are none: status %d: %s", r.status, r.body)
	}
}

// TestSessionFollowsItsUser: what somebody may is asked each time.
func TestSessionFollowsItsUser(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	session := h.loggedIn(t, "admin")
	if r := h.get(t, "/recordings/rec-1/audio", "", session...); r.status != http.StatusOK {
		t.Fatalf("status %d", r.status)
	}
	u := h.store.users["admin"]
	u.Role = call.Viewer
	h.store.users["admin"] = u
	if r := h.get(t, "/recordings/rec-1/audio", "", session...); r.status != http.StatusForbidden {
		t.Errorf("as a viewer: status %d", r.status)
	}
	u.Role = "another"
	h.store.users["admin"] = u
	if r := h.get(t, "/reports", "", session...); r.status != http.StatusSeeOther {
		t.Errorf("of a role that there is not: status %d", r.status)
	}
	u.Role, u.Disabled = call.Admin, true
	h.store.users["admin"] = u
	if r := h.get(t, "/reports", "", session...); r.status != http.StatusSeeOther {
		t.Errorf("disabled: status %d", r.status)
	}
}
