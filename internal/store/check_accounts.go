package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"callvault/internal/audit"
)

// This file compares with the log which accounts wait, and since when reports are
// known: a pause that was put in stops all downloads of an account, and a report that
// seems to be new is not built for the days before.

func pauseRows() func(context.Context, *Store, string, ...any) ([]*loggedRow, error) {
	return entryRows("SELECT id, reason, paused_at FROM (SELECT account AS id, reason, paused_at FROM account_pauses) AS pauses", accountEntry(""))
}

func checkPauseRow(_ context.Context, _ *Store, _ *loggedRow, last audit.Entry, _ []string) (string, bool, error) {
	if last.Action == audit.AccountWoken {
		return "its recordings wait, and the log says that they do not any more", false, nil
	}
	return "", false, nil
}

// lostPause says what is wrong about an account that does not wait, if the last entry
// about that stands before a place in the log.
func (s *Store) lostPause(ctx context.Context, account string, before int64) (what string, err error) {
	// By one statement, for it may just be woken, or paused again.
	err = s.each(ctx, `SELECT seq, action, CASE WHEN EXISTS (SELECT 1 FROM account_pauses WHERE account = ?) THEN 1 ELSE 0 END FROM audit_entries
		WHERE subject <> '' AND subject = ? AND action IN (?, ?) ORDER BY seq DESC LIMIT 1`,
		[]any{account, "account/" + account, string(audit.AccountPaused), string(audit.AccountWoken)}, func(rows *sql.Rows) error {
			var seq int64
			var last audit.Action
			var waits int
			err := rows.Scan(&seq, &last, &waits)
			if last == audit.AccountPaused && waits == 0 && seq < before {
				what = "the log says that its recordings wait, and the row that says so is gone"
			}
			return err
		})
	return what, err
}

// rebuiltSchedule is the state of a row that a rebuild made of the report's runs: of
// that the log does not tell.
const rebuiltSchedule = "rebuilt"

func scheduleRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, `SELECT id, first_seen, CASE WHEN first_seen = (SELECT min(runs.created_at) FROM runs WHERE runs.report = schedules.id)
			AND EXISTS (SELECT 1 FROM audit_entries WHERE action = 'database.rebuilt' AND action <> 'recording.archived') THEN 1 ELSE 0 END
		FROM (SELECT report AS id, first_seen FROM report_schedules) AS schedules`+where, args, func(r *sql.Rows) error {
		var f audit.ScheduleFacts
		rebuilt := 0
		if err := r.Scan(&f.Report, timeInto{&f.FirstSeen}, &rebuilt); err != nil {
			return err
		}
		row := &loggedRow{id: f.Report}
		rows = append(rows, row)
		if row.facts, err = json.Marshal(f); err == nil && rebuilt == 1 {
			row.set("state", json.RawMessage(`"`+rebuiltSchedule+`"`))
		}
		return err
	})
	return rows, err
}
