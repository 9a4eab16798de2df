package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file lets an erasure cover what turns out to be part of its calls when it
// has come to its end, or waits for something: in the transaction that records
// this it is opened again, and goes on by itself.

// joinedErased is a call of which erased legs and others are parts.
type joinedErased struct {
	call string
	// joined: some of these came to it only now.
	joined bool
	// alone: there are no others; its number was kept from coming back.
	alone bool
	// hashes are those of the numbers that were kept from coming back just now.
	hashes []string
}

// noteErased notes of which changed calls erasures must be told. It looks at
// what is in memory alone: it is asked of every report.
func (r *recorder) noteErased(touched map[string]*callState) {
	into := map[string]bool{}
	for _, m := range r.merged {
		into[r.survivor(m.loser)] = true
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		j := joinedErased{call: id, joined: into[id], alone: true}
		erased, changed := false, false
		for _, l := range touched[id].legs {
			j.joined = j.joined || l.isNew || l.moved
			erased = erased || l.Erased
			changed = changed || l.changed && !l.Erased
			j.alone = j.alone && l.Erased
			if hash := r.keptOut[legKey{l.Account, l.Key}]; hash != "" {
				j.hashes = append(j.hashes, hash)
			}
		}
		if erased && (j.alone && len(j.hashes) > 0 || !j.alone && (j.joined || changed)) {
			r.withErased = append(r.withErased, j)
		}
	}
}

// followErasures opens the erasures again whose calls got more parts.
func (r *recorder) followErasures(ctx context.Context) error {
	if len(r.withErased) == 0 || r.journaled != nil { // of what is made again the log tells
		return nil
	}
	type tie struct{ call, hash string }
	var ties []tie
	calls := map[string]joinedErased{}
	for _, j := range r.withErased {
		calls[j.call] = j
		ties = append(ties, tie{j.call, ""})
		for _, hash := range j.hashes {
			ties = append(ties, tie{j.call, hash})
		}
	}
	tied := map[string][]joinedErased{}
	err := selectMany(ctx, r.tx, "find the erasures of calls", `WITH k (call, hash) AS ({rows})
		SELECT i.erasure_id, k.call FROM k JOIN erasure_items i ON i.kind = 'call' AND i.ref = k.call
		UNION SELECT i.erasure_id, k.call FROM k JOIN call_redirects r ON r.call_id = k.call JOIN erasure_items i ON i.kind = 'call' AND i.ref = r.id
		UNION SELECT max(e.id), k.call FROM k JOIN erasures e ON e.number_hash = k.hash GROUP BY k.call, k.hash`, "tt", ties,
		func(t tie, args []any) []any { return append(args, t.call, t.hash) }, func(row row) error {
			var erasure, id string
			err := row.Scan(&erasure, &id)
			if !slices.ContainsFunc(tied[erasure], func(j joinedErased) bool { return j.call == id }) {
				tied[erasure] = append(tied[erasure], calls[id])
			}
			return err
		})
	if err == nil {
		err = r.tx.flush(ctx)
	}
	for _, id := range slices.Sorted(maps.Keys(tied)) {
		if err == nil {
			err = r.tx.coverJoined(ctx, r.actor, id, tied[id])
		}
	}
	if err != nil {
		return fmt.Errorf("follow the calls of erasures: %w", err)
	}
	return nil
}

// reopenedFacts is what the log says of an erasure that was complete when calls
// turned out to be parts of its calls.
type reopenedFacts struct {
	Calls       []string `json:"calls"`
	Certificate string   `json:"certificate"`
}

// coverJoined lists what of calls an erasure must cover, too, and lets it go on
// if there is anything.
func (t *tx) coverJoined(ctx context.Context, actor audit.Actor, id string, calls []joinedErased) error {
	var finished int
	var certificate string
	// Whoever just ends it is waited for, or sees what is listed here.
	if _, err := t.one(ctx, "SELECT CASE WHEN finished_at IS NULL THEN 0 ELSE 1 END, certificate FROM erasures WHERE id = ? {lock row}", []any{id}, &finished, &certificate); err != nil {
		return err
	}
	var alone, all, joined []string
	for _, j := range calls {
		switch {
		case j.alone:
			alone = append(alone, j.call)
			continue
		case j.joined:
			joined = append(joined, j.call)
		}
		all = append(all, j.call)
	}
	if err := t.erasedBefore(ctx, actor, id, alone); err != nil {
		return err
	}
	found := map[call.ErasureKind][]string{}
	for _, s := range []struct {
		kind  call.ErasureKind
		calls []string
		rest  string
	}{
		{call.ErasedCall, joined, `k.call FROM k WHERE true ON CONFLICT (erasure_id, kind, ref)
			DO UPDATE SET state = 'due', until_at = NULL, why = '', at = excluded.at WHERE erasure_items.state = 'erased'`},
		{call.ErasedAudio, all, "r.id FROM k JOIN recordings r ON r.call_id = k.call WHERE r.state <> 'erased' ON CONFLICT DO NOTHING"},
		{call.ErasedDelivery, joined, `CAST(i.delivery_id AS TEXT) FROM k JOIN legs l ON l.call_id = k.call JOIN delivery_items i ON i.leg_id = l.id
			WHERE true ON CONFLICT DO NOTHING`},
	} {
		err := selectMany(ctx, t, "list what is to be erased", `WITH k (erasure, call) AS ({rows})
			INSERT INTO erasure_items (erasure_id, kind, state, at, ref) SELECT DISTINCT k.erasure, '`+string(s.kind)+`', 'due', {now}, `+s.rest+" RETURNING ref", "tt", s.calls,
			func(callID string, args []any) []any { return append(args, id, callID) }, func(r row) error {
				var ref string
				err := r.Scan(&ref)
				found[s.kind] = append(found[s.kind], ref)
				return err
			})
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil {
			return err
		}
	}
	if len(found) == 0 {
		return nil
	}
	if err := t.exec(ctx, "UPDATE erasures SET finished_at = NULL, next_at = CASE WHEN lease_token IS NULL THEN {now} ELSE next_at END WHERE id = ?", id); err != nil {
		return err
	}
	var entries []audit.Entry
	say := func(action audit.Action, facts any) error {
		e, err := audit.New(action, "erasure/"+id, facts)
		e.Actor = actor
		entries = append(entries, e)
		return err
	}
	if finished == 1 {
		if err := say(audit.ErasureReopened, reopenedFacts{all, certificate}); err != nil {
			return err
		}
	}
	for _, kind := range call.ErasureKinds() {
		if refs := found[kind]; len(refs) > 0 {
			slices.Sort(refs)
			if err := say(audit.ErasureFound, itemFacts{Kind: kind, Refs: refs}); err != nil {
				return err
			}
		}
	}
	return t.audit(ctx, entries...)
}

// erasedBefore says of calls that their number was taken out before they were
// stored, because of an erasure.
func (t *tx) erasedBefore(ctx context.Context, actor audit.Actor, id string, calls []string) error {
	var fresh []string
	err := selectMany(ctx, t, "note what was erased", `WITH k (erasure, call) AS ({rows}) INSERT INTO erasure_items (erasure_id, kind, ref, state, at)
		SELECT DISTINCT k.erasure, 'call', k.call, 'erased', {now} FROM k WHERE true ON CONFLICT DO NOTHING RETURNING ref`, "tt", calls,
		func(callID string, args []any) []any { return append(args, id, callID) }, func(r row) error {
			fresh = append(fresh, "")
			return r.Scan(&fresh[len(fresh)-1])
		})
	if err == nil {
		err = t.flush(ctx)
	}
	if err != nil || len(fresh) == 0 {
		return err
	}
	e, err := audit.New(audit.ErasureDone, "erasure/"+id, itemFacts{Kind: call.ErasedCall, Refs: fresh})
	if e.Actor = actor; err != nil {
		return err
	}
	return t.audit(ctx, e)
}

// ErasureReopenings tells what was found of an erasure when it was complete, the
// first first.
func (s *Store) ErasureReopenings(ctx context.Context, id string) ([]call.ErasureReopening, error) {
	var found []call.ErasureReopening
	err := s.each(ctx, "SELECT at, facts FROM audit_entries WHERE subject <> '' AND subject = ? AND action = ? ORDER BY seq",
		[]any{"erasure/" + id, string(audit.ErasureReopened)}, func(rows *sql.Rows) error {
			var o call.ErasureReopening
			var f reopenedFacts
			err := rows.Scan(timeInto{&o.At}, jsonInto{&f})
			o.CallIDs, o.Certificate = f.Calls, f.Certificate
			found = append(found, o)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read when an erasure was opened again: %w", err)
	}
	return found, nil
}

// maxRuns is how many runs of digits at most are compared with the hash of a
// number.
const maxRuns = 2000

// RecallNumber looks in what is still to be erased for the number of an erasure
// that has forgotten it, and sets it if it is there: in the erasure's row, too,
// until the round ends. It is known by its hash; where the key of that is lost, as
// after a rebuild, by the calls, if they name one number alone. It is guessed if
// all these have erased legs, too: then it may be that of another who joined them,
// and only the caller is told.
func (s *Store) RecallNumber(ctx context.Context, e *call.Erasure) (guessed bool, err error) {
	if e.Number != "" {
		return false, nil
	}
	var customers, texts []string
	named, shared := map[string][]string{}, map[string]bool{}
	err = s.each(ctx, `SELECT l.call_id, l.facts FROM erasure_items i LEFT JOIN call_redirects r ON r.id = i.ref JOIN legs l ON l.call_id = coalesce(r.call_id, i.ref)
		WHERE i.erasure_id = ? AND i.kind = 'call' AND i.state <> 'erased' ORDER BY l.id`, []any{e.ID}, func(rows *sql.Rows) error {
		var l call.Leg
		var id, text string
		err := rows.Scan(&id, jsonInto{&l})
		shared[id] = shared[id] || l.Erased
		if err == nil && !l.Erased {
			if l.CustomerNumber != "" {
				customers = append(customers, l.CustomerNumber)
				named[id] = append(named[id], l.CustomerNumber)
			}
			text, err = l.JSON()
			texts = append(texts, text)
		}
		return err
	})
	if err == nil {
		err = s.each(ctx, `SELECT d.query, b.body FROM erasure_items i JOIN deliveries d ON d.id = CAST(i.ref AS BIGINT) JOIN bodies b ON b.sha256 = d.body_sha256
			WHERE i.erasure_id = ? AND i.kind = 'delivery' AND i.state IN ('due', 'kept') ORDER BY d.id LIMIT ?`, []any{e.ID, scanPage}, func(rows *sql.Rows) error {
			var query, body []byte
			err := rows.Scan(&query, &body)
			texts = append(texts, string(query), string(body))
			return err
		})
	}
	lost := false
	var hashes erasureHashes
	if err == nil && len(texts) > 0 {
		err = s.each(ctx, "SELECT 1 "+rebuiltSince, rebuiltArgs(e.ID), func(*sql.Rows) error {
			lost = true
			return nil
		})
		if err == nil {
			err = s.each(ctx, "SELECT key FROM erasure_key", nil, func(rows *sql.Rows) error { return rows.Scan(&hashes.key) })
		}
		if err == nil {
			// Not within a change: while one is made no report is taken, and this may
			// take seconds.
			if lost {
				e.Number, guessed = theirNumber(named, shared)
			} else {
				e.Number = hashes.find(e.NumberHash, append(customers, texts...))
			}
			if !guessed {
				_, err = s.update(ctx, "UPDATE erasures SET number = ? WHERE id = ?", e.Number, e.ID)
			}
		}
	}
	if err != nil {
		return false, fmt.Errorf("look for the number of an erasure: %w", err)
	}
	return guessed, nil
}

// theirNumber is the one number that calls name, empty if there is none: that of
// calls that are nobody else's, for sure; where all are shared with others it is
// guessed.
func theirNumber(named map[string][]string, shared map[string]bool) (number string, guessed bool) {
	var sure, all []string
	for id, numbers := range named {
		all = append(all, numbers...)
		if !shared[id] {
			sure = append(sure, numbers...)
		}
	}
	if len(sure) > 0 {
		return oneNumber(sure), false
	}
	number = oneNumber(all)
	return number, number != ""
}

// lostKey reports whether the database was made again since an erasure was asked
// for: the key of its number's hash was in the one that is lost.
func (t *tx) lostKey(ctx context.Context, id string) (bool, error) {
	return t.one(ctx, "SELECT 1 "+rebuiltSince, rebuiltArgs(id), new(int))
}

const rebuiltSince = "FROM audit_entries a, erasures e WHERE e.id = ? AND a.action = ? AND a.action <> 'recording.archived' AND a.at >= e.asked_at LIMIT 1"

func rebuiltArgs(id string) []any { return []any{id, string(audit.DatabaseRebuilt)} }

// find looks for the number with this hash in texts, with or without its country
// code, which has one to three digits; empty: it is not there.
func (h erasureHashes) find(hash string, texts []string) string {
	isDigit := func(c rune) bool { return c >= '0' && c <= '9' }
	seen := map[string]bool{}
	for _, text := range texts {
		for _, run := range strings.FieldsFunc(text, func(c rune) bool { return !isDigit(c) }) {
			run = strings.TrimLeft(run, "0")
			if len(run) < minNumber || len(run) > 15 || seen[run] || len(seen) == maxRuns {
				continue
			}
			seen[run] = true
			if h.number(run) == hash {
				return "+" + run
			}
			for code := 1; code < 1000 && len(run) < 15; code++ {
				if number := fmt.Sprint(code, run); h.number(number) == hash {
					return "+" + number
				}
			}
		}
	}
	return ""
}
