package archive

import "time"

// schedule says when a recording that was not there is asked for again, and
// when it is given up.
type schedule struct {
	giveUpAfter time.Duration
}

// steps are the waits after the first try, the second, and so on; from then
// on the last. Providers publish most recordings within seconds, and some
// after hours.
var steps = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute,
	5 * time.Minute, 15 * time.Minute, time.Hour,
}

const (
	// leastTries are made for every recording, also when its time was over
	// before the first, because the node or the vault was down or the account
	// paused: a host may be busy for some minutes just then.
	leastTries = 6
	// triesAtLeast is how many steps fit into giveUpAfter, however short it
	// is: what comes a little later shall be found.
	triesAtLeast = 8
	// spread is by how much a step is made longer or shorter, so that what
	// failed together is not tried together for ever.
	spread = 0.2
	// learnedFactor is by how much a step is made longer or shorter at most by
	// what was learned: what is learned may be wrong.
	learnedFactor = 4
	// longestRetryAfter bounds what a host may ask for.
	longestRetryAfter = time.Hour
)

// step is the wait after the given number of tries. random is from 0 to 1.
func (s schedule) step(tries int, random float64) time.Duration {
	step := steps[min(max(tries, 1), len(steps))-1]
	step = min(step, s.giveUpAfter/triesAtLeast)
	return time.Duration(float64(step) * (1 - spread + 2*spread*random))
}

// next says how long to wait after a try that found nothing, or that it was
// the last. waited is since when the recording is wanted, learned how long it
// will take by what is known of the account, 0 if nothing is. The last try is
// made when giveUpAfter is over, neither earlier nor later.
func (s schedule) next(tries int, waited, retryAfter, learned time.Duration, random float64) (delay time.Duration, giveUp bool) {
	left := s.giveUpAfter - waited
	if left <= 0 && tries >= leastTries {
		return 0, true
	}
	delay = s.step(tries, random)
	if learned > 0 {
		delay = min(max(learned, delay/learnedFactor), delay*learnedFactor)
	}
	delay = max(delay, min(retryAfter, longestRetryAfter))
	if left > 0 {
		delay = min(delay, left)
	}
	// The queue counts in milliseconds; a fraction of one would be a try that
	// is just too early to be the last.
	return delay.Truncate(time.Millisecond) + time.Millisecond, false
}

// backOff are the waits while the vault or the database does not answer.
var backOff = []time.Duration{
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// backOffAfter is the wait after that many failures in a row, at least 1.
func backOffAfter(failures int) time.Duration {
	return backOff[min(failures, len(backOff))-1]
}
