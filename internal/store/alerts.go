package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

const alertColumns = "id, kind, account, since, opened_at, opening, closed_at, closing"

func alertFields(a *call.Alert) []any {
	return []any{&a.ID, &a.Kind, &a.Account, timeInto{&a.Since}, timeInto{&a.OpenedAt}, &a.Opening, timeInto{&a.ClosedAt}, &a.Closing}
}

// TakeWatch decides which node looks at the state of things: won is true if
// nobody has since every ago. since is from when on somebody has been looking
// again and again, with pauses of at most pause: what came before may have been
// missed for our own fault.
func (s *Store) TakeWatch(ctx context.Context, now time.Time, every, pause time.Duration) (since time.Time, won bool, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var err error
		won, err = t.one(ctx, `INSERT INTO watch (id, since, last_at) VALUES (1, ?, ?)
			ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at,
				since = CASE WHEN watch.last_at < excluded.last_at - ? THEN excluded.since ELSE watch.since END
			WHERE watch.last_at <= excluded.last_at - ? RETURNING since`,
			[]any{now.UnixMilli(), now.UnixMilli(), pause.Milliseconds(), every.Milliseconds()}, timeInto{&since})
		return err
	})
	if err != nil {
		return since, false, fmt.Errorf("take the watch: %w", err)
	}
	return since, won, nil
}

// OpenAlert opens an alert, unless one of its kind and account is open, and
// makes a notice for each target. It says whether it did.
func (s *Store) OpenAlert(ctx context.Context, a call.Alert, targets []string) (opened bool, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		id := newID()
		var err error
		opened, err = t.one(ctx, `INSERT INTO alerts (id, kind, account, since, opened_at, opening) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (kind, account) WHERE closed_at IS NULL DO NOTHING RETURNING id`,
			[]any{id, string(a.Kind), a.Account, a.Since.UnixMilli(), a.OpenedAt.UnixMilli(), a.Opening}, &id)
		if err != nil || !opened {
			return err
		}
		return insertMany(ctx, t, "make notices", "INSERT INTO notices (id, alert_id, event, target, state, created_at, next_try_at)", "tttttii", "", targets,
			func(target string, args []any) []any {
				return append(args, newID(), id, string(call.NoticeOpened), target, string(call.NoticeDue), a.OpenedAt.UnixMilli(), a.OpenedAt.UnixMilli())
			})
	})
	if err != nil {
		return false, fmt.Errorf("open an alert: %w", err)
	}
	return opened, nil
}

// CloseAlert closes an open alert, and says whether it did. Whoever was told of
// it is told; a notice of its opening that nobody has tried to send is dropped.
func (s *Store) CloseAlert(ctx context.Context, id string, at time.Time, closing string) (closed bool, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var err error
		closed, err = t.one(ctx, "UPDATE alerts SET closed_at = ?, closing = ? WHERE id = ? AND closed_at IS NULL RETURNING id",
			[]any{at.UnixMilli(), closing, id}, &id)
		if err != nil || !closed {
			return err
		}
		if err := t.exec(ctx, "UPDATE notices SET state = 'dropped', next_try_at = NULL WHERE alert_id = ? AND state = 'due' AND attempts = 0", id); err != nil {
			return err
		}
		var targets []string
		err = t.each(ctx, "SELECT target FROM notices WHERE alert_id = ? AND state IN ('due', 'sent') ORDER BY target", []any{id}, func(r row) error {
			var target string
			err := r.Scan(&target)
			targets = append(targets, target)
			return err
		})
		if err != nil {
			return err
		}
		return insertMany(ctx, t, "make notices", "INSERT INTO notices (id, alert_id, event, target, state, created_at, next_try_at)", "tttttii", " ON CONFLICT DO NOTHING", targets,
			func(target string, args []any) []any {
				return append(args, newID(), id, string(call.NoticeClosed), target, string(call.NoticeDue), at.UnixMilli(), at.UnixMilli())
			})
	})
	if err != nil {
		return false, fmt.Errorf("close an alert: %w", err)
	}
	return closed, nil
}

// ClaimNotice claims a notice that is due for as long as the lease holds; ok is
// false if there is none. The end of an alert is told after its beginning.
func (s *Store) ClaimNotice(ctx context.Context, now time.Time, lease time.Duration) (n call.Notice, ok bool, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		n = call.Notice{}
		var alert string
		var err error
		ok, err = t.one(ctx, `UPDATE notices SET attempts = attempts + 1, next_try_at = ?
			WHERE id IN (SELECT n.id FROM notices n WHERE n.next_try_at <= ? AND (n.event = 'opened' OR EXISTS (
				SELECT 1 FROM notices o WHERE o.alert_id = n.alert_id AND o.target = n.target AND o.event = 'opened' AND o.state = 'sent'))
				ORDER BY n.next_try_at LIMIT 1 {skip locked})
			RETURNING id, alert_id, event, target, attempts, created_at`,
			[]any{now.Add(lease).UnixMilli(), now.UnixMilli()}, &n.ID, &alert, &n.Event, &n.Target, &n.Attempts, timeInto{&n.CreatedAt})
		if err != nil || !ok {
			return err
		}
		_, err = t.one(ctx, "SELECT "+alertColumns+" FROM alerts WHERE id = ?", []any{alert}, alertFields(&n.Alert)...)
		return err
	})
	if err != nil {
		return n, false, fmt.Errorf("claim a notice: %w", err)
	}
	return n, ok, nil
}

// FinishNotice says what became of a try to send a notice. nextTry counts for
// call.NoticeDue. Who was never told of an alert is not told of its end.
func (s *Store) FinishNotice(ctx context.Context, id string, state call.NoticeState, detail string, nextTry time.Time) error {
	if state != call.NoticeDue {
		nextTry = time.Time{}
	}
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.exec(ctx, "UPDATE notices SET state = ?, detail = ?, next_try_at = ? WHERE id = ?", string(state), detail, millis(nextTry), id)
		if err != nil || state != call.NoticeFailed && state != call.NoticeDropped {
			return err
		}
		return t.exec(ctx, `UPDATE notices SET state = 'dropped', next_try_at = NULL WHERE event = 'closed' AND state = 'due'
			AND (alert_id, target) IN (SELECT alert_id, target FROM notices WHERE id = ?)`, id)
	})
	if err != nil {
		return fmt.Errorf("finish a notice: %w", err)
	}
	return nil
}

// OpenAlerts returns all alerts that are open, the oldest first.
func (s *Store) OpenAlerts(ctx context.Context) ([]call.Alert, error) {
	return s.alerts(ctx, "WHERE closed_at IS NULL ORDER BY opened_at, id")
}

// FindAlerts finds alerts, the last opened first, and the cursor of the next
// page, empty after the last.
func (s *Store) FindAlerts(ctx context.Context, f call.AlertFilter) ([]call.Alert, string, error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, "", err
	}
	var c conditions
	if f.Account != "" {
		c.add("account = ?", f.Account)
	}
	if f.Kind != "" {
		c.add("kind = ?", string(f.Kind))
	}
	switch f.State {
	case call.AlertOpen:
		c.add("closed_at IS NULL")
	case call.AlertClosed:
		c.add("closed_at IS NOT NULL")
	}
	if f.Cursor != "" {
		at, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("(opened_at, id) < (?, ?)", at, id)
	}
	found, err := s.alerts(ctx, c.where()+" ORDER BY opened_at DESC, id DESC LIMIT ?", append(c.args, limit+1)...)
	if err != nil || len(found) <= limit {
		return found, "", err
	}
	last := found[limit-1]
	return found[:limit], makeCursor(last.OpenedAt.UnixMilli(), last.ID), nil
}

func (s *Store) alerts(ctx context.Context, where string, args ...any) ([]call.Alert, error) {
	var found []call.Alert
	err := s.each(ctx, "SELECT "+alertColumns+" FROM alerts "+where, args, func(rows *sql.Rows) error {
		found = append(found, call.Alert{})
		return rows.Scan(alertFields(&found[len(found)-1])...)
	})
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	return found, nil
}
