// Package archive keeps recordings: it fetches them from where a provider
// offers them, tells them from what hosts send in their place, and puts them
// into a vault under keys that are never written twice.
package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"
)

// Vault keeps objects under keys that are chosen once and never written
// twice. All methods are safe for concurrent use, also from several
// processes and nodes. Errors wrap the sentinels below where those fit; all
// others are passing.
type Vault interface {
	// Put stores body under key, whole or not at all, and on stable storage
	// when it returns. ErrExists when anything lies there already;
	// ErrChecksum when the bytes that arrived are not those of opts.
	Put(ctx context.Context, key string, body io.ReaderAt, opts PutOptions) error
	// Open reads length bytes from offset, both in bytes; a negative length
	// means to the end. What reaches beyond the end is cut; ErrRange when
	// nothing is left of it. ErrNotFound when nothing lies there. The caller
	// closes the reader; ctx must live as long as it is read.
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, ObjectInfo, error)
	// Stat says what lies under key, or ErrNotFound.
	Stat(ctx context.Context, key string) (ObjectInfo, error)
	// Delete removes what lies under key, all versions of it; nothing there is
	// no error. *LockedError when it may not go yet; what may go is gone then.
	Delete(ctx context.Context, key string) error
	// Locks says how the vault enforces what Protect and Put are told. Where it
	// is Unlocked, they forget it at once.
	Locks() LockMode
	// Protect lengthens Until, never shortens it, and sets or lifts Hold, on
	// all versions. ErrNotFound when nothing lies there.
	Protect(ctx context.Context, key string, p Protection) error
	// Lengthen is Protect for Until alone: it leaves Hold as it is, also when
	// another sets or lifts it just now.
	Lengthen(ctx context.Context, key string, until time.Time) error
	// Protection says what the store enforces for what is read under key, or
	// ErrNotFound. Open and Stat tell the same.
	Protection(ctx context.Context, key string) (Protection, error)
	// List yields the objects whose key begins with prefix in the order of
	// their keys' bytes, with key, size and time only. It ends after an
	// error.
	List(ctx context.Context, prefix string) iter.Seq2[ObjectInfo, error]
	// Versions is List for all that the store keeps: what somebody has put over
	// an object, and what somebody has hidden by a delete marker. Those of one
	// key follow each other.
	Versions(ctx context.Context, prefix string) iter.Seq2[Version, error]
	// Check says whether objects can be written now, and locked if they shall
	// be (ErrCannotLock).
	Check(ctx context.Context) error
}

// PutOptions describe the object that is put.
type PutOptions struct {
	// Size in bytes, known beforehand, so that nothing needs to be buffered.
	Size int64
	// SHA256 of the body. The vault compares it with what arrived.
	SHA256 [sha256.Size]byte
	// MediaType, for instance "audio/wav".
	MediaType string
	// Metadata is kept beside the object. Names are lower-case letters,
	// digits and hyphens; names and values together take less than 2 KiB
	// (the limit of S3). "sha256" is the vault's own. A directory keeps it
	// in extended attributes, where its file system has them: a help for
	// people, not a place for facts.
	Metadata map[string]string
	// Protection is given to the object with the same request, in the vault's
	// own mode. An Until that is over locks nothing.
	Protection Protection
}

// ObjectInfo is what a vault knows about an object without reading it.
type ObjectInfo struct {
	Key      string
	Size     int64 // bytes, of the whole object
	Modified time.Time
	// SHA256 as recorded by Put, all zero when the vault has no record of
	// it. It proves nothing about the bytes that lie there now.
	SHA256    [sha256.Size]byte
	MediaType string            // empty when not known
	Metadata  map[string]string // without "sha256"
	// Protection is what the store enforces, and LockMode how it keeps Until.
	// List does not tell.
	Protection Protection
	LockMode   LockMode
}

var (
	// ErrExists says that the key is taken.
	ErrExists = errors.New("an object exists already")
	// ErrNotFound says that nothing lies under the key.
	ErrNotFound = errors.New("no such object")
	// ErrConflict says that other bytes lie under the key.
	ErrConflict = errors.New("another object has this key")
	// ErrChecksum says that other bytes arrived than were announced.
	ErrChecksum = errors.New("content does not match its size and SHA-256")
	// ErrRange says that an object ends before the range begins.
	ErrRange = errors.New("range lies outside the object")
	// ErrKey says that a vault does not take such a key.
	ErrKey = errors.New("not a usable object key")
)

// PutOnce puts an object and makes sure that it is the one under its key,
// also when an earlier try got through without our hearing of it: what lies
// there already is read, and adopted if it has the same SHA-256, else
// ErrConflict. What lies there is never touched, but its protection is made
// as strong as asked for.
func PutOnce(ctx context.Context, v Vault, key string, body io.ReaderAt, opts PutOptions) error {
	err := v.Put(ctx, key, body, opts)
	if !errors.Is(err, ErrExists) {
		return err
	}
	r, info, err := v.Open(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	hash := sha256.New()
	if info.Size == opts.Size {
		_, err = io.Copy(hash, r)
	}
	if err := errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if info.Size != opts.Size || [sha256.Size]byte(hash.Sum(nil)) != opts.SHA256 {
		return fmt.Errorf("put %s: %w", key, ErrConflict)
	}
	switch wanted := opts.Protection; {
	case v.Locks() == Unlocked:
	case wanted.Hold && !info.Protection.Hold:
		return v.Protect(ctx, key, wanted)
	case wanted.Until.After(info.Protection.Until):
		return v.Lengthen(ctx, key, wanted.Until)
	}
	return nil
}

// Limits of keys: those of S3 (1,024 bytes) and of file names (255 bytes)
// with room to spare.
const (
	maxKeyBytes     = 800
	maxKeyNameBytes = 200
	maxMetadata     = 2000
)

// checkKey holds keys to what means the same on S3 and on every file system.
// Names that begin with a dot are the vault's own.
func checkKey(key string) error {
	bad := !fs.ValidPath(key) || len(key) > maxKeyBytes || hidden(key) ||
		strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
	for name := range strings.SplitSeq(key, "/") {
		bad = bad || len(name) > maxKeyNameBytes
	}
	if bad {
		return fmt.Errorf("%w: %.100q", ErrKey, key)
	}
	return nil
}

// checkPrefix allows what a key could begin with.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return checkKey(strings.TrimSuffix(prefix, "/"))
}

// hidden tells the vault's own files from objects.
func hidden(key string) bool {
	return strings.HasPrefix(key, ".") || strings.Contains(key, "/.")
}

func checkPut(key string, opts PutOptions) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if opts.Size < 0 {
		return fmt.Errorf("put %s: size %d is not known", key, opts.Size)
	}
	total := 0
	for name, value := range opts.Metadata {
		total += len(name) + len(encodeMetadata(value))
		if name == "" || name == metadataSHA256 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fmt.Errorf("put %s: metadata name %.100q is not allowed", key, name)
		}
	}
	if total > maxMetadata {
		return fmt.Errorf("put %s: %d bytes of metadata, at most %d", key, total, maxMetadata)
	}
	return nil
}

// metadataSHA256 is the name under which S3 keeps the SHA-256, in hex.
const metadataSHA256 = "sha256"

// metadataRecording is the name under which recordings have their id.
const metadataRecording = "recording-id"

// decodeSHA256 is all zero for what is not a SHA-256 in hex.
func decodeSHA256(text string) (sum [sha256.Size]byte) {
	if b, err := hex.DecodeString(text); err == nil && len(b) == len(sum) {
		copy(sum[:], b)
	}
	return sum
}
