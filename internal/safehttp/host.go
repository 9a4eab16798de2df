package safehttp

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// hostList is the hosts a client may go to.
type hostList struct {
	patterns []pattern
	anyPort  bool // a pattern without a port means every port
}

type pattern struct {
	host string // lower case, no final dot; for a wildcard with its dot: ".example.org"
	port string // empty: see hostList.anyPort
}

func parseHosts(texts []string, anyPort bool) (hostList, error) {
	list := hostList{anyPort: anyPort}
	for _, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			return hostList{}, err
		}
		list.patterns = append(list.patterns, p)
	}
	return list, nil
}

func parsePattern(text string) (pattern, error) {
	// Without a scheme url.Parse would take "host:port" for scheme:opaque.
	rest, wild := strings.CutPrefix(strings.TrimSpace(text), "*.")
	u, err := url.Parse("//" + rest)
	if err != nil || u.Host != rest || u.Host == "" {
		return pattern{}, fmt.Errorf("host pattern %q: want a host, host:port or *.domain", text)
	}
	host, ok := canonicalHost(u.Hostname())
	if !ok {
		return pattern{}, fmt.Errorf("host pattern %q: not a host name or IP address", text)
	}
	if port := u.Port(); port != "" && !isPort(port) {
		return pattern{}, fmt.Errorf("host pattern %q: port must be 1 to 65535", text)
	}
	if wild {
		if _, err := netip.ParseAddr(host); err == nil {
			return pattern{}, fmt.Errorf("host pattern %q: an address has no names below it", text)
		}
		host = "." + host
	}
	return pattern{host: host, port: u.Port()}, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// check says why a URL may not be asked for, or nil.
func (l hostList) check(u *url.URL, allowHTTP bool) error {
	host, ok := canonicalHost(u.Hostname())
	if !ok || u.Opaque != "" || (u.Port() != "" && !isPort(u.Port())) {
		return &RefusedError{Reason: ReasonURL}
	}
	standardPort := "443"
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && allowHTTP:
		standardPort = "80"
	default:
		return &RefusedError{Reason: ReasonScheme, Host: u.Host}
	}
	if u.User != nil {
		return &RefusedError{Reason: ReasonUser, Host: u.Host}
	}
	port := u.Port()
	if port == "" {
		port = standardPort
	}
	for _, p := range l.patterns {
		rightHost := host == p.host ||
			strings.HasPrefix(p.host, ".") && strings.HasSuffix(host, p.host)
		rightPort := port == p.port ||
			p.port == "" && (l.anyPort || port == standardPort)
		if rightHost && rightPort {
			return nil
		}
	}
	return &RefusedError{Reason: ReasonHost, Host: net.JoinHostPort(host, port)}
}

// canonicalHost brings a host to the one spelling that is compared, and
// refuses what different programs read differently: 127.1, 0x7f000001,
// 2130706433, 0177.0.0.1, an IPv4 address inside an IPv6 one, a zone, and
// names outside ASCII (whose fullwidth digits become an address later).
func canonicalHost(host string) (string, bool) {
	if strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		if err != nil || addr.Zone() != "" || addr.Is4In6() {
			return "", false
		}
		return addr.String(), true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if len(host) > 253 {
		return "", false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	// A name whose last label is a number is an IPv4 address to a browser
	// (URL standard, "ends in a number"), in whichever of its many spellings.
	last := labels[len(labels)-1]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return "", false
		}
		return addr.String(), true
	}
	return host, true
}

// parseURL reads a URL that came from outside. Its error does not repeat it.
func parseURL(raw string) (*url.URL, error) {
	// Browsers read a backslash as a slash, Go does not: what two programs
	// read differently is refused.
	if strings.Contains(raw, `\`) {
		return nil, &RefusedError{Reason: ReasonURL}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, &RefusedError{Reason: ReasonURL}
	}
	return u, nil
}
