package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/simulator"
	"callvault/internal/store"
)

// archived queues recordings of the formats and waits until they are in the
// vault.
func archived(t *testing.T, s *store.Store, v archive.Vault, formats ...simulator.Format) (ids []string) {
	t.Helper()
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		format := formats[strings.Count(r.URL.Path, "x")]
		_, _ = io.Copy(w, simulator.Recording{Source: r.URL.Path, Format: format, Duration: 20 * time.Second}.Audio())
	}))
	_, stop := run(t, options(t, s, v, host))
	for i := range formats {
		recording := queue(t, s, wanted(host+"/"+strings.Repeat("x", i)+".bin", "", 0))
		eventually(t, "it is archived", func() bool { return recording().State == call.Archived })
		ids = append(ids, recording().ID)
	}
	stop()
	return ids
}

func analyser(t *testing.T, o archive.AnalyserOptions) (stop func()) {
	t.Helper()
	o.Poll, o.Logger = 5*time.Millisecond, slog.New(slog.DiscardHandler)
	a, err := archive.NewAnalyser(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func analysis(t *testing.T, s *store.Store, id string) call.Analysis {
	t.Helper()
	a, err := s.Analysis(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAnalyser listens to what is in the vault, but only while nobody needs the
// machine.
func TestAnalyser(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	ids := archived(t, s, v, simulator.WAVPCM, simulator.WAVMuLaw, simulator.MP3At8kHz, simulator.MP3At16kHz)
	var idle atomic.Bool
	var asked atomic.Int64
	analyser(t, archive.AnalyserOptions{Store: s, Vault: v, Idle: func() bool { asked.Add(1); return idle.Load() }})
	eventually(t, "it was asked often", func() bool { return asked.Load() > 5 })
	for _, id := range ids {
		if a := analysis(t, s, id); a.State != call.AnalysisPending {
			t.Errorf("analysed beside other work: %+v", a)
		}
	}
	idle.Store(true)
	for i, id := range ids {
		eventually(t, "it is analysed", func() bool { return analysis(t, s, id).State != call.AnalysisPending })
		a := analysis(t, s, id)
		if a.State != call.Analysed || a.Reason != "" || len(a.Peaks) != 1 || len(a.Peaks[0]) <= call.MostPeaks/2 || a.Silence[0] > 0.3 {
			t.Errorf("analysis %d is %+v", i, a)
		}
	}
}

// TestAnalyserGivesWay gives a recording back in the middle when there is work,
// and takes it up again.
func TestAnalyserGivesWay(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	ids := archived(t, s, v, simulator.WAVPCM) // 320 kB, several chunks
	var busy, opened atomic.Int64
	released := make(chan struct{}, 1)
	stop := analyser(t, archive.AnalyserOptions{
		Store: releaseHook{s, released}, Idle: func() bool { return busy.Load() != 1 },
		Vault: openHook{v, func() error {
			if opened.Add(1) == 1 {
				busy.Store(1)
			}
			return nil
		}},
	})
	<-released
	if a := analysis(t, s, ids[0]); a.State != call.AnalysisPending {
		t.Errorf("given back as %+v", a)
	}
	busy.Store(2)
	eventually(t, "it is analysed", func() bool { return analysis(t, s, ids[0]).State == call.Analysed })
	stop()
	if n := opened.Load(); n != 2 {
		t.Errorf("begun %d times", n)
	}
}

// releaseHook tells when a recording was given back untried.
type releaseHook struct {
	*store.Store
	released chan<- struct{}
}

func (s releaseHook) ReleaseAnalysis(ctx context.Context, token string, delay time.Duration, tried bool) error {
	err := s.Store.ReleaseAnalysis(ctx, token, delay, tried)
	if !tried {
		s.released <- struct{}{}
	}
	return err
}

// TestAnalyserWithoutTheObject tries again later, and does not spin.
func TestAnalyserWithoutTheObject(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	ids := archived(t, s, v, simulator.WAVPCM, simulator.WAVMuLaw)
	var opened atomic.Int64
	analyser(t, archive.AnalyserOptions{
		Store: s, Idle: func() bool { return true },
		Vault: openHook{v, func() error {
			if opened.Add(1) == 1 {
				return errors.New("the vault is away")
			}
			return nil
		}},
	})
	// The newest failed, and the other one has its turn.
	eventually(t, "the other is analysed", func() bool { return analysis(t, s, ids[0]).State == call.Analysed })
	if a := analysis(t, s, ids[1]); a.State != call.AnalysisPending {
		t.Errorf("without its bytes it is %+v", a)
	}
}

// openHook is a vault of which one hears when it is read.
type openHook struct {
	archive.Vault
	hook func() error
}

func (v openHook) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, archive.ObjectInfo, error) {
	if err := v.hook(); err != nil {
		return nil, archive.ObjectInfo{}, err
	}
	return v.Vault.Open(ctx, key, offset, length)
}

// stuck is a vault that gives bytes for ever, or none any more.
type stuck struct {
	archive.Vault
	silent bool
}

func (v stuck) Open(ctx context.Context, key string, _, _ int64) (io.ReadCloser, archive.ObjectInfo, error) {
	read := func(p []byte) (int, error) { return len(p), nil }
	if v.silent {
		read = func([]byte) (int, error) {
			<-ctx.Done()
			return 0, fmt.Errorf("read %s: %w", key, ctx.Err())
		}
	}
	return io.NopCloser(readerFunc(read)), archive.ObjectInfo{}, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// triesAtOnce lets a recording be tried again without a wait.
type triesAtOnce struct {
	*store.Store
	tried *atomic.Int64
}

func (s triesAtOnce) ReleaseAnalysis(ctx context.Context, token string, _ time.Duration, tried bool) error {
	if tried {
		s.tried.Add(1)
	}
	return s.Store.ReleaseAnalysis(ctx, token, 0, tried)
}

// TestAnalyserGivesUp: what the vault never gives, and what takes too long, is not
// tried for ever, and the reason is the one there was.
func TestAnalyserGivesUp(t *testing.T) {
	t.Parallel()
	v := onDirectory(t)
	always := func() bool { return true }
	var isBusy atomic.Bool
	for name, tt := range map[string]struct {
		vault  archive.Vault
		idle   func() bool
		reason string
	}{
		"it takes too long": {stuck{v, false}, always, "listening to it takes longer than 0.001 minutes"},
		"it goes silent":    {stuck{v, true}, always, "listening to it takes longer than 0.001 minutes"},
		"it takes too long, and once the machine is needed": {
			openHook{stuck{v, false}, func() error { isBusy.Store(true); return nil }},
			func() bool { return !isBusy.Swap(false) }, "listening to it takes longer than 0.001 minutes",
		},
		"the vault is away": {openHook{v, func() error { return errors.New("the vault is away") }}, always, "the vault does not give it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onSQLite(t)
			id := archived(t, s, v, simulator.WAVPCM)[0]
			var tried atomic.Int64
			analyser(t, archive.AnalyserOptions{
				Store: triesAtOnce{s, &tried}, Vault: tt.vault, Idle: tt.idle, Longest: 60 * time.Millisecond,
			})
			eventually(t, "it is given up", func() bool { return analysis(t, s, id).State != call.AnalysisPending })
			if a := analysis(t, s, id); a.State != call.NotAnalysed || a.Reason != tt.reason || tried.Load() != 4 {
				t.Errorf("after %d tries it is %+v", tried.Load(), a)
			}
		})
	}
}

// TestAnalyserWaits: work that comes in bursts does not let a recording be begun
// again and again.
func TestAnalyserWaits(t *testing.T) {
	t.Parallel()
	s, v := onSQLite(t), onDirectory(t)
	id := archived(t, s, v, simulator.WAVPCM)[0]
	var asked, opened atomic.Int64
	analyser(t, archive.AnalyserOptions{
		Store: s, Vault: openHook{v, func() error { opened.Add(1); return nil }},
		Idle: func() bool { return asked.Add(1)%4 < 2 }, // twice in a row, as it begins
	})
	eventually(t, "it is analysed", func() bool { return analysis(t, s, id).State == call.Analysed })
	if n := opened.Load(); n != 1 {
		t.Errorf("begun %d times", n)
	}
}
