package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// JournalRows compares what the journal tells with the rows, with a fault for
// each thing that differs.
type JournalRows interface {
	// NextSegment returns the first segment in the vault after a number. Of one
	// whose row cannot be read it gives the number, and a call.UnreadableError.
	NextSegment(ctx context.Context, after int64) (g call.JournalSegment, found bool, err error)
	CheckSegment(ctx context.Context, read call.JournalSegment) (call.Checked, error)
	// CheckJournaled compares all deliveries with after < id <= to.
	CheckJournaled(ctx context.Context, after, to int64, lines []*call.JournaledDelivery) (call.Checked, error)
	CheckLogged(ctx context.Context, lines []audit.Entry) (call.Checked, error)
}

// journalLines is how many lines of a segment are compared at a time.
const journalLines = 200

// Segment reads the first segment of the journal after the one with a number,
// and compares all that it holds with the rows. It returns its number, 0 after
// the last. The bytes of one segment are in memory at a time, and few of its
// lines. What lies there in other bytes than were put tells nothing here: All, and
// Again, name it. It is for one at a time.
func (v *Verifier) Segment(ctx context.Context, rows JournalRows, after int64) (checked []call.Checked, number int64, err error) {
	kept, found, err := rows.NextSegment(ctx, after)
	if bad := call.AsUnreadable(err); bad != nil && kept.Number > after {
		return journalFault(kept.Number, bad.What()), kept.Number, nil
	}
	if err != nil || !found {
		return nil, 0, err
	}
	c := segmentComparison{rows: rows}
	object, err := v.readSegment(ctx, kept)
	if err == nil && object != nil {
		err = c.compare(ctx, object, kept, &v.segments)
	}
	if fault, ok := errors.AsType[*JournalFaultError](err); ok {
		return journalFault(kept.Number, "it has the bytes that were put, and cannot be read: "+fault.What), kept.Number, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return c.checked, kept.Number, nil
}

func journalFault(number int64, what string) []call.Checked {
	where := fmt.Sprintf("journal/%d", number)
	return []call.Checked{{Where: []string{where}, Kinds: []call.FaultKind{call.FaultJournal}, Faults: []call.Fault{{Kind: call.FaultJournal, Where: where, What: what}}}}
}

// segmentComparison compares the lines of a segment as they are read, some at a
// time.
type segmentComparison struct {
	rows    JournalRows
	checked []call.Checked
	// after is the last delivery that was compared.
	after      int64
	deliveries []*call.JournaledDelivery
	entries    []audit.Entry
}

func (c *segmentComparison) compare(ctx context.Context, object []byte, kept call.JournalSegment, r *segmentReader) error {
	var g call.JournalSegment
	r.header = func(read call.JournalSegment) error {
		g = read
		c.after = g.DeliveriesAfter
		return c.take(c.rows.CheckSegment(ctx, g))
	}
	r.entry = func(e audit.Entry) error {
		if c.entries = append(c.entries, e); len(c.entries) < journalLines {
			return nil
		}
		return c.logged(ctx)
	}
	r.delivery = func(d *call.JournaledDelivery) error {
		if c.deliveries = append(c.deliveries, d); len(c.deliveries) < journalLines {
			return nil
		}
		return c.journaled(ctx, d.ID)
	}
	if err := parseSegment(object, kept.Number, kept.Revision, r); err != nil {
		return err
	}
	if err := c.logged(ctx); err != nil || c.after == g.DeliveriesTo {
		return err
	}
	return c.journaled(ctx, g.DeliveriesTo)
}

func (c *segmentComparison) logged(ctx context.Context) error {
	if len(c.entries) == 0 {
		return nil
	}
	entries := c.entries
	c.entries = c.entries[:0]
	return c.take(c.rows.CheckLogged(ctx, entries))
}

func (c *segmentComparison) journaled(ctx context.Context, to int64) error {
	after, deliveries := c.after, c.deliveries
	c.after, c.deliveries = to, c.deliveries[:0]
	return c.take(c.rows.CheckJournaled(ctx, after, to, deliveries))
}

// take takes in what came of lines.
func (c *segmentComparison) take(checked call.Checked, err error) error {
	if err != nil {
		return err
	}
	c.checked = append(c.checked, checked)
	return nil
}

// readSegment reads the bytes of a segment; nil if others lie there than were put.
func (v *Verifier) readSegment(ctx context.Context, kept call.JournalSegment) ([]byte, error) {
	var object []byte
	err := v.tryToRead(ctx, func() (err error) {
		object, err = readSegmentObject(ctx, v.o.Vault, kept.Number, kept.Revision)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil // All tells of it
	}
	if _, broken := errors.AsType[*JournalFaultError](err); broken {
		sum, _, readErr := v.read(ctx, RevisionKey(kept.Number, kept.Revision))
		if readErr != nil || hex.EncodeToString(sum[:]) != kept.SHA256 {
			return nil, readErr
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(object); hex.EncodeToString(sum[:]) != kept.SHA256 {
		return nil, nil
	}
	return object, v.wait(ctx, int64(len(object)))
}
