package config

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecipientsOfParts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, yaml, fault string
		want              []Recipient
	}{
		{"addresses", "recipients: [a@example.org, B <b@example.org>]", "",
			[]Recipient{{Address: "a@example.org"}, {Address: "B <b@example.org>"}}},
		{"one of a group", "recipients: [a@example.org, {address: b@example.org, match: {group: Sales}}]", "",
			[]Recipient{{Address: "a@example.org"}, {Address: "b@example.org", Match: RecipientMatch{Group: Names{"Sales"}}}}},
		{"of groups", "recipients: [{address: b@example.org, match: {group: [Sales, Billing], direction: inbound}}]", "",
			[]Recipient{{Address: "b@example.org", Match: RecipientMatch{Group: Names{"Sales", "Billing"}, Direction: "inbound"}}}},
		{"no address", "recipients: [{match: {group: Sales}}]", `recipients[0]: "" is not a mail address`, nil},
		{"an unknown key", "recipients: [{address: b@example.org, group: Sales}]", "unknown key", nil},
		{"an unknown field", "recipients: [{address: b@example.org, match: {team: Sales}}]", "unknown key", nil},
		{"twice", "recipients: [b@example.org, {address: B@example.org, match: {group: Sales}}]", "is already reports[0].recipients[0]", nil},
		{"another group", "match: {group: Billing}, recipients: [{address: b@example.org, match: {group: [Billing, Sales]}}]", `group[1]: the report is of group "Billing" alone`, nil},
		{"another direction", "match: {direction: inbound}, recipients: [{address: b@example.org, match: {direction: outbound}}]", `nothing of it is of "outbound"`, nil},
		{"no direction", "recipients: [{address: b@example.org, match: {direction: up}}]", "must be one of inbound, outbound", nil},
		{"no group", "recipients: [{address: b@example.org, match: {group: []}}]", "match.group: must not be empty", nil},
		{"no match at all", "recipients: [{address: b@example.org, match: }]", "match: selects no part", nil},
		{"no group beside a direction", "recipients: [{address: b@example.org, match: {group: , direction: inbound}}]", "match.group: must not be empty", nil},
		{"no group at all", "recipients: [{address: b@example.org, match: {group: null}}]", "leave it out if the recipient may see all", nil},
		{"an empty agent beside a group", "recipients: [{address: b@example.org, match: {group: Sales, agent: ''}}]", "match.agent: must not be empty", nil},
		{"no part", "recipients: [{address: b@example.org, match: {}}]", "match: selects no part", nil},
		{"an empty group", "recipients: [{address: b@example.org, match: {group: ['']}}]", "must not be empty", nil},
	} {
		c, err := Load(Options{File: writeFile(t, FileName, "reports: [{name: daily, "+tt.yaml+"}]\n"), Environ: environment()})
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, c.Reports[0].Recipients); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		// What is printed is read as the same.
		var printed bytes.Buffer
		if err := c.Print(&printed); err != nil {
			t.Fatal(err)
		}
		again, err := Load(Options{File: writeFile(t, FileName, printed.String()), Environ: environment()})
		if err != nil {
			t.Fatalf("%s: %v in\n%s", tt.name, err, printed.String())
		}
		if diff := cmp.Diff(tt.want, again.Reports[0].Recipients); diff != "" {
			t.Errorf("%s, printed and read again: %s", tt.name, diff)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"5%": "5%", "0%": "0%", "2.5 %": "2.5%", "7%": "7%", "1000%": "1000%", "never": "never",
		"5": "", "0.05": "", "-5%": "", "1001%": "", "%": "", "5%%": "", "1e2%": "", "off": "", "NaN%": "",
	} {
		var s Share
		err := s.UnmarshalText([]byte(text))
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "a percentage such as 5%") {
				t.Errorf("%q: %v, %v", text, s, err)
			}
			continue
		}
		if err != nil || s.String() != want {
			t.Errorf("%q: %q, %v", text, s, err)
		}
	}
}
