package reports

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// regrouped is an office with a report of group Billing, made when Asha was of
// it, who then went to Sales; and thresholds are others by now.
func regrouped(t *testing.T) (*office, *Reporter) {
	t.Helper()
	o := newOffice(t)
	o.store.calls = []call.CallWithRecordings{
		{Call: call.Call{ID: "asha", Account: "support", Provider: call.TeleCMI, Direction: call.Inbound, Outcome: call.Answered,
			Agent: call.Agent{ID: "203"}, WaitSeconds: new(15), StartedAt: at("2026-11-21 10:00:00"), LegsCount: 1}},
		{Call: call.Call{ID: "neil", Account: "support", Provider: call.TeleCMI, Direction: call.Inbound, Outcome: call.Answered,
			Agent: call.Agent{ID: "204"}, StartedAt: at("2026-11-21 11:00:00"), LegsCount: 1}},
	}
	report := dailyReport("ops@example.org")
	report.Formats = []Format{CSV}
	report.Match = call.Filter{Group: "Billing"}
	r := o.reporterOf(t, MailOptions{}, report)
	people := func(asha string) func() *call.Roster {
		roster := call.NewRoster([]call.Person{{Name: "Asha Rao", Group: asha, TeleCMI: []string{"203"}}, {Name: "Neil", Group: "Sales", TeleCMI: []string{"204"}}}, nil)
		return func() *call.Roster { return roster }
	}
	r.roster = people("Billing")
	r.Look(t.Context())
	if got := o.tellOf(t, r, 1); !slices.Equal(got, []string{"asha of Asha Rao in Billing"}) {
		t.Fatalf("the report has %v", got)
	}
	r.roster = people("Sales")
	r.reports[0].ServiceLevel.Within = 10e9
	o.clock.set(at("2026-11-23 07:30:00"))
	return o, r
}

// tellOf are the calls of the first run, which has a revision.
func (o *office) tellOf(t *testing.T, r *Reporter, revision int) []string {
	t.Helper()
	run := o.firstRun()
	if run.Revision != revision {
		t.Fatalf("revision %d, want %d:\n%s", run.Revision, revision, o.log.text.String())
	}
	in, err := r.currentInput(t.Context(), run, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for c, err := range in.rows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s of %s in %s", c.ID, c.Agent.Name, c.Group))
	}
	return all
}

// A configuration that changes makes no revision. One that late reports make
// counts by what the report was made with, in every other respect, too.
func TestRevisionKeepsRules(t *testing.T) {
	t.Parallel()
	o, r := regrouped(t)
	o.tell("asha", func(*call.CallWithRecordings) {}) // told again
	r.Look(t.Context())
	o.tellOf(t, r, 1)

	o.tell("late", func(c *call.CallWithRecordings) {
		c.Provider, c.Outcome, c.Agent, c.WaitSeconds = call.TeleCMI, call.Answered, call.Agent{ID: "203"}, new(15)
	})
	o.clock.set(at("2026-11-24 07:30:00"))
	r.Look(t.Context())
	if diff := cmp.Diff([]string{"asha of Asha Rao in Billing", "late of Asha Rao in Billing"}, o.tellOf(t, r, 2)); diff != "" {
		t.Error(diff)
	}
	in, err := r.currentInput(t.Context(), o.firstRun(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if v := in.Settings.Revises; v.Added != 1 || v.Changed != 0 || v.Gone != 0 || in.Settings.Within != 20 || v.Rules != rulesKept {
		t.Errorf("%+v, within %d s", v, in.Settings.Within)
	}
	// The next revision keeps to the same, though it is of the second.
	o.tell("later", func(c *call.CallWithRecordings) { c.Provider, c.Agent = call.TeleCMI, call.Agent{ID: "203"} })
	o.clock.set(at("2026-11-25 07:30:00"))
	r.Look(t.Context())
	if got := o.tellOf(t, r, 3); len(got) != 3 {
		t.Errorf("the third revision has %v", got)
	}
}

// By hand the rules of now can be asked for, and the report says so.
func TestRevisionByRulesOfNow(t *testing.T) {
	t.Parallel()
	o, r := regrouped(t)
	day := at("2026-11-21 00:00:00")
	kept, err := r.Build(t.Context(), "daily", day, BuildOptions{Revise: true})
	if err != nil || kept.Revised || !kept.Reconfigured {
		t.Fatalf("%+v, %v", kept, err)
	}
	anew, err := r.Build(t.Context(), "daily", day, BuildOptions{Revise: true, RulesOfNow: true})
	if err != nil || !anew.Revised {
		t.Fatalf("%+v, %v", anew, err)
	}
	if got := o.tellOf(t, r, 2); len(got) != 0 {
		t.Errorf("there is nobody in Billing by now, and the report has %v", got)
	}
	in, err := r.currentInput(t.Context(), o.firstRun(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := measure(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, d := range f.definitions() {
		if d.word == "Revision" {
			said = d.meaning
		}
	}
	if in.Settings.Within != 10 || !strings.Contains(said, "those configured when this revision was made, by hand") {
		t.Errorf("within %d s; %q", in.Settings.Within, said)
	}
	if text := o.mailText(o.firstRun(), 2); !strings.Contains(text, "It was revised by hand, by the agents, groups, match") {
		t.Errorf("the mail does not say why:\n%s", text)
	}
	again, err := r.Build(t.Context(), "daily", day, BuildOptions{Revise: true, RulesOfNow: true})
	if err != nil || again.Revised || again.Reconfigured {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

// A roster that differs in nothing but in whom a rule of permitted hours means
// makes another report of the same rows.
func TestRosterOfPermittedHours(t *testing.T) {
	t.Parallel()
	rules := func(asha, neil []string) Rules {
		return Rules{PermittedHours: []PermittedHours{{Agent: "AR", Hours: hours(t, "daily 09:00-18:00")}},
			Roster: call.NewRoster([]call.Person{{Name: "Asha Rao", Names: asha}, {Name: "Neil", Names: neil}}, nil)}
	}
	was := rules([]string{"AR"}, nil)
	if now := rules([]string{"AR"}, []string{"N"}); was.same(now) || !was.looksSame(now) {
		t.Error("another name of somebody else makes another report")
	}
	if was.looksSame(rules(nil, []string{"AR"})) {
		t.Error("the rule is about somebody else, and the report is to be the same")
	}
}

// An input of an older program, which does not tell whom a group has, is revised
// by the people of now, and by its own thresholds.
func TestRulesOfOlderInput(t *testing.T) {
	t.Parallel()
	now := Rules{Match: "group Billing", Filter: &call.Filter{Group: "Billing"}, Roster: call.NewRoster(nil, nil), Within: 10}
	got := Rules{Match: "group Sales", Within: 20}.kept(now)
	if got.Within != 20 || got.Filter != now.Filter || got.Roster != now.Roster || got.Match != now.Match {
		t.Errorf("%+v", got)
	}
}
