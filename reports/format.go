package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// formatFloat writes a figure with at most that many decimals, "n/a" for NaN.
func formatFloat(f float64, decimals int) string {
	if math.IsNaN(f) {
		return notAvailable
	}
	text := strconv.FormatFloat(f, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// count writes a number of things for people: 1,204.
func count(n int64) string { return humanize.Comma(n) }

// plural is a count with its noun: 1 call, 2 calls.
func plural(n int64, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "day"):
		noun = strings.TrimSuffix(noun, "y") + "ies"
	default:
		noun += "s"
	}
	return count(n) + " " + noun
}

// clock writes seconds as h:mm:ss or m:ss, "n/a" for NaN.
func clock(seconds float64) string {
	if math.IsNaN(seconds) {
		return notAvailable
	}
	s := int64(math.Round(seconds))
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// Completeness is the first line of every report and mail: how many calls there
// were, and whether their recordings are all there.
func (f *Figures) Completeness() string {
	r := &f.Total.Recordings
	parts := []string{
		fmt.Sprintf("%s from %s", plural(f.Rows, "call"), plural(int64(len(f.Accounts)), "account")),
		fmt.Sprintf("%s should have a recording", count(r.Expected())),
	}
	states := []string{count(r.States["archived"]) + " archived and verified"}
	for _, s := range []struct {
		n    int64
		text string
	}{
		{r.States["pending"], "pending (listed)"}, {r.States["absent"], "absent (listed)"},
		{r.States["refused"], "refused (listed)"}, {r.States["expired"], "expired"},
		{r.States["erased"], "erased"}, {r.NotNamed, "not named by the provider"},
	} {
		if s.n > 0 {
			states = append(states, count(s.n)+" "+s.text)
		}
	}
	parts = append(parts, strings.Join(states, ", "))
	if n := f.Deliveries["unreadable"]; n > 0 {
		verb := "deliveries"
		if n == 1 {
			verb = "delivery"
		}
		parts = append(parts, count(n)+" "+verb+" unreadable")
	}
	return strings.Join(parts, " · ")
}

// zoneNote names a period's zone with its offset, Asia/Kolkata (UTC+05:30), or
// with both where the clocks are changed within the period: Europe/London
// (UTC+01:00, from 25 October 01:00 on UTC+00:00).
func zoneNote(p Period) string {
	offset := func(at time.Time) string { return "UTC" + at.Format("-07:00") }
	last := offset(p.From)
	offsets := []string{last}
	for _, at := p.From.ZoneBounds(); !at.IsZero() && at.Before(p.To); _, at = at.ZoneBounds() {
		if is := offset(at); is != last {
			offsets = append(offsets, at.Format("from 2 January 15:04 on ")+is)
			last = is
		}
	}
	return fmt.Sprintf("%s (%s)", p.From.Location(), strings.Join(offsets, ", "))
}
