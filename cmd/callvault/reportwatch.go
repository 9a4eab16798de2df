package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/watch"
	"callvault/reports"
)

// reportConditions tells of reports that do not reach their people.
func reportConditions(r *reports.Reporter, logger *slog.Logger) func(context.Context, time.Time) []watch.Condition {
	return func(ctx context.Context, now time.Time) []watch.Condition {
		troubles, err := r.Troubles(ctx)
		if err != nil {
			logger.WarnContext(ctx, "reports could not be looked at", "error", err)
			return []watch.Condition{{Kind: call.AlertReports}}
		}
		c := watch.Condition{Kind: call.AlertReports, Well: true, Since: now, Sentence: "The last run of each report was made and has reached everybody, or less than three in a row have not."}
		var sentences []string
		for _, t := range troubles {
			c.Bad, c.Well = true, false
			if t.Since.Before(c.Since) {
				c.Since = t.Since
			}
			sentences = append(sentences, t.String())
		}
		if c.Bad {
			c.Sentence = strings.Join(sentences, " ")
		}
		return []watch.Condition{c}
	}
}
