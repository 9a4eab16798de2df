package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// archiveRun is what it cost to bring all recordings into a bucket. Wall is
// from the start of the program until the last one is there (and, with
// Callvault, written down).
type archiveRun struct{ usage }

// archiveRuns are the runs of the programs, side by side.
type archiveRuns struct {
	count                      int
	callvault, chunked, rclone []archiveRun
}

// archive measures how fast recordings come from a host into a bucket, beside
// rclone, which does the same and nothing else.
func (b *bench) archive(ctx context.Context) (_ []table, err error) {
	all := archiveRuns{count: 2000}
	if b.quick {
		all.count = 200
	}
	recordings, err := startHost(ctx, all.count)
	if err != nil {
		return nil, err
	}
	defer closing(&err, recordings)
	vault, err := testenv.StartMinIO(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, vault)
	var runs [3][]archiveRun
	turns := [3]func() (archiveRun, error){
		func() (archiveRun, error) {
			return b.archiveOnce(ctx, vault, all.count, "http://"+recordings.address, "")
		},
		func() (archiveRun, error) { return b.rclone(ctx, vault, all.count, recordings) },
		func() (archiveRun, error) {
			return b.archiveOnce(ctx, vault, all.count, "http://"+recordings.address+chunkedPath, "")
		},
	}
	names := [3]string{"callvault", "rclone", "callvault, length unknown"}
	for n := range b.runs {
		for i := range turns {
			// Each begins as often as the others.
			turn := (i + n) % len(turns)
			r, err := turns[turn]()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", names[turn], err)
			}
			runs[turn] = append(runs[turn], r)
			progress("archive %d/%d: %s: %.0f recordings/s, %.1f s of CPU, %.0f MiB", n+1, b.runs, names[turn],
				float64(all.count)/r.Wall.Seconds(), r.CPU.Seconds(), mib(r.Peak))
		}
	}
	all.callvault, all.rclone, all.chunked = runs[0], runs[1], runs[2]
	return all.tables(), nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (a *archiveRuns) tables() []table {
	rates := table{head: []string{"program", "recordings/s", "CPU for all", "peak memory"}}
	row := func(name string, runs []archiveRun) {
		rates.add(name,
			spread(runs, "%.0f", func(r archiveRun) float64 { return float64(a.count) / r.Wall.Seconds() }),
			spread(runs, "%.1f s", func(r archiveRun) float64 { return r.CPU.Seconds() }),
			spread(runs, "%.0f MiB", func(r archiveRun) float64 { return mib(r.Peak) }))
	}
	row("callvault", a.callvault)
	row("callvault, length not told by the host", a.chunked)
	row("rclone copy", a.rclone)

	type pair struct{ callvault, rclone archiveRun }
	var pairs []pair
	for i := range a.callvault {
		pairs = append(pairs, pair{a.callvault[i], a.rclone[i]})
	}
	ratios := table{head: []string{"callvault against rclone, run by run", "ratio"}}
	ratios.add("recordings/s", spread(pairs, "%.2f", func(p pair) float64 {
		return p.rclone.Wall.Seconds() / p.callvault.Wall.Seconds()
	}))
	ratios.add("CPU", spread(pairs, "%.2f", func(p pair) float64 {
		return p.callvault.CPU.Seconds() / p.rclone.CPU.Seconds()
	}))
	return []table{rates, ratios}
}

// archiveOnce fills the queue with `callvault import`, and then lets
// `callvault serve` archive what is in it, with the mode of Object Lock if
// there is one.
func (b *bench) archiveOnce(ctx context.Context, vault *testenv.MinIOServer, count int, recordings, lock string) (r archiveRun, err error) {
	s, err := b.queued(ctx, settings{lock: lock}, vault, count, recordings)
	if err != nil {
		return r, err
	}
	callvault, err := b.serve(ctx, s)
	if err != nil {
		return r, err
	}
	last, err := archivedAll(ctx, s, count)
	var endErr error
	if r.usage, endErr = callvault.end(); err != nil || endErr != nil {
		return r, errors.Join(err, endErr, errors.New(lastLines(callvault.output)))
	}
	r.Wall = last.Sub(callvault.started)
	if lock != "" {
		if err := allLocked(ctx, s.bucket); err != nil {
			return r, err
		}
	}
	return r, errors.Join(allThere(ctx, s.bucket, count), b.remove(s))
}

// writeReports writes call reports, one a line, that all name a recording.
func writeReports(path string, count int, recordings string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer closing(&err, file)
	out := bufio.NewWriter(file)
	var line []byte
	for i := range count {
		report := callReport{
			number: i, started: time.Now().In(kolkata()).Add(-10 * time.Minute),
			outcomes: answeredOnly(), recordings: recordings,
		}
		line = append(report.appendJSON(line[:0]), '\n')
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

// archivedAll waits until all recordings are archived, and says when the last
// one was.
func archivedAll(ctx context.Context, c settings, count int) (last time.Time, err error) {
	s, err := store.Open(ctx, c.storeOptions())
	if err != nil {
		return last, err
	}
	defer closing(&err, s)
	limit, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for tick := time.Tick(50 * time.Millisecond); ; {
		stats, err := s.QueueStats(limit)
		if err != nil {
			return last, err
		}
		if stats.Absent+stats.Refused > 0 {
			return last, fmt.Errorf("%d recordings are absent, %d refused", stats.Absent, stats.Refused)
		}
		if stats.Archived == int64(count) {
			break
		}
		select {
		case <-tick:
		case <-limit.Done():
			return last, fmt.Errorf("%d of %d recordings archived: %w", stats.Archived, count, limit.Err())
		}
	}
	err = s.EachCall(ctx, call.Filter{}, func(one call.CallWithRecordings) error {
		for i := range one.Recordings {
			if at := one.Recordings[i].ArchivedAt; at.After(last) {
				last = at
			}
		}
		return nil
	})
	return last, err
}

// rclone lets rclone copy the same recordings from the same host into another
// bucket, as it comes: it reads the folder's listing, asks for each file's
// size, and looks at each object after it was put.
func (b *bench) rclone(ctx context.Context, vault *testenv.MinIOServer, count int, recordings *host) (r archiveRun, err error) {
	bucket, err := vault.NewBucket(ctx, testenv.BucketOptions{})
	if err != nil {
		return r, err
	}
	dir, err := b.folder()
	if err != nil {
		return r, err
	}
	//nolint:gosec // Names and addresses are our own.
	cmd := exec.CommandContext(ctx, "rclone", "copy", ":http:", "vault:"+bucket.Name,
		"--http-url", "http://"+recordings.address+recordingFolder, "--transfers", "8", "--checkers", "8")
	// Nothing of the user's own settings for rclone or S3 counts.
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "RCLONE_CONFIG=" + filepath.Join(dir, "none"),
		"RCLONE_CONFIG_VAULT_TYPE=s3", "RCLONE_CONFIG_VAULT_PROVIDER=Minio",
		"RCLONE_CONFIG_VAULT_ENDPOINT=" + bucket.Endpoint, "RCLONE_CONFIG_VAULT_REGION=" + testenv.MinIORegion,
		"RCLONE_CONFIG_VAULT_ACCESS_KEY_ID=" + bucket.AccessKey,
		"RCLONE_CONFIG_VAULT_SECRET_ACCESS_KEY=" + bucket.SecretKey,
	}
	if r.usage, err = runProcess(cmd, filepath.Join(dir, "rclone.log")); err != nil {
		return r, err
	}
	return r, allThere(ctx, bucket, count)
}

func bucketClient(b testenv.Bucket) (*minio.Client, error) {
	return minio.New(b.Endpoint[len("http://"):], &minio.Options{
		Creds: credentials.NewStaticV4(b.AccessKey, b.SecretKey, ""), Region: testenv.MinIORegion,
	})
}

// allThere makes sure that the bucket holds all recordings, whole.
func allThere(ctx context.Context, b testenv.Bucket, count int) error {
	client, err := bucketClient(b)
	if err != nil {
		return err
	}
	whole := 0
	for object := range client.ListObjects(ctx, b.Name, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return object.Err
		}
		if object.Size == recordingSize {
			whole++
		}
	}
	if whole != count {
		return fmt.Errorf("%d of %d recordings are in the bucket", whole, count)
	}
	return nil
}
