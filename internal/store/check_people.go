package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"callvault/internal/audit"
)

// personRows reads users ("user") or tokens ("token") by their names, as the log
// would tell of them.
func personRows(what string) func(context.Context, *Store, string, ...any) ([]*loggedRow, error) {
	return func(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
		query := "SELECT id, role, user_groups, created_at, disabled, secret FROM (SELECT name AS id, " + personColumns(what) + " AS secret FROM " + what + "s) AS people"
		err = s.each(ctx, query+where, args, func(r *sql.Rows) error {
			var f audit.PersonFacts
			var groups string
			var created int64
			var disabled int
			var hash []byte
			if err := r.Scan(&f.Name, &f.Role, &groups, &created, &disabled, &hash); err != nil {
				return err
			}
			f.CreatedAt, f.Disabled, f.Fingerprint = time.UnixMilli(created).UTC(), disabled != 0, fingerprint(what, hash)
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

// checkPersonRow passes over what entries of an earlier version do not tell.
func checkPersonRow(_ context.Context, _ *Store, _ *loggedRow, last audit.Entry, differ []string) (string, bool, error) {
	var told audit.PersonFacts
	if err := json.Unmarshal(last.Facts, &told); err != nil {
		return "", false, nil //nolint:nilerr // the check of the log names the entry
	}
	switch {
	case !only(differ, "fingerprint"):
		return "", false, nil
	case len(differ) > 0 && told.Fingerprint != "":
		return "what lets in is not what the log told last: the hash of password or token is another", false, nil
	}
	return "", true, nil
}
