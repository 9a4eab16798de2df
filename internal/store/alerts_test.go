package store_test

import (
	"sync"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTakeWatch(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		const every, pause = 5 * time.Minute, 20 * time.Minute
		for i, tt := range []struct {
			at, since time.Duration
			won       bool
		}{
			{0, 0, true},
			{time.Minute, 0, false},
			{5 * time.Minute, 0, true},
			{25 * time.Minute, 0, true},                                    // just not too late
			{46 * time.Minute, 46 * time.Minute, true},                     // nobody looked for 21 minutes
			{51 * time.Minute, 46 * time.Minute, true},                     // since then
			{50 * time.Minute, 0, false},                                   // a clock that is behind
			{24*time.Hour + time.Second, 24*time.Hour + time.Second, true}, // a day later
		} {
			since, won, err := nodes[i%2].TakeWatch(t.Context(), nine.Add(tt.at), every, pause)
			if err != nil || won != tt.won || won && !since.Equal(nine.Add(tt.since)) {
				t.Errorf("after %s: since %s, won %t, %v", tt.at, since, won, err)
			}
		}
	})
}

func TestActivity(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		count := func(until time.Time) time.Time {
			return must(s.CountActivity(t.Context(), nine.AddDate(0, 0, -30), until))(t)
		}
		if counted := count(nine); !counted.Equal(nine) {
			t.Errorf("of nothing, up to %s", counted)
		}
		at := func(d *call.Delivery, received time.Time) *call.Delivery {
			d.ReceivedAt = received
			return d
		}
		imported := at(delivery(report("i.1")), nine)
		imported.Source = call.SourceImport
		live := &call.Delivery{Account: "sales", Method: "POST", ReceivedAt: nine, Body: []byte("live"), Source: call.SourceWebhook,
			Items: []call.Item{{Live: &call.LiveCall{Account: "sales", Key: call.Key{Kind: call.KeyCall, Value: "l.1"}, State: call.Ringing, At: nine}}}}
		unreadable := &call.Delivery{Account: "sales", Method: "POST", ReceivedAt: nine, Body: []byte("?"), Source: call.SourceWebhook, Items: []call.Item{{Outcome: call.Unreadable}}}
		first := nine.Add(-50 * time.Hour)
		last := nine.Add(59*time.Minute + 59*time.Second)
		record(t, s, at(delivery(report("1.0")), first), at(delivery(report("1.1")), nine), at(delivery(report("1.2"), report("1.3")), last),
			at(delivery(report("1.1")), nine.Add(time.Minute)), at(delivery(report("1.4")), nine.Add(time.Hour)), imported, live, unreadable)
		until := nine.Add(time.Hour)
		steps := 0
		for counted := count(until); counted.Before(until); counted = count(until) {
			steps++
		}
		if steps != 2 { // more than two days, one at a time
			t.Errorf("%d steps", steps)
		}
		want := []call.Activity{{Account: "sales", Hour: first, Reports: 1, LastAt: first}, {Account: "sales", Hour: nine, Reports: 3, LastAt: last}}
		if diff := cmp.Diff(want, must(s.Activity(t.Context(), first))(t)); diff != "" {
			t.Error(diff)
		}
		want = []call.Activity{{Account: "sales", Hour: nine, Reports: 3, LastAt: last}, {Account: "sales", Hour: until, Reports: 1, LastAt: until}}
		got := must(s.ReportsBetween(t.Context(), nine, nine.Add(2*time.Hour)))(t)
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(func(a, b call.Activity) bool { return a.Hour.Before(b.Hour) })); diff != "" {
			t.Error(diff)
		}
		// What is counted stays, and nothing is counted twice.
		record(t, s, at(delivery(report("1.5")), nine))
		if counted := count(until); !counted.Equal(until) {
			t.Errorf("counted up to %s", counted)
		}
		if err := s.ForgetActivity(t.Context(), nine); err != nil {
			t.Fatal(err)
		}
		if got := must(s.Activity(t.Context(), first))(t); len(got) != 1 || got[0].Reports != 3 {
			t.Errorf("after forgetting: %+v", got)
		}
		outcomes := must(s.OutcomesSince(t.Context(), nine))(t)
		if diff := cmp.Diff(map[string]map[call.DeliveryOutcome]int64{"sales": {call.Recorded: 5, call.Duplicate: 1, call.Unreadable: 1}}, outcomes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnsweredCalls(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		missed, silent, other := report("1.1"), report("1.2"), report("1.3")
		missed.Outcome, missed.TalkSeconds = call.Missed, nil
		silent.Recordings = nil
		silent.StartedAt = nine.Add(-time.Minute)
		other.Account = "support"
		record(t, s, delivery(missed), delivery(silent), delivery(other), delivery(report("1.4")))
		claims := must(s.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 10, Lease: time.Minute}))(t)
		for _, c := range claims {
			if c.CallKey == "1.4" {
				if err := s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: "k", Size: 1, SHA256: "x"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		got := must(s.AnsweredCalls(t.Context(), "sales", nine.Add(-time.Hour), nine.Add(time.Hour), 10))(t)
		end := nine.Add(64 * time.Second)
		want := []call.AnsweredCall{{EndedAt: end, Named: true, Archived: true}, {EndedAt: end}}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(call.AnsweredCall{}, "ArchivedAt")); diff != "" {
			t.Fatal(diff)
		}
		if got[0].ArchivedAt.IsZero() || !got[1].ArchivedAt.IsZero() {
			t.Errorf("archived at %s and %s", got[0].ArchivedAt, got[1].ArchivedAt)
		}
		if got := must(s.AnsweredCalls(t.Context(), "sales", nine, nine.Add(time.Hour), 1))(t); len(got) != 1 || !got[0].Archived {
			t.Errorf("the newest is %+v", got)
		}
	})
}

func TestAlertsOpenOnce(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		alert := call.Alert{Kind: call.AlertSilence, Account: "sales", Since: nine.Add(-time.Hour), OpenedAt: nine, Opening: "silent"}
		targets := []string{"a@example.org", "b@example.org"}
		var mu sync.Mutex
		opened := 0
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				ok, err := nodes[i%2].OpenAlert(t.Context(), alert, targets)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if ok {
					opened++
				}
			})
		}
		wg.Wait()
		other := alert
		other.Account = "support"
		if ok := must(nodes[0].OpenAlert(t.Context(), other, nil))(t); !ok || opened != 1 {
			t.Fatalf("opened %d times, and the other account's is %t", opened, ok)
		}
		open := must(nodes[1].OpenAlerts(t.Context()))(t)
		if len(open) != 2 {
			t.Fatalf("open are %+v", open)
		}
		first := open[0]
		if first.Account != "sales" {
			first = open[1]
		}
		if diff := cmp.Diff(alert, first, cmpopts.IgnoreFields(call.Alert{}, "ID")); diff != "" {
			t.Error(diff)
		}
		claim := func(at time.Time) (n call.Notice, ok bool) {
			n, ok, err := nodes[0].ClaimNotice(t.Context(), at, 5*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return n, ok
		}
		finish := func(n call.Notice, state call.NoticeState, next time.Time) {
			if err := nodes[1].FinishNotice(t.Context(), n.ID, state, "because", next); err != nil {
				t.Fatal(err)
			}
		}
		told, ok := claim(nine)
		if diff := cmp.Diff(first, told.Alert); !ok || diff != "" || told.Event != call.NoticeOpened || told.Attempts != 1 {
			t.Fatalf("first notice is %+v", told)
		}
		finish(told, call.NoticeSent, time.Time{})
		// The other one's node dies: the lease ends, and it is due again.
		dying, ok := claim(nine)
		if _, more := claim(nine.Add(4 * time.Minute)); !ok || more || dying.Target == told.Target {
			t.Fatalf("second notice is %+v", dying)
		}
		again, ok := claim(nine.Add(5 * time.Minute))
		if !ok || again.ID != dying.ID || again.Attempts != 2 {
			t.Fatalf("after the lease: %+v", again)
		}
		finish(again, call.NoticeDue, nine.Add(time.Hour))
		// It closes once, and who was told of the beginning is told of the end.
		for i := range 2 {
			if ok := must(nodes[i].CloseAlert(t.Context(), first.ID, nine.Add(10*time.Minute), "over"))(t); ok != (i == 0) {
				t.Errorf("closing number %d: %t", i, ok)
			}
		}
		end, ok := claim(nine.Add(10 * time.Minute))
		if !ok || end.Event != call.NoticeClosed || end.Target != told.Target || end.Alert.Closing != "over" || !end.Alert.ClosedAt.Equal(nine.Add(10*time.Minute)) {
			t.Fatalf("end is %+v", end)
		}
		finish(end, call.NoticeSent, time.Time{})
		if n, ok := claim(nine.Add(11 * time.Minute)); ok {
			t.Errorf("the end is told before the beginning: %+v", n)
		}
		late, ok := claim(nine.Add(time.Hour))
		if !ok || late.ID != dying.ID {
			t.Fatalf("the late one is %+v", late)
		}
		finish(late, call.NoticeFailed, time.Time{})
		if n, ok := claim(nine.Add(24 * time.Hour)); ok {
			t.Errorf("more to tell: %+v", n)
		}
		// A new trouble opens a new alert; one of which nobody was told ends unheard.
		if ok := must(nodes[0].OpenAlert(t.Context(), alert, targets))(t); !ok {
			t.Error("it did not open again")
		}
		for _, a := range must(nodes[0].OpenAlerts(t.Context()))(t) {
			must(nodes[0].CloseAlert(t.Context(), a.ID, nine.Add(25*time.Hour), "over"))(t)
		}
		if n, ok := claim(nine.Add(26 * time.Hour)); ok {
			t.Errorf("told of the end alone: %+v", n)
		}
	})
}

func TestFindAlerts(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		kinds := len(call.AlertKinds())
		for i, kind := range call.AlertKinds() {
			for _, account := range []string{"sales", "support"} {
				must(s.OpenAlert(t.Context(), call.Alert{Kind: kind, Account: account, Since: nine, OpenedAt: nine.Add(time.Duration(i) * time.Hour), Opening: "x"}, nil))(t)
			}
		}
		open := must(s.OpenAlerts(t.Context()))(t)
		must(s.CloseAlert(t.Context(), open[0].ID, nine, "over"))(t)
		for _, tt := range []struct {
			filter call.AlertFilter
			want   int
		}{
			{call.AlertFilter{}, 2 * kinds}, {call.AlertFilter{Account: "sales"}, kinds}, {call.AlertFilter{Kind: call.AlertSilence}, 2},
			{call.AlertFilter{State: call.AlertOpen}, 2*kinds - 1}, {call.AlertFilter{State: call.AlertClosed}, 1},
		} {
			var found []call.Alert
			tt.filter.Limit = 3
			for {
				page, next, err := s.FindAlerts(t.Context(), tt.filter)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, page...)
				if tt.filter.Cursor = next; next == "" {
					break
				}
			}
			seen := map[string]bool{}
			for i, a := range found {
				if seen[a.ID] || i > 0 && a.OpenedAt.After(found[i-1].OpenedAt) {
					t.Errorf("%+v: order of %+v", tt.filter, found)
				}
				seen[a.ID] = true
			}
			if len(found) != tt.want {
				t.Errorf("%+v: %d, want %d", tt.filter, len(found), tt.want)
			}
		}
		if _, _, err := s.FindAlerts(t.Context(), call.AlertFilter{Cursor: "nonsense"}); call.CodeOf(err) != call.Invalid {
			t.Errorf("a wrong cursor gives %v", err)
		}
	})
}
