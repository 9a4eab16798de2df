package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"callvault/internal/call"
)

// settleTime is how long before a list was read a call must have begun to be
// expected in it: providers list a call when it is over, and some minutes
// later.
const settleTime = 2 * time.Hour

// A row's call may have become one with an older one since.
const rowCall = "coalesce((SELECT r.call_id FROM call_redirects r WHERE r.id = lr.call_id), lr.call_id)"

// wasReported: webhooks or imports told of the call c, not only a list.
const wasReported = "EXISTS (SELECT 1 FROM legs l WHERE l.call_id = c.id AND l.leg_key NOT LIKE 'list:%')"

// Reconcile compares one day of one account in the provider's list, the
// deliveries, the calls and the vault.
func (s *Store) Reconcile(ctx context.Context, f call.ReconciliationFilter) (call.Reconciliation, error) {
	r := call.Reconciliation{Recordings: map[call.RecordingState]int64{}, Counts: map[call.Reason]int64{}}
	if err := s.reconcileCounts(ctx, f, &r); err != nil {
		return r, fmt.Errorf("reconcile %s of account %s: %w", f.Day, f.Account, err)
	}
	day := []any{f.Account, f.From.UnixMilli(), f.To.UnixMilli()}
	const calls = " FROM calls c WHERE c.account = ? AND c.started_at >= ? AND c.started_at < ?"
	const recordings = " FROM recordings x JOIN calls c ON c.id = x.call_id WHERE c.account = ? AND c.started_at >= ? AND c.started_at < ?"
	const rows = " FROM listed_rows lr LEFT JOIN calls c ON c.id = " + rowCall + " WHERE lr.account = ? AND lr.day = ?"
	for _, q := range []struct {
		reason call.Reason
		// columns are call id, key, time, recording id and detail.
		columns, from string
		args          []any
	}{
		{call.NotTaken, "'', lr.row_key, lr.at, '', lr.list", rows + " AND c.id IS NULL", []any{f.Account, f.Day}},
		{call.NotDelivered, "c.id, c.call_key, c.started_at, '', lr.list", rows + " AND c.id IS NOT NULL AND NOT " + wasReported, []any{f.Account, f.Day}},
		{call.NotListed, "c.id, c.call_key, c.started_at, '', c.outcome", calls + " AND c.started_at < ? AND " + wasReported +
			" AND NOT EXISTS (SELECT 1 FROM listed_rows lr WHERE lr.account = c.account AND (lr.call_id = c.id OR lr.call_id IN (SELECT r.id FROM call_redirects r WHERE r.call_id = c.id)))",
			append(slices.Clip(day), listedUntil(r.List).UnixMilli())},
		{call.NotNamed, "c.id, c.call_key, c.started_at, '', coalesce((SELECT max('the list says that it was recorded') FROM listed_rows lr WHERE lr.call_id = c.id AND lr.recorded = 1), '')", calls +
			" AND c.outcome = 'answered' AND c.talk_seconds > 0 AND NOT EXISTS (SELECT 1 FROM recordings x WHERE x.call_id = c.id)", day},
		{call.NotArchivedYet, "c.id, c.call_key, c.started_at, x.id, x.last_error", recordings + " AND x.state = 'pending'", day},
		{call.RecordingAbsent, "c.id, c.call_key, c.started_at, x.id, x.reason", recordings + " AND x.state = 'absent'", day},
		{call.RecordingRefused, "c.id, c.call_key, c.started_at, x.id, x.reason", recordings + " AND x.state = 'refused'", day},
	} {
		if err := s.differences(ctx, &r, f.Limit, q.reason, q.columns, q.from, q.args); err != nil {
			return r, fmt.Errorf("reconcile %s of account %s: %w", f.Day, f.Account, err)
		}
	}
	return r, nil
}

// listedUntil is until when calls must have begun to be expected in the list;
// the zero time's milliseconds if it was not read to its end.
func listedUntil(d *call.ListDay) time.Time {
	if d == nil || d.Error != "" {
		return time.UnixMilli(0)
	}
	return d.ReadAt.Add(-settleTime)
}

func (s *Store) reconcileCounts(ctx context.Context, f call.ReconciliationFilter, r *call.Reconciliation) error {
	err := s.each(ctx, "SELECT read_at, error FROM listed_days WHERE account = ? AND day = ?", []any{f.Account, f.Day}, func(rows *sql.Rows) error {
		r.List = &call.ListDay{Account: f.Account, Day: f.Day}
		return rows.Scan(timeInto{&r.List.ReadAt}, &r.List.Error)
	})
	if err != nil {
		return err
	}
	err = s.each(ctx, "SELECT count(*) FROM listed_rows WHERE account = ? AND day = ?", []any{f.Account, f.Day}, func(rows *sql.Rows) error {
		return rows.Scan(&r.Listed)
	})
	if err != nil {
		return err
	}
	day := []any{f.Account, f.From.UnixMilli(), f.To.UnixMilli()}
	err = s.each(ctx, "SELECT count(*), coalesce(sum(CASE WHEN "+wasReported+" THEN 1 ELSE 0 END), 0) FROM calls c WHERE c.account = ? AND c.started_at >= ? AND c.started_at < ?", day,
		func(rows *sql.Rows) error { return rows.Scan(&r.Calls, &r.Delivered) })
	if err != nil {
		return err
	}
	return s.each(ctx, "SELECT x.state, count(*) FROM recordings x JOIN calls c ON c.id = x.call_id WHERE c.account = ? AND c.started_at >= ? AND c.started_at < ? GROUP BY x.state", day,
		func(rows *sql.Rows) error {
			var state call.RecordingState
			var n int64
			err := rows.Scan(&state, &n)
			r.Recordings[state] = n
			return err
		})
}

// differences counts those of one reason and lists the first of them, as far as
// there is room.
func (s *Store) differences(ctx context.Context, r *call.Reconciliation, limit int, reason call.Reason, columns, from string, args []any) error {
	var n int64
	err := s.each(ctx, "SELECT count(*)"+from, args, func(rows *sql.Rows) error { return rows.Scan(&n) })
	if err != nil || n == 0 {
		return err
	}
	r.Counts[reason] = n
	room := limit - len(r.Differences)
	if room <= 0 {
		return nil
	}
	return s.each(ctx, "SELECT "+columns+from+" ORDER BY 3, 2 LIMIT ?", append(slices.Clip(args), room), func(rows *sql.Rows) error {
		d := call.Difference{Reason: reason}
		err := rows.Scan(&d.CallID, &d.Key, timeInto{&d.At}, &d.RecordingID, &d.Detail)
		r.Differences = append(r.Differences, d)
		return err
	})
}
