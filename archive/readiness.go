package archive

import (
	"context"
	"sync"
	"time"

	"callvault/internal/call"
)

// readiness is what this node has seen of when recordings are ready, and what
// is known of it by all nodes.
type readiness struct {
	mu    sync.Mutex
	seen  map[string][]call.ReadyInterval
	known map[string]call.Readiness
}

const (
	// learnEvery is how often what was seen is written down.
	learnEvery = 15 * time.Second
	// mostSeen of an account are enough to learn from in that time.
	mostSeen = 500
)

// sinceEnd is how long after the end of its call a recording is asked for at a
// moment. It is false for those whose readiness nobody knows: of which it is not
// known when the call ended, and those that were first told of much later.
func sinceEnd(c *call.Claim, at time.Time) (time.Duration, bool) {
	told := c.WantedAt.Sub(c.EndedAt)
	if c.EndedAt.IsZero() || told < 0 || told > call.ReadyWindow {
		return 0, false
	}
	return at.Sub(c.EndedAt), true
}

// found takes in that a recording was there when it was asked for.
func (r *readiness) found(c *call.Claim, at time.Time) (age time.Duration, ok bool) {
	if c.ObjectKey != "" {
		return 0, false // an earlier try got it, and could not store it
	}
	o := call.ReadyInterval{}
	if o.Until, ok = sinceEnd(c, at); !ok {
		return 0, false
	}
	if !c.MissedAt.IsZero() {
		o.After = max(c.MissedAt.Sub(c.EndedAt), 0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string][]call.ReadyInterval{}
	}
	if len(r.seen[c.Account]) < mostSeen {
		r.seen[c.Account] = append(r.seen[c.Account], o)
	}
	return o.Until, true
}

// wait is how long to wait, as far as was learned, for a recording that was not
// ready when it was asked for; 0 when nothing is known.
func (r *readiness) wait(c *call.Claim, at time.Time) time.Duration {
	age, ok := sinceEnd(c, at)
	if !ok {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.known[c.Account]
	wait, _ := known.NextTry(age)
	return wait
}

// learn writes down what was seen and reads what is known, now and then, until
// ctx ends, and once more.
func (a *Archiver) learn(ctx context.Context) {
	tick := time.NewTicker(learnEvery)
	defer tick.Stop()
	for {
		a.learnOnce(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			a.learnOnce(context.WithoutCancel(ctx))
			return
		}
	}
}

func (a *Archiver) learnOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	r := &a.readiness
	r.mu.Lock()
	seen := r.seen
	r.seen = nil
	r.mu.Unlock()
	known, err := a.opts.Store.LearnReadiness(ctx, seen)
	if err != nil {
		// What was seen is lost: there will be more.
		a.opts.Logger.DebugContext(ctx, "readiness could not be learned", "error", err)
		return
	}
	r.mu.Lock()
	r.known = known
	r.mu.Unlock()
}
