package config

import (
	"fmt"
	"regexp"
)

// Agent is a person who answers calls, known to the providers by ids and
// numbers. This version does not use it yet.
type Agent struct {
	// Name is what people call the agent. Required, unique.
	Name string `yaml:"name"`

	// Group is the agent's group. Default empty: what the call reports say.
	Group string `yaml:"group"`

	// TeleCMI are the agent's extensions at TeleCMI, without the app id. Default
	// none. Each belongs to one agent.
	TeleCMI []string `yaml:"telecmi"`

	// Numbers are the agent's phone numbers, E.164 with +. Default none. Each
	// belongs to one agent.
	Numbers []string `yaml:"numbers"`
}

// e164 is a number as ITU-T E.164 writes it: at most 15 digits after the +.
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{5,14}$`)

func checkAgents(l *loader, agents []Agent) {
	if len(agents) > 0 {
		l.notice("agents", "this version takes agents from what the call "+
			"reports say, and does not use this list yet")
	}
	names := make(map[string]string)
	telecmi := make(map[string]string)
	numbers := make(map[string]string)
	for i, a := range agents {
		at := fmt.Sprintf("agents[%d]", i)
		if l.require(at, "name", a.Name) {
			l.unique(names, at+".name", a.Name)
		}
		for j, id := range a.TeleCMI {
			at := fmt.Sprintf("%s.telecmi[%d]", at, j)
			if id == "" {
				l.fault(at, "must not be empty")
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
