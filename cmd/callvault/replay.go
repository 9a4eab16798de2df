package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/webhook"
)

type replayCommand struct {
	Outcome string `help:"Only deliveries that ended so: recorded, duplicate, ignored or unreadable." enum:"recorded,duplicate,ignored,unreadable," default:"" placeholder:"OUTCOME"`
	Account string `help:"Only deliveries of this account; default: of all that are configured."`
	From    string `help:"Only deliveries received from then on: a day (YYYY-MM-DD, by the account's time zone) or a moment (RFC 3339)." placeholder:"TIME"`
	To      string `help:"Only deliveries received before then; a day is part of it." placeholder:"TIME"`
	DryRun  bool   `help:"Show which calls would change, and change nothing."`
}

// Help is the end of the command's help.
func (replayCommand) Help() string {
	return `Reads kept deliveries as if they came today: what an older version could not read, or read wrongly, is put right. No delivery is added, and what is right already stays as it is, so it may be interrupted and run again. It works beside a running server. The exit status is 1 if some of them still cannot be read.

  callvault replay --outcome unreadable --dry-run
  callvault replay --outcome unreadable`
}

// replayed is what came of a replay.
type replayed struct {
	imported
	// Failed could not be replayed, and are as they were.
	Failed int64 `json:"failed"`
	DryRun bool  `json:"dry_run"`
	changes
}

const (
	// replayBatch is how many deliveries share a transaction at most: few, for
	// each brings the others of its legs with it.
	replayBatch = 64
	// lotTime is what a lot may take, for a running server waits meanwhile;
	// those behind one that takes longer are smaller. Deliveries may hold
	// thousands of reports each.
	lotTime = 500 * time.Millisecond
)

// lotTries is how often a lot is tried while the database cannot be written: a
// busy server may hold SQLite for longer than a try waits for it.
const lotTries = 5

// Run replays deliveries.
func (c replayCommand) Run(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	filters, err := c.filters(cfg)
	if err != nil {
		return err
	}
	decoder, err := webhook.NewDecoder(webhookAccounts(cfg), webhook.Hooks{})
	if err != nil {
		return err
	}
	r := replayer{options: store.ReplayOptions{Decode: decoder.Decode, DryRun: c.DryRun}}
	r.result.DryRun, r.result.Calls = c.DryRun, []call.CallChange{}
	err = withStore(ctx, cfg, func(s *store.Store) error {
		r.store = s
		err := r.all(ctx, g, filters)
		if r.result.Deliveries == 0 {
			return err
		}
		return errors.Join(err, noteAct(ctx, s, audit.DeliveriesReplayed, "", struct {
			imported
			Outcome string `json:"outcome,omitempty"`
			Account string `json:"account,omitempty"`
			From    string `json:"from,omitempty"`
			To      string `json:"to,omitempty"`
			DryRun  bool   `json:"dry_run,omitempty"`
		}{r.result.imported, c.Outcome, c.Account, c.From, c.To, c.DryRun}))
	})
	if r.result.Deliveries > 0 || err == nil {
		err = errors.Join(err, g.print(&r.result, r.result.write))
	}
	if err == nil && r.result.Unreadable > 0 {
		return fmt.Errorf("%s cannot be read; kept, and listed by /api/v1/deliveries?outcome=unreadable", counted(r.result.Unreadable, "delivery"))
	}
	return err
}

// filters select the deliveries, account by account: those of accounts that are
// not configured any more could not be read, and are left as they are.
func (c replayCommand) filters(cfg *config.Config) ([]call.DeliveryFilter, error) {
	if _, ok := cfg.Account(c.Account); c.Account != "" && !ok {
		return nil, fmt.Errorf("there is no account named %q in the configuration", c.Account)
	}
	var filters []call.DeliveryFilter
	for _, a := range cfg.Accounts {
		if c.Account != "" && a.Name != c.Account {
			continue
		}
		f := call.DeliveryFilter{Account: a.Name, Outcome: call.DeliveryOutcome(c.Outcome), Limit: replayBatch}
		var err error
		if f.From, _, err = parseMoment("--from", c.From, a.TimeZone.Location); err != nil {
			return nil, err
		}
		var day bool
		if f.To, day, err = parseMoment("--to", c.To, a.TimeZone.Location); err != nil {
			return nil, err
		}
		if day {
			f.To = f.To.AddDate(0, 0, 1)
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// parseMoment reads a flag that is a day in a zone or a moment; empty is the
// zero time.
func parseMoment(flag, text string, zone *time.Location) (t time.Time, day bool, err error) {
	if text == "" {
		return time.Time{}, false, nil
	}
	if t, err = time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return t, true, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		return t, false, usagef("%s must be a day such as 2026-11-21 or a moment such as 2026-11-21T07:00:00Z", flag)
	}
	return t, false, nil
}

// replayer is one run of the command.
type replayer struct {
	store   *store.Store
	options store.ReplayOptions
	result  replayed
}

func (r *replayer) all(ctx context.Context, g *globals, filters []call.DeliveryFilter) error {
	var total int64
	for _, f := range filters {
		counts, err := r.store.DeliveryCounts(ctx, f)
		if err != nil {
			return err
		}
		for _, n := range counts {
			total += n
		}
	}
	shown := newProgress(g.stderr, "deliveries read again")
	defer func() { shown.end(int(r.result.Deliveries), int(total)) }()
	var failed error
	size := replayBatch
	for _, f := range filters {
		for more := true; more; more = f.Cursor != "" {
			// Newest first: what comes in meanwhile is not looked at.
			page, next, err := r.store.FindDeliveries(ctx, f)
			if err != nil {
				return errors.Join(failed, err)
			}
			f.Cursor = next
			ids := make([]int64, len(page))
			for i, d := range page {
				ids[i] = d.ID
			}
			for len(ids) > 0 {
				n := min(size, len(ids))
				began := time.Now()
				if err := r.lot(ctx, ids[:n], &failed); err != nil {
					return errors.Join(failed, err)
				}
				if ids = ids[n:]; time.Since(began) > lotTime {
					size = max(n/2, 1)
				} else {
					size = min(2*size, replayBatch)
				}
				shown.show(int(r.result.Deliveries), int(total))
			}
		}
	}
	return failed
}

// lot replays deliveries together or, if that fails, each by itself: failed
// gets the errors of those that cannot be. An error is the database's.
func (r *replayer) lot(ctx context.Context, ids []int64, failed *error) error {
	err := r.replay(ctx, ids)
	for n := 1; n < lotTries && ctx.Err() == nil && call.CodeOf(err) == call.Unavailable; n++ {
		err = r.replay(ctx, ids)
	}
	if err == nil || ctx.Err() != nil || call.CodeOf(err) == call.Unavailable {
		return err
	}
	if len(ids) == 1 {
		const listed = 10
		if r.result.Failed++; r.result.Failed <= listed {
			*failed = errors.Join(*failed, fmt.Errorf("delivery %d: %w", ids[0], err))
		}
		return nil
	}
	for i := range ids {
		if err := r.lot(ctx, ids[i:i+1], failed); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayer) replay(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	done, err := r.store.Replay(ctx, ids, r.options)
	if err != nil {
		return err
	}
	for outcome, n := range done.Outcomes {
		r.result.add(outcome, n)
	}
	r.result.note(done.Changed)
	return nil
}

// write shows the result to people.
func (r *replayed) write(w io.Writer) {
	r.changes.write(w)
	would := ""
	if r.DryRun {
		would = "would be "
	}
	fmt.Fprintf(w, "%s read again: %d recorded, %d duplicate, %d ignored, %d unreadable. %s %schanged.\n",
		counted(r.Deliveries, "delivery"), r.Recorded, r.Duplicate, r.Ignored, r.Unreadable, counted(r.Changed, "call"), would)
	if r.DryRun {
		fmt.Fprintln(w, "Nothing was changed.")
	}
}
