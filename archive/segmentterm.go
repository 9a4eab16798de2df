package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"callvault/internal/call"
)

// This file lets requests go out of the journal when its own term is over. The
// audit entries of a segment stay, in an object that takes the place of the old
// one: without them no seal could be checked, and nothing be made again of what
// the log tells.

// SegmentStore is what retention asks of the database about the journal.
type SegmentStore interface {
	RewriteStore
	KnownLegs(ctx context.Context, ids []int64) (map[int64]bool, error)
	HasCallBefore(ctx context.Context, at time.Time) (bool, error)
	SegmentsBefore(ctx context.Context, before time.Time, after int64, n int) ([]call.AgedSegment, error)
	KeepSegment(ctx context.Context, k call.SegmentKept) error
}

// segmentPage is how many segments are looked up at a time.
const segmentPage = 100

// eachAged calls do for each segment that holds requests and whose term is over
// at a moment, with when that was and from when on it may be written again: not
// before what was promised.
func (r *Retainer) eachAged(ctx context.Context, by time.Time, do func(g call.AgedSegment, over, due time.Time) error) error {
	if r.o.Journal == nil {
		return nil
	}
	cutoff := call.Cutoff(r.o.Journal, by.UTC())
	if cutoff.IsZero() {
		return nil
	}
	cutoff = cutoff.Add(48 * time.Hour) // it may be too early; each is looked at below
	for number := int64(0); ; {
		page, err := r.o.Store.SegmentsBefore(ctx, cutoff, number, segmentPage)
		if err != nil {
			return err
		}
		for _, g := range page {
			number = g.Number
			over := r.o.Journal(g.At.UTC())
			if over.After(by) {
				continue
			}
			due := over
			if g.RetainUntil.After(due) {
				due = g.RetainUntil
			}
			if err := do(g, over, due); err != nil {
				return err
			}
		}
		if len(page) < segmentPage {
			return nil
		}
	}
}

// expireJournal takes out of the segments whose term is over the requests that
// nothing needs any more, and deletes what the segments were before.
func (r *Retainer) expireJournal(ctx context.Context, a *Applied) error {
	w := rewriter{r.o.Store, r.o.Vault, r.o.Now}
	now := r.o.Now()
	err := r.eachAged(ctx, now, func(g call.AgedSegment, _, due time.Time) error {
		if due.After(now) || g.BlockedUntil.After(now) {
			return nil
		}
		if err := r.limit.Wait(ctx); err != nil {
			return err
		}
		err := r.thin(ctx, w, g, a)
		if _, broken := errors.AsType[*JournalFaultError](err); broken || errors.Is(err, ErrNotFound) {
			// verify tells of it, too, and the others must go.
			r.o.Logger.ErrorContext(ctx, "a segment of the journal is not as it was written, and stays", "number", g.Number, "error", err)
			return nil
		}
		return err
	})
	if err != nil || r.o.Journal == nil {
		return err
	}
	// Those of today go when the journal tells of what has taken their places.
	_, err = w.clear(ctx, 0)
	return err
}

// thin writes one segment again, unless the vault keeps it.
func (r *Retainer) thin(ctx context.Context, w rewriter, g call.AgedSegment, a *Applied) error {
	limit, cancel := context.WithTimeout(ctx, objectTime)
	p, err := r.o.Vault.Protection(limit, RevisionKey(g.Number, g.Revision))
	cancel()
	if err != nil {
		return err
	}
	if p.Keeps(r.o.Now()) {
		a.SegmentsBlocked++
		k := call.SegmentKept{Number: g.Number}
		if k.KeptBy, k.Again = r.keptBy(&LockedError{Protection: p}); !p.Hold {
			k.Until = p.Until
		}
		return r.o.Store.KeepSegment(ctx, k)
	}
	if g.BlockedBy != "" {
		if err := r.o.Store.KeepSegment(ctx, call.SegmentKept{Number: g.Number}); err != nil {
			return err
		}
	}
	if err := w.rewrite(ctx, g.Number, call.RewrittenByTerm, r.needed); err != nil {
		return err
	}
	after, err := r.o.Store.Segment(ctx, g.Number)
	if err != nil {
		return err
	}
	if after.Revision != g.Revision {
		a.Segments++
		a.SegmentBytes += g.Size - after.Size
	}
	return nil
}

// needed leaves of a segment's deliveries those that the database has, and those
// that told of a call that it has: because a hold keeps it, because it was told of
// anew, or because of what was promised for its audio. What nobody could read when
// it came may have been replayed since: of which call it told the segment does not
// say, so it stays as long as there is one that it may have been.
func (r *Retainer) needed(ctx context.Context, g *Segment) ([]*call.JournaledDelivery, error) {
	rows := map[int64]bool{}
	for d, err := range r.o.Store.JournalDeliveries(ctx, g.DeliveriesAfter, g.DeliveriesTo) {
		if err != nil {
			return nil, err
		}
		rows[d.ID] = true
	}
	var ids []int64
	for _, d := range g.Deliveries {
		for _, given := range d.Given {
			if given.LegID != 0 {
				ids = append(ids, given.LegID)
			}
		}
	}
	slices.Sort(ids)
	legs, err := r.o.Store.KnownLegs(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	older, err := r.o.Store.HasCallBefore(ctx, g.At)
	if err != nil {
		return nil, err
	}
	tells := func(given call.GivenIDs) bool { return legs[given.LegID] }
	unread := func(i call.Item) bool { return i.Outcome == call.Unreadable }
	return slices.DeleteFunc(slices.Clone(g.Deliveries), func(d *call.JournaledDelivery) bool {
		isNeeded := rows[d.ID] || slices.ContainsFunc(d.Given, tells) ||
			older && (d.Outcome == call.Unreadable || slices.ContainsFunc(d.Items, unread))
		return !isNeeded
	}), nil
}

// planJournal adds to a plan what becomes of the journal until its time.
func (r *Retainer) planJournal(ctx context.Context, plan *call.RetentionPlan, each func(call.PlanItem) error) error {
	return r.eachAged(ctx, plan.By, func(g call.AgedSegment, over, due time.Time) error {
		p := call.PlanItem{Segment: g.Number, RuleUntil: over, By: r.o.Terms.Of[call.SegmentObjects].Name, Until: due}
		p.Rule, p.DueAt, p.ObjectKey, p.Size = p.By, due, RevisionKey(g.Number, g.Revision), g.Size
		switch {
		case due.After(plan.By):
			p.Why = call.KeptPromised
		case g.HeldBy != "":
			p.Why, p.By, p.Until = call.KeptHeld, g.HeldBy, time.Time{}
		case g.BlockedUntil.After(plan.By):
			p.Why, p.By, p.Until = call.KeptLocked, g.BlockedBy, g.BlockedUntil
		}
		plan.AddSegment(p)
		if each == nil {
			return nil
		}
		if err := each(p); err != nil {
			return fmt.Errorf("journal segment %d: %w", g.Number, err)
		}
		return nil
	})
}
