package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"callvault/internal/call"
)

// ownNumbers remembers which agents' and business numbers are in the table
// own_numbers, so that few calls cause a write. It may forget: writing one
// twice is harmless.
type ownNumbers struct {
	mu    sync.Mutex
	known map[string]bool
}

// maxOwnNumbers bounds what is remembered: a provider that names strangers as
// agents must not fill the memory.
const maxOwnNumbers = 20_000

func (o *ownNumbers) has(number string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known[number]
}

func (o *ownNumbers) add(numbers []string) {
	if len(numbers) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil || len(o.known)+len(numbers) > maxOwnNumbers {
		o.known = map[string]bool{}
	}
	for _, n := range numbers {
		o.known[n] = true
	}
}

// noteNumbers writes down the agents' and business numbers of calls that are
// not known yet. They are remembered when the transaction is committed.
func (r *recorder) noteNumbers(ctx context.Context, calls []call.Call) error {
	type numberRow struct{ number, rev string }
	var rows []numberRow
	seen := map[string]bool{}
	for i := range calls {
		for _, n := range [2]string{calls[i].BusinessNumber, calls[i].Agent.Number} {
			if n != "" && !seen[n] && !r.known.has(n) {
				seen[n] = true
				rows = append(rows, numberRow{n, reverseDigits(n)})
				r.noted = append(r.noted, n)
			}
		}
	}
	return insertMany(ctx, r.tx, "note own numbers", "INSERT INTO own_numbers (rev, number)", "tt", " ON CONFLICT DO NOTHING", rows,
		func(n numberRow, args []any) []any { return append(args, n.rev, n.number) })
}

// findOwnNumbers returns the agents' and business numbers whose last digits,
// reversed, are rev.
func (s *Store) findOwnNumbers(ctx context.Context, rev string) (numbers []any, err error) {
	err = s.each(ctx, "SELECT number FROM own_numbers WHERE rev >= ? AND rev < ? ORDER BY rev LIMIT 200", []any{rev, prefixEnd(rev)},
		func(rows *sql.Rows) error {
			var n string
			if err := rows.Scan(&n); err != nil {
				return err
			}
			numbers = append(numbers, n)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("find numbers: %w", err)
	}
	return numbers, nil
}
