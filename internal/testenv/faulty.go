package testenv

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"
)

// StoreFault is what goes wrong between a program and its S3 store.
type StoreFault int

// The faults of stores and of the lines to them.
const (
	// NoFault lets the request through.
	NoFault StoreFault = iota
	// SlowLine sends and receives at most 64 KiB in each of slowPause.
	SlowLine
	// SlowDown has the store refuse with 503 SlowDown.
	SlowDown
	// CutUpload cuts the connection after half of the request's body.
	CutUpload
	// LoseAnswer lets the request through, and cuts the connection before the
	// answer.
	LoseAnswer
	// WrongClock has the store's clock be an hour ahead.
	WrongClock
)

const (
	slowPiece = 64 << 10
	slowPause = 20 * time.Millisecond
)

var errLineCut = errors.New("the line is cut")

// FaultyStore returns the address of a proxy before an S3 store, for which
// choose says what goes wrong with each request. It may be called for several
// requests at once.
func FaultyStore(t testing.TB, endpoint string, choose func(*http.Request) StoreFault) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := func(answer func(*http.Response) error) *httputil.ReverseProxy {
		return &httputil.ReverseProxy{
			Transport: transport,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host // it is signed
			},
			ModifyResponse: answer,
			// The client sees neither an answer nor a reason.
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		}
	}
	through := proxy(nil)
	slow := proxy(func(r *http.Response) error {
		r.Body = bodyOf(slowReader{r.Body}, r.Body)
		return nil
	})
	ahead := proxy(func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		return nil
	})
	lossy := proxy(func(*http.Response) error { return errLineCut })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch choose(r) {
		case SlowLine:
			r.Body = bodyOf(slowReader{r.Body}, r.Body)
			slow.ServeHTTP(w, r)
		case SlowDown:
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
		case CutUpload:
			half := io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), failingReader{errLineCut})
			r.Body = bodyOf(half, r.Body)
			through.ServeHTTP(w, r)
		case LoseAnswer:
			lossy.ServeHTTP(w, r)
		case WrongClock:
			ahead.ServeHTTP(w, r)
		case NoFault:
			through.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func bodyOf(r io.Reader, c io.Closer) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{r, c}
}

type slowReader struct{ r io.Reader }

func (s slowReader) Read(p []byte) (int, error) {
	<-time.After(slowPause)
	return s.r.Read(p[:min(len(p), slowPiece)])
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
