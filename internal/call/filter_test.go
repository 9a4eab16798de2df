package call_test

import (
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
)

func TestFilterCheck(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		filter call.Filter
		says   string // empty: it is good
	}{
		{"nothing asked", call.Filter{}, ""},
		{"all that can be asked", call.Filter{
			From: day, To: day.AddDate(0, 0, 1), Text: "Rao", Number: "+91 98123-45678", Agent: "Asha", Group: "Sales", Account: "sales",
			Direction: call.Inbound, Outcome: call.Missed, Campaign: "7", Recording: call.RecordingNone, Audio: call.FaultShort, MinTalk: new(5), MaxTalk: new(5),
		}, ""},
		{"backwards", call.Filter{From: day.AddDate(0, 0, 1), To: day}, "from is after to"},
		{"a direction that is none", call.Filter{Direction: "outbond"}, "direction is none of inbound, outbound"},
		{"an outcome that is none", call.Filter{Outcome: "lost"}, "outcome is none of answered"},
		{"a state that is none", call.Filter{Recording: "sideways"}, "recording is none of"},
		{"a fault that is none", call.Filter{Audio: "bad"}, "audio is none of"},
		{"a number without digits", call.Filter{Number: "abc"}, "number has no digits"},
		{"what no database takes", call.Filter{Number: "98123\x00"}, "number is not plain text"},
		{"what is no text", call.Filter{Agent: "\xff"}, "agent is not plain text"},
		{"a book", call.Filter{Group: strings.Repeat("a", 1001)}, "group is longer"},
		{"talk below nothing", call.Filter{MinTalk: new(-5)}, "never below 0"},
		{"talk backwards", call.Filter{MinTalk: new(50), MaxTalk: new(5)}, "min_talk is greater than max_talk"},
		{"two faults", call.Filter{Direction: "up", Number: "x"}, "number has no digits; direction is none"},
	} {
		err := tt.filter.Check()
		if tt.says == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if call.CodeOf(err) != call.Invalid || err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
}
