package archive_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// keepJournal lets calls, requests, and those in the journal, be kept for a
// hundred days.
func (k *keeping) keepJournal() {
	k.keepBy()
	k.rules.Zones = map[string]*time.Location{"sales": time.UTC}
	k.over = func(start time.Time) time.Time { return start.AddDate(0, 0, 100) }
	k.terms = call.Terms{Locks: k.locks(), Of: map[call.ObjectSort]call.Term{call.SegmentObjects: {Name: "journal: 100d", End: k.over}}}
}

// segmented writes a segment of calls of so many days ago, none of which has
// audio, and of a request that told of none; promised is until when it is to stay.
func (k *keeping) segmented(days int, promised time.Time, keys ...string) []string {
	k.Helper()
	at := time.Now().AddDate(0, 0, -days)
	ignored := posted(days)
	ignored.ReceivedAt = at
	unreadable := &call.Delivery{
		Account: "sales", ReceivedAt: at, Method: "POST", Source: call.SourceWebhook, Body: fmt.Appendf(nil, `{"key": "unread %d"}`, days),
		Items: []call.Item{{Outcome: call.Unreadable, Error: "not known"}},
	}
	deliveries := []*call.Delivery{ignored, unreadable}
	for _, key := range keys {
		d := told(key, "", days)
		d.ReceivedAt, d.Body = at, fmt.Appendf(nil, `{"key": %q}`, key)
		d.Items[0].Leg.StartedAt, d.Items[0].Leg.Recordings = at.Add(-time.Minute), nil
		deliveries = append(deliveries, d)
	}
	if err := k.store.Record(k.Context(), deliveries); err != nil {
		k.Fatal(err)
	}
	o := journalOptions(k.store, k.vault)
	o.Now, o.Until = func() time.Time { return at }, func(time.Time) time.Time { return promised }
	j, err := archive.NewJournal(o)
	if err != nil {
		k.Fatal(err)
	}
	if err := j.Flush(k.Context()); err != nil {
		k.Fatal(err)
	}
	var calls []string
	for _, d := range deliveries[2:] {
		calls = append(calls, d.CallIDs...)
	}
	return calls
}

// journalHolds makes sure which requests are left in the journal, that it hangs
// together, holds the whole audit log, and is what the rows are.
func (k *keeping) journalHolds(keys ...string) {
	k.Helper()
	deliveries, entries, _ := journaled(k.T, k.vault)
	var got []string
	for _, d := range deliveries {
		if _, key, ok := bytes.Cut(d.Body, []byte(`{"key": "`)); ok {
			got = append(got, strings.TrimSuffix(string(key), `"}`))
		}
	}
	if !slices.Equal(got, keys) {
		k.Errorf("the journal holds %v, want %v", got, keys)
	}
	for i, e := range entries {
		if e.Seq != int64(i) {
			k.Fatalf("entry %d is in the place of %d", e.Seq, i)
		}
	}
	k.verified()
	if faults := otherThanJournaled(k.T, k.store, k.vault); len(faults) > 0 {
		k.Errorf("the rows are not what the journal has: %v", faults)
	}
}

// otherThanJournaled names the rows that are not what the journal has.
func otherThanJournaled(t *testing.T, s *store.Store, v archive.Vault) (faults []string) {
	t.Helper()
	check := s.NewJournalCheck()
	verifier := archive.NewVerifier(archive.VerifyOptions{Store: s, Vault: v, Now: time.Now})
	for number, more := int64(0), true; more; more = number > 0 {
		checked, next, err := verifier.Segment(t.Context(), check, number)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range checked {
			for _, f := range c.Faults {
				faults = append(faults, f.Where+": "+f.What)
			}
		}
		number = next
	}
	return faults
}

// TestRequestsLeaveTheJournal: those whose term is over, in all versions; what a
// hold keeps, and what was promised, stays; the audit log is not touched.
func TestRequestsLeaveTheJournal(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepJournal()
		k.segmented(200, time.Time{}, "gone")
		held := k.segmented(180, time.Time{}, "held", "beside")
		promised := time.Now().AddDate(0, 0, 30).UTC().Truncate(time.Millisecond)
		k.segmented(150, promised, "promised")
		k.segmented(10, time.Time{}, "young")
		if _, err := k.store.PlaceHold(k.Context(), call.Hold{Name: "case", Reason: "a letter", CallIDs: held[:1]}); err != nil {
			k.Fatal(err)
		}
		gone := time.Now().UTC().AddDate(0, 0, -100)
		want := []call.SegmentSum{
			{By: "journal: 100d", Month: time.Date(gone.Year(), gone.Month(), 1, 0, 0, 0, 0, time.UTC), Segments: 1},
			{Why: call.KeptHeld, By: "case", Segments: 1},
			{Why: call.KeptPromised, By: "journal: 100d", Until: promised, Segments: 1},
		}
		if diff := cmp.Diff(want, k.plan(time.Now()).Segments, cmpopts.IgnoreFields(call.SegmentSum{}, "Bytes")); diff != "" {
			k.Errorf("plan (-want +got):\n%s", diff)
		}
		if applied := k.apply(); applied.Segments != 2 || applied.SegmentsBlocked != 0 || applied.SegmentBytes <= 0 || applied.Calls != 3 {
			k.Errorf("applied: %+v", applied)
		}
		// What the database would be made again from stays until that is journaled.
		old := archive.SegmentKey(1)
		if left := versions(k.T, k.vault, old); len(left) != 1 {
			k.Errorf("the old object is gone before the journal tells of it: %+v", left)
		}
		k.journalWritten()
		if applied := k.apply(); applied != (archive.Applied{}) {
			k.Errorf("applied again: %+v", applied)
		}
		for _, number := range []int64{1, 2} {
			if left := versions(k.T, k.vault, archive.SegmentKey(number)); len(left) != 0 {
				k.Errorf("left of segment %d: %+v", number, left)
			}
		}
		k.journalHolds("unread 180", "held", "unread 150", "promised", "unread 10", "young")

		if _, err := k.store.ReleaseHold(k.Context(), "case", "it is settled", false); err != nil {
			k.Fatal(err)
		}
		if applied := k.apply(); applied.Segments != 1 || applied.Calls != 1 {
			k.Errorf("applied after the release: %+v", applied)
		}
		k.journalWritten()
		k.apply()
		k.journalHolds("unread 150", "promised", "unread 10", "young")
		rewritten := 0
		entries, err := k.store.AuditEntries(k.Context(), 0, 1000)
		if err != nil {
			k.Fatal(err)
		}
		for _, e := range entries {
			if e.Action == audit.JournalRewritten && strings.Contains(string(e.Facts), `"why":"term"`) {
				rewritten++
			}
		}
		if rewritten != 3 {
			k.Errorf("the log tells of %d segments that were written again", rewritten)
		}
	})
}

// journalWritten lets the journal tell of what has happened.
func (k *keeping) journalWritten() {
	k.Helper()
	o := journalOptions(k.store, k.vault)
	o.Until = k.over
	j, err := archive.NewJournal(o)
	if err != nil {
		k.Fatal(err)
	}
	if err := j.Flush(k.Context()); err != nil {
		k.Fatal(err)
	}
}

// TestLockedSegment: somebody has locked a segment for longer than it was
// promised.
func TestLockedSegment(t *testing.T) {
	t.Parallel()
	o := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	o.Lock = archive.Governance
	k := &keeping{T: t, store: onSQLite(t), vault: openS3(t, o)}
	k.keepJournal()
	k.segmented(200, time.Time{}, "locked")
	until := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)
	if err := k.vault.Lengthen(t.Context(), archive.SegmentKey(1), until); err != nil {
		t.Fatal(err)
	}
	if applied := k.apply(); applied.Segments != 0 || applied.SegmentsBlocked != 1 {
		t.Errorf("applied: %+v", applied)
	}
	want := []call.SegmentSum{{Why: call.KeptLocked, By: "a lock on the object", Until: until, Segments: 1}}
	if diff := cmp.Diff(want, k.plan(time.Now()).Segments, cmpopts.IgnoreFields(call.SegmentSum{}, "Bytes")); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	kept := func() []audit.Entry {
		t.Helper()
		entries, err := k.store.AuditEntries(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(entries, func(e audit.Entry) bool { return e.Action != audit.JournalKept })
	}
	var said call.SegmentKept
	if told := kept(); len(told) != 1 || told[0].Subject != "journal/1" || json.Unmarshal(told[0].Facts, &said) != nil || !said.Until.Equal(until) || said.KeptBy == "" {
		t.Errorf("the log says %+v", told)
	}
	// It is not tried again before the date.
	if again := k.apply(); again != (archive.Applied{}) {
		t.Errorf("applied again: %+v", again)
	}
	k.journalWritten()
	k.journalHolds("unread 200", "locked")

	// Then somebody has locked it for longer, and holds it, too: each is said once.
	later := until.AddDate(1, 0, 0)
	if err := k.vault.Lengthen(t.Context(), archive.SegmentKey(1), later); err != nil {
		t.Fatal(err)
	}
	applyAt := func(at time.Time) {
		t.Helper()
		r, err := archive.NewRetainer(archive.RetainerOptions{
			Store: k.store, Vault: k.vault, Rules: func() call.Retention { return k.rules }, Terms: k.terms, PerSecond: 1000, Now: func() time.Time { return at },
			Journal: k.over,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Apply(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	applyAt(until.Add(time.Hour))
	if told := kept(); len(told) != 2 || json.Unmarshal(told[1].Facts, &said) != nil || !said.Until.Equal(later) {
		t.Errorf("the log says %+v", told)
	}
	if err := k.vault.Protect(t.Context(), archive.SegmentKey(1), archive.Protection{Until: later, Hold: true}); err != nil {
		t.Fatal(err)
	}
	applyAt(later.Add(time.Hour))
	applyAt(later.AddDate(0, 0, 2))
	if told := kept(); len(told) != 3 || !strings.Contains(told[2].Reason, "legal hold") {
		t.Errorf("the log says %+v", told)
	}
}

// journalOptions are those of a journal of this time that promises nothing.
func journalOptions(s archive.JournalStore, v archive.Vault) archive.JournalOptions {
	return archive.JournalOptions{Store: s, Vault: v, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
}
