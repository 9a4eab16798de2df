package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// untoldLive is what is wrong with a leg of whose LiveFrom no event tells.
const untoldLive = "since when it rang (live_from) is told by none of its events"

// liveMoment is when an event began the ringing of a call, in milliseconds, for
// that is how exactly a call in progress keeps it.
type liveMoment struct {
	account string
	at      int64
}

// liveMoments are the legs whose LiveFrom is still to be found in an event.
type liveMoments map[liveMoment][]*keptLeg

// readLive finds the events that told since when the calls of legs rang, and
// notes of which legs there is none, though it would be kept. Events are in no
// row of their own: their deliveries are read again. What told of a leg has a note
// of the one that counts; where it does not help, for it is of an earlier version or
// was changed, those of that time are read, and such as came late only where none of
// those fits. Pages without such a leg cost nothing.
func (c *checker) readLive(ctx context.Context, page []*keptLeg) error {
	const day = 24 * time.Hour
	untold := liveMoments{}
	for _, k := range page {
		// What erased or unreadable deliveries told nobody knows, and what is wrong
		// otherwise is said instead.
		isKnown := k.broken == "" && k.unknown == 0 && len(k.reports) > 0 && !k.Erased
		if isKnown && !k.LiveFrom.IsZero() && !k.LiveFrom.Before(c.o.KeptSince) {
			at := liveMoment{k.account, k.LiveFrom.UnixMilli()}
			untold[at] = append(untold[at], k)
		}
	}
	if len(untold) == 0 {
		return nil
	}
	var noted conditions
	noted.add("id IN (SELECT told_by FROM delivery_items WHERE leg_id >= ? AND leg_id <= ?)", page[0].id, page[len(page)-1].id)
	if err := c.readEvents(ctx, untold, noted); err != nil {
		return err
	}
	if err := c.findLive(ctx, untold, untold.from().Add(-time.Minute), untold.to().Add(5*time.Minute)); err != nil {
		return err
	}
	if err := c.leaveForgotten(ctx, untold, day); err != nil {
		return err
	}
	if err := c.findLive(ctx, untold, untold.from().Add(-day), untold.to().Add(2*day)); err != nil {
		return err
	}
	// What is imported comes together.
	first, last := untold.reported()
	if err := c.findLive(ctx, untold, first.Add(-5*time.Minute), last.Add(5*time.Minute)); err != nil {
		return err
	}
	// To look through all that came since is only for what would be a fault.
	untold.leave(func(_ liveMoment, k *keptLeg) bool {
		k.isUntold = k.Provider == call.Mapped || k.LiveFrom.Before(c.o.ReadSince)
		return k.isUntold
	})
	if err := c.findLive(ctx, untold, untold.from().Add(-day), time.Time{}); err != nil {
		return err
	}
	untold.leave(func(_ liveMoment, k *keptLeg) bool {
		k.isUntold = true
		return true
	})
	return nil
}

// from and to are the first and the last of the moments.
func (u liveMoments) from() time.Time {
	first := int64(math.MaxInt64)
	for at := range u {
		first = min(first, at.at)
	}
	return time.UnixMilli(first)
}

func (u liveMoments) to() time.Time {
	last := int64(math.MinInt64)
	for at := range u {
		last = max(last, at.at)
	}
	return time.UnixMilli(last)
}

// reported is when the first and the last of the legs were last reported.
func (u liveMoments) reported() (first, last time.Time) {
	for _, legs := range u {
		for _, k := range legs {
			first = earlier(first, k.readAt)
			if k.readAt.After(last) {
				last = k.readAt
			}
		}
	}
	return first, last
}

// findLive takes the legs out of untold that are told by an event which was
// received in a time; to zero: at any time later.
func (c *checker) findLive(ctx context.Context, untold liveMoments, from, to time.Time) error {
	if len(untold) == 0 {
		return nil
	}
	var where conditions
	where.add("received_at >= ?", from.UnixMilli())
	if !to.IsZero() {
		where.add("received_at <= ?", to.UnixMilli())
	}
	return c.readEvents(ctx, untold, where)
}

// eventsPage is how many deliveries are read at a time in search of events.
const eventsPage = 500

// readEvents takes the legs out of untold that are told by an event in one of the
// deliveries that are selected, read from the first on until there are none left.
func (c *checker) readEvents(ctx context.Context, untold liveMoments, where conditions) error {
	accounts := map[string]bool{}
	for at := range untold {
		accounts[at.account] = true
	}
	where.texts = append(where.texts, where.oneOf("account", slices.Sorted(maps.Keys(accounts))))
	where.add("EXISTS (SELECT 1 FROM delivery_items i WHERE i.delivery_id = deliveries.id AND i.leg_id IS NULL)")
	at, id := int64(-1), int64(0)
	for len(untold) > 0 {
		page := conditions{texts: slices.Clone(where.texts), args: slices.Clone(where.args)}
		page.add("(received_at, id) > (?, ?)", at, id)
		seen, was := 0, id
		err := c.each(ctx, "SELECT "+deliveryColumns+", (SELECT body FROM bodies WHERE sha256 = body_sha256), erased FROM deliveries"+page.where()+
			" ORDER BY received_at, id LIMIT ?", append(page.args, eventsPage), func(rows *sql.Rows) error {
			seen++
			var erased string
			d, err := scanWhole(rows, &erased)
			if err != nil {
				return passOver(rows, err) // the check of deliveries names it
			}
			at, id = d.ReceivedAt.UnixMilli(), d.ID
			c.o.Decode(d)
			untold.take(d, erased != "")
			return nil
		})
		if err != nil || seen < eventsPage || id == was {
			return err
		}
	}
	return nil
}

// take takes out the legs of whose start the delivery tells.
func (u liveMoments) take(d *call.Delivery, erased bool) {
	tells := false
	for _, it := range d.Items {
		if e := it.Live; e != nil && e.IsStart && !e.At.IsZero() {
			tells = true
			u.leaveAt(liveMoment{d.Account, e.At.UnixMilli()}, func(k *keptLeg) bool { return k.isToldBy(e, erased) })
		}
	}
	if tells || !erased {
		return
	}
	// Nobody can read any more what it told, which was of a call of that time.
	u.leave(func(at liveMoment, k *keptLeg) bool {
		return at.account == d.Account &&
			d.ReceivedAt.After(k.LiveFrom.Add(-24*time.Hour)) && d.ReceivedAt.Before(k.readAt.Add(24*time.Hour))
	})
}

// leave takes out legs.
func (u liveMoments) leave(goes func(liveMoment, *keptLeg) bool) {
	for at := range u {
		u.leaveAt(at, func(k *keptLeg) bool { return goes(at, k) })
	}
}

// leaveAt takes out legs of a moment.
func (u liveMoments) leaveAt(at liveMoment, goes func(*keptLeg) bool) {
	legs, ok := u[at]
	if !ok {
		return
	}
	if u[at] = slices.DeleteFunc(legs, goes); len(u[at]) == 0 {
		delete(u, at)
	}
}

// isToldBy reports whether the event may have told the leg its LiveFrom: it is
// of that moment, and of a call by an identifier that the leg has or had. Of an
// erased event the identifier may be gone; a row of a call list may have been
// taken to be about another leg by then.
func (k *keptLeg) isToldBy(e *call.LiveCall, erased bool) bool {
	if !k.LiveFrom.Equal(e.At) && !k.LiveFrom.Equal(e.At.Truncate(time.Millisecond)) {
		return false
	}
	value := cleanText(e.Key.Value)
	return erased || k.Listed || value == cleanText(k.ID()) ||
		slices.ContainsFunc(k.Keys, func(key call.Key) bool { return cleanText(key.Value) == value })
}

// leaveForgotten takes out the legs whose events may be among those deliveries
// that were deleted when their term was over, as the log tells: a hold keeps
// reports, but no events. margin is how far the provider's clock may be from
// ours.
func (c *checker) leaveForgotten(ctx context.Context, untold liveMoments, margin time.Duration) error {
	forgotten := map[string]time.Time{}
	for at := range untold {
		if _, known := forgotten[at.account]; known {
			continue
		}
		before, err := c.forgottenBefore(ctx, at.account)
		if err != nil {
			return err
		}
		forgotten[at.account] = before
	}
	untold.leave(func(at liveMoment, k *keptLeg) bool {
		before := forgotten[at.account]
		return !before.IsZero() && k.LiveFrom.Before(before.Add(margin))
	})
	return nil
}

// forgottenBefore is up to when deliveries of the account have been deleted
// because a term was over; zero: none has.
func (c *checker) forgottenBefore(ctx context.Context, account string) (before time.Time, err error) {
	err = c.each(ctx, "SELECT facts FROM audit_entries WHERE subject = ? AND subject <> '' AND action IN (?, ?)",
		[]any{"account/" + account, string(audit.DeliveriesExpired), string(audit.CallsExpired)}, func(rows *sql.Rows) error {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			var facts audit.ForgottenFacts
			if json.Unmarshal([]byte(text), &facts) != nil {
				return nil //nolint:nilerr // it was altered, which the check of the log says
			}
			for _, end := range []time.Time{facts.ReceivedBefore, facts.StartedBefore} {
				if end.After(before) {
					before = end
				}
			}
			return nil
		})
	return before, err
}

// unheard says that no event told LiveFrom, if none did.
func (k *keptLeg) unheard() string {
	if k.isUntold {
		return untoldLive
	}
	return ""
}

// untold notes that no event told the leg's LiveFrom. An earlier version, or
// another mapping, may have read the event otherwise.
func (c *checker) untold(k *keptLeg) {
	if k.Provider == call.Mapped {
		c.checked.Notices = append(c.checked.Notices, call.Fault{Kind: call.FaultLeg, Where: k.where,
			What: untoldLive + ", as its account's mapping reads them today"})
		return
	}
	c.differs(call.FaultLeg, k.where, untoldLive, earlier(k.readAt, k.LiveFrom))
}
