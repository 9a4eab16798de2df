package mapping

import (
	"strings"

	"callvault/internal/call"
)

// Words are words of a provider's. Case does not count; word* stands for all
// that begin so.
type Words []string

// OneOrMore lets a single one stand without brackets.
func (Words) OneOrMore() {}

// Has tells whether word is one of them.
func (w Words) Has(word string) bool {
	for _, known := range w {
		if start, open := strings.CutSuffix(known, "*"); open {
			if len(word) >= len(start) && strings.EqualFold(word[:len(start)], start) {
				return true
			}
		} else if strings.EqualFold(known, word) {
			return true
		}
	}
	return false
}

// Directions say who dialled. A word that is in no list is drift.
type Directions struct {
	// From is where the word stands.
	From Field `yaml:"from"`
	// Inbound and Outbound are the words for each. Neither are words of the
	// provider's from which it does not follow.
	Inbound  Words `yaml:"inbound,omitempty"`
	Outbound Words `yaml:"outbound,omitempty"`
	Neither  Words `yaml:"neither,omitempty"`
	// Otherwise is the direction with another word or none: inbound or outbound.
	// Default: not told.
	Otherwise call.Direction `yaml:"otherwise,omitempty"`
}

// Of is what a word means, and whether it is known. The empty word is known.
func (d *Directions) Of(word string) (call.Direction, bool) {
	switch {
	case word == "":
		return d.Otherwise, true
	case d.Inbound.Has(word):
		return call.Inbound, true
	case d.Outbound.Has(word):
		return call.Outbound, true
	}
	if d.Neither.Has(word) {
		return "", true
	}
	return d.Otherwise, false
}

// Outcomes say how a call, or one leg of it, ended. A word that is in no list is
// drift.
type Outcomes struct {
	// From is where the word stands.
	From Field `yaml:"from"`
	// The words for each outcome.
	Answered  Words `yaml:"answered,omitempty"`
	Missed    Words `yaml:"missed,omitempty"`
	Abandoned Words `yaml:"abandoned,omitempty"`
	Busy      Words `yaml:"busy,omitempty"`
	Rejected  Words `yaml:"rejected,omitempty"`
	Cancelled Words `yaml:"cancelled,omitempty"`
	Failed    Words `yaml:"failed,omitempty"`
	Voicemail Words `yaml:"voicemail,omitempty"`
	Unknown   Words `yaml:"unknown,omitempty"`
	// Otherwise is the outcome with another word or none. Default: answered if
	// somebody talked, else unknown.
	Otherwise call.Outcome `yaml:"otherwise,omitempty"`
}

type outcomeWords struct {
	outcome call.Outcome
	words   Words
}

func (o *Outcomes) lists() []outcomeWords {
	return []outcomeWords{
		{call.Answered, o.Answered},
		{call.Missed, o.Missed},
		{call.Abandoned, o.Abandoned},
		{call.Busy, o.Busy},
		{call.Rejected, o.Rejected},
		{call.Cancelled, o.Cancelled},
		{call.Failed, o.Failed},
		{call.Voicemail, o.Voicemail},
		{call.Unknown, o.Unknown},
	}
}

// Of is what a word means, and whether it is known. The empty word is known.
func (o *Outcomes) Of(word string) (call.Outcome, bool) {
	if word == "" {
		return o.Otherwise, true
	}
	for _, l := range o.lists() {
		if l.words.Has(word) {
			return l.outcome, true
		}
	}
	return o.Otherwise, false
}

// LiveStates say what a call in progress is doing. A word that is in no list is
// drift.
type LiveStates struct {
	// From is where the word stands.
	From Field `yaml:"from"`
	// The words for each state.
	Ringing  Words `yaml:"ringing,omitempty"`
	Answered Words `yaml:"answered,omitempty"`
	Hangup   Words `yaml:"hangup,omitempty"`
}

// Of is what a word means, and whether it is known. The empty word is known.
func (s *LiveStates) Of(word string) (call.LiveState, bool) {
	switch {
	case s.Ringing.Has(word):
		return call.Ringing, true
	case s.Answered.Has(word):
		return call.Talking, true
	case s.Hangup.Has(word):
		return call.HungUp, true
	}
	return call.LiveOther, word == ""
}

// Sides say who hung up. Words that are in no list say nothing.
type Sides struct {
	// From is where the word stands.
	From Field `yaml:"from"`
	// The words for each side.
	Agent    Words `yaml:"agent,omitempty"`
	Customer Words `yaml:"customer,omitempty"`
}

// Of is agent, customer or empty.
func (s *Sides) Of(word string) string {
	switch {
	case s.Agent.Has(word):
		return "agent"
	case s.Customer.Has(word):
		return "customer"
	}
	return ""
}
