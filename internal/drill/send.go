package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// message is one request to the webhook.
type message struct {
	method, contentType string
	query, body         string
	header              http.Header
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
	// acknowledgeTime is how long the webhook may take.
	acknowledgeTime = 30 * time.Second
)

func (r *run) hook(a Account) string { return r.URL + "/webhook/" + a.Name + "/" + a.Token }

// send posts a message to a webhook and returns the status of the answer.
func (r *run) send(ctx context.Context, hook string, m message) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, acknowledgeTime)
	defer cancel()
	if m.query != "" {
		hook += "?" + m.query
	}
	request, err := http.NewRequestWithContext(ctx, m.method, hook, strings.NewReader(m.body))
	if err != nil {
		return 0, withoutURL(err)
	}
	if m.contentType != "" {
		request.Header.Set("Content-Type", m.contentType)
	}
	maps.Copy(request.Header, m.header)
	return r.status(request)
}

func (r *run) status(request *http.Request) (int, error) {
	response, err := r.Client.Do(request)
	if err != nil {
		return 0, withoutURL(err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

// report posts a message that must be acknowledged.
func (r *run) report(ctx context.Context, a Account, m message) error {
	return r.expect(ctx, r.hook(a), m, http.StatusOK)
}

func (r *run) expect(ctx context.Context, hook string, m message, want int) error {
	got, err := r.send(ctx, hook, m)
	if err != nil {
		return fmt.Errorf("the webhook does not answer: %w", err)
	}
	if got != want {
		return fmt.Errorf("the webhook answers %d %s instead of %d", got, http.StatusText(got), want)
	}
	return nil
}

// sidPrefix and uuidPrefix begin all identifiers of this drill.
func (r *run) sidPrefix() string  { return fmt.Sprintf("%d.", r.began.Unix()) }
func (r *run) uuidPrefix() string { return fmt.Sprintf("%08x-d111-", r.began.Unix()) }

func (r *run) newSID() string {
	r.sequence++
	return fmt.Sprintf("%s%d", r.sidPrefix(), 100_000+r.sequence)
}

func (r *run) newUUID() string {
	r.sequence++
	return fmt.Sprintf("%s4000-8000-%012d", r.uuidPrefix(), r.sequence)
}

// customer is nobody's number; the report's reader writes it in E.164.
const customer = "+919000000001"

// desk is CallerDesk's report of an answered call that ended just now
// (docs.callerdesk.io, sample-payload).
func (r *run) desk(sid, recordingURL string) map[string]string {
	end := r.Now().In(r.CallerDesk.Zone)
	at := func(before time.Duration) string { return end.Add(-before).Format(time.DateTime) }
	return map[string]string{
		"type": "call_report", "CallSid": sid, "Direction": "IVR", "Status": "ANSWER",
		"SourceNumber": "0" + customer[3:], "DestinationNumber": "08062861230", "DialWhomNumber": "09000000002",
		"CallDuration": "30", "TalkDuration": "3", "coins": "1",
		"StartTime": at(30 * time.Second), "EndTime": at(0),
		"LegA_Picked_time": at(29 * time.Second), "LegB_Start_time": at(20 * time.Second), "LegB_Picked_time": at(3 * time.Second),
		"CallRecordingUrl": recordingURL, "campid": "", "call_group": "Drill", "receiver_name": "Drill", "error_code": "0",
	}
}

// cmi is a report of TeleCMI about one leg (doc.telecmi.com/chub), with what
// all of them have.
func (r *run) cmi(direction, status string, more map[string]any) map[string]any {
	all := map[string]any{
		"type": "cdr", "direction": direction, "status": status, "appid": json.Number(r.TeleCMI.AppID),
		"cmiuuid": r.newUUID(), "time": r.Now().UnixMilli(), "virtual_number": 918062861230, "user": "901_" + r.TeleCMI.AppID,
	}
	maps.Copy(all, more)
	return all
}

func asJSON(payload any) message {
	var body bytes.Buffer
	_ = json.NewEncoder(&body).Encode(payload) //nolint:errchkjson // strings and numbers always encode
	return message{method: http.MethodPost, contentType: jsonType, body: strings.TrimSuffix(body.String(), "\n")}
}

func asForm(payload map[string]string) message {
	return message{method: http.MethodPost, contentType: formType, body: values(payload).Encode()}
}

func asQuery(payload map[string]string) message {
	return message{method: http.MethodGet, query: values(payload).Encode()}
}

func values(payload map[string]string) url.Values {
	v := url.Values{}
	for name, value := range payload {
		v.Set(name, value)
	}
	return v
}
