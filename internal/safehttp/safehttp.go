// Package safehttp is an HTTP client that cannot be talked into the inside
// network. The addresses it fetches come from strangers (whoever can post a
// call report), so it goes only to hosts on a list, and looks at the address
// of every connection at the moment it is dialled: after redirects, and after
// DNS has changed its mind.
package safehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Options say where a client may go and how long it waits. The zero value
// goes nowhere, because Hosts is empty.
type Options struct {
	// Hosts are the hosts that may be asked, and redirected to:
	// "calls.example.org", "*.example.org" (every name below it, not itself),
	// an IP address, and any of these with ":port". Without a port the
	// scheme's own port is meant, and with AllowPrivate any port.
	Hosts []string
	// AllowPrivate lets connections go to loopback and private networks
	// (RFC 1918, RFC 6598, RFC 4193): for a PBX on the inside. Link-local
	// addresses and all others where clouds keep their metadata stay forbidden.
	AllowPrivate bool
	// AllowHTTP permits http beside https.
	AllowHTTP bool
	// MaxRedirects is how many redirects are followed. Default 5.
	MaxRedirects int
	// ConnectTimeout bounds name lookup and TCP connect together, and then
	// the TLS handshake. Default 10 s.
	ConnectTimeout time.Duration
	// HeaderTimeout bounds the wait for an answer to begin. Default 30 s.
	HeaderTimeout time.Duration
	// SlowBytes and SlowTime cut off a body that trickles: while the reader
	// is waiting, at least SlowBytes must come in every SlowTime. Defaults
	// 16 KiB and 30 s. A body that ends is never too slow.
	SlowBytes int
	SlowTime  time.Duration
	// TotalTimeout bounds one request from first lookup to last byte,
	// redirects included. Default 30 min.
	TotalTimeout time.Duration
	// IdlePerHost is how many idle connections to one host are kept for
	// reuse. Default 4.
	IdlePerHost int
	// Resolver looks up names; nil is the system's resolver.
	Resolver *net.Resolver
}

// Passing failures that net/http has no name for.
var (
	// ErrTooSlow says that a body came in below Options.SlowBytes per
	// Options.SlowTime.
	ErrTooSlow = errors.New("answer comes in too slowly")
	// ErrTimeLimit says that Options.TotalTimeout is over.
	ErrTimeLimit = errors.New("time limit for the request is over")
	// ErrTooManyRedirects says that more than Options.MaxRedirects followed
	// each other.
	ErrTooManyRedirects = errors.New("too many redirects")
)

// RefusedError says that a request was not made because the rules forbid it.
// Trying again without changing the rules is of no use. It names at most the
// host: the rest of a URL may be a secret.
type RefusedError struct {
	// Reason is one of the Reason constants.
	Reason string
	// Host is the host asked for, empty when none could be read.
	Host string
	// Address is where the host's name leads, with ReasonAddress. Error does
	// not say it: whoever reports a call could learn names of the inside.
	Address string
}

// Why a request was refused.
const (
	ReasonURL     = "not a usable URL"
	ReasonScheme  = "URL is not https"
	ReasonUser    = "URL holds a user name or password"
	ReasonHost    = "host is not on the list of allowed hosts"
	ReasonAddress = "address is on a private or reserved network"
)

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Host == "" {
		return "refused: " + e.Reason
	}
	return fmt.Sprintf("refused: %s: %s", e.Reason, e.Host)
}

// Client makes requests within the rules of its Options. It keeps its own
// connections: a connection that one account may use is never lent to
// another with stricter rules. Safe for concurrent use.
type Client struct {
	http      *http.Client
	transport *http.Transport
	hosts     hostList
	opts      Options
}

// New returns a client. Its error names the pattern of Options.Hosts that
// cannot be understood.
func New(opts Options) (*Client, error) {
	return newClient(opts, outside(guard(opts.AllowPrivate).Safe))
}

// control looks at an address before it is connected to; see
// net.Dialer.Control.
type control func(network, address string, c syscall.RawConn) error

func newClient(opts Options, safe control) (*Client, error) {
	opts = withDefaults(opts)
	hosts, err := parseHosts(opts.Hosts, opts.AllowPrivate)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{
		Timeout:   opts.ConnectTimeout,
		KeepAlive: 30 * time.Second,
		Resolver:  opts.Resolver,
		Control: func(network, address string, c syscall.RawConn) error {
			if err := safe(network, address, c); err != nil {
				return &RefusedError{Reason: ReasonAddress, Address: address}
			}
			return nil
		},
	}
	c := &Client{hosts: hosts, opts: opts}
	// Proxy stays nil on purpose: a proxy would be dialled in place of the
	// host, and the address check would look at the proxy. With a dialler of
	// our own and no ForceAttemptHTTP2 this is HTTP/1.1.
	c.transport = &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    opts.ConnectTimeout,
		ResponseHeaderTimeout:  opts.HeaderTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    opts.IdlePerHost,
		IdleConnTimeout:        90 * time.Second,
		// Audio does not shrink, Content-Length stays true, and nobody can
		// send a gzip bomb.
		DisableCompression: true,
		ReadBufferSize:     16 << 10,
	}
	c.http = &http.Client{Transport: gate{c}, CheckRedirect: c.checkRedirect}
	return c, nil
}

func withDefaults(o Options) Options {
	orElse(&o.MaxRedirects, 5)
	orElse(&o.ConnectTimeout, 10*time.Second)
	orElse(&o.HeaderTimeout, 30*time.Second)
	orElse(&o.SlowBytes, 16<<10)
	orElse(&o.SlowTime, 30*time.Second)
	orElse(&o.TotalTimeout, 30*time.Minute)
	orElse(&o.IdlePerHost, 4)
	return o
}

func orElse[T int | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// guard decides which addresses may be connected to. Ports are the host
// list's concern. NAT64, 6to4 and other IPv4 inside IPv6 is denied by the
// library's defaults.
func guard(allowPrivate bool) *ssrf.Guardian {
	opts := []ssrf.Option{ssrf.WithAnyPort()}
	if allowPrivate {
		opts = append(opts,
			ssrf.WithAllowedV4Prefixes(
				netip.MustParsePrefix("127.0.0.0/8"),
				netip.MustParsePrefix("10.0.0.0/8"),
				netip.MustParsePrefix("172.16.0.0/12"),
				netip.MustParsePrefix("192.168.0.0/16"),
				netip.MustParsePrefix("100.64.0.0/10")),
			ssrf.WithAllowedV6Prefixes(
				netip.MustParsePrefix("::1/128"),
				netip.MustParsePrefix("fc00::/7")))
	}
	return ssrf.New(opts...)
}

// metadata are addresses at which clouds tell their machines what is secret,
// and which are not on link-local networks. They stay forbidden where private
// networks are allowed.
var metadata = [...]netip.Addr{
	netip.MustParseAddr("168.63.129.16"),   // Azure: a public address, but on the inside
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("fd00:ec2::254"),   // Amazon
	netip.MustParseAddr("fd20:ce::254"),    // Google
}

var errMetadata = errors.New("a cloud's metadata")

// outside is safe without metadata.
func outside(safe control) control {
	return func(network, address string, c syscall.RawConn) error {
		if at, err := netip.ParseAddrPort(address); err == nil && slices.Contains(metadata[:], at.Addr().Unmap().WithZone("")) {
			return errMetadata
		}
		return safe(network, address, c)
	}
}

// Get asks for rawURL. See Do.
func (c *Client) Get(ctx context.Context, rawURL string) (*http.Response, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
	return c.Do(req.WithContext(ctx))
}

// Do makes a request. Its headers go to its own host alone: to none that it
// redirects to, nor further from there. A *RefusedError is permanent, every other error is
// passing: a *FailedError, one of the sentinels, or why ctx ended. None holds
// more of the URL than its host. The caller closes the body, whose Read
// returns the like: ErrTooSlow or ErrTimeLimit when cut off, and what wraps
// io.ErrUnexpectedEOF when it is shorter than its Content-Length.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	limit := time.AfterFunc(c.opts.TotalTimeout, func() { cancel(ErrTimeLimit) })
	stop := func() {
		limit.Stop()
		cancel(nil)
	}
	resp, err := c.http.Do(req.WithContext(ctx))
	if err != nil {
		err = describe(ctx, err)
		stop()
		return nil, err
	}
	resp.Body = &body{
		ReadCloser: resp.Body, cancel: cancel, stop: stop,
		describe:  func(err error) error { return describe(ctx, err) },
		slowBytes: c.opts.SlowBytes, slowTime: c.opts.SlowTime,
		left: c.opts.SlowTime,
	}
	return resp, nil
}

// CloseIdle closes the connections kept for reuse.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// describe turns an error of net/http into one that may be shown: its
// *url.Error prints the whole URL, which may end in a secret.
func describe(ctx context.Context, err error) error {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	for {
		outer, ok := errors.AsType[*url.Error](err)
		if !ok {
			return explain(err)
		}
		err = outer.Err
	}
}

// checkRedirect counts, and leaves the headers of the request behind where it
// leads to another host: they are credentials, and net/http takes most along.
// Where a redirect goes is looked at by gate.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > c.opts.MaxRedirects {
		return ErrTooManyRedirects
	}
	for _, r := range append(via[1:len(via):len(via)], req) {
		if first := via[0].URL; r.URL.Host != first.Host || r.URL.Scheme != first.Scheme {
			clear(req.Header)
		}
	}
	// net/http sets Referer to the last URL, with its query: a provider's
	// secret would be shown to whoever it redirects to.
	req.Header.Del("Referer")
	return nil
}

// gate looks at every request that leaves, the first as well as those a
// redirect asks for.
type gate struct{ c *Client }

func (g gate) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.c.hosts.check(req.URL, g.c.opts.AllowHTTP); err != nil {
		return nil, err
	}
	resp, err := g.c.transport.RoundTrip(req)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		// The dialler knows only the address.
		return nil, &RefusedError{Reason: refused.Reason, Host: req.URL.Host, Address: refused.Address}
	}
	if err != nil {
		return nil, err
	}
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode/100 == 3 {
		// net/http would print a location that it cannot read.
		if _, err := parseURL(location); err != nil {
			return nil, errors.Join(err, resp.Body.Close())
		}
	}
	return resp, nil
}

// body is an answer's body that does not wait for ever. Only time spent
// waiting counts: a reader that is busy writing to a slow disk must not be
// taken for a slow host.
type body struct {
	io.ReadCloser
	describe  func(error) error // says why a Read failed
	cancel    context.CancelCauseFunc
	stop      func()
	slowBytes int
	slowTime  time.Duration
	got       int           // bytes since the last full helping
	left      time.Duration // waiting time left for this helping
	timer     *time.Timer
}

func (b *body) Read(p []byte) (int, error) {
	if b.timer == nil {
		b.timer = time.AfterFunc(b.left, func() { b.cancel(ErrTooSlow) })
	} else {
		b.timer.Reset(b.left)
	}
	begin := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.left = max(b.left-time.Since(begin), 0)
	if b.got += n; b.got >= b.slowBytes {
		b.got, b.left = 0, b.slowTime
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.describe(err)
	}
	return n, err
}

func (b *body) Close() error {
	if b.timer != nil {
		b.timer.Stop()
	}
	err := b.ReadCloser.Close()
	b.stop()
	return err
}
