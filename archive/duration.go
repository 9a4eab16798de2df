package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// audioSeconds is the playing time of a WAV or MP3 of size bytes, rounded to
// whole seconds; nil when it cannot be told.
func audioSeconds(mediaType string, r io.ReaderAt, size int64) *int {
	var seconds float64
	switch mediaType {
	case "audio/wav":
		seconds = wavSeconds(r, size)
	case "audio/mpeg":
		seconds = mp3Seconds(r, size)
	}
	if seconds <= 0 || seconds > math.MaxInt32 {
		return nil
	}
	whole := int(math.Round(seconds))
	return &whole
}

const (
	riffHeader  = 12 // RIFF, size, WAVE
	chunkHeader = 8
	// unknownRIFF and more is what programs write that send a WAV before
	// they know its length: 0xFFFFFFFF, 0x7FFFFFFF, or a little less.
	unknownRIFF = 0x7FFF0000
	// mostChunks are looked at for the audio; a few stand before it.
	mostChunks = 100
)

// wavSeconds is 0 when the header does not tell.
func wavSeconds(r io.ReaderAt, size int64) float64 {
	var head [chunkHeader + 16]byte
	var bytesPerSecond uint32
	at := int64(riffHeader)
	for range mostChunks {
		n, err := r.ReadAt(head[:], at)
		if n < chunkHeader || err != nil && !errors.Is(err, io.EOF) {
			return 0
		}
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		switch string(head[:4]) {
		case "fmt ":
			if n < len(head) {
				return 0
			}
			bytesPerSecond = binary.LittleEndian.Uint32(head[chunkHeader+8:])
		case "data":
			rest := size - at - chunkHeader
			if bytesPerSecond == 0 {
				return 0
			}
			if length == 0 || length > rest {
				length = rest
			}
			return float64(length) / float64(bytesPerSecond)
		}
		at += chunkHeader + length + length%2
	}
	return 0
}

// missingOfWAV is how many bytes the header of a WAV promises that did not
// come; 0 when it promises nothing.
func missingOfWAV(head []byte, size int64) int64 {
	if len(head) < riffHeader || string(head[:4]) != "RIFF" {
		return 0
	}
	length := int64(binary.LittleEndian.Uint32(head[4:]))
	if length >= unknownRIFF {
		return 0
	}
	return max(chunkHeader+length-size, 0)
}

// The bit rates of Layer III in kbit/s, by the header's index (ISO/IEC
// 11172-3 and 13818-3, section 2.4.2.3). 0 is "free", which nobody uses.
var (
	mpeg1Rates = [15]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}
	mpeg2Rates = [15]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}
	// By version: 2.5, reserved, 2, 1.
	mp3SampleRates = [4][3]int{{11025, 12000, 8000}, {}, {22050, 24000, 16000}, {44100, 48000, 32000}}
)

// mp3Frame reads the header of a frame of Layer III. length is in bytes,
// header included.
func mp3Frame(header []byte) (length int, seconds float64, ok bool) {
	version, layer := header[1]>>3&3, header[1]>>1&3
	rate, sampling := header[2]>>4, header[2]>>2&3
	if header[0] != 0xFF || header[1]>>5 != 7 || version == 1 || layer != 1 ||
		rate == 0 || rate == 15 || sampling == 3 {
		return 0, 0, false
	}
	samples, kilobits := 1152, mpeg1Rates[rate]
	if version != 3 {
		samples, kilobits = 576, mpeg2Rates[rate]
	}
	sampleRate := mp3SampleRates[version][sampling]
	length = samples/8*kilobits*1000/sampleRate + int(header[2]>>1&1)
	return length, float64(samples) / float64(sampleRate), true
}

// mp3Seconds adds up all frames, so that it is right for a changing bit rate
// too. 0 when what is there is not, for the most part, frames in a row.
func mp3Seconds(r io.ReaderAt, size int64) float64 {
	in := bufio.NewReader(io.NewSectionReader(r, 0, size))
	var at int64
	if tag, err := in.Peek(10); err == nil && string(tag[:3]) == "ID3" {
		for _, b := range tag[6:] { // seven bits each
			at = at<<7 | int64(b&0x7F)
		}
		at += int64(len(tag))
		if _, err := in.Discard(int(at)); err != nil {
			return 0
		}
	}
	begin, total := at, 0.0
	for {
		header, err := in.Peek(4)
		if err != nil {
			break
		}
		length, seconds, ok := mp3Frame(header)
		if !ok {
			break
		}
		total += seconds
		n, err := in.Discard(length)
		at += int64(n)
		if err != nil {
			break
		}
	}
	// A tag may follow, which is small. Anything else is damage.
	if at-begin < (size-begin)/10*9 {
		return 0
	}
	return total
}
