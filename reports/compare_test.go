package reports

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// spell is some calls of a day, as comparisons need them.
type spell struct {
	day, account string
	direction    call.Direction
	outcome      call.Outcome
	// n calls with these waits and talk times in seconds, −1 if not known.
	n, wait, talk int
}

// earlier is an office that has had these calls, at noon of each day.
func earlier(t *testing.T, spells ...spell) *office {
	t.Helper()
	o := newOffice(t)
	for _, s := range spells {
		for i := range s.n {
			c := call.Call{ID: fmt.Sprint(s, i), Account: s.account, Direction: s.direction, Outcome: s.outcome, StartedAt: at(s.day + " 12:00:00")}
			if s.wait >= 0 {
				c.WaitSeconds = &s.wait
			}
			if s.talk >= 0 {
				c.TalkSeconds = &s.talk
			}
			o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: c})
		}
	}
	return o
}

// figuresOf measures the period of a kind that holds 21 November 2026, a
// Saturday.
func (o *office) figuresOf(t *testing.T, kind Kind) *Figures {
	t.Helper()
	report := dailyReport()
	report.Period = kind
	o.clock.set(at("2026-12-01 07:00:00"))
	in, err := o.reporter(t, MailOptions{}).freeze(context.Background(), &report, report.PeriodOf(at("2026-11-21 00:00:00")), 1,
		filepath.Join(t.TempDir(), inputName))
	if err != nil {
		t.Fatal(err)
	}
	// As it is read again, years later.
	if in, err = OpenInput(context.Background(), in.path); err != nil {
		t.Fatal(err)
	}
	f, err := measure(context.Background(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// compared are the headline figures, each with what it is compared with.
func (f *Figures) comparedLines() []string {
	var lines []string
	for _, h := range f.headlines() {
		line := h.Label + ": " + h.Value
		for _, v := range []versus{h.Previous, h.Usual} {
			line += " | " + v.Value + " " + v.Change + map[bool]string{true: " better"}[v.Better] + map[bool]string{true: " worse"}[v.Worse]
		}
		lines = append(lines, line)
	}
	return lines
}

func TestHeadlines(t *testing.T) {
	t.Parallel()
	const in, out, sales = call.Inbound, call.Outbound, "sales"
	o := earlier(t,
		// Today: 10 offered, 8 answered (6 in time), 1 missed, 1 short abandon.
		spell{"2026-11-21", sales, in, call.Answered, 6, 10, 60}, spell{"2026-11-21", sales, in, call.Answered, 2, 30, 120},
		spell{"2026-11-21", sales, in, call.Missed, 1, -1, -1}, spell{"2026-11-21", sales, in, call.Abandoned, 1, 3, -1},
		spell{"2026-11-21", sales, out, call.Answered, 1, -1, 30}, spell{"2026-11-21", sales, in, call.Unknown, 7, 1, 1},
		// Yesterday: 8 offered, 4 answered, all in time, 3 missed, 1 abandoned.
		spell{"2026-11-20", sales, in, call.Answered, 4, 20, 90}, spell{"2026-11-20", sales, in, call.Busy, 3, -1, -1},
		spell{"2026-11-20", sales, in, call.Cancelled, 1, 6, -1}, spell{"2026-11-20", sales, out, call.Failed, 4, -1, -1},
		spell{"2026-11-20", sales, in, call.Unknown, 7, 1, 1},
		// The Saturdays before: 20 answered of 20, 10 of 20, none, and one with
		// which the account began.
		spell{"2026-11-14", sales, in, call.Answered, 20, 15, 60}, spell{"2026-11-07", sales, in, call.Answered, 10, 25, 60},
		spell{"2026-11-07", sales, in, call.Abandoned, 10, 60, -1}, spell{"2026-10-24", sales, in, call.Answered, 3, -1, -1},
	)
	f := o.figuresOf(t, Day)
	want := []string{
		"Inbound calls offered: 10 | 8 +2 (+25 %) | 10.8 −0.8 (−7 %)",
		"Answer rate: 88.9 % | 50 % +38.9 points better | 76.7 % +12.2 points better",
		"Abandonment rate: 0 % | 12.5 % −12.5 points better | 23.3 % −23.3 points better",
		"Service level, within 20 s: 66.7 % | 50 % +16.7 points better | 50 % +16.7 points better",
		"Average speed of answer: 0:15 | 0:20 −0:05 (−25 %) better | 0:18 −0:03 (−18.2 %) better",
		"Average handling time: 1:10 | 1:30 −0:20 (−22.2 %) | 1:00 +0:10 (+16.7 %)",
		"Outbound calls: 1 | 4 −3 (−75 %) | 0 +1",
		"Connect rate: 100 % | 0 % +100 points better | n/a ",
		"To call back: 0 |   |  ",
	}
	if diff := cmp.Diff(want, f.comparedLines()); diff != "" {
		t.Error(diff)
	}
	if f.Usual.Periods != 4 || f.previousName() != "Fri 20 Nov" || f.usualName() != "mean of 4 Saturdays before" || f.trendNote() == "" {
		t.Errorf("%d periods, %q, %q, %q", f.Usual.Periods, f.previousName(), f.usualName(), f.trendNote())
	}
}

// What is not known is n/a and never 0: before the first call of an account of
// the report nobody knows what it would have told.
func TestNotKnownBefore(t *testing.T) {
	t.Parallel()
	const in, answered = call.Inbound, call.Answered
	old := []spell{{"2026-09-20", "sales", in, answered, 1, 5, 5}, {"2026-11-21", "sales", in, answered, 5, 5, 5}}
	for _, test := range []struct {
		name     string
		more     []spell
		previous string
		usual    int64
		// known are the days of the trend that are.
		known int
	}{
		{"nothing at all", nil, "n/a", 0, 1},
		{"quiet days are days", []spell{{"2026-10-23", "sales", in, answered, 1, 5, 5}}, "0", 4, 30},
		{"an account that began on Thursday", []spell{{"2026-10-01", "sales", in, answered, 1, 5, 5}, {"2026-11-19", "new", in, answered, 1, 5, 5}}, "0", 0, 3},
		{"an account that began today", []spell{{"2026-10-01", "sales", in, answered, 1, 5, 5}, {"2026-11-21", "new", in, answered, 1, 5, 5}}, "n/a", 0, 1},
		{"an account that began two weeks ago", []spell{{"2026-10-01", "sales", in, answered, 1, 5, 5}, {"2026-11-05", "new", in, answered, 2, 5, 5}}, "0", 2, 17},
		{"an account that is no more", []spell{{"2026-10-01", "sales", in, answered, 1, 5, 5}, {"2026-10-24", "new", in, answered, 2, 5, 5}}, "0", 4, 29},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := earlier(t, append(old, test.more...)...).figuresOf(t, Day)
			known := 0
			for _, d := range f.Trend {
				if d.Known {
					known++
				}
			}
			h := f.headlines()[0]
			if h.Previous.Value != test.previous || f.Usual.Periods != test.usual || known != test.known || len(f.Trend) != 30 {
				t.Errorf("previous %q, %d usual periods, %d of %d days known", h.Previous.Value, f.Usual.Periods, known, len(f.Trend))
			}
			if (f.Usual.Periods == 0) != (h.Usual.Value == "n/a") {
				t.Errorf("usual %q of %d", h.Usual.Value, f.Usual.Periods)
			}
		})
	}
}

// Weeks and months are compared with the one before and the mean of four.
func TestLongerPeriods(t *testing.T) {
	t.Parallel()
	var spells []spell
	for day := at("2026-06-20 00:00:00"); day.Before(at("2026-12-01 00:00:00")); day = day.AddDate(0, 0, 1) {
		spells = append(spells, spell{day.Format(time.DateOnly), "sales", call.Inbound, call.Answered, int(day.Month()), 5, 5})
	}
	o := earlier(t, spells...)
	for kind, want := range map[Kind][]string{
		// 16 to 22 November; before it twice 77, then 6·10+11 and 7·10.
		Week: {"77", "77", "73.8", "30", "week before", "mean of 4 weeks before"},
		// 30·11 against 31·10, and 31·10, 30·9, 31·8, 31·7.
		Month: {"330", "310", "261.3", "30", "October 2026", "mean of 4 months before"},
	} {
		f := o.figuresOf(t, kind)
		h := f.headlines()[0]
		got := []string{h.Value, h.Previous.Value, h.Usual.Value, fmt.Sprint(len(f.Trend)), f.previousName(), f.usualName()}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
		for _, d := range f.Trend {
			if !d.Known || d.Inbound.Calls != int64(d.From.Month()) {
				t.Errorf("%s: %d calls on %v", kind, d.Inbound.Calls, d.From)
			}
		}
	}
}

// A day of 25 or 23 hours is a day, in the period and before it.
func TestTrendOverDaylightSaving(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for _, test := range []struct {
		period Period
		want   time.Duration
	}{
		{PeriodOf(Day, time.Date(2026, 10, 26, 12, 0, 0, 0, berlin)), 25 * time.Hour},
		{PeriodOf(Day, time.Date(2026, 3, 30, 12, 0, 0, 0, berlin)), 23 * time.Hour},
	} {
		var before []dayBefore
		for _, d := range days(test.period.trendFrom(), test.period.From) {
			// One call for each hour of the day.
			n := int64(d.To.Sub(d.From) / time.Hour)
			before = append(before, dayBefore{From: d.From.UnixMilli(), To: d.To.UnixMilli(), Sums: []call.CallSums{{Direction: call.Inbound, Outcome: call.Answered, Calls: n}}})
		}
		f := Figures{Period: test.period}
		f.compare(before)
		if len(f.Trend) != 29 || f.Previous.To.Sub(f.Previous.From) != 0 || f.Previous.Inbound.Calls != int64(test.want/time.Hour) {
			t.Errorf("%d days, yesterday %d calls, want %v", len(f.Trend), f.Previous.Inbound.Calls, test.want)
		}
		for i, d := range f.Trend[1:] {
			if !d.From.Equal(f.Trend[i].To) || d.From.Hour() != 0 {
				t.Errorf("%v follows %v", d.From, f.Trend[i].To)
			}
		}
	}
	// In the period: the hour that comes twice is of one day.
	week := Figures{Period: PeriodOf(Week, time.Date(2026, 10, 25, 12, 0, 0, 0, berlin)), Accounts: map[string]int64{}}
	for _, d := range days(week.Period.From, week.Period.To) {
		week.Trend = append(week.Trend, DayFigures{From: d.From, To: d.To, Known: true})
	}
	for started := week.Period.From; started.Before(week.Period.To); started = started.Add(time.Hour) {
		week.add(&row{Direction: call.Inbound, Outcome: call.Missed, StartedAt: started.UnixMilli()}, berlin, nil, nil)
	}
	var got []int64
	for _, d := range week.Trend {
		got = append(got, d.Inbound.Calls)
	}
	if diff := cmp.Diff([]int64{24, 24, 24, 24, 24, 24, 25}, got); diff != "" {
		t.Error(diff)
	}
}

func TestChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		difference, share float64
		unit              unit
		want              string
	}{
		{12, 0.048, counts, "+12 (+4.8 %)"}, {-12.25, -0.5, counts, "−12.3 (−50 %)"}, {5, math.NaN(), counts, "+5"},
		{1234.5, 2, counts, "+1,234.5 (+200 %)"}, {0, 0, counts, "±0"}, {0.04, 0.1, counts, "±0"},
		{0.032, 0.1, rates, "+3.2 points"}, {-0.01, 0.1, rates, "−1 point"}, {0.0004, 0.1, rates, "±0"},
		{75, 0.5, seconds, "+1:15 (+50 %)"}, {-3700, -0.1, seconds, "−1:01:40 (−10 %)"}, {0.4, 0.1, seconds, "±0"},
		{math.NaN(), math.NaN(), seconds, ""},
	} {
		if got := change(test.difference, test.share, test.unit); got != test.want {
			t.Errorf("%v %s: %q, want %q", test.difference, test.unit, got, test.want)
		}
	}
}

// The input of an older program tells of no other days.
func TestOlderInput(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), inputName)
	from := at("2026-11-21 00:00:00")
	w, err := createInput(path, Settings{Report: "daily", Kind: Day, From: from, To: from.AddDate(0, 0, 1), Zone: "Asia/Kolkata",
		Formats: []Format{XLSX, CSV}, Rules: Rules{Formula: OfOffered, Within: 20}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.write(line{Call: &row{ID: "a", Account: "sales", Direction: call.Inbound, Outcome: call.Answered, StartedAt: from.UnixMilli()}}),
		w.write(line{Comparison: &comparison{Unique: 1}}), w.close()); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInput(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, f, err := BuildFiles(context.Background(), in, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range f.headlines() {
		for _, v := range []versus{h.Previous, h.Usual} {
			if v.Value != "" && v.Value != "n/a" || v.Change != "" {
				t.Errorf("%s: %+v", h.Label, v)
			}
		}
	}
	if !strings.Contains(f.trendNote(), "older version") {
		t.Error(f.trendNote())
	}
	book := openBook(t, filepath.Join(dir, "daily-2026-11-21.xlsx"))
	if got := cellsOf(t, book, "Summary", "A6", "B6", "C6", "D6", "F6"); !cmp.Equal(got[2:], []string{"n/a", "", "n/a"}) {
		t.Errorf("%q", got)
	}
	if got := cellsOf(t, book, "Hours", "B30", "B59"); strings.TrimSpace(got[0]) != "n/a" || strings.TrimSpace(got[1]) != "1" {
		t.Errorf("trend %q", got)
	}
}
