package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// progress shows how far long work is: a bar on a terminal, a line now and
// then elsewhere.
type progress struct {
	w     io.Writer
	what  string
	bar   *progressbar.ProgressBar
	mu    sync.Mutex
	said  time.Time
	state string
}

// sayEvery is how often a line is written where there is no terminal.
const sayEvery = 2 * time.Second

func newProgress(w io.Writer, what string) *progress {
	p := &progress{w: w, what: what}
	if isTerminal(w) {
		p.bar = newBar(w, what, progressbar.OptionSetWidth(30))
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

func newBar(w io.Writer, what string, more ...progressbar.Option) *progressbar.ProgressBar {
	return progressbar.NewOptions(-1, append(more, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond))...)
}

// show says that done of total are done; total may be 0 while it is not known.
func (p *progress) show(done, total int) { p.say(done, total, done == total) }

func (p *progress) say(done, total int, now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := fmt.Sprintf("%s: %d", p.what, done)
	if total > 0 {
		state = fmt.Sprintf("%s: %d of %d", p.what, done, total)
	}
	if p.bar != nil {
		if total > 0 {
			p.bar.ChangeMax(total)
		}
		p.check(p.bar.Set(done))
		p.state = state
		return
	}
	if state == p.state {
		return
	}
	if now || time.Since(p.said) >= sayEvery {
		p.said, p.state = time.Now(), state
		fmt.Fprintln(p.w, state)
	}
}

// end says the last state, if it has not been said.
func (p *progress) end(done, total int) {
	p.say(done, total, true)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.check(p.bar.Finish())
		fmt.Fprintln(p.w)
	}
}

// check drops a bar that cannot be drawn: progress never ends the work.
func (p *progress) check(err error) {
	if err != nil {
		p.bar = nil
	}
}

// describe changes what is said before the bar.
func (p *progress) describe(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Describe(what)
	}
}

// clear takes the bar from the terminal's line.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.check(p.bar.Clear())
	}
}
