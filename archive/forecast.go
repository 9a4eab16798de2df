package archive

import (
	"context"
	"time"

	"callvault/internal/call"
)

// forecastDays is over how many days the mean growth is taken: whole weeks,
// for days of the week differ. forecastYears is how far ahead is looked.
const (
	forecastDays  = 28
	forecastYears = 12
)

// Forecast says how the vault grows, and what retention will free and when, of
// what is in it now. It changes no recording.
func (r *Retainer) Forecast(ctx context.Context) (call.Forecast, error) {
	f, err := r.storage(ctx)
	if err != nil {
		return f, err
	}
	plan, err := r.planAudio(ctx, f.AsOf.AddDate(forecastYears, 0, 0), nil)
	plan.Sort()
	f.Frees = plan.Due
	return f, err
}

// Outlook sums up what is in the vault, and what may go.
func (r *Retainer) Outlook(ctx context.Context) (call.Outlook, error) {
	f, err := r.storage(ctx)
	if err != nil {
		return call.Outlook{}, err
	}
	o := call.Outlook{Totals: f.Totals, BytesPerDay: f.BytesPerDay}
	id := r.o.Rules().ID(f.AsOf)
	if o.Now, err = r.o.Store.RetentionPlan(ctx, id, f.AsOf); err != nil {
		return o, err
	}
	if o.Late, err = r.o.Store.RetentionPlan(ctx, id, f.AsOf.Add(-call.RetentionPatience)); err != nil {
		return o, err
	}
	soon, err := r.o.Store.RetentionPlan(ctx, id, f.AsOf.Add(call.OutlookSpan))
	for _, d := range soon.Due {
		o.Frees += d.Bytes
	}
	return o, err
}

// storage is the forecast without what retention frees.
func (r *Retainer) storage(ctx context.Context) (call.Forecast, error) {
	now := r.o.Now().UTC()
	today := now.Truncate(24 * time.Hour)
	f := call.Forecast{AsOf: now, From: today.AddDate(0, 0, -forecastDays)}
	if err := r.o.Store.CountStorage(ctx, now); err != nil {
		return f, err
	}
	spans := call.GrowthDays()
	var err error
	if f.Totals, f.Days, err = r.o.Store.Storage(ctx, today.AddDate(0, 0, -spans[len(spans)-1])); err != nil {
		return f, err
	}
	for _, days := range spans {
		f.Growth = append(f.Growth, growth(f.Days, days, today))
	}
	var bytes int64
	first := today
	for _, d := range f.Days {
		if !d.Day.Before(today) || d.Day.Before(f.From) || d.Added == 0 {
			continue
		}
		bytes += d.AddedBytes
		if d.Day.Before(first) {
			first = d.Day
		}
	}
	// A new installation has fewer days behind it.
	if first.After(f.From) {
		f.From = first
	}
	if days := int64(today.Sub(f.From) / (24 * time.Hour)); days > 0 {
		f.BytesPerDay = bytes / days
	}
	return f, nil
}

func growth(all []call.StorageDay, days int, today time.Time) call.StorageGrowth {
	g := call.StorageGrowth{Days: days}
	for _, d := range all {
		if d.Day.Before(today) && !d.Day.Before(today.AddDate(0, 0, -days)) {
			g.Added += d.Added
			g.AddedBytes += d.AddedBytes
			g.Deleted += d.Deleted
			g.DeletedBytes += d.DeletedBytes
		}
	}
	return g
}
