package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
)

// overlaps reports whether two vaults are one folder, or one lies in the other.
func (d *Directory) overlaps(o *Directory) (bool, error) {
	inside, err := d.lieIn(o)
	if err != nil || inside {
		return inside, err
	}
	return o.lieIn(d)
}

// lieIn reports whether d is o, or one of the folders in it.
func (d *Directory) lieIn(o *Directory) (bool, error) {
	outer, err := o.root.Stat(".")
	if err != nil {
		return false, err
	}
	folder, err := filepath.Abs(d.root.Name())
	if err != nil {
		return false, err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return false, err
	}
	for {
		info, err := os.Stat(folder)
		if err != nil || os.SameFile(info, outer) {
			return err == nil, err
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return false, nil
		}
		folder = parent
	}
}

// probeLimit bounds the look whether two buckets are one.
const probeLimit = time.Minute

// shows reports whether what is put into s is seen in o: one bucket may have many
// addresses. The object with which it is tried is the vault's own, and is taken
// away again.
func (s *S3) shows(ctx context.Context, o *S3) (same bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	key := ".callvault-copy-" + rand.Text()
	text := []byte("Callvault looks whether two vaults are one.\n")
	err = s.put(ctx, key, bytes.NewReader(text), PutOptions{Size: int64(len(text)), SHA256: sha256.Sum256(text), MediaType: "text/plain"})
	if err != nil {
		return false, fmt.Errorf("the vault that is copied to: %w", err)
	}
	defer func() { err = errors.Join(err, s.removeOwn(ctx, key)) }()
	_, err = o.core.StatObject(ctx, o.bucket, key, minio.StatObjectOptions{})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("the vault that is copied from: %w", o.describe("stat", key, err))
	}
	return true, nil
}

// removeOwn removes all versions of an object of the vault's own, but for those
// that a default of the bucket has locked: they are in nobody's way.
func (s *S3) removeOwn(ctx context.Context, key string) error {
	for v, err := range s.versionsOf(ctx, key) {
		if err == nil {
			err = s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{VersionID: v.VersionID})
			if p, _, statErr := s.versionProtection(ctx, key, v.VersionID); statErr == nil && p.Keeps(time.Now()) {
				err = nil
			}
		}
		if err != nil {
			return s.describe("remove", key, err)
		}
	}
	return nil
}
