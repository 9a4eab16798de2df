package main

import (
	"time"

	"callvault/internal/call"
)

// filterFlags are the search filters, as flags.
type filterFlags struct {
	From      string `help:"Only calls that began then or later: a day (YYYY-MM-DD, in UTC) or a moment (RFC 3339)." placeholder:"TIME"`
	To        string `help:"Only calls that began before then; a day is part of it." placeholder:"TIME"`
	Q         string `name:"q" help:"The beginning of a name, a group or any identifier." placeholder:"TEXT"`
	Number    string `help:"The last digits of the customer's, the agent's or the business number."`
	Agent     string `help:"An agent's id, name or number."`
	Group     string `help:"A team, call group or queue."`
	Account   string `help:"An account."`
	Direction string `help:"inbound or outbound." enum:"inbound,outbound," default:"" placeholder:"DIRECTION"`
	Outcome   string `help:"How the call ended, such as answered or missed." enum:"answered,missed,abandoned,busy,rejected,cancelled,failed,voicemail,unknown," default:"" placeholder:"OUTCOME"`
	Campaign  string `help:"The provider's campaign id."`
	Recording string `help:"The state of a recording, or none." enum:"pending,archived,absent,refused,expired,erased,none," default:"" placeholder:"STATE"`
	Audio     string `help:"What is wrong with the audio: short or long against the talk time, or truncated." enum:"short,long,truncated," default:"" placeholder:"FAULT"`
	MinTalk   *int   `help:"At least so many seconds of talk." placeholder:"SECONDS"`
	MaxTalk   *int   `help:"At most so many seconds of talk." placeholder:"SECONDS"`
}

// isZero reports whether no filter was given.
func (f filterFlags) isZero() bool { return f == filterFlags{} }

// filter is what the flags select.
func (f filterFlags) filter() (call.Filter, error) {
	c := call.Filter{
		Text: f.Q, Number: f.Number, Agent: f.Agent, Group: f.Group, Account: f.Account, Campaign: f.Campaign,
		Direction: call.Direction(f.Direction), Outcome: call.Outcome(f.Outcome), Recording: call.RecordingState(f.Recording),
		Audio:   call.AudioFault(f.Audio),
		MinTalk: f.MinTalk, MaxTalk: f.MaxTalk,
	}
	var err error
	if c.From, _, err = parseMoment("--from", f.From, time.UTC); err != nil {
		return c, err
	}
	var day bool
	if c.To, day, err = parseMoment("--to", f.To, time.UTC); err != nil {
		return c, err
	}
	if day {
		c.To = c.To.AddDate(0, 0, 1)
	}
	if err := c.Check(); err != nil {
		return c, usageError{err}
	}
	return c, nil
}
