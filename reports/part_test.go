package reports

import (
	"context"
	"mime"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// partedReport goes to ops, and of one account to lead and deputy.
func partedReport() Report {
	report := dailyReport("ops@example.org")
	report.Parts = []Part{{Match: call.Filter{Account: "support"}, Recipients: []string{"lead@example.org", "deputy@example.org"}}}
	return report
}

// Recipients see only what their match covers: their files, figures and mail are
// of these calls alone, once for each period.
func TestRecipientsSeeTheirs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := busyOffice(t)
	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	for range 3 {
		o.reporterOf(t, MailOptions{SMTP: smtp}, partedReport()).Look(ctx)
	}
	if len(o.store.runs) != 2 || len(server.Messages()) != 3 {
		t.Fatalf("%d runs, %d mails", len(o.store.runs), len(server.Messages()))
	}
	part := PartName("daily", call.Filter{Account: "support"})
	i := slices.IndexFunc(o.store.runs, func(r call.Run) bool { return r.Report == part })
	if i < 0 || !strings.HasPrefix(part, "daily.support-") {
		t.Fatalf("no run of %s: %+v", part, o.store.runs)
	}
	for _, f := range o.store.runs[i].Files {
		if !strings.HasPrefix(f.ObjectKey, "reports/"+part+"/2026-11-21/") {
			t.Errorf("%s lies at %s", f.Name, f.ObjectKey)
		}
	}
	// What only the calls of sales have.
	secrets := []string{"+919800000001", "Asha", "HYPERLINK"}
	for _, m := range server.Messages() {
		header, parts := testenv.ReadMail(t, m.Data)
		theirs := m.To[0] != "ops@example.org"
		for name, content := range parts {
			if strings.HasSuffix(name, ".xlsx") {
				continue
			}
			for _, secret := range secrets {
				if theirs && strings.Contains(string(content), secret) {
					t.Errorf("%s: %s tells of %q", m.To, name, secret)
				}
			}
		}
		calls := ""
		for name, content := range parts {
			if strings.HasSuffix(name, "-calls.csv") {
				calls = string(content)
			}
		}
		if strings.Contains(calls, "sales") == theirs || !strings.Contains(calls, "support") {
			t.Errorf("%s gets %s", m.To, calls)
		}
		if subject := readSubject(t, header); strings.Contains(subject, "(account support)") != theirs {
			t.Errorf("%s gets %q", m.To, subject)
		}
	}
}

func readSubject(t *testing.T, header mail.Header) string {
	t.Helper()
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return subject
}

// By hand parts are sent and revised with the whole, and a file of a part is
// found by the report's name.
func TestPartsByHand(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := busyOffice(t)
	r := o.reporterOf(t, MailOptions{}, partedReport())
	day := at("2026-11-21 00:00:00")
	sent, err := r.Build(ctx, "daily", day, BuildOptions{Send: true})
	if err != nil || len(sent.Mails) != 3 || len(o.store.runs) != 2 {
		t.Fatalf("%+v, %v", sent, err)
	}
	part := r.partsOf("daily")[1]
	out := filepath.Join(o.dir, "out")
	own, err := r.Build(ctx, part, day, BuildOptions{Out: out})
	if err != nil || len(own.Files) == 0 || !strings.HasPrefix(filepath.Base(own.Files[0]), part+"-2026-11-21") {
		t.Fatalf("%+v, %v", own, err)
	}
	file, err := r.fetch(ctx, o.store.runs[1].Files[0], t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"daily", part} {
		if c, err := r.Check(ctx, name, day, file); err != nil || !c.SameBytes {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	o.clock.set(o.clock.now().Add(time.Minute))
	o.tell("late-1", func(c *call.CallWithRecordings) { c.Account = "support" })
	if _, err := r.Build(ctx, "daily", day, BuildOptions{Revise: true}); err != nil {
		t.Fatal(err)
	}
	for _, run := range o.store.runs {
		if run.Revision != 2 {
			t.Errorf("%s has revision %d", run.Report, run.Revision)
		}
	}
}

// A part never shows more than the report.
func TestNarrow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		of, by   call.Filter
		want     call.Filter
		disagree bool
	}{
		{"group", call.Filter{Account: "a"}, call.Filter{Group: "Sales"}, call.Filter{Account: "a", Group: "Sales"}, false},
		{"one of groups", call.Filter{}, call.Filter{Groups: []string{"Sales"}}, call.Filter{Group: "Sales"}, false},
		{"groups", call.Filter{}, call.Filter{Groups: []string{"A", "B"}}, call.Filter{Groups: []string{"A", "B"}}, false},
		{"groups of a group", call.Filter{Group: "A"}, call.Filter{Groups: []string{"A", "B"}}, call.Filter{Group: "A"}, false},
		{"another group", call.Filter{Group: "A"}, call.Filter{Groups: []string{"B", "C"}}, call.Filter{}, true},
		{"another account", call.Filter{Account: "a"}, call.Filter{Account: "b"}, call.Filter{}, true},
		{"same direction", call.Filter{Direction: call.Inbound}, call.Filter{Direction: call.Inbound}, call.Filter{Direction: call.Inbound}, false},
		{"another agent", call.Filter{Agent: "a"}, call.Filter{Agent: "b"}, call.Filter{}, true},
	} {
		got, err := narrow(tt.of, tt.by)
		if (err != nil) != tt.disagree {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	report := partedReport()
	report.Match.Account = "sales"
	if _, err := New(Options{Reports: []Report{report}}); err == nil || !strings.Contains(err.Error(), "lead@example.org") {
		t.Errorf("a part that contradicts its report: %v", err)
	}
	names := make(map[string]bool)
	for _, match := range []call.Filter{{Group: "Sales"}, {Group: "sales"}, {Group: "बिक्री"}, {Group: "विक्रय"}, {Account: "sales"}, {Groups: []string{"Sales", "x"}}} {
		name := PartName("daily", match)
		if names[name] || strings.ContainsAny(name, " /") {
			t.Errorf("name %q", name)
		}
		names[name] = true
	}
}
