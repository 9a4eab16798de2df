package store

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const erasureColumns = "id, number_hash, number, reason, asked_at, asked_by, scanned, found_at, next_at, finished_at, certificate, certificates"

func erasureFields(e *call.Erasure) []any {
	return []any{&e.ID, &e.NumberHash, &e.Number, &e.Reason, timeInto{&e.AskedAt}, &e.AskedBy, &e.Scanned, timeInto{&e.FoundAt},
		timeInto{&e.NextAt}, timeInto{&e.FinishedAt}, &e.Certificate, &e.Certificates}
}

// erasureHashes makes the keyed hashes that stand for erased numbers and for
// identifiers that held them.
type erasureHashes struct{ key []byte }

func (h erasureHashes) of(text string) string {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// number is the hash of a number, which does not depend on how it is written.
func (h erasureHashes) number(number string) string {
	rev := []byte(reverseDigits(number))
	slices.Reverse(rev)
	return h.of("number " + string(rev))
}

// fingerprint tells whether the key is still the same.
func (h erasureHashes) fingerprint() string { return fingerprint("key of erased numbers", h.key) }

func (h erasureHashes) token(id string) string { return "erased-" + h.of("id " + id)[:24] }

func (h erasureHashes) redactor(number string) *call.Redactor {
	return call.NewRedactor(number, h.token)
}

// erasureKey reads the key of the hashes, and makes it the first time.
func (t *tx) erasureKey(ctx context.Context) (erasureHashes, error) {
	var h erasureHashes
	if err := t.exec(ctx, "INSERT INTO erasure_key (id, key) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", []byte(rand.Text()+rand.Text())); err != nil {
		return h, err
	}
	_, err := t.one(ctx, "SELECT key FROM erasure_key WHERE id = 1", nil, &h.key)
	return h, err
}

// callsOf returns the ids of the calls with a customer's number that did not
// begin after a time in Unix milliseconds.
func (t *tx) callsOf(ctx context.Context, number string, until int64) ([]string, error) {
	r := call.NewRedactor(number, nil)
	rev := reverseDigits(number)
	rev = rev[:min(len(rev), 8)] // with and without country code
	var ids []string
	err := t.each(ctx, "SELECT id, customer_number FROM calls WHERE customer_rev >= ? AND customer_rev < ? AND started_at <= ? ORDER BY id",
		[]any{rev, prefixEnd(rev), until}, func(rows row) error {
			var id, customer string
			err := rows.Scan(&id, &customer)
			if r.IsNumber(customer) {
				ids = append(ids, id)
			}
			return err
		})
	return ids, err
}

// minNumber is how many digits a number has at least that can be erased.
const minNumber = 8

// checkErasable refuses what is not one customer's number.
func (s *Store) checkErasable(ctx context.Context, number string) error {
	rev := reverseDigits(number)
	if len(rev) < minNumber || len(rev) > 15 {
		return call.Errorf(call.Invalid, "a number has %d to 15 digits, best with + and the country code", minNumber)
	}
	own, err := s.findOwnNumbers(ctx, rev[:minNumber])
	if err != nil {
		return err
	}
	r := call.NewRedactor(number, nil)
	for _, n := range own {
		if text, ok := n.(string); ok && r.IsNumber(text) {
			return call.Errorf(call.Invalid, "this is the number of an agent or of the business on calls with other people; an erasure is of a customer's number")
		}
	}
	return nil
}

// ErasureScope returns the ids of the calls that an erasure of a customer's
// number would be about. A number that cannot be erased is a call.Invalid error.
func (s *Store) ErasureScope(ctx context.Context, number string) (ids []string, err error) {
	if err := s.checkErasable(ctx, number); err != nil {
		return nil, err
	}
	err = s.change(ctx, func(ctx context.Context, t *tx) (err error) {
		ids, err = t.callsOf(ctx, number, math.MaxInt64)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the calls of a number: %w", err)
	}
	return ids, nil
}

// BeginErasure writes down that a customer's number is to be erased. From then
// on no report brings back what is known under it from before; ContinueErasure
// does the rest. audit.ActorOf(ctx) is who asks. A number that cannot be erased
// is a call.Invalid error.
func (s *Store) BeginErasure(ctx context.Context, number, reason string) (call.Erasure, error) {
	if err := s.checkErasable(ctx, number); err != nil {
		return call.Erasure{}, err
	}
	actor := audit.ActorOf(ctx)
	e := call.Erasure{ID: newID(), Number: number, Reason: reason, AskedBy: actorName(actor)}
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		r := s.newRecorder(t)
		r.lockAll = true
		if _, err := r.lockKeys(ctx, []callKey{{kind: "erasure"}}); err != nil {
			return err
		}
		// Only now: what was stored before came before it.
		now := time.Now().UTC().Truncate(time.Millisecond)
		e.AskedAt, e.NextAt = now, now
		hashes, err := t.erasureKey(ctx)
		if err != nil {
			return err
		}
		e.NumberHash = hashes.number(number)
		if err := t.exec(ctx, "INSERT INTO suppressed_numbers (seq, number_hash, before_at) SELECT coalesce(max(seq), 0) + 1, CAST(? AS TEXT), CAST(? AS BIGINT) FROM suppressed_numbers", e.NumberHash, now.UnixMilli()); err != nil {
			return err
		}
		if err := t.exec(ctx, "INSERT INTO erasures (id, number_hash, number, reason, asked_at, asked_by, next_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			e.ID, e.NumberHash, number, reason, now.UnixMilli(), e.AskedBy, now.UnixMilli()); err != nil {
			return err
		}
		ids, err := t.callsOf(ctx, number, math.MaxInt64)
		if err != nil {
			return err
		}
		if err := t.listToErase(ctx, e.ID, call.ErasedCall, ids, now); err != nil {
			return err
		}
		entry, err := audit.New(audit.ErasureBegun, "erasure/"+e.ID, begunFacts{
			NumberHash: e.NumberHash, Calls: len(ids), CallIDs: ids, AskedAt: now, Key: hashes.fingerprint(),
		})
		entry.Actor, entry.Reason = actor, reason
		if err == nil {
			err = t.audit(ctx, entry)
		}
		if err != nil {
			return err
		}
		return t.addErasureItems(ctx, actor, e.ID, ids)
	})
	if err != nil {
		return e, fmt.Errorf("begin an erasure: %w", notWritten(err))
	}
	return e, nil
}

// ClaimErasure takes an erasure that is due for as long as the lease holds, that
// with the id if one is given; ok is false if there is none.
func (s *Store) ClaimErasure(ctx context.Context, id string, lease time.Duration) (e call.Erasure, leaseToken string, ok bool, err error) {
	leaseToken = newID()
	which, args := "", []any{leaseToken, lease.Milliseconds()}
	if id != "" {
		which, args = " AND id = ?", append(args, id)
	}
	err = s.change(ctx, func(ctx context.Context, t *tx) (err error) {
		e = call.Erasure{}
		ok, err = t.one(ctx, `UPDATE erasures SET lease_token = ?, next_at = {now} + ? WHERE id IN
			(SELECT id FROM erasures WHERE next_at <= {now}`+which+` ORDER BY next_at LIMIT 1 {skip locked}) RETURNING `+erasureColumns,
			slices.Clone(args), erasureFields(&e)...)
		return err
	})
	if err != nil {
		return e, "", false, fmt.Errorf("claim an erasure: %w", err)
	}
	return e, leaseToken, ok, nil
}

// EndErasureRound gives an erasure back: it goes on at next, or is done if that
// is zero; at once, if there is what nobody has worked on. certificate is the new one's key. The number is forgotten unless
// keepNumber. A loser of the lease changes nothing, and gets a call.Conflict
// error.
func (s *Store) EndErasureRound(ctx context.Context, leaseToken string, next time.Time, certificate string, keepNumber bool, facts any) error {
	actor := audit.ActorOf(ctx)
	var n int64
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		n = 0
		var id string
		found, err := t.one(ctx, "SELECT id FROM erasures WHERE lease_token = ? {lock row}", []any{leaseToken}, &id)
		if err != nil || !found {
			return err
		}
		isDue, err := t.followErasure(ctx, actor, id)
		if err != nil {
			return err
		}
		next, keepNumber := next, keepNumber
		if isDue {
			next, keepNumber = time.Now(), true
		}
		found, err = t.one(ctx, `UPDATE erasures SET lease_token = NULL, next_at = ?, finished_at = CASE WHEN CAST(? AS BIGINT) IS NULL THEN {now} END,
			certified_at = CASE WHEN ? = '' THEN certified_at ELSE {now} END, certificate = CASE WHEN ? = '' THEN certificate ELSE ? END, certificates = certificates + ?, number = CASE WHEN ? = 1 THEN number ELSE '' END
			WHERE id = ? RETURNING id`, []any{millis(next), millis(next), certificate, certificate, certificate, flag(certificate != ""), flag(keepNumber), id}, &id)
		if err != nil || !found {
			return err
		}
		n = 1
		if certificate == "" {
			return nil
		}
		entry, err := audit.New(audit.ErasureCertified, "erasure/"+id, facts)
		if entry.Actor = actor; err != nil {
			return err
		}
		return t.audit(ctx, entry)
	})
	if err != nil {
		return fmt.Errorf("end a round of an erasure: %w", err)
	}
	if n == 0 {
		return call.Errorf(call.Conflict, "another node has taken this erasure: the lease was lost")
	}
	return nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// RenewErasure lets the lease hold for lease from now on.
func (s *Store) RenewErasure(ctx context.Context, leaseToken string, lease time.Duration) error {
	n, err := s.update(ctx, "UPDATE erasures SET next_at = {now} + ? WHERE lease_token = ?", lease.Milliseconds(), leaseToken)
	if err == nil && n == 0 {
		err = call.Errorf(call.Conflict, "another node has taken this erasure: the lease was lost")
	}
	return err
}

// ErasureItems returns what an erasure is about, of one kind and in one of the
// states, by ref from after on.
func (s *Store) ErasureItems(ctx context.Context, id string, kind call.ErasureKind, after string, limit int, states ...call.ErasureState) ([]call.ErasureItem, error) {
	c := conditions{}
	c.add("erasure_id = ? AND kind = ? AND ref > ?", id, string(kind), after)
	names := make([]string, len(states))
	for i, state := range states {
		names[i] = string(state)
	}
	c.addList("state IN", names)
	var items []call.ErasureItem
	err := s.each(ctx, "SELECT kind, ref, state, until_at, why, at FROM erasure_items"+c.where()+" ORDER BY ref LIMIT ?", append(c.args, limit), func(rows *sql.Rows) error {
		var i call.ErasureItem
		err := rows.Scan(&i.Kind, &i.Ref, &i.State, timeInto{&i.Until}, &i.Why, timeInto{&i.At})
		items = append(items, i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is to be erased: %w", err)
	}
	return items, nil
}

// KeepErasureItem says that an item cannot go yet, until when and why. It changes
// nothing if that was said before.
func (s *Store) KeepErasureItem(ctx context.Context, id string, i call.ErasureItem) error {
	_, err := s.act(ctx, `UPDATE erasure_items SET at = {now}, state = 'kept', until_at = ?, why = ? WHERE erasure_id = ? AND kind = ? AND ref = ? AND state IN ('due', 'kept')
		AND NOT (state = 'kept' AND why = ? AND coalesce(until_at, 0) = coalesce(CAST(? AS BIGINT), 0)) RETURNING until_at, why`,
		[]any{millis(i.Until), i.Why, id, string(i.Kind), i.Ref, i.Why, millis(i.Until)}, func(r row) (audit.Entry, error) {
			f := keptFacts{Kind: i.Kind, Ref: i.Ref}
			if err := r.Scan(timeInto{&f.Until}, &f.Why); err != nil {
				return audit.Entry{}, err
			}
			return audit.New(audit.ErasureKept, "erasure/"+id, f)
		})
	if err != nil {
		return fmt.Errorf("note what is kept: %w", err)
	}
	return nil
}

// erased says of items that they are gone, and writes it into the log.
func (t *tx) erased(ctx context.Context, actor audit.Actor, id string, kind call.ErasureKind, refs []string) error {
	return t.doneWith(ctx, actor, id, itemFacts{Kind: kind, Refs: refs})
}

// doneWith says what became of items, and writes it into the log.
func (t *tx) doneWith(ctx context.Context, actor audit.Actor, id string, f itemFacts) error {
	if len(f.Refs) == 0 {
		return nil
	}
	err := selectMany(ctx, t, "note what was erased", "UPDATE erasure_items SET state = '"+string(f.done())+"', until_at = NULL, why = '', at = {now} WHERE (erasure_id, kind, ref) IN ({rows})", "ttt", f.Refs,
		func(ref string, args []any) []any { return append(args, id, string(f.Kind), ref) }, nil)
	if err != nil {
		return err
	}
	e, err := audit.New(audit.ErasureDone, "erasure/"+id, f)
	if e.Actor = actor; err != nil {
		return err
	}
	return t.audit(ctx, e)
}

// Erasure returns one erasure, or a call.NotFound error.
func (s *Store) Erasure(ctx context.Context, id string) (call.Erasure, error) {
	found, err := s.erasures(ctx, "WHERE id = ?", id)
	if err != nil {
		return call.Erasure{}, err
	}
	if len(found) == 0 {
		return call.Erasure{}, call.Errorf(call.NotFound, "there is no erasure with this id")
	}
	return found[0], nil
}

// Erasures returns all erasures, the newest first.
func (s *Store) Erasures(ctx context.Context) ([]call.Erasure, error) {
	return s.erasures(ctx, "")
}

func (s *Store) erasures(ctx context.Context, where string, args ...any) ([]call.Erasure, error) {
	var list []call.Erasure
	err := s.each(ctx, "SELECT "+erasureColumns+" FROM erasures "+where+" ORDER BY id DESC", args, func(rows *sql.Rows) error {
		list = append(list, call.Erasure{})
		return rows.Scan(erasureFields(&list[len(list)-1])...)
	})
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	return list, nil
}

// IsCertified reports whether the last certificate says how the erasure stands.
func (s *Store) IsCertified(ctx context.Context, id string) (certified bool, err error) {
	var n int
	err = s.each(ctx, "SELECT count(*) FROM erasures e WHERE id = ? AND certified_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM erasure_items i WHERE i.erasure_id = e.id AND i.at > e.certified_at)",
		[]any{id}, func(rows *sql.Rows) error { return rows.Scan(&n) })
	if err != nil {
		return false, fmt.Errorf("look for the certificate: %w", err)
	}
	return n == 1, nil
}

// CountErasureItems counts an erasure's items by kind and state.
func (s *Store) CountErasureItems(ctx context.Context, id string) (map[call.ErasureKind]map[call.ErasureState]int64, error) {
	counts := map[call.ErasureKind]map[call.ErasureState]int64{}
	err := s.each(ctx, "SELECT kind, state, count(*) FROM erasure_items WHERE erasure_id = ? GROUP BY kind, state", []any{id}, func(rows *sql.Rows) error {
		var kind call.ErasureKind
		var state call.ErasureState
		var n int64
		err := rows.Scan(&kind, &state, &n)
		if counts[kind] == nil {
			counts[kind] = map[call.ErasureState]int64{}
		}
		counts[kind][state] = n
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count what is erased: %w", err)
	}
	return counts, nil
}

// EraseRunFiles says that the files and inputs of all revisions of a run, of which
// the one given was the newest, are gone; nobody revises it any more. If there is a
// newer one by now, or somebody has just begun to put files for one, there is still
// something to erase.
func (s *Store) EraseRunFiles(ctx context.Context, erasureID, runID string, revision int) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		var newest int
		found, err := t.one(ctx, "SELECT revision FROM runs WHERE id = ? {lock row}", []any{runID}, &newest)
		if err != nil || found && newest != revision {
			return err
		}
		if err := t.exec(ctx, "UPDATE runs SET files = '[]', error = ?, lease_token = NULL WHERE id = ? AND files_expired_at IS NULL", "its files were deleted, for they held a number that was to be erased (erasure "+erasureID+")", runID); err != nil {
			return err
		}
		if planned, err := t.one(ctx, "SELECT 1 FROM planned_files WHERE run_id = ? LIMIT 1", []any{runID}, new(int)); planned || err != nil {
			return err
		}
		return t.erased(ctx, actor, erasureID, call.ErasedReport, []string{runID})
	})
	return erasing("the files of a report", err)
}

func erasing(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("erase %s: %w", what, cmp.Or(notWritten(err), err))
}
