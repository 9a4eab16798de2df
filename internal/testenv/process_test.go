package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// victimVariable makes the test program start a PostgreSQL, say where, and
// wait to be killed.
const victimVariable = "TESTENV_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) == "" {
		os.Exit(m.Run())
	}
	server, err := StartPostgres(context.Background(), PostgresOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.dir, server.DSN())
	select {}
}

func TestServerEndsWithAKilledProcess(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	victim := exec.CommandContext(t.Context(), self)
	victim.Env = append(os.Environ(), victimVariable+"=1")
	victim.Stderr = os.Stderr
	output, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dir, dsn, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err := inDatabase(t.Context(), dsn, `SELECT 1`); err != nil {
		t.Fatalf("before: %v", err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := victim.Wait(); err == nil {
		t.Fatal("the killed process ended well")
	}
	for deadline := time.After(stopLimit); ; {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("%s is still there", dir)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := inDatabase(t.Context(), dsn, `SELECT 1`); err == nil {
		t.Error("the server outlived its process")
	}
}

func TestServerThatEndsSaysWhy(t *testing.T) {
	t.Parallel()
	run, err := program{
		name: "a server", dir: t.TempDir(), stopSignal: "KILL",
		args: []string{"/bin/sh", "-c", "echo no room left; exit 1"},
	}.start()
	if err != nil {
		t.Fatal(err)
	}
	err = run.waitUntil(t.Context(), func(context.Context) error { return errors.New("silent") })
	if err == nil || !strings.Contains(err.Error(), "no room left") {
		t.Errorf("error %v, want one with the server's last words", err)
	}
	if err := run.stop(); err != nil {
		t.Error(err)
	}
}
