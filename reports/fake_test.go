package reports

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"callvault/internal/call"
)

// fakeCalls gives n made-up calls of one day, one after the other.
func fakeCalls(n int, from time.Time, fn func(call.CallWithRecordings) error) error {
	rng := rand.New(rand.NewPCG(1, 2))
	step := 24 * time.Hour / time.Duration(n+1)
	outcomes := []call.Outcome{call.Answered, call.Answered, call.Answered,
		call.Answered, call.Missed, call.Abandoned, call.Busy, call.Voicemail}
	recordings := make([]call.Recording, 1)
	for i := range n {
		started := from.Add(step * time.Duration(i)).Truncate(time.Second)
		agent := rng.IntN(500)
		talk, wait := 20+rng.IntN(600), rng.IntN(60)
		c := call.CallWithRecordings{Call: call.Call{
			ID: fmt.Sprintf("0197b5a2-7c1e-7d3a-9f00-%012d", i), Account: "sales",
			Provider: call.CallerDesk, Key: fmt.Sprintf("%d.%d", started.Unix(), i),
			Direction: call.Inbound, Outcome: outcomes[rng.IntN(len(outcomes))],
			Status: "ANSWER", CustomerNumber: fmt.Sprintf("+9198%08d", rng.IntN(1e8)),
			BusinessNumber: "+911204567890",
			Agent: call.Agent{ID: fmt.Sprint(agent), Name: fmt.Sprintf("Agent Number%d", agent),
				Number: fmt.Sprintf("+9193%08d", agent)},
			Group: fmt.Sprintf("Group %d", agent%12), Campaign: "spring",
			StartedAt: started, EndedAt: started.Add(time.Duration(wait+talk) * time.Second),
			WaitSeconds: &wait, TotalSeconds: new(wait + talk),
			HangupCause: "16", HangupBy: "customer", Cost: "2", LegsCount: 1,
		}}
		if i%3 == 0 {
			c.Direction = call.Outbound
		}
		if c.Outcome == call.Answered {
			c.AnsweredAt = started.Add(time.Duration(wait) * time.Second)
			c.TalkSeconds = &talk
			recordings[0] = call.Recording{ID: c.ID, Kind: call.Conversation,
				State: call.Archived, Size: 220_000, AudioSeconds: &talk}
			c.Recordings = recordings
		}
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

// bigDay is a store of n calls on one day and nothing else.
type bigDay struct {
	Store
	calls int
}

func (s bigDay) EachCall(_ context.Context, f call.Filter, fn func(call.CallWithRecordings) error) error {
	if f.NoStart {
		return nil
	}
	return fakeCalls(s.calls, f.From, fn)
}

func (s bigDay) CustomerStats(context.Context, call.Filter) (call.CustomerStats, error) {
	return call.CustomerStats{Unique: 10, Repeat: 2}, nil
}

func (s bigDay) NotReturned(context.Context, call.Filter, time.Time, func(call.Missing) error) error {
	return nil
}

func (s bigDay) DeliveryCounts(context.Context, call.DeliveryFilter) (map[call.DeliveryOutcome]int64, error) {
	return map[call.DeliveryOutcome]int64{call.Recorded: int64(s.calls)}, nil
}

func (s bigDay) SumCalls(context.Context, call.Filter, call.WaitBounds) ([]call.CallSums, error) {
	return []call.CallSums{{Account: "sales", Direction: call.Inbound, Outcome: call.Answered, Calls: int64(s.calls)}}, nil
}

func (s bigDay) FirstCall(_ context.Context, _ string, from, _ time.Time) (time.Time, error) {
	return from, nil
}

var kolkata = func() *time.Location {
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		panic(err)
	}
	return zone
}()

func benchmarkInput(tb testing.TB, calls int) *Input {
	tb.Helper()
	report := Report{Name: "daily", Schedule: "0 7 * * *", Zone: kolkata, Period: Day,
		Formats:      []Format{XLSX, CSV},
		ServiceLevel: ServiceLevel{OfOffered, 20 * time.Second, 5 * time.Second}}
	r, err := New(Options{Store: bigDay{calls: calls}, Reports: []Report{report},
		PublicURL: "https://calls.example.org", Version: "test",
		Now: func() time.Time { return time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC) },
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	day := report.PeriodOf(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	in, err := r.freeze(context.Background(), &report, day, 1, filepath.Join(tb.TempDir(), inputName))
	if err != nil {
		tb.Fatal(err)
	}
	return in
}
