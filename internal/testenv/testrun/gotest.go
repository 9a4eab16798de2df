package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// notInSQLite leaves SQLite out of the race detector. It is C in Go's clothes,
// on memory that the detector does not know, so there is nothing to be found;
// watching each of its loads and stores takes more time than all else that the
// tests of a store do. Go's own locks, which it uses, are still watched.
const notInSQLite = "-gcflags=modernc.org/...=-race=false"

// packageLimit bounds the tests of one package. The longest take five minutes
// where nothing else runs, and Go's own limit is ten.
const packageLimit = "30m"

// goTest runs go test with the race detector and prints what go test would
// print without -json. It returns an error when a test failed or was skipped:
// a test that does not run proves nothing, and here nothing may be missing.
func goTest(ctx context.Context, args []string, env ...string) error {
	if len(args) == 0 {
		args = []string{"./..."}
	}
	// Many tests wait more than they work: for a lease to end, for the next try.
	args = append([]string{"test", "-race", notInSQLite, "-json", "-parallel", "3", "-timeout", packageLimit}, args...)
	//nolint:gosec // The arguments are the developer's own.
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=1"), env...) // the race detector's
	cmd.Stderr = os.Stderr
	// The test processes are in go test's group: all of them get the signal.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	events, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run go test: %w", err)
	}
	stop := announce("testing")
	report, readErr := follow(events, os.Stdout)
	err = cmd.Wait()
	stop()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if readErr != nil {
		return fmt.Errorf("read go test: %w", readErr)
	}
	return report.judge(os.Stdout, err)
}

// event is a line of go test -json (go doc test2json). Its keys begin with
// capital letters, which encoding/json does not mind.
type event struct {
	Action  string `json:"action"`
	Package string `json:"package"`
	Test    string `json:"test"`
	Output  string `json:"output"`
	// Elapsed is how long an ended test took, in seconds.
	Elapsed float64 `json:"elapsed"`
}

// testName names a test across packages; test is empty for the package.
type testName struct{ pkg, test string }

// report is what came of a run.
type report struct {
	passed   int
	packages int
	failed   []testName
	skipped  []testName
	// took is how long each test took, its subtests in it, in seconds.
	took map[testName]float64
}

// longest is how many of the tests that took longest are named.
const longest = 10

// follow reads events until their end and prints what matters: all that is
// said about packages and builds, and what failed or skipped tests wrote.
func follow(events io.Reader, out io.Writer) (report, error) {
	result := report{took: map[testName]float64{}}
	written := map[testName][]string{} // by tests that have not ended
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20)
	show := func(name testName) {
		for _, line := range written[name] {
			if !strings.HasPrefix(line, "=== ") {
				fmt.Fprint(out, line)
			}
		}
		delete(written, name)
	}
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // go itself has something to say
			continue
		}
		name := testName{e.Package, e.Test}
		if e.Elapsed > 0 && e.Test != "" && !strings.Contains(e.Test, "/") {
			result.took[name] = e.Elapsed
		}
		switch {
		case e.Action == "build-output", e.Action == "output" && e.Test == "":
			if e.Output != "PASS\n" {
				fmt.Fprint(out, e.Output)
			}
		case e.Action == "output":
			written[name] = append(written[name], e.Output)
		case e.Action == "pass" && e.Test == "":
			result.packages++
		case e.Action == "pass":
			result.passed++
			delete(written, name)
		case e.Action == "skip" && e.Test != "": // without a test: a package that has none
			result.skipped = append(result.skipped, name)
			show(name)
		case e.Action == "fail" && e.Test == "":
			result.packages++
			// Tests that never ended: a panic or the time limit took the process.
			for unended := range written {
				if unended.pkg == e.Package {
					result.failed = append(result.failed, unended)
					show(unended)
				}
			}
		case e.Action == "fail":
			result.failed = append(result.failed, name)
			show(name)
		}
	}
	return result, lines.Err()
}

// judge names what failed or was skipped, prints the counts, and returns an
// error unless every test ran and passed. runErr is go test's own outcome.
func (r report) judge(out io.Writer, runErr error) error {
	for _, name := range r.failed {
		fmt.Fprintln(out, "failed ", name.pkg, name.test)
	}
	for _, name := range r.skipped {
		fmt.Fprintln(out, "skipped", name.pkg, name.test)
	}
	slowest := slices.SortedFunc(maps.Keys(r.took), func(a, b testName) int { return cmp.Compare(r.took[b], r.took[a]) })
	for _, name := range slowest[:min(longest, len(slowest))] {
		fmt.Fprintf(out, "%6.1f s %s %s\n", r.took[name], name.pkg, name.test)
	}
	fmt.Fprintf(out, "%d tests passed, %d failed, %d skipped in %d packages\n",
		r.passed, len(r.failed), len(r.skipped), r.packages)
	switch {
	case runErr != nil:
		return fmt.Errorf("go test: %w", runErr)
	case len(r.failed) > 0:
		return errors.New("tests failed")
	case len(r.skipped) > 0:
		return errors.New("tests were skipped, which counts as failed")
	case r.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}
