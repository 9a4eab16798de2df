package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestSumCalls: the sums are those of the calls, counted one by one.
func TestSumCalls(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		var batch []*call.Delivery
		outcomes := call.Outcomes()
		for i := range 300 {
			l := report(fmt.Sprintf("1.%d", i))
			l.Account = []string{"sales", "support"}[i/7%2]
			l.Direction = []call.Direction{call.Inbound, call.Outbound, ""}[i%3]
			l.Outcome = outcomes[i/2%len(outcomes)]
			l.StartedAt = nine.Add(time.Duration(i) * time.Minute)
			l.WaitSeconds, l.TalkSeconds = new(i%40), new(i%11)
			if i%5 == 0 {
				l.WaitSeconds, l.RangAt = nil, time.Time{}
			}
			if i%13 == 0 {
				l.TalkSeconds = nil
			}
			batch = append(batch, delivery(l))
		}
		record(t, s, batch...)
		soon := call.WaitBounds{Answered: 20, Abandoned: 5}
		for _, f := range []call.Filter{
			{From: nine, To: nine.Add(time.Hour)}, {From: nine.Add(30 * time.Minute), To: nine.Add(5 * time.Hour)},
			{From: nine.Add(time.Hour), To: nine.Add(4 * time.Hour), Account: "support", Direction: call.Outbound},
			{From: nine.Add(-time.Hour), To: nine}, {From: nine, To: nine.Add(6 * time.Hour), NotAccounts: []string{"sales"}, Group: "TestGroup"},
		} {
			var want []call.CallSums
			err := s.EachCall(t.Context(), f, func(c call.CallWithRecordings) error {
				at := slices.IndexFunc(want, func(o call.CallSums) bool {
					return o.Account == c.Account && o.Direction == c.Direction && o.Outcome == c.Outcome
				})
				if at < 0 {
					at = len(want)
					want = append(want, call.CallSums{Account: c.Account, Direction: c.Direction, Outcome: c.Outcome})
				}
				sum, bound := &want[at], soon.Abandoned
				if c.Outcome == call.Answered {
					bound = soon.Answered
				}
				sum.Calls++
				if w := c.WaitSeconds; w != nil && *w >= 0 {
					sum.Waits++
					sum.WaitSeconds += int64(*w)
					if *w <= bound {
						sum.Soon++
					}
				}
				if d := c.TalkSeconds; d != nil && *d >= 0 {
					sum.Talks++
					sum.TalkSeconds += int64(*d)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(want, func(a, b call.CallSums) int {
				return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Outcome, b.Outcome))
			})
			got, err := s.SumCalls(t.Context(), f, soon)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%+v: %s", f, diff)
			}
		}
		for _, test := range []struct {
			account  string
			from, to time.Duration
			want     time.Time
		}{
			{"sales", -time.Hour, time.Hour, nine}, {"support", -time.Hour, time.Hour, nine.Add(7 * time.Minute)},
			{"sales", 7 * time.Minute, time.Hour, nine.Add(14 * time.Minute)}, {"support", -time.Hour, 7 * time.Minute, time.Time{}},
			{"nobody", -time.Hour, time.Hour, time.Time{}},
		} {
			got, err := s.FirstCall(t.Context(), test.account, nine.Add(test.from), nine.Add(test.to))
			if err != nil || !got.Equal(test.want) {
				t.Errorf("the first call of %s is %v, %v; want %v", test.account, got, err, test.want)
			}
		}
	})
}
