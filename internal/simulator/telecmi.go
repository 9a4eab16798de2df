package simulator

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// agentRing is how long TeleCMI lets one agent of a group ring before it goes
// on to the next.
const agentRing = 25 * time.Second

// teleCMI makes up one call at TeleCMI, with all that is sent about it.
func (b *builder) teleCMI(p plan) {
	// TeleCMI counts milliseconds.
	p.start = p.start.Add(time.Duration(b.IntN(1000)) * time.Millisecond)
	if p.direction == inbound {
		b.cmiInbound(p)
	} else {
		b.cmiOutbound(p)
	}
}

// cmiInbound is a call that rings agent after agent until one answers: one
// report about the guest, and one about every agent who did not answer.
func (b *builder) cmiInbound(p plan) {
	_, business := numbersOf(p.group)
	guest := b.uuid()
	truth := Conversation{
		Account: b.TeleCMI, Provider: teleCMI, Key: guest,
		Direction: inbound, Outcome: p.outcome, Customer: p.customer, Business: business,
		Group: p.group, Started: p.start, Wait: -1, Recording: -1,
	}
	hunted := 0
	switch p.outcome {
	case answered:
		hunted, _ = strconv.Atoi(weighted(b.dice, []weight{{"0", 65}, {"1", 22}, {"2", 13}}))
	case missed, voicemail:
		hunted = 1 + b.IntN(3)
	case abandoned:
		hunted = b.IntN(2)
	}
	rings := p.start.Add(b.seconds(3, 15)) // greeting
	var events []Event
	for range hunted {
		agent := b.agentFor(p.group, rings)
		truth.Rung = append(truth.Rung, agent)
		b.occupy(agent, rings.Add(agentRing+time.Second)) // so the next is another
		events = append(events, b.cmiAgentMissed(p, guest, business, agent, rings))
		rings = rings.Add(agentRing)
	}

	live := b.chance(0.3)
	report := b.cmiGuestReport(p, guest, business)
	if p.outcome == answered {
		truth.Agent = b.agentFor(p.group, rings)
		truth.Answered = rings.Add(b.seconds(3, 20))
		truth.Talk = b.talk()
		truth.Ended = truth.Answered.Add(truth.Talk)
		report = append(report, fields{
			{"status", "answered"}, {"user", b.user(truth.Agent)}, {"to", number(truth.Agent.Number)},
			{"time", truth.Answered.UnixMilli()}, {"answeredsec", int(truth.Talk / time.Second)},
			{"hangup_reason", pick(b.dice, "recv_bye", "sent_bye")}, {"record", true},
		}...)
		// The earliest that the reports tell: when the first agent was rung.
		truth.Started = truth.Answered
		if name, index := b.cmiRecording(&truth, rings, truth.Talk); index >= 0 {
			report = append(report, field{"filename", name})
			truth.Recording, truth.Started = index, rings
		}
		if hunted > 0 {
			truth.Started = rings.Add(-time.Duration(hunted) * agentRing)
		}
		if live {
			truth.Started = p.start
			truth.Wait = truth.Answered.Sub(p.start)
		}
	} else {
		report = append(report, b.cmiGuestMissed(p, &truth, rings)...)
	}
	end, at := truth.Ended, truth.Answered
	if end.IsZero() {
		end, at = p.start.Add(truth.Wait), p.start
	}
	b.listCMI(truth, guest, at)
	events = append(events, Event{Kind: Report, At: b.sentAt(end), Body: report.json()})
	truth.Legs = len(events)
	if live {
		events = append(events, b.cmiInboundLive(p, truth, rings, end)...)
	}
	b.add(truth, posts(events)...)
}

// cmiGuestReport is what every report about the caller's leg begins with.
func (b *builder) cmiGuestReport(p plan, guest, business string) fields {
	report := fields{
		{"type", "cdr"}, {"direction", "inbound"}, {"appid", b.AppID}, {"cmiuuid", guest},
		{"virtual_number", number(business)}, {"from", number(p.customer)}, {"team", b.team(p.group)},
		{"custom", pick(b.dice, `{"key":"value"}`, "none")}, {"ivr_name", "mainivr"},
	}
	// Older reports lack this; the caller's own cmiuuid says the same.
	if !b.chance(0.15) {
		report = append(report, field{"conversation_uuid", guest})
	}
	return report
}

// cmiGuestMissed is the rest of the report about a caller whom nobody
// answered; rings is when the last agent stopped ringing.
func (b *builder) cmiGuestMissed(p plan, truth *Conversation, rings time.Time) fields {
	reason, waited := "recv_cancel", rings.Sub(p.start)
	switch p.outcome {
	case abandoned:
		reason, waited = "recv_bye", waited+b.seconds(0, 20)
	case rejected:
		reason, waited = pick(b.dice, "sent_reject", "recv_reject"), waited+b.seconds(2, 10)
	case busy:
		reason = "busy"
	case voicemail:
		reason = "recv_bye" // the caller hangs up after the message
	}
	truth.Wait = waited
	rest := fields{
		{"status", "missed"}, {"time", p.start.UnixMilli()}, {"waitedsec", int(waited / time.Second)},
		{"hangup_reason", reason}, {"voicemail", p.outcome == voicemail},
	}
	if p.outcome == voicemail {
		truth.Voicemail = true
		name := b.cmiFileName(rings, "mp3", "")
		truth.Recording = b.record(name, MP3At8kHz, b.seconds(8, 45))
		rest = append(rest, field{"voicename", name})
	}
	return rest
}

// cmiAgentMissed is the report about an agent who was rung and did not answer.
func (b *builder) cmiAgentMissed(p plan, guest, business string, agent Agent, rings time.Time) Event {
	from := p.customer
	if b.chance(0.2) {
		from = business
	}
	payload := fields{
		{"type", "cdr"}, {"direction", "inbound"}, {"leg", "b"}, {"status", "missed"}, {"appid", b.AppID},
		{"cmiuuid", b.uuid()}, {"conversation_uuid", guest},
		{"user", b.user(agent)}, {"team", b.team(p.group)},
		{"to", number(agent.Number)}, {"from", number(from)},
		{"time", rings.UnixMilli()}, {"hangup_reason", "recv_cancel"}, {"custom", "none"},
	}
	at := rings.Add(agentRing + time.Second)
	if b.chance(0.15) { // after the caller's own report, at times
		at = at.Add(b.seconds(60, 15*60))
	}
	return Event{Kind: Report, At: at, Body: payload.json()}
}

// cmiInboundLive are the live events of a caller: about the caller, and about
// the agent who answers, whose direction TeleCMI calls outbound.
func (b *builder) cmiInboundLive(p plan, truth Conversation, rings, end time.Time) []Event {
	agentLeg := b.uuid()
	caller := func(status string, at time.Time) Event {
		return Event{Kind: Live, At: at, Body: fields{
			{"type", "event"}, {"direction", "inbound"}, {"status", status}, {"app_id", b.AppID},
			{"conversation_uuid", truth.Key}, {"cmiuuid", truth.Key},
			{"from", p.customer[1:]}, {"to", truth.Business[1:]}, {"time", at.UnixMilli()}, {"custom", "none"},
		}.json()}
	}
	agent := func(status string, at time.Time) Event {
		return Event{Kind: Live, At: at, Body: fields{
			{"type", "event"}, {"direction", "outbound"}, {"leg", "b"}, {"status", status}, {"app_id", b.AppID},
			{"team", b.team(p.group)}, {"user", b.user(truth.Agent)},
			{"conversation_uuid", truth.Key}, {"cmiuuid", agentLeg},
			{"from", p.customer[1:]}, {"time", at.UnixMilli()},
		}.json()}
	}
	events := []Event{caller("waiting", p.start)}
	if p.outcome == answered {
		events = append(events, agent("started", rings), agent("answered", truth.Answered),
			caller("answered", truth.Answered), agent("hangup", end))
	}
	return append(events, caller("hangup", end))
}

// cmiOutbound is a call that an agent makes: leg a is the agent, leg b the
// customer.
func (b *builder) cmiOutbound(p plan) {
	_, business := numbersOf(p.group)
	agent := b.agentFor(p.group, p.start)
	callID := b.uuid()
	clicked := b.chance(0.4)
	agentOnly := false // nothing but leg a, missed
	switch p.outcome {
	case cancelled: // the agent did not pick up what they had clicked
		clicked, agentOnly = true, true
	case missed:
		agentOnly = b.chance(0.6)
		clicked = clicked && !agentOnly
	}
	common := fields{
		{"type", "cdr"}, {"direction", "outbound"}, {"appid", b.AppID}, {"call_id", callID},
		{"virtual_number", business[1:]}, {"to", number(p.customer)}, {"user", b.user(agent)},
		{"custom", `{"campaign":"renewals"}`},
	}
	if clicked {
		common = append(common, fields{
			{"request_id", b.uuid()}, {"extra_params", `{"lead":"` + b.digits(6) + `"}`},
		}...)
	}
	truth := Conversation{
		Account: b.TeleCMI, Provider: teleCMI, Key: callID,
		Direction: outbound, Outcome: p.outcome, Customer: p.customer, Business: business,
		Agent: agent, Started: p.start, Wait: -1, Recording: -1, Callback: p.callback,
	}
	if agentOnly {
		truth.Legs = 1
		legA := b.uuid()
		b.listCMI(truth, legA, p.start)
		report := leg(common, "a", legA, fields{
			{"status", "missed"}, {"time", p.start.UnixMilli()}, {"hangup_reason", "recv_cancel"},
		})
		b.add(truth, posts([]Event{{Kind: Report, At: b.sentAt(p.start.Add(30 * time.Second)), Body: report.json()}})...)
		return
	}

	truth.Legs = 2
	picked := p.start.Add(b.seconds(2, 8))
	end := picked.Add(b.seconds(12, 40))
	truth.Started = picked
	legA, legB := b.uuid(), b.uuid()
	var events []Event
	second := fields{{"status", "missed"}, {"hangup_reason", b.cmiRefusal(p.outcome)}}
	if p.outcome == answered {
		truth.Answered, truth.Talk = end, b.talk()
		truth.Ended = truth.Answered.Add(truth.Talk)
		end = truth.Ended
		second = fields{
			{"status", "answered"}, {"answeredsec", int(truth.Talk / time.Second)},
			{"hangup_reason", "sent_bye"}, {"record", true},
		}
		if name, index := b.cmiRecording(&truth, picked.Add(3*time.Second), truth.Talk); index >= 0 {
			second = append(second, field{"filename", name})
			truth.Recording = index
		}
		if b.chance(0.3) {
			truth.Started, truth.Wait = p.start, truth.Answered.Sub(p.start)
			events = b.cmiOutboundLive(p, truth, picked, legA, legB)
		}
		second = append(second, field{"time", truth.Answered.UnixMilli()})
		b.listCMI(truth, legB, truth.Answered)
	} else {
		second = append(second, field{"time", end.UnixMilli()})
		b.listCMI(truth, legB, end)
	}
	first := fields{
		{"status", "answered"}, {"time", picked.UnixMilli()},
		{"answeredsec", int(end.Sub(picked) / time.Second)}, {"hangup_reason", "sent_bye"},
	}
	firstAt, secondAt := b.sentAt(end), b.sentAt(end)
	if b.chance(0.2) { // leg b comes first
		firstAt = secondAt.Add(time.Second)
	}
	events = append(events,
		Event{Kind: Report, At: firstAt, Body: leg(common, "a", legA, first).json()},
		Event{Kind: Report, At: secondAt, Body: leg(common, "b", legB, second).json()})
	b.add(truth, posts(events)...)
}

// cmiRefusal is the hangup_reason of a customer's leg that was not answered.
func (b *builder) cmiRefusal(outcome string) string {
	switch outcome {
	case busy:
		return "busy"
	case rejected:
		return pick(b.dice, "recv_reject", "sent_reject")
	default:
		return "recv_cancel"
	}
}

// cmiOutboundLive are the live events of a call that an agent makes.
func (b *builder) cmiOutboundLive(p plan, truth Conversation, picked time.Time, legA, legB string) []Event {
	conversation := b.uuid()
	event := func(which, uuid, status string, at time.Time) Event {
		return Event{Kind: Live, At: at, Body: fields{
			{"type", "event"}, {"direction", "outbound"}, {"leg", which}, {"status", status}, {"app_id", b.AppID},
			{"call_id", truth.Key}, {"conversation_uuid", conversation}, {"cmiuuid", uuid},
			{"user", b.user(truth.Agent)}, {"callerid", truth.Business[1:]}, {"to", p.customer[1:]},
			{"time", at.UnixMilli()}, {"custom", "none"},
		}.json()}
	}
	return []Event{
		event("a", legA, "started", p.start),
		event("a", legA, "answered", picked),
		event("b", legB, "answered", truth.Answered),
		event("b", legB, "hangup", truth.Ended),
	}
}

// cmiRecording takes in the recording of an answered call, which began at
// began. The index is -1 when TeleCMI does not name it.
func (b *builder) cmiRecording(truth *Conversation, began time.Time, length time.Duration) (name string, index int) {
	if b.chance(0.03) {
		truth.Unnamed = true
		return "", -1
	}
	if length <= 4*time.Minute && b.chance(0.3) {
		name = b.cmiFileName(began, "wav", truth.Agent.Extension)
		return name, b.record(name, WAVMuLaw, length)
	}
	name = b.cmiFileName(began, "mp3", "")
	return name, b.record(name, pick(b.dice, MP3At8kHz, MP3At16kHz), length)
}

// cmiFileName begins with the milliseconds at which the file was begun.
func (b *builder) cmiFileName(began time.Time, extension, user string) string {
	if user != "" {
		return fmt.Sprintf("%d_%s_%s_%d.%s", began.UnixMilli(), b.digits(13), user, b.AppID, extension)
	}
	return fmt.Sprintf("%d%s_%d.%s", began.UnixMilli(), b.digits(9), b.AppID, extension)
}

// user and team are written with the app's id behind them.
func (b *builder) user(agent Agent) string { return agent.Extension + "_" + strconv.Itoa(b.AppID) }
func (b *builder) team(group string) string {
	return group + "_" + strconv.Itoa(b.AppID)
}

// leg joins what both legs share with what is of one.
func leg(common fields, which, uuid string, own fields) fields {
	all := append(fields{}, common...)
	return append(append(all, fields{{"leg", which}, {"cmiuuid", uuid}}...), own...)
}

// number is a phone number as TeleCMI sends it: a JSON number, without plus.
func number(e164 string) json.Number { return json.Number(e164[1:]) }

// posts makes JSON posts of events, which all of TeleCMI's are.
func posts(events []Event) []Event {
	for i := range events {
		events[i].Method, events[i].ContentType = "POST", "application/json"
	}
	return events
}
