package layer3

import (
	"math"
	"math/bits"
)

// synth is the hybrid filter bank of a channel, with what resounds in it.
type synth struct {
	overlap [lines]float64 // second halves of the last granule's transforms
	ring    [16][64]float64
	newest  int
}

// blockWindows are those of the long blocks, by type (11172-3, 2.4.3.4.10.3), and
// shortWindow is that of one short block.
var (
	blockWindows = func() (w [4][2 * slots]float64) {
		for i := range slots {
			rise := math.Sin(math.Pi / 36 * (float64(i) + 0.5))
			w[normalBlock][i], w[normalBlock][2*slots-1-i] = rise, rise
			w[startBlock][i], w[endBlock][2*slots-1-i] = rise, rise
			short := 1.0
			switch {
			case i < 6:
				short = 0
			case i < 12:
				short = shortWindow[i-6]
			}
			w[endBlock][i], w[startBlock][2*slots-1-i] = short, short
		}
		return w
	}()
	shortWindow = func() (w [12]float64) {
		for i := range w {
			w[i] = math.Sin(math.Pi / 12 * (float64(i) + 0.5))
		}
		return w
	}()
	longCosines  = cosines(slots)
	shortCosines = cosines(slots / 3)
)

// cosines are those of an inverse modified transform of n lines into 2n samples,
// n to a sample (11172-3, 2.4.3.4.10.2).
func cosines(n int) []float64 {
	all := make([]float64, 0, 2*n*n)
	for i := range 2 * n {
		for k := range n {
			all = append(all, math.Cos(math.Pi/float64(4*n)*float64((2*i+1+n)*(2*k+1))))
		}
	}
	return all
}

// granule makes the samples of a granule.
func (s *synth) granule(line *[lines]float64, p *part, pcm *[lines]float64) {
	var samples [slots][subbands]float64
	normal := 0
	if p.mixed {
		normal = mixedSubbands
	}
	for b := range subbands {
		in := line[b*slots:][:slots]
		block := p.block
		if b < normal {
			block = normalBlock
		}
		var out [2 * slots]float64
		switch {
		case allZero(in):
		case block == shortBlocks:
			transformShort(in, &out)
		default:
			transform(in, longCosines, out[:])
			for i, w := range blockWindows[block] {
				out[i] *= w
			}
		}
		overlap := s.overlap[b*slots:][:slots]
		for i := range slots {
			v := out[i] + overlap[i]
			if b%2 == 1 && i%2 == 1 { // odd subbands are upside down
				v = -v
			}
			samples[i][b] = v
		}
		copy(overlap, out[slots:])
	}
	for i := range samples {
		s.filter(&samples[i], pcm[i*subbands:][:subbands])
	}
}

func allZero(in []float64) bool {
	for _, v := range in {
		if v != 0 {
			return false
		}
	}
	return true
}

// transform is an inverse modified cosine transform. The samples of either half
// mirror each other: the first with the sign turned.
func transform(in, cosines, out []float64) {
	n := len(in)
	for i := range n / 2 {
		first, second := cosines[i*n:][:n], cosines[(i+n)*n:][:n]
		a, b := 0.0, 0.0
		for k, v := range in {
			a += v * first[k]
			b += v * second[k]
		}
		out[i], out[n-1-i] = a, -a
		out[n+i], out[2*n-1-i] = b, b
	}
}

// transformShort transforms three short blocks, whose lines take turns.
func transformShort(in []float64, out *[2 * slots]float64) {
	const n = slots / 3
	for window := range 3 {
		var lines [n]float64
		var samples [2 * n]float64
		for k := range lines {
			lines[k] = in[3*k+window]
		}
		transform(lines[:], shortCosines, samples[:])
		for i, v := range samples {
			out[n*(window+1)+i] += v * shortWindow[i]
		}
	}
}

// filter makes subbands samples of one of each subband (11172-3, annex A, figure
// A.2): a cosine transform, of which the last sixteen sound through a window.
func (s *synth) filter(in *[subbands]float64, out []float64) {
	v := *in
	dct(v[:])
	s.newest = (s.newest + len(s.ring) - 1) % len(s.ring)
	vector := &s.ring[s.newest]
	for i := range 16 {
		vector[i] = v[16+i]
		vector[32-i] = -v[16+i]
		vector[48+i] = -v[i]
		vector[48-i] = -v[i]
	}
	vector[16] = 0
	clear(out)
	for t := range len(s.ring) {
		from := s.ring[(s.newest+t)%len(s.ring)][t%2*subbands:][:len(out)]
		through := synthWindow[t*subbands:][:len(out)]
		for i, v := range from {
			out[i] += v * through[i]
		}
	}
}

// synthWindow is window as it is meant.
var synthWindow = func() (w [len(window)]float64) {
	for i, v := range window {
		w[i] = float64(v) / (1 << 16)
	}
	return w
}()

// dctFactors are those of dct, by the logarithm of its length.
var dctFactors = func() (all [6][]float64) {
	for level := 1; level < len(all); level++ {
		n := 1 << level
		for i := range n / 2 {
			all[level] = append(all[level], 1/(2*math.Cos(math.Pi/float64(n)*(float64(i)+0.5))))
		}
	}
	return all
}()

// dct is the cosine transform (type II, of a power of two) after Lee, in place.
func dct(v []float64) {
	n := len(v)
	if n == 1 {
		return
	}
	var halves [subbands]float64
	even, odd := halves[:n/2], halves[n/2:n]
	for i, c := range dctFactors[bits.TrailingZeros(uint(n))] {
		even[i] = v[i] + v[n-1-i]
		odd[i] = (v[i] - v[n-1-i]) * c
	}
	dct(even)
	dct(odd)
	for i := range n / 2 {
		v[2*i], v[2*i+1] = even[i], odd[i]
		if i+1 < n/2 {
			v[2*i+1] += odd[i+1]
		}
	}
}
