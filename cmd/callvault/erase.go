package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/console"
	"callvault/internal/store"
	"callvault/webhook"
)

type eraseCommand struct {
	Number string `arg:"" optional:"" help:"A customer's number, best with + and the country code."`
	Reason string `help:"Why, for instance the request's date; it is written into the audit log and the certificate, so it must not name the number."`
	List   bool   `help:"Only say how all erasures stand, also those whose certificates did not know of something that was found later."`
	DryRun bool   `help:"Only say what would be erased and what a hold keeps."`
	actorFlags
}

// Help is the end of the command's help.
func (eraseCommand) Help() string {
	return `Erases what is kept under the number: recordings, the number itself in calls and all that belongs to them, the requests that told of it, report files. What a legal hold or the bucket's lock keeps is listed, and goes by itself later, while a server runs. A certificate is put into the vault. Nothing brings back what was erased, neither a replay nor a provider's call list; new calls are kept as any.

  callvault erase +919812345678 --reason "request of 2026-11-20" --dry-run
  callvault erase +919812345678 --reason "request of 2026-11-20"
  callvault erase --list`
}

// eraseDryRun is what --dry-run gives.
type eraseDryRun struct {
	DryRun     bool  `json:"dry_run"`
	Calls      int   `json:"calls"`
	Held       int   `json:"held"`
	Recordings int64 `json:"recordings"`
	Bytes      int64 `json:"bytes"`
}

// Run erases a number.
func (c eraseCommand) Run(ctx context.Context, g *globals) error {
	switch {
	case c.List && (c.Number != "" || c.Reason != "" || c.DryRun):
		return usagef("--list goes without a number, --reason and --dry-run")
	case c.List:
		return c.list(ctx, g)
	case c.Number == "":
		return usagef("give a number, or --list")
	case c.Reason == "":
		return usagef("give --reason")
	}
	if err := call.CheckReason(c.Reason); err != nil {
		return usageError{err}
	}
	return g.withVault(ctx, func(cfg *config.Config, s *store.Store, v archive.Vault) error {
		number, err := typedNumber(cfg, c.Number)
		if err != nil {
			return err
		}
		if call.NewRedactor(number, nil).IsNamed(c.Reason) {
			return usagef("--reason must not name the number: it is kept")
		}
		ctx, err := c.by(ctx, g, s, false)
		if err != nil {
			return err
		}
		if c.DryRun {
			return c.dryRun(ctx, g, s, number)
		}
		e, err := s.BeginErasure(ctx, number, c.Reason)
		if err != nil {
			return err
		}
		logger := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		sealer, err := newSealer(ctx, cfg, s, v, logger)
		if err != nil {
			return err
		}
		journal, err := archive.NewJournal(archive.JournalOptions{
			Store: s, Vault: v, Until: promiser(objectTerms(cfg, v.Locks() != archive.Unlocked), call.SegmentObjects), Now: time.Now, Logger: logger,
		})
		if err != nil {
			return err
		}
		// Flush lets a server go on; while one runs, it writes the journal.
		if _, err := newEraser(cfg, s, v, sealer, journal.Flush, logger).Continue(ctx, e.ID); err != nil {
			return fmt.Errorf("%w; a running server goes on with it", err)
		}
		shown, err := console.ErasureOf(ctx, s, e.ID)
		if err != nil {
			return err
		}
		return g.print(shown, func(w io.Writer) { writeErasure(w, shown) })
	})
}

func writeErasure(w io.Writer, e console.ErasureJSON) {
	fmt.Fprintf(w, "Erasure %s: %s, %s and %s erased.\n", e.ID, counted(e.Erased[call.ErasedCall], "call"),
		counted(e.Erased[call.ErasedAudio], "recording"), counted(e.Erased[call.ErasedDelivery], "request"))
	if n := e.Erased[call.ErasedReport]; n > 0 {
		fmt.Fprintf(w, "The files of %s were deleted.\n", counted(n, "report"))
	}
	for _, k := range e.Kept {
		until := "until that ends"
		if k.Until != nil {
			until = "it goes by itself after " + *k.Until
		}
		fmt.Fprintf(w, "Kept: %s %s, %s; %s.\n", k.Kind, k.Ref, k.Why, until)
	}
	for _, l := range e.FoundLater {
		fmt.Fprintf(w, "On %s more calls turned out to belong to it, of which %s did not know: %s.\n", *l.At, l.Certificate, strings.Join(l.Calls, ", "))
	}
	if e.Due > 0 {
		fmt.Fprintf(w, "%s to be looked at yet, which a running server does.\n", counted(e.Due, "item"))
	}
	if e.Certificate == nil && e.Due == 0 {
		fmt.Fprintln(w, "There is no certificate yet: reports are just being made, which a running server looks through when they are.")
	}
	if e.Certificate != nil {
		fmt.Fprintf(w, "The certificate lies in the vault as %s (and .json).\n", *e.Certificate)
	}
}

func (eraseCommand) list(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err == nil {
		err = hasStore(cfg)
	}
	if err != nil {
		return err
	}
	return withStore(ctx, cfg, func(s *store.Store) error {
		found, err := s.Erasures(ctx)
		if err != nil {
			return err
		}
		shown := make([]console.ErasureJSON, len(found))
		for i, e := range found {
			if shown[i], err = console.ErasureOf(ctx, s, e.ID); err != nil {
				return err
			}
		}
		return g.print(map[string]any{"erasures": shown}, func(w io.Writer) {
			if len(shown) == 0 {
				fmt.Fprintln(w, "There are no erasures.")
			}
			for _, e := range shown {
				fmt.Fprintf(w, "Asked for on %s by %s: %s.\n", *e.AskedAt, e.AskedBy, e.Reason)
				writeErasure(w, e)
			}
		})
	})
}

func (c eraseCommand) dryRun(ctx context.Context, g *globals, s *store.Store, number string) error {
	ids, err := s.ErasureScope(ctx, number)
	if err != nil {
		return err
	}
	held, err := s.HeldBy(ctx, ids)
	if err != nil {
		return err
	}
	found := eraseDryRun{DryRun: true, Calls: len(ids), Held: len(held)}
	for _, id := range ids {
		detail, err := s.Call(ctx, id)
		if err != nil {
			return err
		}
		for _, r := range detail.Recordings {
			if r.State == call.Archived {
				found.Recordings++
				found.Bytes += r.Size
			}
		}
	}
	// Without the number, which no entry of an erasure holds.
	e, err := audit.New(audit.ErasureRehearsed, "", found)
	if err != nil {
		return err
	}
	e.Actor, e.Reason = audit.ActorOf(ctx), c.Reason
	if err := s.Audit(ctx, e); err != nil {
		return err
	}
	return g.print(found, func(w io.Writer) {
		fmt.Fprintf(w, "%s with %s in the vault would be erased; a hold keeps %d of the calls. Nothing was changed.\n",
			counted(int64(found.Calls), "call"), counted(found.Recordings, "recording"), found.Held)
	})
}

// typedNumber reads a number as the configured accounts would.
func typedNumber(cfg *config.Config, typed string) (string, error) {
	number := ""
	for _, a := range cfg.Accounts {
		n := webhook.NormalizeNumber(typed, a.Region)
		if number != "" && n != number {
			return "", usagef("%s is another number in each account's region; give it with + and the country code", typed)
		}
		number = n
	}
	if number == "" {
		number = webhook.NormalizeNumber(typed, "")
	}
	if number == "" {
		return "", usagef("%q is not a number", typed)
	}
	return number, nil
}

// newEraser makes an Eraser. Its certificates have the audit log's signed head,
// where the log's key is.
func newEraser(c *config.Config, s *store.Store, v archive.Vault, sealer *archive.Sealer, writeJournal func(context.Context) error, logger *slog.Logger) *archive.Eraser {
	o := archive.EraserOptions{Store: s, Vault: v, Until: promiser(objectTerms(c, v.Locks() != archive.Unlocked), call.CertificateObjects), WriteJournal: writeJournal, Now: time.Now, Logger: logger}
	if sealer != nil {
		o.Head = func(ctx context.Context) (string, error) {
			seal, err := sealer.Seal(ctx)
			return seal.Note, err
		}
	}
	return archive.NewEraser(o)
}
