package archive

import (
	"encoding/json"
	"fmt"
	"net/url"
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
	// A host that quotes the request must not bring the secret into the
	// database.
	msg := strings.ReplaceAll(answer.Msg, s.account.Secret, "…")
	switch {
	case code == 407 || code == 401 || status == 407 || status == 401:
		return errCredentials
	case code == 404 && strings.Contains(strings.ToLower(msg), "parameter"):
		return &refusal{"the provider does not understand the request: " + msg}
	case code != 0:
		return &notThere{seen: fmt.Sprintf("the provider answered code %d %s", code, msg)}
	}
	return nil
}
