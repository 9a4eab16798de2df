package chart

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	green = color.NRGBA{0x2F, 0x8F, 0x7B, 0xFF}
	red   = color.NRGBA{0xC4, 0x51, 0x2D, 0xFF}
)

// decode draws a chart and reads it again.
func decode(t *testing.T, c *Columns) *image.NRGBA {
	t.Helper()
	data, err := c.PNG()
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := picture.(*image.NRGBA)
	if !ok || got.Rect.Dx() != Width*Density || got.Rect.Dy() != Height*Density {
		t.Fatalf("%T of %v", picture, picture.Bounds())
	}
	return got
}

// heights counts the pixels of a colour in each column of the picture that has
// some, joining those that are side by side and alike.
func heights(p *image.NRGBA, c color.NRGBA) []int {
	var found []int
	last := 0
	for x := range p.Rect.Dx() {
		n := 0
		for y := range p.Rect.Dy() {
			if p.NRGBAAt(x, y) == c {
				n++
			}
		}
		if n != last && n > 0 {
			found = append(found, n)
		}
		last = n
	}
	return found
}

func TestColumnsAreAsHighAsTheirCounts(t *testing.T) {
	t.Parallel()
	const tall = Height*Density - topSpace - axisSpace
	got := decode(t, &Columns{
		Labels: []string{"09", "10", "11", "12", ""},
		Series: []Series{{green, []int64{100, 50, 0, -3}}, {red, []int64{0, 50, 25, 0, 0}}},
	})
	if diff := cmp.Diff([]int{tall, tall / 2}, heights(got, green)); diff != "" {
		t.Errorf("the lower series: %s", diff)
	}
	// What stands on another leaves a gap.
	if diff := cmp.Diff([]int{tall/2 - hairline, int(math.Round(tall / 4.0))}, heights(got, red)); diff != "" {
		t.Errorf("the upper series: %s", diff)
	}
}

// One missed call among a hundred thousand is seen.
func TestNothingVanishes(t *testing.T) {
	t.Parallel()
	got := decode(t, &Columns{Labels: []string{"a"}, Series: []Series{{green, []int64{100_000}}, {red, []int64{1}}}})
	if diff := cmp.Diff([]int{hairline}, heights(got, red)); diff != "" {
		t.Error(diff)
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	for highest, want := range map[int64]scale{
		0: {1, 1}, 1: {1, 1}, 4: {1, 4}, 5: {2, 6}, 8: {2, 8}, 9: {5, 10}, 20: {5, 20}, 21: {10, 30}, 40: {10, 40}, 41: {20, 60},
		81: {50, 100}, 1204: {500, 1500}, 1_000_000: {500_000, 1_000_000},
	} {
		if got := newScale(highest); got != want {
			t.Errorf("up to %d: %v, want %v", highest, got, want)
		}
	}
}

// Two labels never touch, the last is always there, and all are inside.
func TestLabelsHaveRoom(t *testing.T) {
	t.Parallel()
	c := &Columns{Series: []Series{{green, nil}}}
	for range 30 {
		c.Labels = append(c.Labels, "28 November")
	}
	got := decode(t, c)
	var blank, most, written int
	last := 0
	for x := range got.Rect.Dx() {
		inked := false
		for y := got.Rect.Dy() - axisSpace + 2*hairline; y < got.Rect.Dy(); y++ {
			inked = inked || got.NRGBAAt(x, y).A > 0
		}
		if inked {
			if blank >= labelGap {
				written++
			}
			blank, last = 0, x
			continue
		}
		blank++
		most = max(most, blank)
	}
	if written < 4 || written > 9 || last < got.Rect.Dx()-2*labelGap {
		t.Errorf("%d labels, the last ends at %d of %d", written, last, got.Rect.Dx())
	}
}

func TestSameChartSameBytes(t *testing.T) {
	t.Parallel()
	c := &Columns{Labels: []string{"09", "10"}, Series: []Series{{green, []int64{3, 4}}}}
	first, err := c.PNG()
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.PNG()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("drawn twice it differs (%v)", err)
	}
	// A time stamp, or a text that names one, would be a further chunk.
	for _, chunk := range []string{"tIME", "tEXt", "iTXt", "zTXt"} {
		if bytes.Contains(first, []byte(chunk)) {
			t.Errorf("there is a chunk %s", chunk)
		}
	}
}

// The labels can be read in light and in dark mode: WCAG asks for 3 to 1 where
// a text is large or only helps to read a picture.
func TestLabelsCanBeReadOnBoth(t *testing.T) {
	t.Parallel()
	luminance := func(c color.Color) float64 {
		r, g, b, _ := c.RGBA()
		linear := func(v uint32) float64 {
			f := float64(v) / 0xFFFF
			if f <= 0.04045 {
				return f / 12.92
			}
			return math.Pow((f+0.055)/1.055, 2.4)
		}
		return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
	}
	for _, ground := range []color.Color{color.White, color.Gray{0x14}} {
		a, b := luminance(ground), luminance(grey(0xFF))
		if contrast := (max(a, b) + 0.05) / (min(a, b) + 0.05); contrast < 4 {
			t.Errorf("contrast of the labels on %v is %.2f", ground, contrast)
		}
	}
}
