package call

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestHours(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Hours{
		"mon-fri 09:00-19:00": {[7]bool{true, true, true, true, true}, 540, 1140},
		"SAT 10:30-14:00":     {[7]bool{5: true}, 630, 840},
		"daily 00:00-24:00":   {[7]bool{true, true, true, true, true, true, true}, 0, 1440},
		"sat-mon 08:00-08:01": {[7]bool{0: true, 5: true, 6: true}, 480, 481},
	} {
		got, err := ParseHours(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for _, text := range []string{"", "mon", "mon-fri", "09:00-19:00", "mon 9:00-19:00", "mon 09:00-25:00", "mon 09:60-10:00", "mon 24:01-24:02",
		"mon 19:00-09:00", "mon 09:00-09:00", "mon-xyz 09:00-10:00", "mon 09:00 - 19:00", "daily-fri 09:00-10:00", "mon 09:00-10:00 ", "mon 0a:00-10:00"} {
		if got, err := ParseHours(text); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
	weekdays := Hours{[7]bool{true, true, true, true, true}, 540, 1140}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"2026-11-20 09:00:00": true, "2026-11-20 08:59:59": false, "2026-11-20 18:59:59": true, "2026-11-20 19:00:00": false,
		"2026-11-21 12:00:00": false, "2026-11-23 12:00:00": true,
	} {
		at, err := time.ParseInLocation(time.DateTime, text, berlin)
		if err != nil {
			t.Fatal(err)
		}
		if got := weekdays.Contain(at); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// What is written is read as the same.
func TestHoursText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var want Hours
		first, n := rapid.IntRange(0, 6).Draw(t, "first"), rapid.IntRange(1, 7).Draw(t, "days")
		for i := range n {
			want.Days[(first+i)%7] = true
		}
		want.From = rapid.IntRange(0, 1439).Draw(t, "from")
		want.To = rapid.IntRange(want.From+1, 1440).Draw(t, "to")
		got, err := ParseHours(want.String())
		if err != nil || got != want {
			t.Fatalf("%s gives %v, %v", want, got, err)
		}
	})
}

func FuzzParseHours(f *testing.F) {
	f.Add("mon-fri 09:00-19:00")
	f.Add("sat-mon 00:00-24:00")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHours(text)
		if err != nil {
			return
		}
		if again, err := ParseHours(h.String()); err != nil || again != h {
			t.Errorf("%q is %s, and that %v, %v", text, h, again, err)
		}
	})
}
