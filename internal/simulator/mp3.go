package simulator

import "math"

// The MP3s are MPEG-2.5 (8 kHz) or MPEG-2 (16 kHz) Layer III, mono, at
// 16 kbit/s: what TeleCMI has been seen to send. Rather than carry an encoder,
// every frame is written bit by bit with a handful of spectral lines, which
// decodes to a soft chord. At these rates a frame needs no padding, so its
// size is the same everywhere, and no frame borrows bits from another, so
// frames can be cut and repeated at will.
const (
	mp3BitRate         = 16_000
	mp3SamplesPerFrame = 576
	mp3SideInfo        = 9
	// mp3FramesPerPhrase are the frames of one phrase at 8 kHz, four seconds;
	// at 16 kHz there are twice as many.
	mp3FramesPerPhrase = 56
)

// mp3FrameSize is the size of one frame, header included, in bytes.
func mp3FrameSize(sampleRate int) int {
	return mp3SamplesPerFrame / 8 * mp3BitRate / sampleRate
}

// mp3Phrase renders four seconds: four chords that swell and fade.
func mp3Phrase(chords [][2]float64, sampleRate int) []byte {
	frames := mp3FramesPerPhrase * sampleRate / 8000
	perChord := frames / len(chords)
	phrase := make([]byte, 0, frames*mp3FrameSize(sampleRate))
	for i := range perChord * len(chords) {
		swell := math.Sin(math.Pi * (float64(i%perChord) + 0.5) / float64(perChord))
		phrase = append(phrase, mp3Frame(sampleRate, chords[i/perChord], swell, i)...)
	}
	return phrase
}

// mp3Frame writes one frame that sounds the two frequencies (Hz) at a loudness
// from 0 to 1. number is the frame's place in its phrase.
func mp3Frame(sampleRate int, chord [2]float64, loudness float64, number int) []byte {
	header := uint32(0xFFF3_0000) // sync, MPEG-2, Layer III, no CRC
	rateIndex := uint32(2)        // 16 kHz
	if sampleRate == 8000 {
		header = 0xFFE3_0000 // sync, MPEG-2.5
	}
	header |= 2<<12 | rateIndex<<10 | 3<<6 // 16 kbit/s, no padding, mono

	var w bitWriter
	w.bits = make([]byte, mp3FrameSize(sampleRate))
	w.put(header, 32)

	// The lines, as pairs of quantised values 0 or ±1 (Huffman table 1).
	lines := map[int]bool{} // line → negative
	highest := 0
	for _, hz := range chord {
		line := int(hz / (float64(sampleRate) / 2) * mp3SamplesPerFrame)
		lines[line] = lineIsNegative(line, number)
		highest = max(highest, line)
	}
	var main bitWriter
	main.bits = make([]byte, len(w.bits))
	pairs := highest/2 + 1
	for pair := range pairs {
		negativeX, x := lines[2*pair]
		negativeY, y := lines[2*pair+1]
		switch {
		case x && y:
			main.put(0b000, 3)
		case y:
			main.put(0b001, 3)
		case x:
			main.put(0b01, 2)
		default:
			main.put(0b1, 1)
		}
		if x {
			main.putBool(negativeX)
		}
		if y {
			main.putBool(negativeY)
		}
	}

	// Side information, ISO/IEC 13818-3 section 2.4.1.7, one granule, mono.
	// A step of the gain is a quarter of a factor two; 210 is full scale.
	gain := 200 + 4*math.Log2(max(loudness, 0.02))
	w.put(0, 8)                    // main_data_begin: nothing borrowed
	w.put(0, 1)                    // private
	w.put(uint32(main.length), 12) // part2_3_length
	w.put(uint32(pairs), 9)        // big_values
	w.put(uint32(gain), 8)         // global_gain
	w.put(0, 9)                    // scalefac_compress: no scale factors
	w.put(0, 1)                    // window_switching_flag: long blocks
	w.put(1, 5)                    // table_select of the three regions
	w.put(1, 5)
	w.put(1, 5)
	w.put(0, 4+3+1+1) // region counts, scalefac_scale, count1table_select

	copy(w.bits[4+mp3SideInfo:], main.bits[:(main.length+7)/8])
	return w.bits
}

// lineIsNegative keeps a tone in phase from frame to frame: at the middle of a
// line the phase advances by π(line+½) per frame of the transform.
func lineIsNegative(line, number int) bool {
	k := line % 18
	if (line/18)%2 == 1 {
		k = 17 - k
	}
	return math.Cos(math.Pi*(float64(k)+0.5)*float64(number)+math.Pi/4) < 0
}

// mp3Tag is an ID3v2.3 tag with the title, which makes every file's bytes its
// own.
func mp3Tag(title string) []byte {
	text := append([]byte{0}, title...) // ISO 8859-1; file names are ASCII
	frame := append([]byte("TIT2\x00\x00\x00"), byte(len(text)), 0, 0)
	frame = append(frame, text...)
	size := len(frame)
	tag := append([]byte("ID3\x03\x00\x00"), 0, 0, byte(size>>7), byte(size&0x7F))
	return append(tag, frame...)
}

// bitWriter writes bits, the most significant first.
type bitWriter struct {
	bits   []byte
	length int
}

func (w *bitWriter) put(value uint32, count int) {
	for i := count - 1; i >= 0; i-- {
		if value>>i&1 == 1 {
			w.bits[w.length/8] |= 0x80 >> (w.length % 8)
		}
		w.length++
	}
}

func (w *bitWriter) putBool(value bool) {
	if value {
		w.put(1, 1)
	} else {
		w.put(0, 1)
	}
}
