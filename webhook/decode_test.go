package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"callvault/internal/call"
)

// testZone is India's: the zone of both providers' documentation.
var testZone = time.FixedZone("IST", 5*60*60+30*60)

var testReceivedAt = time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)

func testAccounts() []Account {
	return []Account{
		{Name: "sales", Provider: call.CallerDesk, Token: "sales-token-0123456789", Zone: testZone, Region: "IN"},
		{Name: "support", Provider: call.TeleCMI, Token: "support-token-0123456789", Zone: testZone, Region: "IN",
			AppID: "2222223"},
		{Name: "source", Provider: call.CallerDesk, Token: "t", Zone: testZone, Region: "IN",
			OutgoingCustomer: CustomerInSource},
		{Name: "destination", Provider: call.CallerDesk, Token: "t", Zone: testZone, Region: "IN",
			OutgoingCustomer: CustomerInDestination},
	}
}

func newTestDecoder(tb testing.TB) *Decoder {
	tb.Helper()
	d, err := NewDecoder(testAccounts(), Hooks{})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// checkDecode decodes a delivery and checks what must hold of any.
func checkDecode(t *testing.T, d *Decoder, account, contentType, query string, body []byte) {
	t.Helper()
	del := &call.Delivery{Account: account, Method: "POST", ContentType: contentType, Query: query,
		Body: bytes.Clone(body), ReceivedAt: testReceivedAt}
	d.Decode(del)
	if !bytes.Equal(del.Body, body) {
		t.Error("the body was changed")
	}
	if len(del.Items) == 0 || len(del.Items) > maxItems {
		t.Errorf("%d items", len(del.Items))
	}
	for _, it := range del.Items {
		if strings.Contains(it.Error, "broke down") {
			t.Error(it.Error)
		}
		switch {
		case it.Leg != nil && it.Live != nil:
			t.Error("an item is both leg and live call")
		case it.Leg != nil:
			checkLeg(t, it.Leg)
		case it.Live != nil:
			if it.Live.LegKey == "" || it.Live.Key.Value == "" || it.Live.At.IsZero() || it.Live.State == "" {
				t.Errorf("incomplete live call %+v", it.Live)
			}
		case it.Outcome != call.Ignored && it.Outcome != call.Unreadable || it.Error == "":
			t.Errorf("an item without content: %+v", it)
		}
	}
}

func checkLeg(t *testing.T, l *call.Leg) {
	t.Helper()
	if l.Key == "" || l.Account == "" || len(l.Attributes) == 0 {
		t.Errorf("incomplete leg %+v", l)
	}
	text, err := json.Marshal(l)
	if err != nil {
		t.Errorf("a leg that cannot be stored: %v", err)
	}
	var back call.Leg
	if err := json.Unmarshal(text, &back); err != nil {
		t.Errorf("a leg that cannot be read back: %v", err)
	}
	for _, s := range []string{l.Key, l.Status, l.CustomerNumber, l.BusinessNumber, l.Agent.ID,
		l.Agent.Name, l.Agent.Number, l.Group, l.Campaign, l.HangupCause, l.Cost} {
		if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("a text that is not fit to be shown: %q", s)
		}
	}
	for _, n := range []*int{l.WaitSeconds, l.TalkSeconds, l.TotalSeconds} {
		if n != nil && (*n < 0 || *n > maxSeconds) {
			t.Errorf("%d seconds", *n)
		}
	}
	for _, at := range []time.Time{l.StartedAt, l.RangAt, l.AnsweredAt, l.EndedAt, l.RecordedFrom} {
		if !at.IsZero() && (at.Year() < 2000 || at.Year() > 2286 || at.Location() != time.UTC ||
			!at.Equal(at.Truncate(time.Millisecond))) {
			t.Errorf("a time that is none: %v", at)
		}
	}
	filled := *l
	if filled.Fill(*l) {
		t.Errorf("a leg that changes when it is filled with itself: %+v", l)
	}
	call.Merge([]call.Leg{*l})
}
