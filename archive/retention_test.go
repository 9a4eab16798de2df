package archive_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// keeping is an installation whose recordings are kept by rules that a test
// changes.
type keeping struct {
	*testing.T
	store *store.Store
	vault archive.Vault
	rules call.Retention
	terms call.Terms
	// over is when the terms end of calls, of requests, and of those in the
	// journal.
	over func(time.Time) time.Time
}

// forEachKeeping runs a test on both databases, with a directory and with a
// bucket that locks.
func forEachKeeping(t *testing.T, test func(k *keeping)) {
	t.Helper()
	t.Run("SQLite and directory", func(t *testing.T) {
		t.Parallel()
		test(&keeping{T: t, store: onSQLite(t), vault: onDirectory(t)})
	})
	t.Run("PostgreSQL and MinIO", func(t *testing.T) {
		t.Parallel()
		o := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
		o.Lock = archive.Compliance
		test(&keeping{T: t, store: openStore(t, store.Options{DSN: testenv.Postgres(t)}), vault: openS3(t, o)})
	})
}

func (k *keeping) locks() bool { return k.vault.Locks() != archive.Unlocked }

// rule is one that keeps the calls of a group (empty: all) for so many days; 0
// is for ever.
func rule(group string, days int) call.RetentionRule {
	return call.RetentionRule{
		Name: fmt.Sprintf("group %s: %dd", group, days), Match: call.Filter{Group: group},
		End: func(start time.Time) time.Time {
			if days == 0 {
				return time.Time{}
			}
			return start.AddDate(0, 0, days)
		},
	}
}

func (k *keeping) keepBy(rules ...call.RetentionRule) {
	k.rules = call.Retention{Rules: rules, Locks: k.locks()}
}

// told is a call of a group that began so many days ago.
func told(key, group string, days int) *call.Delivery {
	d := wanted("http://127.0.0.1/"+key, "", 1)
	l := d.Items[0].Leg
	l.Key, l.Group, l.StartedAt = key, group, time.Now().AddDate(0, 0, -days).UTC().Truncate(time.Millisecond)
	l.Keys = nil
	l.AddKey(call.KeyCall, key)
	return d
}

// archived takes in calls and archives their recordings.
func (k *keeping) archived(calls ...*call.Delivery) {
	k.Helper()
	audio := recorded(k.T, 1)
	host := serve(k, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/wav")
		if _, err := w.Write(audio); err != nil {
			k.Error(err)
		}
	}))
	for _, d := range calls {
		l := d.Items[0].Leg
		l.Recordings[0].Source = host + "/" + l.Key + ".wav"
	}
	before := stats(k, k.store).Archived
	queue(k, k.store, calls...)
	o := options(k, k.store, k.vault, host)
	o.Retention = func() call.Retention { return k.rules }
	_, stop := run(k, o)
	eventually(k.T, "all are archived", func() bool { return stats(k, k.store).Archived == before+int64(len(calls)) })
	stop()
}

func (k *keeping) retainer() *archive.Retainer {
	k.Helper()
	r, err := archive.NewRetainer(archive.RetainerOptions{
		Store: k.store, Vault: k.vault, Rules: func() call.Retention { return k.rules }, Terms: k.terms, PerSecond: 1000, Now: time.Now,
		Calls: k.over, Deliveries: k.over, Journal: k.over,
	})
	if err != nil {
		k.Fatal(err)
	}
	return r
}

func (k *keeping) apply() archive.Applied {
	k.Helper()
	applied, err := k.retainer().Apply(k.Context(), nil)
	if err != nil {
		k.Fatal(err)
	}
	return applied
}

func (k *keeping) plan(by time.Time) call.RetentionPlan {
	k.Helper()
	var listed int64
	plan, err := k.retainer().Plan(k.Context(), by, func(call.PlanItem) error { listed++; return nil })
	if err != nil {
		k.Fatal(err)
	}
	for _, s := range plan.Reports {
		listed -= s.Runs
	}
	for _, s := range plan.Segments {
		listed -= s.Segments
	}
	for _, d := range plan.Due {
		listed -= d.Recordings
	}
	for _, d := range plan.Kept {
		listed -= d.Recordings
	}
	if listed != 0 {
		k.Errorf("the plan lists %d recordings more than it sums up", listed)
	}
	return plan
}

// recording is that of a call, and whether its object is in the vault.
func (k *keeping) recording(key string) (call.Recording, bool) {
	k.Helper()
	found, _, err := k.store.FindCalls(k.Context(), call.Filter{Text: key})
	if err != nil || len(found) != 1 || len(found[0].Recordings) != 1 {
		k.Fatalf("%s: %v in %+v", key, err, found)
	}
	r := found[0].Recordings[0]
	_, err = k.vault.Stat(k.Context(), r.ObjectKey)
	if err != nil && !errors.Is(err, archive.ErrNotFound) {
		k.Fatal(err)
	}
	return r, err == nil
}

// stands makes sure of a recording's state, and that the vault and the audit
// log agree with it.
func (k *keeping) stands(key string, state call.RecordingState, log ...audit.Action) call.Recording {
	k.Helper()
	r, there := k.recording(key)
	if r.State != state || there != (state == call.Archived) || r.ExpiredAt.IsZero() != (state == call.Archived) {
		k.Errorf("%s is %s, expired at %s, and in the vault: %t", key, r.State, r.ExpiredAt, there)
	}
	entries, err := k.store.AuditEntries(k.Context(), 0, 1000)
	if err != nil {
		k.Fatal(err)
	}
	var actions []audit.Action
	for _, e := range entries {
		if e.Subject == "recording/"+r.ID && e.Action != audit.RecordingArchived {
			actions = append(actions, e.Action)
		}
	}
	if !slices.Equal(actions, log) {
		k.Errorf("the log says of %s: %v, want %v", key, actions, log)
	}
	if p, err := k.vault.Protection(k.Context(), r.ObjectKey); there && k.locks() && r.RetainUntil.After(time.Now()) && (err != nil || p.Until.Before(r.RetainUntil)) {
		k.Errorf("%s is promised until %s, and locked until %s, %v", key, r.RetainUntil, p.Until, err)
	}
	return r
}

func TestRetentionDeletesWhatIsDue(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy(rule("Sales", 2000), rule("", 365))
		k.archived(told("sales-old", "Sales", 800), told("aged", "", 800), told("older", "", 900), told("young", "", 30))
		if r, _ := k.recording("aged"); r.Rule != "group : 365d" || r.StoredSHA256 != r.SHA256 || r.SHA256 == "" || !r.DueAt.Equal(r.RetainUntil) {
			k.Errorf("archived as %+v", r)
		}
		plan := k.plan(time.Now())
		var recordings, bytes int64
		for _, d := range plan.Due {
			recordings, bytes = recordings+d.Recordings, bytes+d.Bytes
		}
		if recordings != 2 || len(plan.Due) != 2 || len(plan.Kept) != 0 || plan.Unjudged != 0 {
			k.Errorf("plan: %+v", plan)
		}
		if later := k.plan(time.Now().AddDate(10, 0, 0)); len(later.Due) != 4 {
			k.Errorf("plan for ten years: %+v", later)
		}
		if diff := cmp.Diff(archive.Applied{Deleted: 2, Bytes: bytes}, k.apply()); diff != "" {
			k.Errorf("(-want +got):\n%s", diff)
		}
		k.stands("sales-old", call.Archived)
		k.stands("young", call.Archived)
		gone := []audit.Action{audit.RecordingExpiring, audit.RecordingExpired}
		k.stands("aged", call.Expired, gone...)
		k.stands("older", call.Expired, gone...)
		if plan := k.plan(time.Now()); len(plan.Due)+len(plan.Kept) != 0 {
			k.Errorf("plan afterwards: %+v", plan)
		}
		if again := k.apply(); again != (archive.Applied{}) {
			k.Errorf("applied again: %+v", again)
		}
	})
}

func TestForecast(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy(rule("", 365))
		k.archived(told("aged", "", 800), told("young", "", 30), told("fresh", "", 1))
		one, _ := k.recording("young")
		k.apply()
		// As it will be in two days.
		r, err := archive.NewRetainer(archive.RetainerOptions{
			Store: k.store, Vault: k.vault, Rules: func() call.Retention { return k.rules },
			Now: func() time.Time { return time.Now().AddDate(0, 0, 2) },
		})
		if err != nil {
			k.Fatal(err)
		}
		for range 2 {
			f, err := r.Forecast(k.Context())
			if err != nil {
				k.Fatal(err)
			}
			if diff := cmp.Diff([]call.StorageTotal{{Account: "sales", Recordings: 2, Bytes: 2 * one.Size}}, f.Totals); diff != "" {
				k.Errorf("totals (-want +got):\n%s", diff)
			}
			var added, deleted, frees int64
			for _, d := range f.Days {
				added, deleted = added+d.AddedBytes, deleted+d.DeletedBytes
			}
			for _, d := range f.Frees {
				frees += d.Bytes
			}
			if added != 3*one.Size || deleted != one.Size || frees != 2*one.Size || f.BytesPerDay < added/3 || f.BytesPerDay > added/2 {
				k.Errorf("forecast: %+v", f)
			}
		}
	})
}

func TestShorterRulesShortenNothing(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy(rule("", 2000))
		k.archived(told("one", "", 100), told("two", "", 50))
		was, _ := k.recording("one")
		k.keepBy(rule("", 10))
		want := []call.KeptSum{{Why: call.KeptPromised, Account: "sales", By: "group : 10d", Recordings: 2, Bytes: 2 * was.Size}}
		for _, unjudged := range []int64{2, 0} {
			plan := k.plan(time.Now())
			if plan.Unjudged != unjudged || len(plan.Due) != 0 || len(plan.Kept) != 1 || plan.Kept[0].Until.Before(was.RetainUntil.AddDate(0, 0, 49)) {
				k.Errorf("plan: %+v", plan)
			}
			for i := range plan.Kept {
				plan.Kept[i].From, plan.Kept[i].Until = time.Time{}, time.Time{}
			}
			if diff := cmp.Diff(want, plan.Kept); diff != "" {
				k.Errorf("plan (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(archive.Applied{Judged: unjudged}, k.apply()); diff != "" {
				k.Errorf("(-want +got):\n%s", diff)
			}
		}
		now := k.stands("one", call.Archived, audit.RecordingRetained)
		if !now.RetainUntil.Equal(was.RetainUntil) || !now.DueAt.Equal(was.RetainUntil) {
			k.Errorf("promised until %s, now %s and due at %s", was.RetainUntil, now.RetainUntil, now.DueAt)
		}
	})
}

func TestLaterRulesAndFactsLengthen(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy(rule("Sales", 2000), rule("", 200))
		k.archived(told("late", "", 150), told("other", "", 150), told("overdue", "", 300))
		was, _ := k.recording("late")
		// The group is learned only now.
		learned := told("late", "Sales", 150)
		learned.Items[0].Leg.StartedAt = time.Time{}
		learned.Items[0].Leg.Recordings = nil
		queue(k, k.store, learned, func() *call.Delivery {
			d := told("overdue", "Sales", 300)
			d.Items[0].Leg.Recordings = nil
			return d
		}())
		if applied := k.apply(); applied.Lengthened != 2 || applied.Judged != 2 || applied.Deleted != 0 {
			k.Errorf("applied %+v", applied)
		}
		now := k.stands("late", call.Archived, audit.RecordingRetained)
		if want := was.RetainUntil.AddDate(0, 0, 1800); !now.RetainUntil.Equal(want) || now.Rule != "group Sales: 2000d" {
			k.Errorf("promised until %s by %s, want %s", now.RetainUntil, now.Rule, want)
		}
		k.stands("overdue", call.Archived, audit.RecordingRetained)
		// A changed configuration.
		k.keepBy(rule("", 3000))
		if applied := k.apply(); applied.Lengthened != 3 || applied.Judged != 3 {
			k.Errorf("applied %+v", applied)
		}
		k.stands("other", call.Archived, audit.RecordingRetained)
		k.stands("late", call.Archived, audit.RecordingRetained, audit.RecordingRetained)
	})
}

func TestKeptForEver(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy(rule("", 0))
		k.archived(told("ever", "", 5000))
		r := k.stands("ever", call.Archived)
		if !r.DueAt.IsZero() || r.RetainUntil.IsZero() == k.locks() {
			k.Errorf("due at %s, promised until %s", r.DueAt, r.RetainUntil)
		}
		if plan := k.plan(time.Now().AddDate(100, 0, 0)); len(plan.Due)+len(plan.Kept) != 0 {
			k.Errorf("plan: %+v", plan)
		}
		// From then on as with any rule.
		k.keepBy(rule("", 100))
		want := archive.Applied{Judged: 1, Deleted: 1, Bytes: r.Size}
		if k.locks() {
			want = archive.Applied{Judged: 1}
		}
		if diff := cmp.Diff(want, k.apply(), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Lengthened" }, cmp.Ignore())); diff != "" {
			k.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestLockedObjectIsNotDeleted: somebody has locked in the bucket what the rules
// let go.
func TestLockedObjectIsNotDeleted(t *testing.T) {
	t.Parallel()
	o := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	o.Lock = archive.Governance
	k := &keeping{T: t, store: onSQLite(t), vault: openS3(t, o)}
	k.keepBy(rule("", 30))
	k.archived(told("locked", "", 100), told("held", "", 100), told("free", "", 100))
	locked, _ := k.recording("locked")
	held, _ := k.recording("held")
	until := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)
	if err := errors.Join(k.vault.Lengthen(t.Context(), locked.ObjectKey, until),
		k.vault.Protect(t.Context(), held.ObjectKey, archive.Protection{Hold: true}),
		k.vault.Lengthen(t.Context(), held.ObjectKey, time.Now().Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if p, err := k.vault.Protection(t.Context(), held.ObjectKey); err != nil || !p.Hold {
		t.Errorf("a longer lock has lifted the hold: %+v, %v", p, err)
	}
	if applied := k.apply(); applied.Deleted != 1 || applied.Blocked != 2 {
		t.Errorf("applied %+v", applied)
	}
	kept := []audit.Action{audit.RecordingExpiring, audit.RecordingKept}
	k.stands("locked", call.Archived, kept...)
	k.stands("held", call.Archived, kept...)
	k.stands("free", call.Expired, audit.RecordingExpiring, audit.RecordingExpired)
	day := until.Truncate(24 * time.Hour)
	want := []call.KeptSum{
		{Why: call.KeptLocked, Account: "sales", By: "a legal hold on the object", Recordings: 1, Bytes: held.Size},
		{Why: call.KeptLocked, Account: "sales", By: "a lock on the object", From: day, Until: day, Recordings: 1, Bytes: locked.Size},
	}
	plan := k.plan(time.Now())
	for i := range plan.Kept {
		if plan.Kept[i].By == "a legal hold on the object" {
			plan.Kept[i].From, plan.Kept[i].Until = time.Time{}, time.Time{} // when it is tried again
		}
	}
	if diff := cmp.Diff(want, plan.Kept); diff != "" || len(plan.Due) != 0 {
		t.Errorf("due %+v, kept (-want +got):\n%s", plan.Due, diff)
	}
	if again := k.apply(); again != (archive.Applied{}) {
		t.Errorf("applied again: %+v", again)
	}
	// They have been due for seventy days: that is to be told.
	outlook, err := k.retainer().Outlook(t.Context())
	if err != nil || len(outlook.Late.Kept) != 2 || outlook.Late.Kept[1].Why != call.KeptLocked || len(outlook.Totals) != 1 || outlook.Totals[0].Recordings != 2 {
		t.Errorf("outlook: %+v, %v", outlook, err)
	}
}

func TestHeldIsNotDeleted(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		vault := &deafVault{Vault: k.vault}
		k.vault = vault
		k.keepBy(rule("", 30))
		k.archived(told("by-id", "", 100), told("by-search", "Sales", 100), told("free", "", 100))
		byID, _ := k.recording("by-id")
		hold := func(h call.Hold) {
			k.Helper()
			if _, err := k.store.PlaceHold(k.Context(), h); err != nil {
				k.Fatal(err)
			}
		}
		hold(call.Hold{Name: "one", Reason: "a letter", CallIDs: []string{byID.CallID}})
		hold(call.Hold{Name: "two", Reason: "a letter", Filter: &call.Filter{Group: "Sales"}})
		plan := k.plan(time.Now())
		if len(plan.Kept) != 1 || plan.Kept[0].Why != call.KeptHeld || plan.Kept[0].By != "one" {
			k.Errorf("plan: %+v", plan)
		}
		if applied := k.apply(); applied.Deleted != 1 || applied.Blocked != 0 {
			k.Errorf("applied %+v", applied)
		}
		k.stands("by-id", call.Archived)
		k.stands("by-search", call.Archived)
		k.stands("free", call.Expired, audit.RecordingExpiring, audit.RecordingExpired)
		if plan := k.plan(time.Now()); len(plan.Kept) != 2 || len(plan.Due) != 0 {
			k.Errorf("plan: %+v", plan)
		}
		// Interrupted before the object was gone, then held.
		k.archived(told("late", "", 100))
		vault.deaf, vault.broken = true, true
		if _, err := k.retainer().Apply(k.Context(), nil); err == nil {
			k.Error("a broken vault is no error")
		}
		vault.deaf, vault.broken = false, false
		late, _ := k.recording("late")
		hold(call.Hold{Name: "three", Reason: "a letter", CallIDs: []string{late.CallID}})
		if applied := k.apply(); applied.Deleted != 0 || applied.Blocked != 1 {
			k.Errorf("applied %+v", applied)
		}
		k.stands("late", call.Archived, audit.RecordingExpiring, audit.RecordingKept)
		if applied := k.apply(); applied != (archive.Applied{}) {
			k.Errorf("applied %+v", applied)
		}
	})
}

// deafVault deletes, but its answer is lost; or it is broken, and does not.
type deafVault struct {
	archive.Vault
	deaf, broken bool
}

func (v *deafVault) Delete(ctx context.Context, key string) error {
	if v.broken {
		return errors.New("broken")
	}
	err := v.Vault.Delete(ctx, key)
	if v.deaf {
		return errors.New("the answer was lost")
	}
	return err
}

// TestInterruptedDeletionIsNoLoss: an object is gone and its row does not know;
// the next run mends that.
func TestInterruptedDeletionIsNoLoss(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		vault := &deafVault{Vault: k.vault, deaf: true}
		k.vault = vault
		k.keepBy(rule("", 30))
		k.archived(told("one", "", 100), told("two", "", 100))
		if _, err := k.retainer().Apply(k.Context(), nil); err == nil {
			k.Error("a lost answer is no error")
		}
		for _, key := range []string{"one", "two"} {
			if r, _ := k.recording(key); r.State != call.Expired || !r.ExpiredAt.IsZero() {
				k.Errorf("%s is %s since %s", key, r.State, r.ExpiredAt)
			}
		}
		vault.deaf = false
		if applied := k.apply(); applied.Deleted != 2 || applied.Error != nil {
			k.Errorf("applied %+v", applied)
		}
		for _, key := range []string{"one", "two"} {
			k.stands(key, call.Expired, audit.RecordingExpiring, audit.RecordingExpired)
		}
	})
}

// everybodyWins lets all have the job at once.
type everybodyWins struct{ *store.Store }

func (everybodyWins) ClaimJob(context.Context, string, bool, time.Duration) (string, error) {
	return "token", nil
}

func (everybodyWins) RenewJob(context.Context, string, string, time.Duration) error { return nil }

// TestManyNodesDeleteOnce: also when they are at it at the same time, which the
// lease of the job keeps them from.
func TestManyNodesDeleteOnce(t *testing.T) {
	t.Parallel()
	forEachKeeping(t, func(k *keeping) {
		k.keepBy(rule("", 30))
		var calls []*call.Delivery
		for i := range 40 {
			calls = append(calls, told(fmt.Sprintf("call-%02d", i), "", 100))
		}
		k.archived(calls...)
		var deleted [4]int64
		var nodes errgroup.Group
		for i := range deleted {
			r, err := archive.NewRetainer(archive.RetainerOptions{
				Store: everybodyWins{k.store}, Vault: k.vault, Rules: func() call.Retention { return k.rules }, PerSecond: 1000, Now: time.Now,
			})
			if err != nil {
				k.Fatal(err)
			}
			nodes.Go(func() error {
				applied, err := r.Apply(context.WithoutCancel(k.Context()), nil)
				deleted[i] = applied.Deleted
				return err
			})
		}
		if err := nodes.Wait(); err != nil {
			k.Fatal(err)
		}
		for i := range calls {
			k.stands(fmt.Sprintf("call-%02d", i), call.Expired, audit.RecordingExpiring, audit.RecordingExpired)
		}
		// With the lease one is at it, and the other is told.
		token, err := k.store.ClaimJob(k.Context(), archive.RetentionJob, false, time.Minute)
		if err != nil || token == "" {
			k.Fatalf("claim: %q, %v", token, err)
		}
		if _, err := k.retainer().Apply(k.Context(), nil); !errors.Is(err, archive.ErrBusy) {
			k.Errorf("applied beside another: %v", err)
		}
	})
}
