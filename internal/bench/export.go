package main

import (
	"context"
	"os"
	"path/filepath"

	"callvault/internal/testenv"
)

// exportRun is what it cost to make a bundle of all recordings, and to check it
// without the database.
type exportRun struct {
	made, checked usage
	// size of the bundle, in bytes.
	size int64
}

// export measures how fast recordings come out of a bucket into one bundle, how
// fast that is checked, and how much memory both take.
func (b *bench) export(ctx context.Context) (_ []table, err error) {
	count := 10_000
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
	s, err := b.filled(ctx, settings{}, vault, count, "http://"+recordings.address)
	if err != nil {
		return nil, err
	}
	var runs []exportRun
	for n := range b.runs {
		r, err := b.exportOnce(ctx, s)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
		progress("export %d/%d: %.0f recordings/s, %.0f MiB; checked at %.0f recordings/s, %.0f MiB", n+1, b.runs,
			float64(count)/r.made.Wall.Seconds(), mib(r.made.Peak), float64(count)/r.checked.Wall.Seconds(), mib(r.checked.Peak))
	}
	t := table{head: []string{"command", "recordings/s", "MiB/s", "CPU for all", "peak memory"}}
	for _, row := range []struct {
		name string
		of   func(exportRun) usage
	}{
		{"callvault export", func(r exportRun) usage { return r.made }},
		{"callvault verify --bundle", func(r exportRun) usage { return r.checked }},
	} {
		t.add(row.name,
			spread(runs, "%.0f", func(r exportRun) float64 { return float64(count) / row.of(r).Wall.Seconds() }),
			spread(runs, "%.0f", func(r exportRun) float64 { return mib(r.size) / row.of(r).Wall.Seconds() }),
			spread(runs, "%.1f s", func(r exportRun) float64 { return row.of(r).CPU.Seconds() }),
			spread(runs, "%.0f MiB", func(r exportRun) float64 { return mib(row.of(r).Peak) }))
	}
	return []table{t}, b.remove(s)
}

func (b *bench) exportOnce(ctx context.Context, s settings) (r exportRun, err error) {
	out := filepath.Join(s.data, "bundle.zip")
	export := b.callvaultCommand(ctx, s, "export", "--account", account, "--reason", "benchmark", "--out", out)
	if r.made, err = runProcess(export, filepath.Join(s.data, "export.log")); err != nil {
		return r, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return r, err
	}
	r.size = info.Size()
	check := b.callvaultCommand(ctx, s, "verify", "--bundle", out)
	if r.checked, err = runProcess(check, filepath.Join(s.data, "verify.log")); err != nil {
		return r, err
	}
	return r, os.Remove(out)
}
