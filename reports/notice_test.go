package reports

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault/internal/testenv"
)

func testNotice() Notice {
	return Notice{ID: "0197b5a2-7c1e", Recipient: "ops@example.org", Subject: "Alert: sales: né\r\nBcc: x@example.org", Text: "Nothing has come since 14:05.\n",
		At: time.Date(2026, 11, 20, 14, 30, 0, 0, time.UTC)}
}

func checkNotice(t *testing.T, data []byte) {
	t.Helper()
	header, parts := testenv.ReadMail(t, data)
	for got, want := range map[string]string{
		readSubject(t, header):       "Alert: sales: né Bcc: x@example.org",
		header.Get("Bcc"):            "",
		header.Get("Date"):           "Fri, 20 Nov 2026 14:30:00 +0000",
		header.Get("Message-ID"):     "<0197b5a2-7c1e@example.org>",
		header.Get("Auto-Submitted"): "auto-generated",
		header.Get("To"):             "<ops@example.org>",
	} {
		if got != want {
			t.Errorf("header %q, want %q", got, want)
		}
	}
	if body := string(parts["text/plain"]); !strings.Contains(body, "Nothing has come since 14:05.") {
		t.Errorf("body is %q", body)
	}
}

func TestNoticeByMail(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{RefuseFirst: 1})
	p, err := NewPostman(MailOptions{SMTP: smtp, From: "Callvault <alerts@example.org>"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), testNotice()); err == nil || strings.Contains(err.Error(), smtp.Password) {
		t.Errorf("a refusal gives %v", err)
	}
	if err := p.Send(t.Context(), testNotice()); err != nil {
		t.Fatal(err)
	}
	messages := server.Messages()
	if len(messages) != 1 || !messages[0].Encrypted || !messages[0].Authenticated {
		t.Fatalf("messages are %+v", messages)
	}
	checkNotice(t, messages[0].Data)
	bad := testNotice()
	bad.Recipient = "nobody"
	if err := p.Send(t.Context(), bad); err == nil {
		t.Error("sent to nobody")
	}
}

func TestNoticeAsFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	p, err := NewPostman(MailOptions{Dir: dir, From: "alerts@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // one that is written twice is one
		if err := p.Send(t.Context(), testNotice()); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 || !strings.HasPrefix(filepath.Base(files[0]), "notice-2026-11-20T143000Z-") || !strings.HasSuffix(files[0], ".eml") {
		t.Fatalf("files are %v, %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	checkNotice(t, data)
	if _, err := NewPostman(MailOptions{From: "nobody"}); err == nil {
		t.Error("a postman without an address")
	}
}
