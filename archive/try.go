package archive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"path"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/safehttp"
)

// errLeaseLost ends the work on a recording that another worker has.
var errLeaseLost = errors.New("the lease was lost")

// work makes one try at a recording, and marks how it ended.
func (a *Archiver) work(ctx context.Context, c call.Claim) {
	defer a.done()
	began := time.Now()
	leased, stop := a.holdLease(ctx, c.LeaseToken)
	archiving, err := a.try(leased, c)
	lost := errors.Is(context.Cause(leased), errLeaseLost)
	stop()

	// A shutdown must not keep what became of it from being written down.
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	log := a.opts.Logger.With("recording", c.ID, "account", c.Account)
	var how result
	switch {
	case lost || call.CodeOf(err) == call.Conflict:
		how = resultLeaseLost
	case err == nil:
		how = resultArchived
		err = a.opts.Store.MarkArchived(marking, c.LeaseToken, archiving)
	case ctx.Err() != nil:
		how = resultReleased
		err = a.opts.Store.ReleaseClaim(marking, c.LeaseToken)
	default:
		how, err = a.settle(marking, log, c, err)
	}
	switch {
	case how == resultLeaseLost || call.CodeOf(err) == call.Conflict:
		how = resultLeaseLost
		log.WarnContext(ctx, "recording was taken over by another worker")
	case err != nil:
		// The lease runs out, and it is tried again.
		how = resultStorage
		log.WarnContext(ctx, "recording could not be marked", "error", err)
	case how == resultArchived:
		a.metrics.archived(c.Account, archiving.Size, a.opts.Now().Sub(c.WantedAt))
		log.DebugContext(ctx, "recording archived", "object_key", archiving.ObjectKey, "size", archiving.Size)
	}
	took := time.Since(began)
	a.quick.Store(took < a.opts.Lease/10)
	a.metrics.tried(c.Account, how, took)
	if a.opts.Busy() {
		rest(ctx, min(busyRest*took, mostRest))
	}
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// settle marks a try that failed with err. The error it returns is the
// mark's.
func (a *Archiver) settle(ctx context.Context, log *slog.Logger, c call.Claim, err error) (result, error) {
	store := a.opts.Store
	if d := detail(err); d != "" {
		log = log.With("detail", d)
	}
	if account, ok := errors.AsType[*accountError](err); ok {
		if !strings.HasPrefix(account.reason, call.CredentialsRejected) { // that was told by the one who asked
			log.ErrorContext(ctx, "account paused", "reason", account.reason)
		}
		// First the pause: what is given back must not be claimed again.
		return resultPaused, errors.Join(store.PauseAccount(ctx, c.Account, account.reason),
			store.ReleaseClaim(ctx, c.LeaseToken))
	}
	if errors.Is(err, errCredentials) {
		reason := a.sources[c.Account].rejection()
		log.ErrorContext(ctx, "account paused", "reason", reason)
		return resultPaused, errors.Join(store.PauseAccount(ctx, c.Account, reason),
			store.MarkRefused(ctx, c.LeaseToken, call.CredentialsRejected))
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		log.WarnContext(ctx, "recording refused", "reason", refused.reason)
		return resultRefused, store.MarkRefused(ctx, c.LeaseToken, clean(refused.reason))
	}
	if failed, ok := errors.AsType[*storageError](err); ok {
		// However long it takes: a recording that can be had is not absent.
		log.WarnContext(ctx, "recording could not be stored", "error", err)
		return resultStorage, store.MarkPending(ctx, c.LeaseToken,
			a.schedule.step(c.Attempts, rand.Float64()), "could not "+failed.what) //nolint:gosec // a spread, not a secret
	}
	var asked, learned time.Duration
	mark := store.MarkPending
	if missing, ok := errors.AsType[*notThere](err); ok {
		asked = missing.retryAfter
		if !missing.unsure {
			mark = store.MarkMissed
			learned = a.readiness.wait(&c, a.opts.Now())
		}
	}
	seen := clean(err.Error())
	delay, giveUp := a.schedule.next(c.Attempts, a.opts.Now().Sub(c.WantedAt), asked, learned, rand.Float64()) //nolint:gosec // a spread, not a secret
	if giveUp {
		log.WarnContext(ctx, "recording given up", "tries", c.Attempts, "last_seen", seen)
		return resultAbsent, store.MarkAbsent(ctx, c.LeaseToken,
			fmt.Sprintf("not offered within %s; the last of %d tries: %s", short(a.opts.GiveUpAfter), c.Attempts, seen))
	}
	log.DebugContext(ctx, "recording not there yet", "tries", c.Attempts, "again_in", delay, "host", c.Host, "seen", seen)
	return resultNotReady, mark(ctx, c.LeaseToken, delay, seen)
}

// try fetches a recording and puts it into the vault.
func (a *Archiver) try(ctx context.Context, c call.Claim) (call.Archiving, error) {
	spool, content, err := a.obtain(ctx, c)
	defer a.closeSpool(ctx, spool)
	if err != nil {
		return call.Archiving{}, err
	}
	sum := spool.SHA256()
	put := PutOptions{
		Size: spool.Size(), SHA256: sum, MediaType: content.MediaType,
		Metadata: map[string]string{
			"call-key": c.CallKey, "account": c.Account, "kind": string(c.Kind), metadataRecording: c.ID,
		},
		Protection: Protection{Until: c.Judgement.RetainUntil},
	}
	key, err := a.chooseKey(ctx, c, content.Extension)
	if err != nil {
		return call.Archiving{}, err
	}
	if put.Protection.Hold, err = a.held(ctx, c); err != nil {
		return call.Archiving{}, err
	}
	if key, err = a.put(ctx, key, spool, put); err != nil {
		return call.Archiving{}, err
	}
	return call.Archiving{
		ObjectKey: key, Size: put.Size, SHA256: hex.EncodeToString(sum[:]), MediaType: content.MediaType,
		Media: spool.probe.Media(), Judgement: c.Judgement,
	}, nil
}

// obtain takes the recording into a spool, which the caller closes: out of the
// vault, where an earlier try may have put it without living to say so, or else
// from its host, which may have other bytes by now, or none.
func (a *Archiver) obtain(ctx context.Context, c call.Claim) (*Spool, Content, error) {
	if c.ObjectKey != "" {
		spool := a.spooler.New(math.MaxInt64) // it was not too large when it was put
		content, found, err := a.takeFromVault(ctx, c, spool)
		if err != nil {
			a.vaultFailed.Store(true)
			err = &storageError{"take it from the vault", err}
		}
		if found || err != nil {
			a.fetched(c.Host)
			return spool, content, err
		}
		a.closeSpool(ctx, spool)
	}
	spool, at := a.spooler.New(a.opts.MaxSize), a.opts.Now()
	content, err := a.fetchFromHost(ctx, c, spool)
	if err != nil {
		return spool, content, err
	}
	if age, ok := a.readiness.found(&c, at); ok {
		a.metrics.ready.WithLabelValues(c.Account).Observe(age.Seconds())
	}
	return spool, content, nil
}

func (a *Archiver) closeSpool(ctx context.Context, spool *Spool) {
	if err := spool.Close(); err != nil {
		a.opts.Logger.WarnContext(ctx, "spool could not be closed", "error", err)
	}
}

// takeFromVault takes what lies under the recording's key, if the vault says
// that it was put for this recording, and it still has the bytes that were put.
func (a *Archiver) takeFromVault(ctx context.Context, c call.Claim, spool *Spool) (_ Content, found bool, err error) {
	info, err := a.opts.Vault.Stat(ctx, c.ObjectKey)
	if errors.Is(err, ErrNotFound) {
		return Content{}, false, nil
	}
	if err != nil || info.Metadata[metadataRecording] != c.ID {
		return Content{}, false, err
	}
	limit := putTimeout + time.Duration(info.Size/putBytesPerSecond)*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	body, _, err := a.opts.Vault.Open(ctx, c.ObjectKey, 0, -1)
	if err != nil {
		return Content{}, false, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if _, err := spool.ReadFrom(io.LimitReader(body, SniffBytes)); err != nil {
		return Content{}, false, err
	}
	head := make([]byte, spool.Size())
	if _, err := spool.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return Content{}, false, err
	}
	content := Content{MediaType: info.MediaType}
	spool.probeFrom(head, content.MediaType)
	if _, err := spool.ReadFrom(body); err != nil {
		return content, false, err
	}
	if spool.SHA256() != info.SHA256 {
		a.opts.Logger.ErrorContext(ctx, "what lies under a recording's key was altered", "recording", c.ID, "object_key", c.ObjectKey)
		return content, false, nil
	}
	return content, true, nil
}

func (a *Archiver) fetchFromHost(ctx context.Context, c call.Claim, spool *Spool) (Content, error) {
	defer a.fetched(c.Host)
	end, err := a.transfer(ctx)
	if err != nil {
		return Content{}, err
	}
	defer end()
	src := a.sources[c.Account]
	if reason := src.pause(a.opts.Now()); reason != "" {
		return Content{}, &accountError{reason: reason}
	}
	last := a.opts.Now().Sub(c.WantedAt) >= a.opts.GiveUpAfter
	content, err := a.fetch(ctx, c, spool, last)
	if errors.Is(err, errCredentials) {
		src.rejected.Store(a.opts.Now().UnixMilli())
	}
	return content, err
}

// chooseKey settles under which key the recording will lie. What an earlier
// try chose counts.
func (a *Archiver) chooseKey(ctx context.Context, c call.Claim, extension string) (string, error) {
	if c.ObjectKey != "" {
		return c.ObjectKey, nil
	}
	day := c.StartedAt
	if day.IsZero() {
		day = c.WantedAt
	}
	key := path.Join("calls", day.UTC().Format("2006/01/02"), c.Account, c.ID+extension)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	chosen, err := a.opts.Store.ChooseObjectKey(ctx, c.LeaseToken, key)
	if err != nil && call.CodeOf(err) != call.Conflict {
		err = &storageError{"write the database", err}
	}
	return chosen, err
}

// held asks whether the object is to be put under a legal hold, which only a
// vault that locks can keep.
func (a *Archiver) held(ctx context.Context, c call.Claim) (bool, error) {
	if a.opts.Vault.Locks() == Unlocked {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	held, err := a.opts.Store.HoldRecording(ctx, c.ID, c.CallID)
	if err != nil {
		return false, &storageError{"ask for the holds", err}
	}
	return held, nil
}

// put puts the recording under key, or, when other bytes lie there, beside
// them. It returns the key under which the recording lies.
func (a *Archiver) put(ctx context.Context, key string, spool *Spool, opts PutOptions) (string, error) {
	end, err := a.transfer(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	limit := putTimeout + time.Duration(opts.Size/putBytesPerSecond)*time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = PutOnce(ctx, a.opts.Vault, key, spool, opts)
	if errors.Is(err, ErrConflict) {
		// The name is made of the content: the same bytes go to the same
		// place however often they come.
		extension := path.Ext(key)
		beside := fmt.Sprintf("%s.conflict-%x%s", strings.TrimSuffix(key, extension), opts.SHA256[:8], extension)
		a.opts.Logger.ErrorContext(ctx, "another object has the recording's key; both are kept",
			"object_key", key, "kept_as", beside)
		key = beside
		err = PutOnce(ctx, a.opts.Vault, key, spool, opts)
	}
	if err != nil {
		a.vaultFailed.Store(true)
		return "", &storageError{"write the vault", err}
	}
	return key, nil
}

// holdLease renews the lease until stop is called. The context ends when the
// lease is lost, or could not be renewed for as long as it lasts.
func (a *Archiver) holdLease(ctx context.Context, token string) (leased context.Context, stop func()) {
	leased, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(a.opts.Lease / 3)
		defer ticker.Stop()
		renewed := time.Now()
		for {
			select {
			case <-leased.Done():
				return
			case <-ticker.C:
			}
			at := time.Now()
			err := a.renewLease(leased, token)
			if err == nil {
				renewed = at
			} else if call.CodeOf(err) == call.Conflict || time.Since(renewed) > a.opts.Lease {
				cancel(errLeaseLost)
			}
		}
	}()
	return leased, func() {
		cancel(nil)
		<-stopped
	}
}

// renewLease is not cut short when the work is done: it takes no time, and a
// database should not have to roll back.
func (a *Archiver) renewLease(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return a.opts.Store.RenewLease(ctx, token, a.opts.Lease)
}

// detail is what only an operator's log may have: addresses of the inside.
func detail(err error) string {
	if failed, ok := errors.AsType[*safehttp.FailedError](err); ok {
		return clean(failed.Detail())
	}
	if refused, ok := errors.AsType[*safehttp.RefusedError](err); ok {
		return refused.Address
	}
	return ""
}

// clean bounds what came from outside, in bytes and in characters.
func clean(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// short leaves out the "0m0s" of Duration.String.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
