package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// CheckDeliveries checks a page of deliveries, beginning after the place that a
// page before ended with: that their bodies are those that came, and that what
// became of them is what today's decoder makes of them.
func (s *Store) CheckDeliveries(ctx context.Context, o call.CheckOptions, after string, limit int) (call.Checked, error) {
	c := newChecker(s, o, call.FaultDelivery)
	if strings.HasPrefix(after, bodyPlace) {
		if err := c.bodies(ctx, after); err != nil {
			return call.Checked{}, fmt.Errorf("check bodies: %w", err)
		}
		return c.checked, nil
	}
	last := int64(math.MinInt64)
	if after != "" {
		var err error
		if last, err = strconv.ParseInt(after, 10, 64); err != nil {
			return call.Checked{}, call.Errorf(call.Invalid, "not a place that a page ended with")
		}
	}
	where := matchingDeliveries(call.DeliveryFilter{From: o.From, To: o.To})
	where.add("id > ?", last)
	page, err := c.deliveryPage(ctx, where.where()+" ORDER BY id LIMIT ?", append(where.args, limit)...)
	if err == nil {
		err = c.deliveries(ctx, page)
	}
	if err != nil {
		return call.Checked{}, fmt.Errorf("check deliveries: %w", err)
	}
	switch {
	case len(page) == limit:
		c.checked.Next = strconv.FormatInt(page[len(page)-1].id, 10)
	case o.From.IsZero() && o.To.IsZero(): // no time is known of a body
		c.checked.Next = bodyPlace + "0"
	}
	return c.checked, nil
}

// Bodies are looked at after the deliveries, by the first digits of their hashes.
const (
	bodyPlace  = "body/"
	bodyPieces = 16
)

// bodies names bodies of one piece that no delivery has: they came and went with
// one, in the same transaction.
func (c *checker) bodies(ctx context.Context, place string) error {
	piece, err := strconv.ParseUint(strings.TrimPrefix(place, bodyPlace), 16, 4)
	if err != nil {
		return call.Errorf(call.Invalid, "not a place that a page ended with")
	}
	var where conditions
	if piece > 0 { // before it lies what is no hash at all
		where.add("sha256 >= ?", []byte{byte(piece << 4)})
	}
	if piece+1 < bodyPieces {
		where.add("sha256 < ?", []byte{byte((piece + 1) << 4)})
		c.checked.Next = bodyPlace + strconv.FormatUint(piece+1, 16)
	}
	return c.bodiesAlone(ctx, where)
}

// bodiesAlone names those of certain bodies that no delivery has.
func (c *checker) bodiesAlone(ctx context.Context, where conditions) error {
	where.add("NOT EXISTS (SELECT 1 FROM deliveries d WHERE substr(d.body_sha256, 1, 4) = substr(bodies.sha256, 1, 4) AND d.body_sha256 = bodies.sha256)")
	return c.each(ctx, "SELECT sha256 FROM bodies"+where.where()+" ORDER BY sha256 LIMIT ?", append(where.args, backgroundRows), func(rows *sql.Rows) error {
		var sum []byte
		err := rows.Scan(&sum)
		place := bodyPlace + hex.EncodeToString(sum)
		c.checked.Where = append(c.checked.Where, place)
		c.fault(call.FaultDelivery, place, "no delivery has this body: somebody has put it there, or has taken the delivery away")
		return err
	})
}

// keptDelivery is what is wrong with a delivery, if anything is.
type keptDelivery struct {
	// erased: something was erased from it, which its error says instead.
	erased bool
	id     int64
	what   string
	// altered: what is wrong is its body, whatever reads it.
	altered bool
	// items are what became of its parts, decoded what they are today; known is
	// false if nobody can tell.
	items   []keptItem
	decoded *call.Delivery
	known   bool
}

type keptItem struct {
	n            int64
	outcome      call.DeliveryOutcome
	err          string
	legID        sql.NullInt64
	account, key sql.NullString
	// toldFrom is since when its leg's call rang, as it told; toldLeg are that leg's
	// facts, if it is there.
	toldFrom sql.NullInt64
	toldLeg  sql.NullString
}

func (c *checker) deliveryPage(ctx context.Context, where string, args ...any) ([]*keptDelivery, error) {
	var page []*keptDelivery
	err := c.each(ctx, "SELECT "+deliveryColumns+`, (SELECT body FROM bodies WHERE sha256 = body_sha256),
		EXISTS (SELECT 1 FROM bodies WHERE sha256 = body_sha256), body_sha256, erased FROM deliveries`+where, args,
		func(rows *sql.Rows) error {
			var sum []byte
			var hasBody bool
			var erased string
			d, err := scanWhole(rows, &hasBody, &sum, &erased)
			k := &keptDelivery{id: d.ID, erased: erased != ""}
			if bad := call.AsUnreadable(unreadable(rows, err)); bad != nil {
				k.what, k.altered = bad.What(), true
				page = append(page, k)
				return nil
			}
			if err != nil {
				return err
			}
			got := sha256.Sum256(d.Body)
			k.decoded = &call.Delivery{ID: d.ID, ReceivedAt: d.ReceivedAt, Outcome: d.Outcome, Error: d.Error}
			switch {
			case d.ID <= 0:
				k.what, k.altered = "no delivery gets such a number, and no journal would have it: somebody has put it there", true
			case erased != "":
				// What came was erased by right, and its hash alone is left.
			case !hasBody:
				k.what, k.altered = "its body is gone", true
			case !bytes.Equal(got[:], sum):
				k.what, k.altered = "its body is not the one that came: its SHA-256 is another", true
			default:
				k.known = c.o.Decode(d)
				k.decoded.Items = d.Items
			}
			page = append(page, k)
			return nil
		})
	return page, err
}

// deliveries checks deliveries; what looks wrong is looked at once more, for
// its items are read after it.
func (c *checker) deliveries(ctx context.Context, page []*keptDelivery) error {
	if len(page) == 0 {
		return nil
	}
	if err := c.readItems(ctx, page); err != nil {
		return err
	}
	for _, k := range page {
		where := "delivery/" + strconv.FormatInt(k.id, 10)
		c.checked.Where = append(c.checked.Where, where)
		if k.judge(); k.what == "" {
			continue
		}
		again, err := c.deliveryPage(ctx, " WHERE id = ?", k.id)
		if err != nil {
			return err
		}
		if len(again) == 0 {
			continue // its time was over
		}
		k = again[0]
		if err := c.readItems(ctx, again); err != nil {
			return err
		}
		switch k.judge(); {
		case k.what == "":
		case k.altered:
			c.fault(call.FaultDelivery, where, "%s", k.what)
		default:
			c.differs(call.FaultDelivery, where, k.what, k.decoded.ReceivedAt)
		}
	}
	return nil
}

func (c *checker) readItems(ctx context.Context, page []*keptDelivery) error {
	byID := map[int64]*keptDelivery{}
	for _, k := range page {
		byID[k.id] = k
	}
	return c.each(ctx, `SELECT i.delivery_id, i.item, i.outcome, i.error, i.leg_id, l.account, l.leg_key, i.told_from, t.facts
		FROM delivery_items i LEFT JOIN legs l ON l.id = i.leg_id LEFT JOIN legs t ON t.id = i.told_leg
		WHERE i.delivery_id >= ? AND i.delivery_id <= ? ORDER BY i.delivery_id, i.item`, []any{page[0].id, page[len(page)-1].id}, func(rows *sql.Rows) error {
		var id int64
		var it keptItem
		err := rows.Scan(&id, &it.n, &it.outcome, &it.err, &it.legID, &it.account, &it.key, &it.toldFrom, &it.toldLeg)
		k := byID[id]
		if bad := call.AsUnreadable(unreadable(rows, err)); bad != nil {
			// Of another delivery's number nothing is known here, and this one lacks it.
			if k != nil && k.what == "" {
				k.what, k.altered = "one of its items cannot be read any more", true
			}
			return nil
		}
		if k != nil {
			k.items = append(k.items, it)
		}
		return err
	})
}

// hasLost reports whether the leg that was told since when its call rang does not
// know it any more, or a later moment: it may only learn of an earlier one. What
// cannot be read, or was erased, is not judged here.
func (it *keptItem) hasLost() bool {
	if !it.toldFrom.Valid || !it.toldLeg.Valid {
		return false
	}
	var l struct {
		LiveFrom time.Time `json:"live_from"`
		Erased   bool      `json:"erased"`
	}
	if json.Unmarshal([]byte(it.toldLeg.String), &l) != nil || l.Erased {
		return false
	}
	return l.LiveFrom.IsZero() || l.LiveFrom.UnixMilli() > it.toldFrom.Int64
}

// judge compares what became of the delivery with what it is today.
func (k *keptDelivery) judge() {
	if k.what != "" {
		return
	}
	var sum call.Delivery
	for i, it := range k.items {
		if it.n != int64(i) {
			k.what, k.altered = "one of its items is gone", true
			return
		}
		if it.legID.Valid && !it.key.Valid {
			k.what, k.altered = fmt.Sprintf("the leg that item %d told of is gone", i), true
			return
		}
		if it.hasLost() {
			k.what, k.altered = fmt.Sprintf("with item %d a leg was told since when it rang (live_from), and does not have it any more", i), true
			return
		}
		sum.Items = append(sum.Items, call.Item{Outcome: it.outcome, Error: it.err})
	}
	if sum.Summarize(); sum.Outcome != k.decoded.Outcome || sum.Error != k.decoded.Error && !k.erased {
		k.what, k.altered = "its outcome is not that of its items", true
		return
	}
	if !k.known {
		return // nobody can read it any more
	}
	if len(k.items) != len(k.decoded.Items) {
		k.what = fmt.Sprintf("it has %d items, and gives %d", len(k.items), len(k.decoded.Items))
		return
	}
	for i := range k.items {
		it, now := &k.items[i], &k.decoded.Items[i]
		switch {
		case now.Leg == nil && now.Live == nil && (it.outcome != now.Outcome || it.err != cleanText(now.Error)):
			k.what = fmt.Sprintf("item %d was %s, and is %s", i, it.outcome, now.Outcome)
		case (now.Leg != nil || now.Live != nil) && !told(it.outcome):
			k.what = fmt.Sprintf("item %d was %s, and tells of a call", i, it.outcome)
		case (now.Leg != nil) != it.legID.Valid:
			k.what = fmt.Sprintf("item %d and its leg do not belong together", i)
		case now.Leg != nil && (now.Leg.Account != it.account.String || cleanText(now.Leg.Key) != it.key.String):
			k.what = fmt.Sprintf("item %d tells of another leg than the one that it is noted for", i)
		}
	}
}
