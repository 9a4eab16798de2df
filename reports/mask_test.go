package reports

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// contents are all that stands in a file, of a workbook in all of its parts.
func contents(t *testing.T, name string, content []byte) string {
	t.Helper()
	if !strings.HasSuffix(name, ".xlsx") {
		return string(content)
	}
	book, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range book.File {
		part, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(&all, part)
		if err := errors.Join(err, part.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// With mask_numbers no file, mail or table has a customer's number, of a
// revision either; the frozen input has them, and gives the files again.
func TestMaskedNumbers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := busyOffice(t)
	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	report := dailyReport("ops@example.org")
	report.MaskNumbers = true
	r := o.reporterOf(t, MailOptions{SMTP: smtp}, report)
	r.Look(ctx)
	o.clock.set(at("2026-11-23 07:30:00"))
	o.tell("late-1", late) // of +919800000077
	o.tell("second", func(c *call.CallWithRecordings) { c.CustomerNumber = "+919800000078" })
	r.Look(ctx)
	run := o.firstRun()
	if run.Revision != 2 {
		t.Fatalf("revision %d", run.Revision)
	}
	numbers := []string{"9800000001", "9800000002", "9800000009", "9800000077", "9800000078"}
	mask := MaskBy([]byte("secret"))
	for _, f := range run.Files {
		text := contents(t, f.Name, o.vault.files[f.ObjectKey])
		if f.Name == inputName {
			continue
		}
		for _, number := range numbers {
			if strings.Contains(text, number) {
				t.Errorf("%s of revision %d has %s", f.Name, f.OfRevision(), number)
			}
		}
		if strings.HasSuffix(f.Name, "-calls.csv") && !strings.Contains(text, mask("+919800000001")) {
			t.Errorf("%s lacks a pseudonym", f.Name)
		}
	}
	for _, m := range server.Messages() {
		_, parts := testenv.ReadMail(t, m.Data)
		for name, content := range parts {
			for _, number := range numbers {
				if strings.Contains(contents(t, name, content), number) {
					t.Errorf("%s, mailed, has %s", name, number)
				}
			}
		}
	}
	in, err := r.currentInput(ctx, run, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	if _, err := in.each(ctx, func(c *row) error { told[c.CustomerNumber] = true; return nil }, func(*missing) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if !told["+919800000078"] || !in.Settings.Masked {
		t.Errorf("the input tells of %v", told)
	}
	for revision := 1; revision <= 2; revision++ {
		file, err := r.fetch(ctx, run.At(revision).Files[0], t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if c, err := r.Check(ctx, "daily", at("2026-11-21 00:00:00"), file); err != nil || !c.SameBytes || c.Revision != revision {
			t.Errorf("check of revision %d: %+v, %v", revision, c, err)
		}
	}
	for _, table := range Tables() {
		var out bytes.Buffer
		if err := r.WriteTable(ctx, "daily", at("2026-11-21 00:00:00"), table, TableCSV, &out); err != nil {
			t.Fatal(err)
		}
		for _, number := range numbers {
			if strings.Contains(out.String(), number) {
				t.Errorf("table %s has %s", table, number)
			}
		}
	}
	r.mask = nil
	if err := r.WriteTable(ctx, "daily", at("2026-11-21 00:00:00"), CallsTable, TableCSV, io.Discard); !errors.Is(err, errNoMask) {
		t.Errorf("without a key: %v", err)
	}
}

// What was made with numbers is not mailed any more once they are to be hidden,
// to nobody and on no occasion; a revision by the rules of now hides them, and is.
func TestMaskedLater(t *testing.T) {
	t.Parallel()
	ctx, day := context.Background(), at("2026-11-21 00:00:00")
	o := busyOffice(t)
	first, smtp := smtpServer(t, testenv.SMTPOptions{})
	o.reporter(t, MailOptions{SMTP: smtp}, "ops@example.org").Look(ctx)
	if n := len(first.Messages()); n != 1 {
		t.Fatalf("%d messages", n)
	}
	o.store.mails = append(o.store.mails, call.Mail{ID: "late", RunID: "run-1", Recipient: "late@example.org", MessageID: "late", Revision: 1,
		State: call.MailRetry, Attempts: 1, CreatedAt: o.clock.now(), NextTryAt: o.clock.now()})

	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	report := dailyReport("ops@example.org", "late@example.org", "new@example.org")
	report.MaskNumbers = true
	r := o.reporterOf(t, MailOptions{SMTP: smtp}, report)
	r.Look(ctx)
	built, err := r.Build(ctx, "daily", day, BuildOptions{Send: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range built.Mails {
		switch m.Recipient {
		case "ops@example.org":
			if m.State != call.MailSent {
				t.Errorf("the mail that was sent is %s", m.State)
			}
		default:
			if m.State != call.MailFailed || !strings.Contains(m.Detail, "callvault report daily --date 2026-11-21 --revise --current-config --send") {
				t.Errorf("mail to %s is %s: %s", m.Recipient, m.State, m.Detail)
			}
		}
	}
	if n := len(server.Messages()); n != 0 || len(built.Mails) != 3 {
		t.Fatalf("%d messages, %d mails", n, len(built.Mails))
	}

	if built, err = r.Build(ctx, "daily", day, BuildOptions{Revise: true}); err != nil || built.Revised {
		t.Errorf("it is revised without being asked to: %+v, %v", built, err)
	}
	built, err = r.Build(ctx, "daily", day, BuildOptions{Revise: true, RulesOfNow: true, Send: true})
	if err != nil || !built.Revised || built.Run.Revision != 2 {
		t.Fatalf("%+v, %v", built, err)
	}
	for _, m := range built.Mails {
		if m.State != call.MailSent || m.Revision != 2 {
			t.Errorf("mail to %s of revision %d is %s: %s", m.Recipient, m.Revision, m.State, m.Detail)
		}
	}
	messages := server.Messages()
	if len(messages) != 3 {
		t.Fatalf("%d messages", len(messages))
	}
	_, parts := testenv.ReadMail(t, messages[0].Data)
	for name, content := range parts {
		text := contents(t, name, content)
		for _, number := range []string{"9800000001", "9800000002", "9800000009"} {
			if strings.Contains(text, number) {
				t.Errorf("%s has %s", name, number)
			}
		}
		if strings.HasSuffix(name, "-calls.csv") && !strings.Contains(text, MaskBy([]byte("secret"))("+919800000001")) {
			t.Errorf("%s lacks a pseudonym", name)
		}
	}
	if built, err = r.Build(ctx, "daily", day, BuildOptions{Revise: true, RulesOfNow: true}); err != nil || built.Revised {
		t.Errorf("nothing more has changed: %+v, %v", built, err)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	mask, other := MaskBy([]byte("key")), MaskBy([]byte("another"))
	seen := make(map[string]bool)
	for _, number := range []string{"+919800000001", "+919800000002", "anonymous", "=1+1"} {
		got := mask(number)
		if got != mask(number) || got == other(number) || seen[got] || len(got) != 14 || !strings.HasPrefix(got, "C-") || strings.Contains(got, number) {
			t.Errorf("%s is hidden as %s", number, got)
		}
		seen[got] = true
	}
	if mask("") != "" {
		t.Error("no number has a pseudonym")
	}
}
