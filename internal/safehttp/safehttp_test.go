package safehttp

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"golang.org/x/net/dns/dnsmessage"
)

// serve starts a test server and says its host:port.
func serve(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// inside returns a client that may reach the given hosts on this machine.
func inside(t *testing.T, opts Options, hosts ...string) *Client {
	t.Helper()
	opts.AllowPrivate, opts.AllowHTTP, opts.Hosts = true, true, hosts
	client, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	return client
}

func wantRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || refused.Reason != reason {
		t.Fatalf("got %v, want a refusal: %s", err, reason)
	}
}

// get closes the body of what should not have been answered.
func get(t *testing.T, c *Client, rawURL string) error {
	t.Helper()
	resp, err := c.Get(t.Context(), rawURL)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func TestGetReusesConnections(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("headers sent: %v", r.Header)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := inside(t, Options{}, "127.0.0.1")
	for range 3 {
		if err := get(t, client, server.URL+"/a.wav"); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestAddressIsLookedAtWhenDialled(t *testing.T) {
	t.Parallel()
	address := serve(t, func(http.ResponseWriter, *http.Request) {
		t.Error("the server inside was reached")
	})
	port := netip.MustParseAddrPort(address).Port()
	for _, ip := range []string{
		"127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
		"100.64.0.1", "169.254.169.254", "224.0.0.1", "::1", "::",
		"fe80::1", "fd00::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1",
	} {
		t.Run(ip, func(t *testing.T) {
			t.Parallel()
			host := netip.AddrPortFrom(netip.MustParseAddr(ip), port).String()
			byAddress, err := New(Options{Hosts: []string{host}, AllowHTTP: true})
			if err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, get(t, byAddress, "http://"+host+"/"), ReasonAddress)

			host = net.JoinHostPort("rec.example.org", host[strings.LastIndexByte(host, ':')+1:])
			byName, err := New(Options{
				Hosts: []string{host}, AllowHTTP: true, Resolver: resolver(t, ip),
			})
			if err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, get(t, byName, "http://"+host+"/"), ReasonAddress)
		})
	}
}

func TestAllowPrivateKeepsLinkLocalForbidden(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1", "[fd00:ec2::254]", "100.100.100.200"} {
		client := inside(t, Options{}, host)
		wantRefusal(t, get(t, client, "http://"+host+"/latest/meta-data"), ReasonAddress)
	}
}

// TestAddresses judges addresses as they are dialled, whatever spelling led to
// them.
func TestAddresses(t *testing.T) {
	t.Parallel()
	const (
		never   = iota
		private // only with AllowPrivate
		always
	)
	for address, want := range map[string]int{
		"8.8.8.8": always, "1.1.1.1": always, "2606:4700:4700::1111": always, "2a00:1450:4001:80b::200e": always,

		// Loopback and private networks.
		"127.0.0.1": private, "127.255.255.254": private, "::1": private, "10.255.255.255": private, "172.31.0.1": private,
		"192.168.255.1": private, "100.127.255.254": private, "fd00::1": private, "fc00::1": private, "fdff:ffff::1": private,
		"172.32.0.1": always, "100.128.0.1": always, "11.0.0.1": always,

		// This host, link-local, metadata, multicast, broadcast, reserved.
		"0.0.0.0": never, "0.1.2.3": never, "::": never, "169.254.0.1": never, "169.254.169.254": never, "169.254.170.2": never,
		"fe80::1": never, "fe80::a9fe:a9fe": never, "febf::1": never, "fec0::1": never,
		"fd00:ec2::254": never, "fd20:ce::254": never, "100.100.100.200": never, "168.63.129.16": never, "192.0.0.192": never,
		"224.0.0.1": never, "239.255.255.250": never, "ff02::1": never, "ff0e::1": never, "255.255.255.255": never, "240.0.0.1": never,
		"192.0.0.1": never, "192.0.2.1": never, "198.51.100.1": never, "203.0.113.1": never, "198.18.0.1": never, "192.88.99.1": never,
		"2001:db8::1": never, "3fff::1": never, "100::1": never, "5f00::1": never, "4000::1": never,

		// IPv4 inside IPv6: mapped, compatible, translated (SIIT), NAT64, NAT64 for
		// local use, 6to4, Teredo.
		"::ffff:127.0.0.1": never, "::ffff:169.254.169.254": never, "::ffff:8.8.8.8": never, "::ffff:100.100.100.200": never,
		"::127.0.0.1": never, "::8.8.8.8": never, "::ffff:0:127.0.0.1": never,
		"64:ff9b::7f00:1": never, "64:ff9b::a9fe:a9fe": never, "64:ff9b::808:808": never, "64:ff9b:1::7f00:1": never,
		"2002:7f00:1::1": never, "2002:a9fe:a9fe::1": never, "2002:808:808::1": never,
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": never, "2001::1": never,
	} {
		for allowed := range map[bool]bool{false: true, true: true} {
			ip := netip.AddrPortFrom(netip.MustParseAddr(address), 443)
			network := "tcp4"
			if ip.Addr().Is6() {
				network = "tcp6"
			}
			err := outside(guard(allowed).Safe)(network, ip.String(), nil)
			if ok := want == always || want == private && allowed; ok != (err == nil) {
				t.Errorf("%s, private networks allowed %t: got %v", address, allowed, err)
			}
		}
	}
}

func TestDNSThatChangesItsMind(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // so that the next one dials
	})
	host := "rec.example.org:" + address[strings.LastIndexByte(address, ':')+1:]
	client := inside(t, Options{Resolver: resolver(t, "127.0.0.1", "169.254.169.254")}, host)
	if err := get(t, client, "http://"+host+"/a.wav"); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, get(t, client, "http://"+host+"/a.wav"), ReasonAddress)
}

// TestRedirectToTheInside lets 127.0.0.2 stand for the outside world and
// 127.0.0.1 for the inside.
func TestRedirectToTheInside(t *testing.T) {
	t.Parallel()
	secret := serve(t, func(http.ResponseWriter, *http.Request) {
		t.Error("the server inside was reached")
	})
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	outside := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	}))
	outside.Listener = listener
	outside.Start()
	t.Cleanup(outside.Close)

	guard := ssrf.New(ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(netip.MustParsePrefix("127.0.0.2/32")))
	client, err := newClient(Options{
		AllowHTTP: true,
		Hosts:     []string{listener.Addr().String(), secret, "*.example.org"},
		Resolver:  resolver(t, "127.0.0.1"),
	}, guard.Safe)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(secret)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"http://" + secret + "/":                         ReasonAddress,
		"http://rec.example.org/":                        ReasonAddress,
		"http://localhost:" + port + "/":                 ReasonHost,
		"http://[::ffff:127.0.0.1]:" + port + "/":        ReasonURL,
		"http://user@" + secret + "/":                    ReasonUser,
		"file:///etc/passwd":                             ReasonURL,
		"ftp://rec.example.org/":                         ReasonScheme,
		"http://2130706433:" + port + "/":                ReasonURL,
		"//" + secret + "/":                              ReasonAddress,
		`http://rec.example.org\@` + secret + "/":        ReasonURL,
		`\\` + secret + `\`:                              ReasonURL,
		"http://0x7f000001:" + port + "/":                ReasonURL,
		"http://0177.0.0.1:" + port + "/":                ReasonURL,
		"http://127.1:" + port + "/":                     ReasonURL,
		"http://[64:ff9b::7f00:1]:" + port + "/":         ReasonHost,
		"http://169.254.169.254/latest/meta-data/":       ReasonHost,
		"http://rec.example.org@" + secret + "/":         ReasonUser,
		"http://rec.example.org:99999999999999999999/?s": ReasonURL,
	}
	for to, reason := range tests {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			from := "http://" + listener.Addr().String() + "/?to=" + url.QueryEscape(to)
			wantRefusal(t, get(t, client, from), reason)
		})
	}
}

func TestRedirectsWithinTheRules(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" {
			t.Errorf("told where it came from: %s", r.Header.Get("Referer"))
		}
		switch r.URL.Path {
		case "/start":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	})
	client := inside(t, Options{}, "127.0.0.1")
	if err := get(t, client, "http://"+address+"/start?secret=s"); err != nil {
		t.Error(err)
	}
	if err := get(t, client, "http://"+address+"/loop"); !errors.Is(err, ErrTooManyRedirects) {
		t.Errorf("got %v, want %v", err, ErrTooManyRedirects)
	}
}

// TestHeadersStayWithTheirHost: credentials go neither to another host nor, from
// there, back.
func TestHeadersStayWithTheirHost(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]bool{}
	note := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path] = r.Header.Get("Authorization") != "" || r.Header.Get("X-Api-Key") != ""
	}
	var first string
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		note(r)
		http.Redirect(w, r, "http://"+first+"/back", http.StatusFound)
	})
	first = serve(t, func(w http.ResponseWriter, r *http.Request) {
		note(r)
		switch r.URL.Path {
		case "/start":
			http.Redirect(w, r, "/same", http.StatusFound)
		case "/same":
			http.Redirect(w, r, "http://"+other+"/other", http.StatusFound)
		}
	})
	client := inside(t, Options{}, "127.0.0.1")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+first+"/start", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("user", "hunter2")
	req.Header.Set("X-Api-Key", "hunter3")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	want := map[string]bool{"/start": true, "/same": true, "/other": false, "/back": false}
	if !maps.Equal(seen, want) {
		t.Errorf("credentials were seen at %v, want %v", seen, want)
	}
}

func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/break":
			panic(http.ErrAbortHandler)
		case "/bad-location":
			w.Header().Set("Location", "http://[::1?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		case "/off-list":
			http.Redirect(w, r, "http://evil.example/?"+r.URL.RawQuery, http.StatusFound)
		}
	})
	client := inside(t, Options{}, "127.0.0.1")
	for _, path := range []string{"/break", "/bad-location", "/off-list"} {
		err := get(t, client, "http://"+address+path+"?secret=hunter2")
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error is %v", path, err)
		}
	}
	for _, bad := range []string{
		"http://127.0.0.1:1/hunter2?secret=hunter2", // nobody listens
		"http://127.0.0.1/%zz?secret=hunter2",
		"http://user:hunter2@127.0.0.1/",
	} {
		if err := get(t, client, bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error is %v", bad, err)
		}
	}
}

func TestSlowHostsAreCutOff(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/silent" {
			<-r.Context().Done()
			return
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			_, err := io.WriteString(w, "x")
			if err == nil {
				err = http.NewResponseController(w).Flush()
			}
			if err != nil {
				return
			}
			<-tick.C
		}
	})
	t.Run("trickle", func(t *testing.T) {
		t.Parallel()
		client := inside(t, Options{SlowTime: 50 * time.Millisecond}, "127.0.0.1")
		if err := get(t, client, "http://"+address+"/"); !errors.Is(err, ErrTooSlow) {
			t.Errorf("got %v, want %v", err, ErrTooSlow)
		}
	})
	t.Run("for ever", func(t *testing.T) {
		t.Parallel()
		client := inside(t, Options{SlowBytes: 1, TotalTimeout: 100 * time.Millisecond}, "127.0.0.1")
		if err := get(t, client, "http://"+address+"/"); !errors.Is(err, ErrTimeLimit) {
			t.Errorf("got %v, want %v", err, ErrTimeLimit)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		client := inside(t, Options{HeaderTimeout: 50 * time.Millisecond}, "127.0.0.1")
		err := get(t, client, "http://"+address+"/silent")
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
	})
	t.Run("caller gives up", func(t *testing.T) {
		t.Parallel()
		client := inside(t, Options{}, "127.0.0.1")
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := client.Get(ctx, "http://"+address+"/")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTruncatedBody(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		if _, err := io.WriteString(w, "RIFF"); err != nil {
			t.Error(err)
		}
	})
	client := inside(t, Options{}, "127.0.0.1")
	if err := get(t, client, "http://"+address+"/"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// resolver answers every look-up with the next of the addresses, and then
// for ever with the last.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	var asked atomic.Int32
	answer := func(q dnsmessage.Question) []dnsmessage.Resource {
		is6 := q.Type == dnsmessage.TypeAAAA
		i := int(asked.Load())
		addr := netip.MustParseAddr(addresses[min(i, len(addresses)-1)])
		if addr.Is6() != is6 {
			return nil
		}
		asked.Add(1)
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
		if is6 {
			return []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
		}
		return []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}}}
	}
	return answering(t, func(msg *dnsmessage.Message) { msg.Answers = answer(msg.Questions[0]) })
}

// answering is a resolver whose answers are made by change.
func answering(t *testing.T, change func(*dnsmessage.Message)) *net.Resolver {
	t.Helper()
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			if err := answerDNS(far, change); err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("answer DNS: %v", err)
			}
		}()
		return near, nil
	}}
}

// answerDNS answers one question in DNS's stream format.
func answerDNS(conn net.Conn, change func(*dnsmessage.Message)) error {
	var size uint16
	if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
		return err
	}
	question := make([]byte, size)
	if _, err := io.ReadFull(conn, question); err != nil {
		return err
	}
	var msg dnsmessage.Message
	if err := msg.Unpack(question); err != nil {
		return err
	}
	msg.Response, msg.Additionals = true, nil
	change(&msg)
	packed, err := msg.Pack()
	if err != nil {
		return err
	}
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(packed)))
	if _, err := conn.Write(append(framed, packed...)); err != nil {
		return err
	}
	return conn.Close()
}
