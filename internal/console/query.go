package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// maxParameter bounds, in bytes, the value of one query parameter.
const maxParameter = 1000

// query reads the parameters of one request, each once. What is wrong with
// them is collected, so that the caller hears of everything at once.
type query struct {
	values url.Values
	known  []string
	zone   *time.Location
	faults []string
}

func (c *Console) query(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values, zone: c.zone}
	if err != nil {
		q.fault("the query is not well-formed")
	}
	return q
}

func (q *query) fault(format string, args ...any) {
	q.faults = append(q.faults, fmt.Sprintf(format, args...))
}

// err is what was wrong, also with parameters that nobody asked for: a typing
// error must not quietly find everything.
func (q *query) err() error {
	var unknown []string
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			unknown = append(unknown, strconv.Quote(shorten(name)))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		knows := "it takes none"
		if len(q.known) > 0 {
			knows = "it takes " + strings.Join(q.known, ", ")
		}
		q.fault("unknown parameter %s (%s)", strings.Join(unknown[:min(len(unknown), 10)], ", "), knows)
	}
	if len(q.faults) == 0 {
		return nil
	}
	return call.Errorf(call.Invalid, "%s", strings.Join(q.faults, "; "))
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// text is a parameter as it is, empty if it is not given.
func (q *query) text(name string) string {
	q.known = append(q.known, name)
	given := q.values[name]
	if len(given) == 0 {
		return ""
	}
	switch v := given[0]; {
	case len(given) > 1:
		q.fault("%s is given %d times", name, len(given))
	case len(v) > maxParameter:
		q.fault("%s is longer than %d bytes", name, maxParameter)
	case !printable(v):
		q.fault("%s is not plain text", name)
	default:
		return v
	}
	return ""
}

// printable reports whether s is text that any database takes.
func printable(s string) bool { return call.IsLine(s) }

// oneOf is a parameter that has only certain values.
func oneOf[T ~string](q *query, name string, allowed ...T) T {
	v := T(q.text(name))
	if v == "" || slices.Contains(allowed, v) {
		return v
	}
	q.fault("%s is none of %s", name, join(allowed))
	return ""
}

func join[T ~string](words []T) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, ", ")
}

// number is a whole number in [least, most], nil if it is not given.
func (q *query) number(name string, least, most int) *int {
	v := q.text(name)
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		q.fault("%s is not a whole number from %d to %d", name, least, most)
		return nil
	}
	return &n
}

// page is the size of a page and where it begins.
func (q *query) page() (limit int, cursor string) {
	limit = call.DefaultLimit
	if n := q.number("limit", 1, call.MaxLimit); n != nil {
		limit = *n
	}
	return limit, q.text("cursor")
}

// period is [from, to). A date alone means the whole day in the console's
// zone: from its beginning, to its end.
func (q *query) period() (from, to time.Time) {
	from, _ = q.moment("from")
	to, day := q.moment("to")
	if day {
		to = to.AddDate(0, 0, 1)
	}
	if !from.IsZero() && !to.IsZero() && from.After(to) {
		q.fault("from is after to")
	}
	return from, to
}

func (q *query) moment(name string) (t time.Time, day bool) {
	v := q.text(name)
	if v == "" {
		return time.Time{}, false
	}
	if t, err := time.ParseInLocation(time.DateOnly, v, q.zone); err == nil {
		return t, true
	}
	// A + that is not escaped arrives as a space.
	t, err := time.Parse(time.RFC3339, strings.Replace(v, " ", "+", 1))
	if err != nil {
		q.fault("%s is neither RFC 3339 (2026-11-21T07:00:00Z) nor a date (2026-11-21)", name)
	}
	return t, false
}
