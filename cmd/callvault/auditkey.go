package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
)

// auditKeyFile is the key of the audit log in the data folder.
const auditKeyFile = "audit.key"

// noKeyError says that the log is signed by a key that is not here.
type noKeyError struct{ file, fingerprint string }

// Error implements error.
func (e noKeyError) Error() string {
	return fmt.Sprintf("%s is missing, the key that signs the audit log (fingerprint %s): copy it from the node that has it, or from "+
		"where you keep a copy, or give it as audit.key_file; if it is lost, `callvault audit rekey` goes on with a new one and says so in the log",
		e.file, e.fingerprint)
}

// openAuditKey reads the key that signs the audit log, and sees to it that it is
// the log's. A log that has none gets one. A noKeyError says that the log's key
// is not on this node.
func openAuditKey(ctx context.Context, c *config.Config, s *store.Store) (*audit.Key, error) {
	text := c.Audit.Key.Reveal()
	if text == "" {
		file := filepath.Join(c.Data, auditKeyFile)
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return makeAuditKey(ctx, file, s)
		}
		if err != nil {
			return nil, fmt.Errorf("read the key of the audit log: %w", err)
		}
		text = string(b)
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		return nil, fmt.Errorf("read the key of the audit log: %w", err)
	}
	return key, s.UseAuditKey(ctx, key.Verifier())
}

// auditVerifier is the public half of the key that is on this node, empty if
// there is none.
func auditVerifier(c *config.Config) (string, error) {
	key, err := readAuditKey(c)
	if err != nil || key == nil {
		return "", err
	}
	return key.Verifier(), nil
}

// readAuditKey reads the key that is on this node, nil if there is none.
func readAuditKey(c *config.Config) (*audit.Key, error) {
	text := c.Audit.Key.Reveal()
	if text == "" {
		b, err := os.ReadFile(filepath.Join(c.Data, auditKeyFile))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil //nolint:nilnil // there is none
		}
		if err != nil {
			return nil, fmt.Errorf("read the key of the audit log: %w", err)
		}
		text = string(b)
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		return nil, fmt.Errorf("read the key of the audit log: %w", err)
	}
	return key, nil
}

// makeAuditKey makes the log's key, if it has none.
func makeAuditKey(ctx context.Context, file string, s *store.Store) (*audit.Key, error) {
	known, err := s.AuditKey(ctx)
	if err != nil {
		return nil, err
	}
	if known != "" {
		return nil, noKeyError{file, audit.Fingerprint(known)}
	}
	text, err := audit.NewKey()
	if err != nil {
		return nil, err
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		return nil, err
	}
	// It is on the disk before anybody relies on it, and becomes the file only
	// if no other node was quicker.
	err = writeKey(file, text, func() error { return s.UseAuditKey(ctx, key.Verifier()) })
	if call.CodeOf(err) == call.Conflict {
		return nil, noKeyError{file, "just made"}
	}
	return key, err
}

// writeKey writes a secret to a new file, if meanwhile, called when it is on the
// disk under another name, has no error.
func writeKey(file, text string, meanwhile func() error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".audit-key-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("write the key of the audit log: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(text + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the key of the audit log: %w", err)
	}
	if err := meanwhile(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil { // unlike a rename, never over another
		return fmt.Errorf("write the key of the audit log: %w", err)
	}
	return nil
}

// newSealer makes what seals the audit log into the vault. Without the log's key
// there is none: a node must take calls also then, and others may have it.
func newSealer(ctx context.Context, c *config.Config, s *store.Store, v archive.Vault, logger *slog.Logger) (*archive.Sealer, error) {
	key, err := openAuditKey(ctx, c, s)
	if missing, ok := errors.AsType[noKeyError](err); ok {
		logger.ErrorContext(ctx, "the audit log is not sealed here, nor printed in reports", "error", missing)
		return nil, nil //nolint:nilnil // no sealer is what there is
	}
	if err != nil {
		return nil, err
	}
	return archive.NewSealer(archive.SealOptions{
		Store: s, Vault: v, Key: key, Now: time.Now, Logger: logger,
		Until: promiser(objectTerms(c, v.Locks() != archive.Unlocked), call.SealObjects),
	}), nil
}

// noteAct logs what a command did to more than a row, as far as it came.
func noteAct(ctx context.Context, s *store.Store, action audit.Action, subject string, facts any) error {
	e, err := audit.New(action, subject, facts)
	if err != nil {
		return err
	}
	e.Actor = audit.ActorOf(ctx)
	return s.Audit(context.WithoutCancel(ctx), e)
}
