package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"callvault/internal/testenv"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// plainProcess is this program as the plain loop that verify is measured beside:
// a process of its own.
const plainProcess = "plain-loop"

// plainReaders is how many objects the plain loop reads at once: as many as
// verify does.
const plainReaders = 2

// verifyRun is what belongs together: everything verified, the objects alone
// verified, and the same objects just read and hashed.
type verifyRun struct{ all, objects, plain usage }

// verify measures how fast `callvault verify` goes over a vault, and with --only
// objects, beside a plain loop that reads and hashes the same objects and
// compares them with nothing.
func (b *bench) verify(ctx context.Context) (_ []table, err error) {
	count := 5000
	if b.quick {
		count = 200
	}
	recordings, err := startHost(ctx, count)
	if err != nil {
		return nil, err
	}
	defer closing(&err, recordings)
	server, err := testenv.StartMinIO(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, server)
	rates := table{head: []string{"vault", "program", "recordings/s", "MiB/s", "CPU for all", "peak memory"}}
	ratios := table{head: []string{"verify against the plain loop, run by run", "objects alone", "all that verify does"}}
	for _, v := range []struct {
		name  string
		vault *testenv.MinIOServer
	}{{"MinIO", server}, {"folder", nil}} {
		s, err := b.filled(ctx, settings{}, v.vault, count, "http://"+recordings.address)
		if err != nil {
			return nil, err
		}
		runs := make([]verifyRun, b.runs)
		for n := range runs {
			for i := range 3 {
				switch (i + n) % 3 { // each begins as often as the others
				case 0:
					runs[n].all, err = b.verifyOnce(ctx, s, count)
				case 1:
					runs[n].objects, err = b.verifyOnce(ctx, s, count, "--only", "objects")
				default:
					runs[n].plain, err = plainOnce(ctx, s)
				}
				if err != nil {
					return nil, err
				}
			}
			progress("verify %d/%d: %s: %.0f recordings/s, %.0f MiB; objects alone: %.0f recordings/s; plain loop: %.0f recordings/s", n+1, b.runs, v.name,
				float64(count)/runs[n].all.Wall.Seconds(), mib(runs[n].all.Peak), float64(count)/runs[n].objects.Wall.Seconds(), float64(count)/runs[n].plain.Wall.Seconds())
		}
		for _, row := range []struct {
			name string
			of   func(verifyRun) usage
		}{
			{"callvault verify", func(r verifyRun) usage { return r.all }},
			{"callvault verify --only objects", func(r verifyRun) usage { return r.objects }},
			{"plain loop", func(r verifyRun) usage { return r.plain }},
		} {
			rates.add(v.name, row.name,
				spread(runs, "%.0f", func(r verifyRun) float64 { return float64(count) / row.of(r).Wall.Seconds() }),
				spread(runs, "%.0f", func(r verifyRun) float64 { return float64(count) * mib(recordingSize) / row.of(r).Wall.Seconds() }),
				spread(runs, "%.1f s", func(r verifyRun) float64 { return row.of(r).CPU.Seconds() }),
				spread(runs, "%.0f MiB", func(r verifyRun) float64 { return mib(row.of(r).Peak) }))
		}
		ratios.add(v.name,
			spread(runs, "%.2f", func(r verifyRun) float64 { return r.plain.Wall.Seconds() / r.objects.Wall.Seconds() }),
			spread(runs, "%.2f", func(r verifyRun) float64 { return r.plain.Wall.Seconds() / r.all.Wall.Seconds() }))
		if err := b.remove(s); err != nil {
			return nil, err
		}
	}
	return []table{rates, ratios}, nil
}

// verifyOnce verifies everything, or the objects only, and makes sure that nothing
// was left out.
func (b *bench) verifyOnce(ctx context.Context, s settings, count int, only ...string) (r usage, err error) {
	path := filepath.Join(s.data, "verify.json")
	out, err := os.Create(path)
	if err != nil {
		return r, err
	}
	cmd := b.callvaultCommand(ctx, s, append([]string{"verify", "--json"}, only...)...)
	cmd.Stdout = out
	r, err = runProcess(cmd, filepath.Join(s.data, "verify.log"))
	if err = errors.Join(err, out.Close()); err != nil {
		return r, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	var found struct {
		Checked int            `json:"checked"`
		OK      int            `json:"ok"`
		Parts   map[string]int `json:"parts"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return r, err
	}
	if found.OK != found.Checked || found.Parts["objects"] < count || len(only) == 0 && (found.Parts["calls"] != count || found.Parts["journal"] < count) {
		return r, fmt.Errorf("verify has seen %v, and %d of %d were well", found.Parts, found.OK, found.Checked)
	}
	return r, nil
}

// plainOnce lets the plain loop read the same objects.
func plainOnce(ctx context.Context, s settings) (usage, error) {
	program, err := os.Executable()
	if err != nil {
		return usage{}, err
	}
	args := []string{plainProcess, filepath.Join(s.data, "recordings")}
	if v := s.bucket; v.Name != "" {
		args = []string{plainProcess, v.Endpoint, v.Name, v.AccessKey, v.SecretKey}
	}
	return runProcess(exec.CommandContext(ctx, program, args...), filepath.Join(s.data, "plain.log")) //nolint:gosec // this very program
}

// readPlainly is the plain loop: over a folder, or over a bucket given by
// endpoint, name and keys.
func readPlainly(ctx context.Context, where []string) error {
	keys := make(chan string, plainReaders)
	group, ctx := errgroup.WithContext(ctx)
	give := func(key string) error {
		select {
		case keys <- key:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	list := func() error {
		return filepath.WalkDir(where[0], func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			return give(path)
		})
	}
	open := func(path string) (io.ReadCloser, error) { return os.Open(path) }
	if len(where) > 1 {
		b := testenv.Bucket{Endpoint: where[0], Name: where[1], AccessKey: where[2], SecretKey: where[3]}
		client, err := bucketClient(b)
		if err != nil {
			return err
		}
		list = func() error {
			for object := range client.ListObjects(ctx, b.Name, minio.ListObjectsOptions{Recursive: true}) {
				if err := errors.Join(object.Err, give(object.Key)); err != nil {
					return err
				}
			}
			return nil
		}
		open = func(key string) (io.ReadCloser, error) {
			return client.GetObject(ctx, b.Name, key, minio.GetObjectOptions{})
		}
	}
	group.Go(func() error {
		defer close(keys)
		return list()
	})
	for range plainReaders {
		group.Go(func() error {
			buffer := make([]byte, 256<<10)
			for key := range keys {
				object, err := open(key)
				if err != nil {
					return err
				}
				hash := sha256.New()
				_, err = io.CopyBuffer(struct{ io.Writer }{hash}, object, buffer)
				if err = errors.Join(err, object.Close()); err != nil {
					return err
				}
				_ = hash.Sum(nil) // as good as compared
			}
			return nil
		})
	}
	return group.Wait()
}
