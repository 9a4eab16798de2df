package drill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// recording, foundCall and foundDelivery are as the API gives them.
type recording struct {
	ID        string  `json:"id"`
	State     string  `json:"state"`
	SHA256    string  `json:"sha256"`
	Attempts  int     `json:"attempts"`
	LastError *string `json:"last_error"`
}

type foundCall struct {
	ID         string      `json:"id"`
	Account    string      `json:"account"`
	CallKey    string      `json:"call_key"`
	Outcome    string      `json:"outcome"`
	Customer   string      `json:"customer_number"`
	LegsCount  int         `json:"legs_count"`
	Recordings []recording `json:"recordings"`
}

type foundDelivery struct {
	ID      int64  `json:"id"`
	Outcome string `json:"outcome"`
	Body    string `json:"body"`
}

type callKey struct{ account, key string }

// snapshot is all calls of the drill, as the API gives them at one time.
type snapshot map[callKey][]foundCall

// answerTime is how long the API may take.
const answerTime = 30 * time.Second

// errToken says that there is nothing to drill without a token that is taken.
var errToken = errors.New("the API does not take the token: give one of role compliance with --token (callvault token add NAME --role compliance)")

// ready asks whether the installation is.
func (r *run) ready(ctx context.Context) error {
	body, status, err := r.ask(ctx, "/readyz")
	switch {
	case err != nil:
		return fmt.Errorf("nobody answers at %s (give the address with --url): %w", r.URL, err)
	case status != http.StatusOK:
		return fmt.Errorf("the installation at %s is not ready: %d %s", r.URL, status, strings.TrimSpace(string(body)))
	}
	_, err = r.snapshot(ctx)
	return err
}

// ask gets a page of the API.
func (r *run) ask(ctx context.Context, path string) (body []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+path, nil)
	if err != nil {
		return nil, 0, withoutURL(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.APIToken)
	response, err := r.Client.Do(request)
	if err != nil {
		return nil, 0, withoutURL(err)
	}
	body, err = io.ReadAll(response.Body)
	return body, response.StatusCode, errors.Join(err, response.Body.Close())
}

// get asks the API for something that must be there.
func (r *run) get(ctx context.Context, path string, into any) error {
	body, status, err := r.ask(ctx, path)
	switch {
	case err != nil:
		return fmt.Errorf("ask the API: %w", err)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return errToken
	case status != http.StatusOK:
		return fmt.Errorf("the API answers %s with %d: %.300s", path, status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the API's answer to %s cannot be read: %w", path, err)
	}
	return nil
}

// snapshot reads all calls of this drill.
func (r *run) snapshot(ctx context.Context) (snapshot, error) {
	all := snapshot{}
	for account, prefix := range map[string]string{r.CallerDesk.Name: r.sidPrefix(), r.TeleCMI.Name: r.uuidPrefix()} {
		for cursor := ""; ; {
			q := url.Values{"account": {account}, "q": {prefix}, "limit": {"500"}}
			if cursor != "" {
				q.Set("cursor", cursor)
			}
			var page struct {
				Calls []foundCall `json:"calls"`
				Next  *string     `json:"next_cursor"`
			}
			if err := r.get(ctx, "/api/v1/calls?"+q.Encode(), &page); err != nil {
				return nil, err
			}
			for _, c := range page.Calls {
				k := callKey{c.Account, c.CallKey}
				all[k] = append(all[k], c)
			}
			if page.Next == nil {
				break
			}
			cursor = *page.Next
		}
	}
	return all, nil
}

// one is the only call of a key; nil if there is none yet.
func (s snapshot) one(k callKey) (*foundCall, error) {
	switch found := s[k]; len(found) {
	case 0:
		return nil, nil //nolint:nilnil // it may still come
	case 1:
		return &found[0], nil
	default:
		return nil, fmt.Errorf("there are %d calls %s instead of one", len(found), k.key)
	}
}

// hear downloads a recording and returns its SHA-256.
func (r *run) hear(ctx context.Context, id string) (string, error) {
	body, status, err := r.ask(ctx, "/api/v1/recordings/"+url.PathEscape(id)+"/audio")
	if err != nil {
		return "", fmt.Errorf("download it: %w", err)
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("it cannot be downloaded: %d %.300s", status, body)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

// kept looks for deliveries with these bodies among what an account was sent
// since the drill began, and returns how each ended.
func (r *run) kept(ctx context.Context, account string, bodies []string) (map[string]string, error) {
	ended := map[string]string{}
	// Clocks differ; what was sent before has other bodies.
	q := url.Values{"account": {account}, "from": {r.began.Add(-time.Hour).UTC().Format(time.RFC3339)}, "limit": {"500"}}
	for _, outcome := range []string{"unreadable", "ignored"} {
		q.Set("outcome", outcome)
		var page struct {
			Deliveries []foundDelivery `json:"deliveries"`
		}
		if err := r.get(ctx, "/api/v1/deliveries?"+q.Encode(), &page); err != nil {
			return nil, err
		}
		for _, d := range page.Deliveries {
			if err := r.get(ctx, fmt.Sprintf("/api/v1/deliveries/%d", d.ID), &d); err != nil {
				return nil, err
			}
			for _, b := range bodies {
				if d.Body == b {
					ended[b] = d.Outcome
				}
			}
			if len(ended) == len(bodies) {
				return ended, nil
			}
		}
	}
	return ended, nil
}
