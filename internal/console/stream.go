package console

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const (
	// beatEvery is how often a stream says that it lives: proxies cut what is
	// silent for a minute, and so a client that has gone is noticed.
	beatEvery = 15 * time.Second
	// takeWithin is how long a client may take nothing of what it is sent.
	takeWithin = 20 * time.Second
	// reconnectAfter is what a client is told to wait when its stream ends.
	reconnectAfter = 2 * time.Second
)

// pace is beatEvery and takeWithin, but for tests.
type pace struct{ beat, take time.Duration }

// liveEvents streams the calls in progress as server-sent events
// (html.spec.whatwg.org, 9.2): a snapshot, then each change. There are no event
// ids: whoever connects again gets a snapshot again, which is all that could
// have been missed.
func (c *Console) liveEvents(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := c.query(r).err(); err != nil {
		return err
	}
	if err := c.listen(r, audit.LiveViewed, "", nil); err != nil {
		return err
	}
	latest, leave, err := c.feed.listen(r.Context())
	if err != nil {
		if call.CodeOf(err) == call.Limited {
			w.Header().Set("Retry-After", strconv.Itoa(int(reconnectAfter/time.Second)))
		}
		return err
	}
	defer leave()
	// What cannot be read yet is an answer, not a stream.
	for latest.calls == nil && latest.err == nil {
		select {
		case <-latest.older:
			latest = c.feed.newest()
		case <-r.Context().Done():
			return r.Context().Err()
		case <-c.feed.ended:
			return call.Errorf(call.Unavailable, "this server is ending; connect again")
		}
	}
	if latest.err != nil {
		return latest.err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	s := &stream{w: w, control: http.NewResponseController(w), who: who, now: c.now, take: c.pace.take}
	// From here on the answer has begun: its end says all that there is to say.
	if s.begin(latest) != nil {
		return nil
	}
	beat := time.NewTicker(c.pace.beat)
	defer beat.Stop()
	for {
		select {
		case <-latest.older:
			latest = c.feed.newest()
			err = s.update(latest)
		case <-beat.C:
			if !c.stillMay(r, s) {
				return nil
			}
			if err = s.update(latest); err == nil { // the groups may be others
				err = s.write([]byte(":\n\n"))
			}
		case <-r.Context().Done():
			return nil
		case <-c.feed.ended:
			return nil
		}
		if err != nil {
			return nil // the client has gone, or takes nothing
		}
	}
}

// stillMay asks whether the token is still what it was: a stream may outlive
// it. A database that does not answer takes no rights away.
func (c *Console) stillMay(r *http.Request, s *stream) bool {
	who, err := c.shownToken(r)
	if err == nil {
		s.who = who
	}
	return call.CodeOf(err) != call.Unauthorized
}

// liveKey identifies a call in progress.
type liveKey struct {
	account string
	key     call.Key
}

// stream is one client's stream of calls in progress.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	who     call.Token
	now     func() time.Time
	take    time.Duration
	// sent is what the client knows.
	sent map[liveKey]call.LiveCall
}

// visible are the calls of a look that the client may see.
func (s *stream) visible(l *look) []call.LiveCall {
	var calls []call.LiveCall
	for _, c := range l.calls {
		if maySee(s.who, c.Group) {
			calls = append(calls, c)
		}
	}
	return calls
}

// begin sends all that there is.
func (s *stream) begin(l *look) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "retry: %d\n", reconnectAfter.Milliseconds())
	s.sent = make(map[liveKey]call.LiveCall)
	all := liveCallsJSON{Calls: []liveJSON{}}
	for _, c := range s.visible(l) {
		s.sent[liveKey{c.Account, c.Key}] = c
		all.Calls = append(all.Calls, liveOf(c, s.now()))
	}
	if err := event(&b, "snapshot", all); err != nil {
		return err
	}
	return s.write(b.Bytes())
}

// endedJSON names a call that is over, or that the client may see no more.
type endedJSON struct {
	Account string `json:"account"`
	CallKey string `json:"call_key"`
}

// update sends what is not as the client knows it.
func (s *stream) update(l *look) error {
	var b bytes.Buffer
	current := make(map[liveKey]call.LiveCall)
	for _, c := range s.visible(l) {
		k := liveKey{c.Account, c.Key}
		current[k] = c
		before, known := s.sent[k]
		before.At = c.At // that more was heard of it changes nothing
		if known && before == c {
			continue
		}
		if err := event(&b, "call", liveOf(c, s.now())); err != nil {
			return err
		}
	}
	for k := range s.sent {
		if _, goesOn := current[k]; goesOn {
			continue
		}
		if err := event(&b, "ended", endedJSON{k.account, k.key.Value}); err != nil {
			return err
		}
	}
	s.sent = current
	if b.Len() == 0 {
		return nil
	}
	return s.write(b.Bytes())
}

// event writes one event; its data is one line.
func event(b *bytes.Buffer, name string, data any) error {
	text, err := encode(data) // ends with a line break
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "event: %s\ndata: %s\n", name, text)
	return nil
}

func (s *stream) write(text []byte) error {
	err := s.control.SetWriteDeadline(time.Now().Add(s.take)) // the connection's own clock
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}
