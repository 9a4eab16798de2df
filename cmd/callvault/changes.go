package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"callvault/internal/call"
)

// changes are the calls that a command changes, or would change.
type changes struct {
	// Changed counts all of them, Calls lists the first. Of those that are not
	// listed one that several lots change is counted for each.
	Changed int               `json:"changed"`
	Calls   []call.CallChange `json:"calls"`

	at map[[2]string]int // by account and call key
}

const (
	// maxListed bounds what is listed in JSON, and so the memory, maxShown what
	// is shown to people.
	maxListed = 10_000
	maxShown  = 50
)

// note takes in what one lot of deliveries changed. A call that another lot
// changed before is listed once, from its first state to its last.
func (c *changes) note(list []call.CallChange) {
	if c.at == nil {
		c.at = map[[2]string]int{}
	}
	for _, one := range list {
		k := [2]string{one.Account, one.Key}
		i, known := c.at[k]
		if known {
			c.Calls[i].Changes.Then(one.Changes)
			continue
		}
		if c.Changed++; len(c.Calls) < maxListed {
			c.at[k] = len(c.Calls)
			c.Calls = append(c.Calls, one)
		}
	}
}

// write shows the changes to people.
func (c *changes) write(w io.Writer) {
	for i := range c.Calls[:min(len(c.Calls), maxShown)] {
		one := &c.Calls[i]
		what := "changed"
		if one.ID == "" {
			what = "new    "
		}
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(one.Changes)) {
			values := one.Changes[name]
			if one.ID == "" {
				fields = append(fields, name+" "+shown(values[1]))
			} else {
				fields = append(fields, name+" "+shown(values[0])+" → "+shown(values[1]))
			}
		}
		fmt.Fprintf(w, "%s  %s %s: %s\n", what, one.Account, one.Key, strings.Join(fields, ", "))
	}
	if c.Changed > maxShown {
		fmt.Fprintf(w, "and %d more (--json lists the first %d)\n", c.Changed-maxShown, maxListed)
	}
}

// shown is a value as people read it on a line.
func shown(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(text)
}
