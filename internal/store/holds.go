package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/google/uuid"
)

const holdColumns = "id, facts, filled_at"

func holdFields(h *call.Hold) []any { return []any{&h.ID, jsonInto{h}, timeInto{&h.FilledAt}} }

// heldCall says in SQL that a hold in force keeps the call whose id column
// names. Calls that match a hold since a moment ago are not among them: see
// HeldBy.
func heldCall(column string) string {
	return "EXISTS (SELECT 1 FROM hold_calls JOIN holds ON holds.id = hold_calls.hold_id WHERE holds.released_at IS NULL AND hold_calls.call_id = " + column + ")"
}

// holdName says in SQL the name of one of the holds in force that keep the call
// whose id column names; NULL if none does.
func holdName(column string) string {
	return "(SELECT min(holds.name) FROM hold_calls JOIN holds ON holds.id = hold_calls.hold_id WHERE holds.released_at IS NULL AND hold_calls.call_id = " + column + ")"
}

// PlaceHold places a hold on the calls of CallIDs, or on those that Expanded
// selects; audit.ActorOf(ctx) is who does. It is in force when PlaceHold returns. Calls
// that a filter selects are counted as its own only when FillHold or
// FollowHolds has seen them, but HeldBy knows them at once. A name that was
// used before is a call.Conflict error, a call that is not there a
// call.NotFound one.
func (s *Store) PlaceHold(ctx context.Context, h call.Hold) (call.Hold, error) {
	h.ID = newID()
	actor := audit.ActorOf(ctx)
	h.PlacedAt, h.PlacedBy = time.Now().UTC().Truncate(time.Millisecond), actorName(actor)
	if h.Filter != nil && h.Expanded == nil {
		h.Expanded = h.Filter
	}
	for i, id := range h.CallIDs {
		found, err := s.Call(ctx, id)
		if call.CodeOf(err) == call.NotFound {
			return h, call.Errorf(call.NotFound, "there is no call with the id %s", id)
		}
		if err != nil {
			return h, err
		}
		h.CallIDs[i] = found.ID // which may be the one that it is part of
	}
	facts, err := json.Marshal(h)
	if err != nil {
		return h, fmt.Errorf("place hold %s: %w", h.Name, err)
	}
	var placed int64
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.later(ctx, statement{
			query: "INSERT INTO holds (id, name, facts) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
			args:  []any{h.ID, h.Name, string(facts)}, affected: &placed,
		})
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil || placed == 0 {
			return err
		}
		if err := t.auditHold(ctx, actor, audit.HoldPlaced, &h, h.Reason); err != nil {
			return err
		}
		_, err = t.joinHold(ctx, actor, &h, h.CallIDs)
		return err
	})
	if err != nil {
		return h, fmt.Errorf("place hold %s: %w", h.Name, notWritten(err))
	}
	if placed == 0 {
		return h, call.Errorf(call.Conflict, "there is or was a hold named %s already", h.Name)
	}
	return h, nil
}

// actorName is how a hold or an erasure speaks of somebody; a person has one
// name, whichever way it comes.
func actorName(a audit.Actor) string { return cmp.Or(a.Name, a.Kind) }

func (t *tx) auditHold(ctx context.Context, actor audit.Actor, action audit.Action, h *call.Hold, reason string) error {
	e, err := audit.New(action, "hold/"+h.ID, h)
	if err != nil {
		return err
	}
	e.Actor, e.Reason = actor, reason
	return t.audit(ctx, e)
}

// heldFacts is what the log says of calls that came under a hold. Earlier versions did
// not say since when, nor tell of calls that became one with others.
type heldFacts struct {
	Calls []string  `json:"calls"`
	Since time.Time `json:"since,omitzero"`
}

// joinHold brings calls under a hold and returns those that were not.
func (t *tx) joinHold(ctx context.Context, actor audit.Actor, h *call.Hold, ids []string) (joined []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var since time.Time
	if _, err := t.one(ctx, "SELECT {now}", nil, timeInto{&since}); err != nil {
		return nil, err
	}
	under := func(id string, args []any) []any { return append(args, h.ID, id, since.UnixMilli()) }
	err = selectMany(ctx, t, "bring calls under a hold", `WITH k (hold, id, since) AS ({rows})
		INSERT INTO hold_calls (hold_id, call_id, since) SELECT k.hold, calls.id, k.since FROM k JOIN calls ON calls.id = k.id WHERE true
		ON CONFLICT DO NOTHING RETURNING call_id`, "tti", ids, under,
		func(r row) error {
			var id string
			err := r.Scan(&id)
			joined = append(joined, id)
			return err
		})
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil || len(joined) == 0 {
		return nil, err
	}
	e, err := audit.New(audit.HoldJoined, "hold/"+h.ID, heldFacts{joined, since})
	if e.Actor = actor; err == nil {
		err = t.audit(ctx, e)
	}
	if err != nil {
		return nil, err
	}
	// Also of recordings that are not there yet: somebody may be putting them
	// who has just asked whether they are held.
	return joined, t.pushRecordings(ctx, joined)
}

// pushRecordings lets the objects of calls be compared with what holds want.
func (t *tx) pushRecordings(ctx context.Context, callIDs []string) error {
	return selectMany(ctx, t, "mark the recordings of held calls", `INSERT INTO held_recordings (recording_id)
		SELECT id FROM recordings WHERE call_id IN ({rows}) ON CONFLICT (recording_id) DO UPDATE SET pushed_at = NULL`, "t",
		callIDs, func(id string, args []any) []any { return append(args, id) }, nil)
}

// FillHold brings all calls that its filter selects under a hold, page by page,
// and returns how many those are that were not. progress, if not nil, is told
// how many have been looked at.
func (s *Store) FillHold(ctx context.Context, h call.Hold, progress func(looked int)) (joined int, err error) {
	if h.Filter == nil {
		return 0, nil
	}
	began := time.Now()
	looked := 0
	err = s.eachMatchingID(ctx, *h.Expanded, func(ids []string) error {
		n, err := s.bringUnder(ctx, &h, ids)
		joined += n
		if looked += len(ids); progress != nil {
			progress(looked)
		}
		return err
	})
	if err == nil {
		_, err = s.update(ctx, "UPDATE holds SET filled_at = ? WHERE id = ?", began.UnixMilli(), h.ID)
	}
	if err != nil {
		return joined, fmt.Errorf("fill hold %s: %w", h.Name, err)
	}
	return joined, nil
}

// bringUnder brings those of the calls under the hold that are not yet and were
// first heard of before it ended to take calls in.
func (s *Store) bringUnder(ctx context.Context, h *call.Hold, ids []string) (int, error) {
	known := map[string]bool{}
	err := inChunks(ids, func(chunk []string) error {
		args := []any{h.ID}
		for _, id := range chunk {
			args = append(args, id)
		}
		return s.each(ctx, "SELECT call_id FROM hold_calls WHERE hold_id = ? AND call_id IN "+tuples(1, len(chunk)), args, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			known[id] = true
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return known[id] || !h.Until.IsZero() && !heardBefore(id, h.Until) })
	if len(ids) == 0 {
		return 0, nil
	}
	actor := audit.ActorOf(ctx)
	var joined []string
	err = s.change(ctx, func(ctx context.Context, t *tx) (err error) {
		joined, err = t.joinHold(ctx, actor, h, ids)
		return err
	})
	return len(joined), err
}

// heardBefore reports whether the call with this id was first heard of before
// a moment, which its id tells (RFC 9562, section 5.7, and ids that follow from
// deliveries are alike). One whose id tells nothing counts as heard of.
func heardBefore(id string, at time.Time) bool {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 && u.Version() != 8 {
		return true
	}
	var ms int64
	for _, b := range u[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms < at.UnixMilli()
}

// eachMatchingID calls f with the ids of all calls that a filter selects, at
// most backgroundRows at a time, with no transaction open.
func (s *Store) eachMatchingID(ctx context.Context, filter call.Filter, f func(ids []string) error) error {
	at, id := int64(-1), ""
	for {
		c, err := s.matching(ctx, filter)
		if err != nil {
			return err
		}
		c.add("started_at >= ? AND (started_at, id) > (?, ?)", max(at, 0), at, id)
		var ids []string
		err = s.each(ctx, "SELECT started_at, id FROM calls"+c.where()+" ORDER BY started_at, id LIMIT ?", append(c.args, backgroundRows), func(rows *sql.Rows) error {
			err := rows.Scan(&at, &id)
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return fmt.Errorf("find calls: %w", err)
		}
		if len(ids) > 0 {
			if err := f(ids); err != nil {
				return err
			}
		}
		if len(ids) < backgroundRows {
			return nil
		}
	}
}

// HeldBy returns the holds in force that keep each of the calls; calls that
// nothing keeps are left out. Holds are asked with their filters, too, so that a
// call that matches only since a moment ago is among them, and heldCall knows
// it from then on. Retention and erasure ask this before they delete.
func (s *Store) HeldBy(ctx context.Context, callIDs []string) (map[string][]call.Hold, error) {
	if err := s.catchUp(ctx, callIDs); err != nil {
		return nil, fmt.Errorf("compare calls with the holds: %w", err)
	}
	held := map[string][]call.Hold{}
	err := inChunks(callIDs, func(chunk []string) error {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		return s.each(ctx, "SELECT call_id, "+holdColumns+` FROM hold_calls JOIN holds ON holds.id = hold_calls.hold_id
			WHERE holds.released_at IS NULL AND call_id IN `+tuples(1, len(chunk))+" ORDER BY call_id, id", args, func(rows *sql.Rows) error {
			var id string
			var h call.Hold
			err := rows.Scan(append([]any{&id}, holdFields(&h)...)...)
			held[id] = append(held[id], h)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the holds of calls: %w", err)
	}
	return held, nil
}

// catchUp compares calls with the filters of all holds that take calls in.
func (s *Store) catchUp(ctx context.Context, callIDs []string) error {
	holds, err := s.following(ctx)
	if err != nil {
		return err
	}
	for i := range holds {
		var matching []string
		err := inChunks(callIDs, func(chunk []string) error {
			c, err := s.matching(ctx, *holds[i].Expanded)
			if err != nil {
				return err
			}
			c.addList("id IN", chunk)
			return s.each(ctx, "SELECT id FROM calls"+c.where(), c.args, func(rows *sql.Rows) error {
				var id string
				err := rows.Scan(&id)
				matching = append(matching, id)
				return err
			})
		})
		if err != nil {
			return err
		}
		if _, err := s.bringUnder(ctx, &holds[i], matching); err != nil {
			return err
		}
	}
	return nil
}

// following are the holds that calls may still come under.
func (s *Store) following(ctx context.Context) ([]call.Hold, error) {
	holds, err := s.holds(ctx, "WHERE released_at IS NULL")
	for i := range holds {
		// Nobody has compared all calls with it in the future, and a row that says so
		// must not keep them from being compared. Clocks of nodes may differ.
		if holds[i].FilledAt.After(time.Now().Add(joinNoted)) {
			holds[i].FilledAt = time.Time{}
		}
	}
	return slices.DeleteFunc(holds, func(h call.Hold) bool { return !h.Follows() }), err
}

// Holds returns all holds, in force or not, in the order in which they were
// placed.
func (s *Store) Holds(ctx context.Context) ([]call.Hold, error) { return s.holds(ctx, "") }

// Hold returns one hold by its name, or a call.NotFound error.
func (s *Store) Hold(ctx context.Context, name string) (call.Hold, error) {
	holds, err := s.holds(ctx, "WHERE name = ?", name)
	if err != nil {
		return call.Hold{}, err
	}
	if len(holds) == 0 {
		return call.Hold{}, noHold(name)
	}
	return holds[0], nil
}

func noHold(name string) error { return call.Errorf(call.NotFound, "there is no hold named %s", name) }

func (s *Store) holds(ctx context.Context, where string, args ...any) ([]call.Hold, error) {
	var holds []call.Hold
	err := s.each(ctx, "SELECT "+holdColumns+" FROM holds "+where+" ORDER BY id", args, func(rows *sql.Rows) error {
		holds = append(holds, call.Hold{})
		return rows.Scan(holdFields(&holds[len(holds)-1])...)
	})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return holds, nil
}

// HoldStats counts what a hold keeps, or kept.
func (s *Store) HoldStats(ctx context.Context, h call.Hold) (call.HoldStats, error) {
	var n call.HoldStats
	err := s.each(ctx, `SELECT (SELECT count(*) FROM hold_calls WHERE hold_id = ?), count(*), coalesce(sum(r.size), 0),
			coalesce(sum(CASE WHEN o.pushed_at IS NULL THEN 1 ELSE 0 END), 0)
		FROM hold_calls c JOIN recordings r ON r.call_id = c.call_id LEFT JOIN held_recordings o ON o.recording_id = r.id
		WHERE c.hold_id = ? AND r.state = 'archived'`, []any{h.ID, h.ID}, func(rows *sql.Rows) error {
		return rows.Scan(&n.Calls, &n.Recordings, &n.Bytes, &n.NotPushed)
	})
	if err != nil {
		return n, fmt.Errorf("count what hold %s keeps: %w", h.Name, err)
	}
	if !h.InForce() {
		n.NotPushed = 0
	}
	return n, nil
}

// ReleaseHold ends a hold, or, if it needs two people (as it was placed, or
// twoPerson says), asks for it: then a second person's ReleaseHold ends it.
// audit.ActorOf(ctx) is who does; the same person twice is a call.Forbidden
// error, a hold that is released already a call.Conflict one.
func (s *Store) ReleaseHold(ctx context.Context, name, reason string, twoPerson bool) (call.Hold, error) {
	r := call.HoldRelease{At: time.Now().UTC().Truncate(time.Millisecond), By: actorName(audit.ActorOf(ctx)), Reason: reason}
	h, err := s.changeHold(ctx, name, reason, func(h *call.Hold) (audit.Action, error) {
		if err := endHold(h, r, twoPerson); err != nil {
			return "", err
		}
		if h.InForce() {
			return audit.HoldReleaseAsked, nil
		}
		return audit.HoldReleased, nil
	})
	if err != nil || h.InForce() {
		return h, err
	}
	return h, s.unpushHold(ctx, h.ID)
}

// WithdrawRelease takes back the request to release a hold, whoever asked for it:
// two people must ask anew. One that nobody has asked for, or that is released, is
// a call.Conflict error.
func (s *Store) WithdrawRelease(ctx context.Context, name, reason string) (call.Hold, error) {
	return s.changeHold(ctx, name, reason, func(h *call.Hold) (audit.Action, error) {
		switch {
		case !h.InForce():
			return "", wasReleased(h)
		case h.Asked == nil:
			return "", call.Errorf(call.Conflict, "nobody has asked for the release of hold %s", h.Name)
		}
		h.Asked = nil
		return audit.HoldReleaseWithdrawn, nil
	})
}

// changeHold changes a hold, which change says how to log, and logs it.
func (s *Store) changeHold(ctx context.Context, name, reason string, change func(*call.Hold) (audit.Action, error)) (call.Hold, error) {
	actor := audit.ActorOf(ctx)
	var h call.Hold
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		h = call.Hold{}
		var before string
		found, err := t.one(ctx, "SELECT facts FROM holds WHERE name = ?", []any{name}, &before)
		if err != nil {
			return err
		}
		if !found {
			return inputFault{noHold(name)}
		}
		if err := json.Unmarshal([]byte(before), &h); err != nil {
			return err
		}
		action, err := change(&h)
		if err != nil {
			return inputFault{err}
		}
		facts, err := json.Marshal(h)
		if err != nil {
			return err
		}
		var ended any
		if !h.InForce() {
			ended = h.Released.At.UnixMilli()
		}
		var changed int64
		// Of two who come at once the second must see what the first did.
		err = t.later(ctx, statement{query: "UPDATE holds SET facts = ?, released_at = ?, lifted = 0 WHERE name = ? AND facts = ?", args: []any{string(facts), ended, name, before}, affected: &changed})
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil {
			return err
		}
		if changed == 0 {
			return inputFault{call.Errorf(call.Conflict, "somebody else has just changed hold %s; look at it and try again", name)}
		}
		return t.auditHold(ctx, actor, action, &h, reason)
	})
	if err == nil {
		return h, nil
	}
	if e, ok := errors.AsType[*call.Error](err); ok {
		return h, e
	}
	return h, fmt.Errorf("change hold %s: %w", name, notWritten(err))
}

func wasReleased(h *call.Hold) error {
	return call.Errorf(call.Conflict, "hold %s was released on %s by %s", h.Name, h.Released.At.Format(time.RFC3339), h.Released.By)
}

// endHold applies a release, or the request for one.
func endHold(h *call.Hold, r call.HoldRelease, twoPerson bool) error {
	switch {
	case !h.InForce():
		return wasReleased(h)
	case !h.TwoPerson && !twoPerson:
		h.Released = &r
	case h.Asked == nil:
		h.Asked = &r
	case strings.EqualFold(h.Asked.By, r.By):
		return call.Errorf(call.Forbidden, "%s asked for the release of hold %s; another person must confirm it", h.Asked.By, h.Name)
	default:
		h.Released = &r
	}
	return nil
}

// unpushHold lets the objects of a released hold be looked at. Interrupted, it
// is made up for by FollowHolds.
func (s *Store) unpushHold(ctx context.Context, id string) error {
	after := ""
	for {
		var ids []string
		err := s.each(ctx, "SELECT call_id FROM hold_calls WHERE hold_id = ? AND call_id > ? ORDER BY call_id LIMIT ?", []any{id, after, backgroundRows}, func(rows *sql.Rows) error {
			err := rows.Scan(&after)
			ids = append(ids, after)
			return err
		})
		if err == nil && len(ids) > 0 {
			err = s.change(ctx, func(ctx context.Context, t *tx) error {
				return selectMany(ctx, t, "mark the recordings of released calls", `UPDATE held_recordings SET pushed_at = NULL
					WHERE recording_id IN (SELECT id FROM recordings WHERE call_id IN ({rows}))`, "t", ids,
					func(id string, args []any) []any { return append(args, id) }, nil)
			})
		}
		if err != nil {
			return fmt.Errorf("lift the locks of a hold: %w", err)
		}
		if len(ids) < backgroundRows {
			break
		}
	}
	if _, err := s.update(ctx, "UPDATE holds SET lifted = 1 WHERE id = ?", id); err != nil {
		return fmt.Errorf("lift the locks of a hold: %w", err)
	}
	return nil
}
