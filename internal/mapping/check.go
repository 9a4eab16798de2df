package mapping

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
)

// Report is told of each fault: the key's path within the mapping and what is
// wrong with it.
type Report func(key, message string)

// Check reports all that is wrong with the mapping, beside what reading it
// from YAML has found already.
func (m *Mapping) Check(report Report) {
	c := checker{report}
	m.Fields.check(c)
	c.oneOf("otherwise", string(m.Otherwise), "", string(Call), string(Ignored))
	for i, e := range m.Events {
		at := fmt.Sprintf("events[%d]", i)
		c.oneOf(at+".is", string(e.Is), string(Call), string(Live), string(RecordingReady), string(Ignored))
		if len(e.When) == 0 {
			c.fault(at+".when", "must be given; for all reports there is otherwise")
		}
		c.conditions(at+".when", e.When)
	}
	if d := m.Direction; d != nil {
		c.source("direction.from", d.From)
		c.words("direction", map[string]Words{"inbound": d.Inbound, "outbound": d.Outbound, "neither": d.Neither})
		c.oneOf("direction.otherwise", string(d.Otherwise), "", string(call.Inbound), string(call.Outbound))
	}
	if o := m.Outcome; o != nil {
		c.source("outcome.from", o.From)
		lists := make(map[string]Words)
		allowed := []string{""}
		for _, l := range o.lists() {
			lists[string(l.outcome)] = l.words
			allowed = append(allowed, string(l.outcome))
		}
		c.words("outcome", lists)
		c.oneOf("outcome.otherwise", string(o.Otherwise), allowed...)
	}
	if s := m.LiveState; s != nil {
		c.source("live_state.from", s.From)
		c.words("live_state", map[string]Words{"ringing": s.Ringing, "answered": s.Answered, "hangup": s.Hangup})
	}
	if s := m.HangupBy; s != nil {
		c.source("hangup_by.from", s.From)
		c.words("hangup_by", map[string]Words{"agent": s.Agent, "customer": s.Customer})
	}
	m.Times.check(c)
	for i := range m.Recordings {
		m.Recordings[i].check(c, fmt.Sprintf("recordings[%d]", i))
	}
	if m.Signature != nil {
		m.Signature.check(c)
	}
}

type checker struct{ report Report }

func (c checker) fault(key, format string, args ...any) { c.report(key, fmt.Sprintf(format, args...)) }

// oneOf lets through the values; an empty one among them says that none need
// be given.
func (c checker) oneOf(key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	names := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
	if value == "" {
		c.fault(key, "must be given: one of %s", strings.Join(names, ", "))
		return
	}
	c.fault(key, "%.60q must be one of %s", value, strings.Join(names, ", "))
}

func (f *Fields) check(c checker) {
	if f.CallID.IsZero() {
		c.fault("fields.call_id", "must be given: without it nothing can be joined to a call")
	}
	if f.CallID.Value != "" {
		c.fault("fields.call_id.value", "would make one call of all")
	}
	v := reflect.ValueOf(*f)
	for i := range v.NumField() {
		if field, ok := reflect.TypeAssert[Field](v.Field(i)); ok {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			c.unit("fields."+name, field, strings.HasSuffix(name, "_seconds"))
		}
	}
}

// source checks where a word stands, which must be given.
func (c checker) source(key string, f Field) {
	if f.IsZero() {
		c.fault(key, "must be given")
	}
	c.unit(key, f, false)
}

func (c checker) unit(key string, f Field, duration bool) {
	if f.Unit != "" && !duration {
		c.fault(key+".unit", "is for durations only")
		return
	}
	c.oneOf(key+".unit", string(f.Unit), "", string(Seconds), string(Minutes), string(Milliseconds))
}

func (c checker) conditions(key string, list Conditions) {
	for i, condition := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if len(condition.Field) == 0 {
			c.fault(at+".field", "must be given")
		}
		given := 0
		for _, is := range []bool{len(condition.In) > 0, len(condition.NotIn) > 0, condition.Present != nil} {
			if is {
				given++
			}
		}
		if given != 1 {
			c.fault(at, "must have one of in, not_in and present")
		}
	}
}

// words checks that lists of words say something, and none two things.
func (c checker) words(key string, lists map[string]Words) {
	seen := make(map[string]string)
	for _, name := range sortedKeys(lists) {
		for i, word := range lists[name] {
			at := fmt.Sprintf("%s.%s[%d]", key, name, i)
			folded := strings.ToLower(word)
			switch other, taken := seen[folded]; {
			case strings.TrimSpace(word) == "":
				c.fault(at, "must not be empty")
			case taken:
				c.fault(at, "%.60q is already one of %s", word, other)
			default:
				seen[folded] = name
			}
		}
	}
	if len(seen) == 0 {
		c.fault(key, "must have words for at least one of %s", strings.Join(sortedKeys(lists), ", "))
	}
}

func sortedKeys(lists map[string]Words) []string {
	var names []string
	for name := range lists {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (t *Times) check(c checker) {
	for i, format := range t.Formats {
		if format == Auto || format == Unix || format == UnixMS {
			continue
		}
		// A moment of which no two parts are alike tells what a layout leaves out.
		moment := time.Date(2021, 3, 4, 17, 6, 7, 0, time.UTC)
		back, err := time.Parse(format, moment.Format(format))
		if err != nil || back.Truncate(time.Minute).Compare(moment.Truncate(time.Minute)) != 0 {
			c.fault(fmt.Sprintf("times.formats[%d]", i), "%.60q is neither auto, unix, unix_ms nor a layout that "+
				"writes 2 January 2006, 15:04:05 with its date, hour and minute", format)
		}
	}
	if t.Zone == "" {
		return
	}
	if _, err := time.LoadLocation(t.Zone); err != nil || t.Zone == "Local" {
		c.fault("times.zone", "%.60q is not a time zone such as Asia/Kolkata or UTC", t.Zone)
	}
}

func (r *Recording) check(c checker, key string) {
	if len(r.URL) == 0 {
		c.fault(key+".url", "must be given")
	}
	for i, p := range r.URL {
		if !p.IsTemplate() {
			continue
		}
		if wrong := p.urlFault(); wrong != "" {
			c.fault(fmt.Sprintf("%s.url[%d]", key, i), "%s", wrong)
		}
	}
	c.conditions(key+".when", r.When)
	c.conditions(key+".voicemail_when", r.VoicemailWhen)
	c.unit(key+".started_at", r.StartedAt, false)
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (s *Signature) check(c checker) {
	c.oneOf("signature.scheme", string(s.Scheme), "", string(HMAC), string(Twilio), string(PlivoV3))
	if s.NeedsURL() {
		for key, value := range map[string]string{"header": s.Header, "hash": s.Hash, "encoding": s.Encoding,
			"prefix": s.Prefix, "signed": s.Signed, "timestamp_header": s.TimestampHeader, "timestamp_prefix": s.TimestampPrefix} {
			if value != "" {
				c.fault("signature."+key, "is laid down by the scheme")
			}
		}
		return
	}
	if !headerName.MatchString(s.Header) {
		c.fault("signature.header", "must be the name of a header")
	}
	c.oneOf("signature.hash", s.Hash, "", "sha1", "sha256", "sha512")
	c.oneOf("signature.encoding", s.Encoding, "", "hex", "base64")
	timed := strings.Contains(s.Signed, "{timestamp}")
	switch {
	case s.Signed != "" && strings.Count(s.Signed, "{body}") != 1:
		c.fault("signature.signed", "must hold {body}, once")
	case timed && s.TimestampHeader == "":
		c.fault("signature.timestamp_header", "must be given, for {timestamp} is signed")
	case !timed && s.TimestampHeader != "":
		c.fault("signature.signed", `must hold {timestamp}, as in "{timestamp}.{body}": what is not signed proves nothing`)
	case s.TimestampHeader != "" && !headerName.MatchString(s.TimestampHeader):
		c.fault("signature.timestamp_header", "must be the name of a header")
	}
	switch {
	case s.TimestampPrefix != "" && s.TimestampHeader == "":
		c.fault("signature.timestamp_prefix", "must be given with timestamp_header")
	case s.TimestampPrefix == "" && s.TimestampHeader != "" && strings.EqualFold(s.TimestampHeader, s.Header):
		c.fault("signature.timestamp_prefix", "must be given, to tell the moment from the signature in the same header")
	}
	switch {
	case s.Window != 0 && s.TimestampHeader == "":
		c.fault("signature.window", "must be given with timestamp_header")
	case s.Window != 0 && (s.Window < time.Second || s.Window > 24*time.Hour):
		c.fault("signature.window", "must be between 1s and 24h")
	}
}
