package watch

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"callvault/internal/call"
)

// TestChanceIsNoAlert lets calls come by chance, on good days and bad ones, and
// asks at the end of every silence of the last week: an office where nothing is
// wrong must hardly ever alarm anybody, and one that falls silent must always.
func TestChanceIsNoAlert(t *testing.T) {
	t.Parallel()
	monday := time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
	accountWeeks, falseAlarms := 0, 0
	for _, perHour := range []float64{0.3, 1, 4, 15, 80} {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, uint64(perHour*10)))
			h := &history{account: &Account{Name: "sales", Silence: true}}
			var week []time.Time
			for day := -8 * 7; day < 5; day++ {
				date := monday.AddDate(0, 0, day)
				if date.Weekday() == time.Saturday || date.Weekday() == time.Sunday {
					continue
				}
				// A day brings by chance a third more or less than another.
				rate := perHour * math.Exp(0.3*rng.NormFloat64())
				for at := date.Add(9 * time.Hour); ; {
					at = at.Add(time.Duration(rng.ExpFloat64() / rate * float64(time.Hour)))
					if at.Sub(date) > 18*time.Hour {
						break
					}
					if day < 0 {
						h.add(call.Activity{Hour: at.Truncate(time.Hour), Reports: 1, LastAt: at})
					} else {
						week = append(week, at)
					}
				}
			}
			accountWeeks++
			for _, at := range week {
				if v := h.judge(time.Time{}, at, time.Time{}); v.state == bad {
					falseAlarms++
				}
				h.add(call.Activity{Hour: at.Truncate(time.Hour), Reports: 1, LastAt: at})
			}
			// Nothing comes from here on: a busy office hears of it on Monday
			// morning, one of three calls a day within three weeks.
			patience := 21 * 24 * time.Hour
			if perHour >= 15 {
				patience = 2*24*time.Hour + 20*time.Hour
			}
			if v := h.judge(time.Time{}, h.last.Add(patience), time.Time{}); v.state != bad {
				t.Errorf("%.1f calls an hour, seed %d: a true silence of %s is not noticed", perHour, seed, patience)
			}
		}
	}
	if falseAlarms > accountWeeks/100 {
		t.Errorf("%d false alarms in %d weeks of accounts", falseAlarms, accountWeeks)
	}
}
