package archive_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
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

	"github.com/klauspost/compress/zstd"
)

const subject = "+919812345678"

// customer is a CallerDesk report of an answered call with a customer.
func customer(sid, number string) *call.Delivery {
	at := started.Add(time.Minute)
	digits := strings.TrimPrefix(number, "+")
	l := &call.Leg{
		Account: "sales", Provider: call.CallerDesk, Key: sid, Direction: call.Inbound, Outcome: call.Answered, Status: "ANSWER",
		CustomerNumber: number, BusinessNumber: "+911204567890", Agent: call.Agent{Name: "Ashish", Number: "+919281234567"},
		StartedAt: at, TalkSeconds: new(40),
		Recordings: []call.Wanted{{Kind: call.Conversation, Source: "https://rec.example.org/" + digits + "-" + sid + ".wav", Location: "https://rec.example.org/" + digits + "-" + sid + ".wav?sig=1"}},
		Attributes: call.Attributes{"SourceNumber": json.RawMessage(`"` + digits + `"`), "CallSid": json.RawMessage(`"` + sid + `"`)},
	}
	l.AddKey(call.KeyCall, sid)
	l.AddKey(call.KeyOther, "ref-"+digits)
	return &call.Delivery{
		Account: "sales", ReceivedAt: time.Now(), Method: "POST", ContentType: "application/json", Source: call.SourceWebhook, RemoteAddress: "203.0.113.9",
		Body: []byte(`{"CallSid":"` + sid + `","SourceNumber":"` + digits + `"}`), Items: []call.Item{{Leg: l}},
	}
}

// mixed is a list of calls of two customers in one delivery.
func mixed(a, b *call.Delivery) *call.Delivery {
	d := *a
	d.UID = ""
	d.Source = call.SourceBackfill
	d.Items = slices.Concat(a.Items, b.Items)
	d.Body = []byte("[" + string(a.Body) + "," + string(b.Body) + "]")
	return &d
}

// premises are a database and a vault with calls of a subject and of another.
type premises struct {
	store   *store.Store
	vault   archive.Vault
	journal *archive.Journal
	eraser  *archive.Eraser
	now     time.Time
}

func newPremises(t *testing.T, s *store.Store, v archive.Vault) *premises {
	t.Helper()
	p := &premises{store: s, vault: v, journal: openJournal(t, s, v), now: time.Now()}
	p.eraser = archive.NewEraser(archive.EraserOptions{
		Store: s, Vault: v, Now: func() time.Time { return p.now }, Logger: slog.New(slog.DiscardHandler),
		Head:         func(context.Context) (string, error) { return "signed head\n", nil },
		WriteJournal: p.journal.Write,
	})
	return p
}

func (p *premises) record(t *testing.T, deliveries ...*call.Delivery) {
	t.Helper()
	if err := p.store.Record(t.Context(), deliveries); err != nil {
		t.Fatal(err)
	}
}

// archiveAll puts audio for all that is wanted into the vault.
func (p *premises) archiveAll(t *testing.T, protect archive.Protection) {
	t.Helper()
	claims, err := p.store.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 100, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		audio := []byte("audio of " + c.ID)
		key, err := p.store.ChooseObjectKey(t.Context(), c.LeaseToken, "calls/2026/11/20/sales/"+c.ID+".wav")
		if err != nil {
			t.Fatal(err)
		}
		err = p.vault.Put(t.Context(), key, bytes.NewReader(audio), archive.PutOptions{Size: int64(len(audio)), SHA256: sha256.Sum256(audio), Protection: protect})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.store.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: key, Size: int64(len(audio)), SHA256: "00", MediaType: "audio/wav"}); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *premises) begin(t *testing.T) call.Erasure {
	t.Helper()
	e, err := p.store.BeginErasure(audit.By(t.Context(), audit.Actor{Kind: audit.KindUser, Name: "dpo"}), subject, "request of 2026-11-20")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (p *premises) goOn(t *testing.T, id string) {
	t.Helper()
	if ok, err := p.eraser.Continue(t.Context(), id); !ok || err != nil {
		t.Fatalf("went on %v, %v", ok, err)
	}
}

// certificate reads the last certificate, and makes sure that it does not hold
// the number.
func (p *premises) certificate(t *testing.T, id string) archive.Certificate {
	t.Helper()
	e, err := p.store.Erasure(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var c archive.Certificate
	for _, ending := range []string{".txt", ".json"} {
		text, _ := read(t, p.vault, e.Certificate+ending, 0, -1)
		if strings.Contains(string(text), "12345678") {
			t.Errorf("the certificate holds the number: %s", text)
		}
		if ending == ".json" {
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// writeJournal writes a segment.
func (p *premises) writeJournal(t *testing.T) {
	t.Helper()
	if err := p.journal.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// journalForgets makes sure that the number stands in no object of the journal,
// and that the journal hangs together all the same.
func (p *premises) journalForgets(t *testing.T) {
	t.Helper()
	for _, key := range list(t, p.vault, archive.JournalPrefix) {
		object, _ := read(t, p.vault, key, 0, -1)
		r, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := r.DecodeAll(object, nil)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "9812345678") {
				t.Errorf("%s still holds the number: %.300s", key, line)
			}
		}
	}
	journaled(t, p.vault)
}

// forgets makes sure that the number stands nowhere in the database.
func (p *premises) forgets(t *testing.T, dump string) {
	t.Helper()
	for line := range strings.Lines(dump) {
		if strings.Contains(line, "9812345678") {
			t.Errorf("the number is still there: %.300s", line)
		}
	}
}

// everywhere runs a test on both databases and both vaults.
func everywhere(t *testing.T, test func(t *testing.T, o store.Options, v archive.Vault)) {
	t.Helper()
	t.Run("SQLite and a directory", func(t *testing.T) {
		t.Parallel()
		test(t, store.Options{Path: t.TempDir() + "/callvault.db"}, onDirectory(t))
	})
	t.Run("PostgreSQL and a bucket with lock", func(t *testing.T) {
		t.Parallel()
		opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
		opts.Lock = archive.Governance
		test(t, store.Options{DSN: testenv.Postgres(t)}, openS3(t, opts))
	})
}

// dumpOf is all that the database holds, but for the audit log, which is not
// erased.
func dumpOf(t *testing.T, o store.Options) string {
	t.Helper()
	var kept strings.Builder
	audited := false
	for line := range strings.Lines(testenv.Dump(t, o.DSN, o.Path)) {
		if name := strings.TrimSuffix(line, "\n"); name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "" {
			audited = name == "audit_entries"
		}
		if !audited {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func TestErasure(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		first, other := customer("1.1", subject), customer("2.2", "+919800000001")
		live := &call.Delivery{
			Account: "sales", ReceivedAt: time.Now(), Method: "GET", Query: "from=%2B919812345678", Source: call.SourceWebhook,
			Items: []call.Item{{Outcome: call.Ignored}},
		}
		both := mixed(customer("1.1", subject), customer("2.2", "+919800000001"))
		p.record(t, first)
		p.record(t, other, live)
		p.record(t, both)
		p.archiveAll(t, archive.Protection{})
		p.writeJournal(t)
		theirs, err := p.store.Call(t.Context(), other.CallIDs[0])
		if err != nil {
			t.Fatal(err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)

		p.forgets(t, dumpOf(t, o))
		p.journalForgets(t)
		c := p.certificate(t, e.ID)
		if !c.Complete || c.Erased[call.ErasedCall] != 1 || c.Erased[call.ErasedAudio] != 1 || c.Erased[call.ErasedDelivery] != 3 || c.Erased[call.ErasedJournal] != 1 || c.AskedBy != "dpo" || c.AuditHead == "" {
			t.Errorf("certificate: %+v", c)
		}
		got, err := p.store.Call(t.Context(), first.CallIDs[0])
		if err != nil || got.CustomerNumber != "" || got.TalkSeconds == nil || *got.TalkSeconds != 40 || len(got.Legs) != 1 || !got.Legs[0].Erased {
			t.Errorf("what is left of the call: %+v, %v", got, err)
		}
		if r := got.Recordings[0]; r.State != call.Erased || r.Location != "" {
			t.Errorf("what is left of the recording: %+v", r)
		}
		if keys := list(t, v, "calls/"); len(keys) != 1 || keys[0] != theirs.Recordings[0].ObjectKey {
			t.Errorf("objects: %v", keys)
		}
		again, err := p.store.Call(t.Context(), theirs.ID)
		if err != nil || again.CustomerNumber != "+919800000001" || again.Recordings[0].State != call.Archived {
			t.Errorf("another's call has changed: %+v, %v", again, err)
		}
		whole, err := p.store.Delivery(t.Context(), both.ID)
		if err != nil || !strings.Contains(string(whole.Body), "919800000001") {
			t.Errorf("another's report is gone from a delivery of both: %s, %v", whole.Body, err)
		}

		// Nothing brings it back: the same report, a row of a list under another
		// key, a list of both.
		back := customer("1.1", subject)
		row := customer("1.1", subject)
		row.Items[0].Leg.Key, row.Items[0].Leg.Listed, row.Source = call.ListedKey("1.1"), true, call.SourceBackfill
		unknown := customer("9.9", subject)
		p.record(t, back)
		p.record(t, row, unknown)
		p.record(t, mixed(customer("1.1", subject), customer("2.2", "+919800000001")))
		p.forgets(t, dumpOf(t, o))
		p.writeJournal(t)
		p.journalForgets(t)
		if _, err := p.store.Replay(t.Context(), []int64{first.ID, both.ID, back.ID}, store.ReplayOptions{Decode: func(d *call.Delivery) {
			d.Items = mixed(customer("1.1", subject), customer("2.2", "+919800000001")).Items
		}}); err != nil {
			t.Fatal(err)
		}
		got, err = p.store.Call(t.Context(), first.CallIDs[0])
		if err != nil || got.CustomerNumber != "" || len(got.Recordings) != 1 {
			t.Errorf("the call came back as %+v, %v", got, err)
		}
		// Who calls again is a customer again.
		next := customer("3.3", subject)
		next.Items[0].Leg.StartedAt = time.Now().Add(time.Minute)
		p.record(t, next)
		if got, err := p.store.Call(t.Context(), next.CallIDs[0]); err != nil || got.CustomerNumber != subject {
			t.Errorf("a later call is %+v, %v", got, err)
		}
	})
}

// A hold beats an erasure; when it ends the rest goes by itself.
func TestErasureWaitsForHolds(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		held, free := customer("1.1", subject), customer("2.2", subject)
		p.record(t, held, free)
		p.archiveAll(t, archive.Protection{})
		if _, err := p.store.PlaceHold(t.Context(), call.Hold{Name: "case", Reason: "r", CallIDs: held.CallIDs}); err != nil {
			t.Fatal(err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		c := p.certificate(t, e.ID)
		if c.Complete || len(c.Kept) != 3 || c.Erased[call.ErasedCall] != 1 || c.Kept[0].Why != "legal hold case" {
			t.Errorf("certificate: %+v", c)
		}
		got, err := p.store.Call(t.Context(), held.CallIDs[0])
		if err != nil || got.CustomerNumber != subject || got.Recordings[0].State != call.Archived {
			t.Errorf("the held call is %+v, %v", got, err)
		}
		if _, err := p.store.ReleaseHold(t.Context(), "case", "r", false); err != nil {
			t.Fatal(err)
		}
		p.due(t, e.ID, o)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete {
			t.Errorf("certificate: %+v", c)
		}
		p.forgets(t, dumpOf(t, o))
		if ok, err := p.eraser.Continue(t.Context(), e.ID); ok || err != nil {
			t.Errorf("it goes on though it is done: %v, %v", ok, err)
		}
	})
}

// due lets the erasure's time come.
func (p *premises) due(t *testing.T, id string, o store.Options) {
	t.Helper()
	execute(t, o, "UPDATE erasures SET next_at = 1 WHERE id = '"+id+"'")
	p.now = p.now.Add(25 * time.Hour)
}

// What the bucket has locked goes when the lock ends.
func TestErasureWaitsForLocks(t *testing.T) {
	t.Parallel()
	opts := s3Options(testenv.MinIO(t, testenv.BucketOptions{ObjectLock: true}))
	opts.Lock = archive.Compliance
	v := openS3(t, opts)
	o := store.Options{DSN: testenv.Postgres(t)}
	p := newPremises(t, openStore(t, o), v)
	d := customer("1.1", subject)
	p.record(t, d)
	until := time.Now().Add(4 * time.Second)
	p.archiveAll(t, archive.Protection{Until: until})
	e := p.begin(t)
	p.goOn(t, e.ID)
	c := p.certificate(t, e.ID)
	if c.Complete || len(c.Kept) != 1 || c.Kept[0].Kind != call.ErasedAudio || c.Kept[0].Until == nil || c.Kept[0].Until.Before(until.Truncate(time.Second)) {
		t.Fatalf("certificate: %+v", c)
	}
	got, err := p.store.Call(t.Context(), d.CallIDs[0])
	if err != nil || got.CustomerNumber != "" || got.Recordings[0].State != call.Archived {
		t.Errorf("the call of locked audio is %+v, %v", got, err)
	}
	p.forgets(t, dumpOf(t, o))
	eventually(t, "the lock ends", func() bool {
		protection, err := v.Protection(t.Context(), got.Recordings[0].ObjectKey)
		return err == nil && !protection.Keeps(time.Now().Add(-time.Second))
	})
	p.due(t, e.ID, o)
	p.goOn(t, e.ID)
	if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedAudio] != 1 {
		t.Errorf("certificate: %+v", c)
	}
	if keys := list(t, v, "calls/"); len(keys) != 0 {
		t.Errorf("objects: %v", keys)
	}
}

// Interrupted at any step, another goes on and comes to the same end.
func TestErasureGoesOn(t *testing.T) {
	t.Parallel()
	var steps int
	for steps = 1; steps < 40; steps++ {
		o := store.Options{Path: t.TempDir() + "/callvault.db"}
		s, v := openStore(t, o), onDirectory(t)
		p := newPremises(t, s, v)
		d := customer("1.1", subject)
		p.record(t, d, customer("2.2", subject))
		p.archiveAll(t, archive.Protection{})
		p.writeJournal(t)
		e := p.begin(t)
		dying := &dyingVault{Vault: v, left: steps}
		ctx, cancel := context.WithCancel(t.Context())
		dying.die = cancel
		killed := archive.NewEraser(archive.EraserOptions{Store: &dyingStore{s, dying}, Vault: dying, WriteJournal: p.journal.Write, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
		_, err := killed.Continue(ctx, e.ID)
		cancel()
		if err == nil {
			break // it had come to its end before
		}
		p.due(t, e.ID, o) // the lease of the dead one runs out
		p.goOn(t, e.ID)
		p.forgets(t, dumpOf(t, o))
		p.journalForgets(t)
		if keys := list(t, v, "calls/"); len(keys) != 0 {
			t.Errorf("killed at step %d: objects %v", steps, keys)
		}
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedAudio] != 2 || c.Erased[call.ErasedCall] != 2 || c.Erased[call.ErasedJournal] != 1 {
			t.Errorf("killed at step %d: %+v", steps, c)
		}
	}
	if steps < 10 || steps == 40 {
		t.Errorf("%d steps were interrupted", steps)
	}
}

var errKilled = errors.New("killed")

// dyingVault ends everything after so many steps: the step is done, and nobody
// hears of it.
type dyingVault struct {
	archive.Vault
	left int
	die  func()
	// lives: nothing ends, and die is what else happens then, once.
	lives bool
}

func (d *dyingVault) step() error {
	d.left--
	if d.left == 0 || d.left < 0 && !d.lives {
		d.die()
	}
	if d.left <= 0 && !d.lives {
		return errKilled
	}
	return nil
}

func (d *dyingVault) Delete(ctx context.Context, key string) error {
	return errors.Join(d.Vault.Delete(ctx, key), d.step())
}

type dyingStore struct {
	*store.Store
	vault *dyingVault
}

func (d *dyingStore) ScanDeliveries(ctx context.Context, e *call.Erasure) (bool, error) {
	done, err := d.Store.ScanDeliveries(ctx, e)
	return done, errors.Join(err, d.vault.step())
}

func (d *dyingStore) EraseRecording(ctx context.Context, erasureID, id string) (string, error) {
	key, err := d.Store.EraseRecording(ctx, erasureID, id)
	return key, errors.Join(err, d.vault.step())
}

func (d *dyingStore) ErasedAudio(ctx context.Context, erasureID, id string) error {
	return errors.Join(d.Store.ErasedAudio(ctx, erasureID, id), d.vault.step())
}

func (d *dyingStore) EraseCalls(ctx context.Context, erasureID string, ids []string) error {
	return errors.Join(d.Store.EraseCalls(ctx, erasureID, ids), d.vault.step())
}

func (d *dyingStore) EraseDelivery(ctx context.Context, e call.Erasure, ref string) error {
	return errors.Join(d.Store.EraseDelivery(ctx, e, ref), d.vault.step())
}

func (d *dyingVault) Put(ctx context.Context, key string, body io.ReaderAt, o archive.PutOptions) error {
	return errors.Join(d.Vault.Put(ctx, key, body, o), d.step())
}

func (d *dyingStore) PlanRewrite(ctx context.Context, number int64, key func(int64) string) (int64, error) {
	revision, err := d.Store.PlanRewrite(ctx, number, key)
	return revision, errors.Join(err, d.vault.step())
}

func (d *dyingStore) DropRewrite(ctx context.Context, o call.SegmentObject) error {
	return errors.Join(d.Store.DropRewrite(ctx, o), d.vault.step())
}

func (d *dyingStore) FinishRewrite(ctx context.Context, old, g call.JournalSegment, oldKey, why string) error {
	return errors.Join(d.Store.FinishRewrite(ctx, old, g, oldKey, why), d.vault.step())
}

func (d *dyingStore) ForgetOldSegment(ctx context.Context, o call.SegmentObject) error {
	return errors.Join(d.Store.ForgetOldSegment(ctx, o), d.vault.step())
}

func (d *dyingStore) ErasedSegment(ctx context.Context, erasureID, ref string) error {
	return errors.Join(d.Store.ErasedSegment(ctx, erasureID, ref), d.vault.step())
}

func (d *dyingStore) EndErasureRound(ctx context.Context, token string, next time.Time, certificate string, keepNumber bool, facts any) error {
	if err := d.vault.step(); err != nil {
		return err
	}
	return d.Store.EndErasureRound(ctx, token, next, certificate, keepNumber, facts)
}
