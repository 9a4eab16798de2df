package layer3

import "math"

// centre is the direction in MPEG 1 from which both channels are as loud, and
// noDirection the one that says that it is none.
const (
	centre      = 3
	noDirection = 7
)

// joinStereo makes left and right of what was coded together (11172-3,
// 2.4.3.4.9, and 13818-3, 2.4.3.2). right is the side information of the second
// channel.
func (d *Decoder) joinStereo(h *header, right *part) {
	top := [3]int{lines, lines, lines} // from which band on the right channel is empty
	if h.intensity {
		top = d.spectra[1].top(right.bands)
	}
	for i, b := range right.bands {
		window := max(b.window, 0)
		directed := i >= top[window]
		var l, r float64
		if directed {
			l, r, directed = d.direction(h, right, i, top[window])
		}
		left, side := d.spectra[0].line[b.from:b.to], d.spectra[1].line[b.from:b.to]
		switch {
		case directed:
			for k, v := range left {
				left[k], side[k] = v*l, v*r
			}
		case h.midSide:
			for k, v := range left {
				left[k], side[k] = (v+side[k])/math.Sqrt2, (v-side[k])/math.Sqrt2
			}
		}
	}
}

// top is behind the last band of each window in which something sounds. Of mixed
// blocks it is the same for all.
func (s *spectrum) top(bands []band) (top [3]int) {
	for i, b := range bands {
		for _, v := range s.line[b.from:b.to] {
			if v != 0 {
				top[max(b.window, 0)] = i + 1
				break
			}
		}
	}
	if last := bands[len(bands)-1]; last.window >= 0 && bands[0].window < 0 {
		most := max(top[0], top[1], top[2])
		top = [3]int{most, most, most}
	}
	return top
}

// direction is how loud each channel is in a band of intensity stereo; ok is
// false where the band is none. The highest band has no scale factor of its own:
// it goes by the one below, if that has a direction.
func (d *Decoder) direction(h *header, p *part, i, top int) (left, right float64, ok bool) {
	scale := &d.scales[1]
	below := 1
	if p.bands[i].window >= 0 {
		below = 3
	}
	at := scale.of[i]
	unknown := scale.unknown[i]
	if i >= len(p.bands)-below {
		if i -= below; i >= top {
			at, unknown = scale.of[i], scale.unknown[i]
		} else if at = 0; !h.low {
			at = centre
		}
	}
	if !h.low {
		angle := float64(at) * math.Pi / 12
		sin, cos := math.Sincos(angle)
		return sin / (sin + cos), cos / (sin + cos), at < noDirection
	}
	root := -1.0 / 4
	if p.compress&1 == 1 {
		root = -1.0 / 2
	}
	by := math.Exp2(root * float64((at+1)/2))
	if at%2 == 1 {
		return by, 1, !unknown
	}
	return 1, by, !unknown
}
