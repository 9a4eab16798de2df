package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/reports"

	"github.com/google/go-cmp/cmp"
)

// TestCallsWithoutTime: a call of which no time is known is in the report of the
// day in which it was first heard of, of that day's week and month, and in no
// other; a late one revises these alone, and one whose start is told later moves.
func TestCallsWithoutTime(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, callsWithoutTime)
}

func callsWithoutTime(t *testing.T, s *store.Store) {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 7, 0, 0, 0, zone)
	dir := t.TempDir()
	vault, err := archive.OpenDirectory(filepath.Join(dir, "vault"))
	if err != nil {
		t.Fatal(err)
	}
	report := reports.Report{Name: "daily", Schedule: "0 7 * * *", Zone: zone, Period: reports.Day, Formats: []reports.Format{reports.CSV},
		ServiceLevel: reports.ServiceLevel{Within: 20 * time.Second}}
	weekly, monthly := report, report
	weekly.Name, weekly.Period = "weekly", reports.Week
	monthly.Name, monthly.Period = "monthly", reports.Month
	r, err := reports.New(reports.Options{Store: s, Vault: vaultRooms{vault}, SpoolDir: dir, Mail: reports.MailOptions{Dir: dir},
		Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Reports: []reports.Report{report, weekly, monthly}})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	tell := func(sid string, received, started time.Time) {
		t.Helper()
		told++
		uid := fmt.Sprint("told-", told)
		l := &call.Leg{Account: "sales", Provider: call.CallerDesk, Key: sid, Direction: call.Inbound, Outcome: call.Missed, StartedAt: started,
			Attributes: call.Attributes{"told": json.RawMessage(`"` + uid + `"`)}}
		l.AddKey(call.KeyCall, sid)
		d := &call.Delivery{UID: uid, Account: "sales", ReceivedAt: received, Method: "POST", Body: []byte(sid + uid), Source: call.SourceWebhook, Items: []call.Item{{Leg: l}}}
		if err := s.Record(t.Context(), []*call.Delivery{d}); err != nil {
			t.Fatal(err)
		}
	}
	date := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, zone) }
	// rows are the calls of a period, by key: now, and as the run has kept them.
	rows := func(report string, day int) string {
		t.Helper()
		var table bytes.Buffer
		if err := r.WriteTable(t.Context(), report, date(day, 0), reports.CallsTable, reports.TableCSV, &table); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, sid := range []string{"timeless", "plain", "late"} {
			if n := strings.Count(table.String(), ","+sid+","); n > 0 {
				keys = append(keys, fmt.Sprint(sid, " ", n))
			}
		}
		return strings.Join(keys, ", ")
	}
	revisions := func() map[string]int {
		t.Helper()
		all := map[string]int{}
		runs, _, err := s.FindRuns(t.Context(), call.RunFilter{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range runs {
			if run.State != call.RunBuilt {
				t.Errorf("run of %s is %s", run.Report, run.State)
			}
			all[run.Report+" "+run.PeriodFrom.In(zone).Format(time.DateOnly)] = run.Revision
		}
		return all
	}
	look := func(day int) {
		now = date(day, 7)
		r.Look(t.Context())
	}
	tell("plain", date(8, 12), date(8, 11))
	tell("timeless", date(10, 12), time.Time{})
	for day, want := range map[int]string{8: "plain 1", 9: "", 10: "timeless 1", 11: "", 17: ""} {
		if got := rows("daily", day); got != want {
			t.Errorf("on day %d there is %q, want %q", day, got, want)
		}
	}
	for day, want := range map[int]string{2: "plain 1", 9: "timeless 1", 16: ""} {
		if got := rows("weekly", day); got != want {
			t.Errorf("in the week from day %d there is %q, want %q", day, got, want)
		}
	}
	if got := rows("monthly", 1); got != "timeless 1, plain 1" {
		t.Errorf("in the month there is %q", got)
	}

	// Reports are made from the day on which they are first seen.
	for day := 9; day <= 17; day++ {
		for _, report := range []string{"daily", "weekly"} {
			now = date(day, 7)
			if _, err := r.Build(t.Context(), report, date(day-1, 0), reports.BuildOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := revisions()
	if len(before) != 9+2 {
		t.Fatalf("runs are %v", before)
	}
	// A timeless call that arrives late, as out of a spool, is of the day of its
	// receipt: of the runs of all these days two are revised, once.
	tell("late", date(12, 12), time.Time{})
	want := before
	want["daily 2026-11-12"], want["weekly 2026-11-09"] = 2, 2
	for _, day := range []int{18, 19} {
		look(day)
		got := revisions()
		for name := range got {
			if _, there := want[name]; !there {
				delete(got, name) // made by itself meanwhile
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("on day %d: %s", day, diff)
		}
	}
	// Its start becomes known: it moves from one day to the other.
	tell("late", date(19, 12), date(8, 9))
	want["daily 2026-11-12"], want["weekly 2026-11-09"], want["daily 2026-11-08"], want["weekly 2026-11-02"] = 3, 3, 2, 2
	look(20)
	got := revisions()
	for name := range got {
		if _, there := want[name]; !there {
			delete(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("when it moved: %s", diff)
	}
	if got := rows("daily", 12) + rows("daily", 8); got != "plain 1, late 1" {
		t.Errorf("it is now in %q", got)
	}
}
