package media_test

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"callvault/internal/call"
	"callvault/internal/media"
	"callvault/internal/simulator"
)

func probe(mediaType string, audio []byte) (*media.Probe, call.Media) {
	p := media.NewProbe(mediaType)
	_, _ = p.Write(audio) // never fails
	return p, p.Media()
}

// about lets durations differ by a millisecond, rates by rounding.
var about = cmp.Options{
	cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() <= time.Millisecond }),
	cmpopts.EquateApprox(0, 0.0005),
}

func TestWAV(t *testing.T) {
	t.Parallel()
	phone := func(codec string, bits, seconds int) call.Media {
		return call.Media{Format: call.WAV, Codec: codec, Channels: 1, SampleRate: 8000, BitRate: 8000 * bits, Duration: time.Duration(seconds) * time.Second}
	}
	with := func(m call.Media, change func(*call.Media)) call.Media { change(&m); return m }
	noLength := func(m *call.Media) { m.Flags = []call.MediaFlag{call.NoLength} }
	truncated := func(m *call.Media) { m.Truncated = true }
	edit := func(w wavFile, change func(*wavFile)) []byte { change(&w); return w.bytes() }
	subFormat := append([]byte{22, 0, 16, 0, 4, 0, 0, 0, 1, 0}, "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"...)
	nothing := call.Media{}
	for name, tt := range map[string]struct {
		audio []byte
		want  call.Media
	}{
		"simulated PCM":    {simulated(t, simulator.WAVPCM, 40*time.Second), phone("pcm_s16le", 16, 40)},
		"simulated mu-law": {simulated(t, simulator.WAVMuLaw, 7*time.Second), phone("pcm_mulaw", 8, 7)},
		"8 bit":            {telephone(1, 1, 3).bytes(), phone("pcm_u8", 8, 3)},
		"24 bit":           {telephone(1, 3, 3).bytes(), phone("pcm_s24le", 24, 3)},
		"32 bit":           {telephone(1, 4, 3).bytes(), phone("pcm_s32le", 32, 3)},
		"float":            {telephone(3, 4, 3).bytes(), phone("pcm_f32le", 32, 3)},
		"double":           {telephone(3, 8, 3).bytes(), phone("pcm_f64le", 64, 3)},
		"A-law":            {telephone(6, 1, 3).bytes(), phone("pcm_alaw", 8, 3)},
		"extensible": {edit(telephone(0xFFFE, 2, 3), func(w *wavFile) { w.more = subFormat }),
			phone("pcm_s16le", 16, 3)},
		"extensible, 12 of 16 bits": {edit(telephone(0xFFFE, 2, 3), func(w *wavFile) { w.more, w.bits = subFormat, 12 }),
			phone("pcm_s16le", 16, 3)},
		"stereo": {wavFile{tag: 1, ch: 2, rate: 44100, perSec: 176400, block: 4, bits: 16, riff: 36 + 176400, data: 176400, audio: make([]byte, 176400)}.bytes(),
			call.Media{Format: call.WAV, Codec: "pcm_s16le", Channels: 2, SampleRate: 44100, BitRate: 1411200, Duration: time.Second}},
		"GSM": {wavFile{tag: 0x31, ch: 1, rate: 8000, perSec: 1625, block: 65, riff: 1, data: 3250, more: []byte{2, 0, 64, 1}, audio: make([]byte, 3250)}.bytes(),
			call.Media{Format: call.WAV, Codec: "gsm_ms", Channels: 1, SampleRate: 8000, BitRate: 13000, Duration: 2 * time.Second}},
		"a codec that nobody knows": {wavFile{tag: 0x11, ch: 1, rate: 8000, perSec: 4000, block: 256, bits: 4, riff: 1, data: 8000, audio: make([]byte, 8000)}.bytes(),
			call.Media{Format: call.WAV, Channels: 1, SampleRate: 8000, BitRate: 32000, Duration: 2 * time.Second}},
		"wrong bytes per second": {edit(telephone(1, 2, 3), func(w *wavFile) { w.perSec = 8000 }), phone("pcm_s16le", 16, 3)},
		"length not known":       {edit(telephone(7, 1, 3), func(w *wavFile) { w.riff, w.data = 0xFFFFFFFF, 0xFFFFFFFF }), with(phone("pcm_mulaw", 8, 3), noLength)},
		"piped":                  {edit(telephone(7, 1, 3), func(w *wavFile) { w.riff, w.data = 0x7FFFF024, 0x7FFFF000 }), with(phone("pcm_mulaw", 8, 3), noLength)},
		"length never written":   {edit(telephone(7, 1, 3), func(w *wavFile) { w.riff, w.data = 0, 0 }), with(phone("pcm_mulaw", 8, 3), noLength)},
		"cut":                    {edit(telephone(7, 1, 3), func(w *wavFile) { w.audio = w.audio[:8000] }), with(phone("pcm_mulaw", 8, 1), truncated)},
		"a few bytes too few":    {edit(telephone(7, 1, 3), func(w *wavFile) { w.data += 20 }), phone("pcm_mulaw", 8, 3)},
		"wrong RIFF size":        {edit(telephone(7, 1, 3), func(w *wavFile) { w.riff = 4 }), phone("pcm_mulaw", 8, 3)},
		"chunks before": {edit(telephone(7, 1, 3), func(w *wavFile) {
			w.before = append(chunk("LIST", make([]byte, 300)), chunk("fact", make([]byte, 4))...)
		}), phone("pcm_mulaw", 8, 3)},
		"an odd chunk, padded": {edit(telephone(7, 1, 3), func(w *wavFile) { w.before = append(chunk("LIST", make([]byte, 3)), 0) }), phone("pcm_mulaw", 8, 3)},
		"an odd one, unpadded": {edit(telephone(7, 1, 3), func(w *wavFile) { w.before = chunk("LIST", make([]byte, 3)) }), phone("pcm_mulaw", 8, 3)},
		"chunks behind":        {append(telephone(7, 1, 3).bytes(), chunk("LIST", make([]byte, 9000))...), phone("pcm_mulaw", 8, 3)},
		"something behind": {append(telephone(7, 1, 3).bytes(), make([]byte, 24044)...), with(phone("pcm_mulaw", 8, 3), func(m *call.Media) {
			m.Corrupt, m.Flags = 0.5, []call.MediaFlag{call.Damaged}
		})},
		"RF64": {edit(telephone(7, 1, 3), func(w *wavFile) {
			w.kind, w.riff, w.data, w.before = "RF64", 0xFFFFFFFF, 0xFFFFFFFF, ds64(24_080, 24_000)
		}), phone("pcm_mulaw", 8, 3)},
		"RF64, cut": {edit(telephone(7, 1, 3), func(w *wavFile) {
			w.kind, w.riff, w.data, w.before = "RF64", 0xFFFFFFFF, 0xFFFFFFFF, ds64(1<<33, 1<<33)
		}), with(phone("pcm_mulaw", 8, 3), truncated)},
		"no rate":          {edit(telephone(7, 1, 3), func(w *wavFile) { w.rate = 0 }), nothing},
		"header alone":     {[]byte("RIFF\x00\x00\x00\x00WAVE"), nothing},
		"header cut":       {telephone(7, 1, 3).bytes()[:30], nothing},
		"no end of chunks": {append([]byte("RIFF\x00\x00\x00\x00WAVE"), make([]byte, 100_000)...), nothing},
		"something else":   {[]byte("hello, world, this is no audio"), nothing},
		"nothing":          {nil, nothing},
	} {
		_, got := probe("audio/wav", tt.audio)
		if diff := cmp.Diff(tt.want, got, about); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestMP3(t *testing.T) {
	t.Parallel()
	mp3At8 := simulated(t, simulator.MP3At8kHz, 90*time.Second)
	phone := call.Media{Format: call.MP3, Codec: "mp3", Channels: 1, SampleRate: 8000, BitRate: 16000, Duration: 90 * time.Second}
	with := func(m call.Media, change func(*call.Media)) call.Media { change(&m); return m }
	frames := func(n float64, perSecond float64) time.Duration {
		return time.Duration(n / perSecond * float64(time.Second))
	}
	stereo := func(codec string, n, rate int) call.Media {
		return call.Media{Format: call.MP3, Codec: codec, Channels: 2, SampleRate: 44100, BitRate: rate, Duration: frames(float64(n), secondOf441)}
	}
	variable := with(stereo("mp3", 200, (v1At32Len+v1At128Len)*8*100), func(m *call.Media) {
		m.BitRate = int(float64((v1At32Len+v1At128Len)*8*100) / m.Duration.Seconds())
		m.Flags = []call.MediaFlag{call.VariableRate}
	})
	of128 := with(stereo("mp3", 50, 0), func(m *call.Media) { m.BitRate = rounded(v1At128Len * 8 * secondOf441) })
	truncated := func(m *call.Media) { m.Truncated = true }
	join := slices.Concat[[]byte]
	body := repeat(mpegFrame(v1At128, v1At128Len), 50)
	v25Body := repeat(mpegFrame(v25, v25Len), 100)
	nothing := call.Media{}
	for name, tt := range map[string]struct {
		audio []byte
		want  call.Media
	}{
		"at 8 kHz": {mp3At8, phone},
		"at 16 kHz": {simulated(t, simulator.MP3At16kHz, 61*time.Second), with(phone, func(m *call.Media) {
			m.SampleRate, m.Duration = 16000, 60984*time.Millisecond // in whole frames
		})},
		"MPEG 2.5 without a tag": {v25Body, with(phone, func(m *call.Media) { m.Duration = 7200 * time.Millisecond })},
		"MPEG 2, layer II": {repeat(mpegFrame(v2Layer2, v2Layer2Len), 50),
			call.Media{Format: call.MP3, Codec: "mp2", Channels: 2, SampleRate: 24000, BitRate: 64000, Duration: 2400 * time.Millisecond}},
		"layer I": {repeat(mpegFrame(v1Layer1, v1Layer1Len), 30),
			with(stereo("mp1", 10, 0), func(m *call.Media) { m.BitRate = rounded(v1Layer1Len * 8 * 44100.0 / 384) })},
		"layer II":                     {repeat(mpegFrame(v1Layer2, v1Layer2Len), 50), with(stereo("mp2", 50, 0), func(m *call.Media) { m.BitRate = rounded(v1Layer2Len * 8 * secondOf441) })},
		"changing rate":                {changing(200), variable},
		"LAME's contents":              {join(id3v2(3000, 0), xing("Xing", 200, 0), changing(200)), variable},
		"VBRI":                         {join(vbri(200, 0), changing(200)), variable},
		"contents of a CBR":            {join(xing("Info", 51, 0), body), of128},
		"contents promise more frames": {join(xing("Xing", 400, 0), changing(200)), with(variable, truncated)},
		"contents promise more bytes":  {join(xing("Xing", 200, 200_000), changing(200)), with(variable, truncated)},
		"ID3v1 behind":                 {join(body, id3v1()), of128},
		"APE and ID3v1 behind":         {join(body, ape(), id3v1()), of128},
		"APE before":                   {join(ape(), body), of128},
		"ID3v2 with a footer":          {join(id3v2(500, 0x10), body), of128},
		"two ID3v2":                    {join(id3v2(500, 0), id3v2(20, 0), body), of128},
		"ID3v1 cut":                    {join(body, id3v1()[:50]), of128},
		"last frame cut":               {body[:len(body)-7], with(of128, func(m *call.Media) { m.Truncated, m.BitRate = true, m.BitRate-42 })},
		"junk between": {join(body[:v1At128Len*25], bytes.Repeat([]byte{0xFF, 0, 0xFE, 7}, 1000), body[v1At128Len*25:]), with(of128, func(m *call.Media) {
			m.Corrupt, m.Flags = 4000.0/float64(4000+len(body)), []call.MediaFlag{call.Damaged}
		})},
		"junk before": {join(make([]byte, len(body)), body), with(of128, func(m *call.Media) {
			m.Corrupt, m.Flags = 0.5, []call.MediaFlag{call.Damaged}
		})},
		"never written to its end": {join(body, make([]byte, 3*len(body))), with(of128, func(m *call.Media) {
			m.Corrupt, m.Flags = 0.75, []call.MediaFlag{call.Damaged}
		})},
		"two files in one": {join(body, v25Body), with(of128, func(m *call.Media) {
			m.Duration += 7200 * time.Millisecond
			m.BitRate = int(float64(8*(len(body)+len(v25Body))) / m.Duration.Seconds())
			m.Flags = []call.MediaFlag{call.VariableRate}
		})},
		"free format": {repeat(mpegFrame(v1Free, 700), 50), with(stereo("mp3", 50, 0), func(m *call.Media) {
			m.BitRate, m.Flags = rounded(700*8*secondOf441), []call.MediaFlag{call.FreeFormat}
		})},
		"what looks like free format": {join(mpegFrame(v1Free, 20_000), body), with(of128, func(m *call.Media) {
			m.Corrupt, m.Flags = 20_000.0/float64(20_000+len(body)), []call.MediaFlag{call.Damaged}
		})},
		"one frame":                 {mpegFrame(v1At128, v1At128Len), with(of128, func(m *call.Media) { m.Duration = frames(1, secondOf441) })},
		"one frame among much else": {join(make([]byte, 500), mpegFrame(v1At128, v1At128Len), make([]byte, 9000)), nothing},
		"a tag alone":               {[]byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7f"), nothing},
		"contents alone":            {xing("Xing", 200, 0), nothing},
		"not an MP3":                {[]byte("hello, world"), nothing},
		"nothing":                   {nil, nothing},
	} {
		_, got := probe("audio/mpeg", tt.audio)
		if math.Abs(float64(got.BitRate-tt.want.BitRate)) <= 20 {
			got.BitRate = tt.want.BitRate
		}
		if diff := cmp.Diff(tt.want, got, about); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestOthersAreUnknown(t *testing.T) {
	t.Parallel()
	for _, mediaType := range []string{"audio/ogg", "audio/mp4", "audio/amr", ""} {
		if p, got := probe(mediaType, telephone(7, 1, 3).bytes()); !cmp.Equal(got, call.Media{}) || p.Missing() != 0 {
			t.Errorf("%s: %+v", mediaType, got)
		}
	}
}

func TestIsMP3(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		head []byte
		want bool
	}{
		"MPEG 2.5":        {repeat(mpegFrame(v25, v25Len), 30)[:4096], true},
		"two frames":      {repeat(mpegFrame(v1At128, v1At128Len), 2), true},
		"one frame":       {mpegFrame(v1At128, v1At128Len), false},
		"PCM of loudness": {bytes.Repeat([]byte{0xFF, 0xFB}, 2048), false},
		"zeros":           {make([]byte, 4096), false},
		"damaged":         {append(repeat(mpegFrame(v25, v25Len), 10), make([]byte, 200)...), false},
		"nothing":         {nil, false},
	} {
		if got := media.IsMP3(tt.head); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		riff uint32
		size int
		want int64
	}{
		"all there":     {992, 1000, 0},
		"more":          {992, 2000, 0},
		"less":          {9992, 1000, 9000},
		"never written": {0, 1000, 0},
		"not known":     {0xFFFFFFFF, 1000, 0},
		"piped":         {0x7FFFF024, 1000, 0},
	} {
		w := telephone(7, 1, 1)
		w.riff, w.audio = tt.riff, make([]byte, tt.size-44)
		if p, _ := probe("audio/wav", w.bytes()); p.Missing() != tt.want {
			t.Errorf("%s: %d, want %d", name, p.Missing(), tt.want)
		}
	}
	if p, _ := probe("audio/mpeg", []byte("ID3\x03\x00\x00\x00\x00\x7f\x7f")); p.Missing() != 0 {
		t.Errorf("an MP3 misses %d", p.Missing())
	}
}

// However a file is cut into pieces on its way, the same is read from it.
func TestPieces(t *testing.T) {
	t.Parallel()
	files := map[string][][]byte{
		"audio/wav":  {telephone(6, 1, 2).bytes(), append(telephone(1, 2, 1).bytes(), chunk("LIST", make([]byte, 333))...)},
		"audio/mpeg": {append(id3v2(300, 0), append(xing("Xing", 60, 0), changing(60)...)...), append(repeat(mpegFrame(v1Free, 700), 9), append(bytes.Repeat([]byte{1, 0xFF, 0xFB, 0x90}, 99), changing(40)...)...)},
	}
	rapid.Check(t, func(t *rapid.T) {
		mediaType := rapid.SampledFrom([]string{"audio/wav", "audio/mpeg"}).Draw(t, "type")
		file := rapid.SampledFrom(files[mediaType]).Draw(t, "file")
		_, want := probe(mediaType, file)
		p := media.NewProbe(mediaType)
		for rest := file; len(rest) > 0; {
			n := min(rapid.IntRange(1, 3000).Draw(t, "piece"), len(rest))
			_, _ = p.Write(rest[:n]) // never fails
			rest = rest[n:]
		}
		if diff := cmp.Diff(want, p.Media()); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzProbe(f *testing.F) {
	w := telephone(0xFFFE, 2, 1)
	w.audio = w.audio[:10]
	f.Add(w.bytes(), 3)
	f.Add(append(id3v2(1, 0), append(xing("Xing", 2, 9), changing(4)...)...), 100)
	f.Add(repeat(mpegFrame(v1Free, 70), 3), 7)
	f.Add(append(ape(), id3v1()...), 11)
	f.Add(testdata(f, "gsm.gsm")[:330], 11)
	f.Fuzz(func(t *testing.T, audio []byte, piece int) {
		media.IsMP3(audio)
		for _, mediaType := range []string{"audio/wav", "audio/mpeg", "audio/gsm"} {
			p, whole := probe(mediaType, audio)
			in := media.NewProbe(mediaType)
			for c := range slices.Chunk(audio, max(1, piece%9000)) {
				_, _ = in.Write(c) // never fails
			}
			if diff := cmp.Diff(whole, in.Media()); diff != "" {
				t.Errorf("%s in pieces: %s", mediaType, diff)
			}
			if whole.Duration < 0 || whole.Corrupt < 0 || whole.Corrupt > 1 || whole.BitRate < 0 || p.Missing() < 0 {
				t.Errorf("%s: %+v", mediaType, whole)
			}
			if whole.Format == "" && !cmp.Equal(whole, call.Media{}) {
				t.Errorf("%s: claimed of what is not known: %+v", mediaType, whole)
			}
		}
	})
}

func BenchmarkProbe(b *testing.B) {
	for name, file := range map[string][]byte{
		"audio/wav":  telephone(1, 2, 600).bytes(),
		"audio/mpeg": simulated(b, simulator.MP3At8kHz, time.Hour),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				p := media.NewProbe(name)
				for c := range slices.Chunk(file, 16<<10) {
					_, _ = p.Write(c) // never fails
				}
				if p.Media().Duration == 0 {
					b.Fatal("nothing was read")
				}
			}
		})
	}
}
