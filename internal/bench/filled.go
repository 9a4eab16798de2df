package main

import (
	"context"
	"errors"
	"path/filepath"

	"callvault/internal/testenv"
)

// queued is an installation with a queue of count recordings. With a vault s gets
// a bucket in it, which locks if s.lock says so.
func (b *bench) queued(ctx context.Context, s settings, vault *testenv.MinIOServer, count int, recordings string) (_ settings, err error) {
	if s.data, err = b.folder(); err != nil {
		return s, err
	}
	if vault != nil {
		if s.bucket, err = vault.NewBucket(ctx, testenv.BucketOptions{ObjectLock: s.lock != ""}); err != nil {
			return s, err
		}
	}
	if err := s.write(); err != nil {
		return s, err
	}
	file := filepath.Join(s.data, "reports.jsonl")
	if err := writeReports(file, count, recordings); err != nil {
		return s, err
	}
	imports := b.callvaultCommand(ctx, s, "import", "--account", account, file)
	_, err = runProcess(imports, filepath.Join(s.data, "import.log"))
	return s, err
}

// filled is an installation whose recordings are all archived.
func (b *bench) filled(ctx context.Context, s settings, vault *testenv.MinIOServer, count int, recordings string) (settings, error) {
	s, err := b.queued(ctx, s, vault, count, recordings)
	if err != nil {
		return s, err
	}
	callvault, err := b.serve(ctx, s)
	if err != nil {
		return s, err
	}
	_, err = archivedAll(ctx, s, count)
	_, endErr := callvault.end()
	return s, errors.Join(err, endErr)
}
