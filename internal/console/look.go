package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const (
	// looksEvery is how late searches may be in the audit log.
	looksEvery = time.Second
	// looksTimeout bounds how long the log may take for what was looked at.
	looksTimeout = 10 * time.Second
	// mostLooks is how many searches wait for the log at most; who searches
	// then waits until they are in it.
	mostLooks = 1000
	// listenFor is how long after a request another one belongs to the same
	// listening, listenMost how long a listening lasts at most.
	listenFor  = 10 * time.Minute
	listenMost = time.Hour
	// mostListenings is how many are remembered; beyond it each request is one.
	mostListenings = 10_000
	// strangersEvery is how often the refusals of strangers are logged.
	strangersEvery = time.Minute
)

// looks brings what was looked at into the audit log.
type looks struct {
	store AuditStore

	mu         sync.Mutex
	waiting    []audit.Entry
	listenings map[listening]*span
}

// listening is one who hears, or watches, one thing.
type listening struct {
	actor   audit.Actor
	action  audit.Action
	subject string
	reason  string
}

type span struct{ began, last time.Time }

// errNotLogged is the answer while looks cannot be logged: nobody looks unseen.
func errNotLogged(err error) error {
	return fault{call.Unavailable, "the audit log cannot be written just now; try again", err}
}

// look logs that somebody looks at something, before the answer is given.
func (c *Console) look(r *http.Request, action audit.Action, subject string, facts map[string]any) error {
	e, err := newLook(r, action, subject, facts)
	if err != nil {
		return err
	}
	e.At = c.now()
	return c.looks.write(r.Context(), e)
}

func newLook(r *http.Request, action audit.Action, subject string, facts map[string]any) (audit.Entry, error) {
	e := audit.Entry{Action: action, Subject: subject}
	if len(facts) > 0 {
		var err error
		if e, err = audit.New(action, subject, facts); err != nil {
			return e, err
		}
	}
	e.Actor, e.Reason = audit.ActorOf(r.Context()), reasonOf(r.Context())
	return e, nil
}

func (l *looks) write(ctx context.Context, entries ...audit.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, looksTimeout)
	defer cancel()
	if err := l.store.Audit(ctx, entries...); err != nil {
		return errNotLogged(err)
	}
	return nil
}

// search logs a search with its parameters, at most a second later.
func (c *Console) search(r *http.Request, action audit.Action) error {
	e, err := newLook(r, action, "", filters(r.URL.Query()))
	if err != nil {
		return err
	}
	e.At = c.now()
	return c.looks.add(r.Context(), e)
}

// filters are the parameters of a search; pages of one are the same search.
func filters(q url.Values) map[string]any {
	facts := map[string]any{}
	for name, values := range q {
		if name != "cursor" && name != "limit" && len(values) == 1 && values[0] != "" {
			facts[name] = values[0]
		}
	}
	return facts
}

// add lets an entry wait for the log, unless the same waits already.
func (l *looks) add(ctx context.Context, e audit.Entry) error { return l.put(ctx, e, true) }

// put lets an entry wait for the log; once: not if the same waits already.
func (l *looks) put(ctx context.Context, e audit.Entry, once bool) error {
	l.mu.Lock()
	known := once && slices.ContainsFunc(l.waiting, func(o audit.Entry) bool {
		return o.Action == e.Action && o.Actor == e.Actor && o.Reason == e.Reason && string(o.Facts) == string(e.Facts)
	})
	if !known {
		l.waiting = append(l.waiting, e)
	}
	full := len(l.waiting) >= mostLooks
	l.mu.Unlock()
	if full {
		return l.flush(ctx)
	}
	return nil
}

// flush writes the searches that wait. Those that cannot be written wait on.
func (l *looks) flush(ctx context.Context) error {
	l.mu.Lock()
	batch := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := l.write(ctx, batch...)
	if err != nil {
		l.mu.Lock()
		l.waiting = append(batch, l.waiting...)
		l.mu.Unlock()
	}
	return err
}

// listen logs that somebody begins to hear or watch something; further requests
// of the same listening are not logged. It is in the log before the first byte.
func (c *Console) listen(r *http.Request, action audit.Action, subject string, facts map[string]any) error {
	now := c.now()
	k := listening{audit.ActorOf(r.Context()), action, subject, reasonOf(r.Context())}
	if c.looks.goesOn(k, now) {
		return nil
	}
	if err := c.look(r, action, subject, facts); err != nil {
		return err
	}
	c.looks.begin(k, now)
	return nil
}

func (l *looks) goesOn(k listening, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.listenings[k]
	if !ok || s.over(now) {
		return false
	}
	s.last = now
	return true
}

func (s *span) over(now time.Time) bool {
	return now.Sub(s.last) >= listenFor || now.Sub(s.began) >= listenMost
}

func (l *looks) begin(k listening, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.listenings) >= mostListenings {
		maps.DeleteFunc(l.listenings, func(_ listening, s *span) bool { return s.over(now) })
	}
	if len(l.listenings) < mostListenings {
		l.listenings[k] = &span{now, now}
	}
}

// RunLooks writes searches and the counts of strangers into the audit log until
// ctx ends. FlushLooks is for what is left when all requests have ended.
func (c *Console) RunLooks(ctx context.Context) {
	tick := time.NewTicker(looksEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.flushLooks(ctx, strangersEvery); err != nil && ctx.Err() == nil {
			c.logger.ErrorContext(ctx, "searches could not be written into the audit log; it is tried again", "error", err)
		}
	}
}

// FlushLooks writes what RunLooks has left into the audit log.
func (c *Console) FlushLooks(ctx context.Context) error { return c.flushLooks(ctx, 0) }

func (c *Console) flushLooks(ctx context.Context, strangersAfter time.Duration) error {
	if e, ok := c.strangers.Take(c.now(), strangersAfter); ok {
		if err := c.looks.add(ctx, e); err != nil {
			return err
		}
	}
	return c.looks.flush(ctx)
}

// The ways to say why one looks.
const (
	reasonHeader    = "X-Audit-Reason"
	reasonParameter = "reason"
	// maxReason bounds it, in bytes.
	maxReason = 500
)

type reasonKey struct{}

func reasonOf(ctx context.Context) string {
	reason, _ := ctx.Value(reasonKey{}).(string)
	return reason
}

// asked returns the request as one of actor, with the reason that is given; the
// parameter is taken off, for it is no filter.
func asked(r *http.Request, actor audit.Actor) (*http.Request, error) {
	reason := strings.TrimSpace(r.Header.Get(reasonHeader))
	ctx := audit.By(r.Context(), actor)
	r = r.WithContext(ctx)
	if q, err := url.ParseQuery(r.URL.RawQuery); err == nil && q.Has(reasonParameter) {
		if given := q[reasonParameter]; len(given) == 1 && reason == "" {
			reason = strings.TrimSpace(given[0])
		} else {
			return r, call.Errorf(call.Invalid, "%s is given more than once", reasonParameter)
		}
		q.Del(reasonParameter)
		r.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
	}
	if len(reason) > maxReason || !printable(reason) {
		return r, call.Errorf(call.Invalid, "%s must be one line of text of at most %d bytes", reasonParameter, maxReason)
	}
	return r.WithContext(context.WithValue(ctx, reasonKey{}, reason)), nil
}

// hidden is a refusal that must look as if there were nothing: that something
// is there is already a fact about another group.
type hidden struct{ error }

// Unwrap is what the one who asked is told.
func (h hidden) Unwrap() error { return h.error }

// refused logs that somebody who is known was forbidden something.
func (c *Console) refused(r *http.Request, err error) error {
	if _, ok := errors.AsType[hidden](err); !ok && call.CodeOf(err) != call.Forbidden {
		return err
	}
	if logErr := c.look(r, audit.AccessRefused, "", map[string]any{
		"method": r.Method, "path": maskPath(r.URL.Path), "message": publicMessage(err),
	}); logErr != nil {
		return logErr
	}
	return err
}
