package media

import (
	"bytes"
	"encoding/binary"
	"math"

	"callvault/internal/call"
)

// The bit rates in kbit/s by version, layer and the header's index (ISO/IEC
// 11172-3 and 13818-3, section 2.4.2.3). 0 is free format.
var (
	ratesV1 = [3][15]int{
		{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448}, // layer I
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	}
	ratesV2 = [3][15]int{
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	}
	// By version: 2.5, reserved, 2, 1.
	mpegSampleRates = [4][3]int{{11025, 12000, 8000}, {}, {22050, 24000, 16000}, {44100, 48000, 32000}}
)

const frameHeader = 4

// frame is the header of an MPEG audio frame.
type frame struct {
	layer      int  // 1 to 3
	low        bool // MPEG 2 or 2.5: half the samples in layer III
	channels   int
	sampleRate int
	kilobits   int // 0: free format
	padding    int // bytes
	samples    int // of each channel
}

// sameStream is the part of a header that all frames of a file have in common:
// sync, version, layer and sample rate.
const sameStream = 0xFFFE0C00

// parseFrame reads a frame's header.
func parseFrame(h uint32) (f frame, ok bool) {
	version, layer := h>>19&3, h>>17&3
	rate, sampling := h>>12&15, h>>10&3
	if h>>21 != 0x7FF || version == 1 || layer == 0 || rate == 15 || sampling == 3 || h&3 == 2 {
		return f, false
	}
	f = frame{
		layer: int(4 - layer), low: version != 3, channels: 2,
		sampleRate: mpegSampleRates[version][sampling], padding: int(h >> 9 & 1),
	}
	if h>>6&3 == 3 {
		f.channels = 1
	}
	rates := &ratesV1
	if f.low {
		rates = &ratesV2
	}
	f.kilobits = rates[f.layer-1][rate]
	switch {
	case f.layer == 1:
		f.samples = 384
		f.padding *= 4
	case f.layer == 3 && f.low:
		f.samples = 576
	default:
		f.samples = 1152
	}
	return f, true
}

// length in bytes, header and padding included; 0 for free format.
func (f *frame) length() int {
	if f.kilobits == 0 {
		return 0
	}
	n := f.samples / 8 * f.kilobits * 1000 / f.sampleRate
	if f.layer == 1 {
		n = 12 * f.kilobits * 1000 / f.sampleRate * 4
	}
	return n + f.padding
}

// IsMP3 reports whether the beginning of a file is MPEG audio frames in a row,
// at least two and as many as fit, which is what some recorders write without
// any tag before it.
func IsMP3(head []byte) bool {
	frames, stream := 0, uint32(0)
	for len(head) >= frameHeader {
		h := binary.BigEndian.Uint32(head)
		f, ok := parseFrame(h)
		n := f.length()
		if !ok || n == 0 || frames > 0 && h&sameStream != stream {
			return false
		}
		stream = h & sameStream
		if n > len(head) {
			break
		}
		frames++
		head = head[n:]
	}
	return frames >= 2
}

// mpStep is what the next bytes of an MP3 are.
type mpStep int

const (
	atFrame mpStep = iota // a frame or a tag
	atFirst               // the beginning of the first frame, which may be a table of contents
	atID3
	atAPE
	atSearch // for the next frame, after damage
	atFree   // for the next frame, which tells the length of those of a free format
)

type mp3 struct {
	collector
	step mpStep
	skip int64

	first   frame  // the first frame that counts
	current uint32 // what the headers of frames in a row have in common
	run     int    // frames in a row
	within  bool   // what is passed over is a frame's
	// alone is the first frame in a row, of aloneSize bytes. It counts when
	// another follows: damage may look like one frame, hardly like two.
	alone     frame
	aloneSize int64

	// last is the header of the last frame that counted, as far as frames alike
	// have it in common, and alike what they are.
	last  uint32
	alike frame

	frames, frameBytes int64
	seconds            float64
	junk, tags, search int64 // bytes; search are those of the search under way
	free               int64 // length of frames of a free format, without padding
	kilobits           int   // of the last frame
	variable, isFree   bool
	// sound, if set, gets the bytes of the frames, in pieces of which none
	// crosses the beginning of one and the first of each has its header; mute says
	// that what is passed over is of a table of contents. forget says that what
	// came before was no frame.
	sound          func([]byte)
	forget         func()
	mute           bool
	promisedFrames int64
	promisedBytes  int64
	contents       bool // the table of contents was seen
}

// longestFree bounds the frames of a free format: 640 kbit/s at 8 kHz is what
// decoders take at most.
const longestFree = 8 << 10

func newMP3() *mp3 {
	m := &mp3{}
	m.next(frameHeader)
	return m
}

func (m *mp3) take(p []byte) {
	for len(p) > 0 {
		if m.skip > 0 {
			n := min(m.skip, int64(len(p)))
			m.skip -= n
			if m.within && !m.mute {
				m.tell(p[:n])
			}
			p = p[n:]
			continue
		}
		if m.have == 0 {
			switch m.step {
			case atFrame:
				p = m.stride(p)
			case atSearch, atFree:
				p = m.jump(p)
			default:
			}
			if m.skip > 0 || len(p) == 0 {
				continue
			}
		}
		rest, full := m.fill(p)
		p = rest
		if full {
			m.parse(m.bytes())
		}
	}
}

// What differs between frames alike: padding, and how two channels are coded
// together, and what is private or about copyright.
const (
	paddingBit  = 1 << 9
	likeLast    = ^uint32(paddingBit | 1<<8 | 3<<4 | 3<<2)
	strideAfter = 2 // frames in a row
)

// stride passes over frames that are like the last: nearly all are.
func (m *mp3) stride(p []byte) []byte {
	if m.run < strideAfter {
		return p
	}
	f := m.alike
	f.padding = 0
	plain := f.length()
	if plain == 0 {
		return p // free format
	}
	pad := 1
	if f.layer == 1 {
		pad = 4
	}
	seconds := float64(f.samples) / float64(f.sampleRate)
	for len(p) >= frameHeader {
		h := binary.BigEndian.Uint32(p)
		if h&likeLast != m.last {
			break
		}
		n := plain
		if h&paddingBit != 0 {
			n += pad
		}
		m.frames++
		m.frameBytes += int64(n)
		m.seconds += seconds
		m.tell(p[:min(n, len(p))])
		if n > len(p) {
			m.skip, m.within = int64(n-len(p)), true
			return nil
		}
		p = p[n:]
	}
	return p
}

// jump passes over what cannot begin a frame.
func (m *mp3) jump(p []byte) []byte {
	n := bytes.IndexByte(p, 0xFF)
	if n < 0 {
		n = len(p)
	}
	m.search += int64(n)
	return p[n:]
}

func (m *mp3) parse(b []byte) {
	switch m.step {
	case atFrame:
		m.parseFrame(b)
	case atFirst:
		m.parseFirst(b)
	case atID3:
		var n int64
		for _, digit := range b[6:10] { // seven bits each
			n = n<<7 | int64(digit&0x7F)
		}
		if b[5]&0x10 != 0 {
			n += 10 // a footer
		}
		m.pass(int64(len(b)), n)
	case atAPE:
		n := int64(binary.LittleEndian.Uint32(b[12:])) // the footer's bytes count, the header's do not
		if binary.LittleEndian.Uint32(b[20:])&(1<<29) == 0 {
			n = 0 // a footer: what it is of has passed
		}
		m.pass(int64(len(b)), n)
	case atSearch, atFree:
		m.parseSearch(b)
	}
}

// pass goes over a tag of which that much was read, and n more are to come.
func (m *mp3) pass(read, n int64) {
	m.tags += read + n
	m.skip, m.within = n, false
	m.step = atFrame
	m.next(frameHeader)
}

func (m *mp3) parseFrame(b []byte) {
	switch {
	case string(b[:3]) == "ID3":
		m.step, m.want = atID3, 10
		return
	case string(b[:3]) == "TAG":
		m.pass(frameHeader, 128-frameHeader)
		return
	case string(b) == "APET":
		m.step, m.want = atAPE, 32
		return
	}
	h := binary.BigEndian.Uint32(b)
	f, ok := parseFrame(h)
	if !ok || f.kilobits == 0 && m.frames > 0 && !m.isFree {
		m.lose(b)
		return
	}
	if h&sameStream != m.current { // as where two files were joined
		m.endRun()
	}
	if m.frames == 0 && m.run == 0 && !m.contents && f.layer == 3 && f.length() > collectBytes {
		m.step, m.want = atFirst, collectBytes
		return
	}
	m.takeFrame(h, f)
}

// parseFirst looks for a table of contents, which encoders of variable rates
// put into a first frame without audio.
func (m *mp3) parseFirst(b []byte) {
	h := binary.BigEndian.Uint32(b)
	f, _ := parseFrame(h) // it was read before
	side := 32
	switch {
	case f.low && f.channels == 1:
		side = 9
	case f.low || f.channels == 1:
		side = 17
	}
	table := b[frameHeader+side:]
	switch {
	case string(table[:4]) == "Xing" || string(table[:4]) == "Info":
		flags, at := binary.BigEndian.Uint32(table[4:]), table[8:]
		if flags&1 != 0 {
			m.promisedFrames, at = int64(binary.BigEndian.Uint32(at)), at[4:]
		}
		if flags&2 != 0 {
			m.promisedBytes = int64(binary.BigEndian.Uint32(at))
		}
	case string(b[36:40]) == "VBRI":
		m.promisedBytes = int64(binary.BigEndian.Uint32(b[46:]))
		m.promisedFrames = int64(binary.BigEndian.Uint32(b[50:]))
	default:
		m.takeFrame(h, f)
		m.tell(b[frameHeader:])
		m.skip -= int64(len(b)) - frameHeader
		return
	}
	m.contents, m.mute = true, true
	m.skip, m.within = int64(f.length()-len(b)), true
	m.step = atFrame
	m.next(frameHeader)
}

func (m *mp3) takeFrame(h uint32, f frame) {
	n := int64(f.length())
	if f.kilobits == 0 {
		if m.free == 0 {
			// Where the next one begins tells how long they are.
			m.step, m.current = atFree, h&sameStream
			m.alone = f
			m.search = frameHeader
			m.next(frameHeader)
			return
		}
		n = m.free + int64(f.padding)
	}
	m.current = h & sameStream
	m.run++
	switch m.run {
	case 1:
		m.alone, m.aloneSize = f, n
	case 2:
		m.count(m.alone, m.aloneSize)
		fallthrough
	default:
		m.count(f, n)
		m.last, m.alike = h&likeLast, f
	}
	m.skip, m.within, m.mute = n-frameHeader, true, false
	m.step = atFrame
	m.next(frameHeader)
	if m.sound != nil { // tell would have the header made for nobody
		m.sound(binary.BigEndian.AppendUint32(nil, h))
	}
}

func (m *mp3) tell(p []byte) {
	if m.sound != nil {
		m.sound(p)
	}
}

func (m *mp3) count(f frame, n int64) {
	if m.frames == 0 {
		m.first = f
	} else if f.kilobits != m.kilobits {
		m.variable = true
	}
	m.kilobits = f.kilobits
	m.frames++
	m.seconds += float64(f.samples) / float64(f.sampleRate)
	m.frameBytes += n
}

// lose begins to search for the next frame: where one should begin stands
// something else.
func (m *mp3) lose(b []byte) {
	m.endRun()
	m.search = 0
	m.step = atSearch
	m.shift(b)
}

func (m *mp3) endRun() {
	if m.run == 1 {
		m.junk += m.aloneSize // it was no frame
		if m.frames == 0 && m.forget != nil {
			m.forget()
		}
	}
	m.run, m.free = 0, 0
}

// shift goes on by one byte.
func (m *mp3) shift(b []byte) {
	n := bytes.IndexByte(b[1:], 0xFF)
	if n < 0 {
		n = len(b) - 1
	}
	m.search += int64(n + 1)
	rest := copy(m.buf[:], b[n+1:])
	m.next(frameHeader)
	m.have = rest
}

func (m *mp3) parseSearch(b []byte) {
	h := binary.BigEndian.Uint32(b)
	f, ok := parseFrame(h)
	if m.step == atSearch {
		if !ok {
			m.shift(b)
			return
		}
		m.junk += m.search
		m.search = 0
		m.parseFrame(b)
		return
	}
	switch {
	case ok && f.kilobits == 0 && h&sameStream == m.current:
		m.isFree, m.free = true, m.search-int64(m.alone.padding)
		m.run, m.aloneSize, m.search = 1, m.search, 0
		m.takeFrame(h, f)
	case m.search > longestFree: // it was no frame
		m.step = atSearch
		m.parseSearch(b)
	default:
		m.shift(b)
	}
}

func (m *mp3) media(size int64) call.Media {
	cut := m.skip > 0 && m.within
	if m.run == 1 && m.frames == 0 && m.junk == 0 && !cut {
		m.count(m.alone, m.aloneSize) // the only one
	}
	if m.frames == 0 {
		return call.Media{}
	}
	frameBytes := m.frameBytes
	if cut && m.run > 1 { // a first one in a row is not counted yet
		frameBytes -= m.skip
	}
	f := m.first
	out := call.Media{
		Format: call.MP3, Codec: [...]string{"mp1", "mp2", "mp3"}[f.layer-1],
		Channels: f.channels, SampleRate: f.sampleRate,
		Duration: duration(m.seconds, 1),
		// A table of contents counts its own frame or not, as its writer sees it.
		Truncated: cut || m.promisedFrames > m.frames+1 || m.promisedBytes > size+countedWrongly,
		Corrupt:   math.Min(1, float64(m.junk+m.search)/float64(max(size-m.tags, 1))),
	}
	if seconds := out.Duration.Seconds(); seconds > 0 {
		out.BitRate = int(min(8*float64(frameBytes)/seconds, math.MaxInt32))
	}
	if m.variable {
		out.Flags = append(out.Flags, call.VariableRate)
	}
	if m.isFree {
		out.Flags = append(out.Flags, call.FreeFormat)
	}
	if out.Corrupt > call.DamagedShare {
		out.Flags = append(out.Flags, call.Damaged)
	}
	return out
}

// missing is 0: a cut MP3 is worth keeping, and tags that promise too much are
// common.
func (m *mp3) missing(int64) int64 { return 0 }
