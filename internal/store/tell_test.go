package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

func TestFindCalls(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i := range 7 {
			l := report(fmt.Sprintf("1.%d", i))
			l.StartedAt = nine.Add(time.Duration(i/2) * time.Minute) // pairs start together
			if i == 6 {
				l.CustomerNumber, l.Agent, l.Group, l.StartedAt = "0091 7 55", call.Agent{Name: "Zoë_%"}, "Billing", time.Time{}
				l.TalkSeconds, l.Recordings = new(3), nil
			}
			record(t, s, delivery(l))
		}
		for _, tt := range []struct {
			name string
			f    call.Filter
			want int
		}{
			{"all", call.Filter{}, 7},
			{"from", call.Filter{From: nine.Add(time.Minute)}, 4},
			{"to", call.Filter{To: nine.Add(time.Minute)}, 2},
			{"without start", call.Filter{NoStart: true}, 1},
			{"number by last digits", call.Filter{Number: "345678"}, 6},
			{"business number", call.Filter{Number: "+91 1204567890"}, 7},
			{"agent's number", call.Filter{Number: "9281234567"}, 6},
			{"not a number", call.Filter{Number: "abc"}, 0},
			{"name begins", call.Filter{Text: "zoë_"}, 1},
			{"wildcards are letters", call.Filter{Text: "%"}, 0},
			{"call key begins", call.Filter{Text: "1."}, 7},
			{"link begins", call.Filter{Text: "camp-1.3"}, 1},
			{"agent", call.Filter{Agent: "ashish"}, 6},
			{"groups", call.Filter{Groups: []string{"Billing", "Other"}}, 1},
			{"no recording", call.Filter{Recording: call.RecordingNone}, 1},
			{"pending", call.Filter{Recording: call.Pending}, 6},
			{"talk", call.Filter{MinTalk: new(4), MaxTalk: new(40)}, 6},
			{"account", call.Filter{Account: "none"}, 0},
			{"injection", call.Filter{Text: "' OR 1=1 --", Number: "1'2"}, 0},
		} {
			calls, _, err := s.FindCalls(t.Context(), tt.f)
			if err != nil || len(calls) != tt.want {
				t.Errorf("%s: %d calls, want %d (%v)", tt.name, len(calls), tt.want, err)
			}
		}
		for _, sort := range []call.Sort{call.NewestFirst, call.OldestFirst} {
			seen := map[string]bool{}
			f := call.Filter{Limit: 2, Sort: sort}
			for pages := 0; ; pages++ {
				calls, next, err := s.FindCalls(t.Context(), f)
				if err != nil || pages > 4 {
					t.Fatal(err, pages)
				}
				for _, c := range calls {
					seen[c.ID] = true
				}
				if f.Cursor = next; next == "" {
					break
				}
			}
			if len(seen) != 7 {
				t.Errorf("%s: pages hold %d calls", sort, len(seen))
			}
		}
		for _, f := range []call.Filter{{Limit: 501}, {Limit: -1}, {Cursor: "x"}, {Cursor: "!"}, {Sort: "size"}} {
			if _, _, err := s.FindCalls(t.Context(), f); call.CodeOf(err) != call.Invalid {
				t.Errorf("%+v gives %v", f, err)
			}
		}
		n := 0
		err := s.EachCall(t.Context(), call.Filter{From: nine, To: nine.Add(time.Hour)}, func(c call.CallWithRecordings) error {
			if n++; len(c.Recordings) != 1 {
				t.Errorf("%d recordings", len(c.Recordings))
			}
			return nil
		})
		if err != nil || n != 6 {
			t.Errorf("EachCall gives %d calls, %v", n, err)
		}
	})
}

// TestEachCallPages: more calls than a page, many with the same start.
func TestEachCallPages(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		var batch []*call.Delivery
		for i := range 1100 {
			l := report(fmt.Sprintf("1.%d", i))
			l.StartedAt = nine.Add(time.Duration(i/700) * time.Minute)
			batch = append(batch, delivery(l))
		}
		for part := range slices.Chunk(batch, 200) {
			record(t, s, part...)
		}
		seen := map[string]bool{}
		if err := s.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error { seen[c.ID] = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if len(seen) != 1100 {
			t.Errorf("%d calls", len(seen))
		}
	})
}

func TestNotReturned(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		n := 0
		add := func(account, number string, minute int, d call.Direction, outcome call.Outcome) {
			n++
			l := report(fmt.Sprintf("1.%d", n))
			l.Account, l.CustomerNumber, l.Direction, l.StartedAt = account, number, d, nine.Add(time.Duration(minute)*time.Minute)
			l.Campaign = "spring"
			if outcome != call.Answered {
				l.Status, l.Outcome, l.AnsweredAt, l.TalkSeconds = "NOANSWER", call.Missed, time.Time{}, nil
			}
			record(t, s, delivery(l))
		}
		add("sales", "+911", 0, call.Inbound, call.Missed)
		add("sales", "+911", 5, call.Inbound, call.Missed)
		add("sales", "+912", 1, call.Inbound, call.Missed)
		add("other", "+912", 30, call.Outbound, call.Answered) // another account calls back
		add("sales", "+912", 40, call.Inbound, call.Answered)  // later still
		add("sales", "+913", 2, call.Inbound, call.Missed)
		add("sales", "+913", 90, call.Outbound, call.Answered) // after asOf
		add("sales", "+914", 0, call.Inbound, call.Answered)
		add("sales", "+914", 3, call.Inbound, call.Missed) // answered before only
		var got []call.Missing
		err := s.NotReturned(t.Context(), call.Filter{Account: "sales", From: nine, To: nine.Add(time.Hour)}, nine.Add(time.Hour), func(m call.Missing) error {
			got = append(got, m)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		missing := func(number string, first, last, attempts, returned int) call.Missing {
			m := call.Missing{Number: number, FirstAt: nine.Add(time.Duration(first) * time.Minute), LastAt: nine.Add(time.Duration(last) * time.Minute),
				Attempts: attempts, Called: "+911204567890", Account: "sales", Group: "TestGroup",
				Provider: call.CallerDesk, Campaign: "spring", Agent: call.Agent{Name: "Ashish", Number: "+919281234567"}}
			if returned > 0 {
				m.ReturnedAt = nine.Add(time.Duration(returned) * time.Minute)
				m.Return = call.Return{Account: "other", Provider: call.CallerDesk, Direction: call.Outbound, Agent: call.Agent{Name: "Ashish", Number: "+919281234567"}}
			}
			return m
		}
		want := []call.Missing{missing("+913", 2, 2, 1, 0), missing("+914", 3, 3, 1, 0), missing("+911", 0, 5, 2, 0), missing("+912", 1, 1, 1, 30)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if err := s.NotReturned(t.Context(), call.Filter{Direction: call.Outbound}, nine.Add(time.Hour), func(m call.Missing) error {
			t.Errorf("a filter for outbound calls tells of %+v", m)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if stats := must(s.CustomerStats(t.Context(), call.Filter{Direction: call.Outbound}))(t); stats != (call.CustomerStats{}) {
			t.Errorf("a filter for outbound calls counts %+v", stats)
		}
		stats := must(s.CustomerStats(t.Context(), call.Filter{Account: "sales"}))(t)
		if stats != (call.CustomerStats{Unique: 4, Repeat: 3}) {
			t.Errorf("customers are %+v", stats)
		}
	})
}

// TestNotAccounts: what a report leaves out, it leaves out of every figure.
func TestNotAccounts(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		drilled := report("1.1")
		drilled.Account, drilled.CustomerNumber = "drill", "+911"
		drilled.Status, drilled.Outcome, drilled.AnsweredAt, drilled.TalkSeconds = "NOANSWER", call.Missed, time.Time{}, nil
		record(t, s, delivery(report("1.1")), delivery(drilled))
		only := call.Filter{NotAccounts: []string{"drill", "another"}}
		calls, _, err := s.FindCalls(t.Context(), only)
		if err != nil || len(calls) != 1 || calls[0].Account != "sales" {
			t.Errorf("found %+v, %v", calls, err)
		}
		if stats := must(s.CustomerStats(t.Context(), only))(t); stats.Unique != 1 {
			t.Errorf("customers are %+v", stats)
		}
		if err := s.NotReturned(t.Context(), only, nine.Add(time.Hour), func(m call.Missing) error {
			t.Errorf("missed is %+v", m)
			return nil
		}); err != nil {
			t.Error(err)
		}
		counts := must(s.DeliveryCounts(t.Context(), call.DeliveryFilter{NotAccounts: only.NotAccounts}))(t)
		if diff := cmp.Diff(map[call.DeliveryOutcome]int64{call.Recorded: 1}, counts); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRuns(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		seen := must(s.ReportSeen(t.Context(), "daily"))(t)
		if again := must(s.ReportSeen(t.Context(), "daily"))(t); seen.IsZero() || !again.Equal(seen) {
			t.Errorf("seen at %v and %v", seen, again)
		}
		period := call.Run{Report: "daily", PeriodFrom: nine, PeriodTo: nine.Add(24 * time.Hour), Zone: "Asia/Kolkata"}
		run, token, won, err := s.ReserveRun(t.Context(), period, time.Minute)
		if err != nil || !won || run.State != call.RunBuilding {
			t.Fatalf("%+v %v %v", run, won, err)
		}
		if _, _, won, err := s.ReserveRun(t.Context(), period, time.Minute); err != nil || won {
			t.Errorf("two nodes build: %v %v", won, err)
		}
		if err := s.FailRun(t.Context(), token, "vault gone"); err != nil {
			t.Fatal(err)
		}
		again, token, won, err := s.ReserveRun(t.Context(), period, -time.Second) // its builder will be dead
		if err != nil || !won || again.ID != run.ID {
			t.Fatalf("%+v %v %v", again, won, err)
		}
		_, alive, won, err := s.ReserveRun(t.Context(), period, time.Minute)
		if err != nil || !won {
			t.Fatal(won, err)
		}
		done := call.Run{Revision: 1, AsOf: nine.Add(25 * time.Hour), InputHash: "cd", Files: []call.RunFile{{Name: "daily.xlsx", ObjectKey: "reports/x", Size: 3, SHA256: "ef"}}}
		if err := s.FinishRun(t.Context(), token, done); call.CodeOf(err) != call.Conflict {
			t.Errorf("the dead finishes with %v", err)
		}
		if err := s.FinishRun(t.Context(), alive, done); err != nil {
			t.Fatal(err)
		}
		if _, _, won, err := s.ReserveRun(t.Context(), period, time.Minute); err != nil || won {
			t.Errorf("built twice: %v %v", won, err)
		}
		back := must(s.Run(t.Context(), run.ID))(t)
		if back.State != call.RunBuilt || back.BuiltAt.IsZero() || cmp.Diff(done.Files, back.Files) != "" {
			t.Errorf("run is %+v", back)
		}
		runs, next, err := s.FindRuns(t.Context(), call.RunFilter{Report: "daily", State: call.RunBuilt})
		if err != nil || len(runs) != 1 || next != "" {
			t.Errorf("%v %q %v", runs, next, err)
		}
		for n, f := range []call.RunFilter{{Reports: []string{"weekly"}}, {Reports: []string{"weekly", "daily"}}} {
			if runs, _, err := s.FindRuns(t.Context(), f); err != nil || len(runs) != n {
				t.Errorf("%q: %v %v", f.Reports, runs, err)
			}
		}

		mail := call.Mail{RunID: run.ID, Recipient: "ops@example.org", MessageID: "<1@example.org>"}
		m, send, err := s.BeginMail(t.Context(), mail)
		if err != nil || !send || m.State != call.MailSending {
			t.Fatalf("%+v %v %v", m, send, err)
		}
		if _, send, err := s.BeginMail(t.Context(), mail); err != nil || send {
			t.Errorf("two nodes send: %v %v", send, err)
		}
		if err := s.FinishMail(t.Context(), m.ID, call.MailRetry, "450 later", 0); err != nil {
			t.Fatal(err)
		}
		due := must(s.DueMails(t.Context()))(t)
		if len(due) != 1 || due[0].Detail != "450 later" {
			t.Fatalf("due are %+v", due)
		}
		m, send, err = s.BeginMail(t.Context(), mail)
		if err != nil || !send || m.Attempts != 2 {
			t.Fatalf("%+v %v %v", m, send, err)
		}
		if err := s.FinishMail(t.Context(), m.ID, call.MailRefused, "550 no such user", 0); err != nil {
			t.Fatal(err)
		}
		if _, send, err := s.BeginMail(t.Context(), mail); err != nil || send {
			t.Errorf("a refused mail is sent by itself: %v %v", send, err)
		}
		date := m.Date()
		if err := s.ResendMail(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		m, send, err = s.BeginMail(t.Context(), mail)
		if err != nil || !send {
			t.Fatalf("%+v %v %v", m, send, err)
		}
		if !m.Date().Equal(date) || m.DatedAt.IsZero() || m.CreatedAt.Before(date) {
			t.Errorf("sent again it is dated %v, begun at %v; it was %v", m.Date(), m.CreatedAt, date)
		}
		if err := s.FinishMail(t.Context(), m.ID, call.MailSent, "250 ok", 0); err != nil {
			t.Fatal(err)
		}
		if err := s.ResendMail(t.Context(), m.ID); call.CodeOf(err) != call.NotFound {
			t.Errorf("a sent mail is sent again: %v", err)
		}
		mails := must(s.Mails(t.Context(), run.ID))(t)
		if len(mails) != 1 || mails[0].State != call.MailSent || mails[0].SentAt.IsZero() {
			t.Errorf("mails are %+v", mails)
		}
	})
}

func TestUsersAndTokens(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		u := call.User{Name: "asha", Role: call.Manager, Groups: []string{"Sales"}, PasswordHash: "h"}
		if err := s.AddUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if err := s.AddUser(t.Context(), u); call.CodeOf(err) != call.Conflict {
			t.Errorf("adding twice gives %v", err)
		}
		if err := s.SetPassword(t.Context(), "asha", "new"); err != nil {
			t.Fatal(err)
		}
		if err := s.DisableUser(t.Context(), "nobody"); call.CodeOf(err) != call.NotFound {
			t.Errorf("disabling nobody gives %v", err)
		}
		got := must(s.User(t.Context(), "asha"))(t)
		if got.PasswordHash != "new" || got.Disabled || len(got.Groups) != 1 || got.CreatedAt.IsZero() {
			t.Errorf("user is %+v", got)
		}
		token := call.Token{Name: "bi", Role: call.Viewer, Hash: [32]byte{1}}
		if err := s.AddToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if got := must(s.TokenByHash(t.Context(), token.Hash))(t); got.Name != "bi" || got.Role != call.Viewer {
			t.Errorf("token is %+v", got)
		}
		if tokens := must(s.Tokens(t.Context()))(t); len(tokens) != 1 || tokens[0].LastUsedAt.IsZero() {
			t.Errorf("tokens are %+v", tokens)
		}
		if err := s.DisableToken(t.Context(), "bi"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.TokenByHash(t.Context(), token.Hash); call.CodeOf(err) != call.NotFound {
			t.Errorf("a disabled token gives %v", err)
		}
	})
}
