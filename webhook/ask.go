package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"callvault/internal/safehttp"
)

// The bounds of asking a provider for its call list.
const (
	// askTime is how long one page may take, and askConnect its connection.
	askTime    = 30 * time.Second
	askConnect = 10 * time.Second
	// maxAnswer is in bytes, of one page.
	maxAnswer = 4 << 20
	// askTries is how often a page is asked for that fails for a passing
	// reason; firstAskPause is doubled with each, and what the provider asks to
	// wait is respected up to maxAskPause.
	askTries      = 4
	firstAskPause = time.Second
	maxAskPause   = 30 * time.Second
	// maxMessage is in bytes, of what a provider says is wrong.
	maxMessage = 200
)

// ListAccount is what asking for an account's call list needs.
type ListAccount struct {
	// Name is that of the account.
	Name string
	// APIURL is the provider's API, without a slash at its end.
	APIURL string
	// AllowPrivateNetworks permits loopback and private addresses, and http.
	AllowPrivateNetworks bool
	// AuthCode is CallerDesk's; AppID and Secret are TeleCMI's.
	AuthCode, AppID, Secret string
}

// asker asks one account's API.
type asker struct {
	account ListAccount
	client  *safehttp.Client
	// pause waits between tries.
	pause func(context.Context, time.Duration) error
}

func newAsker(account ListAccount, pause func(context.Context, time.Duration) error) (*asker, error) {
	api, err := url.Parse(account.APIURL)
	if err != nil || api.Host == "" {
		return nil, fmt.Errorf("account %s: api_url is not a usable URL", account.Name)
	}
	client, err := safehttp.New(safehttp.Options{
		Hosts:          []string{api.Host},
		AllowPrivate:   account.AllowPrivateNetworks,
		AllowHTTP:      account.AllowPrivateNetworks,
		ConnectTimeout: askConnect,
		HeaderTimeout:  askTime,
		TotalTimeout:   askTime,
		IdlePerHost:    1,
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: api_url: %w", account.Name, err)
	}
	return &asker{account, client, pause}, nil
}

// passingError is a failure after which trying again may help.
type passingError struct {
	error
	after time.Duration
}

// post sends a body to the API and reads the whole answer. What fails for a
// passing reason is tried again. Its errors hold nothing that was sent.
func (a *asker) post(ctx context.Context, path, contentType string, body []byte) ([]byte, error) {
	wait := firstAskPause
	for try := 1; ; try++ {
		answer, err := a.postOnce(ctx, path, contentType, body)
		again, ok := errors.AsType[passingError](err)
		switch {
		case err == nil:
			return answer, nil
		case !ok:
			return nil, err
		case try == askTries:
			return nil, fmt.Errorf("asked %d times: %w", askTries, again.error)
		}
		if err := a.pause(ctx, max(wait, min(again.after, maxAskPause))); err != nil {
			return nil, err
		}
		wait *= 2
	}
}

func (a *asker) postOnce(ctx context.Context, path, contentType string, body []byte) (answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.account.APIURL+"/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("api_url is not a usable URL")
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Accept", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		if _, refused := errors.AsType[*safehttp.RefusedError](err); refused || ctx.Err() != nil {
			return nil, err
		}
		return nil, passingError{error: err}
	}
	defer func() {
		_ = response.Body.Close() // only read from
	}()
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil {
			seconds = 0 // none, or a date
		}
		return nil, passingError{fmt.Errorf("the provider answered %d %s", status, http.StatusText(status)), time.Duration(seconds) * time.Second}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil, fmt.Errorf("%w: it answered %d %s", errListCredentials, status, http.StatusText(status))
	case status != http.StatusOK:
		return nil, fmt.Errorf("the provider answered %d %s", status, http.StatusText(status))
	}
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, passingError{error: err}
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("a page is larger than %d bytes", maxAnswer)
	}
	return bytes.ToValidUTF8(bytes.TrimPrefix(bytes.TrimSpace(answer), []byte("\ufeff")), []byte("\ufffd")), nil
}

// errListCredentials says that trying again needs other credentials.
var errListCredentials = errors.New("the provider does not take the account's credentials")

// message makes what the provider says fit for logs: it must not bring the
// secret there, whatever it quotes.
func (a *asker) message(text string) string {
	for _, secret := range [...]string{a.account.AuthCode, a.account.Secret} {
		if secret != "" && (strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret))) {
			return "(its message quotes the credentials)"
		}
	}
	if text = clean(text); len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// looksLike says what an answer that cannot be understood seems to be.
func looksLike(answer []byte) string {
	switch {
	case len(answer) == 0:
		return "nothing"
	case answer[0] == '<':
		return "a web page"
	case json.Valid(answer):
		return "JSON of another form"
	}
	return "no JSON"
}

// whole reads a number that may be in quotes.
func whole(raw json.RawMessage) (int, bool) {
	n, err := strconv.Atoi(strings.Trim(string(raw), `" `))
	return n, err == nil
}

// sleep waits, but not longer than ctx lasts.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
