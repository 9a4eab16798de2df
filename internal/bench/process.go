package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// usage is what a process has cost.
type usage struct {
	// Wall is from its start to its end.
	Wall time.Duration
	// CPU is the user's and the system's time together.
	CPU time.Duration
	// Peak is the most memory that was resident at once, in bytes.
	Peak int64
}

// process is a running program that is measured.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	// output is the file that it writes to.
	output string
	peak   peakWatch
}

// start starts a program whose output goes to a file, as a service's goes to a
// journal.
func start(cmd *exec.Cmd, output string) (*process, error) {
	file, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = file
	if cmd.Stdout == nil {
		cmd.Stdout = file
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	p := &process{cmd: cmd, started: time.Now(), output: output}
	err = cmd.Start()
	// The child has the file by now.
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	p.peak.start(cmd.Process.Pid)
	return p, nil
}

// wait waits for the program's end, which must be a good one.
func (p *process) wait() (usage, error) {
	err := p.cmd.Wait()
	u := usage{Wall: time.Since(p.started), Peak: p.peak.stop()}
	if s := p.cmd.ProcessState; s != nil {
		u.CPU = s.UserTime() + s.SystemTime()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(p.cmd.Path), err, lastLines(p.output))
	}
	return u, err
}

// end asks the program to end, and waits.
func (p *process) end() (usage, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return usage{}, fmt.Errorf("end %s: %w", filepath.Base(p.cmd.Path), err)
	}
	return p.wait()
}

// runProcess runs a program from start to end.
func runProcess(cmd *exec.Cmd, output string) (usage, error) {
	p, err := start(cmd, output)
	if err != nil {
		return usage{}, err
	}
	return p.wait()
}

// lastLines is the end of what a program wrote.
func lastLines(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

// peakWatch follows a process's peak of resident memory. The kernel keeps it
// (VmHWM), but only while the process lives; and the figure that wait(2) gives
// counts the parent's memory at the moment of fork, too.
type peakWatch struct {
	quit chan struct{}
	done sync.WaitGroup
	peak int64
}

func (w *peakWatch) start(pid int) {
	w.quit = make(chan struct{})
	w.done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			w.peak = max(w.peak, peakOf(pid))
			select {
			case <-w.quit:
				return
			case <-tick.C:
			}
		}
	})
}

func (w *peakWatch) stop() int64 {
	close(w.quit)
	w.done.Wait()
	return w.peak
}

// peakOf is a process's peak of resident memory in bytes, 0 if it has ended.
func peakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	number, _, _ := strings.Cut(rest, "kB")
	kib, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil {
		return 0 // it has just ended
	}
	return kib << 10
}

// server is a running `callvault serve`.
type server struct {
	*process
	address string // host:port
}

var readyLine = regexp.MustCompile(`msg="Callvault is ready" url=http://(\S+)`)

// serve starts `callvault serve` and waits until it is ready.
func (b *bench) serve(ctx context.Context, c settings) (*server, error) {
	p, err := start(b.callvaultCommand(ctx, c, "serve", "--listen", "127.0.0.1:0"), filepath.Join(c.data, "serve.log"))
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for tick := time.Tick(5 * time.Millisecond); ; {
		log, err := os.ReadFile(p.output)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if found := readyLine.FindSubmatch(log); found != nil {
			return &server{p, string(found[1])}, nil
		}
		select {
		case <-tick:
		case <-limit.Done():
			_, err := p.end()
			return nil, errors.Join(fmt.Errorf("callvault serve: not ready: %s", lastLines(p.output)), err)
		}
	}
}

// callvaultCommand is a command line of callvault.
func (b *bench) callvaultCommand(ctx context.Context, c settings, args ...string) *exec.Cmd {
	//nolint:gosec // Built by ourselves.
	return exec.CommandContext(ctx, b.callvault, append([]string{"--config", c.file()}, args...)...)
}

// closing closes what must be closed, whatever else went wrong.
func closing(err *error, c io.Closer) { *err = errors.Join(*err, c.Close()) }
