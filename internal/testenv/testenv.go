// Package testenv gives tests the real thing to talk to: PostgreSQL, MinIO,
// an SMTP server and a browser, all on loopback addresses.
//
// PostgreSQL and MinIO are shared: `make test` starts one of each and names
// them in [PostgresVariable] and [MinIOVariable]; a test process that finds
// the variable unset starts a server of its own when the first test asks for
// one. Each test gets a database or bucket that nobody else uses, so tests
// run in parallel. A test that takes its server away uses [OwnPostgres] or
// [OwnMinIO] instead.
//
// A missing program fails the test and says how to get it; nothing is ever
// skipped. Servers end, and their data goes, with the process that started
// them, also when that process is killed.
//
// Programs that are no tests (the benchmarks, the runner behind `make test`)
// use [StartPostgres] and [StartMinIO] and close what they get.
package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// startLimit bounds how long a server may take until it answers. It is wide
// because a cold machine with two busy cores runs the race detector beside.
const startLimit = 60 * time.Second

// ModuleRoot returns the folder of the go.mod above the working directory.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find module root: %w", err)
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("find module root: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find module root: no go.mod above the working directory")
		}
		dir = parent
	}
}

// Port bounds. They lie below Linux's range for outgoing connections
// (32768 and up): while a server is stopped, a client that keeps trying to
// connect to a port inside that range can be given that very port as its own
// and end up connected to itself.
const (
	firstPort = 15000
	lastPort  = 32000
)

// freePort returns a loopback TCP port that nobody listens on now.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	for range 100 {
		//nolint:gosec // Spreading servers over ports needs no secrecy.
		port := firstPort + mathrand.IntN(lastPort-firstPort)
		listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("find free port: %w", err)
		}
		return port, nil
	}
	return 0, errors.New("find free port: a hundred ports tried, all taken")
}

// uniqueName returns prefix and 13 random lower-case letters and digits, good
// as a database, role or bucket name.
func uniqueName(prefix string) string {
	return prefix + strings.ToLower(rand.Text()[:13])
}
