package call

import (
	"encoding/json"
	"strings"
)

// Redactor takes one person's number out of what is known of calls.
//
// A number is recognized as a run of digits that is all of the number, or the
// end of it with at least minRun digits, with any zeros before: so with country
// code, without it, and with a trunk or international prefix. What stands with
// blanks or dashes inside, or grown together with other digits, is not.
type Redactor struct {
	digits string // of the number with its country code
	// token stands for an identifier that holds the number; the same for the
	// same.
	token func(string) string
}

// minRun is how many digits at least are taken for the end of a number.
const minRun = 8

// NewRedactor makes a Redactor for a number in E.164, or of whatever digits it
// has. token makes of an identifier what stands in its place.
func NewRedactor(number string, token func(string) string) *Redactor {
	return &Redactor{onlyDigits(number), token}
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// IsNumber reports whether a run of digits is the number.
func (r *Redactor) IsNumber(run string) bool {
	run = strings.TrimLeft(onlyDigits(run), "0")
	whole := strings.TrimLeft(r.digits, "0")
	return run != "" && (run == whole || len(run) >= minRun && strings.HasSuffix(whole, run))
}

// Holds reports whether the number stands in a text.
func (r *Redactor) Holds(text string) bool {
	found := false
	r.each(text, func(int, int) { found = true })
	return found
}

// IsNamed reports whether a person would read the number in a text, also where
// blanks or dashes stand between its digits, or others beside them: for texts
// that are kept and must not name it.
func (r *Redactor) IsNamed(text string) bool {
	whole := strings.TrimLeft(r.digits, "0")
	return whole != "" && strings.Contains(onlyDigits(text), whole[max(0, len(whole)-minRun):])
}

// each calls f with the bounds of each run of digits that is the number.
func (r *Redactor) each(text string, f func(from, to int)) {
	for i := 0; i < len(text); {
		if text[i] < '0' || text[i] > '9' {
			i++
			continue
		}
		from := i
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			i++
		}
		switch {
		case r.IsNumber(text[from:i]):
			f(from, i)
		case i-from > 2 && from > 0 && text[from-1] == '%' && r.IsNumber(text[from+2:i]):
			f(from+2, i) // after %20, which is a blank
		}
	}
}

// Text is the text with an x for each digit of the number. Where that would make
// JSON of it no JSON any more, because the number stands there as one, it has a
// 1 instead.
func (r *Redactor) Text(text string) string {
	with := func(filler string) string {
		var b strings.Builder
		last := 0
		r.each(text, func(from, to int) {
			b.WriteString(text[last:from])
			b.WriteString(strings.Repeat(filler, to-from))
			last = to
		})
		b.WriteString(text[last:])
		return b.String()
	}
	redacted := with("x")
	if redacted != text && json.Valid([]byte(text)) && !json.Valid([]byte(redacted)) {
		return with("1")
	}
	return redacted
}

// ID is the identifier, or what stands in its place if it holds the number.
func (r *Redactor) ID(id string) string {
	if !r.Holds(id) {
		return id
	}
	return r.token(id)
}

// Leg takes the number out of a leg for good: Erased is set, and no report tells
// the leg anything from then on.
func (r *Redactor) Leg(l *Leg) {
	l.Erased = true
	l.Key = r.ID(l.Key)
	if l.Joined.Value != "" {
		l.Joined.Value = r.ID(l.Joined.Value)
	}
	keys := l.Keys
	l.Keys = nil
	for _, k := range keys {
		l.AddKey(k.Kind, r.ID(k.Value))
	}
	l.CustomerNumber = ""
	for _, text := range []*string{&l.Status, &l.BusinessNumber, &l.Agent.ID, &l.Agent.Name, &l.Agent.Number, &l.Group, &l.Campaign, &l.HangupCause} {
		*text = r.Text(*text)
	}
	// Where the audio lay leads to it.
	l.Recordings = nil
	attributes := Attributes{}
	for name, value := range l.Attributes {
		if !r.Holds(string(value)) && !r.Holds(name) {
			attributes[name] = value
		}
	}
	l.Attributes = attributes
}
