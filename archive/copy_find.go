package archive

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"path"
	"strings"
	"time"

	"callvault/internal/call"
)

// copyJob is an object that shall lie in the other vault.
type copyJob struct {
	// KeptObject has no SHA256 where only the vault knows it.
	call.KeptObject
	// mediaType is given for recordings.
	mediaType string
	// stray: no row says that it must be there.
	stray bool
}

func recordingJob(r *call.KeyedRecording) copyJob {
	return copyJob{KeptObject: keptRecording(*r), mediaType: r.MediaType}
}

// find gives the workers all that lies in the vault, and all that should: first
// what is no recording, of which it returns the keys, then what is listed.
func (c *Copier) find(ctx context.Context, jobs chan<- copyJob) (known *keySet, err error) {
	known = &keySet{maphash.MakeSeed(), map[uint64]struct{}{}}
	err = c.source.eachKept(ctx, func(k call.KeptObject) error {
		known.keys[maphash.String(known.seed, k.Key)] = struct{}{}
		if k.Going {
			return nil // it is just being put, or deleted by right, and must not come back
		}
		if number, revision, ok := segmentNumber(k.Key); ok && revision > 0 {
			c.rewritten[number] = true
		}
		return giveCopy(ctx, jobs, copyJob{KeptObject: k})
	})
	if err != nil {
		return nil, err
	}
	began := c.o.Now()
	r := &rows{store: c.o.Store}
	for l, err := range c.source.lie(ctx, "") {
		if err != nil {
			return nil, err
		}
		if l.versions+l.markers > 1 {
			err := c.found(true, call.FaultVersions, l.Key, "%d versions lie under its key; only the one that is read is copied", l.versions+l.markers)
			if err != nil {
				return nil, err
			}
		}
		row, err := r.upTo(ctx, l.Key, jobs)
		if err != nil {
			return nil, err
		}
		switch {
		case row != nil && row.State == call.Archived:
			err = giveCopy(ctx, jobs, recordingJob(row))
		case l.hidden, known.has(l.Key):
			// Somebody has deleted it; or it was given already.
		default:
			err = c.stray(ctx, l, row, l.Modified.Before(began.Add(-c.source.o.Grace)), jobs)
		}
		if err != nil {
			return nil, err
		}
	}
	_, err = r.upTo(ctx, "", jobs)
	return known, err
}

// stray gives the workers an object of no archived recording, unless it is there
// only because it has not gone yet: what was deleted by right must not come back.
func (c *Copier) stray(ctx context.Context, l lying, row *call.KeyedRecording, old bool, jobs chan<- copyJob) error {
	if parts := ownKey.FindStringSubmatch(path.Base(l.Key)); row == nil && parts != nil && strings.HasPrefix(l.Key, recordingsFolder) {
		r, err := c.o.Store.Recording(ctx, parts[1])
		if err != nil && call.CodeOf(err) != call.NotFound {
			return err
		}
		if err == nil {
			row = &call.KeyedRecording{Recording: r}
		}
	}
	if row != nil && (row.State == call.Expired || row.State == call.Erased) {
		return c.found(true, call.FaultUnknown, l.Key, "not copied: recording %s is %s, and this is still there", row.ID, row.State)
	}
	if number, revision, ok := segmentNumber(l.Key); ok && (revision > 0 || c.rewritten[number]) {
		return c.found(true, call.FaultUnknown, l.Key, "not copied: journal segment %d was written again since, with something less", number)
	}
	if row == nil && old && !speaksForItself(l.Key) {
		if err := c.found(true, call.FaultUnknown, l.Key, "copied, though nothing says why it is there"); err != nil {
			return err
		}
	}
	return giveCopy(ctx, jobs, copyJob{KeptObject: call.KeptObject{Key: l.Key, Size: l.Size}, stray: true})
}

// rowsFollow is how long after an object was put its row may not speak of it yet.
const rowsFollow = 5 * time.Minute

// leftOver tells what lies in the other vault alone, and no row speaks of: it may
// have been deleted by right since it was copied. What came there just now is of
// a server that works on it already.
func (c *Copier) leftOver(ctx context.Context, known *keySet, began time.Time) error {
	here, stop := iter.Pull2(c.o.From.List(ctx, ""))
	defer stop()
	at, err, more := here()
	for there, listErr := range c.o.To.List(ctx, "") {
		for err == nil && more && at.Key < there.Key {
			at, err, more = here()
		}
		if err := errors.Join(err, listErr); err != nil {
			return err
		}
		if more && at.Key == there.Key || known.has(there.Key) || !there.Modified.Before(began.Add(-rowsFollow)) {
			continue
		}
		page, err := c.o.Store.RecordingsByKey(ctx, there.Key, "", 1)
		if err != nil {
			return err
		}
		if len(page) > 0 && page[0].ObjectKey == there.Key && (page[0].State == call.Archived || page[0].State == call.Pending) {
			continue
		}
		err = c.found(true, call.FaultUnknown, there.Key, "it lies only in the vault that is copied to: deleted from the other one since it was copied, or put there by somebody else")
		if err != nil {
			return err
		}
	}
	return nil
}

// upTo passes the rows before key, of which nothing was listed, all if it is
// empty; and returns the one with the key, an archived one if there are several.
func (r *rows) upTo(ctx context.Context, key string, jobs chan<- copyJob) (at *call.KeyedRecording, err error) {
	for {
		row, err := r.peek(ctx)
		if err != nil || row == nil || key != "" && row.ObjectKey > key {
			return at, err
		}
		r.next()
		switch {
		case row.ObjectKey == key:
			if at == nil || row.State == call.Archived {
				at = row
			}
		case row.State == call.Archived:
			if err := giveCopy(ctx, jobs, recordingJob(row)); err != nil {
				return nil, err
			}
		}
	}
}

func giveCopy(ctx context.Context, jobs chan<- copyJob, j copyJob) error {
	select {
	case jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// copyTime bounds one try to copy an object: it is read, and put.
func (c *Copier) copyTime(size int64) time.Duration {
	seconds := 2 * size / putBytesPerSecond
	if c.o.Rate > 0 {
		seconds += int64(c.o.Workers) * size / c.o.Rate
	}
	return 2*putTimeout + time.Duration(seconds)*time.Second
}
