package console_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"callvault/internal/console"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9:1"},
		{"198.51.100.1:1", []string{"203.0.113.9"}, "198.51.100.1:1"}, // no proxy of ours
		{"10.0.0.1:1", nil, "10.0.0.1:1"},
		{"10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"[::ffff:10.0.0.1]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"203.0.113.9, 10.1.1.1", "fd00::1"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"}, // said by a stranger
		{"10.0.0.1:1", []string{"203.0.113.9, rubbish"}, "10.0.0.1:1"},
		{"@", []string{"203.0.113.9"}, "@"},
	} {
		var got string
		h := console.ClientAddress(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }), trusted)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tt.remote
		r.Header["X-Forwarded-For"] = tt.forwarded
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != tt.want {
			t.Errorf("%s %v: %s, want %s", tt.remote, tt.forwarded, got, tt.want)
		}
	}
}
