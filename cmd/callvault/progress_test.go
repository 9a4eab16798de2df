package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
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

// TestProgressSideBySide: two works share a terminal's line and leave a line each;
// on a pipe each has its own.
func TestProgressSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, firstEnds := range []bool{true, false} {
			var terminal strings.Builder
			both := newSideBySide(&terminal, true)
			objects, rows := both.begin("objects read"), both.begin("calls checked")
			for n := range 9 {
				<-time.After(time.Second)
				objects.show(n*100, 5000)
				<-time.After(time.Second)
				rows.show(n*200, 0)
			}
			lasting := []string{"objects read: 800", "calls checked: 1600"}
			if firstEnds {
				objects.end(800)
				rows.show(1600, 0)
				rows.end(1600)
			} else {
				rows.end(1600)
				slices.Reverse(lasting)
				objects.show(800, 5000)
				objects.end(800)
			}
			var left []string
			shared := false
			for line := range strings.SplitSeq(terminal.String(), "\n") {
				said := strings.Split(line, "\r")
				if last := said[len(said)-1]; last != "" {
					left = append(left, last)
				}
				for _, s := range said {
					shared = shared || strings.HasPrefix(s, "calls checked: 1400, objects read  14%")
					if utf8.RuneCountInString(s) > 80 {
						t.Errorf("longer than a line: %q", s)
					}
				}
			}
			if diff := cmp.Diff(lasting, left); diff != "" || !shared {
				t.Errorf("%s\n%q", diff, terminal.String())
			}
		}
		var pipe strings.Builder
		both := newSideBySide(&pipe, isTerminal(&pipe))
		objects, rows := both.begin("objects read"), both.begin("calls checked")
		objects.show(1, 3)
		rows.show(2, 0)
		rows.end(4)
		objects.end(3)
		if got, want := pipe.String(), "objects read: 1 of 3\ncalls checked: 2\ncalls checked: 4\nobjects read: 3\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
