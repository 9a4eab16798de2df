package safehttp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// raw is a host that says what it likes to every request.
func raw(t *testing.T, answer func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // the request
			answer(conn)
			_ = conn.Close() // the host may have closed it
		}
	}()
	return listener.Addr().String()
}

// says is an answer for raw.
func says(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// cut resets the connection after the text.
func cut(text string) func(net.Conn) {
	return func(c net.Conn) {
		says(text)(c)
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
}

// TestFailuresAreSentences shows what a person reads, and that it holds
// neither an address nor anything that the host said.
func TestFailuresAreSentences(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail
	secure.StartTLS()
	t.Cleanup(secure.Close)
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	named := func(code dnsmessage.RCode) *net.Resolver {
		return answering(t, func(msg *dnsmessage.Message) { msg.RCode = code })
	}
	lost := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "udp", Addr: &net.UDPAddr{IP: net.IPv4(10, 9, 8, 7), Port: 53}, Err: syscall.ECONNREFUSED}
	}}
	for name, tt := range map[string]struct {
		url      string
		resolver *net.Resolver
		want     string
		detail   string // part of it
	}{
		"unknown name":        {"https://rec.example.org", named(dnsmessage.RCodeNameError), "the host's name is not known", "no such host"},
		"name server fails":   {"https://rec.example.org", named(dnsmessage.RCodeServerFailure), "the host's name could not be looked up", "server misbehaving"},
		"no name server":      {"https://rec.example.org", lost, "the host's name could not be looked up", "10.9.8.7"},
		"refused":             {"http://127.0.0.1:1", nil, "the host refused the connection", "127.0.0.1:1"},
		"silent":              {"http://" + silent, nil, "the host did not answer in time", ""},
		"certificate":         {secure.URL, nil, "the host's certificate is not trusted", "x509"},
		"http for https":      {"https://" + silent, nil, "the host does not speak https", ""},
		"closed":              {"http://" + raw(t, says("")), nil, "the connection was cut", ""},
		"reset":               {"http://" + raw(t, cut("")), nil, "the connection was cut", "connection reset"},
		"not HTTP":            {"http://" + raw(t, says("ERROR GET /hunter2\r\n\r\n")), nil, "the host's answer could not be understood", ""},
		"odd header":          {"http://" + raw(t, says("HTTP/1.1 200 OK\r\nGET /?secret=hunter2\r\n\r\n")), nil, "the host's answer could not be understood", ""},
		"reset while it came": {"http://" + raw(t, cut("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhunter2")), nil, "the connection was cut", "connection reset"},
		"ended early":         {"http://" + raw(t, says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhunter2")), nil, "the connection was cut", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := inside(t, Options{HeaderTimeout: 500 * time.Millisecond, Resolver: tt.resolver}, "127.0.0.1", "rec.example.org")
			err := get(t, client, tt.url+"/hunter2?secret=hunter2")
			failed, ok := errors.AsType[*FailedError](err)
			if !ok || err.Error() != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if d := failed.Detail(); !strings.Contains(d, tt.detail) || strings.Contains(d, "hunter2") {
				t.Errorf("detail is %q, want %q in it", d, tt.detail)
			}
		})
	}
}

func TestUntrustedCertificates(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	for want, change := range map[string]func(*tls.Config){
		"the host's certificate is for another name":             func(c *tls.Config) { c.ServerName = "other.example.net" },
		"the host's certificate has expired or is not valid yet": func(c *tls.Config) { c.Time = func() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) } },
		"the host's certificate is not trusted":                  func(c *tls.Config) { c.RootCAs = nil },
	} {
		client := inside(t, Options{}, "127.0.0.1")
		trusting, ok := server.Client().Transport.(*http.Transport)
		if !ok {
			t.Fatal("the test server's client has another transport")
		}
		client.transport.TLSClientConfig = &tls.Config{RootCAs: trusting.TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12}
		change(client.transport.TLSClientConfig)
		if err := get(t, client, server.URL); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestRefusalsKeepAddresses tells who reports calls nothing of the names of
// the inside.
func TestRefusalsKeepAddresses(t *testing.T) {
	t.Parallel()
	client, err := New(Options{Hosts: []string{"rec.example.org"}, Resolver: resolver(t, "10.1.2.3")})
	if err != nil {
		t.Fatal(err)
	}
	err = get(t, client, "https://rec.example.org/a.wav")
	wantRefusal(t, err, ReasonAddress)
	refused, _ := errors.AsType[*RefusedError](err)
	if err.Error() != "refused: "+ReasonAddress+": rec.example.org" || refused.Address != "10.1.2.3:443" {
		t.Errorf("got %v with address %s", err, refused.Address)
	}
}
