package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"callvault/reports"
)

// reportRuns are what the runs have shown.
type reportRuns struct {
	calls                    int
	report                   []usage
	callvault, libxlsxwriter []workbookRun
}

// workbookRun is a workbook that was written.
type workbookRun struct {
	usage
	// seconds are what writing took, without the program's start.
	seconds float64
	// size is the file's, in bytes.
	size int64
}

// columns of the workbook's sheet of calls.
const columns = 30

// report measures the report of a day of very many calls: the whole command,
// and its workbook beside libxlsxwriter.
func (b *bench) report(ctx context.Context) ([]table, error) {
	all := reportRuns{calls: 1_000_000}
	if b.quick {
		all.calls = 20_000
	}
	day, err := b.bigDay(ctx, all.calls)
	if err != nil {
		return nil, fmt.Errorf("make the day: %w", err)
	}
	yardstick := filepath.Join(b.dir, "libxlsxwriter")
	//nolint:gosec // Paths are our own.
	cc := exec.CommandContext(ctx, "gcc", "-O2", "-o", yardstick,
		filepath.Join(b.root, "internal", "bench", "libxlsxwriter.c"), "-lxlsxwriter")
	if output, err := cc.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build with libxlsxwriter (make tools installs it): %w\n%s", err, output)
	}
	for n := range b.runs {
		dir, err := b.folder()
		if err != nil {
			return nil, err
		}
		input, r, err := b.reportOnce(ctx, day, dir)
		if err != nil {
			return nil, err
		}
		all.report = append(all.report, r)
		progress("report %d/%d: %.1f s, %.0f MiB", n+1, b.runs, r.Wall.Seconds(), mib(r.Peak))
		if err := all.workbooks(ctx, dir, input, yardstick, n%2 == 1); err != nil {
			return nil, err
		}
		progress("report %d/%d: workbook %.0f cells/s, libxlsxwriter %.0f cells/s", n+1, b.runs,
			all.cells(all.callvault[n]), all.cells(all.libxlsxwriter[n]))
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return all.tables(), nil
}

// cells per second.
func (a *reportRuns) cells(r workbookRun) float64 { return float64(columns*a.calls) / r.seconds }

func (a *reportRuns) tables() []table {
	whole := table{head: []string{"callvault report", ""}}
	whole.add("calls in the day", strconv.Itoa(a.calls))
	whole.add("time", spread(a.report, "%.1f s", func(u usage) float64 { return u.Wall.Seconds() }))
	whole.add("CPU", spread(a.report, "%.1f s", func(u usage) float64 { return u.CPU.Seconds() }))
	whole.add("peak memory", spread(a.report, "%.0f MiB", func(u usage) float64 { return mib(u.Peak) }))

	books := table{head: []string{"workbook alone", "cells/s", "CPU", "peak memory", "size"}}
	row := func(name string, runs []workbookRun) {
		books.add(name, spread(runs, "%.0f", a.cells),
			spread(runs, "%.1f s", func(r workbookRun) float64 { return r.CPU.Seconds() }),
			spread(runs, "%.0f MiB", func(r workbookRun) float64 { return mib(r.Peak) }),
			spread(runs[:1], "%.0f MiB", func(r workbookRun) float64 { return mib(r.size) }))
	}
	row("callvault", a.callvault)
	row("libxlsxwriter", a.libxlsxwriter)

	type pair struct{ callvault, libxlsxwriter workbookRun }
	var pairs []pair
	for i := range a.callvault {
		pairs = append(pairs, pair{a.callvault[i], a.libxlsxwriter[i]})
	}
	books.add("ratio, run by run", spread(pairs, "%.2f", func(p pair) float64 {
		return p.libxlsxwriter.seconds / p.callvault.seconds
	}), "", "", "")
	return []table{whole, books}
}

// reportOnce builds the day's report with the command, and returns the frozen
// input that it leaves in the vault. Each time it is a report that was never
// built before: one that was is taken from the vault in part.
func (b *bench) reportOnce(ctx context.Context, day settings, dir string) (input string, r usage, err error) {
	day.report = "daily-" + strconv.FormatInt(time.Now().UnixMilli(), 36)
	day.folder = filepath.Join(dir, "vault")
	if err := day.write(); err != nil {
		return "", r, err
	}
	cmd := b.callvaultCommand(ctx, day, "report", day.report,
		"--date", bigDate().Format(time.DateOnly), "--out", filepath.Join(dir, "files"))
	if r, err = runProcess(cmd, filepath.Join(dir, "report.log")); err != nil {
		return "", r, err
	}
	found, err := filepath.Glob(filepath.Join(day.folder, "reports", "*", "*", "*", "input.ndjson.zst"))
	if err != nil || len(found) != 1 {
		return "", r, errors.Join(err, fmt.Errorf("frozen inputs in the vault: %q", found))
	}
	return found[0], r, nil
}

// workbooks writes the day's workbook, and one of as many cells with
// libxlsxwriter.
func (a *reportRuns) workbooks(ctx context.Context, dir, input, yardstick string, yardstickFirst bool) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	ours := func() error {
		out := filepath.Join(dir, "workbook")
		if err := os.Mkdir(out, 0o700); err != nil {
			return err
		}
		//nolint:gosec // This very program.
		r, err := measureWorkbook(exec.CommandContext(ctx, program, workbookProcess, input, out), dir, out, a.calls)
		a.callvault = append(a.callvault, r)
		return err
	}
	theirs := func() error {
		out := filepath.Join(dir, "libxlsxwriter")
		if err := os.Mkdir(out, 0o700); err != nil {
			return err
		}
		//nolint:gosec // Built above.
		cmd := exec.CommandContext(ctx, yardstick, strconv.Itoa(a.calls), filepath.Join(out, "calls.xlsx"), dir)
		r, err := measureWorkbook(cmd, dir, out, a.calls)
		a.libxlsxwriter = append(a.libxlsxwriter, r)
		return err
	}
	if yardstickFirst {
		return errors.Join(theirs(), ours())
	}
	return errors.Join(ours(), theirs())
}

// measureWorkbook runs a program that writes a workbook into the folder out
// and says "N calls, S s".
func measureWorkbook(cmd *exec.Cmd, dir, out string, calls int) (r workbookRun, err error) {
	log := filepath.Join(dir, "workbook.log")
	if r.usage, err = runProcess(cmd, log); err != nil {
		return r, err
	}
	var said int
	text := lastLines(log)
	if _, err := fmt.Sscanf(text, "%d calls, %f s", &said, &r.seconds); err != nil || said != calls {
		return r, fmt.Errorf("write a workbook of %d calls: %q", calls, text)
	}
	books, err := filepath.Glob(filepath.Join(out, "*.xlsx"))
	if err != nil || len(books) != 1 {
		return r, errors.Join(err, fmt.Errorf("workbooks: %q", books))
	}
	info, err := os.Stat(books[0])
	if err != nil {
		return r, err
	}
	r.size = info.Size()
	return r, nil
}

// workbookProcess is this program as one that does nothing but make a workbook
// from a frozen input, figures included.
const workbookProcess = "workbook"

func writeWorkbook(ctx context.Context, input, dir string) error {
	in, err := reports.OpenInput(ctx, input)
	if err != nil {
		return err
	}
	in.Settings.Formats = []reports.Format{reports.XLSX}
	began := time.Now()
	_, figures, err := reports.BuildFiles(ctx, in, dir)
	if err != nil {
		return err
	}
	fmt.Printf("%d calls, %.3f s\n", figures.Rows, time.Since(began).Seconds())
	return nil
}
