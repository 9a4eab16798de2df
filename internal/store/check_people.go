package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"callvault/internal/audit"
)

// personRows reads users or tokens by their names, as the log would tell of them.
// Passwords and hashes it does not tell.
func personRows(table string) func(context.Context, *Store, string, ...any) ([]*loggedRow, error) {
	return func(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
		query := "SELECT role, user_groups, created_at, disabled, id FROM (SELECT name AS id, " + personColumns + " FROM " + table + ") AS people"
		err = s.each(ctx, query+where, args, func(r *sql.Rows) error {
			var f audit.PersonFacts
			var groups string
			var created int64
			var disabled int
			if err := r.Scan(&f.Role, &groups, &created, &disabled, &f.Name); err != nil {
				return err
			}
			f.CreatedAt, f.Disabled = time.UnixMilli(created).UTC(), disabled != 0
			row := &loggedRow{id: f.Name}
			rows = append(rows, row)
			if err := json.Unmarshal([]byte(groups), &f.Groups); err != nil {
				row.wrong = "its groups cannot be read any more"
				return nil //nolint:nilerr // it is what is wrong with it
			}
			row.facts, err = json.Marshal(f)
			return err
		})
		return rows, err
	}
}
