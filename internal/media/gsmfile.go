package media

import (
	"callvault/internal/call"
	"callvault/internal/media/gsm"
)

// gsmFile is GSM 06.10 as Asterisk writes it: frames, and nothing else.
type gsmFile struct {
	frame  []byte // under way
	frames int64
	bad    int64              // frames that are none
	heard  func(frame []byte) // gets the frames, if somebody wants them
}

func (g *gsmFile) take(p []byte) {
	for len(p) > 0 {
		n := min(gsm.FrameBytes-len(g.frame), len(p))
		g.frame = append(g.frame, p[:n]...)
		p = p[n:]
		if len(g.frame) < gsm.FrameBytes {
			return
		}
		g.frames++
		if !gsm.IsFrame(g.frame) {
			g.bad++
		}
		if g.heard != nil {
			g.heard(g.frame)
		}
		g.frame = g.frame[:0]
	}
}

func (g *gsmFile) media(int64) call.Media {
	if g.frames == g.bad {
		return call.Media{}
	}
	m := call.Media{
		Format: call.GSM, Codec: "gsm", Channels: 1, SampleRate: gsm.SampleRate,
		BitRate:   8 * gsm.FrameBytes * gsm.SampleRate / gsm.Samples,
		Duration:  duration(float64(g.frames*gsm.Samples), gsm.SampleRate),
		Truncated: len(g.frame) > 0,
		Corrupt:   float64(g.bad) / float64(g.frames),
	}
	if m.Corrupt > call.DamagedShare {
		m.Flags = append(m.Flags, call.Damaged)
	}
	return m
}

// missing is 0: frames promise nothing.
func (g *gsmFile) missing(int64) int64 { return 0 }

// hearGSM begins to hear frames by themselves. What is none is heard as silence.
func (a *Analysis) hearGSM() func([]byte) {
	a.open(1, gsm.SampleRate)
	d, pcm := gsm.NewDecoder(), new([gsm.Samples]int16)
	return func(frame []byte) {
		if err := d.Decode(frame, pcm); err != nil {
			clear(pcm[:])
		}
		a.mono(pcm[:])
	}
}

// undecoded is why a file was not analysed; empty if it was.
func (g *gsmFile) undecoded() string {
	switch {
	case g.frames == g.bad:
		return "there is no audio in it"
	case float64(g.bad) > mostUndecoded*float64(g.frames):
		return "too much of it cannot be decoded"
	}
	return ""
}
