package archive

import (
	"net/http"
	"testing"
	"time"

	"callvault/internal/call"
)

func TestScheduleNext(t *testing.T) {
	t.Parallel()
	days := schedule{giveUpAfter: 72 * time.Hour}
	brief := schedule{giveUpAfter: 20 * time.Second}
	for _, tt := range []struct {
		name       string
		schedule   schedule
		tries      int
		waited     time.Duration
		retryAfter time.Duration
		learned    time.Duration
		random     float64
		want       time.Duration
		giveUp     bool
	}{
		{"first", days, 1, 0, 0, 0, 0.5, 10 * time.Second, false},
		{"first, early", days, 1, 0, 0, 0, 0, 8 * time.Second, false},
		{"first, late", days, 1, 0, 0, 0, 1, 12 * time.Second, false},
		{"second", days, 2, 0, 0, 0, 0.5, 30 * time.Second, false},
		{"sixth", days, 6, 0, 0, 0, 0.5, 15 * time.Minute, false},
		{"seventh", days, 7, 0, 0, 0, 0.5, time.Hour, false},
		{"seventieth", days, 70, 0, 0, 0, 0.5, time.Hour, false},
		{"never counted", days, 0, 0, 0, 0, 0.5, 10 * time.Second, false},
		{"asked to wait", days, 1, 0, 7 * time.Minute, 0, 0.5, 7 * time.Minute, false},
		{"asked to wait for days", days, 1, 0, 100 * time.Hour, 0, 0.5, time.Hour, false},
		{"asked for haste", days, 2, 0, time.Second, 0, 0.5, 30 * time.Second, false},
		{"the last one is on time", days, 70, 72*time.Hour - time.Minute, 0, 0, 0.5, time.Minute, false},
		{"the last one is on time, when asked to wait too", days, 70, 72*time.Hour - time.Minute, time.Hour, 0, 0.5, time.Minute, false},
		{"over", days, 70, 72 * time.Hour, 0, 0, 0.5, 0, true},
		{"over, asked to wait", days, 70, 80 * time.Hour, time.Hour, 0, 0.5, 0, true},
		{"over before it was tried", days, 1, 80 * time.Hour, 0, 0, 0.5, 10 * time.Second, false},
		{"over before it was tried twice", days, 2, 80 * time.Hour, 0, 0, 0.5, 30 * time.Second, false},
		{"over before it was tried often", days, 5, 80 * time.Hour, 0, 0, 0.5, 5 * time.Minute, false},
		{"over, and tried often enough", days, 6, 80 * time.Hour, 0, 0, 0.5, 0, true},
		{"brief", brief, 1, 0, 0, 0, 0.5, 2500 * time.Millisecond, false},
		{"brief, late", brief, 9, 0, 0, 0, 1, 3 * time.Second, false},
		{"as learned", days, 2, 0, 0, 45 * time.Second, 0.5, 45 * time.Second, false},
		{"learned to be soon", days, 5, 0, 0, time.Second, 0.5, 75 * time.Second, false},
		{"learned to be late", days, 1, 0, 0, time.Hour, 0.5, 40 * time.Second, false},
		{"learned to be soon, asked to wait", days, 1, 0, 5 * time.Minute, 5 * time.Second, 0.5, 5 * time.Minute, false},
		{"brief, at the end", brief, 9, 19 * time.Second, 0, 0, 0.5, time.Second, false},
	} {
		got, giveUp := tt.schedule.next(tt.tries, tt.waited, tt.retryAfter, tt.learned, tt.random)
		if giveUp != tt.giveUp || (got-tt.want).Abs() > time.Millisecond {
			t.Errorf("%s: %v, %v, want %v, %v", tt.name, got, giveUp, tt.want, tt.giveUp)
		}
		if !giveUp && tt.waited < tt.schedule.giveUpAfter && tt.waited+got <= tt.schedule.giveUpAfter && got < tt.want {
			t.Errorf("%s: %v is a fraction too early", tt.name, got)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "0": 0, "-5": 0, "soon": 0, "1.5": 0, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}

func TestBackOffGrowsToItsEnd(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{1: 250 * time.Millisecond, 2: 500 * time.Millisecond, 7: 30 * time.Second, 1000: 30 * time.Second} {
		if got := backOffAfter(failures); got != want {
			t.Errorf("after %d: %v, want %v", failures, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		72 * time.Hour: "72h", 90 * time.Minute: "1h30m", 20 * time.Second: "20s", time.Minute: "1m", 10*time.Hour + 10*time.Second: "10h0m10s",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// TestNothingWaitsLonger: verify takes a recording that is to be tried later than
// call.LongestWait for one that somebody has put off.
func TestNothingWaitsLonger(t *testing.T) {
	t.Parallel()
	far := 10000 * time.Hour
	s := schedule{giveUpAfter: far}
	for tries := range 12 {
		delay, giveUp := s.next(tries, 0, far, far, 1)
		if giveUp || delay > call.LongestWait-time.Hour || s.step(tries, 1) > call.LongestWait-time.Hour {
			t.Errorf("after %d tries it is waited for %s", tries, delay)
		}
	}
}
