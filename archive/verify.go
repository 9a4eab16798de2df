package archive

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"callvault/internal/call"
)

// VerifyStore says what must lie in the vault.
type VerifyStore interface {
	keyedRecordings
	Run(ctx context.Context, id string) (call.Run, error)
	// MarkVerified notes that the objects of recordings were just read and
	// found to be as they were archived.
	MarkVerified(ctx context.Context, ids []string) error
	// EachKept calls f for every other object that must be in the vault, in no
	// order; those of the journal are for EachSegment.
	EachKept(ctx context.Context, f func(call.KeptObject) error) error
	// EachSegment calls f for every segment of the journal that is in the vault.
	EachSegment(ctx context.Context, f func(call.JournalSegment) error) error
}

// VerifyOptions say how a vault is compared with what was put into it.
type VerifyOptions struct {
	Store VerifyStore
	Vault Vault
	// Workers is how many objects are read at once; default 2.
	Workers int
	// Rate bounds the reading, in bytes per second; 0 does not.
	Rate int64
	// Grace is how old an object must be before it is a fault that nobody knows
	// it: it may be on its way into the database. Default one hour.
	Grace time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Found is told of what All and Days looked at, one at a time.
	Found func(call.Checked) error
	// Progress is told how many objects and bytes have been read, one at a
	// time; may be nil.
	Progress func(objects, bytes int64)
}

// Verifier reads what lies in a vault and compares it with what was put there.
// It mends nothing.
type Verifier struct {
	o       VerifyOptions
	limiter *rate.Limiter
	buffers *sync.Pool
	found   func(call.Checked) error
	// segments reads the journal, one segment at a time.
	segments segmentReader

	mu      sync.Mutex
	objects int64
	bytes   int64
	seen    []string // recordings verified, and not yet marked
}

const (
	verifyBuffer = 256 << 10
	// verifyPage is how many rows are read at a time.
	verifyPage = 500
	// verifyAhead is how many objects are known that are still to be read: enough
	// to read while the vault lists more.
	verifyAhead = 256
	// readTries is how often an object is read before it counts as unreadable.
	readTries = 3
)

// NewVerifier makes a Verifier.
func NewVerifier(o VerifyOptions) *Verifier {
	orElse(&o.Workers, 2)
	orElse(&o.Grace, time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	v := &Verifier{o: o, limiter: rate.NewLimiter(rate.Inf, 0), found: o.Found}
	if o.Rate > 0 {
		v.limiter = rate.NewLimiter(rate.Limit(o.Rate), verifyBuffer)
	}
	v.buffers = &sync.Pool{New: func() any { return new([verifyBuffer]byte) }}
	return v
}

// All compares the whole vault with all that must be in it, in memory that
// does not grow with either.
func (v *Verifier) All(ctx context.Context) error {
	return v.run(ctx, func(ctx context.Context, jobs chan<- object) error {
		known, err := v.others(ctx, jobs)
		if err != nil {
			return err
		}
		return v.merge(ctx, "", "", known, jobs)
	})
}

// Days compares the recordings that lie under the days from the one to the
// other, in UTC, both included; a zero from is the first.
func (v *Verifier) Days(ctx context.Context, from, to time.Time) error {
	return v.run(ctx, func(ctx context.Context, jobs chan<- object) error {
		if from.IsZero() {
			return v.merge(ctx, recordingsFolder, dayFolder(to.UTC().AddDate(0, 0, 1)), nil, jobs)
		}
		// By the beginnings of days: a later hour would miss the last one.
		for day := from.UTC().Truncate(24 * time.Hour); !day.After(to); day = day.AddDate(0, 0, 1) {
			if err := v.merge(ctx, dayFolder(day), "", nil, jobs); err != nil {
				return err
			}
		}
		return nil
	})
}

// recordingsFolder is where the keys of all recordings begin.
const recordingsFolder = "calls/"

func dayFolder(day time.Time) string { return recordingsFolder + day.Format("2006/01/02") + "/" }

// Page checks at most limit recordings in the order of their keys, beginning
// after the place that a page before ended with. What nobody knows, and what was
// put over an object, it cannot find; that is for Listing.
func (v *Verifier) Page(ctx context.Context, after string, limit int) (checked []call.Checked, next string, err error) {
	key, id, _ := strings.Cut(after, "\n") // which is in no key
	page, err := v.o.Store.RecordingsByKey(ctx, key, id, limit)
	if err != nil {
		return nil, "", err
	}
	checked, err = v.collect(ctx, func(ctx context.Context, jobs chan<- object) error {
		for _, r := range page {
			if r.State != call.Archived {
				continue
			}
			if err := give(ctx, jobs, object{KeptObject: keptRecording(r)}); err != nil {
				return err
			}
		}
		return nil
	})
	if len(page) == limit {
		last := page[len(page)-1]
		next = last.ObjectKey + "\n" + last.ID
	}
	return checked, next, err
}

// Listing compares the names of all that lies in the vault with what must be
// there, and reads only what is no recording and what looks wrong.
func (v *Verifier) Listing(ctx context.Context) ([]call.Checked, error) {
	return v.collect(ctx, func(ctx context.Context, jobs chan<- object) error {
		known, err := v.others(ctx, jobs)
		if err != nil {
			return err
		}
		suspect := make(chan object)
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error {
			defer close(suspect)
			return v.merge(ctx, "", "", known, suspect)
		})
		group.Go(func() error {
			for o := range suspect {
				if o.lying.versions == 1 && o.lying.markers == 0 {
					continue
				}
				if err := give(ctx, jobs, o); err != nil {
					return err
				}
			}
			return nil
		})
		return group.Wait()
	})
}

// Again checks one object, as Fault.Where names it. What is not there, and need
// not be, is not among what was looked at.
func (v *Verifier) Again(ctx context.Context, key string) ([]call.Checked, error) {
	if checkKey(key) != nil {
		return nil, nil //nolint:nilerr // nothing can lie there
	}
	return v.collect(ctx, func(ctx context.Context, jobs chan<- object) error {
		var known *keySet
		err := v.eachKept(ctx, func(k call.KeptObject) error {
			if k.Key != key {
				return nil
			}
			known = &keySet{seed: maphash.MakeSeed()}
			known.keys = map[uint64]struct{}{maphash.String(known.seed, key): {}}
			return give(ctx, jobs, object{KeptObject: k})
		})
		if err != nil || known != nil {
			return err
		}
		return v.merge(ctx, key, key+"\x00", nil, jobs)
	})
}

// collect runs find and returns all that was found, together as far as the same
// was looked for.
func (v *Verifier) collect(ctx context.Context, find func(context.Context, chan<- object) error) (all []call.Checked, err error) {
	err = (&Verifier{o: v.o, limiter: v.limiter, buffers: v.buffers, found: func(c call.Checked) error {
		i := slices.IndexFunc(all, func(o call.Checked) bool { return slices.Equal(o.Kinds, c.Kinds) })
		if i < 0 {
			all = append(all, c)
			return nil
		}
		all[i].Where = append(all[i].Where, c.Where...)
		all[i].Faults = append(all[i].Faults, c.Faults...)
		return nil
	}}).run(ctx, find)
	return all, err
}

// run lets the workers read what find gives them.
func (v *Verifier) run(ctx context.Context, find func(context.Context, chan<- object) error) error {
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan object, verifyAhead)
	group.Go(func() error {
		defer close(jobs)
		return find(ctx, jobs)
	})
	for range v.o.Workers {
		group.Go(func() error {
			for o := range jobs {
				if err := v.look(ctx, o); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return errors.Join(err, v.mark(context.WithoutCancel(ctx), true))
}

func give(ctx context.Context, jobs chan<- object, o object) error {
	select {
	case jobs <- o:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
