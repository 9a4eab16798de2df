package reports

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// patience is far more than the limits set in these tests, and far less than
// those that hold without them.
const patience = 20 * time.Second

// A server that cannot be spoken with is given up soon, and tried again.
func TestServerThatNeverSpeaks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		death    testenv.SMTPDeath
		security Security
	}{
		"never lets connect":       {testenv.SMTPUnreachable, RequireSTARTTLS},
		"never greets":             {testenv.SMTPMute, RequireSTARTTLS},
		"never answers TLS":        {testenv.SMTPMute, ImplicitTLS},
		"hangs up at once":         {testenv.SMTPHangsUp, RequireSTARTTLS},
		"hangs up instead of TLS":  {testenv.SMTPHangsUp, ImplicitTLS},
		"hangs up without any TLS": {testenv.SMTPHangsUp, OfferedSTARTTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, port := testenv.DeadSMTP(t, test.death)
			o := busyOffice(t)
			r := o.reporter(t, MailOptions{SMTP: &SMTPServer{Host: host, Port: port, User: "callvault", Password: "correct horse",
				Security: test.security, ConnectTimeout: 100 * time.Millisecond}}, "ops@example.org")
			began := time.Now()
			r.Look(context.Background())
			if took := time.Since(began); took > patience {
				t.Errorf("it took %v", took)
			}
			m := o.store.mails[0]
			if m.State != call.MailRetry || !strings.HasPrefix(m.Detail, "connect to mail server: ") || strings.Contains(m.Detail, "correct horse") {
				t.Errorf("%s: %s", m.State, m.Detail)
			}
			if wait := m.NextTryAt.Sub(o.clock.now()); wait != retryDelays[0] {
				t.Errorf("tried again in %v", wait)
			}
		})
	}
}

// A server that takes a mail and never says so leaves it uncertain, and the
// others are sent all the same.
func TestServerThatNeverAnswersTheDot(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{SilentAfterDot: 1})
	smtp.SendTimeout = 2 * time.Second
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{SMTP: smtp}, "boss@example.org", "ops@example.org")
	began := time.Now()
	r.Look(context.Background())
	if took := time.Since(began); took > patience+smtp.SendTimeout {
		t.Errorf("it took %v", took)
	}
	o.clock.set(o.clock.now().Add(time.Hour))
	r.Look(context.Background())
	want := map[string]call.MailState{"boss@example.org": call.MailUncertain, "ops@example.org": call.MailSent}
	if diff := cmp.Diff(want, o.states()); diff != "" {
		t.Errorf("%s: %s", diff, o.store.mails[0].Detail)
	}
	if len(server.Messages()) != 2 {
		t.Errorf("%d messages", len(server.Messages()))
	}
}

// A password that the server does not take is tried again, for somebody may
// mend it, and is in no record.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	o := busyOffice(t)
	wrong := *smtp
	wrong.Password = "not this one"
	o.reporter(t, MailOptions{SMTP: &wrong}, "ops@example.org").Look(context.Background())
	m := o.store.mails[0]
	if m.State != call.MailRetry || strings.Contains(m.Detail, wrong.Password) || server.Tries() != 0 {
		t.Fatalf("%s after %d tries: %s", m.State, server.Tries(), m.Detail)
	}
	if o.log.count(wrong.Password) != 0 {
		t.Error("the password is in the log")
	}
	o.clock.set(o.clock.now().Add(time.Hour))
	o.reporter(t, MailOptions{SMTP: smtp}, "ops@example.org").Look(context.Background())
	if got := o.states()["ops@example.org"]; got != call.MailSent || !server.Messages()[0].Authenticated {
		t.Errorf("with the password mended: %s", got)
	}
}
