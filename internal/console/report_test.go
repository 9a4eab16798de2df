package console_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"callvault/internal/call"
)

// TestFailedRunInOneLine bounds what is shown of why a report failed.
func TestFailedRunInOneLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for said, want := range map[string]string{
		"no room": "no room",
		" one\r\n\ttwo \x00\x1b[31m\u0085three\n": "one two [31m three",
		"bad \xff byte":          "bad \ufffd byte",
		strings.Repeat("é", 300): strings.Repeat("é", 300),
		strings.Repeat("é", 301): strings.Repeat("é", 299) + "…",
	} {
		h.store.runs = []call.Run{{ID: "run-0", Report: "daily", State: call.RunFailed, Error: said}}
		r := h.get(t, "/api/v1/reports", viewer).json(t)
		got := in[string](t, r, "runs", 0, "error")
		if got != want || utf8.RuneCountInString(got) > 300 {
			t.Errorf("%.40q is shown as %q, want %q", said, got, want)
		}
	}
}
