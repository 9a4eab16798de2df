package archive

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"strings"

	"callvault/internal/call"
)

// keyedRecordings is the rows in the order of the vault.
type keyedRecordings interface {
	// RecordingsByKey returns at most limit recordings that have an object key,
	// in the order of keys and ids, beginning after the one given.
	RecordingsByKey(ctx context.Context, afterKey, afterID string, limit int) ([]call.KeyedRecording, error)
}

func keptRecording(r call.KeyedRecording) call.KeptObject {
	return call.KeptObject{
		Key: r.ObjectKey, Size: r.Size, SHA256: cmp.Or(r.StoredSHA256, r.SHA256), AudioSHA256: r.SHA256, RecordingID: r.ID,
		RetainUntil: r.RetainUntil, Hold: r.Held, HoldMoving: r.HoldMoving, Unreadable: r.Unreadable,
	}
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
		return f(call.KeptObject{Key: RevisionKey(g.Number, g.Revision), Size: g.Size, SHA256: g.SHA256, RetainUntil: g.RetainUntil})
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
		o := object{KeptObject: k}
		if k.Going && k.RunID != "" || o.isPlanned() {
			return nil
		}
		return give(ctx, jobs, o)
	})
	return known, err
}

// rows are the recordings with object keys, in the order of these.
type rows struct {
	store  keyedRecordings
	prefix string
	page   []call.KeyedRecording
	key    string
	id     string
	ended  bool
}

// peek is the next row, nil after the last.
func (r *rows) peek(ctx context.Context) (*call.KeyedRecording, error) {
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
