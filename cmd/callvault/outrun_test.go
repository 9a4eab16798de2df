package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"callvault/internal/call"
)

// readyAnswer is what /readyz says.
type readyAnswer struct {
	Ready   bool
	Parts   map[string]string
	Notices map[string]string
}

// TestRestoredBackup starts a server on a copy of the database that is older than
// the vault, as an administrator does after a crash: it goes on taking reports,
// and tells people at once what has happened and what to do. Who does that has
// everything back.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	const more = "alerts: {recipients: [ops@example.org]}\nmail: {from: alerts@example.org}\n"
	in := install(t, storage{}, anySize(), more)
	l := newLoad(in)
	p := in.start(t)
	token := commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "viewer", "--data", in.data)["token"]
	if r := get[readyAnswer](t, p.url+"/readyz", token); !r.Ready || len(r.Notices) > 0 {
		t.Errorf("before: %+v", r)
	}
	l.post(t.Context(), p.url, 5)
	backup := filepath.Join(t.TempDir(), "copy.db")
	commandJSON[map[string]any](t, "backup", backup, "--data", in.data)
	l.post(t.Context(), p.url, 5)
	p.stop(syscall.SIGTERM) // the journal is written
	before := strings.Clone(p.log())
	if strings.Contains(before, "newer than the database") {
		t.Errorf("nothing is wrong, and the log says so:\n%s", before)
	}

	file := filepath.Join(in.data, databaseFile)
	for _, name := range []string{file + "-wal", file + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(backup, file); err != nil {
		t.Fatal(err)
	}
	in.tamper(t, storage{}, "UPDATE watch SET last_at = last_at - 600000") // it is of ten minutes ago
	p = in.start(t)
	type alerts struct{ Alerts []struct{ Sentence string } }
	eventually(t, "an alert is open", func() bool {
		found := get[alerts](t, p.url+"/api/v1/alerts?state=open&kind="+string(call.AlertOutrun), token).Alerts
		return len(found) == 1 && strings.Contains(found[0].Sentence, "callvault rebuild")
	})
	eventually(t, "it is told by mail", func() bool {
		mails, err := filepath.Glob(filepath.Join(in.data, "mail", "*"))
		// A slow machine may have had something else to tell before.
		return err == nil && slices.ContainsFunc(mails, func(mail string) bool {
			text, err := os.ReadFile(mail)
			return err == nil && strings.Contains(string(text), "the database is older than the vault")
		})
	})
	// One node that is ready is better than none.
	eventually(t, "readyz says so", func() bool {
		r := get[readyAnswer](t, p.url+"/readyz", token)
		return r.Ready && strings.Contains(r.Notices["journal"], string(call.AlertOutrun))
	})
	if !strings.Contains(p.log(), `level=ERROR msg="the vault's journal is newer than the database"`) {
		t.Errorf("the log does not say it:\n%s", p.log())
	}
	response, err := http.Post(p.url+"/webhook/sales/"+salesToken, "application/json", strings.NewReader(`{"CallSid":"9.9","Status":"ANSWER"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("a report got %s, %v", response.Status, err)
	}
	p.stop(syscall.SIGKILL)

	// As docs/operations.md says.
	aside := filepath.Join(t.TempDir(), databaseFile)
	for _, ending := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(file+ending, aside+ending); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if got := commandJSON[rebuildResult](t, "rebuild", "--data", in.data); len(got.Faults) > 0 || got.Calls < 10 {
		t.Errorf("rebuild: %+v", got)
	}
	token = commandJSON[map[string]string](t, "token", "add", "auditor", "--role", "viewer", "--data", in.data)["token"]
	p = in.start(t)
	in.checkKept(t, l)
	if r := get[readyAnswer](t, p.url+"/readyz", token); !r.Ready || len(r.Notices) > 0 {
		t.Errorf("afterwards: %+v", r)
	}
	p.stop(syscall.SIGTERM)
	if strings.Contains(p.log(), "newer than the database") {
		t.Errorf("afterwards the log still says it:\n%s", p.log())
	}
}
