package call

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestListedLegs: what rows of call lists do to the calls of reported legs.
func TestListedLegs(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	after := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	const customer = "+919812345678"
	leg := func(key string, side Side, d Direction, o Outcome, at time.Time, talk int) Leg {
		l := Leg{Account: "a", Provider: TeleCMI, Key: key, Side: side, Direction: d, Outcome: o, Status: string(o), CustomerNumber: customer}
		if o == Answered {
			l.AnsweredAt, l.TalkSeconds = at, new(talk)
		} else {
			l.StartedAt = at
		}
		l.Agent.ID = "201"
		l.AddKey(KeyCall, map[Direction]string{Outbound: "call"}[d])
		return l
	}
	row := func(id string, d Direction, o Outcome, at time.Time, talk int) Leg {
		l := leg(ListedKey(id), "", d, o, at, talk)
		l.Listed, l.Keys = true, nil
		return l
	}
	named := func(l Leg, file string) Leg {
		l.Recordings = []Wanted{{Kind: Conversation, Source: file}}
		return l
	}
	silent := func(l Leg) Leg {
		l.AnsweredAt, l.TalkSeconds, l.Agent = time.Time{}, nil, Agent{}
		return l
	}
	type want struct {
		Joins    bool // the row is about one of the legs
		Outcome  Outcome
		Legs     int
		Answered time.Time
		Talk     int
	}
	tests := []struct {
		name     string
		row      Leg
		reported []Leg
		want     want
	}{
		{"the same id", row("g", Inbound, Answered, after(600), 60), []Leg{leg("g", "", Inbound, Answered, noon, 40)}, want{true, Answered, 1, noon, 40}},
		{"the same file", named(row("x", Inbound, Answered, after(600), 60), "f.mp3"), []Leg{named(leg("g", "", Inbound, Answered, noon, 40), "f.mp3")}, want{true, Answered, 1, noon, 40}},
		{"the same parties and time", row("x", Inbound, Answered, after(5), 60), []Leg{leg("g", "", Inbound, Answered, noon, 40)}, want{true, Answered, 1, noon, 40}},
		{"a little too late", row("x", Inbound, Answered, after(6), 60), []Leg{leg("g", "", Inbound, Answered, noon, 40)}, want{false, Answered, 2, noon, 40}},
		{"one got through, the other not", row("x", Inbound, Missed, after(2), 0), []Leg{leg("g", "", Inbound, Answered, noon, 40)}, want{false, Answered, 2, noon, 40}},
		{"another direction", row("x", Outbound, Answered, noon, 60), []Leg{leg("g", "", Inbound, Answered, noon, 40)}, want{Legs: 2, Outcome: Answered, Answered: noon, Talk: 40}},
		{"a gap is filled", row("g", Inbound, Answered, after(1), 60), []Leg{silent(leg("g", "", Inbound, Answered, noon, 0))}, want{true, Answered, 1, after(1), 60}},
		{"the guest's report is lost", row("g", Inbound, Answered, noon, 60), nil, want{false, Answered, 1, noon, 60}},
		{"outgoing, both legs", row("x", Outbound, Answered, after(20), 60), []Leg{leg("a", SideA, Outbound, Answered, noon, 60), leg("b", SideB, Outbound, Answered, after(20), 40)}, want{true, Answered, 2, after(20), 40}},
		{"outgoing, timed as leg a", row("x", Outbound, Answered, after(1), 60), []Leg{leg("a", SideA, Outbound, Answered, noon, 60), leg("b", SideB, Outbound, Answered, after(20), 40)}, want{true, Answered, 2, after(20), 40}},
		{"outgoing, leg b is lost", row("x", Outbound, Answered, after(20), 40), []Leg{leg("a", SideA, Outbound, Answered, noon, 60)}, want{true, Answered, 2, after(20), 40}},
		{"outgoing, leg b is lost and was missed", row("x", Outbound, Missed, after(20), 0), []Leg{leg("a", SideA, Outbound, Answered, noon, 30)}, want{true, Missed, 2, time.Time{}, 0}},
		{"outgoing, the agent missed it", row("x", Outbound, Missed, after(1), 0), []Leg{leg("a", SideA, Outbound, Missed, noon, 0)}, want{true, Missed, 1, time.Time{}, 0}},
		{"outgoing, the next call of another agent", func() Leg {
			l := row("x", Outbound, Answered, after(20), 40)
			l.Agent.ID = "202"
			return l
		}(), []Leg{leg("a", SideA, Outbound, Answered, noon, 60)}, want{false, Answered, 2, after(20), 40}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var reported []*Leg
			for i := range tt.reported {
				reported = append(reported, &tt.reported[i])
			}
			got := want{Joins: tt.row.BestMatch(reported) != nil}
			all := append(slices.Clone(tt.reported), tt.row)
			c := Merge(all)
			got.Outcome, got.Legs, got.Answered = c.Outcome, c.LegsCount, c.AnsweredAt
			if c.TalkSeconds != nil {
				got.Talk = *c.TalkSeconds
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			slices.Reverse(all)
			if diff := cmp.Diff(c, Merge(all)); diff != "" {
				t.Errorf("in another order:\n%s", diff)
			}
			// What they are found by, they have in common.
			if best := tt.row.BestMatch(reported); best != nil && !slices.ContainsFunc(tt.row.Traces(), func(trace string) bool {
				return slices.Contains(best.Traces(), trace)
			}) {
				t.Errorf("no trace in common: %v and %v", tt.row.Traces(), best.Traces())
			}
		})
	}
}

// TestListedRowOfAReport: CallerDesk's row fills what its report does not say,
// and takes nothing back.
func TestListedRowOfAReport(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	report := Leg{Account: "a", Provider: CallerDesk, Key: "1.1", Direction: Inbound, Status: "ANSWER", Outcome: Answered,
		StartedAt: noon, EndedAt: noon.Add(time.Minute), TalkSeconds: new(40)}
	report.AddKey(KeyCall, "1.1")
	row := report
	row.Listed, row.Key, row.Status = true, ListedKey("1.1"), "answered, says the list at length"
	row.TalkSeconds, row.Group, row.Agent.Name, row.RangAt, row.AnsweredAt = new(99), "Sales", "Ashish", noon.Add(5*time.Second), noon.Add(20*time.Second)
	if report.CallKey() != row.CallKey() {
		t.Fatalf("keys are %v and %v", report.CallKey(), row.CallKey())
	}
	got := Merge([]Leg{row, report})
	want := Merge([]Leg{report})
	want.Group, want.Agent.Name, want.AnsweredAt, want.WaitSeconds = "Sales", "Ashish", noon.Add(20*time.Second), new(15)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
