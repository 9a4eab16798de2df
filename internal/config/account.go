package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// Account is one source of calls: what a provider posts to
// /webhook/{Name}/{Token}.
type Account struct {
	// Name is the account's name in addresses, commands and the vault's keys:
	// a-z, 0-9, - and _, at most 40. Required, unique. Danger: under a new name
	// everything that is received again is new.
	Name string `yaml:"name"`

	// Provider is callerdesk, telecmi or mapped: any other one, whose reports
	// Mapping says how to read. Required.
	Provider Provider `yaml:"provider"`

	// Token is the secret in the webhook's address, 16 to 200 of A-Z, a-z, 0-9,
	// - . _ and ~. Required, unique. Danger: whoever knows it can post calls.
	Token Secret `yaml:"token"`

	// OldToken is taken too, while the provider is being told of a new Token;
	// the same rules. Default empty. Danger: it is as good as Token until it is
	// removed.
	OldToken Secret `yaml:"old_token,omitempty"`

	// TimeZone is the zone of times that the provider sends without one. Default
	// Asia/Kolkata. Danger: it decides the start of CallerDesk's calls.
	TimeZone Zone `yaml:"time_zone"`

	// Region is the country, ISO 3166-1 such as IN, of phone numbers that come
	// without a country code. Default IN.
	Region string `yaml:"region"`

	// AllowFrom are the networks that may post. Default none: anywhere, for the
	// providers publish no list. Danger: a provider that moves is locked out.
	AllowFrom []netip.Prefix `yaml:"allow_from"`

	// RecordingHosts are the hosts that recordings may be fetched from: a host,
	// *.domain (names below it), either with :port. Default *.callerdesk.io for
	// CallerDesk; for TeleCMI the host of APIURL, which is always on the list; for
	// mapped those that the mapping names.
	// Danger: call reports name the address, so a host on this list can be
	// asked by whoever knows the token.
	RecordingHosts []string `yaml:"recording_hosts"`

	// AllowPrivateNetworks permits loopback and private addresses, and http, in
	// RecordingHosts and APIURL. Default false. Danger: true only for a PBX on
	// the inside.
	AllowPrivateNetworks bool `yaml:"allow_private_networks"`

	// OutgoingCustomer is the field that holds the customer's number in
	// CallerDesk's reports of outgoing calls: dial_whom (default), source or
	// destination. CallerDesk only.
	OutgoingCustomer OutgoingCustomer `yaml:"outgoing_customer,omitempty"`

	// AuthCode is CallerDesk's API code, for its list of members. Default empty:
	// agents whom a report knows only by their number have no name. CallerDesk
	// only.
	AuthCode Secret `yaml:"authcode,omitempty"`

	// AppID is TeleCMI's app id, digits. Together with Secret. Default empty: no
	// recordings can be fetched until it is given. TeleCMI only.
	AppID string `yaml:"app_id,omitempty"`

	// Secret is TeleCMI's app secret. Together with AppID. TeleCMI only.
	Secret Secret `yaml:"secret,omitempty"`

	// Mapping says how reports are read: the name of a shipped mapping, a file,
	// or the mapping itself. Required for mapped, and for it only.
	Mapping Mapping `yaml:"mapping,omitempty"`

	// SignatureKey is the key by which the provider signs its deliveries; with
	// it, what is not signed rightly is turned away. Default empty: the token
	// alone. Mapped only, where the mapping has a signature. Danger: a wrong one
	// turns away every delivery, and the provider may never try again.
	SignatureKey Secret `yaml:"signature_key,omitempty"`

	// RecordingUser and RecordingPassword are basic credentials, sent to
	// RecordingHosts and, after a redirect, to no other host. Mapped only.
	RecordingUser     string `yaml:"recording_user,omitempty"`
	RecordingPassword Secret `yaml:"recording_password,omitempty"`

	// RecordingHeaders are sent likewise. Mapped only.
	RecordingHeaders []Credential `yaml:"recording_headers,omitempty"`

	// RecordingQuery are parameters that are added to the address, likewise, and
	// never kept with it. Mapped only.
	RecordingQuery []Credential `yaml:"recording_query,omitempty"`

	// APIURL is the provider's API, https. Default
	// https://app.callerdesk.io/api or https://rest.telecmi.com/v2. Not for
	// mapped.
	APIURL string `yaml:"api_url"`

	// Backfill is when the provider is asked for its call list.
	Backfill Backfill `yaml:"backfill"`

	// Rate bounds how many deliveries are taken.
	Rate Rate `yaml:"rate"`

	// Watch says what is watched, so that somebody is told.
	Watch Watch `yaml:"watch"`

	// Drill marks an account that `callvault drill` plays on, and nothing else
	// does: its calls never happened, and no report counts them unless its match
	// names the account. Default false.
	Drill bool `yaml:"drill,omitempty"`
}

// Backfill is when a provider is asked for its call list, so that calls which
// no webhook brought are found. It needs AuthCode, or AppID and Secret.
type Backfill struct {
	// Every is how often, 5m to 168h, or 0: only by hand. Default 1h.
	Every time.Duration `yaml:"every"`

	// Window is how far back the list is read each time, 1h to 2160h (90 days),
	// at least Every; whole days are read. Default 48h. Danger: a call that the
	// provider lists later than that is not found.
	Window time.Duration `yaml:"window"`
}

// CanBackfill reports whether the provider can be asked for its call list. A
// drill has none.
func (a *Account) CanBackfill() bool {
	return !a.Drill && (a.Provider == CallerDesk && a.AuthCode != "" ||
		a.Provider == TeleCMI && a.AppID != "" && a.Secret != "")
}

// Rate bounds how many deliveries of an account are taken. What is over it
// waits some seconds, and is then turned away with 429.
type Rate struct {
	// PerSecond is how many are taken a second in the long run, 1 to 1000000.
	// Default 5000: beyond any provider, yet one account cannot starve the rest.
	// Danger: providers may never try again what was turned away.
	PerSecond int `yaml:"per_second"`

	// Burst is how many are taken at once, 1 to 1000000. Default 10000.
	Burst int `yaml:"burst"`
}

// Provider is the kind of an account.
type Provider string

// The providers.
const (
	CallerDesk Provider = "callerdesk"
	TeleCMI    Provider = "telecmi"
	Mapped     Provider = "mapped"
)

// OutgoingCustomer is a field of CallerDesk's call report.
type OutgoingCustomer string

// Where the customer's number of an outgoing call is.
const (
	CustomerInDialWhom    OutgoingCustomer = "dial_whom"
	CustomerInSource      OutgoingCustomer = "source"
	CustomerInDestination OutgoingCustomer = "destination"
)

var (
	// token can stand in a path as it is (RFC 3986, unreserved characters).
	token = regexp.MustCompile(`^[A-Za-z0-9._~-]*$`)
	// hostLabels is a host name; the wildcard is cut before.
	hostLabels = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?\.)*` +
		`[a-zA-Z]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?$`)
	appID = regexp.MustCompile(`^[0-9]{1,20}$`)
)

// exampleToken begins the tokens of the example, which everybody can read.
const exampleToken = "replace-with-your-own"

func checkAccounts(l *loader, accounts []Account, publicURL string) {
	names := make(map[string]string)
	tokens := make(map[string]string)
	for i := range accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		a := &accounts[i]
		l.checkName(names, at, a.Name)
		a.checkProvider(l, at, publicURL)
		if l.require(at, "token", a.Token.Reveal()) {
			checkToken(l, tokens, at+".token", a.Token.Reveal())
		}
		if a.OldToken != "" {
			checkToken(l, tokens, at+".old_token", a.OldToken.Reveal())
			l.notice(at+".old_token", "is taken as well as token: remove it when "+
				"the provider posts to the new address")
		}
		if phonenumbers.GetCountryCodeForRegion(a.Region) == 0 {
			l.fault(at+".region", "%s is not a country such as IN",
				quote([]byte(a.Region)))
		}
		a.checkHosts(l, at)
		a.Backfill.check(l, at+".backfill")
		within(l, at+".rate.per_second", a.Rate.PerSecond, 1, 1e6)
		within(l, at+".rate.burst", a.Rate.Burst, 1, 1e6)
	}
}

func (b *Backfill) check(l *loader, at string) {
	if b.Every != 0 {
		within(l, at+".every", b.Every, 5*time.Minute, 7*24*time.Hour)
	}
	within(l, at+".window", b.Window, time.Hour, 90*24*time.Hour)
	if b.Window < b.Every {
		l.fault(at+".window", "must be at least every (%s)", b.Every)
	}
}

// checkProvider completes and checks what depends on the provider. A key of
// another provider is a fault, for it would do nothing.
func (a *Account) checkProvider(l *loader, at, publicURL string) {
	only := func(provider Provider, keys ...string) {
		for _, key := range keys {
			if l.given(at+"."+key) && a.Provider != provider {
				l.fault(at+"."+key, "is for accounts of %s only", provider)
			}
		}
	}
	if !l.require(at, "provider", string(a.Provider)) ||
		!oneOf(l, at+".provider", a.Provider, CallerDesk, TeleCMI, Mapped) {
		return
	}
	only(CallerDesk, "outgoing_customer", "authcode")
	only(TeleCMI, "app_id", "secret")
	only(Mapped, "mapping", "signature_key", "recording_user", "recording_password", "recording_headers",
		"recording_query")
	a.complete()
	switch a.Provider {
	case Mapped:
		a.checkMapped(l, at, publicURL)
	case CallerDesk:
		oneOf(l, at+".outgoing_customer", a.OutgoingCustomer,
			CustomerInDialWhom, CustomerInSource, CustomerInDestination)
	case TeleCMI:
		if a.AppID != "" && !appID.MatchString(a.AppID) {
			l.fault(at+".app_id", "%s is not a number", quote([]byte(a.AppID)))
		}
		switch {
		case a.AppID == "" && a.Secret != "":
			l.fault(at+".app_id", "must be given with secret")
		case a.AppID != "" && a.Secret == "":
			l.fault(at+".secret", "must be given with app_id")
		case a.AppID == "":
			l.notice(at, "without app_id and secret no recording of this "+
				"account can be fetched")
		}
	}
}

func checkToken(l *loader, tokens map[string]string, at, text string) {
	switch {
	case len(text) < 16:
		l.fault(at, "must be at least 16 characters")
	case len(text) > 200:
		l.fault(at, "must be at most 200 characters")
	case !token.MatchString(text):
		l.fault(at, "may only hold A-Z, a-z, 0-9, - . _ and ~")
	case strings.HasPrefix(text, exampleToken):
		l.notice(at, "is the example's, which everybody can read: put a secret "+
			"of your own there before the first provider is told")
	}
	if other, taken := tokens[text]; taken {
		l.fault(at, "must differ from %s", other)
	} else {
		tokens[text] = at
	}
}

func (a *Account) checkHosts(l *loader, at string) {
	for j, pattern := range a.RecordingHosts {
		if reason := a.hostFault(pattern); reason != "" {
			l.fault(fmt.Sprintf("%s.recording_hosts[%d]", at, j), "%s %s",
				quote([]byte(pattern)), reason)
		}
	}
	if a.APIURL == "" {
		return // no provider, no default
	}
	u, reason := parseWebURL(a.APIURL)
	switch {
	case reason != "":
		l.fault(at+".api_url", "%s", reason)
		return
	case u.Scheme == "http" && !a.AllowPrivateNetworks:
		l.fault(at+".api_url", "must be https (http only with "+
			"allow_private_networks)")
		return
	}
	host := hostPattern(u)
	if reason := a.hostFault(host); reason != "" {
		l.fault(at+".api_url", "%s %s", quote([]byte(host)), reason)
	}
	a.APIURL = strings.TrimRight(a.APIURL, "/")
	if a.Provider == TeleCMI && !slices.Contains(a.RecordingHosts, host) {
		a.RecordingHosts = append(a.RecordingHosts, host)
	}
}

// hostPattern is the host of a URL as it is written in recording_hosts.
func hostPattern(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// hostFault says what is wrong with an entry of recording_hosts, or nothing.
func (a *Account) hostFault(pattern string) string {
	const want = "is not a host, *.domain or either with :port"
	if strings.Contains(pattern, "://") {
		return "must be a host alone, without http:// or https://"
	}
	host := pattern
	if name, port, err := net.SplitHostPort(pattern); err == nil {
		if !isPort(port, 1) {
			return "has a port that is not between 1 and 65535"
		}
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err == nil {
		if isInside(address) && !a.AllowPrivateNetworks {
			return "is a private address (allowed only with " +
				"allow_private_networks)"
		}
		return ""
	}
	domain, wild := strings.CutPrefix(host, "*.")
	switch {
	case len(domain) > 253 || !hostLabels.MatchString(domain):
		return want
	case a.AllowPrivateNetworks:
		return ""
	case domain == "localhost":
		return "is this machine (allowed only with allow_private_networks)"
	case wild && !strings.Contains(domain, "."):
		return "is too wide: name the domain of one company"
	}
	return ""
}

// isInside tells whether an address is certainly not on the internet. What a
// name turns out to be is looked at when it is dialled.
func isInside(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsUnspecified() ||
		a.IsLinkLocalUnicast()
}
