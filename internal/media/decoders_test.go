package media_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

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
