package archive_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/klauspost/compress/zstd"
)

// building is a report of the day of all calls while it is being made.
type building struct {
	*testing.T
	p     *premises
	run   call.Run
	lease string
	// body is that of the frozen input, packed, and of a workbook.
	body  string
	files []call.RunFile
	until time.Time
}

// build reserves a run, or a revision of one that tells of nobody, and freezes
// what it tells of somebody.
func (p *premises) build(t *testing.T, revise bool, whom string, lease time.Duration) *building {
	t.Helper()
	if revise {
		b := p.made(t, "nobody")
		b.revise(whom, lease)
		return b
	}
	b := &building{T: t, p: p}
	day := started.UTC().Truncate(24 * time.Hour)
	var won bool
	var err error
	b.run, b.lease, won, err = p.store.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: day, PeriodTo: day.AddDate(0, 0, 1), Zone: "UTC"}, lease)
	if err != nil || !won {
		t.Fatalf("reserve: %t, %v", won, err)
	}
	b.freeze(1, whom)
	return b
}

// made is a report that is made.
func (p *premises) made(t *testing.T, whom string) *building {
	t.Helper()
	b := p.build(t, false, whom, time.Minute)
	b.plan()
	b.put()
	if err := b.finish(); err != nil {
		t.Fatal(err)
	}
	return b
}

// revise reserves the second revision of a report that is made, and freezes it.
func (b *building) revise(whom string, lease time.Duration) {
	b.Helper()
	var won bool
	var err error
	b.lease, won, err = b.p.store.ReserveRevision(b.Context(), b.run.ID, 1, time.Time{}, lease)
	if err != nil || !won {
		b.Fatalf("reserve a revision: %t, %v", won, err)
	}
	b.freeze(2, whom)
}

func (b *building) freeze(revision int, whom string) {
	b.Helper()
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.body = string(packer.EncodeAll([]byte(`{"call":{"customer_number":"`+whom+`"}}`), nil))
	b.run.Revision, b.files = revision, nil
	for _, name := range []string{"daily.xlsx", "input.ndjson.zst"} {
		b.files = append(b.files, call.RunFile{
			Name: name, ObjectKey: fmt.Sprintf("reports/daily/r%d/%s", revision, name), Size: int64(len(b.body)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(b.body))), Revision: revision,
		})
	}
}

func (b *building) plan() {
	b.Helper()
	if err := b.p.store.PlanRunFiles(b.Context(), b.lease, b.files); err != nil {
		b.Fatal(err)
	}
}

func (b *building) put() {
	b.Helper()
	for _, f := range b.files {
		opts := describe([]byte(b.body))
		opts.Protection.Until = b.until
		if err := b.p.vault.Put(b.Context(), f.ObjectKey, strings.NewReader(b.body), opts); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *building) finish() error {
	b.run.Files = append(b.run.Files, b.files...)
	return b.p.store.FinishRun(b.Context(), b.lease, b.run)
}

// waits goes on with an erasure and expects that it has to go on once more, and
// certifies nothing yet.
func (p *premises) waits(t *testing.T, e call.Erasure) {
	t.Helper()
	p.goOn(t, e.ID)
	now, err := p.store.Erasure(t.Context(), e.ID)
	if err != nil || now.Certificate != "" || !now.FinishedAt.IsZero() || now.NextAt.IsZero() || now.Number == "" {
		t.Errorf("it does not wait for what is being made: %+v, %v", now, err)
	}
	calls, _, err := p.store.FindCalls(t.Context(), call.Filter{})
	if err != nil || len(calls) != 1 || calls[0].CustomerNumber != "" {
		t.Errorf("calls are %+v, %v", calls, err)
	}
}

// nothingUnknown makes sure that all that lies in the vault is known, also when it
// is old enough.
func (p *premises) nothingUnknown(t *testing.T) {
	t.Helper()
	err := archive.NewVerifier(archive.VerifyOptions{
		Store: p.store, Vault: p.vault, Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
		Found: func(c call.Checked) error {
			for _, f := range c.Faults {
				if f.Kind == call.FaultUnknown || f.Kind == call.FaultMissing {
					t.Errorf("%s %s: %s", f.Kind, f.Where, f.What)
				}
			}
			return nil
		},
	}).All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

// TestErasureOvertakesReports: while a report is being made of what was there
// before, an erasure is not complete; when it is made it is looked through like
// those that were there.
func TestErasureOvertakesReports(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]int{"when it is frozen": 0, "when it is planned": 1, "when it is put": 2} {
		for _, revise := range []bool{false, true} {
			for _, whom := range []string{subject, "nobody"} {
				t.Run(fmt.Sprintf("%s, revision %t, of %s", name, revise, whom), func(t *testing.T) {
					t.Parallel()
					everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
						p := newPremises(t, openStore(t, o), v)
						p.record(t, customer("1.1", subject))
						b := p.build(t, revise, whom, time.Minute)
						steps := []func(){b.plan, b.put}
						for _, step := range steps[:moment] {
							step()
						}
						e := p.begin(t)
						p.waits(t, e)
						p.nothingUnknown(t)
						for _, step := range steps[moment:] {
							step()
						}
						if err := b.finish(); err != nil {
							t.Fatal(err)
						}
						p.due(t, e.ID, o)
						p.goOn(t, e.ID)
						c := p.certificate(t, e.ID)
						run, err := p.store.Run(t.Context(), b.run.ID)
						if err != nil {
							t.Fatal(err)
						}
						left := list(t, v, "reports/")
						if whom == subject {
							if !c.Complete || c.Erased[call.ErasedReport] != 1 || len(left) != 0 || run.FilesGone() == "" {
								t.Errorf("left is %v of %+v; certificate %+v", left, run, c)
							}
						} else if !c.Complete || c.Erased[call.ErasedReport] != 0 || len(left) != 2*run.Revision || run.FilesGone() != "" {
							t.Errorf("of others is left %v of %+v; certificate %+v", left, run, c)
						}
						p.nothingUnknown(t)
						p.forgets(t, dumpOf(t, o))
					})
				})
			}
		}
	}
}

// TestErasureOvertakesKilledReports: what somebody was putting who was killed goes
// with an erasure, and he cannot come back with it.
func TestErasureOvertakesKilledReports(t *testing.T) {
	t.Parallel()
	for _, revise := range []bool{false, true} {
		t.Run(fmt.Sprintf("revision %t", revise), func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
				p := newPremises(t, openStore(t, o), v)
				p.record(t, customer("1.1", subject))
				b := p.build(t, revise, subject, -time.Second)
				b.plan()
				b.put()
				kept := len(b.run.Files)
				e := p.begin(t)
				p.waits(t, e)
				p.due(t, e.ID, o)
				p.goOn(t, e.ID)
				if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedReport] != 0 {
					t.Errorf("certificate %+v", c)
				}
				if left := list(t, v, "reports/"); len(left) != kept {
					t.Errorf("left is %v", left)
				}
				if err := b.finish(); call.CodeOf(err) != call.Conflict {
					t.Errorf("he came back: %v", err)
				}
				if gone := p.entries(t, audit.OrphanRemoved); len(gone) != 2 || gone[0].Subject != "run/"+b.run.ID {
					t.Errorf("in the log: %+v", gone)
				}
				p.nothingUnknown(t)
			})
		})
	}
}

// TestErasureListsKilledReports: what a lock or a hold keeps of them is listed.
func TestErasureListsKilledReports(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Governance
	v, o := openS3(t, opts), store.Options{DSN: testenv.Postgres(t)}
	p := newPremises(t, openStore(t, o), v)
	p.record(t, customer("1.1", subject))
	b := p.build(t, false, subject, -time.Second)
	b.until = time.Now().Add(30 * 24 * time.Hour)
	b.plan()
	b.put()
	e := p.begin(t)
	p.waits(t, e)
	p.due(t, e.ID, o)
	p.goOn(t, e.ID)
	c := p.certificate(t, e.ID)
	if c.Complete || len(c.Kept) != 1 || c.Kept[0].Kind != call.ErasedReport || c.Kept[0].Ref != b.run.ID || c.Kept[0].Until == nil || c.Kept[0].Until.Before(b.until.Truncate(time.Second)) {
		t.Errorf("certificate %+v", c)
	}
	p.nothingUnknown(t)
}

// TestErasureFindsReportsMadeSince: a report that is made while a hold keeps a
// call of an erasure goes when the hold has ended.
func TestErasureFindsReportsMadeSince(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		held := customer("1.1", subject)
		p.record(t, held)
		if _, err := p.store.PlaceHold(t.Context(), call.Hold{Name: "case", Reason: "r", CallIDs: held.CallIDs}); err != nil {
			t.Fatal(err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		p.made(t, subject)
		p.due(t, e.ID, o)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); c.Complete || len(c.Kept) != 4 {
			t.Errorf("while it is held: %+v", c)
		}
		if _, err := p.store.ReleaseHold(t.Context(), "case", "r", false); err != nil {
			t.Fatal(err)
		}
		p.due(t, e.ID, o)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedReport] != 1 {
			t.Errorf("afterwards: %+v", c)
		}
		if left := list(t, v, "reports/"); len(left) != 0 {
			t.Errorf("left is %v", left)
		}
	})
}

// TestErasureOutlivesCalls: a report that could not go at once goes also if its
// calls' own term is over by then.
func TestErasureOutlivesCalls(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		p.record(t, customer("1.1", subject))
		b := p.made(t, subject)
		b.revise(subject, time.Minute)
		b.plan()
		b.put()
		e := p.begin(t)
		p.waits(t, e)
		n, _, err := p.store.ForgetCalls(t.Context(), "sales", time.Now().Add(time.Hour), &call.Place{})
		if err != nil || n != 1 {
			t.Fatalf("%d calls were forgotten, %v", n, err)
		}
		p.due(t, e.ID, o)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedReport] != 1 {
			t.Errorf("certificate %+v", c)
		}
		if left := list(t, v, "reports/"); len(left) != 0 {
			t.Errorf("left is %v", left)
		}
		p.nothingUnknown(t)
	})
}

// deleteHook is a vault of which one hears when a report is deleted for the first
// time.
type deleteHook struct {
	archive.Vault
	once sync.Once
	hook func()
}

func (v *deleteHook) Delete(ctx context.Context, key string) error {
	if strings.HasPrefix(key, "reports/") {
		v.once.Do(v.hook)
	}
	return v.Vault.Delete(ctx, key)
}

// TestErasureIsOvertakenByReports: a revision that is made while the files of the
// one before are deleted goes, too, before anything is certified.
func TestErasureIsOvertakenByReports(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		hooked := &deleteHook{Vault: v}
		p := newPremises(t, openStore(t, o), hooked)
		p.record(t, customer("1.1", subject))
		b := p.made(t, subject)
		b.revise(subject, time.Minute)
		finished := false
		hooked.hook = func() {
			b.plan()
			b.put()
			if err := b.finish(); err != nil {
				t.Error(err)
			}
			finished = true
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !finished || !c.Complete || c.Erased[call.ErasedReport] != 1 {
			t.Errorf("finished %t; certificate %+v", finished, c)
		}
		if left := list(t, v, "reports/"); len(left) != 0 {
			t.Errorf("left is %v", left)
		}
		p.nothingUnknown(t)
	})
}
