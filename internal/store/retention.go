package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// firstMatching says in SQL which of the filters is the first that matches a
// row of calls: its index, or -1.
func (s *Store) firstMatching(ctx context.Context, filters []call.Filter) (text string, args []any, err error) {
	var b strings.Builder
	for i, f := range filters {
		c, err := s.matching(ctx, f)
		if err != nil {
			return "", nil, err
		}
		if len(c.texts) == 0 {
			c.texts = []string{"1 = 1"}
		}
		b.WriteString(" WHEN " + strings.Join(c.texts, " AND ") + " THEN " + strconv.Itoa(i))
		args = append(args, c.args...)
	}
	if b.Len() == 0 {
		return "-1", nil, nil
	}
	return "CASE" + b.String() + " ELSE -1 END", args, nil
}

// judgeAgain lets the recordings of calls that have changed be judged again. The
// word is another one each time, so that whoever is judging one just now is not
// believed.
func (r *recorder) judgeAgain(ctx context.Context, calls []string) error {
	return selectMany(ctx, r.tx, "let recordings be judged again", `UPDATE recordings
		SET judged = CASE WHEN judged = '~' || {now} THEN judged || '+' ELSE '~' || {now} END
		WHERE call_id IN ({rows}) AND (judged <> '' OR state = 'archived')`, "t", calls,
		func(id string, args []any) []any { return append(args, id) }, nil)
}

// ToJudge finds archived recordings that the rules with this id have not
// judged, or not since their call changed: at most n, those that come after one
// in an order of their own (nil: from the beginning). None: that was all.
func (s *Store) ToJudge(ctx context.Context, rules call.Retention, rulesID string, after *call.Judging, n int) ([]call.Judging, error) {
	var from call.Judging
	if after != nil {
		from = *after
	}
	rule, ruleArgs, err := s.firstMatching(ctx, rules.Filters())
	if err != nil {
		return nil, fmt.Errorf("find recordings to judge: %w", err)
	}
	var found []call.Judging
	// Two ranges of one index, one after the other.
	for _, side := range []string{"judged < ?", "judged > ?"} {
		if len(found) > 0 || from.Seen > rulesID && side == "judged < ?" {
			continue
		}
		err := s.each(ctx, `SELECT id, call_id, account, object_key, size, created_at, judged, rule, rule_until, retain_until,
				(SELECT started_at FROM calls WHERE calls.id = recordings.call_id),
				coalesce((SELECT `+rule+` FROM calls WHERE calls.id = recordings.call_id), -1),
				coalesce(`+holdName("recordings.call_id")+`, '')
			FROM recordings WHERE state = 'archived' AND `+side+` AND judged >= ? AND (judged, id) > (?, ?)
			ORDER BY judged, id LIMIT `+strconv.Itoa(n),
			slices.Concat(ruleArgs, []any{rulesID, from.Seen, from.Seen, from.ID}), func(rows *sql.Rows) error {
				var j call.Judging
				err := rows.Scan(&j.ID, &j.CallID, &j.Account, &j.ObjectKey, &j.Size, timeInto{&j.CreatedAt}, &j.Seen,
					&j.Was.Rule, timeInto{&j.Was.RuleUntil}, timeInto{&j.Was.RetainUntil}, timeInto{&j.StartedAt}, &j.Rule, &j.HeldBy)
				found = append(found, j)
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("find recordings to judge: %w", err)
		}
	}
	return found, nil
}

// SaveJudged writes down what the rules with this id say of recordings, but of
// those whose call has changed since they were found, and what changed by it
// into the audit log. A promised date never becomes earlier.
func (s *Store) SaveJudged(ctx context.Context, rulesID string, judged []call.Judged) error {
	actor := audit.ActorOf(ctx)
	for chunk := range slices.Chunk(judged, backgroundRows) {
		err := s.change(ctx, func(ctx context.Context, t *tx) error {
			for _, j := range chunk {
				err := t.later(ctx, statement{what: "write what retention says", query: `UPDATE recordings SET judged = ?, rule = ?, rule_until = ?,
						retain_until = CASE WHEN retain_until > coalesce(CAST(? AS BIGINT), 0) THEN retain_until ELSE ? END,
						due_at = CASE WHEN retain_until > CAST(? AS BIGINT) THEN retain_until ELSE ? END
					WHERE id = ? AND state = 'archived' AND judged = ? RETURNING ` + auditedRecording,
					args: []any{rulesID, j.Judgement.Rule, millis(j.RuleUntil), millis(j.RetainUntil), millis(j.RetainUntil),
						millis(j.DueAt()), millis(j.DueAt()), j.ID, j.Seen},
					audits: true, scan: func(r row) error {
						_, entry, err := scanAudited(r, audit.RecordingRetained, nil)
						if err != nil || j.Judgement == j.Was {
							return err
						}
						entry.Actor = actor
						return t.audit(ctx, entry)
					}})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write what retention says: %w", err)
		}
	}
	return nil
}
