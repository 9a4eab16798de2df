package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"callvault/internal/call"
)

// readError is what the vault that is copied from says.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

// bring makes sure that an object lies in the other vault, or says why it does
// not. An error ends the copy: then a vault, the database or the disk of the
// spool does not do what it must.
func (c *Copier) bring(ctx context.Context, j copyJob) error {
	if j.Unreadable != "" {
		return c.found(false, call.FaultUnreadable, j.Key, "not copied: %s", j.Unreadable)
	}
	var failing time.Time
	for tries := 1; ; tries++ {
		err := c.try(ctx, j)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case willStay(err):
			return err
		}
		if failing.IsZero() {
			failing = time.Now()
		}
		if _, ok := errors.AsType[*readError](err); ok && tries >= readTries {
			// Is it the object alone?
			if _, statErr := c.o.From.Stat(ctx, j.Key); statErr == nil {
				return c.found(false, call.FaultUnreadable, j.Key, "not copied: it cannot be read: %v", err)
			}
		}
		if time.Since(failing) > c.o.Patience {
			return err
		}
		select {
		case <-time.After(min(time.Duration(tries)*time.Second, copyPause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// willStay tells what waiting does not mend.
func willStay(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EROFS) ||
		errors.Is(err, ErrCannotLock) || minio.ToErrorResponse(err).StatusCode == http.StatusForbidden
}

func (c *Copier) try(ctx context.Context, j copyJob) error {
	ctx, cancel := context.WithTimeout(ctx, c.copyTime(j.Size))
	defer cancel()
	there, err := c.o.To.Stat(ctx, j.Key)
	switch {
	case err == nil:
		return c.compare(ctx, j, there)
	case errors.Is(err, ErrKey):
		return c.found(true, call.FaultUnknown, j.Key, "not copied: Callvault has no such keys")
	case !errors.Is(err, ErrNotFound):
		return err
	}
	err = c.copy(ctx, j)
	if errors.Is(err, ErrExists) {
		// Another was first: the server that works on it already, or another copy.
		if there, err = c.o.To.Stat(ctx, j.Key); err == nil {
			return c.compare(ctx, j, there)
		}
	}
	return err
}

// copy reads an object, compares it with its row, and puts it.
func (c *Copier) copy(ctx context.Context, j copyJob) (err error) {
	spool := c.spooler.New(1 << 62)
	defer func() { err = errors.Join(err, spool.Close()) }()
	info, err := c.readInto(ctx, j.Key, spool)
	if errors.Is(err, ErrNotFound) {
		return c.missing(ctx, j)
	}
	if err != nil {
		return err
	}
	sum := spool.SHA256()
	want := j.sum()
	if want == ([sha256.Size]byte{}) {
		want = info.SHA256
	}
	if want != ([sha256.Size]byte{}) && sum != want {
		if gone, err := c.changed(ctx, j); err != nil || gone {
			return err
		}
		return c.found(false, call.FaultMismatch, j.Key, "not copied: its bytes have SHA-256 %x; kept were those with %x", sum, want)
	}
	opts := PutOptions{
		Size: spool.Size(), SHA256: sum, MediaType: info.MediaType, Metadata: info.Metadata,
		Protection: promised(j.KeptObject).with(info.Protection),
	}
	if opts.MediaType == "" {
		opts.MediaType = j.mediaType
	}
	if err := checkPut(j.Key, opts); err != nil {
		return c.found(false, call.FaultUnknown, j.Key, "not copied: %v", err)
	}
	if err := c.o.To.Put(ctx, j.Key, spool, opts); err != nil {
		return err
	}
	c.tell(func(n *Copied) { n.Copied++; n.Bytes += opts.Size })
	return nil
}

// promised is the protection that an object must have.
func promised(k call.KeptObject) Protection { return Protection{Until: k.RetainUntil, Hold: k.Hold} }

// sum is the SHA-256 that the object must have, all zero if no row says it.
func (j copyJob) sum() [sha256.Size]byte { return decodeSHA256(j.SHA256) }

// readInto reads an object of the vault that is copied from.
func (c *Copier) readInto(ctx context.Context, key string, spool *Spool) (info ObjectInfo, err error) {
	body, info, err := c.o.From.Open(ctx, key, 0, -1)
	if errors.Is(err, ErrNotFound) {
		return info, err
	}
	if err != nil {
		return info, &readError{err}
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	limited := c.limited(ctx, body)
	_, err = spool.ReadFrom(readerFunc(func(p []byte) (int, error) {
		n, err := limited.Read(p)
		if err != nil && err != io.EOF {
			err = &readError{fmt.Errorf("read %s: %w", key, err)}
		}
		return n, err
	}))
	if err == nil && spool.Size() != info.Size {
		err = &readError{fmt.Errorf("read %s: %d of %d bytes came", key, spool.Size(), info.Size)}
	}
	return info, err
}

// limited reads no faster than it may.
func (c *Copier) limited(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p[:min(len(p), pieceBytes)])
		if waitErr := c.limiter.WaitN(ctx, n); waitErr != nil {
			return n, waitErr
		}
		return n, err
	})
}

// missing reports an object that is not where it should be, unless it has gone
// by right meanwhile.
func (c *Copier) missing(ctx context.Context, j copyJob) error {
	if j.stray {
		return nil
	}
	if gone, err := c.changed(ctx, j); err != nil || gone {
		return err
	}
	return c.found(false, call.FaultMissing, j.Key, "it is in neither vault")
}

// compare looks whether what lies in the other vault is the object, and makes its
// protection as strong as it must be.
func (c *Copier) compare(ctx context.Context, j copyJob, there ObjectInfo) error {
	var here ObjectInfo
	want, size := j.sum(), j.Size
	// What the vault that is copied from adds to the row.
	if want == ([sha256.Size]byte{}) || c.o.To.Locks() != Unlocked {
		var err error
		here, err = c.o.From.Stat(ctx, j.Key)
		switch {
		case errors.Is(err, ErrNotFound) && j.stray:
			return nil // gone meanwhile
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		case want == ([sha256.Size]byte{}):
			want, size = here.SHA256, here.Size
		}
	}
	if want == ([sha256.Size]byte{}) {
		var err error
		if want, err = c.hashOf(ctx, c.o.From, j.Key); err != nil {
			return &readError{err}
		}
	}
	sum := there.SHA256
	if there.Size == size && (c.o.Reread || sum == ([sha256.Size]byte{})) {
		var err error
		if sum, err = c.hashOf(ctx, c.o.To, j.Key); err != nil {
			return err
		}
	}
	if there.Size != size || sum != want {
		if gone, err := c.changed(ctx, j); err != nil || gone {
			return err
		}
		return c.found(false, FaultConflict, j.Key, "not copied: another object lies under its key in the vault that is copied to")
	}
	changed, err := c.protect(ctx, j, promised(j.KeptObject).with(here.Protection), there.Protection)
	if err != nil {
		return err
	}
	c.tell(func(n *Copied) {
		n.Present++
		if changed {
			n.Protected++
		}
	})
	return nil
}

// hashOf reads an object whole.
func (c *Copier) hashOf(ctx context.Context, v Vault, key string) (sum [sha256.Size]byte, err error) {
	body, _, err := v.Open(ctx, key, 0, -1)
	if err != nil {
		return sum, err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, c.limited(ctx, body))
	if err = errors.Join(err, body.Close()); err != nil {
		return sum, fmt.Errorf("read %s: %w", key, err)
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}

// protect makes the protection of what was copied before what it must be by now,
// and says whether there was anything to do. A lock is never shortened.
func (c *Copier) protect(ctx context.Context, j copyJob, want, is Protection) (changed bool, err error) {
	switch {
	case c.o.To.Locks() == Unlocked:
		return false, nil
	case want.Hold && !is.Hold:
		return true, c.o.To.Protect(ctx, j.Key, want)
	case is.Hold && !want.Hold && j.RecordingID != "":
		return true, c.unhold(ctx, j, want)
	case want.Until.After(is.Until) && want.Until.After(c.o.Now()):
		return true, c.o.To.Lengthen(ctx, j.Key, want.Until)
	}
	return false, nil
}

// unhold lifts the hold of a copy whose case was released since: nobody else
// would, for the vault that was in use has been told already. A case that is
// placed at the same moment finds its hold again.
func (c *Copier) unhold(ctx context.Context, j copyJob, want Protection) error {
	for range 2 {
		row, err := c.row(ctx, j)
		if err != nil {
			return err
		}
		want.Hold = row != nil && row.Held
		if err := c.o.To.Protect(ctx, j.Key, want); err != nil {
			return err
		}
	}
	return nil
}

// row is the row of a recording as it is by now; nil if it is of another key or
// not archived any more.
func (c *Copier) row(ctx context.Context, j copyJob) (*call.KeyedRecording, error) {
	for id := ""; ; {
		page, err := c.o.Store.RecordingsByKey(ctx, j.Key, id, 1)
		if err != nil || len(page) == 0 || page[0].ObjectKey != j.Key {
			return nil, err
		}
		if id = page[0].ID; id != j.RecordingID {
			continue
		}
		if page[0].State != call.Archived {
			return nil, nil //nolint:nilnil // there is none
		}
		return &page[0], nil
	}
}

// changed reports whether what must lie under the key is something else by now.
func (c *Copier) changed(ctx context.Context, j copyJob) (bool, error) {
	if j.RunID != "" {
		run, err := c.o.Store.Run(ctx, j.RunID)
		return err == nil && (!run.FilesExpiringAt.IsZero() || len(run.Files) == 0), err
	}
	if j.RecordingID == "" {
		return c.source.changed(ctx, j.KeptObject)
	}
	row, err := c.row(ctx, j)
	return err == nil && (row == nil || keptRecording(*row).SHA256 != j.SHA256), err
}
