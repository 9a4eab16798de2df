package call

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Hours are a span of the clock on some days of the week. The zero Hours have
// no day.
type Hours struct {
	// Days are those of the week, Monday first.
	Days [7]bool
	// From and To bound it, in minutes since midnight: From <= t < To <= 1440.
	From, To int
}

var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

const minutesOfDay = 24 * 60

// ParseHours reads hours such as "mon-fri 09:00-19:00", "sat 10:00-14:00" or
// "daily 00:00-24:00". They end on the day on which they begin.
func ParseHours(text string) (Hours, error) {
	var h Hours
	days, times, found := strings.Cut(text, " ")
	first, last, isRange := strings.Cut(strings.ToLower(days), "-")
	switch {
	case first == "daily" && !isRange:
		first, last = weekdays[0], weekdays[6]
	case !isRange:
		last = first
	}
	from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
	begin, end, isSpan := strings.Cut(times, "-")
	var ok, okTo bool
	h.From, ok = minute(begin)
	h.To, okTo = minute(end)
	if !found || from < 0 || to < 0 || !isSpan || !ok || !okTo {
		return Hours{}, fmt.Errorf("%q are not hours such as \"mon-fri 09:00-19:00\" or \"daily 09:00-19:00\"", text)
	}
	if h.From >= h.To {
		return Hours{}, fmt.Errorf("%q must end after they begin; what goes over midnight is two: one until 24:00, one from 00:00", text)
	}
	for d := from; ; d = (d + 1) % 7 { // sat-mon is three days
		h.Days[d] = true
		if d == to {
			return h, nil
		}
	}
}

// minute reads HH:MM, at most 24:00.
func minute(text string) (int, bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	hour, m := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	n := 60*hour + m
	return n, m < 60 && n <= minutesOfDay
}

// Contain reports whether the clock of t's location shows one of the hours.
func (h Hours) Contain(t time.Time) bool {
	at := 60*t.Hour() + t.Minute()
	return h.Days[(int(t.Weekday())+6)%7] && at >= h.From && at < h.To
}

// String writes the hours as they are read; days that are no range one by one.
func (h Hours) String() string {
	var days []string
	for first := 0; first < 7; first++ {
		if !h.Days[first] {
			continue
		}
		last := first
		for last < 6 && h.Days[last+1] {
			last++
		}
		if last == first {
			days = append(days, weekdays[first])
		} else {
			days = append(days, weekdays[first]+"-"+weekdays[last])
		}
		first = last
	}
	// Over the end of the week, as sat-mon.
	if n := len(days); n == 2 && h.Days[0] && h.Days[6] {
		first, _, _ := strings.Cut(days[1], "-")
		_, last, isRange := strings.Cut(days[0], "-")
		if !isRange {
			last = days[0]
		}
		days = []string{first + "-" + last}
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d", strings.Join(days, "+"), h.From/60, h.From%60, h.To/60, h.To%60)
}

// MarshalText writes the hours as they are read.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hours; see ParseHours.
func (h *Hours) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHours(string(text))
	return err
}
