package webhook

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxBody is in bytes, of the body as sent and as unpacked.
	maxBody = 1 << 20
	// bodyTime is how long a client may take to send its body.
	bodyTime = 15 * time.Second
	// drainBytes and drainTime bound what is read, and thrown away, of a body
	// that is too large, so that a client that reads the answer only when it
	// has sent everything gets it.
	drainBytes = 64 << 20
	drainTime  = 10 * time.Second
)

// readBody reads the request's body, as sent and unpacked. A nil body comes
// with the answer instead. Deadlines are by the real clock, which is the
// network's.
func (r *Receiver) readBody(w http.ResponseWriter, req *http.Request, src *source) (sent, body []byte, _ answer) {
	control := http.NewResponseController(w)
	setDeadline := func(t time.Time) {
		if err := control.SetReadDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
			r.logger.Debug("no read deadline", "error", err) // the connection is gone
		}
	}
	setDeadline(time.Now().Add(r.bodyTime))
	var err error
	if req.ContentLength <= maxBody {
		sent, err = readAll(http.MaxBytesReader(w, req.Body, maxBody), req.ContentLength)
	} else {
		err = &http.MaxBytesError{Limit: maxBody}
	}
	if body = sent; err == nil && isGzip(body) {
		body, err = unzip(body)
	}
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case tooLarge:
		src.warn(refusedSize, func() {
			r.logger.Warn("delivery too large", "account", src.Name, "content_length", req.ContentLength)
		})
		setDeadline(time.Now().Add(drainTime))
		r.refuseLarge(w, req, control)
		return nil, nil, answer{status: http.StatusRequestEntityTooLarge, sent: true}
	case errors.Is(err, os.ErrDeadlineExceeded):
		// The deadline stays: the server would wait for the rest for ever.
		src.warn(refusedSlow, func() {
			r.logger.Warn("delivery sent too slowly", "account", src.Name)
		})
		w.Header().Set("Connection", "close")
		return nil, nil, answer{status: http.StatusRequestTimeout, text: "sent too slowly"}
	case err != nil:
		// Cut off in the middle: there is nobody left to read the answer.
		src.warn(refusedBroken, func() {
			r.logger.Warn("delivery broke off", "account", src.Name, "error", err)
		})
		return nil, nil, answer{status: http.StatusBadRequest, text: "broke off"}
	}
	setDeadline(time.Time{}) // or the wait for the database would be cut off
	return sent, body, answer{}
}

// refuseLarge answers 413 and then reads on for a while: closing the connection
// on a client that still sends would destroy the answer before it is read.
func (r *Receiver) refuseLarge(w http.ResponseWriter, req *http.Request, control *http.ResponseController) {
	if err := control.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		r.logger.Debug("no answer before the end of the body", "error", err)
	}
	h := w.Header()
	h.Set("Connection", "close")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	const text = "larger than 1 MiB\n"
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	_, err := io.WriteString(w, text)
	if err == nil {
		err = control.Flush()
	}
	if err == nil && req.Header.Get("Expect") == "" {
		_, err = io.CopyN(io.Discard, req.Body, drainBytes)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.logger.Debug("client of a too large delivery is gone", "error", err)
	}
}

// readAll is io.ReadAll into a buffer of about the right size. It never
// returns nil without an error.
func readAll(r io.Reader, size int64) ([]byte, error) {
	// A client may announce more than it sends, and many may at once.
	const most = 64 << 10
	b := bytes.NewBuffer(make([]byte, 0, min(max(size, 0), most)+bytes.MinRead))
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// isGzip goes by how a body begins (RFC 1952, section 2.3.1), whatever its
// headers claim: no report begins so.
func isGzip(body []byte) bool { return bytes.HasPrefix(body, []byte{0x1f, 0x8b, 8}) }

// unzip unpacks a body. One that is not gzip stays as it is: it is kept, and
// the decoder says that it cannot be read.
func unzip(packed []byte) ([]byte, error) {
	var plain []byte
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		plain, err = readAll(io.LimitReader(z, maxBody+1), int64(len(packed)))
	}
	if len(plain) > maxBody {
		return nil, &http.MaxBytesError{Limit: maxBody}
	}
	if err != nil {
		plain = packed
	}
	return plain, nil
}

func parseAddress(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

func allowed(networks []netip.Prefix, addr netip.Addr) bool {
	return len(networks) == 0 || contains(networks, addr)
}

// storable makes a header's value fit for any database: valid UTF-8 without
// control characters.
func storable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// escapeInvalid escapes what is not UTF-8 in a query: it says the same, and any
// database can keep it.
func escapeInvalid(query string) string {
	if utf8.ValidString(query) {
		return query
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(query); {
		r, n := utf8.DecodeRuneInString(query[i:])
		if r == utf8.RuneError && n == 1 {
			b.Write([]byte{'%', hex[query[i]>>4], hex[query[i]&15]})
		} else {
			b.WriteString(query[i : i+n])
		}
		i += n
	}
	return b.String()
}
