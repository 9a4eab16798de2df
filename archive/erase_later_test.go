package archive_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// agents is a report of the agent's leg b-1 of the conversation g-1. The leg names
// no customer, and what it came with does, as people of the country would.
func agents() *call.Delivery {
	d := legOf("b-1", "", "g-1")
	d.Items[0].Leg.Attributes = call.Attributes{"caller": json.RawMessage(`"09812345678"`), "queue": json.RawMessage(`"7"`)}
	d.Body = []byte(`{"cmiuuid":"b-1","caller":"09812345678"}`)
	return d
}

// isGone makes sure that nothing is left of a person in the database, the journal
// and the vault.
func (p *premises) isGone(t *testing.T, o store.Options) {
	t.Helper()
	p.writeJournal(t)
	p.forgets(t, dumpOf(t, o))
	p.journalForgets(t)
	if keys := list(t, p.vault, "calls/"); len(keys) != 0 {
		t.Errorf("objects %v", keys)
	}
}

// entries are the entries of an action.
func (p *premises) entries(t *testing.T, action audit.Action) []audit.Entry {
	t.Helper()
	all, err := p.store.AuditEntries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(e audit.Entry) bool { return e.Action != action })
}

// TestErasureOfWhatJoinsLater: a call that turns out to be one with a call of an
// erasure that was complete goes, too, and so does a leg that only comes then;
// the log, and the next certificate, say that more was found than the last one
// knew.
func TestErasureOfWhatJoinsLater(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before func(t *testing.T, p *premises)
	}{
		{"the person's id stays", func(t *testing.T, p *premises) {
			t.Helper()
			p.record(t, legOf("g-1", subject, ""))
			p.record(t, legOf("b-1", "", ""))
		}},
		{"the other's id stays", func(t *testing.T, p *premises) {
			t.Helper()
			p.record(t, legOf("b-1", "", ""))
			p.record(t, legOf("g-1", subject, ""))
		}},
		{"a leg that only comes now", func(t *testing.T, p *premises) {
			t.Helper()
			p.record(t, legOf("g-1", subject, ""))
		}},
		{"after its number was kept from coming back", func(t *testing.T, p *premises) {
			t.Helper()
			p.record(t, customer("1.1", subject))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
				p := newPremises(t, openStore(t, o), v)
				tt.before(t, p)
				p.archiveAll(t, archive.Protection{})
				p.writeJournal(t)
				e := p.begin(t)
				p.goOn(t, e.ID)
				if c := p.certificate(t, e.ID); !c.Complete || len(c.FoundLater) != 0 {
					t.Fatalf("first certificate: %+v", c)
				}
				first, err := p.store.Erasure(t.Context(), e.ID)
				if err != nil || first.FinishedAt.IsZero() {
					t.Fatalf("%+v, %v", first, err)
				}
				late := legOf("g-1", subject, "") // once more, or for the first time
				p.record(t, late)
				later := agents()
				p.record(t, later)
				p.archiveAll(t, archive.Protection{}) // faster than the erasure

				now, err := p.store.Erasure(t.Context(), e.ID)
				if err != nil || !now.FinishedAt.IsZero() || now.NextAt.IsZero() || now.Number != "" {
					t.Errorf("the erasure is %+v, %v", now, err)
				}
				reopened := p.entries(t, audit.ErasureReopened)
				if len(reopened) != 1 || reopened[0].Subject != "erasure/"+e.ID {
					t.Fatalf("in the log: %+v", reopened)
				}
				p.goOn(t, e.ID)
				got, err := p.store.Call(t.Context(), later.CallIDs[0])
				if err != nil || got.LegsCount != 2 || got.CustomerNumber != "" || !got.Legs[0].Erased || !got.Legs[1].Erased {
					t.Errorf("they became %+v, %v", got, err)
				}
				for _, r := range got.Recordings {
					if r.State != call.Erased || r.Location != "" {
						t.Errorf("its recording: %+v", r)
					}
				}
				c := p.certificate(t, e.ID)
				if !c.Complete || c.Erased[call.ErasedAudio] != 2 || len(c.FoundLater) != 1 {
					t.Fatalf("next certificate: %+v", c)
				}
				if diff := cmp.Diff(archive.FoundLater{At: reopened[0].At, Calls: []string{got.ID}, Certificate: first.Certificate}, c.FoundLater[0]); diff != "" {
					t.Errorf("it says (-want +got):\n%s", diff)
				}
				p.isGone(t, o)
				if done, err := p.store.Erasure(t.Context(), e.ID); err != nil || done.FinishedAt.IsZero() || done.Number != "" || done.Certificate == first.Certificate {
					t.Errorf("the erasure came to %+v, %v", done, err)
				}
				// What is known already opens nothing again.
				p.record(t, legOf("g-1", subject, ""), legOf("b-1", "", "g-1"))
				if again := p.entries(t, audit.ErasureReopened); len(again) != 1 {
					t.Errorf("opened again: %+v", again)
				}
			})
		})
	}
}

// What a hold or a lock keeps of a call that joins later is listed, with the date
// if there is one, and goes when it can.
func TestErasureKeepsWhatJoinsLater(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		other := legOf("b-1", "", "")
		p.record(t, legOf("g-1", subject, ""))
		p.record(t, other)
		p.archiveAll(t, archive.Protection{})
		if _, err := p.store.PlaceHold(t.Context(), call.Hold{Name: "case", Reason: "r", CallIDs: other.CallIDs}); err != nil {
			t.Fatal(err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete {
			t.Fatalf("first certificate: %+v", c)
		}
		p.record(t, agents())
		p.goOn(t, e.ID)
		c := p.certificate(t, e.ID)
		if c.Complete || len(c.FoundLater) != 1 || len(c.Kept) != 4 {
			t.Errorf("while it is held: %+v", c)
		}
		for _, k := range c.Kept {
			if k.Why != "legal hold case" {
				t.Errorf("kept: %+v", k)
			}
		}
		if keys := list(t, v, "calls/"); len(keys) != 1 {
			t.Errorf("held are %v", keys)
		}
		if _, err := p.store.ReleaseHold(t.Context(), "case", "r", false); err != nil {
			t.Fatal(err)
		}
		p.due(t, e.ID, o)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete || len(c.FoundLater) != 1 {
			t.Errorf("afterwards: %+v", c)
		}
		p.isGone(t, o)
	})
	t.Run("lock", func(t *testing.T) {
		t.Parallel()
		opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
		opts.Lock = archive.Compliance
		v := openS3(t, opts)
		o := store.Options{DSN: testenv.Postgres(t)}
		p := newPremises(t, openStore(t, o), v)
		p.record(t, legOf("g-1", subject, ""))
		p.archiveAll(t, archive.Protection{})
		p.record(t, legOf("b-1", "", ""))
		until := time.Now().Add(4 * time.Second)
		p.archiveAll(t, archive.Protection{Until: until})
		e := p.begin(t)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete {
			t.Fatalf("first certificate: %+v", c)
		}
		p.record(t, agents())
		p.goOn(t, e.ID)
		c := p.certificate(t, e.ID)
		if c.Complete || len(c.Kept) != 1 || c.Kept[0].Kind != call.ErasedAudio || c.Kept[0].Until == nil || c.Kept[0].Until.Before(until.Truncate(time.Second)) {
			t.Errorf("while it is locked: %+v", c)
		}
		p.forgets(t, dumpOf(t, o))
		eventually(t, "the lock ends", func() bool {
			keys := list(t, v, "calls/")
			protection, err := v.Protection(t.Context(), keys[0])
			return err == nil && !protection.Keeps(time.Now().Add(-time.Second))
		})
		p.due(t, e.ID, o)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete {
			t.Errorf("afterwards: %+v", c)
		}
		p.isGone(t, o)
	})
}

// An erasure that waits, perhaps for years, does not wait with what joins its
// calls meanwhile.
func TestWaitingErasureFollowsAtOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		held := customer("1.1", subject)
		p.record(t, held, legOf("g-1", subject, ""))
		if _, err := p.store.PlaceHold(t.Context(), call.Hold{Name: "case", Reason: "r", CallIDs: held.CallIDs}); err != nil {
			t.Fatal(err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		if ok, err := p.eraser.Continue(t.Context(), e.ID); ok || err != nil {
			t.Fatalf("it does not wait: %v, %v", ok, err)
		}
		joining := agents()
		p.record(t, joining)
		p.goOn(t, e.ID)
		got, err := p.store.Call(t.Context(), joining.CallIDs[0])
		if err != nil || got.LegsCount != 2 || !got.Legs[0].Erased || !got.Legs[1].Erased {
			t.Errorf("they became %+v, %v", got, err)
		}
		if opened := p.entries(t, audit.ErasureReopened); len(opened) != 0 {
			t.Errorf("opened again, though it was open: %+v", opened)
		}
		if still, err := p.store.Call(t.Context(), held.CallIDs[0]); err != nil || still.CustomerNumber != subject {
			t.Errorf("the held call is %+v, %v", still, err)
		}
	})
}

// Another person's leg in an erased call keeps that person's number; nothing says
// that anything was erased of theirs.
func TestErasureLeavesOthersWhoJoinLater(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		p.record(t, legOf("g-1", subject, ""))
		p.archiveAll(t, archive.Protection{})
		e := p.begin(t)
		p.goOn(t, e.ID)
		const theirs = "+919800000001"
		other := legOf("c-1", theirs, "g-1")
		p.record(t, other)
		p.archiveAll(t, archive.Protection{})
		p.goOn(t, e.ID)
		got, err := p.store.Call(t.Context(), other.CallIDs[0])
		if err != nil || got.LegsCount != 2 || got.CustomerNumber != theirs {
			t.Errorf("they became %+v, %v", got, err)
		}
		// The conversation was with both.
		if keys := list(t, v, "calls/"); len(keys) != 0 {
			t.Errorf("objects %v", keys)
		}
		if d, err := p.store.Delivery(t.Context(), other.ID); err != nil || !bytes.Equal(d.Body, other.Body) || d.Error != "" {
			t.Errorf("their request: %+v, %v", d, err)
		}
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedDelivery] != 1 {
			t.Errorf("certificate %+v", c)
		}
		others, err := p.store.ErasureItems(t.Context(), e.ID, call.ErasedDelivery, "", 10, call.ErasureUntouched)
		if err != nil || len(others) != 1 || others[0].Ref != strconv.FormatInt(other.ID, 10) {
			t.Errorf("untouched are %+v, %v", others, err)
		}
		p.writeJournal(t)
		rows := func() (faults []string) {
			t.Helper()
			for next, more := "", true; more; more = next != "" {
				checked, err := p.store.CheckRows(t.Context(), call.CheckOptions{}, next, 100)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range checked.Faults {
					faults = append(faults, f.Where)
				}
				next = checked.Next
			}
			return faults
		}
		if faults := append(rows(), otherThanJournaled(t, p.store, v)...); len(faults) > 0 {
			t.Errorf("faults %v", faults)
		}
		// That it was looked at excuses no change of it.
		execute(t, o, fmt.Sprintf("UPDATE erasure_items SET state = 'erased' WHERE ref = '%d'", other.ID))
		execute(t, o, fmt.Sprintf("UPDATE deliveries SET erased = 'part' WHERE id = %d", other.ID))
		if diff := cmp.Diff([]string{"erasure/" + e.ID}, rows()); diff != "" {
			t.Errorf("faults of rows (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{fmt.Sprintf("delivery/%d: its row says that something was erased from it, and the log does not", other.ID)}, otherThanJournaled(t, p.store, v)); diff != "" {
			t.Errorf("faults of the journal (-want +got):\n%s", diff)
		}
	})
}
