package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares the rows by which calls are found with the calls: one that is
// gone, or leads elsewhere, hides a call from a search, and nobody would miss it.

// readFound reads by what else than its own row each call of a page is found: the
// identifiers that only link, and the numbers of the business and of agents. from
// selects the page.
func (c *checker) readFound(ctx context.Context, page []keptCall, from string, args []any) error {
	byID := make(map[string]*keptCall, len(page))
	isKnown := map[string]bool{}
	for i := range page {
		byID[page[i].id] = &page[i]
		for _, n := range page[i].numbers {
			isKnown[n] = n == ""
		}
	}
	err := c.each(ctx, "SELECT l.call_id, l.account, l.kind, l.value FROM ("+from+") c JOIN call_links l ON l.call_id = c.id", args, func(rows *sql.Rows) error {
		var id string
		var k callKey
		err := rows.Scan(&id, &k.account, &k.kind, &k.value)
		if kept := byID[id]; kept != nil {
			kept.links = append(kept.links, k)
		}
		return err
	})
	if err != nil {
		return err
	}
	numbers := make([]string, 0, len(isKnown))
	for n := range isKnown {
		numbers = append(numbers, n)
	}
	err = inChunks(numbers, func(chunk []string) error {
		args := make([]any, 0, 2*len(chunk))
		for _, n := range chunk {
			args = append(args, reverseDigits(n), n)
		}
		return c.each(ctx, "SELECT number FROM own_numbers WHERE (rev, number) IN (VALUES "+tuples(len(chunk), 2)+")", args, func(rows *sql.Rows) error {
			var n string
			err := rows.Scan(&n)
			isKnown[n] = true
			return err
		})
	})
	for i := range page {
		for _, n := range page[i].numbers {
			page[i].isUnsearched = page[i].isUnsearched || !isKnown[n]
		}
	}
	return err
}

// unfound says what is wrong with the rows by which the call is found beside its
// own, if anything is.
func (k *keptCall) unfound() string {
	var links, known []callKey
	for i := range k.legs {
		l := &k.legs[i]
		links = appendKeys(links, l.Account, l.LinkKeys())
		known = appendKeys(known, l.Account, l.Keys) // what once linked may decide by now
	}
	for _, link := range links {
		if !slices.Contains(k.links, link) {
			return "one of its legs' identifiers does not lead to it: who searches for that does not find it"
		}
	}
	for _, link := range k.links {
		if !slices.Contains(known, link) {
			return "an identifier leads to it that none of its legs has"
		}
	}
	if k.isUnsearched {
		return "the number of its agent or of the business is not among those by which calls are searched"
	}
	return ""
}

// appendKeys appends identifiers as their rows have them.
func appendKeys(list []callKey, account string, keys []call.Key) []callKey {
	for _, key := range keys {
		list = append(list, callKey{cleanText(account), key.Kind, cleanText(key.Value)})
	}
	return list
}

// CheckIdentifiers looks at a page of the identifiers that decide to which call a
// leg belongs, beginning after the place that a page before ended with: each must
// be that of a leg of the call to which it leads. That none is missing is for
// CheckLegs. It closes no fault: that is about a call, and others of the same call
// may lie on another page. CheckAgain sees them all. The options are not used.
func (s *Store) CheckIdentifiers(ctx context.Context, o call.CheckOptions, after string, limit int) (call.Checked, error) {
	c := newChecker(s, o, call.FaultIdentifier)
	c.checked.Kinds = nil
	last := [3]string{}
	if after != "" {
		if err := json.Unmarshal([]byte(after), &last); err != nil {
			return call.Checked{}, call.Errorf(call.Invalid, "not a place that a page ended with")
		}
	}
	rows, err := c.identifiers(ctx, &last, limit)
	if err != nil {
		return call.Checked{}, fmt.Errorf("check identifiers: %w", err)
	}
	if rows == limit {
		next, err := json.Marshal(last)
		if err != nil {
			return call.Checked{}, fmt.Errorf("check identifiers: %w", err)
		}
		c.checked.Next = string(next)
	}
	return c.checked, nil
}

// identifiers checks a page, and sets last to the last of it.
func (c *checker) identifiers(ctx context.Context, last *[3]string, limit int) (n int, err error) {
	doubtful, err := c.doubtful(ctx, " WHERE (value, kind, account) > (?, ?, ?) ORDER BY value, kind, account LIMIT ?", []any{last[0], last[1], last[2], limit}, func(l linkRow) {
		n++
		*last = [3]string{l.value, string(l.kind), l.account}
		c.checked.Where = append(c.checked.Where, identifierPlace(l.callID))
	})
	for _, l := range doubtful {
		if err == nil {
			err = c.identifier(ctx, l.callKey)
		}
	}
	return n, err
}

// identifiersOf checks those that lead to one call, until one of them is at fault. No
// index has them by their calls: it reads all.
func (c *checker) identifiersOf(ctx context.Context, callID string) error {
	c.checked.Where = append(c.checked.Where, identifierPlace(callID))
	doubtful, err := c.doubtful(ctx, " WHERE call_id = ?", []any{callID}, func(linkRow) {})
	for _, l := range doubtful {
		if err == nil && len(c.checked.Faults) == 0 {
			err = c.identifier(ctx, l.callKey)
		}
	}
	return err
}

// doubtful returns those of some identifiers that are not the one in their call's row.
// see gets all, in their order.
func (c *checker) doubtful(ctx context.Context, where string, args []any, see func(linkRow)) (doubtful []linkRow, err error) {
	err = c.each(ctx, `SELECT k.value, k.kind, k.account, k.call_id, CASE WHEN c.call_key = k.value AND c.key_kind = k.kind AND c.account = k.account THEN 1 ELSE 0 END
		FROM (SELECT value, kind, account, call_id FROM call_keys`+where+`) k
		LEFT JOIN calls c ON c.id = k.call_id ORDER BY k.value, k.kind, k.account`, args, func(rows *sql.Rows) error {
		var l linkRow
		var isItsKey int
		err := rows.Scan(&l.value, &l.kind, &l.account, &l.callID, &isItsKey)
		see(l)
		if isItsKey == 0 {
			doubtful = append(doubtful, l)
		}
		return err
	})
	return doubtful, err
}

func identifierPlace(callID string) string { return string(call.FaultIdentifier) + "/" + callID }

// identifier looks at one that is not the one in its call's row: that of a leg it
// may be all the same, if the row was changed, which CheckCalls says.
func (c *checker) identifier(ctx context.Context, k callKey) error {
	callID, isOfLeg := "", false
	err := c.each(ctx, "SELECT k.call_id, l.facts FROM call_keys k LEFT JOIN legs l ON l.call_id = k.call_id WHERE k.value = ? AND k.kind = ? AND k.account = ?",
		[]any{k.value, string(k.kind), k.account}, func(rows *sql.Rows) error {
			var facts sql.NullString
			err := rows.Scan(&callID, &facts)
			if facts.Valid {
				var l call.Leg
				isBroken := (jsonInto{&l}).Scan(facts.String) != nil // which CheckLegs says
				isOfLeg = isOfLeg || isBroken || slices.Contains(appendKeys(nil, l.Account, []call.Key{l.CallKey()}), k)
			}
			return err
		})
	if err == nil && callID != "" && !isOfLeg {
		c.fault(call.FaultIdentifier, identifierPlace(callID), "an identifier leads to it that decides for none of its legs: a report with that would become part of it")
	}
	return err
}

// joinedFacts is what the log says of the id of a call that is part of another.
type joinedFacts struct {
	CallID string `json:"call_id"`
}

const redirectNoun = string(call.FaultRedirect) + "/"

// auditJoined says that the id of a call leads to another, of which it is part.
func (t *tx) auditJoined(ctx context.Context, actor audit.Actor, id, callID string) error {
	e, err := audit.New(audit.CallJoined, redirectNoun+id, joinedFacts{callID})
	if e.Actor = actor; err != nil {
		return err
	}
	return t.audit(ctx, e)
}

// remakeRedirect lets the former id of a call lead where it led, if whoever reads
// the deliveries today makes one call of both from the first, and so has no such id.
func (t *tx) remakeRedirect(ctx context.Context, e audit.Entry, f joinedFacts) error {
	id := strings.TrimPrefix(e.Subject, redirectNoun)
	return t.exec(ctx, `INSERT INTO call_redirects (id, call_id) SELECT CAST(? AS TEXT), id FROM calls
		WHERE id = coalesce((SELECT r.call_id FROM call_redirects r WHERE r.id = ?), ?) AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.id = ?)
		ON CONFLICT (id) DO NOTHING`, id, f.CallID, f.CallID, id)
}

// settleRedirects logs what the log does not tell as it is after a rebuild: what
// the journal has of an earlier version, and what is read otherwise today.
func (t *tx) settleRedirects(ctx context.Context, actor audit.Actor) error {
	return t.later(ctx, statement{
		what: "log former ids of calls", audits: true,
		query: `SELECT r.id, r.call_id FROM call_redirects r WHERE NOT EXISTS (SELECT 1 FROM audit_entries e
			WHERE e.subject <> '' AND e.subject = '` + redirectNoun + `' || r.id AND e.action = '` + string(audit.CallJoined) + `' AND e.facts = '{"call_id":"' || r.call_id || '"}'
			AND e.seq = (SELECT max(m.seq) FROM audit_entries m WHERE m.subject <> '' AND m.subject = e.subject AND m.action = e.action))`,
		scan: func(row row) error {
			var id, callID string
			if err := row.Scan(&id, &callID); err != nil {
				return err
			}
			return t.auditJoined(ctx, actor, id, callID)
		},
	})
}

// redirectRows reads former ids of calls. Those of an earlier version the log does
// not tell of.
func redirectRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, `SELECT id, call_id, CASE WHEN EXISTS (SELECT 1 FROM calls c WHERE c.id = call_redirects.call_id) THEN 1 ELSE 0 END,
		CASE WHEN EXISTS (SELECT 1 FROM calls c WHERE c.id = call_redirects.id) THEN 1 ELSE 0 END FROM call_redirects`+where, args, func(r *sql.Rows) error {
		row := &loggedRow{}
		var f joinedFacts
		var leads, isCall int
		err := r.Scan(&row.id, &f.CallID, &leads, &isCall)
		switch {
		case err != nil:
			return err
		case leads == 0:
			row.wrong = "it leads to a call that is not there"
		case isCall == 1:
			row.wrong = "there is a call with this id, and it leads to another"
		}
		rows = append(rows, row)
		row.facts, err = json.Marshal(f)
		return err
	})
	return rows, err
}

// redirects looks for the former ids of calls of which the log tells, and that lead
// nowhere any more though the call is there. What is there is for CheckRows.
func (c *logChecker) redirects(ctx context.Context) error {
	slices.Sort(c.joined)
	places := slices.Compact(c.joined)
	isThere := map[string]bool{}
	err := inChunks(places, func(chunk []string) error {
		args := make([]any, len(chunk))
		for i, place := range chunk {
			args[i] = strings.TrimPrefix(place, redirectNoun)
		}
		return c.each(ctx, "SELECT id FROM call_redirects WHERE id IN "+tuples(1, len(args)), args, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			isThere[redirectNoun+id] = true
			return err
		})
	})
	if err != nil {
		return err
	}
	gone := slices.DeleteFunc(places, func(place string) bool { return isThere[place] })
	last, err := c.lastEntries(ctx, gone, audit.CallJoined)
	if err != nil {
		return err
	}
	for _, place := range gone {
		var f joinedFacts
		if json.Unmarshal(last[place].Facts, &f) != nil {
			continue // the check of the log names the entry
		}
		c.checked.Where = append(c.checked.Where, place)
		id := strings.TrimPrefix(place, redirectNoun)
		// It goes with the call that it leads to; and a leg that leaves that may found
		// the same call again.
		err := c.each(ctx, `SELECT 1 FROM calls WHERE id = ? AND NOT EXISTS (SELECT 1 FROM calls f WHERE f.id = ?)
			AND NOT EXISTS (SELECT 1 FROM call_redirects WHERE call_redirects.id = ?)`, []any{f.CallID, id, id}, func(*sql.Rows) error {
			c.fault(call.FaultRedirect, place, "it is gone: the log says that it leads to call %s, which is there", f.CallID)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
