package mapping

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Paths are tried in order: the first that says something counts.
type Paths []Path

// OneOrMore lets a single one stand without brackets.
func (Paths) OneOrMore() {}

// String lists them for people.
func (p Paths) String() string {
	names := make([]string, len(p))
	for i := range p {
		names[i] = p[i].text
	}
	return strings.Join(names, ", ")
}

// Path says where a value stands. It is one of
//
//   - /a/0/b, a JSON pointer (RFC 6901): into the JSON of the body, into a
//     form or, where there is no body, into the query; and on into the JSON
//     text that a field may hold;
//   - a, short for /a;
//   - ?a, a parameter of the query, whether there is a body or not;
//   - text with any of these in braces, as "{date} {time}": the text with
//     their values, or nothing if one says nothing.
type Path struct {
	text  string
	query bool
	// tokens are the pointer's; of a query parameter its name.
	tokens []string
	// parts are the template's; nil if it is none.
	parts []part
}

// part is a literal or, if path is given, a placeholder.
type part struct {
	literal string
	path    *Path
}

// maxTokens bounds how deep a pointer reaches.
const maxTokens = 32

// ParsePath reads a path.
func ParsePath(text string) (Path, error) {
	var p Path
	err := p.UnmarshalText([]byte(text))
	return p, err
}

// UnmarshalText reads a path.
func (p *Path) UnmarshalText(text []byte) error {
	s := string(text)
	*p = Path{text: s}
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("a path must not be empty")
	case strings.ContainsAny(s, "{}"):
		return p.parseTemplate(s)
	case s[0] == '?':
		p.query, p.tokens = true, []string{s[1:]}
		if s == "?" {
			return errors.New("? must be followed by a parameter's name")
		}
		return nil
	case s[0] != '/':
		p.tokens = []string{s}
		return nil
	}
	for token := range strings.SplitSeq(s[1:], "/") {
		plain := strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		if strings.Count(token, "~") != strings.Count(token, "~0")+strings.Count(token, "~1") {
			return fmt.Errorf("%q is not a JSON pointer: ~ is written ~0, / in a name ~1", s)
		}
		p.tokens = append(p.tokens, plain)
	}
	if len(p.tokens) > maxTokens {
		return fmt.Errorf("reaches deeper than %d levels", maxTokens)
	}
	return nil
}

func (p *Path) parseTemplate(s string) error {
	wrong := fmt.Errorf("%q: each { must be closed by a } and hold a path", s)
	for rest := s; rest != ""; {
		literal, after, opened := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return wrong
		}
		if literal != "" {
			p.parts = append(p.parts, part{literal: literal})
		}
		if !opened {
			break
		}
		inner, after, closed := strings.Cut(after, "}")
		if !closed || strings.Contains(inner, "{") {
			return wrong
		}
		placeholder, err := ParsePath(inner)
		if err != nil {
			return wrong
		}
		p.parts = append(p.parts, part{path: &placeholder})
		rest = after
	}
	return nil
}

// String is the path as it was written.
func (p Path) String() string { return p.text }

// MarshalText writes the path as it is read.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// IsTemplate tells whether the path is a text with placeholders.
func (p Path) IsTemplate() bool { return p.parts != nil }

// IsQuery tells whether the path is a parameter of the query, by the name that
// is its only token.
func (p Path) IsQuery() bool { return p.query }

// Tokens are the names and indexes on the way; none for a template.
func (p Path) Tokens() []string { return p.tokens }

// Pointer is the path as a JSON pointer; empty for a template.
func (p Path) Pointer() string {
	var b strings.Builder
	for _, token := range p.tokens {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

// Expand puts values into a template; "" if find finds none for one of them.
func (p Path) Expand(find func(Path) string) string {
	return p.expand(find, func(_, value string) string { return value })
}

// ExpandURL puts values into a template that is a URL, escaped, so that none can
// lead elsewhere: not out of its segment of the path, nor out of its parameter.
func (p Path) ExpandURL(find func(Path) string) string {
	return p.expand(find, func(before, value string) string {
		if strings.Contains(before, "?") {
			return url.QueryEscape(value)
		}
		if value == "." || value == ".." {
			return "" // would be taken for a step in the path
		}
		return url.PathEscape(value)
	})
}

func (p Path) expand(find func(Path) string, escape func(before, value string) string) string {
	var b strings.Builder
	for _, part := range p.parts {
		if part.path == nil {
			b.WriteString(part.literal)
			continue
		}
		value := find(*part.path)
		if value != "" {
			value = escape(b.String(), value)
		}
		if value == "" {
			return ""
		}
		b.WriteString(value)
	}
	return b.String()
}

// urlFault says what is wrong with a template that is to be a URL, or nothing.
func (p Path) urlFault() string {
	start := p.parts[0].literal
	u, err := url.Parse(start)
	if p.parts[0].path != nil || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path == "" {
		return "must begin with https:// and a whole host: only what follows may be taken from a report"
	}
	if u.User != nil {
		return "must not hold a user name or password; they are the account's recording_user and recording_password"
	}
	var filled strings.Builder
	for _, part := range p.parts {
		filled.WriteString(part.literal)
	}
	_, query, _ := strings.Cut(filled.String(), "?")
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); value != "" && isCredential(strings.ToLower(name)) {
			return name + " looks like a secret, which would be kept with the recording; it belongs into the " +
				"account's recording_query"
		}
	}
	return ""
}

func isCredential(name string) bool {
	for _, word := range []string{"key", "token", "secret", "password", "passwd", "pwd", "auth"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
