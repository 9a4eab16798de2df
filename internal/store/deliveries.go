package store

import (
	"context"
	"database/sql"
	"fmt"

	"callvault/internal/call"
)

const deliveryColumns = "id, uid, account, received_at, method, content_type, query, remote_address, source, outcome, error"

func scanDelivery(rows *sql.Rows, d *call.Delivery) error {
	var query []byte
	err := rows.Scan(&d.ID, &d.UID, &d.Account, timeInto{&d.ReceivedAt}, &d.Method, &d.ContentType, &query, &d.RemoteAddress, &d.Source, &d.Outcome, &d.Error)
	d.Query = string(query)
	return err
}

// FindDeliveries finds deliveries, newest first, without bodies and items, and
// the cursor of the next page, empty after the last.
func (s *Store) FindDeliveries(ctx context.Context, f call.DeliveryFilter) ([]call.Delivery, string, error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, "", err
	}
	c := matchingDeliveries(f)
	if f.Cursor != "" {
		id, _, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("id < ?", id)
	}
	var found []call.Delivery
	err = s.each(ctx, "SELECT "+deliveryColumns+" FROM deliveries"+c.where()+" ORDER BY id DESC LIMIT ?", append(c.args, limit+1),
		func(rows *sql.Rows) error {
			found = append(found, call.Delivery{})
			return scanDelivery(rows, &found[len(found)-1])
		})
	if err != nil {
		return nil, "", fmt.Errorf("find deliveries: %w", err)
	}
	next := ""
	if len(found) > limit {
		found = found[:limit]
		next = makeCursor(found[limit-1].ID, "")
	}
	return found, next, s.addCallIDs(ctx, found)
}

func (s *Store) addCallIDs(ctx context.Context, deliveries []call.Delivery) error {
	index := make(map[int64]int, len(deliveries))
	for i := range deliveries {
		index[deliveries[i].ID] = i
	}
	err := inChunks(deliveries, func(chunk []call.Delivery) error {
		// IN takes a plain list here: PostgreSQL reads VALUES as text.
		ids := make([]any, len(chunk))
		for i := range chunk {
			ids[i] = chunk[i].ID
		}
		return s.each(ctx, "SELECT DISTINCT i.delivery_id, l.call_id FROM delivery_items i JOIN legs l ON l.id = i.leg_id WHERE i.delivery_id IN "+tuples(1, len(ids))+" ORDER BY 1, 2",
			ids, func(rows *sql.Rows) error {
				var id int64
				var callID string
				if err := rows.Scan(&id, &callID); err != nil {
					return err
				}
				d := &deliveries[index[id]]
				d.CallIDs = append(d.CallIDs, callID)
				return nil
			})
	})
	if err != nil {
		return fmt.Errorf("read the calls of deliveries: %w", err)
	}
	return nil
}

// Delivery returns one delivery with its body and what became of its items, or
// a call.NotFound error.
func (s *Store) Delivery(ctx context.Context, id int64) (call.Delivery, error) {
	found := []call.Delivery{}
	var body []byte
	err := s.each(ctx, "SELECT "+deliveryColumns+", (SELECT body FROM bodies WHERE sha256 = body_sha256) FROM deliveries WHERE id = ?", []any{id},
		func(rows *sql.Rows) error {
			found = append(found, call.Delivery{})
			d := &found[0]
			var query []byte
			err := rows.Scan(&d.ID, &d.UID, &d.Account, timeInto{&d.ReceivedAt}, &d.Method, &d.ContentType, &query, &d.RemoteAddress, &d.Source, &d.Outcome, &d.Error, &body)
			d.Query = string(query)
			return err
		})
	if err != nil {
		return call.Delivery{}, fmt.Errorf("read delivery %d: %w", id, err)
	}
	if len(found) == 0 {
		return call.Delivery{}, call.Errorf(call.NotFound, "there is no delivery with this id")
	}
	found[0].Body = body
	err = s.each(ctx, "SELECT outcome, error FROM delivery_items WHERE delivery_id = ? ORDER BY item", []any{id}, func(rows *sql.Rows) error {
		var it call.Item
		if err := rows.Scan(&it.Outcome, &it.Error); err != nil {
			return err
		}
		found[0].Items = append(found[0].Items, it)
		return nil
	})
	if err != nil {
		return call.Delivery{}, fmt.Errorf("read delivery %d: %w", id, err)
	}
	return found[0], s.addCallIDs(ctx, found)
}

// DeliveryCounts counts the deliveries that the filter selects by their
// outcome; its limit and cursor are not used.
func (s *Store) DeliveryCounts(ctx context.Context, f call.DeliveryFilter) (map[call.DeliveryOutcome]int64, error) {
	c := matchingDeliveries(f)
	counts := map[call.DeliveryOutcome]int64{}
	err := s.each(ctx, "SELECT outcome, count(*) FROM deliveries"+c.where()+" GROUP BY outcome", c.args, func(rows *sql.Rows) error {
		var o call.DeliveryOutcome
		var n int64
		err := rows.Scan(&o, &n)
		counts[o] = n
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	return counts, nil
}

func matchingDeliveries(f call.DeliveryFilter) conditions {
	var c conditions
	if f.Outcome != "" {
		c.add("outcome = ?", string(f.Outcome))
		if f.Outcome != call.Recorded {
			c.add("outcome <> 'recorded'") // else their index is not used
		}
	}
	if f.Account != "" {
		c.add("account = ?", f.Account)
	}
	c.addList("account NOT IN", f.NotAccounts)
	if !f.From.IsZero() {
		c.add("received_at >= ?", f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		c.add("received_at < ?", f.To.UnixMilli())
	}
	return c
}
