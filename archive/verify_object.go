package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"callvault/internal/call"
)

// object is what must lie under a key.
type object struct {
	call.KeptObject
	lying lying
}

// isPlanned: it may just have been put for the journal, and nobody knows more of it.
func (o *object) isPlanned() bool { return o.Going && o.SHA256 == "" }

// look reads one object and says what is wrong with it. An error is the
// vault's or the database's, and ends the run.
func (v *Verifier) look(ctx context.Context, o object) error {
	var faults, notices []call.Fault
	fault := func(kind call.FaultKind, format string, args ...any) {
		faults = append(faults, call.Fault{Kind: kind, Where: o.Key, What: fmt.Sprintf(format, args...)})
	}
	if o.isPlanned() {
		return v.done(ctx, o, 0, nil, nil)
	}
	sum, info, err := v.read(ctx, o.Key)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case o.Going && errors.Is(err, ErrNotFound):
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrKey):
		if o.lying.hidden {
			fault(call.FaultMissing, "somebody has deleted it; the store still has %d version(s) of it behind the mark", o.lying.versions)
		} else {
			fault(call.FaultMissing, "%s", strings.TrimSuffix("it is not in the vault; "+o.Why, "; "))
		}
	case err != nil:
		if _, statErr := v.o.Vault.Stat(ctx, o.Key); statErr != nil && !errors.Is(statErr, ErrNotFound) {
			return err // the whole vault does not answer
		}
		fault(call.FaultUnreadable, "it cannot be read: %v", err)
	default:
		switch hashed := hex.EncodeToString(sum[:]); {
		case o.Unreadable != "":
			fault(call.FaultMismatch, "%s, so nothing tells what was kept", o.Unreadable)
		case info.Size != o.Size:
			fault(call.FaultMismatch, "it has %d bytes; %d were kept", info.Size, o.Size)
		case o.SHA256 == "":
			if info.SHA256 != ([sha256.Size]byte{}) && sum != info.SHA256 {
				fault(call.FaultMismatch, "its bytes have SHA-256 %x; put were those with %x", sum, info.SHA256)
			}
		case hashed != o.SHA256:
			fault(call.FaultMismatch, "its bytes have SHA-256 %x; kept were those with %s", sum, o.SHA256)
		case o.RecordingID != "" && o.AudioSHA256 != o.SHA256: // nothing is done to audio before it is put
			fault(call.FaultMismatch, "its bytes have SHA-256 %x; the row says that those of the audio have %s", sum, o.AudioSHA256)
		}
		if o.Going && o.Why != "" {
			notices = append(notices, call.Fault{Kind: call.FaultUnknown, Where: o.Key, What: o.Why})
		}
		if o.lying.versions+o.lying.markers > 1 {
			fault(call.FaultVersions, "%d versions lie under its key; only one was put there by Callvault", o.lying.versions+o.lying.markers)
		}
		if what := v.weaker(o.KeptObject, info); what != "" {
			fault(call.FaultWeaker, "%s", what)
		}
		if o.RecordingID != "" && o.Unreadable == "" && !o.Hold && !o.HoldMoving && info.Protection.Hold {
			fault(call.FaultHeld, "the store has it under a legal hold, and no hold keeps it")
		}
	}
	if len(faults) > 0 {
		// It may have been deleted by right, or changed its key, meanwhile.
		if gone, err := v.changed(ctx, o.KeptObject); err != nil || gone {
			return err
		}
	}
	return v.done(ctx, o, info.Size, faults, notices)
}

// objectKinds are what is looked for when an object is read, and listed or not.
func objectKinds(listed bool) []call.FaultKind {
	kinds := []call.FaultKind{call.FaultMismatch, call.FaultMissing, call.FaultUnreadable, call.FaultWeaker, call.FaultHeld}
	if listed {
		kinds = append(kinds, call.FaultUnknown, call.FaultVersions)
	}
	return kinds
}

// weaker says how an object is protected less than was promised. Stores know
// seconds.
func (v *Verifier) weaker(k call.KeptObject, info ObjectInfo) string {
	if v.o.Vault.Locks() == Unlocked {
		return ""
	}
	if until := info.Protection.Until; k.RetainUntil.After(v.o.Now()) && until.Before(k.RetainUntil.Truncate(time.Second)) {
		if until.IsZero() {
			return "it is not locked; until " + k.RetainUntil.UTC().Format(time.RFC3339) + " was promised"
		}
		return "it is locked until " + until.UTC().Format(time.RFC3339) + "; until " + k.RetainUntil.UTC().Format(time.RFC3339) + " was promised"
	}
	if k.Hold && !k.HoldMoving && !info.Protection.Hold {
		return "it is under a legal hold, and the store does not hold it"
	}
	return ""
}

// changed reports whether what must be there is something else by now.
func (v *Verifier) changed(ctx context.Context, k call.KeptObject) (bool, error) {
	if k.RunID != "" {
		run, err := v.o.Store.Run(ctx, k.RunID)
		return !run.FilesExpiringAt.IsZero() || len(run.Files) == 0 || !run.RetainUntil.Equal(k.RetainUntil), err
	}
	if k.RecordingID == "" {
		// A segment of the journal may have been written again.
		still := !strings.HasPrefix(k.Key, JournalPrefix)
		err := v.eachKept(ctx, func(now call.KeptObject) error {
			still = still || now.Key == k.Key && now.SHA256 == k.SHA256
			return nil
		})
		return !still, err
	}
	for id := ""; ; {
		page, err := v.o.Store.RecordingsByKey(ctx, k.Key, id, 1)
		if err != nil || len(page) == 0 || page[0].ObjectKey != k.Key {
			return true, err
		}
		if id = page[0].ID; id == k.RecordingID {
			return page[0].State != call.Archived || keptRecording(page[0]) != k, nil
		}
	}
}

// read hashes an object. What does not work at once is tried again.
func (v *Verifier) read(ctx context.Context, key string) (sum [sha256.Size]byte, info ObjectInfo, err error) {
	err = v.tryToRead(ctx, func() (err error) {
		sum, info, err = v.readOnce(ctx, key)
		return err
	})
	return sum, info, err
}

func (v *Verifier) tryToRead(ctx context.Context, read func() error) (err error) {
	for n := range readTries {
		err = read()
		_, broken := errors.AsType[*JournalFaultError](err)
		if err == nil || broken || ctx.Err() != nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrKey) {
			break
		}
		if n < readTries-1 {
			select {
			case <-time.After(time.Duration(n+1) * time.Second):
			case <-ctx.Done():
			}
		}
	}
	return err
}

// wait waits as long as reading so many bytes must take.
func (v *Verifier) wait(ctx context.Context, size int64) error {
	for ; size > 0; size -= verifyBuffer {
		if err := v.limiter.WaitN(ctx, int(min(size, verifyBuffer))); err != nil {
			return err
		}
	}
	return nil
}

func (v *Verifier) readOnce(ctx context.Context, key string) (sum [sha256.Size]byte, info ObjectInfo, err error) {
	body, info, err := v.o.Vault.Open(ctx, key, 0, -1)
	if err != nil {
		return sum, info, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	buffer, _ := v.buffers.Get().(*[verifyBuffer]byte)
	defer v.buffers.Put(buffer)
	hash := sha256.New()
	read := int64(0)
	for {
		n, err := body.Read(buffer[:])
		hash.Write(buffer[:n])
		read += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sum, info, fmt.Errorf("read %s: %w", key, err)
		}
		if err := v.limiter.WaitN(ctx, n); err != nil {
			return sum, info, err
		}
	}
	info.Size = read
	return [sha256.Size]byte(hash.Sum(nil)), info, nil
}

// done tells of an object that was looked at.
func (v *Verifier) done(ctx context.Context, o object, size int64, faults, notices []call.Fault) error {
	v.mu.Lock()
	v.objects++
	v.bytes += size
	if len(faults) == 0 && o.RecordingID != "" {
		v.seen = append(v.seen, o.RecordingID)
	}
	err := v.found(call.Checked{Where: []string{o.Key}, Kinds: objectKinds(o.lying.Key != ""), Faults: faults, Notices: notices})
	v.o.Progress(v.objects, v.bytes)
	v.mu.Unlock()
	if err != nil {
		return err
	}
	return v.mark(ctx, false)
}

// mark writes down which recordings were verified, once there are enough of
// them.
func (v *Verifier) mark(ctx context.Context, now bool) error {
	v.mu.Lock()
	if len(v.seen) == 0 || len(v.seen) < verifyPage && !now {
		v.mu.Unlock()
		return nil
	}
	seen := v.seen
	v.seen = nil
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return v.o.Store.MarkVerified(ctx, seen)
}
