package reports

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestPeriodOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, zone string
		kind       Kind
		date       [3]int
		from, to   string // UTC
		label      string
	}{
		{"a day", "Asia/Kolkata", Day, [3]int{2026, 11, 21}, "2026-11-20T18:30:00Z", "2026-11-21T18:30:00Z", "2026-11-21"},
		{"23 hours", "Europe/Berlin", Day, [3]int{2026, 3, 29}, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-29"},
		{"25 hours", "Europe/Berlin", Day, [3]int{2026, 10, 25}, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-25"},
		{"midnight skipped", "Asia/Beirut", Day, [3]int{2022, 3, 27}, "2022-03-26T22:00:00Z", "2022-03-27T21:00:00Z", "2022-03-27"},
		{"midnight twice", "America/Havana", Day, [3]int{2022, 11, 6}, "2022-11-06T04:00:00Z", "2022-11-07T05:00:00Z", "2022-11-06"},
		{"a week", "Asia/Kolkata", Week, [3]int{2026, 11, 22}, "2026-11-15T18:30:00Z", "2026-11-22T18:30:00Z", "2026-W47"},
		{"a month", "Europe/Berlin", Month, [3]int{2026, 10, 31}, "2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z", "2026-10"},
		{"year's end", "UTC", Week, [3]int{2027, 1, 1}, "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z", "2026-W53"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := Report{Period: test.kind, Zone: zone(t, test.zone)}
			p := r.PeriodOf(time.Date(test.date[0], time.Month(test.date[1]), test.date[2], 0, 0, 0, 0, time.UTC))
			got := []string{p.From.UTC().Format(time.RFC3339), p.To.UTC().Format(time.RFC3339), p.Label()}
			if diff := cmp.Diff([]string{test.from, test.to, test.label}, got); diff != "" {
				t.Error(diff)
			}
			if before := p.Before(); !before.To.Equal(p.From) {
				t.Errorf("the period before ends %v, not %v", before.To, p.From)
			}
		})
	}
}

func TestScheduleDaylightSaving(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for _, test := range []struct{ name, cron, after, want string }{
		{"plain", "0 7 * * *", "2026-11-21T06:00:00Z", "2026-11-22T06:00:00Z"},
		{"skipped: the next time that exists", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"twice: the first", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"twice: only once", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"weekdays", "0 7 * * 1-5", "2026-11-20T12:00:00Z", "2026-11-23T06:00:00Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := newSchedule(test.cron, berlin)
			if err != nil {
				t.Fatal(err)
			}
			after, err := time.Parse(time.RFC3339, test.after)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.next(after).UTC().Format(time.RFC3339); got != test.want {
				t.Errorf("next after %s is %s, want %s", test.after, got, test.want)
			}
		})
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, firstSeen, now, cron string
		want                       []string
	}{
		{"before its time", "2026-11-21 09:00:00", "2026-11-22 06:59:59", "0 7 * * *", nil},
		{"at its time", "2026-11-21 09:00:00", "2026-11-22 07:00:00", "0 7 * * *", []string{"2026-11-21"}},
		{"first seen after its time", "2026-11-22 07:00:01", "2026-11-22 08:00:00", "0 7 * * *", nil},
		{"three days down", "2026-10-01 00:00:00", "2026-11-22 08:00:00", "0 7 * * *",
			[]string{"2026-11-15", "2026-11-16", "2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21"}},
		{"no day goes missing over a weekend", "2026-11-20 08:00:00", "2026-11-23 07:00:00", "0 7 * * 1-5",
			[]string{"2026-11-20", "2026-11-21", "2026-11-22"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := newSchedule(test.cron, kolkata)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range s.due(Day, at(test.firstSeen), at(test.now)) {
				got = append(got, p.Label())
				if want := s.next(p.To); !p.At.Equal(want) {
					t.Errorf("%s is due at %v, want %v", p.Label(), p.At, want)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The line about the zone says each offset that the clocks have in the period.
func TestZoneNote(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		zone, day string
		kind      Kind
		want      string
	}{
		{"Asia/Kolkata", "2026-10-25", Month, "Asia/Kolkata (UTC+05:30)"},
		{"UTC", "2026-10-25", Month, "UTC (UTC+00:00)"},
		{"Europe/London", "2026-10-25", Month, "Europe/London (UTC+01:00, from 25 October 01:00 on UTC+00:00)"},
		{"Europe/London", "2026-10-25", Week, "Europe/London (UTC+01:00, from 25 October 01:00 on UTC+00:00)"},
		{"Europe/London", "2026-10-25", Day, "Europe/London (UTC+01:00, from 25 October 01:00 on UTC+00:00)"},
		{"Europe/London", "2026-10-26", Day, "Europe/London (UTC+00:00)"},
		{"Europe/London", "2026-03-01", Month, "Europe/London (UTC+00:00, from 29 March 02:00 on UTC+01:00)"},
		// Ramadan: two changes within 35 days, one of them in each month.
		{"Africa/Casablanca", "2026-02-10", Month, "Africa/Casablanca (UTC+01:00, from 15 February 02:00 on UTC+00:00)"},
	} {
		date, err := time.ParseInLocation(time.DateOnly, tt.day, zone(t, tt.zone))
		if err != nil {
			t.Fatal(err)
		}
		if got := zoneNote(PeriodOf(tt.kind, date)); got != tt.want {
			t.Errorf("%s of %s: %s, want %s", tt.kind, tt.day, got, tt.want)
		}
	}
}
