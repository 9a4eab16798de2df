package webhook

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"callvault/internal/call"
)

// fields are the fields of one report as they were sent.
type fields call.Attributes

// The bounds of what a leg takes from a field; the attributes keep it whole.
const (
	// maxText is in bytes, for names and status words.
	maxText = 500
	// maxKey is in bytes, so that any database can index it.
	maxKey = 255
	// maxSeconds is a month: a longer call is a mistake, and as durations never
	// go back it would stay.
	maxSeconds = 31 * 24 * 60 * 60
)

func (f fields) hasMark() bool {
	for name := range f {
		if marks[name] {
			return true
		}
	}
	return false
}

// has reports whether a field was sent at all.
func (f fields) has(names ...string) bool {
	for _, name := range names {
		if _, has := f[name]; has {
			return true
		}
	}
	return false
}

// wrapped is the JSON of an envelope's field, nil if it holds none.
func (f fields) wrapped(name string) []byte {
	raw := f[name]
	switch {
	case len(raw) == 0:
		return nil
	case raw[0] == '{' || raw[0] == '[':
		return raw
	case raw[0] == '"':
		if s := unquote(raw); beginsLikeJSON(s) && depth([]byte(s)) <= maxDepth {
			return []byte(s)
		}
	}
	return nil
}

// tidy makes the values compact, texts the same however they were escaped, and
// names fit to be shown and stored.
func (f fields) tidy() {
	for name, raw := range f {
		switch {
		case len(raw) == 0:
		case raw[0] == '{' || raw[0] == '[':
			var b bytes.Buffer
			if json.Compact(&b, raw) == nil {
				f[name] = b.Bytes()
			}
		case raw[0] == '"' && bytes.IndexByte(raw, '\\') >= 0:
			raw = quote(unquote(raw))
			f[name] = raw
		}
		if strings.ContainsFunc(name, unicode.IsControl) {
			delete(f, name)
			f[strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return utf8.RuneError
				}
				return r
			}, name)] = raw
		}
	}
}

// text is a field as plain text on one line: numbers and booleans as they were
// written, objects and lists not at all.
func (f fields) text(name string) string { return plainText(f[name]) }

func plainText(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	switch raw[0] {
	case '{', '[':
		return ""
	case '"':
		return clean(unquote(raw))
	}
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

// clean takes out control characters and bounds the length.
func clean(s string) string {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			s = strings.TrimSpace(strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return ' '
				}
				return r
			}, s))
			break
		}
	}
	return s
}

// word is the first of the fields that says something: not one of the ways in
// which these providers say nothing.
func (f fields) word(names ...string) string {
	for _, name := range names {
		if s := f.text(name); !nothing(s) {
			return shorten(s)
		}
	}
	return ""
}

// shorten bounds a text to maxText bytes.
func shorten(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}

func nothing(s string) bool {
	if len(s) > len("no recorded file") {
		return false
	}
	switch strings.ToLower(s) {
	case "", "0", "na", "n/a", "null", "nil", "none", "unknown", "undefined",
		"not available", "no recorded file":
		return true
	}
	return false
}

// key is the first of the fields that holds an identifier.
func (f fields) key(names ...string) string {
	for _, name := range names {
		if s := f.text(name); !nothing(s) && len(s) <= maxKey {
			return s
		}
	}
	return ""
}

// yes reports whether a field is true, as a boolean or as text.
func (f fields) yes(name string) bool {
	switch strings.ToLower(f.text(name)) {
	case "true", "1", "yes":
		return true
	}
	return false
}

// seconds is the first of the fields that holds a duration: seconds or
// hh:mm:ss. nil if none does.
func (f fields) seconds(names ...string) *int {
	for _, name := range names {
		if n, ok := parseSeconds(f.text(name)); ok {
			return new(n)
		}
	}
	return nil
}

func parseSeconds(s string) (int, bool) {
	if s == "" {
		return 0, false
	}
	if strings.Count(s, ":") == 2 {
		total := 0
		for part := range strings.SplitSeq(s, ":") {
			n, err := strconv.ParseUint(part, 10, 16)
			if err != nil {
				return 0, false
			}
			total = total*60 + int(n)
		}
		return total, total <= maxSeconds
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n <= maxSeconds) {
		return 0, false
	}
	return int(n), true
}

// moment is the first of the fields that holds a time, in UTC and truncated to
// milliseconds; the zero time if none does.
func (f fields) moment(zone *time.Location, names ...string) time.Time {
	for _, name := range names {
		if t := parseTime(f.text(name), zone); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// parseTime reads a time in any of the shapes that occur: seconds, milli- or
// microseconds since 1970, or a date with a time, of the zone unless it names
// its own. What is not between 2000 and 2100 is no time of a call.
func parseTime(s string, zone *time.Location) time.Time {
	if len(s) < 10 {
		return time.Time{} // "", "0", and nothing as old as 2001
	}
	t, ok := parseEpoch(s)
	if !ok {
		t, ok = parseLocal(s, zone)
	}
	if !ok || t.Year() < 2000 || t.Year() >= 2100 {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func parseEpoch(s string) (time.Time, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		if strings.IndexByte("0123456789", s[0]) < 0 || strings.ContainsAny(s, "-: xXpP_") {
			return time.Time{}, false
		}
		float, err := strconv.ParseFloat(s, 64)
		if err != nil || !(math.Abs(float) < 1e18) {
			return time.Time{}, false
		}
		if float < 1e11 {
			return time.UnixMilli(int64(math.Round(float * 1000))), true
		}
		n = int64(float)
	}
	switch {
	case n < 1e11:
		return time.Unix(n, 0), true
	case n < 1e14:
		return time.UnixMilli(n), true
	case n < 1e17:
		return time.UnixMicro(n), true
	}
	return time.Unix(0, n), true
}

// parseLocal reads 2024-12-30 12:43:19 with whatever stands between date and
// time: spaces, a T, or the n that is left of a lost line break.
func parseLocal(s string, zone *time.Location) (time.Time, bool) {
	year, s, ok1 := digits(s, 4, "-/")
	month, s, ok2 := digits(s, 2, "-/")
	day, s, ok3 := digits(s, 2, "")
	s = strings.TrimLeft(s, " TtnN\\+_")
	hour, s, ok4 := digits(s, 2, ":")
	minute, s, ok5 := digits(s, 2, ":")
	second, s, ok6 := digits(s, 2, "")
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || month < 1 || month > 12 || day < 1 ||
		day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	nanos := 0
	if strings.HasPrefix(s, ".") {
		end := 1
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		if fraction, err := strconv.ParseFloat("0"+s[:end], 64); err == nil {
			nanos = int(fraction * 1e9)
		}
		s = s[end:]
	}
	if s = strings.TrimSpace(s); s != "" {
		named, err := time.Parse("Z07:00", s)
		if err != nil {
			if named, err = time.Parse("-0700", s); err != nil {
				return time.Time{}, false
			}
		}
		zone = named.Location()
	} else if zone == nil {
		zone = time.UTC
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone), true
}

// digits reads n digits and, if after is given, one of its characters.
func digits(s string, n int, after string) (value int, rest string, ok bool) {
	if len(s) < n {
		return 0, s, false
	}
	for i := range n {
		if s[i] < '0' || s[i] > '9' {
			return 0, s, false
		}
		value = value*10 + int(s[i]-'0')
	}
	s = s[n:]
	if after == "" {
		return value, s, true
	}
	if s == "" || strings.IndexByte(after, s[0]) < 0 {
		return 0, s, false
	}
	return value, s[1:], true
}

// unquote is the text of a JSON string.
func unquote(raw json.RawMessage) string {
	if len(raw) >= 2 && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// quote writes a text as JSON the way providers do: without the escapes by
// which encoding/json guards HTML, so that a report says the same whether it
// comes as JSON or as a form. s must be valid UTF-8.
func quote(s string) json.RawMessage {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			plain = false
			break
		}
	}
	if plain {
		b := make([]byte, 0, len(s)+2)
		return append(append(append(b, '"'), s...), '"')
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return json.RawMessage(`""`) // cannot happen: strings encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
