package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
)

// SumCalls adds up the calls that the filter selects by account, direction and
// outcome, in this order. Negative waits and talk times are not known ones. A
// day's bounds are the caller's to give: databases know other zones than Go.
func (s *Store) SumCalls(ctx context.Context, f call.Filter, soon call.WaitBounds) ([]call.CallSums, error) {
	c, err := s.matching(ctx, f)
	if err != nil {
		return nil, err
	}
	var sums []call.CallSums
	// One text to group by: SQLite sorts all rows, and one takes half as long as
	// three. None of them has a slash in it.
	err = s.each(ctx, `SELECT account || '/' || direction || '/' || outcome AS kind, count(*),
			count(CASE WHEN wait_seconds >= 0 THEN 1 END),
			coalesce(sum(CASE WHEN wait_seconds >= 0 THEN wait_seconds END), 0),
			count(CASE WHEN wait_seconds < 0 THEN NULL WHEN outcome = 'answered' AND wait_seconds <= ? THEN 1 WHEN outcome <> 'answered' AND wait_seconds <= ? THEN 1 END),
			count(CASE WHEN talk_seconds >= 0 THEN 1 END),
			coalesce(sum(CASE WHEN talk_seconds >= 0 THEN talk_seconds END), 0)
		FROM calls`+c.where()+` GROUP BY kind`,
		append([]any{int64(soon.Answered), int64(soon.Abandoned)}, c.args...), func(rows *sql.Rows) error {
			var sum call.CallSums
			var kind string
			err := rows.Scan(&kind, &sum.Calls, &sum.Waits, &sum.WaitSeconds, &sum.Soon, &sum.Talks, &sum.TalkSeconds)
			account, rest, _ := strings.Cut(kind, "/")
			direction, outcome, _ := strings.Cut(rest, "/")
			sum.Account, sum.Direction, sum.Outcome = account, call.Direction(direction), call.Outcome(outcome)
			sums = append(sums, sum)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("add up calls: %w", err)
	}
	slices.SortFunc(sums, func(a, b call.CallSums) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Outcome, b.Outcome))
	})
	return sums, nil
}

// FirstCall is when the first call of an account between two times started;
// zero if there is none.
func (s *Store) FirstCall(ctx context.Context, account string, from, to time.Time) (first time.Time, err error) {
	err = s.each(ctx, "SELECT started_at FROM calls WHERE account = ? AND started_at >= ? AND started_at < ? ORDER BY started_at, id LIMIT 1",
		[]any{account, from.UnixMilli(), to.UnixMilli()}, func(rows *sql.Rows) error { return rows.Scan(timeInto{&first}) })
	if err != nil {
		return first, fmt.Errorf("find the first call of account %s: %w", account, err)
	}
	return first, nil
}
