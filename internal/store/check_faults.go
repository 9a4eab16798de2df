package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares the rows of faults with the audit log: who closes one past the
// program, or takes it out, hides what was found.

// toldFault is a fault's row as far as the log tells of it.
type toldFault struct {
	call.Fault
	FirstSeen int64 `json:"first_seen"` // Unix milliseconds, as ClosedAt
	ClosedAt  int64 `json:"closed_at"`  // 0: it is open
}

func faultRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, "SELECT id, kind, place, what, first_seen, last_seen, closed_at FROM faults"+where, args, func(r *sql.Rows) error {
		var f toldFault
		var id string
		var seen int64
		var closed sql.NullInt64
		err := r.Scan(&id, &f.Kind, &f.Where, &f.What, &f.FirstSeen, &seen, &closed)
		if err != nil {
			return err
		}
		if f.ClosedAt = closed.Int64; closed.Valid {
			f.ClosedAt = max(f.ClosedAt, 1)
		}
		facts, err := json.Marshal(f)
		rows = append(rows, &loggedRow{id: id, facts: facts})
		return err
	})
	return rows, err
}

// faultNoted is how far the times of a fault may lie from those of its entries,
// which are written in the same transactions.
const faultNoted = 10 * time.Minute

func checkFaultRow(_ context.Context, _ *Store, row *loggedRow, last audit.Entry, _ []string) (string, bool, error) {
	var is toldFault
	var told call.Fault
	if err := json.Unmarshal(row.facts, &is); err != nil {
		return "", false, err
	}
	if json.Unmarshal(last.Facts, &told) != nil {
		return "", false, nil //nolint:nilerr // the check of the log names the entry
	}
	isClosed, at := is.ClosedAt != 0, is.FirstSeen
	if isClosed {
		at = is.ClosedAt
	}
	// What is no UTF-8 is not replaced everywhere alike.
	other := func(is, told string) bool { return is != cleanText(told) && !strings.Contains(told, "\uFFFD") }
	off := last.At.Sub(time.UnixMilli(at)).Abs()
	switch {
	case isClosed && last.Action == audit.FaultOpened:
		return "its row says that it was looked for and not found any more, and the log does not", false, nil
	case !isClosed && last.Action == audit.FaultClosed:
		return "the log says that it was looked for and not found any more, and its row does not", false, nil
	case is.Kind != told.Kind, other(is.Where, told.Where), isClosed && other(is.What, told.What):
		return "its row is not what the log told: what was found, or where, is another", false, nil
	case off > faultNoted:
		return "its row says another time than the log at which it was found, or found no more", false, nil
	}
	return "", false, nil
}

// whyFaultGone says what is wrong about a fault whose row is not there: nothing, if
// the database was made again, which finds anew what is still wrong.
func (c *logChecker) whyFaultGone(ctx context.Context, where string) (string, error) {
	last, err := c.lastEntries(ctx, []string{where}, audit.FaultOpened, audit.FaultClosed)
	if err != nil {
		return "", err
	}
	rebuilt, err := c.isRebuiltAfter(ctx, last[where].Seq)
	if err != nil || rebuilt {
		return "", err
	}
	return "its row is gone; the log says what was found, and where", nil
}
