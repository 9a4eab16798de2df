package webhook

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/mapping"
)

// This file finds the values of a mapped report's facts, and reads them.

// find is a fact of the report and where it stands.
func (r *mappedReport) find(f mapping.Field) (value, from string) {
	var paths mapping.Paths
	switch {
	case r.direction == call.Inbound:
		paths = f.Inbound
	case r.direction == call.Outbound:
		paths = f.Outbound
	case r.neither:
		paths = f.Neither
	}
	if value, from = r.first(paths); value != "" {
		return value, from
	}
	if value, from = r.first(f.From); value != "" {
		return value, from
	}
	return f.Value, ""
}

// paths are all that a fact may stand at, for people.
func (r *mappedReport) paths(f mapping.Field) string {
	return slices.Concat(f.Inbound, f.Outbound, f.Neither, f.From).String()
}

// first is the first of the paths that says something.
func (r *mappedReport) first(paths mapping.Paths) (value, from string) {
	for _, p := range paths {
		if value = r.lookup(p); value != "" {
			return value, p.String()
		}
	}
	return "", ""
}

// lookup is what stands at a path, or empty if that says nothing.
func (r *mappedReport) lookup(p mapping.Path) string {
	var value string
	switch {
	case p.IsTemplate():
		value = clean(p.Expand(r.lookup))
	case p.IsQuery():
		if !r.queryRead {
			r.query, r.queryRead = parseQuery(r.delivery.Query), true
		}
		for _, q := range r.query {
			if q.name == p.Tokens()[0] {
				value = clean(q.value)
			}
		}
	default:
		value = plainText(r.reach(p))
		if r.read != nil && value != "" {
			r.read(p.Pointer())
		}
	}
	if value == "" || nothing(value) && value != "0" ||
		slices.ContainsFunc(r.Nothing, func(word string) bool { return strings.EqualFold(word, value) }) {
		return ""
	}
	return value
}

func (r *mappedReport) word(name string, f mapping.Field) string {
	value, from := r.find(f)
	r.tell(name, value, from)
	return shorten(value)
}

// key is an identifier; one that is too long is none.
func (r *mappedReport) key(name string, f mapping.Field) string {
	id, from := r.find(f)
	if id == "0" {
		return ""
	}
	if len(id) > maxKey {
		r.tell(name, "(too long)", from)
		return ""
	}
	r.tell(name, id, from)
	return id
}

func (r *mappedReport) phone(name string, f mapping.Field) string {
	value, from := r.find(f)
	number := r.account.phones.normalize(value)
	r.tellRead(name, number, value, from)
	return number
}

func (r *mappedReport) moment(name string, f mapping.Field) time.Time {
	value, from := r.find(f)
	formats := r.Times.Formats
	if len(formats) == 0 {
		formats = mapping.Formats{mapping.Auto}
	}
	for _, format := range formats {
		if t := parseTimeAs(format, value, r.zone); !t.IsZero() {
			r.tell(name, t.Format(time.RFC3339), from)
			return t
		}
	}
	r.tellRead(name, "", value, from)
	return time.Time{}
}

func (r *mappedReport) seconds(name string, f mapping.Field) *int {
	value, from := r.find(f)
	n, ok := parseDuration(value, f.Unit)
	if !ok {
		r.tellRead(name, "", value, from)
		return nil
	}
	r.tell(name, strconv.Itoa(n), from)
	return &n
}

// tellRead says what was read of a value, if anything.
func (r *mappedReport) tellRead(name, read, value, from string) {
	if read == "" && value != "" {
		read = "(cannot be read: " + shorten(value) + ")"
	}
	r.tell(name, read, from)
}

// parseTimeAs reads a time of one format. What is not between 2000 and 2100 is
// no time of a call.
func parseTimeAs(format, s string, zone *time.Location) time.Time {
	var t time.Time
	switch format {
	case mapping.Auto:
		return parseTime(s, zone)
	case mapping.Unix, mapping.UnixMS:
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(math.Abs(n) < 1e15) {
			return time.Time{}
		}
		if format == mapping.Unix {
			n *= 1000
		}
		t = time.UnixMilli(int64(math.Round(n)))
	default:
		if zone == nil {
			zone = time.UTC
		}
		var err error
		if t, err = time.ParseInLocation(format, s, zone); err != nil {
			return time.Time{}
		}
	}
	if t = t.UTC().Truncate(time.Millisecond); t.Year() < 2000 || t.Year() >= 2100 {
		return time.Time{}
	}
	return t
}

// parseDuration reads hh:mm:ss, mm:ss or a number of units.
func parseDuration(s string, unit mapping.Unit) (seconds int, ok bool) {
	if strings.Count(s, ":") == 1 {
		s = "00:" + s
	}
	if strings.Contains(s, ":") {
		return parseSeconds(s)
	}
	n, err := strconv.ParseFloat(s, 64)
	switch unit {
	case mapping.Minutes:
		n *= 60
	case mapping.Milliseconds:
		n /= 1000
	}
	return int(n), err == nil && n >= 0 && n <= maxSeconds
}
