package store_test

import (
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestBackfillLease: of several nodes one does an account's backfill; when it
// ends its result is kept, and the next is due after a while.
func TestBackfillLease(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		one, two := open(t, o), open(t, o)
		ctx := t.Context()
		token := must(one.ClaimBackfill(ctx, "sales", time.Hour))(t)
		if token == "" || must(two.ClaimBackfill(ctx, "sales", time.Hour))(t) != "" {
			t.Fatal("not just one node has it")
		}
		if must(two.ClaimBackfill(ctx, "support", time.Hour))(t) == "" {
			t.Error("another account must wait, too")
		}
		state := must(two.Backfills(ctx))(t)["sales"]
		if state.RunningSince.IsZero() || state.Last != nil {
			t.Errorf("it is %+v", state)
		}
		result := call.Backfill{Account: "sales", From: nine, To: nine.Add(time.Hour), StartedAt: nine, EndedAt: nine, Listed: 3, New: 2, Known: 1, Error: "page 2"}
		if err := two.EndBackfill(ctx, "no token", call.Backfill{Account: "sales"}, 0); err != nil {
			t.Fatal(err)
		}
		if err := one.EndBackfill(ctx, token, result, time.Hour); err != nil {
			t.Fatal(err)
		}
		state = must(two.Backfills(ctx))(t)["sales"]
		if diff := cmp.Diff(&result, state.Last); diff != "" || !state.RunningSince.IsZero() || state.NextAt.IsZero() {
			t.Errorf("it is %+v\n%s", state, diff)
		}
		if must(two.ClaimBackfill(ctx, "sales", time.Hour))(t) != "" {
			t.Error("it is done again before it is due")
		}
		// A node that died is not waited for longer than its lease.
		if must(one.ClaimBackfill(ctx, "third", 0))(t) == "" || must(two.ClaimBackfill(ctx, "third", time.Hour))(t) == "" {
			t.Error("the lease of a dead node holds on")
		}
	})
}

func listedReport(sid, file string) *call.Leg {
	l := report(sid)
	l.Listed, l.Key = true, call.ListedKey(sid)
	l.Recordings = nil
	if file != "" {
		l.Recordings = []call.Wanted{{Kind: call.Conversation, Source: file}}
	}
	return l
}

// TestWouldTell: a row tells nothing new, fills, or is of a new call, and to
// ask changes nothing.
func TestWouldTell(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		known := report("1.1")
		record(t, s, delivery(known))
		id := allCalls(t, s)[0].ID
		named := listedReport("1.1", "https://x.example.org/new.wav")
		older := listedReport("1.1", "")
		older.Campaign = "from the list"
		for name, tt := range map[string]struct {
			row  *call.Leg
			want call.Told
		}{
			"nothing new":    {listedReport("1.1", ""), call.Told{CallID: id}},
			"a recording":    {named, call.Told{CallID: id, Fills: true}},
			"a gap":          {older, call.Told{CallID: id, Fills: true}},
			"a call":         {listedReport("2.2", ""), call.Told{}},
			"TeleCMI's call": {&call.Leg{Account: "support", Provider: call.TeleCMI, Listed: true, Key: call.ListedKey("u"), Direction: call.Inbound}, call.Told{}},
		} {
			if got := must(s.WouldTell(t.Context(), []*call.Leg{tt.row}))(t)[0]; got != tt.want {
				t.Errorf("%s: %+v, want %+v", name, got, tt.want)
			}
		}
		record(t, s, delivery(named))
		if got := must(s.WouldTell(t.Context(), []*call.Leg{named}))(t)[0]; got.Fills {
			t.Error("a row that was taken in tells something new")
		}
		// TeleCMI's row has neither the id nor the file of the report.
		g := guest("g")
		g.CustomerNumber = "+919812345678"
		record(t, s, delivery(g))
		row := &call.Leg{Account: g.Account, Provider: call.TeleCMI, Listed: true, Key: call.ListedKey("u"), Direction: call.Inbound,
			CustomerNumber: g.CustomerNumber, Outcome: g.Outcome, AnsweredAt: g.AnsweredAt.Add(3 * time.Second)}
		if got := must(s.WouldTell(t.Context(), []*call.Leg{row}))(t)[0]; got.CallID == "" || got.Fills {
			t.Errorf("by parties and time it finds %+v", got)
		}
	})
}

// TestReconcile: each difference is listed with its reason.
func TestReconcile(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		ctx := t.Context()
		day := call.ReconciliationFilter{Account: "sales", Day: nine.Format(time.DateOnly), From: nine.Truncate(24 * time.Hour),
			To: nine.Truncate(24*time.Hour).AddDate(0, 0, 1), Limit: 50}
		quiet := func(l *call.Leg) *call.Leg { l.Recordings = nil; return l }
		matched, notListed, notNamed := report("1.1"), report("1.2"), quiet(report("1.3"))
		notNamed.TalkSeconds, notNamed.AnsweredAt, notNamed.Status = new(30), nine.Add(time.Minute), "ANSWER"
		onlyListed := listedReport("1.4", "")
		record(t, s, delivery(matched), delivery(notListed), delivery(notNamed), delivery(onlyListed))
		row := func(key, callID string) call.ListedRow {
			return call.ListedRow{Account: "sales", Key: key, Day: day.Day, At: nine, List: "call_list_v2", CallID: callID, Recorded: true}
		}
		ids := map[string]string{}
		calls, _, err := s.FindCalls(ctx, call.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			ids[c.Key] = c.ID
		}
		rows := []call.ListedRow{row("list:1.1", ids["1.1"]), row("list:1.3", ids["1.3"]), row("list:1.4", ids["1.4"]), row("uid", "")}
		for range 2 { // read again it is the same
			if err := s.NoteListed(ctx, rows); err != nil {
				t.Fatal(err)
			}
		}
		got := must(s.Reconcile(ctx, day))(t)
		if got.List != nil || got.Counts[call.NotListed] != 0 {
			t.Errorf("of a list that was not read to its end: %+v", got)
		}
		if err := s.NoteListDay(ctx, call.ListDay{Account: "sales", Day: day.Day, ReadAt: nine.Add(24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		days := must(s.ListDays(ctx, "sales", day.Day))(t)
		if d := days[day.Day]; len(days) != 1 || !d.ReadAt.Equal(nine.Add(24*time.Hour)) || d.Error != "" {
			t.Errorf("days are %+v", days)
		}
		got = must(s.Reconcile(ctx, day))(t)
		if got.List == nil || got.List.Error != "" || got.Listed != 4 || got.Calls != 4 || got.Delivered != 3 {
			t.Errorf("%+v", got)
		}
		reasons := map[string][]call.Reason{}
		for _, d := range got.Differences {
			reasons[d.Key] = append(reasons[d.Key], d.Reason)
		}
		want := map[string][]call.Reason{"uid": {call.NotTaken}, "1.4": {call.NotDelivered, call.NotNamed}, "1.2": {call.NotListed}, "1.3": {call.NotNamed}}
		for _, l := range []*call.Leg{matched, notListed} {
			for range l.Recordings {
				want[l.Key] = append(want[l.Key], call.NotArchivedYet)
			}
		}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Error(diff)
		}
		day.Limit = 1
		if few := must(s.Reconcile(ctx, day))(t); len(few.Differences) != 1 || few.Counts[call.NotNamed] != 2 {
			t.Errorf("%+v", few)
		}
		// What is very old is forgotten.
		if err := s.NoteListDay(ctx, call.ListDay{Account: "sales", Day: "2030-01-01", ReadAt: nine.AddDate(4, 0, 0)}); err != nil {
			t.Fatal(err)
		}
		if got := must(s.Reconcile(ctx, day))(t); got.Listed != 0 || got.List != nil {
			t.Errorf("still known: %+v", got)
		}
	})
}
