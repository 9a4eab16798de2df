package webhook

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"callvault/internal/call"
)

// The lists that providers have. What a list implies is not said by its rows,
// so its name is kept with them.
const (
	listCalls       = "call_list_v2" // CallerDesk's
	listAnswered    = "answered"     // TeleCMI's
	listMissed      = "missed"
	listOutAnswered = "out_answered"
	listOutMissed   = "out_missed"
	listVoicemail   = "voicemail"
)

// listParameter names the list in the query of a kept row.
const listParameter = "list"

// envelope is a kept row: as it was sent, within the field that the provider
// has it in. A row of TeleCMI's missed calls may have that of its voicemail
// beside it.
type envelope struct {
	Result    []json.RawMessage `json:"result"`
	CDR       []json.RawMessage `json:"cdr"`
	Voicemail []json.RawMessage `json:"voicemail"`
}

// body is the envelope as JSON, with the rows byte by byte as they came.
func (e envelope) body() []byte {
	var members [][]byte
	for _, m := range []struct {
		name string
		rows []json.RawMessage
	}{{"result", e.Result}, {"cdr", e.CDR}, {"voicemail", e.Voicemail}} {
		for _, row := range m.rows {
			members = append(members, slices.Concat([]byte(`"`+m.name+`":[`), row, []byte("]")))
		}
	}
	return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}"))
}

// readListed reads a row of a provider's call list.
func readListed(a *account, del *call.Delivery) call.Item {
	query, err := url.ParseQuery(del.Query)
	if err != nil {
		return unreadable("the list's name cannot be read")
	}
	var e envelope
	if err := json.Unmarshal(bytes.ToValidUTF8(del.Body, []byte("\ufffd")), &e); err != nil {
		return unreadable("a row of a call list that is not JSON: %v", err)
	}
	list := query.Get(listParameter)
	rows := e.CDR
	switch {
	case a.Provider == call.CallerDesk:
		rows = e.Result
	case list == listVoicemail:
		rows = e.Voicemail
	}
	if len(rows) != 1 {
		return unreadable("%d rows of a call list instead of one", len(rows))
	}
	f, problem := rowFields(rows[0])
	if problem == "" && list == listMissed && len(e.Voicemail) == 1 {
		var v fields
		if v, problem = rowFields(e.Voicemail[0]); problem == "" && !f.has("voicename") && v.has("voicename") {
			f["voicename"] = v["voicename"]
		}
	}
	switch {
	case problem != "":
		return unreadable("%s", problem)
	case a.Provider == call.CallerDesk && list == listCalls:
		return listedCallerDesk(a, f)
	case a.Provider == call.TeleCMI:
		return listedTeleCMI(a, list, f)
	}
	return unreadable("%s has no list %q", a.Provider, shorten(list))
}

func rowFields(raw []byte) (f fields, problem string) {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) == 0 || raw[0] != '{' || !json.Valid(raw):
		return nil, "a row of a call list that is no object"
	case depth(raw) > maxDepth:
		return nil, "a row of a call list that is nested too deep"
	}
	if f = members(raw); len(f) > maxFields {
		return nil, "a row of a call list with too many fields"
	}
	f.tidy()
	return f, ""
}

// listedCallerDesk reads a row of call_list_v2. Unlike in reports, the
// customer is caller_num in both directions.
func listedCallerDesk(a *account, f fields) call.Item {
	sid := f.key("sid_id", "CallSid")
	if sid == "" {
		return unreadable("a row without sid_id")
	}
	l := &call.Leg{
		Account:        a.Name,
		Provider:       call.CallerDesk,
		Listed:         true,
		Key:            call.ListedKey(sid),
		Direction:      callerDeskDirection(f),
		CustomerNumber: a.phones.normalize(f.text("caller_num")),
		BusinessNumber: a.phones.normalize(f.text("deskphone")),
		Agent:          call.Agent{Name: f.word("member_name"), Number: a.phones.normalize(f.text("member_num"))},
		Group:          f.word("group_name"),
		StartedAt:      f.moment(a.Zone, "startdatetime", "call_date"),
		RangAt:         f.moment(a.Zone, "LegB_Start_time"),
		AnsweredAt:     f.moment(a.Zone, "LegB_Picked_time"),
		EndedAt:        f.moment(a.Zone, "enddatetime"),
		TalkSeconds:    f.seconds("talk_duration"),
		TotalSeconds:   f.seconds("total_duration"),
		Cost:           shorten(f.text("coin_deducted")),
		Recordings:     callerDeskRecordings(f.text("file")),
		Attributes:     call.Attributes(f),
	}
	l.HangupCause, l.HangupBy = callerDeskHangup(f, "callstatus", "callresult")
	// Of the two words the one that is understood.
	known := false
	for _, name := range [...]string{"callstatus", "callresult"} {
		word := shorten(f.text(name))
		if word == "" || known {
			continue
		}
		l.Status = word
		l.Outcome, known = call.CallerDeskOutcome(word, l.HangupCause, l.Direction)
	}
	l.AddKey(call.KeyCall, sid)
	return call.Item{Leg: l}
}

// listedTeleCMI reads a row of one of TeleCMI's lists.
func listedTeleCMI(a *account, list string, f fields) call.Item {
	l := &call.Leg{
		Account:    a.Name,
		Provider:   call.TeleCMI,
		Listed:     true,
		Direction:  call.Inbound,
		Attributes: call.Attributes(f), // `rate` too: of a call or of a minute
	}
	id := f.key("cmiuid", "cmiuuid", "_id")
	at := f.moment(a.Zone, "time")
	switch list {
	case listAnswered, listOutAnswered:
		l.Outcome, l.Status, l.AnsweredAt = call.Answered, "answered", at
		// `duration` is the reports' answeredsec; billedsec may be rounded up.
		l.TalkSeconds = f.seconds("duration", "billedsec")
	case listMissed, listOutMissed:
		l.Outcome, l.Status, l.StartedAt = call.Missed, "missed", at
	case listVoicemail:
		l.Outcome, l.Status, l.StartedAt = call.Missed, "missed", at
		id = f.key("voicename")
	default:
		return unreadable("TeleCMI has no list %q", shorten(list))
	}
	if id == "" {
		return unreadable("a row without cmiuid")
	}
	l.Key = call.ListedKey(id)
	l.Agent.ID = cutAppID(a, f, f.word("agent", "user"))
	l.LeftVoicemail = isVoiceName(f.text("voicename"))
	from, to := a.phones.normalize(f.text("from")), a.phones.normalize(f.text("to"))
	switch list {
	case listOutAnswered, listOutMissed:
		l.Direction, l.CustomerNumber = call.Outbound, to
		// `from` is the agent or the number that was shown.
		if user := f.word("from"); l.Agent.ID == "" && cutAppID(a, f, user) != user {
			l.Agent.ID = cutAppID(a, f, user)
		}
	default:
		l.CustomerNumber = from
		// Whether `to` of an answered row is the agent or the number that was
		// called is not documented.
		if list == listMissed {
			l.BusinessNumber = to
		}
	}
	l.AddKey(call.KeyOther, id)
	nameRecordings(l, f)
	return call.Item{Leg: l}
}

// isNoRecords reports whether an error of CallerDesk's only says that the list
// is empty. Its words are not documented.
func isNoRecords(message string) bool {
	m := strings.ToLower(message)
	if strings.Contains(m, "auth") {
		return false
	}
	for _, words := range [...]string{"no record", "no data", "no call", "no result", "no member", "not found", "empty"} {
		if strings.Contains(m, words) {
			return true
		}
	}
	return false
}
