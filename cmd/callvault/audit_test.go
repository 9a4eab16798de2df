package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"callvault/internal/audit"

	"golang.org/x/mod/sumdb/tlog"
)

// headAnswer is what `callvault audit head --json` gives.
type headAnswer struct {
	audit.Head
	Seal, Key, Fingerprint string
}

// TestAuditCommands: the first start makes a key and seals the log; what
// `audit export` writes hashes to the head without any help of Callvault; acts
// of commands are the operating system's user's.
func TestAuditCommands(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	p := in.start(t)
	info, err := os.Stat(filepath.Join(in.data, "audit.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key: %v, %v", info, err)
	}
	token := commandJSON[map[string]string](t, "token", "add", "crm", "--role", "compliance", "--data", in.data)["token"]
	get[map[string]any](t, p.url+"/api/v1/calls?number=5678&reason=a+drill", token)
	get[map[string]any](t, p.url+"/api/v1/audit/head", token)
	for _, path := range []string{"/webhook/sales/wrong-token-0123456789", "/api/v1/calls"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	p.stop(syscall.SIGTERM)

	head := commandJSON[headAnswer](t, "audit", "head", "--data", in.data)
	seal, err := audit.OpenSeal(head.Seal, head.Key)
	if err != nil || seal.Size < 2 || seal.Size > head.Size {
		t.Fatalf("sealed at the end is %+v, and the head is %+v: %v", seal, head.Head, err)
	}
	kept, err := os.ReadFile(filepath.Join(in.data, "recordings", filepath.FromSlash(seal.ObjectKey())))
	if err != nil || string(kept) != head.Seal {
		t.Errorf("in the vault is %q: %v", kept, err)
	}
	if head.Fingerprint != audit.Fingerprint(head.Key) {
		t.Errorf("the fingerprint is %s", head.Fingerprint)
	}

	export := command(t, "", "audit", "export", "--data", in.data)
	var leaves [][32]byte
	for line := range bytes.Lines([]byte(export.stdout)) {
		leaves = append(leaves, sha256.Sum256(append([]byte{0}, bytes.TrimSuffix(line, []byte("\n"))...)))
	}
	// The copy is a look, and the last entry says so.
	if !strings.Contains(export.stdout, `"action":"log.searched"`) || int64(len(leaves)) != head.Size+1 {
		t.Fatalf("%d lines are copied of a log of %d:\n%s", len(leaves), head.Size, export.stdout)
	}
	if root := rootOf(leaves[:head.Size]); tlog.Hash(root) != head.Hash {
		t.Errorf("%d lines have the root %x, and the head is %+v", len(leaves), root, head.Head)
	}
	if root := rootOf(leaves[:seal.Size]); tlog.Hash(root) != seal.Hash {
		t.Errorf("what was sealed has the root %x, and the seal says %s", root, seal.Hash)
	}

	list := commandJSON[struct{ Entries []audit.Entry }](t, "audit", "list", "--action", "token.", "--data", in.data)
	if len(list.Entries) != 1 || list.Entries[0].Subject != "token/crm" || list.Entries[0].Actor != commandActor() {
		t.Errorf("entries are %+v", list.Entries)
	}
	// What waited in memory is in the log when the program has ended.
	for action, want := range map[string]string{
		"calls.searched":    `{"number":"5678"}`,
		"strangers.refused": `"counts":{"api_unauthorized":1,"webhook_404":1}}`,
	} {
		list := commandJSON[struct{ Entries []audit.Entry }](t, "audit", "list", "--action", action, "--data", in.data)
		if len(list.Entries) != 1 || !strings.HasSuffix(string(list.Entries[0].Facts), want) {
			t.Errorf("entries of %s are %+v", action, list.Entries)
		}
	}
	for _, action := range []string{"nonsense", "nonsense.", "recording", "call.view", "."} {
		got := command(t, "", "audit", "list", "--action", action, "--data", in.data)
		if got.status != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, strconv.Quote(action)) || !strings.Contains(got.stderr, "docs/compliance.md") {
			t.Errorf("--action %s: status %d, %s%s", action, got.status, got.stdout, got.stderr)
		}
	}
	text := command(t, "", "audit", "list", "--action", "token.added", "--data", in.data)
	if !strings.Contains(text.stdout, "command "+commandActor().Name+"  token.added  token/crm") {
		t.Errorf("the list says %q", text.stdout)
	}
}

// rootOf is RFC 6962's tree hash in its own words (section 2.1), so that the
// test does not take tlog's word for it.
func rootOf(leaves [][32]byte) [32]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	left, right := rootOf(leaves[:split]), rootOf(leaves[split:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// TestAuditKeyOfAnother: a key that is not the log's is refused with a sentence;
// without the key calls are taken, but nothing is sealed; rekey goes on.
func TestAuditKeyOfAnother(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	in.start(t).stop(syscall.SIGTERM)
	before := commandJSON[headAnswer](t, "audit", "head", "--data", in.data)
	file := filepath.Join(in.data, "audit.key")
	own, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, err := audit.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := command(t, "", "serve", "--data", in.data, "--listen", "127.0.0.1:0")
	if refused.status != exitWrong || !strings.Contains(refused.stderr, before.Fingerprint) || !strings.Contains(refused.stderr, "audit rekey") ||
		strings.Contains(refused.stderr, other) {
		t.Errorf("another key: %d, %s", refused.status, refused.stderr)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p := in.start(t)
	p.post("sales", salesToken, `{"type":"call_report","CallSid":"1.1","Status":"ANSWER"}`)
	p.stop(syscall.SIGTERM)
	if !strings.Contains(p.log(), "audit log is not sealed here") {
		t.Error("that the key is missing was not said")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("another key was made in place of the one that is missing")
	}

	if err := os.WriteFile(file, own, 0o600); err != nil {
		t.Fatal(err)
	}
	rekeyed := commandJSON[headAnswer](t, "audit", "rekey", "--reason", "a drill", "--data", in.data)
	if rekeyed.Fingerprint == before.Fingerprint {
		t.Error("the key is the same")
	}
	if kept, err := filepath.Glob(file + ".*"); err != nil || len(kept) != 1 {
		t.Errorf("the old key is kept as %v, %v", kept, err)
	}
	in.start(t).stop(syscall.SIGTERM)
	after := commandJSON[headAnswer](t, "audit", "head", "--data", in.data)
	if _, err := audit.OpenSeal(after.Seal, rekeyed.Key); err != nil || after.Fingerprint != rekeyed.Fingerprint {
		t.Errorf("after it, the head is %+v: %v", after, err)
	}
	list := commandJSON[struct{ Entries []audit.Entry }](t, "audit", "list", "--action", "log.key_changed", "--data", in.data)
	var facts audit.KeyFacts
	if len(list.Entries) != 1 || list.Entries[0].Reason != "a drill" || json.Unmarshal(list.Entries[0].Facts, &facts) != nil || facts.Before != before.Key {
		t.Errorf("entries are %+v", list.Entries)
	}
}
