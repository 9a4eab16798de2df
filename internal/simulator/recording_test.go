package simulator_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"callvault/internal/simulator"
)

func TestRecordingsAreAudio(t *testing.T) {
	t.Parallel()
	for _, format := range []simulator.Format{
		simulator.WAVPCM, simulator.WAVMuLaw, simulator.MP3At8kHz, simulator.MP3At16kHz,
	} {
		for _, length := range []time.Duration{
			time.Second, 10 * time.Second, 61 * time.Second, 12 * time.Minute,
		} {
			t.Run(fmt.Sprintf("format %d of %v", format, length), func(t *testing.T) {
				t.Parallel()
				r := simulator.Recording{Source: "1634720915260737218351_2222223.mp3", Format: format, Duration: length}
				audio := read(t, r)
				if int64(len(audio)) != r.Size() {
					t.Fatalf("%d bytes, its size says %d", len(audio), r.Size())
				}
				var got time.Duration
				if format.MediaType() == "audio/mpeg" {
					got = mp3Length(t, audio)
				} else {
					got = wavLength(t, audio)
				}
				if off := (got - length).Abs(); off > 72*time.Millisecond {
					t.Errorf("sounds for %v, want %v", got, length)
				}
			})
		}
	}
}

func TestRecordingsDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[[32]byte]string)
	for _, format := range []simulator.Format{
		simulator.WAVPCM, simulator.WAVMuLaw, simulator.MP3At8kHz, simulator.MP3At16kHz,
	} {
		for i := range 50 {
			r := simulator.Recording{
				Source: fmt.Sprintf("/incoming/11_2026/%d.wav", i), Format: format, Duration: 10 * time.Second,
			}
			sum := sha256.Sum256(read(t, r))
			if other, ok := seen[sum]; ok {
				t.Errorf("%s and %s are the same", r.Source, other)
			}
			seen[sum] = r.Source
			if again := sha256.Sum256(read(t, r)); again != sum {
				t.Errorf("%s differs from time to time", r.Source)
			}
		}
	}
}

func read(t *testing.T, r simulator.Recording) []byte {
	t.Helper()
	audio, err := io.ReadAll(r.Audio())
	if err != nil {
		t.Fatal(err)
	}
	return audio
}

// wavLength walks through the chunks of a WAV file, holds its header to what
// is there, and returns its length. The sound must not be silence.
func wavLength(t *testing.T, file []byte) time.Duration {
	t.Helper()
	if len(file) < 12 || string(file[:4]) != "RIFF" || string(file[8:12]) != "WAVE" {
		t.Fatalf("no WAV: % x", file[:min(len(file), 12)])
	}
	if size := binary.LittleEndian.Uint32(file[4:]); int(size) != len(file)-8 {
		t.Errorf("RIFF says %d bytes, %d follow", size, len(file)-8)
	}
	var bytesPerSecond uint32
	for at := 12; at+8 <= len(file); {
		id, size := string(file[at:at+4]), int(binary.LittleEndian.Uint32(file[at+4:]))
		body := file[at+8:]
		if size > len(body) {
			t.Fatalf("chunk %s says %d bytes, %d follow", id, size, len(body))
		}
		body = body[:size]
		switch id {
		case "fmt ":
			tag, rate := binary.LittleEndian.Uint16(body), binary.LittleEndian.Uint32(body[4:])
			bytesPerSecond = binary.LittleEndian.Uint32(body[8:])
			width := map[uint16]uint32{1: 2, 7: 1}[tag]
			if rate != 8000 || bytesPerSecond != rate*width {
				t.Errorf("format %d at %d Hz and %d bytes a second", tag, rate, bytesPerSecond)
			}
		case "data":
			if bytes.Count(body, body[:1]) > len(body)/4 {
				t.Error("the sound is silence")
			}
			return time.Duration(size) * time.Second / time.Duration(bytesPerSecond)
		}
		at += 8 + size + size%2
	}
	t.Fatal("no data chunk")
	return 0
}

// mp3Length walks through the frames of an MP3 file after its tag and returns
// its length. Every byte must belong to a frame.
func mp3Length(t *testing.T, file []byte) time.Duration {
	t.Helper()
	if len(file) < 10 || string(file[:3]) != "ID3" {
		t.Fatalf("no tag: % x", file[:min(len(file), 10)])
	}
	at := 10 + int(file[6])<<21 + int(file[7])<<14 + int(file[8])<<7 + int(file[9])
	var length time.Duration
	loud := false
	for at < len(file) {
		if at+4 > len(file) {
			t.Fatalf("%d bytes too many at the end", len(file)-at)
		}
		header := binary.BigEndian.Uint32(file[at:])
		if header>>21 != 0x7FF || header>>17&3 != 1 {
			t.Fatalf("no Layer III frame at %d: %08x", at, header)
		}
		// MPEG-2.5 is 0 and MPEG-2 is 2; both have 576 samples in a frame and
		// the same table of bit rates.
		rates := map[uint32][]int{0: {11025, 12000, 8000}, 2: {22050, 24000, 16000}}[header>>19&3]
		if rates == nil || header>>10&3 == 3 {
			t.Fatalf("frame at %d is of no such version or rate: %08x", at, header)
		}
		rate := rates[header>>10&3]
		bitRate := []int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0}[header>>12&15] * 1000
		if bitRate == 0 || header>>6&3 != 3 {
			t.Fatalf("frame at %d is not mono of a known bit rate: %08x", at, header)
		}
		size := 72*bitRate/rate + int(header>>9&1)
		if at+size > len(file) {
			t.Fatalf("the last frame lacks %d bytes", at+size-len(file))
		}
		// part2_3_length, after 9 bits of side information, fits the frame.
		side := binary.BigEndian.Uint32(file[at+4:])
		bits := int(side >> 11 & 0xFFF)
		if bits > 8*(size-4-9) {
			t.Fatalf("frame at %d holds %d bits in %d bytes", at, bits, size)
		}
		loud = loud || bits > 0
		length += time.Duration(576) * time.Second / time.Duration(rate)
		at += size
	}
	if !loud {
		t.Error("the sound is silence")
	}
	return length
}
