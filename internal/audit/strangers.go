package audit

import (
	"maps"
	"sync"
	"time"
)

// Strangers counts the refusals of those who showed nothing that is known, so
// that a flood of them makes one entry a minute. The zero Strangers is ready.
type Strangers struct {
	mu     sync.Mutex
	from   time.Time
	counts map[string]int64
}

// StrangersFacts are the refusals from From to To, by kind.
type StrangersFacts struct {
	From   time.Time        `json:"from"`
	To     time.Time        `json:"to"`
	Counts map[string]int64 `json:"counts"`
}

// Count counts one refusal. The kinds must be few.
func (s *Strangers) Count(now time.Time, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int64{}
		s.from = now
	}
	s.counts[kind]++
}

// Take returns an entry of what was counted, if there is anything and its first
// is at least after old, and begins anew.
func (s *Strangers) Take(now time.Time, after time.Duration) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.counts) == 0 || now.Sub(s.from) < after {
		return Entry{}, false
	}
	e, err := New(StrangersRefused, "", StrangersFacts{s.from.UTC(), now.UTC(), maps.Clone(s.counts)})
	if err != nil {
		return Entry{}, false // words and numbers always encode
	}
	s.counts = nil
	e.At, e.Actor = now, Actor{Kind: KindStranger}
	return e, true
}
