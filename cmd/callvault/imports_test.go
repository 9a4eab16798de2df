package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// The rules bind what is shipped; a test may look into a database, a bucket
// or a workbook with whatever reads it. Only the walls between rooms hold for
// tests, too.

// rooms know the words they share, and never each other.
func rooms() []string {
	return []string{"callvault/webhook", "callvault/archive", "callvault/reports"}
}

// closed says all that these packages may import of this module.
func closed() map[string][]string {
	return map[string][]string{
		"callvault/internal/call":  {},
		"callvault/internal/audit": {},
		"callvault/internal/media": {"callvault/internal/call", "callvault/internal/media/gsm", "callvault/internal/media/layer3"},
		"callvault/internal/store": {"callvault/internal/call", "callvault/internal/audit"},

		"callvault/internal/media/gsm":    {},
		"callvault/internal/media/layer3": {},
	}
}

// reserved says who alone may import something.
func reserved() map[string][]string {
	return map[string][]string{
		"database/sql":                 {"callvault/internal/store"},
		"github.com/jackc/pgx":         {"callvault/internal/store"},
		"modernc.org/sqlite":           {"callvault/internal/store"},
		"github.com/pressly/goose":     {"callvault/internal/store"},
		"github.com/minio/minio-go":    {"callvault/archive"},
		"github.com/xuri/excelize":     {"callvault/reports"},
		"github.com/gorilla/mux":       {"callvault/webhook", "callvault/internal/console"},
		"callvault/internal/simulator": {"callvault/cmd", "callvault/internal/drill"},
		"callvault/internal/drill":     {"callvault/cmd"},
		"callvault/internal/testenv":   nil,
		"callvault/internal/bench":     nil,
		"callvault/cmd":                nil,
	}
}

// unshipped packages serve tests and benchmarks, and import what they need.
func unshipped() []string {
	return []string{"callvault/internal/testenv", "callvault/internal/bench"}
}

func TestImports(t *testing.T) {
	t.Parallel()
	packages := listPackages(t, "callvault/...")
	for _, name := range rooms() {
		if !slices.ContainsFunc(packages, func(p goPackage) bool { return p.ImportPath == name }) {
			t.Errorf("no package %s: has the room moved? Then its rules must, too", name)
		}
	}
	for _, fault := range faults(packages) {
		t.Error(fault)
	}
}

func TestImportFaultsAreFound(t *testing.T) {
	t.Parallel()
	packages := []goPackage{
		{ImportPath: "callvault/internal/call", Imports: []string{"time", "golang.org/x/text/cases"}},
		{ImportPath: "callvault/internal/audit", Imports: []string{"database/sql"}},
		{ImportPath: "callvault/internal/store", Imports: []string{"modernc.org/sqlite", "callvault/archive"}},
		{ImportPath: "callvault/archive", XTestImports: []string{"callvault/reports"}},
		{ImportPath: "callvault/archive", Imports: []string{"github.com/minio/minio-go/v7/pkg/credentials"}},
		{ImportPath: "callvault/webhook", Imports: []string{"github.com/minio/minio-go/v7", "callvault/archive"}},
		{ImportPath: "callvault/reports", TestImports: []string{"database/sql", "callvault/internal/testenv"}},
		{ImportPath: "callvault/internal/console", Imports: []string{"callvault/cmd/callvault", "callvault/reports"}},
		{ImportPath: "callvault/cmd/callvault", Imports: []string{"callvault/internal/testenv"}},
	}
	want := []string{
		"callvault/internal/call imports golang.org/x/text/cases, and may import the standard library only",
		"callvault/internal/audit imports database/sql, reserved for [callvault/internal/store]",
		"callvault/internal/store imports callvault/archive, " +
			"and of this module may import [callvault/internal/call callvault/internal/audit]",
		"callvault/archive imports callvault/reports in a test, another room",
		"callvault/webhook imports github.com/minio/minio-go/v7, reserved for [callvault/archive]",
		"callvault/webhook imports callvault/archive, another room",
		"callvault/internal/console imports callvault/cmd/callvault, reserved for []",
		"callvault/cmd/callvault imports callvault/internal/testenv, reserved for []",
	}
	if diff := cmp.Diff(want, faults(packages)); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s", diff)
	}
}

// faults returns a sentence for each import that a rule forbids.
func faults(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		for _, imported := range p.Imports {
			if why := forbidden(p.ImportPath, imported); why != "" {
				found = append(found, p.ImportPath+" imports "+imported+", "+why)
			}
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if crossesRooms(p.ImportPath, imported) {
				found = append(found, p.ImportPath+" imports "+imported+" in a test, another room")
			}
		}
	}
	return found
}

// forbidden returns why a package may not import another, "" if it may.
func forbidden(importer, imported string) string {
	if withinAny(importer, unshipped()) {
		return ""
	}
	// Only the standard library's paths begin without a domain or our name.
	first, _, _ := strings.Cut(imported, "/")
	own := first == "callvault"
	allowed, isClosed := closed()[importer]
	switch {
	case crossesRooms(importer, imported):
		return "another room"
	case isClosed && own && !slices.Contains(allowed, imported):
		return fmt.Sprintf("and of this module may import %v", allowed)
	case importer == "callvault/internal/call" && strings.Contains(first, "."):
		return "and may import the standard library only"
	}
	for parent, by := range reserved() {
		if within(imported, parent) && !within(importer, parent) && !withinAny(importer, by) {
			return fmt.Sprintf("reserved for %v", by)
		}
	}
	return ""
}

// crossesRooms tells whether both are rooms, and not the same.
func crossesRooms(importer, imported string) bool {
	return importer != imported && slices.Contains(rooms(), importer) && slices.Contains(rooms(), imported)
}

// withinAny tells whether an import path is one of parents or below one.
func withinAny(path string, parents []string) bool {
	return slices.ContainsFunc(parents, func(parent string) bool { return within(path, parent) })
}

// within tells whether an import path is parent or below it.
func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// listPackages asks the go command for packages and what they import.
func listPackages(t *testing.T, pattern string) []goPackage {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "list",
		"-json=ImportPath,Imports,TestImports,XTestImports", pattern).Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v: %s", err, failed.Stderr)
		}
		t.Fatal(err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, p)
	}
}
