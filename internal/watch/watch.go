// Package watch keeps an eye on what nobody would notice: an account whose
// reports stay away, for a wrong address fails silently at the provider; one
// whose recordings stay away; reports that cannot be read. Such trouble opens
// an alert, which is logged, counted, listed and told to people, and which
// closes by itself when things are well again.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"callvault/internal/call"
)

const (
	// lookEvery is how often a Watcher wakes; lookApart how often one of all
	// nodes looks at the state of things.
	lookEvery = time.Minute
	lookApart = 5*time.Minute - lookEvery/2
	// mostPause is how long nobody may have looked before the time without
	// reports is counted anew: they may have failed to come for our own fault.
	mostPause = 20 * time.Minute
	// lookTime bounds one look.
	lookTime = 2 * time.Minute
)

// Store is what watching asks of the database.
type Store interface {
	ActivityStore
	AlertStore
	NoticeStore
}

// ActivityStore tells what came in.
type ActivityStore interface {
	CountActivity(ctx context.Context, from, until time.Time) (counted time.Time, err error)
	Activity(ctx context.Context, from time.Time) ([]call.Activity, error)
	ReportsBetween(ctx context.Context, from, to time.Time) ([]call.Activity, error)
	ForgetActivity(ctx context.Context, before time.Time) error
	OutcomesSince(ctx context.Context, from time.Time) (map[string]map[call.DeliveryOutcome]int64, error)
	AnsweredCalls(ctx context.Context, account string, from, to time.Time, limit int) ([]call.AnsweredCall, error)
	PausedAccounts(ctx context.Context) (map[string]string, error)
}

// AlertStore keeps alerts, for all nodes.
type AlertStore interface {
	TakeWatch(ctx context.Context, now time.Time, every, pause time.Duration) (since time.Time, won bool, err error)
	OpenAlerts(ctx context.Context) ([]call.Alert, error)
	OpenAlert(ctx context.Context, a call.Alert, targets []string) (opened bool, err error)
	CloseAlert(ctx context.Context, id string, at time.Time, closing string) (closed bool, err error)
}

// NoticeStore decides which node sends a notice, and keeps what became of it.
type NoticeStore interface {
	ClaimNotice(ctx context.Context, now time.Time, lease time.Duration) (n call.Notice, ok bool, err error)
	FinishNotice(ctx context.Context, id string, state call.NoticeState, detail string, nextTry time.Time) error
}

// Account is an account to be watched.
type Account struct {
	Name string
	// Hook is where its provider posts, without the token; empty if that is not
	// known.
	Hook string
	// Zone is where its week and its hours are; nil is UTC.
	Zone *time.Location
	// Silence and Recordings say which of the two is watched.
	Silence, Recordings bool
	// Holidays are days of the account's zone on which nothing is expected.
	Holidays []Day
}

// Day is a day of the calendar.
type Day struct {
	Year  int
	Month time.Month
	Day   int
}

// DayOf is the day of a moment, where its location is.
func DayOf(t time.Time) Day {
	year, month, day := t.Date()
	return Day{year, month, day}
}

func (a *Account) zone() *time.Location {
	if a.Zone == nil {
		return time.UTC
	}
	return a.Zone
}

// Condition is what another part of the program says of itself.
type Condition struct {
	Kind call.AlertKind
	// Bad opens an alert, Well closes it; neither leaves it as it is, as when
	// another node may know better.
	Bad, Well bool
	// Since is when it began, and Sentence says for people what happened and
	// what to do, or how it ended.
	Since    time.Time
	Sentence string
}

// Options is what a Watcher needs. All but Conditions, Senders and Metrics are
// required.
type Options struct {
	Store    Store
	Accounts []Account
	// Conditions tells of what is of no account, as far as this node knows;
	// nil: there is nothing.
	Conditions func(ctx context.Context, now time.Time) []Condition
	// Senders tell people, by target.
	Senders map[string]Sender
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Watcher opens and closes alerts, and tells of them. Any number of nodes may
// run one on the same store.
type Watcher struct {
	o Options
	// news says that there is something to tell.
	news chan struct{}
	// unpaused are the accounts that were not paused at the last look; Look's
	// alone.
	unpaused map[string]bool
	open     *prometheus.GaugeVec
	notices  *prometheus.CounterVec
}

// New makes a Watcher.
func New(o Options) (*Watcher, error) {
	w := &Watcher{
		o: o, news: make(chan struct{}, 1), unpaused: make(map[string]bool),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "callvault_alerts", Help: "Whether an alert is open, by kind and account; the same on all nodes.",
		}, []string{"kind", "account"}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callvault_alert_notices_total", Help: "Tries of this node to tell of alerts, by how they ended.",
		}, []string{"result"}),
	}
	if o.Metrics == nil {
		return w, nil
	}
	return w, errors.Join(o.Metrics.Register(w.open), o.Metrics.Register(w.notices))
}

// Run looks and tells at once and then every minute, until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	var loops sync.WaitGroup
	// Apart, so that a mail server that hangs delays no look.
	loops.Go(func() { everyMinute(ctx, nil, w.Look) })
	loops.Go(func() { everyMinute(ctx, w.news, w.Tell) })
	loops.Wait()
}

// everyMinute calls f at once, every minute and when it is woken.
func everyMinute(ctx context.Context, wake <-chan struct{}, f func(context.Context)) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		f(ctx)
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

func (w *Watcher) wakeTeller() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// Look opens and closes alerts by how things are, unless another node has just
// done so.
func (w *Watcher) Look(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	now := w.o.Now()
	since, won, err := w.o.Store.TakeWatch(limit, now, lookApart, mostPause)
	if err == nil && won {
		err = w.look(limit, now, since)
	}
	if err = errors.Join(err, w.showOpen(limit)); err != nil && ctx.Err() == nil {
		w.o.Logger.WarnContext(ctx, "the state of things could not be looked at", "error", err)
	}
}

// alertKey is of what there is at most one open alert.
type alertKey struct {
	kind    call.AlertKind
	account string
}

// verdict is what a rule says of an account.
type verdict struct {
	state state
	// since and sentence are for an alert: when it began, what happened and
	// what to do; or only a sentence on how it ended.
	since    time.Time
	sentence string
}

type state int

const (
	// unclear leaves an alert as it is.
	unclear state = iota
	bad
	well
)

func (w *Watcher) look(ctx context.Context, now, since time.Time) error {
	list, err := w.o.Store.OpenAlerts(ctx)
	if err != nil {
		return err
	}
	open := make(map[alertKey]call.Alert, len(list))
	for _, a := range list {
		open[alertKey{a.Kind, a.Account}] = a
	}
	verdicts, err := w.verdicts(ctx, now, since, open)
	var faults []error
	faults = append(faults, err)
	for k, v := range verdicts {
		a, isOpen := open[k]
		switch {
		case v.state == bad && !isOpen:
			faults = append(faults, w.openAlert(ctx, k, v, now))
		case v.state == well && isOpen:
			faults = append(faults, w.closeAlert(ctx, a, v.sentence, now))
		}
	}
	return errors.Join(faults...)
}

func (w *Watcher) openAlert(ctx context.Context, k alertKey, v verdict, now time.Time) error {
	targets := make([]string, 0, len(w.o.Senders))
	for target := range w.o.Senders {
		targets = append(targets, target)
	}
	opened, err := w.o.Store.OpenAlert(ctx, call.Alert{Kind: k.kind, Account: k.account, Since: v.since, OpenedAt: now, Opening: v.sentence}, targets)
	if opened {
		w.o.Logger.ErrorContext(ctx, "alert", "kind", k.kind, "account", k.account, "since", v.since, "what", v.sentence)
		w.wakeTeller()
	}
	return err
}

func (w *Watcher) closeAlert(ctx context.Context, a call.Alert, sentence string, now time.Time) error {
	closed, err := w.o.Store.CloseAlert(ctx, a.ID, now, sentence)
	if closed {
		w.o.Logger.InfoContext(ctx, "alert is over", "kind", a.Kind, "account", a.Account, "since", a.Since, "what", sentence)
		w.wakeTeller()
	}
	return err
}

// showOpen lets the metrics show which alerts are open.
func (w *Watcher) showOpen(ctx context.Context) error {
	list, err := w.o.Store.OpenAlerts(ctx)
	if err != nil {
		return err
	}
	w.open.Reset()
	for _, a := range w.o.Accounts {
		for _, kind := range accountKinds {
			w.open.WithLabelValues(string(kind), a.Name).Set(0)
		}
	}
	if w.o.Conditions != nil {
		for _, c := range w.o.Conditions(ctx, w.o.Now()) {
			w.open.WithLabelValues(string(c.Kind), "").Set(0)
		}
	}
	for _, a := range list {
		w.open.WithLabelValues(string(a.Kind), a.Account).Set(1)
	}
	return nil
}

// accountKinds are the alerts that are of accounts.
var accountKinds = [...]call.AlertKind{call.AlertSilence, call.AlertNoRecordings, call.AlertUnreadable, call.AlertPaused}

func (c Condition) verdict() verdict {
	v := verdict{since: c.Since, sentence: c.Sentence}
	switch {
	case c.Bad:
		v.state = bad
	case c.Well:
		v.state = well
	}
	return v
}

// verdicts asks every rule about every account. A rule that cannot be asked
// does not keep the others from being asked.
func (w *Watcher) verdicts(ctx context.Context, now, since time.Time, open map[alertKey]call.Alert) (map[alertKey]verdict, error) {
	verdicts := make(map[alertKey]verdict)
	for k := range open {
		// What is not watched any more must not stay open for ever.
		verdicts[k] = verdict{state: well, sentence: "It is not watched any more."}
	}
	if w.o.Conditions != nil {
		for _, c := range w.o.Conditions(ctx, now) {
			verdicts[alertKey{kind: c.Kind}] = c.verdict()
		}
	}
	paused, pausedErr := w.o.Store.PausedAccounts(ctx)
	outcomes, outcomesErr := w.o.Store.OutcomesSince(ctx, now.Add(-unreadableSpan))
	habits, habitsErr := w.habits(ctx, now)
	faults := []error{pausedErr, outcomesErr, habitsErr}
	for i := range w.o.Accounts {
		a := &w.o.Accounts[i]
		key := func(kind call.AlertKind) alertKey { return alertKey{kind, a.Name} }
		reason, isPaused := paused[a.Name]
		verdicts[key(call.AlertPaused)] = verdict{}
		if pausedErr == nil {
			verdicts[key(call.AlertPaused)] = judgePause(reason, isPaused, w.unpaused[a.Name], now)
			w.unpaused[a.Name] = !isPaused
		}
		verdicts[key(call.AlertUnreadable)] = verdict{}
		if outcomesErr == nil {
			verdicts[key(call.AlertUnreadable)] = judgeUnreadable(outcomes[a.Name], now)
		}
		if a.Silence {
			k := key(call.AlertSilence)
			verdicts[k] = verdict{}
			if habits != nil {
				h := habits[a.Name]
				h.account = a
				verdicts[k] = h.judge(since, now, open[k].Since)
			}
		}
		if a.Recordings {
			k := key(call.AlertNoRecordings)
			_, isOpen := open[k]
			// A pause is an alert of its own.
			v, err := w.judgeRecordings(ctx, a, now, isOpen || isPaused || pausedErr != nil)
			faults = append(faults, err)
			verdicts[k] = v
		}
	}
	return verdicts, errors.Join(faults...)
}

// habits are what is known of each account's hours; nil while they are still
// being counted.
func (w *Watcher) habits(ctx context.Context, now time.Time) (map[string]history, error) {
	until := now.UTC().Truncate(time.Hour)
	from := until.Add(-horizon)
	// A crowd may still be on its way to the database when its hour is over.
	if now.Sub(until) < countAfter {
		until = until.Add(-time.Hour)
	}
	counted, err := w.o.Store.CountActivity(ctx, from, until)
	for err == nil && counted.Before(until) {
		counted, err = w.o.Store.CountActivity(ctx, from, until)
	}
	if err != nil {
		return nil, err
	}
	if err := w.o.Store.ForgetActivity(ctx, from); err != nil {
		return nil, err
	}
	past, err := w.o.Store.Activity(ctx, from)
	if err != nil {
		return nil, err
	}
	present, err := w.o.Store.ReportsBetween(ctx, until, now.Add(time.Hour))
	if err != nil {
		return nil, err
	}
	habits := make(map[string]history)
	// A node whose clock is ahead may have counted an hour that is not over.
	past = slices.DeleteFunc(past, func(a call.Activity) bool { return !a.Hour.Before(until) })
	for _, activity := range append(past, present...) {
		h := habits[activity.Account]
		h.add(activity)
		habits[activity.Account] = h
	}
	return habits, nil
}

// local writes a moment for people.
func local(t time.Time, zone *time.Location) string {
	return fmt.Sprintf("%s (%s)", t.In(zone).Format("Mon 2 Jan 2006 15:04"), zone)
}
