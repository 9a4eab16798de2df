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

	"callvault/internal/testenv"
	"callvault/reports"
)

// reportCase is a day whose report is measured.
type reportCase struct {
	postgres bool
	calls    int
	// before is how many days of as many calls come before it, with which the
	// report compares.
	before int
}

// reportCases end with the day whose workbook is measured alone, too.
func reportCases(quick bool) []reportCase {
	days := []reportCase{{calls: 10_000}, {calls: 10_000, before: 30}, {calls: 100_000}, {calls: 1_000_000}}
	if quick {
		days = []reportCase{{calls: 2_000}, {calls: 2_000, before: 30}, {calls: 20_000}}
	}
	var cases []reportCase
	for _, postgres := range []bool{true, false} {
		for _, day := range days {
			day.postgres = postgres
			cases = append(cases, day)
		}
	}
	return cases
}

// reportRuns are what the runs have shown.
type reportRuns struct {
	cases []reportCase
	// report are the runs of each case.
	report [][]usage
	// calls are those of the workbooks.
	calls                    int
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
func (b *bench) report(ctx context.Context) (_ []table, err error) {
	all := reportRuns{cases: reportCases(b.quick)}
	all.report = make([][]usage, len(all.cases))
	all.calls = all.cases[len(all.cases)-1].calls
	server, err := testenv.StartPostgres(ctx, testenv.PostgresOptions{})
	if err != nil {
		return nil, err
	}
	defer closing(&err, server)
	days := make([]settings, len(all.cases))
	for i, c := range all.cases {
		if days[i], err = b.reportDay(ctx, c, server); err != nil {
			return nil, fmt.Errorf("make the day: %w", err)
		}
	}
	yardstick := filepath.Join(b.dir, "libxlsxwriter")
	//nolint:gosec // Paths are our own.
	cc := exec.CommandContext(ctx, "gcc", "-O2", "-o", yardstick,
		filepath.Join(b.root, "internal", "bench", "libxlsxwriter.c"), "-lxlsxwriter")
	if output, err := cc.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build with libxlsxwriter (make tools installs it): %w\n%s", err, output)
	}
	for n := range b.runs {
		var dir, input string
		for i, c := range all.cases {
			if dir, err = b.folder(); err != nil {
				return nil, err
			}
			var r usage
			if input, r, err = b.reportOnce(ctx, days[i], dir); err != nil {
				return nil, err
			}
			all.report[i] = append(all.report[i], r)
			progress("report %d/%d: %s calls, %s: %.2f s, %.0f MiB", n+1, b.runs, c.days(), c.database(), r.Wall.Seconds(), mib(r.Peak))
			if i == len(all.cases)-1 {
				break
			}
			if err := os.RemoveAll(dir); err != nil {
				return nil, err
			}
		}
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
	whole := table{head: []string{"database", "calls in the day", "time", "for 1,000 calls", "CPU", "peak memory"}}
	for i, c := range a.cases {
		whole.add(c.database(), c.days(),
			spread(a.report[i], "%.2f s", func(u usage) float64 { return u.Wall.Seconds() }),
			spread(a.report[i], "%.0f ms", func(u usage) float64 { return u.Wall.Seconds() * 1e6 / float64(c.calls) }),
			spread(a.report[i], "%.2f s", func(u usage) float64 { return u.CPU.Seconds() }),
			spread(a.report[i], "%.0f MiB", func(u usage) float64 { return mib(u.Peak) }))
	}

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

func (c reportCase) database() string { return databaseName(c.postgres) }

// days says how many calls the day has, and what stands beside it.
func (c reportCase) days() string {
	if c.before == 0 {
		return strconv.Itoa(c.calls)
	}
	return fmt.Sprintf("%d beside %d such days", c.calls, c.before)
}

// reportDay is a day of that many calls in that database.
func (b *bench) reportDay(ctx context.Context, c reportCase, server *testenv.PostgresServer) (s settings, err error) {
	if !c.postgres {
		return b.bigDay(ctx, c.calls, c.before)
	}
	if s.data, err = b.folder(); err != nil {
		return s, err
	}
	if s.dsn, err = server.NewDatabase(ctx); err != nil {
		return s, err
	}
	if err := fillDays(ctx, s, c.calls, c.before, nil); err != nil {
		return s, err
	}
	return s, server.Vacuum(ctx, s.dsn)
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
