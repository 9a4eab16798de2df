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

// NoteSeal keeps where a seal lies in the vault, and until when it is promised
// to stay there (zero: nothing is promised). Of two that seal the log at one
// size the first counts.
func (s *Store) NoteSeal(ctx context.Context, seal audit.Seal, objectKey string, until time.Time) error {
	_, err := s.update(ctx, "INSERT INTO audit_seals (size, sealed_at, object_key, note, retain_until) VALUES (?, ?, ?, ?, ?) ON CONFLICT (size) DO NOTHING",
		seal.Size, seal.At.UnixMilli(), objectKey, seal.Note, millis(until))
	if err != nil {
		return fmt.Errorf("note a seal of the audit log: %w", err)
	}
	return nil
}

// LastSeal returns the note of the last seal, empty if there is none.
func (s *Store) LastSeal(ctx context.Context) (note string, err error) {
	err = s.each(ctx, "SELECT note FROM audit_seals ORDER BY size DESC LIMIT 1", nil, func(rows *sql.Rows) error { return rows.Scan(&note) })
	if err != nil {
		return "", fmt.Errorf("read the last seal of the audit log: %w", err)
	}
	return note, nil
}

// Seals returns at most limit seals in the order of their sizes, those with more
// than after entries, by their notes and object keys.
func (s *Store) Seals(ctx context.Context, after int64, limit int) ([]audit.KeptSeal, error) {
	var kept []audit.KeptSeal
	err := s.each(ctx, "SELECT size, object_key, note, retain_until FROM audit_seals WHERE size > ? ORDER BY size LIMIT ?", []any{after, limit}, func(rows *sql.Rows) error {
		var k audit.KeptSeal
		err := rows.Scan(&k.Size, &k.ObjectKey, &k.Note, timeInto{&k.RetainUntil})
		kept = append(kept, k)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the seals of the audit log: %w", err)
	}
	return kept, nil
}
