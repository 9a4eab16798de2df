package archive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// JournalRows compares what the journal tells with the rows, with a fault for
// each thing that differs.
type JournalRows interface {
	// NextSegment returns the first segment in the vault after a number.
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
// the last. One segment is in memory at a time. What lies there in other bytes
// than were put tells nothing here: All, and Again, name it.
func (v *Verifier) Segment(ctx context.Context, rows JournalRows, after int64) (checked []call.Checked, number int64, err error) {
	kept, found, err := rows.NextSegment(ctx, after)
	if err != nil || !found {
		return nil, 0, err
	}
	g, err := v.readSegment(ctx, kept)
	if err != nil || g == nil {
		if fault, ok := errors.AsType[*JournalFaultError](err); ok {
			where := fmt.Sprintf("journal/%d", kept.Number)
			return []call.Checked{{Where: []string{where}, Kinds: []call.FaultKind{call.FaultJournal}, Faults: []call.Fault{
				{Kind: call.FaultJournal, Where: where, What: "it has the bytes that were put, and cannot be read: " + fault.What},
			}}}, kept.Number, nil
		}
		return nil, kept.Number, err
	}
	compare := func(c call.Checked, err error) error {
		checked = append(checked, c)
		return err
	}
	if err := compare(rows.CheckSegment(ctx, g.JournalSegment)); err != nil {
		return nil, 0, err
	}
	for lines := g.Entries; len(lines) > 0; {
		n := min(len(lines), journalLines)
		if err := compare(rows.CheckLogged(ctx, lines[:n])); err != nil {
			return nil, 0, err
		}
		lines = lines[n:]
	}
	from, lines := g.DeliveriesAfter, g.Deliveries
	for from < g.DeliveriesTo {
		n, to := min(len(lines), journalLines), g.DeliveriesTo
		if n < len(lines) {
			to = lines[n-1].ID
		}
		if err := compare(rows.CheckJournaled(ctx, from, to, lines[:n])); err != nil {
			return nil, 0, err
		}
		from, lines = to, lines[n:]
	}
	return checked, kept.Number, nil
}

// readSegment reads a segment; nil if other bytes lie there than were put.
func (v *Verifier) readSegment(ctx context.Context, kept call.JournalSegment) (*Segment, error) {
	var g *Segment
	err := v.tryToRead(ctx, func() (err error) {
		g, err = ReadRevision(ctx, v.o.Vault, kept.Number, kept.Revision)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil //nolint:nilnil // All tells of it
	}
	if _, broken := errors.AsType[*JournalFaultError](err); broken {
		sum, _, readErr := v.read(ctx, RevisionKey(kept.Number, kept.Revision))
		if readErr != nil || hex.EncodeToString(sum[:]) != kept.SHA256 {
			return nil, readErr
		}
		return nil, err
	}
	if err != nil || g.SHA256 != kept.SHA256 {
		return nil, err
	}
	return g, v.wait(ctx, g.Size)
}
