package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// ExportsOver returns the ids of bundles that are made or being made and may hold
// one of the calls that an erasure has still to erase, or were asked for by its number. Facts of calls may
// have changed since a bundle was made, so account and period alone decide where
// calls were selected by a filter.
func (s *Store) ExportsOver(ctx context.Context, erasureID, number string) (ids []string, err error) {
	type known struct {
		id, account string
		started     int64
	}
	var calls []known
	err = s.each(ctx, `SELECT c.id, c.account, c.started_at FROM erasure_items i JOIN calls c ON c.id = i.ref WHERE i.erasure_id = ? AND i.kind = 'call' AND i.state <> 'erased'`,
		[]any{erasureID}, func(rows *sql.Rows) error {
			var c known
			err := rows.Scan(&c.id, &c.account, &c.started)
			calls = append(calls, c)
			return err
		})
	if err != nil {
		return nil, erasing("exports", err)
	}
	redactor := call.NewRedactor(number, nil)
	err = s.each(ctx, "SELECT id, request FROM exports WHERE state IN ('waiting', 'building', 'ready') OR state = 'removed' AND cleared = 0 ORDER BY id", nil, func(rows *sql.Rows) error {
		var id, text string
		var request struct {
			Filter *call.Filter `json:"filter"`
			Calls  []string     `json:"calls"`
		}
		if err := rows.Scan(&id, &text); err != nil {
			return err
		}
		may := redactor.Holds(text)
		if err := json.Unmarshal([]byte(text), &request); err != nil {
			may = true // nobody knows
		}
		for _, c := range calls {
			f := request.Filter
			may = may || slices.Contains(request.Calls, c.id) || f != nil &&
				(f.Account == "" || f.Account == c.account) && !slices.Contains(f.NotAccounts, c.account) &&
				(c.started == 0 || (f.From.IsZero() || c.started >= f.From.UnixMilli()) && (f.To.IsZero() || c.started < f.To.UnixMilli()))
		}
		if may {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, erasing("exports", err)
	}
	return ids, nil
}

// EraseExport says that a bundle is gone.
func (s *Store) EraseExport(ctx context.Context, erasureID, id string) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		if err := t.exec(ctx, "UPDATE exports SET cleared = 1 WHERE id = ? AND state = 'removed'", id); err != nil {
			return err
		}
		return t.erased(ctx, actor, erasureID, call.ErasedExport, []string{id})
	})
	return erasing("an export", err)
}

// RedactRequests takes a number out of what exports were asked for.
func (s *Store) RedactRequests(ctx context.Context, number string) error {
	redactor := call.NewRedactor(number, nil)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		redacted := map[string]string{}
		err := t.each(ctx, "SELECT id, request FROM exports WHERE state IN ('removed', 'failed')", nil, func(r row) error {
			var id, text string
			err := r.Scan(&id, &text)
			if redactor.Holds(text) {
				redacted[id] = redactor.Text(text)
			}
			return err
		})
		for id, text := range redacted {
			if err == nil {
				err = t.exec(ctx, "UPDATE exports SET request = ? WHERE id = ?", text, id)
			}
		}
		return err
	})
	return erasing("the requests of exports", err)
}

// ErasedSegment says that nothing of an erasure is left of a segment of the
// journal.
func (s *Store) ErasedSegment(ctx context.Context, erasureID, ref string) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		return t.erased(ctx, actor, erasureID, call.ErasedJournal, []string{ref})
	})
	return erasing("a segment of the journal", err)
}
