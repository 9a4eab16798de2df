package export

import (
	"path"
	"regexp"
	"strings"
	"time"
	"unicode"

	"callvault/internal/call"
)

// The folders of audio in a bundle.
const (
	audioFolder   = "audio"
	alteredFolder = "altered"
)

// mostOfName bounds, in runes, what a number or a name gives to a file's name:
// with all the rest it stays far below the 255 bytes that systems take.
const mostOfName = 32

// audioName is the name of a recording's file below its folder: day, time,
// direction, customer's number, agent and the recording's id, which makes it
// unique. Times are those of the account's zone. Only letters, digits, + - _
// are left of what a provider sent: no separator, no name that Windows keeps for
// itself, nothing that a shell or a terminal would obey.
func audioName(c *call.Call, r *call.Recording, zone *time.Location) string {
	day, clock := "no-start", "unknown"
	if !c.StartedAt.IsZero() {
		at := c.StartedAt.In(zone)
		day, clock = at.Format(time.DateOnly), at.Format("150405")
	}
	parts := []string{clock}
	if r.Kind == call.VoicemailMessage {
		parts = append(parts, string(call.VoicemailMessage))
	}
	for _, text := range []string{string(c.Direction), c.CustomerNumber, c.Agent.Name, r.ID} {
		if text = plain(text); text != "" {
			parts = append(parts, text)
		}
	}
	return path.Join(day, strings.Join(parts, "_")+extension(r.ObjectKey))
}

// plain makes of a text a part of a name, empty if nothing is left.
func plain(text string) string {
	var b strings.Builder
	n, gap := 0, false
	for _, r := range text {
		if r == '+' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			if gap && n > 0 {
				b.WriteByte('-')
			}
			b.WriteRune(r)
			n, gap = n+1, false
		} else {
			gap = true
		}
		if n == max(mostOfName, len(idPattern)) {
			break
		}
	}
	return b.String()
}

// idPattern is how long an id is.
const idPattern = "00000000-0000-0000-0000-000000000000"

var plainExtension = regexp.MustCompile(`^\.[a-z0-9]{1,5}$`)

func extension(objectKey string) string {
	if e := path.Ext(objectKey); plainExtension.MatchString(e) {
		return e
	}
	return ".bin"
}
