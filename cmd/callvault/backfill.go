package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/console"
	"callvault/internal/store"
	"callvault/webhook"

	"github.com/prometheus/client_golang/prometheus"
)

type backfillCommand struct {
	Account string `help:"Only this account (default: all whose provider can be asked)."`
	From    string `help:"The first day, 2026-11-20, or a time, 2026-11-20T09:00:00Z; whole days are read (default: the account's window ago)." placeholder:"DATE"`
	To      string `help:"The last day, or a time (default: now)." placeholder:"DATE"`
	DryRun  bool   `help:"Only say what would be taken in."`
}

// backfilled is what the command gives.
type backfilled struct {
	DryRun   bool            `json:"dry_run"`
	Accounts []call.Backfill `json:"accounts"`
}

// Run reads call lists by hand.
func (c backfillCommand) Run(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	accounts, err := c.accounts(cfg)
	if err != nil {
		return err
	}
	done := backfilled{DryRun: c.DryRun, Accounts: []call.Backfill{}}
	var failed []error
	err = withStore(ctx, cfg, func(s *store.Store) error {
		b, err := newBackfiller(cfg, s, slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			return err
		}
		for _, a := range accounts {
			q := webhook.BackfillRequest{Account: a.Name, DryRun: c.DryRun}
			if q.From, q.To, err = c.period(a, time.Now()); err != nil {
				return err
			}
			shown := newProgress(g.stderr, "rows of "+a.Name+" read")
			q.Progress = func(rows int) { shown.show(rows, 0) }
			result, err := b.Backfill(ctx, q)
			if err != nil {
				return err
			}
			shown.end(result.Listed, result.Listed)
			done.Accounts = append(done.Accounts, result)
			if !c.DryRun {
				if err := noteAct(ctx, s, audit.BackfillEnded, "account/"+a.Name, result); err != nil {
					return err
				}
			}
			if result.Error != "" {
				failed = append(failed, fmt.Errorf("the list of account %s could not be read to its end: %s", a.Name, result.Error))
			}
		}
		return nil
	})
	if len(done.Accounts) > 0 || err == nil {
		err = errors.Join(err, g.print(done, done.say))
	}
	return errors.Join(append([]error{err}, failed...)...)
}

func (b backfilled) say(w io.Writer) {
	taken := "taken in"
	if b.DryRun {
		taken = "would be taken in"
	}
	for _, a := range b.Accounts {
		fmt.Fprintf(w, "%s, %s to %s: %d rows listed; %s: %d new, %d filled; %d known, %d unreadable.\n", a.Account,
			a.From.Format(time.DateOnly), a.To.In(a.From.Location()).Format(time.DateTime), a.Listed, taken, a.New, a.Filled, a.Known, a.Unreadable)
	}
}

// accounts are those to ask.
func (c backfillCommand) accounts(cfg *config.Config) ([]config.Account, error) {
	const needs = "authcode for CallerDesk, app_id and secret for TeleCMI"
	if c.Account != "" {
		a, ok := cfg.Account(c.Account)
		switch {
		case !ok:
			return nil, fmt.Errorf("there is no account named %q in the configuration", c.Account)
		case !a.CanBackfill():
			return nil, fmt.Errorf("account %s has no credentials of its provider's API: %s", c.Account, needs)
		}
		return []config.Account{a}, nil
	}
	var all []config.Account
	for _, a := range cfg.Accounts {
		if a.CanBackfill() {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no account has credentials of its provider's API: " + needs)
	}
	return all, nil
}

// period is the time to ask for; a date is a day of the account.
func (c backfillCommand) period(a config.Account, now time.Time) (from, to time.Time, err error) {
	from, to = now.Add(-a.Backfill.Window), now
	parse := func(flag, text string, days int, into *time.Time) error {
		at, day, err := parseMoment(flag, text, a.TimeZone.Location)
		switch {
		case err != nil || text == "":
			return err
		case day:
			at = at.AddDate(0, 0, days)
		}
		*into = at
		return nil
	}
	if err := parse("--to", c.To, 1, &to); err != nil {
		return from, to, err
	}
	if c.From == "" {
		from = to.Add(-a.Backfill.Window)
	}
	if err := parse("--from", c.From, 0, &from); err != nil {
		return from, to, err
	}
	if to.After(now) {
		to = now
	}
	if !from.Before(to) {
		return from, to, usagef("--from must be before --to, and not in the future")
	}
	return from, to, nil
}

func newBackfiller(c *config.Config, s webhook.ListStore, logger *slog.Logger) (*webhook.Backfiller, error) {
	// A row is read again and again: its words are no news for the drift watch.
	decoder, err := webhook.NewDecoder(webhookAccounts(c), webhook.Hooks{})
	if err != nil {
		return nil, err
	}
	var accounts []webhook.ListAccount
	for _, a := range c.Accounts {
		if a.CanBackfill() {
			accounts = append(accounts, webhook.ListAccount{
				Name: a.Name, APIURL: a.APIURL, AllowPrivateNetworks: a.AllowPrivateNetworks,
				AuthCode: a.AuthCode.Reveal(), AppID: a.AppID, Secret: a.Secret.Reveal(),
			})
		}
	}
	return webhook.NewBackfiller(webhook.BackfillOptions{Decoder: decoder, Accounts: accounts, Store: s, Now: time.Now, Logger: logger})
}

// backfillPlans are when the accounts' lists are read.
func backfillPlans(c *config.Config) []webhook.BackfillPlan {
	var plans []webhook.BackfillPlan
	for _, a := range c.Accounts {
		if a.CanBackfill() && a.Backfill.Every > 0 {
			plans = append(plans, webhook.BackfillPlan{Account: a.Name, Every: a.Backfill.Every, Window: a.Backfill.Window})
		}
	}
	return plans
}

// consoleAccounts are the accounts as the API compares them with their lists.
func consoleAccounts(c *config.Config) []console.Account {
	accounts := make([]console.Account, len(c.Accounts))
	for i, a := range c.Accounts {
		accounts[i] = console.Account{Name: a.Name, Zone: a.TimeZone.Location, CanBackfill: a.CanBackfill(),
			BackfillEvery: a.Backfill.Every, BackfillWindow: a.Backfill.Window}
	}
	return accounts
}

// listStore is the store as backfill sees it: what is recorded wakes the
// archive.
type listStore struct {
	*store.Store
	gate *gate
}

// Record implements webhook.Store.
func (s listStore) Record(ctx context.Context, batch []*call.Delivery) error {
	return s.gate.Record(ctx, batch)
}

// countBackfills counts what backfills come to.
func countBackfills(r prometheus.Registerer) func(call.Backfill) {
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callvault_backfills_total",
		Help: "Readings of providers' call lists by account and result: complete or failed.",
	}, []string{"account", "result"})
	rows := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callvault_backfill_rows_total",
		Help: "Rows of providers' call lists by account and what they told: new, filled, known or unreadable.",
	}, []string{"account", "told"})
	r.MustRegister(runs, rows)
	return func(b call.Backfill) {
		result := "complete"
		if b.Error != "" {
			result = "failed"
		}
		runs.WithLabelValues(b.Account, result).Inc()
		for told, n := range map[string]int{"new": b.New, "filled": b.Filled, "known": b.Known, "unreadable": b.Unreadable} {
			rows.WithLabelValues(b.Account, told).Add(float64(n))
		}
	}
}
