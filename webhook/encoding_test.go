package webhook

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// TestCallerDeskEncodings: all documented fields and the extras make the same
// leg in whichever way CallerDesk sends them, also where their text needs
// escaping.
func TestCallerDeskEncodings(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]map[string]string{
		"as documented": {},
		"hard texts": {
			"receiver_name":    `Zoë "A+B" <R&D> 100% = \o/`,
			"call_group":       "विक्रय; दल",
			"CallRecordingUrl": "https://h.callerdesk.io/a%20b+c.wav?file=x%26y&Expires=1",
			"key_press":        "1 2",
			"error_code":       "",
			"campid":           "#1?2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent map[string]string
			if err := json.Unmarshal([]byte(callerDeskReport), &sent); err != nil {
				t.Fatal(err)
			}
			maps.Copy(sent, change)
			asJSON, err := json.Marshal(sent)
			if err != nil {
				t.Fatal(err)
			}
			form := url.Values{}
			var parts bytes.Buffer
			m := multipart.NewWriter(&parts)
			for _, name := range slices.Sorted(maps.Keys(sent)) {
				form.Set(name, sent[name])
				if err := m.WriteField(name, sent[name]); err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			tests := []struct{ name, method, query, contentType, body string }{
				{"JSON", "POST", "", "application/json", string(asJSON)},
				{"query", "GET", "?" + form.Encode(), "", ""},
				{"query of a POST", "POST", "?" + form.Encode(), "", ""},
				{"form", "POST", "", "application/x-www-form-urlencoded", form.Encode()},
				{"multipart", "POST", "", m.FormDataContentType(), parts.String()},
			}
			var want *call.Leg
			for _, tt := range tests {
				store := &memory{}
				w := do(newTestReceiver(t, store, nil), tt.method, salesPath+tt.query, tt.body, func(req *http.Request) {
					req.Header.Set("Content-Type", tt.contentType)
				})
				got := store.stored()
				if w.Code != http.StatusOK || len(got) != 1 || len(got[0].Items) != 1 || got[0].Items[0].Leg == nil {
					t.Fatalf("%s: status %d, %+v", tt.name, w.Code, got)
				}
				leg := got[0].Items[0].Leg
				if want == nil {
					want = leg
				}
				if diff := cmp.Diff(want, leg); diff != "" {
					t.Errorf("%s: %s", tt.name, diff)
				}
			}
			// Nothing of it is lost on the way.
			for name, value := range sent {
				var kept string
				if err := json.Unmarshal(want.Attributes[name], &kept); err != nil || kept != value {
					t.Errorf("%s is kept as %q, %v; sent was %q", name, kept, err, value)
				}
			}
			if len(want.Attributes) != 23 || want.Agent.Name != sent["receiver_name"] || want.Group != sent["call_group"] || len(want.Recordings) != 1 {
				t.Errorf("%d attributes, %+v", len(want.Attributes), want)
			}
		})
	}
}
