// Package media understands recordings: what their bytes say of them (Probe),
// and how they sound (Analysis). Nothing here is a reason to refuse audio: what
// is not understood is not known, and kept all the same.
package media

import (
	"callvault/internal/call"
)

// Probe reads what audio is while it passes by: headers and the beginnings of
// frames, never the samples. It takes in the whole file by Write, in pieces of
// any size, and keeps a few bytes of it.
type Probe struct {
	reader reader
	size   int64
}

// reader is the Probe of one format.
type reader interface {
	take(p []byte)
	media(size int64) call.Media
	missing(size int64) int64
}

// NewProbe returns a Probe of a file of the media type, which somebody has
// recognised by its content: audio/wav, audio/mpeg or audio/gsm. Of others
// nothing is known.
func NewProbe(mediaType string) *Probe {
	switch mediaType {
	case "audio/wav":
		return &Probe{reader: newWAV()}
	case "audio/mpeg":
		return &Probe{reader: newMP3()}
	case "audio/gsm":
		return &Probe{reader: &gsmFile{}}
	}
	return &Probe{}
}

// Write takes in the next bytes. It never fails.
func (p *Probe) Write(b []byte) (int, error) {
	p.size += int64(len(b))
	if p.reader != nil {
		p.reader.take(b)
	}
	return len(b), nil
}

// Media is what is known of the file when all of it was written.
func (p *Probe) Media() call.Media {
	if p.reader == nil {
		return call.Media{}
	}
	return p.reader.media(p.size)
}

// Missing is how many bytes a header promises that did not come; 0 when it
// promises nothing.
func (p *Probe) Missing() int64 {
	if p.reader == nil {
		return 0
	}
	return p.reader.missing(p.size)
}

// collector gathers a few bytes that must be seen together, over the borders
// of what is written.
type collector struct {
	buf  [collectBytes]byte
	have int
	want int
}

// collectBytes is what the longest of all headers takes: a Xing header behind
// the side information of an MPEG 1 frame.
const collectBytes = 64

// fill takes from b what is wanted; full says that all is there.
func (c *collector) fill(b []byte) (rest []byte, full bool) {
	n := copy(c.buf[c.have:c.want], b)
	c.have += n
	return b[n:], c.have == c.want
}

// bytes are those gathered so far.
func (c *collector) bytes() []byte { return c.buf[:c.have] }

// next begins to gather anew.
func (c *collector) next(want int) { c.have, c.want = 0, want }
