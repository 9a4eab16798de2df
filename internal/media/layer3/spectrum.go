package layer3

import (
	"errors"
	"math"
	"sync"
)

// spectrum is that of a channel of a granule, and after toSubbands the samples of
// its subbands' transforms: slots of each in a row.
type spectrum struct {
	line [lines]float64
}

const (
	// quadA and quadB are the codebooks of quadruples.
	quadA = 32
	quadB = 33
	// mostValue is 15 and what 13 bits add to it.
	mostValue = 15 + 1<<13 - 1
	// escape is the value to which further bits are added, if the table has any.
	escape = 15
	// gainOfOne is the global_gain that leaves values as they are.
	gainOfOne = 210
)

// linBits are the bits added to values of 15, by table: the tables from 16 and
// from 24 on share a codebook each.
var linBits = [32]int{16: 1, 2, 3, 4, 6, 8, 10, 13, 4, 5, 6, 7, 8, 9, 11, 13}

// preEmphasis is added to scale factors of long blocks where preflag is set
// (11172-3, table B.6).
var preEmphasis = [longBands]int{11: 1, 1, 1, 1, 2, 2, 3, 3, 3, 2}

// code is a codebook made ready.
type code struct {
	words  []uint32 // left-aligned, rising
	leaves []uint16 // as in codebooks
	first  [256]uint16
}

// codes are the codebooks of the tables, nil for those that have none.
var codes = sync.OnceValue(func() *[34]*code {
	var all [34]*code
	for n, leaves := range codebooks {
		c := &code{leaves: leaves}
		next, word := 0, uint32(0)
		for i, leaf := range leaves {
			c.words = append(c.words, word)
			word += 1 << (32 - leaf>>8)
			for ; next <= int((word-1)>>24); next++ { // the words that begin so begin here
				c.first[next] = uint16(i)
			}
		}
		all[n] = c
	}
	for n := range all {
		if n > 16 && n < 24 {
			all[n] = all[16]
		} else if n > 24 && n < quadA {
			all[n] = all[24]
		}
	}
	return &all
})

// next reads the next word's values.
func (c *code) next(r *bitReader) int {
	bits := r.peek()
	i := int(c.first[bits>>24])
	for i+1 < len(c.words) && c.words[i+1] <= bits {
		i++
	}
	r.skip(int(c.leaves[i] >> 8))
	return int(c.leaves[i] & 0xFF)
}

// powers are the values to the power of 4/3.
var powers = sync.OnceValue(func() *[mostValue + 1]float64 {
	var all [mostValue + 1]float64
	for i := range all {
		all[i] = math.Pow(float64(i), 4.0/3)
	}
	return &all
})

var errOverrun = errors.New("its spectrum is longer than it says")

// read reads the spectrum of a channel of a granule, what r has left, and makes
// it as loud as the scale factors say.
func (s *spectrum) read(r *bitReader, p *part, scale *scales) error {
	s.line = [lines]float64{}
	all, power := codes(), powers()
	signed := func(v int) float64 {
		if v != 0 && r.flag() {
			return -power[v]
		}
		return power[v]
	}
	for i := 0; i < 2*p.pairs; i += 2 {
		table := p.tables[2]
		if i < p.regions[0] {
			table = p.tables[0]
		} else if i < p.regions[1] {
			table = p.tables[1]
		}
		if table == 0 {
			continue // of nothing but zeros
		}
		c := all[table]
		if c == nil {
			return errors.New("it is coded by a table that does not exist")
		}
		both := c.next(r)
		x, y := both>>4, both&0xF
		if x == escape && linBits[table] > 0 {
			x += r.take(linBits[table])
		}
		s.line[i] = signed(x)
		if y == escape && linBits[table] > 0 {
			y += r.take(linBits[table])
		}
		s.line[i+1] = signed(y)
		if r.left < 0 {
			return errOverrun
		}
	}
	quad := all[quadA]
	if p.quadB {
		quad = all[quadB]
	}
	for i := 2 * p.pairs; i+4 <= lines && r.left > 0; i += 4 {
		four := quad.next(r)
		for k := range 4 {
			s.line[i+k] = signed(four >> (3 - k) & 1)
		}
		if r.left < 0 { // what fills up the part looked like the beginning of one
			clear(s.line[i : i+4])
		}
	}
	s.scale(p, scale)
	return nil
}

// scale makes each band as loud as it is (11172-3, 2.4.3.4.7).
func (s *spectrum) scale(p *part, scale *scales) {
	step := 2 // in quarters of a power of two
	if p.coarse {
		step = 4
	}
	for i, b := range p.bands {
		quarters := p.gain - gainOfOne
		factor := scale.of[i]
		if b.window >= 0 {
			quarters -= 8 * p.subGain[b.window]
		} else if p.preflag && i < longBands {
			factor += preEmphasis[i]
		}
		by := math.Exp2(float64(quarters-step*factor) / 4)
		for k := b.from; k < b.to; k++ {
			s.line[k] *= by
		}
	}
}

// The coefficients of alias reduction (11172-3, table B.9): cs and ca.
var antiAlias = func() (both [8][2]float64) {
	for i, c := range [8]float64{-0.6, -0.535, -0.33, -0.185, -0.095, -0.041, -0.0142, -0.0037} {
		both[i] = [2]float64{1 / math.Hypot(1, c), c / math.Hypot(1, c)}
	}
	return both
}()

// toSubbands orders the lines of short blocks by frequency, and takes out of
// neighbouring subbands what each has of the other.
func (s *spectrum) toSubbands(p *part) {
	borders := subbands - 1
	if p.block == shortBlocks {
		s.reorder(p.bands)
		borders = 0
		if p.mixed {
			borders = mixedSubbands - 1
		}
	}
	for border := range borders {
		at := (border + 1) * slots
		for i, c := range antiAlias {
			up, down := &s.line[at-1-i], &s.line[at+i]
			*up, *down = *up*c[0]-*down*c[1], *down*c[0]+*up*c[1]
		}
	}
}

// reorder puts lines of the same frequency of three short blocks side by side.
func (s *spectrum) reorder(bands []band) {
	from := 0 // where short blocks begin
	for len(bands) > 0 && bands[0].window < 0 {
		from = bands[0].to
		bands = bands[1:]
	}
	var ordered [lines]float64
	for i, b := range bands {
		first := bands[i-b.window].from
		for k := b.from; k < b.to; k++ {
			ordered[first+3*(k-b.from)+b.window] = s.line[k]
		}
	}
	copy(s.line[from:], ordered[from:])
}
