package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"callvault/internal/call"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// RetentionStore is what retention asks of the database.
type RetentionStore interface {
	JobStore
	PromiseStore
	ReportStore
	SegmentStore
	ForgetStore
	ToJudge(ctx context.Context, rules call.Retention, rulesID string, after *call.Judging, n int) ([]call.Judging, error)
	SaveJudged(ctx context.Context, rulesID string, judged []call.Judged) error
	BeginExpiring(ctx context.Context, rulesID string, n int) ([]call.Expiring, error)
	Expiring(ctx context.Context, after string, n int) ([]call.Expiring, error)
	FinishExpiring(ctx context.Context, results []call.Expiry) error
	RetentionPlan(ctx context.Context, rulesID string, by time.Time) (call.RetentionPlan, error)
	EachPlanned(ctx context.Context, rulesID string, by time.Time, do func(call.PlanItem) error) error
	JobRun(ctx context.Context, name string) (call.JobRun, error)
	CountStorage(ctx context.Context, now time.Time) error
	Storage(ctx context.Context, from time.Time) ([]call.StorageTotal, []call.StorageDay, error)
}

// ForgetStore deletes rows whose own terms are over.
type ForgetStore interface {
	ForgetDeliveries(ctx context.Context, account string, before time.Time, from *call.Place) (forgotten int, more bool, err error)
	ForgetCalls(ctx context.Context, account string, before time.Time, from *call.Place) (forgotten int, more bool, err error)
}

// JobStore decides which node does what only one does at a time.
type JobStore interface {
	ScheduleJob(ctx context.Context, name string, at time.Time) error
	ClaimJob(ctx context.Context, name string, due bool, lease time.Duration) (leaseToken string, err error)
	RenewJob(ctx context.Context, name, leaseToken string, lease time.Duration) error
	EndJob(ctx context.Context, name, leaseToken string, result []byte, next time.Time) error
	NoteRules(ctx context.Context, name, rules string) (since time.Time, err error)
}

// RetainerOptions is what a Retainer needs. All but Next, Wait, PerSecond,
// Logger and Metrics are required.
type RetainerOptions struct {
	Store RetentionStore
	Vault Vault
	// Rules gives the rules for audio.
	Rules func() call.Retention
	// Terms promise for what is no recording; the zero value promises nothing.
	Terms call.Terms
	// Calls and Deliveries say when the terms of a call's facts and of a request
	// as it arrived are over, and end the same for those that begin later; nil:
	// never. By the calendar of each account of Rules' Zones.
	Calls, Deliveries func(start time.Time) time.Time
	// Journal says when the term of the requests in a segment of the journal is
	// over that was written at a time; nil: never. It must not end before those of
	// Calls and Deliveries.
	Journal func(at time.Time) time.Time
	// Next is when the daily job comes after a time; nil: what is due is
	// deleted by hand only.
	Next func(time.Time) time.Time
	// Wait is how long the daily job deletes nothing after the rules were
	// changed, so that somebody can see what they would do. By hand it is
	// deleted at once.
	Wait time.Duration
	// PerSecond is how many objects are deleted in a second at most; default 50.
	PerSecond float64
	Now       func() time.Time
	Logger    *slog.Logger
	Metrics   prometheus.Registerer
}

// The names of retention's jobs.
const (
	// JudgeJob applies the rules to what they have not judged yet.
	JudgeJob = "judge"
	// RetentionJob deletes what is due.
	RetentionJob = "retention"
)

const (
	// lookForJobs is how often a node looks whether a job is due, judgeEvery how
	// often one of all nodes judges what has changed.
	lookForJobs = 30 * time.Second
	judgeEvery  = 5 * time.Minute
	// jobLease is how long a job waits for a node that died at it.
	jobLease = 2 * time.Minute
	// judgeStep and expireStep are how many recordings share a transaction.
	judgeStep  = 500
	expireStep = 100
	// lengthenAtOnce and deleteAtOnce are how many objects are under way.
	lengthenAtOnce = 8
	deleteAtOnce   = 4
	// objectTime bounds what is done to one object.
	objectTime = time.Minute
	// tryHeldAgain is when an object is tried again that the vault keeps without
	// saying until when.
	tryHeldAgain = 24 * time.Hour
	// judgeTime and applyTime bound a whole run.
	judgeTime = 12 * time.Hour
	applyTime = 20 * time.Hour
)

// ErrBusy says that another node is at the same job.
var ErrBusy = errors.New("another node, or another command, is applying retention just now")

// Retainer keeps recordings for as long as the rules say, and deletes them
// then. Any number of them may work on the same store.
type Retainer struct {
	o       RetainerOptions
	limit   *rate.Limiter
	metrics *retentionMetrics
}

// NewRetainer makes a Retainer.
func NewRetainer(o RetainerOptions) (*Retainer, error) {
	if o.Store == nil || o.Vault == nil || o.Rules == nil || o.Now == nil {
		return nil, errors.New("retention needs a store, a vault, rules and a clock")
	}
	if o.PerSecond <= 0 {
		o.PerSecond = 50
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Retainer{o: o, limit: rate.NewLimiter(rate.Limit(o.PerSecond), deleteAtOnce)}
	var err error
	if r.metrics, err = newRetentionMetrics(o.Metrics); err != nil {
		return nil, fmt.Errorf("register retention's metrics: %w", err)
	}
	return r, nil
}

// Applied is what a run of retention came to.
type Applied struct {
	// Deleted recordings are gone from the vault, Bytes of them.
	Deleted int64 `json:"deleted"`
	Bytes   int64 `json:"bytes"`
	// Blocked were due, and are kept by the vault.
	Blocked int64 `json:"blocked"`
	// Calls and Deliveries were deleted because their own terms were over; a
	// delivery also with the last call that it told of.
	Calls      int64 `json:"calls"`
	Deliveries int64 `json:"deliveries"`
	// Reports are those whose files and frozen inputs are gone, ReportBytes of
	// them. ReportsBlocked were due, and are kept by the vault or a hold.
	Reports        int64 `json:"reports"`
	ReportBytes    int64 `json:"report_bytes"`
	ReportsBlocked int64 `json:"reports_blocked"`
	// Segments of the journal were written again without requests whose term was
	// over, which saves SegmentBytes. SegmentsBlocked were due, and are kept by the
	// vault.
	Segments        int64 `json:"segments"`
	SegmentBytes    int64 `json:"segment_bytes"`
	SegmentsBlocked int64 `json:"segments_blocked"`
	// Judged recordings were looked at anew, and of Lengthened the date became
	// later.
	Judged     int64 `json:"judged"`
	Lengthened int64 `json:"lengthened"`
	// Promised counts segments of the journal, seals and reports that are promised
	// to stay until a later date.
	Promised int64 `json:"promised"`
	// WaitsUntil: nothing was deleted, for the rules were changed lately.
	WaitsUntil *time.Time `json:"waits_until"`
	// Error says why the run came to no good end, for people.
	Error *string `json:"error"`
}

// Run judges what has changed and, if it shall, deletes daily what is due,
// until ctx ends. What fails it tells, and tries again when it is due again.
func (r *Retainer) Run(ctx context.Context) {
	tick := time.NewTicker(lookForJobs)
	defer tick.Stop()
	scheduled := false
	for {
		if !scheduled {
			scheduled = r.schedule(ctx)
		}
		r.job(ctx, JudgeJob, func(time.Time) time.Time { return r.o.Now().Add(judgeEvery) }, r.judgeInBackground)
		if r.o.Next != nil {
			r.job(ctx, RetentionJob, r.o.Next, r.applyDaily)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Retainer) schedule(ctx context.Context) bool {
	err := r.o.Store.ScheduleJob(ctx, JudgeJob, r.o.Now())
	if err == nil && r.o.Next != nil {
		err = r.o.Store.ScheduleJob(ctx, RetentionJob, r.o.Next(r.o.Now()))
	}
	if err != nil && ctx.Err() == nil {
		r.o.Logger.WarnContext(ctx, "retention could not be scheduled; it is tried again", "error", err)
	}
	return err == nil
}

// job does a job if it is due and no other node is at it.
func (r *Retainer) job(ctx context.Context, name string, next func(time.Time) time.Time, do func(context.Context, *Applied) error) {
	applied, err := r.claimed(ctx, name, true, next, do)
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrBusy):
	case err != nil:
		r.o.Logger.ErrorContext(ctx, "retention failed; it is tried again when it is due", "job", name, "error", err)
	case applied.Deleted+applied.Blocked+applied.Lengthened+applied.Promised+applied.Reports+applied.ReportsBlocked+applied.Calls+applied.Deliveries+applied.Segments+applied.SegmentsBlocked > 0:
		r.o.Logger.InfoContext(ctx, "retention applied", "job", name, "deleted", applied.Deleted, "bytes", applied.Bytes,
			"blocked", applied.Blocked, "lengthened", applied.Lengthened, "promised", applied.Promised, "reports", applied.Reports, "reports_blocked", applied.ReportsBlocked, "calls", applied.Calls, "deliveries", applied.Deliveries,
			"segments", applied.Segments, "segments_blocked", applied.SegmentsBlocked)
	}
}

// Apply judges what has changed and deletes what is due, now. show, if not nil,
// is called with how many recordings are done. ErrBusy: another is at it.
func (r *Retainer) Apply(ctx context.Context, show func(done int64)) (Applied, error) {
	return r.claimed(ctx, RetentionJob, false, nil, func(ctx context.Context, a *Applied) error {
		return r.apply(ctx, a, show)
	})
}

// claimed does a job while its lease is held, and writes down what it came to.
func (r *Retainer) claimed(ctx context.Context, name string, due bool, next func(time.Time) time.Time, do func(context.Context, *Applied) error) (Applied, error) {
	var applied Applied
	token, err := r.o.Store.ClaimJob(ctx, name, due, jobLease)
	if err != nil {
		return applied, err
	}
	if token == "" {
		return applied, ErrBusy
	}
	leased, stop := r.holdJob(ctx, name, token)
	err = do(leased, &applied)
	if errors.Is(context.Cause(leased), errLeaseLost) {
		err = errors.Join(errLeaseLost, err)
	}
	stop()
	if err != nil {
		applied.Error = new(clean(err.Error()))
	}
	r.metrics.ran(name, applied, err, r.o.Now())
	result, marshalErr := json.Marshal(applied)
	var at time.Time
	if next != nil && ctx.Err() == nil { // what a shutdown has interrupted is due as before
		at = next(r.o.Now())
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return applied, errors.Join(err, marshalErr, r.o.Store.EndJob(ending, name, token, result, at))
}

// holdJob renews a job's lease until stop is called. The context ends when the
// lease is lost.
func (r *Retainer) holdJob(ctx context.Context, name, token string) (leased context.Context, stop func()) {
	leased, cancel := context.WithCancelCause(ctx)
	var keeper sync.WaitGroup
	keeper.Go(func() {
		ticker := time.NewTicker(jobLease / 4)
		defer ticker.Stop()
		renewed := time.Now()
		for {
			select {
			case <-leased.Done():
				return
			case <-ticker.C:
			}
			limit, end := context.WithTimeout(context.WithoutCancel(leased), storeTimeout)
			err := r.o.Store.RenewJob(limit, name, token, jobLease)
			end()
			if err == nil {
				renewed = time.Now()
			} else if call.CodeOf(err) == call.Conflict || time.Since(renewed) > jobLease/2 {
				cancel(errLeaseLost)
			}
		}
	})
	return leased, func() {
		cancel(nil)
		keeper.Wait()
	}
}

func (r *Retainer) judgeInBackground(ctx context.Context, a *Applied) error {
	ctx, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	if err := r.o.Store.CountStorage(ctx, r.o.Now()); err != nil {
		return err
	}
	return r.judge(ctx, a)
}

// Standing says by which rules recordings are kept, since when, and when the
// daily job comes.
func (r *Retainer) Standing(ctx context.Context) (call.RetentionStanding, error) {
	rules := r.o.Rules()
	run, err := r.o.Store.JobRun(ctx, RetentionJob)
	if err != nil {
		return call.RetentionStanding{}, err
	}
	standing := call.RetentionStanding{Rules: rules.Names(), Terms: rules.Terms, Job: run}
	if run.Rules == rules.Text() {
		standing.Since = run.RulesSince
	}
	if r.o.Next == nil {
		standing.Job.NextAt = time.Time{}
		return standing, nil
	}
	since := standing.Since
	if since.IsZero() {
		since = r.o.Now() // no job has seen them yet
	}
	if until := since.Add(r.o.Wait); until.After(r.o.Now()) {
		standing.WaitsUntil = until
	}
	return standing, nil
}

// applyDaily deletes nothing while the rules are new.
func (r *Retainer) applyDaily(ctx context.Context, a *Applied) error {
	since, err := r.o.Store.NoteRules(ctx, RetentionJob, r.o.Rules().Text())
	if err != nil {
		return err
	}
	if until := since.Add(r.o.Wait); until.After(r.o.Now()) {
		a.WaitsUntil = &until
		r.o.Logger.InfoContext(ctx, "nothing is deleted yet: the retention rules are new", "until", until)
		return r.judgeInBackground(ctx, a)
	}
	return r.apply(ctx, a, nil)
}

func (r *Retainer) apply(ctx context.Context, a *Applied, show func(int64)) error {
	ctx, cancel := context.WithTimeout(ctx, applyTime)
	defer cancel()
	if err := r.judge(ctx, a); err != nil {
		return err
	}
	if show == nil {
		show = func(int64) {}
	}
	if err := r.expire(ctx, a, show); err != nil {
		return err
	}
	if err := r.expireReports(ctx, a); err != nil {
		return fmt.Errorf("delete files of reports: %w", err)
	}
	if err := r.forget(ctx, a); err != nil {
		return err
	}
	if err := r.expireJournal(ctx, a); err != nil {
		return fmt.Errorf("take requests out of the journal: %w", err)
	}
	return nil
}

// forget deletes facts of calls and deliveries whose terms are over, account by
// account, first the deliveries.
func (r *Retainer) forget(ctx context.Context, a *Applied) error {
	for _, kind := range []struct {
		end    func(time.Time) time.Time
		forget func(ctx context.Context, account string, before time.Time, from *call.Place) (int, bool, error)
		count  *int64
	}{{r.o.Deliveries, r.o.Store.ForgetDeliveries, &a.Deliveries}, {r.o.Calls, r.o.Store.ForgetCalls, &a.Calls}} {
		if kind.end == nil {
			continue
		}
		for account, zone := range r.o.Rules().Zones {
			cutoff := call.Cutoff(kind.end, r.o.Now().In(zone))
			if cutoff.IsZero() {
				continue
			}
			var place call.Place
			for more := true; more; {
				var n int
				var err error
				if n, more, err = kind.forget(ctx, account, cutoff, &place); err != nil {
					return fmt.Errorf("account %s: %w", account, err)
				}
				*kind.count += int64(n)
			}
		}
	}
	return nil
}

// Plan says what would be deleted until a time by today's rules, and what would
// be kept all the same. It changes nothing. each, if not nil, is called for
// every single recording, run with files, and segment of the journal.
func (r *Retainer) Plan(ctx context.Context, by time.Time, each func(call.PlanItem) error) (call.RetentionPlan, error) {
	plan, err := r.planAudio(ctx, by, each)
	if err == nil {
		err = r.planReports(ctx, &plan, each)
	}
	if err == nil {
		err = r.planJournal(ctx, &plan, each)
	}
	plan.Sort()
	return plan, err
}

func (r *Retainer) planAudio(ctx context.Context, by time.Time, each func(call.PlanItem) error) (call.RetentionPlan, error) {
	rules := r.o.Rules()
	id := rules.ID(r.o.Now())
	plan, err := r.o.Store.RetentionPlan(ctx, id, by)
	if err != nil {
		return plan, err
	}
	if each != nil {
		if err := r.o.Store.EachPlanned(ctx, id, by, each); err != nil {
			return plan, err
		}
	}
	err = r.eachToJudge(ctx, rules, func(judged []call.Judged) error {
		plan.Unjudged += int64(len(judged))
		for _, j := range judged {
			p, planned := j.Planned(by)
			if !planned {
				continue
			}
			plan.Add(p, 1, j.Size)
			if each == nil {
				continue
			}
			if err := each(p); err != nil {
				return err
			}
		}
		return nil
	})
	return plan, err
}

// eachToJudge calls do with what the rules say of the recordings that they have
// not judged yet, some at a time.
func (r *Retainer) eachToJudge(ctx context.Context, rules call.Retention, do func([]call.Judged) error) error {
	id := rules.ID(r.o.Now())
	var after *call.Judging
	for {
		found, err := r.o.Store.ToJudge(ctx, rules, id, after, judgeStep)
		if err != nil || len(found) == 0 {
			return err
		}
		after = &found[len(found)-1]
		judged := make([]call.Judged, len(found))
		for i, j := range found {
			judged[i] = call.Judged{Judging: j, Judgement: rules.Judge(j.Rule, j.Account, j.StartedAt, j.CreatedAt, j.Was.RetainUntil, r.o.Now())}
		}
		if err := do(judged); err != nil {
			return err
		}
	}
}

// judge applies the rules to the recordings that they have not judged: those of
// calls that have changed, and all when the rules have. What is promised anew
// is first promised by the vault, then in the row.
func (r *Retainer) judge(ctx context.Context, a *Applied) error {
	rules := r.o.Rules()
	id := rules.ID(r.o.Now())
	err := r.eachToJudge(ctx, rules, func(judged []call.Judged) error {
		if err := r.lengthen(ctx, judged, a); err != nil {
			return err
		}
		a.Judged += int64(len(judged))
		return r.o.Store.SaveJudged(ctx, id, judged)
	})
	if err != nil {
		return err
	}
	return r.promise(ctx, a)
}

// lengthen lets the vault promise what is promised anew.
func (r *Retainer) lengthen(ctx context.Context, judged []call.Judged, a *Applied) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lengthenAtOnce)
	for _, j := range judged {
		if !j.RetainUntil.After(j.Was.RetainUntil) {
			continue
		}
		a.Lengthened++
		if r.o.Vault.Locks() == Unlocked || !j.RetainUntil.After(r.o.Now()) {
			continue
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, objectTime)
			defer cancel()
			err := r.o.Vault.Lengthen(ctx, j.ObjectKey, j.RetainUntil)
			if errors.Is(err, ErrNotFound) {
				// Nothing can be locked any more, and it must not keep the others
				// from being.
				r.o.Logger.ErrorContext(ctx, "an archived recording is missing in the vault", "recording", j.ID, "object_key", j.ObjectKey)
				return nil
			}
			if err != nil {
				return fmt.Errorf("lengthen the lock of recording %s: %w", j.ID, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// expire deletes what is due: first what somebody has begun to delete and not
// ended.
func (r *Retainer) expire(ctx context.Context, a *Applied, show func(int64)) error {
	for after := ""; ; {
		begun, err := r.o.Store.Expiring(ctx, after, expireStep)
		if err != nil {
			return err
		}
		if len(begun) == 0 {
			break
		}
		after = begun[len(begun)-1].ID
		if err := r.deleteObjects(ctx, begun, a); err != nil {
			return err
		}
		show(a.Deleted)
	}
	id := r.o.Rules().ID(r.o.Now())
	for {
		begun, err := r.o.Store.BeginExpiring(ctx, id, expireStep)
		if err != nil || len(begun) == 0 {
			return err
		}
		if err := r.deleteObjects(ctx, begun, a); err != nil {
			return err
		}
		show(a.Deleted)
	}
}

// deleteObjects deletes the objects and writes down what became of them. Those
// that could not be deleted stay begun.
func (r *Retainer) deleteObjects(ctx context.Context, begun []call.Expiring, a *Applied) error {
	results := make([]*call.Expiry, len(begun))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(deleteAtOnce)
	for i, e := range begun {
		group.Go(func() error {
			if err := r.limit.Wait(groupCtx); err != nil {
				return err
			}
			result, err := r.deleteObject(groupCtx, e)
			if err != nil {
				return fmt.Errorf("delete recording %s: %w", e.ID, err)
			}
			results[i] = &result
			return nil
		})
	}
	err := group.Wait()
	var done []call.Expiry
	for _, result := range results {
		if result == nil {
			continue
		}
		done = append(done, *result)
		if result.KeptBy != "" {
			a.Blocked++
			continue
		}
		a.Deleted++
		a.Bytes += result.Size
	}
	// A shutdown must not keep from being written down what is gone.
	finishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return errors.Join(err, r.o.Store.FinishExpiring(finishing, done))
}

func (r *Retainer) deleteObject(ctx context.Context, e call.Expiring) (call.Expiry, error) {
	ctx, cancel := context.WithTimeout(ctx, objectTime)
	defer cancel()
	result := call.Expiry{Expiring: e}
	if e.Held {
		// The hold came after its deletion had begun: what is left is kept.
		_, err := r.o.Vault.Stat(ctx, e.ObjectKey)
		switch {
		case errors.Is(err, ErrNotFound):
			return result, nil
		case err != nil:
			return result, err
		}
		result.KeptBy = "a hold was placed before it was gone"
		return result, nil
	}
	err := r.o.Vault.Delete(ctx, e.ObjectKey)
	locked, ok := errors.AsType[*LockedError](err)
	if !ok {
		return result, err
	}
	result.KeptBy, result.KeptUntil = r.keptBy(locked)
	return result, nil
}

// keptBy says for people what keeps an object, and when it is tried again.
func (r *Retainer) keptBy(locked *LockedError) (why string, until time.Time) {
	now := r.o.Now()
	switch {
	case locked.Hold:
		return "a legal hold on the object", now.Add(tryHeldAgain)
	case locked.Until.After(now):
		return "a lock on the object", locked.Until
	}
	return "a lock on the object that was over", now.Add(tryHeldAgain)
}
