package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"callvault/internal/call"
)

// HoldStore is what a HoldKeeper asks of the database.
type HoldStore interface {
	FollowHolds(ctx context.Context, expand func(call.Filter) call.Filter) (joined int, err error)
	HeldObjects(ctx context.Context, after string, limit int) ([]call.HeldObject, error)
	MarkHeldObject(ctx context.Context, o call.HeldObject) error
}

// HoldKeeperOptions is what a HoldKeeper works with. All are required.
type HoldKeeperOptions struct {
	Store HoldStore
	Vault Vault
	// Expand is Roster.Expand of the roster of the moment.
	Expand func(call.Filter) call.Filter
	Logger *slog.Logger
}

// HoldKeeper brings calls under legal holds that arrive or change after these
// were placed, and gives the objects of held calls the vault's own legal hold.
type HoldKeeper struct{ o HoldKeeperOptions }

const (
	// followEvery is how often holds are looked after.
	followEvery = 15 * time.Second
	// protectTimeout bounds what is done to one object.
	protectTimeout = 30 * time.Second
	// heldPage is how many objects are asked for at a time.
	heldPage = 200
)

// NewHoldKeeper makes a HoldKeeper.
func NewHoldKeeper(o HoldKeeperOptions) *HoldKeeper { return &HoldKeeper{o} }

// Run looks after the holds until ctx ends. Any number of nodes may.
func (k *HoldKeeper) Run(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if err := k.Round(ctx); err != nil && ctx.Err() == nil {
			k.o.Logger.WarnContext(ctx, "legal holds could not be looked after; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Round looks after the holds once.
func (k *HoldKeeper) Round(ctx context.Context) error {
	joined, err := k.o.Store.FollowHolds(ctx, k.o.Expand)
	if err != nil {
		return err
	}
	if joined > 0 {
		k.o.Logger.InfoContext(ctx, "calls came under a legal hold", "calls", joined)
	}
	_, err = k.Push(ctx)
	return err
}

// Push lets the vault know what is held and what is not any more, and returns
// of how many objects it does. A vault without locks has nothing to be told.
// Objects that could not be reached stay due, and are one error.
func (k *HoldKeeper) Push(ctx context.Context) (pushed int, err error) {
	if k.o.Vault.Locks() == Unlocked {
		return 0, nil
	}
	after, failed := "", 0
	var first error
	for {
		objects, err := k.o.Store.HeldObjects(ctx, after, heldPage)
		if err != nil {
			return pushed, err
		}
		for _, o := range objects {
			after = o.RecordingID
			if err := k.push(ctx, o); err != nil {
				if ctx.Err() != nil {
					return pushed, ctx.Err()
				}
				if failed++; first == nil {
					first = err
				}
				continue
			}
			pushed++
		}
		if len(objects) == heldPage {
			continue
		}
		if failed > 0 {
			return pushed, fmt.Errorf("%d objects have no legal hold that they should have, or one that they should not: %w", failed, first)
		}
		return pushed, nil
	}
}

func (k *HoldKeeper) push(ctx context.Context, o call.HeldObject) error {
	limit, cancel := context.WithTimeout(ctx, protectTimeout)
	defer cancel()
	// Protect never shortens a lock: the date of before stays.
	err := k.o.Vault.Protect(limit, o.Key, Protection{Hold: o.Hold})
	if errors.Is(err, ErrNotFound) && !o.Hold {
		err = nil // gone, as it may be
	}
	if err != nil {
		return err
	}
	return k.o.Store.MarkHeldObject(ctx, o)
}
