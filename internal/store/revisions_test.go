package store_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// built makes a run of the day from nine on.
func built(t *testing.T, s *store.Store, settled int64) call.Run {
	t.Helper()
	return builtOf(t, s, nine, settled)
}

// builtOf makes a run of the day that begins at a time.
func builtOf(t *testing.T, s *store.Store, from time.Time, settled int64) call.Run {
	t.Helper()
	run, token, won, err := s.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: from, PeriodTo: from.Add(24 * time.Hour), Zone: "UTC"}, time.Minute)
	if err != nil || !won {
		t.Fatal(won, err)
	}
	run.Revision, run.AsOf, run.InputHash, run.KnownDeliveries = 1, from.Add(25*time.Hour), "ab", settled
	run.Files = []call.RunFile{{Name: "daily.xlsx", ObjectKey: "reports/daily/r1-ab/daily.xlsx", Size: 3, SHA256: "ef", Revision: 1}}
	if err := s.FinishRun(t.Context(), token, run); err != nil {
		t.Fatal(err)
	}
	return must(s.Run(t.Context(), run.ID))(t)
}

// One node revises a run, once for each time of the schedule, and a revision has
// mails of its own.
func TestRevise(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for n := range 11 { // of which it knows some
			record(t, s, delivery(report(fmt.Sprintf("%d.9", n))))
		}
		run := built(t, s, 7)
		if run.KnownDeliveries != 7 || run.MailRevision != 0 || !run.LookedAt.IsZero() {
			t.Errorf("run is %+v", run)
		}
		tick := nine.Add(48 * time.Hour)
		reserve := func(tick time.Time, lease time.Duration) (string, bool) {
			t.Helper()
			token, won, err := s.ReserveRevision(t.Context(), run.ID, run.Revision, tick, lease)
			if err != nil {
				t.Fatal(err)
			}
			return token, won
		}
		dead, won := reserve(tick, -time.Second)
		if !won {
			t.Fatal("not won")
		}
		alive, won := reserve(tick, time.Minute)
		if !won {
			t.Fatal("not won after its node died")
		}
		if _, won := reserve(tick, time.Minute); won {
			t.Error("two nodes revise")
		}
		if err := s.LeaveRun(t.Context(), dead, tick, 9); call.CodeOf(err) != call.Conflict {
			t.Errorf("the dead leaves with %v", err)
		}
		if err := s.NoteLooked(t.Context(), []string{run.ID}, tick, 8); err != nil {
			t.Fatal(err)
		}
		if got := must(s.Run(t.Context(), run.ID))(t); !got.LookedAt.IsZero() || got.State != call.RunBuilt {
			t.Errorf("noted as looked at while somebody revises it: %+v", got)
		}
		if err := s.LeaveRun(t.Context(), alive, tick, 9); err != nil {
			t.Fatal(err)
		}
		if got := must(s.Run(t.Context(), run.ID))(t); !got.LookedAt.Equal(tick) || got.KnownDeliveries != 9 {
			t.Errorf("run is %+v", got)
		}
		if _, won := reserve(tick, time.Minute); won {
			t.Error("looked at twice for one time of the schedule")
		}
		if err := s.NoteLooked(t.Context(), []string{run.ID}, tick.Add(time.Hour), 10); err != nil {
			t.Fatal(err)
		}
		byHand, won := reserve(time.Time{}, time.Minute)
		if !won {
			t.Fatal("not won by hand")
		}
		second := run
		second.Revision, second.InputHash, second.MailRevision, second.KnownDeliveries = 2, "cd", 2, 11
		second.Files = append(slices.Clone(run.Files), call.RunFile{Name: "daily.xlsx", ObjectKey: "reports/daily/r2-cd/daily.xlsx", Size: 4, SHA256: "aa", Revision: 2})
		if err := s.FinishRun(t.Context(), byHand, second); err != nil {
			t.Fatal(err)
		}
		got := must(s.Run(t.Context(), run.ID))(t)
		if got.Revision != 2 || got.MailRevision != 2 || got.KnownDeliveries != 11 || cmp.Diff(second.Files, got.Files) != "" {
			t.Errorf("run is %+v", got)
		}
		if first := got.At(1); cmp.Diff(run.Files, first.Files) != "" || first.Revision != 1 {
			t.Errorf("the first revision is %+v", first)
		}
		if _, won := reserve(tick.Add(240*time.Hour), time.Minute); won {
			t.Error("a revision was made of one that is not the newest any more")
		}

		for revision := 1; revision <= 2; revision++ {
			m, send, err := s.BeginMail(t.Context(), call.Mail{RunID: run.ID, Revision: revision, Recipient: "ops@example.org", MessageID: "x"})
			if err != nil || !send || m.Revision != revision {
				t.Fatalf("%+v %v %v", m, send, err)
			}
			if _, send, err := s.BeginMail(t.Context(), call.Mail{RunID: run.ID, Revision: revision, Recipient: "ops@example.org", MessageID: "x"}); err != nil || send {
				t.Errorf("sent twice: %v %v", send, err)
			}
		}
		// The files of all revisions are promised, kept and deleted together.
		var kept []string
		if err := s.EachKept(t.Context(), func(o call.KeptObject) error {
			if o.RunID == run.ID {
				kept = append(kept, o.Key)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"reports/daily/r1-ab/daily.xlsx", "reports/daily/r2-cd/daily.xlsx"}, kept); diff != "" {
			t.Error(diff)
		}
		checked := must(s.CheckRows(t.Context(), call.CheckOptions{}, "run/", 100))(t)
		if len(checked.Faults) > 0 {
			t.Errorf("faults %+v", checked.Faults)
		}
		run.Revision = 2
		late, won := reserve(time.Time{}, time.Minute)
		if !won {
			t.Fatal("not won")
		}
		if begun, err := s.BeginExpiringRun(t.Context(), run.ID, "", "over"); err != nil || !begun {
			t.Fatal(begun, err)
		}
		if err := s.FinishRun(t.Context(), late, second); call.CodeOf(err) != call.Conflict {
			t.Errorf("a run whose files are deleted was revised: %v", err)
		}
		if _, won := reserve(time.Time{}, time.Minute); won {
			t.Error("a run whose files are deleted is revised")
		}
	})
}

// What the log tells of runs and mails of revisions makes the same rows again.
func TestRebuildRevisions(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		run := built(t, s, 1)
		token, won, err := s.ReserveRevision(t.Context(), run.ID, 1, time.Time{}, time.Minute)
		if err != nil || !won {
			t.Fatal(won, err)
		}
		run.Revision, run.MailRevision = 2, 2
		run.Files = append(run.Files, call.RunFile{Name: "daily.xlsx", ObjectKey: "reports/daily/r2-cd/daily.xlsx", Size: 4, SHA256: "aa", Revision: 2})
		if err := s.FinishRun(t.Context(), token, run); err != nil {
			t.Fatal(err)
		}
		for _, revision := range []int{1, 2} {
			m, _, err := s.BeginMail(t.Context(), call.Mail{RunID: run.ID, Revision: revision, Recipient: "ops@example.org", MessageID: "x"})
			if err == nil {
				err = s.FinishMail(t.Context(), m.ID, call.MailSent, "250 ok", 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		wantRun, wantMails := must(s.Run(t.Context(), run.ID))(t), must(s.Mails(t.Context(), run.ID))(t)
		entries := must(s.AuditEntries(t.Context(), 0, 100))(t)
		empty := store.Options{Path: filepath.Join(t.TempDir(), "again.db")}
		if o.DSN != "" {
			empty = store.Options{DSN: testenv.Postgres(t)}
		}
		again := open(t, empty)
		if err := again.RebuildEntries(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		for from, more := int64(0), true; more; {
			next, err := again.RebuildFacts(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			from, more = next, next != from
		}
		gotRun, gotMails := must(again.Run(t.Context(), run.ID))(t), must(again.Mails(t.Context(), run.ID))(t)
		wantRun.KnownDeliveries = 0 // nobody knows after a rebuild
		if diff := cmp.Diff(wantRun, gotRun); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(wantMails, gotMails); diff != "" {
			t.Error(diff)
		}
	})
}

// Late reports say of which hours they tell, and what became of calls is known;
// a replay that changes a call lets the runs over it be compared anew.
func TestWhatIsRevised(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		first, second := report("1.1"), report("2.2")
		second.StartedAt = nine.Add(90 * time.Minute)
		noTime := report("3.3")
		noTime.StartedAt, noTime.RangAt, noTime.AnsweredAt, noTime.EndedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		// Ids tell when a call was first heard of: as these do not, the receipt.
		uids := 0
		named := func(d *call.Delivery) *call.Delivery {
			uids++
			d.UID = fmt.Sprint("told-", uids)
			return d
		}
		record(t, s, named(delivery(first)))
		settled := must(s.SettledDeliveries(t.Context()))(t)
		if hours := must(s.TouchedHours(t.Context(), settled))(t); len(hours) != 0 {
			t.Errorf("touched without a report: %v", hours)
		}
		again := delivery(report("1.1"))
		again.Body = append(again.Body, ' ')
		record(t, s, named(delivery(second)), named(again))
		noTimeTold := named(delivery(noTime))
		noTimeTold.ReceivedAt = nine.Add(50*time.Hour + 30*time.Minute)
		record(t, s, noTimeTold)
		want := []call.TouchedHour{{From: nine, Delivery: settled + 2},
			{From: nine.Add(90 * time.Minute).Truncate(time.Hour), Delivery: settled + 1},
			{From: nine.Add(50 * time.Hour), Delivery: settled + 3}}
		if diff := cmp.Diff(want, must(s.TouchedHours(t.Context(), settled))(t)); diff != "" {
			t.Error(diff)
		}

		// Where it was told of before is known, too, when a report tells its start.
		later := report("3.3")
		later.StartedAt = nine.Add(20 * time.Hour)
		record(t, s, named(delivery(later)))
		want = []call.TouchedHour{{From: nine.Add(20 * time.Hour), Delivery: settled + 4}, {From: nine.Add(50 * time.Hour), Delivery: settled + 4}}
		if diff := cmp.Diff(want, must(s.TouchedHours(t.Context(), settled+3))(t)); diff != "" {
			t.Error(diff)
		}

		calls := allCalls(t, s)
		there := calls[len(calls)-1].ID
		fates := must(s.CallFates(t.Context(), []string{there, "never was"}))(t)
		if diff := cmp.Diff(map[string]call.CallFate{there: call.CallThere, "never was": call.CallGone}, fates); diff != "" {
			t.Error(diff)
		}

		today := time.Now().UTC().Truncate(time.Hour).Add(-24 * time.Hour)
		run := builtOf(t, s, today, must(s.SettledDeliveries(t.Context()))(t))
		unread := report("4.4")
		unread.StartedAt = today.Add(time.Hour)
		d := post(t, told{Says: unread})
		record(t, s, d)
		for _, dry := range []bool{true, false} {
			replay(t, s, dry, d.ID)
			if got := must(s.Run(t.Context(), run.ID))(t); (got.KnownDeliveries == 0) == dry {
				t.Errorf("a replay (dry: %v) that tells of a call: known up to %d", dry, got.KnownDeliveries)
			}
		}
	})
}

// A call of which no time is known is in the day when it was first heard of, and
// in no other, also when later reports tell of it; one without a start in the day
// of its end, or else of its answer.
func TestCallsWithoutStart(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		midnight := time.Date(2020, 2, 1, 0, 0, 0, 0, time.UTC)
		days := func(hours int) time.Time { return midnight.Add(time.Duration(hours) * time.Hour) }
		tell := func(uid, sid string, received time.Time, times func(*call.Leg)) {
			t.Helper()
			l := report(sid)
			l.StartedAt, l.RangAt, l.AnsweredAt, l.EndedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
			l.Attributes["report"] = json.RawMessage(`"` + uid + `"`)
			times(l)
			d := delivery(l)
			d.UID, d.ReceivedAt, d.Body = uid, received, append(d.Body, uid...)
			record(t, s, d)
		}
		none := func(*call.Leg) {}
		tell("a", "nothing", days(24).Add(-time.Millisecond), none)
		tell("b", "nothing", days(30), none)
		tell("c", "at midnight", days(24), none)
		tell("d", "ended", days(60), func(l *call.Leg) { l.EndedAt = days(1) })
		tell("e", "started", days(1), func(l *call.Leg) { l.StartedAt = days(1) })
		uid := must(uuid.NewV7())(t)
		tell(uid.String(), "by its id", days(500), none)
		today := time.Unix(uid.Time().UnixTime()).UTC().Truncate(24 * time.Hour)
		got := map[string][]string{}
		for _, from := range []time.Time{days(-24), days(0), days(24), days(48), today} {
			f := call.Filter{NoStart: true, From: from, To: from.Add(24 * time.Hour)}
			if err := s.EachCall(t.Context(), f, func(c call.CallWithRecordings) error {
				got[c.Key] = append(got[c.Key], from.Format(time.DateOnly))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string][]string{"nothing": {"2020-02-01"}, "at midnight": {"2020-02-02"}, "ended": {"2020-02-01"}, "by its id": {today.Format(time.DateOnly)}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
