package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"callvault/internal/call"
)

// RewriteStore is what a rewriter asks of the database.
type RewriteStore interface {
	Segment(ctx context.Context, number int64) (call.JournalSegment, error)
	PlanRewrite(ctx context.Context, number int64, key func(revision int64) string) (revision int64, err error)
	PlannedSegments(ctx context.Context) ([]call.SegmentObject, error)
	DropRewrite(ctx context.Context, o call.SegmentObject) error
	FinishRewrite(ctx context.Context, old, g call.JournalSegment, oldKey, why string) error
	OldSegments(ctx context.Context, number int64, f func(o call.SegmentObject, noted bool) error) error
	KeepOldSegment(ctx context.Context, o call.SegmentObject) error
	ForgetOldSegment(ctx context.Context, o call.SegmentObject) error
	JournalDeliveries(ctx context.Context, after, to int64) iter.Seq2[*call.JournaledDelivery, error]
	AddErased(ctx context.Context, deliveries []*call.JournaledDelivery) error
}

// rewriter writes segments of the journal again with something less. The new
// object is planned, put under a key of its own, committed with an entry in the
// audit log, and when the journal in the vault holds that entry, the old object
// is deleted. Audit entries stay, byte for byte. Interrupted anywhere, it is gone
// on with by doing the same again.
type rewriter struct {
	store RewriteStore
	vault Vault
	now   func() time.Time
}

// rewriteTries is how often a segment is written again when another does the
// same just then.
const rewriteTries = 3

// rewrite writes a segment again as edit leaves its deliveries, unless that
// changes nothing. A segment that is not in the vault yet is a call.NotFound
// error. why is that of call.JournalRewrite.
func (w rewriter) rewrite(ctx context.Context, number int64, why string, edit func(context.Context, *Segment) ([]*call.JournaledDelivery, error)) error {
	var err error
	for range rewriteTries {
		limit, cancel := context.WithTimeout(ctx, journalLimit)
		err = w.tryRewrite(limit, number, why, edit)
		cancel()
		if call.CodeOf(err) != call.Conflict {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("write journal segment %d again: %w", number, err)
	}
	return nil
}

func (w rewriter) tryRewrite(ctx context.Context, number int64, why string, edit func(context.Context, *Segment) ([]*call.JournaledDelivery, error)) error {
	old, err := w.store.Segment(ctx, number)
	if err != nil {
		return err
	}
	oldKey := RevisionKey(number, old.Revision)
	was, err := ReadRevision(ctx, w.vault, number, old.Revision)
	if err != nil {
		return err
	}
	if was.SHA256 != old.SHA256 {
		return &JournalFaultError{number, "it is not the one that was written, so it is not written again"}
	}
	deliveries, err := edit(ctx, was)
	if err != nil {
		return err
	}
	before, err := encodeLines(was, was.Deliveries)
	if err != nil {
		return err
	}
	lines, err := encodeLines(was, deliveries)
	if err != nil || bytes.Equal(before, lines) {
		return err
	}
	g := was.JournalSegment
	g.Deliveries, g.Replaces = int64(len(deliveries)), old.SHA256
	if g.Revision, err = w.store.PlanRewrite(ctx, number, func(revision int64) string { return RevisionKey(number, revision) }); err != nil {
		return err
	}
	packed, err := newSegmentWriter()
	if err == nil {
		_, err = packed.Write(lines)
	}
	if err != nil {
		return err
	}
	object, err := packed.object(g)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(object)
	g.SHA256, g.Size = hex.EncodeToString(sum[:]), int64(len(object))
	// What was promised for the old one is promised for this.
	protection, err := w.vault.Protection(ctx, oldKey)
	if err != nil {
		return err
	}
	err = PutOnce(ctx, w.vault, RevisionKey(number, g.Revision), bytes.NewReader(object), PutOptions{
		Size: g.Size, SHA256: sum, MediaType: "application/zstd", Protection: protection,
	})
	if errors.Is(err, ErrConflict) {
		// It was put before a crash, and since then more was to be left out.
		return errors.Join(call.Errorf(call.Conflict, "another revision lies in its place"), w.drop(ctx, number, g.Revision))
	}
	if err != nil {
		return err
	}
	return w.store.FinishRewrite(ctx, old, g, oldKey, why)
}

// drop gives up what lies under the key of a planned revision.
func (w rewriter) drop(ctx context.Context, number, revision int64) error {
	there, err := ReadRevision(ctx, w.vault, number, revision)
	if err != nil {
		return err
	}
	return w.store.DropRewrite(ctx, call.SegmentObject{Number: number, Revision: revision, SHA256: there.SHA256, Size: there.Size})
}

// rewriteGrace is how old an object is at least that was planned, put and is not
// gone on with: longer than anybody may be at it.
const rewriteGrace = rewriteTries * journalLimit

// abandon gives up what was put for segments when somebody was interrupted, and
// was not gone on with: because the terms are others since, or nothing needs to
// go any more.
func (w rewriter) abandon(ctx context.Context) error {
	planned, err := w.store.PlannedSegments(ctx)
	for _, o := range planned {
		if err == nil {
			err = w.abandonOne(ctx, o)
		}
	}
	if err != nil {
		return fmt.Errorf("give up objects of the journal: %w", err)
	}
	return nil
}

func (w rewriter) abandonOne(ctx context.Context, o call.SegmentObject) error {
	ctx, cancel := context.WithTimeout(ctx, journalLimit)
	defer cancel()
	there, err := w.vault.Stat(ctx, o.ObjectKey)
	if errors.Is(err, ErrNotFound) || err == nil && there.Modified.After(w.now().Add(-rewriteGrace)) {
		return nil
	}
	if err == nil {
		o.SHA256, o.Size, err = hashObject(ctx, w.vault, o.ObjectKey)
	}
	if err != nil {
		return err
	}
	return w.store.DropRewrite(ctx, o)
}

// encodeLines are the lines of a segment behind the first.
func encodeLines(g *Segment, deliveries []*call.JournaledDelivery) ([]byte, error) {
	var text bytes.Buffer
	for _, e := range g.Entries {
		record, err := e.Record()
		if err != nil {
			return nil, err
		}
		if err := writeEntry(&text, record); err != nil {
			return nil, err
		}
	}
	for _, d := range deliveries {
		if err := writeDelivery(&text, d); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// Leftovers yields what lies in the vault of segments that the database knows
// beside the objects that count: those whose place was taken, and those that were
// put and never took it. It ends after an error.
func Leftovers(ctx context.Context, v Vault, s interface {
	Segment(ctx context.Context, number int64) (call.JournalSegment, error)
}) iter.Seq2[call.SegmentObject, error] {
	return func(yield func(call.SegmentObject, error) bool) {
		there, err := revisions(ctx, v)
		if err != nil {
			yield(call.SegmentObject{}, err)
			return
		}
		for _, number := range slices.Sorted(maps.Keys(there)) {
			if len(there[number]) == 1 {
				continue // it counts, or nothing does
			}
			counts, err := s.Segment(ctx, number)
			if call.CodeOf(err) == call.NotFound {
				continue
			}
			for _, revision := range there[number] {
				o := call.SegmentObject{Number: number, Revision: revision, ObjectKey: RevisionKey(number, revision)}
				if err == nil && revision == counts.Revision {
					continue
				}
				if err == nil {
					o.SHA256, o.Size, err = hashObject(ctx, v, o.ObjectKey)
				}
				if !yield(o, err) || err != nil {
					return
				}
			}
		}
	}
}

// hashObject reads an object and returns its SHA-256, in lower-case hex, and its
// size.
func hashObject(ctx context.Context, v Vault, key string) (sum string, size int64, err error) {
	body, _, err := v.Open(ctx, key, 0, -1)
	if err != nil {
		return "", 0, err
	}
	hash := sha256.New()
	size, err = io.Copy(hash, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return "", 0, fmt.Errorf("read %s: %w", key, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}

// leftSegment is an old object that is still there.
type leftSegment struct {
	call.SegmentObject
	why string
}

// clear deletes the old objects of a segment, or of all with number 0, but those
// that must stay, which it returns. Of all, those of which it is known until when
// they are locked are not asked for again before; and what was put and never
// came to count is among them.
func (w rewriter) clear(ctx context.Context, number int64) (left []leftSegment, err error) {
	if number == 0 {
		if err := w.abandon(ctx); err != nil {
			return nil, err
		}
	}
	err = w.store.OldSegments(ctx, number, func(o call.SegmentObject, noted bool) error {
		switch {
		case !noted:
			o.Until = w.now().Add(eraseEvery)
			left = append(left, leftSegment{o, "it goes when the journal in the vault tells of what has taken its place"})
			return nil
		case number == 0 && o.Until.After(w.now()):
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, protectTimeout)
		defer cancel()
		p, err := w.vault.Protection(ctx, o.ObjectKey)
		if err == nil && !p.Keeps(w.now()) {
			err = w.vault.Delete(ctx, o.ObjectKey)
			if locked, ok := errors.AsType[*LockedError](err); ok {
				p, err = locked.Protection, nil
			}
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil && p.Keeps(w.now()) {
			o.Until = p.Until
			if !o.Until.After(w.now()) {
				o.Until = w.now().Add(eraseAgain)
			}
			left = append(left, leftSegment{o, lockReason(p)})
			return w.store.KeepOldSegment(ctx, o)
		}
		return w.store.ForgetOldSegment(ctx, o)
	})
	if err != nil {
		return left, fmt.Errorf("delete old objects of the journal: %w", err)
	}
	return left, nil
}

// redact leaves of a segment's deliveries what the rows have, where something was
// erased from them, and takes the number out of those that the database has no
// more.
func (w rewriter) redact(erasure call.Erasure) func(context.Context, *Segment) ([]*call.JournaledDelivery, error) {
	return func(ctx context.Context, g *Segment) ([]*call.JournaledDelivery, error) {
		rows := map[int64]*call.JournaledDelivery{}
		for d, err := range w.store.JournalDeliveries(ctx, g.DeliveriesAfter, g.DeliveriesTo) {
			if err != nil {
				return nil, err
			}
			rows[d.ID] = d
		}
		left := make([]*call.JournaledDelivery, len(g.Deliveries))
		var forgotten []*call.JournaledDelivery
		for i, was := range g.Deliveries {
			d := *was
			d.Given = slices.Clone(was.Given)
			left[i] = &d
			row := rows[d.ID]
			if row == nil {
				forgotten = append(forgotten, &d)
				continue
			}
			for n := range min(len(d.Given), len(row.Given)) {
				if row.Given[n].LegFacts != nil {
					d.Given[n] = row.Given[n]
				}
			}
			if row.Erased != "" {
				d.Query, d.Body, d.RemoteAddress, d.Erased, d.Error = row.Query, row.Body, row.RemoteAddress, row.Erased, row.Error
			}
		}
		if err := w.store.AddErased(ctx, forgotten); err != nil {
			return nil, err
		}
		for _, d := range forgotten {
			redactForgotten(d, erasure)
		}
		return left, nil
	}
}

// redactForgotten takes a number out of a delivery that the database has no more:
// where all that it told of was erased a note stands in its place. What came after
// the erasure was asked for stays, but for what it told of erased calls.
func redactForgotten(d *call.JournaledDelivery, erasure call.Erasure) {
	redactor := call.NewRedactor(erasure.Number, nil)
	if d.Erased == "whole" || !redactor.Holds(d.Query) && !redactor.Holds(string(d.Body)) {
		return
	}
	tells := slices.ContainsFunc(d.Given, func(g call.GivenIDs) bool { return g.LegFacts != nil })
	if !tells && d.ReceivedAt.After(erasure.AskedAt) {
		return
	}
	note := "erased on request, erasure " + erasure.ID
	d.Error = note
	if slices.ContainsFunc(d.Given, func(g call.GivenIDs) bool { return g.LegFacts == nil }) {
		d.Query, d.Body, d.Erased = redactor.Text(d.Query), []byte(redactor.Text(string(d.Body))), "part"
		return
	}
	d.Query, d.Body, d.RemoteAddress, d.Erased = "", []byte(note+"\n"), "", "whole"
}
