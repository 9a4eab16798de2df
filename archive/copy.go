package archive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"callvault/internal/call"
)

// CopyStore says what must lie in the vault.
type CopyStore interface {
	VerifyStore
	Recording(ctx context.Context, id string) (call.Recording, error)
}

// CopyOptions say which vault is copied into which. Store, From, To, SpoolDir
// and Found are required.
type CopyOptions struct {
	Store    CopyStore
	From, To Vault
	// SpoolDir takes objects over 1 MiB while they are under way.
	SpoolDir string
	// Workers is how many objects are copied at once; default 8.
	Workers int
	// Rate bounds the reading, in bytes per second; 0 does not.
	Rate int64
	// Reread: what lies in To already is read and hashed too, instead of
	// believing what To has recorded of it when it was put.
	Reread bool
	// Patience is how long a vault may be away before the copy ends; default
	// two minutes.
	Patience time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Found is told what is wrong with an object; notice: it was copied, or is
	// left out by right, and somebody may want to know. One at a time.
	Found func(f call.Fault, notice bool) error
	// Progress is told how far the copy is, one at a time; may be nil.
	Progress func(Copied)
}

// Copied is what a copy came to.
type Copied struct {
	// Copied objects were put into the other vault, Bytes of them. Present are
	// those that were there already.
	Copied  int64 `json:"copied"`
	Bytes   int64 `json:"bytes"`
	Present int64 `json:"present"`
	// Protected of those that were there got a longer lock, or another hold.
	Protected int64 `json:"protected"`
}

// FaultConflict says that another object lies under the key in the vault that
// is copied to. It is no fault of what is kept, so it is none of call.FaultKinds.
const FaultConflict call.FaultKind = "conflict"

// Copier brings all that lies in one vault into another, and makes sure that it
// is what was kept: the SHA-256 of each object's bytes is compared with its
// row's before they are put, and the other vault checks it once more. It never
// changes the vault that it reads, and in the other never what lies there. It
// remembers nothing: a copy that was interrupted is run again, and finds what it
// has done.
type Copier struct {
	o       CopyOptions
	source  *Verifier // knows what lies in From, and what must
	spooler *Spooler
	limiter *rate.Limiter
	// rewritten are the segments of the journal of which a later revision counts.
	rewritten map[int64]bool

	mu   sync.Mutex
	done Copied
}

const (
	copyPatience = 2 * time.Minute
	// copyPause is the longest wait between two tries.
	copyPause = 10 * time.Second
)

// NewCopier makes a Copier.
func NewCopier(o CopyOptions) (*Copier, error) {
	orElse(&o.Workers, 8)
	orElse(&o.Patience, copyPatience)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Copied) {}
	}
	c := &Copier{o: o, source: NewVerifier(VerifyOptions{Store: o.Store, Vault: o.From, Now: o.Now}), limiter: rate.NewLimiter(rate.Inf, 0), rewritten: map[int64]bool{}}
	if o.Rate > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(o.Rate), pieceBytes)
	}
	var err error
	c.spooler, err = NewSpooler(o.SpoolDir)
	return c, err
}

// Check says whether the copy can be begun: objects can be put into the other
// vault, and locked if they shall be (ErrCannotLock), and it is another one.
func (c *Copier) Check(ctx context.Context) error {
	if err := c.o.To.Check(ctx); err != nil {
		return fmt.Errorf("the vault that is copied to: %w", err)
	}
	return errSameVault(ctx, c.o.From, c.o.To)
}

// Run copies what the other vault does not have yet. Also of one that ended in
// an error it says how far it came. Its memory grows with reports and segments
// of the journal by some bytes each, and not with recordings.
func (c *Copier) Run(ctx context.Context) (Copied, error) {
	began := c.o.Now()
	group, limited := errgroup.WithContext(ctx)
	jobs := make(chan copyJob, c.o.Workers)
	var known *keySet
	group.Go(func() (err error) {
		defer close(jobs)
		known, err = c.find(limited, jobs)
		return err
	})
	for range c.o.Workers {
		group.Go(func() error {
			for j := range jobs {
				if err := c.bring(limited, j); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if err == nil {
		err = c.leftOver(ctx, known, began)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, err
}

// tell notes what became of an object.
func (c *Copier) tell(note func(*Copied)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note(&c.done)
	c.o.Progress(c.done)
}

func (c *Copier) found(notice bool, kind call.FaultKind, key, format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.o.Found(call.Fault{Kind: kind, Where: key, What: fmt.Sprintf(format, args...)}, notice)
}

// errSameVault refuses to copy a vault into itself, however it is spelt.
func errSameVault(ctx context.Context, from, to Vault) (err error) {
	same := false
	switch from := from.(type) {
	case *Directory:
		if to, ok := to.(*Directory); ok {
			same, err = from.overlaps(to)
		}
	case *S3:
		if to, ok := to.(*S3); ok {
			same, err = to.shows(ctx, from)
		}
	}
	if err == nil && same {
		return errors.New("the vault that is copied to is the one that is copied from, or lies in it")
	}
	return err
}
