package audit_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"callvault/internal/audit"
)

// TestActionsAreDocumented: who reads the log finds each action in its
// documentation, as `noun.verb` or, behind its noun, as `.verb`.
func TestActionsAreDocumented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("actions.go")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../../docs/compliance.md")
	if err != nil {
		t.Fatal(err)
	}
	actions := regexp.MustCompile(`Action = "([a-z]+)(\.[a-z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(actions) < 50 {
		t.Fatalf("only %d actions are found", len(actions))
	}
	if known := audit.Actions(); len(known) != len(actions) {
		t.Errorf("Actions lists %d of %d actions", len(known), len(actions))
	}
	rows := strings.Split(string(docs), "\n")
	for _, a := range actions {
		noun, verb, found := a[1], a[2], false
		if !audit.Action(noun+verb).IsKnown() || !audit.Action(noun+".").IsKnown() {
			t.Errorf("Actions lacks %s%s", noun, verb)
		}
		for _, row := range rows {
			what, _, _ := strings.Cut(strings.TrimPrefix(row, "|"), "|")
			found = found || strings.Contains(what, "`"+noun+verb+"`") || strings.Contains(what, "`"+noun+".") && strings.Contains(what, "`"+verb+"`")
		}
		if !found {
			t.Errorf("docs/compliance.md lacks %s%s", noun, verb)
		}
	}
}
