package drill

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"callvault/internal/simulator"
)

// answer serves a recording, or what comes in its place. try counts from 1.
type answer func(w http.ResponseWriter, audio []byte, try int)

// provider serves the recordings that the installation fetches.
type provider struct {
	account Account
	mu      sync.Mutex
	files   map[string]*file
}

// file is one recording at the provider.
type file struct {
	audio  []byte
	answer answer
	tries  int
}

func newProvider(teleCMI Account) *provider {
	return &provider{account: teleCMI, files: map[string]*file{}}
}

// serve answers on a listener until stop is called.
func (p *provider) serve(l net.Listener) (stop func() error) {
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return func() error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("serve recordings: %w", served))
		}
		return err
	}
}

// add puts a recording under a name: the path of CallerDesk's URL, or
// TeleCMI's file name.
func (p *provider) add(name string, format simulator.Format, a answer) (*file, error) {
	audio, err := io.ReadAll(simulator.Recording{Source: name, Format: format, Duration: 3 * time.Second}.Audio())
	if err != nil {
		return nil, fmt.Errorf("make a recording: %w", err)
	}
	f := &file{audio: audio, answer: a}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files[name] = f
	return f, nil
}

// tried is how often a recording was asked for.
func (p *provider) tried(f *file) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.tries
}

func (f *file) sha256() string {
	sum := sha256.Sum256(f.audio)
	return hex.EncodeToString(sum[:])
}

// ServeHTTP answers as the providers do; TeleCMI tells errors in JSON under
// status 200.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if name == "/v2/play" {
		q := r.URL.Query()
		if q.Get("appid") != p.account.AppID || q.Get("secret") != p.account.Secret {
			write(w, "application/json", []byte(`{"code":407,"error":true,"msg":"Authentication Failed"}`))
			return
		}
		name = q.Get("file")
	}
	p.mu.Lock()
	f := p.files[name]
	try := 0
	if f != nil {
		f.tries++
		try = f.tries
	}
	p.mu.Unlock()
	if f == nil {
		http.NotFound(w, r)
		return
	}
	f.answer(w, f.audio, try)
}

func write(w http.ResponseWriter, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if _, err := w.Write(body); err != nil {
		panic(http.ErrAbortHandler) // nobody is there any more
	}
}

// whole serves the audio as it is.
func whole(w http.ResponseWriter, audio []byte, _ int) { write(w, "audio/x-wav", audio) }

// notYet answers 404 once, then with the audio.
func notYet(w http.ResponseWriter, audio []byte, try int) {
	if try == 1 {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	whole(w, audio, try)
}

// cutOff breaks off in the middle once, then serves the audio.
func cutOff(w http.ResponseWriter, audio []byte, try int) {
	if try > 1 {
		whole(w, audio, try)
		return
	}
	w.Header().Set("Content-Type", "audio/x-wav")
	w.Header().Set("Content-Length", strconv.Itoa(len(audio)))
	if _, err := w.Write(audio[:len(audio)/2]); err == nil {
		_ = http.NewResponseController(w).Flush() // the connection ends anyway
	}
	panic(http.ErrAbortHandler)
}

// slowly serves the audio in pieces over some seconds.
func slowly(w http.ResponseWriter, audio []byte, _ int) {
	const pieces = 12
	w.Header().Set("Content-Type", "audio/x-wav")
	w.Header().Set("Content-Length", strconv.Itoa(len(audio)))
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	control := http.NewResponseController(w)
	for i := range pieces {
		_, err := w.Write(audio[i*len(audio)/pieces : (i+1)*len(audio)/pieces])
		if err = errors.Join(err, control.Flush()); err != nil {
			panic(http.ErrAbortHandler)
		}
		<-tick.C
	}
}

// refusing answers every time with a status.
func refusing(status int) answer {
	return func(w http.ResponseWriter, _ []byte, _ int) { http.Error(w, http.StatusText(status), status) }
}

// errorPage is HTML that claims to be audio, under status 200.
func errorPage(w http.ResponseWriter, _ []byte, _ int) {
	write(w, "audio/x-wav", []byte("<!DOCTYPE html>\n<html><head><title>Temporarily unavailable</title></head><body><h1>Temporarily unavailable</h1></body></html>\n"))
}

// document is a PDF that claims to be audio.
func document(w http.ResponseWriter, _ []byte, _ int) {
	write(w, "audio/x-wav", []byte("%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"))
}
