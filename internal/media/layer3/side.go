package layer3

import "errors"

// The types of blocks, that is of the windows of the hybrid filter bank.
const (
	normalBlock = iota
	startBlock
	shortBlocks // three of a third of the length
	endBlock
)

// mixedSubbands are of normal blocks where blocks are mixed, whatever the others
// are.
const mixedSubbands = 2

// side is the side information of a frame (ISO/IEC 11172-3, 2.4.1.7, and
// 13818-3, 2.4.1.7).
type side struct {
	begin    int // how many bytes of main data lie in frames before
	granules [][Channels]part
}

// part is the side information of one channel of a granule.
type part struct {
	bits     int // of scale factors and spectrum
	pairs    int // big_values
	gain     int // global_gain
	compress int // scalefac_compress
	block    int
	mixed    bool // the lowest subbands are of normal blocks
	tables   [3]int
	regions  [2]int // lines at which the second and third table begin
	subGain  [3]int
	preflag  bool
	coarse   bool // scalefac_scale
	quadB    bool // count1table_select
	shared   int  // scfsi: a bit for each group whose scale factors are the last granule's
	bands    []band
}

// bitReader reads bits, the highest of a byte first. Behind its end are zeros,
// and left is below 0.
type bitReader struct {
	data []byte
	at   int // bit
	left int // bits
}

var errShort = errors.New("it is shorter than its parts")

// newBits reads n bits of data from the bit at on.
func newBits(data []byte, at, n int) (*bitReader, error) {
	if at+n > 8*len(data) {
		return nil, errShort
	}
	return &bitReader{data: data, at: at, left: n}, nil
}

// peek returns the next 32 bits, of which some may be beyond the end.
func (r *bitReader) peek() uint32 {
	var v uint64
	at := r.at / 8
	for i := range 5 {
		v <<= 8
		if at+i < len(r.data) {
			v |= uint64(r.data[at+i])
		}
	}
	return uint32(v >> (8 - r.at%8))
}

func (r *bitReader) skip(n int) {
	r.at += n
	r.left -= n
}

func (r *bitReader) take(n int) int {
	v := int(uint64(r.peek()) >> (32 - n))
	r.skip(n)
	return v
}

func (r *bitReader) flag() bool { return r.take(1) == 1 }

func readSide(b []byte, h *header) (s side, err error) {
	r := &bitReader{data: b, left: 8 * len(b)}
	shared := make([]int, h.channels) // scfsi
	if h.low {
		s.begin = r.take(8)
		s.granules = make([][Channels]part, 1)
		r.skip(h.channels) // private bits
	} else {
		s.begin = r.take(9)
		s.granules = make([][Channels]part, granules)
		r.skip(7 - 2*h.channels) // private bits
		for c := range h.channels {
			shared[c] = r.take(4)
		}
	}
	for g := range s.granules {
		for c := range h.channels {
			p := &s.granules[g][c]
			p.read(r, h)
			if g > 0 {
				p.shared = shared[c]
			}
			if 2*p.pairs > lines {
				err = errors.New("it tells of more than its lines")
			}
			if p.block < 0 {
				err = errors.New("its blocks are of no type")
			}
		}
	}
	return s, err
}

func (p *part) read(r *bitReader, h *header) {
	compressBits := 4
	if h.low {
		compressBits = 9
	}
	p.bits, p.pairs, p.gain, p.compress = r.take(12), r.take(9), r.take(8), r.take(compressBits)
	if r.flag() {
		p.block, p.mixed = r.take(2), r.flag()
		if p.block == normalBlock {
			p.block = -1 // reserved
		}
		p.tables[0], p.tables[1] = r.take(5), r.take(5)
		for i := range p.subGain {
			p.subGain[i] = r.take(3)
		}
		p.regions = [2]int{h.rate.windowRegion(h, p), lines}
	} else {
		for i := range p.tables {
			p.tables[i] = r.take(5)
		}
		first := r.take(4) + 1
		second := first + r.take(3) + 1
		p.regions = [2]int{h.rate.long[min(first, longBands)], h.rate.long[min(second, longBands)]}
	}
	if !h.low {
		p.preflag = r.flag()
	}
	p.coarse, p.quadB = r.flag(), r.flag()
	p.bands = h.rate.bands(h, p)
}
