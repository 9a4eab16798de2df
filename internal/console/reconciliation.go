package console

import (
	"context"
	"net/http"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// The bounds of a reconciliation.
const (
	// maxDays is how many days one answer compares.
	maxDays = 31
	// defaultDays are compared without from: today and those before.
	defaultDays = 3
)

// Account is an account as a reconciliation sees it.
type Account struct {
	Name string
	// Zone is where its days begin.
	Zone *time.Location
	// CanBackfill: its provider can be asked for its call list.
	CanBackfill bool
	// BackfillEvery is how often it is, 0 for only by hand; BackfillWindow is
	// how far back.
	BackfillEvery, BackfillWindow time.Duration
}

type backfillJSON struct {
	Account  string `json:"account"`
	Possible bool   `json:"possible"`
	// Every is null when the list is read only by hand.
	Every        *int          `json:"every_seconds"`
	Window       int           `json:"window_seconds"`
	RunningSince *string       `json:"running_since"`
	NextAt       *string       `json:"next_at"`
	Last         *lastBackfill `json:"last"`
}

type lastBackfill struct {
	StartedAt  *string `json:"started_at"`
	EndedAt    *string `json:"ended_at"`
	From       *string `json:"from"`
	To         *string `json:"to"`
	Listed     int     `json:"listed"`
	New        int     `json:"new"`
	Filled     int     `json:"filled"`
	Known      int     `json:"known"`
	Unreadable int     `json:"unreadable"`
	Error      *string `json:"error"`
}

// backfills tells where the scheduled backfills stand.
func (c *Console) backfills(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needAllGroups(who, aboutDeliveries); err != nil {
		return err
	}
	if err := c.query(r).err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	states, err := c.store.Backfills(ctx)
	if err != nil {
		return err
	}
	accounts := []backfillJSON{}
	for _, a := range c.accounts {
		b := backfillJSON{Account: a.Name, Possible: a.CanBackfill, Window: int(a.BackfillWindow / time.Second)}
		if state := states[a.Name]; a.CanBackfill {
			b.RunningSince = moment(state.RunningSince)
			if a.BackfillEvery > 0 {
				b.Every, b.NextAt = new(int(a.BackfillEvery/time.Second)), moment(state.NextAt)
			}
			if l := state.Last; l != nil {
				b.Last = &lastBackfill{moment(l.StartedAt), moment(l.EndedAt), moment(l.From), moment(l.To),
					l.Listed, l.New, l.Filled, l.Known, l.Unreadable, optional(l.Error)}
			}
		}
		accounts = append(accounts, b)
	}
	return writeJSON(w, struct {
		Accounts []backfillJSON `json:"accounts"`
	}{accounts})
}

type reconciledJSON struct {
	Account    string                        `json:"account"`
	Day        string                        `json:"day"`
	ListReadAt *string                       `json:"list_read_at"`
	ListError  *string                       `json:"list_error"`
	Listed     int64                         `json:"listed"`
	Delivered  int64                         `json:"delivered"`
	Calls      int64                         `json:"calls"`
	Recordings map[call.RecordingState]int64 `json:"recordings"`
	// Counts are of all differences; Differences are the first of them.
	Counts      map[call.Reason]int64 `json:"counts"`
	Differences []differenceJSON      `json:"differences"`
	LeftOut     int64                 `json:"left_out"`
}

type differenceJSON struct {
	Reason      call.Reason `json:"reason"`
	CallID      *string     `json:"call_id"`
	Key         *string     `json:"key"`
	At          *string     `json:"at"`
	RecordingID *string     `json:"recording_id"`
	Detail      *string     `json:"detail"`
}

// reconciliation compares the provider's list, the deliveries, the calls and
// the vault, by account and day.
func (c *Console) reconciliation(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needAllGroups(who, aboutDeliveries); err != nil {
		return err
	}
	q := c.query(r)
	accounts := c.accounts
	if name := q.text("account"); name != "" {
		i := slices.IndexFunc(accounts, func(a Account) bool { return a.Name == name })
		if i < 0 {
			q.fault("account is none of the configuration")
		} else {
			accounts = accounts[i : i+1]
		}
	}
	from, to := q.days()
	limit := call.DefaultLimit
	if n := q.number("limit", 0, call.MaxLimit); n != nil {
		limit = *n
	}
	if err := q.err(); err != nil {
		return err
	}
	if err := c.search(r, audit.ReconciliationViewed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	days := []reconciledJSON{}
	for _, a := range accounts {
		first, last := from.in(a.Zone), to.in(a.Zone)
		if to.at.IsZero() {
			last = wantedDay{at: c.now()}.in(a.Zone)
			if end := first.AddDate(0, 0, maxDays-1); !from.at.IsZero() && last.After(end) {
				last = end
			}
		}
		if from.at.IsZero() {
			first = last.AddDate(0, 0, 1-defaultDays)
		}
		if last.After(first.AddDate(0, 0, maxDays-1)) {
			return call.Errorf(call.Invalid, "more than %d days are asked for", maxDays)
		}
		for day := first; !day.After(last); day = day.AddDate(0, 0, 1) {
			one, err := c.reconcile(ctx, a, day, limit)
			if err != nil {
				return err
			}
			days = append(days, one)
		}
	}
	return writeJSON(w, struct {
		Days []reconciledJSON `json:"days"`
	}{days})
}

func (c *Console) reconcile(ctx context.Context, a Account, day time.Time, limit int) (reconciledJSON, error) {
	r, err := c.store.Reconcile(ctx, call.ReconciliationFilter{
		Account: a.Name, Day: day.Format(time.DateOnly), From: day, To: day.AddDate(0, 0, 1), Limit: limit,
	})
	if err != nil {
		return reconciledJSON{}, err
	}
	one := reconciledJSON{
		Account: a.Name, Day: day.Format(time.DateOnly), Listed: r.Listed, Delivered: r.Delivered, Calls: r.Calls,
		Recordings: map[call.RecordingState]int64{}, Counts: map[call.Reason]int64{}, Differences: []differenceJSON{},
	}
	if r.List != nil {
		one.ListReadAt, one.ListError = moment(r.List.ReadAt), optional(r.List.Error)
	}
	for _, state := range call.RecordingStates() {
		one.Recordings[state] = r.Recordings[state]
	}
	switch {
	case !a.CanBackfill:
		r.Counts[call.NoBackfill] = 1
		r.Differences = slices.Insert(r.Differences, 0, call.Difference{Reason: call.NoBackfill,
			Detail: "the account has no credentials of its provider's API"})
	case r.List == nil:
		r.Counts[call.NotRead] = 1
		r.Differences = slices.Insert(r.Differences, 0, call.Difference{Reason: call.NotRead,
			Detail: "the provider's list of this day has not been read; callvault backfill reads it"})
	case r.List.Error != "":
		r.Counts[call.NotRead] = 1
		r.Differences = slices.Insert(r.Differences, 0, call.Difference{Reason: call.NotRead, Detail: r.List.Error})
	}
	for _, reason := range call.Reasons() {
		one.Counts[reason] = r.Counts[reason]
		one.LeftOut += r.Counts[reason]
	}
	for _, d := range r.Differences[:min(len(r.Differences), limit)] {
		one.Differences = append(one.Differences, differenceJSON{d.Reason, optional(d.CallID), optional(d.Key), moment(d.At), optional(d.RecordingID), optional(d.Detail)})
	}
	one.LeftOut -= int64(len(one.Differences))
	return one, nil
}

// wantedDay is a day that is asked for: a date, which each account has in its
// own zone, or the one in which a moment lies.
type wantedDay struct {
	at     time.Time // zero: none is asked for
	isDate bool
}

func (d wantedDay) in(zone *time.Location) time.Time {
	at := d.at
	if !d.isDate {
		at = at.In(zone)
	}
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, zone)
}

// days are the first and the last day that are asked for.
func (q *query) days() (from, to wantedDay) {
	from.at, from.isDate = q.moment("from")
	to.at, to.isDate = q.moment("to")
	if !from.at.IsZero() && !to.at.IsZero() && from.at.After(to.at) {
		q.fault("from is after to")
	}
	return from, to
}
