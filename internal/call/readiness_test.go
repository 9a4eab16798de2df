package call_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"callvault/internal/call"
)

// provider is one whose recordings are ready after some time, and how they are
// asked for: first as learned, then as learned or at last each minute.
func asked(r *call.Readiness, random *rand.Rand, reported, ready time.Duration) (tries int, found time.Duration) {
	at, ok := r.FirstTry(random.IntN(8) == 0)
	if !ok {
		at = reported + 10*time.Second
	}
	at = max(at, reported)
	missed := time.Duration(0)
	for tries = 1; at < ready; tries++ {
		missed = at
		wait, ok := r.NextTry(at)
		if !ok {
			wait = time.Minute
		}
		at += max(wait, 2500*time.Millisecond)
	}
	r.Learn(call.ReadyInterval{After: missed, Until: at})
	return tries, at
}

// Whatever is asked when, what is learned is when recordings are ready: also
// after the provider became slower or quicker.
func TestReadinessFollowsTheProvider(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	var r call.Readiness
	for _, median := range []time.Duration{20 * time.Second, 2 * time.Minute, 6 * time.Second, 10 * time.Minute, 40 * time.Second} {
		draw := func() time.Duration { return time.Duration(float64(median) * (0.6 + 0.8*random.Float64())) }
		for range 4000 {
			asked(&r, random, 3*time.Second, draw())
		}
		if got := r.Quantile(0.5); got < median*6/10 || got > median*16/10 {
			t.Errorf("ready after about %s: learned %s, %.0f %% by then", median, got, 100*r.ReadyBy(median))
		}
		// It pays: few tries, and found not long after they are ready.
		tries, late := 0, time.Duration(0)
		for range 200 {
			ready := draw()
			n, found := asked(&r, random, 3*time.Second, ready)
			tries += n
			late += found - ready
		}
		if mean := late / 200; tries > 4*200 || mean > median {
			t.Errorf("ready after about %s: %d tries for 200, found %s late", median, tries, mean)
		}
	}
}

func TestReadinessBeforeItIsLearned(t *testing.T) {
	t.Parallel()
	var r call.Readiness
	for range 49 {
		if _, ok := r.FirstTry(false); ok || r.Learned() {
			t.Fatalf("learned after %d", r.Observations)
		}
		if _, ok := r.NextTry(time.Second); ok {
			t.Fatalf("paced after %d", r.Observations)
		}
		r.Learn(call.ReadyInterval{After: 10 * time.Second, Until: 11 * time.Second})
	}
	r.Learn(call.ReadyInterval{After: 10 * time.Second, Until: 11 * time.Second})
	first, ok := r.FirstTry(false)
	early, _ := r.FirstTry(true)
	if !ok || first < 10*time.Second || first > 15*time.Second || early != first/2 {
		t.Errorf("the first try is after %s, early after %s", first, early)
	}
	// Of those that take much longer than all nothing is known.
	if wait, ok := r.NextTry(2 * time.Hour); ok {
		t.Errorf("after two hours: %s more", wait)
	}
}

func TestReadinessHolds(t *testing.T) {
	t.Parallel()
	seconds := rapid.IntRange(-100, 10_000)
	rapid.Check(t, func(t *rapid.T) {
		var r call.Readiness
		for range rapid.IntRange(1, 120).Draw(t, "observations") {
			r.Learn(call.ReadyInterval{
				After: time.Duration(seconds.Draw(t, "after")) * time.Second, Until: time.Duration(seconds.Draw(t, "until")) * time.Second,
			})
		}
		sum := 0.0
		for _, w := range r.Weights {
			if w < 0 || w != w {
				t.Fatalf("a weight is %v", w)
			}
			sum += w
		}
		if sum <= 0 || sum > 500 {
			t.Fatalf("weights are %v together", sum)
		}
		last := time.Duration(-1)
		for share := 0.0; share <= 1; share += 0.05 {
			at := r.Quantile(share)
			if at < last {
				t.Fatalf("%.2f is ready at %s, less at %s", share, at, last)
			}
			if by := r.ReadyBy(at); by < share-0.001 || by > share+0.001 {
				t.Fatalf("at %s %.3f is ready, not %.3f", at, by, share)
			}
			last = at
		}
		age := time.Duration(max(0, seconds.Draw(t, "age"))) * time.Second
		if wait, ok := r.NextTry(age); ok && wait < 0 {
			t.Fatalf("wait %s", wait)
		}
	})
}
