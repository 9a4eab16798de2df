package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Retention says how long things are kept. What is not said is kept for ever.
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

	// Reports is how long report files and their frozen inputs are kept, from the
	// end of their period. Default forever.
	Reports Term `yaml:"reports"`

	// Journal is how long the journal in the vault holds requests as they
	// arrived; the audit log in it is kept for ever. Default forever. Never
	// shorter than Calls and Deliveries: what is still kept must be in it.
	Journal Term `yaml:"journal"`

	// AllowOver10y permits terms over ten years. Default false. Danger: under a
	// compliance lock nobody, not even the store's owner, can delete earlier.
	AllowOver10y bool `yaml:"allow_over_10y"`

	// Schedule is when what is due is deleted, a cron expression; of all nodes
	// one does it. Default "30 1 * * *". Empty: by hand only, with callvault
	// retention apply.
	Schedule string `yaml:"schedule"`

	// TimeZone is where Schedule is read. Default Asia/Kolkata.
	TimeZone Zone `yaml:"time_zone"`

	// WaitAfterChange is how long nothing is deleted by schedule after the rules
	// were changed, also at the first start: time to look at callvault retention
	// plan. 0 to 8760h; default 168h.
	WaitAfterChange time.Duration `yaml:"wait_after_change"`

	// PerSecond is how many objects are deleted in a second at most, 1 to 10000.
	// Default 50.
	PerSecond int `yaml:"per_second"`
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

// String is what it selects, as people read it.
func (m Match) String() string {
	if m.IsAll() {
		return "all calls"
	}
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"account", m.Account}, {"", m.Direction}, {"group", m.Group},
		{"agent", m.Agent}, {"number", m.Number}, {"campaign", m.Campaign},
	} {
		if part.value != "" {
			parts = append(parts, strings.TrimSpace(part.name+" "+part.value))
		}
	}
	return strings.Join(parts, ", ")
}

// String is the rule as people read it, such as "inbound, group Sales: 7y".
func (r RetentionRule) String() string {
	return r.Match.String() + ": " + r.Keep.String()
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
	if r.Schedule != "" {
		if reason := scheduleFault(r.Schedule); reason != "" {
			l.fault("retention.schedule", "%s", reason)
		}
	}
	within(l, "retention.wait_after_change", r.WaitAfterChange,
		0, 365*24*time.Hour)
	within(l, "retention.per_second", r.PerSecond, 1, 10_000)
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
	for _, kept := range []struct {
		key  string
		term Term
	}{{"retention.calls", r.Calls}, {"retention.deliveries", r.Deliveries}} {
		if r.Journal.CanEndBefore(kept.term) {
			l.fault("retention.journal", "%s is shorter than the %s of %s: a "+
				"database that is made again from the journal would lack what "+
				"is still kept", r.Journal, kept.term, kept.key)
		}
	}
	r.checkLength(l, "retention.calls", r.Calls)
	r.checkLength(l, "retention.deliveries", r.Deliveries)
	r.checkLength(l, "retention.reports", r.Reports)
	r.checkLength(l, "retention.journal", r.Journal)
}

func (r *Retention) checkLength(l *loader, at string, term Term) {
	if !r.AllowOver10y && (Term{Years: 10}).CanEndBefore(term) &&
		!term.IsForever() {
		l.fault(at, "%s is over ten years; if it is meant, set "+
			"retention.allow_over_10y", term)
	}
}
