package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// begunFacts is what the log says of an erasure when it begins.
type begunFacts struct {
	NumberHash string    `json:"number_hash"`
	Calls      int       `json:"calls"`
	CallIDs    []string  `json:"call_ids,omitempty"`
	AskedAt    time.Time `json:"asked_at,omitzero"`
	// Key is the fingerprint of the key of the hash. Where there is none an earlier
	// version has begun the erasure, and not told all that this one does.
	Key string `json:"key_fingerprint,omitempty"`
}

// itemFacts is what the log says of items of an erasure.
type itemFacts struct {
	Kind call.ErasureKind `json:"kind"`
	Refs []string         `json:"refs"`
	// Through, if given, is the last delivery that was looked through for the number,
	// and All says that all have been.
	Through *int64 `json:"through,omitempty"`
	All     bool   `json:"all,omitempty"`
	// Untouched, of items that are done: nothing was erased from them.
	Untouched bool `json:"untouched,omitempty"`
}

// done is the state of items that are done.
func (f *itemFacts) done() call.ErasureState {
	if f.Untouched {
		return call.ErasureUntouched
	}
	return call.ErasureDone
}

// keptFacts is what the log says of an item that cannot be erased yet: until when, if
// that is known, and why.
type keptFacts struct {
	Kind  call.ErasureKind `json:"kind"`
	Ref   string           `json:"ref"`
	Until time.Time        `json:"until,omitzero"`
	Why   string           `json:"why"`
}

// remakeErasure makes an erasure again, and what it has come to. The number is
// not in the vault.
func (t *tx) remakeErasure(ctx context.Context, e audit.Entry) error {
	_, id, _ := strings.Cut(e.Subject, "/")
	switch e.Action {
	case audit.ErasureBegun:
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f begunFacts) error {
			at := e.At.UnixMilli()
			if !f.AskedAt.IsZero() {
				at = f.AskedAt.UnixMilli()
			}
			if err := t.exec(ctx, "INSERT INTO suppressed_numbers (seq, number_hash, before_at) SELECT coalesce(max(seq), 0) + 1, CAST(? AS TEXT), CAST(? AS BIGINT) FROM suppressed_numbers HAVING NOT EXISTS (SELECT 1 FROM suppressed_numbers WHERE number_hash = ? AND before_at = ?)",
				f.NumberHash, at, f.NumberHash, at); err != nil {
				return err
			}
			if err := t.exec(ctx, "INSERT INTO erasures (id, number_hash, number, reason, asked_at, asked_by, next_at) VALUES (?, ?, '', ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET certificates = 0",
				id, f.NumberHash, e.Reason, at, cmp.Or(e.Actor.Name, e.Actor.Kind), at); err != nil {
				return err
			}
			return t.listToErase(ctx, id, call.ErasedCall, f.CallIDs, e.At)
		})
	case audit.ErasureFound:
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f itemFacts) error {
			return t.listToErase(ctx, id, f.Kind, f.Refs, e.At)
		})
	case audit.ErasureReopened:
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f reopenedFacts) error {
			if err := t.exec(ctx, "UPDATE erasures SET finished_at = NULL, next_at = ? WHERE id = ?", e.At.UnixMilli(), id); err != nil {
				return err
			}
			return insertMany(ctx, t, "list what is to be erased", "INSERT INTO erasure_items (erasure_id, kind, ref, state, at)", "tttti",
				" ON CONFLICT (erasure_id, kind, ref) DO UPDATE SET state = excluded.state, at = excluded.at", f.Calls,
				func(ref string, args []any) []any {
					return append(args, id, string(call.ErasedCall), ref, string(call.ErasureDue), e.At.UnixMilli())
				})
		})
	case audit.ErasureDone:
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f itemFacts) error {
			err := insertMany(ctx, t, "note what was erased", "INSERT INTO erasure_items (erasure_id, kind, ref, state, at)", "tttti",
				" ON CONFLICT (erasure_id, kind, ref) DO UPDATE SET state = excluded.state, until_at = NULL, why = '', at = excluded.at", f.Refs,
				func(ref string, args []any) []any {
					return append(args, id, string(f.Kind), ref, string(f.done()), e.At.UnixMilli())
				})
			if err != nil || f.Kind != call.ErasedAudio {
				return err
			}
			for _, table := range []string{"recording_media", "recording_analyses"} { // how it sounded
				err := selectMany(ctx, t, "forget how recordings sounded", "DELETE FROM "+table+" WHERE recording_id IN ({rows})", "t", f.Refs,
					func(ref string, args []any) []any { return append(args, ref) }, nil)
				if err != nil {
					return err
				}
			}
			return nil
		})
	case audit.ErasureCertified:
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f audit.CertificateFacts) error {
			at := e.At.UnixMilli()
			var finished any
			if f.Complete {
				finished = at
			}
			return t.exec(ctx, `UPDATE erasures SET certificate = ?, certificates = certificates + 1, certified_at = ?, found_at = coalesce(found_at, CAST(? AS BIGINT)),
				finished_at = ?, next_at = CASE WHEN CAST(? AS BIGINT) IS NULL THEN next_at END WHERE id = ?`,
				strings.TrimSuffix(f.ObjectKey, ".json"), at, at, finished, finished, id)
		})
	}
	return nil
}

// settleErasures lets erasures go on that had not come to their end. What is left
// of them in the vault may tell of what was erased already, as long as a segment
// of the journal had not been written again; so their calls and deliveries are
// looked at once more.
func (t *tx) settleErasures(ctx context.Context, actor audit.Actor) error {
	open := map[string]int64{}
	err := t.each(ctx, "SELECT id, asked_at FROM erasures WHERE finished_at IS NULL ORDER BY id", nil, func(r row) error {
		var id string
		var asked int64
		err := r.Scan(&id, &asked)
		open[id] = asked
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(open)) {
		if err := t.settleErasure(ctx, actor, id, open[id]); err != nil {
			return fmt.Errorf("erasure %s: %w", id, err)
		}
	}
	return nil
}

func (t *tx) settleErasure(ctx context.Context, actor audit.Actor, id string, askedAt int64) error {
	// Of a call of which a part is erased the number may be that of somebody who
	// joined it: it is not looked for elsewhere.
	var calls, numbers []string
	err := t.each(ctx, `SELECT c.id, CASE WHEN EXISTS (SELECT 1 FROM legs l WHERE l.call_id = c.id AND l.facts LIKE '%"erased":true%') THEN '' ELSE c.customer_number END
		FROM erasure_items i LEFT JOIN call_redirects r ON r.id = i.ref
		JOIN calls c ON c.id = coalesce(r.call_id, i.ref) WHERE i.erasure_id = ? AND i.kind = 'call' ORDER BY c.id`, []any{id}, func(r row) error {
		var call, number string
		err := r.Scan(&call, &number)
		if calls = append(calls, call); number != "" {
			numbers = append(numbers, number)
		}
		return err
	})
	if err != nil {
		return err
	}
	number := oneNumber(numbers)
	if number != "" {
		// What its segments brought back, and what is not suppressed by a key that
		// is lost; but not who called again.
		more, err := t.callsOf(ctx, number, askedAt)
		if err != nil {
			return err
		}
		calls = append(calls, more...)
		hashes, err := t.erasureKey(ctx)
		if err != nil {
			return err
		}
		if err := t.exec(ctx, "INSERT INTO suppressed_numbers (seq, number_hash, before_at) SELECT coalesce(max(seq), 0) + 1, CAST(? AS TEXT), CAST(? AS BIGINT) FROM suppressed_numbers",
			hashes.number(number), askedAt); err != nil {
			return err
		}
	}
	if err := t.exec(ctx, "UPDATE erasure_items SET state = 'due', at = {now} WHERE erasure_id = ? AND kind IN ('call', 'delivery')", id); err != nil {
		return err
	}
	slices.Sort(calls)
	if err := t.addErasureItems(ctx, actor, id, slices.Compact(calls)); err != nil {
		return err
	}
	// Who knows the number looks for it everywhere again.
	return t.exec(ctx, `UPDATE erasures SET number = ?, scanned = 0, next_at = {now},
		found_at = CASE WHEN CAST(? AS TEXT) = '' THEN {now} END WHERE id = ?`, number, number, id)
}

// oneNumber is the number that all of these are, with or without country code;
// empty if they are not one person's: a call may have become one with another's.
func oneNumber(numbers []string) string {
	longest := ""
	for _, n := range numbers {
		if len(n) > len(longest) {
			longest = n
		}
	}
	r := call.NewRedactor(longest, nil)
	for _, n := range numbers {
		if !r.IsNumber(n) {
			return ""
		}
	}
	return longest
}
