package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/export"
	"callvault/internal/store"

	"github.com/dustin/go-humanize"
)

type exportCommand struct {
	filterFlags
	Call   []string `name:"call" sep:"none" help:"Export this call; may be given several times, instead of filters." placeholder:"ID"`
	Out    string   `required:"" help:"The bundle to write; it must not exist." placeholder:"FILE.zip"`
	Reason string   `help:"Why, for the audit log and the recipient." placeholder:"TEXT"`
	actorFlags
}

// Help is the end of the command's help.
func (exportCommand) Help() string {
	return `Writes one ZIP with the calls, their recordings, what the providers sent, and the evidence that nothing was altered. What is missing is listed in it, and no error. The recipient checks it with callvault verify --bundle, and the files with sha256sum -c SHA256SUMS.

An export that was interrupted leaves FILE.zip.partial behind; the same command goes on with it. It works beside a running server.

  callvault export --from 2026-11-01 --to 2026-11-30 --number 9812345678 --out case-7.zip --reason "court order 7/2026"`
}

// exported is what an export says.
type exported struct {
	Calls       int    `json:"calls"`
	Recordings  int    `json:"recordings"`
	Missing     int    `json:"missing"`
	Altered     int    `json:"altered"`
	Unproved    int    `json:"unproved"`
	File        string `json:"file"`
	Size        int64  `json:"size"`
	Bundle      string `json:"bundle"`
	Fingerprint string `json:"fingerprint"`
}

// Run makes a bundle.
func (c exportCommand) Run(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	request, err := c.request()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(c.Out); err == nil {
		return fmt.Errorf("%s exists already, and a bundle is never written over another file", c.Out)
	}
	if _, err := os.Stat(filepath.Dir(c.Out)); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	vault, err := openVault(cfg)
	if err != nil {
		return err
	}
	if closer, ok := vault.(io.Closer); ok {
		defer func() { _ = closer.Close() }() // nothing is written by closing
	}
	return withStore(ctx, cfg, func(s *store.Store) error {
		ctx, err := c.by(ctx, g, s, false)
		if err != nil {
			return err
		}
		request.By = audit.ActorOf(ctx)
		work, err := openWork(c.Out+".partial", request)
		if err != nil {
			return err
		}
		defer func() { _ = work.Close() }() // it holds nothing but the lock
		result, err := c.make(ctx, g, cfg, s, vault, request, work.Name())
		if err != nil {
			return err
		}
		return g.print(result, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s, %s, %s.\n", result.File, counted(result.Calls, "call"), counted(result.Recordings, "recording"), humanize.IBytes(uint64(result.Size)))
			if result.Missing > 0 {
				fmt.Fprintf(w, "%d are missing; missing.csv in it says which and why.\n", result.Missing)
			}
			if result.Altered > 0 {
				fmt.Fprintf(w, "%d of them are not what was archived: their bytes lie apart, in altered/. Run callvault verify.\n", result.Altered)
			}
			if result.Unproved > 0 {
				fmt.Fprintf(w, "%d of them the audit log does not know as they are: their rows were changed. Run callvault verify.\n", result.Unproved)
			}
			fmt.Fprintf(w, "Signed by the key %s: tell the recipient by another way.\n", result.Fingerprint)
		})
	})
}

// request is what the flags ask for.
func (c *exportCommand) request() (export.Request, error) {
	r := export.Request{Calls: c.Call, Reason: strings.TrimSpace(c.Reason)}
	if len(c.Call) == 0 {
		f, err := c.filter()
		if err != nil {
			return r, err
		}
		r.Filter = &f
	} else if !c.isZero() {
		return r, usagef("give either --call or filters")
	}
	return r, r.Check()
}

// openWork opens and locks the folder in which a bundle is made.
func openWork(folder string, request export.Request) (*os.File, error) {
	pending, found, err := export.Pending(folder)
	if err != nil {
		return nil, fmt.Errorf("go on with an interrupted export: %w (remove %s to begin anew)", err, folder)
	}
	if found && !pending.Same(request) {
		return nil, fmt.Errorf("%s holds another export that was interrupted: go on with the flags that it was begun with, or remove the folder", folder)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the work folder: %w", err)
	}
	f, err := os.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("lock the work folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another export is writing %s", folder)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// make makes the bundle, logs that it was made, and then gives it its name.
func (c *exportCommand) make(ctx context.Context, g *globals, cfg *config.Config, s *store.Store, vault archive.Vault, request export.Request, work string) (exported, error) {
	named := newPeople(cfg, s)
	if err := named.load(ctx); err != nil {
		return exported{}, err
	}
	key, err := openAuditKey(ctx, cfg, s)
	if err != nil {
		return exported{}, err
	}
	logger := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := exportOptions(cfg, named, vault, key, logger)
	o.Request, o.Dir = request, work
	shown := newProgress(g.stderr, "recordings exported")
	var done, total int
	o.Progress = func(d, t int) {
		done, total = d, t
		shown.show(d, t)
	}
	made, err := export.Make(ctx, o)
	shown.end(done, total)
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return exported{}, errors.Join(err, os.RemoveAll(work))
	case ctx.Err() != nil:
		fmt.Fprintf(g.stderr, "What is copied so far is kept in %s; the same command goes on with it.\n", work)
		return exported{}, ctx.Err()
	case err != nil:
		return exported{}, err
	}
	if err := logMade(ctx, s, request, made); err != nil {
		return exported{}, err
	}
	if err := handOut(made.File, c.Out); err != nil {
		return exported{}, fmt.Errorf("give the bundle its name: %w; it is %s", err, made.File)
	}
	if err := os.RemoveAll(work); err != nil {
		return exported{}, fmt.Errorf("remove the work folder: %w", err)
	}
	return exported{made.Calls, made.Recordings, made.Missing, made.Altered, made.Unproved, c.Out, made.Size, made.ID, key.Fingerprint()}, nil
}

// logMade writes into the audit log that a bundle was made.
func logMade(ctx context.Context, s *store.Store, request export.Request, made export.Result) error {
	asked, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("log the export: %w", err)
	}
	entry, err := audit.New(audit.ExportMade, "export/"+made.ID, audit.ExportFacts{
		ID: made.ID, Request: asked, State: string(call.ExportReady), Calls: made.Calls, Recordings: made.Recordings,
		Missing: made.Missing, Altered: made.Altered, Size: made.Size, ManifestSHA256: made.ManifestSHA256,
	})
	if err != nil {
		return fmt.Errorf("log the export: %w", err)
	}
	entry.Actor, entry.Reason = request.By, request.Reason
	return s.Audit(ctx, entry)
}

// handOut gives a finished file its name, unless something has it by now.
func handOut(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s has come to be meanwhile, and nothing is written over it", to)
	}
	if err != nil { // a file system without hard links
		err = os.Rename(from, to)
	}
	if err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// exportOptions say how bundles are made; request and work folder are missing.
func exportOptions(c *config.Config, s *people, vault archive.Vault, key *audit.Key, logger *slog.Logger) export.Options {
	return export.Options{
		Store: s, Vault: exportVault{vault}, Log: s, Key: key, Program: programVersion(), Now: time.Now, Logger: logger,
		Zone: func(account string) *time.Location {
			if a, ok := c.Account(account); ok {
				return a.TimeZone.Location
			}
			return time.UTC
		},
	}
}

// newExporter makes what makes the bundles that the API is asked for. Without
// the log's key there is none on this node: a bundle would not be signed.
func newExporter(ctx context.Context, c *config.Config, s *people, vault archive.Vault, logger *slog.Logger) (*export.Runner, error) {
	key, err := openAuditKey(ctx, c, s.Store)
	if missing, ok := errors.AsType[noKeyError](err); ok {
		logger.ErrorContext(ctx, "no exports are made here", "error", missing)
		return nil, nil //nolint:nilnil // as of newSealer
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return export.NewRunner(export.RunnerOptions{
		Make: exportOptions(c, s, vault, key, logger), Jobs: s, Shelf: exportVault{vault},
		Dir: filepath.Join(c.Data, "spool", "exports"), Keep: c.Export.Keep.After(now).Sub(now),
	}), nil
}

// exportVault is the vault as exports see it.
type exportVault struct{ vault archive.Vault }

// Open implements export.Vault.
func (v exportVault) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	body, _, err := v.vault.Open(ctx, key, 0, -1)
	return body, err
}

// Gone implements export.Vault.
func (exportVault) Gone(err error) bool {
	return errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrKey)
}

// Put implements export.Shelf.
func (v exportVault) Put(ctx context.Context, key string, body io.ReaderAt, size int64, sum [32]byte) error {
	return archive.PutOnce(ctx, v.vault, key, body, archive.PutOptions{Size: size, SHA256: sum, MediaType: "application/zip"})
}

// Clear implements export.Shelf.
func (v exportVault) Clear(ctx context.Context, prefix, keep string) error {
	var keys []string
	for object, err := range v.vault.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if keep == "" || !strings.HasPrefix(object.Key, keep) {
			keys = append(keys, object.Key)
		}
	}
	for _, key := range keys {
		if err := v.vault.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
