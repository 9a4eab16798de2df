package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/console"
	"callvault/internal/store"

	"github.com/dustin/go-humanize"
)

type holdCommand struct {
	Place   holdPlace   `cmd:"" help:"Keep calls from being deleted, whatever the retention says."`
	List    holdList    `cmd:"" help:"List the legal holds and what they keep."`
	Release holdRelease `cmd:"" help:"End a legal hold, or ask for it where two people are needed."`
}

type holdPlace struct {
	Name    string   `arg:"" help:"The name of the case; it is unique for good."`
	Reason  string   `required:"" help:"Why the calls are kept; it is written into the audit log."`
	Call    []string `sep:"none" help:"The id of a call; may be given several times." placeholder:"ID"`
	OnlyNow bool     `help:"Only calls that are there now, not those that come later and match."`
	Until   string   `help:"Only calls that come before then: a day (YYYY-MM-DD, in UTC; it is part of it) or a moment (RFC 3339). The hold itself has no end." placeholder:"TIME"`
	filterFlags
	actorFlags
}

// Help is the end of the command's help.
func (holdPlace) Help() string {
	return `The hold is in force when the command ends, also on calls that arrive later and match the filters, unless --only-now or --until says otherwise. A hold beats retention and erasure. In a bucket with Object Lock the recordings get the store's own legal hold, too.

  callvault hold place "Rao v. Example" --reason "letter of 2026-11-20" --number 9812345678
  callvault hold place audit-2026 --reason "SEBI inspection" --group Sales --from 2026-01-01 --to 2026-06-30 --only-now`
}

// hold is what the flags ask for.
func (c holdPlace) hold(now time.Time) (call.Hold, error) {
	h := call.Hold{Name: c.Name, Reason: c.Reason, CallIDs: c.Call}
	if err := h.Check(); err != nil {
		return h, usageError{err}
	}
	switch {
	case len(c.Call) > 0 && (!c.isZero() || c.OnlyNow || c.Until != ""):
		return h, usagef("give either --call or filters")
	case len(c.Call) > 0:
		return h, nil
	case c.isZero():
		return h, usagef("say which calls: by --call ID, or by filters such as --number or --from")
	case c.OnlyNow && c.Until != "":
		return h, usagef("give either --only-now or --until")
	}
	f, err := c.filter()
	if err != nil {
		return h, err
	}
	h.Filter = &f
	if c.OnlyNow {
		h.Until = now
	}
	if c.Until != "" {
		var day bool
		if h.Until, day, err = parseMoment("--until", c.Until, time.UTC); err != nil {
			return h, err
		}
		if day {
			h.Until = h.Until.AddDate(0, 0, 1)
		}
	}
	return h, nil
}

// Run places a hold.
func (c holdPlace) Run(ctx context.Context, g *globals) error {
	h, err := c.hold(time.Now())
	if err != nil {
		return err
	}
	return g.withVault(ctx, func(cfg *config.Config, s *store.Store, v archive.Vault) error {
		ctx, err := c.by(ctx, g, s, false)
		if err != nil {
			return err
		}
		p := newPeople(cfg, s)
		if err := p.load(ctx); err != nil {
			return err
		}
		h.TwoPerson = cfg.Holds.TwoPerson
		if h, err = p.PlaceHold(ctx, h); err != nil {
			return err
		}
		// It is in force already; what is interrupted here the server does.
		shown := newProgress(g.stderr, "calls that match")
		looked := 0
		if _, err = s.FillHold(ctx, h, func(n int) { looked = n; shown.show(n, 0) }); err != nil {
			return err
		}
		shown.end(looked, looked)
		return printHold(ctx, g, s, v, h.Name, "placed")
	})
}

// printHold shows how a hold stands after something was done to it.
func printHold(ctx context.Context, g *globals, s *store.Store, v archive.Vault, name, done string) error {
	h, err := s.Hold(ctx, name)
	if err != nil {
		return err
	}
	n, err := s.HoldStats(ctx, h)
	if err != nil {
		return err
	}
	return g.print(console.HoldOf(h, n, v.Locks() != archive.Unlocked), func(w io.Writer) {
		fmt.Fprintf(w, "Hold %s is %s: %s, %s with %s.\n", h.Name, done, counted(n.Calls, "call"), counted(n.Recordings, "recording"), humanize.IBytes(uint64(n.Bytes)))
		if n.Calls == 0 && h.InForce() {
			fmt.Fprintln(w, "It keeps nothing yet, for no call matches: look at the filters.")
		}
		if n.NotPushed > 0 && v.Locks() != archive.Unlocked {
			fmt.Fprintf(w, "%s in the bucket do not have the store's legal hold yet; a running server sets them within seconds.\n", counted(n.NotPushed, "object"))
		}
	})
}

type holdList struct {
	Name string `arg:"" optional:"" help:"Only this one, with all that is known of it."`
}

// Run lists the holds.
func (c holdList) Run(ctx context.Context, g *globals) error {
	return g.withVault(ctx, func(_ *config.Config, s *store.Store, v archive.Vault) error {
		subject := ""
		holds, err := s.Holds(ctx)
		if c.Name != "" {
			holds = make([]call.Hold, 1)
			holds[0], err = s.Hold(ctx, c.Name)
			subject = "hold/" + holds[0].ID
		}
		if err == nil {
			err = noteAct(ctx, s, audit.HoldsViewed, subject, struct{}{})
		}
		if err != nil {
			return err
		}
		rows := make([]console.HoldJSON, len(holds))
		stats := make([]call.HoldStats, len(holds))
		for i, h := range holds {
			if stats[i], err = s.HoldStats(ctx, h); err != nil {
				return err
			}
			rows[i] = console.HoldOf(h, stats[i], v.Locks() != archive.Unlocked)
		}
		return g.print(map[string]any{"holds": rows}, func(w io.Writer) {
			if len(holds) == 0 {
				fmt.Fprintln(w, "There are no holds.")
				return
			}
			t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
			fmt.Fprintln(t, "NAME\tSTATE\tCALLS\tRECORDINGS\tSIZE\tNOT LOCKED YET\tPLACED\tREASON")
			for i, h := range holds {
				unlocked := "-"
				if v.Locks() != archive.Unlocked {
					unlocked = humanize.Comma(stats[i].NotPushed)
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s by %s\t%s\n", h.Name, holdState(h), humanize.Comma(stats[i].Calls), humanize.Comma(stats[i].Recordings),
					humanize.IBytes(uint64(stats[i].Bytes)), unlocked, h.PlacedAt.Format(time.DateOnly), h.PlacedBy, h.Reason)
			}
			if err := t.Flush(); err != nil {
				fmt.Fprintln(g.stderr, "callvault:", err)
			}
		})
	})
}

func holdState(h call.Hold) string {
	switch {
	case !h.InForce():
		return "released " + h.Released.At.Format(time.DateOnly) + " by " + h.Released.By
	case h.Asked != nil:
		return h.Asked.By + " asks for release"
	case h.Filter != nil && h.FilledAt.IsZero():
		return "in force, being filled"
	}
	return "in force"
}

type holdRelease struct {
	Name   string `arg:"" help:"The hold."`
	Reason string `required:"" help:"Why it ends; it is written into the audit log."`
	// Withdraw takes back what the first of two people has asked for.
	Withdraw bool `help:"Take back the request for its release that waits for a second person: whoever asked for it, the hold goes on as if nobody had."`
	actorFlags
}

// Run releases a hold.
func (c holdRelease) Run(ctx context.Context, g *globals) error {
	if err := call.CheckReason(c.Reason); err != nil {
		return usageError{err}
	}
	return g.withVault(ctx, func(cfg *config.Config, s *store.Store, v archive.Vault) error {
		h, err := s.Hold(ctx, c.Name)
		if err != nil {
			return err
		}
		ctx, err := c.by(ctx, g, s, cfg.Holds.TwoPerson || h.TwoPerson)
		if err != nil {
			return err
		}
		done := "released"
		if c.Withdraw {
			h, err = s.WithdrawRelease(ctx, c.Name, c.Reason)
			done = "in force as before; the request for its release was withdrawn"
		} else {
			h, err = s.ReleaseHold(ctx, c.Name, c.Reason, cfg.Holds.TwoPerson)
		}
		if err != nil {
			return g.refused(ctx, s, err)
		}
		if h.InForce() && !c.Withdraw {
			done = "still in force until another person releases it, too"
		}
		return printHold(ctx, g, s, v, c.Name, done)
	})
}

// withVault opens the database and the vault for a command.
func (g *globals) withVault(ctx context.Context, f func(*config.Config, *store.Store, archive.Vault) error) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	v, err := openVault(cfg)
	if err != nil {
		return err
	}
	err = withStore(ctx, cfg, func(s *store.Store) error { return f(cfg, s, v) })
	if closer, ok := v.(io.Closer); ok {
		if closing := closer.Close(); err == nil {
			err = closing
		}
	}
	return err
}
