package config

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Mail is how mails are sent.
type Mail struct {
	// SMTP is the server: smtp://user:password@host:587 or smtps://…. smtp
	// demands STARTTLS unless the server is on this machine, smtps is TLS from
	// the first byte. Default empty: mails are written to data as .eml files.
	SMTP SecretURL `yaml:"smtp"`

	// CAFile holds the certificates, PEM, that the server is checked against
	// instead of the system's. Default empty: the system's.
	CAFile string `yaml:"ca_file"`

	// From is the sender. Required with an SMTP server on another machine.
	// Default Callvault <callvault@localhost>.
	From string `yaml:"from"`

	// OnUncertain says what becomes of a mail when the connection was lost after
	// its last byte, so that nobody knows whether it was taken: hold (default; a
	// person decides) or resend. Danger: resend may mail it twice.
	OnUncertain OnUncertain `yaml:"on_uncertain"`

	// AttachmentLimit is how large the attachments of one mail may be, counted
	// after base64, 0 to 100MB. Default 20MB. What does not fit is left out, and
	// the mail says so.
	AttachmentLimit Size `yaml:"attachment_limit"`
}

// OnUncertain is what becomes of a mail that may or may not have been sent.
type OnUncertain string

// What becomes of an uncertain mail.
const (
	HoldUncertain   OnUncertain = "hold"
	ResendUncertain OnUncertain = "resend"
)

// SMTPServer is what Mail.SMTP says, taken apart.
type SMTPServer struct {
	// Host is the server's name or address.
	Host string
	// Port is the port; if none was given 587, on this machine 25, and 465 for
	// smtps.
	Port int
	// User and Password are empty when none are to be sent.
	User     string
	Password Secret
	// Security is when TLS begins.
	Security Security
	// TLS checks the server against CAFile or the system's certificates, and
	// nothing below TLS 1.2. A server on this machine is not checked unless
	// CAFile is given: a local mail server's certificate is its own.
	TLS *tls.Config
}

// Security is when TLS begins on a connection to an SMTP server.
type Security string

// The kinds of Security.
const (
	// ImplicitTLS is TLS from the first byte.
	ImplicitTLS Security = "implicit TLS"
	// RequireSTARTTLS sends nothing, least of all a password, without STARTTLS.
	RequireSTARTTLS Security = "STARTTLS required"
	// OfferedSTARTTLS uses STARTTLS if the server offers it.
	OfferedSTARTTLS Security = "STARTTLS if offered"
)

// Server takes SMTP apart, which must not be empty. Its error does not hold the
// password.
func (m Mail) Server() (*SMTPServer, error) {
	u, err := url.Parse(m.SMTP.Reveal())
	if err != nil {
		return nil, errors.New(notAURL)
	}
	s := &SMTPServer{Host: u.Hostname(), Port: 587, Security: RequireSTARTTLS}
	onThisMachine := isLoopback(s.Host)
	switch {
	case u.Scheme == "smtps":
		s.Port, s.Security = 465, ImplicitTLS
	case u.Scheme != "smtp":
		return nil, errors.New("must start with smtp:// or smtps://")
	case onThisMachine:
		s.Port, s.Security = 25, OfferedSTARTTLS
	}
	if s.Host == "" {
		return nil, errors.New("has no host")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must end after host and port")
	}
	if u.Port() != "" {
		if !isPort(u.Port(), 1) {
			return nil, errors.New("has a port that is not between 1 and 65535")
		}
		if s.Port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, errors.New("has a port that is no number")
		}
	}
	s.User = u.User.Username()
	password, _ := u.User.Password()
	s.Password = Secret(password)
	if (s.User == "") != (s.Password == "") {
		return nil, errors.New("must hold both user name and password or neither")
	}
	s.TLS = &tls.Config{
		ServerName:         s.Host,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: onThisMachine && m.CAFile == "", //nolint:gosec // only where no byte leaves the machine
	}
	if m.CAFile != "" {
		if s.TLS.RootCAs, err = RootCAs(m.CAFile); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (m *Mail) check(l *loader) {
	if m.CAFile != "" {
		if _, err := RootCAs(m.CAFile); err != nil {
			l.fault("mail.ca_file", "%v", err)
		}
	}
	if m.SMTP != "" {
		withoutCA := *m // whose fault is told above
		withoutCA.CAFile = ""
		server, err := withoutCA.Server()
		if err != nil {
			l.fault("mail.smtp", "%v", err)
		} else if !l.given("mail.from") && !isLoopback(server.Host) {
			// Another machine would refuse the default sender, at night.
			l.fault("mail.from", "must be given with mail.smtp")
		}
	}
	l.checkAddress("mail.from", m.From)
	oneOf(l, "mail.on_uncertain", m.OnUncertain, HoldUncertain, ResendUncertain)
	within(l, "mail.attachment_limit", m.AttachmentLimit, 0, 100e6)
}

// isLoopback tells whether a host is certainly this machine.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}
