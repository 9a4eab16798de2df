package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"callvault/internal/call"
)

const (
	// recordTime is how long the database may take for a batch before the
	// deliveries go to the spool.
	recordTime = 5 * time.Second
	// patientTime is the same where nobody waits: for what is in the spool
	// already, and for imports.
	patientTime = time.Minute
	// So many in one batch are a crowd, and for so long it is said to be there.
	crowd     = 4
	crowdTime = 100 * time.Millisecond
	// A batch is bounded, so that no transaction takes long and none is large.
	maxBatch      = 256
	maxBatchItems = 2_000
	maxBatchBytes = 4 << 20
	// While the database cannot be written it is left alone for a pause,
	// doubled with each failure.
	minPause = time.Second
	maxPause = 30 * time.Second
	// In a crowd a batch waits for those who are on their way, for as long as
	// some come in every moment, until there are enough. A commit costs the same
	// for few and for many.
	gatherMoment = 500 * time.Microsecond
	gatherTime   = 4 * time.Millisecond
	gatherEnough = 32
)

// ingest stores deliveries, many in one commit: while one batch is being
// committed, those that come meanwhile gather to the next. Nobody waits for a
// clock, but in a crowd, so an idle ingest is as fast as one commit.
type ingest struct {
	store  Store
	spool  *spool
	now    func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	waiting []*receipt
	// working is how many batches are being stored, at most lanes.
	working, lanes int
	// crowded is when a batch last held many.
	crowded time.Time
	// failures in a row, and until when the database is left alone.
	failures int
	until    time.Time
}

// receipt is a delivery whose sender waits.
type receipt struct {
	delivery *call.Delivery
	stored   chan error
}

// take returns when the delivery is stored, in the database or on disk. It does
// not give up when the sender does: what was received is kept.
func (in *ingest) take(ctx context.Context, d *call.Delivery) error {
	r := &receipt{d, make(chan error, 1)}
	in.mu.Lock()
	in.waiting = append(in.waiting, r)
	if in.working < max(in.lanes, 1) {
		in.working++
		go in.work(context.WithoutCancel(ctx))
	}
	in.mu.Unlock()
	return <-r.stored
}

// busy reports whether deliveries come in crowds.
func (in *ingest) busy() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.now().Sub(in.crowded) < crowdTime
}

// work stores batch after batch until nobody waits.
func (in *ingest) work(ctx context.Context) {
	for {
		in.gather(ctx)
		in.mu.Lock()
		receipts := in.next()
		if len(receipts) == 0 {
			in.working--
		}
		if len(receipts) >= crowd {
			in.crowded = in.now()
		}
		in.mu.Unlock()
		if len(receipts) == 0 {
			return
		}
		batch := make([]*call.Delivery, len(receipts))
		for i, r := range receipts {
			batch[i] = r.delivery
		}
		err := in.keep(ctx, batch)
		for _, r := range receipts {
			r.stored <- err
		}
	}
}

// gather waits for a crowd's next batch to fill.
func (in *ingest) gather(ctx context.Context) {
	last := 0
	for end := in.now().Add(gatherTime); in.busy() && in.now().Before(end); {
		in.mu.Lock()
		n := len(in.waiting)
		in.mu.Unlock()
		if n == last || n >= gatherEnough {
			return
		}
		last = n
		select {
		case <-time.After(gatherMoment):
		case <-ctx.Done():
			return
		}
	}
}

// next takes the next batch from those that wait: one at least, if there is.
func (in *ingest) next() []*receipt {
	n, items, bytes := 0, 0, 0
	for n < len(in.waiting) && n < maxBatch {
		d := in.waiting[n].delivery
		items, bytes = items+len(d.Items), bytes+len(d.Body)+len(d.Query)
		if n > 0 && (items > maxBatchItems || bytes > maxBatchBytes) {
			break
		}
		n++
	}
	batch := in.waiting[:n:n]
	if in.waiting = in.waiting[n:]; len(in.waiting) == 0 {
		in.waiting = nil
	}
	return batch
}

// keep stores a batch: in the database or, if that cannot be written, on disk.
func (in *ingest) keep(ctx context.Context, batch []*call.Delivery) error {
	left, err := batch, error(nil)
	if !in.resting() {
		if left, err = record(ctx, in.store, in.logger, batch, hasty); err == nil {
			in.works()
			return nil
		}
		in.logger.Warn("database cannot be written, deliveries go to the spool", "error", err)
	}
	if err := in.spool.append(left); err != nil {
		in.logger.Error("deliveries turned away: neither database nor spool can be written", "error", err)
		return err
	}
	// The database is left alone only when there is a spool to go to.
	if err != nil {
		in.rest()
	}
	return nil
}

func (in *ingest) resting() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.now().Before(in.until)
}

func (in *ingest) rest() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.until = in.now().Add(pause(in.failures))
	in.failures++
}

// works says that the database could be written.
func (in *ingest) works() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.failures, in.until = 0, time.Time{}
}

// pause is how long to wait after so many failures in a row.
func pause(failures int) time.Duration {
	return min(minPause<<min(failures, 5), maxPause)
}

// Record stores deliveries in batches, each at most as large as the receiver's
// own, and a bad delivery never fails its neighbours: it is kept as unreadable.
// On error the database cannot be written, and some may have been stored: they
// may be recorded again.
func Record(ctx context.Context, store Store, logger *slog.Logger, deliveries []*call.Delivery) error {
	in := ingest{}
	for _, d := range deliveries {
		in.waiting = append(in.waiting, &receipt{delivery: d})
	}
	for receipts := in.next(); len(receipts) > 0; receipts = in.next() {
		batch := make([]*call.Delivery, len(receipts))
		for i, r := range receipts {
			batch[i] = r.delivery
		}
		if _, err := record(ctx, store, logger, batch, patient); err != nil {
			return err
		}
	}
	return nil
}

// haste says whether somebody waits for what is being recorded.
type haste bool

const (
	// hasty: the sender waits, and there is a spool.
	hasty haste = true
	// patient: it must be stored now, be it large, and must not stand in the
	// way of what comes behind it.
	patient haste = false
)

// record stores a batch in the database. If that fails each delivery is tried
// by itself; one that cannot be stored then is kept without what was made of
// it, as unreadable. If not even that can be stored, the fault is the
// database's: left are those that were not stored.
func record(ctx context.Context, store Store, logger *slog.Logger, batch []*call.Delivery, h haste) (left []*call.Delivery, err error) {
	if err = try(ctx, store, batch, h); err == nil {
		return nil, nil
	}
	for _, d := range batch {
		d.MayBeStored = true
	}
	if down(err) && h == hasty {
		return batch, err
	}
	for i, d := range batch {
		one := batch[i : i+1]
		if len(batch) > 1 {
			err = try(ctx, store, one, h)
		}
		if down(err) {
			// What the store takes for its own fault may still be this one's,
			// if it is the only one that fails.
			if h == hasty || try(ctx, store, nil, h) != nil {
				return batch[i:], err
			}
			err = try(ctx, store, one, h)
		}
		if err == nil {
			continue
		}
		bare := *d
		bare.Items = []call.Item{unreadable("what it says could not be stored")}
		bare.Summarize()
		if again := try(ctx, store, []*call.Delivery{&bare}, h); again != nil {
			return batch[i:], errors.Join(err, again)
		}
		logger.Error("delivery kept as unreadable: what it says could not be stored",
			"account", d.Account, "uid", d.UID, "error", err)
		*d = bare
	}
	return nil, nil
}

// try records a batch within recordTime, or patientTime if nobody waits.
func try(ctx context.Context, store Store, batch []*call.Delivery, h haste) (err error) {
	limit := recordTime
	if h == patient {
		limit = patientTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		// A delivery that the store trips over must not end the process, and
		// with it the deliveries of everybody else.
		if trouble := recover(); trouble != nil {
			err = fmt.Errorf("record deliveries: the store broke down: %v", trouble)
		}
	}()
	return store.Record(ctx, batch)
}

// down reports whether an error says that the database cannot be written, so
// that there is no use in looking for a bad delivery.
func down(err error) bool {
	return call.CodeOf(err) == call.Unavailable ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
