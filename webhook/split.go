package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The bounds of what is read out of one delivery. What is beyond is still kept
// with the delivery and shows up as unreadable.
const (
	maxItems  = 10_000
	maxErrors = 20
	maxDepth  = 32
	maxFields = 1_000
	// maxWrapping is how many envelopes may lie in each other.
	maxWrapping = 4
)

// part is one report of a delivery, or why it cannot be read.
type part struct {
	fields fields
	err    string
}

// marks are the fields by which an object is itself a report, and not an
// envelope around one.
var marks = map[string]bool{
	"CallSid": true, "sid_id": true, "SourceNumber": true,
	"cmiuuid": true, "cmiuid": true, "cmuuid": true, "call_id": true,
	"conversation_uuid": true,
}

// envelopes are the fields in which reports have been seen to be wrapped.
var envelopes = []string{"cdr", "data", "call", "payload", "body", "record"}

// inherited are the fields of an envelope that say what its content is.
var inherited = []string{"type", "direction"}

// split finds the reports in a request. It goes by what the body looks like
// rather than by what its content type claims, for providers get that wrong.
// The query is read when the body says nothing.
func split(contentType, query string, body []byte) []part {
	return splitter{}.split(contentType, query, body)
}

// splitPlain is split without looking into envelopes.
func splitPlain(contentType, query string, body []byte) []part {
	return splitter{plain: true}.split(contentType, query, body)
}

func (s splitter) split(contentType, query string, body []byte) []part {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if !utf8.Valid(body) && !isMultipart(contentType, body) {
		body = bytes.ToValidUTF8(body, []byte("\ufffd"))
	}
	switch {
	case len(body) == 0:
		s.form(parseQuery(query))
	case body[0] == '{' || body[0] == '[':
		s.document(body)
	case isMultipart(contentType, body):
		s.multipart(contentType, body)
	case looksLikeForm(contentType, body):
		s.form(parseQuery(string(body)))
	default:
		s.fail("the body is neither JSON nor a form")
	}
	if len(s.parts) == 0 && len(body) > 0 {
		s.form(parseQuery(query)) // the body was {} or the like
	}
	return s.parts
}

// readsQuery tells whether a body says so little that the query is read instead.
func readsQuery(contentType string, body []byte) bool {
	return len(splitPlain(contentType, "", body)) == 0
}

type splitter struct {
	// plain: an object is a report, whatever it holds.
	plain  bool
	parts  []part
	errors int
}

// full reports whether nothing more is to be read.
func (s *splitter) full() bool { return len(s.parts) >= maxItems || s.errors >= maxErrors }

func (s *splitter) add(p part) {
	switch {
	case s.full():
		return
	case p.err != "":
		s.errors++
	case len(s.parts) == maxItems-1:
		p = part{err: fmt.Sprintf("more than %d reports: the rest is not read", maxItems-1)}
	}
	if s.errors == maxErrors {
		p.err += "; the rest is not read"
	}
	s.parts = append(s.parts, p)
}

func (s *splitter) fail(format string, args ...any) {
	s.add(part{err: fmt.Sprintf(format, args...)})
}

// document reads a body that begins like JSON: one value, or several, one
// after the other or one to a line. A bad line spoils only itself.
func (s *splitter) document(body []byte) {
	if s.value(body, 0) == nil {
		return
	}
	for at := 0; at < len(body) && !s.full(); {
		n, problem := firstValue(body[at:])
		if problem == "" {
			if err := s.value(body[at:at+n], 0); err != nil {
				problem = err.Error() // cannot happen: it was read
			}
		}
		if problem == "" {
			at += n
			at += len(body[at:]) - len(bytes.TrimLeft(body[at:], " \t\r\n,"))
			continue
		}
		s.fail("at byte %d: %s", at+n, problem)
		// Go on with the next line that could begin a report.
		for {
			end := bytes.IndexByte(body[at:], '\n')
			if end < 0 {
				return
			}
			at += end + 1
			at += len(body[at:]) - len(bytes.TrimLeft(body[at:], " \t"))
			if at < len(body) && (body[at] == '{' || body[at] == '[') {
				break
			}
		}
	}
}

// firstValue finds where the JSON value ends with which b begins. Of one that
// cannot be used it says where and why.
func firstValue(b []byte) (n int, problem string) {
	var raw json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&raw); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return int(syntax.Offset), err.Error()
		}
		return len(b), "the JSON ends in the middle"
	}
	n = int(dec.InputOffset())
	rest := bytes.TrimLeft(b[n:], " \t\r,")
	if len(rest) == 0 || strings.IndexByte("\n{[", rest[0]) >= 0 {
		return n, ""
	}
	return len(b) - len(rest), "there is something else after the JSON"
}

// value reads one JSON value: a report, a list of reports, or an envelope. The
// error is that of its syntax; other faults become parts.
func (s *splitter) value(raw []byte, wrapping int) error {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return errors.New("nothing there")
	}
	var list []json.RawMessage
	if raw[0] == '[' {
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
	} else if !json.Valid(raw) {
		return json.Unmarshal(raw, &list) // says what is wrong
	}
	switch {
	case wrapping == 0 && depth(raw) > maxDepth:
		s.fail("nested deeper than %d levels", maxDepth)
	case raw[0] == '[':
		for _, element := range list {
			if s.full() {
				break
			}
			if err := s.value(element, wrapping+1); err != nil {
				return err // cannot happen: the list was read
			}
		}
	case raw[0] == '{':
		s.object(members(raw), wrapping)
	default:
		s.fail("a report is expected to be an object, not %.20s", raw)
	}
	return nil
}

func (s *splitter) object(f fields, wrapping int) {
	switch {
	case len(f) == 0:
		return
	case len(f) > maxFields:
		s.fail("more than %d fields", maxFields)
		return
	}
	if !s.plain && wrapping <= maxWrapping && !f.hasMark() {
		for _, name := range envelopes {
			inside := f.wrapped(name)
			if inside == nil {
				continue
			}
			before := len(s.parts)
			if s.value(inside, wrapping+1) != nil {
				continue // text that only begins like JSON
			}
			for i := before; i < len(s.parts); i++ {
				s.parts[i].inherit(f)
			}
			return
		}
	}
	f.tidy()
	s.add(part{fields: f})
}

func (p *part) inherit(envelope fields) {
	if p.err != "" {
		return
	}
	for _, name := range inherited {
		// What is longer is no such word, and would be read and kept with each
		// of many reports.
		if _, has := p.fields[name]; !has && len(envelope[name]) > 0 && len(envelope[name]) <= maxText {
			p.fields[name] = envelope[name]
		}
	}
}

// form reads the fields of a form or query. The whole report may be JSON in
// one of them, or even in the name of one.
func (s *splitter) form(values []field) {
	f := make(fields, len(values))
	var texts []string
	for _, v := range values {
		if beginsLikeJSON(v.name) {
			// name=value of JSON that was sent as if it were a form.
			text := v.name
			if v.value != "" {
				text += "=" + v.value
			}
			texts = append(texts, text)
		} else if beginsLikeJSON(v.value) {
			texts = append(texts, strings.TrimLeft(v.value, "\ufeff"))
		}
		f[v.name] = quote(v.value) // of duplicates the last wins
	}
	if !s.plain && !f.hasMark() {
		for _, text := range texts {
			before := len(s.parts)
			if s.value([]byte(text), 0) == nil && len(s.parts) > before {
				return
			}
		}
	}
	if len(f) > 0 {
		s.object(f, maxWrapping+1)
	}
}

type field struct{ name, value string }

// parseQuery reads name=value pairs joined by &. Bad escapes stay as they
// came. A query that was appended behind another one with a second question
// mark, as CallerDesk does, is read as if it were one.
func parseQuery(query string) []field {
	var list []field
	for segment := range strings.SplitSeq(query, "&") {
		if first, second, found := strings.Cut(segment, "?"); found && !strings.Contains(first, ":") &&
			!strings.Contains(strings.ToLower(first), "%3a") && beginsField(second) {
			list = appendField(list, first)
			segment = second
		}
		list = appendField(list, segment)
		if len(list) > maxFields {
			break // told by object
		}
	}
	return list
}

// beginsField reports whether s begins with a plain name and an equals sign.
func beginsField(s string) bool {
	name, _, found := strings.Cut(s, "=")
	return found && name != "" && strings.Trim(name,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

func appendField(list []field, segment string) []field {
	if segment == "" {
		return list
	}
	name, value, _ := strings.Cut(segment, "=")
	return append(list, field{unescape(name), unescape(value)})
}

func unescape(s string) string {
	if strings.ContainsAny(s, "%+") {
		if plain, err := url.QueryUnescape(s); err == nil {
			s = plain
		}
	}
	if !utf8.ValidString(s) {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	return s
}

// looksLikeForm tells forms from prose and markup: a form begins with a field
// name and, unless it says that it is a form, is one line.
func looksLikeForm(contentType string, body []byte) bool {
	name, _, found := bytes.Cut(body, []byte("="))
	if !found || bytes.ContainsAny(name, " <\r\n") {
		return false
	}
	return !bytes.ContainsAny(body, "\r\n") ||
		strings.HasPrefix(strings.ToLower(contentType), "application/x-www-form-urlencoded")
}

func isMultipart(contentType string, body []byte) bool {
	return bytes.HasPrefix(body, []byte("--")) &&
		(strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "multipart/") ||
			bytes.Contains(body, []byte("\nContent-Disposition:")))
}

// multipart reads multipart/form-data. The boundary is that of the content
// type or, where that does not tell, of the body's first line.
func (s *splitter) multipart(contentType string, body []byte) {
	_, params, err := mime.ParseMediaType(contentType)
	boundary := params["boundary"]
	if err != nil || boundary == "" {
		line, _, _ := bytes.Cut(body, []byte("\n"))
		boundary = strings.TrimPrefix(strings.TrimSpace(string(line)), "--")
	}
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	var values []field
	for len(values) <= maxFields {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		var value []byte
		if err == nil {
			// Bounded by the body.
			value, err = io.ReadAll(p)
		}
		if err != nil {
			s.form(values)
			s.fail("multipart: %v", err)
			return
		}
		values = append(values, field{
			strings.ToValidUTF8(p.FormName(), "\ufffd"),
			strings.TrimSpace(strings.ToValidUTF8(string(value), "\ufffd")),
		})
	}
	s.form(values)
}

func beginsLikeJSON(s string) bool {
	s = strings.TrimLeft(s, " \t\r\n\ufeff")
	return s != "" && (s[0] == '{' || s[0] == '[')
}

// depth is how deep arrays and objects are nested in JSON. Of a text that is
// none it may be anything.
func depth(b []byte) int {
	deepest, level, inString := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString:
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}
