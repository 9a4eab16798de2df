package reports

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

// peopleInput freezes a day of which the agents are named as the store names
// them: Asha works with both providers and two telephones, Neil at hers.
func peopleInput(t *testing.T, match call.Filter) *Input {
	t.Helper()
	o := newOffice(t)
	known := func(id, name, number string) call.Agent {
		return call.Agent{ID: id, Name: name, Number: number, Known: true}
	}
	for i, c := range []call.Call{
		{Account: "support", Agent: known("203", "Asha Rao", "+919311122233"), Group: "Billing", TalkSeconds: new(100)},
		{Account: "sales", Agent: known("", "Asha Rao", "+919311122234"), Group: "Sales", TalkSeconds: new(20)},
		{Account: "support", Agent: known("204", "Neil D'Souza", "+919311122233"), TalkSeconds: new(10), Offers: []call.Agent{known("203", "Asha Rao", "")}},
		// On CallerDesk's list of members, as Ravi, who has no calls.
		{Account: "sales", Agent: call.Agent{Name: "Asha Rao (2)", Number: "+919000000001"}, TalkSeconds: new(5)},
	} {
		c.ID, c.Direction, c.Outcome = fmt.Sprint("call-", i), call.Inbound, call.Answered
		c.StartedAt = at("2026-11-21 10:00:00").Add(time.Duration(i) * time.Minute)
		o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: c})
	}
	r := o.reporter(t, MailOptions{})
	roster := call.NewRoster([]call.Person{{Name: "Asha Rao", Group: "Billing"}, {Name: "Neil D'Souza", Group: "Sales"}, {Name: "Zoë", Group: "Sales"}},
		[]call.Member{{Account: "sales", Number: "+919000000001", Name: "Asha Rao (2)"}, {Account: "sales", Number: "+919000000002", Name: "Ravi"}})
	r.roster = func() *call.Roster { return roster }
	report := dailyReport()
	report.Match = match
	in, err := r.freeze(t.Context(), &report, report.PeriodOf(at("2026-11-21 00:00:00")), 1, filepath.Join(t.TempDir(), inputName))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// One configured person is one row, whatever the telephone; who has no calls
// has a row, too. The frozen input alone says so.
func TestPeople(t *testing.T) {
	t.Parallel()
	in := peopleInput(t, call.Filter{})
	again, err := OpenInput(t.Context(), in.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []*Input{in, again} {
		f, err := measure(t.Context(), in, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range f.Agents {
			got = append(got, fmt.Sprintf("%s %s of %s in %s: %d answered, %d unanswered, %d s",
				label(a.Agent), a.Number, a.Account, a.Group, a.Inbound.Answered(), a.Unanswered, a.TalkSeconds()))
		}
		want := []string{
			"Asha Rao +919311122233 of sales, support in Sales: 2 answered, 1 unanswered, 120 s",
			"Neil D'Souza +919311122233 of support in Sales: 1 answered, 0 unanswered, 10 s",
			"Asha Rao (2) +919000000001 of sales in : 1 answered, 0 unanswered, 5 s",
			"Ravi +919000000002 of sales in : 0 answered, 0 unanswered, 0 s",
			"Zoë  of  in Sales: 0 answered, 0 unanswered, 0 s",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	// The same input gives the same files.
	var sums [2][]string
	for i, in := range []*Input{in, again} {
		files, _, err := BuildFiles(t.Context(), in, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			sums[i] = append(sums[i], fmt.Sprintf("%s %x", file.Name, file.SHA256))
			if text, err := os.ReadFile(file.Path); err != nil || len(text) == 0 {
				t.Error(file.Name, err)
			}
		}
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" {
		t.Error(diff)
	}
}

// A report of some calls lists those whom they could be of, and without a roster
// nobody.
func TestColleagues(t *testing.T) {
	t.Parallel()
	want := []call.Colleague{{Agent: call.Agent{Name: "Asha Rao", Known: true}, Group: "Billing"}}
	if diff := cmp.Diff(want, peopleInput(t, call.Filter{Group: "Billing"}).Settings.People); diff != "" {
		t.Error(diff)
	}
	if in := busyInput(t); in.Settings.People != nil {
		t.Errorf("without a roster there are %v", in.Settings.People)
	}
}
