package main

import (
	"bytes"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"callvault/internal/call"
	"callvault/internal/testenv"

	"github.com/xuri/excelize/v2"
)

// The console test's public address, which the server has in links alone.
const publicAddress = "http://calls.example.org"

// TestLinksOfAMail follows, as two managers do in the morning, the links of
// mails whose files are too large to be attached: the login, then the file as it
// lies in the vault, and from its sheet Calls on to a call and its audio.
func TestLinksOfAMail(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, anySize(), `public_url: `+publicAddress+`
mail: {attachment_limit: 0, from: reports@example.org}
reports: [{name: daily, recipients: [boss@example.org, {address: lead@example.org, match: {group: TestGroup}}]}]
`)
		p := in.start(t)
		newLoad(in).post(t.Context(), p.url, 3)
		stored, v := in.openStored(t)
		eventually(t, "the recordings are archived", func() bool {
			q, err := stored.QueueStats(t.Context())
			return err == nil && q.Archived >= 3 && q.Pending == 0
		})
		for name, args := range map[string][]string{
			"boss": {"--role", "manager"}, "lead": {"--role", "manager", "--group", "TestGroup"}, "counsel": {"--role", "compliance"}, "other": {"--role", "compliance", "--group", "Another"},
		} {
			args = append([]string{"user", "add", name, "--stdin", "--data", in.data}, args...)
			if got := command(t, morningPassword+"\n", args...); got.status != exitDone {
				t.Fatalf("%+v", got)
			}
		}
		if got := command(t, "", "report", "daily", "--date", "2026-11-20", "--send", "--out", t.TempDir(), "--data", in.data); got.status != exitDone {
			t.Fatalf("%+v", got)
		}
		runs, _, err := stored.FindRuns(t.Context(), call.RunFilter{})
		if err != nil || len(runs) != 2 {
			t.Fatalf("runs: %+v, %v", runs, err)
		}
		boss, lead := in.browse(t, p, "boss"), in.browse(t, p, "lead")
		var workbook []byte
		for _, run := range runs {
			reader, recipient := boss, "boss@example.org"
			if run.Report != "daily" {
				reader, recipient = lead, "lead@example.org"
			}
			links := in.mailLinks(t, recipient)
			for _, f := range run.Files {
				if ext := filepath.Ext(f.Name); ext != ".xlsx" && ext != ".csv" {
					continue
				}
				i := slices.IndexFunc(links, func(l string) bool { return strings.Contains(l, "/"+run.ID+"/") && strings.Contains(l, f.Name) })
				if i < 0 {
					t.Fatalf("the mail to %s does not link to %s: %q", recipient, f.Name, links)
				}
				body, _, err := v.Open(t.Context(), f.ObjectKey, 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				kept, err := io.ReadAll(body)
				if err := errors.Join(err, body.Close()); err != nil {
					t.Fatal(err)
				}
				status, got := reader.follow(t, links[i])
				if status != http.StatusOK || !bytes.Equal(got, kept) {
					t.Errorf("%s for %s: status %d, %d bytes of %d", f.Name, recipient, status, len(got), len(kept))
				}
				if strings.HasSuffix(f.Name, ".xlsx") {
					workbook = got
				}
				if run.Report == "daily" {
					if status, _ := lead.follow(t, links[i]); status != http.StatusForbidden {
						t.Errorf("the lead of a group gets the whole report: status %d", status)
					}
				}
			}
		}
		if boss.logins != 1 || lead.logins != 1 {
			t.Errorf("%d and %d logins", boss.logins, lead.logins)
		}

		link := callLink(t, workbook)
		status, page := lead.follow(t, link)
		if status != http.StatusOK || !bytes.Contains(page, []byte("919812345678")) || !bytes.Contains(page, []byte("It is in the vault.")) || bytes.Contains(page, []byte(in.provider.URL)) {
			t.Errorf("the call for its manager: status %d: %s", status, page)
		}
		if status, page := in.browse(t, p, "other").follow(t, link); status != http.StatusNotFound || bytes.Contains(page, []byte("98123")) {
			t.Errorf("the call for another group: status %d: %s", status, page)
		}
		counsel := in.browse(t, p, "counsel")
		_, page = counsel.follow(t, link)
		source := regexp.MustCompile(`<audio [^>]*src="(/recordings/[^"]+)"`).FindSubmatch(page)
		if source == nil {
			t.Fatalf("no player: %s", page)
		}
		if status, audio := counsel.follow(t, publicAddress+string(source[1])); status != http.StatusOK || len(audio) < 10_000 || !bytes.HasPrefix(audio, []byte("RIFF")) {
			t.Errorf("the audio: status %d, %d bytes", status, len(audio))
		}
		if status, _ := lead.follow(t, publicAddress+string(source[1])); status != http.StatusForbidden {
			t.Errorf("the audio for a manager: status %d", status)
		}

		// Who is shut out, or has another password, is out at once.
		if got := command(t, "", "user", "disable", "lead", "--data", in.data); got.status != exitDone {
			t.Fatalf("%+v", got)
		}
		if got := command(t, "another "+morningPassword+"\n", "user", "password", "boss", "--stdin", "--data", in.data); got.status != exitDone {
			t.Fatalf("%+v", got)
		}
		for _, b := range []*browser{lead, boss} {
			if status, page := b.follow(t, link); status != http.StatusForbidden || !bytes.Contains(page, []byte("The name or the password is wrong.")) {
				t.Errorf("%s is still in: status %d: %s", b.name, status, page)
			}
		}
		p.stop(syscall.SIGTERM)
		for action, want := range map[string]int{"user.logged_in": 4, "user.login_refused": 2, "call.viewed": 2, "audio.played": 1, "access.refused": 6} {
			if entries := in.logged(t, action); len(entries) != want || entries[0].Actor.Address != "127.0.0.1" {
				t.Errorf("%d entries of %s, want %d: %+v", len(entries), action, want, entries)
			}
		}
		for _, b := range []*browser{boss, lead, counsel} {
			if strings.Contains(p.log(), morningPassword) || strings.Contains(p.log(), b.session(t)) {
				t.Errorf("the log has what %s logs in with", b.name)
			}
		}
	})
}

const morningPassword = "a password for the morning"

// browser is a person with a browser that keeps cookies.
type browser struct {
	name   string
	client *http.Client
	url    string
	// logins is how often the name and the password were asked for.
	logins int
}

// browse is somebody who is not logged in yet.
func (in installation) browse(t *testing.T, p *program, name string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{name: name, client: &http.Client{Jar: jar}, url: p.url}
}

// session is the token that the browser has last been given, at least something
// that no log can hold.
func (b *browser) session(t *testing.T) string {
	t.Helper()
	at, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(at) {
		return c.Value
	}
	t.Fatalf("%s has no session", b.name)
	return ""
}

// follow opens a link to the public address, and logs in if it is asked to.
func (b *browser) follow(t *testing.T, link string) (status int, body []byte) {
	t.Helper()
	local, ok := strings.CutPrefix(link, publicAddress)
	if !ok {
		t.Fatalf("%s leads elsewhere", link)
	}
	status, path, body := b.send(t, http.MethodGet, b.url+local, nil)
	next := regexp.MustCompile(`name="next" value="([^"]*)"`).FindSubmatch(body)
	if path != "/login" || next == nil {
		return status, body
	}
	b.logins++
	form := url.Values{"name": {b.name}, "password": {morningPassword}, "next": {html.UnescapeString(string(next[1]))}}
	status, _, body = b.send(t, http.MethodPost, b.url+"/login", form)
	if file := regexp.MustCompile(`<a href="([^"]*)">open it here`).FindSubmatch(body); file != nil {
		status, _, body = b.send(t, http.MethodGet, b.url+html.UnescapeString(string(file[1])), nil)
	}
	return status, body
}

// send follows redirects; path is where they end.
func (b *browser) send(t *testing.T, method, to string, form url.Values) (status int, path string, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html,*/*;q=0.8")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err = io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Request.URL.Path, body
}

// mailLinks are the links of the one mail to a recipient.
func (in installation) mailLinks(t *testing.T, recipient string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(mailFolder(in.data), "*"+recipient+"*.eml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("mails to %s: %q, %v", recipient, files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	_, parts := testenv.ReadMail(t, content)
	return regexp.MustCompile(regexp.QuoteMeta(publicAddress)+`/\S+`).FindAllString(string(parts["text/plain"]), -1)
}

// callLink is where the first call of a workbook leads.
func callLink(t *testing.T, workbook []byte) string {
	t.Helper()
	f, err := excelize.OpenReader(bytes.NewReader(workbook))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	for column := 1; column <= 40; column++ {
		cell, err := excelize.CoordinatesToCellName(column, 2)
		if err != nil {
			t.Fatal(err)
		}
		formula, err := f.GetCellFormula("Calls", cell)
		if err != nil {
			t.Fatal(err)
		}
		if link := regexp.MustCompile(`^HYPERLINK\("([^"]+)"`).FindStringSubmatch(formula); link != nil {
			return link[1]
		}
	}
	t.Fatal("the sheet Calls leads nowhere")
	return ""
}
