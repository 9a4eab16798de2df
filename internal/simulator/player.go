package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Event is one delivery: one HTTP request to the webhook.
type Event struct {
	// At is when the provider sends it. Days are sorted by it, so that late
	// reports and those out of order stand where they arrive.
	At      time.Time
	Kind    EventKind
	Account string
	Method  string
	// Query is the query string without its question mark.
	Query       string
	ContentType string
	Body        []byte
	// Conversation is the index of the call in Day.Conversations, or -1.
	Conversation int
}

// EventKind says what a delivery is, and so what should become of it.
type EventKind string

// The kinds of deliveries.
const (
	Report    EventKind = "report"    // a call report of one leg
	Live      EventKind = "live"      // a call in progress
	Duplicate EventKind = "duplicate" // an earlier delivery again, byte by byte
	NotACall  EventKind = "not_a_call"
)

// Request is the event as a request to a webhook.
func (e Event) Request(ctx context.Context, webhook string) (*http.Request, error) {
	target := webhook
	if e.Query != "" {
		target += "?" + e.Query
	}
	request, err := http.NewRequestWithContext(ctx, e.Method, target, bytes.NewReader(e.Body))
	if err != nil {
		return nil, fmt.Errorf("make %s request of account %s: %w", e.Kind, e.Account, withoutURL(err))
	}
	if e.ContentType != "" {
		request.Header.Set("Content-Type", e.ContentType)
	}
	return request, nil
}

// Player posts events to a webhook, as a provider does: each once, and never
// again when it is refused.
type Player struct {
	// URL gives the webhook of an account, its secret token included.
	URL func(account string) string
	// Client sends the requests; nil is http.DefaultClient.
	Client *http.Client
	// Concurrency is how many requests may be under way at once; below 1 is 1.
	// The events of one call are never under way at the same time, so that
	// they arrive in the order in which they stand.
	Concurrency int
	// Rate limits the events per second; 0 is without limit.
	Rate float64
	// Progress, when set, is called after every answer with how many events
	// are done. Calls never overlap.
	Progress func(done, total int)
}

// Summary is what became of the events that a Player sent.
type Summary struct {
	Sent     int         // requests made
	Accepted int         // answered with 200
	Refused  map[int]int // answered otherwise, by status
	Failed   int         // not answered at all
	// FirstError is the first reason why a request was not answered; it never
	// holds the webhook's URL.
	FirstError error
	Elapsed    time.Duration
}

// Play sends events in their order and returns when all are answered or ctx
// ends, whose error it then returns. Refusals are no error: they are counted.
func (p *Player) Play(ctx context.Context, events []Event) (Summary, error) {
	began := time.Now()
	summary := Summary{Refused: map[int]int{}}
	limit := rate.NewLimiter(rate.Inf, 1)
	if p.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(p.Rate), max(1, int(p.Rate/10)))
	}

	// Every worker has its own lane, and all events of a call one lane.
	lanes := make([]chan Event, max(p.Concurrency, 1))
	var mu sync.Mutex
	var workers sync.WaitGroup
	for i := range lanes {
		lanes[i] = make(chan Event, 4)
		workers.Go(func() {
			for event := range lanes[i] {
				status, err := p.send(ctx, event)
				mu.Lock()
				summary.count(status, err)
				if p.Progress != nil {
					p.Progress(summary.Sent, len(events))
				}
				mu.Unlock()
			}
		})
	}

	var stopped error
	for i, event := range events {
		if stopped = limit.Wait(ctx); stopped != nil {
			break
		}
		lane := i
		if event.Conversation >= 0 {
			lane = event.Conversation
		}
		select {
		case lanes[lane%len(lanes)] <- event:
		case <-ctx.Done():
		}
	}
	for _, lane := range lanes {
		close(lane)
	}
	workers.Wait()
	summary.Elapsed = time.Since(began)
	if err := context.Cause(ctx); err != nil {
		return summary, fmt.Errorf("play %d events: %w", len(events), err)
	}
	if stopped != nil {
		return summary, fmt.Errorf("play %d events: %w", len(events), stopped)
	}
	return summary, nil
}

func (p *Player) send(ctx context.Context, event Event) (status int, err error) {
	request, err := event.Request(ctx, p.URL(event.Account))
	if err != nil {
		return 0, err
	}
	client := p.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("send %s of account %s: %w", event.Kind, event.Account, withoutURL(err))
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

func (s *Summary) count(status int, err error) {
	s.Sent++
	switch {
	case err != nil:
		s.Failed++
		if s.FirstError == nil {
			s.FirstError = err
		}
	case status == http.StatusOK:
		s.Accepted++
	default:
		s.Refused[status]++
	}
}

// withoutURL takes the URL out of an error of net/http, for the webhook's
// holds its secret.
func withoutURL(err error) error {
	if in, ok := errors.AsType[*url.Error](err); ok {
		return in.Err
	}
	return err
}
