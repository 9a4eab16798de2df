package call_test

import (
	"testing"
	"time"

	"callvault/internal/call"
)

func TestChangeOf(t *testing.T) {
	t.Parallel()
	field := func(kind string, documented bool) call.Sighting {
		return call.Sighting{Aspect: call.AspectField, Name: "x", Type: kind, Documented: documented}
	}
	word := func(sense call.StatusSense) call.Sighting {
		return call.Sighting{Aspect: call.AspectStatus, Name: "x", Type: string(sense)}
	}
	for _, tt := range []struct {
		name     string
		seen     call.Sighting
		others   []string
		baseline bool
		want     call.Change
	}{
		{"documented", field("string", true), nil, false, call.ChangeNone},
		{"documented on the first day", field("string", true), nil, true, call.ChangeNone},
		{"from the beginning", field("string", false), nil, true, call.ChangeBaseline},
		{"new", field("string", false), nil, false, call.ChangeNewField},
		{"another type on the first day", field("number", false), []string{"string"}, true, call.ChangeBaseline},
		{"another type", field("number", false), []string{"string"}, false, call.ChangeType},
		{"the hook was switched to GET", field(call.TypeText, false), []string{"number"}, false, call.ChangeNone},
		{"the hook was switched to POST", field("number", false), []string{call.TypeText}, false, call.ChangeNone},
		{"a third type", field("number", false), []string{call.TypeText, "string"}, false, call.ChangeType},
		{"a known word", word(call.StatusKnown), nil, false, call.ChangeNone},
		{"an unknown word, on the first day too", word(call.StatusUnknown), nil, true, call.ChangeUnknownStatus},
		{"a contradicted word", word(call.StatusContradicted), nil, true, call.ChangeContradictedStatus},
		{"too many", call.Sighting{Aspect: call.AspectLimit}, nil, true, call.ChangeTooMany},
	} {
		if got := tt.seen.ChangeOf(tt.others, tt.baseline); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestInBaseline(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	first := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		age     time.Duration
		reports int64
		want    bool
	}{
		{0, 1, true},
		{day - time.Second, 1_000_000, true},
		{day, 100, false},
		{day, 99, true},
		{7*day - time.Second, 3, true},
		{7 * day, 3, false},
	} {
		if got := call.InBaseline(first, first.Add(tt.age), tt.reports); got != tt.want {
			t.Errorf("after %s and %d reports: %t", tt.age, tt.reports, got)
		}
	}
}
