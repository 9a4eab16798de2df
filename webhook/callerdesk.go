package webhook

import (
	"net/url"
	"strings"

	"callvault/internal/call"
)

// readCallerDesk reads CallerDesk's call reports and live events
// (docs.callerdesk.io: sample-payload). All values are strings there; other
// types are taken as well.
func readCallerDesk(a *account, del *call.Delivery, f fields) call.Item {
	sid := f.key("CallSid", "sid_id")
	kind := strings.ToLower(f.text("type"))
	ended := f.has("EndTime", "CallDuration", "TalkDuration", "CallRecordingUrl")
	switch {
	case sid == "" && (ended || kind == "call_report" || kind == "live_call"):
		if s := f.text("CallSid"); len(s) > maxKey {
			return unreadable("CallSid is longer than %d bytes", maxKey)
		}
		return unreadable("a call without CallSid")
	case sid == "":
		return ignored("no CallSid: about something else than a call")
	case isMessage(kind):
		return ignored("type " + shorten(kind) + ": about something else than a call")
	case strings.Contains(kind, "live"), !strings.Contains(kind, "report") && !ended:
		live, word := callerDeskLive(a, del, f, sid), shorten(f.text("Status"))
		return call.Item{Live: live, Status: word, Sense: senseOf(word, live.State != call.LiveOther)}
	}
	l := callerDeskLeg(a, f, sid)
	it := call.Item{Leg: l, Status: l.Status}
	if outcome, known := call.CallerDeskOutcome(l.Status, l.HangupCause, l.Direction); l.Status != "" {
		l.Outcome, it.Sense = outcome, senseOf(l.Status, known)
		talked := l.TalkSeconds != nil && *l.TalkSeconds > 0 && !l.AnsweredAt.IsZero()
		if known && talked && outcome != call.Answered {
			it.Sense = call.StatusContradicted
		}
	}
	return it
}

func callerDeskLeg(a *account, f fields, sid string) *call.Leg {
	l := &call.Leg{
		Account:      a.Name,
		Provider:     call.CallerDesk,
		Key:          sid,
		Direction:    callerDeskDirection(f),
		Status:       shorten(f.text("Status")),
		Group:        f.word("call_group"),
		Campaign:     f.word("campid"),
		StartedAt:    f.moment(a.Zone, "StartTime"),
		RangAt:       f.moment(a.Zone, "LegB_Start_time"),
		AnsweredAt:   f.moment(a.Zone, "LegB_Picked_time"),
		EndedAt:      f.moment(a.Zone, "EndTime"),
		TalkSeconds:  f.seconds("TalkDuration"),
		TotalSeconds: f.seconds("CallDuration"),
		Cost:         shorten(f.text("coins")),
		Recordings:   callerDeskRecordings(f.text("CallRecordingUrl")),
		Attributes:   call.Attributes(f),
	}
	l.CustomerNumber, l.BusinessNumber, l.Agent = callerDeskParties(a, f, l.Direction)
	l.HangupCause, l.HangupBy = callerDeskHangup(f, "hangup_cause", "Status")
	l.AddKey(call.KeyCall, sid)
	l.AddKey(call.KeyCampaign, f.key("campid"))
	if unique := f.key("Uniqueid"); unique != l.Key {
		l.AddKey(call.KeyOther, unique)
	}
	return l
}

func callerDeskLive(a *account, del *call.Delivery, f fields, sid string) *call.LiveCall {
	c := &call.LiveCall{
		Account:   a.Name,
		Key:       call.Key{Kind: call.KeyCall, Value: sid},
		LegKey:    sid,
		Direction: callerDeskDirection(f),
		Group:     f.word("call_group"),
		Since:     f.moment(a.Zone, "StartTime"),
		At:        del.ReceivedAt,
	}
	c.CustomerNumber, c.BusinessNumber, c.Agent = callerDeskParties(a, f, c.Direction)
	c.State = callerDeskState(f.text("Status"), c.Direction)
	return c
}

func callerDeskDirection(f fields) call.Direction {
	switch strings.ToUpper(f.word("Direction", "Flow_type", "direction")) {
	case "IVR", "INCOMING", "INBOUND", "IN":
		return call.Inbound
	case "WEBOBD", "OUTGOING", "OUTBOUND", "OUT", "OBD":
		return call.Outbound
	}
	return ""
}

// callerDeskParties says who is who. Of incoming calls it is documented; of
// outgoing ones the account may say otherwise.
func callerDeskParties(a *account, f fields, dir call.Direction) (customer, business string, agent call.Agent) {
	source := a.phones.normalize(f.text("SourceNumber"))
	dialled := a.phones.normalize(f.text("DialWhomNumber"))
	did := a.phones.normalize(f.text("DestinationNumber"))
	agent.Name = f.word("receiver_name")
	agent.Number = dialled
	if dir != call.Outbound || a.OutgoingCustomer == CustomerInSource {
		return source, did, agent
	}
	if a.OutgoingCustomer == CustomerInDestination {
		return did, source, agent
	}
	agent.Number = source
	return dialled, did, agent
}

// callerDeskHangup reads the Q.850 cause number and the side that hung up, as
// in "ANSWER(16-customer)".
func callerDeskHangup(f fields, names ...string) (cause, by string) {
	for _, name := range names {
		word := strings.ToLower(f.word(name))
		_, inside, found := strings.Cut(word, "(")
		if !found {
			if name == "hangup_cause" && isDigits(word) {
				return word, ""
			}
			continue
		}
		end := 0
		for end < len(inside) && inside[end] >= '0' && inside[end] <= '9' {
			end++
		}
		switch cause = inside[:end]; {
		case strings.Contains(inside, "agent"):
			by = "agent"
		case strings.Contains(inside, "customer"):
			by = "customer"
		}
		return cause, by
	}
	return "", ""
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// callerDeskState reads the status word of a live event. Its vocabulary is not
// documented; words that end a call are those of reports. That one agent is
// busy or does not answer ends nothing: the next may be rung, and if not, the
// report follows.
func callerDeskState(status string, dir call.Direction) call.LiveState {
	switch plainWord(status) {
	case "", "ringing", "initiated", "dialing", "started", "start", "incoming", "waiting",
		"transfertoagent", "agentonring", "legaanswer", "legaanswered":
		return call.Ringing
	case "picked", "connected", "talking", "bridged":
		return call.Talking
	case "hangup", "completed", "ended", "disconnected":
		return call.HungUp
	}
	outcome, known := call.CallerDeskOutcome(status, "", dir)
	switch {
	case !known || outcome == call.Missed || outcome == call.Busy:
		return call.LiveOther
	case outcome == call.Answered:
		return call.Talking
	}
	return call.HungUp
}

// callerDeskRecordings names the recording of a report, if its URL is one.
func callerDeskRecordings(raw string) []call.Wanted {
	if w, ok := wantedURL(call.Conversation, raw); ok {
		return []call.Wanted{w}
	}
	return nil
}

// wantedURL names a recording by its URL, if it is one.
func wantedURL(kind call.RecordingKind, raw string) (w call.Wanted, ok bool) {
	const maxURL = 1500 // bytes, so that any database can index it
	if nothing(raw) || len(raw) > maxURL {
		return w, false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return w, false
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.Host = strings.ToLower(u.Host)
	w = call.Wanted{Kind: kind, Location: u.String()}
	u.RawQuery = lastingQuery(u.RawQuery)
	u.ForceQuery = false
	if w.Source = u.String(); w.Source == w.Location {
		w.Location = ""
	}
	return w, len(w.Source) <= maxURL
}

// lastingQuery is the part of a URL's query that names the file. Signatures,
// credentials and their expiry are left out, for they differ from report to
// report and do not belong in the name of a thing.
func lastingQuery(query string) string {
	var lasting []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if pair != "" && !passing(strings.ToLower(name)) {
			lasting = append(lasting, pair)
		}
	}
	return strings.Join(lasting, "&")
}

func passing(name string) bool {
	switch name {
	case "signature", "sig", "sign", "hmac", "hash", "policy", "key-pair-id",
		"awsaccesskeyid", "googleaccessid", "response-content-disposition",
		"expires", "expiry", "exp", "expire", "ttl", "timestamp", "ts", "nonce",
		"token", "access_token", "auth", "authcode", "auth_token", "authorization",
		"key", "apikey", "api_key", "secret", "password", "passwd", "pwd", "user", "username",
		"sv", "sr", "st", "se", "sp", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks", "skv":
		return true
	}
	return strings.HasPrefix(name, "x-amz-") || strings.HasPrefix(name, "x-goog-") ||
		strings.HasPrefix(name, "x-oss-")
}
