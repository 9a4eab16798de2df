package main

import (
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
)

// office is an installation that takes reports of calls, and that loses its
// database.
type office struct {
	installation
	storage storage
	more    string
}

func openOffice(t *testing.T, s storage) office {
	t.Helper()
	more := ""
	if s.bucket == nil {
		more = "vault: {directory: " + t.TempDir() + "}\n"
	}
	return office{install(t, s, anySize(), more), s, more}
}

// take takes the report of a call's leg that somebody made.
func (o office) take(t *testing.T, leg, conversation, from string, at time.Time) {
	t.Helper()
	line := fmt.Sprintf(`{"type":"cdr","direction":"inbound","cmiuuid":%q,"conversation_uuid":%q,"virtual_number":918069123456,"from":%s,"status":"answered","user":"204_2222223","to":919281234567,"time":%d,"answeredsec":30}`,
		leg, conversation, strings.TrimPrefix(from, "+"), at.UnixMilli())
	if got := command(t, line, "import", "-", "--account", "support", "--data", o.data); got.status != exitDone {
		t.Fatalf("import: %+v", got)
	}
}

// remade is the office with a database that was made again from the vault.
func (o office) remade(t *testing.T) office {
	t.Helper()
	stored, v := o.openStored(t)
	journal, err := archive.NewJournal(archive.JournalOptions{Store: stored, Vault: v, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = journal.Flush(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	again := o
	again.data = t.TempDir()
	if o.storage.dsn != "" {
		again.storage.dsn = testenv.Postgres(t)
	}
	again.configure(t, again.storage, o.more)
	o.share(t, again.installation, "audit.key")
	if got := command(t, "", "rebuild", "--data", again.data); got.status != exitDone {
		t.Fatalf("rebuild: %+v", got)
	}
	return again
}

// finish lets the open erasure come to its end.
func (o office) finish(t *testing.T) {
	t.Helper()
	o.tamper(t, o.storage, "UPDATE erasures SET next_at = 1 WHERE next_at IS NOT NULL")
	stored, _ := o.openStored(t)
	p := o.start(t)
	eventually(t, "the erasure comes to its end", func() bool {
		_, found := openErasure(t, stored)
		return !found
	})
	p.stop(syscall.SIGTERM)
}

// callFrom returns the call of a number that is not one with others.
func callFrom(t *testing.T, s *store.Store, number string) call.CallWithRecordings {
	t.Helper()
	found, _, err := s.FindCalls(t.Context(), call.Filter{Number: number})
	for _, c := range found {
		if c.LegsCount == 1 {
			return c
		}
	}
	t.Fatalf("no call of %s among %+v, %v", number, found, err)
	return call.CallWithRecordings{}
}

// checkKept makes sure that a call's request is as it came.
func checkKept(t *testing.T, s *store.Store, callID, number string) {
	t.Helper()
	found, _, err := s.FindDeliveries(t.Context(), call.DeliveryFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, listed := range found {
		if d, err := s.Delivery(t.Context(), listed.ID); err != nil || len(d.CallIDs) == 1 && d.CallIDs[0] == callID &&
			(d.Error != "" || !strings.Contains(string(d.Body), strings.TrimPrefix(number, "+"))) {
			t.Errorf("the request of a call that is not erased: %+v, %s, %v", d, d.Body, err)
		}
	}
}

// TestErasureAfterRebuildLeavesOthers: another person's leg joined an erased
// call, and the database is lost before the erasure went on with that. That
// person's own call stays as it is.
func TestErasureAfterRebuildLeavesOthers(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		const number, other = "+919812345678", "+919800000001"
		o := openOffice(t, s)
		at := time.Now().Add(-time.Hour)
		o.take(t, "g", "g", number, at)
		o.take(t, "own", "own", other, at)
		if got := command(t, "", "erase", number, "--reason", "request of 2026-11-20", "--data", o.data); got.status != exitDone {
			t.Fatalf("erase: %+v", got)
		}
		o.take(t, "joins", "g", other, at)
		again := o.remade(t)
		stored, _ := again.openStored(t)
		if e, found := openErasure(t, stored); !found || e.Number != "" {
			t.Errorf("made again it is %+v, %v", e, found)
		}
		again.finish(t)
		own := callFrom(t, stored, other)
		checkKept(t, stored, own.ID, other)
		again.checkForgotten(t, again.storage, number)
		if got, status := again.verify(t); status != exitDone {
			t.Errorf("verify: status %d, %+v", status, got.Faults)
		}
	})
}

// TestErasureAfterRebuildLeavesLaterCalls: an erasure waits for a hold, the person
// calls again, and the database is lost. When the hold ends only what was there
// when the person asked is erased.
func TestErasureAfterRebuildLeavesLaterCalls(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		const number = "+919812345678"
		o := openOffice(t, s)
		o.take(t, "held", "held", number, time.Now().Add(-time.Hour))
		before, _ := o.openStored(t)
		held := callFrom(t, before, number)
		for _, args := range [][]string{
			{"hold", "place", "case 12", "--reason", "a letter", "--call", held.ID},
			{"erase", number, "--reason", "request of 2026-11-20"},
		} {
			if got := command(t, "", append(args, "--data", o.data)...); got.status != exitDone {
				t.Fatalf("%v: %+v", args, got)
			}
		}
		o.take(t, "later", "later", number, time.Now())
		again := o.remade(t)
		if got := command(t, "", "hold", "release", "case 12", "--reason", "it is over", "--data", again.data); got.status != exitDone {
			t.Fatalf("release: %+v", got)
		}
		again.finish(t)
		stored, _ := again.openStored(t)
		if got, err := stored.Call(t.Context(), held.ID); err != nil || got.CustomerNumber != "" {
			t.Errorf("the call that was held: %+v, %v", got, err)
		}
		later := callFrom(t, stored, number)
		checkKept(t, stored, later.ID, number)
		if got, status := again.verify(t); status != exitDone {
			t.Errorf("verify: status %d, %+v", status, got.Faults)
		}
	})
}
