package media

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"callvault/internal/call"

	gomp3 "github.com/hajimehoshi/go-mp3"
)

const (
	// lowestMP3Rate is that of MPEG 2: the decoder knows nothing of 2.5.
	lowestMP3Rate = 16_000
	// miscounted is the rate at which the decoder takes padded frames of MPEG 2
	// for one byte shorter than they are, and hears noise.
	miscounted = 22_050
	// longestMP3 bounds what is decoded, in seconds: 512 MiB may be a week.
	longestMP3 = 24 * 60 * 60
	// mostUndecoded is the share of frames that may fail.
	mostUndecoded = 0.1
	// pcmOfFrame is the most that a frame becomes: 1152 samples of two channels.
	pcmOfFrame = 1152 * 4
)

// mp3Sound decodes the frames of an MP3, one by one. The decoder gets nothing
// but whole frames, so that it never searches, holds no more than one, and finds
// no tag whose length it would believe.
type mp3Sound struct {
	header  frame  // of the first frame
	frame   []byte // the frame under way
	input   bytes.Buffer
	decoder *gomp3.Decoder
	pcm     [pcmOfFrame]byte
	// frames were taken, failed of them not decoded, and samples heard.
	frames, failed, samples int64
}

// forgetMP3 begins anew: what was taken for a frame was none.
func (a *Analysis) forgetMP3() {
	a.mp3, a.reason, a.tracks, a.windows, a.inside = new(mp3Sound), "", nil, 0, 0
}

// takeMP3 takes in bytes of frames; each begins with its header.
func (a *Analysis) takeMP3(p []byte) {
	s := a.mp3
	for len(p) > 0 && a.reason == "" {
		head := s.frame
		if len(head) == 0 {
			head = p
		}
		f, _ := parseFrame(binary.BigEndian.Uint32(head)) // it was read before
		if s.frames == 0 || f.kilobits == 0 {
			if a.beginMP3(f); a.reason != "" {
				return
			}
		}
		n := min(f.length()-len(s.frame), len(p))
		s.frame = append(s.frame, p[:n]...)
		p = p[n:]
		if len(s.frame) == f.length() {
			a.hearFrame(f)
			s.frame = s.frame[:0]
		}
	}
}

// beginMP3 says whether a file with such a first frame is decoded.
func (a *Analysis) beginMP3(f frame) {
	switch {
	case f.layer != 3:
		a.reason = fmt.Sprintf("mp%d is not decoded", f.layer)
	case f.kilobits == 0:
		a.reason = "MP3 of a free format is not decoded"
	case f.sampleRate < lowestMP3Rate:
		a.reason = fmt.Sprintf("MP3 at %g kHz (MPEG 2.5) is not decoded", float64(f.sampleRate)/1000)
	case f.sampleRate == miscounted:
		a.reason = "MP3 at 22.05 kHz is not decoded"
	case a.tracks == nil:
		a.mp3.header = f
		a.open(f.channels, f.sampleRate)
		a.decode = a.samples((&wavFormat{tag: tagPCM, bits: 16}).decoder(), 2)
	}
}

// hearFrame takes in the frame that is complete. What cannot be decoded is
// heard as silence, so that the rest stays where it belongs.
func (a *Analysis) hearFrame(f frame) {
	s := a.mp3
	s.frames++
	s.samples += int64(f.samples)
	if s.samples > longestMP3*int64(s.header.sampleRate) {
		a.reason = "it is longer than a day"
		return
	}
	const sample = 4 // bytes: the decoder always makes two channels
	pcm := []byte(nil)
	if f.layer == s.header.layer && f.sampleRate == s.header.sampleRate {
		pcm = s.decode()
	}
	if len(pcm) != f.samples*sample {
		s.failed++
		pcm = s.pcm[:f.samples*sample]
		clear(pcm)
	}
	for ; len(pcm) > 0; pcm = pcm[sample:] {
		a.decode(pcm)
	}
}

// decode is the frame's sound, nil if it has none that the decoder understands.
// What damage makes it do is its own affair: it begins anew.
func (s *mp3Sound) decode() (pcm []byte) {
	defer func() {
		if recover() != nil {
			s.decoder, pcm = nil, nil
		}
		s.input.Reset()
	}()
	s.input.Write(s.frame)
	if s.decoder == nil {
		d, err := gomp3.NewDecoder(&s.input)
		if err != nil {
			return nil
		}
		s.decoder = d
	}
	n, err := s.decoder.Read(s.pcm[:])
	if err != nil {
		return nil
	}
	return s.pcm[:n]
}

// undecoded is why a file was not analysed whose frames were taken in; empty if
// it was.
func (s *mp3Sound) undecoded(m call.Media) string {
	switch {
	case m.Format == "" || s.frames == 0:
		return "there is no audio in it"
	case float64(s.failed) > mostUndecoded*float64(s.frames):
		return "too much of it cannot be decoded"
	}
	return ""
}
