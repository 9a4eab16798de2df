package watch

import (
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
)

// office says how many reports an account has in the hour that begins at local.
type office func(local time.Time) int64

// weekdays are so many reports an hour, Monday to Friday from 9 to 18.
func weekdays(perHour int64) office {
	return func(local time.Time) int64 {
		if day := local.Weekday(); day == time.Saturday || day == time.Sunday || local.Hour() < 9 || local.Hour() >= 18 {
			return 0
		}
		return perHour
	}
}

func always(perHour int64) office { return func(time.Time) int64 { return perHour } }

// past is the history of an account from first until last, in which reports
// come as the office has it.
func past(a *Account, first, last time.Time, o office) *history {
	h := &history{account: a}
	for hour := first.UTC().Truncate(time.Hour); !hour.After(last); hour = hour.Add(time.Hour) {
		if n := o(hour.In(a.zone())); n > 0 {
			at := hour.Add(59 * time.Minute)
			if at.After(last) {
				at = last
			}
			h.add(call.Activity{Account: a.Name, Hour: hour, Reports: n, LastAt: at})
		}
	}
	return h
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestSilence holds the rule against weeks of offices of all kinds. The last
// report comes at last, and the question is asked at now.
func TestSilence(t *testing.T) {
	t.Parallel()
	const eightWeeks, fiveWeeks = 8 * 7, 5 * 7
	for _, tt := range []struct {
		name      string
		zone      string
		office    office
		days      int // of history before last
		last, now string
		watched   string // since when reports could have come; default: always
		holidays  []Day
		want      bool
	}{
		// 20 November 2026 is a Friday.
		{name: "two hours of a busy morning", office: weekdays(12), last: "2026-11-20 10:00", now: "2026-11-20 12:00", want: true},
		{name: "not long enough to be sure", office: weekdays(12), last: "2026-11-20 10:00", now: "2026-11-20 11:30"},
		{name: "just long enough", office: weekdays(12), last: "2026-11-20 10:00", now: "2026-11-20 11:33", want: true},
		{name: "a hiccup of a very busy account", office: weekdays(3000), last: "2026-11-20 10:00", now: "2026-11-20 10:29"},
		{name: "half an hour of a very busy account", office: weekdays(3000), last: "2026-11-20 10:00", now: "2026-11-20 10:30", want: true},
		{name: "evening and night", office: weekdays(12), last: "2026-11-19 17:59", now: "2026-11-20 09:00"},
		{name: "the morning after", office: weekdays(12), last: "2026-11-19 17:59", now: "2026-11-20 10:35", want: true},
		{name: "weekend", office: weekdays(12), last: "2026-11-20 17:59", now: "2026-11-22 23:00"},
		{name: "the Monday after", office: weekdays(12), last: "2026-11-20 17:59", now: "2026-11-23 10:45", want: true},
		{name: "few calls: a day says nothing", office: weekdays(1), last: "2026-11-19 17:59", now: "2026-11-20 17:59"},
		{name: "few calls: two days do", office: weekdays(1), last: "2026-11-18 15:59", now: "2026-11-20 17:59", want: true},
		{name: "a new account", office: weekdays(12), days: 6, last: "2026-11-20 10:00", now: "2026-11-20 16:00"},
		{name: "an account of nine days", office: weekdays(12), days: 9, last: "2026-11-20 10:00", now: "2026-11-20 16:00"},
		{name: "an account of two weeks", office: weekdays(12), days: 15, last: "2026-11-20 10:00", now: "2026-11-20 16:00", want: true},
		{name: "out of use for long", office: weekdays(12), last: "2026-10-20 17:59", now: "2026-11-20 16:00"},
		{name: "Callvault was down itself", office: weekdays(12), last: "2026-11-20 10:00", now: "2026-11-20 16:00", watched: "2026-11-20 15:40"},
		{name: "and nothing comes since it is back", office: weekdays(12), last: "2026-11-20 10:00", now: "2026-11-20 17:20", watched: "2026-11-20 15:40", want: true},
		{name: "one campaign is no habit", office: func(at time.Time) int64 {
			if DayOf(at) == (Day{2026, 11, 6}) && at.Hour() == 14 {
				return 5000
			}
			return weekdays(1)(at)
		}, last: "2026-11-20 13:50", now: "2026-11-20 16:00"},
		{name: "a batch that comes at the same hour of most weeks only", office: func(at time.Time) int64 {
			if _, week := at.ISOWeek(); at.Weekday() == time.Friday && at.Hour() == 14 && week%3 != 0 {
				return 40
			}
			return weekdays(1)(at)
		}, last: "2026-11-20 13:50", now: "2026-11-20 15:30"},
		{name: "an earlier holiday does not spoil the habit", office: func(at time.Time) int64 {
			if DayOf(at) == (Day{2026, 11, 13}) {
				return 0
			}
			return weekdays(12)(at)
		}, last: "2026-11-20 10:00", now: "2026-11-20 12:00", want: true},
		{name: "a holiday that nobody told of", office: weekdays(12), last: "2026-11-19 17:59", now: "2026-11-20 12:00", want: true},
		{name: "a holiday", office: weekdays(12), last: "2026-11-19 17:59", now: "2026-11-20 17:00", holidays: []Day{{2026, 11, 20}}},
		{name: "the day after a holiday", office: weekdays(12), last: "2026-11-18 17:59", now: "2026-11-20 10:45", holidays: []Day{{2026, 11, 19}}, want: true},
		{name: "five weeks are enough", office: weekdays(12), days: fiveWeeks, last: "2026-11-20 10:00", now: "2026-11-20 12:00", want: true},
		{name: "by the clock of another zone", zone: "America/New_York", office: weekdays(12), last: "2026-11-20 08:00", now: "2026-11-20 09:40"},
		// Clocks go back in Berlin on 25 October, forward on 29 March 2026.
		{name: "before opening, after clocks went back", zone: "Europe/Berlin", office: weekdays(12), last: "2026-10-23 17:59", now: "2026-10-26 09:40"},
		{name: "after opening, after clocks went back", zone: "Europe/Berlin", office: weekdays(12), last: "2026-10-23 17:59", now: "2026-10-26 10:35", want: true},
		{name: "before opening, after clocks went forward", zone: "Europe/Berlin", office: weekdays(12), last: "2026-03-27 17:59", now: "2026-03-30 09:40"},
		{name: "after opening, after clocks went forward", zone: "Europe/Berlin", office: weekdays(12), last: "2026-03-27 17:59", now: "2026-03-30 10:35", want: true},
		{name: "the night in which clocks go forward", zone: "Europe/Berlin", office: always(12), last: "2026-03-29 01:00", now: "2026-03-29 03:50", want: true},
		{name: "the night in which clocks go back", zone: "Europe/Berlin", office: always(12), last: "2026-10-25 01:00", now: "2026-10-25 02:50", want: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.zone == "" {
				tt.zone = "Asia/Kolkata"
			}
			if tt.days == 0 {
				tt.days = eightWeeks
			}
			a := &Account{Name: "sales", Zone: zone(t, tt.zone), Silence: true, Holidays: tt.holidays}
			at := func(text string) time.Time {
				at, err := time.ParseInLocation("2006-01-02 15:04", text, a.Zone)
				if err != nil {
					t.Fatal(err)
				}
				return at
			}
			last := at(tt.last)
			var watched time.Time
			if tt.watched != "" {
				watched = at(tt.watched)
			}
			h := past(a, last.AddDate(0, 0, -tt.days), last, tt.office)
			// Whether or not something came in the very hour of last.
			h.last = last
			v := h.judge(watched, at(tt.now), time.Time{})
			if (v.state == bad) != tt.want {
				expected, known := h.expected(last, at(tt.now))
				t.Errorf("alert is %t: %.1f expected by %d weeks", v.state == bad, expected, known)
			}
			if tt.want && (!v.since.Equal(last) || !strings.Contains(v.sentence, "account sales since "+local(last, a.Zone))) {
				t.Errorf("verdict is %+v", v)
			}
		})
	}
}

// An alert stays until a report comes, whatever the hour.
func TestSilenceEndsWithAReport(t *testing.T) {
	t.Parallel()
	a := &Account{Name: "sales", Silence: true}
	last := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	h := past(a, last.AddDate(0, 0, -56), last, weekdays(12))
	night := last.Add(16 * time.Hour)
	if v := h.judge(night, night, last); v.state != unclear {
		t.Errorf("at night: %+v", v)
	}
	h.add(call.Activity{Account: "sales", Hour: night.Truncate(time.Hour), Reports: 1, LastAt: night})
	if v := h.judge(time.Time{}, night.Add(time.Minute), last); v.state != well || v.sentence == "" {
		t.Errorf("after a report: %+v", v)
	}
}

func TestNothingIsExpectedOfAnAccountWithoutReports(t *testing.T) {
	t.Parallel()
	h := &history{account: &Account{Name: "sales", Silence: true}}
	if v := h.judge(time.Time{}, time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), time.Time{}); v.state != unclear {
		t.Errorf("verdict is %+v", v)
	}
}
