package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"callvault/internal/simulator"
)

// TestReadOnlyRoot runs the program as a container with a read-only root file
// system does, without a temporary folder: it receives, archives recordings
// that are too large for memory, and builds and mails a report.
func TestReadOnlyRoot(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	forEachStorage(t, func(t *testing.T, s storage) {
		in := install(t, s, simulator.NewServer(simulator.ServerOptions{AnySize: size}), "reports: [{name: daily, recipients: [ops@example.org]}]\n")
		// Where mounting is not allowed, in a container for instance, only the
		// temporary folder is missing.
		in.sealed = exec.CommandContext(t.Context(), "unshare", "--mount", "true").Run() == nil
		t.Logf("nothing but the data folder can be written: %v", in.sealed)
		p := in.start(t)
		l := newLoad(in)
		l.post(t.Context(), p.url, 5)
		in.checkKept(t, l)
		_, v := in.openStored(t)
		for o, err := range v.List(t.Context(), "calls/") {
			if err != nil || o.Size != size {
				t.Errorf("%s has %d bytes, %v", o.Key, o.Size, err)
			}
		}
		var said strings.Builder
		report := in.program("report", "daily", "--date", "2026-11-20", "--out", filepath.Join(in.data, "out"), "--send", "--json")
		report.Stderr = &said
		output, err := report.Output()
		if err != nil {
			t.Fatalf("report: %v: %s", err, said.String())
		}
		var built struct{ Files []string }
		if err := json.Unmarshal(output, &built); err != nil || len(built.Files) != 4 {
			t.Errorf("report: %v in %s", err, output)
		}
		if mails, err := writtenMails(in.data); err != nil || len(mails) != 1 {
			t.Errorf("mails: %v, %v", mails, err)
		}
		p.stop(syscall.SIGTERM)
	})
}
