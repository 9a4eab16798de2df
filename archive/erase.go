package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"

	"callvault/internal/call"
)

// ErasureStore is what an Eraser asks of the database.
type ErasureStore interface {
	ClaimErasure(ctx context.Context, id string, lease time.Duration) (e call.Erasure, leaseToken string, ok bool, err error)
	RenewErasure(ctx context.Context, leaseToken string, lease time.Duration) error
	EndErasureRound(ctx context.Context, leaseToken string, next time.Time, certificate string, keepNumber bool, facts any) error
	ScanDeliveries(ctx context.Context, e *call.Erasure) (done bool, err error)
	EraseLive(ctx context.Context, number string) error
	ErasureRows
	ErasureExports
	RewriteStore
	ThinnedSegments(ctx context.Context) ([]int64, error)
	ErasedSegment(ctx context.Context, erasureID, ref string) error
	ErasureItems(ctx context.Context, id string, kind call.ErasureKind, after string, limit int, states ...call.ErasureState) ([]call.ErasureItem, error)
	AddErasureItem(ctx context.Context, id string, kind call.ErasureKind, ref string) error
	KeepErasureItem(ctx context.Context, id string, i call.ErasureItem) error
	IsCertified(ctx context.Context, id string) (bool, error)
	CountErasureItems(ctx context.Context, id string) (map[call.ErasureKind]map[call.ErasureState]int64, error)
}

// ErasureRows is how the rows are erased.
type ErasureRows interface {
	HeldBy(ctx context.Context, callIDs []string) (map[string][]call.Hold, error)
	Recording(ctx context.Context, id string) (call.Recording, error)
	EraseRecording(ctx context.Context, erasureID, id string) (key string, err error)
	EraseRecordingFailed(ctx context.Context, id string) error
	ErasedAudio(ctx context.Context, erasureID, id string) error
	EraseCalls(ctx context.Context, erasureID string, callIDs []string) error
	FollowErasure(ctx context.Context, id string) error
	RecallNumber(ctx context.Context, e *call.Erasure) (guessed bool, err error)
	ErasureReopenings(ctx context.Context, id string) ([]call.ErasureReopening, error)
	DeliveryCalls(ctx context.Context, ref string) ([]string, error)
	EraseDelivery(ctx context.Context, erasure call.Erasure, ref string) error
	ErasureReports
}

// ErasureReports is how the files of reports are erased.
type ErasureReports interface {
	RunsOver(ctx context.Context, erasureID string, open bool) ([]call.Run, error)
	RunsInMakingOver(ctx context.Context, erasureID string) ([]call.RunInMaking, error)
	RunInMaking(ctx context.Context, id string) (call.RunInMaking, error)
	abandonedRuns
	EraseRunFiles(ctx context.Context, erasureID, runID string, revision int) error
}

// ErasureExports is how bundles are erased that were made before.
type ErasureExports interface {
	ExportsOver(ctx context.Context, erasureID, number string) (ids []string, err error)
	RemoveExport(ctx context.Context, id string) (call.Export, error)
	EraseExport(ctx context.Context, erasureID, id string) error
	RedactRequests(ctx context.Context, number string) error
}

// EraserOptions is what an Eraser works with. Head, Until and WriteJournal may
// be nil.
type EraserOptions struct {
	Store ErasureStore
	Vault Vault
	// Head gives the audit log's signed head, for the certificate.
	Head func(context.Context) (string, error)
	// Until is how long a certificate that is made at a time is locked.
	Until func(at time.Time) time.Time
	// WriteJournal lets the journal be written now (Journal.Write), so that the
	// old objects of segments need not wait until it is.
	WriteJournal func(context.Context) error
	Now          func() time.Time
	Logger       *slog.Logger
}

// Eraser erases what is kept under numbers whose owners asked for it: at once
// what can go, and the rest when it can. Any number of them may work on the same
// store; interrupted anywhere, another goes on.
type Eraser struct{ o EraserOptions }

const (
	// eraseEvery is how often a node looks whether an erasure is due.
	eraseEvery = time.Minute
	// eraseLease is how long an erasure waits for a node that died at it.
	eraseLease = time.Minute
	// eraseAgain is when it is tried again what is kept without a date: what a
	// hold keeps, or what could not be reached.
	eraseAgain = 24 * time.Hour
	// erasePage is how many items are worked on between renewals of the lease.
	erasePage = 25
	// awaitReports is how often it is looked whether reports are made that were
	// being made meanwhile.
	awaitReports = time.Minute
	// inFlight is how long a recording that was just being fetched may still
	// arrive in the vault.
	inFlight = putTimeout + 2*time.Minute
	// maxInput bounds the unpacked input of a report that is looked through, in
	// bytes.
	maxInput = 4 << 30
	// eraseTries is how often a round looks at what there is when more turns up.
	eraseTries = 5
)

// NewEraser makes an Eraser.
func NewEraser(o EraserOptions) *Eraser { return &Eraser{o} }

// Run goes on with erasures that are due until ctx ends.
func (e *Eraser) Run(ctx context.Context) {
	tick := time.NewTicker(eraseEvery)
	defer tick.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = e.Continue(ctx, ""); err != nil && ctx.Err() == nil {
				e.o.Logger.WarnContext(ctx, "an erasure could not go on; it is tried again", "error", err)
				break
			}
		}
		if _, err := e.rewriter().clear(ctx, 0); err != nil && ctx.Err() == nil {
			e.o.Logger.WarnContext(ctx, "old objects of the journal could not be deleted; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round is one go at an erasure.
type round struct {
	*Eraser
	erasure call.Erasure
	token   string
	// next is when the first of what is kept can go.
	next time.Time
	// needsNumber: rows that still hold the number are kept.
	needsNumber bool
	// rewritten are the segments of the journal that hold nothing of it any more.
	rewritten map[string]bool
	// began is when the round did.
	began time.Time
	// guessed: that it is the person's number is taken from calls that are also
	// another's, and is looked for in what tells of these alone.
	guessed bool
}

// Continue erases what can go by now of one erasure that is due, that with the
// id if one is given, and says whether there was one.
func (e *Eraser) Continue(ctx context.Context, id string) (bool, error) {
	erasure, token, ok, err := e.o.Store.ClaimErasure(ctx, id, eraseLease)
	if err != nil || !ok {
		return false, err
	}
	r := &round{Eraser: e, erasure: erasure, token: token, rewritten: map[string]bool{}, began: e.o.Now()}
	if err := r.work(ctx); err != nil {
		return true, fmt.Errorf("erasure %s: %w", erasure.ID, err)
	}
	return true, nil
}

func (r *round) work(ctx context.Context) error {
	found := r.erasure.FoundAt.IsZero()
	if found {
		if err := r.find(ctx); err != nil {
			return err
		}
	}
	// What is done may show that there is more, as calls that became one.
	wait := false
	for more, tries := true, 0; more && tries < eraseTries; tries++ {
		if !found || tries > 0 {
			if err := r.findJoined(ctx); err != nil {
				return err
			}
		}
		r.next, r.needsNumber = time.Time{}, false
		if err := r.items(ctx); err != nil {
			return err
		}
		err := r.o.Store.FollowErasure(ctx, r.erasure.ID)
		if err != nil {
			return err
		}
		if wait, err = r.findMade(ctx); err != nil {
			return err
		}
		if more, err = r.isMoreDue(ctx); err != nil {
			return err
		}
		if more {
			r.next = r.o.Now()
		}
	}
	if wait { // with the number
		if again := r.o.Now().Add(awaitReports); r.next.IsZero() || again.Before(r.next) {
			r.next = again
		}
		return r.o.Store.EndErasureRound(ctx, r.token, r.next, "", true, nil)
	}
	certificate, facts := "", any(nil)
	certified, err := r.o.Store.IsCertified(ctx, r.erasure.ID)
	if err != nil {
		return err
	}
	if !certified {
		if certificate, facts, err = r.certify(ctx); err != nil {
			return err
		}
	}
	return r.o.Store.EndErasureRound(ctx, r.token, r.next, certificate, r.needsNumber, facts)
}

// items works on all items that are due, or kept.
func (r *round) items(ctx context.Context) error {
	for _, kind := range call.ErasureKinds() {
		if kind == call.ErasedJournal {
			if err := r.rewriteJournal(ctx); err != nil {
				return err
			}
		}
		if err := r.kind(ctx, kind, r.item); err != nil {
			return err
		}
		if kind == call.ErasedExport && r.erasure.Number != "" && !r.guessed {
			if err := r.o.Store.RedactRequests(ctx, r.erasure.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

// kind works on all items of a kind.
func (r *round) kind(ctx context.Context, kind call.ErasureKind, work func(context.Context, call.ErasureItem) error) error {
	after := ""
	for {
		items, err := r.o.Store.ErasureItems(ctx, r.erasure.ID, kind, after, erasePage, call.ErasureDue, call.ErasureKept)
		if err != nil {
			return err
		}
		for _, item := range items {
			after = item.Ref
			if item.Until.After(r.o.Now()) {
				r.wait(item)
				continue
			}
			if err := work(ctx, item); err != nil {
				return err
			}
		}
		if err := r.o.Store.RenewErasure(ctx, r.token, eraseLease); err != nil {
			return err
		}
		if len(items) < erasePage {
			return nil
		}
	}
}

func (r *round) item(ctx context.Context, item call.ErasureItem) error {
	var err error
	switch item.Kind {
	case call.ErasedAudio:
		err = r.audio(ctx, item)
	case call.ErasedReport:
		err = r.report(ctx, item)
	case call.ErasedCall:
		err = r.call(ctx, item)
	case call.ErasedDelivery:
		err = r.delivery(ctx, item)
	case call.ErasedExport:
		err = r.export(ctx, item)
	case call.ErasedJournal:
		err = r.segment(ctx, item)
	}
	return err
}

// wait notes what is kept.
func (r *round) wait(item call.ErasureItem) {
	if item.Kind == call.ErasedCall || item.Kind == call.ErasedDelivery {
		r.needsNumber = true
	}
	at := item.Until
	if !at.After(r.o.Now()) {
		at = r.o.Now().Add(eraseAgain)
	}
	if r.next.IsZero() || at.Before(r.next) {
		r.next = at
	}
}

// keep writes down what is kept, until when (zero: not known) and why.
func (r *round) keep(ctx context.Context, item call.ErasureItem, until time.Time, why string) error {
	item.Until, item.Why = until, why
	r.wait(item)
	return r.o.Store.KeepErasureItem(ctx, r.erasure.ID, item)
}

// holds says which holds keep calls; empty: none does.
func (r *round) holds(ctx context.Context, callIDs ...string) (string, error) {
	held, err := r.o.Store.HeldBy(ctx, callIDs)
	for _, id := range callIDs {
		for _, h := range held[id] {
			return "legal hold " + h.Name, err
		}
	}
	return "", err
}

func (r *round) audio(ctx context.Context, item call.ErasureItem) error {
	rec, err := r.o.Store.Recording(ctx, item.Ref)
	if call.CodeOf(err) == call.NotFound {
		return r.o.Store.ErasedAudio(ctx, r.erasure.ID, item.Ref)
	}
	if err != nil {
		return err
	}
	why, err := r.holds(ctx, rec.CallID)
	if err != nil {
		return err
	}
	if why != "" {
		return r.keep(ctx, item, time.Time{}, why)
	}
	if rec.State == call.Archived {
		kept, err := r.locked(ctx, item, rec.ObjectKey)
		if kept || err != nil {
			return err
		}
	}
	key, err := r.o.Store.EraseRecording(ctx, r.erasure.ID, rec.ID)
	if call.CodeOf(err) == call.Conflict {
		return r.keep(ctx, item, time.Time{}, "it came under a legal hold just now")
	}
	if err != nil {
		return err
	}
	if rec.State == call.Pending && key != "" {
		return r.keep(ctx, item, r.o.Now().Add(inFlight), "it was just being fetched")
	}
	if key != "" {
		if err := r.remove(ctx, key); err != nil {
			if locked, ok := errors.AsType[*LockedError](err); ok {
				return errors.Join(r.o.Store.EraseRecordingFailed(ctx, rec.ID), r.keep(ctx, item, locked.Until, lockReason(locked.Protection)))
			}
			return err
		}
	}
	return r.o.Store.ErasedAudio(ctx, r.erasure.ID, rec.ID)
}

// remove deletes all versions of an object.
func (r *round) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, protectTimeout)
	defer cancel()
	return r.o.Vault.Delete(ctx, key)
}

// locked keeps an item whose object the vault keeps.
func (r *round) locked(ctx context.Context, item call.ErasureItem, key string) (bool, error) {
	limit, cancel := context.WithTimeout(ctx, protectTimeout)
	defer cancel()
	p, err := r.o.Vault.Protection(limit, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil || !p.Keeps(r.o.Now()) {
		return false, err
	}
	return true, r.keep(ctx, item, p.Until, lockReason(p))
}

func lockReason(p Protection) string {
	if p.Hold {
		return "the bucket's legal hold"
	}
	return "the bucket's lock"
}

func (r *round) call(ctx context.Context, item call.ErasureItem) error {
	why, err := r.holds(ctx, item.Ref)
	if err != nil {
		return err
	}
	if why != "" {
		return r.keep(ctx, item, time.Time{}, why)
	}
	return r.o.Store.EraseCalls(ctx, r.erasure.ID, []string{item.Ref})
}

func (r *round) delivery(ctx context.Context, item call.ErasureItem) error {
	calls, err := r.o.Store.DeliveryCalls(ctx, item.Ref)
	if err != nil {
		return err
	}
	why, err := r.holds(ctx, calls...)
	if err == nil && len(calls) == 0 {
		// Of whose call nobody knows: it stays while one of the person's is held.
		why, err = r.anyHeld(ctx)
	}
	if err != nil {
		return err
	}
	if why != "" {
		return r.keep(ctx, item, time.Time{}, why)
	}
	err = r.o.Store.EraseDelivery(ctx, r.erasure, item.Ref)
	if call.CodeOf(err) == call.Conflict {
		return r.keep(ctx, item, time.Time{}, "it tells of others, too, and the number is not known since the database was made again: erase it once more")
	}
	return err
}

// anyHeld says why a call of the person is kept; empty: none is.
func (r *round) anyHeld(ctx context.Context) (string, error) {
	kept, err := r.o.Store.ErasureItems(ctx, r.erasure.ID, call.ErasedCall, "", 1, call.ErasureKept)
	if err != nil || len(kept) == 0 {
		return "", err
	}
	return kept[0].Why, nil
}

// certificateKey is where the n-th certificate lies, without its extension.
func certificateKey(id string, n int) string {
	return path.Join("erasures", id, fmt.Sprintf("certificate-%d", n))
}
