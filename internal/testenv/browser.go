package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browserLimit bounds one page, start of the browser included.
const browserLimit = 60 * time.Second

// Screenshot draws a page, 1280 by 1024 pixels, in a real browser and writes
// it to the PNG file out. The page is an http:// or https:// URL or the path
// of an HTML file.
func Screenshot(t testing.TB, page, out string) {
	t.Helper()
	if !strings.Contains(page, "://") {
		path, err := filepath.Abs(page)
		if err != nil {
			t.Fatalf("find page: %v", err)
		}
		page = "file://" + path
	}
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: run `make tools`", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserLimit)
	defer cancel()
	//nolint:gosec // The program is the installed chromium.
	browser := exec.CommandContext(ctx, program,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--user-data-dir="+t.TempDir(), "--window-size=1280,1024",
		"--screenshot="+out, page)
	// The browser is a family of processes: all of them go at the time limit.
	browser.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	browser.Cancel = func() error { return syscall.Kill(-browser.Process.Pid, syscall.SIGKILL) }
	browser.WaitDelay = 5 * time.Second
	output, err := browser.CombinedOutput()
	if err != nil {
		t.Fatalf("draw page: %v: %s", err, output)
	}
	// Chromium reports success also when it drew nothing.
	if _, err := os.Stat(out); err != nil {
		t.Fatal(fmt.Errorf("draw page: %w: %s", err, output))
	}
}
