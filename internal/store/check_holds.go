package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares legal holds with the audit log: their rows, the calls under
// them, and the list of the objects that holds want something of.

// readHold gives a hold as whoever reads its row takes it. What JSON allows to stand
// there twice, or spelled otherwise ("REASON"), would count as well, and a look at the
// names alone would not see it.
func readHold(facts []byte) (json.RawMessage, error) {
	var h call.Hold
	if err := json.Unmarshal(facts, &h); err != nil {
		return nil, err
	}
	return json.Marshal(h)
}

func holdRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, "SELECT id, name, facts, released_at FROM holds"+where, args, func(r *sql.Rows) error {
		row := &loggedRow{}
		var name string
		var facts []byte
		var released sql.NullInt64
		if err := r.Scan(&row.id, &name, &facts, &released); err != nil {
			return err
		}
		if text, err := readHold(facts); err == nil {
			row.facts = text
		}
		var at time.Time
		if r := (call.HoldRelease{}); row.field("released") != nil && json.Unmarshal(row.field("released"), &r) == nil {
			at = r.At
		}
		if row.text("name") != name {
			row.set("name", nil)
		}
		if released.Valid != !at.IsZero() || released.Valid && released.Int64 != at.UnixMilli() {
			row.set("released", json.RawMessage("false"))
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// checkHoldRow looks whether just those calls are under a hold that came under it, by
// the log, or became one with them; and whether their objects are looked after.
func checkHoldRow(ctx context.Context, s *Store, row *loggedRow, last audit.Entry, _ []string) (string, bool, error) {
	h, err := s.heldByLog(ctx, row.id)
	if err != nil {
		return "", false, err
	}
	what := h.wrong()
	if what == "" && last.Action != audit.HoldReleased {
		what, err = s.unmarked(ctx, row.id)
	}
	return what, false, err
}

// loggedCalls are the calls under a hold, compared with what the log tells of them.
type loggedCalls struct {
	// lost are calls that came under the hold and are not any more, with the bounds
	// of since when they were; untold those that are, though the log does not tell.
	lost   map[string]sinceBounds
	untold map[string]bool
	// isPartly: an earlier version has brought calls under the hold, and did not tell
	// all of them.
	isPartly bool
	// otherSince counts those that are under it since another time.
	otherSince int
}

// sinceBounds are the first and the last moment since which a call can be under a
// hold, in Unix milliseconds.
type sinceBounds struct{ first, last int64 }

// joinNoted is how far the time since when a call is under a hold may lie from an entry
// of an earlier version, which was written in the same transaction.
const joinNoted = 10 * time.Minute

// heldByLog reads the calls of a hold and what the log tells of them, by one statement,
// for it may just be filled. Memory grows with the calls of one hold.
func (s *Store) heldByLog(ctx context.Context, id string) (*loggedCalls, error) {
	h := &loggedCalls{lost: map[string]sinceBounds{}, untold: map[string]bool{}}
	err := s.each(ctx, `SELECT seq, at, action, facts FROM audit_entries WHERE subject <> '' AND subject = ? AND action IN (?, ?)
			UNION ALL SELECT CAST(? AS BIGINT), since, '', call_id FROM hold_calls WHERE hold_id = ? ORDER BY 1`,
		[]any{"hold/" + id, string(audit.HoldJoined), string(audit.HoldPassed), int64(math.MaxInt64), id}, func(rows *sql.Rows) error {
			var seq, at int64
			var action audit.Action
			var text string
			err := rows.Scan(&seq, &at, &action, &text)
			if err != nil {
				return err
			}
			if action == "" {
				h.kept(text, at)
				return nil
			}
			h.tell(action, at, []byte(text))
			return nil
		})
	if err != nil {
		return nil, err
	}
	// Earlier versions did not tell that a call became one with another.
	err = inChunks(slices.Sorted(maps.Keys(h.lost)), func(chunk []string) error {
		args := []any{id}
		for _, lost := range chunk {
			args = append(args, lost)
		}
		return s.each(ctx, "SELECT r.id, r.call_id FROM call_redirects r JOIN hold_calls h ON h.call_id = r.call_id WHERE h.hold_id = ? AND r.id IN "+tuples(1, len(chunk)), args,
			func(rows *sql.Rows) error {
				var lost, is string
				err := rows.Scan(&lost, &is)
				delete(h.lost, lost)
				delete(h.untold, is)
				return err
			})
	})
	return h, err
}

// tell takes what an entry of the log says. The check of the log names one that cannot
// be read.
func (h *loggedCalls) tell(action audit.Action, at int64, facts []byte) {
	said := sinceBounds{at - joinNoted.Milliseconds(), at + joinNoted.Milliseconds()}
	join := func(id string, since sinceBounds) {
		if _, is := h.lost[id]; !is {
			h.lost[id] = since
		}
	}
	if action == audit.HoldJoined {
		var f heldFacts
		if json.Unmarshal(facts, &f) != nil {
			return
		}
		if f.Since.IsZero() {
			h.isPartly = true
		} else {
			said = sinceBounds{f.Since.UnixMilli(), f.Since.UnixMilli()}
		}
		for _, id := range f.Calls {
			join(id, said)
		}
		return
	}
	var f passedFacts
	if json.Unmarshal(facts, &f) != nil {
		return
	}
	// It is since the time of the first; where an earlier version has made the database
	// again, since that of the entry.
	if from, known := h.lost[f.From]; known {
		if said.first = min(said.first, from.first); !h.isPartly {
			said = from
		}
	}
	join(f.To, said)
	if f.Whole {
		delete(h.lost, f.From)
	}
}

// kept takes a call that is under the hold.
func (h *loggedCalls) kept(id string, since int64) {
	told, isTold := h.lost[id]
	delete(h.lost, id)
	switch {
	case !isTold:
		h.untold[id] = true
	case since < told.first || since > told.last:
		h.otherSince++
	}
}

func (h *loggedCalls) wrong() string {
	switch {
	case len(h.lost) > 0:
		return fmt.Sprintf("the log says of %d calls that they came under it, and they are not any more", len(h.lost))
	case len(h.untold) > 0 && !h.isPartly:
		return fmt.Sprintf("%d calls are under it, and the log does not say that they came under it", len(h.untold))
	case h.otherSince > 0:
		return fmt.Sprintf("%d calls are under it since another time than the log says", h.otherSince)
	}
	return ""
}

// clockStep is by how much the database's clock may be put back.
const clockStep = time.Minute

// unmarked says whether recordings of calls under a hold are lacking from the list by
// which their objects are looked at when it ends. Those that were archived when their
// call was under it already are only listed where the vault locks.
func (s *Store) unmarked(ctx context.Context, id string) (what string, err error) {
	err = s.each(ctx, `SELECT count(*) FROM hold_calls c JOIN recordings r ON r.call_id = c.call_id
		WHERE c.hold_id = ? AND r.state = 'archived' AND r.archived_at < c.since - ? AND NOT EXISTS (SELECT 1 FROM held_recordings o WHERE o.recording_id = r.id)`,
		[]any{id, clockStep.Milliseconds()}, func(rows *sql.Rows) error {
			var n int
			err := rows.Scan(&n)
			if n > 0 {
				what = fmt.Sprintf("%d recordings of calls under it are not listed any more: their objects would not be looked at when it ends", n)
			}
			return err
		})
	return what, err
}

// markedRows reads the recordings of which it is noted that their objects have the
// store's own legal hold. Wrong are those that no hold keeps, unless one is just being
// lifted.
func markedRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, `SELECT id, CASE WHEN EXISTS (SELECT 1 FROM recordings r WHERE r.id = marked.id AND r.state = 'archived' AND NOT `+heldCall("r.call_id")+`
			AND NOT EXISTS (SELECT 1 FROM hold_calls c JOIN holds h ON h.id = c.hold_id WHERE h.lifted = 0 AND c.call_id = r.call_id)) THEN 1 ELSE 0 END
		FROM (SELECT recording_id AS id FROM held_recordings WHERE pushed_at IS NOT NULL) AS marked`+where, args, func(r *sql.Rows) error {
		row := &loggedRow{}
		wrong := 0
		err := r.Scan(&row.id, &wrong)
		if wrong == 1 {
			row.wrong = "its object is said to be under a legal hold, and no hold keeps its call: nobody would lift it"
		}
		rows = append(rows, row)
		return err
	})
	return rows, err
}
