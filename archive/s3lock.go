package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Locks implements Vault.
func (s *S3) Locks() LockMode { return s.lock }

// canLock asks whether the bucket was made with Object Lock, if it needs that.
func (s *S3) canLock(ctx context.Context) error {
	if s.lock == Unlocked {
		return nil
	}
	enabled, _, _, _, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	code := minio.ToErrorResponse(err).Code
	if err != nil && code != "ObjectLockConfigurationNotFoundError" {
		return fmt.Errorf("look at the Object Lock of bucket %s: %w", s.bucket, err)
	}
	if err != nil || enabled != "Enabled" {
		return fmt.Errorf("bucket %s: %w", s.bucket, ErrCannotLock)
	}
	return nil
}

// protectPut lets a PUT itself carry the lock.
func (s *S3) protectPut(put *minio.PutObjectOptions, p Protection) {
	if s.lock == Unlocked {
		return
	}
	// A date that is over would be refused.
	if until := lockSeconds(p.Until); until.After(time.Now()) {
		put.Mode, put.RetainUntilDate = s.retention(), until
	}
	if p.Hold {
		put.LegalHold = minio.LegalHoldEnabled
	}
}

func (s *S3) retention() minio.RetentionMode {
	return minio.RetentionMode(strings.ToUpper(string(s.lock)))
}

// lockSeconds rounds up to what stores know.
func lockSeconds(t time.Time) time.Time {
	return t.Add(time.Second - 1).Truncate(time.Second).UTC()
}

// protectionFrom reads what a HEAD or GET says of an object's lock.
func protectionFrom(info minio.ObjectInfo) (Protection, LockMode) {
	var p Protection
	var mode LockMode
	// What cannot be read is no lock that one could rely on.
	if until, err := time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date")); err == nil {
		p.Until = until.UTC()
		mode = LockMode(strings.ToLower(info.Metadata.Get("X-Amz-Object-Lock-Mode")))
	}
	p.Hold = info.Metadata.Get("X-Amz-Object-Lock-Legal-Hold") == string(minio.LegalHoldEnabled)
	return p, mode
}

// Protection implements Vault.
func (s *S3) Protection(ctx context.Context, key string) (Protection, error) {
	info, err := s.Stat(ctx, key)
	return info.Protection, err
}

// Protect implements Vault.
func (s *S3) Protect(ctx context.Context, key string, p Protection) error {
	return s.protect(ctx, key, p.Until, &p.Hold)
}

// Lengthen implements Vault.
func (s *S3) Lengthen(ctx context.Context, key string, until time.Time) error {
	return s.protect(ctx, key, until, nil)
}

// protect leaves the hold as it is if it is nil.
func (s *S3) protect(ctx context.Context, key string, until time.Time, hold *bool) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if s.lock == Unlocked {
		_, err := s.Stat(ctx, key)
		return err
	}
	found := false
	for v, err := range s.versionsOf(ctx, key) {
		if err == nil && !v.IsDeleteMarker {
			found = true
			err = s.protectVersion(ctx, key, v.VersionID, until, hold)
		}
		if err != nil {
			return s.describe("protect", key, err)
		}
	}
	if !found {
		return s.describe("protect", key, ErrNotFound)
	}
	return nil
}

func (s *S3) protectVersion(ctx context.Context, key, version string, until time.Time, hold *bool) error {
	ctx, cancel := context.WithTimeout(ctx, s3AnswerLimit)
	defer cancel()
	now, mode, err := s.versionProtection(ctx, key, version)
	if err != nil {
		return err
	}
	if until := lockSeconds(until); until.After(now.Until) && until.After(time.Now()) {
		retention := s.retention()
		if now.Until.After(time.Now()) {
			// While a lock lasts its mode cannot be changed without bypassing it.
			retention = minio.RetentionMode(strings.ToUpper(string(mode)))
		}
		err := s.core.PutObjectRetention(ctx, s.bucket, key, minio.PutObjectRetentionOptions{
			Mode: &retention, RetainUntilDate: &until, VersionID: version,
		})
		if err != nil {
			// Another may have asked for more at the same time, and the store
			// shortens nothing.
			if now, _, e := s.versionProtection(ctx, key, version); e != nil || until.After(now.Until) {
				return err
			}
		}
	}
	if hold == nil || *hold == now.Hold {
		return nil
	}
	status := minio.LegalHoldDisabled
	if *hold {
		status = minio.LegalHoldEnabled
	}
	return s.core.PutObjectLegalHold(ctx, s.bucket, key, minio.PutObjectLegalHoldOptions{
		Status: &status, VersionID: version,
	})
}

func (s *S3) versionProtection(ctx context.Context, key, version string) (Protection, LockMode, error) {
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{VersionID: version})
	if err != nil {
		return Protection{}, Unlocked, err
	}
	p, mode := protectionFrom(info)
	return p, mode, nil
}

// Delete implements Vault. It asks for no bypass of governance.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s3AnswerLimit)
	defer cancel()
	locked := LockedError{Key: key}
	var failed error
	for v, err := range s.versionsOf(ctx, key) {
		if err != nil {
			return s.describe("delete", key, err)
		}
		err = s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{VersionID: v.VersionID})
		if err == nil {
			continue
		}
		// Stores refuse in different words.
		p, _, statErr := s.versionProtection(ctx, key, v.VersionID)
		switch {
		case statErr == nil && p.Keeps(time.Now().Add(-clockTolerance)):
			locked.Protection = locked.with(p)
		case minio.ToErrorResponse(statErr).Code == minio.NoSuchKey,
			minio.ToErrorResponse(statErr).Code == "NoSuchVersion":
			// Another has deleted it meanwhile.
		default:
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return s.describe("delete", key, failed)
	}
	if locked.Protection != (Protection{}) {
		return &locked
	}
	return nil
}

// versionsOf yields all versions and delete markers of one key, collected
// first: what is deleted on the way would shift the pages.
func (s *S3) versionsOf(ctx context.Context, key string) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		var versions []minio.ObjectInfo
		for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{
			Prefix: key, WithVersions: true, Recursive: true,
		}) {
			if info.Err != nil {
				yield(minio.ObjectInfo{}, info.Err)
				return
			}
			if info.Key == key {
				versions = append(versions, info)
			} else if info.Key > key {
				break
			}
		}
		if err := ctx.Err(); err != nil { // minio-go ends as if it were complete
			yield(minio.ObjectInfo{}, err)
			return
		}
		for _, v := range versions {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Versions implements Vault.
func (s *S3) Versions(ctx context.Context, prefix string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(Version{}, err)
			return
		}
		for info, err := range s.list(ctx, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}) {
			v := Version{ObjectInfo: listed(info), ID: info.VersionID, Latest: info.IsLatest, Marker: info.IsDeleteMarker}
			if !yield(v, err) {
				return
			}
		}
	}
}
