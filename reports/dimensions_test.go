package reports

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// tableOf is a table of an input as CSV.
func tableOf(t *testing.T, in *Input, table Table) [][]string {
	t.Helper()
	var out bytes.Buffer
	if err := in.writeTable(context.Background(), table, TableCSV, &out); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// columnsOf picks columns of a table by their names, without the header.
func columnsOf(t *testing.T, records [][]string, names ...string) []string {
	t.Helper()
	var rows []string
	for _, record := range records[1:] {
		var row []string
		for _, name := range names {
			found := false
			for i, title := range records[0] {
				if title == name {
					row, found = append(row, record[i]), true
				}
			}
			if !found {
				t.Fatalf("no column %s in %v", name, records[0])
			}
		}
		rows = append(rows, strings.Join(row, ","))
	}
	return rows
}

// dimensionOffice has a day whose tables are worked by hand below.
func dimensionOffice(t *testing.T) *office {
	t.Helper()
	o := newOffice(t)
	add := func(group, number, campaign, account string, d call.Direction, outcome call.Outcome, wait, talk int, cost string, states ...call.RecordingState) {
		n := len(o.store.calls)
		c := call.CallWithRecordings{Call: call.Call{ID: fmt.Sprint(n), Group: group, BusinessNumber: number, Campaign: campaign, Account: account,
			Direction: d, Outcome: outcome, Cost: cost, StartedAt: at("2026-11-21 10:00:00")}}
		if wait >= 0 {
			c.WaitSeconds = &wait
		}
		if talk >= 0 {
			c.TalkSeconds = &talk
		}
		for _, s := range states {
			r := call.Recording{ID: c.ID, Kind: call.Conversation, State: s}
			if s == call.Archived {
				r.AudioSeconds = new(30)
			}
			c.Recordings = append(c.Recordings, r)
		}
		o.store.calls = append(o.store.calls, c)
	}
	const in, out, yes, no, gone = call.Inbound, call.Outbound, call.Answered, call.Missed, call.Abandoned
	add("Sales", "+911", "spring", "sales", in, yes, 10, 60, "0.1", call.Archived) // audio of 30 s: shorter
	add("Sales", "+911", "spring", "sales", in, yes, 30, 20, "0.2", call.Absent)
	add("Sales", "+912", "click-1", "sales", in, no, -1, -1, "")
	add("Sales", "+912", "click-2", "support", in, gone, 3, -1, "")
	add("Billing", "+911", "click-3", "sales", out, yes, -1, 100, "5")
	add("Billing", "+911", "", "sales", out, no, -1, -1, "")
	add("", "+911", "", "sales", in, call.Unknown, -1, -1, "9")
	add("", "", "", "support", "", yes, -1, 7, "")
	o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{ID: "timeless", Account: "support", Group: "Sales", Direction: in, Outcome: yes}})
	// Three customers: the first calls Sales on two numbers, the second twice, the
	// third has no number in one call. What is dialled or of unknown end is no call
	// of theirs.
	for i, customer := range []string{"+91", "+92", "+91", "+92", "+93", "", "+93", "+94", ""} {
		o.store.calls[i].CustomerNumber = customer
	}
	o.store.calls[1].CustomerNumber = "+91" // +911 has one customer, who called twice
	asha := call.Agent{ID: "7", Name: "Asha"}
	for _, i := range []int{0, 1, 2, 4} {
		o.store.calls[i].Agent = asha
	}
	o.store.missing = []call.Missing{
		{Number: "+98", Called: "+912", Account: "sales", Group: "Sales", Campaign: "spring", Agent: asha, LastAt: at("2026-11-21 10:00:00"), Attempts: 1},
		{Number: "+99", Called: "+912", Account: "support", Group: "Sales", LastAt: at("2026-11-21 11:00:00"), ReturnedAt: at("2026-11-21 11:10:00"), Attempts: 1},
		{Number: "+97", Called: "+912", Account: "support", Group: "Sales", LastAt: at("2026-11-21 11:00:00"), ReturnedAt: at("2026-11-21 11:30:00"), Attempts: 1},
	}
	return o
}

func (o *office) inputOf(t *testing.T, report Report) *Input {
	t.Helper()
	in, err := o.reporter(t, MailOptions{}).freeze(context.Background(), &report, report.PeriodOf(at("2026-11-21 00:00:00")), 1,
		filepath.Join(t.TempDir(), inputName))
	if err != nil {
		t.Fatal(err)
	}
	// As it is read again.
	if in, err = OpenInput(context.Background(), in.path); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestDimensions(t *testing.T) {
	t.Parallel()
	in := dimensionOffice(t).inputOf(t, dailyReport())
	shown := []string{"rank", "others", "calls", "offered", "answered", "missed", "abandoned", "answer_rate", "service_level", "asa_seconds",
		"outbound", "connected", "unknown", "talk_total_seconds", "recordings_expected", "recordings_archived", "recordings_absent", "audio_shorter", "cost"}
	for table, want := range map[Table][]string{
		GroupsTable: {
			// Offered 4, one short abandon: 2/3 answered, 1/3 in time.
			"Sales,1,0,4,4,2,1,1,0.666667,0.333333,20,0,0,0,80,3,1,1,1,0.3",
			"Billing,2,0,2,0,0,0,0,n/a,n/a,n/a,2,1,0,100,1,0,0,0,5",
			",,0,1,0,0,0,0,n/a,n/a,n/a,0,0,1,7,1,0,0,0,n/a",
		},
		NumbersTable: {
			"+911,1,0,4,2,2,0,0,1,0.5,20,2,1,1,180,3,1,1,1,5.3",
			"+912,2,0,2,2,0,1,1,0,0,n/a,0,0,0,0,0,0,0,0,n/a",
			",,0,1,0,0,0,0,n/a,n/a,n/a,0,0,0,7,2,0,0,0,n/a",
		},
		CampaignsTable: {
			"spring,1,0,2,2,2,0,0,1,0.5,20,0,0,0,80,2,1,1,1,0.3",
			",,3,3,2,0,1,1,0,0,n/a,1,1,0,100,1,0,0,0,5",
			",,0,2,0,0,0,0,n/a,n/a,n/a,1,0,1,7,2,0,0,0,n/a",
		},
		AccountsTable: {
			"sales,1,0,5,3,2,1,0,0.666667,0.333333,20,2,1,1,180,3,1,1,1,5.3",
			"support,2,0,2,1,0,0,1,n/a,n/a,n/a,0,0,0,7,2,0,0,0,n/a",
		},
	} {
		records := tableOf(t, in, table)
		if diff := cmp.Diff(want, columnsOf(t, records, append([]string{records[0][1]}, shown...)...)); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
	for table, want := range map[Table][]string{
		// To call back, called back, after how many minutes (median, 90th
		// percentile); unique and repeat callers.
		GroupsTable:       {"Sales,1,2,20,30,2,1", "Billing,0,0,n/a,n/a,0,0", ",0,0,n/a,n/a,0,0"},
		NumbersTable:      {"+911,0,0,n/a,n/a,1,1", "+912,1,2,20,30,2,0", ",0,0,n/a,n/a,0,0"},
		AccountsTable:     {"sales,1,0,n/a,n/a,1,1", "support,0,2,20,30,1,0"},
		CampaignsTable:    {"spring,1,0,n/a,n/a,1,1", ",0,0,n/a,n/a,2,0", ",0,2,20,30,0,0"},
		AgentsTable:       {"1,1,0,n/a,n/a,1,1"},
		WeekdayHoursTable: {"10,1,0,n/a,n/a,2,1", "11,0,2,20,30,0,0"},
	} {
		records := tableOf(t, in, table)
		if table == WeekdayHoursTable {
			records = append(records[:1:1], records[11:13]...)
		}
		key := records[0][1]
		if table == AgentsTable {
			key = "rank"
		}
		if diff := cmp.Diff(want, columnsOf(t, records, key, "not_returned", "returned", "return_median_minutes", "return_p90_minutes", "unique_callers", "repeat_callers")); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
	// Inbound and outbound apart.
	apart := []string{"outcome_missed", "outcome_abandoned", "talk_total_seconds", "talk_median_seconds", "recordings_expected", "recordings_archived", "audio_shorter", "cost"}
	for _, table := range []Table{GroupsTable, AccountsTable, WeekdayHoursTable} {
		records := tableOf(t, in, table)
		if table == WeekdayHoursTable {
			records = append(records[:1:1], records[11])
		}
		columns := []string{records[0][1]}
		for _, side := range []string{"inbound_", "outbound_"} {
			for _, name := range apart {
				columns = append(columns, side+name)
			}
		}
		want := map[Table][]string{
			GroupsTable: {
				"Sales,1,1,80,40,3,1,1,0.3,0,0,0,n/a,0,0,0,n/a", "Billing,0,0,0,n/a,0,0,0,n/a,1,0,100,100,1,0,0,5",
				",0,0,0,n/a,0,0,0,n/a,0,0,0,n/a,0,0,0,n/a", // of which nobody dialled
			},
			AccountsTable: {
				"sales,1,0,80,40,2,1,1,0.3,1,0,100,100,1,0,0,5", "support,0,1,0,n/a,1,0,0,n/a,0,0,0,n/a,0,0,0,n/a",
			},
			// The call without a start is of no hour.
			WeekdayHoursTable: {"10,1,1,80,40,2,1,1,0.3,1,0,100,100,1,0,0,5"},
		}[table]
		if diff := cmp.Diff(want, columnsOf(t, records, columns...)); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
	book := openBook(t, filepath.Join(buildBusy(t, in), "daily-2026-11-21.xlsx"))
	for sheet, want := range map[string][]string{
		"Groups": {"Group", "Sales", "Billing", "no group"}, "Numbers": {"Business number", "+911", "+912", "no number"},
		"Campaigns": {"Campaign", "spring", "3 other campaigns", "no campaign"}, "Accounts": {"Account", "sales", "support", ""},
	} {
		if diff := cmp.Diff(want, cellsOf(t, book, sheet, "B1", "B2", "B3", "B4")); diff != "" {
			t.Errorf("%s: %s", sheet, diff)
		}
	}
}

// Each dimension has all calls: what one table counts the others count, too,
// and the total.
func TestDimensionsAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		in := tangledInput(t, seed, filepath.Join(t.TempDir(), inputName))
		f, err := measure(context.Background(), in, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dimensions() {
			var calls, talk, expected int64
			cost := new(Tally)
			for _, s := range f.Slices[d.table] {
				calls += s.Calls()
				talk += s.TalkSeconds()
				expected += s.total().Recordings.Expected()
				for _, tally := range []*Tally{&s.Inbound, &s.Outbound, &s.Undirected} {
					cost.mergeCosts(tally)
					if tally.Calls != tally.Answered()+tally.Missed()+tally.Abandoned() {
						t.Errorf("%s %s: %d calls are not answered, missed or abandoned", d.sheet, s.Name, tally.Calls)
					}
				}
			}
			if calls != f.Total.Calls || talk != f.Total.Talk.Sum() || expected != f.Total.Recordings.Expected() || cost.Cost() != f.Total.Cost() {
				t.Errorf("%s: %d calls, %d s, %d recordings, cost %v; in total %d, %d, %d, %v", d.sheet, calls, talk, expected, cost.Cost(),
					f.Total.Calls, f.Total.Talk.Sum(), f.Total.Recordings.Expected(), f.Total.Cost())
			}
		}
	}
}

// However many there are, just the busiest have a row.
func TestManyCampaigns(t *testing.T) {
	t.Parallel()
	c := newCounter(2)
	for i := range 3 * maxSlices {
		for range 1 + i%3 { // a third has one call, a third two, a third three
			c.add(fmt.Sprintf("c%04d", i))
		}
	}
	n := c.named()
	if len(n.Names) != maxSlices || n.Others != 2*maxSlices || n.Names[0] != "c0002" || n.Names[maxSlices-1] != "c2999" {
		t.Errorf("%d names from %s to %s, %d others", len(n.Names), n.Names[0], n.Names[len(n.Names)-1], n.Others)
	}
}

// The customers to call back, the recordings and the hours are tables, too.
func TestLongTables(t *testing.T) {
	t.Parallel()
	in := busyInput(t)
	for table, want := range map[Table][]string{
		MissedTable: {
			"state,customer_number,first_attempt,attempts,last_attempt,business_number,group,account,returned_at,minutes_to_return,returned_by,returned_direction",
			"not returned,+919800000009,2026-11-21T10:30:00+05:30,2,2026-11-21T11:00:00+05:30,+911204567890,Billing,sales,,,,",
		},
		RecordingsTable: {
			"state,why,tries,kind,started_at,outcome,talk_seconds,customer_number,agent_name,account,call_id",
			"absent,'=not offered,9,conversation,2026-11-21T10:15:00+05:30,answered,200,+919800000002,Asha,sales,second",
		},
		HoursTable: {
			"hour,inbound_calls,inbound_answered,inbound_missed,inbound_abandoned,inbound_answer_rate,inbound_asa,outbound_calls,outbound_answered,total_talk_total",
			"0,1,1,0,0,1,10,0,0,90",
		},
	} {
		var got []string
		for _, record := range tableOf(t, in, table)[:2] {
			got = append(got, strings.Join(record, ","))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
}

// What an older program wrote does not tell which campaign and agent a customer
// had called last: then these figures are n/a.
func TestMissingOfOlderInput(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), inputName)
	from := at("2026-11-21 00:00:00")
	w, err := createInput(path, Settings{Report: "daily", Kind: Day, From: from, To: from.AddDate(0, 0, 1), Zone: "Asia/Kolkata", Rules: Rules{Formula: OfOffered}})
	if err != nil {
		t.Fatal(err)
	}
	r := row{ID: "a", Account: "sales", Direction: call.Inbound, Outcome: call.Missed, StartedAt: from.UnixMilli(), Campaign: "spring", Group: "Sales", Agent: call.Agent{ID: "7"}}
	err = errors.Join(w.write(line{Call: &r}), w.write(line{Missing: &missing{Number: "+98", LastAt: from.UnixMilli(), Account: "sales", Group: "Sales"}}),
		w.write(line{Comparison: &comparison{Named: map[Table]named{GroupsTable: {Names: []string{"Sales"}}, CampaignsTable: {Names: []string{"spring"}}}}}), w.close())
	if err != nil {
		t.Fatal(err)
	}
	in, err := OpenInput(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for table, want := range map[Table][]string{
		AgentsTable: {"n/a,n/a,n/a,1"}, CampaignsTable: {"n/a,n/a,n/a,1"}, GroupsTable: {"1,0,n/a,1"},
	} {
		if diff := cmp.Diff(want, columnsOf(t, tableOf(t, in, table), "not_returned", "returned", "return_median_minutes", "missed")); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
}
