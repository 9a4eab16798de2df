package console

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"callvault/internal/call"
)

const (
	// lookEvery is how long after one look at the calls in progress the next
	// follows, while somebody listens.
	lookEvery = time.Second
	// maxListeners bounds the streams of one node.
	maxListeners = 250
)

// look is what there was at one look at the calls in progress.
type look struct {
	calls []call.LiveCall
	// err says why the latest look failed; calls are those of the one before.
	err error
	// older is closed when there is a newer look.
	older chan struct{}
}

// feed looks at the calls in progress while somebody listens, and lets all
// listeners of this node see the same look.
//
// Looking every second is the whole of it, on both databases: an event may be
// taken by any node, a call may end by its age, which is no event at all, and
// the table holds but the calls of this moment. Each listener compares the
// newest look with what it has sent, so one who is slow misses steps in
// between and never the state, and nothing queues up for it.
type feed struct {
	find   func(context.Context) ([]call.LiveCall, error)
	logger *slog.Logger
	every  time.Duration
	most   int

	mu        sync.Mutex
	listeners int
	latest    *look // nil: nobody listens
	stop      context.CancelFunc
	looking   sync.WaitGroup
	// ended is closed when the streams have to end.
	ended  chan struct{}
	closed bool
}

func newFeed(find func(context.Context) ([]call.LiveCall, error), logger *slog.Logger) *feed {
	return &feed{find: find, logger: logger, every: lookEvery, most: maxListeners, ended: make(chan struct{})}
}

// listen returns the latest look, which may be none yet: then older is all that
// it has. Whoever listens calls leave at the end.
func (f *feed) listen(ctx context.Context) (latest *look, leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, nil, call.Errorf(call.Unavailable, "this server is ending; connect again")
	case f.listeners >= f.most:
		return nil, nil, call.Errorf(call.Limited, "%d streams are open already; close one", f.most)
	}
	if f.listeners++; f.listeners == 1 {
		// The first to listen may be the first to go.
		ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
		f.stop = stop
		f.latest = &look{older: make(chan struct{})}
		f.looking.Go(func() { f.look(ctx) })
	}
	return f.latest, sync.OnceFunc(f.leave), nil
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners--; f.listeners == 0 {
		f.stop()
		f.latest = nil
	}
}

// newest is the latest look, of one who listens.
func (f *feed) newest() *look {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest
}

// close ends all streams and waits until nothing looks any more.
func (f *feed) close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.ended)
	}
	if f.listeners > 0 {
		f.stop()
	}
	f.mu.Unlock()
	f.looking.Wait()
}

func (f *feed) look(ctx context.Context) {
	timer := time.NewTimer(f.every)
	defer timer.Stop()
	failing := false
	for {
		calls, err := f.find(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			f.logger.LogAttrs(ctx, slog.LevelWarn, "calls in progress cannot be read; their streams wait", slog.String("error", err.Error()))
		}
		failing = err != nil
		if !f.publish(ctx, &look{calls: calls, err: err, older: make(chan struct{})}) {
			return
		}
		timer.Reset(f.every)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// publish makes next the latest look if it shows anything new, unless nobody
// listens to this feed any more.
func (f *feed) publish(ctx context.Context, next *look) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	before := f.latest
	switch {
	case next.err != nil:
		next.calls = before.calls
	case before.err == nil && before.calls != nil && slices.Equal(before.calls, next.calls):
		return true
	}
	f.latest = next
	close(before.older)
	return true
}
