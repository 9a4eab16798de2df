package gsm_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"callvault/internal/media/gsm"
)

// testdata reads a file of ../testdata; of a WAV the content of its data chunk.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(b, []byte("data")); filepath.Ext(name) == ".wav" {
		n := int(binary.LittleEndian.Uint32(b[at+4:]))
		b = b[at+8:][:n]
	}
	return b
}

// What libgsm makes of it, to the bit.
func TestDecodeBlock(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gsm", "gsm-wild"} {
		d := gsm.NewDecoder()
		var pcm [gsm.BlockSamples]int16
		var got []byte
		for block := range slices.Chunk(testdata(t, name+".wav"), gsm.BlockBytes) {
			if err := d.DecodeBlock(block, &pcm); err != nil {
				t.Fatal(err)
			}
			for _, v := range pcm {
				got = binary.LittleEndian.AppendUint16(got, uint16(v))
			}
		}
		want := testdata(t, name+".pcm.wav")
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("%s: sample %d is another", name, i/2)
			}
		}
		if len(want) < 10_000 || len(got) != len(want) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
	}
}

// Frames by themselves are the same frames.
func TestDecode(t *testing.T) {
	t.Parallel()
	frames, blocks := gsm.NewDecoder(), gsm.NewDecoder()
	var pcm [gsm.Samples]int16
	var want [gsm.BlockSamples]int16
	inBlocks := testdata(t, "gsm.wav")
	for i, frame := range slices.Collect(slices.Chunk(testdata(t, "gsm.gsm"), gsm.FrameBytes)) {
		if err := frames.Decode(frame, &pcm); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := blocks.DecodeBlock(inBlocks[i/2*gsm.BlockBytes:][:gsm.BlockBytes], &want); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(pcm[:], want[i%2*gsm.Samples:][:gsm.Samples]) {
			t.Fatalf("frame %d is another", i)
		}
	}
}

func TestNoFrame(t *testing.T) {
	t.Parallel()
	d := gsm.NewDecoder()
	var pcm [gsm.Samples]int16
	var two [gsm.BlockSamples]int16
	for _, b := range [][]byte{nil, {0xD0}, make([]byte, gsm.FrameBytes), bytes.Repeat([]byte{0xD0}, 34)} {
		if d.Decode(b, &pcm) == nil || d.DecodeBlock(b, &two) == nil {
			t.Errorf("%d bytes are taken for speech", len(b))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(testdata(f, "gsm.wav")[:650])
	f.Add(bytes.Repeat([]byte{0xFF}, 650))
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, blocks := gsm.NewDecoder(), gsm.NewDecoder()
		var pcm [gsm.Samples]int16
		var two [gsm.BlockSamples]int16
		for block := range slices.Chunk(b, gsm.BlockBytes) {
			if err := blocks.DecodeBlock(block, &two); (err == nil) != (len(block) == gsm.BlockBytes) {
				t.Fatal(err)
			}
			if len(block) < gsm.FrameBytes {
				continue
			}
			block[0] = 0xD0 | block[0]&0x0F
			if err := frames.Decode(block[:gsm.FrameBytes], &pcm); err != nil {
				t.Fatal(err)
			}
		}
		for _, v := range append(two[:], pcm[:]...) {
			if v&7 != 0 {
				t.Fatalf("%d has more than 13 bits", v)
			}
		}
	})
}
