package reports

import (
	"cmp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/bidi"
)

// longestName is how much of a name a mail shows, in characters: an account's
// reports decide what agents are called.
const longestName = 80

// oneLine keeps a text from a report on one line, and its direction to itself:
// a line break could end a header or make up a line of the mail, and a mark of
// direction turn round what follows.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) && !isImplicitMark(r) {
			return -1
		}
		return r
	}, validText(s))
	return cmp.Or(strings.Join(strings.Fields(s), " "), "–")
}

// isImplicitMark reports whether r is a mark that only stands for a letter of
// its direction, as names in right-to-left scripts may need (LRM, RLM, ALM).
func isImplicitMark(r rune) bool { return r == '\u200E' || r == '\u200F' || r == '\u061C' }

// nameOf is a name as a mail shows it.
func nameOf(s string) string {
	s = oneLine(s)
	if runes := []rune(s); len(runes) > longestName {
		return string(runes[:longestName-1]) + "…"
	}
	return s
}

// isolate puts a name that is written from right to left, or may be, between
// marks that keep its direction from what stands beside it (UAX 9, FSI and PDI).
// Others stay as they are: not every mail reader knows the marks.
func isolate(name string) string {
	for _, r := range name {
		properties, _ := bidi.LookupRune(r)
		switch properties.Class() {
		case bidi.R, bidi.AL, bidi.AN:
			return "\u2068" + name + "\u2069"
		default:
		}
	}
	return name
}
