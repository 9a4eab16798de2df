package layer3

import "slices"

const (
	longBands  = 22
	shortWidth = lines / 3
)

// rate is what depends on the sampling rate: at which lines the scale factor
// bands of long and short blocks begin (ISO/IEC 11172-3, table B.8; 13818-3,
// table B.2; those of 2.5 are in no standard), and the bands that follow.
type rate struct {
	long, short         []int
	ofLong, ofShort     []band
	mixed1, mixedOthers []band // of MPEG 1, and of the others
}

// band is a scale factor band of a granule, of lines in the order in which they
// are coded: of short blocks a band of one block, behind which come those of the
// same frequencies of the other two.
type band struct {
	from, to int
	window   int // of short blocks; -1: long
}

// rates are by version and index, as in a header.
var rates = [4][3]rate{
	0: { // MPEG 2.5: 11.025, 12 and 8 kHz
		newRate(long16, short16), newRate(long16, short16),
		newRate(
			[]int{0, 12, 24, 36, 48, 60, 72, 88, 108, 132, 160, 192, 232, 280, 336, 400, 476, 566, 568, 570, 572, 574, lines},
			[]int{0, 8, 16, 24, 36, 52, 72, 96, 124, 160, 162, 164, 166, shortWidth}),
	},
	2: { // MPEG 2: 22.05, 24 and 16 kHz
		newRate(long16, []int{0, 4, 8, 12, 18, 24, 32, 42, 56, 74, 100, 132, 174, shortWidth}),
		newRate(
			[]int{0, 6, 12, 18, 24, 30, 36, 44, 54, 66, 80, 96, 114, 136, 162, 194, 232, 278, 332, 394, 464, 540, lines},
			[]int{0, 4, 8, 12, 18, 26, 36, 48, 62, 80, 104, 136, 180, shortWidth}),
		newRate(long16, short16),
	},
	3: { // MPEG 1: 44.1, 48 and 32 kHz
		newRate(
			[]int{0, 4, 8, 12, 16, 20, 24, 30, 36, 44, 52, 62, 74, 90, 110, 134, 162, 196, 238, 288, 342, 418, lines},
			[]int{0, 4, 8, 12, 16, 22, 30, 40, 52, 66, 84, 106, 136, shortWidth}),
		newRate(
			[]int{0, 4, 8, 12, 16, 20, 24, 30, 36, 42, 50, 60, 72, 88, 106, 128, 156, 190, 230, 276, 330, 384, lines},
			[]int{0, 4, 8, 12, 16, 22, 28, 38, 50, 64, 80, 100, 126, shortWidth}),
		newRate(
			[]int{0, 4, 8, 12, 16, 20, 24, 30, 36, 44, 54, 66, 82, 102, 126, 156, 194, 240, 296, 364, 448, 550, lines},
			[]int{0, 4, 8, 12, 16, 22, 30, 42, 58, 78, 104, 138, 180, shortWidth}),
	},
}

var (
	long16  = []int{0, 6, 12, 18, 24, 30, 36, 44, 54, 66, 80, 96, 116, 140, 168, 200, 238, 284, 336, 396, 464, 522, lines}
	short16 = []int{0, 4, 8, 12, 18, 26, 36, 48, 62, 80, 104, 134, 174, shortWidth}
)

// Mixed blocks have so many long bands, and then short ones from firstShort on.
const (
	mixedLong1      = 8 // in MPEG 1
	mixedLongOthers = 6
	firstShort      = 3
)

func newRate(long, short []int) rate {
	r := rate{long: long, short: short}
	for i := range longBands {
		r.ofLong = append(r.ofLong, band{long[i], long[i+1], -1})
	}
	for i := range len(short) - 1 {
		for window := range 3 {
			width := short[i+1] - short[i]
			from := 3*short[i] + window*width
			r.ofShort = append(r.ofShort, band{from, from + width, window})
		}
	}
	mixed := func(n int) []band {
		return slices.Concat(r.ofLong[:n], r.ofShort[3*firstShort:])
	}
	r.mixed1, r.mixedOthers = mixed(mixedLong1), mixed(mixedLongOthers)
	return r
}

func (r *rate) bands(h *header, p *part) []band {
	switch {
	case p.block != shortBlocks:
		return r.ofLong
	case !p.mixed:
		return r.ofShort
	case h.low:
		return r.mixedOthers
	}
	return r.mixed1
}

// windowRegion is where the second table begins in a granule that is not of
// normal blocks, and does not say (11172-3, 2.4.2.7, region0_count).
func (r *rate) windowRegion(h *header, p *part) int {
	switch {
	case p.block == shortBlocks && !p.mixed:
		return 3 * r.short[firstShort]
	case p.block == shortBlocks && h.low && !h.extended:
		return r.long[mixedLongOthers]
	}
	return r.long[8]
}
