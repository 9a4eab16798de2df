package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestFindCallsOfPeople: an expanded filter finds exactly the calls whose agent
// the roster takes for the one asked for, with every mixture of ids, numbers
// and names, on both databases.
func TestFindCallsOfPeople(t *testing.T) {
	t.Parallel()
	roster := call.NewRoster([]call.Person{
		{Name: "Asha Rao", Group: "Billing", TeleCMI: []string{"203"}, Numbers: []string{"+919311122233"}, Names: []string{"Asha R."}},
		{Name: "Neil D'Souza", Group: "Sales", TeleCMI: []string{"204"}, Numbers: []string{"+919820012345"}},
		{Name: "Zoë", Group: "Billing"},
	}, []call.Member{
		{Account: "sales", Number: "+919800000001", Name: "Asha Iyer"},
		{Account: "sales", Number: "+919800000002", Name: "zoë"},
		{Account: "sales", Number: "+919311122233", Name: "Neil D'Souza"},
	})
	var legs []*call.Leg
	for _, provider := range []call.Provider{call.CallerDesk, call.TeleCMI} {
		for _, id := range []string{"", "203", "204", "299"} {
			for _, number := range []string{"", "+919311122233", "+919820012345", "+919800000001", "+919800000002", "+919800000003"} {
				for _, name := range []string{"", "Asha Rao", "ASHA R.", "Neil D'Souza", "Asha Iyer", "ZOË", "Zoë", "Asha"} {
					l := report(fmt.Sprintf("1.%d", len(legs)))
					l.Recordings = nil
					if provider == call.TeleCMI {
						l = guest(fmt.Sprintf("g%d", len(legs)))
					}
					l.Agent, l.Group = call.Agent{ID: id, Number: number, Name: name}, []string{"", "Billing", "Support"}[len(legs)%3]
					legs = append(legs, l)
				}
			}
		}
	}
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(legs...))
		var all []call.CallWithRecordings
		if err := s.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error {
			all = append(all, c)
			return nil
		}); err != nil || len(all) != len(legs) {
			t.Fatal(len(all), err)
		}
		named := func(text string, is func(name string) bool) (call.Filter, func(call.Call) bool) {
			return call.Filter{Agent: text}, func(c call.Call) bool {
				roster.Name(&c)
				return is(c.Agent.Name)
			}
		}
		equal := func(name string) func(string) bool { return func(n string) bool { return strings.EqualFold(n, name) } }
		check := func(what string, f call.Filter, is func(call.Call) bool) {
			t.Helper()
			var got, want []string
			for _, c := range all {
				if is(c.Call) {
					want = append(want, c.Key)
				}
			}
			err := s.EachCall(t.Context(), roster.Expand(f), func(c call.CallWithRecordings) error {
				got = append(got, c.Key)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
				t.Errorf("%s, %d calls: %s", what, len(want), diff)
			}
		}
		for _, name := range []string{"Asha Rao", "asha rao", "Neil D'Souza"} {
			f, is := named(name, equal(name))
			check(name, f, is)
		}
		f, is := named("Asha R.", equal("Asha Rao"))
		check("another spelling", f, is)
		f, is = named("Zoë", func(n string) bool { return n == "Zoë" })
		check("beyond ASCII", f, is)
		// Who is not configured is found as reported, or as the members' list has it.
		check("a member", call.Filter{Agent: "Asha Iyer"}, func(c call.Call) bool {
			return c.Agent.Name == "Asha Iyer" || roster.Resolve(c.Account, c.Provider, c.Agent).Name == "Asha Iyer"
		})
		check("an id", call.Filter{Agent: "203"}, func(c call.Call) bool { return c.Agent.ID == "203" })
		check("a beginning", call.Filter{Text: "asha"}, func(c call.Call) bool {
			return strings.HasPrefix(strings.ToLower(c.Agent.Name), "asha") ||
				strings.HasPrefix(roster.Resolve(c.Account, c.Provider, c.Agent).Name, "Asha")
		})
		check("a group", call.Filter{Group: "Billing"}, func(c call.Call) bool { roster.Name(&c); return c.Group == "Billing" })
		check("groups", call.Filter{Groups: []string{"Billing", "Sales"}}, func(c call.Call) bool {
			roster.Name(&c)
			return c.Group == "Billing" || c.Group == "Sales"
		})
		check("a group of one's own", call.Filter{Group: "Sales", Groups: []string{"Billing", "Sales"}, Agent: "Neil D'Souza"}, func(c call.Call) bool {
			roster.Name(&c)
			return c.Group == "Sales" && c.Agent.Name == "Neil D'Souza"
		})
	})
}
