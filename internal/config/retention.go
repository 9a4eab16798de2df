package config

import (
	"fmt"
	"slices"
)

// Retention says how long things are kept. What is not said is kept for ever.
// This version deletes nothing yet.
type Retention struct {
	// Recordings are the rules for audio; the first that matches a call decides,
	// counted from the call's start. Default none: for ever.
	Recordings []RetentionRule `yaml:"recordings"`

	// Calls is how long the facts of a call are kept. Default forever. Never
	// shorter than any audio's term.
	Calls Term `yaml:"calls"`

	// Deliveries is how long the requests are kept as they arrived. Default
	// forever. Danger: without them calls cannot be decoded again.
	Deliveries Term `yaml:"deliveries"`

	// Reports is how long report files are kept. Default forever.
	Reports Term `yaml:"reports"`

	// AllowOver10y permits terms over ten years. Default false. Danger: under a
	// compliance lock nobody, not even the store's owner, can delete earlier.
	AllowOver10y bool `yaml:"allow_over_10y"`
}

// RetentionRule is how long the audio of some calls is kept.
type RetentionRule struct {
	// Match selects calls. Default empty: all.
	Match Match `yaml:"match"`

	// Keep is the term, such as 7y, or forever. Required.
	Keep Term `yaml:"keep"`
}

// Match selects calls: those that agree with every field given.
type Match struct {
	// Account is an account's name. Default empty: all.
	Account string `yaml:"account,omitempty"`

	// Direction is inbound or outbound. Default empty: both.
	Direction string `yaml:"direction,omitempty"`

	// Group is the team or call group. Default empty: all.
	Group string `yaml:"group,omitempty"`

	// Agent is an agent's id, name or number. Default empty: all.
	Agent string `yaml:"agent,omitempty"`

	// Number is a number of the business or of the other side, compared by its
	// last digits. Default empty: all.
	Number string `yaml:"number,omitempty"`

	// Campaign is the provider's campaign id. Default empty: all.
	Campaign string `yaml:"campaign,omitempty"`
}

// IsAll tells whether every call matches.
func (m Match) IsAll() bool { return m == Match{} }

func (m Match) check(l *loader, at string, accounts []Account) {
	if m.Account != "" {
		var names []string
		for _, a := range accounts {
			if a.Name != "" && !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
		oneOf(l, at+".account", m.Account, names...)
	}
	if m.Direction != "" {
		oneOf(l, at+".direction", m.Direction, "inbound", "outbound")
	}
}

func (r *Retention) check(l *loader, accounts []Account) {
	if l.given("retention") {
		l.notice("retention", "this version deletes nothing yet")
	}
	// Until a rule matches every call, the calls that match none are kept for
	// ever, and so must be their facts.
	caughtAll := -1
	for i, rule := range r.Recordings {
		at := fmt.Sprintf("retention.recordings[%d]", i)
		rule.Match.check(l, at+".match", accounts)
		if caughtAll >= 0 {
			l.fault(at, "is never reached: retention.recordings[%d] "+
				"matches every call", caughtAll)
		} else if rule.Match.IsAll() {
			caughtAll = i
		}
		if !l.given(at + ".keep") {
			l.fault(at+".keep", "must be given, such as 7y or forever")
			continue
		}
		r.checkLength(l, at+".keep", rule.Keep)
		if r.Calls.CanEndBefore(rule.Keep) {
			l.fault("retention.calls", "%s is shorter than the audio's %s "+
				"(%s)", r.Calls, rule.Keep, at)
		}
	}
	if caughtAll < 0 && !r.Calls.IsForever() {
		l.fault("retention.calls", "%s is shorter than the audio's term: "+
			"audio that no rule of retention.recordings matches is kept for "+
			"ever; end the rules with one that has only keep", r.Calls)
	}
	r.checkLength(l, "retention.calls", r.Calls)
	r.checkLength(l, "retention.deliveries", r.Deliveries)
	r.checkLength(l, "retention.reports", r.Reports)
}

func (r *Retention) checkLength(l *loader, at string, term Term) {
	if !r.AllowOver10y && (Term{Years: 10}).CanEndBefore(term) &&
		!term.IsForever() {
		l.fault(at, "%s is over ten years; if it is meant, set "+
			"retention.allow_over_10y", term)
	}
}
