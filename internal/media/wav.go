package media

import (
	"encoding/binary"
	"math"
	"time"

	"callvault/internal/call"
	"callvault/internal/media/gsm"
)

const (
	riffHeader  = 12 // RIFF, size, WAVE
	chunkHeader = 8
	// unknownLength and more is what programs write that send a WAV before
	// they know its length: 0xFFFFFFFF, 0x7FFFFFFF, or a little less.
	unknownLength = 0x7FFF0000
	// formatBytes of a fmt chunk are read: WAVEFORMATEXTENSIBLE is the longest.
	formatBytes = 40
	ds64Bytes   = 24 // RIFF size, data size, sample count
)

// The format tags (RFC 2361 and Microsoft's mmreg.h).
const (
	tagPCM        = 0x0001
	tagFloat      = 0x0003
	tagALaw       = 0x0006
	tagMuLaw      = 0x0007
	tagGSM        = 0x0031
	tagMP3        = 0x0055
	tagExtensible = 0xFFFE
)

// wavFormat is what stands before the samples of a WAV.
type wavFormat struct {
	tag            uint16
	channels       int
	sampleRate     int
	bytesPerSecond int
	blockAlign     int // bytes of one sample of all channels
	bits           int // of one sample of one channel
}

// wavStep is what the next bytes of a WAV are.
type wavStep int

const (
	atRIFF wavStep = iota
	atChunk
	atFormat
	atDS64
	atPadding
	atNothing // it is no WAV, or nothing can be told any more
)

type wav struct {
	collector
	step wavStep
	skip int64 // bytes to pass over before step
	at   int64 // bytes passed

	riff   int64 // bytes that the RIFF header promises behind itself; 0: not known
	format wavFormat
	rf64   bool
	data64 int64 // length of the data by ds64

	chunk      int64 // length of the chunk whose content is being read
	dataAt     int64 // where the samples begin; 0: not seen
	dataLength int64 // by its header; 0: not told
	junk       int64 // bytes behind the samples that are no chunks

	samples func([]byte) // gets the samples, if somebody wants them
}

func newWAV() *wav {
	w := &wav{}
	w.next(riffHeader)
	return w
}

func (w *wav) take(p []byte) {
	for len(p) > 0 {
		if w.skip > 0 {
			n := min(w.skip, int64(len(p)))
			if left := w.dataLeft(); left > 0 && w.samples != nil {
				w.samples(p[:min(n, left)])
			}
			w.skip -= n
			w.at += n
			p = p[n:]
			continue
		}
		if w.step == atNothing {
			if w.dataAt > 0 {
				w.junk += int64(len(p))
			}
			w.at += int64(len(p))
			return
		}
		rest, full := w.fill(p)
		w.at += int64(len(p) - len(rest))
		p = rest
		if full {
			w.parse(w.bytes())
		}
	}
}

// dataLeft is how many bytes of samples are still to come.
func (w *wav) dataLeft() int64 {
	switch {
	case w.dataAt == 0:
		return 0
	case w.dataLength == 0:
		return math.MaxInt64
	}
	return max(w.dataAt+w.dataLength-w.at, 0)
}

func (w *wav) parse(b []byte) {
	switch w.step {
	case atRIFF:
		w.begin(b)
	case atChunk:
		w.beginChunk(string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:])))
	case atFormat:
		w.format = readWAVFormat(b)
		w.endChunk(int64(len(b)))
	case atDS64:
		w.riff = signed(binary.LittleEndian.Uint64(b))
		w.data64 = signed(binary.LittleEndian.Uint64(b[8:]))
		w.endChunk(int64(len(b)))
	case atPadding:
		// Chunks of an odd length are padded by a zero, but some writers
		// forget it: a letter is the next chunk's already.
		w.step = atChunk
		letter := b[0]
		w.next(chunkHeader)
		if letter >= ' ' && letter < 0x7f {
			w.buf[0], w.have = letter, 1
		}
	case atNothing:
	}
}

func (w *wav) begin(b []byte) {
	kind := string(b[:4])
	w.rf64 = kind == "RF64" || kind == "BW64"
	if string(b[8:12]) != "WAVE" || kind != "RIFF" && !w.rf64 {
		w.step = atNothing
		return
	}
	w.riff = int64(binary.LittleEndian.Uint32(b[4:]))
	if w.riff >= unknownLength {
		w.riff = 0
	}
	w.step = atChunk
	w.next(chunkHeader)
}

func (w *wav) beginChunk(id string, length int64) {
	w.chunk = length
	switch {
	case id == "fmt " && length >= 14:
		w.step = atFormat
		w.next(int(min(length, formatBytes)))
	case id == "ds64" && length >= ds64Bytes:
		w.step = atDS64
		w.next(ds64Bytes)
	case id == "data" && w.dataAt == 0:
		if w.rf64 && length >= unknownLength {
			length = w.data64
		}
		w.dataAt, w.dataLength, w.chunk = w.at, length, length
		if length == 0 || !w.rf64 && length >= unknownLength {
			w.dataLength = 0
			w.skip = math.MaxInt64 // to the end
			return
		}
		w.endChunk(0)
	case !isChunkID(id):
		w.step = atNothing
		if w.dataAt > 0 {
			w.junk += chunkHeader
		}
	default:
		w.endChunk(0)
	}
}

// endChunk passes over what is left of a chunk of which that much was read.
func (w *wav) endChunk(read int64) {
	w.skip = w.chunk - read
	w.step = atChunk
	if w.chunk%2 == 1 {
		w.step = atPadding
		w.next(1)
		return
	}
	w.next(chunkHeader)
}

func isChunkID(id string) bool {
	for i := range len(id) {
		if id[i] < ' ' || id[i] >= 0x7f {
			return false
		}
	}
	return true
}

// signed bounds a length that nobody can mean.
func signed(n uint64) int64 {
	if n > math.MaxInt64/2 {
		return 0
	}
	return int64(n)
}

func readWAVFormat(b []byte) wavFormat {
	f := wavFormat{
		tag:            binary.LittleEndian.Uint16(b),
		channels:       int(binary.LittleEndian.Uint16(b[2:])),
		sampleRate:     int(binary.LittleEndian.Uint32(b[4:])),
		bytesPerSecond: int(binary.LittleEndian.Uint32(b[8:])),
		blockAlign:     int(binary.LittleEndian.Uint16(b[12:])),
	}
	if len(b) >= 16 {
		f.bits = int(binary.LittleEndian.Uint16(b[14:]))
	}
	if f.tag == tagExtensible && len(b) >= 26 {
		f.tag = binary.LittleEndian.Uint16(b[24:]) // the sub-format's first two bytes
	}
	return f
}

// sampleBytes are those of one sample of one channel, 0 for what is packed in
// another way. The block tells, for the bits may say how many are used.
func (f *wavFormat) sampleBytes() int {
	switch f.tag {
	case tagPCM, tagFloat:
		if f.channels > 0 && f.blockAlign > 0 && f.blockAlign%f.channels == 0 {
			return f.blockAlign / f.channels
		}
		return (f.bits + 7) / 8
	case tagALaw, tagMuLaw:
		return 1
	}
	return 0
}

func (f *wavFormat) codec() string {
	switch f.tag {
	case tagPCM:
		return map[int]string{1: "pcm_u8", 2: "pcm_s16le", 3: "pcm_s24le", 4: "pcm_s32le"}[f.sampleBytes()]
	case tagFloat:
		return map[int]string{4: "pcm_f32le", 8: "pcm_f64le"}[f.sampleBytes()]
	case tagALaw:
		return "pcm_alaw"
	case tagMuLaw:
		return "pcm_mulaw"
	case tagGSM:
		return "gsm_ms"
	case tagMP3:
		return "mp3"
	}
	return ""
}

// rate is how many bytes take a second: by the samples where their size is
// known, for some writers get the header's own figure wrong.
func (f *wavFormat) rate() float64 {
	switch n := f.sampleBytes() * f.channels; {
	case n > 0:
		return float64(n) * float64(f.sampleRate)
	case f.tag == tagGSM:
		return gsm.BlockBytes * float64(f.sampleRate) / gsm.BlockSamples
	}
	return float64(f.bytesPerSecond)
}

func (w *wav) media(size int64) call.Media {
	if w.dataAt == 0 || w.format.channels == 0 || w.format.sampleRate == 0 {
		return call.Media{}
	}
	m := call.Media{
		Format: call.WAV, Codec: w.format.codec(),
		Channels: w.format.channels, SampleRate: w.format.sampleRate,
		Corrupt: float64(w.junk) / float64(max(size, 1)),
	}
	audio := size - w.dataAt
	if w.dataLength == 0 {
		m.Flags = append(m.Flags, call.NoLength)
	} else {
		// A few bytes are a writer who counted wrongly.
		m.Truncated = w.dataLength-audio > countedWrongly
		audio = min(audio, w.dataLength)
	}
	if m.Corrupt > call.DamagedShare {
		m.Flags = append(m.Flags, call.Damaged)
	}
	rate := w.format.rate()
	m.BitRate = int(min(8*rate, math.MaxInt32))
	m.Duration = duration(float64(audio), rate)
	return m
}

// countedWrongly bounds, in bytes, by how much a length may be wrong without
// anything missing.
const countedWrongly = 64

// missing goes by the RIFF header: whatever chunk the end belongs to.
func (w *wav) missing(size int64) int64 {
	if w.riff == 0 {
		return 0
	}
	return max(chunkHeader+w.riff-size, 0)
}

// duration is units at so many a second; 0 if that is not a time.
func duration(units, perSecond float64) time.Duration {
	seconds := units / perSecond
	if !(seconds > 0) || seconds > math.MaxInt32 { // not a number, too
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
