package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"callvault/internal/call"
)

// ScrubStore keeps how far a scrub is, for all nodes, and what it finds.
type ScrubStore interface {
	// TakeScrub takes the scrub unless another node has it.
	TakeScrub(ctx context.Context, lease time.Duration) (state call.Scrub, token string, won bool, err error)
	// KeepScrub writes down how far it is; a call.Conflict error says that the
	// lease was lost. No lease gives it back.
	KeepScrub(ctx context.Context, token string, state call.Scrub, lease time.Duration) error
	NoteChecked(ctx context.Context, checked ...call.Checked) (opened []call.Fault, err error)
	StaleFaults(ctx context.Context, before time.Time, limit int) ([]call.FoundFault, error)
}

// ScrubPart is one kind of what is kept.
type ScrubPart struct {
	Name string
	// Count says of how many things the part consists, Weight what one of them
	// counts for: the pass takes as long for each unit of weight.
	Count  func(context.Context) (int64, error)
	Weight int64
	// Check checks some, beginning after the place that Check ended with last,
	// and says where to go on: empty after the last.
	Check func(ctx context.Context, after string) (checked []call.Checked, next string, err error)
}

// ScrubOptions say how everything is checked, a little at a time. All but Busy
// and Metrics are required.
type ScrubOptions struct {
	Store ScrubStore
	Parts []ScrubPart
	// Again checks again what a fault is about.
	Again func(context.Context, call.Fault) ([]call.Checked, error)
	// Period is how long a pass over everything takes.
	Period time.Duration
	// Busy says that something more urgent needs the machine.
	Busy    func() bool
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

const (
	// scrubEvery is how often a node looks whether there is something to check.
	scrubEvery = time.Minute
	// scrubLease is how long a scrub stays with a node that died.
	scrubLease = 5 * time.Minute
	// againAfter is how often an open fault is looked at again, at most
	// againMost at a time.
	againAfter = time.Hour
	againMost  = 50
)

// Scrubber checks everything once in a period. Any number of nodes may run one
// on the same store: one of them is at work at a time.
type Scrubber struct {
	o      ScrubOptions
	looked prometheus.Counter
	share  prometheus.Gauge
}

// NewScrubber makes a Scrubber.
func NewScrubber(o ScrubOptions) (*Scrubber, error) {
	s := &Scrubber{
		o: o,
		looked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callvault_scrub_checked_total", Help: "Objects and rows that this node's rolling scrub has looked at.",
		}),
		share: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callvault_scrub_share", Help: "How much of the pass over everything is done, 0 to 1, as far as this node knows.",
		}),
	}
	if o.Busy == nil {
		s.o.Busy = func() bool { return false }
	}
	if o.Metrics == nil {
		return s, nil
	}
	return s, errors.Join(o.Metrics.Register(s.looked), o.Metrics.Register(s.share))
}

// Run scrubs until ctx ends.
func (s *Scrubber) Run(ctx context.Context) {
	tick := time.NewTicker(scrubEvery)
	defer tick.Stop()
	for {
		if err := s.Work(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.WarnContext(ctx, "what is kept could not be checked; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Work checks what is due by now, unless another node is at it.
func (s *Scrubber) Work(ctx context.Context) error {
	state, token, won, err := s.take(ctx)
	if err != nil || !won {
		return err
	}
	err = s.work(ctx, token, &state)
	// Whatever ended it, another may go on at once.
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if kept := s.o.Store.KeepScrub(free, token, state, 0); call.CodeOf(kept) != call.Conflict {
		err = errors.Join(err, kept)
	}
	return err
}

func (s *Scrubber) take(ctx context.Context) (call.Scrub, string, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.o.Store.TakeScrub(ctx, scrubLease)
}

func (s *Scrubber) work(ctx context.Context, token string, state *call.Scrub) error {
	if err := s.again(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil && !s.o.Busy() {
		now := s.o.Now()
		if state.Part == "" {
			if now.Sub(state.BeganAt) < s.o.Period {
				s.share.Set(1)
				return nil // the pass is over, and the next not due
			}
			if err := s.begin(ctx, state, now); err != nil {
				return err
			}
		}
		if !s.isDue(*state, now) {
			return nil
		}
		if err := s.step(ctx, token, state); err != nil {
			return err
		}
	}
	return nil
}

// isDue reports whether less is done than should be by now: everything takes
// its share of the period.
func (s *Scrubber) isDue(state call.Scrub, now time.Time) bool {
	elapsed := now.Sub(state.BeganAt)
	s.share.Set(min(float64(state.Done)/float64(max(state.Total, 1)), 1))
	return elapsed >= s.o.Period ||
		float64(state.Done) <= float64(state.Total)*float64(elapsed)/float64(s.o.Period)
}

// begin begins a pass.
func (s *Scrubber) begin(ctx context.Context, state *call.Scrub, now time.Time) error {
	var total int64
	for _, p := range s.o.Parts {
		n, err := p.Count(ctx)
		if err != nil {
			return err
		}
		total += n * p.Weight
	}
	*state = call.Scrub{BeganAt: now, Part: s.o.Parts[0].Name, Total: total}
	return nil
}

// step checks some of the part at hand, and writes down what was found and
// where to go on.
func (s *Scrubber) step(ctx context.Context, token string, state *call.Scrub) error {
	i := 0
	for n, p := range s.o.Parts {
		if p.Name == state.Part {
			i = n
		}
	}
	p := s.o.Parts[i]
	var checked []call.Checked
	var next string
	err := s.holding(ctx, token, *state, func(ctx context.Context) (err error) {
		checked, next, err = p.Check(ctx, state.Next)
		return err
	})
	bad := call.AsUnreadable(err)
	if bad != nil {
		s.o.Logger.WarnContext(ctx, "a part of what is kept could not be checked to its end", "part", p.Name, "what", bad.What())
		checked, next, err = append(checked, call.CutShort(p.Name, bad)), "", nil
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", p.Name, err)
	}
	if err := s.note(ctx, checked); err != nil {
		return err
	}
	if next == "" && bad == nil {
		// Which is no thing that was looked at.
		if _, err := s.o.Store.NoteChecked(ctx, call.CameToEnd(p.Name)); err != nil {
			return err
		}
	}
	for _, c := range checked {
		state.Done += int64(len(c.Where)) * p.Weight
	}
	if state.Next = next; next == "" {
		state.Part = ""
		if i+1 < len(s.o.Parts) {
			state.Part = s.o.Parts[i+1].Name
		}
	}
	return s.keep(ctx, token, *state)
}

func (s *Scrubber) keep(ctx context.Context, token string, state call.Scrub) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.o.Store.KeepScrub(ctx, token, state, scrubLease)
}

// holding calls f and renews the lease meanwhile; f's context ends with it.
func (s *Scrubber) holding(ctx context.Context, token string, state call.Scrub, f func(context.Context) error) error {
	held, end := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(scrubLease / 4)
		defer tick.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-tick.C:
			}
			if err := s.keep(held, token, state); call.CodeOf(err) == call.Conflict {
				end(err)
			}
		}
	}()
	err := f(held)
	lost := context.Cause(held)
	end(nil)
	<-done
	if err != nil && lost != nil && ctx.Err() == nil {
		return lost
	}
	return err
}

// note keeps what was found, and says what is new of it.
func (s *Scrubber) note(ctx context.Context, checked []call.Checked) error {
	for _, c := range checked {
		s.looked.Add(float64(len(c.Where)))
		// Few at a time: others wait for the database meanwhile.
		for len(c.Where) > 0 {
			n := min(len(c.Where), verifyPage)
			some := call.Checked{Where: c.Where[:n], Kinds: c.Kinds}
			c.Where = c.Where[n:]
			here := map[string]bool{}
			for _, where := range some.Where {
				here[where] = true
			}
			for _, f := range c.Faults {
				if here[f.Where] {
					some.Faults = append(some.Faults, f)
				}
			}
			opened, err := s.o.Store.NoteChecked(ctx, some)
			if err != nil {
				return err
			}
			for _, f := range opened {
				s.o.Logger.ErrorContext(ctx, "something is not as it was kept", "kind", f.Kind, "where", f.Where, "what", f.What)
			}
		}
	}
	return nil
}

// again looks at open faults that were not looked at for a while. What is not
// there any more is no fault.
func (s *Scrubber) again(ctx context.Context) error {
	faults, err := s.o.Store.StaleFaults(ctx, s.o.Now().Add(-againAfter), againMost)
	if err != nil {
		return err
	}
	for _, f := range faults {
		checked, err := s.o.Again(ctx, f.Fault)
		if call.AsUnreadable(err) != nil {
			continue // so it is a fault still; the next pass says which
		}
		if err != nil {
			return err
		}
		looked := false
		for _, c := range checked {
			looked = looked || len(c.Where) > 0
		}
		if !looked {
			checked = []call.Checked{{Where: []string{f.Where}, Kinds: []call.FaultKind{f.Kind}}}
		}
		if err := s.note(ctx, checked); err != nil {
			return err
		}
	}
	return nil
}
