package reports

import (
	"bytes"
	"encoding/json"

	"callvault/internal/call"
)

// rowDecoder reads the lines of calls of a frozen input. It knows just the JSON
// that row's encoding gives, and leaves every line that is in any way different
// to encoding/json, which takes eight times as long: reading a day of a million
// calls again, once for the measures and once for the sheet, would otherwise be
// most of a report's work.
type rowDecoder struct {
	line []byte
	at   int
	// strange is set when the line is not as expected.
	strange bool
	// ints holds the durations of rows; words the texts that come again and
	// again.
	ints  []int
	words map[string]string
}

// maxWords bounds rowDecoder.words: accounts, agents, groups.
const maxWords = 10_000

// callLine is how a call's line begins.
var callLine = []byte(`{"call":`)

// decode reads a call's line into r, whose durations are in ints.
func (d *rowDecoder) decode(raw []byte, r *row) error {
	if d.words == nil {
		d.words = make(map[string]string)
	}
	d.line, d.at, d.strange = raw, len(callLine), false
	r.reset()
	d.row(r)
	if !d.strange && string(raw[d.at:]) == "}" {
		return nil
	}
	r.reset()
	return json.Unmarshal(raw, &line{Call: r})
}

func (d *rowDecoder) row(r *row) {
	d.object(func(key []byte) {
		switch string(key) {
		case "id":
			r.ID = d.text()
		case "account":
			r.Account = d.word()
		case "provider":
			r.Provider = call.Provider(d.word())
		case "key":
			r.Key = d.text()
		case "direction":
			r.Direction = call.Direction(d.word())
		case "outcome":
			r.Outcome = call.Outcome(d.word())
		case "status":
			r.Status = d.word()
		case "customer_number":
			r.CustomerNumber = d.text()
		case "business_number":
			r.BusinessNumber = d.word()
		case "agent":
			d.agent(&r.Agent)
		case "offers":
			r.Offers = r.Offers[:0]
			d.array(func() {
				r.Offers = append(r.Offers, call.Agent{})
				d.agent(&r.Offers[len(r.Offers)-1])
			})
		case "group":
			r.Group = d.word()
		case "campaign":
			r.Campaign = d.word()
		case "started_at":
			r.StartedAt = d.integer()
		case "answered_at":
			r.AnsweredAt = d.integer()
		case "ended_at":
			r.EndedAt = d.integer()
		case "wait_seconds":
			r.WaitSeconds = d.seconds()
		case "talk_seconds":
			r.TalkSeconds = d.seconds()
		case "total_seconds":
			r.TotalSeconds = d.seconds()
		case "hangup_cause":
			r.HangupCause = d.word()
		case "hangup_by":
			r.HangupBy = d.word()
		case "cost":
			r.Cost = d.word()
		case "legs_count":
			r.LegsCount = int(d.integer())
		case "recordings":
			r.Recordings = r.Recordings[:0]
			d.array(func() {
				r.Recordings = append(r.Recordings, recording{})
				d.recording(&r.Recordings[len(r.Recordings)-1])
			})
		default:
			d.strange = true
		}
	})
}

func (d *rowDecoder) agent(a *call.Agent) {
	d.object(func(key []byte) {
		switch string(key) {
		case "id":
			a.ID = d.word()
		case "name":
			a.Name = d.word()
		case "number":
			a.Number = d.word()
		case "known": // never written where it is not
			a.Known = d.yes()
		default:
			d.strange = true
		}
	})
}

func (d *rowDecoder) recording(r *recording) {
	d.object(func(key []byte) {
		switch string(key) {
		case "id":
			r.ID = d.text()
		case "kind":
			r.Kind = call.RecordingKind(d.word())
		case "state":
			r.State = call.RecordingState(d.word())
		case "reason":
			r.Reason = d.word()
		case "last_error":
			r.LastError = d.word()
		case "attempts":
			r.Attempts = int(d.integer())
		case "size":
			r.Size = d.integer()
		case "audio_seconds":
			r.AudioSeconds = d.seconds()
		case "truncated": // never written where it is not
			r.Truncated = d.yes()
		default:
			d.strange = true
		}
	})
}

// take reads one byte if it is next.
func (d *rowDecoder) take(b byte) bool {
	if d.at < len(d.line) && d.line[d.at] == b {
		d.at++
		return true
	}
	return false
}

// need reads one byte that must be next.
func (d *rowDecoder) need(b byte) {
	if !d.take(b) {
		d.strange = true
	}
}

// object reads an object; member reads the value of each key.
func (d *rowDecoder) object(member func(key []byte)) {
	d.need('{')
	for more := !d.take('}'); more && !d.strange; more = d.take(',') {
		key, _ := d.quoted()
		d.need(':')
		if !d.strange {
			member(key)
		}
		if d.take('}') {
			return
		}
		if d.at >= len(d.line) || d.line[d.at] != ',' {
			d.strange = true
		}
	}
}

// array reads an array; element reads each.
func (d *rowDecoder) array(element func()) {
	d.need('[')
	for more := !d.take(']'); more && !d.strange; more = d.take(',') {
		element()
		if d.take(']') {
			return
		}
		if d.at >= len(d.line) || d.line[d.at] != ',' {
			d.strange = true
		}
	}
}

// quoted reads a string: what stands between the quotes, and whether it has
// escapes.
func (d *rowDecoder) quoted() (content []byte, escaped bool) {
	d.need('"')
	from := d.at
	for d.at < len(d.line) {
		end := bytes.IndexByte(d.line[d.at:], '"')
		if end < 0 {
			break
		}
		if slash := bytes.IndexByte(d.line[d.at:d.at+end], '\\'); slash >= 0 {
			escaped = true
			d.at += slash + 2
			continue
		}
		d.at += end + 1
		return d.line[from : d.at-1], escaped
	}
	d.strange = true
	return nil, false
}

func (d *rowDecoder) text() string {
	content, escaped := d.quoted()
	if !escaped {
		return string(content)
	}
	var s string
	if err := json.Unmarshal(d.line[d.at-len(content)-2:d.at], &s); err != nil {
		d.strange = true
	}
	return s
}

// word is text that comes again and again, and is kept.
func (d *rowDecoder) word() string {
	from := d.at
	content, escaped := d.quoted()
	if escaped {
		d.at = from
		return d.text()
	}
	if s, ok := d.words[string(content)]; ok {
		return s
	}
	s := string(content)
	if len(d.words) < maxWords {
		d.words[s] = s
	}
	return s
}

func (d *rowDecoder) integer() int64 {
	negative := d.take('-')
	from, n := d.at, int64(0)
	for d.at < len(d.line) && d.line[d.at] >= '0' && d.line[d.at] <= '9' {
		n = 10*n + int64(d.line[d.at]-'0')
		d.at++
	}
	digits := d.at - from
	if digits == 0 || digits > 18 || digits > 1 && d.line[from] == '0' {
		d.strange = true
	}
	if negative {
		return -n
	}
	return n
}

// yes reads true.
func (d *rowDecoder) yes() bool {
	const word = "true"
	if !bytes.HasPrefix(d.line[d.at:], []byte(word)) {
		d.strange = true
		return false
	}
	d.at += len(word)
	return true
}

func (d *rowDecoder) seconds() *int {
	d.ints = append(d.ints, int(d.integer()))
	return &d.ints[len(d.ints)-1]
}
