package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"callvault/internal/call"
)

// This file finds the runs that must be revised, and decides who does it.

// ReserveRevision decides who looks whether a built run must be revised, at a
// time of the report's schedule, and revises it. won is true for the one who
// may, until the lease ends, and gives the token to finish with: FinishRun, or
// LeaveRun if there is nothing to revise. It is false once the run has another
// revision, was looked at for that time or a later one, or has lost its files. A
// zero tick is an act of a person: when it was looked before does not count.
func (s *Store) ReserveRevision(ctx context.Context, id string, revision int, tick time.Time, lease time.Duration) (leaseToken string, won bool, err error) {
	leaseToken = newID()
	update := `UPDATE runs SET lease_token = ?, lease_until = {now} + ? WHERE id = ? AND state = 'built' AND revision = ?
		AND files <> '[]' AND files_expiring_at IS NULL AND (lease_token IS NULL OR lease_until < {now})`
	args := []any{leaseToken, lease.Milliseconds(), id, revision}
	if !tick.IsZero() {
		update, args = update+" AND coalesce(looked_at, 0) < ?", append(args, tick.UnixMilli())
	}
	n, err := s.update(ctx, update, args...)
	if err != nil {
		return "", false, fmt.Errorf("reserve a revision of run %s: %w", id, err)
	}
	if n == 0 {
		leaseToken = ""
	}
	return leaseToken, n == 1, nil
}

// LeaveRun gives the lease of ReserveRevision back and leaves the run as it is.
// If looked is not zero the run was looked at for this time of the schedule, and
// tells what is known up to the delivery. Whoever lost the lease gets a
// call.Conflict error.
func (s *Store) LeaveRun(ctx context.Context, leaseToken string, looked time.Time, delivery int64) error {
	if looked.IsZero() {
		return s.markRun(ctx, "leave a run", "", "lease_token = NULL", leaseToken)
	}
	return s.markRun(ctx, "leave a run", "", "lease_token = NULL, looked_at = ?, known_deliveries = ?", leaseToken, looked.UnixMilli(), delivery)
}

// NoteLooked says that these runs were looked at for a time of the schedule,
// and that no delivery up to one has told of their calls since they were built.
// Runs that somebody is revising, or has since, are left to him.
func (s *Store) NoteLooked(ctx context.Context, ids []string, looked time.Time, delivery int64) error {
	return inChunks(ids, func(chunk []string) error {
		args := []any{looked.UnixMilli(), delivery, looked.UnixMilli()}
		for _, id := range chunk {
			args = append(args, id)
		}
		_, err := s.update(ctx, "UPDATE runs SET looked_at = ?, known_deliveries = ? WHERE lease_token IS NULL AND as_of < ? AND id IN "+tuples(1, len(chunk)), args...)
		if err != nil {
			return fmt.Errorf("note that runs were looked at: %w", err)
		}
		return nil
	})
}

// TouchedHours returns the hours (by UTC) of whose calls deliveries after one
// have told, in order, whether or not they changed anything. A call counts by
// its start, else by its end or answer; and by when it was first heard of, for
// until now no time of it may have been known. It reads all deliveries since.
func (s *Store) TouchedHours(ctx context.Context, after int64) ([]call.TouchedHour, error) {
	newest := make(map[int64]int64)
	note := func(hour, delivery int64) { newest[hour] = max(newest[hour], delivery) }
	const told = "FROM delivery_items i JOIN legs ON legs.id = i.leg_id "
	err := s.each(ctx, `SELECT hour, heard, max(delivery_id) FROM (
			SELECT coalesce(nullif(calls.started_at, 0), `+endedOrAnswered+`, 0) / 3600000 AS hour,
				substr(calls.id, 1, 8) AS heard, i.delivery_id `+told+`JOIN calls ON calls.id = legs.call_id WHERE i.delivery_id > ?
			UNION ALL SELECT 0, substr(r.id, 1, 8), i.delivery_id `+told+`JOIN call_redirects r ON r.call_id = legs.call_id WHERE i.delivery_id > ?
		) AS told GROUP BY hour, heard`, []any{after, after}, func(rows *sql.Rows) error {
		var hour, delivery int64
		var heard string
		if err := rows.Scan(&hour, &heard, &delivery); err != nil {
			return err
		}
		if hour != 0 {
			note(hour, delivery)
		}
		if at, ok := heardAt(heard); ok {
			note(at.Unix()/3600, delivery)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the calls of late reports: %w", err)
	}
	var hours []call.TouchedHour
	for _, hour := range slices.Sorted(maps.Keys(newest)) {
		hours = append(hours, call.TouchedHour{From: time.Unix(hour*3600, 0).UTC(), Delivery: newest[hour]})
	}
	return hours, nil
}

// CallFates says what became of calls that a report has told of.
func (s *Store) CallFates(ctx context.Context, ids []string) (map[string]call.CallFate, error) {
	fates := make(map[string]call.CallFate, len(ids))
	for _, id := range ids {
		fates[id] = call.CallGone
	}
	err := inChunks(ids, func(chunk []string) error {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		in := " IN " + tuples(1, len(chunk))
		// The last that holds is the fate.
		for _, of := range []struct {
			fate  call.CallFate
			query string
		}{
			{call.CallJoined, "SELECT id FROM call_redirects WHERE id" + in},
			{call.CallThere, "SELECT id FROM calls WHERE id" + in},
			{call.CallErased, "SELECT ref FROM erasure_items WHERE kind = 'call' AND state = 'erased' AND ref" + in},
		} {
			err := s.each(ctx, of.query, slices.Clone(args), func(rows *sql.Rows) error {
				var id string
				err := rows.Scan(&id)
				fates[id] = of.fate
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find out what became of calls: %w", err)
	}
	return fates, nil
}

// revisable is for how long after its period a run may be revised at most, in
// milliseconds: a day more than reports ask for.
const revisable = 36 * 24 * int64(time.Hour/time.Millisecond)

// forgetKnown lets the runs over calls be looked at as if nothing were known of
// what they tell: the calls were changed, and no new delivery says so. They may
// have counted by when they were heard of, if no time was known until now.
func (t *tx) forgetKnown(ctx context.Context, callIDs []string) error {
	const at = "coalesce(nullif(calls.started_at, 0), " + endedOrAnswered + ")"
	forget := "UPDATE runs SET known_deliveries = 0 WHERE known_deliveries <> 0 AND period_to > {now} - " + strconv.FormatInt(revisable, 10) + " AND EXISTS "
	err := selectMany(ctx, t, "look at reports again", forget+"(SELECT 1 FROM calls WHERE calls.id IN ({rows}) AND "+at+" >= runs.period_from AND "+at+" < runs.period_to)",
		"t", callIDs, func(id string, args []any) []any { return append(args, id) }, nil)
	if err != nil {
		return err
	}
	var heard []int64
	for _, id := range callIDs {
		if at, ok := heardAt(id); ok {
			heard = append(heard, at.UnixMilli())
		}
	}
	return selectMany(ctx, t, "look at reports again", "WITH heard (at) AS ({rows}) "+forget+"(SELECT 1 FROM heard WHERE heard.at >= runs.period_from AND heard.at < runs.period_to)",
		"i", heard, func(at int64, args []any) []any { return append(args, at) }, nil)
}
