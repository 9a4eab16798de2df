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
	// LastSeal returns the note of the last seal, empty if there is none.
	LastSeal(context.Context) (string, error)
	// NoteSeal keeps where a seal lies in the vault.
	// It is promised to stay until a date; zero: nothing is.
	NoteSeal(ctx context.Context, seal audit.Seal, objectKey string, until time.Time) error
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
	head, err := s.o.Store.AuditHead(ctx)
	if err != nil {
		return audit.Seal{}, err
	}
	note, err := s.o.Store.LastSeal(ctx)
	if err != nil {
		return audit.Seal{}, err
	}
	if note != "" {
		// One of an earlier key says nothing to who knows the present one.
		if last, err := audit.OpenSeal(note, s.Verifier()); err == nil && last.Head == head {
			return last, nil
		}
	}
	seal, err := s.o.Key.SignHead(head, s.o.Now())
	if err != nil {
		return seal, err
	}
	if seal, err = s.put(ctx, seal); err != nil {
		return seal, err
	}
	// What lies in the vault gets its row, also when the program ends just now.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return seal, s.o.Store.NoteSeal(noting, seal, seal.ObjectKey(), s.o.Until(seal.At))
}

// put puts a seal into the vault. What another node has put there for the same
// head counts instead.
func (s *Sealer) put(ctx context.Context, seal audit.Seal) (audit.Seal, error) {
	body := []byte(seal.Note)
	err := PutOnce(ctx, s.o.Vault, seal.ObjectKey(), bytes.NewReader(body), PutOptions{
		Size: int64(len(body)), SHA256: sha256.Sum256(body), MediaType: "text/plain; charset=utf-8",
		Protection: Protection{Until: s.o.Until(seal.At)},
	})
	if !errors.Is(err, ErrConflict) {
		return seal, err
	}
	r, _, err := s.o.Vault.Open(ctx, seal.ObjectKey(), 0, maxSeal)
	if err != nil {
		return seal, err
	}
	body, err = io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return seal, fmt.Errorf("read %s: %w", seal.ObjectKey(), err)
	}
	other, err := audit.OpenSeal(string(body), s.Verifier())
	if err == nil && other.Head != seal.Head {
		err = fmt.Errorf("it has the root %s at %d entries, and the log has %s: one of them was changed", other.Hash, other.Size, seal.Hash)
	}
	if err != nil {
		return seal, fmt.Errorf("another seal lies at %s: %w", seal.ObjectKey(), err)
	}
	return other, nil
}
