package reports

import (
	"maps"
	"math"
	"slices"
)

// nearSeconds bounds the durations that Durations counts in a slice; longer
// ones are rare and go to a map.
const nearSeconds = 4 * 3600

// Durations collects durations in whole seconds, exactly and in little memory:
// it counts how often each occurs. Negative ones are not durations and are left
// out.
type Durations struct {
	count, sum int64
	near       []uint32
	far        map[int]uint32
}

// Add adds a duration in seconds; nil is not known and is left out.
func (d *Durations) Add(seconds *int) {
	if seconds == nil || *seconds < 0 {
		return
	}
	s := *seconds
	d.count++
	d.sum += int64(s)
	if s >= nearSeconds {
		if d.far == nil {
			d.far = make(map[int]uint32)
		}
		d.far[s]++
		return
	}
	if s >= len(d.near) {
		d.near = append(d.near, make([]uint32, s+1-len(d.near))...)
	}
	d.near[s]++
}

// addSum adds durations of which only number and sum are known: of the
// collection just Count, Sum and Mean are told then.
func (d *Durations) addSum(count, sum int64) {
	d.count += count
	d.sum += sum
}

// merge adds all durations of another collection.
func (d *Durations) merge(o *Durations) {
	d.count += o.count
	d.sum += o.sum
	if len(o.near) > len(d.near) {
		d.near = append(d.near, make([]uint32, len(o.near)-len(d.near))...)
	}
	for s, n := range o.near {
		d.near[s] += n
	}
	if d.far == nil && o.far != nil {
		d.far = make(map[int]uint32)
	}
	for s, n := range o.far {
		d.far[s] += n
	}
}

// Count is how many durations are known.
func (d *Durations) Count() int64 { return d.count }

// Sum is their sum in seconds.
func (d *Durations) Sum() int64 { return d.sum }

// Mean is the mean in seconds; NaN without durations, as all that follow.
func (d *Durations) Mean() float64 { return ratio(d.sum, d.count) }

// Median is the middle duration, or the mean of the two in the middle.
func (d *Durations) Median() float64 {
	if d.count == 0 {
		return math.NaN()
	}
	return (d.at((d.count+1)/2) + d.at(d.count/2+1)) / 2
}

// Percentile is the shortest duration that at least p percent of all do not
// exceed (nearest rank). p is 1 to 100.
func (d *Durations) Percentile(p int64) float64 { return d.at((d.count*p + 99) / 100) }

// Longest is the longest duration.
func (d *Durations) Longest() float64 { return d.at(d.count) }

// at is the rank-th shortest duration, counted from 1.
func (d *Durations) at(rank int64) float64 {
	for seconds, n := range d.near {
		if rank -= int64(n); n > 0 && rank <= 0 {
			return float64(seconds)
		}
	}
	for _, seconds := range slices.Sorted(maps.Keys(d.far)) {
		if rank -= int64(d.far[seconds]); rank <= 0 {
			return float64(seconds)
		}
	}
	return math.NaN()
}

// ratio is a/b, NaN if b is 0: an empty denominator has no rate.
func ratio(a, b int64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return float64(a) / float64(b)
}
