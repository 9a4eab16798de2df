package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBackup copies the database of a server that takes reports, and starts
// another one on the copy.
func TestBackup(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	p := in.start(t)
	l := newLoad(in)
	l.post(t.Context(), p.url, 30)
	file := filepath.Join(t.TempDir(), "copy.db")
	got := commandJSON[struct{ Size int64 }](t, "backup", file, "--data", in.data)
	info, err := os.Stat(file)
	if err != nil || info.Size() != got.Size || info.Mode().Perm() != 0o600 {
		t.Fatalf("%+v: %v, %v", got, info, err)
	}
	if copies := in.logged(t, "database.copied"); len(copies) != 1 || !strings.Contains(string(copies[0].Facts), "copy.db") {
		t.Errorf("that the database was copied is logged as %+v", copies)
	}
	if twice := command(t, "", "backup", file, "--data", in.data); twice.status != exitWrong || !strings.Contains(twice.stderr, "already") {
		t.Errorf("a file was replaced: %+v", twice)
	}
	p.stop(syscall.SIGTERM)
	again := in
	again.data = t.TempDir()
	again.configure(t, storage{}, "")
	for _, name := range []string{databaseFile, "audit.key"} {
		from := filepath.Join(in.data, name)
		if name == databaseFile {
			from = file
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(again.data, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	restored, _ := again.openStored(t)
	q, err := restored.QueueStats(t.Context())
	if err != nil || q.Pending+q.Archived < 30 {
		t.Errorf("%+v recordings in the copy: %v", q, err)
	}
	again.start(t).stop(syscall.SIGTERM)
	on := install(t, storage{dsn: "postgres://localhost/none"}, anySize(), "")
	if said := command(t, "", "backup", filepath.Join(t.TempDir(), "x"), "--data", on.data); said.status != exitWrong || !strings.Contains(said.stderr, "pg_dump") {
		t.Errorf("on PostgreSQL: %+v", said)
	}
}
