package reports

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"callvault/internal/call"
)

const (
	// trendDays is how many days the trend shows; a longer period is shown
	// whole.
	trendDays = 30
	// usualPeriods is how many earlier periods the usual figures are the mean of.
	usualPeriods = 4
	// knownBefore is how far before the first day that is compared an account's
	// calls are looked for: one that has none there is as good as new.
	knownBefore = 30 * 24 * time.Hour
	// sumsAtOnce is of how many days the calls are added up at a time: the
	// database has something to do, and something left for others.
	sumsAtOnce = 2
	// sumPiece is how much of a day is added up at a time.
	sumPiece = 6 * time.Hour
)

// dayBefore is a day before the report's period, as a frozen input has it. Days
// are the clocks' of the report's zone, 23 to 25 hours long.
type dayBefore struct {
	// From and To are its bounds, in Unix milliseconds.
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Unknown: an account that the report tells of had no calls yet.
	Unknown bool `json:"unknown,omitempty"`
	// Sums are by direction and outcome, of all accounts together.
	Sums []call.CallSums `json:"sums,omitempty"`
}

// DayFigures are the measures of a day, or of several together. Durations are
// known by their sum alone if the day is before the report's period.
type DayFigures struct {
	From, To time.Time
	// Known is false if an account that the report tells of had no calls yet, and
	// for days of which the input, made by an older program, does not tell. There
	// is no figure of such a day.
	Known                    bool
	Inbound, Outbound, Total Tally
}

func (d *DayFigures) add(c *row, s *Settings) {
	d.Total.add(c, s)
	switch c.Direction {
	case call.Inbound:
		d.Inbound.add(c, s)
	case call.Outbound:
		d.Outbound.add(c, s)
	}
}

// figure is the day's figure of a measure, NaN if the day is not known.
func (d *DayFigures) figure(m hourMeasure) float64 {
	if !d.Known {
		return math.NaN()
	}
	return m.figure(&Hour{d.Inbound, d.Outbound})
}

// addSums adds a day before the period.
func (d *DayFigures) addSums(b *dayBefore) {
	for i := range b.Sums {
		sum := &b.Sums[i]
		d.Total.addSums(sum)
		switch sum.Direction {
		case call.Inbound:
			d.Inbound.addSums(sum)
		case call.Outbound:
			d.Outbound.addSums(sum)
		}
	}
}

// back returns the period of p's kind that begins n periods before p; for a
// day n is in days, by the calendar.
func (p Period) back(n int) Period {
	if p.Kind == Day {
		year, month, day := p.From.Date()
		return PeriodOf(Day, firstInstant(year, month, day-n, 0, 0, 0, p.From.Location()))
	}
	for range n {
		p = p.Before()
	}
	return p
}

// usual are the periods whose mean is what is usual: the same weekday of the
// four weeks before, or the four weeks or months before.
func (p Period) usual() []Period {
	step := 1
	if p.Kind == Day {
		step = 7
	}
	var periods []Period
	for n := 1; n <= usualPeriods; n++ {
		periods = append(periods, p.back(n*step))
	}
	return periods
}

// days are the days from a to b, not included, of a's zone.
func days(a, b time.Time) []Period {
	var list []Period
	for d := PeriodOf(Day, a); d.From.Before(b); d = PeriodOf(Day, d.To) {
		list = append(list, d)
	}
	return list
}

// trendFrom is the first day of the trend that ends with the period.
func (p Period) trendFrom() time.Time {
	first := PeriodOf(Day, p.To.Add(-time.Nanosecond)).back(trendDays - 1).From
	if p.From.Before(first) {
		return p.From
	}
	return first
}

// sumsBefore are the sums of the days before a period that its figures are
// compared with, by account.
type sumsBefore struct {
	days    []Period
	sums    [][]call.CallSums
	working *errgroup.Group
}

// sumBefore begins to add up the calls of all days before a period since the
// first of the trend, or of the usual periods if that is earlier. They are many
// times as many calls as the period's, so that is done beside reading these.
func (r *Reporter) sumBefore(ctx context.Context, p Period, filter call.Filter, soon call.WaitBounds) *sumsBefore {
	first := p.trendFrom()
	for _, u := range p.usual() {
		if u.From.Before(first) {
			first = u.From
		}
	}
	b := &sumsBefore{days: days(first, p.From)}
	b.sums = make([][]call.CallSums, len(b.days))
	b.working, ctx = errgroup.WithContext(ctx)
	for worker := range sumsAtOnce {
		b.working.Go(func() (err error) {
			for i := worker; i < len(b.days) && err == nil; i += sumsAtOnce {
				b.sums[i], err = r.sumDay(ctx, b.days[i], filter, soon)
			}
			return err
		})
	}
	return b
}

// sumDay adds up the calls of a day, a piece after the other: a database may keep
// in memory what it adds up. There is a sum for each piece.
func (r *Reporter) sumDay(ctx context.Context, day Period, filter call.Filter, soon call.WaitBounds) (sums []call.CallSums, err error) {
	for filter.To = day.From; filter.To.Before(day.To); {
		filter.From, filter.To = filter.To, filter.To.Add(sumPiece)
		if filter.To.After(day.To) {
			filter.To = day.To
		}
		piece, err := r.store.SumCalls(ctx, filter, soon)
		if err != nil {
			return nil, err
		}
		sums = append(sums, piece...)
	}
	slices.SortStableFunc(sums, func(a, b call.CallSums) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Outcome, b.Outcome))
	})
	return sums, nil
}

// daysBefore waits for the sums and tells what the period's figures are compared
// with. accounts are those of the period's calls.
func (r *Reporter) daysBefore(ctx context.Context, p Period, b *sumsBefore, accounts map[string]bool) ([]dayBefore, error) {
	if err := b.working.Wait(); err != nil {
		return nil, err
	}
	before := []dayBefore{}
	accounts = maps.Clone(accounts)
	for i, d := range b.days {
		for _, s := range b.sums[i] {
			accounts[s.Account] = true
		}
		before = append(before, dayBefore{From: d.From.UnixMilli(), To: d.To.UnixMilli(), Sums: addAccounts(b.sums[i])})
	}
	// Before its first call an account is not known: it may not have been
	// connected yet, and nothing is not the same as no calls.
	for account := range accounts {
		at, err := r.store.FirstCall(ctx, account, b.days[0].From.Add(-knownBefore), p.From)
		if err != nil {
			return nil, err
		}
		for i := range before {
			if at.IsZero() || at.UnixMilli() >= before[i].To {
				before[i].Unknown = true
			}
		}
	}
	if len(accounts) == 0 {
		for i := range before {
			before[i].Unknown = true
		}
	}
	return before, nil
}

// addAccounts adds up sums of all accounts, by direction and outcome, in order.
func addAccounts(sums []call.CallSums) []call.CallSums {
	var all []call.CallSums
	for _, s := range sums {
		at := slices.IndexFunc(all, func(o call.CallSums) bool { return o.Direction == s.Direction && o.Outcome == s.Outcome })
		if at < 0 {
			s.Account = ""
			all = append(all, s)
			continue
		}
		o := &all[at]
		o.Calls += s.Calls
		o.Waits += s.Waits
		o.WaitSeconds += s.WaitSeconds
		o.Soon += s.Soon
		o.Talks += s.Talks
		o.TalkSeconds += s.TalkSeconds
	}
	return all
}

// Reference is what the period's figures are compared with: the mean of some
// earlier periods.
type Reference struct {
	// DayFigures are all calls of the known periods together, so rates and means
	// are over their calls.
	DayFigures
	// Periods is how many were known: counts are to be divided by it.
	Periods int64
}

// compare fills in the trend and what the figures are compared with.
func (f *Figures) compare(before []dayBefore) {
	zone := f.Period.From.Location()
	f.tellsEarlier = len(before) > 0
	known := make(map[bounds]*dayBefore, len(before))
	for i := range before {
		known[bounds{before[i].From, before[i].To}] = &before[i]
	}
	one := func(d Period) DayFigures {
		day := DayFigures{From: d.From, To: d.To}
		if b := known[boundsOf(d.From, d.To)]; b != nil && !b.Unknown {
			day.Known = true
			day.addSums(b)
		}
		return day
	}
	trend := f.Period.trendFrom()
	inPeriod := f.Trend
	f.Trend = nil
	for _, d := range days(trend, f.Period.From) {
		f.Trend = append(f.Trend, one(d))
	}
	for i := range inPeriod {
		if !inPeriod[i].From.Before(trend) {
			f.Trend = append(f.Trend, inPeriod[i])
		}
	}
	reference := func(periods ...Period) Reference {
		var sum Reference
		for _, p := range periods {
			whole := Reference{Periods: 1}
			for _, d := range days(p.From.In(zone), p.To) {
				day := one(d)
				if !day.Known {
					whole.Periods = 0
					break
				}
				whole.merge(&day)
			}
			if whole.Periods > 0 {
				sum.merge(&whole.DayFigures)
				sum.Periods++
			}
		}
		sum.Known = sum.Periods > 0
		return sum
	}
	f.Previous = reference(f.Period.Before())
	f.Usual = reference(f.Period.usual()...)
}

func (d *DayFigures) merge(o *DayFigures) {
	d.Inbound.merge(&o.Inbound)
	d.Outbound.merge(&o.Outbound)
	d.Total.merge(&o.Total)
}

// dayAt is the day of the period in which a call started. There is always one:
// the input has the period's calls alone.
func (f *Figures) dayAt(startedAt int64) *DayFigures {
	at, _ := slices.BinarySearchFunc(f.Trend, startedAt, func(d DayFigures, at int64) int {
		if d.To.UnixMilli() <= at {
			return -1
		}
		return 1
	})
	return &f.Trend[min(at, len(f.Trend)-1)]
}

// trendNote says why there are no earlier figures; empty if there are.
func (f *Figures) trendNote() string {
	if !f.tellsEarlier {
		return "n/a: the input, of an older version, does not tell of earlier days."
	}
	switch first := slices.IndexFunc(f.Trend, func(d DayFigures) bool { return d.Known }); {
	case first == 0:
		return ""
	case f.Trend[first].From.Before(f.Period.From):
		return "n/a: not all accounts of the report had calls before " + f.Trend[first].From.Format("Mon 2 Jan 2006") + "."
	}
	return "n/a: not all accounts of the report had calls before this period."
}

// previousName and usualName say what the figures are compared with.
func (f *Figures) previousName() string {
	switch f.Period.Kind {
	case Week:
		return "week before"
	case Month:
		return f.Period.Before().From.Format("January 2006")
	case Day:
	}
	return f.Period.Before().From.Format("Mon 2 Jan")
}

func (f *Figures) usualName() string {
	n := f.Usual.Periods
	if n == 0 {
		n = usualPeriods
	}
	return "mean of " + plural(n, map[Kind]string{
		Day: f.Period.From.Weekday().String(), Week: "week", Month: "month"}[f.Period.Kind]) + " before"
}
