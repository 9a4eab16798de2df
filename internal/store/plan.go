package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"callvault/internal/call"
)

// dayMillis is a day of the UTC calendar.
const dayMillis = 24 * 60 * 60 * 1000

// planned selects what a plan until a time is about, of what the rules with an
// id have judged, and says why it stays: what may go by then, and what might if
// nothing later had been promised. kept_by is the reason's text and until_at its
// end.
var planned = func() string {
	held := holdName("recordings.call_id")
	return `SELECT ` + recordingColumns + `, rule_until,
		CASE WHEN due_at > ? THEN 'promised' WHEN ` + held + ` IS NOT NULL THEN 'held' WHEN blocked_until > ? THEN 'locked' ELSE '' END AS why,
		CASE WHEN due_at > ? THEN rule WHEN ` + held + ` IS NOT NULL THEN ` + held + ` WHEN blocked_until > ? THEN blocked_by ELSE rule END AS kept_by,
		CASE WHEN due_at > ? THEN due_at WHEN ` + held + ` IS NOT NULL THEN 0 WHEN blocked_until > ? THEN blocked_until ELSE due_at END AS until_at
	FROM recordings WHERE state = 'archived' AND judged = ? AND `
}()

// The two ranges of what is planned, each of an index.
const (
	plannedDue      = "due_at IS NOT NULL AND due_at <= ?"
	plannedPromised = "rule_until < retain_until AND rule_until <= ? AND due_at > ?"
)

func plannedArgs(rulesID string, by time.Time) []any {
	at := by.UnixMilli()
	return []any{at, at, at, at, at, at, rulesID}
}

// RetentionPlan sums up what would go until a time, of all that the rules with
// this id have judged.
func (s *Store) RetentionPlan(ctx context.Context, rulesID string, by time.Time) (call.RetentionPlan, error) {
	plan := call.RetentionPlan{By: by}
	at := by.UnixMilli()
	for _, q := range []struct {
		where string
		args  []any
	}{{plannedDue, []any{at}}, {plannedPromised, []any{at, at}}} {
		err := s.each(ctx, "SELECT why, account, kept_by, until_at / "+fmt.Sprint(dayMillis)+", count(*), sum(size) FROM ("+planned+q.where+") p GROUP BY 1, 2, 3, 4",
			slices.Concat(plannedArgs(rulesID, by), q.args), func(rows *sql.Rows) error {
				var item call.PlanItem
				var day, n, bytes int64
				if err := rows.Scan(&item.Why, &item.Account, &item.By, &day, &n, &bytes); err != nil {
					return err
				}
				if day > 0 {
					item.Until = time.UnixMilli(day * dayMillis).UTC()
				}
				plan.Add(item, n, bytes)
				return nil
			})
		if err != nil {
			return plan, fmt.Errorf("plan what retention would delete: %w", err)
		}
	}
	return plan, nil
}

// EachPlanned calls do for each recording that RetentionPlan sums up.
func (s *Store) EachPlanned(ctx context.Context, rulesID string, by time.Time, do func(call.PlanItem) error) error {
	at := by.UnixMilli()
	for _, q := range []struct {
		column, where string
		args          []any
	}{{"due_at", plannedDue, []any{at}}, {"rule_until", plannedPromised, []any{at, at}}} {
		from, id := int64(-1<<62), ""
		for {
			var page []call.PlanItem
			err := s.each(ctx, planned+q.where+" AND "+q.column+" >= ? AND ("+q.column+", id) > (?, ?) ORDER BY "+q.column+", id LIMIT "+fmt.Sprint(eachPage),
				slices.Concat(plannedArgs(rulesID, by), q.args, []any{from, from, id}), func(rows *sql.Rows) error {
					var p call.PlanItem
					err := rows.Scan(append(recordingFields(&p.Recording), timeInto{&p.RuleUntil}, &p.Why, &p.By, timeInto{&p.Until})...)
					page = append(page, p)
					return err
				})
			if err != nil {
				return fmt.Errorf("list what retention would delete: %w", err)
			}
			for _, p := range page {
				if err := do(p); err != nil {
					return err
				}
			}
			if len(page) < eachPage {
				break
			}
			last := page[len(page)-1]
			from, id = last.DueAt.UnixMilli(), last.ID
			if q.column == "rule_until" {
				from = last.RuleUntil.UnixMilli()
			}
		}
	}
	return nil
}
