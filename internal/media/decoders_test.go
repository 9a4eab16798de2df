package media_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// GSM sounds as libgsm decodes it.
func TestAnalysisOfGSM(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gsm", "gsm-wild"} {
		for _, piece := range []int{1 << 16, 7} {
			got, _ := analyse("audio/wav", testdata(t, name+".wav"), piece)
			want, _ := analyse("audio/wav", testdata(t, name+".pcm.wav"), 1<<16)
			if diff := cmp.Diff(want, got); got.State != call.Analysed || diff != "" {
				t.Errorf("%s in pieces of %d: %s", name, piece, diff)
			}
		}
	}
	// Speech of 0.6 s, a pause of 0.5 s, a tone of half of full scale.
	got, m := analyse("audio/wav", testdata(t, "gsm.wav"), 1<<16)
	seconds := m.Duration.Seconds()
	if share := got.Silence[0] * seconds; share < 0.45 || share > 0.75 {
		t.Errorf("%g s are silent", share)
	}
	speech, pause, tone := loudest(got.Peaks[0], 0, 0.6, seconds), loudest(got.Peaks[0], 0.65, 1.05, seconds), loudest(got.Peaks[0], 1.15, 1.3, seconds)
	if speech < 40 || pause > 1 || math.Abs(float64(tone)-128) > 20 {
		t.Errorf("speech is %d, the pause %d, the tone %d", speech, pause, tone)
	}
	// One that was cut off is heard as far as it goes.
	cut, m := analyse("audio/wav", testdata(t, "gsm.wav")[:1000], 1<<16)
	if !m.Truncated || cut.State != call.Analysed || slices.Max(cut.Peaks[0]) != speech {
		t.Errorf("cut off: %+v, %+v", cut, m)
	}
}

// Bare frames are the same as those in a WAV, one by one.
func TestBareGSM(t *testing.T) {
	t.Parallel()
	file := testdata(t, "gsm.gsm")
	want, _ := analyse("audio/wav", testdata(t, "gsm.pcm.wav"), 1<<16)
	for _, piece := range []int{1 << 16, 7, 33} {
		got, m := analyse("audio/gsm", file, piece)
		if got.State != call.Analysed || math.Abs(got.Silence[0]-want.Silence[0]) > 0.02 || slices.Max(got.Peaks[0]) != slices.Max(want.Peaks[0]) {
			t.Errorf("in pieces of %d: silence %v, want %v", piece, got.Silence, want.Silence)
		}
		if diff := cmp.Diff(call.Media{
			Format: call.GSM, Codec: "gsm", Channels: 1, SampleRate: 8000, BitRate: 13200, Duration: 1360 * time.Millisecond,
		}, m); diff != "" {
			t.Errorf("in pieces of %d: %s", piece, diff)
		}
	}
	frames := float64(len(file) / 33)
	torn := slices.Clone(file)
	torn[33] = 0
	if got, m := analyse("audio/gsm", torn[:len(torn)-1], 100); got.State != call.Analysed || !m.Truncated || m.Corrupt != 1/(frames-1) ||
		!slices.Equal(m.Flags, []call.MediaFlag{call.Damaged}) {
		t.Errorf("torn: %s, %+v", got.State, m)
	}
	for reason, bad := range map[string][]byte{
		"too much of it cannot be decoded": append(slices.Clone(file[:330]), make([]byte, 66)...),
		"there is no audio in it":          make([]byte, 330),
	} {
		if got, _ := analyse("audio/gsm", bad, 100); got.State != call.NotAnalysed || got.Reason != reason {
			t.Errorf("%s, %s, want %s", got.State, got.Reason, reason)
		}
	}
	if _, m := analyse("audio/gsm", make([]byte, 330), 100); !cmp.Equal(m, call.Media{}) {
		t.Errorf("claimed of zeros: %+v", m)
	}
}

// MP3 sounds as mpg123 decodes it, whatever its version, rate and stereo.
func TestAnalysisOfAllMP3s(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join("testdata", "mp3-*.mp3"))
	if err != nil || len(names) < 13 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		name = strings.TrimSuffix(filepath.Base(name), ".mp3")
		got, m := analyse("audio/mpeg", testdata(t, name+".mp3"), 1000)
		want, heard := analyse("audio/wav", testdata(t, name+".pcm.wav"), 1<<16)
		if got.State != call.Analysed || m.Channels != heard.Channels || m.SampleRate != heard.SampleRate || (m.Duration-heard.Duration).Abs() > time.Microsecond {
			t.Errorf("%s: %+v, %+v, want %+v", name, got.State, m, heard)
			continue
		}
		off := 1
		if name == "mp3-24-intensity" { // the decoders differ on what is no direction
			off = 5
		}
		for c := range want.Peaks {
			if len(got.Peaks[c]) != len(want.Peaks[c]) || got.Silence[c] != want.Silence[c] {
				t.Errorf("%s, channel %d: %d peaks, %g silent, want %d and %g", name, c,
					len(got.Peaks[c]), got.Silence[c], len(want.Peaks[c]), want.Silence[c])
				continue
			}
			for i, peak := range want.Peaks[c] {
				if d := int(peak) - int(got.Peaks[c][i]); d < -off || d > off {
					t.Errorf("%s, channel %d: peak %d is %d, want %d", name, c, i, got.Peaks[c][i], peak)
				}
			}
		}
	}
}

// Of speech for 0.6 s, a pause of 0.5 s and a tone of half of full scale, the
// pause is silent.
func TestSilenceOfMP3(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mp3-8-mono", "mp3-11-vbr", "mp3-12-crc", "mp3-16-mono"} {
		got, m := analyse("audio/mpeg", testdata(t, name+".mp3"), 1<<16)
		seconds := m.Duration.Seconds()
		if share := got.Silence[0] * seconds; share < 0.4 || share > 0.8 {
			t.Errorf("%s: %g s of %g are silent", name, share, seconds)
		}
		// Encoders of MP3 begin up to a tenth of a second late.
		speech, pause, tone := loudest(got.Peaks[0], 0.1, 0.7, seconds), loudest(got.Peaks[0], 0.8, 1.1, seconds), loudest(got.Peaks[0], 1.25, seconds-0.05, seconds)
		if speech < 40 || pause > 1 || math.Abs(float64(tone)-128) > 20 {
			t.Errorf("%s: speech is %d, the pause %d, the tone %d", name, speech, pause, tone)
		}
	}
}
