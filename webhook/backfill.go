package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"callvault/internal/call"
)

const (
	// backfillTime bounds one backfill of one account.
	backfillTime = time.Hour
	// A day whose list was read to its end so long after it was over is read
	// again only after a while: by its pages of ten, a large list is much work.
	settledAfter = 2 * time.Hour
	settledFor   = 12 * time.Hour
)

// ListStore is what backfill needs beside Store.
type ListStore interface {
	Store
	// WouldTell says of rows of a call list what they would tell that is not
	// known.
	WouldTell(ctx context.Context, rows []*call.Leg) ([]call.Told, error)
	// NoteListed keeps what a list has, for the reconciliation.
	NoteListed(ctx context.Context, rows []call.ListedRow) error
	// NoteListDay keeps how the list of a day was read.
	NoteListDay(ctx context.Context, day call.ListDay) error
	// ListDays returns how the lists of an account's days were last read, from
	// one day on.
	ListDays(ctx context.Context, account, from string) (map[string]call.ListDay, error)
}

// BackfillOptions is what a Backfiller needs. All are required.
type BackfillOptions struct {
	Decoder *Decoder
	// Accounts are those whose provider can be asked.
	Accounts []ListAccount
	Store    ListStore
	Now      func() time.Time
	Logger   *slog.Logger
}

// Backfiller asks providers for their call lists and takes in what is missing.
type Backfiller struct {
	options BackfillOptions
	askers  map[string]*asker
}

// NewBackfiller makes a Backfiller. It asks nobody yet.
func NewBackfiller(o BackfillOptions) (*Backfiller, error) {
	b := &Backfiller{o, make(map[string]*asker, len(o.Accounts))}
	for _, account := range o.Accounts {
		if o.Decoder.accounts[account.Name] == nil {
			return nil, fmt.Errorf("account %s is not configured", account.Name)
		}
		a, err := newAsker(account, sleep)
		if err != nil {
			return nil, err
		}
		b.askers[account.Name] = a
	}
	return b, nil
}

// BackfillRequest says what to ask for.
type BackfillRequest struct {
	Account string
	// From and To bound the starts of the calls. From is taken back to the
	// beginning of its day in the account's zone, so that whole days can be
	// compared.
	From, To time.Time
	// DryRun changes nothing.
	DryRun bool
	// Sparing leaves out past days that were read not long ago.
	Sparing bool
	// Progress, if set, is told how many rows have been read.
	Progress func(rows int)
}

// listedRow is a row of a list, in the envelope that is kept.
type listedRow struct {
	list     string
	envelope envelope
}

// Backfill reads the account's call list of a time, day by day, and takes in
// what is missing. What it took in stays when it fails; it can be run again at
// any time, also beside itself. A provider that fails is told of in the
// result, the error is about everything else.
func (b *Backfiller) Backfill(ctx context.Context, q BackfillRequest) (call.Backfill, error) {
	asker, a := b.askers[q.Account], b.options.Decoder.accounts[q.Account]
	if asker == nil || a == nil {
		return call.Backfill{}, call.Errorf(call.Invalid, "account %s has no credentials of its provider's API", q.Account)
	}
	zone := a.Zone
	if zone == nil {
		zone = time.UTC
	}
	ctx, cancel := context.WithTimeout(ctx, backfillTime)
	defer cancel()
	r := &backfillRun{b: b, account: a, zone: zone, request: q}
	r.result = call.Backfill{Account: q.Account, From: dayOf(q.From.In(zone)), To: q.To, StartedAt: b.options.Now()}
	read := map[string]call.ListDay{}
	if q.Sparing {
		var err error
		if read, err = b.options.Store.ListDays(ctx, q.Account, r.result.From.Format(time.DateOnly)); err != nil {
			return r.result, fmt.Errorf("backfill account %s: %w", q.Account, err)
		}
	}
	var failures []error
	for day := r.result.From; day.Before(q.To) && ctx.Err() == nil; day = day.AddDate(0, 0, 1) {
		from, to := day, day.AddDate(0, 0, 1)
		if to.After(q.To) {
			to = q.To
		}
		r.day = day.Format(time.DateOnly)
		if isSettled(read[r.day], day.AddDate(0, 0, 1), r.result.StartedAt) {
			continue
		}
		var err error
		if a.Provider == call.CallerDesk {
			err = listCallerDesk(ctx, asker, from, func(rows []listedRow) error { return r.take(ctx, rows) })
		} else {
			err = listTeleCMI(ctx, asker, from, to, func(rows []listedRow) error { return r.take(ctx, rows) })
		}
		if r.broken != nil || ctx.Err() != nil {
			break
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", r.day, err))
		}
		if err := r.noteDay(ctx, err, to, day.AddDate(0, 0, 1)); err != nil {
			return r.result, err
		}
		if errors.Is(err, errListCredentials) {
			break // of no use for the other days
		}
	}
	r.result.EndedAt = b.options.Now()
	if err := errors.Join(r.broken, ctx.Err()); err != nil {
		return r.result, fmt.Errorf("backfill account %s: %w", q.Account, err)
	}
	if err := errors.Join(failures...); err != nil {
		r.result.Error = err.Error()
	}
	return r.result, nil
}

// isSettled reports whether the list of a day that ended is known well enough
// for now; d is the zero ListDay if it was not read.
func isSettled(d call.ListDay, end, now time.Time) bool {
	return d.Error == "" && !d.ReadAt.Before(end.Add(settledAfter)) && now.Sub(d.ReadAt) < settledFor
}

func dayOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

// backfillRun is one run over one account.
type backfillRun struct {
	b       *Backfiller
	account *account
	zone    *time.Location
	request BackfillRequest
	result  call.Backfill
	// day is the one being read.
	day string
	// broken is what went wrong on our side.
	broken error
}

// take takes in the rows of one page. Its error is ours, not the provider's.
func (r *backfillRun) take(ctx context.Context, rows []listedRow) error {
	r.broken = r.takeIn(ctx, rows)
	if r.request.Progress != nil {
		r.request.Progress(r.result.Listed)
	}
	return r.broken
}

func (r *backfillRun) takeIn(ctx context.Context, rows []listedRow) error {
	deliveries := make([]*call.Delivery, 0, len(rows))
	var legs []*call.Leg
	for _, row := range rows {
		d := r.delivery(row)
		deliveries = append(deliveries, d)
		if l := d.Items[0].Leg; l != nil {
			legs = append(legs, l)
		}
	}
	told, err := r.b.options.Store.WouldTell(ctx, legs)
	if err != nil {
		return err
	}
	// A row that tells nothing new leaves no delivery.
	var missing []*call.Delivery
	for _, d := range deliveries {
		r.result.Listed++
		if d.Items[0].Leg == nil {
			r.result.Unreadable++
			missing = append(missing, d)
			continue
		}
		t := told[0]
		told = told[1:]
		switch {
		case t.CallID == "":
			r.result.New++
		case t.Fills:
			r.result.Filled++
		default:
			r.result.Known++
			d.CallIDs = []string{t.CallID}
			continue
		}
		missing = append(missing, d)
	}
	if r.request.DryRun {
		return nil
	}
	if err := Record(ctx, r.b.options.Store, r.b.options.Logger, missing); err != nil {
		return err
	}
	return r.note(ctx, rows, deliveries)
}

// delivery makes of a row what is kept of it. Its UID follows from the row, so
// the same row is stored once.
func (r *backfillRun) delivery(row listedRow) *call.Delivery {
	body := row.envelope.body()
	const sameRows = "5b0a6a2e-7d5c-4c0e-9a55-6f3ac1c0b1d7" // any fixed UUID
	d := &call.Delivery{
		UID:         uuid.NewSHA1(uuid.MustParse(sameRows), []byte(r.account.Name+"\n"+row.list+"\n"+string(body))).String(),
		MayBeStored: true,
		Account:     r.account.Name,
		ReceivedAt:  r.b.options.Now().UTC().Truncate(time.Millisecond),
		Method:      "POST",
		ContentType: "application/json",
		Query:       listParameter + "=" + row.list,
		Body:        body,
		Source:      call.SourceBackfill,
	}
	r.b.options.Decoder.Decode(d)
	d.Prepare()
	return d
}

func (r *backfillRun) note(ctx context.Context, rows []listedRow, deliveries []*call.Delivery) error {
	noted := make([]call.ListedRow, 0, len(rows))
	for i, d := range deliveries {
		n := call.ListedRow{Account: r.account.Name, Day: r.day, List: rows[i].list, Key: d.UID}
		if len(d.CallIDs) > 0 {
			n.CallID = d.CallIDs[0]
		}
		if l := d.Items[0].Leg; l != nil {
			n.Key, n.At = l.Key, l.StartedAt
			if n.At.IsZero() {
				n.At = l.AnsweredAt
			}
			if !n.At.IsZero() {
				n.Day = n.At.In(r.zone).Format(time.DateOnly)
			}
			n.Named = len(l.Recordings) > 0
			n.Recorded = n.Named || fields(l.Attributes).yes("record")
		}
		noted = append(noted, n)
	}
	return r.b.options.Store.NoteListed(ctx, noted)
}

// noteDay keeps how the list of a day was read, and until when: of one that was
// asked for only up to a moment before its end, that is all that is known.
func (r *backfillRun) noteDay(ctx context.Context, failure error, to, end time.Time) error {
	if r.request.DryRun {
		return nil
	}
	d := call.ListDay{Account: r.account.Name, Day: r.day, ReadAt: r.result.StartedAt}
	if to.Before(end) && to.Before(d.ReadAt) {
		d.ReadAt = to
	}
	if failure != nil {
		d.Error = failure.Error()
	}
	return r.b.options.Store.NoteListDay(ctx, d)
}
