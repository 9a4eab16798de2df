package main

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
)

// TestHoldsThatPassedAreRebuilt: a held call becomes one with an older one, and a
// leg of another held call goes to a call of its own; a request for a release is
// withdrawn. A database that is made again has each hold on the same calls.
func TestHoldsThatPassedAreRebuilt(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		more := "holds: {two_person: true}\n"
		if s.bucket == nil {
			more += "vault: {directory: " + t.TempDir() + "}\n"
		}
		in := install(t, s, anySize(), more)
		stored, v := in.openStored(t)
		at := time.Now().Add(-time.Hour).UnixMilli()
		take := func(leg, conversation string) {
			t.Helper()
			line := fmt.Sprintf(`{"type":"cdr","direction":"inbound","leg":"b","cmiuuid":%q,"conversation_uuid":%q,"virtual_number":918069123456,"to":919281234501,"status":"missed","user":"201_2222223","time":%d}`, leg, conversation, at)
			if got := command(t, line, "import", "-", "--account", "support", "--data", in.data); got.status != exitDone {
				t.Fatalf("import: %+v", got)
			}
		}
		calls := func() map[string]string {
			t.Helper()
			found, _, err := stored.FindCalls(t.Context(), call.Filter{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			ids := map[string]string{}
			for _, c := range found {
				one, err := stored.Call(t.Context(), c.ID)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range one.Legs {
					ids[l.Key] = c.ID
				}
			}
			return ids
		}
		hold := func(name, id string) {
			t.Helper()
			if got := command(t, "", "hold", "place", name, "--reason", "a letter", "--call", id, "--data", in.data); got.status != exitDone {
				t.Fatalf("hold: %+v", got)
			}
		}
		take("g", "g")
		take("o", "z")
		take("b-1", "k2")
		take("b-2", "k2")
		hold("merged", calls()["o"])
		hold("parted", calls()["b-2"])
		take("o", "g")
		take("b-2", "k1")
		now := calls()
		if now["o"] != now["g"] || now["b-1"] == now["b-2"] {
			t.Fatalf("the calls are %v", now)
		}
		const password = "correct horse battery"
		if got := command(t, password, "user", "add", "asha", "--role", "compliance", "--stdin", "--data", in.data); got.status != exitDone {
			t.Fatal(got.stderr)
		}
		for _, args := range [][]string{{}, {"--withdraw"}} {
			if got := command(t, password, append([]string{"hold", "release", "parted", "--reason", "settled", "--as", "asha", "--data", in.data}, args...)...); got.status != exitDone {
				t.Fatalf("release %v: %+v", args, got)
			}
		}
		journal, err := archive.NewJournal(archive.JournalOptions{Store: stored, Vault: v, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, status := in.verify(t); status != exitDone {
			t.Errorf("verify: status %d, %+v", status, got.Faults)
		}
		before := tables(t, in, s)
		if len(before["hold_calls"]) != 3 {
			t.Errorf("held are %v", before["hold_calls"])
		}
		again, to := in, storage{bucket: s.bucket, s3: s.s3}
		again.data = t.TempDir()
		again.configure(t, to, more)
		if got := command(t, "", "rebuild", "--data", again.data); got.status != exitDone {
			t.Fatalf("rebuild: %+v", got)
		}
		after := tables(t, again, to)
		for _, table := range []string{"calls", "legs", "call_keys", "call_redirects", "holds", "hold_calls", "held_recordings"} {
			if diff := cmp.Diff(before[table], after[table]); diff != "" {
				t.Errorf("%s made again (-before +after):\n%s", table, diff)
			}
		}
		if got, status := again.verify(t); status != exitDone || len(before["call_redirects"]) == 0 {
			t.Errorf("verify what was made again: status %d, %+v; former ids were %v", status, got.Faults, before["call_redirects"])
		}
	})
}
