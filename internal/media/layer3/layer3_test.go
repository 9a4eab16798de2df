package layer3_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"callvault/internal/media/layer3"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames cuts a file of testdata into its frames, but for a first one that is a
// table of contents.
func frames(t testing.TB, name string) (all [][]byte) {
	t.Helper()
	b := testdata(t, name+".mp3")
	for len(b) >= 4 {
		h := binary.BigEndian.Uint32(b)
		version, rate := h>>19&3, h>>12&15
		kilobits := [...]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}
		samples := 1152
		hertz := [...]int{44100, 48000, 32000}[h>>10&3]
		if version != 3 {
			kilobits = [...]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}
			samples, hertz = 576, hertz/2
		}
		if version == 0 {
			hertz /= 2
		}
		n := samples/8*kilobits[rate]*1000/hertz + int(h>>9&1)
		if n > len(b) {
			t.Fatalf("%s: a frame of %d bytes, there are %d", name, n, len(b))
		}
		if !bytes.Contains(b[:n], []byte("Xing")) && !bytes.Contains(b[:n], []byte("Info")) {
			all = append(all, b[:n])
		}
		b = b[n:]
	}
	return all
}

// decode decodes frames into samples of channels in turns.
func decode(t testing.TB, d *layer3.Decoder, frames [][]byte) (samples []float64) {
	t.Helper()
	for i, frame := range frames {
		pcm, err := d.Decode(frame)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		for k := range pcm[0] {
			for c := range pcm {
				samples = append(samples, pcm[c][k])
			}
		}
	}
	return samples
}

// All versions and ways to code sound like mpg123's, but for how it rounds.
func TestDecode(t *testing.T) {
	t.Parallel()
	const (
		rounded = 1.1 // of 1 << 15
	)
	for name, most := range map[string]float64{
		"mp3-8-mono": rounded, "mp3-8-stereo": rounded, "mp3-11-vbr": rounded, "mp3-12-crc": rounded,
		"mp3-16-mono": rounded, "mp3-22-joint": rounded,
		"mp3-32-joint": rounded, "mp3-44-mono": rounded, "mp3-48-intensity": rounded,
		"mp3-wild-8": rounded, "mp3-wild-22": rounded, "mp3-wild-44": 3,
		// Of intensity stereo in MPEG 2, mpg123 takes another scale factor than
		// the standard for one that is no direction.
		"mp3-24-intensity": 0.02 * (1 << 15),
	} {
		var d layer3.Decoder
		got := decode(t, &d, frames(t, name))
		want := testdata(t, name+".pcm.wav")
		want = want[bytes.Index(want, []byte("data"))+8:]
		if len(want) != 2*len(got) || len(got) < 4608 {
			t.Errorf("%s: %d samples, want %d", name, len(got), len(want)/2)
			continue
		}
		worst, at := 0.0, 0
		for i, v := range got {
			w := float64(int16(binary.LittleEndian.Uint16(want[2*i:])))
			v = max(math.MinInt16, min(v*(1<<15), math.MaxInt16))
			if off := math.Abs(v - w); off > worst {
				worst, at = off, i
			}
		}
		if !(worst <= most) {
			t.Errorf("%s: sample %d of %d is off by %g", name, at, len(got), worst)
		}
	}
}

// What is cut out of a recording begins with frames that borrow from those
// before; behind them it sounds as in the whole.
func TestReserve(t *testing.T) {
	t.Parallel()
	all := frames(t, "mp3-22-joint")
	var whole, cut layer3.Decoder
	want := decode(t, &whole, all)
	refused := 0
	for ; ; refused++ {
		if _, err := cut.Decode(all[20+refused]); err == nil {
			break
		} else if !errors.Is(err, layer3.ErrReserve) || refused > 5 {
			t.Fatal(err)
		}
	}
	if refused == 0 {
		t.Error("nothing is borrowed")
	}
	const perFrame = 2 * 576
	from := 20 + refused + 1 // the last one's echo in the first is missing
	decode(t, &cut, all[from:from+2])
	if got := decode(t, &cut, all[from+2:]); !closeTo(want[(from+2)*perFrame:], got) {
		t.Error("it sounds otherwise")
	}
}

func closeTo(want, got []float64) bool {
	for i, v := range want {
		if len(got) != len(want) || math.Abs(v-got[i]) > 1e-9 {
			return false
		}
	}
	return true
}

// What is no frame, or one whose parts do not fit, is an error, and what follows
// is decoded.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	all := frames(t, "mp3-8-mono")
	good := all[0] // borrows nothing
	change := func(at int, b ...byte) []byte {
		return append(append(bytes.Clone(good[:at]), b...), good[at+len(b):]...)
	}
	for name, frame := range map[string][]byte{
		"nothing":             nil,
		"no sync":             change(0, 0),
		"layer II":            change(1, 0xE5),
		"of no version":       change(1, 0xEB),
		"of no rate":          change(2, good[2]|0x0C),
		"no side information": good[:12],
		"no main data":        good[:20],
		// The bits of the side information, from byte 4 on: 8 of where main data
		// begin, 1 private, 12 of length, 9 of pairs, 8 of gain, 9 of scale factors,
		// the flag of other than normal blocks, 2 of their type.
		"more than all lines":   change(6, good[6]|0x07, good[7]|0xFC),
		"a part that is longer": change(5, good[5]|0x7F, good[6]|0xF8),
		"blocks of no type":     change(9, good[9]|0x01, good[10]&0x3F),
		"all bits set":          append(bytes.Clone(good[:4]), bytes.Repeat([]byte{0xFF}, 140)...),
	} {
		var d layer3.Decoder
		if _, err := d.Decode(frame); err == nil {
			t.Errorf("%s: decoded", name)
		}
		if _, err := d.Decode(good); err != nil {
			t.Errorf("behind %s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"mp3-8-mono", "mp3-wild-8", "mp3-wild-22", "mp3-wild-44", "mp3-12-crc", "mp3-48-intensity"} {
		all := frames(f, name)
		f.Add(all[4], all[5])
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var d layer3.Decoder
		for _, frame := range [][]byte{first, second, first} {
			pcm, err := d.Decode(frame)
			if (err == nil) != (len(pcm) > 0) || len(pcm) > layer3.Channels {
				t.Fatalf("%d channels, %v", len(pcm), err)
			}
			for _, samples := range pcm {
				if len(samples) != 576 && len(samples) != layer3.FrameSamples {
					t.Fatalf("%d samples", len(samples))
				}
				for _, v := range samples {
					if math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatal(v)
					}
				}
			}
		}
	})
}
