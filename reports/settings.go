package reports

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// Settings are what a report was asked for. They are the first line of its
// frozen input.
type Settings struct {
	Report string `json:"report"`
	// Masked: customers' numbers are hidden in what is made of the input.
	Masked bool `json:"masked,omitempty"`
	// Whole is the report of which this is a part for some recipients; empty: this
	// is the whole.
	Whole string    `json:"whole,omitempty"`
	Kind  Kind      `json:"kind"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Zone  string    `json:"zone"`
	// AsOf is the moment whose knowledge the report shows.
	AsOf     time.Time `json:"as_of"`
	Revision int       `json:"revision"`
	Formats  []Format  `json:"formats"`
	Rules
	PublicURL string `json:"public_url,omitempty"`
	Version   string `json:"version"`
	// Log is the audit log as it was when the input was frozen; nil if it was
	// not sealed.
	Log *SealedLog `json:"log,omitempty"`
	// Revises is set from the second revision on.
	Revises *Revises `json:"revises,omitempty"`
}

// Rules are what is configured of which calls a report is of, whose they are and
// how they are counted. A revision keeps to those of the revision before.
type Rules struct {
	// Match says in words which calls are reported; empty means all.
	Match string `json:"match,omitempty"`
	// Filter selects them, without bounds of time, and Roster knows the people who
	// are meant by it, and who gives calls their names and groups; nil in the
	// inputs of older programs.
	Filter *call.Filter `json:"filter,omitempty"`
	Roster *call.Roster `json:"roster,omitempty"`
	// Formula, Within and ShortAbandon (seconds) define the service level.
	Formula        Formula          `json:"formula"`
	Within         int              `json:"within_seconds"`
	ShortAbandon   int              `json:"short_abandon_seconds"`
	PermittedHours []PermittedHours `json:"permitted_hours,omitempty"`
	// People are listed also without calls.
	People []call.Colleague `json:"people,omitempty"`
}

// rules are those of today's configuration.
func (r *Reporter) rules(report *Report) Rules {
	filter, roster := report.Match, r.roster()
	return Rules{
		Match: describe(&filter), Filter: &filter, Roster: roster,
		Formula:        report.ServiceLevel.formula(),
		Within:         int(report.ServiceLevel.Within / time.Second),
		ShortAbandon:   int(report.ServiceLevel.ShortAbandon / time.Second),
		PermittedHours: report.PermittedHours,
		People:         roster.Colleagues(filter),
	}
}

// kept are the rules as an input has them, by which it is revised. What the input
// of an older program does not tell is that of now.
func (was Rules) kept(now Rules) Rules {
	if was.Filter == nil || was.Roster == nil {
		was.Match, was.Filter, was.Roster, was.People = now.Match, now.Filter, now.Roster, now.People
	}
	return was
}

// same reports whether two rules are.
func (was Rules) same(now Rules) bool {
	a, errA := json.Marshal(was)
	b, errB := json.Marshal(now)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// looksSame reports whether two rules make the same of the same rows: what else a
// roster does than to say whom permitted hours mean shows in these.
func (was Rules) looksSame(now Rules) bool {
	people := now.permittedPeople()
	now.Roster = was.Roster
	return was.same(now) && slices.Equal(was.permittedPeople(), people)
}

// soon are the waits that the service level and short abandons go by.
func (s *Settings) soon() call.WaitBounds {
	return call.WaitBounds{Answered: s.Within, Abandoned: s.ShortAbandon}
}

// SealedLog is a signed head of the audit log, and the fingerprint of the key
// that signed it. Whoever keeps the report can show later what the log was.
type SealedLog struct {
	audit.Seal
	Fingerprint string `json:"fingerprint"`
}
