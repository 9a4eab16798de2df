package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's scheme; within an HMAC it still holds
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/mapping"
)

// Why a delivery's signature does not hold.
var (
	errUnsigned  = errors.New("no signature")
	errForged    = errors.New("wrong signature")
	errOld       = errors.New("signed at a time that is not now")
	errUncovered = errors.New("the signature does not cover what was sent")
)

// signature checks that a delivery was signed by who knows the account's key.
type signature struct {
	mapping.Signature
	key []byte
	// address is what the provider calls, without the query.
	address string
}

// newSignature is nil for an account that asks for none.
func newSignature(a *Account) *signature {
	if a.Provider != call.Mapped || a.SignatureKey == "" {
		return nil
	}
	return &signature{Signature: *a.Mapping.Signature, key: []byte(a.SignatureKey),
		address: strings.TrimRight(a.PublicURL, "/")}
}

// verify checks a request with its body, as sent and unpacked, at the time now.
// It is enough if one of the two is signed: providers sign before they pack, or
// after. Comparing takes as long whatever is sent.
func (s *signature) verify(req *http.Request, sent, body []byte, now time.Time) error {
	if !s.NeedsURL() && req.URL.RawQuery != "" && readsQuery(req.Header.Get("Content-Type"), body) {
		return errUncovered
	}
	err := s.verifyBody(req, body, now)
	if err != nil && !bytes.Equal(sent, body) {
		if s.verifyBody(req, sent, now) == nil {
			return nil
		}
	}
	return err
}

func (s *signature) verifyBody(req *http.Request, body []byte, now time.Time) error {
	switch s.Scheme {
	case mapping.Twilio:
		return s.verifyTwilio(req, body)
	case mapping.PlivoV3:
		return s.verifyPlivo(req, body)
	}
	return s.verifyHMAC(req, body, now)
}

func (s *signature) mac(hash func() hash.Hash, parts ...[]byte) []byte {
	m := hmac.New(hash, s.key)
	for _, p := range parts {
		_, _ = m.Write(p) // never fails
	}
	return m.Sum(nil)
}

// verifyHMAC checks a signature over the body and, if the mapping says so, a
// timestamp.
func (s *signature) verifyHMAC(req *http.Request, body []byte, now time.Time) error {
	sent := req.Header.Values(s.Header)
	if len(sent) == 0 {
		return errUnsigned
	}
	signed := s.Signed
	if signed == "" {
		signed = "{body}"
	}
	stamp := ""
	if s.TimestampHeader != "" {
		if stamp = s.stamp(req.Header); !s.isNow(stamp, now) {
			return errOld
		}
	}
	before, after, _ := strings.Cut(signed, "{body}")
	want := s.mac(s.newHash(),
		[]byte(strings.ReplaceAll(before, "{timestamp}", stamp)), body,
		[]byte(strings.ReplaceAll(after, "{timestamp}", stamp)))
	held := false
	for text := range strings.SplitSeq(strings.Join(sent, ","), ",") {
		text, prefixed := strings.CutPrefix(strings.TrimSpace(text), s.Prefix)
		if got, err := s.decode(text); err == nil && prefixed && hmac.Equal(got, want) {
			held = true
		}
	}
	if !held {
		return errForged
	}
	return nil
}

func (s *signature) newHash() func() hash.Hash {
	switch s.Hash {
	case "sha1":
		return sha1.New
	case "sha512":
		return sha512.New
	}
	return sha256.New
}

func (s *signature) decode(text string) ([]byte, error) {
	if s.Encoding == "base64" {
		if strings.ContainsAny(text, "-_") {
			return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
		}
		return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	return hex.DecodeString(text)
}

// stamp is the moment of signing as it was sent, empty if it was not.
func (s *signature) stamp(header http.Header) string {
	if s.TimestampPrefix == "" {
		return header.Get(s.TimestampHeader)
	}
	for part := range strings.SplitSeq(strings.Join(header.Values(s.TimestampHeader), ","), ",") {
		if stamp, ok := strings.CutPrefix(strings.TrimSpace(part), s.TimestampPrefix); ok {
			return stamp
		}
	}
	return ""
}

// isNow tells whether a timestamp, in seconds or milliseconds since 1970 or of
// RFC 3339, lies within the window around now.
func (s *signature) isNow(stamp string, now time.Time) bool {
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		n, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || n < 0 || n > 1e14 {
			return false
		}
		at = time.Unix(n, 0)
		if n > 1e11 {
			at = time.UnixMilli(n)
		}
	}
	window := s.Window
	if window == 0 {
		window = mapping.DefaultWindow
	}
	return now.Sub(at).Abs() <= window
}

// verifyTwilio checks X-Twilio-Signature: base64 of the HMAC-SHA1 of the whole
// URL, followed, for a form, by each parameter's name and value, sorted by
// name. For another body the URL holds its SHA-256 in bodySHA256. With the
// scheme's own port or without is all the same (twilio.com/docs/usage/security;
// Twilio's libraries try both).
func (s *signature) verifyTwilio(req *http.Request, body []byte) error {
	sent := req.Header.Get("X-Twilio-Signature")
	if sent == "" {
		return errUnsigned
	}
	called, err := s.called(req)
	if err != nil {
		return err
	}
	var params strings.Builder
	if len(body) > 0 {
		if isForm(req) {
			form, err := url.ParseQuery(string(body))
			if err != nil {
				return errUncovered // what cannot be parsed is not signed, but could be read
			}
			for _, name := range slices.Sorted(maps.Keys(form)) {
				for _, value := range slices.Compact(slices.Sorted(slices.Values(form[name]))) {
					params.WriteString(name + value)
				}
			}
		} else {
			sum := sha256.Sum256(body)
			named, err := hex.DecodeString(called.Query().Get("bodySHA256"))
			if err != nil || !hmac.Equal(named, sum[:]) {
				return errUncovered
			}
		}
	}
	held := false
	for _, address := range withAndWithoutPort(called) {
		want := base64.StdEncoding.EncodeToString(s.mac(sha1.New, []byte(address+params.String())))
		held = hmac.Equal([]byte(want), []byte(sent)) || held
	}
	if !held {
		return errForged
	}
	return nil
}

// verifyPlivo checks X-Plivo-Signature-V3: base64 of the HMAC-SHA256 of the URL
// with its query sorted, then, for POST, the parameters' names and values sorted
// by name, then a point and the nonce. Several signatures, one for each of the
// account's tokens, are separated by commas. What stands between URL and
// parameters is as Plivo's libraries have it.
func (s *signature) verifyPlivo(req *http.Request, body []byte) error {
	sent, nonce := req.Header.Get("X-Plivo-Signature-V3"), req.Header.Get("X-Plivo-Signature-V3-Nonce")
	if sent == "" || nonce == "" {
		return errUnsigned
	}
	called, err := s.called(req)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(called.RawQuery)
	if err != nil {
		return errUncovered
	}
	var form url.Values
	if len(body) > 0 {
		if form, err = url.ParseQuery(string(body)); err != nil || !isForm(req) {
			return errUncovered
		}
	}
	called.RawQuery = ""
	address := called.String()
	sorted := joined(query, "=", "&")
	if sorted != "" || len(form) > 0 {
		address += "?" + sorted
	}
	if sorted != "" && len(form) > 0 {
		address += "."
	}
	want := base64.StdEncoding.EncodeToString(s.mac(sha256.New, []byte(address+joined(form, "", "")+"."+nonce)))
	held := false
	for text := range strings.SplitSeq(sent, ",") {
		held = hmac.Equal([]byte(want), []byte(strings.TrimSpace(text))) || held
	}
	if !held {
		return errForged
	}
	return nil
}

// called is the address that the provider has called.
func (s *signature) called(req *http.Request) (*url.URL, error) {
	address := s.address + req.URL.EscapedPath()
	if req.URL.RawQuery != "" {
		address += "?" + req.URL.RawQuery
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: the address cannot be read", errForged)
	}
	return u, nil
}

func isForm(req *http.Request) bool {
	kind, _, _ := strings.Cut(req.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded")
}

// withAndWithoutPort are a URL's two spellings.
func withAndWithoutPort(u *url.URL) []string {
	with, without := *u, *u
	without.Host = u.Hostname()
	if strings.Contains(without.Host, ":") {
		without.Host = "[" + without.Host + "]"
	}
	if u.Port() == "" {
		port := ":443"
		if u.Scheme == "http" {
			port = ":80"
		}
		with.Host += port
	}
	return []string{with.String(), without.String()}
}

// joined writes parameters sorted by name, and each one's values sorted.
func joined(params url.Values, between, after string) string {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(params)) {
		for _, value := range slices.Sorted(slices.Values(params[name])) {
			if b.Len() > 0 {
				b.WriteString(after)
			}
			b.WriteString(name + between + value)
		}
	}
	return b.String()
}
