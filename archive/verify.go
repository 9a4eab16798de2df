package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"callvault/internal/call"
)

// keyedRecordings is the rows in the order of the vault.
type keyedRecordings interface {
	// RecordingsByKey returns at most limit recordings that have an object key,
	// in the order of keys and ids, beginning after the one given.
	RecordingsByKey(ctx context.Context, afterKey, afterID string, limit int) ([]call.Recording, error)
}

// VerifyStore says what must lie in the vault.
type VerifyStore interface {
	keyedRecordings
	Recording(ctx context.Context, id string) (call.Recording, error)
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

	mu      sync.Mutex
	objects int64
	bytes   int64
	seen    []string // recordings verified, and not yet marked
}

const (
	verifyBuffer = 256 << 10
	// verifyPage is how many rows are read at a time.
	verifyPage = 500
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

// lying is what the vault has under one key.
type lying struct {
	Version           // the one that is read; none if it is hidden
	versions, markers int
	hidden            bool
}

// object is what must lie under a key.
type object struct {
	call.KeptObject
	lying lying
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
		for day := from.UTC(); !day.After(to.UTC()); day = day.AddDate(0, 0, 1) {
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
	jobs := make(chan object, v.o.Workers)
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

func keptRecording(r call.Recording) call.KeptObject {
	return call.KeptObject{Key: r.ObjectKey, Size: r.Size, SHA256: cmp.Or(r.StoredSHA256, r.SHA256), AudioSHA256: r.SHA256, RecordingID: r.ID, RetainUntil: r.RetainUntil}
}

// keySet is a set of keys in a few bytes each.
type keySet struct {
	seed maphash.Seed
	keys map[uint64]struct{}
}

func (s *keySet) has(key string) bool {
	if s == nil {
		return false
	}
	_, ok := s.keys[maphash.String(s.seed, key)]
	return ok
}

// eachKept calls f for every object that must be in the vault and is no
// recording.
func (v *Verifier) eachKept(ctx context.Context, f func(call.KeptObject) error) error {
	err := v.o.Store.EachSegment(ctx, func(g call.JournalSegment) error {
		return f(call.KeptObject{Key: SegmentKey(g.Number), Size: g.Size, SHA256: g.SHA256})
	})
	if err != nil {
		return err
	}
	return v.o.Store.EachKept(ctx, f)
}

// others gives the workers what is no recording, and returns its keys.
func (v *Verifier) others(ctx context.Context, jobs chan<- object) (*keySet, error) {
	known := &keySet{maphash.MakeSeed(), map[uint64]struct{}{}}
	err := v.eachKept(ctx, func(k call.KeptObject) error {
		known.keys[maphash.String(known.seed, k.Key)] = struct{}{}
		return give(ctx, jobs, object{KeptObject: k})
	})
	return known, err
}

// rows are the recordings with object keys, in the order of these.
type rows struct {
	store  keyedRecordings
	prefix string
	page   []call.Recording
	key    string
	id     string
	ended  bool
}

// peek is the next row, nil after the last.
func (r *rows) peek(ctx context.Context) (*call.Recording, error) {
	if len(r.page) == 0 && !r.ended {
		page, err := r.store.RecordingsByKey(ctx, r.key, r.id, verifyPage)
		if err != nil {
			return nil, err
		}
		r.page, r.ended = page, len(page) < verifyPage
		if len(page) > 0 {
			last := page[len(page)-1]
			r.key, r.id = last.ObjectKey, last.ID
		}
	}
	if len(r.page) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return &r.page[0], nil
}

func (r *rows) next() { r.page = r.page[1:] }

// merge walks through the vault and the rows at once, both in the order of
// keys, from prefix on and up to end, if there is one.
func (v *Verifier) merge(ctx context.Context, prefix, end string, others *keySet, jobs chan<- object) error {
	began := v.o.Now()
	r := &rows{store: v.o.Store, prefix: prefix, key: prefix}
	for found, err := range v.lie(ctx, prefix) {
		if err == nil && end != "" && found.Key >= end {
			break
		}
		if err == nil {
			err = r.passOver(ctx, found.Key, jobs)
		}
		if err != nil {
			return err
		}
		known, why, err := r.match(ctx, found, jobs)
		if err != nil {
			return err
		}
		if known || found.hidden || others.has(found.Key) || !found.Modified.Before(began.Add(-v.o.Grace)) {
			continue
		}
		if speaksForItself(found.Key) {
			if err := give(ctx, jobs, object{KeptObject: call.KeptObject{Key: found.Key, Size: found.Size}, lying: found}); err != nil {
				return err
			}
			continue
		}
		if err := v.unknown(ctx, found.Key, why); err != nil {
			return err
		}
	}
	return r.passOver(ctx, end, jobs)
}

// passOver gives the workers the rows before key, of which nothing was listed;
// all, if it is empty.
func (r *rows) passOver(ctx context.Context, key string, jobs chan<- object) error {
	for {
		row, err := r.peek(ctx)
		if err != nil || row == nil || !strings.HasPrefix(row.ObjectKey, r.prefix) || key != "" && row.ObjectKey >= key {
			return err
		}
		r.next()
		if row.State == call.Archived {
			if err := give(ctx, jobs, object{KeptObject: keptRecording(*row)}); err != nil {
				return err
			}
		}
	}
}

// match gives the workers the row of what was found, and says whether there is
// a reason for it to be there.
func (r *rows) match(ctx context.Context, found lying, jobs chan<- object) (known bool, why string, err error) {
	why = "nothing says why it is there"
	for {
		row, err := r.peek(ctx)
		if err != nil || row == nil || row.ObjectKey != found.Key {
			return known, why, err
		}
		r.next()
		switch row.State {
		case call.Archived:
			if err := give(ctx, jobs, object{KeptObject: keptRecording(*row), lying: found}); err != nil {
				return known, why, err
			}
			known = true
		case call.Absent, call.Refused, call.Expired, call.Erased:
			why = fmt.Sprintf("recording %s is %s, and this is still there", row.ID, row.State)
		default:
			known = true // on its way in or out
		}
	}
}

// speaksForItself reports whether an object is one that no row has a hash of:
// exports hold the hashes of all that is in them, and the audit log has those of
// certificates.
func speaksForItself(key string) bool {
	return strings.HasPrefix(key, "exports/") || strings.HasPrefix(key, "erasures/")
}

// unknown reports an object, unless it has been taken into the rows meanwhile.
func (v *Verifier) unknown(ctx context.Context, key, why string) error {
	page, err := v.o.Store.RecordingsByKey(ctx, key, "", 1)
	if err != nil {
		return err
	}
	if len(page) > 0 && page[0].ObjectKey == key && page[0].State == call.Archived {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found(call.Checked{Where: []string{key}, Kinds: objectKinds(true), Faults: []call.Fault{{Kind: call.FaultUnknown, Where: key, What: why}}})
}

// lie yields what lies under each key that begins with prefix, in their order.
func (v *Verifier) lie(ctx context.Context, prefix string) func(func(lying, error) bool) {
	return func(yield func(lying, error) bool) {
		var l lying
		for version, err := range v.o.Vault.Versions(ctx, prefix) {
			if err != nil {
				yield(l, err)
				return
			}
			if version.Key != l.Key {
				if l.Key != "" && !yield(l, nil) {
					return
				}
				l = lying{Version: Version{ObjectInfo: ObjectInfo{Key: version.Key}}}
			}
			if version.Marker {
				l.markers++
				l.hidden = l.hidden || version.Latest
				continue
			}
			if l.versions++; version.Latest {
				l.Version = version
			}
		}
		if l.Key != "" {
			yield(l, nil)
		}
	}
}

// look reads one object and says what is wrong with it. An error is the
// vault's or the database's, and ends the run.
func (v *Verifier) look(ctx context.Context, o object) error {
	var faults []call.Fault
	fault := func(kind call.FaultKind, format string, args ...any) {
		faults = append(faults, call.Fault{Kind: kind, Where: o.Key, What: fmt.Sprintf(format, args...)})
	}
	sum, info, err := v.read(ctx, o.Key)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrKey):
		if o.lying.hidden {
			fault(call.FaultMissing, "somebody has deleted it; the store still has %d version(s) of it behind the mark", o.lying.versions)
		} else {
			fault(call.FaultMissing, "it is not in the vault")
		}
	case err != nil:
		if _, statErr := v.o.Vault.Stat(ctx, o.Key); statErr != nil && !errors.Is(statErr, ErrNotFound) {
			return err // the whole vault does not answer
		}
		fault(call.FaultUnreadable, "it cannot be read: %v", err)
	default:
		switch hashed := hex.EncodeToString(sum[:]); {
		case info.Size != o.Size:
			fault(call.FaultMismatch, "it has %d bytes; %d were kept", info.Size, o.Size)
		case o.SHA256 == "":
			if info.SHA256 != ([sha256.Size]byte{}) && sum != info.SHA256 {
				fault(call.FaultMismatch, "its bytes have SHA-256 %x; put were those with %x", sum, info.SHA256)
			}
		case hashed != o.SHA256:
			fault(call.FaultMismatch, "its bytes have SHA-256 %x; kept were those with %s", sum, o.SHA256)
		case o.RecordingID != "" && o.AudioSHA256 != o.SHA256: // nothing is done to audio before it is put
			fault(call.FaultMismatch, "its bytes have SHA-256 %x; the row says that those of the audio have %s", sum, o.AudioSHA256)
		}
		if o.lying.versions+o.lying.markers > 1 {
			fault(call.FaultVersions, "%d versions lie under its key; only one was put there by Callvault", o.lying.versions+o.lying.markers)
		}
		if what := v.weaker(o.KeptObject, info); what != "" {
			fault(call.FaultWeaker, "%s", what)
		}
	}
	if len(faults) > 0 {
		// It may have been deleted by right, or changed its key, meanwhile.
		if gone, err := v.changed(ctx, o.KeptObject); err != nil || gone {
			return err
		}
	}
	return v.done(ctx, o, info.Size, faults)
}

// objectKinds are what is looked for when an object is read, and listed or not.
func objectKinds(listed bool) []call.FaultKind {
	kinds := []call.FaultKind{call.FaultMismatch, call.FaultMissing, call.FaultUnreadable, call.FaultWeaker}
	if listed {
		kinds = append(kinds, call.FaultUnknown, call.FaultVersions)
	}
	return kinds
}

// weaker says how an object is protected less than was promised. Stores know
// seconds.
func (v *Verifier) weaker(k call.KeptObject, info ObjectInfo) string {
	if v.o.Vault.Locks() == Unlocked {
		return ""
	}
	if until := info.Protection.Until; k.RetainUntil.After(v.o.Now()) && until.Before(k.RetainUntil.Truncate(time.Second)) {
		if until.IsZero() {
			return "it is not locked; until " + k.RetainUntil.UTC().Format(time.RFC3339) + " was promised"
		}
		return "it is locked until " + until.UTC().Format(time.RFC3339) + "; until " + k.RetainUntil.UTC().Format(time.RFC3339) + " was promised"
	}
	if k.Hold && !info.Protection.Hold {
		return "it is under a legal hold, and the store does not hold it"
	}
	return ""
}

// changed reports whether what must be there is something else by now.
func (v *Verifier) changed(ctx context.Context, k call.KeptObject) (bool, error) {
	if k.RecordingID == "" {
		return false, nil
	}
	r, err := v.o.Store.Recording(ctx, k.RecordingID)
	if call.CodeOf(err) == call.NotFound {
		return true, nil
	}
	return r.State != call.Archived || r.ObjectKey != k.Key ||
		r.SHA256 != k.AudioSHA256 || cmp.Or(r.StoredSHA256, r.SHA256) != k.SHA256 || !r.RetainUntil.Equal(k.RetainUntil), err
}

// read hashes an object. What does not work at once is tried again.
func (v *Verifier) read(ctx context.Context, key string) (sum [sha256.Size]byte, info ObjectInfo, err error) {
	for n := range readTries {
		sum, info, err = v.readOnce(ctx, key)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrKey) {
			break
		}
		if n < readTries-1 {
			select {
			case <-time.After(time.Duration(n+1) * time.Second):
			case <-ctx.Done():
			}
		}
	}
	return sum, info, err
}

func (v *Verifier) readOnce(ctx context.Context, key string) (sum [sha256.Size]byte, info ObjectInfo, err error) {
	body, info, err := v.o.Vault.Open(ctx, key, 0, -1)
	if err != nil {
		return sum, info, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	buffer, _ := v.buffers.Get().(*[verifyBuffer]byte)
	defer v.buffers.Put(buffer)
	hash := sha256.New()
	read := int64(0)
	for {
		n, err := body.Read(buffer[:])
		hash.Write(buffer[:n])
		read += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sum, info, fmt.Errorf("read %s: %w", key, err)
		}
		if err := v.limiter.WaitN(ctx, n); err != nil {
			return sum, info, err
		}
	}
	info.Size = read
	return [sha256.Size]byte(hash.Sum(nil)), info, nil
}

// done tells of an object that was looked at.
func (v *Verifier) done(ctx context.Context, o object, size int64, faults []call.Fault) error {
	v.mu.Lock()
	v.objects++
	v.bytes += size
	if len(faults) == 0 && o.RecordingID != "" {
		v.seen = append(v.seen, o.RecordingID)
	}
	err := v.found(call.Checked{Where: []string{o.Key}, Kinds: objectKinds(o.lying.Key != ""), Faults: faults})
	v.o.Progress(v.objects, v.bytes)
	v.mu.Unlock()
	if err != nil {
		return err
	}
	return v.mark(ctx, false)
}

// mark writes down which recordings were verified, once there are enough of
// them.
func (v *Verifier) mark(ctx context.Context, now bool) error {
	v.mu.Lock()
	if len(v.seen) == 0 || len(v.seen) < verifyPage && !now {
		v.mu.Unlock()
		return nil
	}
	seen := v.seen
	v.seen = nil
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return v.o.Store.MarkVerified(ctx, seen)
}
