package archive_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
)

// book keeps a scrub's place in memory, as a store does for all nodes.
type book struct {
	state  call.Scrub
	holder int
	free   bool
	open   map[call.Fault]time.Time
	kept   int
}

func (b *book) TakeScrub(context.Context, time.Duration) (call.Scrub, string, bool, error) {
	if !b.free {
		return call.Scrub{}, "", false, nil
	}
	b.holder++
	b.free = false
	return b.state, strconv.Itoa(b.holder), true, nil
}

func (b *book) KeepScrub(_ context.Context, token string, state call.Scrub, lease time.Duration) error {
	if token != strconv.Itoa(b.holder) {
		return call.Errorf(call.Conflict, "lost")
	}
	b.state, b.free = state, lease == 0
	b.kept++
	return nil
}

func (b *book) NoteChecked(_ context.Context, checked ...call.Checked) (opened []call.Fault, _ error) {
	for _, c := range checked {
		for f := range b.open {
			if slices.Contains(c.Where, f.Where) && slices.Contains(c.Kinds, f.Kind) && !slices.Contains(c.Faults, f) {
				delete(b.open, f)
			}
		}
		for _, f := range c.Faults {
			if _, known := b.open[f]; !known {
				opened = append(opened, f)
			}
			b.open[f] = time.Time{}
		}
	}
	return opened, nil
}

func (b *book) StaleFaults(context.Context, time.Time, int) (stale []call.FoundFault, _ error) {
	for f := range b.open {
		stale = append(stale, call.FoundFault{Fault: f})
	}
	return stale, nil
}

// things are a part whose things are numbered from 0.
type things struct {
	n      int
	bad    map[int]bool
	looked []int
	fail   error
}

func (p *things) part(name string) archive.ScrubPart {
	return archive.ScrubPart{
		Name: name, Weight: 1, Count: func(context.Context) (int64, error) { return int64(p.n), nil },
		Check: func(_ context.Context, after string) ([]call.Checked, string, error) {
			if p.fail != nil {
				return nil, "", p.fail
			}
			i := 0
			if after != "" {
				last, err := strconv.Atoi(after)
				if err != nil {
					return nil, "", err
				}
				i = last + 1
			}
			p.looked = append(p.looked, i)
			c := p.check(name, i)
			if i == p.n-1 {
				return []call.Checked{c}, "", nil
			}
			return []call.Checked{c}, strconv.Itoa(i), nil
		},
	}
}

func (p *things) check(name string, i int) call.Checked {
	c := call.Checked{Where: []string{fmt.Sprintf("%s/%d", name, i)}, Kinds: []call.FaultKind{call.FaultMissing}}
	if p.bad[i] {
		c.Faults = []call.Fault{{Kind: call.FaultMissing, Where: c.Where[0], What: "gone"}}
	}
	return c
}

// TestScrubTakesItsTime: everything is checked once in a period, evenly, by
// whichever node, and again in the next.
func TestScrubTakesItsTime(t *testing.T) {
	t.Parallel()
	b := &book{free: true, open: map[call.Fault]time.Time{}}
	first, second := &things{n: 10, bad: map[int]bool{3: true}}, &things{n: 30}
	now, busy := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), false
	node := func() *archive.Scrubber {
		s, err := archive.NewScrubber(archive.ScrubOptions{
			Store: b, Parts: []archive.ScrubPart{first.part("first"), second.part("second")}, Period: 40 * time.Hour,
			Again: func(_ context.Context, f call.Fault) ([]call.Checked, error) {
				if f.Where == "first/3" {
					return []call.Checked{first.check("first", 3)}, nil
				}
				return nil, nil
			},
			Busy: func() bool { return busy }, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	nodes := []*archive.Scrubber{node(), node()}
	work := func() {
		t.Helper()
		for _, n := range nodes {
			if err := n.Work(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for hour := range 40 {
		work()
		if done := len(first.looked) + len(second.looked); done != hour+1 {
			t.Fatalf("after %d hours %d of 40 are checked", hour, done)
		}
		if hour == 20 {
			nodes = []*archive.Scrubber{node(), node()} // a restart
		}
		now = now.Add(time.Hour)
	}
	for n, p := range []*things{first, second} {
		for i := range p.n {
			if p.looked[i] != i {
				t.Errorf("part %d was checked in the order %v", n, p.looked)
			}
		}
	}
	if len(b.open) != 1 {
		t.Errorf("open: %v", b.open)
	}
	// What is so again is closed long before its turn comes.
	first.bad = nil
	b.open[call.Fault{Kind: call.FaultUnknown, Where: "somewhere"}] = time.Time{}
	work()
	if len(b.open) != 0 {
		t.Errorf("still open: %v", b.open)
	}
	looked := len(first.looked)
	if looked != 11 || len(second.looked) != 30 {
		t.Errorf("the second pass begins with %d", looked)
	}
	// While it is busy nothing is checked; afterwards it catches up.
	busy = true
	now = now.Add(5 * time.Hour)
	work()
	if len(first.looked) != looked {
		t.Error("it does not give way")
	}
	busy = false
	work()
	if got := len(first.looked) - looked; got != 5 {
		t.Errorf("%d checked after five busy hours", got)
	}
	// More than there was at the beginning of the pass is checked all the same.
	first.n, second.n = 20, 60
	now = now.Add(40 * time.Hour)
	work()
	if second.looked[len(second.looked)-1] != 59 {
		t.Errorf("the pass ends at %d", second.looked[len(second.looked)-1])
	}
}

// TestScrubFails: what cannot be checked now is checked later, by any node.
func TestScrubFails(t *testing.T) {
	t.Parallel()
	b := &book{free: true, open: map[call.Fault]time.Time{}}
	p := &things{n: 2, fail: errors.New("the vault does not answer")}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s, err := archive.NewScrubber(archive.ScrubOptions{
		Store: b, Parts: []archive.ScrubPart{p.part("only")}, Period: time.Hour, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		Again: func(context.Context, call.Fault) ([]call.Checked, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Work(t.Context()); err == nil || !b.free {
		t.Errorf("got %v, free %v", err, b.free)
	}
	p.fail = nil
	now = now.Add(2 * time.Hour)
	if err := s.Work(t.Context()); err != nil || len(p.looked) < 2 {
		t.Errorf("got %v, looked at %v", err, p.looked)
	}
}

// TestScrubGoesOnBehindWhatCannotBeRead: a part that needs a row which cannot be
// read is cut short, which is a fault until it comes to its end again; the others
// are checked all the same.
func TestScrubGoesOnBehindWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := &book{free: true, open: map[call.Fault]time.Time{}}
	broken := &things{n: 2, fail: fmt.Errorf("check: %w", &call.UnreadableError{Column: "size", ID: "7", Err: errors.New("scan 9812345678")})}
	other := &things{n: 2}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s, err := archive.NewScrubber(archive.ScrubOptions{
		Store: b, Parts: []archive.ScrubPart{broken.part("broken"), other.part("other")}, Period: time.Hour, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		Again: func(_ context.Context, f call.Fault) ([]call.Checked, error) {
			return []call.Checked{{Where: []string{f.Where}}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	pass := func() {
		t.Helper()
		for range 2 { // it begins, and takes what is due by its end
			if err := s.Work(t.Context()); err != nil {
				t.Fatal(err)
			}
			now = now.Add(2 * time.Hour)
		}
	}
	pass()
	want := call.Fault{Kind: call.FaultPart, Where: "verify/broken", What: "the row with the id 7 (size) cannot be read any more: what lies behind it was not looked at"}
	if _, open := b.open[want]; !open || len(b.open) != 1 || len(other.looked) < 2 {
		t.Errorf("open are %v, looked at %v", b.open, other.looked)
	}
	broken.fail = nil
	pass()
	if len(b.open) != 0 {
		t.Errorf("once it can be read again: %v", b.open)
	}
}
