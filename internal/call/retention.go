package call

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// Retention says how long audio is kept: of Rules the first that matches a call
// decides. Audio of calls that no rule matches is kept for ever.
type Retention struct {
	Rules []RetentionRule
	// Zones are the accounts' time zones, by whose calendar terms are counted;
	// UTC for an account that is not among them.
	Zones map[string]*time.Location
	// Locks: the vault holds what is promised, and wants a date for it. What a
	// rule keeps for ever gets one that is far away, and renewed.
	Locks bool
	// Terms are those of what is not audio, as people read them: a change of them
	// is a change of the rules, but judges no recording otherwise.
	Terms string
}

// RetentionRule is how long the audio of some calls is kept.
type RetentionRule struct {
	// Name is the rule as people read it, such as "group Sales: 7y". It stands
	// in the row of every recording that the rule decides on, and says all of
	// the rule, for the rule may be gone when somebody asks.
	Name  string
	Match Filter
	// End is when the term that begins at start is over, by the calendar of
	// start's zone; the zero time if it never is.
	End func(start time.Time) time.Time
}

// Bounds of the lock on what is kept for ever: so long is promised, and
// promised anew when no more than renewPromise is left.
const (
	foreverPromiseYears = 10
	renewPromiseYears   = 9
)

// firstBelievable is the earliest start that is believed. A clock that was
// never set says 1970, and must not have what was said yesterday deleted.
var firstBelievable = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Judgement is what the rules say of one recording.
type Judgement struct {
	// Rule is the name of the rule; empty if none matches.
	Rule string
	// RuleUntil is when its term is over; zero if never.
	RuleUntil time.Time
	// RetainUntil is the date promised: the recording is not deleted before,
	// whatever the rules say later, and a vault that locks holds it until then.
	// Zero if none is promised. It never becomes earlier.
	RetainUntil time.Time
}

// DueAt is when the recording may be deleted: when what was promised is over,
// and what the rules say, too. Zero: never.
func (j Judgement) DueAt() time.Time {
	if j.RuleUntil.IsZero() || j.RuleUntil.After(j.RetainUntil) {
		return j.RuleUntil
	}
	return j.RetainUntil
}

// Judge says what the rules say of a recording at a moment. rule is the index
// of the first rule that matches its call, -1 if none does. The term begins
// with the call, or, where its start is not known, when the recording was first
// heard of. promised is what was promised already.
func (r Retention) Judge(rule int, account string, startedAt, heardOf, promised, now time.Time) Judgement {
	if rule < 0 || rule >= len(r.Rules) {
		return Judgement{RetainUntil: promised}
	}
	start := startedAt
	if start.Before(firstBelievable) {
		start = heardOf
	}
	zone := r.Zones[account]
	if zone == nil {
		zone = time.UTC
	}
	j := Judgement{Rule: r.Rules[rule].Name, RetainUntil: promised}
	end := r.Rules[rule].End(start.In(zone))
	if !end.IsZero() {
		j.RuleUntil = end.UTC()
		if j.RuleUntil.After(promised) {
			j.RetainUntil = j.RuleUntil
		}
		return j
	}
	if r.Locks && promised.Before(now.AddDate(renewPromiseYears, 6, 0)) {
		j.RetainUntil = now.AddDate(foreverPromiseYears, 0, 0).UTC().Truncate(24 * time.Hour)
	}
	return j
}

// Filters are what the rules match, in their order.
func (r Retention) Filters() []Filter {
	filters := make([]Filter, len(r.Rules))
	for i, rule := range r.Rules {
		filters[i] = rule.Match
	}
	return filters
}

// Text is all that is kept for a time, as people read it, one rule a line.
func (r Retention) Text() string { return strings.Join(append(r.Names(), r.Terms), "\n") }

// Names are the rules as people read them, in their order.
func (r Retention) Names() []string {
	var names []string
	for _, rule := range r.Rules {
		names = append(names, rule.Name)
	}
	return names
}

// RetentionStanding is how retention stands: by which rules, since when, and
// when the daily job comes.
type RetentionStanding struct {
	// Rules are those for audio as people read them, the first that matches
	// decides; Terms are those of what is not audio.
	Rules []string
	Terms string
	// Since is when the daily job first saw them; zero: not yet.
	Since time.Time
	// WaitsUntil: because they are new, the job deletes nothing before; zero: it
	// does not wait.
	WaitsUntil time.Time
	// Job is the daily job; its NextAt is zero if there is none.
	Job JobRun
}

// ID is another one whenever the rules might judge otherwise: when they are
// changed, when other people are found by an agent's name, and, if dates are
// renewed, in each year. It is short and never empty.
func (r Retention) ID(now time.Time) string {
	zones := map[string]string{}
	for account, zone := range r.Zones {
		zones[account] = zone.String()
	}
	year := 0
	if r.Locks {
		year = now.UTC().Year()
	}
	text, err := json.Marshal(struct {
		Names   []string          `json:"names"`
		Filters []Filter          `json:"filters"`
		Zones   map[string]string `json:"zones"`
		Year    int               `json:"year"`
	}{r.Names(), r.Filters(), zones, year})
	if err != nil { // it is made of texts and numbers
		return "0"
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// Judging is a recording that today's rules have not judged, or not since its
// call changed.
type Judging struct {
	ID, CallID, Account, ObjectKey string
	// Rule is the index of the rule that matches its call; -1 if none does.
	Rule int
	// StartedAt is the start of its call, zero if unknown; CreatedAt is when
	// the recording was first heard of.
	StartedAt, CreatedAt time.Time
	// Was is what was said of it before.
	Was Judgement
	// Size is in bytes.
	Size int64
	// HeldBy is the name of a hold that keeps its call; empty if none does.
	HeldBy string
	// Seen says for which state of the call Rule was found.
	Seen string
}

// Judged is a recording with what is to be said of it.
type Judged struct {
	Judging
	Judgement
}

// Expiring is a recording whose retention is over and whose object is to go.
type Expiring struct {
	Recording
	// Held: a hold has come over it after its deletion had begun.
	Held bool
}

// Expiry is what became of an Expiring.
type Expiry struct {
	Expiring
	// KeptBy says for people why the object is still there; empty: it is gone.
	KeptBy string
	// KeptUntil is when it is to be tried again.
	KeptUntil time.Time
}

// Place is where work that goes through rows in their order has come to; the
// zero Place is the beginning.
type Place struct {
	// At is the order's first part, Unix milliseconds, and ID its second.
	At int64
	ID string
}

// Cutoff is the last moment from which on a term, of which end says when it is
// over, is over at now; zero if it never is. It may be up to a day too early,
// for the calendar cannot be counted backwards.
func Cutoff(end func(start time.Time) time.Time, now time.Time) time.Time {
	first := end(now)
	if first.IsZero() {
		return time.Time{}
	}
	cutoff := now.Add(-first.Sub(now))
	for end(cutoff).After(now) {
		cutoff = cutoff.Add(-24 * time.Hour)
	}
	return cutoff
}

// JobRun is what one run of a background job came to.
type JobRun struct {
	// RunningSince is zero if nobody is at it now.
	RunningSince time.Time
	NextAt       time.Time
	EndedAt      time.Time
	// Result is the job's own, as JSON; empty if none has ended yet.
	Result []byte
	// Rules are the rules as last seen, and RulesSince since when.
	Rules      string
	RulesSince time.Time
}
