package media

import (
	"encoding/binary"
	"fmt"

	"callvault/internal/call"
	"callvault/internal/media/layer3"
)

const (
	// longestMP3 bounds what is decoded, in seconds: 512 MiB may be a week.
	longestMP3 = 24 * 60 * 60
	// mostUndecoded is the share of frames that may fail.
	mostUndecoded = 0.1
)

// mp3Sound decodes the frames of an MP3, one by one.
type mp3Sound struct {
	header  frame  // of the first frame
	frame   []byte // the frame under way
	decoder layer3.Decoder
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
	case a.tracks == nil:
		a.mp3.header = f
		a.open(f.channels, f.sampleRate)
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
	var pcm [][]float64
	if f.layer == s.header.layer && f.sampleRate == s.header.sampleRate {
		var err error
		if pcm, err = s.decoder.Decode(s.frame); err != nil {
			pcm = nil
		}
	}
	if pcm == nil {
		s.failed++
		pcm = [][]float64{make([]float64, f.samples)}
	}
	for i := range f.samples {
		for c := range a.tracks {
			a.tracks[c].add(pcm[min(c, len(pcm)-1)][i])
		}
		a.tick()
	}
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
