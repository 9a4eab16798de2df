package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares until when rows say that objects stay with what was promised:
// a date that was promised never becomes earlier. What was promised at first the
// object says itself, of seals and segments, or the log, of runs and certificates;
// what was promised later the log says of all.

// less says that a row promises less than was told, which is not zero.
func less(row, told time.Time) string {
	until := "nothing"
	if !row.IsZero() {
		until = row.UTC().Format(time.RFC3339)
	}
	return "until " + told.UTC().Format(time.RFC3339) + " was promised, and its row says " + until
}

// toldPromises is an entry that tells of promises.
type toldPromises struct {
	seq int64
	audit.PromiseFacts
}

// promises compares the rows with what entries of the page promised. The place of
// what is wrong is the entry: of one row there may be many, and only the last
// counts.
func (c *logChecker) promises(ctx context.Context) error {
	for _, p := range c.promised {
		first, n := "", 0
		err := inChunks(p.Objects, func(chunk []audit.PromisedObject) error {
			rows, err := c.promisedRows(ctx, call.ObjectSort(p.Sort), chunk)
			if err != nil {
				return err
			}
			for _, o := range chunk {
				until, there := rows[o.ID]
				if !there || !until.Before(o.RetainUntil.Truncate(time.Millisecond)) {
					continue // what is gone is told of elsewhere
				}
				later, err := c.toldLater(ctx, p, o.ID)
				if err != nil {
					return err
				}
				if later {
					continue
				}
				if n++; n == 1 {
					first = fmt.Sprintf("%s %s: %s", p.Sort, o.ID, less(until, o.RetainUntil))
				}
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case n > 1:
			c.fault(call.FaultLog, entryPlace(p.seq), "%d rows promise less than it told; the first is of %s", n, first)
		case n == 1:
			c.fault(call.FaultLog, entryPlace(p.seq), "a row promises less than it told: %s", first)
		}
	}
	return nil
}

// promisedRows are until when rows say that their objects stay, by their ids.
func (c *logChecker) promisedRows(ctx context.Context, sort call.ObjectSort, objects []audit.PromisedObject) (map[string]time.Time, error) {
	of, known := promisedRows[sort]
	if !known { // it is of a later version
		return map[string]time.Time{}, nil
	}
	var args []any
	for _, o := range objects {
		if !of.number {
			args = append(args, o.ID)
		} else if n, err := strconv.ParseInt(o.ID, 10, 64); err == nil {
			args = append(args, n)
		}
	}
	found := make(map[string]time.Time, len(args))
	if len(args) == 0 {
		return found, nil
	}
	return found, c.each(ctx, "SELECT CAST("+of.id+" AS TEXT), retain_until FROM "+of.table+" WHERE "+of.id+" IN "+tuples(1, len(args)), args, func(rows *sql.Rows) error {
		var id string
		var until time.Time
		err := rows.Scan(&id, timeInto{&until})
		found[id] = until
		return err
	})
}

// toldLater reports whether a later entry has told of the same row as a whole, so
// that it is compared with that (checkRunRow).
func (c *logChecker) toldLater(ctx context.Context, p toldPromises, id string) (bool, error) {
	if call.ObjectSort(p.Sort) != call.ReportObjects {
		return false, nil
	}
	subject := "run/" + id
	last, err := c.lastEntries(ctx, []string{subject}, runActions()...)
	return err == nil && last[subject].Seq > p.seq, err
}

// blockedAhead is how far ahead something is looked at again at most of which
// nobody knows how long it is kept, with an hour in which clocks may differ.
const blockedAhead = 25 * time.Hour

// blockedSegment says what is wrong with until when a row says that the vault keeps
// a segment whose own term is over: as long it is not looked at again.
func (c *logChecker) blockedSegment(ctx context.Context, row keptSegment) (string, error) {
	if !row.blockedUntil.After(time.Now().Add(blockedAhead)) {
		return "", nil
	}
	last, err := c.lastEntries(ctx, []string{row.subject}, audit.JournalKept)
	if err != nil {
		return "", err
	}
	var told call.SegmentKept
	if json.Unmarshal(last[row.subject].Facts, &told) == nil && !row.blockedUntil.After(told.Again) {
		return "", nil
	}
	return "its row says that the vault keeps it until " + row.blockedUntil.UTC().Format(time.RFC3339) + ", and the log does not", nil
}
