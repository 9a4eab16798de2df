package archive

import (
	"context"
	"errors"
	"fmt"

	"callvault/internal/call"

	"golang.org/x/sync/errgroup"
)

// PromiseStore is what retention asks of the database about objects that are no
// recordings.
type PromiseStore interface {
	ToPromise(ctx context.Context, sort call.ObjectSort, term string, n int) ([]call.Promised, error)
	SavePromised(ctx context.Context, sort call.ObjectSort, term string, promised []call.Promised) error
}

// promise lets the vault promise what today's terms say of objects that are no
// recordings, as far as they were put under another term: first the vault, then
// the row. Certificates keep what they were promised when they were made.
func (r *Retainer) promise(ctx context.Context, a *Applied) error {
	for _, sort := range []call.ObjectSort{call.SegmentObjects, call.ReportObjects, call.SealObjects} {
		term := r.o.Terms.Of[sort]
		if term.End == nil {
			continue
		}
		for {
			found, err := r.o.Store.ToPromise(ctx, sort, term.Name, judgeStep)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				break
			}
			for i := range found {
				found[i].RetainUntil = r.o.Terms.Promise(sort, found[i].Start)
			}
			if err := r.lengthenObjects(ctx, found); err != nil {
				return err
			}
			if err := r.o.Store.SavePromised(ctx, sort, term.Name, found); err != nil {
				return err
			}
			for _, p := range found {
				if p.RetainUntil.After(p.Was) {
					a.Promised++
				}
			}
		}
	}
	return nil
}

func (r *Retainer) lengthenObjects(ctx context.Context, found []call.Promised) error {
	if r.o.Vault.Locks() == Unlocked {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lengthenAtOnce)
	for _, p := range found {
		if !p.RetainUntil.After(p.Was) || !p.RetainUntil.After(r.o.Now()) {
			continue
		}
		group.Go(func() error {
			for _, key := range p.Keys {
				limit, cancel := context.WithTimeout(ctx, objectTime)
				err := r.o.Vault.Lengthen(limit, key, p.RetainUntil)
				cancel()
				if errors.Is(err, ErrNotFound) {
					// As with recordings: verify tells, and the others must be locked.
					r.o.Logger.ErrorContext(ctx, "an object is missing in the vault", "object_key", key)
					continue
				}
				if err != nil {
					return fmt.Errorf("lengthen the lock of %s: %w", key, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}
