package archive_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/xattr"

	"callvault/archive"
)

func TestDirectory(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	testVault(t, func(t *testing.T) archive.Vault { return openDirectory(t, folder) },
		keepsAttributes(t, folder))
}

func openDirectory(t *testing.T, folder string) *archive.Directory {
	t.Helper()
	d, err := archive.OpenDirectory(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIt(t, d) })
	return d
}

// keepsAttributes says whether the file system of a folder has extended
// attributes, without which a directory keeps no metadata.
func keepsAttributes(t *testing.T, folder string) bool {
	t.Helper()
	err := xattr.Set(folder, "user.callvault-test", []byte("x"))
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	return err == nil
}

func TestDirectoryKeepsFilesPrivateAndReadOnly(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "recordings")
	put(t, openDirectory(t, folder), "calls/2026/a.wav", "audio")
	for name, want := range map[string]fs.FileMode{
		"": 0o700 | fs.ModeDir, "calls": 0o700 | fs.ModeDir, "calls/2026/a.wav": 0o400,
	} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%q: mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestDirectoryLeavesNothingHalfWritten(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := openDirectory(t, folder)
	put(t, d, "a", "x")
	failed := errors.New("disk on fire")
	if err := d.Put(t.Context(), "b", failingReader{failed}, describe([]byte("xx"))); !errors.Is(err, failed) {
		t.Errorf("got %v, want %v", err, failed)
	}
	if err := d.Put(t.Context(), "a", strings.NewReader("y"), describe([]byte("y"))); !errors.Is(err, archive.ErrExists) {
		t.Errorf("got %v, want %v", err, archive.ErrExists)
	}
	if err := d.Check(t.Context()); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(filepath.Join(folder, ".incoming"))
	if err != nil || len(entries) != 0 {
		t.Errorf("in .incoming: %v, %v", entries, err)
	}
}

type failingReader struct{ err error }

func (r failingReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestDirectoryClearsAwayWhatAKilledProcessLeft(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	incoming := filepath.Join(folder, ".incoming")
	if err := os.Mkdir(incoming, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": 0} {
		path := filepath.Join(incoming, name)
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	openDirectory(t, folder)
	entries, err := os.ReadDir(incoming)
	if err != nil || len(entries) != 1 || entries[0].Name() != "new" {
		t.Errorf("in .incoming: %v, %v, want only what is new", entries, err)
	}
}

func TestDirectoryIsNotLedOutside(t *testing.T) {
	t.Parallel()
	folder, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	d := openDirectory(t, folder)
	if r, _, err := d.Open(t.Context(), "link/secret", 0, -1); err == nil {
		t.Error("read through a link to the outside")
		closeIt(t, r)
	}
	if err := d.Put(t.Context(), "link/a", strings.NewReader("x"), describe([]byte("x"))); err == nil {
		t.Error("wrote through a link to the outside")
	}
	if err := d.Delete(t.Context(), "link/secret"); err == nil {
		t.Error("deleted through a link to the outside")
	}
	if keys := list(t, d, ""); len(keys) != 0 {
		t.Errorf("listed: %v", keys)
	}
}

func TestDirectoryAdoptsAFileWithoutAttributes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := openDirectory(t, folder)
	if err := os.WriteFile(filepath.Join(folder, "a.wav"), []byte("audio"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := archive.PutOnce(t.Context(), d, "a.wav", strings.NewReader("audio"), describe([]byte("audio")))
	if err != nil {
		t.Error(err)
	}
}

func TestDirectoryCheckNoticesAVanishedFolder(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "vault")
	d := openDirectory(t, folder)
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(t.Context()); err == nil {
		t.Error("a vault whose folder is gone is called writable")
	}
}
