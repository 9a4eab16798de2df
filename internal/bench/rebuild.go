package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// rebuildRuns are what the rebuilds of one vault into one kind of database
// have cost.
type rebuildRuns struct {
	calls    int
	database string
	runs     []usage
}

// rebuild measures how long it takes to make the database again from a vault,
// and that the memory it takes does not depend on how many calls there are.
func (b *bench) rebuild(ctx context.Context) (_ []table, err error) {
	most := 100_000
	if b.quick {
		most = 2000
	}
	postgres, err := testenv.StartPostgres(ctx, testenv.PostgresOptions{Fsync: true})
	if err != nil {
		return nil, err
	}
	defer closing(&err, postgres)
	var all []*rebuildRuns
	for _, calls := range []int{most / 5, most} {
		vault, err := b.keptVault(ctx, calls)
		if err != nil {
			return nil, fmt.Errorf("make the vault: %w", err)
		}
		for _, database := range []string{"SQLite", "PostgreSQL"} {
			r := &rebuildRuns{calls: calls, database: database}
			all = append(all, r)
			for n := range b.runs {
				s := settings{folder: vault}
				if database == "PostgreSQL" {
					if s.dsn, err = postgres.NewDatabase(ctx); err != nil {
						return nil, err
					}
				}
				one, err := b.rebuildOnce(ctx, s, calls)
				if err != nil {
					return nil, err
				}
				r.runs = append(r.runs, one)
				progress("rebuild %d/%d: %d calls into %s: %.1f s, %.1f s of CPU, %.0f MiB", n+1, b.runs, calls, database,
					one.Wall.Seconds(), one.CPU.Seconds(), mib(one.Peak))
			}
		}
	}
	t := table{head: []string{"database", "calls", "time", "calls/s", "CPU of callvault", "peak memory"}}
	for _, r := range all {
		t.add(r.database, strconv.Itoa(r.calls),
			spread(r.runs, "%.1f s", func(u usage) float64 { return u.Wall.Seconds() }),
			spread(r.runs, "%.0f", func(u usage) float64 { return float64(r.calls) / u.Wall.Seconds() }),
			spread(r.runs, "%.1f s", func(u usage) float64 { return u.CPU.Seconds() }),
			spread(r.runs, "%.0f MiB", func(u usage) float64 { return mib(u.Peak) }))
	}
	return []table{t}, nil
}

// rebuildOnce makes an empty database again and makes sure that all is there.
func (b *bench) rebuildOnce(ctx context.Context, s settings, calls int) (r usage, err error) {
	if s.data, err = b.folder(); err != nil {
		return r, err
	}
	if err := s.write(); err != nil {
		return r, err
	}
	var output bytes.Buffer
	cmd := b.callvaultCommand(ctx, s, "rebuild", "--json")
	cmd.Stdout = &output
	if r, err = runProcess(cmd, filepath.Join(s.data, "rebuild.log")); err != nil {
		return r, err
	}
	var made struct {
		Calls      int `json:"calls"`
		Legs       int `json:"legs"`
		Recordings int `json:"recordings"`
		Adopted    int `json:"adopted"`
		Unknown    int `json:"unknown_count"`
	}
	if err := json.Unmarshal(output.Bytes(), &made); err != nil {
		return r, err
	}
	if made.Calls != calls || made.Legs != calls || made.Recordings == 0 || made.Adopted+made.Unknown > 0 {
		return r, fmt.Errorf("%d calls came to %+v", calls, made)
	}
	return r, b.remove(s)
}

// keptVault is a vault with that many calls of a day, their recordings and
// their journal, kept for the next time like the day of a report. Returned is
// its folder.
func (b *bench) keptVault(ctx context.Context, calls int) (string, error) {
	schema, err := b.schema()
	if err != nil {
		return "", err
	}
	made := filepath.Join(b.root, "bench-results", fmt.Sprintf("vault-%d-v%d-%s", calls, dayVersion, schema))
	vault := filepath.Join(made, "vault")
	if _, err := os.Stat(made); err == nil {
		return vault, nil
	}
	making := settings{data: made + ".part"}
	if err := os.RemoveAll(making.data); err != nil {
		return "", err
	}
	v, err := archive.OpenDirectory(filepath.Join(making.data, "vault"))
	if err != nil {
		return "", err
	}
	if err := errors.Join(fillDays(ctx, making, calls, 0, v), writeJournal(ctx, making, v), v.Close()); err != nil {
		return "", err
	}
	return vault, os.Rename(making.data, made)
}

// writeJournal writes all that a database holds into the journal.
func writeJournal(ctx context.Context, c settings, v archive.Vault) (err error) {
	s, err := store.Open(ctx, c.storeOptions())
	if err != nil {
		return err
	}
	defer closing(&err, s)
	journal, err := archive.NewJournal(archive.JournalOptions{Store: s, Vault: v, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return journal.Flush(ctx)
}

// putTiny puts the object of a recording: a few bytes, for what matters is that
// it is there.
func putTiny(ctx context.Context, v archive.Vault, a *call.Archiving) error {
	audio := []byte(a.ObjectKey)
	sum := sha256.Sum256(audio)
	a.Size, a.SHA256 = int64(len(audio)), fmt.Sprintf("%x", sum)
	return archive.PutOnce(ctx, v, a.ObjectKey, bytes.NewReader(audio), archive.PutOptions{Size: a.Size, SHA256: sum, MediaType: a.MediaType})
}
