package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// journalEvery is how often what has come is written, in segments of about
	// journalSize bytes of lines. It is not written earlier when much has come:
	// then call reports come in crowds, and they go first.
	journalEvery = time.Minute
	journalSize  = 8 << 20
	// A segment takes journalLimit at most, and a node that died holds the lease
	// for journalLease, which must be longer.
	journalLimit = 2 * time.Minute
	journalLease = 3 * time.Minute
	// journalSettle bounds the wait for transactions under way.
	journalSettle = 20 * time.Second
	// journalPage is how many audit entries are read at a time.
	journalPage = 500
)

// JournalStore is what the journal asks of the database.
type JournalStore interface {
	ClaimJournal(ctx context.Context, token string, lease time.Duration) (won bool, err error)
	ReleaseJournal(ctx context.Context, token string) error
	JournalState(ctx context.Context) (call.JournalState, error)
	SettledDeliveries(ctx context.Context) (int64, error)
	JournalDeliveries(ctx context.Context, after, to int64) iter.Seq2[*call.JournaledDelivery, error]
	AuditEntries(ctx context.Context, from int64, limit int) ([]audit.Entry, error)
	PlanSegment(ctx context.Context, token string, g call.JournalSegment, erased int64) error
	FinishSegment(ctx context.Context, token string, g call.JournalSegment) error
}

// JournalOptions is what a Journal needs. All but Until, Token and Metrics are
// required.
type JournalOptions struct {
	Store JournalStore
	Vault Vault
	// Until is how long a segment that is made at a time is locked; nil: not.
	Until func(at time.Time) time.Time
	// Token is what this node's lease goes by; empty makes one up. A node that
	// was killed, and starts with the token that it had, need not wait until its
	// lease is over. Of two with one token neither spoils what the other does,
	// but both do it.
	Token   string
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Journal writes deliveries and audit entries into the vault, so that the
// database can be made again from it. Any number of nodes may run one on the
// same store; one of them writes at a time.
//
// A segment is planned first: its bounds are committed. Then it is put, then its
// hash is committed. Whoever goes on after a crash in between puts the same
// bounds under the same key; what lies there already is adopted.
type Journal struct {
	o       JournalOptions
	token   string // of this node's lease
	writing sync.Mutex
	written prometheus.Counter
	size    prometheus.Counter
}

// NewJournal makes a journal.
func NewJournal(o JournalOptions) (*Journal, error) {
	j := &Journal{
		o: o, token: cmp.Or(o.Token, uuid.NewString()),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callvault_journal_segments_total", Help: "Segments of the journal that this node has put into the vault.",
		}),
		size: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callvault_journal_bytes_total", Help: "Bytes of the journal that this node has put into the vault.",
		}),
	}
	if o.Metrics == nil {
		return j, nil
	}
	return j, errors.Join(o.Metrics.Register(j.written), o.Metrics.Register(j.size))
}

// Run writes the journal until ctx ends. What comes in after the last segment is
// left to Flush.
func (j *Journal) Run(ctx context.Context) {
	tick := time.NewTicker(journalEvery)
	defer tick.Stop()
	for {
		if err := j.Write(ctx); err != nil && ctx.Err() == nil {
			j.o.Logger.WarnContext(ctx, "the journal could not be written; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Flush writes what there is and lets another node go on, when this one ends.
func (j *Journal) Flush(ctx context.Context) error {
	return errors.Join(j.Write(ctx), j.o.Store.ReleaseJournal(ctx, j.token))
}

// Write writes all that is settled and not in the journal yet, unless another
// node does.
func (j *Journal) Write(ctx context.Context) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	for {
		more, err := j.step(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// step writes one segment and says whether there may be more for another.
func (j *Journal) step(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, journalLimit)
	defer cancel()
	won, err := j.o.Store.ClaimJournal(ctx, j.token, journalLease)
	if err != nil || !won {
		return false, err
	}
	state, err := j.o.Store.JournalState(ctx)
	if err != nil {
		return false, err
	}
	if state.Planned != nil {
		// Somebody has begun it and did not end it.
		lines, err := j.collect(ctx, *state.Planned, state.Planned.EntriesTo, 0)
		if err != nil {
			return false, err
		}
		lines.planned = *state.Planned
		return true, j.put(ctx, lines)
	}
	settling, done := context.WithTimeout(ctx, journalSettle)
	settled, err := j.o.Store.SettledDeliveries(settling)
	done()
	if err != nil {
		return false, err
	}
	next := call.JournalSegment{
		Number: state.Last.Number + 1, Previous: state.Last.SHA256, At: j.o.Now().UTC().Truncate(time.Millisecond),
		DeliveriesAfter: state.Last.DeliveriesTo, DeliveriesTo: settled, EntriesFrom: state.Last.EntriesTo,
	}
	if j.o.Until != nil {
		next.RetainUntil = j.o.Until(next.At)
	}
	lines, err := j.collect(ctx, next, -1, journalSize)
	if err != nil || !lines.news {
		return false, err
	}
	if err := j.o.Store.PlanSegment(ctx, j.token, lines.segment, state.Erased); err != nil {
		return false, err
	}
	lines.planned = lines.segment
	return lines.full, j.put(ctx, lines)
}

// segmentLines are the lines of a segment that is to be put.
type segmentLines struct {
	segment call.JournalSegment
	// planned is the segment as its bounds were committed.
	planned call.JournalSegment
	packed  *segmentWriter
	// These are what another object of the same segment must agree with.
	deliveries []deliveryMark
	entries    []tlog.Hash
	// news: it holds more than what was said of segments before. full: there may
	// be more for another.
	news, full bool
}

// deliveryMark is what a delivery is known by in a segment; of other things the
// database may know more by now than when the segment was written.
type deliveryMark struct {
	id   int64
	uid  string
	body [sha256.Size]byte
}

// collect reads the lines of a segment. With a limit (in bytes) it ends early,
// and sets the bounds to what there is; to is where the audit entries end, -1:
// where there are no more.
func (j *Journal) collect(ctx context.Context, g call.JournalSegment, to int64, limit int) (*segmentLines, error) {
	packed, err := newSegmentWriter()
	if err != nil {
		return nil, err
	}
	l := &segmentLines{segment: g, packed: packed}
	l.segment.Deliveries, l.segment.EntriesTo = 0, g.EntriesFrom
	err = l.addEntries(ctx, j.o.Store, to, limit/2)
	if err == nil {
		err = l.addDeliveries(ctx, j.o.Store, limit)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l *segmentLines) isFull(limit int) bool { return limit > 0 && l.packed.size >= limit }

func (l *segmentLines) addEntries(ctx context.Context, s JournalStore, to int64, limit int) error {
	for to < 0 || l.segment.EntriesTo < to {
		page, err := s.AuditEntries(ctx, l.segment.EntriesTo, journalPage)
		if err != nil {
			return err
		}
		for _, e := range page {
			if to >= 0 && e.Seq >= to {
				return nil
			}
			if l.isFull(limit) {
				l.full = true
				return nil
			}
			record, err := e.Record()
			if err != nil {
				return err
			}
			l.entries = append(l.entries, tlog.RecordHash(record))
			if err := writeEntry(l.packed, record); err != nil {
				return err
			}
			l.segment.EntriesTo = e.Seq + 1
			// Else each segment would be news for the next one.
			l.news = l.news || e.Action != audit.JournalWritten
		}
		if len(page) < journalPage {
			return nil
		}
	}
	return nil
}

func (l *segmentLines) addDeliveries(ctx context.Context, s JournalStore, limit int) error {
	last := l.segment.DeliveriesAfter // one entry may fill a segment
	for d, err := range s.JournalDeliveries(ctx, l.segment.DeliveriesAfter, l.segment.DeliveriesTo) {
		if err != nil {
			return err
		}
		if l.isFull(limit) {
			l.full = true
			l.segment.DeliveriesTo = last
			return nil
		}
		if err := writeDelivery(l.packed, d); err != nil {
			return err
		}
		last = d.ID
		l.deliveries = append(l.deliveries, deliveryMark{d.ID, d.UID, [sha256.Size]byte(d.BodySHA256)})
		l.segment.Deliveries++
		l.news = true
	}
	return nil
}

// put puts a planned segment into the vault and commits that it is there.
func (j *Journal) put(ctx context.Context, l *segmentLines) error {
	object, err := l.packed.object(l.segment)
	if err != nil {
		return err
	}
	g := l.segment
	sum := sha256.Sum256(object)
	g.SHA256, g.Size = hex.EncodeToString(sum[:]), int64(len(object))
	err = PutOnce(ctx, j.o.Vault, SegmentKey(g.Number), bytes.NewReader(object), PutOptions{
		Size: g.Size, SHA256: sum, MediaType: "application/zstd", Protection: Protection{Until: g.RetainUntil},
	})
	if errors.Is(err, ErrConflict) {
		// It was put before a crash; since then, what became of a delivery may
		// have changed.
		g, err = j.adopt(ctx, l)
	}
	if err != nil {
		return fmt.Errorf("put journal segment %d: %w", l.segment.Number, err)
	}
	if err := j.o.Store.FinishSegment(ctx, j.token, g); err != nil {
		return err
	}
	j.written.Inc()
	j.size.Add(float64(g.Size))
	j.o.Logger.DebugContext(ctx, "journal segment written", "number", g.Number, "deliveries", g.Deliveries, "entries", g.EntriesTo-g.EntriesFrom, "size", g.Size)
	return nil
}

// adopt reads the segment that lies in the vault already and returns it, if it
// holds the planned deliveries and entries.
func (j *Journal) adopt(ctx context.Context, l *segmentLines) (call.JournalSegment, error) {
	there, err := ReadSegment(ctx, j.o.Vault, l.segment.Number)
	if err != nil {
		return l.segment, err
	}
	same := headerOf(there.JournalSegment) == headerOf(l.planned)
	bodies := map[deliveryMark]bool{}
	for _, d := range there.Deliveries {
		bodies[deliveryMark{d.ID, d.UID, [sha256.Size]byte(d.BodySHA256)}] = true
	}
	for _, d := range l.deliveries { // some may have been deleted since
		same = same && bodies[d]
	}
	for i := 0; same && i < len(l.entries); i++ {
		hash, err := there.Entries[i].Hash()
		same = err == nil && hash == l.entries[i]
	}
	if !same {
		return l.segment, &JournalFaultError{l.segment.Number, "another one lies in its place: does another installation use this vault, or was its database replaced by an older copy?"}
	}
	return there.JournalSegment, nil
}
