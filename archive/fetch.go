package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// Why a try ended without a recording. Every other error is passing: a host
// that does not answer, a connection that broke.
type (
	// notThere says that the host answered, but not with the recording.
	notThere struct {
		seen       string
		retryAfter time.Duration // as the host asked, or 0
		// unsure: the host has other troubles, so it may be ready all the same.
		unsure bool
	}
	// refusal says that trying again is of no use.
	refusal struct {
		reason string
		err    error // safehttp's, or nil
	}
	// accountError says that the account's settings are in the way.
	accountError struct {
		reason string
		err    error // safehttp's, or nil
	}
	// storageError says that the vault, the spool or the database failed:
	// nothing that the recording could be blamed for.
	storageError struct {
		what string
		err  error
	}
)

func (e *notThere) Error() string     { return e.seen }
func (e *refusal) Error() string      { return e.reason }
func (e *accountError) Error() string { return e.reason }
func (e *refusal) Unwrap() error      { return e.err }
func (e *accountError) Unwrap() error { return e.err }
func (e *storageError) Error() string { return e.what + ": " + e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// errCredentials says that the provider does not take the account's
// credentials.
var errCredentials = errors.New(call.CredentialsRejected)

// drainBytes of an answer that is not wanted are read, so that the connection
// can be used again.
const drainBytes = 16 << 10

// fetch asks for a recording and takes what comes into the spool. last says
// that it will not be asked for again: then what may be incomplete is better
// than nothing.
func (a *Archiver) fetch(ctx context.Context, c call.Claim, spool *Spool, last bool) (Content, error) {
	src := a.sources[c.Account]
	resp, err := src.ask(ctx, c)
	if err != nil {
		return Content{}, err
	}
	content, err := a.take(src, resp, spool, last)
	if missing, ok := errors.AsType[*notThere](err); ok {
		missing.retryAfter = retryAfter(resp.Header.Get("Retry-After"), a.opts.Now())
	}
	if err != nil && resp.ContentLength >= 0 && resp.ContentLength <= drainBytes {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, drainBytes)) // the answer is known already
	}
	_ = resp.Body.Close() // only read from
	return content, err
}

func (a *Archiver) take(src *source, resp *http.Response, spool *Spool, last bool) (Content, error) {
	if resp.StatusCode == http.StatusOK && resp.ContentLength > a.opts.MaxSize {
		return Content{}, a.tooLarge()
	}
	// The beginning says what it is; the rest of a film is not wanted.
	if err := a.spoolFrom(spool, io.LimitReader(resp.Body, SniffBytes)); err != nil {
		return Content{}, err
	}
	head := make([]byte, spool.Size())
	if _, err := spool.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return Content{}, &storageError{"read the spool", err}
	}
	content := Sniff(head, resp.Header.Get("Content-Type"))
	if src.rejects(resp) {
		return content, errCredentials
	}
	if resp.StatusCode != http.StatusOK || content.Verdict == NotAudio {
		if src.api != nil {
			if err := src.judgePlay(resp.StatusCode, head); err != nil {
				return content, err
			}
		}
		unsure := resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests
		return content, &notThere{seen: describeAnswer(resp, content, len(head)), unsure: unsure}
	}
	if content.Verdict == Refused {
		return content, &refusal{reason: "the host sent " + content.MediaType + " instead of audio"}
	}
	spool.probeFrom(head, content.MediaType)
	if err := a.spoolFrom(spool, resp.Body); err != nil {
		return content, err
	}
	// Without a length nothing else would tell that the end is missing. A few
	// bytes are a writer who counted wrongly.
	const countedWrongly = 64
	if missing := spool.probe.Missing(); resp.ContentLength < 0 && missing > countedWrongly && !last {
		return content, &notThere{seen: fmt.Sprintf("the host sent %d bytes too few", missing)}
	}
	return content, nil
}

func (a *Archiver) spoolFrom(spool *Spool, body io.Reader) error {
	_, err := spool.ReadFrom(body)
	switch {
	case errors.Is(err, ErrTooLarge):
		return a.tooLarge()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &notThere{seen: "the host ended the answer before its end"}
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return &storageError{"write the spool", err}
	}
	return err
}

func (a *Archiver) tooLarge() error {
	return &refusal{reason: fmt.Sprintf("larger than archive.max_size, %d bytes", a.opts.MaxSize)}
}

// describeAnswer says for people what came instead of a recording.
func describeAnswer(resp *http.Response, content Content, size int) string {
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("the host answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	if size == 0 {
		return "the host answered with nothing"
	}
	if strings.HasPrefix(content.MediaType, "audio/") {
		return fmt.Sprintf("the host sent only %d bytes of %s", size, content.MediaType)
	}
	return "the host sent " + content.MediaType + " instead of audio"
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds, or a date.
// 0 for what is neither.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
