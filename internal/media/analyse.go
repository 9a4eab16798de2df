package media

import (
	"encoding/binary"
	"fmt"
	"math"

	"callvault/internal/call"
	"callvault/internal/media/gsm"
)

const (
	// silentBelow is the level, as root mean square of full scale, below which a
	// window is silence: -50 dBFS. What a telephone line hisses is about -65,
	// quiet speech about -40.
	silentBelow = 0.00316
	// windowsPerSecond is how finely silence is measured: in 20 ms.
	windowsPerSecond = 50
	// mostChannels are those of any telephone recording, and some more.
	mostChannels = 8
)

// Analysis listens to a recording: it takes in the whole file by Write, in
// pieces of any size, decodes it and keeps its waveform and how much of it is
// silent, in memory that does not grow with the file. It reads headers as Probe
// does.
type Analysis struct {
	Probe

	wav     *wav
	mp3     *mp3Sound
	gsm     *gsmFile
	reason  string         // why nothing is analysed
	block   int            // bytes that are decoded at once
	decode  func(b []byte) // hears a block
	carry   []byte
	tracks  []track
	window  int // samples of a window
	inside  int // samples of the window under way
	windows int
}

// track is one channel.
type track struct {
	peaks  waveform
	energy float64 // of the window under way
	silent int     // windows
}

// decoder makes an amplitude, -1 to 1, of one sample.
type decoder func([]byte) float64

// NewAnalysis returns the Analysis of a file of the media type.
func NewAnalysis(mediaType string) *Analysis {
	a := &Analysis{Probe: *NewProbe(mediaType)}
	switch r := a.reader.(type) {
	case *wav:
		a.wav = r
		r.samples = a.take
	case *mp3:
		a.forgetMP3()
		r.sound, r.forget = a.takeMP3, a.forgetMP3
	case *gsmFile:
		a.gsm = r
		r.heard = a.hearGSM()
	default:
		a.reason = "this format is not decoded"
	}
	return a
}

// begin chooses the decoder, when the header is known.
func (a *Analysis) begin() {
	f := &a.wav.format
	sample, isGSM := f.decoder(), f.tag == tagGSM
	switch {
	case isGSM && f.channels != 1:
		a.reason = fmt.Sprintf("GSM of %d channels is not decoded", f.channels)
	case isGSM && f.blockAlign != gsm.BlockBytes:
		a.reason = fmt.Sprintf("GSM in blocks of %d bytes is not decoded", f.blockAlign)
	case sample == nil && !isGSM && f.codec() != "":
		a.reason = f.codec() + " is not decoded"
	case sample == nil && !isGSM:
		a.reason = fmt.Sprintf("codec %#x is not decoded", f.tag)
	case f.channels < 1 || f.channels > mostChannels:
		a.reason = fmt.Sprintf("it has %d channels, at most %d are analysed", f.channels, mostChannels)
	case f.sampleRate < windowsPerSecond:
		a.reason = "its sample rate makes no sense"
	default:
		a.open(f.channels, f.sampleRate)
		a.block, a.decode = f.sampleBytes()*f.channels, a.samples(sample, f.sampleBytes())
		if isGSM {
			a.block, a.decode = gsm.BlockBytes, a.speech()
		}
	}
}

// open begins to hear.
func (a *Analysis) open(channels, sampleRate int) {
	a.tracks = make([]track, channels)
	a.window = sampleRate / windowsPerSecond
}

// samples hears one sample of each channel, of that many bytes each.
func (a *Analysis) samples(sample decoder, size int) func([]byte) {
	return func(b []byte) {
		for i := range a.tracks {
			a.tracks[i].add(sample(b[i*size:]))
		}
		a.tick()
	}
}

// speech hears a block of GSM.
func (a *Analysis) speech() func([]byte) {
	d, pcm := gsm.NewDecoder(), new([gsm.BlockSamples]int16)
	return func(b []byte) {
		if err := d.DecodeBlock(b, pcm); err != nil {
			clear(pcm[:]) // never: blocks have the length that they have
		}
		a.mono(pcm[:])
	}
}

// mono hears samples of the only channel.
func (a *Analysis) mono(pcm []int16) {
	for _, v := range pcm {
		a.tracks[0].add(float64(v) / (1 << 15))
		a.tick()
	}
}

// take decodes samples.
func (a *Analysis) take(p []byte) {
	if a.tracks == nil && a.reason == "" {
		a.begin()
	}
	if a.reason != "" {
		return
	}
	if len(a.carry) > 0 {
		n := min(a.block-len(a.carry), len(p))
		a.carry = append(a.carry, p[:n]...)
		p = p[n:]
		if len(a.carry) < a.block {
			return
		}
		a.decode(a.carry)
		a.carry = a.carry[:0]
	}
	for len(p) >= a.block {
		a.decode(p[:a.block])
		p = p[a.block:]
	}
	a.carry = append(a.carry, p...)
}

// add hears the channel's next sample.
func (t *track) add(v float64) {
	if v != v { // not a number
		v = 0
	}
	v = min(math.Abs(v), 1)
	t.energy += v * v
	t.peaks.add(v)
}

// tick says that all channels had their next sample.
func (a *Analysis) tick() {
	if a.inside++; a.inside == a.window {
		a.endWindow()
	}
}

func (a *Analysis) endWindow() {
	for i := range a.tracks {
		t := &a.tracks[i]
		if t.energy < silentBelow*silentBelow*float64(a.inside) {
			t.silent++
		}
		t.energy = 0
	}
	a.windows++
	a.inside = 0
}

// Result is how the file sounds, when all of it was written.
func (a *Analysis) Result() call.Analysis {
	if a.inside > 0 {
		a.endWindow()
	}
	if a.mp3 != nil && a.reason == "" {
		a.reason = a.mp3.undecoded(a.Media())
	}
	if a.gsm != nil {
		a.reason = a.gsm.undecoded()
	}
	if a.windows == 0 && a.reason == "" {
		a.reason = "there is no audio in it"
	}
	if a.reason != "" {
		return call.Analysis{State: call.NotAnalysed, Reason: a.reason}
	}
	result := call.Analysis{State: call.Analysed}
	for i := range a.tracks {
		t := &a.tracks[i]
		result.Silence = append(result.Silence, float64(t.silent)/float64(a.windows))
		result.Peaks = append(result.Peaks, t.peaks.bytes())
	}
	return result
}

// waveform keeps the peaks of a channel of unknown length: when there are too
// many, two become one.
type waveform struct {
	peaks  []float64
	each   int // samples in one
	inside int // samples in the last
}

func (w *waveform) add(v float64) {
	if w.each == 0 {
		w.each, w.peaks = 1, make([]float64, 0, call.MostPeaks)
	}
	if w.inside == w.each || len(w.peaks) == 0 {
		if len(w.peaks) == call.MostPeaks {
			for i := range call.MostPeaks / 2 {
				w.peaks[i] = max(w.peaks[2*i], w.peaks[2*i+1])
			}
			w.peaks = w.peaks[:call.MostPeaks/2]
			w.each *= 2
		}
		w.peaks = append(w.peaks, 0)
		w.inside = 0
	}
	w.inside++
	last := &w.peaks[len(w.peaks)-1]
	*last = max(*last, v)
}

func (w *waveform) bytes() []byte {
	b := make([]byte, len(w.peaks))
	for i, v := range w.peaks {
		b[i] = byte(math.Round(v * math.MaxUint8))
	}
	return b
}

// decoder is nil for codecs that are not decoded.
func (f *wavFormat) decoder() decoder {
	switch f.codec() {
	case "pcm_u8":
		return func(b []byte) float64 { return (float64(b[0]) - 128) / 128 }
	case "pcm_s16le":
		return func(b []byte) float64 { return float64(int16(binary.LittleEndian.Uint16(b))) / (1 << 15) }
	case "pcm_s24le":
		return func(b []byte) float64 {
			return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}
	case "pcm_s32le":
		return func(b []byte) float64 { return float64(int32(binary.LittleEndian.Uint32(b))) / (1 << 31) }
	case "pcm_f32le":
		return func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b))) }
	case "pcm_f64le":
		return func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
	case "pcm_mulaw":
		return func(b []byte) float64 { return muLaw(b[0]) }
	case "pcm_alaw":
		return func(b []byte) float64 { return aLaw(b[0]) }
	}
	return nil
}

// muLaw decodes a sample of ITU-T G.711, µ-law.
func muLaw(b byte) float64 {
	const bias = 0x84
	b = ^b
	v := (int(b&0x0F)<<3+bias)<<(b>>4&7) - bias
	if b&0x80 != 0 {
		v = -v
	}
	return float64(v) / (1 << 15)
}

// aLaw decodes a sample of ITU-T G.711, A-law.
func aLaw(b byte) float64 {
	b ^= 0x55
	v := int(b&0x0F)<<4 + 8
	if exponent := b >> 4 & 7; exponent > 0 {
		v = (v + 0x100) << (exponent - 1)
	}
	if b&0x80 == 0 {
		v = -v
	}
	return float64(v) / (1 << 15)
}
