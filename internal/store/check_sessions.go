package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"callvault/internal/audit"
)

// This file compares sessions with the logins of which the log tells. Who puts one in is
// in as somebody who never logged in.

// loginRows reads who is logged in, by name.
func loginRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, "SELECT id FROM (SELECT DISTINCT user_name AS id FROM sessions WHERE expires_at > {now}) AS logins"+where, args, func(r *sql.Rows) error {
		row := &loggedRow{}
		rows = append(rows, row)
		return r.Scan(&row.id)
	})
	for _, row := range rows {
		if err == nil {
			row.wrong, err = s.untoldLogins(ctx, row.id)
		}
	}
	return rows, err
}

// untoldLogins says whether a user has sessions that the log does not know, or says to
// be over. It reads both by one statement, for somebody may just log in.
func (s *Store) untoldLogins(ctx context.Context, name string) (what string, err error) {
	isIn := map[string]bool{}
	var earlier []int64 // when an earlier version logged somebody in
	untold := 0
	err = s.each(ctx, `SELECT seq, at, action, facts, CAST(NULL AS BYTEA), CAST(NULL AS BYTEA), 0 FROM audit_entries WHERE subject <> '' AND subject = ? AND action IN (?, ?)
			UNION ALL SELECT CAST(? AS BIGINT), logged_in_at, '', '', hash, user_mark, expires_at FROM sessions WHERE user_name = ? AND expires_at > {now} ORDER BY 1`,
		[]any{"user/" + name, string(audit.UserLoggedIn), string(audit.UserLoggedOut), int64(math.MaxInt64), name}, func(rows *sql.Rows) error {
			var seq, at, expires int64
			var action audit.Action
			var facts string
			var hash, mark []byte
			if err := rows.Scan(&seq, &at, &action, &facts, &hash, &mark, &expires); err != nil {
				return err
			}
			var f loginFacts
			switch told := json.Unmarshal([]byte(facts), &f) == nil && f.Session != ""; {
			case action == "":
				in, known := isIn[sessionFingerprint(hash, mark, strconv.FormatInt(expires, 10))]
				if !in && (known || !slices.ContainsFunc(earlier, func(then int64) bool { return isNear(at, then) })) {
					untold++
				}
			case told:
				isIn[f.Session] = action == audit.UserLoggedIn
			case action == audit.UserLoggedIn:
				earlier = append(earlier, at)
			}
			return nil
		})
	if untold > 0 {
		what = fmt.Sprintf("%d sessions of this user are not what the log says: somebody may be in who never logged in", untold)
	}
	return what, err
}
