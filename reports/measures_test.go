package reports

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"callvault/internal/call"
)

var settings = Settings{Rules: Rules{Formula: OfOffered, Within: 20, ShortAbandon: 5}}

// ended is a call's outcome and wait in seconds, −1 if that is not known.
type ended struct {
	outcome call.Outcome
	wait    int
}

func tally(calls ...ended) *Tally {
	t := new(Tally)
	for _, c := range calls {
		r := row{Direction: call.Inbound, Outcome: c.outcome}
		if c.wait >= 0 {
			r.WaitSeconds = &c.wait
		}
		t.add(&r, &settings)
	}
	return t
}

func TestCounts(t *testing.T) {
	t.Parallel()
	got := tally(ended{call.Answered, 3}, ended{call.Missed, 9}, ended{call.Busy, -1}, ended{call.Rejected, -1},
		ended{call.Voicemail, 40}, ended{call.Failed, -1}, ended{call.Abandoned, 2}, ended{call.Cancelled, 30},
		ended{call.Unknown, 4})
	counts := []int64{got.Calls, got.Answered(), got.Missed(), got.Abandoned(), got.ShortAbandons, got.Unknown}
	if diff := cmp.Diff([]int64{8, 1, 5, 2, 1, 1}, counts); diff != "" {
		t.Errorf("offered, answered, missed, abandoned, short, unknown: %s", diff)
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	const a, m, x = call.Answered, call.Missed, call.Abandoned
	// Offered 10: 6 answered (waits 5, 20, 21, 60, two unknown), 2 missed, 2
	// abandoned, one of them after 5 s: short.
	mixed := []ended{{a, 5}, {a, 20}, {a, 21}, {a, 60}, {a, -1}, {a, -1}, {m, -1}, {m, 100}, {x, 5}, {x, 6}}
	for _, test := range []struct {
		name  string
		tally *Tally
		of    func(*Tally) float64
		want  float64
	}{
		{"answer rate", tally(mixed...), (*Tally).AnswerRate, 6.0 / 9},
		{"abandonment rate", tally(mixed...), (*Tally).AbandonmentRate, 1.0 / 9},
		{"judged", tally(mixed...), (*Tally).Judged, 4.0 / 6},
		{"of offered: without short abandons and unknown waits", tally(mixed...), level(OfOffered), 2.0 / 7},
		{"of answered", tally(mixed...), level(OfAnswered), 2.0 / 4},
		{"of answered and abandoned", tally(mixed...), level(OfAnsweredAndAbandoned), 2.0 / 5},
		{"half judged is enough", tally(ended{a, 5}, ended{a, -1}), level(OfOffered), 1},
		{"under half judged", tally(ended{a, 5}, ended{a, -1}, ended{a, -1}), level(OfOffered), math.NaN()},
		{"nothing answered", tally(ended{m, 5}), level(OfOffered), 0},
		{"nothing answered, of answered", tally(ended{m, 5}), level(OfAnswered), math.NaN()},
		{"no calls", tally(), (*Tally).AnswerRate, math.NaN()},
		{"only short abandons", tally(ended{x, 1}), (*Tally).AnswerRate, math.NaN()},
		{"unknown wait is no short abandon", tally(ended{x, -1}), (*Tally).AbandonmentRate, 1},
		{"speed of answer", tally(mixed...), func(t *Tally) float64 { return t.Wait.Mean() }, 106.0 / 4},
		{"speed of answer, no wait known", tally(ended{a, -1}), func(t *Tally) float64 { return t.Wait.Mean() }, math.NaN()},
		{"wait before abandoning", tally(mixed...), func(t *Tally) float64 { return t.AbandonWait.Mean() }, 5.5},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, test.of(test.tally), cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-12)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func level(f Formula) func(*Tally) float64 {
	return func(t *Tally) float64 { return t.ServiceLevel(f) }
}

// Whatever the calls: offered = answered + missed + abandoned, and no rate
// leaves 0 to 1.
func TestAlways(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var calls []ended
		for range rapid.IntRange(0, 50).Draw(t, "calls") {
			calls = append(calls, ended{rapid.SampledFrom(call.Outcomes()).Draw(t, "outcome"), rapid.IntRange(-1, 40).Draw(t, "wait")})
		}
		got := tally(calls...)
		if got.Calls != got.Answered()+got.Missed()+got.Abandoned() {
			t.Fatalf("%d offered, %d answered, %d missed, %d abandoned", got.Calls, got.Answered(), got.Missed(), got.Abandoned())
		}
		for _, rate := range []float64{got.AnswerRate(), got.AbandonmentRate(), got.Judged(),
			got.ServiceLevel(OfOffered), got.ServiceLevel(OfAnswered), got.ServiceLevel(OfAnsweredAndAbandoned)} {
			if rate < 0 || rate > 1 {
				t.Fatalf("rate %v", rate)
			}
		}
	})
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		seconds []int
		want    []float64 // sum, mean, median, 90th percentile, longest
	}{
		{"none", nil, []float64{0, math.NaN(), math.NaN(), math.NaN(), math.NaN()}},
		{"one", []int{7}, []float64{7, 7, 7, 7, 7}},
		{"two", []int{10, 20}, []float64{30, 15, 15, 20, 20}},
		{"ten", []int{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, []float64{55, 5.5, 5.5, 9, 10}},
		{"zero and negative", []int{0, -5, 4}, []float64{4, 2, 2, 4, 4}},
		{"days", []int{5, 200_000, 100_000}, []float64{300_005, 300_005.0 / 3, 100_000, 200_000, 200_000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var d Durations
			d.Add(nil)
			for _, s := range test.seconds {
				d.Add(&s)
			}
			got := []float64{float64(d.Sum()), d.Mean(), d.Median(), d.Percentile(90), d.Longest()}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	var got Tally
	for _, cost := range []string{"0.1", "0.2", "", "two", "1e9", "-0.05", "007", "."} {
		got.add(&row{Outcome: call.Answered, Cost: cost}, &settings)
	}
	if got.Cost() != 0.25 {
		t.Errorf("cost %v, want 0.25", got.Cost())
	}
	if !math.IsNaN(new(Tally).Cost()) {
		t.Error("a cost without calls")
	}
}

// busyDay is a small day, worked by hand in the tests below.
func busyDay() []call.CallWithRecordings {
	asha := call.Agent{ID: "201", Name: "Asha", Number: "+919311122233"}
	bela := call.Agent{Number: "+919311100000", Name: "Bela"}
	talk := func(n int) *int { return &n }
	calls := []call.CallWithRecordings{
		// 18:29:59 UTC the day before is 23:59:59: not of this day. The fake
		// store filters as the real one.
		{Call: call.Call{ID: "early", Account: "sales", Direction: call.Inbound, Outcome: call.Answered, StartedAt: at("2026-11-20 23:59:59")}},
		{Call: call.Call{ID: "first", Account: "sales", Provider: call.CallerDesk, Key: "1.1", Direction: call.Inbound, Outcome: call.Answered,
			CustomerNumber: "+919800000001", BusinessNumber: "+911204567890", Agent: asha, Group: "Billing", Cost: "2",
			StartedAt: at("2026-11-21 00:00:00"), AnsweredAt: at("2026-11-21 00:00:10"), EndedAt: at("2026-11-21 00:01:40"),
			WaitSeconds: talk(10), TalkSeconds: talk(90), TotalSeconds: talk(100), Offers: []call.Agent{bela}},
			Recordings: []call.Recording{{ID: "r1", Kind: call.Conversation, State: call.Archived, Size: 1000, AudioSeconds: talk(84),
				Source: "https://provider.example/secret.wav"}}},
		{Call: call.Call{ID: "second", Account: "sales", Provider: call.CallerDesk, Key: "1.2", Direction: call.Inbound, Outcome: call.Answered,
			CustomerNumber: "+919800000002", Agent: asha, Group: "Sales", StartedAt: at("2026-11-21 10:15:00"),
			EndedAt: at("2026-11-21 10:20:00"), TalkSeconds: talk(200), Cost: "4"},
			Recordings: []call.Recording{{ID: "r2", Kind: call.Conversation, State: call.Absent, Reason: "=not offered", Attempts: 9,
				Source: "https://provider.example/secret2.wav"}}},
		{Call: call.Call{ID: "third", Account: "sales", Direction: call.Inbound, Outcome: call.Missed, CustomerNumber: "=HYPERLINK(1)",
			Agent: call.Agent{Name: "Zoë 🎧 שלום"}, StartedAt: at("2026-11-21 10:30:00"), WaitSeconds: talk(30), Offers: []call.Agent{asha, bela}}},
		{Call: call.Call{ID: "fourth", Account: "support", Direction: call.Inbound, Outcome: call.Abandoned, StartedAt: at("2026-11-21 11:00:00"), WaitSeconds: talk(3)}},
		{Call: call.Call{ID: "fifth", Account: "support", Direction: call.Outbound, Outcome: call.Answered, Agent: bela,
			StartedAt: at("2026-11-21 12:00:00"), TalkSeconds: talk(60), Cost: "1.5"}},
		{Call: call.Call{ID: "sixth", Account: "support", Direction: call.Outbound, Outcome: call.Busy, Agent: bela, StartedAt: at("2026-11-21 12:40:00")}},
		{Call: call.Call{ID: "seventh", Account: "support", Direction: call.Inbound, Outcome: call.Unknown, Offers: []call.Agent{bela}, StartedAt: at("2026-11-21 13:00:00")}},
		{Call: call.Call{ID: "late", Account: "sales", Direction: call.Inbound, Outcome: call.Missed, StartedAt: at("2026-11-22 00:00:00")}},
		{Call: call.Call{ID: "timeless", Account: "sales", Direction: call.Inbound, Outcome: call.Missed}},
		{Call: call.Call{ID: "another day", Account: "sales", Direction: call.Inbound, Outcome: call.Missed, EndedAt: at("2026-11-19 10:00:00")}},
	}
	return calls
}

func busyOffice(t *testing.T) *office {
	t.Helper()
	o := newOffice(t)
	o.store.calls = busyDay()
	o.store.deliveries = []call.Delivery{
		{Account: "sales", Outcome: call.Unreadable, ReceivedAt: at("2026-11-21 09:00:00")},
		{Account: "sales", Outcome: call.Recorded, ReceivedAt: at("2026-11-21 09:00:00")},
		{Account: "support", Outcome: call.Recorded, ReceivedAt: at("2026-11-21 09:00:00")},
		{Account: "support", Outcome: call.Unreadable, ReceivedAt: at("2026-11-22 00:00:00")},
	}
	o.store.missing = []call.Missing{
		{Number: "+919800000009", FirstAt: at("2026-11-21 10:30:00"), LastAt: at("2026-11-21 11:00:00"), Attempts: 2,
			Called: "+911204567890", Account: "sales", Group: "Billing"},
		{Number: "+919800000008", FirstAt: at("2026-11-21 09:00:00"), LastAt: at("2026-11-21 09:00:00"), Attempts: 1,
			Account: "sales", ReturnedAt: at("2026-11-21 09:12:30")},
	}
	return o
}

// busyInput freezes the busy day.
func busyInput(t *testing.T) *Input {
	t.Helper()
	return matchingInput(t, call.Filter{})
}

// matchingInput freezes those of the busy day's calls that match.
func matchingInput(t *testing.T, match call.Filter) *Input {
	t.Helper()
	r := busyOffice(t).reporter(t, MailOptions{})
	report := dailyReport()
	report.Match = match
	in, err := r.freeze(context.Background(), &report, report.PeriodOf(at("2026-11-21 00:00:00")), 1,
		filepath.Join(t.TempDir(), inputName))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	f, err := measure(context.Background(), busyInput(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]any)
	for _, m := range f.measures() {
		for i := range m.values {
			var v any
			if m.has[i] {
				v = forPeople(m.values[i], m.unit)
			}
			got[m.name] = append(got[m.name], v)
		}
	}
	for name, want := range map[string][]any{
		"calls":                {"4", "2", "6"},
		"answered":             {"2", "1", "3"},
		"missed":               {"1", "1", "2"},
		"abandoned":            {"1", "0", "1"},
		"short_abandons":       {"1", nil, nil},
		"unknown":              {"1", "0", "1"},
		"no_start":             {nil, nil, "1"},
		"answer_rate":          {"66.7 %", nil, nil}, // 2 / (4 − 1)
		"abandonment_rate":     {"0 %", nil, nil},
		"service_level":        {"50 %", nil, nil}, // 1 / (4 − 1 − 1)
		"service_level_judged": {"50 %", nil, nil},
		"connect_rate":         {nil, "50 %", nil},
		"asa":                  {"0:10", nil, nil},
		"asa_known":            {"1", nil, nil},
		"abandon_wait":         {"0:03", nil, nil},
		"talk_total":           {"4:50", "1:00", "5:50"},
		"aht":                  {"2:25", "1:00", "1:57"},
		"talk_median":          {"2:25", "1:00", "1:30"},
		"talk_p90":             {"3:20", "1:00", "3:20"},
		"talk_longest":         {"3:20", "1:00", "3:20"},
		"unique_callers":       {"7", nil, nil},
		"repeat_callers":       {"2", nil, nil},
		"not_returned":         {"1", nil, nil},
		"returned":             {"1", nil, nil},
		"return_median":        {"12", nil, nil},
		"recordings_expected":  {"2", "1", "3"},
		"recordings_archived":  {"1", "0", "1"},
		"recordings_absent":    {"1", "0", "1"},
		"recordings_not_named": {"0", "1", "1"},
		"audio_shorter":        {"0", "0", "0"}, // 6 s of 90 s: within 10 %
		"cost":                 {"6", "1.5", "7.5"},
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	want := "8 calls from 2 accounts · 3 should have a recording · 1 archived and verified, " +
		"1 absent (listed), 1 not named by the provider · 1 delivery unreadable"
	if diff := cmp.Diff(want, f.Completeness()); diff != "" {
		t.Error(diff)
	}
}

// A report of some calls counts the deliveries of its account, or none where it
// cannot be known whose they are.
func TestDeliveriesOfAMatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		match      call.Filter
		unreadable bool
	}{
		{"all", call.Filter{}, true},
		{"the account", call.Filter{Account: "sales"}, true},
		{"another account", call.Filter{Account: "support"}, false},
		{"a direction", call.Filter{Direction: call.Inbound}, false},
		{"a direction of the account", call.Filter{Account: "sales", Direction: call.Inbound}, false},
	} {
		f, err := measure(context.Background(), matchingInput(t, test.match), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(f.Completeness(), "1 delivery unreadable"); got != test.unreadable {
			t.Errorf("%s: %s", test.name, f.Completeness())
		}
	}
}

// A report of outbound calls tells nothing of those who called.
func TestOutboundAlone(t *testing.T) {
	t.Parallel()
	in := matchingInput(t, call.Filter{Direction: call.Outbound})
	f, err := measure(context.Background(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := []int64{f.Outbound.Calls, f.Inbound.Calls, f.Unique, f.Repeat, f.Missing, f.Returned, int64(len(f.FirstMissing))}; !cmp.Equal(got, []int64{2, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("outbound, inbound, unique, repeat, missed, returned, listed: %v", got)
	}
	book := openBook(t, filepath.Join(buildBusy(t, in), "daily-2026-11-21.xlsx"))
	if got := cellsOf(t, book, "Missed", "A2", "A3"); !cmp.Equal(got, []string{"Nobody was missed.", ""}) {
		t.Errorf("the sheet Missed says %q", got)
	}
}

func TestAgents(t *testing.T) {
	t.Parallel()
	f, err := measure(context.Background(), busyInput(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]any
	for _, a := range f.Agents {
		got = append(got, []any{label(a.Agent), a.Group, a.Offered(), a.Inbound.Answered(), a.Unanswered,
			percent(a.AnswerRate()), a.Outbound.Calls, a.Outbound.Answered(), a.TalkSeconds(),
			formatMoment(milliseconds(a.First), kolkata), formatMoment(milliseconds(a.Last), kolkata),
			a.ActiveHours(), a.Archived, a.Expected})
	}
	want := [][]any{
		{"Asha", "Sales", int64(3), int64(2), int64(1), "66.7 %", int64(0), int64(0), int64(290),
			"2026-11-21T00:00:00+05:30", "2026-11-21T10:30:00+05:30", int64(2), int64(1), int64(2)},
		{"Bela", "", int64(3), int64(0), int64(3), "0 %", int64(2), int64(1), int64(60),
			"2026-11-21T00:00:00+05:30", "2026-11-21T13:00:00+05:30", int64(4), int64(0), int64(1)},
		{"Zoë 🎧 שלום", "", int64(0), int64(0), int64(0), "n/a", int64(0), int64(0), int64(0), "", "", int64(0), int64(0), int64(0)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// One person on two accounts is one row; two people at one telephone are two.
// What a joined row says is what the calls say together, in whatever order the
// accounts are met.
func TestOnePersonOnTwoAccounts(t *testing.T) {
	t.Parallel()
	const number, shared = "+919311122233", "+911204567800"
	calls := []row{
		{Account: "support", Agent: call.Agent{ID: "205", Number: number}, Group: "Help", Outcome: call.Answered, TalkSeconds: new(100), Cost: "1"},
		{Account: "sales", Agent: call.Agent{Name: "Asha", Number: number}, Group: "Sales", Outcome: call.Answered, TalkSeconds: new(20_000), WaitSeconds: new(4), Cost: "0.5"},
		{Account: "support", Agent: call.Agent{ID: "205", Number: number}, Outcome: call.Answered, TalkSeconds: new(60), WaitSeconds: new(8)},
		{Account: "support", Agent: call.Agent{ID: "206"}, Outcome: call.Answered, TalkSeconds: new(5)},
		{Account: "support", Agent: call.Agent{ID: "301", Number: shared}, Outcome: call.Answered, TalkSeconds: new(2)},
		{Account: "support", Agent: call.Agent{ID: "302", Number: shared}, Outcome: call.Answered, TalkSeconds: new(1)},
		{Account: "returns", Agent: call.Agent{Name: "Asha", Number: number}, Outcome: call.Abandoned},
		{Account: "sales", Agent: call.Agent{Name: "Bela", Number: "205"}, Outcome: call.Missed, Offers: []call.Agent{{Name: "Asha", Number: number}}},
	}
	for range 20 { // maps are walked in another order each time
		f := Figures{Accounts: map[string]int64{}}
		agents := make(map[string]*AgentFigures)
		for i, c := range calls {
			c.Direction, c.StartedAt = call.Inbound, at("2026-11-21 09:00:00").Add(time.Duration(i)*time.Hour).UnixMilli()
			f.add(&c, kolkata, agents, nil)
		}
		ranked := rankAgents(agents)
		var got []string
		for _, a := range ranked {
			got = append(got, fmt.Sprintf("%s of %s in %s: %d offered, %d answered, %d s", label(a.Agent), a.Account, a.Group, a.Offered(), a.Inbound.Answered(), a.TalkSeconds()))
		}
		want := []string{
			"Asha of returns, sales, support in Sales: 4 offered, 3 answered, 20160 s",
			"Agent 206 of support in : 1 offered, 1 answered, 5 s",
			"Agent 301 of support in : 1 offered, 1 answered, 2 s",
			"Agent 302 of support in : 1 offered, 1 answered, 1 s",
			"Bela of sales in : 0 offered, 0 answered, 0 s",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		asha := ranked[0]
		if got := []float64{asha.total().Talk.Median(), asha.total().Talk.Longest(), asha.Inbound.Wait.Mean(), asha.Inbound.Cost(), float64(asha.ActiveHours())}; !cmp.Equal(got, []float64{100, 20_000, 6, 1.5, 4}) {
			t.Errorf("median, longest, wait, cost, hours: %v", got)
		}
		if asha.ID != "205" || !asha.First.Equal(at("2026-11-21 09:00:00")) || !asha.Last.Equal(at("2026-11-21 16:00:00")) {
			t.Errorf("id %s, %v to %v", asha.ID, asha.First, asha.Last)
		}
	}
}

func TestAudioAgainstTalk(t *testing.T) {
	t.Parallel()
	archived := func(seconds ...int) []recording {
		var list []recording
		for _, s := range seconds {
			list = append(list, recording{Kind: call.Conversation, State: call.Archived, AudioSeconds: &s})
		}
		return list
	}
	with := func(list []recording, more ...recording) []recording { return append(list, more...) }
	const same, shorter, longer, not = "same", "shorter", "longer", "not compared"
	for _, test := range []struct {
		name  string
		talk  int
		audio []recording
		want  string
	}{
		{"5 s less", 40, archived(35), same}, {"6 s less", 40, archived(34), shorter},
		{"5 s more", 40, archived(45), same}, {"6 s more", 40, archived(46), longer},
		{"10 % less", 300, archived(270), same}, {"over 10 % less", 300, archived(269), shorter},
		{"10 % more", 300, archived(330), same}, {"over 10 % more", 300, archived(331), longer},
		{"no audio of 3 s", 3, archived(0), same},
		{"in two parts", 300, archived(100, 195), same}, {"two parts too short", 300, archived(100, 100), shorter},
		{"one part is not there", 300, with(archived(100), recording{Kind: call.Conversation, State: call.Absent}), not},
		{"one part of unknown length", 300, with(archived(100), recording{Kind: call.Conversation, State: call.Archived}), not},
		{"deleted", 300, []recording{{Kind: call.Conversation, State: call.Expired, AudioSeconds: new(100)}}, not},
		{"a voicemail beside", 300, with(archived(300), recording{Kind: call.VoicemailMessage, State: call.Absent}), same},
		{"a voicemail alone", 300, []recording{{Kind: call.VoicemailMessage, State: call.Archived, AudioSeconds: new(10)}}, not},
		{"none", 300, nil, not},
	} {
		var f RecordingFigures
		f.compare((&row{TalkSeconds: &test.talk, Recordings: test.audio}).audioMatch())
		want := map[string]RecordingFigures{same: {Compared: 1}, shorter: {Compared: 1, Shorter: 1}, longer: {Compared: 1, Longer: 1}, not: {}}
		if diff := cmp.Diff(want[test.want], f); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// An hour that the clocks show twice counts both.
func TestHourTwice(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	var f Figures
	f.Accounts = map[string]int64{}
	for _, utc := range []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"} {
		started, err := time.Parse(time.RFC3339, utc)
		if err != nil {
			t.Fatal(err)
		}
		f.add(&row{Direction: call.Inbound, Outcome: call.Answered, StartedAt: started.UnixMilli()}, berlin, nil, nil)
	}
	if sunday := &f.Week[6]; sunday[2].Inbound.Calls != 2 || sunday[3].Inbound.Calls != 1 {
		t.Errorf("hours 2 and 3 have %d and %d calls", sunday[2].Inbound.Calls, sunday[3].Inbound.Calls)
	}
}

// A call back is the agent's who talked first with the customer, in a call that
// the agent made.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	asha, bela := call.Agent{ID: "201", Name: "Asha", Number: "+919311122233"}, call.Agent{Number: "+919311100000", Name: "Bela"}
	back := func(number string, d call.Direction, who call.Agent) call.Missing {
		return call.Missing{Number: number, LastAt: at("2026-11-21 10:00:00"), Attempts: 1, Account: "sales", ReturnedAt: at("2026-11-21 10:20:00"),
			Return: call.Return{Account: "sales", Provider: call.CallerDesk, Direction: d, Agent: who}}
	}
	o := busyOffice(t)
	o.store.missing = []call.Missing{
		{Number: "+98", LastAt: at("2026-11-21 10:00:00"), Attempts: 1, Account: "sales"},
		back("+91", call.Outbound, asha), back("+92", call.Outbound, asha), back("+93", call.Inbound, bela), back("+94", call.Outbound, call.Agent{}),
		back("+95", call.Outbound, call.Agent{Name: "Chitra", ID: "777"}),
	}
	for _, test := range []struct {
		name  string
		match call.Filter
		want  []string
	}{
		{"all", call.Filter{}, []string{"Asha,2,10", "Bela,0,n/a", "Chitra,1,n/a", "Zoë 🎧 שלום,0,n/a"}},
		// Others than those of its calls are none of this report's business.
		{"an account", call.Filter{Account: "sales"}, []string{"Asha,2,10", "Zoë 🎧 שלום,0,n/a", "Bela,0,n/a"}},
	} {
		report := dailyReport()
		report.Match = test.match
		if diff := cmp.Diff(test.want, columnsOf(t, tableOf(t, o.inputOf(t, report), AgentsTable), "agent_name", "callbacks", "ring_mean_seconds")); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}
