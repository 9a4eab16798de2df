package call

import (
	"strings"
	"time"
)

// mergeReport makes the call of a provider that sends one report per call
// (CallerDesk). Several legs under one call key are not documented; if they
// occur, they are filled into one.
func mergeReport(c *Call, legs []Leg) {
	l := legs[0]
	for _, o := range legs[1:] {
		l.Fill(o)
	}
	c.take(&l)
	c.end(&l)
	c.Agent = l.Agent
	c.StartedAt, c.EndedAt = l.StartedAt, l.EndedAt
	c.TalkSeconds, c.TotalSeconds = l.TalkSeconds, l.TotalSeconds

	talked := l.TalkSeconds != nil && *l.TalkSeconds > 0
	word, known := CallerDeskOutcome(l.Status, l.HangupCause, l.Direction)
	switch {
	case talked && !l.AnsweredAt.IsZero():
		c.Outcome = Answered // whatever the word
	case known:
		c.Outcome = word
	case talked:
		c.Outcome = Answered
	case l.HangupCause == "21": // call rejected, whatever the word
		c.Outcome = Rejected
	case l.Status == "" && l.TalkSeconds == nil && l.EndedAt.IsZero():
		c.Outcome = Unknown // nothing was said of how it ended
	default:
		c.Outcome = Missed
	}

	if c.Outcome == Answered {
		c.AnsweredAt = l.AnsweredAt
		if c.AnsweredAt.IsZero() && l.TalkSeconds != nil && !l.EndedAt.IsZero() {
			c.AnsweredAt = l.EndedAt.Add(-time.Duration(*l.TalkSeconds) * time.Second)
		}
		c.WaitSeconds = between(l.RangAt, l.AnsweredAt)
		return
	}
	c.WaitSeconds = between(l.RangAt, l.EndedAt)
	if !c.Agent.IsZero() && c.Direction == Inbound && !l.RangAt.IsZero() {
		// The one agent who was rung and did not answer.
		c.Offers = []Agent{c.Agent}
	}
}

// CallerDeskOutcome says what CallerDesk's status word means. Case, spaces,
// underscores and hyphens are ignored, and so is what stands in parentheses.
// cause is the Q.850 hangup cause, if known: 21 is call rejected. known is
// false for a word that is not in the vocabulary.
//
// The words are those of docs.callerdesk.io: sample-payload,
// incoming-call-reports-status and outgoing-call-reports-status.
func CallerDeskOutcome(status, cause string, direction Direction) (o Outcome, known bool) {
	word, _, _ := strings.Cut(status, "(")
	word = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '_', '-', '\t':
			return -1
		}
		return r
	}, strings.ToLower(word))
	if rest, ok := strings.CutPrefix(word, "cancelcustomer"); ok && rest != "" {
		word = rest // what the customer's side did decides
	}
	o, known = callerDeskWord(word, direction)
	if known && o != Answered && cause == "21" {
		return Rejected, true
	}
	return o, known
}

func callerDeskWord(word string, direction Direction) (Outcome, bool) {
	switch word {
	case "answer", "answered", "legbanswer", "legbanswered":
		return Answered, true
	case "legaanswer", "legaanswered":
		return Missed, true // the agent was there, the customer was not
	case "noanswer", "unavailable", "notconnected", "cancelcustomer", "missed":
		return Missed, true
	case "abandoned", "abandonedcall", "abandonment", "abandon":
		return Abandoned, true
	case "cancel", "cancelled", "canceled":
		if direction == Inbound {
			return Abandoned, true // the caller hung up
		}
		return Cancelled, true
	case "busy", "agentengaged", "agentonring":
		return Busy, true
	case "congestion", "chanunavail":
		return Failed, true
	case "voicemail":
		return Voicemail, true // of call lists
	}
	if strings.HasPrefix(word, "legacancel") || strings.HasPrefix(word, "cancelagent") {
		return Cancelled, true
	}
	return "", false
}
