package reports

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// stored reports whether the vault has files under a prefix.
func (o *office) stored(_ context.Context, prefix string) (bool, error) {
	for key := range o.vault.files {
		if strings.HasPrefix(key, prefix) {
			return true, nil
		}
	}
	return false, nil
}

// TestDoubt loses what the database said of a run and its mails, in part or
// whole: what may have been sent is not sent again.
func TestDoubt(t *testing.T) {
	t.Parallel()
	const sent, lost = call.MailSent, call.MailUncertain
	for name, test := range map[string]struct {
		// lose takes away what is lost after the report was mailed.
		lose func(*office)
		// What becomes of the two mails, and how many are sent again.
		a, b  call.MailState
		again int
	}{
		"nothing":   {func(*office) {}, sent, sent, 0},
		"one mail":  {func(o *office) { o.store.mails = o.store.mails[:1] }, sent, lost, 0},
		"all mails": {func(o *office) { o.store.mails = nil }, lost, lost, 0},
		"the run":   {func(o *office) { o.store.mails, o.store.runs = nil, nil }, lost, lost, 0},
		"its files, too, without which none was sent": {func(o *office) {
			o.store.mails, o.store.runs, o.vault.files = nil, nil, nil
		}, sent, sent, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := busyOffice(t)
			server, smtp := smtpServer(t, testenv.SMTPOptions{})
			r := o.reporter(t, MailOptions{SMTP: smtp}, "a@example.org", "b@example.org")
			r.Look(context.Background())
			before := len(server.Messages())
			if before != 2 {
				t.Fatalf("%d mails were sent at first", before)
			}
			test.lose(o)
			o.clock.set(at("2026-11-22 07:35:00"))
			for range 2 { // a rebuild may be interrupted
				if _, err := r.Doubt(context.Background(), o.stored); err != nil {
					t.Fatal(err)
				}
			}
			r.Look(context.Background())
			if built := o.periods(call.RunBuilt); len(built) != 1 {
				t.Errorf("built are %v", built)
			}
			want := map[string]call.MailState{"a@example.org": test.a, "b@example.org": test.b}
			if diff := cmp.Diff(want, o.states()); diff != "" {
				t.Error(diff)
			}
			if again := len(server.Messages()) - before; again != test.again {
				t.Errorf("%d mails were sent again", again)
			}
		})
	}
}

// TestDoubtEndsWithMailing: what is too old to be mailed by itself needs no
// doubt.
func TestDoubtEndsWithMailing(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{}, "a@example.org")
	r.Look(context.Background())
	o.store.mails = nil
	o.clock.set(at("2026-11-23 07:31:00"))
	if n, err := r.Doubt(context.Background(), o.stored); err != nil || n != 0 {
		t.Errorf("%d mails are uncertain, %v", n, err)
	}
}

// TestLostRunSentByHand: somebody sends a run again that is not built again yet.
func TestLostRunSentByHand(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	r := o.reporter(t, MailOptions{SMTP: smtp}, "a@example.org")
	r.Look(context.Background())
	o.store.mails, o.store.runs = nil, nil
	if n, err := r.Doubt(context.Background(), o.stored); err != nil || n != 1 {
		t.Fatalf("%d mails are uncertain, %v", n, err)
	}
	if err := o.store.ResendMail(context.Background(), o.store.mails[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := r.mailAgain(context.Background()); err != nil || len(server.Messages()) != 1 {
		t.Errorf("%d mails before it is built, %v", len(server.Messages()), err)
	}
	r.Look(context.Background())
	if messages := server.Messages(); len(messages) != 2 || len(messages[1].Data) < len(messages[0].Data)/2 {
		t.Errorf("%d mails", len(messages))
	}
}
