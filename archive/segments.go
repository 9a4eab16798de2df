package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file reads the journal back, segment after segment, each in the revision
// that counts: the last of which the audit log tells. What lies there beside is
// passed over.

// revisions returns which revisions lie in the vault of each segment, ascending.
func revisions(ctx context.Context, v Vault) (map[int64][]int64, error) {
	found := map[int64][]int64{}
	for info, err := range v.List(ctx, JournalPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list the journal: %w", err)
		}
		if number, revision, ok := segmentNumber(info.Key); ok {
			found[number] = append(found[number], revision)
			slices.Sort(found[number])
		}
	}
	return found, nil
}

// JournalNumbers returns the numbers of the segments in the vault, ascending.
func JournalNumbers(ctx context.Context, v Vault) ([]int64, error) {
	found, err := revisions(ctx, v)
	return slices.Sorted(maps.Keys(found)), err
}

// loggedRewrite is what a segment of the journal holds of the log's entries about
// segments that were written again.
type loggedRewrite struct {
	call.JournalRewrite
	// in is the number of the segment that holds the entry.
	in int64
}

// rewrites are they, by the numbers of the segments that were written again, in
// the order of the log.
type rewrites map[int64][]loggedRewrite

// note takes those that a segment holds.
func (r rewrites) note(g *Segment) error {
	for _, e := range g.Entries {
		if e.Action != audit.JournalRewritten {
			continue
		}
		logged := loggedRewrite{in: g.Number}
		if err := json.Unmarshal(e.Facts, &logged.JournalRewrite); err != nil {
			return &JournalFaultError{g.Number, fmt.Sprintf("audit entry %d cannot be read: %v", e.Seq, err)}
		}
		r[logged.Number] = append(r[logged.Number], logged)
	}
	return nil
}

// hadHash reports whether an object of a segment ever counted that has a hash,
// which is that of the one that counts now or was replaced, as the log says.
func (r rewrites) hadHash(g *call.JournalSegment, sum string) bool {
	return sum == g.SHA256 || slices.ContainsFunc(r[g.Number], func(l loggedRewrite) bool { return l.OldSHA256 == sum })
}

// readRewrites looks for them in all segments that may hold some.
func readRewrites(ctx context.Context, v Vault, there map[int64][]int64) (rewrites, error) {
	found, begun := rewrites{}, false
	for _, number := range slices.Sorted(maps.Keys(there)) {
		// No segment tells of a later one.
		if begun = begun || slices.Max(there[number]) > 0; !begun {
			continue
		}
		for _, revision := range there[number] {
			g, err := ReadRevision(ctx, v, number, revision)
			if _, broken := errors.AsType[*JournalFaultError](err); broken {
				continue // its turn to be told comes
			}
			if err != nil {
				return nil, err
			}
			if err := found.note(g); err != nil {
				return nil, err
			}
			break // all revisions hold the same entries
		}
	}
	return found, nil
}

// ReadJournal yields the segments from a number on, in order, each in the
// revision that counts. last is the one before, as it was read; nil: from the
// first. A segment that is missing, broken, does not continue the one before or
// was written again without a word in the audit log is yielded as an error, a
// *JournalFaultError; whoever goes on gets those behind it.
func ReadJournal(ctx context.Context, v Vault, last *call.JournalSegment) iter.Seq2[*Segment, error] {
	return func(yield func(*Segment, error) bool) {
		there, err := revisions(ctx, v)
		var logged rewrites
		if err == nil {
			logged, err = readRewrites(ctx, v, there)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		next := int64(1)
		if last != nil {
			next = last.Number + 1
		}
		from, seen := next, rewrites{}
		for _, n := range slices.Sorted(maps.Keys(there)) {
			for ; next < n; next++ {
				if !yield(nil, &JournalFaultError{next, "it is missing"}) {
					return
				}
				last = nil
			}
			if n < next {
				continue
			}
			next++
			g, err := logged.read(ctx, v, n)
			if err == nil {
				err = errors.Join(seen.note(g), logged.continues(g, last))
			}
			if !yield(g, err) {
				return
			}
			last = nil
			if g != nil {
				last = &g.JournalSegment
			}
		}
		for _, n := range logged.notIn(seen, from) {
			if !yield(nil, &JournalFaultError{n, "it was written again, and the audit log does not say so"}) {
				return
			}
		}
	}
}

// notIn are the numbers of segments that were believed to be written again, and
// of which the segments that were yielded, from a number on, do not say so.
func (r rewrites) notIn(seen rewrites, from int64) (numbers []int64) {
	for _, n := range slices.Sorted(maps.Keys(r)) {
		for _, l := range r[n] {
			if l.in >= from && !slices.Contains(seen[n], l) {
				numbers = append(numbers, n)
			}
		}
	}
	return numbers
}

// read reads the revision of a segment that counts.
func (r rewrites) read(ctx context.Context, v Vault, number int64) (*Segment, error) {
	var counts loggedRewrite
	for i, l := range r[number] {
		if i > 0 && l.OldSHA256 != counts.SHA256 {
			return nil, &JournalFaultError{number, "what the audit log says of how it was written again does not hang together"}
		}
		counts = l
	}
	g, err := ReadRevision(ctx, v, number, counts.Revision)
	switch {
	case errors.Is(err, ErrNotFound) && counts.Revision == 0:
		return nil, &JournalFaultError{number, "it was written again, and the audit log does not say so"}
	case errors.Is(err, ErrNotFound):
		return nil, &JournalFaultError{number, fmt.Sprintf("its revision %d is missing, which the audit log says took the place of the one before", counts.Revision)}
	case err != nil:
		return nil, err
	case counts.Revision > 0 && g.SHA256 != counts.SHA256:
		return nil, &JournalFaultError{number, "it is not what the audit log says it was written again as"}
	}
	return g, nil
}

// continues says what is wrong if a segment does not continue the one before;
// nil: nobody knows that.
func (r rewrites) continues(g *Segment, last *call.JournalSegment) error {
	switch {
	case last == nil:
		return nil
	case !r.hadHash(last, g.Previous):
		return &JournalFaultError{g.Number, "it does not continue the one before: that one was changed, or this one is not of this journal"}
	case g.DeliveriesAfter != last.DeliveriesTo, g.EntriesFrom != last.EntriesTo:
		return &JournalFaultError{g.Number, "between it and the one before something is missing"}
	}
	return nil
}
