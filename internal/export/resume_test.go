package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callvault/internal/call"
	"callvault/internal/export"
)

// TestResume ends a bundle after each recording in turn, and goes on with it:
// what was copied is not copied again, and the bundle is as if nothing had been.
func TestResume(t *testing.T) {
	t.Parallel()
	const n = 6
	h := newHouse(t)
	for i := range n {
		h.add(i, call.Archived)
	}
	h.add(n, call.Absent)
	want := makeBundle(t, h.options(t.TempDir()))
	for stop := range n + 1 {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		o := h.options(dir)
		o.Progress = func(done, _ int) {
			if done == stop+1 {
				cancel()
			}
		}
		if _, err := export.Make(ctx, o); stop < n-1 && !errors.Is(err, context.Canceled) {
			t.Errorf("stopped after %d: %v", stop, err)
		}
		h.opened = 0
		got := makeBundle(t, h.options(dir))
		if got.Recordings != want.Recordings || got.Missing != want.Missing || got.Calls != want.Calls {
			t.Errorf("stopped after %d: %+v", stop, got)
		}
		if left := max(0, n-stop-1); h.opened != left {
			t.Errorf("stopped after %d: %d recordings copied, want %d", stop, h.opened, left)
		}
		if checked := checkBundle(t, got.File, ""); len(checked.Faults) > 0 || checked.OK != n+9 {
			t.Errorf("stopped after %d: %+v", stop, checked)
		}
	}
}

// TestResumeAfterDamage goes on with bundles whose work folder a crash of the
// machine has damaged.
func TestResumeAfterDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func([]byte, string) []byte{
		"torn":         func(b []byte, _ string) []byte { return b[:len(b)-7] },
		"zeros":        func(b []byte, _ string) []byte { clear(b[len(b)-2000:]); return b },
		"gone":         func([]byte, string) []byte { return nil },
		"first byte":   func(b []byte, _ string) []byte { b[0] ^= 1; return b },
		"in the first": func(b []byte, _ string) []byte { b[500] ^= 1; return b },
		"longer":       func(b []byte, _ string) []byte { return append(b, b[:3000]...) },
		"list torn": func(b []byte, dir string) []byte {
			list := filepath.Join(dir, "done.jsonl")
			text, err := os.ReadFile(list)
			if err != nil {
				panic(err)
			}
			if err := os.WriteFile(list, append(text[:len(text)-9], 0, 0, '\n'), 0o600); err != nil {
				panic(err)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			for i := range 5 {
				h.add(i, call.Archived)
			}
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			o := h.options(dir)
			o.Progress = func(done, _ int) {
				if done == 3 {
					cancel()
				}
			}
			if _, err := export.Make(ctx, o); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "bundle.zip")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(text, dir), 0o600); err != nil {
				t.Fatal(err)
			}
			got := makeBundle(t, h.options(dir))
			if checked := checkBundle(t, got.File, ""); len(checked.Faults) > 0 || got.Recordings != 5 {
				t.Errorf("%+v, %+v", got, checked)
			}
		})
	}
}

// TestOtherRequest makes sure that a work folder is never gone on with for
// something else.
func TestOtherRequest(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	dir := t.TempDir()
	makeBundle(t, h.options(dir))
	o := h.options(dir)
	o.Request.Reason = "another"
	if _, err := export.Make(t.Context(), o); call.CodeOf(err) != call.Conflict {
		t.Errorf("another reason: %v", err)
	}
}

// TestVaultFaults lists what the vault does not give, and gives up, to be gone
// on with, when it gives nothing.
func TestVaultFaults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 3 {
		h.add(i, call.Archived)
	}
	h.broken, h.brokenKey = errors.New("503 SlowDown"), "calls/1."
	got := makeBundle(t, h.options(t.TempDir()))
	if got.Recordings != 2 || got.Missing != 1 {
		t.Errorf("one fault: %+v", got)
	}
	_, content := unpack(t, read(t, got.File))
	if text := string(content[export.MissingFile]); !strings.Contains(text, id(1001)+","+id(1)+",vault_fault,") || strings.Contains(text, "SlowDown") {
		t.Errorf("missing.csv: %s", text)
	}
	if checked := checkBundle(t, got.File, ""); len(checked.Faults) > 0 {
		t.Errorf("%+v", checked)
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestNamedCalls exports calls by their ids, for somebody who sees one group.
func TestNamedCalls(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	h.add(1, call.Archived).Group = "Sales"
	h.add(2, call.Archived)
	o := h.options(t.TempDir())
	o.Request.Filter, o.Request.Groups = nil, []string{"Billing"}
	o.Request.Calls = []string{id(2), "nothing", id(1), id(2)}
	got := makeBundle(t, o)
	if got.Calls != 1 || got.Recordings != 1 || got.Missing != 2 {
		t.Errorf("%+v", got)
	}
	names, content := unpack(t, read(t, got.File))
	for _, name := range names {
		if name == export.DeliveriesFile {
			t.Error("raw deliveries, which may tell of other groups' calls")
		}
		if name != export.MissingFile && name != export.ManifestFile && bytes.Contains(content[name], []byte(id(1))) {
			t.Errorf("%s tells of another group's call", name)
		}
	}
	for _, missing := range []string{"nothing", id(1)} {
		if !strings.Contains(string(content[export.MissingFile]), "call,"+missing+",,unknown,") {
			t.Errorf("missing.csv lacks %s: %s", missing, content[export.MissingFile])
		}
	}
	if checked := checkBundle(t, got.File, ""); len(checked.Faults) > 0 {
		t.Errorf("%+v", checked)
	}
	for _, wrong := range []export.Request{{}, {Filter: &call.Filter{}, Calls: []string{"x"}}, {Calls: make([]string, export.MaxCalls+1)}} {
		o := h.options(t.TempDir())
		o.Request = wrong
		if _, err := export.Make(t.Context(), o); call.CodeOf(err) != call.Invalid {
			t.Errorf("%d calls: %v", len(wrong.Calls), err)
		}
	}
}

// TestDeliveriesGone: requests whose term ended, before and while a bundle is
// made, are listed as missing.
func TestDeliveriesGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	h.add(1, call.Archived)
	h.add(2, call.Archived).Deliveries = nil
	h.onOpen = func(int) { delete(h.deliveries, 1) }
	got := makeBundle(t, h.options(t.TempDir()))
	_, content := unpack(t, read(t, got.File))
	if missing := string(content[export.MissingFile]); got.Missing != 2 || !strings.Contains(missing, "delivery,1,,expired,") || !strings.Contains(missing, "deliveries,,"+id(2)+",expired,") {
		t.Errorf("%+v with missing.csv %s", got, missing)
	}
	if checked := checkBundle(t, got.File, ""); len(checked.Faults) > 0 || checked.Missing != 2 {
		t.Errorf("%+v", checked)
	}
}

// TestNames holds what providers send against what systems take as names.
func TestNames(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, name := range []string{"../../etc/passwd", `C:\CON`, "a\x1b[31mb\n", "\u202eexe.wav", "राम शर्मा", "=cmd|' /C calc'!A0", strings.Repeat("x", 500), "", "..", "a/b:c*d?"} {
		d := h.add(i, call.Archived)
		d.Agent.Name, d.CustomerNumber = name, name
		h.objects[fmt.Sprintf("calls/%d.W:V", i)] = h.objects[d.Recordings[0].ObjectKey]
		d.Recordings[0].ObjectKey = fmt.Sprintf("calls/%d.W:V", i)
	}
	got := makeBundle(t, h.options(t.TempDir()))
	if checked := checkBundle(t, got.File, ""); len(checked.Faults) > 0 {
		t.Errorf("%+v", checked)
	}
	names, content := unpack(t, read(t, got.File))
	for _, name := range names {
		if len(name) > 255 || strings.ContainsAny(name, "\\:*?\"<>|\x1b\n\u202e") || strings.Contains(name, "..") {
			t.Errorf("name %q", name)
		}
	}
	if text := string(content[export.CallsCSVFile]); strings.Contains(text, ",=cmd") || !strings.Contains(text, ",'=cmd") {
		t.Errorf("a formula in %s", text)
	}
	folder := unzip(t, got.File)
	run(t, folder, "sha256sum", "-c", "--strict", "SHA256SUMS")
}

// TestFullDisk makes sure that a disk that is full is told in plain words.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	dir := t.TempDir()
	// Writing to it fails as on a full disk.
	if err := os.Symlink("/dev/full", filepath.Join(dir, "piece")); err != nil {
		t.Fatal(err)
	}
	_, err := export.Make(t.Context(), h.options(dir))
	if err == nil || !strings.Contains(err.Error(), "the disk of "+dir+" is full") {
		t.Errorf("error %v", err)
	}
}
