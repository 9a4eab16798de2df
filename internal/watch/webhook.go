package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"callvault/internal/call"
	"callvault/internal/safehttp"
)

// WebhookTarget is the target of notices that are posted: the address itself
// may be a secret, and is not stored.
const WebhookTarget = "webhook"

// postTime bounds one post, from the first look-up to the last byte.
const postTime = 20 * time.Second

// Webhook posts notices to one address as JSON. Its field text is what chat
// services show.
type Webhook struct {
	url    *url.URL
	client *safehttp.Client
}

// NewWebhook makes a Webhook. The address is the operator's own, so it may lead
// to the inside network; its error does not hold it.
func NewWebhook(address string) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("the address is not a URL")
	}
	client, err := safehttp.New(safehttp.Options{
		Hosts: []string{u.Host}, AllowPrivate: true, AllowHTTP: u.Scheme == "http",
		TotalTimeout: postTime, HeaderTimeout: postTime,
	})
	if err != nil {
		return nil, errors.New("the address has no usable host")
	}
	return &Webhook{u, client}, nil
}

type alertJSON struct {
	ID       string         `json:"id"`
	Kind     call.AlertKind `json:"kind"`
	Account  string         `json:"account"`
	Since    time.Time      `json:"since"`
	OpenedAt time.Time      `json:"opened_at"`
	ClosedAt *time.Time     `json:"closed_at"`
	Sentence string         `json:"sentence"`
}

// Send implements Sender.
func (h *Webhook) Send(ctx context.Context, _ string, m Message) (err error) {
	alert := alertJSON{ID: m.Alert.ID, Kind: m.Alert.Kind, Account: m.Alert.Account, Since: m.Alert.Since, OpenedAt: m.Alert.OpenedAt, Sentence: m.Alert.Opening}
	if m.Event == call.NoticeClosed {
		alert.ClosedAt, alert.Sentence = &m.Alert.ClosedAt, m.Alert.Closing
	}
	body, err := json.Marshal(struct {
		ID    string           `json:"id"`
		Event call.NoticeEvent `json:"event"`
		Text  string           `json:"text"`
		Alert alertJSON        `json:"alert"`
	}{m.ID, m.Event, m.Subject + "\n" + alert.Sentence, alert})
	if err != nil {
		return fmt.Errorf("write a notice: %w", err)
	}
	req := &http.Request{
		Method: http.MethodPost, URL: h.url, Header: http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Callvault"}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	resp, err := h.client.Do(req.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("post to the alerts' webhook: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("post to the alerts' webhook: %w", err)
	}
	if resp.StatusCode/100 != 2 || resp.Request.Method != http.MethodPost {
		return fmt.Errorf("post to the alerts' webhook: it answers %d", resp.StatusCode)
	}
	return nil
}
