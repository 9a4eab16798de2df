package call

import "strings"

// CSVText keeps a text in a CSV file from being read as a formula by a
// spreadsheet: if it begins with = + - @, tab or CR it gets an apostrophe, but
// for a phone number (+ and digits), which must keep its +.
func CSVText(s string) string {
	if s == "" || !strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return s
	}
	if s[0] == '+' && len(s) > 1 && strings.Trim(s[1:], "0123456789") == "" {
		return s
	}
	return "'" + s
}
