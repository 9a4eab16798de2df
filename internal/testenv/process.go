package testenv

import (
	"bytes"
	"context"
	_ "embed" // for supervise.sh
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// superviseScript runs a server as its child and holds the reading end of a
// pipe whose writing end only this process has. However this process ends
// (return, panic, os.Exit, SIGKILL), the pipe closes, and the script stops the
// server and removes its data. The kernel's parent-death signal could stop
// the server too, but it fires when the starting *thread* ends, and nobody
// would remove the data.
//
//go:embed supervise.sh
var superviseScript string

// stopLimit bounds how long a server may take to end before it is killed.
const stopLimit = 15 * time.Second

// process is a running server program with its supervisor.
type process struct {
	cmd      *exec.Cmd
	lifeline io.WriteCloser
	log      *os.File      // what the server writes
	ended    chan struct{} // closed when the server has ended
}

// program says what to run.
type program struct {
	name       string              // for errors
	dir        string              // working folder; removed when we die
	stopSignal string              // signal name without SIG, for stopping at once
	args       []string            // program and arguments
	env        []string            // added to this process's environment
	credential *syscall.Credential // nil: this process's user
}

// start runs the program. Its output goes to a log file in its folder.
func (p program) start() (*process, error) {
	logFile := filepath.Join(p.dir, "log")
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	// Read through a file that stays open: the folder goes with the server.
	log, err := os.Open(logFile)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), output.Close())
	}
	args := append([]string{"-c", superviseScript, "supervise", p.dir, p.stopSignal}, p.args...)
	//nolint:gosec,noctx // The tests' own programs; they outlive the context that started them.
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = output, output
	// A process group of its own: Ctrl-C on the terminal reaches only us, and
	// the server ends after the tests that still use it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.credential}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), output.Close(), log.Close())
	}
	err = errors.Join(cmd.Start(), output.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.name, err), log.Close())
	}
	run := &process{cmd: cmd, lifeline: lifeline, log: log, ended: make(chan struct{})}
	go func() {
		defer close(run.ended)
		// The exit status of a server that was told to stop at once says
		// nothing; one that ended by itself has said why in its log.
		_ = cmd.Wait()
	}()
	return run, nil
}

// stop ends the server at once and leaves its data. It returns when the
// server has ended, so that its port and files are free.
func (run *process) stop() error {
	_, writeErr := io.WriteString(run.lifeline, "keep\n")
	select {
	case <-run.ended:
		return nil // whatever came of writing: it has ended
	case <-time.After(stopLimit):
	}
	err := syscall.Kill(-run.cmd.Process.Pid, syscall.SIGKILL)
	<-run.ended
	if err != nil {
		return fmt.Errorf("stop process group %d: %w", run.cmd.Process.Pid, errors.Join(writeErr, err))
	}
	return nil
}

// waitUntil calls ready every 25 ms until it returns nil. When the server ends
// or startLimit passes before that, the error carries the end of its log.
func (run *process) waitUntil(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-run.ended:
			return fmt.Errorf("it ended: %s", run.logTail())
		case <-ctx.Done():
			return fmt.Errorf("%w: last answer: %w: %s", ctx.Err(), err, run.logTail())
		case <-tick.C:
		}
	}
}

// logTail returns the last 2 kB that the server wrote.
func (run *process) logTail() []byte {
	const most = 2048
	size, err := run.log.Seek(0, io.SeekEnd)
	if err != nil {
		return []byte(err.Error())
	}
	tail := make([]byte, min(size, most))
	if _, err := run.log.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(tail)
}
