package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// CheckLegs compares a page of legs, beginning after the place that a page
// before ended with, with what today's decoder makes of their deliveries. From
// and To of the options are not used.
func (s *Store) CheckLegs(ctx context.Context, o call.CheckOptions, after string, limit int) (call.Checked, error) {
	last := int64(math.MinInt64)
	if after != "" {
		var err error
		if last, err = strconv.ParseInt(after, 10, 64); err != nil {
			return call.Checked{}, call.Errorf(call.Invalid, "not a place that a page ended with")
		}
	}
	c := newChecker(s, o, call.FaultLeg)
	page, err := c.legPage(ctx, "id > ? ORDER BY id LIMIT ?", last, limit)
	if err == nil {
		err = c.legs(ctx, page)
	}
	if err != nil {
		return call.Checked{}, fmt.Errorf("check legs: %w", err)
	}
	if len(page) == limit {
		c.checked.Next = strconv.FormatInt(page[len(page)-1].id, 10)
	}
	return c.checked, nil
}

// keptLeg is a leg's row, and what its deliveries say today. Its Leg is read from
// its facts only where these are not what the deliveries say.
type keptLeg struct {
	leg
	where        string
	account, key string
	facts        string
	hasCall      bool
	// broken says what is wrong with the row itself.
	broken string
	// leading is the identifier in its call's row, if that leads to the call. found is
	// the call that the identifier by which the leg is found leads to.
	leading callKey
	found   string
	// deliveries is how many of its deliveries are kept, unknown how many of
	// them nobody can read any more: they are of an account that is not
	// configured, or hold no longer what came, on somebody's request.
	deliveries, unknown int
	// reports are what they say of it, moved what those items of them say that
	// once spoke of it, and now do of another.
	reports, moved []call.Leg
	readAt         time.Time
	// isSaid: its facts are those that its deliveries give, to the byte.
	isSaid bool
	// isUntold: no event that is kept tells its LiveFrom.
	isUntold bool
}

func (c *checker) legPage(ctx context.Context, where string, args ...any) ([]*keptLeg, error) {
	var page []*keptLeg
	err := c.each(ctx, `SELECT l.id, l.account, l.leg_key, l.call_id, l.facts, c.id IS NOT NULL, coalesce(k.value, ''), coalesce(k.kind, ''), coalesce(k.account, '')
		FROM (SELECT id, account, leg_key, call_id, facts FROM legs WHERE `+where+`) l LEFT JOIN calls c ON c.id = l.call_id
		LEFT JOIN call_keys k ON k.value = c.call_key AND k.kind = c.key_kind AND k.account = c.account AND k.call_id = c.id ORDER BY l.id`, args,
		func(rows *sql.Rows) error {
			k := &keptLeg{}
			err := rows.Scan(&k.id, &k.account, &k.key, &k.callID, &k.facts, &k.hasCall, &k.leading.value, &k.leading.kind, &k.leading.account)
			k.where = "leg/" + k.account + "/" + k.key
			page = append(page, k)
			return err
		})
	return page, err
}

// read takes the leg from its facts; where these are what its deliveries say there is
// nothing to take.
func (k *keptLeg) read() {
	var again call.Leg
	isTold := len(k.reports) > 0 && k.unknown == 0
	if isTold {
		again = call.FillAll(k.reports)
		if k.isSaid = k.isWrittenAs(&again); k.isSaid {
			k.Leg = again
		}
	}
	var err error
	if !k.isSaid {
		err = (jsonInto{&k.Leg}).Scan(k.facts)
	}
	switch {
	case err != nil:
		k.broken = "its row cannot be read any more"
	case k.Account != k.account || cleanText(k.Key) != k.key:
		k.broken = "its row speaks of another leg than its facts"
	case !k.hasCall:
		k.broken = "the call that it belongs to is gone"
	case isTold && !k.isSaid:
		again.LiveFrom, again.Joined = k.LiveFrom, k.Joined // which no report tells; see readLive
		k.isSaid = k.isWrittenAs(&again)
	}
}

// isWrittenAs reports whether the row has just the facts that would be written.
func (k *keptLeg) isWrittenAs(l *call.Leg) bool {
	text, err := l.JSON()
	return err == nil && cleanText(text) == k.facts
}

// legs checks legs. What looks wrong is looked at once more: a report may have
// come between the leg and its deliveries being read.
func (c *checker) legs(ctx context.Context, page []*keptLeg) error {
	if len(page) == 0 {
		return nil
	}
	if err := c.readWhole(ctx, page); err != nil {
		return err
	}
	for _, k := range page {
		c.checked.Where = append(c.checked.Where, k.where)
		what, err := c.leg(ctx, k)
		if err != nil {
			return err
		}
		if what == "" {
			continue
		}
		if what == untoldLive { // which came with its event, and was looked for all over
			c.untold(k)
			continue
		}
		again, err := c.legPage(ctx, "id = ?", k.id)
		if err != nil {
			return err
		}
		if len(again) == 0 {
			continue // it has become one with another
		}
		k = again[0]
		if err := c.readWhole(ctx, again); err != nil {
			return err
		}
		if what, err = c.leg(ctx, k); err != nil {
			return err
		}
		switch {
		case what == "":
		case k.broken != "":
			c.fault(call.FaultLeg, k.where, "%s", what)
		case what == untoldLive:
			c.untold(k)
		default:
			c.differs(call.FaultLeg, k.where, what, k.readAt)
		}
	}
	return nil
}

// readWhole reads what the legs' deliveries say today, the legs themselves, what
// events told of them, and by what they are found.
func (c *checker) readWhole(ctx context.Context, page []*keptLeg) error {
	if err := c.readReports(ctx, page); err != nil {
		return err
	}
	for _, k := range page {
		k.read()
	}
	if err := c.readLive(ctx, page); err != nil {
		return err
	}
	return c.readKeys(ctx, page)
}

// readKeys reads where the identifiers lead of legs that are not found by that of
// their call's row: few, if any.
func (c *checker) readKeys(ctx context.Context, page []*keptLeg) error {
	for _, k := range page {
		key := appendKeys(nil, k.Account, []call.Key{k.CallKey()})[0]
		if key == k.leading {
			k.found = k.callID
			continue
		}
		err := c.each(ctx, "SELECT call_id FROM call_keys WHERE value = ? AND kind = ? AND account = ?", []any{key.value, string(key.kind), key.account},
			func(rows *sql.Rows) error { return rows.Scan(&k.found) })
		if err != nil {
			return err
		}
	}
	return nil
}

// readReports reads what the legs' deliveries say today.
func (c *checker) readReports(ctx context.Context, page []*keptLeg) error {
	byID := map[int64]*keptLeg{}
	for _, k := range page {
		k.readAt = time.Now()
		byID[k.id] = k
	}
	type link struct{ item, leg int64 }
	links := map[int64][]link{}
	first, last := page[0].id, page[len(page)-1].id
	err := c.each(ctx, "SELECT delivery_id, item, leg_id FROM delivery_items WHERE leg_id >= ? AND leg_id <= ? ORDER BY delivery_id, item",
		[]any{first, last}, func(rows *sql.Rows) error {
			var delivery int64
			var l link
			if err := rows.Scan(&delivery, &l.item, &l.leg); err != nil {
				return passOver(rows, err) // the check of deliveries names it
			}
			links[delivery] = append(links[delivery], l)
			return nil
		})
	if err != nil {
		return err
	}
	return c.eachWhole(ctx, first, last, func(d *call.Delivery, erased bool) {
		known := c.o.Decode(d) && !erased
		seen := map[int64]bool{}
		for _, l := range links[d.ID] {
			k := byID[l.leg]
			if k == nil {
				continue
			}
			if !seen[k.id] {
				seen[k.id] = true
				if k.deliveries++; k.deliveries == 1 || d.ReceivedAt.After(k.readAt) {
					k.readAt = d.ReceivedAt
				}
				if !known {
					k.unknown++
				}
			}
			if l.item >= int64(len(d.Items)) || d.Items[l.item].Leg == nil {
				continue
			}
			if told := d.Items[l.item].Leg; told.Account == k.account && cleanText(told.Key) == k.key {
				k.reports = append(k.reports, *told)
			} else {
				k.moved = append(k.moved, *told)
			}
		}
	})
}

// eachWhole reads the deliveries that told of legs, from one id to another, with
// their bodies, one after the other.
func (c *checker) eachWhole(ctx context.Context, first, last int64, f func(d *call.Delivery, erased bool)) error {
	return c.each(ctx, "SELECT "+deliveryColumns+`, (SELECT body FROM bodies WHERE sha256 = body_sha256), erased FROM deliveries
		WHERE id IN (SELECT delivery_id FROM delivery_items WHERE leg_id >= ? AND leg_id <= ?)`, []any{first, last},
		func(rows *sql.Rows) error {
			var erased string
			d, err := scanWhole(rows, &erased)
			if call.AsUnreadable(unreadable(rows, err)) != nil {
				// The check of deliveries names it; what it told nobody knows.
				f(&call.Delivery{ID: d.ID}, true)
				return nil //nolint:nilerr // so it is taken in
			}
			if err == nil {
				f(d, erased != "")
			}
			return err
		})
}

// scanWhole scans deliveryColumns and the body, and what else is selected.
func scanWhole(rows *sql.Rows, more ...any) (*call.Delivery, error) {
	d := &call.Delivery{}
	var query []byte
	err := rows.Scan(append([]any{&d.ID, &d.UID, &d.Account, timeInto{&d.ReceivedAt}, &d.Method, &d.ContentType, &query, &d.RemoteAddress,
		&d.Source, &d.Outcome, &d.Error, &d.Body}, more...)...)
	d.Query = string(query)
	return d, err
}

// leg says what is wrong with a leg, if anything is.
func (c *checker) leg(ctx context.Context, k *keptLeg) (what string, err error) {
	if k.broken != "" {
		return k.broken, nil
	}
	if what, err = c.keyOf(ctx, k); what != "" || err != nil {
		return what, err
	}
	if k.unknown > 0 {
		return "", nil // nobody can read those any more, and they prove nothing
	}
	if len(k.reports) == 0 {
		if k.deliveries == 0 && !c.o.KeptSince.IsZero() {
			return "", nil // they were deleted when their time was over
		}
		return "none of its deliveries tells of it", nil
	}
	if k.isSaid {
		return k.unheard(), nil
	}
	differ, err := k.DiffersFrom(k.reports)
	if err != nil {
		return "its row cannot be written as it was read", nil //nolint:nilerr // that is the fault
	}
	if len(differ) == 0 {
		return k.unheard(), nil
	}
	first := k.reports[0].Earliest()
	for _, r := range k.reports[1:] {
		if at := r.Earliest(); at.Before(first) {
			first = at
		}
	}
	if !c.o.KeptSince.IsZero() && first.Before(c.o.KeptSince) {
		// Earlier deliveries may have told more. What the kept ones say must be
		// in it all the same.
		again := k.Reread(k.reports, k.moved)
		if sameLeg(&k.Leg, &again) {
			return k.unheard(), nil
		}
	}
	return "it is not what its deliveries tell, in " + strings.Join(differ, ", "), nil
}

// keyOf compares a leg with what finds it.
func (c *checker) keyOf(ctx context.Context, k *keptLeg) (what string, err error) {
	if k.found != k.callID {
		return "the identifier by which it is found does not lead to its call", nil
	}
	if k.Joined == (call.Key{}) {
		return "", nil
	}
	members, err := c.legsOf(ctx, k.callID)
	if call.AsUnreadable(err) != nil {
		return "", nil //nolint:nilerr // the check of calls names it
	}
	if err != nil || slices.ContainsFunc(members, func(m call.Leg) bool { return !m.Listed && m.CallKey() == k.Joined }) {
		return "", err
	}
	return "the leg that it was found to be about is not of its call", nil
}
