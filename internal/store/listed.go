package store

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"slices"

	"callvault/internal/call"
)

// This file joins rows of providers' call lists to the reported legs that they
// are about (see call.Leg.BestMatch), whichever came first. A new row looks for
// its leg in a few indexed places; a new leg finds the rows that wait for it by
// their traces, which only rows leave, and legs that their calls hide.

// askListed asks for the rows that may be about the reported legs. They are
// known after the next flush.
func (r *recorder) askListed(ctx context.Context, legs []call.Leg) error {
	var traces []callKey
	for i := range legs {
		if l := &legs[i]; !l.Listed {
			for _, trace := range l.Traces() {
				traces = append(traces, callKey{l.Account, "", trace})
			}
		}
	}
	return selectMany(ctx, r.tx, "read listed legs", `SELECT l.id, l.call_id, l.facts FROM list_traces t
		JOIN legs l ON l.leg_key = t.leg_key AND l.account = t.account WHERE (t.value, t.account) IN ({rows})`, "tt",
		notRead(r.tracesRead, traces), func(k callKey, args []any) []any { return append(args, k.value, k.account) }, r.scanLeg)
}

// matchListed finds for the rows that are at hand the legs that they are about.
func (r *recorder) matchListed(ctx context.Context) error {
	var rows []*leg
	for _, l := range r.legs {
		if l.NeedsMatch() {
			rows = append(rows, l)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := r.askCandidates(ctx); err != nil {
		return err
	}
	var reported []*call.Leg
	for _, l := range r.legs {
		if !l.Listed {
			reported = append(reported, &l.Leg)
		}
	}
	for _, l := range rows {
		var joined call.Key
		if best := l.BestMatch(reported); best != nil {
			joined = best.CallKey()
		}
		if joined != l.Joined {
			l.Joined, l.changed, l.json = joined, true, ""
		}
	}
	return nil
}

// askCandidates asks for the legs that the rows at hand may be about, and waits
// for them.
func (r *recorder) askCandidates(ctx context.Context) error {
	var questions []statement
	for _, l := range r.legs {
		if l.NeedsMatch() {
			questions = append(questions, candidates(&l.Leg)...)
		}
	}
	for _, s := range questions {
		s.scan = r.scanLeg
		if err := r.tx.later(ctx, s); err != nil {
			return err
		}
	}
	return r.tx.flush(ctx)
}

// candidates ask for the legs that the row may be about.
func candidates(l *call.Leg) []statement {
	const what = "read the legs that a listed one may be"
	list := []statement{{what: what, query: "SELECT id, call_id, facts FROM legs WHERE leg_key = ? AND account = ?", args: []any{l.ID(), l.Account}}}
	for _, w := range l.Recordings {
		list = append(list, statement{what: what, query: `SELECT l.id, l.call_id, l.facts FROM recordings r
			JOIN legs l ON l.call_id = r.call_id WHERE r.source = ? AND r.account = ?`, args: []any{w.Source, l.Account}})
	}
	at := l.AnsweredAt
	if at.IsZero() {
		at = l.StartedAt
	}
	if l.CustomerNumber == "" || at.IsZero() {
		return list
	}
	for _, trace := range l.PartyTraces() {
		list = append(list, statement{what: what, query: `SELECT l.id, l.call_id, l.facts FROM list_traces t
			JOIN legs l ON l.leg_key = t.leg_key AND l.account = t.account WHERE t.value = ? AND t.account = ?`, args: []any{trace, l.Account}})
	}
	return append(list, statement{what: what, query: `SELECT l.id, l.call_id, l.facts FROM calls c JOIN legs l ON l.call_id = c.id
		WHERE c.customer_rev = ? AND c.started_at >= ? AND c.started_at <= ? AND c.customer_number = ? AND c.account = ?`,
		args: []any{reverseDigits(l.CustomerNumber), at.Add(-call.BegunBefore).UnixMilli(), at.Add(call.BegunAfter).UnixMilli(), l.CustomerNumber, l.Account}})
}

// writeTraces lets the legs that are still to come find the rows, and the rows
// that are still to come the hidden legs.
func (r *recorder) writeTraces(ctx context.Context, changed []*leg, hidden []call.Leg) error {
	type traceRow struct{ value, account, key string }
	var rows []traceRow
	for _, l := range changed {
		if l.NeedsMatch() {
			for _, trace := range l.Traces() {
				rows = append(rows, traceRow{trace, l.Account, l.Key})
			}
		}
	}
	for _, l := range hidden {
		for _, trace := range l.PartyTraces() {
			rows = append(rows, traceRow{trace, l.Account, l.Key})
		}
	}
	return insertMany(ctx, r.tx, "write traces", "INSERT INTO list_traces (value, account, leg_key)", "ttt", " ON CONFLICT DO NOTHING", rows,
		func(t traceRow, args []any) []any { return append(args, t.value, t.account, t.key) })
}

// WouldTell says of rows of a call list what they would tell that is not known.
// It changes nothing.
func (s *Store) WouldTell(ctx context.Context, rows []*call.Leg) ([]call.Told, error) {
	told := make([]call.Told, len(rows))
	for i, l := range rows {
		var err error
		if told[i], err = s.wouldTell(ctx, l); err != nil {
			return nil, fmt.Errorf("look for listed leg %s: %w", l.Key, err)
		}
	}
	return told, nil
}

func (s *Store) wouldTell(ctx context.Context, l *call.Leg) (call.Told, error) {
	callID, err := s.callOfRow(ctx, l)
	if err != nil || callID == "" {
		return call.Told{}, err
	}
	members, err := s.legsOf(ctx, callID)
	if err != nil || len(members) == 0 {
		return call.Told{}, err
	}
	with := slices.Clone(members)
	if i := slices.IndexFunc(with, func(m call.Leg) bool { return m.Key == l.Key }); i >= 0 {
		with[i].Fill(*l)
	} else {
		row := *l
		row.Joined = members[0].CallKey()
		with = append(with, row)
	}
	fills := !reflect.DeepEqual(call.Merge(members), call.Merge(with))
	for _, w := range l.Recordings {
		fills = fills || !slices.ContainsFunc(members, func(m call.Leg) bool {
			return slices.ContainsFunc(m.Recordings, func(v call.Wanted) bool { return v.Kind == w.Kind && v.Source == w.Source })
		})
	}
	return call.Told{CallID: callID, Fills: fills}, nil
}

// callOfRow is the call that a row is about, empty if there is none.
func (s *Store) callOfRow(ctx context.Context, l *call.Leg) (callID string, err error) {
	one := func(query string, args ...any) error {
		return s.each(ctx, query, args, func(rows *sql.Rows) error { return rows.Scan(&callID) })
	}
	if err := one("SELECT call_id FROM legs WHERE leg_key = ? AND account = ?", l.Key, l.Account); err != nil || callID != "" {
		return callID, err
	}
	if l.NeedsMatch() {
		var found []*call.Leg
		calls := map[string]string{}
		for _, q := range candidates(l) {
			err := s.each(ctx, q.query, q.args, func(rows *sql.Rows) error {
				var id int64
				var of string
				var m call.Leg
				err := rows.Scan(&id, &of, jsonInto{&m})
				found = append(found, &m)
				calls[m.Key] = of
				return err
			})
			if err != nil {
				return "", err
			}
		}
		if best := l.BestMatch(found); best != nil {
			return calls[best.Key], nil
		}
	}
	k := l.CallKey()
	err = one("SELECT call_id FROM call_keys WHERE value = ? AND kind = ? AND account = ?", k.Value, string(k.Kind), l.Account)
	return callID, err
}

func (s *Store) legsOf(ctx context.Context, callID string) ([]call.Leg, error) {
	var legs []call.Leg
	err := s.each(ctx, "SELECT facts FROM legs WHERE call_id = ?", []any{callID}, func(rows *sql.Rows) error {
		var l call.Leg
		err := rows.Scan(jsonInto{&l})
		legs = append(legs, l)
		return err
	})
	return legs, err
}
