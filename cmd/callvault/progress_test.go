package main

import (
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgressOnAPipe: where there is no terminal there are plain lines, a few
// of them, and always the last.
func TestProgressOnAPipe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := newProgress(w, "calls")
		p.show(0, 10)
		p.show(4, 10) // too soon
		<-time.After(sayEvery)
		p.show(5, 10)
		<-time.After(sayEvery)
		p.show(5, 10) // nothing new
		p.show(10, 10)
		p.end(10, 10)
		p = newProgress(w, "lines") // nobody knows how many
		p.show(256, 0)
		p.show(512, 0)
		p.end(700, 0)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if want := "calls: 0 of 10\ncalls: 5 of 10\ncalls: 10 of 10\nlines: 256\nlines: 700\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
