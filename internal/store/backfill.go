package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// NoteListed keeps the rows of a provider's list as they were last read.
func (s *Store) NoteListed(ctx context.Context, rows []call.ListedRow) error {
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		now := time.Now().UnixMilli()
		yes := map[bool]int{true: 1}
		seen := map[[3]string]bool{}
		var fresh []call.ListedRow
		for _, r := range rows {
			if k := [3]string{r.Account, r.Day, r.Key}; !seen[k] {
				seen[k] = true
				fresh = append(fresh, r)
			}
		}
		return insertMany(ctx, t, "write listed rows", "INSERT INTO listed_rows (account, day, row_key, at, list, call_id, named, recorded, seen_at)", "tttittiii",
			` ON CONFLICT (account, day, row_key) DO UPDATE SET at = excluded.at, list = excluded.list, named = excluded.named,
				recorded = excluded.recorded, seen_at = excluded.seen_at,
				call_id = CASE WHEN excluded.call_id = '' THEN listed_rows.call_id ELSE excluded.call_id END`, fresh,
			func(r call.ListedRow, args []any) []any {
				return append(args, r.Account, r.Day, r.Key, millis(r.At), r.List, r.CallID, yes[r.Named], yes[r.Recorded], now)
			})
	})
	if err != nil {
		return fmt.Errorf("note listed calls: %w", err)
	}
	return nil
}

// listedDays is how many days what lists had is kept.
const listedDays = 400

// NoteListDay keeps how the list of a day was last read, and forgets what is
// older than listedDays.
func (s *Store) NoteListDay(ctx context.Context, d call.ListDay) error {
	oldest := d.ReadAt.AddDate(0, 0, -listedDays).Format(time.DateOnly)
	for _, table := range []string{"listed_rows", "listed_days"} {
		if _, err := s.update(ctx, "DELETE FROM "+table+" WHERE account = ? AND day < ?", d.Account, oldest); err != nil {
			return fmt.Errorf("forget old lists: %w", err)
		}
	}
	_, err := s.update(ctx, `INSERT INTO listed_days (account, day, read_at, error) VALUES (?, ?, ?, ?)
		ON CONFLICT (account, day) DO UPDATE SET read_at = excluded.read_at, error = excluded.error`,
		d.Account, d.Day, d.ReadAt.UnixMilli(), d.Error)
	if err != nil {
		return fmt.Errorf("note a day's list: %w", err)
	}
	return nil
}

// ListDays returns how the lists of an account's days were last read, from one
// day on, by day.
func (s *Store) ListDays(ctx context.Context, account, from string) (map[string]call.ListDay, error) {
	days := map[string]call.ListDay{}
	err := s.each(ctx, "SELECT account, day, read_at, error FROM listed_days WHERE account = ? AND day >= ?", []any{account, from}, func(rows *sql.Rows) error {
		var d call.ListDay
		err := rows.Scan(&d.Account, &d.Day, timeInto{&d.ReadAt}, &d.Error)
		days[d.Day] = d
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the days of lists: %w", err)
	}
	return days, nil
}

// ClaimBackfill takes an account's backfill if it is due and nobody does it,
// for as long as the lease holds, by the database's clock. Of all nodes one
// gets it; the lease token is empty for the others.
func (s *Store) ClaimBackfill(ctx context.Context, account string, lease time.Duration) (leaseToken string, err error) {
	token := newID()
	n, err := s.update(ctx, `INSERT INTO backfills (account, lease_token, lease_until, started_at)
		VALUES (?, ?, {now} + CAST(? AS BIGINT), {now})
		ON CONFLICT (account) DO UPDATE SET lease_token = excluded.lease_token, lease_until = excluded.lease_until, started_at = excluded.started_at
		WHERE (backfills.next_at IS NULL OR backfills.next_at <= {now}) AND (backfills.lease_until IS NULL OR backfills.lease_until <= {now})`,
		account, token, lease.Milliseconds())
	if err != nil {
		return "", fmt.Errorf("claim a backfill: %w", err)
	}
	if n == 0 {
		return "", nil
	}
	return token, nil
}

// EndBackfill keeps what a claimed backfill came to and makes the next one due
// after a while. A loser of the lease changes nothing.
func (s *Store) EndBackfill(ctx context.Context, leaseToken string, result call.Backfill, next time.Duration) error {
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("end a backfill: %w", err)
	}
	end, args := `UPDATE backfills SET lease_token = NULL, lease_until = NULL, ended_at = {now}, next_at = {now} + ?, result = ?
		WHERE account = ? AND lease_token = ?`, []any{next.Milliseconds(), string(text), result.Account, leaseToken}
	if result.New+result.Filled == 0 && result.Error == "" {
		_, err = s.update(ctx, end, args...) // nothing came of it
	} else {
		_, err = s.act(ctx, end+" RETURNING account", args, func(r row) (audit.Entry, error) {
			var account string
			if err := r.Scan(&account); err != nil {
				return audit.Entry{}, err
			}
			return audit.New(audit.BackfillEnded, "account/"+account, result)
		})
	}
	if err != nil {
		return fmt.Errorf("end a backfill: %w", err)
	}
	return nil
}

// Backfills returns what the accounts' backfills have come to, by account.
func (s *Store) Backfills(ctx context.Context) (map[string]call.BackfillState, error) {
	states := map[string]call.BackfillState{}
	err := s.each(ctx, `SELECT account, CASE WHEN lease_until > {now} THEN started_at END, next_at, result FROM backfills`, nil,
		func(rows *sql.Rows) error {
			var account, result string
			var b call.BackfillState
			if err := rows.Scan(&account, timeInto{&b.RunningSince}, timeInto{&b.NextAt}, &result); err != nil {
				return err
			}
			if result != "" {
				b.Last = &call.Backfill{}
				if err := json.Unmarshal([]byte(result), b.Last); err != nil {
					return err
				}
			}
			states[account] = b
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read the backfills: %w", err)
	}
	return states, nil
}
