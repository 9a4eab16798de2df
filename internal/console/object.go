package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"callvault/internal/call"
)

// stalledAfter is how long a client may take nothing of an object before the
// connection is cut: each connection holds one to the vault.
const stalledAfter = time.Minute

// object is something in the vault as it is served.
type object struct {
	key string
	// open, if set, reads from an offset what does not lie under one key.
	open      func(ctx context.Context, offset int64) (io.ReadCloser, error)
	size      int64
	sha256    string
	mediaType string
	modified  time.Time
	// saveAs names the attachment; empty: to be shown or played.
	saveAs string
}

// serveObject answers with an object, or the range of it that is asked for.
// Its SHA-256 is its ETag: what lies in the vault never changes.
func (c *Console) serveObject(w http.ResponseWriter, r *http.Request, o object) error {
	h := w.Header()
	h.Set("Content-Type", o.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	// Kept by the listener's browser alone, and asked for each time whether
	// the listener still may.
	h.Set("Cache-Control", "private, no-cache")
	if o.sha256 != "" {
		h.Set("ETag", `"`+o.sha256+`"`)
	}
	if o.saveAs != "" {
		h.Set("Content-Disposition", attachment(o.saveAs))
	}
	// Each of many small ranges would cost a request to the vault; the whole is
	// a valid answer to them.
	if strings.Contains(r.Header.Get("Range"), ",") {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	ctx, control := r.Context(), http.NewResponseController(w)
	if o.open == nil {
		o.open = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			return c.openObject(ctx, o.key, offset)
		}
	}
	content := &objectReader{
		size: o.size,
		open: func(offset int64) (io.ReadCloser, error) { return o.open(ctx, offset) },
		progress: func() error {
			err := control.SetWriteDeadline(time.Now().Add(stalledAfter)) // the connection's own clock
			if errors.Is(err, http.ErrNotSupported) {                     // no connection underneath
				return nil
			}
			return err
		},
	}
	answer := &objectWriter{ResponseWriter: w, content: content, head: r.Method == http.MethodHead}
	http.ServeContent(answer, r, "", o.modified, content)
	if err := content.Close(); err != nil {
		c.logger.LogAttrs(ctx, slog.LevelWarn, "vault did not close an object",
			slog.String("object_key", o.key), slog.String("error", err.Error()))
	}
	switch {
	case answer.refused != nil:
		for _, name := range []string{"Accept-Ranges", "Content-Disposition", "Content-Length", "ETag", "Last-Modified"} {
			h.Del(name)
		}
		if !errors.Is(answer.refused, errRange) { // else it says how much there is
			h.Del("Content-Range")
		}
		return answer.refused
	case content.err != nil && ctx.Err() == nil:
		// The answer has begun: the client sees that it is short.
		c.logger.LogAttrs(ctx, slog.LevelError, "object cut short",
			slog.String("request_id", h.Get(requestIDHeader)),
			slog.String("object_key", o.key), slog.String("error", content.err.Error()))
	}
	return nil
}

// openObject opens an object that the database says is there: if the vault
// does not give it, that is the vault's fault, not the caller's.
func (c *Console) openObject(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	body, err := c.vault.Open(ctx, key, offset, -1)
	if err != nil {
		return nil, fault{call.Unavailable, "the vault does not give what it should hold; an administrator finds the reason in the log", err}
	}
	return body, nil
}

// objectReader reads an object from wherever it is sought, opening it only when
// something is wanted of it. Of its errors it remembers the first.
type objectReader struct {
	size     int64
	open     func(offset int64) (io.ReadCloser, error)
	progress func() error
	at       int64
	body     io.ReadCloser
	err      error
}

// Seek sets where the next Read begins.
func (o *objectReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	if offset == o.at {
		return o.at, nil
	}
	o.at = offset
	return o.at, o.Close()
}

// ready opens the object where the next Read begins.
func (o *objectReader) ready() error {
	if o.body != nil || o.at >= o.size {
		return nil
	}
	body, err := o.open(o.at)
	if err != nil {
		o.err = err
		return err
	}
	o.body = body
	return nil
}

// Read fails when the object ends before its size.
func (o *objectReader) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if err := o.ready(); err != nil {
		return 0, err
	}
	if err := o.progress(); err != nil {
		return 0, err
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	if errors.Is(err, io.EOF) && o.at < o.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err
}

// Close ends the reading; a later Read opens the object again.
func (o *objectReader) Close() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}

// objectWriter opens the object before the answer begins, when an error can
// still be one. http.ServeContent has sought the range by then.
type objectWriter struct {
	http.ResponseWriter
	content *objectReader
	head    bool
	refused error
}

func (w *objectWriter) WriteHeader(status int) {
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		w.refused = errRange
	case http.StatusOK, http.StatusPartialContent:
		if !w.head {
			w.refused = w.content.ready()
		}
	}
	if w.refused == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *objectWriter) Write(p []byte) (int, error) {
	if w.refused != nil {
		return 0, w.refused
	}
	return w.ResponseWriter.Write(p)
}
