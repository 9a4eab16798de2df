package layer3

// mostBands are those of short blocks.
const mostBands = 39

// scales are the scale factors of a channel by band; of bands that have none, 0.
type scales struct {
	of [mostBands]int
	// unknown are the bands whose scale factor says, in the right channel of
	// intensity stereo, that it is no direction.
	unknown [mostBands]bool
}

// scaleBits are those of the scale factors in MPEG 1, of the lower bands and the
// higher (11172-3, 2.4.2.7, scalefac_compress).
var scaleBits = [16][2]int{
	{0, 0}, {0, 1}, {0, 2}, {0, 3}, {3, 0}, {1, 1}, {1, 2}, {1, 3},
	{2, 1}, {2, 2}, {2, 3}, {3, 1}, {3, 2}, {3, 3}, {4, 2}, {4, 3},
}

// groups1 are the numbers of bands in each of the four groups in MPEG 1: of long
// blocks, short and mixed.
var groups1 = [3][4]int{{6, 5, 5, 5}, {9, 9, 9, 9}, {8, 9, 9, 9}}

// groupsOthers are those in MPEG 2 and 2.5 (13818-3, 2.4.3.2), by how
// scalefac_compress is to be read, the last three for the right channel of
// intensity stereo.
var groupsOthers = [6][3][4]int{
	{{6, 5, 5, 5}, {9, 9, 9, 9}, {6, 9, 9, 9}},
	{{6, 5, 7, 3}, {9, 9, 12, 6}, {6, 9, 12, 6}},
	{{11, 10, 0, 0}, {18, 18, 0, 0}, {15, 18, 0, 0}},
	{{7, 7, 7, 0}, {12, 12, 12, 0}, {6, 15, 12, 0}},
	{{6, 6, 6, 3}, {12, 9, 9, 6}, {6, 12, 9, 6}},
	{{8, 8, 5, 0}, {15, 12, 9, 0}, {6, 18, 9, 0}},
}

// read reads the scale factors of a channel of a granule. They are in the order
// of bands, in four groups, each of which has its number of bits.
func (s *scales) read(r *bitReader, h *header, p *part, granule, channel int) {
	kind := 0
	if p.block == shortBlocks {
		kind = 1
		if p.mixed {
			kind = 2
		}
	}
	var bits [4]int
	groups := groups1[kind]
	directions := false
	if h.low {
		var how int
		directions = h.intensity && channel == 1
		how, bits = p.scaleBits(directions)
		groups = groupsOthers[how][kind]
	} else {
		both := scaleBits[p.compress]
		bits = [4]int{both[0], both[0], both[1], both[1]}
	}
	last := *s
	*s = scales{}
	at := 0
	for i, n := range groups {
		keep := granule > 0 && kind == 0 && p.shared>>(3-i)&1 == 1
		for range n {
			if keep {
				s.of[at] = last.of[at]
			} else if bits[i] > 0 {
				s.of[at] = r.take(bits[i])
				s.unknown[at] = directions && s.of[at] == 1<<bits[i]-1
			}
			at++
		}
	}
}

// scaleBits are those of the four groups in MPEG 2 and 2.5, and which of
// groupsOthers has their sizes. It sets preflag, which is part of how they are
// coded there.
func (p *part) scaleBits(directions bool) (how int, bits [4]int) {
	c := p.compress
	if directions {
		switch c /= 2; { // the last bit is the scale of the directions
		case c < 180:
			return 3, [4]int{c / 36, c % 36 / 6, c % 6}
		case c < 244:
			c -= 180
			return 4, [4]int{c >> 4, c >> 2 & 3, c & 3}
		}
		c -= 244
		return 5, [4]int{c / 3, c % 3}
	}
	switch {
	case c < 400:
		return 0, [4]int{c >> 4 / 5, c >> 4 % 5, c >> 2 & 3, c & 3}
	case c < 500:
		c -= 400
		return 1, [4]int{c >> 2 / 5, c >> 2 % 5, c & 3}
	}
	p.preflag = true
	c -= 500
	return 2, [4]int{c / 3, c % 3}
}
