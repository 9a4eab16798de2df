package archive

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// playURL is TeleCMI's address of a recording or voicemail. It holds the
// secret, so it is made when it is needed, and kept nowhere.
func (s *source) playURL(file string) string {
	query := url.Values{"appid": {s.account.AppID}, "secret": {s.account.Secret}, "file": {file}}
	return s.api.JoinPath("play").String() + "?" + query.Encode()
}

// judgePlay looks at what TeleCMI's play sent that is no audio. It tells of
// errors in JSON under status 200; which, its documentation says only in
// part. nil is for what passes: 502 while a recording is not published yet.
func (s *source) judgePlay(status int, body []byte) error {
	var answer struct {
		Code json.RawMessage `json:"code"`
		Msg  string          `json:"msg"`
	}
	code := 0 // none
	if json.Unmarshal(body, &answer) == nil {
		// A number, or one in quotes.
		if n, err := strconv.Atoi(strings.Trim(string(answer.Code), `"`)); err == nil {
			code = n
		}
	}
	msg := answer.Msg
	if s.quotesSecret(msg) {
		msg = "(its message quotes the secret)"
	}
	switch {
	case code == 407 || code == 401 || status == 407 || status == 401:
		return errCredentials
	case code == 404 && strings.Contains(strings.ToLower(answer.Msg), "parameter"):
		return &refusal{reason: "the provider does not understand the request: " + msg}
	case code != 0:
		return &notThere{seen: fmt.Sprintf("the provider answered code %d %s", code, msg)}
	}
	return nil
}

// quotesSecret says whether text holds the secret, as it is or as URLs and
// pages spell it, also one within the other: a host that quotes the request
// must not bring it into the database.
func (s *source) quotesSecret(text string) bool {
	const deepest = 3
	secret := spaced(s.account.Secret)
	for range deepest {
		if strings.Contains(spaced(text), secret) {
			return true
		}
		text = unescape(html.UnescapeString(text))
	}
	return strings.Contains(spaced(text), secret)
}

// spaced makes one of the two ways in which a URL's query spells a space.
func spaced(text string) string { return strings.ReplaceAll(text, "+", " ") }

// escapedByte is one byte as a URL spells it. Which bytes are spelled so
// differs from program to program.
var escapedByte = regexp.MustCompile("%[0-9A-Fa-f]{2}")

// unescape is url.PathUnescape for text that is not a URL throughout.
func unescape(text string) string {
	return escapedByte.ReplaceAllStringFunc(text, func(escaped string) string {
		b, err := hex.DecodeString(escaped[1:])
		if err != nil {
			return escaped
		}
		return string(b)
	})
}
