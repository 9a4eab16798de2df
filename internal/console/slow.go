package console

import (
	"io"
	"net/http"
	"time"
)

// SlowBodies gives each request so long to send its body. Without that a
// stranger could hold connections for ever: what a handler leaves unread the
// server reads itself, and waits for it. The time counts until the body has
// been read, whatever the handler does after it.
func SlowBodies(next http.Handler, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			if control.SetReadDeadline(time.Now().Add(limit)) == nil { // else it is no connection
				r.Body = &timedBody{r.Body, control}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody takes the limit away at its end.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{}) // else the connection is gone
	}
	return n, err
}
