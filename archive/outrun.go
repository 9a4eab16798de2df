package archive

import (
	"context"
	"errors"
	"fmt"

	"callvault/internal/call"
)

// Outrun returns the number of a segment that lies in the vault and that the
// database did not write: it is an older copy of the one that did, or the vault
// is another installation's, too. 0: there is none. Journal writes nothing any
// more then, for that segment lies where its next one belongs.
func Outrun(ctx context.Context, s JournalStates, v Vault) (int64, error) {
	state, err := s.JournalState(ctx)
	if err != nil {
		return 0, err
	}
	known := state.Last.Number
	if p := state.Planned; p != nil {
		known = p.Number
		there, err := ReadSegment(ctx, v, p.Number)
		if err == nil && headerOf(there.JournalSegment) != plannedHeader(*p, there) {
			return p.Number, nil
		}
		// What cannot be read verify names.
		if _, broken := errors.AsType[*JournalFaultError](err); err != nil && !broken && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
	}
	// In whichever revision: it may have been written again since.
	for _, err := range v.List(ctx, fmt.Sprintf("%s%010d.", JournalPrefix, known+1)) {
		if err != nil {
			return 0, fmt.Errorf("look for journal segment %d: %w", known+1, err)
		}
		// Another node may have written it just now, which planned it before.
		state, err := s.JournalState(ctx)
		if err != nil || state.Last.Number > known || state.Planned != nil && state.Planned.Number > known {
			return 0, err
		}
		return known + 1, nil
	}
	return 0, nil
}

// JournalStates says how far the journal is.
type JournalStates interface {
	JournalState(ctx context.Context) (call.JournalState, error)
}

// plannedHeader is what a segment that lies in the vault says of itself if it is
// the one that was planned: it may hold fewer deliveries, for some may have been
// deleted before it was put again.
func plannedHeader(planned call.JournalSegment, there *Segment) segmentLine {
	h := headerOf(planned)
	h.Deliveries = there.JournalSegment.Deliveries
	return h
}
