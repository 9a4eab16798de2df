package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/console"

	"github.com/google/go-cmp/cmp"
)

// TestErasureReopenedIsRebuilt: an agent's leg comes when the erasure of its call
// is complete. The commands say what was found later; a database that is made
// again before a server went on with it goes on, and one that is made again
// afterwards has what the erasure came to.
func TestErasureReopenedIsRebuilt(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		more := ""
		if s.bucket == nil {
			more = "vault: {directory: " + t.TempDir() + "}\n"
		}
		in := install(t, s, anySize(), more)
		// Nobody fetches anything: what is being fetched is waited for.
		file := filepath.Join(in.data, config.FileName)
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(strings.Replace(string(text), "first_try_after: 0s, give_up_after: 30s", "first_try_after: 1h, give_up_after: 2h", 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		const number = "+919812345678"
		take := func(line string) {
			t.Helper()
			if got := command(t, line, "import", "-", "--account", "support", "--data", in.data); got.status != exitDone {
				t.Fatalf("import: %+v", got)
			}
		}
		erasures := func(of installation) console.ErasureJSON {
			t.Helper()
			all := commandJSON[struct{ Erasures []console.ErasureJSON }](t, "erase", "--list", "--data", of.data).Erasures
			if len(all) != 1 {
				t.Fatalf("%d erasures", len(all))
			}
			return all[0]
		}
		remade := func() (installation, storage) {
			t.Helper()
			again, to := in, storage{bucket: s.bucket, s3: s.s3}
			again.data = t.TempDir()
			again.configure(t, to, more)
			in.share(t, again, "audit.key")
			if got := command(t, "", "rebuild", "--data", again.data); got.status != exitDone {
				t.Fatalf("rebuild: %+v", got)
			}
			return again, to
		}
		at := time.Now().Add(-time.Hour).UnixMilli()
		take(fmt.Sprintf(`{"type":"cdr","direction":"inbound","cmiuuid":"g","conversation_uuid":"g","virtual_number":918069123456,"from":919812345678,"status":"answered","user":"204_2222223","to":919281234567,"time":%d,"answeredsec":30}`, at))
		if got := command(t, "", "erase", number, "--reason", "request of 2026-11-20", "--data", in.data); got.status != exitDone {
			t.Fatalf("erase: %+v", got)
		}
		first := erasures(in)
		if first.State != "done" || len(first.FoundLater) != 0 || first.Certificate == nil {
			t.Fatalf("erased: %+v", first)
		}
		take(fmt.Sprintf(`{"type":"cdr","direction":"inbound","leg":"b","cmiuuid":"o","conversation_uuid":"g","virtual_number":918069123456,"from":"09812345678","to":919281234501,"status":"answered","user":"201_2222223","time":%d,"answeredsec":30,"filename":"%d_2222223.mp3"}`, at, at))
		open := erasures(in)
		if open.State != "open" || open.Due == 0 || len(open.FoundLater) != 1 || open.FoundLater[0].Certificate != *first.Certificate {
			t.Errorf("opened again: %+v", open)
		}
		if got := command(t, "", "erase", "--list", "--data", in.data); !strings.Contains(got.stdout, *first.Certificate+" did not know") {
			t.Errorf("list: %+v", got)
		}

		stored, v := in.openStored(t)
		journal, err := archive.NewJournal(archive.JournalOptions{Store: stored, Vault: v, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := journal.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		again, _ := remade()
		if now := erasures(again); now.State != "open" || now.Due == 0 || !cmp.Equal(now.FoundLater, open.FoundLater) {
			t.Errorf("made again while it was open: %+v", now)
		}

		p := in.start(t)
		eventually(t, "it goes on by itself", func() bool {
			_, found := openErasure(t, stored)
			return !found
		})
		p.stop(syscall.SIGTERM)
		done := erasures(in)
		if done.State != "done" || done.Erased[call.ErasedAudio] != 1 || !cmp.Equal(done.FoundLater, open.FoundLater) || *done.Certificate == *first.Certificate {
			t.Errorf("it came to %+v", done)
		}
		in.checkForgotten(t, s, number)
		in.start(t).stop(syscall.SIGTERM) // the journal tells of the end, too
		if got, status := in.verify(t); status != exitDone {
			t.Errorf("verify: status %d, %+v", status, got.Faults)
		}
		before := tables(t, in, s)
		again, to := remade()
		after := tables(t, again, to)
		for _, table := range []string{"calls", "legs", "recordings", "deliveries", "delivery_items", "bodies", "erasures", "erasure_items", "call_redirects", "call_keys", "journal_segments"} {
			if diff := cmp.Diff(before[table], after[table]); diff != "" {
				t.Errorf("%s made again (-before +after):\n%s", table, diff)
			}
		}
		if now := erasures(again); !cmp.Equal(now, done, cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "At") }, cmp.Ignore())) {
			t.Errorf("made again it is %+v, want %+v", now, done)
		}
		again.checkForgotten(t, to, number)
	})
}
