// Package layer3 decodes MPEG audio, layer III: MPEG 1 (ISO/IEC 11172-3), MPEG 2
// (ISO/IEC 13818-3, the low sampling rates), and MPEG 2.5, Fraunhofer's extension
// of it to the sampling rates of telephones. It decodes whole frames, which the
// caller has found, and as precisely as float64 is; layers I and II are others'.
package layer3

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// FrameSamples are the most that a frame has of one channel.
	FrameSamples = granules * lines
	// Channels are the most that a frame has.
	Channels = 2

	granules = 2   // of a frame of MPEG 1; of others one
	lines    = 576 // of the spectrum, and samples, of a granule
	subbands = 32
	slots    = lines / subbands // samples of a subband in a granule

	headerBytes = 4
	crcBytes    = 2
	// mostReserve is how far back main data may begin.
	mostReserve = 511
)

// ErrReserve says that a frame borrows bits from frames that the Decoder did not
// see, as at the beginning of what was cut out of a longer recording.
var ErrReserve = errors.New("it borrows bits from frames that are not there")

// Decoder decodes the frames of one stream in their order. The zero value is at
// the beginning of one.
type Decoder struct {
	// reserve is the end of the main data so far.
	reserve []byte
	scales  [Channels]scales
	synths  [Channels]synth
	spectra [Channels]spectrum
	pcm     [Channels][FrameSamples]float64
}

// header is what a frame's header says to the decoder.
type header struct {
	rate       *rate
	low        bool // MPEG 2 or 2.5
	extended   bool // MPEG 2.5
	channels   int
	midSide    bool
	intensity  bool
	sideAt     int // where the side information begins
	mainDataAt int
}

// readHeader reads the header of a frame, all of which is there.
func readHeader(frame []byte) (h header, err error) {
	if len(frame) < headerBytes {
		return h, errors.New("it has no header")
	}
	v := binary.BigEndian.Uint32(frame)
	version, sampling := v>>19&3, v>>10&3
	if v>>21 != 0x7FF || version == 1 || v>>17&3 != 1 || sampling == 3 {
		return h, fmt.Errorf("%#x begins no frame of layer III", v)
	}
	h = header{low: version != 3, extended: version == 0, channels: Channels, sideAt: headerBytes}
	h.rate = &rates[version][sampling]
	switch v >> 6 & 3 {
	case 1:
		h.midSide, h.intensity = v>>5&1 == 1, v>>4&1 == 1
	case 3:
		h.channels = 1
	default:
	}
	if v>>16&1 == 0 {
		h.sideAt += crcBytes
	}
	side := [...]int{17, 32}
	if h.low {
		side = [...]int{9, 17}
	}
	h.mainDataAt = h.sideAt + side[h.channels-1]
	if len(frame) < h.mainDataAt {
		return h, errors.New("it is too short for its side information")
	}
	return h, nil
}

// Decode decodes a frame, header included: into the samples of each channel, of
// full scale from -1 to 1, which loud ones may exceed. They are valid until the
// next call. An error says that the frame has no sound that can be known; the
// next one may have.
func (d *Decoder) Decode(frame []byte) ([][]float64, error) {
	h, err := readHeader(frame)
	if err != nil {
		return nil, err
	}
	side, err := readSide(frame[h.sideAt:h.mainDataAt], &h)
	data := frame[h.mainDataAt:]
	begin := len(d.reserve) - side.begin
	d.reserve = append(d.reserve, data...)
	if err == nil && begin < 0 {
		err = ErrReserve
	}
	if err == nil {
		err = d.granules(&h, &side, d.reserve[begin:])
	}
	if n := len(d.reserve) - mostReserve; n > 0 {
		d.reserve = append(d.reserve[:0], d.reserve[n:]...)
	}
	if err != nil {
		d.synths = [Channels]synth{} // what came before does not resound behind a gap
		return nil, err
	}
	pcm := make([][]float64, h.channels)
	for c := range pcm {
		pcm[c] = d.pcm[c][:len(side.granules)*lines]
	}
	return pcm, nil
}

// granules decodes the main data of a frame.
func (d *Decoder) granules(h *header, side *side, data []byte) error {
	from := 0
	for g := range side.granules {
		for c := range h.channels {
			part := &side.granules[g][c]
			r, err := newBits(data, from, part.bits)
			if err != nil {
				return err
			}
			from += part.bits
			d.scales[c].read(r, h, part, g, c)
			if err := d.spectra[c].read(r, part, &d.scales[c]); err != nil {
				return err
			}
		}
		if h.intensity || h.midSide {
			d.joinStereo(h, &side.granules[g][1])
		}
		for c := range h.channels {
			part := &side.granules[g][c]
			d.spectra[c].toSubbands(part)
			d.synths[c].granule(&d.spectra[c].line, part, (*[lines]float64)(d.pcm[c][g*lines:]))
		}
	}
	return nil
}
