package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares erasures with the audit log: their rows, and the list of what
// each has erased, which other rows' gaps are excused by.

// isErased reports whether an erasure has taken something out of a thing: its list
// says so, and the log.
func (s *Store) isErased(ctx context.Context, kind call.ErasureKind, ref string) (erased bool, err error) {
	err = s.each(ctx, `SELECT a.facts FROM erasure_items i JOIN audit_entries a ON a.subject = 'erasure/' || i.erasure_id AND a.subject <> ''
		WHERE i.kind = ? AND i.ref = ? AND i.state = 'erased' AND a.action = ? AND a.facts LIKE '%"' || i.ref || '"%'`, []any{string(kind), ref, string(audit.ErasureDone)},
		func(rows *sql.Rows) error {
			var text string
			var f itemFacts
			if err := rows.Scan(&text); err != nil {
				return err
			}
			// The check of the log names an entry that cannot be read.
			erased = erased || json.Unmarshal([]byte(text), &f) == nil && f.Kind == kind && !f.Untouched && slices.Contains(f.Refs, ref)
			return nil
		})
	return erased, err
}

func erasureRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	err = s.each(ctx, `SELECT id, number_hash, reason, asked_by, CASE
		WHEN NOT EXISTS (SELECT 1 FROM suppressed_numbers n WHERE n.number_hash = erasures.number_hash AND n.before_at = erasures.asked_at) THEN 'no'
		WHEN EXISTS (SELECT 1 FROM suppressed_numbers n WHERE n.number_hash = erasures.number_hash
			AND NOT EXISTS (SELECT 1 FROM erasures o WHERE o.number_hash = n.number_hash AND o.asked_at = n.before_at)) THEN 'more' ELSE 'yes' END FROM erasures`+where, args, func(r *sql.Rows) error {
		row := &loggedRow{}
		var hash, reason, by, suppressed string
		if err := r.Scan(&row.id, &hash, &reason, &by, &suppressed); err != nil {
			return err
		}
		for field, text := range map[string]string{"number_hash": hash, "reason": reason, "asked_by": by, "suppressed": suppressed} {
			quoted, err := json.Marshal(text)
			if err != nil {
				return err
			}
			row.set(field, quoted)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

func checkErasureRow(ctx context.Context, s *Store, row *loggedRow, last audit.Entry, differ []string) (string, bool, error) {
	switch {
	case row.text("reason") != last.Reason, row.text("asked_by") != actorName(last.Actor):
		return "its row is not what the log told: reason, or who asked for it, is another", false, nil
	case len(differ) > 0:
		return "", false, nil
	}
	e, err := s.erasureWithLog(ctx, row.id)
	if err != nil || e == nil { // it is gone since
		return "", false, err
	}
	what := e.wrongItems()
	if what == "" {
		what = e.wrongSearch()
	}
	if what == "" {
		what = e.wrongEnd(time.Now())
	}
	if what == "" {
		what, err = s.wrongNumber(ctx, e)
	}
	switch suppressed := row.text("suppressed"); {
	case what != "" || err != nil:
	case suppressed == "no":
		what = "the number is not kept from coming back any more"
	case suppressed == "more":
		what = "the number is kept out of what came later, too, for which nobody asked"
	}
	return what, false, err
}

// suppressedRows reads the numbers that are kept from coming back, and names those that
// no erasure is about. After a rebuild a number has another hash, of another key.
func suppressedRows(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
	type number struct {
		hash   string
		before int64
	}
	var numbers []number
	err = s.each(ctx, "SELECT id, number_hash, before_at FROM (SELECT CAST(seq AS TEXT) AS id, number_hash, before_at FROM suppressed_numbers) AS numbers"+where, args, func(r *sql.Rows) error {
		var id string
		var n number
		err := r.Scan(&id, &n.hash, &n.before)
		rows, numbers = append(rows, &loggedRow{id: id}), append(numbers, n)
		return err
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	begun, before, rebuilt := map[string]bool{}, []int64{}, map[int64]bool{}
	err = s.each(ctx, "SELECT at, action, facts FROM audit_entries WHERE action IN (?, ?) AND action <> 'recording.archived' ORDER BY seq",
		[]any{string(audit.ErasureBegun), string(audit.DatabaseRebuilt)}, func(r *sql.Rows) error {
			var at int64
			var action audit.Action
			var text string
			var f begunFacts
			err := r.Scan(&at, &action, &text)
			switch {
			case err != nil:
			case action == audit.DatabaseRebuilt:
				for _, asked := range before {
					rebuilt[asked] = true
				}
			case json.Unmarshal([]byte(text), &f) == nil: // else the check of the log names it
				if !f.AskedAt.IsZero() {
					at = f.AskedAt.UnixMilli()
				}
				begun[f.NumberHash] = true
				before = append(before, at)
			}
			return err
		})
	for i, n := range numbers {
		if !begun[n.hash] && !rebuilt[n.before] {
			rows[i].wrong = "a number is kept from coming back that no erasure is about"
		}
	}
	return rows, err
}

// erasureItem names an item of an erasure.
type erasureItem struct {
	kind call.ErasureKind
	ref  string
}

// listedItem is how an item stands.
type listedItem struct {
	state call.ErasureState
	until int64 // Unix milliseconds, 0: not known
	why   string
}

// loggedErasure is an erasure with its items, and what the log tells of it, all as
// of one moment. Where the log tells nothing of a thing its place is -1.
type loggedErasure struct {
	hash, number, certificate               string
	asked, found, next, finished, certified int64 // Unix milliseconds, 0: none
	certificates, scanned                   int64
	items                                   map[erasureItem]listedItem

	begunSeq, rebuiltSeq, certifiedSeq, reopenedSeq, touchedSeq int64
	askedAt, foundAt, certifiedAt                               int64 // Unix milliseconds
	// key is the fingerprint of the key of the number's hash; empty: an earlier
	// version has begun it.
	key              string
	last             audit.CertificateFacts
	certificatesTold int64
	// through is the last delivery that was looked through.
	through int64
	// listed are the items that the log names, done those that it says are done, and
	// again those of which it says later that there is more: each with the place of
	// the last entry. untouched are those of done of which that says so, and kept is
	// what it said last of those that are kept.
	listed, done, again map[erasureItem]int64
	untouched           map[erasureItem]bool
	kept                map[erasureItem]keptFacts
}

// isTold reports whether the log tells all of the erasure, and not only what earlier
// versions told.
func (e *loggedErasure) isTold() bool { return e.key != "" }

// erasureWithLog reads an erasure by one statement, for it may just go on; nil, if
// it is not there.
func (s *Store) erasureWithLog(ctx context.Context, id string) (*loggedErasure, error) {
	e := &loggedErasure{
		items: map[erasureItem]listedItem{}, listed: map[erasureItem]int64{}, done: map[erasureItem]int64{}, again: map[erasureItem]int64{},
		untouched: map[erasureItem]bool{}, kept: map[erasureItem]keptFacts{}, begunSeq: -1, rebuiltSeq: -1, certifiedSeq: -1, reopenedSeq: -1, touchedSeq: -1,
	}
	there := false
	err := s.each(ctx, `SELECT e.number_hash, e.number, e.certificate, e.asked_at, coalesce(e.found_at, 0), coalesce(e.next_at, 0), coalesce(e.finished_at, 0),
			coalesce(e.certified_at, 0), e.certificates, e.scanned, x.seq, x.at, x.what, x.name, x.text, x.why
		FROM erasures e JOIN (
			SELECT -1 AS seq, coalesce(until_at, 0) AS at, kind AS what, ref AS name, state AS text, why FROM erasure_items WHERE erasure_id = ?
			UNION ALL SELECT seq, at, action, '', facts, '' FROM audit_entries WHERE subject <> '' AND subject = ?
			UNION ALL SELECT seq, at, action, '', '', '' FROM audit_entries WHERE action = ? AND action <> 'recording.archived') x ON e.id = ? ORDER BY x.seq`,
		[]any{id, "erasure/" + id, string(audit.DatabaseRebuilt), id}, func(rows *sql.Rows) error {
			there = true
			var seq, at int64
			var what, name, text, why string
			err := rows.Scan(&e.hash, &e.number, &e.certificate, &e.asked, &e.found, &e.next, &e.finished, &e.certified, &e.certificates, &e.scanned,
				&seq, &at, &what, &name, &text, &why)
			if err != nil {
				return err
			}
			if seq < 0 {
				e.items[erasureItem{call.ErasureKind(what), name}] = listedItem{call.ErasureState(text), at, why}
				return nil
			}
			if err := e.tell(audit.Action(what), seq, at, []byte(text)); err != nil {
				return nil //nolint:nilerr // the check of the log names the entry
			}
			return nil
		})
	if err != nil || !there {
		return nil, err
	}
	return e, nil
}

// tell takes what an entry of the log says.
func (e *loggedErasure) tell(action audit.Action, seq, at int64, facts []byte) error {
	note := func(kind call.ErasureKind, refs []string, into ...map[erasureItem]int64) {
		if len(refs) > 0 {
			e.touchedSeq = seq
		}
		for _, m := range into {
			for _, ref := range refs {
				m[erasureItem{kind, ref}] = seq
			}
		}
	}
	var items itemFacts
	switch action {
	case audit.DatabaseRebuilt:
		// How far the search for the number was is lost.
		e.rebuiltSeq, e.through, e.foundAt = seq, 0, 0
	case audit.ErasureBegun:
		var f begunFacts
		if err := json.Unmarshal(facts, &f); err != nil {
			return err
		}
		e.key = f.Key
		if e.begunSeq = seq; !f.AskedAt.IsZero() {
			e.askedAt = f.AskedAt.UnixMilli()
		}
		note(call.ErasedCall, f.CallIDs, e.listed)
	case audit.ErasureFound:
		err := json.Unmarshal(facts, &items)
		note(items.Kind, items.Refs, e.listed, e.again)
		if items.Through != nil {
			e.through = *items.Through
		}
		if items.All {
			e.foundAt = at
		}
		return err
	case audit.ErasureKept:
		var f keptFacts
		err := json.Unmarshal(facts, &f)
		e.kept[erasureItem{f.Kind, f.Ref}] = f
		return err
	case audit.ErasureDone:
		err := json.Unmarshal(facts, &items)
		note(items.Kind, items.Refs, e.listed, e.done)
		for _, ref := range items.Refs {
			e.untouched[erasureItem{items.Kind, ref}] = items.Untouched
		}
		return err
	case audit.ErasureReopened:
		var f reopenedFacts
		err := json.Unmarshal(facts, &f)
		e.reopenedSeq = seq
		note(call.ErasedCall, f.Calls, e.again)
		return err
	case audit.ErasureCertified:
		e.certifiedSeq, e.certifiedAt, e.last = seq, at, audit.CertificateFacts{}
		e.certificatesTold++
		return json.Unmarshal(facts, &e.last)
	default:
	}
	return nil
}

// wrongItems says what is wrong with the list of what is erased.
func (e *loggedErasure) wrongItems() string {
	forged, undone, lost, unasked, putOff := 0, 0, 0, 0, 0
	for item, is := range e.items {
		done, isDone := e.done[item]
		again, isAgain := e.again[item]
		switch {
		case is.state == call.ErasureDone || is.state == call.ErasureUntouched:
			if !isDone || e.untouched[item] != (is.state == call.ErasureUntouched) {
				forged++
			}
		// A segment of the journal is looked at again for each thing that it told of,
		// and calls and deliveries after a rebuild.
		case isDone && (!isAgain || again <= done) && e.rebuiltSeq < done && item.kind != call.ErasedJournal:
			undone++
		case !e.isListed(item):
			unasked++
		case e.isPutOff(item, is):
			putOff++
		}
	}
	for item := range e.listed {
		if _, ok := e.items[item]; !ok {
			lost++
		}
	}
	switch {
	case forged > 0:
		return fmt.Sprintf("its list says of %d things that they are erased, or another's, and the log does not", forged)
	case undone > 0:
		return fmt.Sprintf("the log says of %d things that they are erased, and its list says that they are not", undone)
	case lost > 0:
		return fmt.Sprintf("its list lacks %d things that the log names", lost)
	case unasked > 0:
		return fmt.Sprintf("its list has %d things that nobody has found to be of it: they would be erased", unasked)
	case putOff > 0:
		return fmt.Sprintf("its list keeps %d things until another time, or for another reason, than the log says", putOff)
	}
	return ""
}

// isListed reports whether the log names an item, or need not have: a segment of
// the journal is listed with what was erased of its requests, and nothing else goes
// from it.
func (e *loggedErasure) isListed(item erasureItem) bool {
	_, listed := e.listed[item]
	_, again := e.again[item]
	return listed || again || item.kind == call.ErasedJournal || !e.isTold()
}

// isPutOff reports whether an item waits otherwise than the log says.
func (e *loggedErasure) isPutOff(item erasureItem, is listedItem) bool {
	if is.state != call.ErasureKept {
		return is.until != 0
	}
	told, isKept := e.kept[item]
	if !isKept {
		return e.isTold()
	}
	until := int64(0)
	if !told.Until.IsZero() {
		until = told.Until.UnixMilli()
	}
	return is.until != until || is.why != told.Why
}

// Bounds of what the log tells of when an erasure ends and goes on.
const (
	// endNoted is how far a time that a row says may lie from that of the entry that
	// tells of it, which is written in the same transaction.
	endNoted = 10 * time.Minute
	// erasureWaits is how long an erasure waits at most for what no date is known of,
	// with an hour in which clocks may differ.
	erasureWaits = 25 * time.Hour
)

// wrongEnd says what is wrong with what the row says of whether it is complete, of
// when it goes on, and of its certificates.
func (e *loggedErasure) wrongEnd(now time.Time) string {
	complete := e.certifiedSeq > e.reopenedSeq && e.last.Complete
	open := false
	latest := now.Add(erasureWaits).UnixMilli()
	var first int64 // when the first of what is kept can go
	for _, is := range e.items {
		open = open || is.state == call.ErasureDue || is.state == call.ErasureKept
		if is.state == call.ErasureKept {
			if at := max(is.until, latest); first == 0 || at < first {
				first = at
			}
		}
	}
	switch {
	case (e.finished == 0) == (e.next == 0):
		return "its row says neither that it is complete nor when it goes on, or both"
	case e.finished != 0 && !complete:
		return "its row says that it is complete, and the log does not"
	case e.finished != 0 && !isNear(e.finished, e.certifiedAt):
		return "its row says another time than the log at which it was complete"
	case e.finished == 0 && complete && !open && e.touchedSeq < e.certifiedSeq:
		return "the log says that it is complete, and its row does not"
	case e.next > cmp.Or(first, latest):
		return "its row lets it go on later than what it keeps lets it wait"
	case e.certificate != strings.TrimSuffix(e.last.ObjectKey, ".json") || e.certificates != e.certificatesTold:
		return "its last certificate, or how many there are, is not what the log says"
	case e.certified != 0 && !isNear(e.certified, e.certifiedAt): // 0 is of an earlier version, and makes one more
		return "its row says another time than the log of its last certificate"
	case e.askedAt != 0 && e.asked != e.askedAt:
		return "its row is not what the log told: when it was asked for is another"
	}
	return ""
}

// isNear reports whether a time of a row, in Unix milliseconds, is the one that the log
// noted in the same transaction.
func isNear(is, told int64) bool {
	return is >= told-endNoted.Milliseconds() && is <= told+endNoted.Milliseconds()
}

// wrongSearch says what is wrong with what the row says of how far the requests have
// been looked through for the number. After a rebuild nobody may know it to look for.
func (e *loggedErasure) wrongSearch() string {
	switch {
	case !e.isTold():
	case e.scanned != e.through:
		return "its row says that it has looked through other requests than the log says"
	case e.foundAt == 0 && e.found != 0 && e.rebuiltSeq < e.begunSeq, e.foundAt != 0 && !isNear(e.found, e.foundAt):
		return "its row says otherwise than the log whether, or when, all requests had been looked through"
	}
	return ""
}

// wrongNumber says what is wrong with the number that an erasure looks for. After a
// rebuild it is another key that its hash is of.
func (s *Store) wrongNumber(ctx context.Context, e *loggedErasure) (string, error) {
	switch {
	case e.finished != 0 && e.number != "":
		return "it is complete, and its row still has a number", nil
	case e.rebuiltSeq > e.begunSeq:
		return "", nil
	case e.number == "" && e.found == 0:
		return "the number that it looks for is gone, and it has not been looked for everywhere", nil
	}
	var hashes erasureHashes
	err := s.each(ctx, "SELECT key FROM erasure_key", nil, func(rows *sql.Rows) error { return rows.Scan(&hashes.key) })
	switch {
	case err != nil:
		return "", err
	case e.isTold() && hashes.fingerprint() != e.key:
		return "the key of its number's hash is another: the number may come back", nil
	case e.number != "" && hashes.number(e.number) != e.hash:
		return "the number that it looks for is not the one that it was asked for", nil
	}
	return "", nil
}
