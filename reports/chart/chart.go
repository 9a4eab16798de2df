// Package chart draws the pictures in mails. It knows nothing of calls: whoever
// asks brings counts, colours and labels.
//
// Its pictures have no background, and labels of a grey that can be read on
// white as on nearly black, so that one picture suits a mail reader's light and
// dark mode. The font is embedded: a static image needs none. It has Latin,
// Greek and Cyrillic letters only.
package chart

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"slices"

	"github.com/dustin/go-humanize"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Width and Height are how large a picture is to be shown, in CSS pixels. It
// has Density times as many of its own each way, for screens that show them.
const (
	Width   = 630
	Height  = 190
	Density = 2
)

// Columns is a chart of columns, each a stack of counts.
type Columns struct {
	// Labels stand below the columns, one each; an empty one is left out, and so
	// is one that has no room beside the next.
	Labels []string
	// Series are stacked from the bottom.
	Series []Series
}

// Series is what is counted in one colour.
type Series struct {
	Color color.Color
	// Values has one count for each label. What is below 0 counts as 0.
	Values []int64
}

// Lengths in pixels of the picture.
const (
	fontSize  = 14 * Density
	gutter    = 10 * Density // between the numbers and the columns
	labelGap  = 14 * Density // at least, between two labels
	topSpace  = 9 * Density  // above the highest line: half of its number
	axisSpace = 24 * Density // below the columns: their labels
	hairline  = 1 * Density
	// A column takes this share of its room, but never gets wider than widest.
	columnShare = 0.68
	widest      = 34 * Density
	// mostLines bounds the lines of the scale, that of 0 apart.
	mostLines = 4
)

// grey has a contrast of at least 4 to 1 on white and on #141414.
const greyLevel = 0x76

func grey(alpha uint8) color.Color {
	return color.NRGBA{greyLevel, greyLevel + 4, greyLevel + 8, alpha}
}

// PNG draws the chart. The same chart gives the same bytes.
func (c *Columns) PNG() ([]byte, error) {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("draw chart: %w", err)
	}
	// At 72 dots per inch a point is a pixel.
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: fontSize, DPI: 72})
	if err != nil {
		return nil, fmt.Errorf("draw chart: %w", err)
	}
	p := &picture{image.NewRGBA(image.Rect(0, 0, Width*Density, Height*Density)), face}
	scale := newScale(c.highest())
	plot := p.lines(scale)
	p.columns(c, scale, plot)
	p.labels(c.Labels, plot)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, p.RGBA); err != nil {
		return nil, fmt.Errorf("draw chart: %w", err)
	}
	return out.Bytes(), nil
}

// value is the count of a series in column i.
func (s *Series) value(i int) int64 {
	if i >= len(s.Values) {
		return 0
	}
	return max(0, s.Values[i])
}

// highest is the highest sum of a column.
func (c *Columns) highest() int64 {
	var most int64
	for i := range c.Labels {
		var sum int64
		for s := range c.Series {
			sum += c.Series[s].value(i)
		}
		most = max(most, sum)
	}
	return most
}

// scale divides the height of a chart into steps of 1, 2 or 5 times a power of
// ten.
type scale struct{ step, top int64 }

func newScale(highest int64) scale {
	step := int64(1)
	for factor := 0; highest > step*mostLines; factor++ {
		if factor%3 == 1 {
			step = step / 2 * 5 // from 2 to 5
		} else {
			step *= 2 // from 1 to 2 and from 5 to 10
		}
	}
	return scale{step, max(1, (highest+step-1)/step) * step}
}

type picture struct {
	*image.RGBA
	face font.Face
}

// lines draws the scale with its numbers, and returns where columns may be.
func (p *picture) lines(s scale) image.Rectangle {
	plot := image.Rect(0, topSpace, p.Rect.Max.X, p.Rect.Max.Y-axisSpace)
	widestNumber := 0
	for n := int64(0); n <= s.top; n += s.step {
		widestNumber = max(widestNumber, p.width(humanize.Comma(n)))
	}
	plot.Min.X = widestNumber + gutter
	middle := p.face.Metrics().CapHeight.Round() / 2
	for n := int64(0); n <= s.top; n += s.step {
		y, ink := s.y(n, plot), grey(0x40)
		if n == 0 {
			ink = grey(0xA0)
		}
		p.fill(image.Rect(plot.Min.X, y, plot.Max.X, y+hairline), ink)
		number := humanize.Comma(n)
		p.write(number, widestNumber-p.width(number), y+hairline/2+middle)
	}
	return plot
}

// y is the height at which a count stands.
func (s scale) y(n int64, plot image.Rectangle) int {
	return plot.Max.Y - int(math.Round(float64(plot.Dy())*float64(n)/float64(s.top)))
}

// slot is the room of column i of n.
func slot(plot image.Rectangle, i, n int) (left, right int) {
	return plot.Min.X + plot.Dx()*i/n, plot.Min.X + plot.Dx()*(i+1)/n
}

func (p *picture) columns(c *Columns, s scale, plot image.Rectangle) {
	n := len(c.Labels)
	for i := range n {
		left, right := slot(plot, i, n)
		// The same for all, whatever the rounding of the slots.
		width := min(widest, max(hairline, int(columnShare*float64(plot.Dx())/float64(n))))
		left = (left + right - width) / 2
		bottom, sum := plot.Max.Y, int64(0)
		for k := range c.Series {
			value := c.Series[k].value(i)
			if value == 0 {
				continue
			}
			sum += value
			// One call among thousands is seen, too.
			top := min(s.y(sum, plot), bottom-hairline)
			block := image.Rect(left, top, left+width, bottom)
			if bottom < plot.Max.Y && block.Dy() > 2*hairline {
				block.Max.Y -= hairline // a gap, for those who do not see the colours
			}
			p.fill(block, c.Series[k].Color)
			bottom = top
		}
	}
}

// labels writes what has room, beginning with the last.
func (p *picture) labels(labels []string, plot image.Rectangle) {
	end := p.Rect.Max.X + labelGap
	for i, label := range slices.Backward(labels) {
		width := p.width(label)
		left, right := slot(plot, i, len(labels))
		x := min((left+right-width)/2, p.Rect.Max.X-width)
		if label == "" || x < 0 || x+width+labelGap > end {
			continue
		}
		p.write(label, x, p.Rect.Max.Y-p.face.Metrics().Descent.Ceil()-hairline)
		end = x
	}
}

func (p *picture) fill(r image.Rectangle, c color.Color) {
	draw.Draw(p, r, image.NewUniform(c), image.Point{}, draw.Over)
}

func (p *picture) width(text string) int { return font.MeasureString(p.face, text).Ceil() }

// write writes a text from x on, on the line y.
func (p *picture) write(text string, x, y int) {
	d := font.Drawer{Dst: p, Src: image.NewUniform(grey(0xFF)), Face: p.face, Dot: fixed.P(x, y)}
	d.DrawString(text)
}
