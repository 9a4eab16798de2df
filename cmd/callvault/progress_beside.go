package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
)

// sideBySide shows several works that go on at once. On a terminal they share
// one line: the bar of the one that began first, and how far the others are
// before it; one that ends leaves a line behind. Elsewhere each has lines of its
// own, as work that is done alone.
type sideBySide struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex
	works []*besideWork // those under way; the first has the bar
	bar   *progress
}

// besideWork is one of the works that go on at once.
type besideWork struct {
	of   *sideBySide
	what string
	done int
	// plain shows it where there is no terminal.
	plain *progress
}

func newSideBySide(w io.Writer, terminal bool) *sideBySide {
	return &sideBySide{w: w, terminal: terminal}
}

// begin shows one more work.
func (s *sideBySide) begin(what string) *besideWork {
	work := &besideWork{of: s, what: what}
	if !s.terminal {
		work.plain = newProgress(s.w, what)
		return work
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.works = append(s.works, work)
	return work
}

// show says that done of total are done; total may be 0 while it is not known.
func (b *besideWork) show(done, total int) {
	b.of.mu.Lock() // lines are whole, too, only one at a time
	defer b.of.mu.Unlock()
	if b.plain != nil {
		b.plain.show(done, total)
		return
	}
	b.done = done
	b.of.draw()
	if b == b.of.works[0] {
		b.of.bar.show(done, total)
	}
}

// end says the last state.
func (b *besideWork) end(done int) {
	s := b.of
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.plain != nil {
		b.plain.end(done, 0)
		return
	}
	b.done = done
	if s.bar != nil {
		s.bar.clear()
	}
	if s.works[0] == b {
		s.bar = nil
	}
	s.works = slices.DeleteFunc(s.works, func(w *besideWork) bool { return w == b })
	fmt.Fprintf(s.w, "%s: %d\n", b.what, done)
	if len(s.works) > 0 {
		s.draw()
	}
}

// draw names the works before the bar of the first.
func (s *sideBySide) draw() {
	first := s.works[0]
	if s.bar == nil {
		// A narrow one, with room for the others, that moves only when it is told.
		s.bar = &progress{w: s.w, what: first.what, bar: newBar(s.w, first.what, progressbar.OptionSetWidth(10), progressbar.OptionSetSpinnerChangeInterval(0))}
	}
	said := make([]string, 0, len(s.works))
	for _, w := range s.works[1:] {
		said = append(said, fmt.Sprintf("%s: %d", w.what, w.done))
	}
	s.bar.describe(strings.Join(append(said, first.what), ", "))
}
