// Command trim cuts the white edges off PNG pictures, in place, for the pictures
// in the documentation.
package main

import (
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"os"
)

// edge is how many white pixels are left around a picture.
const edge = 12

func main() {
	for _, path := range os.Args[1:] {
		if err := trim(path); err != nil {
			fmt.Fprintf(os.Stderr, "trim %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

func trim(path string) (err error) {
	in, err := os.Open(path) //nolint:gosec // whoever gives the command names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	picture, err := png.Decode(in)
	if err != nil {
		return err
	}
	inked := inkOf(picture).Inset(-edge).Intersect(picture.Bounds())
	if inked.Empty() {
		return errors.New("there is nothing on it")
	}
	cut := image.NewRGBA(image.Rect(0, 0, inked.Dx(), inked.Dy()))
	draw.Draw(cut, cut.Rect, picture, inked.Min, draw.Src)
	out, err := os.Create(path) //nolint:gosec // as above
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return errors.Join(encoder.Encode(out, cut), out.Close())
}

// inkOf is the smallest rectangle with all that is not white.
func inkOf(picture image.Image) image.Rectangle {
	var inked image.Rectangle
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			if r, g, b, _ := picture.At(x, y).RGBA(); r&g&b < 0xF000 {
				inked = inked.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return inked
}
