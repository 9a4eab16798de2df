package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"callvault/internal/call"
	"callvault/internal/safehttp"
)

// Store is the queue: the recordings' rows, and nothing beside them. Marks
// change only what the lease token still holds; a call.Conflict error says
// that it is lost.
type Store interface {
	ClaimRecordings(context.Context, call.ClaimOptions) ([]call.Claim, error)
	RenewLease(ctx context.Context, leaseToken string, lease time.Duration) error
	ChooseObjectKey(ctx context.Context, leaseToken, key string) (string, error)
	MarkArchived(ctx context.Context, leaseToken string, a call.Archiving) error
	HoldRecording(ctx context.Context, recordingID, callID string) (bool, error)
	MarkPending(ctx context.Context, leaseToken string, delay time.Duration, lastError string) error
	MarkMissed(ctx context.Context, leaseToken string, delay time.Duration, lastError string) error
	MarkAbsent(ctx context.Context, leaseToken, reason string) error
	MarkRefused(ctx context.Context, leaseToken, reason string) error
	ReleaseClaim(ctx context.Context, leaseToken string) error
	PauseAccount(ctx context.Context, account, reason string) error
	WakeAccount(ctx context.Context, account string) error
	PausedAccounts(context.Context) (map[string]string, error)
	LearnReadiness(ctx context.Context, seen map[string][]call.ReadyInterval) (map[string]call.Readiness, error)
}

// Options say what an Archiver works on, and within which limits.
type Options struct {
	Store Store
	Vault Vault
	// Accounts are those whose recordings can be fetched. Recordings of other
	// accounts wait.
	Accounts []Account
	// SpoolDir takes recordings over 1 MiB while they are under way. It
	// belongs to this archiver alone.
	SpoolDir string
	// Workers is how many recordings are being fetched or put into the vault
	// at once, and PerHost how many of them are being fetched from one host;
	// defaults 8 and 4. As many again may be waiting for the store to write
	// down how they stand.
	Workers, PerHost int
	// Busy says that something more urgent needs the machine; one recording is
	// then under way at a time, and between two is a rest three times as long as
	// the last one took, of a second at most. Default never.
	Busy func() bool
	// MaxSize is the largest recording taken, in bytes; default 512 MiB.
	MaxSize int64
	// Retention gives the rules by which recordings are kept; default none.
	Retention func() call.Retention
	// GiveUpAfter is how long after it was wanted a recording that is never
	// there is absent; default 72 h. When it is short, so are the waits
	// between tries.
	GiveUpAfter time.Duration
	// Lease is how long a recording stays claimed by a node that died;
	// default 60 s.
	Lease time.Duration
	// Fetch sets time limits of requests; its hosts and networks are ignored,
	// as those are the accounts'.
	Fetch safehttp.Options
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Logger is told what an operator should know; default none.
	Logger *slog.Logger
	// Metrics is where the metrics are registered; default nowhere.
	Metrics prometheus.Registerer
}

// Time limits of what the archiver asks of others. Fetches have theirs in
// safehttp.
const (
	storeTimeout = 10 * time.Second
	wakeTimeout  = 5 * time.Minute
	checkTimeout = 15 * time.Second
	putTimeout   = time.Minute
	// putBytesPerSecond is the slowest vault that is waited for: a PUT may
	// take putTimeout and its size at this rate.
	putBytesPerSecond = 256 << 10
	// idlePoll is how often an idle archiver looks for what has become due,
	// here or through another node.
	idlePoll = 500 * time.Millisecond
	// gather is how long a Wake waits for others.
	gather = 20 * time.Millisecond
	// busyRest is how many times as long as its last recording a worker rests
	// while Busy, and mostRest for how long at most: a slow host must not keep
	// the others' recordings waiting when the crowd is over.
	busyRest = 3
	mostRest = time.Second
)

// Archiver takes due recordings from the queue, fetches them and puts them
// into the vault. Any number of archivers may share a queue.
type Archiver struct {
	opts     Options
	sources  map[string]*source
	spooler  *Spooler
	metrics  *metrics
	schedule schedule

	readiness readiness
	// freed says that a worker or a host is free, woken that something may be
	// due.
	freed, woken chan struct{}
	// vaultFailed says that the vault shall be looked at before more is
	// claimed.
	vaultFailed atomic.Bool
	// quick says that the last try took little of a lease.
	quick atomic.Bool

	// transfers has a token for each recording that is being fetched or put.
	transfers chan struct{}

	mu      sync.Mutex
	working int
	hosts   map[string]int // fetches under way
}

// New makes an Archiver. Its error names what in the options cannot work.
func New(opts Options) (*Archiver, error) {
	if opts.Store == nil || opts.Vault == nil || opts.SpoolDir == "" {
		return nil, errors.New("an archiver needs a store, a vault and a spool folder")
	}
	orElse(&opts.Workers, 8)
	orElse(&opts.PerHost, 4)
	orElse(&opts.MaxSize, 512<<20)
	orElse(&opts.GiveUpAfter, 72*time.Hour)
	orElse(&opts.Lease, time.Minute)
	orElse(&opts.Fetch.IdlePerHost, opts.PerHost)
	if opts.Busy == nil {
		opts.Busy = func() bool { return false }
	}
	if opts.Retention == nil {
		opts.Retention = func() call.Retention { return call.Retention{} }
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Archiver{
		opts:     opts,
		sources:  make(map[string]*source, len(opts.Accounts)),
		schedule: schedule{opts.GiveUpAfter},
		freed:    make(chan struct{}, 1),
		woken:    make(chan struct{}, 1),
		hosts:    map[string]int{},

		transfers: make(chan struct{}, opts.Workers),
	}
	var err error
	for _, account := range opts.Accounts {
		if a.sources[account.Name], err = newSource(account, opts.Fetch); err != nil {
			return nil, err
		}
	}
	if a.spooler, err = NewSpooler(opts.SpoolDir); err != nil {
		return nil, err
	}
	if a.metrics, err = newMetrics(opts.Metrics); err != nil {
		return nil, fmt.Errorf("register the archive's metrics: %w", err)
	}
	return a, nil
}

func orElse[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Wake lets Run look for due recordings now, as when one was queued. It may
// be called as often as one likes.
func (a *Archiver) Wake() { signal(a.woken) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it will be seen
	}
}

// Run archives until ctx ends, and returns when all recordings under way are
// given back. What fails, it waits for.
func (a *Archiver) Run(ctx context.Context) {
	// Workers stay: a new goroutine for each recording would begin with a small
	// stack and let it grow to the depth of HTTP.
	work := make(chan call.Claim, 2*a.opts.Workers)
	var workers sync.WaitGroup
	for range cap(work) {
		workers.Go(func() {
			for c := range work {
				a.work(ctx, c)
			}
		})
	}
	defer func() {
		close(work)
		workers.Wait()
		for _, s := range a.sources {
			s.client.CloseIdle()
		}
	}()
	if !a.insist(ctx, "the database", a.wakeAccounts) {
		return
	}
	var learner sync.WaitGroup
	learner.Go(func() { a.learn(ctx) })
	defer learner.Wait()
	// The first look tells an operator at once that the vault is wrong.
	a.vaultFailed.Store(true)
	var ahead []waiting
	defer func() { a.giveBack(ctx, ahead) }()
	backlog := false
	for ctx.Err() == nil {
		if a.vaultFailed.CompareAndSwap(true, false) {
			a.giveBack(ctx, ahead)
			ahead = nil
			if !a.insist(ctx, "the vault", a.checkVault) {
				return
			}
		}
		ahead = a.start(ctx, work, ahead)
		limit, busy := a.room(ahead)
		if limit == 0 {
			a.idle(ctx)
			continue
		}
		if backlog && len(ahead) == 0 && a.quick.Load() {
			// Each claim is a transaction. While many are due, those of the
			// next moment are claimed with it.
			limit += a.opts.Workers
		}
		var claims []call.Claim
		if !a.insist(ctx, "the database", func(ctx context.Context) (err error) {
			claims, err = a.claim(ctx, limit, busy)
			return err
		}) {
			return
		}
		now := time.Now()
		for _, c := range claims {
			ahead = append(ahead, waiting{c, now})
		}
		ahead = a.start(ctx, work, ahead)
		if backlog = len(claims) == limit; !backlog {
			a.idle(ctx)
		}
	}
}

// waiting is a claim that has no worker yet.
type waiting struct {
	call.Claim
	since time.Time
}

// start gives the workers the claims for which there is room, and returns the
// others. One that has waited for half of its lease is given back.
func (a *Archiver) start(ctx context.Context, work chan<- call.Claim, ahead []waiting) (left []waiting) {
	var late []waiting
	for _, w := range ahead {
		switch {
		case a.begin(w.Host):
			work <- w.Claim
		case time.Since(w.since) > a.opts.Lease/2:
			late = append(late, w)
		default:
			left = append(left, w)
		}
	}
	a.giveBack(ctx, late)
	return left
}

// giveBack releases claims on which no work has begun. One that cannot be
// released is due again when its lease is over.
func (a *Archiver) giveBack(ctx context.Context, ahead []waiting) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	for _, w := range ahead {
		a.quick.Store(false)
		if err := a.opts.Store.ReleaseClaim(ctx, w.LeaseToken); err != nil && call.CodeOf(err) != call.Conflict {
			a.opts.Logger.WarnContext(ctx, "recording could not be given back", "recording", w.ID, "error", err)
		}
	}
}

// room says how many recordings can be begun, whatever host they are on: those
// on hosts with no room left, or for which some wait, are not claimed, and the
// host with the least room left bounds the number.
func (a *Archiver) room(ahead []waiting) (limit int, busy []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limit = min(a.most()-a.working, a.opts.PerHost)
	for _, w := range ahead {
		if !slices.Contains(busy, w.Host) {
			busy = append(busy, w.Host)
		}
	}
	for host, n := range a.hosts {
		if slices.Contains(busy, host) {
			continue
		}
		if n >= a.opts.PerHost {
			busy = append(busy, host)
		} else {
			limit = min(limit, a.opts.PerHost-n)
		}
	}
	return max(limit, 0), busy
}

// most is how many recordings may be under way now: twice as many as may be
// transferred, so that hosts and vault have work while others are written down.
func (a *Archiver) most() int {
	if a.opts.Busy() {
		return 1
	}
	return 2 * a.opts.Workers
}

// transfer waits until one more recording may be fetched or put. The caller
// ends it.
func (a *Archiver) transfer(ctx context.Context) (end func(), err error) {
	select {
	case a.transfers <- struct{}{}:
		return func() { <-a.transfers }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin takes a worker and a place at the host, if both are free.
func (a *Archiver) begin(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.working >= a.most() || a.hosts[host] >= a.opts.PerHost {
		return false
	}
	a.working++
	a.hosts[host]++
	return true
}

// fetched frees the host for others, while the vault is still at work.
func (a *Archiver) fetched(host string) {
	a.mu.Lock()
	if a.hosts[host]--; a.hosts[host] == 0 {
		delete(a.hosts, host)
	}
	a.mu.Unlock()
	signal(a.freed)
}

// Idle reports whether no recording is under way.
func (a *Archiver) Idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.working == 0
}

func (a *Archiver) done() {
	a.mu.Lock()
	a.working--
	a.mu.Unlock()
	signal(a.freed)
}

// idle waits until it is worth while to look for due recordings.
func (a *Archiver) idle(ctx context.Context) {
	timer := time.NewTimer(idlePoll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-a.freed:
		return
	case <-timer.C:
		return
	case <-a.woken:
	}
	// Reports come in crowds; one look serves them all.
	timer.Reset(gather)
	select {
	case <-ctx.Done():
	case <-a.freed:
	case <-timer.C:
	}
}

// insist does something until it works, waiting longer and longer, and says
// so once. It is false when ctx ended before.
func (a *Archiver) insist(ctx context.Context, what string, do func(context.Context) error) bool {
	for failures := 0; ; {
		err := do(ctx)
		if err == nil {
			if failures > 0 {
				a.opts.Logger.InfoContext(ctx, "archiving goes on", "with", what, "failures", failures)
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if failures++; failures == 1 {
			a.opts.Logger.ErrorContext(ctx, "archiving waits", "for", what, "error", err)
		}
		timer := time.NewTimer(backOffAfter(failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// claim is not cut short by a shutdown: nobody would know what was claimed.
func (a *Archiver) claim(ctx context.Context, limit int, busy []string) ([]call.Claim, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	rules := a.opts.Retention()
	claims, err := a.opts.Store.ClaimRecordings(ctx, call.ClaimOptions{
		Limit: limit, Lease: a.opts.Lease, SkipHosts: busy, Rules: rules.Filters(), RulesID: rules.ID(a.opts.Now()),
	})
	for i := range claims {
		c := &claims[i]
		c.Judgement = rules.Judge(c.RuleIndex, c.Account, c.StartedAt, c.CreatedAt, c.RetainUntil, a.opts.Now())
	}
	return claims, err
}

func (a *Archiver) checkVault(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return a.opts.Vault.Check(ctx)
}

// wakeAccounts ends the pauses of accounts that may work by now: whoever put
// them right started Callvault again. If not, one try pauses them again. It
// wakes also those that are not paused: a pause or its end may have been cut
// short, and what waits then is nobody's.
func (a *Archiver) wakeAccounts(ctx context.Context) error {
	paused, err := a.pausedAccounts(ctx)
	if err != nil {
		return err
	}
	for account, source := range a.sources {
		if source.pause(a.opts.Now()) != "" {
			continue
		}
		if err := a.wakeAccount(ctx, account); err != nil {
			return err
		}
		if _, was := paused[account]; was {
			a.opts.Logger.InfoContext(ctx, "account woken", "account", account)
		}
	}
	return nil
}

func (a *Archiver) pausedAccounts(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return a.opts.Store.PausedAccounts(ctx)
}

// wakeAccount has more time: a long pause may have left many recordings.
func (a *Archiver) wakeAccount(ctx context.Context, account string) error {
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	return a.opts.Store.WakeAccount(ctx, account)
}
