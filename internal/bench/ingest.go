package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// ingestCase is one way of receiving that is measured.
type ingestCase struct {
	postgres    bool
	connections int
	archiving   bool
}

func ingestCases() []ingestCase {
	var cases []ingestCase
	for _, archiving := range []bool{false, true} {
		for _, postgres := range []bool{false, true} {
			for _, connections := range []int{64, 16} {
				cases = append(cases, ingestCase{postgres, connections, archiving})
			}
		}
	}
	return cases
}

func (c ingestCase) database() string { return databaseName(c.postgres) }

func databaseName(postgres bool) string {
	if postgres {
		return "PostgreSQL"
	}
	return "SQLite"
}

// archive says what the archive does meanwhile. The vault is what goes with
// the database: a folder where everything is on one machine, else a bucket.
func (c ingestCase) archive() string {
	switch {
	case !c.archiving:
		return "waits"
	case c.postgres:
		return "8 workers, MinIO"
	default:
		return "8 workers, folder"
	}
}

// ingestRun is what one run has shown.
type ingestRun struct {
	loadResult
	usage
	// archived are recordings per second while call reports came.
	archived float64
}

// ingest measures how many call reports a second are acknowledged, and how
// fast, and looks for each of them in the database afterwards.
func (b *bench) ingest(ctx context.Context) (_ []table, err error) {
	recordings, err := startHost(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer closing(&err, recordings)
	vault, err := testenv.StartMinIO(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, vault)

	t := table{head: []string{"database", "connections", "archive", "acknowledged/s", "p50", "p99", "longest", "archived/s", "CPU of callvault"}}
	cases := ingestCases()
	runs := make([][]ingestRun, len(cases))
	// In turn, so that what the machine does for a while meets all alike.
	for n := range b.runs {
		for i, c := range cases {
			r, err := b.ingestOnce(ctx, c, recordings, vault)
			if err != nil {
				return nil, fmt.Errorf("%s, %d connections, archive %s: %w", c.database(), c.connections, c.archive(), err)
			}
			runs[i] = append(runs[i], r)
			progress("ingest %d/%d: %s, %d connections, archive %s: %.0f/s, p99 %s, %.0f archived/s", n+1, b.runs,
				c.database(), c.connections, c.archive(), r.perSecond, milliseconds(r.p99), r.archived)
		}
	}
	for i, c := range cases {
		archived := "–"
		if c.archiving {
			archived = spread(runs[i], "%.0f", func(r ingestRun) float64 { return r.archived })
		}
		of := func(f func(ingestRun) time.Duration) string {
			return spread(runs[i], "%.1f ms", func(r ingestRun) float64 { return f(r).Seconds() * 1000 })
		}
		t.add(c.database(), fmt.Sprint(c.connections), c.archive(),
			spread(runs[i], "%.0f", func(r ingestRun) float64 { return r.perSecond }),
			of(func(r ingestRun) time.Duration { return r.p50 }),
			of(func(r ingestRun) time.Duration { return r.p99 }),
			of(func(r ingestRun) time.Duration { return r.worst }), archived,
			spread(runs[i], "%.2f cores", func(r ingestRun) float64 { return r.CPU.Seconds() / r.Wall.Seconds() }))
	}
	return []table{t}, nil
}

func (b *bench) ingestOnce(ctx context.Context, c ingestCase, recordings *host, vault *testenv.MinIOServer) (r ingestRun, err error) {
	s := settings{firstTryAfter: time.Hour}
	if c.archiving {
		s.firstTryAfter = 0
	}
	if s.data, err = b.folder(); err != nil {
		return r, err
	}
	if c.postgres {
		// A new cluster each time: none finds the other's dust.
		database, err := testenv.StartPostgres(ctx, testenv.PostgresOptions{Fsync: true})
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, database.Close()) }()
		s.dsn = database.DSN()
		if s.bucket, err = vault.NewBucket(ctx, testenv.BucketOptions{}); err != nil {
			return r, err
		}
	}
	if err := s.write(); err != nil {
		return r, err
	}
	callvault, err := b.serve(ctx, s)
	if err != nil {
		return r, err
	}
	l := load{
		address: callvault.address, connections: c.connections,
		warmup: 2 * time.Second, duration: 10 * time.Second,
		recordings: "http://" + recordings.address,
	}
	if b.quick {
		l.warmup, l.duration = time.Second, 3*time.Second
	}
	r.loadResult, err = l.run(ctx)
	var endErr error
	if r.usage, endErr = callvault.end(); err != nil || endErr != nil {
		return r, errors.Join(err, endErr)
	}
	if r.refused > 0 {
		return r, fmt.Errorf("%d call reports were refused", r.refused)
	}
	archived, err := findAll(ctx, s, r.acknowledged)
	r.archived = float64(archived) / (l.warmup + l.duration).Seconds()
	return r, errors.Join(err, b.remove(s))
}

// findAll makes sure that every acknowledged call is in the database, once,
// and counts the recordings that are archived.
func findAll(ctx context.Context, c settings, acknowledged []string) (archived int, err error) {
	s, err := store.Open(ctx, c.storeOptions())
	if err != nil {
		return 0, err
	}
	defer closing(&err, s)
	found := make(map[string]int, len(acknowledged))
	err = s.EachCall(ctx, call.Filter{}, func(one call.CallWithRecordings) error {
		found[one.Key]++
		for i := range one.Recordings {
			if one.Recordings[i].State == call.Archived {
				archived++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, key := range acknowledged {
		if found[key] != 1 {
			return 0, fmt.Errorf("call %s was acknowledged and is there %d times", key, found[key])
		}
	}
	return archived, nil
}
