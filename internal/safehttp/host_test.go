package safehttp

import (
	"errors"
	"testing"
)

func TestHostileURLs(t *testing.T) {
	t.Parallel()
	hosts := []string{
		"*.callerdesk.io", "rest.telecmi.com", "files.example.org:8443",
		"192.0.2.7", "[2001:db8::1]",
	}
	strict, err := New(Options{Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		url, reason string // no reason: allowed
	}{
		{"https://newcallrecords.callerdesk.io/incoming/12_2024/x.wav", ""},
		{"https://a.b.callerdesk.io/x.wav", ""},
		{"https://CallRecords.CallerDesk.IO./x.wav", ""},
		{"https://rest.telecmi.com:443/v2/play?appid=1&secret=s", ""},
		{"https://files.example.org:8443/x", ""},
		{"https://192.0.2.7/x", ""},
		{"https://[2001:DB8:0::1]/x", ""},

		{"https://callerdesk.io/x", ReasonHost},
		{"https://evilcallerdesk.io/x", ReasonHost},
		{"https://callerdesk.io.evil.example/x", ReasonHost},
		{"https://newcallrecords.callerdesk.io:22/x", ReasonHost},
		{"https://files.example.org/x", ReasonHost},
		{"https://localhost/x", ReasonHost},
		{"https://127.0.0.1/x", ReasonHost},
		{"https://169.254.169.254/latest/meta-data", ReasonHost},
		{"https://[::1]/x", ReasonHost},
		{"https://[::ffff:127.0.0.1]/x", ReasonURL},
		{"https://[::ffff:c000:207]/x", ReasonURL},
		{"https://[fe80::1%25eth0]/x", ReasonURL},
		{"https://2130706433/x", ReasonURL},
		{"https://3221225991/x", ReasonURL}, // 192.0.2.7 as one number
		{"https://0xc0000207/x", ReasonURL},
		{"https://0300.0.2.7/x", ReasonURL},
		{"https://192.0.519/x", ReasonURL},
		{"https://192.0.2.0x7/x", ReasonURL},
		{"https://192.0.2.7.0x/x", ReasonURL},
		{"https://１９２.0.2.7/x", ReasonURL},
		{"https://0x7f.1/x", ReasonURL},
		{"https://0x7f.0x0.0x0.0x1/x", ReasonURL},
		{"https://0X7F000001/x", ReasonURL},
		{"https://017700000001/x", ReasonURL},
		{"https://127.1/x", ReasonURL},
		{"https://127.0.1/x", ReasonURL},
		{"https://127.0.0.1./x", ReasonHost},
		{"https://00000127.0.0.1/x", ReasonURL},
		{"https://[::ffff:7f00:1]/x", ReasonURL},
		{"https://[::127.0.0.1]/x", ReasonHost},
		{"https://[64:ff9b::7f00:1]/x", ReasonHost},
		{"https://[2002:7f00:1::]/x", ReasonHost},
		{"https://[0:0:0:0:0:0:0:1]/x", ReasonHost},
		{"https://[::]/x", ReasonHost},
		{"https://[fe80::1%eth0]/x", ReasonURL},
		{"https://①②⑦.0.0.1/x", ReasonURL},
		{"https://127.0.0.1%2f@a.callerdesk.io/x", ReasonUser},
		{"https://127.0.0.1%20.callerdesk.io/x", ReasonURL},
		{"https://a.callerdesk.io%2f127.0.0.1/x", ReasonURL},
		{"https://a.callerdesk.io%00.evil.example/x", ReasonURL},
		{"https://@rest.telecmi.com/x", ReasonUser},
		{"https://:@rest.telecmi.com/x", ReasonUser},
		{"https://rest.telecmi.com:443@evil.example/x", ReasonUser},
		{"https://evil.example/@rest.telecmi.com", ReasonHost},
		{"https://metadata.google.internal/x", ReasonHost},
		{"https://a.callerdesk。io/x", ReasonURL},

		{"http://rest.telecmi.com/x", ReasonScheme},
		{"ftp://rest.telecmi.com/x", ReasonScheme},
		{"file://rest.telecmi.com/etc/passwd", ReasonScheme},
		{"gopher://rest.telecmi.com/x", ReasonScheme},
		{"//rest.telecmi.com/x", ReasonScheme},
		{"https://user@rest.telecmi.com/x", ReasonUser},
		{"https://user:pass@rest.telecmi.com/x", ReasonUser},
		{"https://rest.telecmi.com@evil.example/x", ReasonUser},
		{"https://rest.telecmi.com#@evil.example/x", ""}, // the host is telecmi's
		{"https://evil.example#.callerdesk.io/x", ReasonHost},
		{"https://evil.example?.callerdesk.io", ReasonHost},

		{`https://evil.example\.callerdesk.io/x`, ReasonURL},
		{`https://rest.telecmi.com\@evil.example/x`, ReasonURL},
		{`https:\\rest.telecmi.com\x`, ReasonURL},
		{`https://rest.telecmi.com\.evil.example/x`, ReasonURL},
		{`https:/\evil.example/x`, ReasonURL},
		{`\\evil.example\x`, ReasonURL},
		{`https://evil.example\@rest.telecmi.com/x`, ReasonURL},
		{"https://rest.telecmi.com\r\nX: y/", ReasonURL},
		{"https://rest.telecmi.com\x00/", ReasonURL},
		{"https://rest.telecmi.com:99999/x", ReasonURL},
		{"https://rest.telecmi.com:0/x", ReasonURL},
		{"https:rest.telecmi.com/x", ReasonURL},
		{"https:///x", ReasonURL},
		{"https://..callerdesk.io/x", ReasonURL},
		{"https://a%00.callerdesk.io/x", ReasonURL},
		{"javascript:alert(1)", ReasonURL},
		{"NA", ReasonURL},
		{"", ReasonURL},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			u, err := parseURL(tt.url)
			if err == nil {
				err = strict.hosts.check(u, false)
			}
			refused, ok := errors.AsType[*RefusedError](err)
			switch {
			case tt.reason == "" && err != nil:
				t.Errorf("got %v, want it allowed", err)
			case tt.reason != "" && !ok:
				t.Errorf("got %v, want a refusal", err)
			case tt.reason != "" && refused.Reason != tt.reason:
				t.Errorf("refused because %q, want %q", refused.Reason, tt.reason)
			}
		})
	}
}

func TestPrivateHostWithoutPortMeansEveryPort(t *testing.T) {
	t.Parallel()
	client, err := New(Options{Hosts: []string{"pbx.internal"}, AllowPrivate: true, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	u, err := parseURL("http://pbx.internal:8088/x.wav")
	if err != nil {
		t.Fatal(err)
	}
	if err := client.hosts.check(u, true); err != nil {
		t.Error(err)
	}
}

func TestHostPatternsThatMeanNothing(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "*", "*.", "https://example.org", "example.org/path", "a b",
		"user@example.org", "example.org:0", "example.org:http", "*.*.example.org",
		"10.0.0.0/8", "*.10.0.0.1", "0x7f000001", "exämple.org",
	} {
		if _, err := New(Options{Hosts: []string{bad}}); err == nil {
			t.Errorf("pattern %q is accepted", bad)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		"https://a.example.org/x", "https://2130706433/", "https://[::ffff:1.2.3.4]/",
		`https://a.example.org\@b/`, "https://%61.example.org/", "https://a.example.org:443",
	} {
		f.Add(seed)
	}
	list, err := parseHosts([]string{"*.example.org"}, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil || list.check(u, false) != nil {
			return
		}
		// Whatever is let through is plainly a name below example.org.
		host, ok := canonicalHost(u.Hostname())
		if !ok || len(host) <= len(".example.org") || host[len(host)-12:] != ".example.org" || u.User != nil {
			t.Errorf("%q is let through to %q", raw, u.Host)
		}
	})
}
