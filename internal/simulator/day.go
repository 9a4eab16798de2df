// Package simulator is a provider to talk to when there is none. It makes up
// a past day of calls as CallerDesk and TeleCMI would report it, posts the
// reports to a webhook, and serves the recordings, with the faults that the
// real ones have. The same seed gives the same day, byte by byte, and every
// day knows what should become of it.
//
// It takes part in nothing else: it knows Callvault only by its webhook.
package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options say what day to make up.
type Options struct {
	// Seed makes days differ. The identifiers of calls also hold the date, but
	// two days of the same date may share some, whatever their seeds.
	Seed uint64
	// Calls is how many calls there are; 0 is 300.
	Calls int
	// Date is the day; only its year, month and day are read.
	Date time.Time
	// Zone is where the day is, and whose time CallerDesk reports; nil is
	// India (+05:30).
	Zone *time.Location
	// CallerDesk and TeleCMI are the names of the accounts; empty are "sales"
	// and "support".
	CallerDesk, TeleCMI string
	// AppID is TeleCMI's; 0 is 2222223.
	AppID int
	// RecordingURL is the beginning of CallerDesk's recording addresses, such
	// as the address of a Server; empty is CallerDesk's own host.
	RecordingURL string
	// Later is how often at most the provider says of a recording that it is
	// not there yet. 0 is never: all are there at once.
	Later int
	// Lost is the share of the reports that are never sent: their calls stand
	// in the lists alone.
	Lost float64
	// OtherIDs gives the rows of TeleCMI's lists ids of their own, by which no
	// report can be found; else they are those of the reports.
	OtherIDs bool
}

// Day is a made-up day.
type Day struct {
	Conversations []Conversation
	// Events are what the providers send, sorted by time of sending.
	Events []Event
	// Recordings are what a Server has to serve.
	Recordings []Recording
	// Listed are what the providers' call lists have, Lost the events that
	// were never sent.
	Listed   []ListRow
	Lost     []Event
	Expected Expected
}

// Conversation is one call as it truly was: what should be known of it when
// all its reports have arrived.
type Conversation struct {
	Account  string
	Provider string // callerdesk or telecmi
	// Key is the best identifier that the provider gives the whole call.
	Key       string
	Direction string // inbound or outbound
	Outcome   string // answered, missed, abandoned, busy, rejected, cancelled, voicemail
	Customer  string // E.164
	Business  string // E.164
	// Agent is whom the reports name; zero when they name nobody. TeleCMI's
	// name only the extension, and an old CallerDesk report only the number.
	Agent Agent
	// Group is what the reports name, or empty.
	Group string
	// Rung are the agents of TeleCMI who were rung and did not answer.
	Rung []Agent
	// Started, Answered and Ended are as the reports tell them; zero when
	// they do not.
	Started, Answered, Ended time.Time
	Talk                     time.Duration
	// Wait is negative when the reports do not tell it.
	Wait time.Duration
	// Legs are the distinct legs that are reported.
	Legs int
	// Recording is the index in Day.Recordings, or -1. Voicemail says that it
	// is one.
	Recording int
	Voicemail bool
	// Unnamed says that the call should have a recording that the provider
	// does not name.
	Unnamed bool
	// LiveEvents are how many are sent while it lasts.
	LiveEvents int
	// Callback says that it was made to somebody who had not got through.
	Callback bool
}

// Kind groups calls for counting.
type Kind struct {
	Account, Direction, Outcome string
}

// Expected is what should be there in the end.
type Expected struct {
	Calls int
	// Kinds counts calls by account, direction and outcome.
	Kinds map[Kind]int
	// Legs are the distinct legs of all calls.
	Legs int
	// Archived are the recordings that can be had in the end.
	Archived int
	// NeverAudio are the recordings that are named, but in whose place an
	// error page comes for ever.
	NeverAudio int
	// Unnamed are the answered calls for which no recording is named.
	Unnamed int
	// Bytes is the size of all recordings that can be had.
	Bytes int64
	// Deliveries are all events; each is of one kind.
	Deliveries                         int
	Reports, Live, Duplicates, NotCall int
}

const (
	inbound  = "inbound"
	outbound = "outbound"

	answered  = "answered"
	missed    = "missed"
	abandoned = "abandoned"
	busy      = "busy"
	rejected  = "rejected"
	cancelled = "cancelled"
	voicemail = "voicemail"

	callerDesk = "callerdesk"
	teleCMI    = "telecmi"
)

// NewDay makes up a day. It fails when the options cannot be used.
func NewDay(options Options) (*Day, error) {
	if err := options.complete(); err != nil {
		return nil, fmt.Errorf("make up a day of calls: %w", err)
	}
	year, month, day := options.Date.Date()
	midnight := time.Date(year, month, day, 0, 0, 0, 0, options.Zone)
	b := &builder{
		Options:   options,
		dice:      newDice(options.Seed, midnight),
		midnight:  midnight,
		day:       &Day{},
		busyUntil: make(map[string]time.Time),
	}
	for _, plan := range b.plan() {
		if plan.provider == callerDesk {
			b.callerDesk(plan)
		} else {
			b.teleCMI(plan)
		}
	}
	b.breakOneRecording()
	b.notCalls()
	b.repeatSome()
	b.lose()
	slices.SortStableFunc(b.day.Events, func(x, y Event) int { return x.At.Compare(y.At) })
	b.day.Expected = b.day.expect()
	return b.day, nil
}

func (o *Options) complete() error {
	if o.Zone == nil {
		o.Zone = time.FixedZone("IST", 5*3600+1800)
	}
	o.Calls = cmp.Or(o.Calls, 300)
	o.CallerDesk = cmp.Or(o.CallerDesk, "sales")
	o.TeleCMI = cmp.Or(o.TeleCMI, "support")
	o.AppID = cmp.Or(o.AppID, 2222223)
	o.RecordingURL = strings.TrimSuffix(cmp.Or(o.RecordingURL, "https://newcallrecords.callerdesk.io"), "/")
	base, err := url.Parse(o.RecordingURL)
	switch {
	case o.Calls < 0:
		return fmt.Errorf("%d calls", o.Calls)
	case o.AppID < 0:
		return fmt.Errorf("app id %d", o.AppID)
	case o.Lost < 0 || o.Lost > 1:
		return fmt.Errorf("a share of %v of reports lost", o.Lost)
	case o.Later < 0:
		return fmt.Errorf("recordings later by %d tries", o.Later)
	case o.Date.IsZero():
		return errors.New("no date")
	case err != nil || base.Host == "" || base.Path != "":
		return errors.New("the recording URL is not just scheme and host")
	}
	return nil
}

// builder gathers a day.
type builder struct {
	Options
	dice
	midnight time.Time
	day      *Day
	// busyUntil is when each agent, by name, has hung up.
	busyUntil map[string]time.Time
	// sequence numbers what needs a number of its own.
	sequence int
}

// plan is one call before anybody picks it up.
type plan struct {
	start     time.Time
	provider  string
	direction string
	outcome   string
	customer  string
	group     string
	callback  bool
}

// plan makes up who calls whom when, sorted by time.
func (b *builder) plan() []plan {
	plans := make([]plan, 0, b.Calls)
	var customers []string
	for len(plans) < b.Calls {
		p := plan{
			start:     b.midnight.Add(b.timeOfDay()),
			provider:  pick(b.dice, callerDesk, teleCMI),
			direction: inbound,
			group:     weighted(b.dice, []weight{{"Billing", 25}, {"Sales", 35}, {"Support", 40}}),
		}
		if b.chance(0.3) {
			p.direction = outbound
		}
		if len(customers) > 0 && b.chance(0.15) {
			p.customer = pick(b.dice, customers...)
		} else {
			p.customer = b.mobile()
			customers = append(customers, p.customer)
		}
		p.outcome = b.outcome(p)
		plans = append(plans, p)
		if p.direction == inbound && p.outcome != answered && len(plans) < b.Calls {
			plans = append(plans, b.secondTry(p)...)
		}
	}
	slices.SortStableFunc(plans, func(x, y plan) int { return x.start.Compare(y.start) })
	return plans
}

// secondTry is what follows a call that was not answered: somebody calls
// back, or the customer tries again, or nothing.
func (b *builder) secondTry(first plan) []plan {
	next := first
	switch {
	case b.chance(0.45):
		next.start = first.start.Add(b.seconds(4*60, 80*60))
		next.direction, next.callback = outbound, true
	case b.chance(0.3):
		next.start = first.start.Add(b.seconds(60, 20*60))
	default:
		return nil
	}
	next.outcome = b.outcome(next)
	return []plan{next}
}

// outcome draws how a call ends, as its provider can tell it.
func (b *builder) outcome(p plan) string {
	switch {
	case p.provider == callerDesk && p.direction == inbound:
		return weighted(b.dice, []weight{{answered, 70}, {missed, 12}, {abandoned, 12}, {busy, 6}})
	case p.provider == callerDesk:
		return weighted(b.dice, []weight{{answered, 68}, {missed, 17}, {busy, 7}, {cancelled, 8}})
	case p.direction == inbound:
		return weighted(b.dice, []weight{
			{answered, 70}, {missed, 9}, {abandoned, 10}, {voicemail, 6}, {busy, 2}, {rejected, 3},
		})
	default:
		return weighted(b.dice, []weight{
			{answered, 68}, {missed, 15}, {busy, 4}, {rejected, 4}, {cancelled, 9},
		})
	}
}

// agentFor finds an agent of the group who is free, else any of them.
func (b *builder) agentFor(group string, at time.Time) Agent {
	var all, free []Agent
	for _, agent := range Agents() {
		if agent.Group != group {
			continue
		}
		all = append(all, agent)
		if !b.busyUntil[agent.Name].After(at) {
			free = append(free, agent)
		}
	}
	if len(free) > 0 {
		return pick(b.dice, free...)
	}
	return pick(b.dice, all...)
}

// add takes in a call and what is sent about it.
func (b *builder) add(c Conversation, events ...Event) {
	for _, event := range events {
		event.Account = c.Account
		event.Conversation = len(b.day.Conversations)
		if event.Kind == Live {
			c.LiveEvents++
		}
		b.day.Events = append(b.day.Events, event)
	}
	b.occupy(c.Agent, c.Ended)
	b.day.Conversations = append(b.day.Conversations, c)
}

// occupy keeps an agent from being given another call before until.
func (b *builder) occupy(agent Agent, until time.Time) {
	if until.After(b.busyUntil[agent.Name]) {
		b.busyUntil[agent.Name] = until
	}
}

// sentAt is when a report about something that ended at end is sent: a moment
// later, or, now and then, much later.
func (b *builder) sentAt(end time.Time) time.Time {
	if b.chance(0.04) {
		return end.Add(b.seconds(5*60, 3*3600))
	}
	return end.Add(b.seconds(1, 4))
}

// record takes in a recording and returns its index.
func (b *builder) record(source string, format Format, length time.Duration) int {
	r := Recording{Source: source, Format: format, Duration: length}
	if b.chance(0.02) { // the recorder stopped early
		r.Duration = max(length/2, time.Second).Truncate(time.Second)
	}
	if b.Later > 0 && b.chance(0.25) {
		r.Later = 1 + b.IntN(b.Later)
	}
	b.day.Recordings = append(b.day.Recordings, r)
	return len(b.day.Recordings) - 1
}

// breakOneRecording gives one of CallerDesk's an error page for ever.
func (b *builder) breakOneRecording() {
	var candidates []int
	for i, r := range b.day.Recordings {
		if strings.HasPrefix(r.Source, "/") {
			candidates = append(candidates, i)
		}
	}
	if len(candidates) > 0 {
		broken := &b.day.Recordings[pick(b.dice, candidates...)]
		broken.ErrorPage = pick(b.dice, "text/html", "audio/wav")
	}
}

// notCalls adds two deliveries that look like calls and are none.
func (b *builder) notCalls() {
	customer := b.mobile()[1:]
	b.day.Events = append(b.day.Events, Event{
		// TeleCMI asking where to route a call, spaces included.
		At: b.midnight.Add(10 * time.Hour), Kind: NotACall, Account: b.TeleCMI, Conversation: -1,
		Method: "POST", ContentType: "application/json",
		Body: fields{
			{"action", "inbound"}, {"from", " " + customer}, {"to", " 914440051300"},
			{"time", b.midnight.Add(10 * time.Hour).UnixMilli()}, {"cmiuuid", b.uuid()},
		}.json(),
	}, Event{
		At: b.midnight.Add(15 * time.Hour), Kind: NotACall, Account: b.CallerDesk, Conversation: -1,
		Method: "POST", ContentType: "application/json",
		Body: fields{
			{"type", "sms"}, {"mobile", customer}, {"message", "Thank you for calling"}, {"sms_status", "DELIVRD"},
		}.json(),
	})
}

// repeatSome sends a share of the reports once more, five minutes later.
func (b *builder) repeatSome() {
	for _, event := range b.day.Events {
		if event.Kind == Report && b.chance(0.05) {
			event.At = event.At.Add(5 * time.Minute)
			event.Kind = Duplicate
			b.day.Events = append(b.day.Events, event)
		}
	}
}

// expect counts what should be there in the end.
func (d *Day) expect() Expected {
	e := Expected{
		Calls: len(d.Conversations), Kinds: make(map[Kind]int), Deliveries: len(d.Events),
	}
	for _, c := range d.Conversations {
		e.Kinds[Kind{c.Account, c.Direction, c.Outcome}]++
		e.Legs += c.Legs
		if c.Unnamed {
			e.Unnamed++
		}
	}
	for _, r := range d.Recordings {
		if r.ErrorPage != "" {
			e.NeverAudio++
			continue
		}
		e.Archived++
		e.Bytes += r.Size()
	}
	for _, event := range d.Events {
		switch event.Kind {
		case Report:
			e.Reports++
		case Live:
			e.Live++
		case Duplicate:
			e.Duplicates++
		case NotACall:
			e.NotCall++
		}
	}
	return e
}
