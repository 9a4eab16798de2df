// Command bench measures the speed and memory of the real callvault program
// from outside, on this machine, and writes what it finds into
// docs/performance.md, which also says what each figure means.
//
//	go run ./internal/bench [-runs N] [-quick] [ingest|archive|lock|report|export|verify|rebuild|all]
//
// `make bench` installs what it needs first. Nothing is asserted: a figure is
// for people to judge, and a busy machine is no fault of the program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"callvault/internal/testenv"
)

// bench is one run of this program.
type bench struct {
	// runs is how often each thing is measured; what is told is the median.
	runs int
	// quick measures so little that it only shows that everything works.
	quick bool
	// root is the module's folder, dir a new one for what is made on the way.
	root, dir string
	// callvault is the program that is measured.
	callvault string
}

// benchmarks are what can be measured, in the order of docs/performance.md.
func benchmarks() []benchmark {
	return []benchmark{
		{"ingest", (*bench).ingest},
		{"archive", (*bench).archive},
		{"lock", (*bench).lock},
		{"report", (*bench).report},
		{"export", (*bench).export},
		{"verify", (*bench).verify},
		{"rebuild", (*bench).rebuild},
	}
}

type benchmark struct {
	name    string
	measure func(*bench, context.Context) ([]table, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var b bench
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&b.runs, "runs", 5, "how often each thing is measured")
	flags.BoolVar(&b.quick, "quick", false, "measure little, and write nothing down")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if b.runs < 1 {
		return errors.New("-runs must be at least 1")
	}
	// This program starts itself as other processes, whose time and memory are
	// not to be mixed with what is measured.
	switch flags.Arg(0) {
	case hostProcess:
		return serveRecordings(ctx, flags.Arg(1))
	case plainProcess:
		return readPlainly(ctx, flags.Args()[1:])
	case workbookProcess:
		return writeWorkbook(ctx, flags.Arg(1), flags.Arg(2))
	}
	return b.run(ctx, flags.Args())
}

func (b *bench) run(ctx context.Context, names []string) (err error) {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	if b.root, err = testenv.ModuleRoot(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "callvault-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := onDisk(b.dir); err != nil {
		return err
	}
	document := filepath.Join(b.root, "docs", "performance.md")
	for _, one := range chosen {
		// Not after an hour of measuring.
		if err := hasSection(document, one.name); err != nil {
			return err
		}
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	for _, one := range chosen {
		tables, err := one.measure(b, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		text := b.section(one.name, tables)
		fmt.Print("\n", text, "\n")
		if b.quick {
			continue
		}
		if err := replaceSection(document, one.name, text); err != nil {
			return err
		}
	}
	return nil
}

func choose(names []string) ([]benchmark, error) {
	if len(names) == 0 || len(names) == 1 && names[0] == "all" {
		return benchmarks(), nil
	}
	var chosen []benchmark
	for _, name := range names {
		found := false
		for _, one := range benchmarks() {
			if one.name == name {
				chosen, found = append(chosen, one), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no benchmark %q: say ingest, archive, lock, report, export, verify, rebuild or all", name)
		}
	}
	return chosen, nil
}

// onDisk makes sure that a commit costs what it costs: writing to a folder
// that is kept in memory, fsync is free.
func onDisk(dir string) error {
	const tmpfs = 0x01021994 // TMPFS_MAGIC of linux/magic.h
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if fs.Type == tmpfs {
		return fmt.Errorf("%s is in memory: set TMPDIR to a folder on a disk", dir)
	}
	return nil
}

// build builds callvault as a release is built.
func (b *bench) build(ctx context.Context) error {
	b.callvault = filepath.Join(b.dir, "callvault")
	//nolint:gosec // The path is our own.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w",
		"-o", b.callvault, "./cmd/callvault")
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build callvault: %w\n%s", err, output)
	}
	return nil
}

// folder makes a new folder.
func (b *bench) folder() (string, error) { return os.MkdirTemp(b.dir, "") }

// remove removes what a run has made.
func (b *bench) remove(s settings) error { return os.RemoveAll(s.data) }

// commandLine is how a benchmark was started, as a reader would type it.
func (b *bench) commandLine(name string) string {
	return "go run ./internal/bench -runs " + strconv.Itoa(b.runs) + " " + name
}

// progress says what has been measured, for whoever waits.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
