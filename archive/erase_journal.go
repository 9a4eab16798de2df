package archive

import (
	"context"
	"errors"
	"strconv"

	"callvault/internal/call"
)

// This file erases a number from the journal, and from bundles that were made
// before.

func (e *Eraser) rewriter() rewriter { return rewriter{e.o.Store, e.o.Vault, e.o.Now} }

// findForgotten lists the segments in which the number stands in deliveries that
// the database has no more. Of the others it is known what they hold.
func (r *round) findForgotten(ctx context.Context) error {
	numbers, err := r.o.Store.ThinnedSegments(ctx)
	if err != nil {
		return err
	}
	redactor := call.NewRedactor(r.erasure.Number, nil)
	for _, number := range numbers {
		g, err := r.o.Store.Segment(ctx, number)
		if err != nil {
			return err
		}
		read, err := ReadRevision(ctx, r.o.Vault, number, g.Revision)
		if err != nil {
			return err
		}
		for _, d := range read.Deliveries {
			if d.ReceivedAt.After(r.erasure.AskedAt) || !redactor.Holds(d.Query) && !redactor.Holds(string(d.Body)) {
				continue
			}
			if err := r.o.Store.AddErasureItem(ctx, r.erasure.ID, call.ErasedJournal, strconv.FormatInt(number, 10)); err != nil {
				return err
			}
			break
		}
		if err := r.o.Store.RenewErasure(ctx, r.token, eraseLease); err != nil {
			return err
		}
	}
	return nil
}

// isMoreDue reports whether there are items that nobody has worked on.
func (r *round) isMoreDue(ctx context.Context) (bool, error) {
	for _, kind := range call.ErasureKinds() {
		due, err := r.o.Store.ErasureItems(ctx, r.erasure.ID, kind, "", 1, call.ErasureDue)
		if err != nil || len(due) > 0 {
			return len(due) > 0, err
		}
	}
	return false, nil
}

// rewriteJournal writes all segments again that hold something of the person, and
// then the journal, so that what was there before can be deleted.
func (r *round) rewriteJournal(ctx context.Context) error {
	before := len(r.rewritten)
	err := r.kind(ctx, call.ErasedJournal, func(ctx context.Context, item call.ErasureItem) error {
		err := r.rewriteSegment(ctx, item.Ref)
		if call.CodeOf(err) == call.NotFound {
			return nil // segment says so
		}
		return err
	})
	if err != nil || len(r.rewritten) == before || r.o.WriteJournal == nil {
		return err
	}
	if err := r.o.WriteJournal(ctx); err != nil {
		// Then they wait until it is written.
		r.o.Logger.WarnContext(ctx, "the journal could not be written; it is tried again", "error", err)
	}
	return r.o.Store.RenewErasure(ctx, r.token, eraseLease)
}

func (r *round) rewriteSegment(ctx context.Context, ref string) error {
	number, err := strconv.ParseInt(ref, 10, 64)
	if err != nil || r.rewritten[ref] {
		return err
	}
	erasure := r.erasure
	if r.guessed {
		erasure.Number = "" // only what rows tell is known to be the person's
	}
	if err := r.rewriter().rewrite(ctx, number, "erasure/"+r.erasure.ID, r.rewriter().redact(erasure)); err != nil {
		return err
	}
	r.rewritten[ref] = true
	return r.o.Store.RenewErasure(ctx, r.token, eraseLease)
}

// segment deletes what a segment was before it was written again.
func (r *round) segment(ctx context.Context, item call.ErasureItem) error {
	err := r.rewriteSegment(ctx, item.Ref)
	if call.CodeOf(err) == call.NotFound {
		r.needsNumber = true
		return r.keep(ctx, item, r.o.Now().Add(eraseEvery), "it is just being put into the vault")
	}
	if err != nil {
		return err
	}
	number, err := strconv.ParseInt(item.Ref, 10, 64)
	if err != nil {
		return err
	}
	left, err := r.rewriter().clear(ctx, number)
	if err != nil {
		return err
	}
	var last leftSegment
	for _, l := range left {
		if !l.Until.Before(last.Until) {
			last = l
		}
	}
	if len(left) > 0 {
		return r.keep(ctx, item, last.Until, "what it held before lies in the vault: "+last.why)
	}
	return r.o.Store.ErasedSegment(ctx, r.erasure.ID, item.Ref)
}

// export takes a bundle away.
func (r *round) export(ctx context.Context, item call.ErasureItem) error {
	if _, err := r.o.Store.RemoveExport(ctx, item.Ref); err != nil && call.CodeOf(err) != call.NotFound {
		return err
	}
	var keys []string
	for o, err := range r.o.Vault.List(ctx, "exports/"+item.Ref+"/") {
		if err != nil {
			return err
		}
		keys = append(keys, o.Key)
	}
	for _, key := range keys {
		if kept, err := r.locked(ctx, item, key); kept || err != nil {
			return err
		}
		err := r.remove(ctx, key)
		if locked, ok := errors.AsType[*LockedError](err); ok {
			return r.keep(ctx, item, locked.Until, lockReason(locked.Protection))
		}
		if err != nil {
			return err
		}
	}
	return r.o.Store.EraseExport(ctx, r.erasure.ID, item.Ref)
}
