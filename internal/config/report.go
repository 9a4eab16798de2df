package config

import (
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"callvault/internal/call"
)

// Report is one report that is built and mailed on a schedule.
type Report struct {
	// Name is the report's name in commands and file names: a-z, 0-9, - and _.
	// Required, unique. Danger: a new name is a new report, whose periods have
	// not been sent yet.
	Name string `yaml:"name"`

	// Schedule is when to look for periods that are over, in TimeZone: the five
	// fields of cron or @daily and the like. Default "0 7 * * *".
	Schedule string `yaml:"schedule"`

	// TimeZone says what a day is. Default Asia/Kolkata.
	TimeZone Zone `yaml:"time_zone"`

	// Period is day, week (from Monday) or month. Default day.
	Period Period `yaml:"period"`

	// Match selects the calls that are reported. Default empty: all. Danger:
	// recipients see all that it selects, but those with a match of their own.
	Match Match `yaml:"match"`

	// Formats are xlsx, csv or both. Default both.
	Formats []Format `yaml:"formats"`

	// ServiceLevel is how the service level is counted.
	ServiceLevel ServiceLevel `yaml:"service_level"`

	// ReviseMailOver is by more than how much a headline figure must have moved
	// since the last mail for a revision to be mailed, in percent of the figure: 0%
	// is by anything, never is that revisions are only kept. Default 5%.
	ReviseMailOver Share `yaml:"revise_mail_over"`

	// PermittedHours are when outbound calls may be made; the report lists those
	// made at other times. The first that matches a call decides. Default none:
	// at any time.
	PermittedHours []PermittedHours `yaml:"permitted_hours"`

	// MaskNumbers puts stable pseudonyms in the place of customers' numbers in the
	// report's files and mails. Default false.
	MaskNumbers bool `yaml:"mask_numbers"`

	// Recipients are those who get it by mail. Default none: it is built and
	// kept, and not mailed.
	Recipients []Recipient `yaml:"recipients"`
}

// Recipient gets a report. It may be written as the address alone.
type Recipient struct {
	// Address is a mail address. Required.
	Address string `yaml:"address"`

	// Match selects the calls of the report that the recipient sees: what comes
	// is a report of these. Default empty: all that the report is of.
	Match RecipientMatch `yaml:"match"`
}

// Shorthand is the key that a value without keys belongs to.
func (Recipient) Shorthand() string { return "address" }

// MarshalYAML writes the recipient as short as it can be read.
func (r Recipient) MarshalYAML() (any, error) {
	if r.Match.IsAll() {
		return r.Address, nil
	}
	type plain Recipient
	return plain(r), nil
}

// RecipientMatch selects calls of a report: those that agree with every field
// given.
type RecipientMatch struct {
	// Account is an account's name. Default empty: all.
	Account string `yaml:"account,omitempty"`

	// Direction is inbound or outbound. Default empty: both.
	Direction string `yaml:"direction,omitempty"`

	// Group is the team or call group, or several. Default empty: all.
	Group Names `yaml:"group,omitempty"`

	// Agent is an agent's id, name or number. Default empty: all.
	Agent string `yaml:"agent,omitempty"`

	// Number is a number of the business or of the other side, compared by its
	// last digits. Default empty: all.
	Number string `yaml:"number,omitempty"`

	// Campaign is the provider's campaign id. Default empty: all.
	Campaign string `yaml:"campaign,omitempty"`
}

// Names are one or more names. One may be written without brackets.
type Names []string

// OneOrMore lets a list be written as its only entry.
func (Names) OneOrMore() {}

// IsAll tells whether every call of the report matches.
func (m RecipientMatch) IsAll() bool {
	return len(m.Group) == 0 && m.Account == "" && m.Direction == "" && m.Agent == "" && m.Number == "" && m.Campaign == ""
}

// check notes what is wrong with what a recipient sees of a report.
func (m RecipientMatch) check(l *loader, at string, report Match, accounts []Account) {
	// Who is to see a part must not get all by a slip.
	for name, given := range map[string]bool{
		"account": m.Account != "", "direction": m.Direction != "", "group": len(m.Group) > 0,
		"agent": m.Agent != "", "number": m.Number != "", "campaign": m.Campaign != "",
	} {
		if !given && l.origins[at+"."+name] != nil {
			l.fault(at+"."+name, "must not be empty; leave it out if the recipient may see all")
		}
	}
	if m.IsAll() && l.origins[at] != nil && !l.faulty(at) {
		l.fault(at, "selects no part of the report; leave it out if the recipient may see all")
	}
	Match{Account: m.Account, Direction: m.Direction}.check(l, at, accounts)
	for _, field := range []struct{ name, of, by string }{
		{"account", report.Account, m.Account}, {"direction", report.Direction, m.Direction},
		{"agent", report.Agent, m.Agent}, {"number", report.Number, m.Number}, {"campaign", report.Campaign, m.Campaign},
	} {
		if field.of != "" && field.by != "" && field.of != field.by {
			l.fault(at+"."+field.name, "the report is of %s alone, so nothing of it is of %s", quote([]byte(field.of)), quote([]byte(field.by)))
		}
	}
	seen := make(map[string]string)
	for i, group := range m.Group {
		where := fmt.Sprintf("%s.group[%d]", at, i)
		if group == "" {
			l.fault(where, "must not be empty")
			continue
		}
		l.unique(seen, where, group)
		if report.Group != "" && group != report.Group {
			l.fault(where, "the report is of group %s alone", quote([]byte(report.Group)))
		}
	}
}

// PermittedHours are when some outbound calls may be made.
type PermittedHours struct {
	// Campaign is a campaign's id, in which * stands for anything; case does not
	// count. Default empty: all calls.
	Campaign string `yaml:"campaign"`

	// Agent is an agent's id, name or number, of who is configured under agents
	// any of them; case does not count. Default empty: all agents.
	Agent string `yaml:"agent"`

	// Hours are by the clock of the report's time zone, such as "mon-fri
	// 09:00-19:00". Required.
	Hours []call.Hours `yaml:"hours"`
}

// Period is what one report covers.
type Period string

// The periods.
const (
	PeriodDay   Period = "day"
	PeriodWeek  Period = "week"
	PeriodMonth Period = "month"
)

// Format is a kind of report file.
type Format string

// The formats.
const (
	FormatXLSX Format = "xlsx"
	FormatCSV  Format = "csv"
)

// ServiceLevel is how the service level is counted. Vendors disagree; every
// report prints which formula it used.
type ServiceLevel struct {
	// Formula is answered_in_time_of_offered (without short abandons, the
	// default), answered_in_time_of_answered or
	// answered_in_time_of_answered_and_abandoned.
	Formula Formula `yaml:"formula"`

	// Within is how soon a call answered in time is answered, 1s to 1h. Default
	// 20s.
	Within time.Duration `yaml:"within"`

	// ShortAbandon is the wait up to which a caller who hung up does not count as
	// abandoned, 0 to 1h. Default 5s.
	ShortAbandon time.Duration `yaml:"short_abandon"`
}

// Formula is a formula of the service level.
type Formula string

// The formulas.
const (
	OfOffered              Formula = "answered_in_time_of_offered"
	OfAnswered             Formula = "answered_in_time_of_answered"
	OfAnsweredAndAbandoned Formula = "answered_in_time_of_answered_and_abandoned"
)

func checkReports(l *loader, reports []Report, accounts []Account) {
	names := make(map[string]string)
	for i := range reports {
		at := fmt.Sprintf("reports[%d]", i)
		r := &reports[i]
		l.checkName(names, at, r.Name)
		if reason := scheduleFault(r.Schedule); reason != "" {
			l.fault(at+".schedule", "%s", reason)
		}
		oneOf(l, at+".period", r.Period, PeriodDay, PeriodWeek, PeriodMonth)
		r.Match.check(l, at+".match", accounts)
		if len(r.Formats) == 0 {
			l.fault(at+".formats", "must name xlsx, csv or both")
		}
		formats := make(map[string]string)
		for j, format := range r.Formats {
			at := fmt.Sprintf("%s.formats[%d]", at, j)
			if oneOf(l, at, format, FormatXLSX, FormatCSV) {
				l.unique(formats, at, string(format))
			}
		}
		level := at + ".service_level"
		oneOf(l, level+".formula", r.ServiceLevel.Formula,
			OfOffered, OfAnswered, OfAnsweredAndAbandoned)
		within(l, level+".within", r.ServiceLevel.Within,
			time.Second, time.Hour)
		within(l, level+".short_abandon", r.ServiceLevel.ShortAbandon,
			0, time.Hour)
		checkPermittedHours(l, at+".permitted_hours", r.PermittedHours)
		recipients := make(map[string]string)
		for j, recipient := range r.Recipients {
			at := fmt.Sprintf("%s.recipients[%d]", at, j)
			if address, ok := l.checkAddress(at, recipient.Address); ok {
				l.unique(recipients, at, strings.ToLower(address))
			}
			recipient.Match.check(l, at+".match", r.Match, accounts)
		}
	}
}

// checkPermittedHours refuses rules without hours, and rules that no call can
// reach.
func checkPermittedHours(l *loader, at string, rules []PermittedHours) {
	for i, rule := range rules {
		at := fmt.Sprintf("%s[%d]", at, i)
		if len(rule.Hours) == 0 {
			l.fault(at+".hours", `must name hours, such as ["mon-fri 09:00-19:00"]`)
		}
		for j, before := range rules[:i] {
			same := func(all, one string) bool { return all == "" || strings.EqualFold(all, one) }
			if same(before.Campaign, rule.Campaign) && same(before.Agent, rule.Agent) {
				l.fault(at, "is never reached: permitted_hours[%d] matches the same calls", j)
				break
			}
		}
	}
}

// scheduleFault says what is wrong with a cron expression, or nothing.
func scheduleFault(text string) string {
	switch {
	case strings.Contains(text, "TZ="):
		// Also because the parser panics on TZ= without a space after it.
		return "must not name a time zone; use time_zone"
	case strings.HasPrefix(text, "@every"):
		return "must be times of day: @every would count from the program's start"
	}
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		return fmt.Sprintf(`%s is not a cron expression such as "0 7 * * *": %v`,
			quote([]byte(text)), err)
	}
	// Next gives up after five years. Any start does, but for 29 February.
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return fmt.Sprintf("%s never comes", quote([]byte(text)))
	}
	return ""
}

// checkAddress accepts a mail address with or without a name, and returns the
// bare address.
func (l *loader) checkAddress(at, text string) (string, bool) {
	parsed, err := mail.ParseAddress(text)
	if err != nil {
		l.fault(at, "%s is not a mail address", quote([]byte(text)))
		return "", false
	}
	return parsed.Address, true
}
