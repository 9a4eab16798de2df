package testenv

import (
	"crypto/tls"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
)

// send sends one message to a server that offers STARTTLS.
func send(t *testing.T, s *SMTPServer, to ...string) error {
	t.Helper()
	client, err := smtp.Dial(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	// After a cut there is nothing left to close.
	defer func() { _ = client.Close() }()
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: s.RootCAs, ServerName: host, MinVersion: tls.VersionTLS12}
	if err := client.StartTLS(config); err != nil {
		t.Fatal(err)
	}
	if err := client.Auth(smtp.PlainAuth("", s.Username, s.Password, host)); err != nil {
		t.Fatal(err)
	}
	if err := client.Mail("reports@example.org"); err != nil {
		return err
	}
	var refused error
	for _, recipient := range to {
		refused = errors.Join(refused, client.Rcpt(recipient))
	}
	writer, err := client.Data()
	if err != nil {
		return errors.Join(refused, err)
	}
	_, err = writer.Write([]byte("Subject: daily\r\n\r\n" + strings.Repeat("1,204 calls\r\n", 1000)))
	return errors.Join(refused, err, writer.Close())
}

func TestSMTPKeepsWhatItTook(t *testing.T) {
	t.Parallel()
	server := SMTP(t, SMTPOptions{RefuseRecipients: []string{"gone@example.org"}})
	err := send(t, server, "gone@example.org", "ops@example.org")
	if refused, ok := errors.AsType[*textproto.Error](err); !ok || refused.Code != 550 {
		t.Errorf("refused recipient: %v, want a 550", err)
	}
	messages, err := server.WaitMessages(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got := messages[0]
	if got.From != "reports@example.org" || len(got.To) != 1 || got.To[0] != "ops@example.org" {
		t.Errorf("envelope from %s to %v", got.From, got.To)
	}
	if !got.Encrypted || !got.Authenticated {
		t.Errorf("encrypted %t, authenticated %t, want both", got.Encrypted, got.Authenticated)
	}
	if !strings.HasPrefix(string(got.Data), "Subject: daily\r\n\r\n1,204 calls\r\n") {
		t.Errorf("content begins %q", got.Data[:min(len(got.Data), 40)])
	}
}

func TestSMTPFailsAsAsked(t *testing.T) {
	t.Parallel()
	server := SMTP(t, SMTPOptions{RefuseFirst: 1, CutBeforeDot: 1, CutAfterDot: 1})
	steps := []struct {
		name  string
		fails bool
		kept  int
	}{
		{"refused for now", true, 0},
		{"cut before the final dot", true, 0},
		{"cut after the final dot", true, 1},
		{"taken", false, 2},
	}
	for _, step := range steps {
		err := send(t, server, "ops@example.org")
		if (err != nil) != step.fails {
			t.Errorf("%s: error %v, want one: %t", step.name, err, step.fails)
		}
		if kept := len(server.Messages()); kept != step.kept {
			t.Errorf("%s: %d messages kept, want %d", step.name, kept, step.kept)
		}
	}
	if server.Tries() != len(steps) {
		t.Errorf("%d tries counted, want %d", server.Tries(), len(steps))
	}
}
