package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/console"
	"callvault/internal/store"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"
)

type retentionCommand struct {
	Plan     retentionPlanCommand     `cmd:"" help:"Say what would be deleted, by which rule, and what is kept all the same. Changes nothing."`
	Forecast retentionForecastCommand `cmd:"" help:"Say how the vault grows, and what retention will free and when."`
	Apply    retentionApplyCommand    `cmd:"" help:"Delete now what is due. Look at the plan first."`
}

type retentionPlanCommand struct {
	By   string `help:"What would be deleted until then: a day, 2026-11-20, which is part of it, or a time (default: now)." placeholder:"DATE"`
	List bool   `help:"List every recording, every report with files, and every segment of the journal."`
}

// Help is the end of the command's help.
func (retentionPlanCommand) Help() string {
	return `Months, like the day of --by, are of UTC. It reads the database only: a recording that somebody has locked in the bucket by other means shows as kept once retention has met it.

  callvault retention plan --by 2027-12-31
  callvault retention plan --by 2027-12-31 --list --json`
}

// planned is what the command gives.
type planned struct {
	console.RetentionPlan

	NextRun    *time.Time    `json:"next_run"`
	WaitsUntil *time.Time    `json:"waits_until"`
	List       []plannedItem `json:"list,omitempty"`
}

type plannedItem struct {
	// Recording and CallID are empty for the files of a run and for a segment of
	// the journal.
	Recording string       `json:"recording"`
	Run       string       `json:"run,omitempty"`
	Segment   int64        `json:"segment,omitempty"`
	CallID    string       `json:"call_id"`
	Account   string       `json:"account"`
	ObjectKey string       `json:"object_key"`
	Bytes     int64        `json:"bytes"`
	Rule      string       `json:"rule"`
	DueAt     *time.Time   `json:"due_at"`
	Kept      call.KeptWhy `json:"kept,omitempty"`
	KeptBy    string       `json:"kept_by,omitempty"`
	Until     *time.Time   `json:"until,omitempty"`
}

// Run plans.
func (c retentionPlanCommand) Run(ctx context.Context, g *globals) error {
	by, day, err := parseMoment("--by", c.By, time.UTC)
	if err != nil {
		return err
	}
	switch {
	case day:
		by = by.AddDate(0, 0, 1).Add(-time.Millisecond)
	case by.IsZero():
		by = time.Now()
	}
	return g.withRetainer(ctx, func(r *archive.Retainer) error {
		// A plan may be long: people get it a line at a time, JSON as a whole.
		var result planned
		var each func(call.PlanItem) error
		if c.List {
			result.List = []plannedItem{}
			each = func(p call.PlanItem) error {
				item := itemOf(p)
				if g.JSON {
					result.List = append(result.List, item)
					return nil
				}
				return item.write(g.stdout)
			}
		}
		plan, err := r.Plan(ctx, by, each)
		if err != nil {
			return err
		}
		standing, err := r.Standing(ctx)
		if err != nil {
			return err
		}
		result.RetentionPlan = console.PlanOf(plan)
		result.NextRun, result.WaitsUntil = timeOrNull(standing.Job.NextAt), timeOrNull(standing.WaitsUntil)
		return g.print(&result, result.write)
	})
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

func itemOf(p call.PlanItem) plannedItem {
	item := plannedItem{Recording: p.ID, CallID: p.CallID, Account: p.Account, ObjectKey: p.ObjectKey, Bytes: p.Size, Rule: p.Rule, DueAt: timeOrNull(p.DueAt), Segment: p.Segment}
	if p.Run != nil {
		item.Run = p.Run.ID
	}
	if p.Why != "" {
		item.Kept, item.KeptBy, item.Until = p.Why, p.By, timeOrNull(p.Until)
	}
	return item
}

func (i plannedItem) write(w io.Writer) error {
	what, whose := "goes", cmp.Or(i.Recording, "run "+i.Run)
	if i.Segment != 0 {
		what, whose = "loses its requests", fmt.Sprintf("segment %d", i.Segment)
	}
	if i.Kept != "" {
		what = "stays (" + string(i.Kept) + ": " + i.KeptBy + ")"
	}
	_, err := fmt.Fprintf(w, "%s  %s  %s, due %s by %q, %s\n", i.ObjectKey, humanSize(i.Bytes), what, dayOf(i.DueAt), i.Rule, whose)
	return err
}

func dayOf(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.DateOnly)
}

func humanSize(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// write shows the plan to people.
func (p *planned) write(w io.Writer) {
	if len(p.List) > 0 || p.List != nil {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Until %s %s recordings may be deleted, %s.\n", p.By.Format("2006-01-02 15:04 UTC"), humanize.Comma(p.Recordings), humanSize(p.Bytes))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(p.Due) > 0 {
		fmt.Fprintln(table, "\nMONTH\tACCOUNT\tRULE\tRECORDINGS\tSIZE")
	}
	for _, d := range p.Due {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", d.Month, d.Account, d.Rule, humanize.Comma(d.Recordings), humanSize(d.Bytes))
	}
	if len(p.Kept) > 0 {
		fmt.Fprintln(table, "\nKEPT ALL THE SAME\tACCOUNT\tBY\tFROM\tUNTIL\tRECORDINGS\tSIZE")
	}
	words := map[call.KeptWhy]string{call.KeptPromised: "a later date was promised", call.KeptLocked: "the vault refuses", call.KeptHeld: "a hold"}
	for _, k := range p.Kept {
		from, until := "not known", "not known"
		if k.From != nil && k.Until != nil {
			from, until = k.From.Format(time.DateOnly), k.Until.Format(time.DateOnly)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", words[k.Why], k.Account, k.By, from, until, humanize.Comma(k.Recordings), humanSize(k.Bytes))
	}
	stays := func(month *string, why *call.KeptWhy, until *time.Time) string {
		switch {
		case month != nil:
			return *month
		case until != nil:
			return "stay until " + until.Format(time.DateOnly) + ": " + words[*why]
		}
		return "stay: " + words[*why]
	}
	if len(p.Reports) > 0 {
		fmt.Fprintln(table, "\nREPORT FILES\tMONTH\tBY\tRUNS\tSIZE")
	}
	for _, r := range p.Reports {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", r.Report, stays(r.Month, r.Why, r.Until), r.By, humanize.Comma(r.Runs), humanSize(r.Bytes))
	}
	if len(p.Journal) > 0 {
		fmt.Fprintln(table, "\nREQUESTS IN THE JOURNAL\tBY\tSEGMENTS\tSIZE")
	}
	for _, j := range p.Journal {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", stays(j.Month, j.Why, j.Until), j.By, humanize.Comma(j.Segments), humanSize(j.Bytes))
	}
	if err := table.Flush(); err != nil {
		return // as with every line of this text: nobody reads on
	}
	fmt.Fprintln(w)
	if p.Unjudged > 0 {
		fmt.Fprintf(w, "%s recordings have not been judged by these rules yet; a running server does it within minutes.\n", humanize.Comma(p.Unjudged))
	}
	switch {
	case p.NextRun == nil:
		fmt.Fprintln(w, "Nothing is deleted by itself: callvault retention apply does it.")
	case p.WaitsUntil != nil:
		fmt.Fprintf(w, "The rules are new: by itself nothing is deleted before %s. callvault retention apply does it at once.\n", p.WaitsUntil.Format("2006-01-02 15:04 UTC"))
	default:
		fmt.Fprintf(w, "What is due is deleted next at %s.\n", p.NextRun.Format("2006-01-02 15:04 UTC"))
	}
}

type retentionApplyCommand struct{}

// Help is the end of the command's help.
func (retentionApplyCommand) Help() string {
	return `Deletes what the plan shows, all versions of it, and writes into the audit log why. It works beside a running server, may be interrupted, and goes on where it was when it is run again.`
}

// Run deletes what is due.
func (retentionApplyCommand) Run(ctx context.Context, g *globals) error {
	return g.withRetainer(ctx, func(r *archive.Retainer) error {
		began := time.Now()
		shown := newProgress(g.stderr, "recordings deleted")
		applied, err := r.Apply(ctx, func(done int64) { shown.show(int(done), 0) })
		if errors.Is(err, archive.ErrBusy) {
			return err
		}
		shown.end(int(applied.Deleted), 0)
		return errors.Join(err, g.print(struct {
			archive.Applied
			Seconds float64 `json:"seconds"`
		}{applied, time.Since(began).Seconds()}, func(w io.Writer) {
			fmt.Fprintf(w, "%s recordings deleted, %s; %s were due and are kept by the vault.\n",
				humanize.Comma(applied.Deleted), humanSize(applied.Bytes), humanize.Comma(applied.Blocked))
			if applied.Reports+applied.ReportsBlocked > 0 {
				fmt.Fprintf(w, "The files of %s were deleted, %s; those of %s were due and are kept by the vault or a hold.\n",
					counted(applied.Reports, "report"), humanSize(applied.ReportBytes), humanize.Comma(applied.ReportsBlocked))
			}
			if applied.Calls+applied.Deliveries > 0 {
				fmt.Fprintf(w, "The facts of %s calls and %s requests as they arrived were deleted.\n", humanize.Comma(applied.Calls), humanize.Comma(applied.Deliveries))
			}
			if applied.Segments+applied.SegmentsBlocked > 0 {
				fmt.Fprintf(w, "%s of the journal hold no requests any more whose term is over; %s were due and are kept by the vault.\n",
					counted(applied.Segments, "segment"), humanize.Comma(applied.SegmentsBlocked))
			}
			if applied.Lengthened > 0 {
				fmt.Fprintf(w, "The date of %s has become later.\n", humanize.Comma(applied.Lengthened))
			}
			if applied.Promised > 0 {
				fmt.Fprintf(w, "%s other objects of the vault are promised to stay longer: the journal, reports and seals.\n", humanize.Comma(applied.Promised))
			}
		}))
	})
}

// withRetainer opens the database and the vault beside a running server.
func (g *globals) withRetainer(ctx context.Context, f func(*archive.Retainer) error) (err error) {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	vault, err := openVault(cfg)
	if err != nil {
		return err
	}
	if closer, ok := vault.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	err = withStore(ctx, cfg, func(s *store.Store) error {
		p := newPeople(cfg, s)
		if err := p.load(ctx); err != nil {
			return err
		}
		logger := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		r, err := newRetainer(cfg, s, vault, retentionRules(cfg, vault.Locks() != archive.Unlocked, p.roster.Load), nil, logger)
		if err != nil {
			return err
		}
		return f(r)
	})
	return err
}

// retentionRules are the rules for audio, asking for people by whatever reports
// call them.
func retentionRules(c *config.Config, locks bool, roster func() *call.Roster) func() call.Retention {
	return func() call.Retention {
		rules := call.Retention{Zones: map[string]*time.Location{}, Locks: locks}
		rules.Terms = fmt.Sprintf("calls: %s, deliveries: %s, reports: %s", c.Retention.Calls, c.Retention.Deliveries, c.Retention.Reports)
		if !c.Retention.Journal.IsForever() { // else nothing has changed for those who never gave one
			rules.Terms += ", journal: " + c.Retention.Journal.String()
		}
		for _, a := range c.Accounts {
			rules.Zones[a.Name] = a.TimeZone.Location
		}
		for _, r := range c.Retention.Recordings {
			rules.Rules = append(rules.Rules, call.RetentionRule{
				Name: r.String(), Match: roster().Expand(filterOf(r.Match)), End: r.Keep.After,
			})
		}
		return rules
	}
}

// filterOf is a match of the configuration as the database is asked for it.
func filterOf(m config.Match) call.Filter {
	return call.Filter{
		Account: m.Account, Direction: call.Direction(m.Direction), Group: m.Group,
		Agent: m.Agent, Number: m.Number, Campaign: m.Campaign,
	}
}

func newRetainer(c *config.Config, s *store.Store, v archive.Vault, rules func() call.Retention, registry prometheus.Registerer, logger *slog.Logger) (*archive.Retainer, error) {
	o := archive.RetainerOptions{
		Store: s, Vault: v, Rules: rules, Wait: c.Retention.WaitAfterChange, PerSecond: float64(c.Retention.PerSecond),
		Terms: objectTerms(c, v.Locks() != archive.Unlocked), Calls: c.Retention.Calls.After, Deliveries: c.Retention.Deliveries.After,
		Journal: c.Retention.Journal.After, Now: time.Now, Logger: logger, Metrics: registry,
	}
	if c.Retention.Schedule != "" {
		schedule, err := cron.ParseStandard(c.Retention.Schedule)
		if err != nil {
			return nil, fmt.Errorf("retention.schedule: %w", err)
		}
		zone := c.Retention.TimeZone.Location
		o.Next = func(t time.Time) time.Time { return schedule.Next(t.In(zone)) }
	}
	return archive.NewRetainer(o)
}
