package simulator

import (
	"encoding/binary"
	"math"
)

const (
	wavSampleRate       = 8000
	wavSecondsPerPhrase = 4
	wavFormatPCM        = 1
	wavFormatMuLaw      = 7
)

// wavHeader is everything before the samples: format, a LIST chunk with the
// title, and the head of the data chunk of length bytes.
func wavHeader(format Format, title string, length int64) []byte {
	tag, bits := uint16(wavFormatPCM), uint16(16)
	if format == WAVMuLaw {
		tag, bits = wavFormatMuLaw, 8
	}
	block := bits / 8

	var chunks []byte
	chunks = append(chunks, "fmt \x12\x00\x00\x00"...) // 18 bytes
	chunks = binary.LittleEndian.AppendUint16(chunks, tag)
	chunks = binary.LittleEndian.AppendUint16(chunks, 1) // mono
	chunks = binary.LittleEndian.AppendUint32(chunks, wavSampleRate)
	chunks = binary.LittleEndian.AppendUint32(chunks, wavSampleRate*uint32(block))
	chunks = binary.LittleEndian.AppendUint16(chunks, block)
	chunks = binary.LittleEndian.AppendUint16(chunks, bits)
	chunks = binary.LittleEndian.AppendUint16(chunks, 0) // no extension
	if format == WAVMuLaw {                              // wanted of all but PCM
		chunks = append(chunks, "fact\x04\x00\x00\x00"...)
		chunks = binary.LittleEndian.AppendUint32(chunks, uint32(length))
	}
	text := append([]byte(title), 0)
	if len(text)%2 == 1 {
		text = append(text, 0)
	}
	chunks = append(chunks, "LIST"...)
	chunks = binary.LittleEndian.AppendUint32(chunks, uint32(4+8+len(text)))
	chunks = append(chunks, "INFOINAM"...)
	chunks = binary.LittleEndian.AppendUint32(chunks, uint32(len(text)))
	chunks = append(chunks, text...)
	chunks = append(chunks, "data"...)
	chunks = binary.LittleEndian.AppendUint32(chunks, uint32(length))

	header := append([]byte(nil), "RIFF"...)
	header = binary.LittleEndian.AppendUint32(header, uint32(4+len(chunks))+uint32(length))
	header = append(header, "WAVE"...)
	return append(header, chunks...)
}

// wavPhrase renders four seconds: four chords that swell and fade, so that
// the phrase can be repeated and cut at any second without a click.
func wavPhrase(chords [][2]float64, format Format) []byte {
	samples := wavSampleRate * wavSecondsPerPhrase
	perChord := samples / len(chords)
	phrase := make([]byte, 0, samples*format.bytesPerSample())
	for i := range samples {
		chord := chords[i/perChord]
		seconds := float64(i) / wavSampleRate
		swell := math.Sin(math.Pi * float64(i%perChord) / float64(perChord))
		tone := math.Sin(2*math.Pi*chord[0]*seconds) + math.Sin(2*math.Pi*chord[1]*seconds)
		sample := int16(4000 * swell * tone)
		if format == WAVMuLaw {
			phrase = append(phrase, muLaw(sample))
		} else {
			phrase = binary.LittleEndian.AppendUint16(phrase, uint16(sample))
		}
	}
	return phrase
}

// muLaw encodes a linear sample after ITU-T G.711.
func muLaw(sample int16) byte {
	const bias, clip = 0x84, 32635
	magnitude, sign := int(sample), byte(0)
	if magnitude < 0 {
		magnitude, sign = -magnitude, 0x80
	}
	magnitude = min(magnitude, clip) + bias
	exponent := 7
	for mask := 0x4000; magnitude&mask == 0 && exponent > 0; mask >>= 1 {
		exponent--
	}
	mantissa := magnitude >> (exponent + 3) & 0x0F
	return ^(sign | byte(exponent)<<4 | byte(mantissa))
}
