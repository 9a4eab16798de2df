package reports

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// Days of 23, 24 and 25 hours, and calls over their ends: a call is of the day in
// which it started, whole, and of no other.
func TestWhichDay(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	started := func(utc string) time.Time {
		at, err := time.Parse(time.RFC3339, utc)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, test := range []struct {
		name, day string
		hours     int
		// in are the first and the last second of the day, out those beside it.
		in, out [2]string
	}{
		{"plain", "2026-11-21", 24, [2]string{"2026-11-20T23:00:00Z", "2026-11-21T22:59:59Z"}, [2]string{"2026-11-20T22:59:59Z", "2026-11-21T23:00:00Z"}},
		{"spring", "2026-03-29", 23, [2]string{"2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"}, [2]string{"2026-03-28T22:59:59Z", "2026-03-29T22:00:00Z"}},
		{"autumn", "2026-10-25", 25, [2]string{"2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"}, [2]string{"2026-10-24T21:59:59Z", "2026-10-25T23:00:00Z"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			for _, utc := range append(test.in[:], test.out[:]...) {
				// An hour of talk: over midnight, where it is late.
				at := started(utc)
				o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{ID: utc, Account: "sales", Direction: call.Inbound,
					Outcome: call.Answered, StartedAt: at, EndedAt: at.Add(time.Hour), WaitSeconds: new(5), TalkSeconds: new(3600), Agent: call.Agent{Name: "Asha"}}})
			}
			report := dailyReport()
			report.Zone = berlin
			date, err := time.Parse(time.DateOnly, test.day)
			if err != nil {
				t.Fatal(err)
			}
			p := report.PeriodOf(date)
			if got := p.To.Sub(p.From); got != time.Duration(test.hours)*time.Hour {
				t.Errorf("a day of %v", got)
			}
			o.clock.set(started("2026-12-01T00:00:00Z"))
			in, err := o.reporterOf(t, MailOptions{}, report).freeze(context.Background(), &report, p, 1, t.TempDir()+"/"+inputName)
			if err != nil {
				t.Fatal(err)
			}
			f, err := measure(context.Background(), in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if f.Inbound.Calls != 2 || f.Total.Talk.Sum() != 7200 || f.Hours[0].Inbound.Calls != 1 || f.Hours[23].Inbound.Calls != 1 {
				t.Errorf("%d calls, %d s, %d in the first hour, %d in the last", f.Inbound.Calls, f.Total.Talk.Sum(), f.Hours[0].Inbound.Calls, f.Hours[23].Inbound.Calls)
			}
			// The agent talked on into the next day.
			if a := f.Agents[0]; !a.First.Equal(started(test.in[0])) || !a.Last.Equal(started(test.in[1]).Add(time.Hour)) || a.ActiveHours() != 2 {
				t.Errorf("active from %v to %v, %d hours", a.First, a.Last, a.ActiveHours())
			}
		})
	}
}

// A transferred call is the last agent's who talked, and the other's who was rung
// an unanswered offer; the group and the customer have it once.
func TestTransferredCalls(t *testing.T) {
	t.Parallel()
	asha, bela, chitra := call.Agent{ID: "1", Name: "Asha"}, call.Agent{ID: "2", Name: "Bela"}, call.Agent{ID: "3", Name: "Chitra"}
	o := newOffice(t)
	add := func(outcome call.Outcome, d call.Direction, who call.Agent, talk int, offers ...call.Agent) {
		c := call.Call{ID: string(rune('a' + len(o.store.calls))), Account: "sales", Group: "Sales", Direction: d, Outcome: outcome, Agent: who,
			Offers: offers, StartedAt: at("2026-11-21 10:00:00")}
		if talk > 0 {
			c.TalkSeconds = &talk
		}
		o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: c})
	}
	add(call.Answered, call.Inbound, bela, 100, asha)        // rang at Asha, answered by Bela
	add(call.Answered, call.Inbound, bela, 50, asha, asha)   // twice
	add(call.Answered, call.Inbound, asha, 10, asha, chitra) // Asha at the second ring
	add(call.Missed, call.Inbound, chitra, 0, chitra, asha)  // nobody
	add(call.Abandoned, call.Inbound, call.Agent{}, 0, bela) // the caller gave up
	add(call.Answered, call.Outbound, chitra, 30)            // dialled
	add(call.Failed, call.Outbound, chitra, 0)               // not reached
	add(call.Unknown, call.Inbound, bela, 0, asha)           // of unknown end, but it rang
	in := o.inputOf(t, dailyReport())
	want := []string{"Bela,3,2,1,0.666667,0,0,150", "Chitra,2,0,2,0,2,1,30", "Asha,7,1,6,0.142857,0,0,10"}
	got := columnsOf(t, tableOf(t, in, AgentsTable), "agent_name", "offered", "answered", "unanswered", "answer_rate", "outbound", "connected", "talk_total_seconds")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("agents: %s", diff)
	}
	if diff := cmp.Diff([]string{"Sales,5,3,1,1,190"}, columnsOf(t, tableOf(t, in, GroupsTable), "group", "offered", "answered", "missed", "abandoned", "talk_total_seconds")); diff != "" {
		t.Errorf("groups: %s", diff)
	}
}
