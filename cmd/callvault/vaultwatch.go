package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/watch"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	vaultLookEvery = time.Minute
	vaultLookTime  = 30 * time.Second
	// vaultPatience is how long a vault that does not answer is nobody's
	// business: stores are started again, and recordings wait.
	vaultPatience = 10 * time.Minute
	// vaultTrust is how long a node that saw no trouble must have seen none
	// before it calls the trouble of another over.
	vaultTrust = time.Hour
)

// vaultWatch looks at the vault once a minute, and says what is wrong with it:
// that it takes nothing, and that its clock differs from this node's.
type vaultWatch struct {
	vault  archive.Vault
	logger *slog.Logger
	now    func() time.Time
	ahead  prometheus.Gauge

	mu       sync.Mutex
	fault    span // the vault takes nothing
	unlocked bool // as its bucket cannot lock, which needs a person at once
	clock    span
	differ   time.Duration // by how much the clocks differed last
}

// span is since when something is as it is; zero: not looked at yet.
type span struct {
	bad   bool
	since time.Time
	// ended says that the trouble was seen to end.
	ended bool
}

// see says whether that is news.
func (s *span) see(bad bool, now time.Time) bool {
	if !s.since.IsZero() && s.bad == bad {
		return false
	}
	*s = span{bad: bad, since: now, ended: s.bad && !bad}
	return true
}

// well says whether the trouble is over, for this node and for others.
func (s *span) well(now time.Time) bool {
	return !s.bad && !s.since.IsZero() && (s.ended || now.Sub(s.since) >= vaultTrust)
}

// storeClock is a vault that can tell its clock from ours.
type storeClock interface{ ClockAhead() time.Duration }

// versionKeeper is a vault that may keep versions, or may not.
type versionKeeper interface {
	KeepsVersions(context.Context) (bool, error)
}

func newVaultWatch(v archive.Vault, now func() time.Time, registry prometheus.Registerer, logger *slog.Logger) *vaultWatch {
	w := &vaultWatch{vault: v, now: now, logger: logger,
		ahead: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callvault_vault_clock_ahead_seconds",
			Help: "By how much the vault's clock is ahead of this node's, negative when behind; 0 within 5 seconds.",
		})}
	if _, ok := v.(storeClock); ok {
		registry.MustRegister(w.ahead)
	}
	return w
}

// run looks until ctx ends.
func (w *vaultWatch) run(ctx context.Context) {
	w.askVersions(ctx)
	tick := time.NewTicker(vaultLookEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// askVersions says once what an operator may not have meant.
func (w *vaultWatch) askVersions(ctx context.Context) {
	keeper, ok := w.vault.(versionKeeper)
	if !ok {
		return
	}
	// The bucket may have to be made first.
	err := w.vault.Check(ctx)
	kept := false
	if err == nil {
		kept, err = keeper.KeepsVersions(ctx)
	}
	switch {
	case err != nil:
		w.logger.WarnContext(ctx, "it is not known whether the vault's bucket keeps versions", "error", err)
	case !kept:
		w.logger.WarnContext(ctx, "the vault's bucket keeps no versions: what somebody overwrites or deletes there is gone")
	}
}

func (w *vaultWatch) look(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, vaultLookTime)
	defer cancel()
	err := w.vault.Check(limit)
	if ctx.Err() != nil {
		return
	}
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	// The archiver has told the log.
	w.fault.see(err != nil, now)
	w.unlocked = errors.Is(err, archive.ErrCannotLock)
	clock, ok := w.vault.(storeClock)
	if !ok {
		return
	}
	ahead := clock.ClockAhead()
	w.ahead.Set(ahead.Seconds())
	if ahead != 0 {
		w.differ = ahead
	}
	if w.clock.see(ahead != 0, now) && ahead != 0 {
		w.logger.ErrorContext(ctx, "the clocks of vault and node differ", "vault_is_ahead_by", ahead)
	}
}

const waiting = "Recordings wait, and those that their providers delete meanwhile are lost."

// conditions says what is to be told of the vault.
func (w *vaultWatch) conditions(_ context.Context, now time.Time) []watch.Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	fault := watch.Condition{
		Kind: call.AlertVault, Bad: w.fault.bad && (w.unlocked || now.Sub(w.fault.since) >= vaultPatience),
		Well: w.fault.well(now), Since: w.fault.since, Sentence: "The vault takes recordings again.",
	}
	switch {
	case fault.Bad && w.unlocked:
		fault.Sentence = "Nothing is archived: the bucket cannot lock objects, though vault.s3.object_lock asks for it. " + waiting +
			" Name a bucket that was made with Object Lock, or switch object_lock off."
	case fault.Bad:
		fault.Sentence = "Nothing can be archived: the vault does not answer as it should; the log and /readyz say which part fails. " + waiting
	}
	conditions := []watch.Condition{fault}
	if _, ok := w.vault.(storeClock); ok {
		clock := watch.Condition{
			Kind: call.AlertVaultClock, Bad: w.clock.bad, Well: w.clock.well(now), Since: w.clock.since,
			Sentence: "The clocks of vault and nodes agree.",
		}
		if clock.Bad {
			way := "ahead of"
			if w.differ < 0 {
				way = "behind"
			}
			clock.Sentence = fmt.Sprintf("The vault's clock is %s %s that of a node of Callvault. Locks end at another time than promised, and from "+
				"a quarter of an hour on the vault refuses everything. Let both machines set their clocks by NTP.", w.differ.Abs().Round(time.Second), way)
		}
		conditions = append(conditions, clock)
	}
	return conditions
}
