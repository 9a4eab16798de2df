package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"callvault/internal/call"
	"callvault/internal/media"
)

// AnalysisStore is the queue of recordings to analyse. A call.Conflict error
// says that a lease is lost.
type AnalysisStore interface {
	ClaimAnalysis(ctx context.Context, lease time.Duration) (*call.AnalysisClaim, error)
	MarkAnalysed(ctx context.Context, leaseToken string, a call.Analysis, m call.Media) error
	ReleaseAnalysis(ctx context.Context, leaseToken string, delay time.Duration, tried bool) error
	DropAnalysis(ctx context.Context, leaseToken string) error
}

// AnalyserOptions say what an Analyser works on. All but Metrics, Poll and Longest
// are required.
type AnalyserOptions struct {
	Store AnalysisStore
	Vault Vault
	// Idle says that nobody needs the machine for anything else.
	Idle   func() bool
	Logger *slog.Logger
	// Metrics is where the metrics are registered; default nowhere.
	Metrics prometheus.Registerer
	// Poll is how often an Analyser without work looks for some; default 2 s.
	Poll time.Duration
	// Longest is how long listening to one recording may take; default 10
	// minutes.
	Longest time.Duration
}

const (
	// longestAnalysis is how long listening to one recording may take, and
	// analysisSpare how much longer it waits for a node that died at it.
	longestAnalysis = 10 * time.Minute
	analysisSpare   = time.Minute
	// analysisPatience is for how many polls an Analyser that the machine is needed
	// for waits in the middle of a recording before it gives it back, to begin
	// anew. As long others have their turn then.
	analysisPatience = 30
	// analysisTries are made with a recording that the vault does not give, or
	// that takes too long.
	analysisTries = 5
	// analysisAgain is the wait between them.
	analysisAgain = 10 * time.Minute
	// analysisShare is for how many times as long as it worked an Analyser
	// rests: it takes a quarter of one processor at most.
	analysisShare = 3
	analysisChunk = 64 << 10
)

// errNeeded ends an analysis because something else has work, errTooLong because
// it takes longer than it may.
var (
	errNeeded  = errors.New("the machine is needed")
	errTooLong = errors.New("listening to it takes too long")
)

// Analyser listens to archived recordings, one at a time and only while nothing
// else is to be done: for their waveform and how much of them is silent. Any
// number of analysers may share a queue.
type Analyser struct {
	opts  AnalyserOptions
	done  *prometheus.CounterVec
	chunk []byte
}

// NewAnalyser makes an Analyser.
func NewAnalyser(opts AnalyserOptions) (*Analyser, error) {
	orElse(&opts.Poll, 2*time.Second)
	orElse(&opts.Longest, longestAnalysis)
	a := &Analyser{opts: opts, chunk: make([]byte, analysisChunk), done: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callvault_recording_analyses_total",
		Help: "Recordings listened to for their waveform and silence, by what came of it.",
	}, []string{"state"})}
	if opts.Metrics != nil {
		if err := opts.Metrics.Register(a.done); err != nil {
			return nil, fmt.Errorf("register the analyser's metrics: %w", err)
		}
	}
	return a, nil
}

// Run analyses until ctx ends. What fails, it waits for.
func (a *Analyser) Run(ctx context.Context) {
	timer := time.NewTimer(a.opts.Poll)
	defer timer.Stop()
	idle := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		// Twice in a row: work comes in bursts.
		was := idle
		if idle = a.opts.Idle(); !was || !idle {
			timer.Reset(a.opts.Poll)
			continue
		}
		began := time.Now()
		worked, err := a.one(ctx)
		if err != nil && ctx.Err() == nil {
			a.opts.Logger.WarnContext(ctx, "recording could not be analysed", "error", err)
		}
		if rest := analysisShare * time.Since(began); worked && err == nil {
			timer.Reset(rest)
		} else {
			timer.Reset(max(rest, a.opts.Poll))
		}
	}
}

// one analyses the next recording, if there is one.
func (a *Analyser) one(ctx context.Context) (worked bool, err error) {
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	c, err := a.opts.Store.ClaimAnalysis(limited, a.opts.Longest+analysisSpare)
	cancel()
	if err != nil || c == nil {
		return false, err
	}
	analysis, found, err := a.listen(ctx, c)
	needed := errors.Is(err, errNeeded) || ctx.Err() != nil

	// A shutdown must not keep what became of it from being written down.
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	switch {
	case c.State != call.Archived:
		err = a.opts.Store.DropAnalysis(marking, c.LeaseToken)
	case needed:
		delay := analysisPatience * a.opts.Poll
		if ctx.Err() != nil {
			delay = 0
		}
		err = a.opts.Store.ReleaseAnalysis(marking, c.LeaseToken, delay, false)
	case err != nil && c.Tries < analysisTries:
		err = errors.Join(fmt.Errorf("analyse recording %s: %w", c.ID, err),
			a.opts.Store.ReleaseAnalysis(marking, c.LeaseToken, analysisAgain, true))
	case err != nil:
		reason := "the vault does not give it"
		if errors.Is(err, errTooLong) {
			reason = fmt.Sprintf("listening to it takes longer than %.3g minutes", a.opts.Longest.Minutes())
		}
		analysis = call.Analysis{State: call.NotAnalysed, Reason: reason}
		err = errors.Join(fmt.Errorf("analyse recording %s: %w", c.ID, err), a.mark(marking, c, analysis, call.Media{}))
	default:
		err = a.mark(marking, c, analysis, found)
	}
	if call.CodeOf(err) == call.Conflict {
		return true, nil // another one has it
	}
	return true, err
}

func (a *Analyser) mark(ctx context.Context, c *call.AnalysisClaim, analysis call.Analysis, m call.Media) error {
	err := a.opts.Store.MarkAnalysed(ctx, c.LeaseToken, analysis, m)
	if err == nil {
		a.done.WithLabelValues(string(analysis.State)).Inc()
	}
	return err
}

// listen reads a recording from the vault, as long as nobody needs the machine.
func (a *Analyser) listen(ctx context.Context, c *call.AnalysisClaim) (result call.Analysis, found call.Media, err error) {
	if c.State != call.Archived {
		return result, found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.opts.Longest)
	defer cancel()
	body, _, err := a.opts.Vault.Open(ctx, c.ObjectKey, 0, -1)
	if err != nil {
		return result, found, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	listener := media.NewAnalysis(c.MediaType)
	var waited time.Duration
	for {
		if !a.opts.Idle() {
			began := time.Now()
			isIdle := a.awaitIdle(ctx)
			if waited += time.Since(began); !isIdle && ctx.Err() == nil {
				return result, found, errNeeded
			}
		}
		n, err := body.Read(a.chunk)
		_, _ = listener.Write(a.chunk[:n]) // never fails
		if errors.Is(err, io.EOF) {
			return listener.Result(), listener.Media(), nil
		}
		if ctx.Err() != nil { // whatever the vault says of that
			if waited > a.opts.Longest/2 {
				return result, found, errNeeded // the time was others'
			}
			return result, found, errTooLong
		}
		if err != nil {
			return result, found, err
		}
	}
}

// awaitIdle waits for a moment in which nobody needs the machine, but not for
// ever, and says whether there was one.
func (a *Analyser) awaitIdle(ctx context.Context) bool {
	for range analysisPatience {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(a.opts.Poll):
		}
		if a.opts.Idle() {
			return true
		}
	}
	return false
}
