package console_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/console"

	"github.com/google/go-cmp/cmp"
)

// The password of every user in these tests, and its hash.
const password = "correct horse battery staple"

var passwordHash = console.HashPassword(password)

// fakeSession is a login that the fake store knows.
type fakeSession struct {
	user call.User
	ends time.Duration
}

func (s *fakeStore) User(_ context.Context, name string) (call.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.users[name]; ok {
		return u, s.err
	}
	return call.User{}, call.Errorf(call.NotFound, "no user %s", name)
}

func (s *fakeStore) AddSession(ctx context.Context, hash [32]byte, u call.User, lasts time.Duration) error {
	s.mu.Lock()
	if s.sessions == nil {
		s.sessions = map[[32]byte]fakeSession{}
	}
	s.sessions[hash] = fakeSession{u, lasts}
	s.mu.Unlock()
	return s.Audit(ctx, audit.Entry{Action: audit.UserLoggedIn, Actor: audit.ActorOf(ctx), Subject: "user/" + u.Name})
}

func (s *fakeStore) SessionUser(_ context.Context, hash [32]byte) (call.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, ok := s.sessions[hash]
	if !ok {
		return call.User{}, call.Errorf(call.NotFound, "no session")
	}
	return s.users[session.user.Name], nil
}

func (s *fakeStore) EndSession(ctx context.Context, hash [32]byte) error {
	if s.endErr != nil {
		return s.endErr
	}
	s.mu.Lock()
	u := s.sessions[hash].user
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
		if c.Name == "callvault_session" {
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

func TestLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	form := h.get(t, "/login?next=%2Fcalls%2Fcall-1", "", "Accept", "text/html")
	for _, want := range []string{`name="next" value="/calls/call-1"`, `autocomplete="current-password"`, `action="/login"`} {
		if !strings.Contains(string(form.body), want) {
			t.Errorf("the form lacks %s: %s", want, form.body)
		}
	}
	r := h.submit(t, "/login", url.Values{"name": {" manager "}, "password": {password}, "next": {"/calls/call-1"}})
	c := r.cookie(t)
	if r.status != http.StatusSeeOther || r.header.Get("Location") != "/calls/call-1" {
		t.Fatalf("status %d to %s", r.status, r.header.Get("Location"))
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 12*3600 || c.Secure {
		t.Errorf("the cookie is %v", c)
	}
	if token, err := base64.RawURLEncoding.DecodeString(c.Value); err != nil || len(token) != 32 {
		t.Errorf("the token has %d bytes, %v", len(token), err)
	}
	if len(h.store.sessions) != 1 {
		t.Errorf("%d sessions", len(h.store.sessions))
	}
	for hash, s := range h.store.sessions {
		if s.user.Name != "manager" || s.ends != 12*time.Hour || strings.Contains(string(hash[:]), c.Value) {
			t.Errorf("the session is %+v", s)
		}
	}
	session := []string{"Cookie", c.Name + "=" + c.Value, "Accept", "text/html"}
	if r := h.get(t, "/calls/call-1", "", session...); r.status != http.StatusOK {
		t.Errorf("the call: status %d: %s", r.status, r.body)
	}
	// Who is logged in needs no form, and home leads on.
	if r := h.get(t, "/login?next=%2Fcalls%2Fcall-1", "", session...); r.status != http.StatusSeeOther || r.header.Get("Location") != "/calls/call-1" {
		t.Errorf("status %d to %s", r.status, r.header.Get("Location"))
	}
	if r := h.get(t, "/", "", session...); r.status != http.StatusSeeOther || r.header.Get("Location") != "/reports" {
		t.Errorf("home: status %d to %s", r.status, r.header.Get("Location"))
	}
	out := h.submit(t, "/logout", nil, session[:2]...)
	if gone := out.cookie(t); out.status != http.StatusSeeOther || gone.MaxAge >= 0 || gone.Value != "" {
		t.Errorf("logout: status %d, %v", out.status, gone)
	}
	if r := h.get(t, "/calls/call-1", "", session...); r.status != http.StatusSeeOther || r.header.Get("Location") != "/login?next=%2Fcalls%2Fcall-1" {
		t.Errorf("after the logout: status %d to %s", r.status, r.header.Get("Location"))
	}
	want := []string{"user manager user.logged_in user/manager", "user manager call.viewed call/call-1", "user manager user.logged_out user/manager"}
	if diff := cmp.Diff(want, h.store.logged()); diff != "" {
		t.Error(diff)
	}
	for _, e := range h.store.entries {
		if e.Actor.Address != "127.0.0.1" {
			t.Errorf("entry is %+v", e)
		}
	}
}

// TestSecureCookie: where browsers come by TLS the session never goes without.
func TestSecureCookie(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, func(o *console.Options) { o.PublicURL = "https://calls.example.org" })
	h.people()
	// The proxy gives another host, and the browser is too old to say whence.
	r := h.submit(t, "/login", url.Values{"name": {"manager"}, "password": {password}}, "Sec-Fetch-Site", "", "Origin", "https://calls.example.org")
	if c := r.cookie(t); !c.Secure || r.status != http.StatusSeeOther {
		t.Errorf("status %d, %v", r.status, c)
	}
	if r := h.submit(t, "/login", url.Values{"name": {"manager"}, "password": {password}}, "Sec-Fetch-Site", "", "Origin", "https://evil.example.org"); r.status != http.StatusForbidden {
		t.Errorf("from elsewhere: status %d", r.status)
	}
}

// TestLoginLeadsNowhereElse: nobody is sent to another site by a link to the
// login.
func TestLoginLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	for next, want := range map[string]string{
		"/calls/call-1": "/calls/call-1",
		"/reports/run-1/files/a%20b.csv?revision=2": "/reports/run-1/files/a%20b.csv?revision=2",
		"":                              "/reports",
		"/":                             "/reports",
		"/login":                        "/reports",
		"/logout":                       "/reports",
		"https://evil.example.org":      "/reports",
		"https:evil.example.org":        "/reports",
		"//evil.example.org/calls/x":    "/reports",
		"///evil.example.org":           "/reports",
		"/\\evil.example.org":           "/reports",
		"\\\\evil.example.org":          "/reports",
		"/\t/evil.example.org":          "/reports",
		"\n//evil.example.org":          "/reports",
		"javascript:alert(1)":           "/reports",
		"evil.example.org":              "/reports",
		"/calls/\x00":                   "/reports",
		"/" + strings.Repeat("x", 3000): "/reports",
	} {
		r := h.submit(t, "/login", url.Values{"name": {"manager"}, "password": {password}, "next": {next}})
		if got := r.header.Get("Location"); r.status != http.StatusSeeOther || got != want {
			t.Errorf("%.40q leads to %q (status %d), want %q", next, got, r.status, want)
		}
		form := h.get(t, "/login?next="+url.QueryEscape(next), "")
		if strings.Contains(string(form.body), "evil") {
			t.Errorf("%.40q: the form has %s", next, form.body)
		}
	}
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

// TestWrongLogins: the answer is the same whatever is wrong; the log knows of a
// user that it was tried, and of what is no user only how often.
func TestWrongLogins(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	var answers []string
	for _, tried := range [][2]string{
		{"manager", "wrong"}, {"nobody", "wrong"}, {"gone", password}, {"", ""}, {"a\x00b", password}, {strings.Repeat("x", 5000), password}, {"MANAGER", password},
	} {
		r := h.submit(t, "/login", url.Values{"name": {tried[0]}, "password": {tried[1]}, "next": {"/calls/call-1"}})
		if r.status != http.StatusForbidden || len(r.header.Values("Set-Cookie")) != 0 || !strings.Contains(string(r.body), `value="/calls/call-1"`) {
			t.Errorf("%.20q: status %d: %.300s", tried, r.status, r.body)
		}
		_, answer, _ := strings.Cut(string(r.body), `role="alert">`)
		answer, _, _ = strings.Cut(answer, "<")
		answers = append(answers, answer)
	}
	if got := slices.Compact(answers); len(got) != 1 || got[0] != "The name or the password is wrong." {
		t.Errorf("the answers are %q", got)
	}
	if n := len(h.store.entries); n != 0 {
		t.Errorf("%d entries are written while somebody waits, which tells who there is", n)
	}
	if err := h.console.FlushLooks(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := h.store.logged()
	if want := []string{
		"stranger user.login_refused user/manager because wrong password",
		"stranger user.login_refused user/gone because the user is disabled",
	}; !cmp.Equal(want, got[:2]) || len(got) != 3 || !strings.Contains(got[2], `"login_refused":5`) {
		t.Errorf("the log has %q", got)
	}
	if strings.Contains(fmt.Sprint(got), "nobody") || strings.Contains(h.log.String(), password) {
		t.Error("what was typed is in a log")
	}
	if len(h.store.sessions) != 0 {
		t.Error("somebody is logged in")
	}
}

// TestGuessing: after some wrong passwords neither the address nor the user gets
// further for a while, with the right one either.
func TestGuessing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	try := func(name, with string) reply {
		t.Helper()
		return h.submit(t, "/login", url.Values{"name": {name}, "password": {with}})
	}
	for i := range 10 {
		if r := try("manager", "wrong"); r.status != http.StatusForbidden {
			t.Fatalf("%d: status %d", i, r.status)
		}
	}
	r := try("manager", password)
	if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "60" || !strings.Contains(string(r.body), "try again in 60 s") {
		t.Errorf("status %d after %s: %s", r.status, r.header.Get("Retry-After"), r.body)
	}
	if r := try("compliance", password); r.status != http.StatusSeeOther {
		t.Errorf("another user: status %d", r.status)
	}
	for i := range 20 {
		try(fmt.Sprint("user-", i), "wrong")
	}
	if r := try("compliance", password); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "10" {
		t.Errorf("the address: status %d after %s", r.status, r.header.Get("Retry-After"))
	}
	h.clock = h.clock.Add(time.Minute)
	if r := try("manager", password); r.status != http.StatusSeeOther {
		t.Errorf("a minute later: status %d", r.status)
	}
}

// TestFormsAreBounded: nobody fills the memory, and a broken form is an error.
func TestFormsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	if r := h.submit(t, "/login", url.Values{"name": {"manager"}, "password": {strings.Repeat("x", 20_000)}}); r.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long one: status %d", r.status)
	}
	if r := h.do(t, http.MethodPost, "/login", "", "Content-Type", "multipart/form-data"); r.status != http.StatusForbidden && r.status != http.StatusBadRequest {
		t.Errorf("another kind: status %d", r.status)
	}
	if r := h.do(t, http.MethodPut, "/login", ""); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT: status %d", r.status)
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
	for i := range 30 {
		if r := h.get(t, "/reports", "", "Cookie", "callvault_session="+made); r.status != http.StatusSeeOther {
			t.Fatalf("%d: status %d", i, r.status)
		}
	}
	if r := h.get(t, "/reports", "", "Cookie", "callvault_session="+made, "Accept", "text/html"); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
		t.Errorf("status %d: %s", r.status, r.body)
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
