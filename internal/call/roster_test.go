package call

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testRoster() *Roster {
	return NewRoster([]Person{
		{Name: "Asha Rao", Group: "Billing", TeleCMI: []string{"203"}, Numbers: []string{"+919311122233", "+919311122234"}, Names: []string{"Asha R."}},
		{Name: "Neil D'Souza", Group: "Sales", TeleCMI: []string{"204"}, Numbers: []string{"+919820012345"}},
		{Name: "Zoë", Names: []string{"Zoe F"}},
	}, []Member{
		{Account: "sales", Number: "+919800000001", Name: "Ravi"},
		{Account: "sales", Number: "+919800000002", Name: "ZOE F"},
		{Account: "sales", Number: "+919311122233", Name: "Reception"},
		{Account: "other", Number: "+919800000001", Name: "Somebody Else"},
	})
}

func TestResolve(t *testing.T) {
	t.Parallel()
	r := testRoster()
	for name, tt := range map[string]struct {
		provider Provider
		agent    Agent
		want     Agent
	}{
		"nobody":                              {CallerDesk, Agent{}, Agent{}},
		"by extension":                        {TeleCMI, Agent{ID: "203"}, Agent{ID: "203", Name: "Asha Rao", Known: true}},
		"an extension elsewhere is another's": {CallerDesk, Agent{ID: "203"}, Agent{ID: "203"}},
		"by number": {CallerDesk, Agent{Name: "A. Rao", Number: "+919311122234"},
			Agent{Name: "Asha Rao", Number: "+919311122234", Known: true}},
		"by the name that the provider has": {CallerDesk, Agent{Name: "ASHA R.", Number: "+919000000000"},
			Agent{Name: "Asha Rao", Number: "+919000000000", Known: true}},
		"by name": {CallerDesk, Agent{Name: "asha rao"}, Agent{Name: "Asha Rao", Known: true}},
		"extension before number": {TeleCMI, Agent{ID: "204", Number: "+919311122233"},
			Agent{ID: "204", Number: "+919311122233", Name: "Neil D'Souza", Known: true}},
		"number before name": {CallerDesk, Agent{Name: "Asha Rao", Number: "+919820012345"},
			Agent{Name: "Neil D'Souza", Number: "+919820012345", Known: true}},
		"unknown extension, known number": {TeleCMI, Agent{ID: "299", Number: "+919820012345"},
			Agent{ID: "299", Number: "+919820012345", Name: "Neil D'Souza", Known: true}},
		"a stranger":                    {TeleCMI, Agent{ID: "299", Name: "Guest"}, Agent{ID: "299", Name: "Guest"}},
		"a member":                      {CallerDesk, Agent{Number: "+919800000001"}, Agent{Number: "+919800000001", Name: "Ravi"}},
		"a member has a name already":   {CallerDesk, Agent{Number: "+919800000001", Name: "Ravi K"}, Agent{Number: "+919800000001", Name: "Ravi K"}},
		"a member who is configured":    {CallerDesk, Agent{Number: "+919800000002"}, Agent{Number: "+919800000002", Name: "Zoë", Known: true}},
		"configuration before the list": {CallerDesk, Agent{Number: "+919311122233"}, Agent{Number: "+919311122233", Name: "Asha Rao", Known: true}},
		"case counts beyond ASCII":      {CallerDesk, Agent{Name: "ZOË"}, Agent{Name: "ZOË"}},
		"case does not count in ASCII":  {CallerDesk, Agent{Name: "zoë"}, Agent{Name: "Zoë", Known: true}},
	} {
		if diff := cmp.Diff(tt.want, r.Resolve("sales", tt.provider, tt.agent)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := r.Resolve("other", CallerDesk, Agent{Number: "+919800000001"}); got.Name != "Somebody Else" {
		t.Errorf("on another account it is %+v", got)
	}
	if got := NewRoster(nil, nil).Resolve("sales", TeleCMI, Agent{ID: "203"}); got != (Agent{ID: "203"}) {
		t.Errorf("without a roster it is %+v", got)
	}
}

// TestWho: whoever is meant is called as the calls are.
func TestWho(t *testing.T) {
	t.Parallel()
	r := testRoster()
	for who, want := range map[string]string{
		"ASHA RAO": "Asha Rao", "asha r.": "Asha Rao", "203": "Asha Rao", "+919311122234": "Asha Rao",
		"204": "Neil D'Souza", "zoe f": "Zoë", "ravi": "Ravi", "+919800000001": "Ravi", "somebody else": "Somebody Else",
		"reception": "Asha Rao", "+919800000002": "Zoë", // on a list by another name
		"Asha": "", "299": "", "+919800000003": "",
	} {
		if got := r.Who(who); got != want {
			t.Errorf("%s is %q, want %q", who, got, want)
		}
	}
}

// TestNameCalls: a group that the reports name stays, whoever the agent is.
func TestNameCalls(t *testing.T) {
	t.Parallel()
	r := testRoster()
	offers := []Agent{{ID: "204"}, {ID: "299"}}
	c := Call{Account: "support", Provider: TeleCMI, Agent: Agent{ID: "203"}, Offers: offers}
	r.Name(&c)
	want := Call{Account: "support", Provider: TeleCMI, Group: "Billing", Agent: Agent{ID: "203", Name: "Asha Rao", Known: true},
		Offers: []Agent{{ID: "204", Name: "Neil D'Souza", Known: true}, {ID: "299"}}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	c = Call{Account: "support", Provider: TeleCMI, Agent: Agent{ID: "203"}, Group: "Sales"}
	if r.Name(&c); c.Group != "Sales" {
		t.Errorf("group is %s", c.Group)
	}
	l := LiveCall{Account: "sales", Agent: Agent{Number: "+919820012345"}}
	if r.NameLive(&l, CallerDesk); l.Agent.Name != "Neil D'Souza" || l.Group != "Sales" {
		t.Errorf("live call is %+v", l)
	}
}

func TestColleagues(t *testing.T) {
	t.Parallel()
	r := testRoster()
	const asha, neil, zoe, ravi, other = "Asha Rao in Billing", "Neil D'Souza in Sales", "Zoë in ", "Ravi of sales in ", "Somebody Else of other in "
	for name, tt := range map[string]struct {
		filter Filter
		want   []string
	}{
		"of all":         {Filter{}, []string{asha, neil, zoe, other, ravi}},
		"of a group":     {Filter{Group: "Sales"}, []string{neil}},
		"of a direction": {Filter{Direction: Inbound, Group: "Billing"}, []string{asha}},
		"of a person":    {Filter{Agent: "asha r."}, []string{asha}},
		"of a member":    {Filter{Agent: "RAVI"}, []string{ravi}},
		"of an id":       {Filter{Agent: "203"}, nil},
		"of an account":  {Filter{Account: "sales"}, []string{asha, zoe, ravi}},
		"but an account": {Filter{NotAccounts: []string{"other"}}, []string{asha, neil, zoe, ravi}},
		"of a campaign":  {Filter{Campaign: "7"}, nil},
		"of a number":    {Filter{Number: "7"}, nil},
	} {
		got := map[string]bool{}
		for _, c := range r.Colleagues(tt.filter) {
			where := ""
			if !c.Known {
				where = " of " + c.Account
			}
			got[c.Name+where+" in "+c.Group] = true
		}
		want := map[string]bool{}
		for _, w := range tt.want {
			want[w] = true
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) != len(r.Colleagues(tt.filter)) {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
