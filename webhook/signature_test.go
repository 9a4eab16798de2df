package webhook

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/mapping"
)

// verifyAt asks whether a request to the address that the provider calls is
// signed.
func verifyAt(t *testing.T, s mapping.Signature, key, method, address, contentType, body string, header map[string]string) error {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	public := u.Scheme + "://" + u.Host
	req := httptest.NewRequest(method, strings.TrimPrefix(address, public), strings.NewReader(body))
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	a := Account{Provider: call.Mapped, PublicURL: public + "/", SignatureKey: key, Mapping: &mapping.Mapping{Signature: &s}}
	return newSignature(&a).verify(req, []byte(body), []byte(body), testReceivedAt)
}

// The requests and signatures are those of Twilio's own libraries' tests.
func TestTwilioSignature(t *testing.T) {
	t.Parallel()
	const (
		address  = "https://mycompany.com/myapp.php?foo=1&bar=2"
		body     = "Digits=1234&CallSid=CA1234567890ABCDE&To=%2B18005551212&Caller=%2B14158675309&From=%2B14158675309"
		hashed   = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
		jsonBody = `{"property": "value", "boolean": true}`
	)
	for _, tt := range []struct {
		name, address, contentType, body, signature string
		want                                        error
	}{
		{"a form", address, form, body, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", nil},
		{"a form with charset", address, form + "; charset=UTF-8", body, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", nil},
		{"signed without the port", "https://mycompany.com:1234/myapp.php?foo=1&bar=2", form, body, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", nil},
		{"signed with the port", address, form, body, "kvajT1Ptam85bY51eRf/AJRuM3w=", nil},
		{"http", "http://mycompany.com/myapp.php?foo=1&bar=2", form, body, "0ZXoZLH/DfblKGATFgpif+LLRf4=", nil},
		{"http with a port", "http://mycompany.com:1234/myapp.php?foo=1&bar=2", form, body, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=", nil},
		{"JSON", address + "&bodySHA256=" + hashed, "application/json", jsonBody, "a9nBmqA0ju/hNViExpshrM61xv4=", nil},
		{"JSON and nothing else in the query", "https://mycompany.com/myapp.php?bodySHA256=" + hashed, "application/json", jsonBody, "y77kIzt2vzLz71DgmJGsen2scGs=", nil},
		{"wrong", address, form, body, "RSOYDt4T1cUTdK1PDd93/VVr8B9=", errForged},
		{"none", address, form, body, "", errUnsigned},
		{"another parameter", address, form, body + "&x=1", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", errForged},
		{"another query", address + "3", form, body, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", errForged},
		{"a parameter that is not read", address, form, body + "&%zz=1", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", errUncovered},
		{"another JSON", address + "&bodySHA256=" + hashed, "application/json", `{"property": "other"}`, "a9nBmqA0ju/hNViExpshrM61xv4=", errUncovered},
		{"JSON without its hash", address, "application/json", jsonBody, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", errUncovered},
		{"a form that calls itself JSON", address, "application/json", body, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", errUncovered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := verifyAt(t, mapping.Signature{Scheme: mapping.Twilio}, "12345", http.MethodPost, tt.address, tt.contentType, tt.body,
				map[string]string{"X-Twilio-Signature": tt.signature})
			if !sameError(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// The requests and signatures are those of Plivo's own libraries' tests.
func TestPlivoSignature(t *testing.T) {
	t.Parallel()
	const (
		bare  = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml"
		query = bare + "/?a=b&c=d"
		key   = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4"
	)
	params := url.Values{
		"Direction": {"outbound"}, "From": {"19792014278"}, "ALegUUID": {"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36"},
		"CallStatus": {"in-progress"}, "BillRate": {"0.002"}, "ParentAuthID": {"MANWVLYTK4ZWU1YTY4QA"},
		"To":              {"sip:PlivoSignature382029104058171078704104@phone-qa.voice.plivodev.com"},
		"ALegRequestUUID": {"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36"}, "CallUUID": {"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36"},
		"RequestUUID": {"3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36"}, "SessionStart": {"2020-04-08 11:34:33.238707"}, "Event": {"StartApp"},
		"SIP-H-To": {"<sip:PlivoSignature382029104058171078704104@52.9.11.55;transport=udp>;tag=1"},
	}.Encode()
	for _, tt := range []struct {
		name, method, address, body, signature string
		want                                   error
	}{
		{"POST with a query", "POST", query, params, "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c=", nil},
		{"GET with a query", "GET", query + "&" + params, "", "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ=", nil},
		{"POST", "POST", bare, params, "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=", nil},
		{"GET", "GET", bare + "?" + params, "", "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc=", nil},
		{"one of several", "POST", bare, params, "AAAA, iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=", nil},
		{"wrong", "POST", bare, params, "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c=", errForged},
		{"none", "POST", bare, params, "", errUnsigned},
		{"another parameter", "POST", bare, params + "&x=1", "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=", errForged},
		{"a body that is no form", "POST", bare, "%zz", "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0=", errUncovered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := verifyAt(t, mapping.Signature{Scheme: mapping.PlivoV3}, key, tt.method, tt.address, form, tt.body,
				map[string]string{"X-Plivo-Signature-V3": tt.signature, "X-Plivo-Signature-V3-Nonce": "31627761595286130198"})
			if !sameError(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func sign(hash func() hash.Hash, key, text string) []byte {
	m := hmac.New(hash, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func TestHMACSignature(t *testing.T) {
	t.Parallel()
	const key, body = "the key", `{"id":1}`
	now := strconv.FormatInt(testReceivedAt.Unix(), 10)
	plain := mapping.Signature{Header: "X-Signature"}
	timed := mapping.Signature{Header: "X-Signature", Prefix: "v1=", Signed: "{timestamp}.{body}", TimestampHeader: "X-Time", Window: time.Minute}
	hexed := hex.EncodeToString(sign(sha256.New, key, body))
	at := func(stamp string) map[string]string {
		return map[string]string{"X-Time": stamp, "X-Signature": "v1=" + hex.EncodeToString(sign(sha256.New, key, stamp+"."+body))}
	}
	oneHeader := mapping.Signature{Header: "X-Signature", Prefix: "v1=", Signed: "{timestamp}.{body}", TimestampHeader: "x-signature", TimestampPrefix: "t="}
	with := func(stamp string) map[string]string {
		return map[string]string{"X-Signature": "t=" + stamp + ", v0=00,v1=" + hex.EncodeToString(sign(sha256.New, key, stamp+"."+body))}
	}
	for _, tt := range []struct {
		name      string
		signature mapping.Signature
		header    map[string]string
		want      error
	}{
		{"hex", plain, map[string]string{"X-Signature": hexed}, nil},
		{"capitals", plain, map[string]string{"X-Signature": strings.ToUpper(hexed)}, nil},
		{"one of several", plain, map[string]string{"X-Signature": "00," + hexed}, nil},
		{"base64 of SHA-1", mapping.Signature{Header: "X-Signature", Hash: "sha1", Encoding: "base64", Prefix: "sha1="},
			map[string]string{"X-Signature": "sha1=" + base64.StdEncoding.EncodeToString(sign(sha1.New, key, body))}, nil},
		{"URL's base64 of SHA-512", mapping.Signature{Header: "X-Signature", Hash: "sha512", Encoding: "base64"},
			map[string]string{"X-Signature": base64.RawURLEncoding.EncodeToString(sign(sha512.New, key, body))}, nil},
		{"with a timestamp", timed, at(now), nil},
		{"in milliseconds", timed, at(now + "000"), nil},
		{"as RFC 3339 has it", timed, at(testReceivedAt.Format(time.RFC3339Nano)), nil},
		{"in one header", oneHeader, with(now), nil},
		{"in one header, too old", oneHeader, with(strconv.FormatInt(testReceivedAt.Unix()-301, 10)), errOld},
		{"in one header, without time", oneHeader, map[string]string{"X-Signature": "v1=" + hexed}, errOld},
		{"in one header, another time", oneHeader, map[string]string{"X-Signature": strings.Replace(with(now)["X-Signature"], "t="+now, "t="+now+"000", 1)}, errForged},
		{"at the window's edge", timed, at(strconv.FormatInt(testReceivedAt.Unix()-60, 10)), nil},
		{"missing", plain, nil, errUnsigned},
		{"empty", plain, map[string]string{"X-Signature": ""}, errForged},
		{"short", plain, map[string]string{"X-Signature": hexed[:10]}, errForged},
		{"another key", plain, map[string]string{"X-Signature": hex.EncodeToString(sign(sha256.New, "x", body))}, errForged},
		{"without its prefix", timed, map[string]string{"X-Time": now, "X-Signature": strings.TrimPrefix(at(now)["X-Signature"], "v1=")}, errForged},
		{"too old", timed, at(strconv.FormatInt(testReceivedAt.Unix()-61, 10)), errOld},
		{"of the future", timed, at(strconv.FormatInt(testReceivedAt.Unix()+61, 10)), errOld},
		{"without time", timed, map[string]string{"X-Signature": at(now)["X-Signature"]}, errOld},
		{"another time", timed, map[string]string{"X-Time": strconv.FormatInt(testReceivedAt.Unix()-1, 10), "X-Signature": at(now)["X-Signature"]}, errForged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := verifyAt(t, tt.signature, key, http.MethodPost, "https://example.org/webhook/x/y", "application/json", body, tt.header)
			if !sameError(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// TestHMACCoversNoQuery: the signature of nothing, or of what says nothing, must
// not let any query in.
func TestHMACCoversNoQuery(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", " ", "{}", "[]", "[{}]", "\ufeff"} {
		header := map[string]string{"X-Signature": hex.EncodeToString(sign(sha256.New, "the key", body))}
		for address, want := range map[string]error{"https://example.org/webhook/x/y?id=1": errUncovered, "https://example.org/webhook/x/y": nil} {
			if err := verifyAt(t, mapping.Signature{Header: "X-Signature"}, "the key", http.MethodPost, address, "", body, header); !sameError(err, want) {
				t.Errorf("%q at %s: %v, want %v", body, address, err, want)
			}
		}
	}
}

// TestSignatureOfPacked: a provider may sign what it packs, or what it has
// packed; but a signature of something else never holds.
func TestSignatureOfPacked(t *testing.T) {
	t.Parallel()
	const body = `{"id":1}`
	packed := string(gzipped(t, body))
	hexed := func(text string) string { return hex.EncodeToString(sign(sha256.New, "the key", text)) }
	nothing := string(gzipped(t, "{}"))
	for _, tt := range []struct {
		name, packed, query, signature string
		want                           int
	}{
		{"before", packed, "", hexed(body), http.StatusOK},
		{"after", packed, "", hexed(packed), http.StatusOK},
		{"another", packed, "", hexed("{}"), http.StatusForbidden},
		{"nothing, and a query", nothing, "?id=1", hexed(nothing), http.StatusForbidden},
	} {
		m := &memory{}
		r := newTestReceiver(t, m, func(o *Options) {
			o.Accounts = []Account{{Name: "mobile", Provider: call.Mapped, Token: "mobile-token-0123456789", Zone: testZone, SignatureKey: "the key",
				Mapping: &mapping.Mapping{Fields: mapping.Fields{CallID: from(t, "id")}, Signature: &mapping.Signature{Header: "X-Signature"}}}}
		})
		w := do(r, http.MethodPost, "/webhook/mobile/mobile-token-0123456789"+tt.query, tt.packed, func(req *http.Request) {
			req.Header.Set("Content-Encoding", "gzip")
			req.Header.Set("X-Signature", tt.signature)
		})
		stored := m.stored()
		if w.Code != tt.want || len(stored) != 0 && string(stored[0].Body) != body {
			t.Errorf("%s: %d, stored %v", tt.name, w.Code, stored)
		}
	}
}

func sameError(got, want error) bool { return fmt.Sprint(got) == fmt.Sprint(want) }

// TestUnsignedIsTurnedAway: what is not signed is neither stored nor spooled,
// and counted with its account.
func TestUnsignedIsTurnedAway(t *testing.T) {
	t.Parallel()
	m := &memory{}
	var answered []string
	r := newTestReceiver(t, m, func(o *Options) {
		o.Accounts = []Account{{Name: "mobile", Provider: call.Mapped, Token: "mobile-token-0123456789", Zone: testZone, SignatureKey: "the key",
			Mapping: &mapping.Mapping{Fields: mapping.Fields{CallID: from(t, "id")}, Signature: &mapping.Signature{Header: "X-Signature"}}}}
		o.Hooks.Answered = func(account string, status int) { answered = append(answered, fmt.Sprint(account, status)) }
	})
	const path, body = "/webhook/mobile/mobile-token-0123456789", `{"id":1}`
	for header, want := range map[string]int{
		"": http.StatusForbidden, "00": http.StatusForbidden,
		hex.EncodeToString(sign(sha256.New, "the key", body)): http.StatusOK,
	} {
		w := do(r, http.MethodPost, path, body, func(req *http.Request) { req.Header.Set("X-Signature", header) })
		if w.Code != want {
			t.Errorf("signature %q: %d, want %d", header, w.Code, want)
		}
	}
	spooled, err := r.Spooled()
	if n := len(m.stored()); n != 1 || spooled != 0 || err != nil {
		t.Errorf("%d stored, %d bytes spooled, %v", n, spooled, err)
	}
	if got := strings.Count(strings.Join(answered, " "), "mobile403"); got != 2 {
		t.Errorf("counted: %v", answered)
	}
}
