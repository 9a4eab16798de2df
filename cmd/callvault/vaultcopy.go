package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"

	"github.com/dustin/go-humanize"
)

type vaultCommand struct {
	Copy vaultCopyCommand `cmd:"" help:"Copy all that lies in the vault into another one, checked; run again, only what is new."`
}

type vaultCopyCommand struct {
	To     string `required:"" help:"A configuration file whose vault section says where to; it may be the whole configuration to come." placeholder:"FILE"`
	Verify bool   `help:"Read and hash also what lies there already, instead of believing what was recorded when it was put."`
	Rate   string `help:"Read no faster than this, such as 50MiB/s (default: as fast as it goes)." placeholder:"RATE"`
}

// Help is the end of the command's help.
func (vaultCopyCommand) Help() string {
	return `Nothing is changed in the vault that is copied, and nothing replaced in the other. Each object's SHA-256 is compared with what was archived before it is put. It works beside a running server, may be interrupted at any moment, and goes on when it is run again. The exit status is 1 if anything is not in the other vault as it was kept. docs/operations.md, "Moving to another vault", has the steps.

  callvault vault copy --to callvault.new.yaml
  callvault vault copy --to callvault.new.yaml --rate 50MiB/s`
}

// vaultCopied is what the command gives.
type vaultCopied struct {
	archive.Copied
	From string `json:"from"`
	To   string `json:"to"`
	// Faults and Notices are the first mostFaults of each; More counts the
	// others.
	Faults  []call.Fault `json:"faults"`
	Notices []call.Fault `json:"notices"`
	More    int64        `json:"more"`
	Seconds float64      `json:"seconds"`
	found   int64
}

// Run copies the vault.
func (c vaultCopyCommand) Run(ctx context.Context, g *globals) (err error) {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	rate, err := parseRate(c.Rate)
	if err != nil {
		return err
	}
	target, err := c.target(cfg, g)
	if err != nil {
		return err
	}
	o := archive.CopyOptions{SpoolDir: filepath.Join(cfg.Data, "spool", "copy"), Rate: rate, Reread: c.Verify}
	r := vaultCopied{Faults: []call.Fault{}, Notices: []call.Fault{}}
	for _, side := range []struct {
		of    *config.Config
		vault *archive.Vault
		place *string
	}{{cfg, &o.From, &r.From}, {target, &o.To, &r.To}} {
		if *side.vault, err = openVault(side.of); err != nil {
			return err
		}
		if closer, ok := (*side.vault).(io.Closer); ok {
			defer func() { err = errors.Join(err, closer.Close()) }()
		}
		if *side.place, err = vaultPlace(side.of); err != nil {
			return err
		}
	}
	return withStore(ctx, cfg, func(s *store.Store) error {
		o.Store = s
		return r.run(ctx, g, s, o)
	})
}

// target is the configuration of the vault that is copied to. The environment's
// vault is the one that is in use, so it does not count there.
func (c vaultCopyCommand) target(cfg *config.Config, g *globals) (*config.Config, error) {
	o := config.Options{File: c.To, Data: cfg.Data, Environ: func() []string {
		return slices.DeleteFunc(slices.Clone(g.environ()), func(v string) bool { return strings.HasPrefix(v, "CALLVAULT_VAULT_") })
	}}
	target, err := config.Load(o)
	if _, ok := errors.AsType[config.Faults](err); ok {
		return nil, fmt.Errorf("%s cannot be used:\n%w", c.To, err)
	}
	return target, err
}

// vaultPlace says where a vault is, and nothing of how one gets in.
func vaultPlace(c *config.Config) (string, error) {
	if c.Vault.S3 != nil {
		return vaultKind(c) + " at " + c.Vault.S3.Endpoint, nil
	}
	folder, err := filepath.Abs(c.Vault.Folder(c.Data))
	return "directory " + folder, err
}

func (r *vaultCopied) run(ctx context.Context, g *globals, s *store.Store, o archive.CopyOptions) error {
	stats, err := s.QueueStats(ctx)
	if err != nil {
		return err
	}
	shown := newProgress(g.stderr, "objects copied or found there")
	o.Found = func(f call.Fault, notice bool) error {
		list := &r.Faults
		if notice {
			list = &r.Notices
		} else {
			r.found++
		}
		if len(*list) < mostFaults {
			*list = append(*list, f)
		} else {
			r.More++
		}
		return nil
	}
	o.Progress = func(n archive.Copied) {
		done, total := int(n.Copied+n.Present), int(stats.Archived)
		if done >= total {
			total = 0 // reports, journal and seals come on top
		}
		shown.show(done, total)
	}
	copier, err := archive.NewCopier(o)
	if err != nil {
		return err
	}
	if err := copier.Check(ctx); err != nil {
		return err
	}
	facts := audit.VaultCopyFacts{From: r.From, To: r.To}
	if err := noteAct(ctx, s, audit.VaultCopyBegun, "vault", facts); err != nil {
		return err
	}
	began := time.Now()
	r.Copied, err = copier.Run(ctx)
	r.Seconds = time.Since(began).Seconds()
	shown.end(int(r.Copied.Copied+r.Present), 0)
	facts.Copied, facts.Bytes, facts.Present, facts.Protected, facts.Faults = r.Copied.Copied, r.Bytes, r.Present, r.Protected, r.found
	if err != nil {
		facts.Error = "it came to no end"
		if ctx.Err() != nil {
			facts.Error = "interrupted"
		}
	}
	noteErr := noteAct(ctx, s, audit.VaultCopied, "vault", facts)
	printErr := g.print(r, func(w io.Writer) { r.write(w, err == nil) })
	switch {
	case err != nil && ctx.Err() == nil:
		err = fmt.Errorf("copy the vault: %w; what was copied stays, and the same command goes on", err)
	case err == nil && r.found > 0:
		err = fmt.Errorf("%d objects are not in the other vault as they were kept; docs/operations.md says what to do", r.found)
	}
	return errors.Join(err, noteErr, printErr)
}

// write shows the result to people.
func (r *vaultCopied) write(w io.Writer, whole bool) {
	for _, f := range r.Faults {
		fmt.Fprintf(w, "%s  %s: %s\n", f.Kind, f.Where, f.What)
	}
	for _, f := range r.Notices {
		fmt.Fprintf(w, "notice: %s  %s: %s\n", f.Kind, f.Where, f.What)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	fmt.Fprintf(w, "From %s to %s: %s objects copied (%s), %s were there already.\n", r.From, r.To,
		humanize.Comma(r.Copied.Copied), humanSize(r.Bytes), humanize.Comma(r.Present))
	if r.Protected > 0 {
		fmt.Fprintf(w, "%s of those got a longer lock, or another hold.\n", humanize.Comma(r.Protected))
	}
	if !whole {
		fmt.Fprintln(w, "This is not all: run the same command again, and it goes on.")
	}
}
