package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"text/tabwriter"
	"time"

	"callvault/internal/audit"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/reports"
)

// checkedReport is what the check of a file came to.
type checkedReport struct {
	Report   string `json:"report"`
	Date     string `json:"date"`
	Revision int    `json:"revision"`
	// InputHash is the SHA-256 of the frozen input, Version the program's that
	// froze it.
	InputHash string `json:"input_hash"`
	Version   string `json:"version"`
	// Same: all cells are what the input gives. SameBytes: so is every byte.
	// Kept: the file is the one that was kept when the report was made.
	Same      bool `json:"same"`
	SameBytes bool `json:"same_bytes"`
	Kept      bool `json:"kept"`
	// Differences counts the cells that differ; First are the first of them.
	Differences int64        `json:"differences"`
	First       []difference `json:"first"`
}

type difference struct {
	Where  string `json:"where"`
	File   string `json:"file"`
	Report string `json:"report"`
}

// check says whether a file is what a kept input gives.
func (c reportCommand) check(ctx context.Context, g *globals, cfg *config.Config) error {
	date, err := time.Parse(time.DateOnly, c.Date)
	if err != nil {
		return errDate
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
		reporter, err := newReporter(cfg, newPeople(cfg, s), vault, nil, logger)
		if err != nil {
			return err
		}
		// Differences tell what stands in the report.
		if err := noteAct(ctx, s, audit.ReportDownloaded, "report/"+c.Name, map[string]string{"date": c.Date, "checked": filepath.Base(c.Check)}); err != nil {
			return err
		}
		found, err := reporter.Check(ctx, c.Name, date, c.Check)
		if err != nil {
			return err
		}
		return g.printChecked(c, &found)
	})
}

func (g *globals) printChecked(c reportCommand, found *reports.Checked) error {
	result := checkedReport{
		Report: c.Name, Date: found.Period.Label(), Revision: found.Revision, InputHash: found.InputHash,
		Version: found.Version, Same: found.Differences == 0, SameBytes: found.SameBytes, Kept: found.Kept,
		Differences: found.Differences, First: []difference{},
	}
	for _, d := range found.First {
		result.First = append(result.First, difference(d))
	}
	of := fmt.Sprintf("report %s, %s, revision %d", c.Name, result.Date, found.Revision)
	err := g.print(result, func(w io.Writer) {
		switch {
		case found.SameBytes:
			fmt.Fprintf(w, "%s is, byte for byte, what the frozen input of %s gives.\n", c.Check, of)
		case result.Same:
			fmt.Fprintf(w, "All cells of %s are what the frozen input of %s gives.\n", c.Check, of)
			fmt.Fprintf(w, "Its bytes differ from what this program (%s) makes: %s Formats and charts were not compared.\n",
				programVersion(), whyBytes(found))
		default:
			err := writeDifferences(w, found)
			if err != nil {
				fmt.Fprintln(g.stderr, "callvault:", err)
			}
		}
		if found.Kept && !result.Same {
			fmt.Fprintf(w, "Yet it is, byte for byte, the file that was kept when the report was made, by Callvault %s; this is %s.\n", found.Version, programVersion())
		}
		fmt.Fprintf(w, "The input's SHA-256 is %s, as of %s UTC.\n", found.InputHash, found.AsOf.UTC().Format(time.DateTime))
	})
	if err == nil && !result.Same {
		places := "1 place differs"
		if found.Differences > 1 {
			places = fmt.Sprintf("%d places differ", found.Differences)
		}
		err = fmt.Errorf("%s is not what the frozen input of %s gives: %s", c.Check, of, places)
	}
	return err
}

// whyBytes says why a file's bytes may differ though its cells do not.
func whyBytes(found *reports.Checked) string {
	if found.Kept {
		return "they are those of the file that was kept when the report was made, by Callvault " + found.Version + "."
	}
	return "another version made it (the report says Callvault " + found.Version + "), or it was saved again."
}

func writeDifferences(w io.Writer, found *reports.Checked) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "WHERE\tIN THE FILE\tIN THE REPORT")
	for _, d := range found.First {
		fmt.Fprintf(t, "%s\t%s\t%s\n", d.Where, d.File, d.Report)
	}
	err := t.Flush()
	if more := found.Differences - int64(len(found.First)); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	return err
}

// errDate is said of a --date that is none.
var errDate = usageError{errors.New("--date must be a day such as 2026-11-21")}
