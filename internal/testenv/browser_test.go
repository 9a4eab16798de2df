package testenv

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func TestScreenshotDrawsThePage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page, out := filepath.Join(dir, "page.html"), filepath.Join(dir, "page.png")
	err := os.WriteFile(page, []byte(`<body style="background: #00ff00">`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	Screenshot(t, page, out)
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // only read
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	red, green, blue, _ := picture.At(640, 512).RGBA()
	if red != 0 || green != 0xffff || blue != 0 {
		t.Errorf("the middle is #%04x%04x%04x, want green", red, green, blue)
	}
}
