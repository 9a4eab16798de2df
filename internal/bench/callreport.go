package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// callReport is a call report as CallerDesk posts it, made up.
type callReport struct {
	// number is different for each; everything else follows from it.
	number int
	// started is when the call began.
	started time.Time
	// outcomes are what the calls' ends are, in turn.
	outcomes []ending
	// recordings is where recordings are: the beginning of a URL.
	recordings string
	// extras adds the fields that only the documented sample has.
	extras bool
}

// ending is a way for a call to end.
type ending struct{ status, cause, errorCode string }

// answeredOnly makes every report name a recording: the most work.
func answeredOnly() []ending { return []ending{{"ANSWER", "ANSWER(16-customer)", "0"}} }

// usualEndings are those of an ordinary day: of eight calls five are answered.
func usualEndings() []ending {
	answered := answeredOnly()[0]
	return []ending{
		answered, {"NOANSWER", "NOANSWER(19-agent)", "19"}, answered, answered,
		{"CANCEL", "CANCEL(0-customer)", "0"}, answered, {"BUSY", "BUSY(17-agent)", "17"}, answered,
	}
}

// The size of the office that the calls are made up for.
const (
	agents = 500
	groups = 12
)

// mixed is a number below n that follows from i, and looks like none that does
// (the finalizer of splitmix64).
func mixed(i, n int) int {
	z := uint64(i)*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// key is the report's CallSid.
func (r *callReport) key() string {
	return strconv.FormatInt(r.started.Unix(), 10) + "." + strconv.Itoa(r.number)
}

// talkSeconds is how long the call of the report of that number was talked, if
// it was answered.
func talkSeconds(number int) int { return 20 + mixed(number+3, 600) }

// audioSeconds is how long the recording at an address of recordingPath plays:
// as long as was talked, but for one of a hundred, which breaks off.
func audioSeconds(source string) (int, error) {
	_, name, _ := strings.Cut(source, recordingFolder)
	number, err := strconv.Atoi(strings.TrimSuffix(name, recordingSuffix))
	if err != nil {
		return 0, fmt.Errorf("recording %s is none of the day's: %w", source, err)
	}
	talk := talkSeconds(number)
	if number%100 == 0 {
		return talk / 2, nil
	}
	return talk, nil
}

// recordingPath is where the recording of the report of that number is.
func recordingPath(number int) string {
	return recordingFolder + strconv.Itoa(number) + recordingSuffix
}

const (
	recordingFolder = "/incoming/11_2026/"
	recordingSuffix = "_call.wav"
)

// appendJSON appends the report with all documented fields.
func (r *callReport) appendJSON(b []byte) []byte {
	agent := mixed(r.number, agents)
	end := r.outcomes[mixed(r.number+1, len(r.outcomes))]
	outgoing := r.number%3 == 0
	wait, talk := 3+mixed(r.number+2, 57), 0
	answered := end.status == "ANSWER"
	if answered {
		talk = talkSeconds(r.number)
	}
	rung := r.started.Add(9 * time.Second)
	picked := rung.Add(time.Duration(wait) * time.Second)
	ended := picked.Add(time.Duration(talk) * time.Second)

	digits := func(prefix string, n, width int) {
		b = append(b, prefix...)
		text := strconv.Itoa(n)
		for range width - len(text) {
			b = append(b, '0')
		}
		b = append(b, text...)
	}
	field := func(name, value string) {
		b = append(b, `","`...)
		b = append(b, name...)
		b = append(b, `":"`...)
		b = append(b, value...)
	}
	moment := func(name string, t time.Time, known bool) {
		field(name, "")
		if known {
			b = t.AppendFormat(b, time.DateTime)
		}
	}
	number := func(name string, n int) { field(name, ""); b = strconv.AppendInt(b, int64(n), 10) }
	sid := func(name string) {
		field(name, "")
		b = strconv.AppendInt(b, r.started.Unix(), 10)
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(r.number), 10)
	}
	customerIn, agentIn := "SourceNumber", "DialWhomNumber"
	if outgoing {
		customerIn, agentIn = agentIn, customerIn
	}

	b = append(b, `{"type":"call_report`...)
	field(customerIn, "")
	digits("098", mixed(r.number+4, 100_000_000), 8)
	field(agentIn, "")
	digits("093", agent, 8)
	field("DestinationNumber", "01204567890")
	number("CallDuration", 9+wait+talk)
	number("TalkDuration", talk)
	number("coins", 1+(9+wait+talk)/60)
	field("Status", end.status)
	moment("StartTime", r.started, true)
	moment("EndTime", ended, true)
	sid("CallSid")
	field("CallRecordingUrl", "")
	if answered {
		b = append(b, r.recordings...)
		b = append(b, recordingPath(r.number)...)
	}
	if outgoing {
		field("Direction", "WEBOBD")
		number("campid", 11_387_000+r.number%40)
		field("call_group", "")
	} else {
		field("Direction", "IVR")
		field("campid", "")
		field("call_group", "Group ")
		b = strconv.AppendInt(b, int64(agent%groups), 10)
	}
	field("receiver_name", "Agent Number")
	b = strconv.AppendInt(b, int64(agent), 10)
	field("error_code", end.errorCode)
	moment("LegA_Picked_time", r.started.Add(time.Second), true)
	moment("LegB_Start_time", rung, true)
	moment("LegB_Picked_time", picked, answered)
	if r.extras {
		field("key_press", "1")
		field("hangup_cause", end.cause)
		sid("Uniqueid")
	}
	return append(b, `"}`...)
}

// kolkata is the zone of the measured account and report.
func kolkata() *time.Location { return time.FixedZone("IST", 5*3600+1800) }
