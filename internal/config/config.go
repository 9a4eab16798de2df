// Package config turns the configuration file, the environment and the
// command line's flags into one validated [Config].
//
// The three sources are laid over each other as one YAML tree, which is decoded
// and checked once. So a value is checked alike wherever it comes from, and a
// fault can say where that was: file and line, variable, or flag. All faults
// are reported together, for nobody wants to mend a file one line per start.
package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Config is the whole configuration, complete and valid when it comes from
// [Load]. Its `yaml` tags are the keys of the file, and, joined by "_" and in
// capitals after CALLVAULT_, the names of the variables.
type Config struct {
	// Listen is the address that webhooks, API and console are served on, as
	// host:port; an empty host is every interface, port 0 a free one. Default
	// 127.0.0.1:8080. Danger: beyond loopback without TLS or a proxy that does
	// it, webhook tokens and passwords cross the network in the clear.
	Listen string `yaml:"listen"`

	// PublicURL is the address under which people and providers reach this
	// server, for links in mails and for the webhook addresses shown at the
	// first start. http or https, no query. Default empty: mails carry no links.
	PublicURL string `yaml:"public_url"`

	// Data is the folder of the SQLite database, the directory vault, the spool
	// and mails that are not sent by SMTP; relative to the working directory.
	// Default ./callvault-data. Danger: with SQLite this folder is the database;
	// put it on a local disk, never on a network file system.
	Data string `yaml:"data"`

	// TLS serves https without a proxy in front.
	TLS TLS `yaml:"tls"`

	// Database is a PostgreSQL address, postgres://user:password@host/name.
	// Default empty: SQLite in Data. Several nodes need PostgreSQL.
	Database SecretURL `yaml:"database"`

	// TrustedProxies are the networks whose X-Forwarded-For is believed. Default
	// none. Danger: whoever is in one of them can claim any address, and so pass
	// an account's allow_from.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`

	// Vault is where recordings and report files are kept.
	Vault Vault `yaml:"vault"`

	// Retention says how long things are kept. Default: for ever.
	Retention Retention `yaml:"retention"`

	// Holds is how legal holds are handled.
	Holds Holds `yaml:"holds"`

	// Agents names the people behind the providers' ids and numbers. Default
	// none: agents are made up from what the call reports say.
	Agents []Agent `yaml:"agents"`

	// Alerts says who is told when something needs a person. Default nobody:
	// alerts are logged, counted and listed.
	Alerts Alerts `yaml:"alerts"`

	// Audit is about the log of who did and saw what.
	Audit Audit `yaml:"audit"`

	// Accounts are the sources of calls. Default none: nothing can be received.
	Accounts []Account `yaml:"accounts"`

	// Archive is how recordings are fetched.
	Archive Archive `yaml:"archive"`

	// Verify is how what is kept is checked again and again.
	Verify Verify `yaml:"verify"`

	// Export is how bundles of calls are handed out.
	Export Export `yaml:"export"`

	// Reports are what is built and mailed. Default none.
	Reports []Report `yaml:"reports"`

	// Mail is how mails are sent.
	Mail Mail `yaml:"mail"`

	// File is the file that was read, empty if there was none. Not a key.
	File string `yaml:"-"`

	// Notices are what is valid but not what it may seem, such as settings of
	// which this version makes no use yet. Whoever starts the program should see
	// them. Not a key.
	Notices []Fault `yaml:"-"`
}

// TLS is the certificate of the server. Both files or neither.
type TLS struct {
	// CertFile is the certificate with its chain, PEM. Default empty: http.
	CertFile string `yaml:"cert_file"`

	// KeyFile is the certificate's private key, PEM. Default empty.
	KeyFile string `yaml:"key_file"`
}

// Account finds an account by its name.
func (c *Config) Account(name string) (Account, bool) {
	for _, a := range c.Accounts {
		if a.Name == name {
			return a, true
		}
	}
	return Account{}, false
}

// Report finds a report by its name.
func (c *Config) Report(name string) (Report, bool) {
	for _, r := range c.Reports {
		if r.Name == name {
			return r, true
		}
	}
	return Report{}, false
}

// check completes and validates the whole configuration.
func (c *Config) check(l *loader) {
	host, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		l.fault("listen", "must be host:port, such as 127.0.0.1:8080 or :8080")
	case !isPort(port, 0):
		l.fault("listen", "%q is not a port between 0 and 65535", port)
	case strings.ContainsAny(host, " /"):
		l.fault("listen", "%q is not a host", host)
	}
	if c.PublicURL != "" {
		if _, reason := parseWebURL(c.PublicURL); reason != "" {
			l.fault("public_url", "%s", reason)
		}
		c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	}
	if c.Data == "" {
		l.fault("data", "must name a folder")
	}
	c.TLS.check(l)
	if err == nil && c.TLS.CertFile == "" && !strings.HasPrefix(c.PublicURL, "https://") && !isLoopback(host) {
		l.notice("public_url", "is no https address, and listen takes more than this machine without tls: passwords and tokens "+
			"cross the network in the clear. Give tls; or put a proxy with TLS in front, and its https address here, "+
			"so that browsers never send a login without TLS")
	}
	if c.Database != "" {
		u, err := url.Parse(c.Database.Reveal())
		if err != nil {
			l.fault("database", "%s", notAURL)
		} else if u.Scheme != "postgres" && u.Scheme != "postgresql" {
			l.fault("database", "must start with postgres:// "+
				"(or be empty for SQLite in the data folder)")
		}
	}
	c.Vault.check(l)
	c.Vault.checkLocked(l, c.Retention)
	c.Retention.check(l, c.Accounts)
	checkAgents(l, c.Agents)
	c.Alerts.check(l, c.Mail)
	c.Audit.check(l)
	checkAccounts(l, c.Accounts, c.PublicURL)
	c.Archive.check(l)
	c.Verify.check(l)
	c.Export.check(l)
	checkReports(l, c.Reports, c.Accounts)
	c.Mail.check(l)
}

// notAURL never repeats the value: it may hold a password.
const notAURL = "is not a URL (special characters in user name and password " +
	"must be percent-encoded)"

func (t TLS) check(l *loader) {
	switch {
	case t.CertFile == "" && t.KeyFile == "":
	case t.KeyFile == "":
		l.fault("tls.key_file", "must be given with tls.cert_file")
	case t.CertFile == "":
		l.fault("tls.cert_file", "must be given with tls.key_file")
	default:
		if err := loadKeyPair(t.CertFile, t.KeyFile); err != nil {
			l.fault("tls", "%v", err)
		}
	}
}

// parseWebURL accepts an absolute http or https URL without user, query and
// fragment; otherwise it says what is wrong, without repeating the value.
func parseWebURL(text string) (*url.URL, string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "must start with https:// (or http://)"
	case u.Hostname() == "":
		return nil, "has no host"
	case u.User != nil:
		return nil, "must not hold a user name or password"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "must not have a query or a fragment"
	case u.Port() != "" && !isPort(u.Port(), 1):
		return nil, "has a port that is not between 1 and 65535"
	}
	return u, ""
}

func isPort(text string, least int) bool {
	port, err := strconv.Atoi(text)
	return err == nil && port >= least && port <= 65535
}
