package call

import (
	"fmt"
	"time"
)

// ReportKind is a kind of what providers post about calls.
type ReportKind string

// The kinds of reports.
const (
	// CallReport tells of a call, or a leg of one, that is over.
	CallReport ReportKind = "report"
	// LiveEvent tells how far a call is.
	LiveEvent ReportKind = "live"
)

// Aspect is what a Trait is about.
type Aspect string

// The aspects.
const (
	// AspectField is a field and the JSON type of its value.
	AspectField Aspect = "field"
	// AspectStatus is a status word and how it was understood.
	AspectStatus Aspect = "status"
	// AspectLimit says that there were more traits than are kept.
	AspectLimit Aspect = "limit"
)

// TypeText is the type of a value in a form or query, which has none of JSON's.
const TypeText = "text"

// StatusSense is how a status word was understood.
type StatusSense string

// The senses of status words.
const (
	StatusKnown StatusSense = "known"
	// StatusUnknown: it is not in the provider's vocabulary.
	StatusUnknown StatusSense = "unknown"
	// StatusContradicted: it is, and the times of its report say otherwise.
	StatusContradicted StatusSense = "contradicted"
)

// MaxTraits is how many traits are kept of one kind of an account's reports,
// beside documented fields: random names must not fill memory and table.
const MaxTraits = 500

// UnlistedName stands for all names and words that may hold personal data, and
// so are not kept.
const UnlistedName = "*"

// Trait is something that an account's reports of one kind have been seen to
// have. It never holds a value but a status word.
type Trait struct {
	Account string
	Report  ReportKind
	Aspect  Aspect
	// Name is the field's name or the status word; UnlistedName where that is
	// not to be shown.
	Name string
	// Type is a field's JSON type (string, number, boolean, object, array) or
	// TypeText; of a status word its StatusSense.
	Type string
}

// Sighting is a trait that was seen.
type Sighting struct {
	Aspect     Aspect
	Name, Type string
	// Documented: the provider says so itself, so it is never drift.
	Documented bool
	// Reports is in how many reports, since the last time that was told.
	Reports int64
}

// Sightings are what was seen of one account's reports of one kind.
type Sightings struct {
	Account string
	Report  ReportKind
	// Reports is how many came, since the last time that was told.
	Reports int64
	// At is when the last of them came.
	At     time.Time
	Traits []Sighting
}

// Change is what a trait means to who keeps watch on a provider.
type Change string

// The changes. All but the first two are drift.
const (
	// ChangeNone: documented by the provider, or no change in meaning.
	ChangeNone Change = "none"
	// ChangeBaseline: it came while the account's reports were being learned.
	ChangeBaseline Change = "baseline"
	ChangeNewField Change = "new_field"
	// ChangeType: a field that is known has a type that it never had.
	ChangeType Change = "changed_type"
	// ChangeUnknownStatus: the outcome of such calls is guessed.
	ChangeUnknownStatus Change = "unknown_status"
	// ChangeContradictedStatus: the times were believed, not the word.
	ChangeContradictedStatus Change = "contradicted_status"
	// ChangeTooMany: from here on new fields and words are not noted any more.
	ChangeTooMany Change = "too_many"
)

// Changes lists every change.
func Changes() []Change {
	return []Change{ChangeNone, ChangeBaseline, ChangeNewField, ChangeType,
		ChangeUnknownStatus, ChangeContradictedStatus, ChangeTooMany}
}

// IsDrift reports whether somebody should hear of the change.
func (c Change) IsDrift() bool { return c != ChangeNone && c != ChangeBaseline }

// The bounds of the time in which an account's reports are learned. Fields that
// a provider does not document come with the first reports, or with the first
// of a rare kind of call; neither is a change.
const (
	baselineReports = 100
	baselineLeast   = 24 * time.Hour
	baselineMost    = 7 * 24 * time.Hour
)

// InBaseline reports whether reports of one kind are still being learned: for
// a day at least, then until there have been 100, for a week at most.
func InBaseline(first, now time.Time, reports int64) bool {
	age := now.Sub(first)
	return age < baselineLeast || reports < baselineReports && age < baselineMost
}

// ChangeOf says what a trait means that was never seen before. others are the
// other types under which a field of this name has been seen.
func (s Sighting) ChangeOf(others []string, baseline bool) Change {
	switch {
	case s.Aspect == AspectLimit:
		return ChangeTooMany
	case s.Aspect == AspectStatus && s.Type == string(StatusUnknown):
		return ChangeUnknownStatus
	case s.Aspect == AspectStatus && s.Type == string(StatusContradicted):
		return ChangeContradictedStatus
	case s.Documented || s.Aspect == AspectStatus:
		return ChangeNone
	case baseline:
		return ChangeBaseline
	case len(others) == 0:
		return ChangeNewField
	case s.Type == TypeText:
		return ChangeNone // the hook was switched to forms
	}
	for _, other := range others {
		if other != TypeText {
			return ChangeType
		}
	}
	return ChangeNone // and back
}

// Drift is a trait as it is kept.
type Drift struct {
	ID string
	Trait
	Change              Change
	FirstSeen, LastSeen time.Time
	// Reports is in how many reports it was, some minutes behind, and less
	// those of a node that was killed.
	Reports int64
}

// Sentence says for people what has changed.
func (d Drift) Sentence() string {
	reports := "call reports"
	if d.Report == LiveEvent {
		reports = "live events"
	}
	name := d.Name
	if name == UnlistedName {
		name = "a name that is not shown, as it may hold personal data,"
	}
	switch d.Change {
	case ChangeNewField:
		return fmt.Sprintf("%s have a new field: %s (%s)", reports, name, d.Type)
	case ChangeType:
		return fmt.Sprintf("field %s of %s has a new type: %s", name, reports, d.Type)
	case ChangeUnknownStatus:
		return fmt.Sprintf("status %s of %s is not known; what came of such calls is guessed", name, reports)
	case ChangeContradictedStatus:
		return fmt.Sprintf("status %s of %s contradicts their times, which were believed", name, reports)
	case ChangeTooMany:
		return reports + " have so many different fields and words that new ones are not noted any more"
	case ChangeBaseline:
		return fmt.Sprintf("%s (%s) was in %s from the beginning", name, d.Type, reports)
	case ChangeNone:
	}
	return fmt.Sprintf("%s (%s) is as expected in %s", name, d.Type, reports)
}

// DriftFilter selects traits; those that were new last come first.
type DriftFilter struct {
	Account string
	// Change selects one kind of change; empty: all that are drift.
	Change Change
	// Limit is the page size, 1 to MaxLimit; 0 means DefaultLimit.
	Limit  int
	Cursor string
}
