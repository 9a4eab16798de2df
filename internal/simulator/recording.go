package simulator

import (
	"bytes"
	"errors"
	"hash/fnv"
	"io"
	"path"
	"sync"
	"time"
)

// Format is how the audio of a recording is written.
type Format int

// The formats that the providers are known to send.
const (
	// WAVPCM is 16 bit linear at 8 kHz, 16 kB a second.
	WAVPCM Format = iota
	// WAVMuLaw is G.711 µ-law at 8 kHz, 8 kB a second.
	WAVMuLaw
	// MP3At8kHz is MPEG-2.5 Layer III at 16 kbit/s, 2 kB a second.
	MP3At8kHz
	// MP3At16kHz is MPEG-2 Layer III at 16 kbit/s, 2 kB a second.
	MP3At16kHz
)

// MediaType is the type that the audio itself shows, whatever its file is
// called.
func (f Format) MediaType() string {
	switch f {
	case MP3At8kHz, MP3At16kHz:
		return "audio/mpeg"
	default:
		return "audio/wav"
	}
}

// Recording is one audio file at the provider.
type Recording struct {
	// Source is where the provider keeps it: TeleCMI's file name, or the path
	// of CallerDesk's URL, which begins with a slash.
	Source string
	Format Format
	// Duration of the audio; an MP3 is rounded to whole frames of at most
	// 72 ms.
	Duration time.Duration
	// Later is how many times the provider answers that it is not there yet,
	// before it is.
	Later int
	// ErrorPage, when set, is the content type under which an HTML error page
	// comes with status 200 instead of the audio, always.
	ErrorPage string
}

// Size of the audio file in bytes.
func (r Recording) Size() int64 {
	head, length := r.layout()
	return int64(len(head)) + length
}

// layout gives the bytes before the sound, which name the recording so that no
// two are the same, and how many bytes of sound follow.
func (r Recording) layout() (head []byte, length int64) {
	name := path.Base(r.Source)
	switch r.Format {
	case MP3At8kHz, MP3At16kHz:
		rate := r.Format.sampleRate()
		frame := time.Duration(mp3SamplesPerFrame) * time.Second / time.Duration(rate)
		frames := int64((r.Duration + frame/2) / frame)
		return mp3Tag(name), max(frames, 1) * int64(mp3FrameSize(rate))
	default:
		samples := int64(r.Duration * wavSampleRate / time.Second)
		samples += samples % 2 // RIFF chunks are even
		length = samples * int64(r.Format.bytesPerSample())
		return wavHeader(r.Format, name, length), length
	}
}

func (f Format) sampleRate() int {
	if f == MP3At16kHz {
		return 16_000
	}
	return 8000
}

func (f Format) bytesPerSample() int {
	if f == WAVPCM {
		return 2
	}
	return 1
}

// sizedRecording is a µ-law recording of just so many bytes, one less when
// that is odd, and never less than half a second.
func sizedRecording(source string, size int64) Recording {
	r := Recording{Source: source, Format: WAVMuLaw}
	head, _ := r.layout()
	samples := max(size-int64(len(head)), wavSampleRate/2) / 2 * 2
	r.Duration = time.Duration(samples) * time.Second / wavSampleRate
	return r
}

// sounds renders recordings. Each of the few phrases that recordings are made
// of is rendered once and then only copied, so that serving costs neither
// memory nor computing. Safe for concurrent use; the zero value is ready.
type sounds struct {
	mu      sync.Mutex
	phrases map[phrase][]byte
}

type phrase struct {
	format Format
	melody int
}

// write sends the whole audio file of r to w, from memory that does not grow
// with its length.
func (s *sounds) write(w io.Writer, r Recording) error {
	head, length := r.layout()
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := io.CopyN(w, &loop{phrase: s.phrase(r)}, length)
	return err
}

func (s *sounds) phrase(r Recording) []byte {
	melodies := chordMelodies()
	hash := fnv.New32a()
	hash.Write([]byte(r.Source)) // never returns an error
	key := phrase{r.Format, int(hash.Sum32() % uint32(len(melodies)))}

	s.mu.Lock()
	defer s.mu.Unlock()
	if made, ok := s.phrases[key]; ok {
		return made
	}
	if s.phrases == nil {
		s.phrases = make(map[phrase][]byte)
	}
	chords := melodies[key.melody][:]
	switch r.Format {
	case MP3At8kHz, MP3At16kHz:
		s.phrases[key] = mp3Phrase(chords, r.Format.sampleRate())
	default:
		s.phrases[key] = wavPhrase(chords, r.Format)
	}
	return s.phrases[key]
}

// chordMelodies are what recordings sound like: four chords of two tones (Hz),
// a second each. They lie in the middle of the telephone's band.
func chordMelodies() [][4][2]float64 {
	return [][4][2]float64{
		{{440, 550}, {494, 740}, {330, 440}, {392, 523}},
		{{392, 494}, {440, 587}, {523, 659}, {392, 587}},
		{{349, 440}, {392, 523}, {440, 523}, {349, 523}},
		{{523, 659}, {440, 659}, {392, 587}, {349, 523}},
		{{330, 494}, {370, 554}, {415, 659}, {330, 554}},
		{{587, 740}, {494, 740}, {440, 659}, {494, 587}},
		{{370, 466}, {415, 554}, {466, 622}, {415, 622}},
		{{466, 587}, {523, 698}, {392, 587}, {349, 466}},
	}
}

// loop reads its phrase over and over, without end.
type loop struct {
	phrase []byte
	at     int
}

func (l *loop) Read(p []byte) (int, error) {
	if len(l.phrase) == 0 {
		return 0, errors.New("simulator: empty phrase")
	}
	n := copy(p, l.phrase[l.at:])
	l.at = (l.at + n) % len(l.phrase)
	return n, nil
}

// Audio returns the audio file of r as a reader, for tests that compare what
// was archived with what the provider has.
func (r Recording) Audio() io.Reader {
	head, length := r.layout()
	var s sounds
	return io.MultiReader(bytes.NewReader(head), io.LimitReader(&loop{phrase: s.phrase(r)}, length))
}
