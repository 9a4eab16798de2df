package reports

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// smtpServer starts a server, and says how to reach it.
func smtpServer(t *testing.T, o testenv.SMTPOptions) (*testenv.SMTPServer, *SMTPServer) {
	t.Helper()
	s := testenv.SMTP(t, o)
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	security := map[testenv.SMTPTLS]Security{testenv.SMTPStartTLS: RequireSTARTTLS,
		testenv.SMTPImplicitTLS: ImplicitTLS, testenv.SMTPNoTLS: OfferedSTARTTLS}[o.TLS]
	return s, &SMTPServer{Host: host, Port: n, User: s.Username, Password: s.Password, Security: security,
		TLS: &tls.Config{ServerName: host, RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}}
}

// states are the mails' states by recipient.
func (o *office) states() map[string]call.MailState {
	states := make(map[string]call.MailState)
	for _, m := range o.store.mails {
		states[m.Recipient] = m.State
	}
	return states
}

func TestMailEncryption(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]testenv.SMTPTLS{"STARTTLS": testenv.SMTPStartTLS,
		"implicit TLS": testenv.SMTPImplicitTLS, "none on this machine": testenv.SMTPNoTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, smtp := smtpServer(t, testenv.SMTPOptions{TLS: kind})
			o := busyOffice(t)
			o.reporter(t, MailOptions{SMTP: smtp, From: "Callvault <reports@example.org>"}, "ops@example.org").Look(context.Background())
			if diff := cmp.Diff(map[string]call.MailState{"ops@example.org": call.MailSent}, o.states()); diff != "" {
				t.Fatalf("%s: %s", diff, o.store.mails[0].Detail)
			}
			m := server.Messages()[0]
			if m.Encrypted != (kind != testenv.SMTPNoTLS) || !m.Authenticated || m.From != "reports@example.org" {
				t.Errorf("encrypted %v, authenticated %v, from %s", m.Encrypted, m.Authenticated, m.From)
			}
		})
	}
}

func TestMailNeedsTLS(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{TLS: testenv.SMTPNoTLS})
	smtp.Security = RequireSTARTTLS
	o := busyOffice(t)
	o.reporter(t, MailOptions{SMTP: smtp}, "ops@example.org").Look(context.Background())
	if o.states()["ops@example.org"] != call.MailRetry || server.Tries() != 0 {
		t.Errorf("%v, %d tries without TLS", o.states(), server.Tries())
	}
	if detail := o.store.mails[0].Detail; strings.Contains(detail, smtp.Password) {
		t.Errorf("the password is in %q", detail)
	}
}

func TestMailContent(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	o := busyOffice(t)
	o.reporter(t, MailOptions{SMTP: smtp, From: "Callvault <reports@example.org>"}, "ops@example.org", "boss@example.org").Look(context.Background())
	messages := server.Messages()
	if len(messages) != 2 || !cmp.Equal(messages[0].To, []string{"ops@example.org"}) || !cmp.Equal(messages[1].To, []string{"boss@example.org"}) {
		t.Fatalf("not one message for each recipient: %d", len(messages))
	}
	header, parts := testenv.ReadMail(t, messages[0].Data)
	for name, got := range map[string]string{
		"daily · Saturday, 21 November 2026 · 66.7 % answered of 4 offered": readSubject(t, header),
		"Sun, 22 Nov 2026 07:30:00 +0530":                                   header.Get("Date"),
		"auto-generated":                                                    header.Get("Auto-Submitted"),
		"Callvault daily <daily.reports.example.org>":                       header.Get("List-Id"),
		"<" + o.store.mails[0].MessageID + ">":                              header.Get("Message-ID"),
	} {
		if name != got {
			t.Errorf("header %q, want %q", got, name)
		}
	}
	text, html := string(parts["text/plain"]), string(parts["text/html"])
	for _, both := range []string{"8 calls from 2 accounts", "66.7 %", "+919800000009", "Asha", "Bela", "1 delivery could not be read"} {
		if !strings.Contains(text, both) {
			t.Errorf("the text lacks %q:\n%s", both, text)
		}
		if !strings.Contains(strings.ReplaceAll(html, "&#43;", "+"), both) {
			t.Errorf("the HTML lacks %q", both)
		}
	}
	for _, f := range o.store.runs[0].Files {
		if isAttachment(f.Name) && !bytes.Equal(parts[f.Name], o.vault.files[f.ObjectKey]) {
			t.Errorf("attachment %s is not the file that is kept", f.Name)
		}
	}
}

func TestOneRecipientRefused(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{RefuseRecipients: []string{"gone@example.org"}})
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{SMTP: smtp}, "gone@example.org", "ops@example.org")
	r.Look(context.Background())
	o.clock.set(o.clock.now().Add(time.Hour))
	r.Look(context.Background())
	want := map[string]call.MailState{"gone@example.org": call.MailRefused, "ops@example.org": call.MailSent}
	if diff := cmp.Diff(want, o.states()); diff != "" {
		t.Error(diff)
	}
	if len(server.Messages()) != 1 || server.Tries() != 2 {
		t.Errorf("%d messages, %d tries", len(server.Messages()), server.Tries())
	}
}

// Greylisting: refused for now, then taken, with the same Message-ID.
func TestMailTriedAgain(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{RefuseFirst: 2})
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{SMTP: smtp}, "ops@example.org")
	var states []call.MailState
	for _, wait := range []time.Duration{0, time.Minute, time.Minute, time.Minute} {
		o.clock.set(o.clock.now().Add(wait))
		r.Look(context.Background())
		states = append(states, o.states()["ops@example.org"])
	}
	// The second wait is two minutes.
	if diff := cmp.Diff([]call.MailState{call.MailRetry, call.MailRetry, call.MailRetry, call.MailSent}, states); diff != "" {
		t.Error(diff)
	}
	if server.Tries() != 3 || len(server.Messages()) != 1 {
		t.Errorf("%d tries, %d messages", server.Tries(), len(server.Messages()))
	}
	header, _ := testenv.ReadMail(t, server.Messages()[0].Data)
	if id := header.Get("Message-ID"); id != "<"+o.store.mails[0].MessageID+">" {
		t.Errorf("Message-ID %s", id)
	}
}

func TestMailGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	_, smtp := smtpServer(t, testenv.SMTPOptions{RefuseFirst: 1000})
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{SMTP: smtp}, "ops@example.org")
	start := o.clock.now()
	for o.clock.now().Sub(start) < 26*time.Hour && o.states()["ops@example.org"] != call.MailFailed {
		if err := r.mailAgain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(o.store.mails) == 0 {
			r.Look(context.Background())
		}
		o.clock.set(o.clock.now().Add(time.Hour))
	}
	if waited := o.clock.now().Sub(start); o.states()["ops@example.org"] != call.MailFailed || waited < 23*time.Hour || waited > 25*time.Hour {
		t.Errorf("%v after %v", o.states(), waited)
	}
}

// The connection is lost in the middle of the content: certainly not sent.
func TestCutBeforeDot(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{CutBeforeDot: 1})
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{SMTP: smtp})
	// Large enough not to vanish into buffers on the way.
	run := call.Run{ID: "run-1", Report: "daily", Zone: "Asia/Kolkata", State: call.RunBuilt, Revision: 1}
	for name, size := range map[string]int{mailTextName: 10, mailHTMLName: 10, "calls.csv": 12 << 20} {
		content := bytes.Repeat([]byte("x"), size)
		run.Files = append(run.Files, call.RunFile{Name: name, ObjectKey: name, Size: int64(size),
			SHA256: fmt.Sprintf("%x", sha256.Sum256(content)), MediaType: "text/plain"})
		if err := o.vault.PutFile(context.Background(), name, bytes.NewReader(content), int64(size), sha256.Sum256(content), "", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	o.store.runs = []call.Run{run}
	if err := r.mailRun(context.Background(), run, []string{"ops@example.org"}, byItself); err != nil {
		t.Fatal(err)
	}
	if got := o.states()["ops@example.org"]; got != call.MailRetry {
		t.Fatalf("%s: %s", got, o.store.mails[0].Detail)
	}
	o.clock.set(o.clock.now().Add(time.Hour))
	if err := r.mailAgain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := o.states()["ops@example.org"]; got != call.MailSent || len(server.Messages()) != 1 {
		t.Errorf("%s, %d messages", got, len(server.Messages()))
	}
}

// The connection is lost after the final dot: nobody knows.
func TestCutAfterDot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		resend bool
		state  call.MailState
		copies int
	}{
		{"hold", false, call.MailUncertain, 1},
		{"resend", true, call.MailSent, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server, smtp := smtpServer(t, testenv.SMTPOptions{CutAfterDot: 1})
			o := busyOffice(t)
			r := o.reporter(t, MailOptions{SMTP: smtp, ResendUncertain: test.resend}, "ops@example.org")
			for range 3 {
				r.Look(context.Background())
				o.clock.set(o.clock.now().Add(time.Hour))
			}
			if got := o.states()["ops@example.org"]; got != test.state || len(server.Messages()) != test.copies {
				t.Errorf("%s, %d copies", got, len(server.Messages()))
			}
		})
	}
}

// Sent again by hand days later it is the same mail still: a mail system that
// gets both shows one, on its day.
func TestSentAgainIsTheSameMail(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{CutAfterDot: 1})
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{SMTP: smtp}, "ops@example.org")
	r.Look(context.Background())
	o.clock.set(o.clock.now().Add(50 * time.Hour))
	if _, err := r.Build(context.Background(), "daily", at("2026-11-21 00:00:00"), BuildOptions{Send: true}); err != nil {
		t.Fatal(err)
	}
	messages := server.Messages()
	if len(messages) != 2 {
		t.Fatalf("%d messages", len(messages))
	}
	first, _ := testenv.ReadMail(t, messages[0].Data)
	second, _ := testenv.ReadMail(t, messages[1].Data)
	for _, name := range []string{"Date", "Message-ID", "Subject", "List-Id"} {
		if got := second.Get(name); got == "" || got != first.Get(name) {
			t.Errorf("%s was %q and is %q", name, first.Get(name), got)
		}
	}
	if date := first.Get("Date"); date != "Sun, 22 Nov 2026 07:30:00 +0530" {
		t.Errorf("dated %q", date)
	}
}

// A mail that a dead process has left uncertain is sent again only if asked.
func TestUncertainLeftBehind(t *testing.T) {
	t.Parallel()
	for _, resend := range []bool{false, true} {
		o := busyOffice(t)
		o.reporter(t, MailOptions{}).Look(context.Background())
		o.store.mails = []call.Mail{{ID: "0", RunID: "run-1", Recipient: "ops@example.org", MessageID: "a@b",
			State: call.MailUncertain, Attempts: 1, CreatedAt: o.clock.now()}}
		r := o.reporter(t, MailOptions{ResendUncertain: resend}, "ops@example.org")
		r.Look(context.Background())
		o.clock.set(o.clock.now().Add(time.Minute))
		r.Look(context.Background())
		want := call.MailUncertain
		if resend {
			want = call.MailSent
		}
		if got := o.states()["ops@example.org"]; got != want {
			t.Errorf("resend %v: %s", resend, got)
		}
	}
}

func TestChooseAttachments(t *testing.T) {
	t.Parallel()
	files := []call.RunFile{{Name: "a.xlsx", Size: 57_000}, {Name: "b.csv", Size: 570}, {Name: "c.csv", Size: 57},
		{Name: inputName, Size: 1}, {Name: mailTextName, Size: 1}, {Name: hoursPictureName, Size: 5700}}
	for _, test := range []struct {
		limit    int64
		attached []string
		linked   []string
	}{
		// 57 bytes are one line of 76 and its end: 78.
		{78_000 + 780 + 78, []string{"a.xlsx", "b.csv", "c.csv"}, nil},
		{78_000 + 780 + 77, []string{"a.xlsx", "b.csv"}, []string{"c.csv"}},
		{77_999, []string{"b.csv", "c.csv"}, []string{"a.xlsx"}},
		{-1, nil, []string{"a.xlsx", "b.csv", "c.csv"}},
	} {
		if test.limit > 0 {
			test.limit += 7800 // the picture's
		}
		attached, linked := chooseAttachments(files, test.limit)
		if diff := cmp.Diff([][]string{test.attached, test.linked}, [][]string{fileNames(attached), fileNames(linked)}); diff != "" {
			t.Errorf("limit %d: %s", test.limit, diff)
		}
	}
}

func fileNames(files []call.RunFile) []string {
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

func TestTooLargeForMail(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.reporter(t, MailOptions{AttachmentLimit: -1}, "ops@example.org").Look(context.Background())
	content, err := os.ReadFile(o.store.mails[0].Detail)
	if err != nil {
		t.Fatal(err)
	}
	_, parts := testenv.ReadMail(t, content)
	if got := slices.Sorted(maps.Keys(parts)); !cmp.Equal(got, []string{"mail-hours.png", "text/html", "text/plain"}) {
		t.Errorf("parts %q", got)
	}
	if want := "https://calls.example.org/reports/run-1/files/daily-2026-11-21.xlsx?revision=1"; !bytes.Contains(parts["text/plain"], []byte(want)) ||
		!bytes.Contains(parts["text/html"], []byte(want)) {
		t.Errorf("no link to the workbook:\n%s", parts["text/plain"])
	}
	if how := []byte("needs a login"); !bytes.Contains(parts["text/plain"], how) || !bytes.Contains(parts["text/html"], how) {
		t.Errorf("nothing says how to open the link:\n%s", parts["text/plain"])
	}
}

// A changed file in the vault is not mailed. The tries are further and further
// apart, and given up after a day; a mended vault mails it at once.
func TestChangedFileIsNotMailed(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.reporter(t, MailOptions{}).Look(context.Background())
	key := o.store.runs[0].Files[0].ObjectKey
	whole := o.vault.files[key]
	o.vault.files[key] = append([]byte("x"), whole...)
	r := o.reporter(t, MailOptions{}, "ops@example.org")
	_, err := r.Build(context.Background(), "daily", at("2026-11-21 00:00:00"), BuildOptions{Send: true})
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Fatalf("%v", err)
	}
	start := o.clock.now()
	for o.clock.now().Sub(start) < 26*time.Hour && o.states()["ops@example.org"] != call.MailFailed {
		o.clock.set(o.clock.now().Add(time.Minute))
		if err := r.mailAgain(context.Background()); err != nil && !strings.Contains(err.Error(), "SHA-256") {
			t.Fatal(err)
		}
	}
	m := o.store.mails[0]
	if m.State != call.MailFailed || m.Attempts > 32 || strings.Contains(m.Detail, "SHA-256") {
		t.Errorf("%s after %d tries: %s", m.State, m.Attempts, m.Detail)
	}
	if files, err := os.ReadDir(filepath.Join(o.dir, "mail")); err == nil {
		t.Errorf("%d mails were written", len(files))
	}
	o.vault.files[key] = whole
	if _, err := r.Build(context.Background(), "daily", at("2026-11-21 00:00:00"), BuildOptions{Send: true}); err != nil {
		t.Fatal(err)
	}
	if got := o.states()["ops@example.org"]; got != call.MailSent {
		t.Errorf("with the vault mended: %s", got)
	}
}

// Whoever has not got a report gets it when it is sent by hand; who has got it
// does not get it twice.
func TestSendByHandAgain(t *testing.T) {
	t.Parallel()
	recipients := []string{"gone@example.org", "ops@example.org"}
	_, refusing := smtpServer(t, testenv.SMTPOptions{RefuseRecipients: recipients[:1]})
	mended, smtp := smtpServer(t, testenv.SMTPOptions{})
	o := busyOffice(t)
	o.reporter(t, MailOptions{SMTP: refusing}, recipients...).Look(context.Background())
	for recipient, state := range map[string]call.MailState{
		"lost@example.org": call.MailUncertain, "late@example.org": call.MailFailed,
		"soon@example.org": call.MailRetry, "busy@example.org": call.MailSending,
	} {
		recipients = append(recipients, recipient)
		o.store.mails = append(o.store.mails, call.Mail{ID: recipient, RunID: "run-1", Recipient: recipient, MessageID: recipient,
			State: state, Attempts: 20, CreatedAt: o.clock.now(), NextTryAt: o.clock.now().Add(time.Hour)})
	}
	o.clock.set(o.clock.now().Add(48 * time.Hour))
	r := o.reporter(t, MailOptions{SMTP: smtp}, recipients...)
	result, err := r.Build(context.Background(), "daily", at("2026-11-21 00:00:00"), BuildOptions{Send: true})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]call.MailState)
	for _, m := range result.Mails {
		got[m.Recipient] = m.State
	}
	want := map[string]call.MailState{
		"gone@example.org": call.MailSent, "ops@example.org": call.MailSent, "lost@example.org": call.MailSent,
		"late@example.org": call.MailSent, "soon@example.org": call.MailSent, "busy@example.org": call.MailSending,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(mended.Messages()); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

// A report whose files were deleted by right is not mailed any more, also not
// without them, and nobody tries again.
func TestDeletedFilesAreNotMailed(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{SMTP: smtp})
	r.Look(context.Background())
	o.store.runs[0].FilesExpiringAt = o.clock.now()
	o.store.mails = append(o.store.mails, call.Mail{ID: "mail-1", RunID: "run-1", Recipient: "late@example.org", State: call.MailRetry, CreatedAt: o.clock.now(), NextTryAt: o.clock.now()})
	r.Look(context.Background())
	result, err := r.Build(context.Background(), "daily", at("2026-11-21 00:00:00"), BuildOptions{Send: true, Recipients: []string{"ops@example.org"}})
	if err != nil || len(result.Mails) != 1 || result.Mails[0].Recipient != "ops@example.org" || len(o.store.mails) != 2 {
		t.Fatalf("%+v, %v", result, err)
	}
	for _, m := range o.store.mails {
		if m.State != call.MailFailed || !strings.Contains(m.Detail, "were deleted on") {
			t.Errorf("mail to %s is %s: %s", m.Recipient, m.State, m.Detail)
		}
	}
	if n := len(server.Messages()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

// No two mails share a file, however alike run and recipient are.
func TestMailFiles(t *testing.T) {
	t.Parallel()
	day := call.Run{ID: "run-1", Report: "daily", Zone: "UTC", Revision: 1, PeriodFrom: at("2026-11-16 05:30:00")}
	week := day
	week.ID = "run-2"
	seen := make(map[string]string)
	for _, run := range []call.Run{day, week} {
		for _, recipient := range []string{"a/b@example.org", "a\\b@example.org", "A/b@example.org", strings.Repeat("x", 300) + "@example.org", strings.Repeat("x", 300) + "@example.com"} {
			name := strings.ToLower(letterName(run, recipient)) // as some file systems see it
			if seen[name] != "" || len(name) > 255 || strings.ContainsAny(name, "/\\") {
				t.Errorf("%s of %s: %s, as of %q", recipient, run.ID, name, seen[name])
			}
			seen[name] = recipient
		}
	}
}

// A name in a report cannot add a header or a line to the mail.
func TestNamesInMail(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.store.calls[1].Agent.Name = "Eve\r\nBcc: all@example.org <script>alert(1)</script>"
	o.reporter(t, MailOptions{}, "ops@example.org").Look(context.Background())
	content, err := os.ReadFile(o.store.mails[0].Detail)
	if err != nil {
		t.Fatal(err)
	}
	header, parts := testenv.ReadMail(t, content)
	if header.Get("Bcc") != "" || strings.Contains(string(parts["text/plain"]), "\nBcc") {
		t.Error("a name made a line of its own")
	}
	if bytes.Contains(parts["text/html"], []byte("<script>")) {
		t.Error("a name made markup")
	}
}
