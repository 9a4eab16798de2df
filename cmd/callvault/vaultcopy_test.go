package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// copyResult is what `vault copy --json` gives.
type copyResult struct {
	Copied, Present, Protected, Bytes int64
	Faults, Notices                   []call.Fault
}

// daily is a report that is built by hand.
const daily = "reports: [{name: daily, schedule: \"0 0 * * *\"}]\n"

// moved writes the configuration of the same installation with another vault.
func (in installation) moved(t *testing.T, s storage, more string) (file string) {
	t.Helper()
	next := in
	next.data = t.TempDir()
	next.configure(t, s, more)
	return filepath.Join(next.data, config.FileName)
}

// switchTo makes the installation use another configuration, and returns where
// the one of before is kept.
func (in installation) switchTo(t *testing.T, file string) (old string) {
	t.Helper()
	current := filepath.Join(in.data, config.FileName)
	old = filepath.Join(t.TempDir(), "old.yaml")
	for _, c := range [][2]string{{current, old}, {file, current}} {
		text, err := os.ReadFile(c[0])
		if err == nil {
			err = os.WriteFile(c[1], text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return old
}

// objects counts what lies in the vault of a configuration.
func (in installation) objects(t *testing.T, file string) (n int64) {
	t.Helper()
	c, err := config.Load(config.Options{File: file, Data: in.data})
	if err != nil {
		t.Fatal(err)
	}
	v, err := openVault(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range v.List(t.Context(), "") {
		if err != nil {
			return 0 // the bucket may not be there yet
		}
		n++
	}
	return n
}

// cut begins a copy and ends it by a signal in its middle.
func (in installation) cut(t *testing.T, file string, s syscall.Signal) (result copyResult, stderr string) {
	t.Helper()
	cmd := in.program("vault", "copy", "--to", file, "--rate", "250KiB/s", "--json")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	before := in.objects(t, file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some is copied", func() bool { return in.objects(t, file) >= before+3 })
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("it was not cut, but ended: %s", &out)
	}
	if s != syscall.SIGKILL {
		if err := json.Unmarshal(out.Bytes(), &result); err != nil || cmd.ProcessState.ExitCode() != exitWrong {
			t.Errorf("%v, %v: %s", cmd.ProcessState, err, &out)
		}
	}
	return result, errs.String()
}

// busy is an installation that runs, with 60 calls, of which one is held, and a
// report.
func busy(t *testing.T, more string) (installation, *program, *load) {
	t.Helper()
	in := install(t, storage{}, anySize(), more)
	p := in.start(t)
	l := newLoad(in)
	l.post(t.Context(), p.url, 60)
	in.settle(t)
	s, _ := in.openStored(t)
	found, _, err := s.FindCalls(t.Context(), call.Filter{Recording: call.Archived, Limit: 1})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d calls: %v", len(found), err)
	}
	if got := command(t, "", "hold", "place", "case 12", "--reason", "letter of 3 March", "--call", found[0].ID, "--data", in.data); got.status != exitDone {
		t.Fatalf("hold: %+v", got)
	}
	commandJSON[map[string]any](t, "report", "daily", "--date", found[0].StartedAt.Format(time.DateOnly), "--data", in.data, "--out", t.TempDir())
	return in, p, l
}

// TestVaultCopy moves an installation from its directory into a bucket with
// compliance lock, as the handbook says, while calls come in and the copy is
// killed; then to another bucket, and back into a directory.
func TestVaultCopy(t *testing.T) {
	t.Parallel()
	in, p, l := busy(t, threeYear+daily)
	first, second := testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}), testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true})
	locked := in.moved(t, storage{bucket: &first, s3: lockOn}, threeYear+daily)

	in.cut(t, locked, syscall.SIGKILL)
	got, said := in.cut(t, locked, syscall.SIGINT)
	if got.Copied == 0 || got.Present == 0 || !strings.Contains(said, "interrupted") {
		t.Errorf("a second copy that was interrupted: %+v, %s", got, said)
	}
	l.post(t.Context(), p.url, 20)
	kept := in.objects(t, locked)
	got = commandJSON[copyResult](t, "vault", "copy", "--to", locked, "--data", in.data)
	if got.Present < kept || got.Copied == 0 || len(got.Faults)+len(got.Notices) > 0 {
		t.Errorf("it goes on: %+v, %d were there", got, kept)
	}
	// What comes before the switch is copied after it.
	l.post(t.Context(), p.url, 20)
	in.settle(t)
	p.stop(syscall.SIGTERM)
	before := in.switchTo(t, locked)
	p = in.start(t)
	l.post(t.Context(), p.url, 5)
	got = commandJSON[copyResult](t, "vault", "copy", "--config", before, "--to", filepath.Join(in.data, config.FileName), "--data", in.data)
	if got.Copied < 20 || len(got.Faults)+len(got.Notices) > 0 {
		t.Errorf("the rest: %+v", got)
	}
	// What the server promised of an object while it was being copied, the next
	// copy makes good.
	got = commandJSON[copyResult](t, "vault", "copy", "--config", before, "--to", filepath.Join(in.data, config.FileName), "--data", in.data)
	if got.Copied > 0 || len(got.Faults)+len(got.Notices) > 0 {
		t.Errorf("nothing is left: %+v", got)
	}
	in.checkVault(t, p, "the bucket")
	checkLockedIn(t, in)
	// A directory promises nothing of what is kept for ever, a bucket does.
	commandJSON[map[string]any](t, "retention", "apply", "--data", in.data)
	for _, prefix := range []string{"reports/", "seals/", "journal/"} {
		n := 0
		_, v := in.openStored(t)
		for o, err := range v.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			if p, err := v.Protection(t.Context(), o.Key); err != nil || p.Until.Before(time.Now().AddDate(2, 0, 0)) {
				t.Errorf("%s is locked until %v, %v", o.Key, p.Until, err)
			}
			n++
		}
		if n == 0 {
			t.Errorf("nothing lies below %s", prefix)
		}
	}

	s, _ := in.openStored(t)
	entries, err := s.AuditEntries(t.Context(), 0, 5000)
	if err != nil {
		t.Fatal(err)
	}
	var copies []string
	for _, e := range entries {
		if e.Action == audit.VaultCopied || e.Action == audit.VaultCopyBegun {
			copies = append(copies, string(e.Action))
			if f := string(e.Facts); !strings.Contains(f, `"from":"directory `+in.data) || !strings.Contains(f, `"to":"bucket `+first.Name+` at `+first.Endpoint) ||
				strings.Contains(f, first.SecretKey) || strings.Contains(f, first.AccessKey) || e.Actor.Kind != audit.KindCommand {
				t.Errorf("entry %+v: %s", e, f)
			}
		}
	}
	// Of the one that was killed only that it began.
	want := append([]string{"vault.copy_begun"}, slices.Repeat([]string{"vault.copy_begun", "vault.copied"}, 4)...)
	if !slices.Equal(copies, want) {
		t.Errorf("the log says %v", copies)
	}

	governance := in.moved(t, storage{bucket: &second, s3: "object_lock: governance"}, threeYear+daily)
	directory := in.moved(t, storage{}, threeYear+daily+"vault: {directory: "+t.TempDir()+"}\n")
	for name, to := range map[string]string{"another bucket": governance, "a directory": directory} {
		got := commandJSON[copyResult](t, "vault", "copy", "--to", to, "--data", in.data)
		again := commandJSON[copyResult](t, "vault", "copy", "--to", to, "--data", in.data, "--verify")
		if again.Present < got.Copied || again.Copied > 1 || len(got.Faults)+len(got.Notices)+len(again.Faults)+len(again.Notices) > 0 {
			t.Errorf("%s: %+v, again %+v", name, got, again)
		}
	}
	p.stop(syscall.SIGTERM)
	for name, to := range map[string]string{"another bucket": governance, "a directory": directory} {
		commandJSON[copyResult](t, "vault", "copy", "--to", to, "--data", in.data)
		old := in.switchTo(t, to)
		in.checkVault(t, nil, name)
		in.switchTo(t, old)
	}
}

// settle waits until no recording is waited for.
func (in installation) settle(t *testing.T) {
	t.Helper()
	s, _ := in.openStored(t)
	eventually(t, "all recordings are settled", func() bool {
		q, err := s.QueueStats(context.WithoutCancel(t.Context()))
		return err == nil && q.Pending == 0
	})
}

// checkVault makes sure that the vault that is in use has everything: verify
// finds no fault, and rebuild makes the same rows from it.
func (in installation) checkVault(t *testing.T, running *program, name string) {
	t.Helper()
	in.settle(t)
	if got, status := in.verify(t); status != exitDone || got.OK != got.Checked || len(got.Notices) > 0 {
		t.Errorf("%s: verify ends with %d: %+v", name, status, got)
	}
	if running != nil {
		return // its journal is not at its end
	}
	before := tables(t, in, storage{})
	again := in
	again.data = t.TempDir()
	in.share(t, again, config.FileName)
	got := commandJSON[rebuildResult](t, "rebuild", "--data", again.data)
	after := tables(t, again, storage{})
	for _, table := range []string{"deliveries", "delivery_items", "legs", "calls", "call_keys", "recordings", "holds", "hold_calls"} {
		if diff := cmp.Diff(before[table], after[table]); diff != "" {
			t.Errorf("%s: %s differs after a rebuild (-before +after):\n%.2000s", name, table, diff)
		}
	}
	if len(before["recordings"]) == 0 || len(got.Missing)+len(got.Unknown)+len(got.Faults) > 0 {
		t.Errorf("%s: rebuild gives %+v", name, got)
	}
}

// checkLockedIn makes sure that every recording is locked for as long as its row
// says, and held if its call is.
func checkLockedIn(t *testing.T, in installation) {
	t.Helper()
	s, v := in.openStored(t)
	held := 0
	page, err := s.RecordingsByKey(t.Context(), "", "", 5000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page {
		if r.State != call.Archived {
			continue
		}
		info, err := v.Stat(t.Context(), r.ObjectKey)
		if err != nil || info.LockMode != archive.Compliance || info.Protection.Until.Before(r.RetainUntil) || r.RetainUntil.IsZero() ||
			info.MediaType != r.MediaType || info.Metadata["recording-id"] != r.ID {
			t.Errorf("%s: %+v, %v; promised until %v", r.ObjectKey, info, err, r.RetainUntil)
		}
		if info.Protection.Hold {
			held++
		}
	}
	if held == 0 {
		t.Error("no copy is held")
	}
}

// TestVaultCopyFaults: an operator sees what is wrong, and by the status.
func TestVaultCopyFaults(t *testing.T) {
	t.Parallel()
	vault, other := t.TempDir(), t.TempDir()
	in, p, _ := busy(t, "vault: {directory: "+vault+"}\n"+daily)
	p.stop(syscall.SIGTERM)
	to := in.moved(t, storage{}, "vault: {directory: "+other+"}\n")
	recordings, err := filepath.Glob(filepath.Join(vault, "calls", "*", "*", "*", "*", "*.*"))
	if err != nil || len(recordings) < 3 {
		t.Fatalf("recordings: %v, %v", recordings, err)
	}
	overwrite := func(file string) {
		t.Helper()
		err := os.MkdirAll(filepath.Dir(file), 0o700)
		if err == nil {
			err = os.WriteFile(file+".new", []byte("altered"), 0o400)
		}
		if err == nil {
			err = os.Rename(file+".new", file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	overwrite(recordings[0])
	overwrite(strings.Replace(recordings[1], vault, other, 1))
	if err := os.Remove(recordings[2]); err != nil {
		t.Fatal(err)
	}
	got := command(t, "", "vault", "copy", "--to", to, "--data", in.data, "--json")
	var result copyResult
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		t.Fatal(err)
	}
	var found, want []string
	for _, f := range result.Faults {
		found = append(found, string(f.Kind)+" "+f.Where)
	}
	slices.Sort(found)
	for i, kind := range []string{"mismatch", "conflict", "missing"} {
		want = append(want, kind+" "+strings.TrimPrefix(recordings[i], vault+"/"))
	}
	slices.Sort(want)
	if got.status != exitWrong || !slices.Equal(found, want) || !strings.Contains(got.stderr, "3 objects are not in the other vault") {
		t.Errorf("status %d, %q, want %q\n%s", got.status, found, want, got.stderr)
	}
	for _, tt := range []struct{ name, vault, want string }{
		{"the same vault", "vault: {directory: " + vault + "}\n", "is the one that is copied from"},
		{"no such key", "vault: {folder: " + vault + "}\n", "cannot be used"},
	} {
		if got := command(t, "", "vault", "copy", "--to", in.moved(t, storage{}, tt.vault), "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	if got := command(t, "", "vault", "copy", "--to", filepath.Join(other, "no.yaml"), "--data", in.data); got.status != exitWrong {
		t.Errorf("a file that is not there: %+v", got)
	}
}
