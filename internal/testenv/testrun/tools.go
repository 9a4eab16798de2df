package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"callvault/internal/testenv"

	"golang.org/x/sync/errgroup"
)

// debianPackage is a package that a purpose needs.
type debianPackage struct {
	purpose string
	name    string
	// present matches a file that the package brings.
	present string
}

// debianPackages are looked for by what they bring, not by asking dpkg: a
// machine may have got the same thing in another way.
func debianPackages() []debianPackage {
	return []debianPackage{
		{"test", "postgresql", "/usr/lib/postgresql/*/bin/postgres"},
		{"test", "chromium", "/usr/bin/chromium"},
		// The race detector needs cgo.
		{"test", "gcc", "/usr/bin/gcc"},
		{"test", "libc6-dev", "/usr/include/stdlib.h"},
		// What the benchmarks compare with.
		{"bench", "rclone", "/usr/bin/rclone"},
		{"bench", "gcc", "/usr/bin/gcc"},
		{"bench", "libc6-dev", "/usr/include/stdlib.h"},
		{"bench", "libxlsxwriter-dev", "/usr/include/xlsxwriter.h"},
	}
}

// goProgram is a program that a purpose needs built from source.
type goProgram struct {
	purpose string
	module  string
	version string
	pkg     string // import path below module, "" for itself
	usual   string // how long it takes the first time, for whoever waits
}

// goPrograms are pinned, so that everybody tests with the same.
func goPrograms() []goProgram {
	return []goProgram{
		{
			"test", "github.com/minio/minio",
			"v0.0.0-20260212201848-7aac2a2c5b7c", "", "about 6 minutes",
		},
		{
			"lint", "github.com/golangci/golangci-lint/v2",
			"v2.15.0", "cmd/golangci-lint", "about 4 minutes",
		},
	}
}

// installTools gets what the purposes need and is not there yet.
func installTools(ctx context.Context, purposes []string) error {
	for _, purpose := range purposes {
		if !slices.Contains([]string{"test", "lint", "bench"}, purpose) {
			return fmt.Errorf("unknown purpose %q: say lint or bench", purpose)
		}
	}
	root, err := testenv.ModuleRoot()
	if err != nil {
		return err
	}
	// Debian's packages come while Go compiles.
	var group errgroup.Group
	group.Go(func() error { return installPackages(ctx, purposes) })
	group.Go(func() error {
		for _, program := range goPrograms() {
			if !slices.Contains(purposes, program.purpose) {
				continue
			}
			err := program.install(ctx, filepath.Join(root, ".tools", "bin"))
			if err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// installPackages installs missing Debian packages with apt-get.
func installPackages(ctx context.Context, purposes []string) error {
	var missing []string
	for _, p := range debianPackages() {
		if !slices.Contains(purposes, p.purpose) || slices.Contains(missing, p.name) {
			continue
		}
		found, err := filepath.Glob(p.present)
		if err != nil {
			return fmt.Errorf("look for %s: %w", p.name, err)
		}
		if len(found) == 0 {
			missing = append(missing, p.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("these Debian packages, or what they bring, are missing, "+
			"and there is no apt-get to install them: %v", missing)
	}
	fmt.Printf("installing Debian packages %v\n", missing)
	if err := aptGet(ctx, "update", "-q"); err != nil {
		return err
	}
	return aptGet(ctx, append([]string{"install", "-q", "-y", "--no-install-recommends"}, missing...)...)
}

// aptGet runs apt-get as root and shows its output only when it fails.
func aptGet(ctx context.Context, args ...string) error {
	// On a machine just made, an automatic update may hold the lock.
	command := append([]string{
		"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300",
	}, args...)
	if os.Geteuid() != 0 {
		command = append([]string{"sudo"}, command...)
	}
	//nolint:gosec // The command is ours but for package names, also ours.
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = os.Stdin // sudo may ask for a password
	return withProgress(cmd, "apt-get "+args[0])
}

// install builds the program into bin unless its pinned version lies there.
func (p goProgram) install(ctx context.Context, bin string) error {
	name := path.Base(p.module)
	if p.pkg != "" {
		name = path.Base(p.pkg)
	}
	info, err := buildinfo.ReadFile(filepath.Join(bin, name))
	if err == nil && info.Main.Version == p.version {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Printf("%s is unusable and built again: %v\n", name, err)
	}
	fmt.Printf("building %s %s (%s the first time)\n", name, p.version, p.usual)
	//nolint:gosec // Module and version are pinned above.
	cmd := exec.CommandContext(ctx, "go", "install", path.Join(p.module, p.pkg)+"@"+p.version)
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "CGO_ENABLED=0")
	return withProgress(cmd, "building "+name)
}

// withProgress runs a command and shows its output only when it fails.
func withProgress(cmd *exec.Cmd, what string) error {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	// Asked to end, not killed: dpkg must not stop in the middle of a package.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	begun := time.Now()
	stop := announce(what)
	err := cmd.Run()
	stop()
	took := time.Since(begun).Round(time.Second)
	if err != nil {
		return fmt.Errorf("%s: %w after %s:\n%s", what, err, took, output.Bytes())
	}
	fmt.Printf("%s: done in %s\n", what, took)
	return nil
}

// announce prints every 15 seconds how long something has taken so far, until
// stop is called: nobody should wonder whether it hangs.
func announce(what string) (stop func()) {
	begun := time.Now()
	stopped := make(chan struct{})
	go func() {
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-tick.C:
				fmt.Printf("%s: %s so far\n", what, time.Since(begun).Round(time.Second))
			}
		}
	}()
	return func() { close(stopped) }
}
