package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"callvault/internal/call"
)

// firstTries says when recordings are first due. What is known of accounts is
// as of the last LearnReadiness or Readiness.
type firstTries struct {
	after, atLeast time.Duration
	learned        atomic.Pointer[map[string]call.Readiness]
}

// earlyTries is one in how many recordings is asked for early, to notice that a
// provider has become quicker.
const earlyTries = 8

// due is when a recording is first due that a report tells of now.
func (f *firstTries) due(account string, ended, now time.Time) time.Time {
	learned := f.learned.Load()
	if learned == nil || ended.IsZero() || now.Sub(ended) > call.ReadyWindow || ended.After(now) {
		return now.Add(f.after)
	}
	readiness := (*learned)[account]
	wait, ok := readiness.FirstTry(rand.IntN(earlyTries) == 0) //nolint:gosec // a sample, not a secret
	if !ok {
		return now.Add(f.after)
	}
	due := ended.Add(wait)
	if least := now.Add(f.atLeast); due.Before(least) {
		return least
	}
	return due
}

func scanReadiness(rows row) (call.Readiness, error) {
	var r call.Readiness
	err := rows.Scan(&r.Account, jsonInto{&r.Weights}, &r.Observations, timeInto{&r.UpdatedAt})
	return r, err
}

const readinessColumns = "account, weights, observations, updated_at"

// LearnReadiness adds to what is known of when accounts' recordings are ready
// what was seen of them, and returns all that is known. Nodes that learn of an
// account for the first time at the same moment may lose what one of them saw.
func (s *Store) LearnReadiness(ctx context.Context, seen map[string][]call.ReadyInterval) (map[string]call.Readiness, error) {
	if len(seen) > 0 {
		err := s.change(ctx, func(ctx context.Context, t *tx) error { return t.learnReadiness(ctx, seen) })
		if err != nil {
			return nil, fmt.Errorf("learn when recordings are ready: %w", err)
		}
	}
	known := map[string]call.Readiness{}
	all, err := s.Readiness(ctx)
	for _, r := range all {
		known[r.Account] = r
	}
	return known, err
}

func (t *tx) learnReadiness(ctx context.Context, seen map[string][]call.ReadyInterval) error {
	accounts := make([]string, 0, len(seen))
	for account := range seen {
		accounts = append(accounts, account)
	}
	known := map[string]call.Readiness{}
	lock := ""
	if t.pg != nil {
		lock = " FOR UPDATE"
	}
	err := selectMany(ctx, t, "read what is known of accounts", "SELECT "+readinessColumns+" FROM readiness WHERE (account) IN ({rows})"+lock, "t", accounts,
		func(account string, args []any) []any { return append(args, account) }, func(rows row) error {
			r, err := scanReadiness(rows)
			known[r.Account] = r
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	for account, intervals := range seen {
		if err != nil {
			return err
		}
		r := known[account]
		for _, i := range intervals {
			r.Learn(i)
		}
		var weights []byte
		if weights, err = json.Marshal(r.Weights); err != nil {
			return err
		}
		err = t.exec(ctx, `INSERT INTO readiness (`+readinessColumns+`) VALUES (?, ?, ?, {now})
			ON CONFLICT (account) DO UPDATE SET weights = excluded.weights, observations = excluded.observations, updated_at = excluded.updated_at`,
			account, string(weights), r.Observations)
	}
	return err
}

// Readiness returns what is known of when accounts' recordings are ready, by
// account.
func (s *Store) Readiness(ctx context.Context) ([]call.Readiness, error) {
	var all []call.Readiness
	known := map[string]call.Readiness{}
	err := s.each(ctx, "SELECT "+readinessColumns+" FROM readiness ORDER BY account", nil, func(rows *sql.Rows) error {
		r, err := scanReadiness(rows)
		all, known[r.Account] = append(all, r), r
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read when recordings are ready: %w", err)
	}
	s.firstTries.learned.Store(&known)
	return all, nil
}
