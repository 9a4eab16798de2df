package console_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/color"
	"image/png"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/console"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// pageText is the text of a page, as people read it.
func (r reply) pageText(t *testing.T) string {
	t.Helper()
	if r.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, %s: %s", r.status, r.header.Get("Content-Type"), r.body)
	}
	doc, err := html.Parse(bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "title" {
			words = append(words, strings.Fields(n.Data)...)
		}
	}
	return strings.Join(words, " ")
}

// attributes are the values that an attribute has on a page.
func (r reply) attributes(t *testing.T, element, name string) []string {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != element {
			continue
		}
		for _, a := range n.Attr {
			if a.Key == name {
				values = append(values, a.Val)
			}
		}
	}
	return values
}

// TestCallPage shows a call to one who may listen: all of it, by the clocks of the
// account.
func TestCallPage(t *testing.T) {
	t.Parallel()
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouseIn(t, kolkata)
	h.people()
	r := h.get(t, "/calls/call-1", "", h.loggedIn(t, "compliance")...)
	text := r.pageText(t)
	for _, want := range []string{
		"Call from +919812345678", "answered Monday 2 January 2023, 14:32:30 (all times: Asia/Kolkata, UTC+05:30)",
		"Agent Ashish", "Group Sales", "Talked 0:40", "Waited 0:00", "In all 1:04", "Answered 2 Jan 2023, 14:32:54", "Account sales (callerdesk)",
		"(all times: Asia/Kolkata, UTC+05:30) Ashish · Sales · talked 0:40 · waited 0:00 Recordings Conversation archived",
		"Save the audio Length 0:40 To note its end is missing; longer than the talk time Archived 2 Jan 2023, 14:34:00",
		"Kept until 2 Jan 2026, 14:32:30", "Locked in the vault until 2 Jan 2026", "By the rule group Sales: 3y", "May be deleted from 2 Jan 2026", "Kept by the legal hold Case 7 Size, format and hash Size 100,000 bytes Format wav, pcm_mulaw, 1 channel, 8 kHz SHA-256 9310",
		"Voicemail refused It was not taken, and is not tried again before somebody decides. X-9601.WAV is an image. Kept by the legal hold Case 7 Where it comes from From https:",
		"Legal holds Case 7 , since 2 Jan 2023, 15:30 : court order", "1 leg, as it was reported Ashish Status ANSWER",
		"From https://newcallrecords.callerdesk.io/incoming/01_2023/x-9601.wav", "compliance Log out",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	if got := r.attributes(t, "audio", "src"); !slices.Equal(got, []string{"/recordings/rec-1/audio", "/recordings/rec-lost/audio", "/recordings/rec-short/audio"}) {
		t.Errorf("players of %q", got) // what is no audio has none
	}
	// To open a page is not to listen.
	if got := r.attributes(t, "audio", "preload"); slices.ContainsFunc(got, func(v string) bool { return v != "none" }) || len(got) != 3 {
		t.Errorf("preload %q", got)
	}
	if strings.Contains(string(r.body), "<script") || !strings.Contains(string(r.body), "<title>Call of 2 Jan 2023, 14:32 · Callvault</title>") {
		t.Errorf("the page is %s", r.body)
	}
}

// TestPagesTellNoMoreThanTheAPI: who may not listen finds no player, and nothing
// that leads to a recording, in the whole of the page.
func TestPagesTellNoMoreThanTheAPI(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	for _, name := range []string{"viewer", "manager", "leila"} {
		session := h.loggedIn(t, name)
		r := h.get(t, "/calls/call-1", "", session...)
		page := strings.ToLower(string(r.body))
		for _, secret := range []string{"callerdesk.io", "x-9601", "open.example.org", "calls/2023", "case 7", "court", "<audio", "/recordings/"} {
			if strings.Contains(page, secret) {
				t.Errorf("%s sees %q: %s", name, secret, page)
			}
		}
		if text := r.pageText(t); !strings.Contains(text, "It is in the vault. Listening needs the role compliance or admin.") || strings.Contains(text, "Legal holds") {
			t.Errorf("%s sees %s", name, text)
		}
		for _, path := range []string{"/recordings/rec-1/audio", "/recordings/rec-1/audio?download=1"} {
			if r := h.get(t, path, "", session...); r.status != http.StatusForbidden || !strings.Contains(r.pageText(t), "This is not for you to see") {
				t.Errorf("%s: %s: status %d", name, path, r.status)
			}
		}
	}
}

// TestPagesOfOtherGroups: who is limited to groups finds nothing of others, and
// the log says that it was tried.
func TestPagesOfOtherGroups(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	session := h.loggedIn(t, "omar")
	for path, status := range map[string]int{
		"/calls/call-1": http.StatusOK, "/calls/call-2": http.StatusNotFound, "/calls/call-3": http.StatusNotFound, "/calls/none": http.StatusNotFound,
		"/recordings/rec-1/audio": http.StatusOK, "/recordings/rec-billing/audio": http.StatusNotFound,
		"/reports": http.StatusOK, "/reports/run-1/files/daily%202023-01-02%20calls.csv": http.StatusForbidden,
	} {
		if r := h.get(t, path, "", session...); r.status != status {
			t.Errorf("%s: status %d, want %d: %s", path, r.status, status, r.body)
		}
	}
	if text := h.get(t, "/reports", "", session...).pageText(t); !strings.Contains(text, "You see calls of Sales . There is no report of these alone") || strings.Contains(text, "daily") {
		t.Errorf("omar sees %s", text)
	}
	if text := h.get(t, "/calls/none", "", session...).pageText(t); !strings.Contains(text, "omar Log out") {
		t.Errorf("who meets a fault is lost: %s", text)
	}
	var refused []string
	for _, e := range h.store.entries {
		if e.Action == "access.refused" {
			refused = append(refused, e.Actor.Kind+" "+e.Actor.Name+" "+in[string](t, decoded(t, e.Facts), "path"))
		}
	}
	slices.Sort(refused)
	if diff := cmp.Diff([]string{
		"user omar /calls/call-2", "user omar /calls/call-3", "user omar /recordings/rec-billing/audio",
		"user omar /reports/run-1/files/daily 2023-01-02 calls.csv",
	}, refused); diff != "" {
		t.Error(diff)
	}
}

func decoded(t *testing.T, facts json.RawMessage) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(facts, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestReportsOfOwnGroups: a part of a report that tells of one's own groups alone
// one may have, whatever else there is, by page and by token.
func TestReportsOfOwnGroups(t *testing.T) {
	t.Parallel()
	const sales, both = "daily.sales-3f2a9c1e", "daily.sales-billing-01020304"
	h := newHouseWith(t, func(o *console.Options) {
		o.ReportGroups = map[string][]string{sales: {"Sales"}, both: {"Billing", "Sales"}}
	})
	h.people()
	for i, report := range []string{sales, both} {
		run := h.store.runs[0]
		run.ID, run.Report = []string{"run-sales", "run-both"}[i], report
		made := run.Files[0]
		made.Name = call.RunInput
		run.Files = append(slices.Clone(run.Files), made)
		h.store.runs = append(h.store.runs, run)
	}
	session := h.loggedIn(t, "leila")
	text := h.get(t, "/reports", "", session...).pageText(t)
	if !strings.Contains(text, sales) || strings.Contains(text, both) || strings.Count(text, "daily 2023-01-02 calls.csv") != 1 {
		t.Errorf("leila sees %s", text)
	}
	if got := h.store.runFilter.Reports; !slices.Equal(got, []string{sales}) {
		t.Errorf("asked for %q", got)
	}
	for run, status := range map[string]int{"run-sales": http.StatusOK, "run-both": http.StatusForbidden, "run-1": http.StatusForbidden, "none": http.StatusNotFound} {
		path := "/reports/" + run + "/files/daily%202023-01-02%20calls.csv"
		if r := h.get(t, path, "", session...); r.status != status {
			t.Errorf("%s: status %d, want %d", run, r.status, status)
		}
		if r := h.get(t, "/api/v1"+path, salesManager); r.status != status {
			t.Errorf("%s with a token: status %d, want %d", run, r.status, status)
		}
	}
	// What a part is made of has the agents of all groups.
	const input = "/reports/run-sales/files/" + call.RunInput
	for status, r := range map[int]reply{
		http.StatusForbidden: h.get(t, input, "", session...),
		http.StatusOK:        h.get(t, input, "", h.loggedIn(t, "manager")...),
	} {
		if r.status != status {
			t.Errorf("the input: status %d, want %d", r.status, status)
		}
	}
	if r := h.get(t, "/api/v1"+input, salesManager); r.status != http.StatusForbidden {
		t.Errorf("the input with a token: status %d", r.status)
	}
	for _, r := range []reply{h.get(t, "/reports", "", session...), h.get(t, "/api/v1/reports", salesManager)} {
		if strings.Contains(string(r.body), call.RunInput) {
			t.Errorf("the input is listed: %s", r.body)
		}
	}
	if r := h.get(t, "/reports?report=daily", "", session...); r.status != http.StatusOK || !strings.Contains(r.pageText(t), "There is nothing of this name here") {
		t.Errorf("the whole report: status %d: %s", r.status, r.body)
	}
	if runs := in[[]any](t, h.get(t, "/api/v1/reports", salesManager).json(t), "runs"); len(runs) != 1 {
		t.Errorf("a token sees %v", runs)
	}
	if text := h.get(t, "/reports", "", h.loggedIn(t, "manager")...).pageText(t); !strings.Contains(text, both) {
		t.Errorf("a manager of all sees %s", text)
	}
}

func TestReportsPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	run := h.store.runs[0]
	first := run.Files[0]
	second := first
	first.Revision, second.Revision = 1, 2
	mail := second
	mail.Name = "mail.html"
	run.Revision, run.Files = 2, []call.RunFile{first, second, mail}
	week, month, gone := h.store.runs[0], h.store.runs[0], h.store.runs[0]
	week.ID, week.PeriodTo = "run-week", week.PeriodFrom.AddDate(0, 0, 7)
	month.ID, month.PeriodFrom, month.PeriodTo = "run-month", time.Date(2022, 12, 1, 0, 0, 0, 0, time.UTC), time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	week.Zone, month.Zone = "", "UTC"
	gone.ID, gone.FilesExpiringAt = "run-gone", h.clock
	h.store.runs = []call.Run{run, week, month, gone, h.store.runs[1]}
	session := h.loggedIn(t, "manager")
	r := h.get(t, "/reports", "", session...)
	text := r.pageText(t)
	for _, want := range []string{
		"daily · revised (2) · made 3 Jan 2023, 05:29 , Asia/Kolkata daily 2023-01-02 calls.csv 17 B Earlier revisions",
		"2 Jan 2023 – 8 Jan 2023", "December 2022", "Its files were deleted on 3 Jan 2023", "It could not be made, and is tried again: no room.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	links := r.attributes(t, "a", "href")
	const file = "/reports/run-1/files/daily%202023-01-02%20calls.csv?revision="
	for _, want := range []string{file + "2", file + "1", "/reports/run-1/files/mail.html?revision=2"} {
		if !slices.Contains(links, want) {
			t.Errorf("no link to %s in %q", want, links)
		}
	}
	if slices.ContainsFunc(links, func(l string) bool { return strings.Contains(l, "run-gone") }) {
		t.Errorf("links to what is gone: %q", links)
	}
	got := h.get(t, file+"1", "", session...)
	if string(got.body) != "call_id\r\ncall-1\r\n" || !strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the file: status %d, %v: %s", got.status, got.header, got.body)
	}
	if got := h.store.logged(); !strings.HasPrefix(got[len(got)-1], "user manager report.downloaded run/run-1 ") {
		t.Errorf("the log has %v", got)
	}
	h.store.runs = append(h.store.runs, slices.Repeat([]call.Run{week}, 60)...)
	r = h.get(t, "/reports?report=daily", "", session...)
	links = r.attributes(t, "a", "href")
	if last := links[len(links)-1]; last != "/reports?cursor=50&report=daily" {
		t.Errorf("older reports are at %s", last)
	}
	if r := h.get(t, "/reports?cursor=50&report=daily", "", session...); !strings.Contains(r.pageText(t), "Only daily") || h.store.runFilter.Report != "daily" || h.store.runFilter.Cursor != "50" {
		t.Errorf("older: %s", r.body)
	}
}

// TestAlertsOnThePage: administrators are told on the page that they come to
// first; nobody else can do anything about it.
func TestAlertsOnThePage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	h.store.alerts = []call.Alert{{
		ID: "alert-1", Kind: call.AlertReports, Since: time.Date(2023, 1, 2, 9, 2, 0, 0, time.UTC),
		Opening: "The report daily failed three times in a row: <the mail server refuses>.",
	}}
	const told = "Needs attention The report daily failed three times in a row: <the mail server refuses>. (since 2 Jan 2023, 09:02 , UTC)"
	if text := h.get(t, "/reports", "", h.loggedIn(t, "admin")...).pageText(t); !strings.Contains(text, told) {
		t.Errorf("the page lacks %q: %s", told, text)
	}
	for len(h.store.alerts) < 21 {
		h.store.alerts = append(h.store.alerts, h.store.alerts[0])
	}
	if text := h.get(t, "/reports", "", h.loggedIn(t, "admin")...).pageText(t); !strings.Contains(text, "These were opened last.") {
		t.Errorf("the page does not tell of others: %s", text)
	}
	want := call.AlertFilter{State: call.AlertOpen, Limit: 20}
	if h.store.alertFilter != want {
		t.Errorf("asked for %+v, want %+v", h.store.alertFilter, want)
	}
	for _, name := range []string{"manager", "compliance"} {
		if text := h.get(t, "/reports", "", h.loggedIn(t, name)...).pageText(t); strings.Contains(text, "attention") {
			t.Errorf("%s sees %s", name, text)
		}
	}
}

// TestNamesAreNoMarkup: whatever a provider, or a caller, calls himself.
func TestNamesAreNoMarkup(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	c := &h.store.calls[0]
	c.Agent.Name, c.Group, c.CustomerNumber, c.Status, c.HangupCause, c.Key, c.Campaign = evil, "Sales", evil, evil, evil, evil, evil
	c.Legs[0].Agent.Name, c.Legs[0].Key = evil, evil
	for i := range c.Recordings {
		c.Recordings[i].Source, c.Recordings[i].Rule, c.Recordings[i].Reason, c.Recordings[i].LastError = evil, evil, evil, evil
		c.Recordings[i].MediaType = "audio/" + evil
	}
	h.store.holds[0].Name, h.store.holds[0].Reason = evil, evil
	h.store.runs[0].Report, h.store.runs[0].Files[0].Name = evil, evil+".csv"
	h.store.runs[1].Error = evil
	h.store.users[evil] = call.User{Name: evil, Role: call.Admin, PasswordHash: passwordHash}
	session := h.loggedIn(t, evil)
	for _, path := range []string{"/calls/call-1", "/reports", "/reports?report=" + url.QueryEscape(evil), "/calls/" + url.PathEscape(evil), "/login?next=/" + url.QueryEscape(evil)} {
		r := h.get(t, path, "", session...)
		if bytes.Contains(r.body, []byte("<script")) || bytes.Contains(r.body, []byte("<img")) || len(r.attributes(t, "a", "onerror")) > 0 {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	r := h.submit(t, "/login", url.Values{"name": {evil}, "password": {"x"}, "next": {"/" + evil}})
	if bytes.Contains(r.body, []byte("<script")) || !slices.Contains(r.attributes(t, "input", "value"), evil) {
		t.Errorf("the form is %s", r.body)
	}
	if text := h.get(t, "/calls/call-1", "", session...).pageText(t); !strings.Contains(text, "Agent "+evil) {
		t.Errorf("the name is lost: %s", text)
	}
}

// TestAudioOfPages: a player seeks, and a listening is one entry, as by the API.
func TestAudioOfPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	session := h.loggedIn(t, "compliance")
	whole := h.vault.objects["calls/2023/01/02/sales/rec-1.wav"]
	r := h.get(t, "/recordings/rec-1/audio", "", append(session, "Range", "bytes=1000-1999")...)
	if r.status != http.StatusPartialContent || !bytes.Equal(r.body, whole[1000:2000]) || r.header.Get("Content-Type") != "audio/wav" ||
		r.header.Get("Content-Range") != "bytes 1000-1999/100000" || r.header.Get("Content-Disposition") != "" {
		t.Errorf("a range: status %d, %v", r.status, r.header)
	}
	r = h.get(t, "/recordings/rec-1/audio?download=1", "", session...)
	if !bytes.Equal(r.body, whole) || r.header.Get("Content-Disposition") != "attachment; filename=sales-20230102T090230Z-5678.wav" {
		t.Errorf("the download: status %d, %v", r.status, r.header)
	}
	h.get(t, "/recordings/rec-1/audio", "", append(session, "Range", "bytes=5-9")...)
	var got []string
	for _, e := range h.store.entries[1:] {
		got = append(got, e.Actor.Name+" "+string(e.Action)+" "+e.Subject)
	}
	if diff := cmp.Diff([]string{"compliance audio.played recording/rec-1", "compliance audio.downloaded recording/rec-1"}, got); diff != "" {
		t.Error(diff)
	}
	if r := h.get(t, "/recordings/rec-2/audio", "", session...); r.status != http.StatusNotFound || !strings.Contains(r.pageText(t), "The recording is refused: there is no audio.") {
		t.Errorf("no audio: status %d: %s", r.status, r.body)
	}
}

// TestFaultsArePages for browsers, and JSON for programs.
func TestFaultsArePages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	session := h.loggedIn(t, "manager")
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/none":                 {404, "There is nothing here No page has this address."},
		"/calls":                {404, "There is nothing here"},
		"/calls/none":           {404, "There is nothing here There is no such call."},
		"/reports?stat=built":   {400, "This cannot be done Unknown parameter"},
		"/reports/none/files/x": {404, "There is no such run."},
	} {
		r := h.get(t, path, "", session...)
		if r.status != want.status || !strings.Contains(r.pageText(t), want.text) {
			t.Errorf("%s: status %d: %s", path, r.status, r.body)
		}
		session := []string{session[0], session[1], "Accept", "*/*"}
		if r := h.get(t, path, "", session...); r.status != want.status || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s for a program: status %d: %s", path, r.status, r.body)
		}
	}
	h.store.auditErr = errors.New("disk full at /var/lib/secret")
	if r := h.get(t, "/calls/call-1", "", session...); r.status != 503 || !strings.Contains(r.pageText(t), "Not just now The audit log cannot be written") || strings.Contains(string(r.body), "secret") {
		t.Errorf("unseen: status %d: %s", r.status, r.body)
	}
	h.store.auditErr, h.store.err = nil, errors.New("no such table: secret")
	if r := h.get(t, "/reports", "", session...); r.status != 500 || !strings.Contains(r.pageText(t), "Something went wrong Something went wrong inside; the log has more under request") || strings.Contains(string(r.body), "secret") {
		t.Errorf("inside: status %d: %s", r.status, r.body)
	}
	h.store.err, h.store.panics = nil, true
	if r := h.get(t, "/api/v1/calls", admin, "Accept", "text/html"); r.status != 500 || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("a panic of the API: status %d: %s", r.status, r.body)
	}
	// The API answers in JSON whoever asks.
	h.get(t, "/api/none", "", "Accept", "text/html").wantError(t, 404, call.NotFound)
}

// TestPagesTrustNothing: no page runs a script, is framed, or is kept.
func TestPagesTrustNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people()
	session := h.loggedIn(t, "compliance")
	for _, path := range []string{"/reports", "/calls/call-1", "/none"} {
		header := h.get(t, path, "", session...).header
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":  "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if header.Get(name) != value {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
	}
	r := h.get(t, "/static/console.css", "")
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "text/css; charset=utf-8" || bytes.Contains(r.body, []byte("url(")) {
		t.Errorf("the style: status %d, %v", r.status, r.header)
	}
	if again := h.get(t, "/static/console.css", "", "If-None-Match", r.header.Get("ETag")); again.status != http.StatusNotModified {
		t.Errorf("the style again: status %d", again.status)
	}
	if r := h.get(t, "/static/mail.html", ""); r.status != http.StatusNotFound {
		t.Errorf("other files: status %d", r.status)
	}
}

// TestLoginInABrowser: what the pages forbid a browser does not keep it from
// showing them as they are meant.
func TestLoginInABrowser(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	out := filepath.Join(t.TempDir(), "login.png")
	testenv.Screenshot(t, h.url+"/calls/call-1", out)
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	// The bar at the top has the accent's colour, of light or of dark.
	got := color.NRGBAModel.Convert(drawn.At(640, 2))
	if got != (color.NRGBA{0x1f, 0x4e, 0x79, 0xff}) && got != (color.NRGBA{0x8d, 0xb8, 0xe2, 0xff}) {
		t.Errorf("the bar is %v: the page has no style", got)
	}
	if asked := h.log.entries(t, "request"); len(asked) < 3 || asked[1]["path"] != "/login" || asked[2]["path"] != "/static/console.css" {
		t.Errorf("the browser asked for %v", asked)
	}
}
