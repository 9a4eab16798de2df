package call

import "time"

// Readiness is what an account's recordings have taught about how long after
// the end of its call a recording is ready: a histogram that forgets, so that
// it follows a provider that changes.
type Readiness struct {
	Account string
	// Weights are by ReadyBounds, the last of what comes after them all. Their
	// sum is at most readyMemory.
	Weights []float64
	// Observations counts all that were ever learned from.
	Observations int64
	UpdatedAt    time.Time
}

// ReadyInterval says that a recording became ready between two moments, both
// counted from the end of its call: it was asked for in vain at the first
// (0: never), and was there at the second.
type ReadyInterval struct{ After, Until time.Duration }

const (
	// readyMemory is after how many observations an old one counts a third.
	readyMemory = 500
	// readyEnough are the fewest observations that a schedule follows.
	readyEnough = 50
	// readyDoubt is the share of the weight that is thought possible anywhere:
	// what never happened may happen.
	readyDoubt = 0.02
	// readyRest is the share of recordings below which there is no telling any
	// more when the rest will come.
	readyRest = 0.02
	// ReadyWindow is how long after its call a recording may first be told of
	// for its readiness to count: of those from imports and call lists nobody
	// knows when they were ready.
	ReadyWindow = 15 * time.Minute
)

// ReadyBounds are the upper bounds of the weights of a Readiness.
func ReadyBounds() []time.Duration {
	seconds := []int{1, 2, 3, 5, 8, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600}
	bounds := make([]time.Duration, len(seconds))
	for i, s := range seconds {
		bounds[i] = time.Duration(s) * time.Second
	}
	return bounds
}

// bucket is where the i-th weight begins and ends. The last, which has no end,
// is taken for as long as all before it.
func bucket(bounds []time.Duration, i int) (from, to time.Duration) {
	if i > 0 {
		from = bounds[i-1]
	}
	if i == len(bounds) {
		return from, 2 * from
	}
	return from, bounds[i]
}

// Learn takes in one observation. An interval does not say when in it the
// recording became ready, so its weight goes to where the others became ready:
// in the long run that finds what is most likely for all intervals together
// (Turnbull's self-consistent estimate, one step for each observation).
func (r *Readiness) Learn(o ReadyInterval) {
	bounds := ReadyBounds()
	if len(r.Weights) != len(bounds)+1 {
		r.Weights = make([]float64, len(bounds)+1)
	}
	longest := 2 * bounds[len(bounds)-1]
	o.After = min(max(o.After, 0), longest-1)
	o.Until = min(max(o.Until, o.After+1), longest)
	doubt := max(r.total(), 1) * readyDoubt / float64(len(r.Weights))
	shares, sum := make([]float64, len(r.Weights)), 0.0
	for i := range r.Weights {
		from, to := bucket(bounds, i)
		covered := min(to, o.Until) - max(from, o.After)
		if covered > 0 {
			shares[i] = (r.Weights[i] + doubt) * float64(covered) / float64(to-from)
			sum += shares[i]
		}
	}
	for i := range r.Weights {
		r.Weights[i] = r.Weights[i]*(1-1.0/readyMemory) + shares[i]/sum
	}
	r.Observations++
}

func (r *Readiness) total() (sum float64) {
	for _, w := range r.Weights {
		sum += w
	}
	return sum
}

// Learned says that there is enough to go by.
func (r *Readiness) Learned() bool { return r.Observations >= readyEnough }

// Quantile is how long after the end of its call a share of the recordings, 0
// to 1, is ready; 0 when nothing is known.
func (r *Readiness) Quantile(share float64) time.Duration {
	bounds := ReadyBounds()
	left := share * r.total()
	var at time.Duration
	for i, w := range r.Weights {
		if w == 0 {
			continue
		}
		from, to := bucket(bounds, i)
		if left <= w {
			return from + time.Duration(left/w*float64(to-from))
		}
		left -= w
		at = to
	}
	return at
}

// ReadyBy is the share of the recordings that are ready so long after the end
// of their call, 0 to 1.
func (r *Readiness) ReadyBy(age time.Duration) float64 {
	total := r.total()
	if total == 0 {
		return 0
	}
	bounds, sum := ReadyBounds(), 0.0
	for i, w := range r.Weights {
		from, to := bucket(bounds, i)
		sum += w * min(1, max(0, float64(age-from)/float64(to-from)))
	}
	return sum / total
}

// FirstTry is how long after the end of its call a recording is best asked for
// first: when half of them are ready. Now and then somebody must ask earlier,
// or nobody would notice that they have become ready earlier; early says so.
// It is false while too little is known.
func (r *Readiness) FirstTry(early bool) (time.Duration, bool) {
	if !r.Learned() {
		return 0, false
	}
	median := r.Quantile(0.5)
	if early {
		return median / 2, true
	}
	return median, true
}

// NextTry is how long to wait after a recording was not ready at an age: until
// half of those that are not ready by then have become so. It is false when too
// little is known of such.
func (r *Readiness) NextTry(age time.Duration) (time.Duration, bool) {
	ready := r.ReadyBy(age)
	if !r.Learned() || 1-ready < readyRest {
		return 0, false
	}
	return max(r.Quantile((1+ready)/2)-age, 0), true
}
