package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

const (
	// countedAtOnce is how much is counted in one reading transaction.
	countedAtOnce = 24 * time.Hour
	// noAccount marks the hours that were counted.
	noAccount = ""
)

// countReports counts the deliveries of webhooks that brought a report of a
// call, by hour and account. What was imported says nothing about a hook.
const countReports = `SELECT d.received_at / 3600000, d.account, count(*), max(d.received_at) FROM deliveries d
	WHERE d.received_at >= ? AND d.received_at < ? AND d.source = 'webhook'
		AND EXISTS (SELECT 1 FROM delivery_items i WHERE i.delivery_id = d.id AND i.leg_id IS NOT NULL)
	GROUP BY 1, 2`

// CountActivity counts the hours between from and until (whole hours) that have
// not been counted yet, at most a day of them. counted is up to when all are.
func (s *Store) CountActivity(ctx context.Context, from, until time.Time) (counted time.Time, err error) {
	begin, err := s.firstUncounted(ctx, from, until)
	if err != nil || !begin.Before(until) {
		return begin, err
	}
	end := begin.Add(countedAtOnce)
	if end.After(until) {
		end = until
	}
	rows, err := s.ReportsBetween(ctx, begin, end)
	if err != nil {
		return begin, err
	}
	for hour := begin; hour.Before(end); hour = hour.Add(time.Hour) {
		rows = append(rows, call.Activity{Account: noAccount, Hour: hour})
	}
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		return insertMany(ctx, t, "write activity", "INSERT INTO activity (hour, account, reports, last_at)", "itii", " ON CONFLICT DO NOTHING", rows,
			func(a call.Activity, args []any) []any {
				return append(args, a.Hour.UnixMilli(), a.Account, a.Reports, millis(a.LastAt))
			})
	})
	if err != nil {
		return begin, fmt.Errorf("count reports: %w", err)
	}
	return end, nil
}

// firstUncounted is the hour after the last that was counted, or that of the
// first delivery; until if there is none.
func (s *Store) firstUncounted(ctx context.Context, from, until time.Time) (time.Time, error) {
	var counted, first time.Time
	err := s.each(ctx, "SELECT max(hour) FROM activity WHERE account = ''", nil, func(rows *sql.Rows) error {
		return rows.Scan(timeInto{&counted})
	})
	if err == nil && counted.IsZero() {
		err = s.each(ctx, "SELECT min(received_at) FROM deliveries", nil, func(rows *sql.Rows) error {
			return rows.Scan(timeInto{&first})
		})
	}
	if err != nil {
		return from, fmt.Errorf("find what is counted: %w", err)
	}
	begin := first.Truncate(time.Hour)
	switch {
	case !counted.IsZero():
		begin = counted.Add(time.Hour)
	case first.IsZero():
		begin = until
	}
	if begin.Before(from) {
		begin = from
	}
	return begin, nil
}

// ReportsBetween counts the deliveries of webhooks that brought a report of a
// call, by hour and account: from <= received < to.
func (s *Store) ReportsBetween(ctx context.Context, from, to time.Time) ([]call.Activity, error) {
	return s.activity(ctx, countReports, 3_600_000, from.UnixMilli(), to.UnixMilli())
}

// Activity returns what CountActivity counted since from.
func (s *Store) Activity(ctx context.Context, from time.Time) ([]call.Activity, error) {
	return s.activity(ctx, "SELECT hour, account, reports, last_at FROM activity WHERE hour >= ? AND account <> '' ORDER BY hour, account", 1, from.UnixMilli())
}

// activity reads rows whose hour is in so many milliseconds.
func (s *Store) activity(ctx context.Context, query string, unit int64, args ...any) ([]call.Activity, error) {
	var found []call.Activity
	err := s.each(ctx, query, args, func(rows *sql.Rows) error {
		var a call.Activity
		var hour int64
		err := rows.Scan(&hour, &a.Account, &a.Reports, timeInto{&a.LastAt})
		a.Hour = time.UnixMilli(hour * unit).UTC()
		found = append(found, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count reports: %w", err)
	}
	return found, nil
}

// ForgetActivity deletes what was counted of the hours before a moment.
func (s *Store) ForgetActivity(ctx context.Context, before time.Time) error {
	if _, err := s.update(ctx, "DELETE FROM activity WHERE hour < ?", before.UnixMilli()); err != nil {
		return fmt.Errorf("forget activity: %w", err)
	}
	return nil
}

// OutcomesSince counts the deliveries of webhooks that came since from, by
// account and outcome.
func (s *Store) OutcomesSince(ctx context.Context, from time.Time) (map[string]map[call.DeliveryOutcome]int64, error) {
	counts := map[string]map[call.DeliveryOutcome]int64{}
	err := s.each(ctx, "SELECT account, outcome, count(*) FROM deliveries WHERE received_at >= ? AND source = 'webhook' GROUP BY account, outcome",
		[]any{from.UnixMilli()}, func(rows *sql.Rows) error {
			var account string
			var o call.DeliveryOutcome
			var n int64
			err := rows.Scan(&account, &o, &n)
			if counts[account] == nil {
				counts[account] = map[call.DeliveryOutcome]int64{}
			}
			counts[account][o] = n
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	return counts, nil
}

// AnsweredCalls returns an account's last answered calls with talk time that
// began in from <= start < to, the newest first, at most limit.
func (s *Store) AnsweredCalls(ctx context.Context, account string, from, to time.Time, limit int) ([]call.AnsweredCall, error) {
	var found []call.AnsweredCall
	err := s.each(ctx, `SELECT coalesce(ended_at, started_at),
			(SELECT count(*) FROM recordings r WHERE r.call_id = c.id),
			(SELECT count(*) FROM recordings r WHERE r.call_id = c.id AND r.state IN ('archived', 'expired', 'erased')),
			(SELECT min(r.archived_at) FROM recordings r WHERE r.call_id = c.id)
		FROM calls c WHERE account = ? AND outcome = 'answered' AND talk_seconds > 0 AND started_at >= ? AND started_at < ?
		ORDER BY started_at DESC LIMIT ?`, []any{account, from.UnixMilli(), to.UnixMilli(), limit}, func(rows *sql.Rows) error {
		var a call.AnsweredCall
		var named, archived int64
		err := rows.Scan(timeInto{&a.EndedAt}, &named, &archived, timeInto{&a.ArchivedAt})
		a.Named, a.Archived = named > 0, archived > 0
		found = append(found, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read answered calls: %w", err)
	}
	return found, nil
}
