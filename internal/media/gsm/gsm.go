// Package gsm decodes speech of GSM 06.10, full rate: ETSI EN 300 961, whose
// sections and names of variables it keeps. The arithmetic is that of section
// 5.1, sixteen bits that saturate, so the samples are those of any other
// conforming decoder, to the bit.
package gsm

import (
	"errors"
	"fmt"
	"math"
)

const (
	// SampleRate is that of telephones, in Hz.
	SampleRate = 8000
	// Samples are those of one frame, 20 ms.
	Samples = 160
	// FrameBytes is the size of a frame by itself (RFC 3551, section 4.5.8.1):
	// 4 bits of signature, then 260 of parameters, the highest bit of each first.
	FrameBytes = 33
	// BlockBytes is the size of a block of Microsoft's GSM 6.10 (WAV49), format
	// tag 0x31: the parameters of two frames without signatures, the lowest bit
	// of each first, in the low bits of the first byte.
	BlockBytes = 65
	// BlockSamples are those of a block.
	BlockSamples = 2 * Samples

	signature     = 0xD
	signatureBits = 4
)

// parameters of a frame, in the order in which they are sent (table 1.1): eight
// coded log area ratios, then of each subframe lag, gain, grid, block maximum
// and pulses.
const (
	ratios     = 8
	subframes  = 4
	pulses     = 13
	perFrame   = 4 + pulses // of a subframe
	parameters = ratios + subframes*perFrame
	subSamples = Samples / subframes
	longestLag = 120
	lowestLag  = 40
	lagBits    = 7
	gainBits   = 2
	gridBits   = 2
	maxBits    = 6
	pulseBits  = 3
)

// ratioBits are those of the coded log area ratios.
var ratioBits = [ratios]int{6, 6, 5, 5, 4, 4, 3, 3}

// The constants of the decoder.
var (
	// Table 5.1: how log area ratios are quantised.
	ratioB   = [ratios]int32{0, 0, 2048, -2560, 94, -1792, -341, -1144}
	ratioMIC = [ratios]int32{-32, -32, -16, -16, -8, -8, -4, -4}
	// Table 5.2: 1/A of them.
	ratioINVA = [ratios]int32{13107, 13107, 13107, 13107, 19223, 17476, 31454, 29708}
	// Table 5.3b: levels of the long term gain.
	gainQLB = [4]int32{3277, 11469, 21299, 32767}
	// Table 5.6: normalised mantissas of the pulses.
	pulseFAC = [8]int32{18431, 20479, 22527, 24575, 26623, 28671, 30719, 32767}
)

// Decoder decodes the frames of one channel in their order. What was decoded
// before resounds in what follows. Make it with NewDecoder.
type Decoder struct {
	ratios   [ratios]int32                  // LARpp of the frame before
	residual [longestLag + subSamples]int32 // drp: what was reconstructed, the subframe under way last
	lag      int                            // nrp: the last that was in its range
	lattice  [ratios + 1]int32              // v
	emphasis int32                          // msr
}

// NewDecoder returns a Decoder at the beginning of speech.
func NewDecoder() *Decoder { return &Decoder{lag: lowestLag} }

// IsFrame reports whether something is of the size of a frame by itself and has
// its signature.
func IsFrame(b []byte) bool { return len(b) == FrameBytes && b[0]>>4 == signature }

// Decode decodes a frame of FrameBytes into Samples samples. The error says that
// it is none; it leaves the Decoder as it was.
func (d *Decoder) Decode(frame []byte, pcm *[Samples]int16) error {
	if !IsFrame(frame) {
		return errors.New("it is no GSM frame")
	}
	at := signatureBits
	d.decode(unpack(func(bits int) (v int32) {
		for range bits {
			v = v<<1 | int32(frame[at/8]>>(7-at%8)&1)
			at++
		}
		return v
	}), pcm[:])
	return nil
}

// DecodeBlock decodes a block of BlockBytes into BlockSamples samples. There is
// nothing in a block by which a wrong one is known, but its length.
func (d *Decoder) DecodeBlock(block []byte, pcm *[BlockSamples]int16) error {
	if len(block) != BlockBytes {
		return fmt.Errorf("no GSM block: %d bytes, not %d", len(block), BlockBytes)
	}
	at := 0
	next := func(bits int) (v int32) {
		for i := range bits {
			v |= int32(block[at/8]>>(at%8)&1) << i
			at++
		}
		return v
	}
	d.decode(unpack(next), pcm[:Samples])
	d.decode(unpack(next), pcm[Samples:])
	return nil
}

// unpack reads the parameters of a frame.
func unpack(next func(bits int) int32) (p [parameters]int32) {
	for i, bits := range ratioBits {
		p[i] = next(bits)
	}
	for at := ratios; at < parameters; at += perFrame {
		for i, bits := range [...]int{lagBits, gainBits, gridBits, maxBits} {
			p[at+i] = next(bits)
		}
		for i := at + perFrame - pulses; i < at+perFrame; i++ {
			p[i] = next(pulseBits)
		}
	}
	return p
}

// decode decodes a frame (section 5.3).
func (d *Decoder) decode(p [parameters]int32, pcm []int16) {
	var residual [Samples]int32
	for sub := range subframes {
		at := ratios + sub*perFrame
		d.excite(p[at : at+perFrame])
		copy(residual[sub*subSamples:], d.residual[longestLag:])
		copy(d.residual[:longestLag], d.residual[subSamples:])
	}
	d.speak(decodeRatios(p[:ratios]), &residual)
	// 5.3.5 to 5.3.7: de-emphasis, scaling up and truncation to 13 bits.
	for i, s := range residual {
		d.emphasis = add(s, multR(d.emphasis, 28180))
		pcm[i] = int16(add(d.emphasis, d.emphasis) &^ 7)
	}
}

// excite makes what excites the vocal tract of a subframe of its parameters
// (5.3.1 and 5.3.2).
func (d *Decoder) excite(p []int32) {
	lag, gain, grid := int(p[0]), gainQLB[p[1]], int(p[2])
	now := d.residual[longestLag:]
	clear(now)
	for i, v := range dequantise(p[3], p[4:]) {
		now[grid+3*i] = v // 5.2.17
	}
	if lag < lowestLag || lag > longestLag {
		lag = d.lag
	}
	d.lag = lag
	for k := range now {
		now[k] = add(now[k], multR(gain, d.residual[longestLag+k-lag]))
	}
}

// dequantise makes the pulses of a subframe (5.2.15 and 5.2.16).
func dequantise(blockMax int32, coded []int32) (out [pulses]int32) {
	exponent := int32(0)
	if blockMax > 15 {
		exponent = blockMax>>3 - 1
	}
	mantissa := blockMax - exponent<<3
	if mantissa == 0 {
		exponent, mantissa = -4, 7
	} else {
		for mantissa <= 7 {
			mantissa = mantissa<<1 | 1
			exponent--
		}
		mantissa -= 8
	}
	shift := 6 - exponent // 0 to 10
	half := int32(1) << shift >> 1
	for i, c := range coded {
		out[i] = add(multR(pulseFAC[mantissa], (2*c-7)<<12), half) >> shift
	}
	return out
}

// decodeRatios makes log area ratios of those coded (5.2.8).
func decodeRatios(coded []int32) (out [ratios]int32) {
	for i, c := range coded {
		v := sub((c+ratioMIC[i])<<10, ratioB[i]<<1)
		v = multR(ratioINVA[i], v)
		out[i] = add(v, v)
	}
	return out
}

// speak passes a frame of what excites the vocal tract through it (5.3.3 and
// 5.3.4): its log area ratios pass over from those before (table 5.7).
func (d *Decoder) speak(now [ratios]int32, frame *[Samples]int32) {
	before := d.ratios
	d.ratios = now
	for _, part := range [...]struct{ from, to, before, now int }{
		{0, 13, 3, 1}, {13, 27, 2, 2}, {27, 40, 1, 3}, {40, Samples, 0, 4},
	} {
		var r [ratios]int32
		for i := range r {
			r[i] = reflection(add(quarters(before[i], part.before), quarters(now[i], part.now)))
		}
		d.filter(&r, frame[part.from:part.to])
	}
}

// quarters is so many quarters of v, each power of two of them rounded down by
// itself as in 5.2.9.1.
func quarters(v int32, n int) int32 {
	switch n {
	case 1:
		return v >> 2
	case 2:
		return v >> 1
	case 3:
		return v>>2 + v>>1
	case 4:
		return v
	}
	return 0
}

// reflection makes a reflection coefficient of a log area ratio (5.2.9.2).
func reflection(ratio int32) int32 {
	v := ratio
	if v < 0 {
		v = min(-v, math.MaxInt16)
	}
	switch {
	case v < 11059:
		v <<= 1
	case v < 20070:
		v += 11059
	default:
		v = add(v>>2, 26112)
	}
	if ratio < 0 {
		return -v
	}
	return v
}

// filter is the short term synthesis (5.3.4), in place.
func (d *Decoder) filter(r *[ratios]int32, samples []int32) {
	v := &d.lattice
	for k, s := range samples {
		for i := ratios - 1; i >= 0; i-- {
			s = sub(s, multR(r[i], v[i]))
			v[i+1] = add(v[i], multR(r[i], s))
		}
		v[0], samples[k] = s, s
	}
}

// add, sub and multR are those of section 5.1.
func add(a, b int32) int32 { return saturate(a + b) }

func sub(a, b int32) int32 { return saturate(a - b) }

func multR(a, b int32) int32 { return saturate((a*b + 1<<14) >> 15) }

func saturate(v int32) int32 { return max(math.MinInt16, min(v, math.MaxInt16)) }
