package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/export"
)

// exportedCalls starts an installation with so many calls, all of them with a
// recording that is archived but the last, whose provider's host is forbidden.
func exportedCalls(t *testing.T, s storage, n int) (installation, *program) {
	t.Helper()
	in := install(t, s, anySize(), "")
	p := in.start(t)
	l := newLoad(in)
	for i := range n {
		if i == n-1 {
			l.provider = "http://forbidden.example.org"
		}
		if !l.one(t.Context(), p.url, fmt.Sprintf("1763700000.%d", i)) {
			t.Fatal("a report was not taken")
		}
	}
	stored, _ := in.openStored(t)
	eventually(t, "all recordings are settled", func() bool {
		q, err := stored.QueueStats(t.Context())
		return err == nil && q.Pending == 0 && q.Refused > 0
	})
	return in, p
}

// ask sends a request to the API and decodes its answer.
func ask[T any](t *testing.T, method, url, token, body string) (v T) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		t.Fatalf("%s %s: %v in %s", method, url, err, answer)
	}
	return v
}

// inFolder runs one of the system's programs.
func inFolder(t *testing.T, folder, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = folder
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
}

// TestExport makes bundles by command and by API, checks them with the system's
// tools and with verify, and changes one.
func TestExport(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		const n = 12
		in, p := exportedCalls(t, s, n)
		out := filepath.Join(t.TempDir(), "case 7.zip")
		made := commandJSON[exported](t, "export", "--out", out, "--reason", "court order 7/2026", "--from", "2026-11-20", "--data", in.data)
		if made.Calls != n || made.Recordings != n-1 || made.Missing != 1 || made.Altered != 0 || made.File != out {
			t.Errorf("made %+v", made)
		}
		in.checkBundle(t, out, made)

		token := commandJSON[map[string]string](t, "token", "add", "meera", "--role", "compliance", "--data", in.data)["token"]
		type job struct {
			ID, State, Error        string
			Calls, Recordings, Size int
		}
		asked := ask[job](t, http.MethodPost, p.url+"/api/v1/exports", token, `{"filter": {"account": "sales"}, "reason": "court order 7/2026"}`)
		eventually(t, "the bundle is ready", func() bool {
			asked = get[job](t, p.url+"/api/v1/exports/"+asked.ID, token)
			if asked.State == "failed" {
				t.Fatalf("%+v", asked)
			}
			return asked.State == "ready"
		})
		if asked.Calls != n || asked.Recordings != n-1 {
			t.Errorf("asked for %+v", asked)
		}
		file := p.url + "/api/v1/exports/" + asked.ID + "/file"
		whole := slices.Concat(fetch(t, file, token, "bytes=0-99999"), fetch(t, file, token, "bytes=100000-"))
		if len(whole) != asked.Size {
			t.Errorf("%d bytes of %d", len(whole), asked.Size)
		}
		fetched := filepath.Join(t.TempDir(), "fetched.zip")
		if err := os.WriteFile(fetched, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		checked := commandJSON[verdict](t, "verify", "--bundle", fetched, "--key", made.Fingerprint)
		if checked.Verdict != verdictSigned || checked.Custody < n {
			t.Errorf("fetched: %+v", checked)
		}
		_, vault := in.openStored(t)
		if removed := ask[job](t, http.MethodDelete, p.url+"/api/v1/exports/"+asked.ID, token, ""); removed.State != "removed" {
			t.Errorf("removed: %+v", removed)
		}
		eventually(t, "the bundle is out of the vault", func() bool {
			for o, err := range vault.List(t.Context(), "exports/") {
				if err != nil {
					t.Fatal(err)
				}
				return o.Key == ""
			}
			return true
		})
		p.stop(syscall.SIGTERM)
	})
}

// fetch reads a range of a file.
func fetch(t *testing.T, url, token, bytes string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Range", bytes)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusPartialContent {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return content
}

// checkBundle checks a bundle as a recipient does, and what the audit log says
// of it.
func (in installation) checkBundle(t *testing.T, file string, made exported) {
	t.Helper()
	folder := t.TempDir()
	inFolder(t, folder, "unzip", "-q", file)
	inFolder(t, folder, "sha256sum", "-c", "--strict", "SHA256SUMS")
	manifest, err := os.ReadFile(filepath.Join(folder, export.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(manifest)
	s, _ := in.openStored(t)
	seqs, err := s.AuditAbout(t.Context(), []string{"export/" + made.Bundle})
	if err != nil || len(seqs) != 1 {
		t.Fatalf("entries about the export: %v, %v", seqs, err)
	}
	entries, err := s.AuditEntries(t.Context(), seqs[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	var facts audit.ExportFacts
	if err := json.Unmarshal(entries[0].Facts, &facts); err != nil {
		t.Fatal(err)
	}
	if facts.ManifestSHA256 != hex.EncodeToString(sum[:]) || entries[0].Action != audit.ExportMade || entries[0].Reason != "court order 7/2026" || entries[0].Actor.Kind != audit.KindCommand {
		t.Errorf("the log says %+v", entries[0])
	}

	// Neither database nor data folder: only the file.
	checked := commandJSON[verdict](t, "verify", "--bundle", file, "--data", filepath.Join(folder, "nothing"))
	if checked.Verdict != verdictNoKey || checked.Fingerprint != made.Fingerprint || checked.SignerChecked || checked.Checked.Checked != checked.OK || checked.Missing != 1 {
		t.Errorf("without a key: %+v", checked)
	}
	if got := command(t, "", "verify", "--bundle", file); got.status != exitDone || !strings.Contains(got.stdout, "consistent, signer not checked") || !strings.Contains(got.stdout, made.Fingerprint) {
		t.Errorf("for people: %+v", got)
	}
	if got := command(t, "", "verify", "--bundle", file, "--key", strings.Repeat("0", 64)); got.status != exitWrong || !strings.Contains(got.stdout, "signed by the key "+made.Fingerprint) {
		t.Errorf("another key: %+v", got)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := firstAudio(t, whole)
	whole[bytes.Index(whole, []byte(name))+len(name)+2000] ^= 1
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, "", "verify", "--bundle", file, "--key", made.Fingerprint); got.status != exitWrong || !strings.Contains(got.stdout, name) {
		t.Errorf("changed: %+v", got)
	}
	if got := command(t, "", "export", "--out", file, "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "exists already") {
		t.Errorf("over another file: %+v", got)
	}
	for _, args := range [][]string{
		{"export"},
		{"export", "--out", "x.zip", "--call", "x", "--number", "1"},
		{"export", "--out", "x.zip", "--outcome", "x"},
		{"verify", "--key", "x"},
		{"verify", "--bundle", file, "--from", "2026-11-20"},
	} {
		if got := command(t, "", append(args, "--data", in.data)...); got.status != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func firstAudio(t *testing.T, whole []byte) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return strings.HasPrefix(f.Name, "audio/") })
	if i < 0 {
		t.Fatal("no audio in the bundle")
	}
	return z.File[i].Name
}

// TestExportKilled kills exports by SIGKILL in the middle, the command's and
// the server's: both are gone on with.
func TestExportKilled(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		const n = 150
		in, p := exportedCalls(t, s, n)
		token := commandJSON[map[string]string](t, "token", "add", "meera", "--role", "compliance", "--data", in.data)["token"]

		out := filepath.Join(t.TempDir(), "case.zip")
		args := []string{"export", "--out", out, "--reason", "why"}
		c := in.program(args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		done := filepath.Join(out+".partial", "done.jsonl")
		eventually(t, "the command has copied something", func() bool { return lines(done) > 2 })
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err == nil {
			t.Fatal("the command ended before it was killed")
		}
		if got := command(t, "", "export", "--out", out, "--reason", "another", "--data", in.data); got.status != exitWrong || !strings.Contains(got.stderr, "another export") {
			t.Errorf("with other flags: %+v", got)
		}
		made := commandJSON[exported](t, append(args, "--data", in.data)...)
		if made.Calls != n || made.Recordings != n-1 {
			t.Errorf("made %+v", made)
		}
		if _, err := os.Stat(out + ".partial"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the work folder is left: %v", err)
		}
		commandJSON[verdict](t, "verify", "--bundle", out, "--key", made.Fingerprint)

		type job struct {
			ID, State  string
			Recordings int
			Attempts   int
		}
		asked := ask[job](t, http.MethodPost, p.url+"/api/v1/exports", token, `{"filter": {"account": "sales"}, "reason": "why"}`)
		done = filepath.Join(in.data, "spool", "exports", asked.ID, "done.jsonl")
		eventually(t, "the server has copied something", func() bool { return lines(done) > 2 })
		p.stop(syscall.SIGKILL)
		if lines(done) == 0 {
			t.Fatal("the job was done before the server was killed")
		}
		p = in.start(t)
		eventually(t, "the bundle is ready", func() bool {
			asked = get[job](t, p.url+"/api/v1/exports/"+asked.ID, token)
			return asked.State == "ready"
		})
		if asked.Recordings != n-1 || asked.Attempts != 2 {
			t.Errorf("%+v", asked)
		}
		fetched := filepath.Join(t.TempDir(), "fetched.zip")
		if err := os.WriteFile(fetched, fetch(t, p.url+"/api/v1/exports/"+asked.ID+"/file", token, "bytes=0-"), 0o600); err != nil {
			t.Fatal(err)
		}
		commandJSON[verdict](t, "verify", "--bundle", fetched, "--key", made.Fingerprint)
		p.stop(syscall.SIGTERM)
	})
}

// lines counts the lines of a file, 0 if it is not there.
func lines(name string) int {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte("\n"))
}

// TestExportNamed exports named calls, one of which is not there, and what was
// altered in the vault.
func TestExportNamed(t *testing.T) {
	t.Parallel()
	in, p := exportedCalls(t, storage{}, 3)
	s, _ := in.openStored(t)
	var ids []string
	var altered string
	err := s.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error {
		ids = append(ids, "--call", c.ID)
		if r := c.Recordings[0]; r.State == call.Archived && altered == "" {
			altered = filepath.Join(in.data, "recordings", filepath.FromSlash(r.ObjectKey))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(altered, 0o600), os.WriteFile(altered, []byte("another"), 0o600)); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "named.zip")
	made := commandJSON[exported](t, append([]string{"export", "--out", out, "--call", "nothing", "--data", in.data}, ids...)...)
	if made.Calls != 3 || made.Recordings != 1 || made.Missing != 3 || made.Altered != 1 {
		t.Errorf("made %+v", made)
	}
	folder := t.TempDir()
	inFolder(t, folder, "unzip", "-q", out)
	missing, err := os.ReadFile(filepath.Join(folder, export.MissingFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{",altered,", ",refused,", "call,nothing,,unknown,"} {
		if !strings.Contains(string(missing), why) {
			t.Errorf("missing.csv lacks %s:\n%s", why, missing)
		}
	}
	if checked := commandJSON[verdict](t, "verify", "--bundle", out); checked.Verdict != verdictNoKey {
		t.Errorf("%+v", checked)
	}
	// What is refused leaves nothing behind, whatever was asked for.
	empty := t.TempDir()
	for _, tt := range []struct {
		out, says string
		args      []string
		status    int
	}{
		{"none/x.zip", "no such file", nil, exitWrong},
		{"x.zip", "are wrong", []string{"--as", "nobody"}, exitWrong},
		{"x.zip", "from is after to", []string{"--from", "2026-11-21", "--to", "2026-11-01"}, exitUsage},
	} {
		got := command(t, "", append([]string{"export", "--data", in.data, "--out", filepath.Join(empty, tt.out)}, tt.args...)...)
		if left, err := os.ReadDir(empty); got.status != tt.status || !strings.Contains(got.stderr, tt.says) || err != nil || len(left) > 0 {
			t.Errorf("%v: %+v; left behind: %v, %v", tt, got, left, err)
		}
	}
	p.stop(syscall.SIGTERM)
}
