// Package drill plays a provider's faults against a running installation, on
// accounts that are there for nothing else, and says what held: an operator's
// acceptance test. It knows the installation from outside only, by its webhook
// and its API, and serves the recordings that the installation fetches.
package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Account is an account of the installation that is there for drills.
type Account struct {
	Name  string
	Token string
	// AppID and Secret are what TeleCMI's download address asks for.
	AppID, Secret string
	// Zone is that of CallerDesk's times.
	Zone *time.Location
}

// Options say what is drilled, and how. All but Said are required.
type Options struct {
	// URL is where providers and people reach the installation, without a slash
	// at its end.
	URL                 string
	CallerDesk, TeleCMI Account
	// APIToken is a bearer token of the API that may see deliveries and hear
	// recordings (role compliance or admin).
	APIToken string
	// Listener is where the drill serves recordings. Run closes it.
	Listener net.Listener
	// Host is how the installation reaches Listener: host:port.
	Host string
	// Wait is how long the drill waits for recordings and for what the
	// installation does in its own time.
	Wait   time.Duration
	Client *http.Client
	Now    func() time.Time
	// Said is told of every check as soon as it is decided.
	Said func(Check)
}

// Check is one thing that was tried.
type Check struct {
	Name string `json:"name"`
	// Held: the installation did as it should.
	Held bool `json:"held"`
	// Seen says for people what was seen.
	Seen string `json:"seen"`
	// Do says what to do about it, when it did not hold.
	Do string `json:"do,omitempty"`
}

// Result is what a drill found.
type Result struct {
	Checks []Check `json:"checks"`
	Held   int     `json:"held"`
	Broken int     `json:"broken"`
}

// look says what became of something: done is false while it may still come.
// What was seen so far is told if it never does.
type look func(context.Context, snapshot) (done bool, seen string, err error)

// check is one thing to try. Its errors are for people: they say what is
// wrong.
type check struct {
	name string
	// do says what to do when it does not hold.
	do string
	// play sends what it is about. The look that it returns, if any, finds out
	// in time what became of it.
	play func(context.Context) (seen string, later look, err error)
}

// lookEvery is how often the installation is asked what became of it all.
const lookEvery = time.Second

// run is one drill.
type run struct {
	Options
	provider *provider
	began    time.Time
	sequence int
	// expected are the calls that must exist in the end, each once.
	expected map[callKey]bool
	result   Result
}

type waiting struct {
	check
	look look
	seen string
}

// Run drills the installation. An error says that there was nothing to drill:
// nobody answers, or the API does not take the token. What does not hold is no
// error, but is found in the result.
func Run(ctx context.Context, o Options) (Result, error) {
	r := &run{Options: o, provider: newProvider(o.TeleCMI), began: o.Now(), expected: map[callKey]bool{}}
	stop := r.provider.serve(o.Listener)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends what is still being sent
	err := r.all(ctx)
	return r.result, errors.Join(err, stop())
}

func (r *run) all(ctx context.Context) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	var open []*waiting
	for _, c := range r.checks() {
		seen, later, err := c.play(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.say(c, "", err)
		case later == nil:
			r.say(c, seen, nil)
		default:
			open = append(open, &waiting{check: c, look: later})
		}
	}
	if err := r.await(ctx, open); err != nil {
		return err
	}
	return r.nothingElse(ctx)
}

// await looks until everything is decided or Wait is over.
func (r *run) await(ctx context.Context, open []*waiting) error {
	limit := time.NewTimer(r.Wait)
	defer limit.Stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for len(open) > 0 {
		now, err := r.snapshot(ctx)
		if err != nil {
			return err
		}
		still := open[:0]
		for _, w := range open {
			done, seen, err := w.look(ctx, now)
			if w.seen = seen; done || err != nil {
				r.say(w.check, seen, err)
			} else {
				still = append(still, w)
			}
		}
		open = still
		if len(open) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			for _, w := range open {
				r.say(w.check, "", fmt.Errorf("after %s still: %s", r.Wait, w.seen))
			}
			return nil
		case <-tick.C:
		}
	}
	return nil
}

func (r *run) say(c check, seen string, err error) {
	decided := Check{Name: c.name, Held: err == nil, Seen: seen}
	if err != nil {
		decided.Seen, decided.Do = err.Error(), c.do
		r.result.Broken++
	} else {
		r.result.Held++
	}
	r.result.Checks = append(r.result.Checks, decided)
	if r.Said != nil {
		r.Said(decided)
	}
}

// withoutURL takes the URL out of an HTTP client's error: the webhook's holds
// the token.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
