package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callvault/internal/testenv"

	"github.com/minio/minio-go/v7"
)

// lockRun is a pair: the same recordings into a bucket that locks each object
// for years, and into a plain one, at the same MinIO.
type lockRun struct{ locked, plain archiveRun }

// lock measures what Object Lock costs.
func (b *bench) lock(ctx context.Context) (_ []table, err error) {
	count := 2000
	if b.quick {
		count = 200
	}
	recordings, err := startHost(ctx, count)
	if err != nil {
		return nil, err
	}
	defer closing(&err, recordings)
	vault, err := testenv.StartMinIO(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, vault)
	runs := make([]lockRun, b.runs)
	for n := range runs {
		r := &runs[n]
		for i := range 2 {
			one, name, lock := &r.locked, "with Object Lock", "compliance"
			if (i+n)%2 == 1 { // each begins as often as the other
				one, name, lock = &r.plain, "without", ""
			}
			if *one, err = b.archiveOnce(ctx, vault, count, "http://"+recordings.address, lock); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			progress("lock %d/%d: %s: %.0f recordings/s, %.1f s of CPU", n+1, b.runs, name,
				float64(count)/one.Wall.Seconds(), one.CPU.Seconds())
		}
	}
	return lockTables(runs, count), nil
}

func lockTables(runs []lockRun, count int) []table {
	rates := table{head: []string{"bucket", "recordings/s", "CPU for all"}}
	for _, bucket := range []struct {
		name string
		run  func(lockRun) archiveRun
	}{
		{"each object locked (compliance, years)", func(r lockRun) archiveRun { return r.locked }},
		{"plain", func(r lockRun) archiveRun { return r.plain }},
	} {
		rates.add(bucket.name,
			spread(runs, "%.0f", func(r lockRun) float64 { return float64(count) / bucket.run(r).Wall.Seconds() }),
			spread(runs, "%.1f s", func(r lockRun) float64 { return bucket.run(r).CPU.Seconds() }))
	}
	ratios := table{head: []string{"locked against plain, run by run", "ratio"}}
	ratios.add("recordings/s", spread(runs, "%.2f", func(r lockRun) float64 { return r.plain.Wall.Seconds() / r.locked.Wall.Seconds() }))
	ratios.add("CPU", spread(runs, "%.2f", func(r lockRun) float64 { return r.locked.CPU.Seconds() / r.plain.CPU.Seconds() }))
	return []table{rates, ratios}
}

// allLocked makes sure that what was measured was locked, and with a checksum.
func allLocked(ctx context.Context, b testenv.Bucket) error {
	client, err := bucketClient(b)
	if err != nil {
		return err
	}
	for object := range client.ListObjects(ctx, b.Name, minio.ListObjectsOptions{Recursive: true, Prefix: "calls/"}) {
		if object.Err != nil {
			return object.Err
		}
		info, err := client.StatObject(ctx, b.Name, object.Key, minio.StatObjectOptions{Checksum: true})
		if err != nil {
			return err
		}
		until, err := time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		if err != nil || until.Before(time.Now().AddDate(1, 0, 0)) || info.Metadata.Get("X-Amz-Object-Lock-Mode") != string(minio.Compliance) {
			return errors.Join(fmt.Errorf("%s is not locked for years", object.Key), err)
		}
		if info.ChecksumSHA256 == "" {
			return fmt.Errorf("%s has no checksum", object.Key)
		}
	}
	return nil
}
