package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// UseAuditKey says which key signs the log's heads, by its public half. The
// first one is the log's from then on; another is a call.Conflict error that
// says what to do.
func (s *Store) UseAuditKey(ctx context.Context, verifier string) error {
	actor := audit.ActorOf(ctx)
	var known string
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		known = ""
		isNew, err := t.one(ctx, "INSERT INTO audit_key (id, verifier, created_at) VALUES (0, ?, {now}) ON CONFLICT (id) DO NOTHING RETURNING verifier",
			[]any{verifier}, &known)
		if err != nil {
			return err
		}
		if !isNew {
			_, err := t.one(ctx, "SELECT verifier FROM audit_key WHERE id = 0", nil, &known)
			return err
		}
		return t.auditKey(ctx, actor, audit.LogKeyMade, "", audit.KeyFacts{Verifier: verifier, Fingerprint: audit.Fingerprint(verifier)})
	})
	if err != nil {
		return fmt.Errorf("note the key of the audit log: %w", err)
	}
	if known != verifier {
		return call.Errorf(call.Conflict, "the audit log is signed by the key with the fingerprint %s, and this one has %s: "+
			"put the first one back (audit.key in the data folder, or audit.key_file, the same on all nodes); "+
			"if it is lost, `callvault audit rekey` goes on with a new one and says so in the log",
			audit.Fingerprint(known), audit.Fingerprint(verifier))
	}
	return nil
}

// ChangeAuditKey lets another key sign the log's heads from now on, which the
// log says with the reason.
func (s *Store) ChangeAuditKey(ctx context.Context, verifier, reason string) error {
	actor := audit.ActorOf(ctx)
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		var before string
		if _, err := t.one(ctx, "SELECT verifier FROM audit_key WHERE id = 0 {lock row}", nil, &before); err != nil {
			return err
		}
		if before == verifier {
			return call.Errorf(call.Conflict, "this key signs the audit log already")
		}
		err := t.exec(ctx, "INSERT INTO audit_key (id, verifier, created_at) VALUES (0, ?, {now}) ON CONFLICT (id) DO UPDATE SET verifier = excluded.verifier, created_at = excluded.created_at", verifier)
		if err != nil {
			return err
		}
		return t.auditKey(ctx, actor, audit.LogKeyChanged, reason, audit.KeyFacts{
			Verifier: verifier, Fingerprint: audit.Fingerprint(verifier), Before: before,
		})
	})
	if err != nil {
		return fmt.Errorf("change the key of the audit log: %w", err)
	}
	return nil
}

func (t *tx) auditKey(ctx context.Context, actor audit.Actor, action audit.Action, reason string, facts audit.KeyFacts) error {
	e, err := audit.New(action, "log", facts)
	if err != nil {
		return err
	}
	e.Actor, e.Reason = actor, reason
	return t.audit(ctx, e)
}

// AuditKey returns the public half of the key that signs the log's heads, empty
// if none does yet.
func (s *Store) AuditKey(ctx context.Context) (verifier string, err error) {
	err = s.each(ctx, "SELECT verifier FROM audit_key", nil, func(rows *sql.Rows) error { return rows.Scan(&verifier) })
	if err != nil {
		return "", fmt.Errorf("read the key of the audit log: %w", err)
	}
	return verifier, nil
}

// PlanSeal keeps a seal that is about to be put into the vault, and until when it
// is promised to stay there (zero: nothing is promised); NoteSealPut follows. It
// keeps nothing, and planned is false, while another is being put, and when there
// is one of as many entries or more: NewestSeal has it.
func (s *Store) PlanSeal(ctx context.Context, seal audit.Seal, objectKey string, until time.Time) (planned bool, err error) {
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		planned = false
		var verifier string
		// Nobody else plans one meanwhile.
		found, err := t.one(ctx, "SELECT verifier FROM audit_key WHERE id = 0 {lock row}", nil, &verifier)
		if err == nil && !found {
			err = call.Errorf(call.Conflict, "no key signs the audit log yet")
		}
		if err != nil {
			return err
		}
		var size, beingPut int64
		found, err = t.one(ctx, "SELECT size, being_put FROM audit_seals ORDER BY size DESC LIMIT 1", nil, &size, &beingPut)
		if err != nil || found && (beingPut == 1 || size >= seal.Size) {
			return err
		}
		planned = true
		return t.exec(ctx, "INSERT INTO audit_seals (size, sealed_at, object_key, note, retain_until, being_put) VALUES (?, ?, ?, ?, ?, 1)",
			seal.Size, seal.At.UnixMilli(), objectKey, seal.Note, millis(until))
	})
	if err != nil {
		return false, fmt.Errorf("plan a seal of the audit log: %w", err)
	}
	return planned, nil
}

// NoteSealPut says that a seal which was being put lies in the vault: the one
// that was planned, or what another node had put there for the same log; and until
// when it is promised to stay there (zero: nothing is promised).
func (s *Store) NoteSealPut(ctx context.Context, seal audit.Seal, until time.Time) error {
	_, err := s.update(ctx, "UPDATE audit_seals SET being_put = 0, sealed_at = ?, note = ?, retain_until = ? WHERE size = ? AND being_put = 1", seal.At.UnixMilli(), seal.Note, millis(until), seal.Size)
	if err != nil {
		return fmt.Errorf("note a seal of the audit log: %w", err)
	}
	return nil
}

// WithdrawSeal forgets a seal that was being put, and cannot be.
func (s *Store) WithdrawSeal(ctx context.Context, size int64) error {
	_, err := s.update(ctx, "DELETE FROM audit_seals WHERE size = ? AND being_put = 1", size)
	if err != nil {
		return fmt.Errorf("forget a seal of the audit log: %w", err)
	}
	return nil
}

// NoteSeal keeps where a seal lies that was found in the vault, and until when it
// is promised to stay there (zero: nothing is promised). Of two that seal the log
// at one size the first counts.
func (s *Store) NoteSeal(ctx context.Context, seal audit.Seal, objectKey string, until time.Time) error {
	_, err := s.update(ctx, "INSERT INTO audit_seals (size, sealed_at, object_key, note, retain_until) VALUES (?, ?, ?, ?, ?) ON CONFLICT (size) DO NOTHING",
		seal.Size, seal.At.UnixMilli(), objectKey, seal.Note, millis(until))
	if err != nil {
		return fmt.Errorf("note a seal of the audit log: %w", err)
	}
	return nil
}

// LastSeal returns the note of the last seal that lies in the vault, empty if
// none does.
func (s *Store) LastSeal(ctx context.Context) (note string, err error) {
	err = s.each(ctx, "SELECT note FROM audit_seals WHERE being_put = 0 ORDER BY size DESC LIMIT 1", nil, func(rows *sql.Rows) error { return rows.Scan(&note) })
	if err != nil {
		return "", fmt.Errorf("read the last seal of the audit log: %w", err)
	}
	return note, nil
}

// NewestSeal returns the last seal, also one that is being put; its note is empty
// if there is none.
func (s *Store) NewestSeal(ctx context.Context) (newest audit.KeptSeal, err error) {
	kept, err := s.seals(ctx, "ORDER BY size DESC LIMIT 1")
	if err != nil || len(kept) == 0 {
		return newest, err
	}
	return kept[0], nil
}

// Seals returns at most limit seals in the order of their sizes, those with more
// than after entries.
func (s *Store) Seals(ctx context.Context, after int64, limit int) ([]audit.KeptSeal, error) {
	return s.seals(ctx, "WHERE size > ? ORDER BY size LIMIT ?", after, limit)
}

// sealTime is how long a seal may take to be put, in milliseconds: servers do it
// at their start, and try again every hour.
const sealTime = int64(time.Hour / time.Millisecond)

func (s *Store) seals(ctx context.Context, which string, args ...any) (seals []audit.KeptSeal, err error) {
	err = s.eachSeal(ctx, which, args, func(k keptSeal, err error) error {
		seals = append(seals, k.KeptSeal)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the seals of the audit log: %w", err)
	}
	return seals, nil
}

// keptSeal is a seal's row. Of one that cannot be read unreadable says what, and
// only Size and ObjectKey are given.
type keptSeal struct {
	audit.KeptSeal
	unreadable string
}

// keptSeals are the seals as Seals has them, with those that cannot be read.
func (s *Store) keptSeals(ctx context.Context, after int64, limit int) (seals []keptSeal, err error) {
	err = s.eachSeal(ctx, "WHERE size > ? ORDER BY size LIMIT ?", []any{after, limit}, func(k keptSeal, err error) error {
		if bad := call.AsUnreadable(err); bad != nil {
			k, err = keptSeal{unreadable: bad.What(), KeptSeal: audit.KeptSeal{Size: k.Size, ObjectKey: k.ObjectKey}}, nil
		}
		seals = append(seals, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the seals of the audit log: %w", err)
	}
	return seals, nil
}

// eachSeal calls f for seals, with what came of reading their rows.
func (s *Store) eachSeal(ctx context.Context, which string, args []any, f func(k keptSeal, err error) error) error {
	return s.each(ctx, `SELECT size, object_key, note, sealed_at, retain_until, being_put,
			CASE WHEN being_put = 1 AND sealed_at > {now} - ? AND NOT EXISTS (SELECT 1 FROM audit_seals l WHERE l.size > audit_seals.size) THEN 1 ELSE 0 END
		FROM audit_seals `+which, append([]any{sealTime}, args...), func(rows *sql.Rows) error {
		var k keptSeal
		err := rows.Scan(&k.Size, &k.ObjectKey, &k.Note, timeInto{&k.At}, timeInto{&k.RetainUntil}, &k.BeingPut, &k.MayLack)
		return f(k, unreadable(rows, err))
	})
}
