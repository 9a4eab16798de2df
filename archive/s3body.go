package archive

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// bodyWait bounds the wait for the end of a request's body whose answer is
// there: the connection is closed by then, so that nothing is written any more.
const bodyWait = 5 * time.Second

// ownBody lets nobody go on with a request's body while net/http still reads
// it. A store may answer, or cut the connection, before it has taken the whole;
// the body is then read by another goroutine for a while, even after RoundTrip
// has returned, and closed at the end (http.RoundTripper). Without waiting for
// that, the next try would share the body with the last one.
type ownBody struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t ownBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return t.RoundTripper.RoundTrip(r)
	}
	body := &watchedBody{ReadCloser: r.Body, closed: make(chan struct{})}
	r = r.WithContext(r.Context())
	r.Body = body
	answer, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		body.wait()
		return nil, err
	}
	answer.Body = &answerBody{answer.Body, body}
	return answer, nil
}

// watchedBody is a request's body that tells when it is closed.
type watchedBody struct {
	io.ReadCloser

	closed chan struct{}
	once   sync.Once
}

func (b *watchedBody) Close() error {
	defer b.once.Do(func() { close(b.closed) })
	return b.ReadCloser.Close()
}

func (b *watchedBody) wait() {
	limit := time.NewTimer(bodyWait)
	defer limit.Stop()
	select {
	case <-b.closed:
	case <-limit.C:
	}
}

// answerBody is an answer's body; closing it, as whoever asked must, also waits
// for the end of the request's.
type answerBody struct {
	io.ReadCloser

	request *watchedBody
}

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.request.wait()
	return err
}
