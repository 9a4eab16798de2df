package webhook

import (
	"context"
	"errors"
	"time"

	"callvault/internal/call"
)

const (
	// lookEvery is how often a node looks whether a backfill is due. The first
	// look is a while after the start, when the reports that waited for it are
	// taken in.
	lookEvery = time.Minute
	// backfillLease is how long a backfill is waited for whose node died: it
	// outlives backfillTime.
	backfillLease = backfillTime + 5*time.Minute
	// endTime bounds keeping what a backfill came to.
	endTime = 10 * time.Second
)

// BackfillPlan says when an account's list is read.
type BackfillPlan struct {
	Account string
	// Every is how often, Window how far back each time.
	Every, Window time.Duration
}

// BackfillStore lets one of several nodes do an account's backfill.
type BackfillStore interface {
	// ClaimBackfill gives a lease token if the account's backfill is due and
	// nobody does it, and else an empty one.
	ClaimBackfill(ctx context.Context, account string, lease time.Duration) (leaseToken string, err error)
	// EndBackfill keeps what came of it; the next is due after a while.
	EndBackfill(ctx context.Context, leaseToken string, result call.Backfill, next time.Duration) error
}

// Run reads the lists of the accounts by their plans until ctx ends. ended, if
// set, is told of each that ends.
func (b *Backfiller) Run(ctx context.Context, plans []BackfillPlan, store BackfillStore, ended func(call.Backfill)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, plan := range plans {
			if err := b.runPlan(ctx, plan, store, ended); err != nil && ctx.Err() == nil {
				b.options.Logger.WarnContext(ctx, "a call list could not be taken in", "account", plan.Account, "error", err)
			}
		}
	}
}

// runPlan does an account's backfill if it is due.
func (b *Backfiller) runPlan(ctx context.Context, plan BackfillPlan, store BackfillStore, ended func(call.Backfill)) error {
	token, err := store.ClaimBackfill(ctx, plan.Account, backfillLease)
	if err != nil || token == "" {
		return err
	}
	now := b.options.Now()
	result, err := b.Backfill(ctx, BackfillRequest{Account: plan.Account, From: now.Add(-plan.Window), To: now, Sparing: true})
	next := plan.Every
	if err != nil {
		// Ours, not the provider's: an end of the program, or a database that
		// is away.
		result.Account, result.Error, result.EndedAt = plan.Account, "it was broken off", b.options.Now()
		next = lookEvery
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if endErr := store.EndBackfill(limit, token, result, next); endErr != nil {
		return errors.Join(err, endErr)
	}
	if err != nil {
		return err
	}
	if ended != nil {
		ended(result)
	}
	say := b.options.Logger.InfoContext
	if result.Error != "" {
		say = b.options.Logger.WarnContext
	}
	say(ctx, "call list read", "account", result.Account, "from", result.From, "to", result.To, "listed", result.Listed,
		"new", result.New, "filled", result.Filled, "known", result.Known, "unreadable", result.Unreadable, "error", result.Error)
	return nil
}
