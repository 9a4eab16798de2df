package call

import (
	"cmp"
	"slices"
	"time"
)

// RetentionPlan says what would be deleted until a time, and what would not
// though today's rules would let it go.
type RetentionPlan struct {
	By time.Time
	// Due would go.
	Due []DueSum
	// Kept would go by today's rules, and is kept.
	Kept []KeptSum
	// Reports are the files of reports, those that would go and those that are
	// kept.
	Reports []RunSum
	// Segments are those of the journal out of which requests would go, and those
	// that are kept.
	Segments []SegmentSum
	// Unjudged recordings have not been judged by these rules yet; the plan
	// judges them without writing that down.
	Unjudged int64
}

// DueSum is how much of one account goes by one rule in one month.
type DueSum struct {
	Account string
	Rule    string
	// Month is that in which it may go, of the calendar of UTC, at its beginning.
	Month      time.Time
	Recordings int64
	// Bytes of audio.
	Bytes int64
}

// KeptWhy is why a recording stays that the rules would let go.
type KeptWhy string

// Why recordings stay.
const (
	// KeptPromised: a later date was promised, and is on the object where the
	// vault locks.
	KeptPromised KeptWhy = "promised"
	// KeptLocked: it is due, and the vault refused to delete it.
	KeptLocked KeptWhy = "locked"
	// KeptHeld: its call is under a hold.
	KeptHeld KeptWhy = "held"
)

// KeptSum is how much of one account stays for one reason.
type KeptSum struct {
	Why     KeptWhy
	Account string
	// By is the rule that was promised by, what the vault has on the object, or
	// the name of the hold.
	By string
	// From is when the first of them may go, Until the last; zero if that is not
	// known.
	From, Until time.Time
	Recordings  int64
	Bytes       int64
}

// RunSum is how much of one report goes in one month, or stays for one reason.
type RunSum struct {
	Report string
	// Month is that in which it may go, of the calendar of UTC, at its beginning;
	// zero for what stays.
	Month time.Time
	// Why is empty for what would go; By is the term, what the vault has on the
	// objects, or the name of the hold.
	Why KeptWhy
	By  string
	// Until is the last day of what stays; zero if none is known.
	Until time.Time
	Runs  int64
	// Bytes of their files and frozen inputs.
	Bytes int64
}

// SegmentSum is how many segments of the journal lose requests in one month, or
// are kept for one reason. The fields are those of RunSum.
type SegmentSum struct {
	Month    time.Time
	Why      KeptWhy
	By       string
	Until    time.Time
	Segments int64
	// Bytes of the segments as they are.
	Bytes int64
}

// PlanItem is one recording of a plan, the files of one run, or one segment of
// the journal.
type PlanItem struct {
	// Recording has, of all else, rule, date, key or folder, and size alone.
	Recording
	// Run and Segment, which is a number, are those that it is, or nil and 0.
	Run     *Run
	Segment int64
	// RuleUntil is when its term is over by today's rules.
	RuleUntil time.Time
	// Why is empty if it would go; then By is the rule and Until since when.
	// Else they are as in KeptSum.
	Why   KeptWhy
	By    string
	Until time.Time
}

// Planned says what a plan until a time says of a recording that is judged just
// now; false: nothing.
func (j Judged) Planned(by time.Time) (PlanItem, bool) {
	p := PlanItem{
		Recording: Recording{ID: j.ID, CallID: j.CallID, Account: j.Account, ObjectKey: j.ObjectKey, Size: j.Size, Rule: j.Judgement.Rule, DueAt: j.DueAt(), RetainUntil: j.RetainUntil},
		RuleUntil: j.RuleUntil, By: j.Judgement.Rule, Until: j.DueAt(),
	}
	switch {
	case p.DueAt.IsZero():
		return p, false
	case !p.DueAt.After(by):
		if j.HeldBy != "" {
			p.Why, p.By, p.Until = KeptHeld, j.HeldBy, time.Time{}
		}
		return p, true
	case p.DueAt.After(p.RuleUntil) && !p.RuleUntil.After(by):
		p.Why = KeptPromised
		return p, true
	}
	return p, false
}

// Add adds n recordings like p, of so many bytes together, to the sums.
func (plan *RetentionPlan) Add(p PlanItem, n, bytes int64) {
	if p.Why == "" {
		until := p.Until.UTC()
		month := time.Date(until.Year(), until.Month(), 1, 0, 0, 0, 0, time.UTC)
		i := slices.IndexFunc(plan.Due, func(d DueSum) bool { return d.Account == p.Account && d.Rule == p.By && d.Month.Equal(month) })
		if i < 0 {
			i = len(plan.Due)
			plan.Due = append(plan.Due, DueSum{Account: p.Account, Rule: p.By, Month: month})
		}
		plan.Due[i].Recordings += n
		plan.Due[i].Bytes += bytes
		return
	}
	i := slices.IndexFunc(plan.Kept, func(k KeptSum) bool { return k.Why == p.Why && k.Account == p.Account && k.By == p.By })
	if i < 0 {
		i = len(plan.Kept)
		plan.Kept = append(plan.Kept, KeptSum{Why: p.Why, Account: p.Account, By: p.By})
	}
	k := &plan.Kept[i]
	k.Recordings += n
	k.Bytes += bytes
	if p.Until.After(k.Until) {
		k.Until = p.Until
	}
	if !p.Until.IsZero() && (k.From.IsZero() || p.Until.Before(k.From)) {
		k.From = p.Until
	}
}

// AddRun adds the files of a run to the sums.
func (plan *RetentionPlan) AddRun(p PlanItem) {
	var month time.Time
	if p.Why == "" {
		until := p.Until.UTC()
		month = time.Date(until.Year(), until.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	i := slices.IndexFunc(plan.Reports, func(s RunSum) bool {
		return s.Report == p.Run.Report && s.Why == p.Why && s.By == p.By && s.Month.Equal(month)
	})
	if i < 0 {
		i = len(plan.Reports)
		plan.Reports = append(plan.Reports, RunSum{Report: p.Run.Report, Month: month, Why: p.Why, By: p.By})
	}
	s := &plan.Reports[i]
	s.Runs++
	s.Bytes += p.Size
	if p.Why != "" && p.Until.After(s.Until) {
		s.Until = p.Until
	}
}

// AddSegment adds a segment of the journal to the sums.
func (plan *RetentionPlan) AddSegment(p PlanItem) {
	var month time.Time
	if p.Why == "" {
		until := p.Until.UTC()
		month = time.Date(until.Year(), until.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	i := slices.IndexFunc(plan.Segments, func(s SegmentSum) bool { return s.Why == p.Why && s.By == p.By && s.Month.Equal(month) })
	if i < 0 {
		i = len(plan.Segments)
		plan.Segments = append(plan.Segments, SegmentSum{Month: month, Why: p.Why, By: p.By})
	}
	s := &plan.Segments[i]
	s.Segments++
	s.Bytes += p.Size
	if p.Why != "" && p.Until.After(s.Until) {
		s.Until = p.Until
	}
}

// Sort brings the sums into an order that does not depend on how they were
// found: by month, account and rule.
func (plan *RetentionPlan) Sort() {
	slices.SortFunc(plan.Due, func(a, b DueSum) int {
		return cmp.Or(a.Month.Compare(b.Month), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Rule, b.Rule))
	})
	slices.SortFunc(plan.Kept, func(a, b KeptSum) int {
		return cmp.Or(cmp.Compare(a.Why, b.Why), cmp.Compare(a.Account, b.Account), cmp.Compare(a.By, b.By))
	})
	slices.SortFunc(plan.Segments, func(a, b SegmentSum) int {
		return cmp.Or(cmp.Compare(a.Why, b.Why), a.Month.Compare(b.Month), cmp.Compare(a.By, b.By))
	})
	slices.SortFunc(plan.Reports, func(a, b RunSum) int {
		return cmp.Or(cmp.Compare(a.Why, b.Why), a.Month.Compare(b.Month), cmp.Compare(a.Report, b.Report), cmp.Compare(a.By, b.By))
	})
}
