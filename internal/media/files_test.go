package media_test

import (
	"cmp"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"callvault/internal/simulator"
)

func simulated(t testing.TB, format simulator.Format, d time.Duration) []byte {
	t.Helper()
	b, err := io.ReadAll(simulator.Recording{Source: "/incoming/a", Format: format, Duration: d}.Audio())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wavFile is a WAV put together by hand: chunks as given, sizes as told.
type wavFile struct {
	kind   string // RIFF
	riff   uint32
	before []byte // chunks before fmt
	tag    uint16
	more   []byte // of the fmt chunk, behind its first 16 bytes
	ch     uint16
	rate   uint32
	perSec uint32
	block  uint16
	bits   uint16
	data   uint32
	audio  []byte
}

func (w wavFile) bytes() []byte {
	le := binary.LittleEndian
	b := append(le.AppendUint32([]byte(cmp.Or(w.kind, "RIFF")), w.riff), "WAVE"...)
	b = append(b, w.before...)
	b = le.AppendUint32(append(b, "fmt "...), uint32(16+len(w.more)))
	b = le.AppendUint16(le.AppendUint16(b, w.tag), w.ch)
	b = le.AppendUint32(le.AppendUint32(b, w.rate), w.perSec)
	b = append(le.AppendUint16(le.AppendUint16(b, w.block), w.bits), w.more...)
	b = le.AppendUint32(append(b, "data"...), w.data)
	return append(b, w.audio...)
}

func chunk(id string, content []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(id), uint32(len(content)))
	return append(b, content...)
}

// telephone is a mono WAV at 8 kHz of some seconds, whose header is right.
func telephone(tag, bytesPerSample uint16, seconds int) wavFile {
	n := uint32(8000 * int(bytesPerSample) * seconds)
	return wavFile{
		tag: tag, ch: 1, rate: 8000, perSec: 8000 * uint32(bytesPerSample), block: bytesPerSample,
		bits: 8 * bytesPerSample, riff: 36 + n, data: n, audio: make([]byte, n),
	}
}

// ds64 is the chunk with the true lengths of an RF64 (EBU Tech 3306).
func ds64(riff, data uint64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, riff)
	b = binary.LittleEndian.AppendUint64(b, data)
	return chunk("ds64", append(b, make([]byte, 12)...))
}

// mpegFrame is a frame of nothing but its header, n bytes long.
func mpegFrame(header uint32, n int) []byte {
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b, header)
	return b
}

func repeat(b []byte, n int) (all []byte) {
	for range n {
		all = append(all, b...)
	}
	return all
}

// Headers of frames, and their lengths in bytes.
const (
	v1Layer1    = 0xFFFF_8000 // 256 kbit/s at 44.1 kHz, stereo: 384 samples
	v1Layer1Len = 276
	v1Layer2    = 0xFFFD_8000 // 128 kbit/s at 44.1 kHz
	v1Layer2Len = 417
	v1At32      = 0xFFFB_1000 // layer III, 32 kbit/s at 44.1 kHz
	v1At32Len   = 104
	v1At128     = 0xFFFB_9200 // 128 kbit/s, padded
	v1At128Len  = 418
	v2Mono      = 0xFFF3_28C0 // MPEG 2, 16 kbit/s at 16 kHz, mono: 576 samples
	v2MonoLen   = 72
	v25         = 0xFFE3_28C0 // MPEG 2.5, 16 kbit/s at 8 kHz, mono
	v25Len      = 144
	v1Free      = 0xFFFB_0000 // free format at 44.1 kHz, stereo
	v2Layer2    = 0xFFF5_8400 // MPEG 2 layer II, 64 kbit/s at 24 kHz: 1152 samples
	v2Layer2Len = 384
	secondOf441 = 44100.0 / 1152 // frames
)

// changing alternates between 32 and 128 kbit/s.
func changing(frames int) []byte {
	return repeat(append(mpegFrame(v1At32, v1At32Len), mpegFrame(v1At128, v1At128Len)...), frames/2)
}

// xing is a first frame with a table of contents, as LAME writes it.
func xing(word string, frames, bytes uint32) []byte {
	b := mpegFrame(v1At128, v1At128Len)
	at := 4 + 32
	copy(b[at:], word)
	binary.BigEndian.PutUint32(b[at+4:], 3)
	binary.BigEndian.PutUint32(b[at+8:], frames)
	binary.BigEndian.PutUint32(b[at+12:], bytes)
	return b
}

// vbri is the same as Fraunhofer's encoder writes it.
func vbri(frames, bytes uint32) []byte {
	b := mpegFrame(v1At128, v1At128Len)
	copy(b[36:], "VBRI\x00\x01")
	binary.BigEndian.PutUint32(b[46:], bytes)
	binary.BigEndian.PutUint32(b[50:], frames)
	return b
}

func id3v2(content int, flags byte) []byte {
	b := []byte{'I', 'D', '3', 4, 0, flags, 0, 0, byte(content >> 7), byte(content & 0x7F)}
	b = append(b, make([]byte, content)...)
	if flags&0x10 != 0 {
		b = append(b, make([]byte, 10)...)
	}
	return b
}

func id3v1() []byte { return append([]byte("TAG"), make([]byte, 125)...) }

func ape() []byte {
	part := func(flags uint32) []byte {
		b := binary.LittleEndian.AppendUint32([]byte("APETAGEX"), 2000)
		b = binary.LittleEndian.AppendUint32(b, 50+32)
		b = binary.LittleEndian.AppendUint32(b, 1)
		return append(binary.LittleEndian.AppendUint32(b, flags), make([]byte, 8)...)
	}
	return append(append(part(0xA0000000), make([]byte, 50)...), part(0x80000000)...)
}

func rounded(rate float64) int { return int(rate) }
