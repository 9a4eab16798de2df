package reports

import (
	"context"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// A recipient who is refused each day is told of after the third, and not any
// more when a day has gone well.
func TestThreeRunsInARow(t *testing.T) {
	t.Parallel()
	_, refusing := smtpServer(t, testenv.SMTPOptions{RefuseRecipients: []string{"gone@example.org"}})
	_, mended := smtpServer(t, testenv.SMTPOptions{})
	o := busyOffice(t)
	began := o.clock.now()
	for day, test := range []struct {
		smtp    *SMTPServer
		trouble bool
	}{{refusing, false}, {refusing, false}, {refusing, true}, {refusing, true}, {mended, false}, {refusing, false}, {refusing, false}, {refusing, true}} {
		o.clock.set(began.Add(time.Duration(day) * 24 * time.Hour))
		report := dailyReport("gone@example.org", "ops@example.org")
		report.Formats = []Format{CSV} // workbooks take their time
		r := o.reporterOf(t, MailOptions{SMTP: test.smtp}, report)
		r.Look(context.Background())
		troubles, err := r.Troubles(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if (len(troubles) == 1) != test.trouble {
			t.Fatalf("on day %d: %v", day, troubles)
		}
		if day == 2 {
			said := troubles[0].String()
			for _, part := range []string{"Report daily", "3 times in a row", "gone@example.org is refused", "no such user", "callvault report daily --date 2026-11-23 --send"} {
				if !strings.Contains(said, part) {
					t.Errorf("nothing says %q: %s", part, said)
				}
			}
			if !troubles[0].Since.Equal(began) {
				t.Errorf("since %v", troubles[0].Since)
			}
		}
	}
}

func TestHowRunsEnd(t *testing.T) {
	t.Parallel()
	built := func(states ...call.MailState) []call.MailState { return append([]call.MailState{}, states...) }
	for name, test := range map[string]struct {
		runs    []any // the oldest first: a RunState, or the states of a built run's mails
		trouble bool
	}{
		"none":                         {nil, false},
		"two":                          {[]any{call.RunFailed, call.RunFailed}, false},
		"cannot be made":               {[]any{call.RunFailed, call.RunFailed, call.RunFailed}, true},
		"given up, lost, refused":      {[]any{built(call.MailFailed), built(call.MailUncertain), built(call.MailSent, call.MailRefused)}, true},
		"one in between is well":       {[]any{call.RunFailed, built(call.MailSent), call.RunFailed, call.RunFailed}, false},
		"one without recipients":       {[]any{call.RunFailed, built(), call.RunFailed, call.RunFailed}, false},
		"those under way do not count": {[]any{call.RunFailed, built(call.MailRetry), call.RunFailed, call.RunBuilding, call.RunFailed, built(call.MailSent, call.MailSending)}, true},
		"one is tried, one refused":    {[]any{built(call.MailRetry, call.MailRefused), call.RunFailed, call.RunFailed}, true},
		"well again":                   {[]any{call.RunFailed, call.RunFailed, call.RunFailed, built(call.MailSent)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			for i, end := range test.runs {
				run := call.Run{ID: string(rune('a' + i)), Report: "daily", Zone: "UTC", State: call.RunBuilt, Error: "It could not be made."}
				if state, ok := end.(call.RunState); ok {
					run.State = state
				} else if states, ok := end.([]call.MailState); ok {
					for n, state := range states {
						recipient := string(rune('a' + n))
						// What became of the revision before does not matter.
						o.store.mails = append(o.store.mails, call.Mail{RunID: run.ID, Recipient: recipient, Revision: 1, State: call.MailFailed},
							call.Mail{RunID: run.ID, Recipient: recipient, Revision: 2, State: state})
					}
				}
				o.store.runs = append(o.store.runs, run)
			}
			troubles, err := o.reporter(t, MailOptions{}).Troubles(context.Background())
			if err != nil || (len(troubles) == 1) != test.trouble {
				t.Errorf("%v, %v", troubles, err)
			}
		})
	}
}
