package media_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/media"
	"callvault/internal/simulator"
)

func analyse(mediaType string, file []byte, piece int) (call.Analysis, call.Media) {
	a := media.NewAnalysis(mediaType)
	for c := range slices.Chunk(file, piece) {
		_, _ = a.Write(c) // never fails
	}
	return a.Result(), a.Media()
}

// encoders write one sample, -1 to 1, in each codec.
func encoders() map[string]struct {
	tag, size uint16
	put       func(float64) []byte
} {
	le := binary.LittleEndian
	type encoder = struct {
		tag, size uint16
		put       func(float64) []byte
	}
	return map[string]encoder{
		"u8":     {1, 1, func(v float64) []byte { return []byte{byte(128 + 127*v)} }},
		"s16":    {1, 2, func(v float64) []byte { return le.AppendUint16(nil, uint16(int16(v*32767))) }},
		"s24":    {1, 3, func(v float64) []byte { return le.AppendUint32(nil, uint32(int32(v*8388607)))[:3] }},
		"s32":    {1, 4, func(v float64) []byte { return le.AppendUint32(nil, uint32(int32(v*math.MaxInt32))) }},
		"float":  {3, 4, func(v float64) []byte { return le.AppendUint32(nil, math.Float32bits(float32(v))) }},
		"double": {3, 8, func(v float64) []byte { return le.AppendUint64(nil, math.Float64bits(v)) }},
		// Of G.711 a table is enough: silence, half and whole scale.
		"mu-law": {7, 1, func(v float64) []byte {
			return []byte{map[float64]byte{0: 0xFF, 0.5: 0x8F, -0.5: 0x0F, 1: 0x80, -1: 0x00}[v]}
		}},
		"A-law": {6, 1, func(v float64) []byte {
			return []byte{map[float64]byte{0: 0xD5, 0.5: 0xA5, -0.5: 0x25, 1: 0xAA, -1: 0x2A}[v]}
		}},
	}
}

// square is a square wave: of two channels one loud and then silent, the other
// the other way round and half as loud.
func square(t *testing.T, name string, seconds int) []byte {
	t.Helper()
	e := encoders()[name]
	n := 8000 * seconds
	w := wavFile{tag: e.tag, ch: 2, rate: 8000, perSec: 16000 * uint32(e.size), block: 2 * e.size, bits: 8 * e.size}
	for i := range n {
		sign := float64(1 - i/4%2*2)
		left, right := sign, 0.0
		if i >= n/4 {
			left, right = 0, sign/2
		}
		w.audio = append(append(w.audio, e.put(left)...), e.put(right)...)
	}
	w.data = uint32(len(w.audio))
	w.riff = 36 + w.data
	return w.bytes()
}

func TestAnalysis(t *testing.T) {
	t.Parallel()
	for name := range encoders() {
		file := append(square(t, name, 8), chunk("LIST", make([]byte, 5000))...) // not heard
		for _, piece := range []int{1 << 16, 7} {
			got, m := analyse("audio/wav", file, piece)
			if got.State != call.Analysed || m.Duration != 8*time.Second || len(got.Peaks) != 2 || len(got.Silence) != 2 {
				t.Fatalf("%s: %+v, %+v", name, got, m)
			}
			if math.Abs(got.Silence[0]-0.75) > 0.01 || math.Abs(got.Silence[1]-0.25) > 0.01 {
				t.Errorf("%s: silence is %v", name, got.Silence)
			}
			parts := len(got.Peaks[0])
			if parts <= call.MostPeaks/2 || parts > call.MostPeaks || len(got.Peaks[1]) != parts {
				t.Errorf("%s: %d peaks", name, parts)
			}
			for _, at := range []struct{ channel, part, want int }{
				{0, 10, 255}, {0, parts / 8, 255}, {0, parts / 2, 0}, {0, parts - 1, 0},
				{1, 10, 0}, {1, parts / 8, 0}, {1, parts / 2, 128}, {1, parts - 1, 128},
			} {
				if got := int(got.Peaks[at.channel][at.part]); got < at.want-8 || got > at.want+8 {
					t.Errorf("%s: channel %d, part %d of %d is %d, want about %d", name, at.channel, at.part, parts, got, at.want)
				}
			}
		}
	}
}

// A second of speech-like sound is not silent, a hiss is.
func TestSilence(t *testing.T) {
	t.Parallel()
	got, _ := analyse("audio/wav", simulated(t, simulator.WAVPCM, 8*time.Second), 4096)
	if got.State != call.Analysed || got.Silence[0] > 0.2 {
		t.Errorf("sound: silence is %v", got.Silence)
	}
	hiss := telephone(7, 1, 2)
	for i := range hiss.audio {
		hiss.audio[i] = []byte{0xFF, 0x7F, 0xFE, 0x7E, 0xFD}[i%5]
	}
	if got, _ := analyse("audio/wav", hiss.bytes(), 4096); got.Silence[0] != 1 {
		t.Errorf("hiss: silence is %v", got.Silence)
	}
}

func TestNotAnalysed(t *testing.T) {
	t.Parallel()
	two := wavFile{tag: 0x31, ch: 2, rate: 8000, block: 65, data: 650, audio: make([]byte, 650)}
	bare := two
	bare.ch, bare.block = 1, 33
	many := telephone(7, 1, 1)
	many.ch, many.block = 9, 9
	for reason, tt := range map[string]struct {
		mediaType string
		file      []byte
	}{
		"MP3 of a free format is not decoded":       {"audio/mpeg", repeat(mpegFrame(v1Free, 300), 4)},
		"mp1 is not decoded":                        {"audio/mpeg", repeat(mpegFrame(v1Layer1, v1Layer1Len), 3)},
		"this format is not decoded":                {"audio/ogg", []byte("OggS")},
		"GSM of 2 channels is not decoded":          {"audio/wav", two.bytes()},
		"GSM in blocks of 33 bytes is not decoded":  {"audio/wav", bare.bytes()},
		"codec 0x11 is not decoded":                 {"audio/wav", telephone(0x11, 1, 1).bytes()},
		"it has 9 channels, at most 8 are analysed": {"audio/wav", many.bytes()},
		"there is no audio in it":                   {"audio/wav", telephone(7, 1, 0).bytes()},
	} {
		got, _ := analyse(tt.mediaType, tt.file, 1000)
		if diff := cmp.Diff(call.Analysis{State: call.NotAnalysed, Reason: reason}, got); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzAnalysis(f *testing.F) {
	w := telephone(0xFFFE, 2, 1)
	w.audio = w.audio[:10]
	f.Add(w.bytes(), 3)
	f.Add(telephone(3, 8, 1).bytes()[:1000], 7)
	f.Add(testdata(f, "gsm.wav")[:500], 40)
	f.Add(testdata(f, "gsm.gsm")[:330], 40)
	f.Fuzz(func(t *testing.T, file []byte, piece int) {
		for _, mediaType := range []string{"audio/wav", "audio/gsm"} {
			got, m := analyse(mediaType, file, max(1, piece%9000))
			if _, probed := probe(mediaType, file); !cmp.Equal(probed, m) {
				t.Errorf("the analysis reads %+v, the probe %+v", m, probed)
			}
			for i, share := range got.Silence {
				if !(share >= 0 && share <= 1) || len(got.Peaks[i]) == 0 || len(got.Peaks[i]) > call.MostPeaks {
					t.Errorf("channel %d: silence %v, %d peaks", i, share, len(got.Peaks[i]))
				}
			}
		}
	})
}
