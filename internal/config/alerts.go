package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Alerts says who is told when something needs a person, and when that is over.
type Alerts struct {
	// Recipients are mail addresses; see Mail for how mails are sent. Default
	// none.
	Recipients []string `yaml:"recipients"`

	// Webhook is a URL that is posted to, https; http only on this machine.
	// Default empty.
	Webhook Secret `yaml:"webhook"`
}

func (a *Alerts) check(l *loader, m Mail) {
	seen := make(map[string]string)
	for i, recipient := range a.Recipients {
		at := fmt.Sprintf("alerts.recipients[%d]", i)
		if address, ok := l.checkAddress(at, recipient); ok {
			l.unique(seen, at, strings.ToLower(address))
		}
	}
	if len(a.Recipients) > 0 && m.SMTP == "" {
		l.notice("alerts.recipients", "without mail.smtp nobody is told: mails "+
			"are written to data as .eml files")
	}
	if a.Webhook == "" {
		return
	}
	// Whatever is wrong, the address is not repeated: it may be a secret.
	u, err := url.Parse(a.Webhook.Reveal())
	switch {
	case err != nil:
		l.fault("alerts.webhook", "is not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		l.fault("alerts.webhook", "must start with https://")
	case u.Hostname() == "" || u.Port() != "" && !isPort(u.Port(), 1):
		l.fault("alerts.webhook", "has no usable host and port")
	case u.User != nil:
		l.fault("alerts.webhook", "must not hold a user name or password")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		l.fault("alerts.webhook", "must be https (http only on this machine)")
	}
}

// Watch says what of an account is watched, so that somebody is told.
type Watch struct {
	// Silence watches for reports that stay away against the account's habit.
	// Default true.
	Silence bool `yaml:"silence"`

	// Recordings watches for recordings that stay away while calls are
	// answered. Default true.
	Recordings bool `yaml:"recordings"`

	// Holidays are days of the account's time zone on which nothing is expected.
	// Default none.
	Holidays []Date `yaml:"holidays"`
}

// Date is a day of the calendar. Written as 2026-12-25.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// UnmarshalText reads a date.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%s is not a date such as 2026-12-25", quote(text))
	}
	d.Year, d.Month, d.Day = t.Date()
	return nil
}

// String writes the date as it is read.
func (d Date) String() string {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// MarshalText writes the date as it is read.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
