package call

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMergeMapped(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2024, 12, 30, 7, 0, second, 0, time.UTC) }
	leg := func(key string, l Leg) Leg {
		l.Account, l.Provider, l.Key = "mobile", Mapped, key
		l.AddKey(KeyCall, "1")
		return l
	}
	asha, ravi := Agent{Name: "Asha"}, Agent{Name: "Ravi"}
	for _, tt := range []struct {
		name string
		legs []Leg
		want Call
	}{
		{
			"times from the end",
			[]Leg{leg("1", Leg{Outcome: Answered, Status: "ok", EndedAt: at(50), TalkSeconds: new(20), TotalSeconds: new(30)})},
			Call{Outcome: Answered, Status: "ok", StartedAt: at(30), AnsweredAt: at(30), EndedAt: at(50), TalkSeconds: new(20), TotalSeconds: new(30)},
		},
		{
			"times from the answer",
			[]Leg{leg("1", Leg{Outcome: Answered, StartedAt: at(1), RangAt: at(3), AnsweredAt: at(10), TalkSeconds: new(20)})},
			Call{Outcome: Answered, StartedAt: at(1), AnsweredAt: at(10), EndedAt: at(30), WaitSeconds: new(7), TalkSeconds: new(20), TotalSeconds: new(29)},
		},
		{
			"talk without an outcome",
			[]Leg{leg("1", Leg{Status: "strange", StartedAt: at(1), TalkSeconds: new(5)})},
			Call{Outcome: Answered, Status: "strange", StartedAt: at(1), TalkSeconds: new(5)},
		},
		{
			"no talk and no outcome",
			[]Leg{leg("1", Leg{Status: "strange", StartedAt: at(1), TalkSeconds: new(0)})},
			Call{Outcome: Unknown, Status: "strange", StartedAt: at(1), TalkSeconds: new(0)},
		},
		{
			"a recording alone",
			[]Leg{leg("1", Leg{RecordedFrom: at(5)})},
			Call{Outcome: Unknown, StartedAt: at(5)},
		},
		{
			"missed, with the agent who was rung",
			[]Leg{leg("1", Leg{Direction: Inbound, Outcome: Missed, StartedAt: at(1), EndedAt: at(20), RangAt: at(5), Agent: asha})},
			Call{Direction: Inbound, Outcome: Missed, StartedAt: at(1), EndedAt: at(20), WaitSeconds: new(15), TotalSeconds: new(19), Agent: asha, Offers: []Agent{asha}},
		},
		{
			"a menu answered, the agents did not",
			[]Leg{
				leg("1", Leg{Direction: Inbound, Outcome: Answered, Status: "completed", StartedAt: at(1), EndedAt: at(30), TalkSeconds: new(29)}),
				leg("2", Leg{Outcome: Missed, Status: "no-answer", StartedAt: at(5), Agent: asha}),
				leg("3", Leg{Outcome: Busy, Status: "busy", StartedAt: at(6), Agent: ravi}),
			},
			Call{Direction: Inbound, Outcome: Busy, Status: "busy", StartedAt: at(1), EndedAt: at(30), TotalSeconds: new(29), Agent: ravi, Offers: []Agent{asha, ravi}},
		},
		{
			"the second agent answered",
			[]Leg{
				leg("1", Leg{Direction: Inbound, Outcome: Answered, StartedAt: at(1), EndedAt: at(30), TalkSeconds: new(29), CustomerNumber: "+919812345678"}),
				leg("2", Leg{Direction: Outbound, Outcome: Missed, StartedAt: at(5), Agent: asha, CustomerNumber: "+917652081234"}),
				leg("3", Leg{Direction: Outbound, Outcome: Answered, StartedAt: at(10), EndedAt: at(30), TalkSeconds: new(15), Agent: ravi}),
			},
			Call{Direction: Inbound, Outcome: Answered, StartedAt: at(1), AnsweredAt: at(15), EndedAt: at(30), TalkSeconds: new(15), TotalSeconds: new(29),
				CustomerNumber: "+919812345678", Agent: ravi, Offers: []Agent{asha}},
		},
		{
			"a voicemail after the agents",
			[]Leg{
				leg("1", Leg{Direction: Inbound, Outcome: Voicemail, StartedAt: at(1)}),
				leg("2", Leg{Outcome: Missed, StartedAt: at(5), Agent: asha}),
			},
			Call{Direction: Inbound, Outcome: Voicemail, StartedAt: at(1), Offers: []Agent{asha}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.Account, tt.want.Provider, tt.want.Key, tt.want.KeyKind, tt.want.LegsCount = "mobile", Mapped, "1", KeyCall, len(tt.legs)
			for i := range tt.legs {
				turned := append(append([]Leg(nil), tt.legs[i:]...), tt.legs[:i]...)
				if diff := cmp.Diff(tt.want, Merge(turned)); diff != "" {
					t.Errorf("beginning with leg %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}
