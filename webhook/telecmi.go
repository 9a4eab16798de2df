package webhook

import (
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// readTeleCMI reads TeleCMI's call reports and live events, of the CHUB
// product, of its predecessor of 2019 and of PIOPIY (doc.telecmi.com). Both
// kinds may come on either hook.
func readTeleCMI(a *account, del *call.Delivery, f fields) call.Item {
	kind := strings.ToLower(f.text("type"))
	status := plainWord(f.text("status"))
	key := f.key("cmiuuid", "cmiuid", "cmuuid")
	switch {
	case kind == "" && f.has("action") && status == "":
		return ignored("a question where to route a call")
	case kind != "" && kind != "cdr" && kind != "event" && status == "" || isMessage(kind):
		return ignored("type " + shorten(kind) + ": about something else than a call")
	case key == "" && kind == "" && status == "" && (f.has("message", "text", "sms", "sender")):
		return ignored("a message, not a call")
	case key == "":
		return unreadable("a report without cmiuuid")
	case kind == "event" || kind != "cdr" && isLive(status, f):
		word := shorten(f.text("status"))
		return call.Item{Live: teleCMILive(a, del, f, key, status), Status: word,
			Sense: senseOf(word, teleCMIState(status) != call.LiveOther)}
	}
	l := teleCMILeg(a, f, key, status)
	return call.Item{Leg: l, Status: l.Status, Sense: senseOf(l.Status, l.Outcome != "")}
}

func isMessage(kind string) bool {
	return strings.Contains(kind, "sms") || strings.Contains(kind, "whatsapp") ||
		kind == "message"
}

// isLive tells events from reports where `type` does not: of a call that is
// not over there is nothing to tell but its state.
func isLive(status string, f fields) bool {
	switch status {
	case "waiting", "started", "ringing", "hangup", "bridged", "outbridged":
		return true
	case "answered", "inanswered", "outanswered":
		return !f.has("answeredsec", "billedsec", "duration", "hangup_reason", "filename", "record")
	}
	return false
}

// plainWord is a status word without case, spaces and hyphens.
func plainWord(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '_', '-':
			return -1
		}
		return r
	}, strings.ToLower(s))
}

func teleCMILeg(a *account, f fields, key, status string) *call.Leg {
	l := &call.Leg{
		Account:       a.Name,
		Provider:      call.TeleCMI,
		Key:           key,
		Side:          teleCMISide(f),
		Direction:     teleCMIDirection(f),
		Status:        shorten(f.text("status")),
		Outcome:       teleCMIOutcome(status),
		Group:         cutAppID(a, f, f.word("team")),
		StartedAt:     f.moment(a.Zone, "start_time"),
		EndedAt:       f.moment(a.Zone, "end_time"),
		WaitSeconds:   f.seconds("waitedsec"),
		TalkSeconds:   f.seconds("answeredsec", "billedsec"),
		HangupCause:   strings.ToLower(f.word("hangup_reason")),
		Cost:          f.word("call_rate", "rate"),
		LeftVoicemail: f.yes("voicemail") || isVoiceName(f.text("voicename")),
		Attributes:    call.Attributes(f),
	}
	if l.Outcome == "" && status == "" && l.TalkSeconds != nil && *l.TalkSeconds > 0 {
		l.Outcome = call.Answered // rows that say so by the list they are in
	}
	at := f.moment(a.Zone, "time")
	if l.Outcome == call.Answered {
		if l.AnsweredAt = f.moment(a.Zone, "answer_time"); l.AnsweredAt.IsZero() {
			l.AnsweredAt = at
		}
		if l.TalkSeconds == nil {
			l.TalkSeconds = piopiyTalk(l, f)
		}
	} else if l.StartedAt.IsZero() {
		l.StartedAt = at
	}
	switch l.HangupCause {
	case "sent_bye", "sent_reject":
		l.HangupBy = "agent"
	case "recv_bye":
		l.HangupBy = "customer"
	}
	l.CustomerNumber, l.BusinessNumber, l.Agent = teleCMIParties(a, f, l)
	l.AddKey(call.KeyCall, f.key("call_id"))
	l.AddKey(call.KeyConversation, f.key("conversation_uuid"))
	l.AddKey(call.KeyRequest, f.key("request_id"))
	if other := f.key("cmiuid"); other != key {
		l.AddKey(call.KeyOther, other)
	}
	nameRecordings(l, f)
	return l
}

// piopiyTalk is the talk time of a report that gives moments instead.
func piopiyTalk(l *call.Leg, f fields) *int {
	if l.EndedAt.IsZero() || l.AnsweredAt.IsZero() || l.EndedAt.Before(l.AnsweredAt) {
		return f.seconds("duration")
	}
	return new(int(l.EndedAt.Sub(l.AnsweredAt) / time.Second))
}

func teleCMISide(f fields) call.Side {
	switch strings.ToLower(f.text("leg")) {
	case "a":
		return call.SideA
	case "b":
		return call.SideB
	}
	return ""
}

func teleCMIDirection(f fields) call.Direction {
	switch strings.ToLower(f.text("direction")) {
	case "inbound", "incoming", "in":
		return call.Inbound
	case "outbound", "outgoing", "out":
		return call.Outbound
	}
	return ""
}

// teleCMIOutcome is what a status word, as plainWord writes it, means for its
// leg; empty for a word that is not known.
func teleCMIOutcome(status string) call.Outcome {
	switch status {
	case "answered", "answer", "inanswered", "outanswered":
		return call.Answered
	case "missed", "usermissed", "noanswer", "notanswered", "unanswered", "inmissed", "outmissed":
		return call.Missed
	case "voicemail":
		return call.Voicemail
	case "busy":
		return call.Busy
	case "rejected", "reject", "declined":
		return call.Rejected
	case "failed":
		return call.Failed
	case "cancel", "cancelled", "canceled":
		return call.Cancelled
	case "abandoned":
		return call.Abandoned
	}
	return ""
}

// teleCMIParties says who is who. An agent's leg of an inbound call does not
// tell the customer: its `from` may be the business number.
func teleCMIParties(a *account, f fields, l *call.Leg) (customer, business string, agent call.Agent) {
	from, to := a.phones.normalize(f.text("from")), a.phones.normalize(f.text("to"))
	business = a.phones.normalize(firstOf(f, "virtual_number", "callerid", "vn"))
	agent.ID = cutAppID(a, f, f.word("user", "agent"))
	switch {
	case l.Direction == call.Outbound || l.Direction == "" && l.HasKey(call.KeyCall):
		return to, business, agent
	case l.Side == call.SideB:
		agent.Number = to
		return "", business, agent
	}
	// A guest's leg names in `to` the agent who answered it. One that no agent
	// answered, of before virtual_number was sent, the number that was called.
	if agent.ID != "" || l.Outcome == call.Answered && business != "" && to != business {
		agent.Number = to
	} else if business == "" {
		business = to
	}
	return from, business, agent
}

func firstOf(f fields, names ...string) string {
	for _, name := range names {
		if s := f.text(name); !nothing(s) {
			return s
		}
	}
	return ""
}

// isVoiceName reports whether a voicename says that there is a voicemail, even
// if it is no name by which to fetch it.
func isVoiceName(name string) bool {
	return !nothing(name) && !strings.EqualFold(name, "false")
}

// cutAppID takes off the app id that users and teams end in.
func cutAppID(a *account, f fields, name string) string {
	for _, id := range [...]string{f.text("appid"), f.text("app_id"), a.AppID} {
		if id == "" {
			continue
		}
		if plain, found := strings.CutSuffix(name, "_"+id); found && plain != "" {
			return plain
		}
	}
	return name
}

// nameRecordings takes the recordings that a report names. `record` alone says
// only that there should be one.
func nameRecordings(l *call.Leg, f fields) {
	if name := f.text("filename"); isFileName(name) {
		l.Recordings = append(l.Recordings, call.Wanted{Kind: call.Conversation, Source: name})
		// The name begins with the moment in which the recording began.
		if len(name) > 13 {
			if ms, err := strconv.ParseInt(name[:13], 10, 64); err == nil && ms >= 1e12 {
				l.RecordedFrom = time.UnixMilli(ms).UTC()
			}
		}
	}
	if name := f.text("voicename"); isFileName(name) {
		l.Recordings = append(l.Recordings, call.Wanted{Kind: call.VoicemailMessage, Source: name})
	}
}

// isFileName reports whether a name is that of an audio file: 4 to 200 letters,
// digits, dots, hyphens and underscores, beginning with a letter or digit. It
// becomes part of a URL; whatever could lead elsewhere is not wanted.
func isFileName(name string) bool {
	if len(name) < 4 || len(name) > 200 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	switch dot := strings.LastIndexByte(name, '.'); strings.ToLower(name[dot+1:]) {
	case "mp3", "wav", "ogg", "oga", "opus", "m4a", "mp4", "aac", "flac", "gsm", "amr", "wma", "webm":
		return dot > 0
	}
	return false
}

// teleCMILive reads a live event of CHUB, of its predecessor or of PIOPIY.
func teleCMILive(a *account, del *call.Delivery, f fields, key, status string) *call.LiveCall {
	l := call.Leg{Account: a.Name, Provider: call.TeleCMI, Key: key,
		Side: teleCMISide(f), Direction: teleCMIDirection(f)}
	l.AddKey(call.KeyCall, f.key("call_id"))
	l.AddKey(call.KeyConversation, f.key("conversation_uuid"))
	if parent := f.key("parent_uid"); parent != "" && parent != key && len(l.Keys) == 0 {
		// The predecessor names in an agent's leg the guest's.
		l.AddKey(call.KeyConversation, parent)
		l.Side = call.SideB
	}
	switch status {
	case "inanswered", "inmissed": // PIOPIY
		l.Direction = call.Inbound
	case "outanswered", "outbridged", "outmissed":
		l.Direction = call.Outbound
	default:
		// The events of an inbound call's agent leg come as outbound, but
		// without the call_id that all legs of outbound calls have.
		if l.Side == call.SideB && !l.HasKey(call.KeyCall) {
			l.Direction = call.Inbound
		}
	}
	if status == "outbridged" && l.Side == "" {
		l.Side = call.SideB // it is the customer who is bridged to the agent
	}
	c := &call.LiveCall{
		Account:   a.Name,
		Key:       l.CallKey(),
		LegKey:    key,
		Side:      l.Side,
		Direction: l.Direction,
		State:     teleCMIState(status),
		Group:     cutAppID(a, f, f.word("team")),
		At:        f.moment(a.Zone, "time"),
	}
	c.Since = c.At
	if c.At.IsZero() {
		c.At = del.ReceivedAt
	}
	from, to := a.phones.normalize(f.text("from")), a.phones.normalize(f.text("to"))
	c.BusinessNumber = a.phones.normalize(firstOf(f, "virtual_number", "callerid", "vn"))
	c.Agent.ID = cutAppID(a, f, f.word("user", "agent"))
	switch {
	case l.Direction == call.Outbound:
		c.CustomerNumber = to
	case l.Side == call.SideB:
		c.Agent.Number = to
	default:
		c.CustomerNumber = from
		if c.BusinessNumber == "" {
			c.BusinessNumber = to
		}
	}
	c.IsStart = (status == "waiting" || status == "started" || status == "ringing") &&
		!c.Since.IsZero() && l.Side != call.SideB
	return c
}

// teleCMIState reads the status word of a live event.
func teleCMIState(status string) call.LiveState {
	switch status {
	case "waiting", "started", "ringing":
		return call.Ringing
	case "answered", "inanswered", "outanswered", "bridged", "outbridged":
		return call.Talking
	case "hangup", "missed", "inmissed", "outmissed":
		return call.HungUp
	}
	return call.LiveOther
}
