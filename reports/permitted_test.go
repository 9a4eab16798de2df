package reports

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

func hours(t *testing.T, texts ...string) []call.Hours {
	t.Helper()
	var list []call.Hours
	for _, text := range texts {
		h, err := call.ParseHours(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, h)
	}
	return list
}

// 21 November 2026 is a Saturday.
func TestPermittedHours(t *testing.T) {
	t.Parallel()
	report := dailyReport()
	report.PermittedHours = []PermittedHours{
		{Campaign: "Collections-*", Hours: hours(t, "mon-fri 08:00-19:00")},
		{Campaign: "spring", Agent: "asha", Hours: hours(t, "sat 10:00-12:00", "sat 14:00-24:00")},
		{Agent: "+919311100000", Hours: hours(t, "daily 00:00-24:00")},
		{Agent: "Ashaa", Hours: hours(t, "daily 00:00-24:00")},
		{Campaign: "winter", Hours: hours(t, "daily 00:00-24:00")},
		{Hours: hours(t, "sat 09:00-13:00")},
	}
	asha, bela := call.Agent{Name: "Asha"}, call.Agent{Number: "+919311100000"}
	o := newOffice(t)
	for i, c := range []struct {
		start, campaign string
		agent           call.Agent
		direction       call.Direction
		outcome         call.Outcome
		outside         bool
	}{
		{"10:00:00", "collections-7", asha, call.Outbound, call.Answered, true}, // never on a Saturday
		{"10:00:01", "COLLECTIONS-7", bela, call.Outbound, call.Missed, true},   // the first that matches decides
		{"10:00:00", "my-collections-7", asha, call.Outbound, call.Answered, false},
		{"09:59:59", "spring", asha, call.Outbound, call.Answered, true}, {"10:00:00", "spring", asha, call.Outbound, call.Answered, false},
		{"12:00:00", "spring", asha, call.Outbound, call.Unknown, true}, {"23:59:59", "spring", asha, call.Outbound, call.Answered, false},
		{"12:00:00", "spring", call.Agent{}, call.Outbound, call.Answered, false}, // the rule for all others
		{"03:00:00", "", bela, call.Outbound, call.Answered, false},
		{"08:59:59", "", asha, call.Outbound, call.Busy, true}, {"13:00:00", "autumn", call.Agent{}, call.Outbound, call.Answered, true},
		{"03:00:00", "", asha, call.Inbound, call.Answered, false}, {"03:00:00", "", asha, "", call.Answered, false},
	} {
		o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{ID: fmt.Sprintf("%d %v", i, c.outside), Account: "sales",
			Direction: c.direction, Outcome: c.outcome, Campaign: c.campaign, Agent: c.agent, StartedAt: at("2026-11-21 " + c.start)}})
	}
	in := o.inputOf(t, report)
	var ids []string
	for _, c := range o.store.calls {
		if strings.HasSuffix(c.ID, "true") {
			ids = append(ids, c.ID)
		}
	}
	if diff := cmp.Diff(ids, columnsOf(t, tableOf(t, in, OutsideTable), "call_id")); diff != "" {
		t.Errorf("calls: %s", diff)
	}
	dir := buildBusy(t, in)
	book := openBook(t, filepath.Join(dir, "daily-2026-11-21.xlsx"))
	const spring = "campaign spring, agent asha: sat 10:00-12:00, sat 14:00-24:00"
	for row, want := range [][]string{
		{"Campaign", "Agent", "Calls outside", "Answered", "First", "Last", "Permitted"},
		{"spring", "Asha", "2", "1", "2026-11-21 09:59:59", "2026-11-21 12:00:00", spring},
		{"4 other campaigns", "+919311100000", "1", "0", "2026-11-21 10:00:01", "2026-11-21 10:00:01", "campaign Collections-*: mon-fri 08:00-19:00"},
		{"4 other campaigns", "Asha", "1", "1", "2026-11-21 10:00:00", "2026-11-21 10:00:00", "campaign Collections-*: mon-fri 08:00-19:00"},
		{"4 other campaigns", "no agent", "1", "1", "2026-11-21 13:00:00", "2026-11-21 13:00:00", "all others: sat 09:00-13:00"},
		{"no campaign", "Asha", "1", "0", "2026-11-21 08:59:59", "2026-11-21 08:59:59", "all others: sat 09:00-13:00"},
		{"", "", "", "", "", "", ""},
	} {
		var got []string
		for column := range want {
			got = append(got, strings.TrimSpace(cellsOf(t, book, "Permitted hours", fmt.Sprintf("%s%d", columnName(column), row+1))[0]))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("row %d: %s", row+1, diff)
		}
	}
	if got := cellsOf(t, book, "Outside hours", "A2", "B2", "C2", "J2", "J8"); !cmp.Equal(got, []string{"2026-11-21 10:00:00", "Asha", "collections-7", ids[0], ""}) {
		t.Errorf("%q", got)
	}
	summary := readCSV(t, filepath.Join(dir, "daily-2026-11-21-summary.csv"))
	if diff := cmp.Diff([]string{"6"}, valuesOf(summary, "outside_hours")); diff != "" {
		t.Error(diff)
	}
	// What is wrong is said where people look first, in both forms of the mail, and
	// which rules are about nobody.
	f, err := measure(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"10 answered calls without a recording named by the provider", "6 outbound calls outside the permitted hours (sheet Outside hours)", "1 call of unknown outcome, not counted",
		"Permitted hours name the agent Ashaa, whom neither the configuration nor a call of this report knows: is the name as the calls have it?"}
	if diff := cmp.Diff(want, f.mailPage(call.Run{}).Attention); diff != "" {
		t.Errorf("needs attention: %s", diff)
	}
	for _, name := range []string{mailTextName, mailHTMLName} {
		mail, err := os.ReadFile(filepath.Join(mailOf(t, o, in), name))
		if err != nil || !strings.Contains(string(mail), want[1]) || !strings.Contains(string(mail), want[3]) {
			t.Errorf("%s does not say so, %v", name, err)
		}
	}
	said := f.permitted()
	for _, unseen := range []string{"agent Ashaa: mon-sun 00:00-24:00 (nobody knows this agent", "campaign winter: mon-sun 00:00-24:00 (no call of this report is of this campaign)"} {
		if !strings.Contains(said, unseen) {
			t.Errorf("%q does not say %q", said, unseen)
		}
	}
	if n := strings.Count(said, "("); n != 2 {
		t.Errorf("%d rules are about nothing: %s", n, said)
	}
	// The rules stand in the input, as people wrote them.
	text, err := json.Marshal(in.Settings.PermittedHours[1])
	if err != nil || string(text) != `{"campaign":"spring","agent":"asha","hours":["sat 10:00-12:00","sat 14:00-24:00"]}` {
		t.Errorf("%s, %v", text, err)
	}
}

// A rule is about the person whom it names, by whatever is configured of them and
// whatever the calls were reported by.
func TestPermittedHoursOfPeople(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	roster := call.NewRoster([]call.Person{
		{Name: "Asha Rao", TeleCMI: []string{"203"}, Names: []string{"Asha R"}},
		{Name: "Neil D'Souza", TeleCMI: []string{"204"}, Numbers: []string{"+919311122233"}},
	}, []call.Member{{Account: "sales", Number: "+919000000002", Name: "Ravi"}})
	o.roster = func() *call.Roster { return roster }
	report := dailyReport()
	evening := hours(t, "sat 20:00-21:00")
	report.PermittedHours = []PermittedHours{{Agent: "asha r", Hours: evening}, {Agent: "+919311122233", Hours: evening},
		{Agent: "ravi", Hours: evening}, {Agent: "Ashaa", Campaign: "spring", Hours: evening}, {Agent: "Ashaa", Hours: evening}, {Hours: hours(t, "sat 09:00-13:00")}}
	for i, agent := range []call.Agent{{ID: "203"}, {ID: "204"}, {ID: "205"}} {
		for _, start := range []string{"10:00:00", "20:00:00"} {
			o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: call.Call{ID: agent.ID + " " + start, Account: "support", Provider: call.TeleCMI,
				Direction: call.Outbound, Outcome: call.Answered, Agent: agent, StartedAt: at("2026-11-21 " + start).Add(time.Duration(i) * time.Second)}})
		}
	}
	in := o.inputOf(t, report)
	want := []string{"203 10:00:00", "204 10:00:00", "205 20:00:00"}
	if diff := cmp.Diff(want, columnsOf(t, tableOf(t, in, OutsideTable), "call_id")); diff != "" {
		t.Errorf("outside: %s", diff)
	}
	f, err := measure(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := f.unknownAgents(); len(unknown) != 1 || !strings.Contains(unknown[0], "the agent Ashaa,") {
		t.Errorf("%q", unknown)
	}
	// The input of an older program does not tell who is configured.
	in.Settings.Roster = nil
	if f, err = measure(t.Context(), in, nil); err != nil || f.unknownAgents() != nil || strings.Contains(f.permitted(), "nobody knows") {
		t.Errorf("without a roster: %q, %q, %v", f.unknownAgents(), f.permitted(), err)
	}
}

// mailOf writes the mail of an input's report, and gives the folder.
func mailOf(t *testing.T, o *office, in *Input) string {
	t.Helper()
	dir := t.TempDir()
	files, figures, err := BuildFiles(t.Context(), in, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.reporter(t, MailOptions{}).writeMail(call.Run{ID: "run-1"}, &built{input: in, figures: figures, files: files}, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func valuesOf(summary [][]string, measure string) (values []string) {
	for _, record := range summary {
		if record[4] == measure {
			values = append(values, record[8])
		}
	}
	return values
}

// What counts is the clock, also when the hours are shifted.
func TestPermittedHoursOverDaylightSaving(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	in := &Input{zone: berlin, Settings: Settings{Rules: Rules{PermittedHours: []PermittedHours{{Hours: hours(t, "daily 09:00-10:00")}}}}}
	for utc, want := range map[string]bool{
		"2026-10-24T07:00:00Z": false, "2026-10-24T08:00:00Z": true, // summer: +2
		"2026-10-25T07:59:59Z": true, "2026-10-25T08:00:00Z": false, // winter: +1
	} {
		started, err := time.Parse(time.RFC3339, utc)
		if err != nil {
			t.Fatal(err)
		}
		if got := newPermit(in).broken(&row{Direction: call.Outbound, StartedAt: started.UnixMilli()}) != nil; got != want {
			t.Errorf("%s: outside %v", utc, got)
		}
	}
}

// Without rules there are neither sheets nor a measure.
func TestNoPermittedHours(t *testing.T) {
	t.Parallel()
	in := busyInput(t)
	var out bytes.Buffer
	if err := in.writeTable(context.Background(), OutsideTable, TableJSON, &out); err != nil || out.Len() > 0 {
		t.Errorf("%s, %v", out.String(), err)
	}
	dir := buildBusy(t, in)
	if got := valuesOf(readCSV(t, filepath.Join(dir, "daily-2026-11-21-summary.csv")), "outside_hours"); got != nil {
		t.Errorf("%q", got)
	}
	if i, err := openBook(t, filepath.Join(dir, "daily-2026-11-21.xlsx")).GetSheetIndex("Permitted hours"); err != nil || i >= 0 {
		t.Errorf("sheet %d, %v", i, err)
	}
}
