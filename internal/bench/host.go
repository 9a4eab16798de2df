package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"callvault/internal/simulator"
)

// hostProcess is this program as the host that recordings are fetched from: a
// process of its own, whose work is not counted.
const hostProcess = "recording-host"

// recordingSize is in bytes: a call of nearly two minutes at 2 kB a second.
const recordingSize = 220_000

// The host's addresses. Below chunked the same recordings come without a
// Content-Length, as from a program that makes them on the way.
const chunkedPath = "/chunked"

// serveRecordings serves recordings until standard input ends, which it does
// with the process that started it. The folder's listing names count of them.
func serveRecordings(ctx context.Context, names string) error {
	count, err := strconv.Atoi(names)
	if err != nil {
		return fmt.Errorf("how many recordings the listing names: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	recordings := simulator.NewServer(simulator.ServerOptions{AnySize: recordingSize})
	mux := http.NewServeMux()
	mux.Handle("GET /incoming/", recordings)
	mux.HandleFunc("GET "+recordingFolder+"{$}", listing(count))
	mux.Handle("GET "+chunkedPath+"/", http.StripPrefix(chunkedPath, http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { recordings.ServeHTTP(withoutLength{w}, r) })))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	fmt.Println(listener.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return errors.Join(server.Close(), ignoreClosed(<-ended))
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// listing is the page that a web server makes of a folder.
func listing(count int) http.HandlerFunc {
	page := []byte("<!DOCTYPE html><html><body><pre>\n")
	for i := range count {
		page = fmt.Appendf(page, "<a href=\"%[1]s\">%[1]s</a>\n", path.Base(recordingPath(i)))
	}
	page = append(page, "</pre></body></html>\n"...)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(page) // who has gone needs no answer
	}
}

// withoutLength leaves out how long an answer is.
type withoutLength struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w withoutLength) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

// host is a running hostProcess.
type host struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	address string // host:port
}

// startHost starts a host whose listing names count recordings; it has any
// other as well.
func startHost(ctx context.Context, count int) (*host, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	//nolint:gosec // This very program.
	cmd := exec.CommandContext(ctx, program, hostProcess, strconv.Itoa(count))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the host of recordings: %w", err)
	}
	h := &host{cmd: cmd, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the host of recordings: %w", err), h.Close())
	}
	h.address = strings.TrimSpace(line)
	return h, nil
}

// Close ends the host.
func (h *host) Close() error {
	return errors.Join(h.stdin.Close(), h.cmd.Wait())
}
