package archive

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"regexp"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// An orphan is an object that was put for a recording and is not what its row
// speaks of. A key is stored in the row before the PUT, so there are only three
// ways to become one: the recording was archived beside it, because its host
// had sent other bytes the first time; it was given up or refused, while a PUT
// whose answer was lost got through; or it was deleted, while a worker that had
// lost its lease was still writing. Those of reports are known by what was planned
// before: whoever builds one may be killed before it is the run's.

// OrphanStore is what a Sweeper asks of the database.
type OrphanStore interface {
	keyedRecordings
	Recording(ctx context.Context, id string) (call.Recording, error)
	WakeRecording(ctx context.Context, id string) (woken bool, err error)
	HeldBy(ctx context.Context, callIDs []string) (map[string][]call.Hold, error)
	Audit(ctx context.Context, entries ...audit.Entry) error
	RunsInMaking(context.Context) ([]call.RunInMaking, error)
	abandonedRuns
	ClaimJob(ctx context.Context, name string, due bool, lease time.Duration) (leaseToken string, err error)
	RenewJob(ctx context.Context, name, leaseToken string, lease time.Duration) error
	EndJob(ctx context.Context, name, leaseToken string, result []byte, next time.Time) error
}

// SweeperOptions is what a Sweeper works with. All are required.
type SweeperOptions struct {
	Store OrphanStore
	Vault Vault
	// Wake is called when a recording was woken.
	Wake   func()
	Now    func() time.Time
	Logger *slog.Logger
}

// Sweeper looks once a day for orphans that are older than a day. One whose
// recording is missing is given to it; one that was superseded or whose
// recording was deleted is removed, when neither lock nor hold keeps it. What
// is of no recording at all it leaves alone: Verifier lists that.
type Sweeper struct{ o SweeperOptions }

// OrphanJob is the name of the Sweeper's job.
const OrphanJob = "orphans"

const (
	lookForOrphans = 10 * time.Minute
	sweepEvery     = 24 * time.Hour
	// orphanGrace is how old an object must be: longer than any try takes.
	orphanGrace = 24 * time.Hour
	sweepLease  = 10 * time.Minute
	// orphanTime bounds what is done about one object.
	orphanTime = time.Minute
)

// NewSweeper makes a Sweeper.
func NewSweeper(o SweeperOptions) *Sweeper { return &Sweeper{o} }

// Swept is what a pass came to.
type Swept struct {
	// Woken recordings were given up and have their audio now; Removed objects
	// are gone; Kept ones will be, when lock or hold are over.
	Woken   int `json:"woken"`
	Removed int `json:"removed"`
	Kept    int `json:"kept"`
	// Failed objects could not be looked after, and are next time.
	Failed int `json:"failed"`
}

// Run passes over the vault once a day, until ctx ends. Of all nodes one does.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(lookForOrphans)
	defer tick.Stop()
	for {
		if err := s.passIfDue(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.WarnContext(ctx, "the vault could not be looked through for orphans; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Sweeper) passIfDue(ctx context.Context) error {
	token, err := s.o.Store.ClaimJob(ctx, OrphanJob, true, sweepLease)
	if err != nil || token == "" {
		return err
	}
	renewed := time.Now()
	swept, err := s.pass(ctx, func() error {
		if time.Since(renewed) < sweepLease/4 {
			return nil
		}
		renewed = time.Now()
		return s.o.Store.RenewJob(ctx, OrphanJob, token, sweepLease)
	})
	next := s.o.Now().Add(sweepEvery)
	if err != nil {
		next = s.o.Now().Add(lookForOrphans)
	}
	if swept != (Swept{}) {
		s.o.Logger.InfoContext(ctx, "orphans in the vault looked after", "recordings_woken", swept.Woken,
			"removed", swept.Removed, "kept", swept.Kept, "failed", swept.Failed)
	}
	result, marshalErr := json.Marshal(swept)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return errors.Join(err, marshalErr, s.o.Store.EndJob(ending, OrphanJob, token, result, next))
}

// Pass looks after all orphans now, whoever else does.
func (s *Sweeper) Pass(ctx context.Context) (Swept, error) {
	return s.pass(ctx, func() error { return nil })
}

func (s *Sweeper) pass(ctx context.Context, goOn func() error) (swept Swept, err error) {
	if err := s.passRecordings(ctx, &swept, goOn); err != nil {
		return swept, err
	}
	return swept, s.passRuns(ctx, &swept, goOn)
}

// passRuns removes the files of reports that nobody has finished.
func (s *Sweeper) passRuns(ctx context.Context, swept *Swept, goOn func() error) error {
	runs, err := s.o.Store.RunsInMaking(ctx)
	for _, m := range runs {
		if err == nil {
			err = goOn()
		}
		if err != nil {
			return err
		}
		left, err := clearRun(ctx, s.o.Store, s.o.Vault, m.Run, s.o.Now(), orphanGrace)
		swept.Removed += left.removed
		swept.Kept += len(left.kept)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			swept.Failed++
			s.o.Logger.WarnContext(ctx, "files of a report that was never finished could not be removed", "run", m.Run.ID, "error", err)
		}
	}
	return err
}

// passRecordings walks through the vault and the rows at once, both in the order
// of keys.
func (s *Sweeper) passRecordings(ctx context.Context, swept *Swept, goOn func() error) error {
	const prefix = "calls/"
	grown := s.o.Now().Add(-orphanGrace)
	r := &rows{store: s.o.Store, key: prefix}
	for info, err := range s.o.Vault.List(ctx, prefix) {
		if err == nil {
			err = goOn()
		}
		if err != nil {
			return err
		}
		known := false
		for {
			row, err := r.peek(ctx)
			if err != nil {
				return err
			}
			if row == nil || row.ObjectKey > info.Key {
				break
			}
			known = known || row.ObjectKey == info.Key && (row.State == call.Archived || row.State == call.Pending)
			r.next()
		}
		if known || info.Modified.After(grown) {
			continue
		}
		if err := s.settle(ctx, info.Key, swept); err != nil {
			if ctx.Err() != nil {
				return err
			}
			swept.Failed++
			s.o.Logger.WarnContext(ctx, "an orphan in the vault could not be looked after", "object_key", info.Key, "error", err)
		}
	}
	return nil
}

// ownKey is a key that a recording's try chooses: the recording's id, or that
// with the beginning of the bytes' hash where other bytes lay there.
var ownKey = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(\.conflict-[0-9a-f]{16})?(\.[a-z0-9]+)?$`)

// settle does what there is to be done about an object that no row speaks of.
func (s *Sweeper) settle(ctx context.Context, key string, swept *Swept) error {
	ctx, cancel := context.WithTimeout(ctx, orphanTime)
	defer cancel()
	parts := ownKey.FindStringSubmatch(path.Base(key))
	if parts == nil {
		return nil // not ours
	}
	r, err := s.o.Store.Recording(ctx, parts[1])
	if call.CodeOf(err) == call.NotFound {
		return nil // of another installation, or the database is an older one
	}
	if err != nil {
		return err
	}
	switch r.State {
	case call.Pending:
		return nil // its next try takes it
	case call.Absent, call.Refused:
		if r.ObjectKey != key {
			return nil
		}
		woken, err := s.o.Store.WakeRecording(ctx, r.ID)
		if err == nil && woken {
			swept.Woken++
			s.o.Wake()
		}
		return err
	case call.Archived:
		if r.ObjectKey == key {
			return nil // just now
		}
		// What lies here may be all that there is.
		if kept, err := s.o.Vault.Stat(ctx, r.ObjectKey); err != nil || kept.Size != r.Size {
			if err == nil {
				err = fmt.Errorf("the recording's own object %s has another size than was archived", r.ObjectKey)
			}
			return err
		}
		return s.remove(ctx, key, r, "the recording was archived as "+r.ObjectKey, swept)
	case call.Expired, call.Erased:
		return s.remove(ctx, key, r, "the recording is "+string(r.State), swept)
	}
	return nil
}

// remove deletes an object unless something keeps it. The audit log knows of it
// before it is done.
func (s *Sweeper) remove(ctx context.Context, key string, r call.Recording, why string, swept *Swept) error {
	info, err := s.o.Vault.Stat(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	held, err := s.o.Store.HeldBy(ctx, []string{r.CallID})
	if err != nil {
		return err
	}
	if len(held[r.CallID]) > 0 || info.Protection.Keeps(s.o.Now()) {
		swept.Kept++
		return nil
	}
	facts := audit.OrphanFacts{ObjectKey: key, Size: info.Size, Modified: info.Modified.UTC()}
	if info.SHA256 != ([len(info.SHA256)]byte{}) {
		facts.SHA256 = hex.EncodeToString(info.SHA256[:])
	}
	entry, err := audit.New(audit.OrphanRemoved, "recording/"+r.ID, facts)
	if err != nil {
		return err
	}
	entry.Reason = why
	if err := s.o.Store.Audit(ctx, entry); err != nil {
		return err
	}
	err = s.o.Vault.Delete(ctx, key)
	if _, locked := errors.AsType[*LockedError](err); locked {
		swept.Kept++
		return nil
	}
	if err == nil {
		swept.Removed++
	}
	return err
}
