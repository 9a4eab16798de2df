package reports

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// A clock that jumps ahead lets reports be made of days that go on, and none of
// them twice when it jumps back: when the days have really ended, revisions tell
// what came since.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	o := busyOffice(t)
	r := o.reporter(t, MailOptions{}, "ops@example.org")
	look := func(at time.Time) []string {
		o.clock.set(at)
		r.Look(ctx)
		var runs []string
		for _, run := range o.store.runs {
			runs = append(runs, fmt.Sprintf("%s r%d %d", run.PeriodFrom.In(kolkata).Format("02"), run.Revision, len(o.mailsOf(run))))
		}
		return runs
	}
	ahead := []string{"21 r1 1", "22 r1 1", "23 r1 1"}
	for _, step := range []struct {
		at   string
		want []string
	}{
		{"2026-11-22 07:30:00", []string{"21 r1 1"}},
		{"2026-11-24 08:00:00", ahead},
		{"2026-11-22 07:31:00", ahead},
		{"2026-11-21 06:00:00", ahead},
		{"2026-11-22 12:00:00", ahead},
	} {
		if diff := cmp.Diff(step.want, look(at(step.at))); diff != "" {
			t.Fatalf("%s: %s", step.at, diff)
		}
	}
	for _, day := range []string{"22", "23"} {
		o.tell("of "+day, func(c *call.CallWithRecordings) { c.StartedAt = at("2026-11-" + day + " 18:00:00") })
	}
	if diff := cmp.Diff(ahead, look(at("2026-11-23 09:00:00"))); diff != "" {
		t.Error(diff) // the reports say that they are of later
	}
	want := []string{"21 r1 1", "22 r2 2", "23 r2 2", "24 r1 1"}
	if diff := cmp.Diff(want, look(at("2026-11-25 07:00:00"))); diff != "" {
		t.Error(diff)
	}
}

// Weeks and months that ended while nothing ran are made up for, each once, and
// revised at their own schedules.
func TestDowntimeOfWeeksAndMonths(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, tt := range []struct {
		kind     Kind
		schedule string
		want     []string
	}{
		{Week, "0 7 * * 1", []string{"2026-W44 r1", "2026-W45 r1", "2026-W46 r1", "2026-W47 r2"}},
		{Week, "0 7 * * *", []string{"2026-W44 r1", "2026-W45 r1", "2026-W46 r1", "2026-W47 r2"}},
		{Month, "0 7 1 * *", []string{"2026-10 r1", "2026-11 r2"}},
	} {
		t.Run(string(tt.kind)+" "+tt.schedule, func(t *testing.T) {
			t.Parallel()
			o := busyOffice(t)
			o.store.firstSeen = at("2026-10-30 12:00:00")
			report := dailyReport("ops@example.org")
			report.Period, report.Schedule = tt.kind, tt.schedule
			r := o.reporterOf(t, MailOptions{}, report)
			down := at("2026-11-25 09:00:00")
			if tt.kind == Month {
				down = at("2026-12-02 09:00:00")
			}
			for range 2 {
				o.clock.set(down)
				r.Look(ctx)
			}
			o.tell("late-1", late)
			o.clock.set(down.AddDate(0, 0, 8))
			if tt.kind == Month {
				o.clock.set(at("2027-01-01 07:00:00"))
			}
			r.Look(ctx)
			var got []string
			for _, run := range o.store.runs {
				if p := r.periodOf(&r.reports[0], run); run.PeriodTo.Before(down) {
					got = append(got, fmt.Sprintf("%s r%d", p.Label(), run.Revision))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
