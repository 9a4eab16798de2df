package media_test

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
	"callvault/internal/simulator"
)

// chords is an MP3 of four seconds: in each a chord swells and fades.
func chords(t testing.TB) []byte {
	t.Helper()
	return simulated(t, simulator.MP3At16kHz, 4*time.Second)
}

// quiet is so many seconds of an MP3 in which nothing sounds.
func quiet(seconds int) []byte { return repeat(mpegFrame(v2Mono, v2MonoLen), seconds*16000/576) }

// loudest is the greatest of the peaks between two moments, of all that last so
// many seconds.
func loudest(peaks []byte, from, to, seconds float64) byte {
	at := func(s float64) int { return int(s / seconds * float64(len(peaks))) }
	return slices.Max(peaks[at(from):at(to)])
}

func TestAnalysisOfMP3(t *testing.T) {
	t.Parallel()
	file := append(chords(t), quiet(4)...)
	var first call.Analysis
	for i, piece := range []int{1 << 16, 7, 1} {
		got, m := analyse("audio/mpeg", file, piece)
		if got.State != call.Analysed || len(got.Peaks) != 1 || m.Channels != 1 || m.SampleRate != 16000 {
			t.Fatalf("in pieces of %d: %+v, %+v", piece, got, m)
		}
		if i == 0 {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("in pieces of %d it sounds otherwise:\n%s", piece, diff)
		}
	}
	seconds := float64(2*(4*16000/576)) * 576 / 16000
	for s := range 4 {
		middle, end := float64(s)+0.5, float64(s)+1
		loud, soft := loudest(first.Peaks[0], middle-0.1, middle+0.1, seconds), loudest(first.Peaks[0], end-0.03, end+0.01, seconds)
		if loud < 40 || loud < 3*soft {
			t.Errorf("the chord of second %d is %d, its end %d", s, loud, soft)
		}
	}
	if end := loudest(first.Peaks[0], 4.2, seconds, seconds); end != 0 {
		t.Errorf("where nothing sounds is %d", end)
	}
	if share := first.Silence[0]; share < 0.48 || share > 0.62 {
		t.Errorf("silence is %v", share)
	}
}

// Two channels, MPEG 1, and a table of contents before them: silent, and as
// long as the frames.
func TestAnalysisOfStereoMP3(t *testing.T) {
	t.Parallel()
	got, m := analyse("audio/mpeg", append(xing("Xing", 40, 0), changing(40)...), 1000)
	want := []float64{1, 1}
	if got.State != call.Analysed || len(got.Peaks) != 2 || !cmp.Equal(want, got.Silence) || m.Channels != 2 {
		t.Errorf("%+v, %+v", got, m)
	}
}

// Tags are not heard, and the decoder gets none: an ID3 tag's length would be
// believed.
func TestTagsOfMP3AreNotHeard(t *testing.T) {
	t.Parallel()
	plain, _ := analyse("audio/mpeg", quiet(2), 1000)
	huge := append([]byte("ID3\x03\x00\x00\x00\x00\x10\x00"), bytes.Repeat([]byte{0xFF, 0xFB, 0x90, 0x64}, 512)...)
	tagged, _ := analyse("audio/mpeg", append(append(huge, quiet(2)...), append([]byte("TAG"), make([]byte, 125)...)...), 1000)
	if diff := cmp.Diff(plain, tagged); diff != "" {
		t.Errorf("with tags (-without +with):\n%s", diff)
	}
	// What looks like a frame of another kind stands before the first.
	junk := append(mpegFrame(v25, 80), quiet(2)...)
	if got, _ := analyse("audio/mpeg", junk, 1000); got.State != call.Analysed || got.Silence[0] != 1 {
		t.Errorf("behind junk: %s, %s", got.State, got.Reason)
	}
}

// A damaged file is heard as far as it can be, and in its place; one that is
// damaged all over is not.
func TestAnalysisOfDamagedMP3(t *testing.T) {
	t.Parallel()
	file := chords(t)
	whole, _ := analyse("audio/mpeg", file, 4096)
	torn := slices.Clone(file)
	clear(torn[len(torn)/2 : len(torn)/2+300])
	got, m := analyse("audio/mpeg", torn, 4096)
	if got.State != call.Analysed || m.Corrupt == 0 {
		t.Fatalf("%+v, %+v", got.State, m)
	}
	if before := len(whole.Peaks[0]) / 3; !bytes.Equal(whole.Peaks[0][:before], got.Peaks[0][:before]) {
		t.Error("it sounds otherwise before the damage")
	}
	cut, m := analyse("audio/mpeg", file[:len(file)-30], 4096)
	if cut.State != call.Analysed || !m.Truncated || math.Abs(cut.Silence[0]-whole.Silence[0]) > 0.05 {
		t.Errorf("cut off: %+v, %+v", cut.Silence, m)
	}
	// Frames whose side information tells nonsense.
	mad := repeat(append([]byte{0xFF, 0xF3, 0x28, 0xC0}, bytes.Repeat([]byte{0xFF}, v2MonoLen-4)...), 200)
	if got, _ := analyse("audio/mpeg", mad, 4096); got.State != call.NotAnalysed || got.Reason != "too much of it cannot be decoded" {
		t.Errorf("nonsense: %s, %s", got.State, got.Reason)
	}
}

func FuzzAnalysisOfMP3(f *testing.F) {
	f.Add(chords(f)[:2000], 7)
	f.Add(changing(6), 100)
	f.Add(append(quiet(1)[:1000], mpegFrame(v25, v25Len)...), 9)
	f.Add(repeat(mpegFrame(v1Free, 300), 4), 50)
	f.Add(testdata(f, "mp3-22-joint.mp3")[:1500], 50)
	f.Add(testdata(f, "mp3-8-mono.mp3")[:1500], 50)
	f.Fuzz(func(t *testing.T, file []byte, piece int) {
		got, m := analyse("audio/mpeg", file, max(1, piece%9000))
		if _, probed := probe("audio/mpeg", file); !cmp.Equal(probed, m) {
			t.Errorf("the analysis reads %+v, the probe %+v", m, probed)
		}
		for i, share := range got.Silence {
			if !(share >= 0 && share <= 1) || len(got.Peaks[i]) == 0 || len(got.Peaks[i]) > call.MostPeaks {
				t.Errorf("channel %d: silence %v, %d peaks", i, share, len(got.Peaks[i]))
			}
		}
	})
}
