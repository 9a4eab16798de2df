package archive

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"time"

	"callvault/internal/simulator"
)

func simulated(t *testing.T, format simulator.Format, d time.Duration) []byte {
	t.Helper()
	b, err := io.ReadAll(simulator.Recording{Source: "/incoming/a", Format: format, Duration: d}.Audio())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wavWith is a WAV of 8,000 bytes a second whose header says what is given.
func wavWith(riff, data uint32, bytesPerSecond uint32, audio int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), riff)
	b = append(b, "WAVELIST\x03\x00\x00\x00abc\x00fmt \x10\x00\x00\x00\x07\x00\x01\x00\x40\x1f\x00\x00"...)
	b = binary.LittleEndian.AppendUint32(b, bytesPerSecond)
	b = append(b, "\x01\x00\x08\x00data"...)
	b = binary.LittleEndian.AppendUint32(b, data)
	return append(b, make([]byte, audio)...)
}

// changing is an MP3 whose frames alternate between 32 and 128 kbit/s at
// 44.1 kHz, 1,152 samples each.
func changing(frames int) []byte {
	var b []byte
	for i := range frames {
		frame := make([]byte, 104)
		copy(frame, "\xff\xfb\x10\x00")
		if i%2 == 1 {
			frame = make([]byte, 418)
			copy(frame, "\xff\xfb\x92\x00") // padded
		}
		b = append(b, frame...)
	}
	return b
}

func TestAudioSeconds(t *testing.T) {
	t.Parallel()
	mp3 := simulated(t, simulator.MP3At8kHz, 90*time.Second)
	for name, tt := range map[string]struct {
		mediaType string
		audio     []byte
		want      int // -1 for unknown
	}{
		"PCM":                    {"audio/wav", simulated(t, simulator.WAVPCM, 40*time.Second), 40},
		"mu-law":                 {"audio/wav", simulated(t, simulator.WAVMuLaw, 7*time.Second), 7},
		"rounded":                {"audio/wav", wavWith(100, 12_000, 8000, 12_000), 2},
		"length not known":       {"audio/wav", wavWith(0xFFFFFFFF, 0xFFFFFFFF, 8000, 24_000), 3},
		"length never written":   {"audio/wav", wavWith(0, 0, 8000, 24_000), 3},
		"a chunk after":          {"audio/wav", wavWith(0, 16_000, 8000, 40_000), 2},
		"no rate":                {"audio/wav", wavWith(0, 0, 0, 24_000), -1},
		"no data":                {"audio/wav", wavWith(0, 0, 8000, 0), -1},
		"header alone":           {"audio/wav", []byte("RIFF\x00\x00\x00\x00WAVE"), -1},
		"header cut":             {"audio/wav", wavWith(0, 0, 8000, 0)[:30], -1},
		"no end of chunks":       {"audio/wav", append([]byte("RIFF\x00\x00\x00\x00WAVE"), make([]byte, 100_000)...), -1},
		"MP3 at 8 kHz":           {"audio/mpeg", mp3, 90},
		"MP3 at 16 kHz":          {"audio/mpeg", simulated(t, simulator.MP3At16kHz, 61*time.Second), 61},
		"MP3 with a tag behind":  {"audio/mpeg", append(slices.Clone(mp3), append([]byte("TAG"), make([]byte, 125)...)...), 90},
		"MP3 of changing rate":   {"audio/mpeg", changing(2000), 52},
		"MP3 cut":                {"audio/mpeg", mp3[:len(mp3)-7], 90},
		"MP3 that is mostly not": {"audio/mpeg", append(slices.Clone(mp3), make([]byte, len(mp3))...), -1},
		"MP3 with a tag alone":   {"audio/mpeg", []byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7f"), -1},
		"not an MP3":             {"audio/mpeg", []byte("hello, world"), -1},
		"nothing":                {"audio/mpeg", nil, -1},
		"something else":         {"audio/ogg", []byte("OggS"), -1},
	} {
		got := -1
		if seconds := audioSeconds(tt.mediaType, bytes.NewReader(tt.audio), int64(len(tt.audio))); seconds != nil {
			got = *seconds
		}
		if got != tt.want {
			t.Errorf("%s: %d s, want %d", name, got, tt.want)
		}
	}
}

func TestMissingOfWAV(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		riff uint32
		size int64
		want int64
	}{
		"all there":     {992, 1000, 0},
		"more":          {992, 2000, 0},
		"less":          {9992, 1000, 9000},
		"never written": {0, 1000, 0},
		"not known":     {0xFFFFFFFF, 1000, 0},
		"piped":         {0x7FFFF024, 1000, 0},
	} {
		if got := missingOfWAV(wavWith(tt.riff, 0, 8000, 0), tt.size); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	if got := missingOfWAV([]byte("ID3"), 3); got != 0 {
		t.Errorf("an MP3 misses %d", got)
	}
}

func FuzzAudioSeconds(f *testing.F) {
	f.Add(wavWith(0xFFFFFFFF, 0xFFFFFFFF, 1, 10))
	f.Add(append([]byte("ID3\x03\x00\x00\x00\x00\x00\x01."), changing(2)...))
	f.Fuzz(func(t *testing.T, audio []byte) {
		for _, mediaType := range []string{"audio/wav", "audio/mpeg"} {
			// No format here takes less than a bit for a second.
			seconds := audioSeconds(mediaType, bytes.NewReader(audio), int64(len(audio)))
			if seconds != nil && (*seconds < 0 || *seconds > 8*len(audio)) {
				t.Errorf("%d bytes of %s are %d s", len(audio), mediaType, *seconds)
			}
		}
		missingOfWAV(audio, int64(len(audio)))
	})
}
