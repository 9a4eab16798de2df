package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Agent is a person who answers calls, known to the providers by ids, numbers
// and names. The person is found by the extension, else by the number, else by
// the name of a call's agent, also of calls that are stored already.
type Agent struct {
	// Name is what people call the agent. Required, unique.
	Name string `yaml:"name"`

	// Group is the group of those of the agent's calls of which the reports name
	// none. Default empty: they are of no group. Danger: who is limited to this
	// group sees them.
	Group string `yaml:"group"`

	// TeleCMI are the agent's extensions at TeleCMI, without the app id. Default
	// none. Each belongs to one agent.
	TeleCMI []string `yaml:"telecmi"`

	// Numbers are the agent's phone numbers, E.164 with +. Default none. Each
	// belongs to one agent.
	Numbers []string `yaml:"numbers"`

	// Names are how providers spell the agent's name, where that differs from
	// Name; of A to Z the case does not count. Default none. Each belongs to one
	// agent.
	Names []string `yaml:"names"`
}

// e164 is a number as ITU-T E.164 writes it: at most 15 digits after the +.
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)

// withAppID is an extension as TeleCMI sends it; calls have it without.
var withAppID = regexp.MustCompile(`^[0-9]+_[0-9]+$`)

func checkAgents(l *loader, agents []Agent) {
	names := make(map[string]string)
	telecmi := make(map[string]string)
	numbers := make(map[string]string)
	for i, a := range agents {
		at := fmt.Sprintf("agents[%d]", i)
		if l.require(at, "name", a.Name) {
			l.uniqueName(names, at+".name", a.Name)
		}
		for j, name := range a.Names {
			at := fmt.Sprintf("%s.names[%d]", at, j)
			if strings.TrimSpace(name) == "" {
				l.fault(at, "must not be empty")
			}
			l.uniqueName(names, at, name)
		}
		for j, id := range a.TeleCMI {
			at := fmt.Sprintf("%s.telecmi[%d]", at, j)
			switch {
			case id == "":
				l.fault(at, "must not be empty")
			case withAppID.MatchString(id):
				l.fault(at, "%s must be without the app id, as in 203", quote([]byte(id)))
			}
			l.unique(telecmi, at, id)
		}
		for j, number := range a.Numbers {
			at := fmt.Sprintf("%s.numbers[%d]", at, j)
			if !e164.MatchString(number) {
				l.fault(at, "%s is not a number such as +919311122233",
					quote([]byte(number)))
			}
			l.unique(numbers, at, number)
		}
	}
}

// uniqueName notes a name that another agent has, in whatever case.
func (l *loader) uniqueName(seen map[string]string, at, name string) {
	folded := strings.ToLower(name)
	if other, taken := seen[folded]; taken {
		l.fault(at, "%s is already %s", quote([]byte(name)), other)
		return
	}
	seen[folded] = at
}
