package store

import (
	"cmp"
	"context"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// begunFacts is what the log says of an erasure when it begins.
type begunFacts struct {
	NumberHash string    `json:"number_hash"`
	Calls      int       `json:"calls"`
	AskedAt    time.Time `json:"asked_at,omitzero"`
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
			return t.exec(ctx, "INSERT INTO erasures (id, number_hash, number, reason, asked_at, asked_by, next_at) VALUES (?, ?, '', ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET certificates = 0",
				id, f.NumberHash, e.Reason, at, cmp.Or(e.Actor.Name, e.Actor.Kind), at)
		})
	case audit.ErasureDone:
		return remakeFrom(ctx, e, func(ctx context.Context, e audit.Entry, f struct {
			Kind call.ErasureKind `json:"kind"`
			Refs []string         `json:"refs"`
		}) error {
			err := insertMany(ctx, t, "note what was erased", "INSERT INTO erasure_items (erasure_id, kind, ref, state, at)", "tttti",
				" ON CONFLICT (erasure_id, kind, ref) DO UPDATE SET state = 'erased', until_at = NULL, why = '', at = excluded.at", f.Refs,
				func(ref string, args []any) []any {
					return append(args, id, string(f.Kind), ref, string(call.ErasureDone), e.At.UnixMilli())
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
