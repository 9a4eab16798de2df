package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"callvault/internal/audit"
)

// SealStore is the audit log as it is sealed.
type SealStore interface {
	// AuditHead returns the log's head as it is now.
	AuditHead(context.Context) (audit.Head, error)
	// NewestSeal returns the last seal, also one that is being put; its note is
	// empty if there is none.
	NewestSeal(context.Context) (audit.KeptSeal, error)
	// PlanSeal keeps a seal before it is put, with until when it is promised to
	// stay; zero: nothing is. planned is false while another is being put, and
	// when there is one of as many entries or more.
	PlanSeal(ctx context.Context, seal audit.Seal, objectKey string, until time.Time) (planned bool, err error)
	// NoteSealPut says that a planned seal, or another of the same log, is put,
	// and until when it is promised to stay.
	NoteSealPut(ctx context.Context, seal audit.Seal, until time.Time) error
	// WithdrawSeal forgets a planned seal that cannot be put.
	WithdrawSeal(ctx context.Context, size int64) error
}

// SealOptions say what a Sealer works on.
type SealOptions struct {
	Store SealStore
	Vault Vault
	Key   *audit.Key
	// Until is how long a seal that is made now is locked; zero: not.
	Until func(now time.Time) time.Time
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Logger is told what an operator should know; default none.
	Logger *slog.Logger
}

const (
	// sealEvery is how often the log is sealed if something was added.
	sealEvery = time.Hour
	// sealTimeout bounds one seal.
	sealTimeout = time.Minute
	// maxSeal bounds what is read of an object that should be a seal.
	maxSeal = 16 << 10
)

// Sealer signs the audit log's head and puts it into the vault, where it says
// later what the log was then.
type Sealer struct{ o SealOptions }

// NewSealer makes a Sealer.
func NewSealer(o SealOptions) *Sealer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Until == nil {
		o.Until = func(time.Time) time.Time { return time.Time{} }
	}
	return &Sealer{o}
}

// Fingerprint is that of the key that signs.
func (s *Sealer) Fingerprint() string { return s.o.Key.Fingerprint() }

// Verifier is the public half of the key that signs.
func (s *Sealer) Verifier() string { return s.o.Key.Verifier() }

// Run seals the log at once and every hour, until ctx ends. Whoever ends the
// program seals what is left.
func (s *Sealer) Run(ctx context.Context) {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for {
		if _, err := s.Seal(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.ErrorContext(ctx, "the audit log could not be sealed; it is tried again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Seal returns the seal of the log as it is now: the last one, if nothing was
// added since, else one that is put into the vault first.
func (s *Sealer) Seal(ctx context.Context) (audit.Seal, error) {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	seal, err := s.seal(ctx)
	if err != nil {
		return seal, fmt.Errorf("seal the audit log: %w", err)
	}
	return seal, nil
}

func (s *Sealer) seal(ctx context.Context) (audit.Seal, error) {
	for {
		newest, err := s.o.Store.NewestSeal(ctx)
		if err != nil {
			return audit.Seal{}, err
		}
		if newest.BeingPut {
			// Of another node, or of a server that was killed: first things first.
			if err := s.put(ctx, &newest); err != nil {
				return audit.Seal{}, err
			}
			s.o.Logger.InfoContext(ctx, "a seal that was on its way is in the vault", "object_key", newest.ObjectKey, "sealed_at", newest.At)
		}
		head, err := s.o.Store.AuditHead(ctx)
		if err != nil {
			return audit.Seal{}, err
		}
		if newest.Note != "" {
			// One of an earlier key says nothing to who knows the present one.
			if last, err := audit.OpenSeal(newest.Note, s.Verifier()); err == nil && last.Head == head {
				return last, nil
			}
			if newest.Size >= head.Size {
				return audit.Seal{}, fmt.Errorf("%s seals %d entries, and the log has %d with the root %s: one of them was changed", newest.ObjectKey, newest.Size, head.Size, head.Hash)
			}
		}
		at := s.o.Now().UTC().Truncate(time.Millisecond)
		seal, err := s.o.Key.SignHead(head, at, s.o.Until(at))
		if err != nil {
			return seal, err
		}
		kept := audit.KeptSeal{Size: seal.Size, ObjectKey: seal.ObjectKey(), Note: seal.Note, At: seal.At, RetainUntil: seal.RetainUntil}
		planned, err := s.o.Store.PlanSeal(ctx, seal, kept.ObjectKey, kept.RetainUntil)
		if err != nil {
			return seal, err
		}
		if !planned {
			continue // another node was quicker
		}
		if err := s.put(ctx, &kept); err != nil {
			return seal, err
		}
		return audit.OpenSeal(kept.Note, s.Verifier())
	}
}

// put puts a seal into the vault and notes that it is there. What an earlier
// program, or a database that is lost, has put there for the same head counts
// instead.
func (s *Sealer) put(ctx context.Context, k *audit.KeptSeal) error {
	body := []byte(k.Note)
	seal := audit.Seal{Head: audit.Head{Size: k.Size}, At: k.At, Note: k.Note}
	err := PutOnce(ctx, s.o.Vault, k.ObjectKey, bytes.NewReader(body), PutOptions{
		Size: int64(len(body)), SHA256: sha256.Sum256(body), MediaType: "text/plain; charset=utf-8",
		Protection: Protection{Until: k.RetainUntil},
	})
	if errors.Is(err, ErrConflict) {
		var strange bool
		if seal, strange, err = s.sameHead(ctx, k); strange {
			// It must not keep the log from being sealed when that has grown.
			return errors.Join(err, s.o.Store.WithdrawSeal(ctx, k.Size))
		}
		if err == nil {
			err = s.adopt(ctx, k, seal)
		}
	}
	if err != nil {
		return err
	}
	// What lies in the vault gets noted, also when the program ends just now.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return s.o.Store.NoteSealPut(noting, seal, k.RetainUntil)
}

// adopt takes the seal that lies in the place of one for it. Its term began when
// it was made, and may have been another then: what it says itself still holds.
func (s *Sealer) adopt(ctx context.Context, k *audit.KeptSeal, seal audit.Seal) error {
	k.Note, k.RetainUntil = seal.Note, s.o.Until(seal.At)
	if seal.RetainUntil.After(k.RetainUntil) {
		k.RetainUntil = seal.RetainUntil
	}
	if s.o.Vault.Locks() == Unlocked || !k.RetainUntil.After(s.o.Now()) {
		return nil
	}
	return s.o.Vault.Lengthen(ctx, k.ObjectKey, k.RetainUntil)
}

// sameHead reads the other seal that lies in the place of one. If it is not of
// the same head it is strange, and the error says so.
func (s *Sealer) sameHead(ctx context.Context, k *audit.KeptSeal) (other audit.Seal, strange bool, err error) {
	r, _, err := s.o.Vault.Open(ctx, k.ObjectKey, 0, maxSeal)
	if err != nil {
		return other, false, err
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return other, false, fmt.Errorf("read %s: %w", k.ObjectKey, err)
	}
	other, err = audit.OpenSeal(string(body), s.Verifier())
	var ours audit.Seal
	if err == nil {
		ours, err = audit.OpenSeal(k.Note, s.Verifier())
	}
	if err == nil && other.Head != ours.Head {
		err = fmt.Errorf("it has the root %s at %d entries, and the log has %s: one of them was changed", other.Hash, other.Size, ours.Hash)
	}
	if err != nil {
		return other, true, fmt.Errorf("another seal lies at %s: %w", k.ObjectKey, err)
	}
	return other, false, nil
}
