package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// deskCall is a call as CallerDesk sees it. Zero times did not happen.
type deskCall struct {
	plan
	agent                        Agent // zero when nobody was rung
	business                     string
	callSid, campID              string
	status, hangupCause          string
	errorCode                    string
	started, legA, rung, picked  time.Time
	ended                        time.Time
	talk                         time.Duration
	recordingURL                 string
	doubleSpace, newlineArtefact bool // in the times
}

// callerDesk makes up one call at CallerDesk, with all that is sent about it.
func (b *builder) callerDesk(p plan) {
	c := deskCall{plan: p, started: p.start, errorCode: "0"}
	c.business, _ = numbersOf(p.group)
	b.sequence++
	if p.direction == inbound {
		c.callSid = fmt.Sprintf("%d.%d", p.start.Unix(), 9000+b.sequence)
		b.deskInbound(&c)
	} else {
		c.callSid = strconv.FormatInt(b.midnight.Unix()/86400*100_000+int64(b.sequence), 10)
		c.campID = strconv.FormatInt(b.midnight.Unix()/86400*10_000+int64(b.sequence), 10)
		b.deskOutbound(&c)
	}

	truth := Conversation{
		Account: b.CallerDesk, Provider: callerDesk, Key: c.callSid,
		Direction: p.direction, Outcome: p.outcome,
		Customer: p.customer, Business: c.business, Agent: c.agent,
		Started: c.started, Answered: c.picked, Ended: c.ended,
		Talk: c.talk, Wait: -1, Legs: 1, Recording: -1, Callback: p.callback,
	}
	switch {
	case p.outcome != answered:
		c.recordingURL = pick(b.dice, "", "", "", "", "NA")
	case b.chance(0.03):
		truth.Unnamed = true
	default:
		c.recordingURL, truth.Recording = b.deskRecording(c)
	}
	b.listDesk(c)
	report, old := b.deskReport(&c)
	if !old {
		if p.direction == inbound && c.agent.Name != "" {
			truth.Group = p.group
		}
		if !c.rung.IsZero() {
			truth.Wait = c.ended.Sub(c.rung)
			if !c.picked.IsZero() {
				truth.Wait = c.picked.Sub(c.rung)
			}
		}
	}
	b.add(truth, append(b.deskLive(c), report)...)
}

func (b *builder) deskInbound(c *deskCall) {
	c.legA = c.started.Add(b.seconds(0, 2))
	menu := c.legA.Add(b.seconds(4, 20)) // greeting and menu
	if c.outcome == abandoned && b.chance(0.5) {
		c.status, c.ended = pick(b.dice, "Abandoned", "AbandonedCall"), menu
		return
	}
	c.rung = menu
	c.agent = b.agentFor(c.group, c.rung)
	switch c.outcome {
	case answered:
		c.picked = c.rung.Add(b.seconds(3, 25))
		c.talk = b.talk()
		c.ended = c.picked.Add(c.talk)
		c.status, c.hangupCause = pick(b.dice, "ANSWER", "ANSWER", "ANSWERED"), pick(b.dice, "ANSWER(16-customer)", "ANSWER(16-agent)")
	case busy:
		c.ended = c.rung.Add(b.seconds(1, 4))
		c.status, c.hangupCause, c.errorCode = pick(b.dice, "BUSY", "AgentEngaged (0-Agent)"), "BUSY(17-agent)", "17"
	case abandoned:
		c.ended = c.rung.Add(b.seconds(2, 40))
		c.status, c.hangupCause = "CANCEL", "CANCEL(0-customer)"
	default:
		c.ended = c.rung.Add(b.seconds(25, 45))
		c.status, c.hangupCause, c.errorCode = pick(b.dice, "NOANSWER", "NO ANSWER", "Unavailable (19)"), "NOANSWER(19-agent)", "19"
	}
}

// deskOutbound is a click-to-call: the agent is rung first, as leg A.
func (b *builder) deskOutbound(c *deskCall) {
	c.agent = b.agentFor(c.group, c.started)
	if c.outcome == cancelled && b.chance(0.5) {
		c.ended = c.started.Add(b.seconds(15, 30))
		c.status = "Leg A Cancel - Agent No Answer (0 Agent)"
		return
	}
	c.legA = c.started.Add(b.seconds(2, 12))
	c.rung = c.legA.Add(b.seconds(1, 3))
	switch c.outcome {
	case answered:
		c.picked = c.rung.Add(b.seconds(4, 28))
		c.talk = b.talk()
		c.ended = c.picked.Add(c.talk)
		c.status, c.hangupCause = pick(b.dice, "ANSWER", "ANSWER", "Leg B Answer"), "ANSWER(16-customer)"
	case busy:
		c.ended = c.rung.Add(b.seconds(2, 6))
		c.status, c.hangupCause, c.errorCode = "BUSY", "BUSY(17-customer)", "17"
	case cancelled:
		c.ended = c.rung.Add(b.seconds(3, 20))
		c.status, c.hangupCause = "CANCEL", "CANCEL(0-agent)"
	default:
		c.ended = c.rung.Add(b.seconds(25, 40))
		c.status, c.hangupCause, c.errorCode = pick(b.dice, "NOANSWER", "NOANSWER", "Leg A Answer"), "NOANSWER(19-customer)", "19"
	}
}

// deskRecording takes in the recording of an answered call. Long ones are MP3
// whatever their name says: a file name proves nothing.
func (b *builder) deskRecording(c deskCall) (address string, index int) {
	format := WAVMuLaw
	switch {
	case c.talk <= 25*time.Second:
		format = WAVPCM
	case c.talk > 4*time.Minute:
		format = MP3At8kHz
	}
	folder := "incoming"
	if c.direction == outbound {
		folder = "outgoing"
	}
	source := fmt.Sprintf("/%s/%s/%s_%s.wav", folder, c.started.Format("01_2006"),
		strings.ReplaceAll(c.callSid, ".", "_"), strings.ReplaceAll(b.uuid(), "-", ""))
	return b.RecordingURL + source, b.record(source, format, c.talk)
}

// deskReport is the call report, in one of the ways in which CallerDesk sends
// it. old says that it is the short one of years past.
func (b *builder) deskReport(c *deskCall) (report Event, old bool) {
	report = Event{Kind: Report, At: b.sentAt(c.ended), Method: "POST"}
	switch way := b.Float64(); {
	case way < 0.50:
		c.doubleSpace = b.chance(0.1)
		payload := append(fields{{"type", "call_report"}}, b.deskFields(*c)...)
		payload = append(payload, fields{
			{"key_press", pick(b.dice, "1", "2", "")}, {"hangup_cause", c.hangupCause}, {"Uniqueid", c.callSid},
		}...)
		report.ContentType, report.Body = "application/json", payload.json()
	case way < 0.68:
		report.ContentType = "application/x-www-form-urlencoded"
		report.Body = []byte(b.deskFields(*c).form())
	case way < 0.78:
		report.Body, report.ContentType = b.deskFields(*c).multipart("----CallerDesk" + b.digits(16))
	case way < 0.93:
		c.newlineArtefact = b.chance(0.5)
		report.Method, report.Query = "GET", b.deskFields(*c).form()
	default:
		c.newlineArtefact, old = true, true
		report.Method, report.Query = "GET", b.oldDeskFields(*c).form()
	}
	return report, old
}

// deskFields are the documented fields of a call report.
func (b *builder) deskFields(c deskCall) fields {
	source, dialled := b.deskNumber(c.customer), b.deskNumber(c.agent.Number)
	if c.direction == outbound {
		source, dialled = dialled, source
	}
	group := ""
	if c.direction == inbound && c.agent.Name != "" {
		group = c.group
	}
	return fields{
		{"SourceNumber", source},
		{"DestinationNumber", "0" + c.business[3:]},
		{"DialWhomNumber", dialled},
		{"CallDuration", wholeSeconds(c.ended.Sub(c.started))},
		{"TalkDuration", wholeSeconds(c.talk)},
		{"coins", strconv.Itoa(int(c.ended.Sub(c.started)/time.Minute) + 1)},
		{"Status", c.status},
		{"StartTime", c.time(c.started, "")},
		{"EndTime", c.time(c.ended, "")},
		{"CallSid", c.callSid},
		{"CallRecordingUrl", c.recordingURL},
		{"Direction", deskDirection(c.direction)},
		{"campid", c.campID},
		{"call_group", group},
		{"receiver_name", c.agent.Name},
		{"error_code", c.errorCode},
		{"LegA_Picked_time", c.time(c.legA, "")},
		{"LegB_Start_time", c.time(c.rung, pick(b.dice, "", "0"))},
		{"LegB_Picked_time", c.time(c.picked, pick(b.dice, "", "0"))},
	}
}

// oldDeskFields are those of the official GET sample, from 2020.
func (b *builder) oldDeskFields(c deskCall) fields {
	var old fields
	for _, f := range b.deskFields(c) {
		switch f.name {
		case "call_group", "receiver_name", "error_code", "LegA_Picked_time", "LegB_Start_time", "LegB_Picked_time":
		case "DestinationNumber":
			old = append(old, field{f.name, c.business[3:]}) // its 0 gets lost
		default:
			old = append(old, f)
		}
	}
	return old
}

// deskLive are the live events, which some calls have.
func (b *builder) deskLive(c deskCall) []Event {
	if c.rung.IsZero() || !b.chance(0.3) {
		return nil
	}
	moments := []struct {
		at     time.Time
		status string
	}{{c.rung, "Transfer to agent"}, {c.picked, "Picked"}}
	var events []Event
	for _, moment := range moments {
		if moment.at.IsZero() {
			continue
		}
		payload := fields{{"type", "live_call"}}
		for _, f := range b.deskFields(c) {
			switch f.name {
			case "Status":
				payload = append(payload, field{f.name, moment.status})
			case "SourceNumber", "DestinationNumber", "DialWhomNumber", "StartTime", "CallSid", "Direction", "campid", "call_group":
				payload = append(payload, f)
			}
		}
		events = append(events, Event{
			Kind: Live, At: moment.at, Method: "POST", ContentType: "application/json", Body: payload.json(),
		})
	}
	return events
}

// deskNumber writes an Indian number in one of the ways that CallerDesk has.
func (b *builder) deskNumber(e164 string) string {
	if e164 == "" {
		return ""
	}
	national := strings.TrimPrefix(e164, "+91")
	return pick(b.dice, "0", "0", "+91", "91", "") + national
}

// time is a moment in the account's zone, or what is sent for never.
func (c deskCall) time(at time.Time, never string) string {
	switch {
	case at.IsZero():
		return never
	case c.newlineArtefact:
		return at.Format("2006-01-02n15:04:05")
	case c.doubleSpace:
		return at.Format("2006-01-02  15:04:05")
	default:
		return at.Format(time.DateTime)
	}
}

func deskDirection(direction string) string {
	if direction == outbound {
		return "WEBOBD"
	}
	return "IVR"
}

func wholeSeconds(d time.Duration) string {
	return strconv.Itoa(int(d / time.Second))
}
