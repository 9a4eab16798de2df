package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/reports"
)

type reportCommand struct {
	Name   string `arg:"" help:"The report, as it is called in the configuration; or a part of it."`
	Table  string `arg:"" optional:"" help:"With --stdout: the table, one of those below."`
	Date   string `help:"A day of the period (YYYY-MM-DD); default: the last period that is over." placeholder:"DATE"`
	Out    string `help:"The folder to write the files to; default: the one you are in, with --send none." placeholder:"DIR"`
	Send   bool   `help:"Mail it to its recipients; who has it already does not get it again."`
	Revise bool   `help:"Make a new revision of the period's report now, if calls that were reported late have changed it."`
	Now    bool   `name:"current-config" help:"With --revise: by the agents, groups, match, thresholds and permitted hours that are configured now. Without it a revision keeps to those that the report was made with."`
	Check  string `help:"Build nothing; say whether this workbook or CSV file is what the kept input of the period gives." placeholder:"FILE"`
	Stdout string `help:"Write a table of what is known now to standard output, as csv, json (an object a line) or parquet, and nothing else." placeholder:"FORM"`
}

// Help is the end of the command's help.
func (reportCommand) Help() string {
	var b strings.Builder
	b.WriteString(`Examples:

  callvault report daily --date 2026-11-21 --out .
  callvault report daily --date 2026-11-21 --revise [--current-config]
  callvault report daily --date 2026-11-21 --check FILE
  callvault report daily --date 2026-11-21 --stdout csv calls | wc -l
  callvault report daily --date 2026-11-21 --stdout json groups | jq .answer_rate

What recipients with a match see is a part of the report, called after it and what
they see, such as daily.sales-3f2a9c1e. An unknown name is answered with all names.

Tables:
`)
	for _, t := range reports.Tables() {
		fmt.Fprintf(&b, "  %-16s  %s\n", t, t.Doc())
	}
	return b.String()
}

// usage says what does not go together.
func (c reportCommand) usage(g *globals) error {
	switch {
	case c.Check != "" && (c.Send || c.Date == "" || c.Stdout != "" || c.Revise):
		return usagef("--check FILE goes with --date, a day of the period that the file is of, and neither with --send nor with --stdout or --revise")
	case c.Revise && c.Date == "":
		return usagef("--revise goes with --date, a day of the period whose report is to be revised")
	case c.Now && !c.Revise:
		return usagef("--current-config goes with --revise: whatever else is made is by what is configured now")
	case c.Stdout == "" && c.Table != "":
		return usagef("a table (%s) goes with --stdout csv, json or parquet", c.Table)
	case c.Stdout == "":
		return nil
	case !slices.Contains(reports.TableForms(), reports.TableForm(c.Stdout)):
		return usagef("--stdout must be csv, json or parquet")
	case !slices.Contains(reports.Tables(), reports.Table(c.Table)):
		var names []string
		for _, t := range reports.Tables() {
			names = append(names, string(t))
		}
		if c.Table == "" {
			return usagef("--stdout needs a table: %s", strings.Join(names, ", "))
		}
		return usagef("there is no table %q, only: %s", c.Table, strings.Join(names, ", "))
	case c.Send || c.Revise || g.JSON:
		return usagef("--stdout goes neither with --send nor with --revise or --json")
	}
	return nil
}

// Run builds a report, checks a file of one, or writes a table.
func (c reportCommand) Run(ctx context.Context, g *globals) error {
	if err := c.usage(g); err != nil {
		return err
	}
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	if c.Check != "" {
		return c.check(ctx, g, cfg)
	}
	date, err := c.date(cfg, time.Now())
	if err != nil {
		return err
	}
	vault, err := openVault(cfg)
	if err != nil {
		return err
	}
	if closer, ok := vault.(io.Closer); ok {
		defer func() { _ = closer.Close() }() // nothing is written by closing
	}
	logger := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return withStore(ctx, cfg, func(s *store.Store) error {
		named := newPeople(cfg, s)
		if err := named.load(ctx); err != nil {
			return err
		}
		var sealer *archive.Sealer
		if c.Stdout == "" { // a table says nothing of the log
			if sealer, err = newSealer(ctx, cfg, s, vault, logger); err != nil {
				return err
			}
		}
		reporter, err := newReporter(cfg, named, vault, sealer, logger)
		if err != nil {
			return err
		}
		if c.Stdout != "" {
			return c.pipe(ctx, g, s, reporter, date)
		}
		return c.build(ctx, g, s, reporter, date)
	})
}

// build builds the report of the period that holds a date.
func (c reportCommand) build(ctx context.Context, g *globals, s *store.Store, reporter *reports.Reporter, date time.Time) error {
	folder := c.Out
	if folder == "" && !c.Send {
		folder = "."
	}
	if folder != "" {
		if err := noteAct(ctx, s, audit.ReportDownloaded, "report/"+c.Name, map[string]string{"date": date.Format(time.DateOnly), "folder": folder}); err != nil {
			return err
		}
	}
	built, err := reporter.Build(ctx, c.Name, date, reports.BuildOptions{Out: folder, Send: c.Send, Revise: c.Revise, RulesOfNow: c.Now})
	if err != nil {
		return err
	}
	return g.printReport(c, built)
}

// date is a day of the period that the report is to be of.
func (c reportCommand) date(cfg *config.Config, now time.Time) (time.Time, error) {
	r, err := c.report(cfg)
	if err != nil {
		return time.Time{}, err
	}
	now = now.In(r.Zone)
	if c.Date == "" {
		return r.PeriodOf(now).Before().From, nil
	}
	date, err := time.Parse(time.DateOnly, c.Date)
	if err != nil {
		return time.Time{}, errDate
	}
	if p := r.PeriodOf(date); now.Before(p.From) {
		return time.Time{}, usagef("--date %s: %s has not begun; in %s, the report's time zone, today is %s",
			c.Date, p.Title(), r.Zone, now.Format(time.DateOnly))
	}
	return date, nil
}

// report is the one of this name, or that of which the name is a part. Both are
// of the same periods.
func (c reportCommand) report(cfg *config.Config) (reports.Report, error) {
	var names strings.Builder
	for _, r := range reportsOf(cfg) {
		if r.Name == c.Name {
			return r, nil
		}
		fmt.Fprintf(&names, "\n  %s", r.Name)
		for _, p := range r.Parts {
			name := reports.PartName(r.Name, p.Match)
			if name == c.Name {
				return r, nil
			}
			fmt.Fprintf(&names, "\n  %s (%s, for %s)", name, p, strings.Join(p.Recipients, ", "))
		}
	}
	if names.Len() == 0 {
		return reports.Report{}, fmt.Errorf("there is no report named %q, and none at all %s", c.Name, readFrom(cfg))
	}
	return reports.Report{}, fmt.Errorf("there is no report named %q %s, only:%s", c.Name, readFrom(cfg), names.String())
}

// pipe writes a table to standard output. Who reads it may stop before its end,
// as head does.
func (c reportCommand) pipe(ctx context.Context, g *globals, s *store.Store, reporter *reports.Reporter, date time.Time) error {
	if err := noteAct(ctx, s, audit.ReportDownloaded, "report/"+c.Name, map[string]string{"date": date.Format(time.DateOnly), "table": c.Table}); err != nil {
		return err
	}
	// Else it would end this process at once, and leave the spool as it is.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	out := &output{Writer: g.stdout}
	err := reporter.WriteTable(ctx, c.Name, date, reports.Table(c.Table), reports.TableForm(c.Stdout), out)
	switch {
	case errors.Is(out.err, syscall.EPIPE), errors.Is(out.err, io.ErrClosedPipe):
		return nil
	case out.err != nil:
		return fmt.Errorf("standard output cannot be written (%w): what came out is not the whole table; make room or write elsewhere, and ask again", cause(out.err))
	}
	return err
}

// output remembers why it could not be written: whoever writes says it more than
// once.
type output struct {
	io.Writer
	err error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// cause is an error without the file that it was met at.
func cause(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

func (g *globals) printReport(c reportCommand, built reports.Result) error {
	result := struct {
		Report       string   `json:"report"`
		Date         string   `json:"date"`
		Revision     int      `json:"revision"`
		Files        []string `json:"files"`
		Revised      bool     `json:"revised"`
		Reconfigured bool     `json:"reconfigured"`
		Mails        []mailed `json:"mails"`
	}{c.Name, built.Period.Label(), built.Run.Revision, notNil(built.Files), built.Revised, built.Reconfigured, []mailed{}}
	var failed error
	for _, m := range built.Mails {
		result.Mails = append(result.Mails, mailed{m.Recipient, m.State, m.Detail})
		switch m.State {
		case call.MailRefused, call.MailFailed, call.MailUncertain:
			failed = errors.Join(failed, fmt.Errorf("mail to %s is %s: %s", m.Recipient, m.State, m.Detail))
		case call.MailRetry:
			failed = errors.Join(failed, fmt.Errorf("mail to %s is not sent: %s; where callvault serve runs it is tried again for a day", m.Recipient, m.Detail))
		}
	}
	err := g.print(result, func(w io.Writer) {
		switch {
		case built.Revised:
			fmt.Fprintf(w, "Report %s for %s is revised: this is revision %d.\n", c.Name, built.Period.Label(), built.Run.Revision)
		case c.Revise:
			fmt.Fprintf(w, "Report %s for %s stays as it is: nothing has changed it since revision %d, as of %s UTC.\n",
				c.Name, built.Period.Label(), built.Run.Revision, built.Run.AsOf.UTC().Format(time.DateTime))
		default:
			fmt.Fprintf(w, "Report %s for %s:\n", c.Name, built.Period.Label())
		}
		switch {
		case c.Now && (built.Revised || !built.Reconfigured):
			fmt.Fprintln(w, "It goes by the agents, groups, match, thresholds and permitted hours that are configured now.")
		case c.Now:
			fmt.Fprintln(w, "What is configured now gives the same; the report keeps to what it was made with.")
		case built.Reconfigured:
			fmt.Fprintln(w, "Agents, groups, match, thresholds or permitted hours are configured otherwise by now: it keeps to those that it was made with. --current-config takes those of now.")
		}
		for _, f := range result.Files {
			fmt.Fprintln(w, "  ", f)
		}
		for _, m := range result.Mails {
			fmt.Fprintf(w, "Mail to %s: %s\n", m.Recipient, m.State)
		}
	})
	return errors.Join(err, failed)
}

type mailed struct {
	Recipient string         `json:"recipient"`
	State     call.MailState `json:"state"`
	Detail    string         `json:"detail"`
}
