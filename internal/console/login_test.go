package console_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/internal/console"

	"github.com/google/go-cmp/cmp"
)

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
		if s.User.Name != "manager" || s.Lasts != 12*time.Hour || s.Network != "127.0.0.1/32" || strings.Contains(string(hash[:]), c.Value) {
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
	c := r.cookie(t)
	if !c.Secure || r.status != http.StatusSeeOther || c.Name != "__Host-callvault_session" || c.Path != "/" || c.Domain != "" {
		t.Errorf("status %d, %v", r.status, c)
	}
	if r := h.get(t, "/reports", "", "Cookie", c.Name+"="+c.Value); r.status != http.StatusOK {
		t.Errorf("with the cookie: status %d", r.status)
	}
	if r := h.get(t, "/reports", "", "Cookie", "callvault_session="+c.Value); r.status != http.StatusSeeOther {
		t.Errorf("with a cookie that anybody could have set: status %d", r.status)
	}
	if gone := h.submit(t, "/logout", nil, "Cookie", c.Name+"="+c.Value).cookie(t); gone.Name != c.Name || !gone.Secure || gone.Path != "/" || gone.MaxAge >= 0 {
		t.Errorf("a browser would not forget it: %v", gone)
	}
	if r := h.submit(t, "/login", url.Values{"name": {"manager"}, "password": {password}}, "Sec-Fetch-Site", "", "Origin", "https://evil.example.org"); r.status != http.StatusForbidden {
		t.Errorf("from elsewhere: status %d", r.status)
	}
}

// TestLoginThatWouldBeLost: who opens the server past the proxy would log in
// again and again, for the browser does not keep a cookie of TLS.
func TestLoginThatWouldBeLost(t *testing.T) {
	t.Parallel()
	h := newHouseWith(t, func(o *console.Options) { o.PublicURL = "https://calls.example.org" })
	h.people()
	form := url.Values{"name": {"manager"}, "password": {password}}
	here := strings.TrimPrefix(h.url, "http://")
	for origin, want := range map[string]int{
		"http://10.0.0.5:8080": http.StatusBadRequest, "http://callvault.internal": http.StatusBadRequest,
		"http://" + here: http.StatusSeeOther, "http://localhost:8080": http.StatusSeeOther, "https://calls.example.org": http.StatusSeeOther,
	} {
		r := h.submit(t, "/login", form, "Origin", origin)
		if r.status != want || want == http.StatusBadRequest && (!strings.Contains(r.pageText(t), "open https://calls.example.org instead") || len(r.header.Values("Set-Cookie")) > 0) {
			t.Errorf("%s: status %d: %s", origin, r.status, r.body)
		}
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
		got := r.header.Get("Location")
		if r.status == http.StatusOK { // to a file, which the browser keeps beside the page
			got = strings.TrimPrefix(r.header.Get("Refresh"), "0; url=")
			if links := r.attributes(t, "a", "href"); !slices.Contains(links, got) || !strings.HasPrefix(got, "/reports/") {
				t.Errorf("%.40q: the page has links to %v", next, links)
			}
		} else if r.status != http.StatusSeeOther {
			t.Errorf("%.40q: status %d", next, r.status)
		}
		if got != want {
			t.Errorf("%.40q leads to %q (status %d), want %q", next, got, r.status, want)
		}
		form := h.get(t, "/login?next="+url.QueryEscape(next), "")
		if strings.Contains(string(form.body), "evil") {
			t.Errorf("%.40q: the form has %s", next, form.body)
		}
	}
}

// TestUnknownProxy: people who come by https through a proxy of which the
// configuration does not tell have logins that may go without TLS; the log says
// so, once.
func TestUnknownProxy(t *testing.T) {
	t.Parallel()
	for publicURL, warnings := range map[string]int{"": 1, "http://calls.example.org": 1, "https://calls.example.org": 0} {
		h := newHouseWith(t, func(o *console.Options) { o.PublicURL = publicURL })
		h.people()
		h.tryAs(t, "manager", "wrong", "192.0.2.1") // strangers write nothing there
		for _, proto := range []string{"", "http", "https", "https"} {
			r := h.submit(t, "/login", url.Values{"name": {"manager"}, "password": {password}}, "X-Forwarded-Proto", proto)
			if c := r.cookie(t); c.Secure != (warnings == 0) {
				t.Errorf("%q: %v", publicURL, c)
			}
			if proto == "http" && strings.Contains(h.log.String(), "public_url") {
				t.Errorf("%q: a warning of nothing", publicURL)
			}
		}
		if n := strings.Count(h.log.String(), "set public_url"); n != warnings {
			t.Errorf("%q: %d warnings", publicURL, n)
		}
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

// tryAs tries to log in from an address.
func (h *house) tryAs(t *testing.T, name, with, from string) reply {
	t.Helper()
	return h.submit(t, "/login", url.Values{"name": {name}, "password": {with}}, "X-Forwarded-For", from)
}

// TestGuessing: after some wrong passwords neither the address nor the user at it
// gets further for a while, with the right one either.
func TestGuessing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	const here, there = "192.0.2.1", "192.0.2.2"
	for i := range 10 {
		if r := h.tryAs(t, "manager", "wrong", here); r.status != http.StatusForbidden {
			t.Fatalf("%d: status %d", i, r.status)
		}
	}
	r := h.tryAs(t, "manager", password, here)
	if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "60" || !strings.Contains(string(r.body), "try again in 60 s") {
		t.Errorf("status %d after %s: %s", r.status, r.header.Get("Retry-After"), r.body)
	}
	if r := h.tryAs(t, "compliance", password, here); r.status != http.StatusSeeOther {
		t.Errorf("another user: status %d", r.status)
	}
	if r := h.tryAs(t, "manager", password, there); r.status != http.StatusSeeOther {
		t.Errorf("another address: status %d", r.status)
	}
	for i := range 20 {
		h.tryAs(t, fmt.Sprint("user-", i), "wrong", here)
	}
	if r := h.tryAs(t, "viewer", password, here); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "10" {
		t.Errorf("the address: status %d after %s", r.status, r.header.Get("Retry-After"))
	}
	if r := h.tryAs(t, "compliance", password, here); r.status != http.StatusSeeOther {
		t.Errorf("whoever has logged in there before: status %d", r.status)
	}
	h.clock = h.clock.Add(time.Minute)
	if r := h.tryAs(t, "manager", password, here); r.status != http.StatusSeeOther {
		t.Errorf("a minute later: status %d", r.status)
	}
}

// TestNobodyIsKeptOut: strangers who know a name, at however many addresses, get
// a bounded number of tries, and do not keep its owner from logging in where he
// has before.
func TestNobodyIsKeptOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	const home = "2001:db8:1:2::3"
	if r := h.tryAs(t, "manager", password, home); r.status != http.StatusSeeOther {
		t.Fatalf("status %d", r.status)
	}
	for _, name := range []string{"manager", "nobody"} {
		tried := 0
		for i := range 150 {
			switch r := h.tryAs(t, name, "wrong", fmt.Sprintf("198.51.100.%d", i)); r.status {
			case http.StatusForbidden:
				tried++
			case http.StatusTooManyRequests:
			default:
				t.Fatalf("%s: status %d", name, r.status)
			}
		}
		if tried != 100 {
			t.Errorf("strangers have tried %d passwords of %s", tried, name)
		}
		if r := h.tryAs(t, name, password, "203.0.113.1"); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "60" {
			t.Errorf("%s from elsewhere: status %d after %s", name, r.status, r.header.Get("Retry-After"))
		}
	}
	if r := h.tryAs(t, "manager", password, "2001:db8:1:2::4"); r.status != http.StatusSeeOther {
		t.Errorf("at home: status %d", r.status)
	}
	// At home, too, nobody tries for ever.
	for range 10 {
		h.tryAs(t, "manager", "wrong", home)
	}
	if r := h.tryAs(t, "manager", password, home); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "60" {
		t.Errorf("at home after ten wrong: status %d after %s", r.status, r.header.Get("Retry-After"))
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
