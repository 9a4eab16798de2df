package testenv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// SMTPTLS says how an SMTP server encrypts.
type SMTPTLS int

const (
	// SMTPStartTLS offers STARTTLS and takes a password only after it.
	SMTPStartTLS SMTPTLS = iota
	// SMTPImplicitTLS speaks TLS from the first byte (port 465's way).
	SMTPImplicitTLS
	// SMTPNoTLS never encrypts, though it would take a password.
	SMTPNoTLS
)

// SMTPOptions says how a server behaves. The zero value takes every message.
// The counts are of messages, and used up one after the other: first
// RefuseFirst, then CutBeforeDot, CutAfterDot and SilentAfterDot.
type SMTPOptions struct {
	TLS SMTPTLS
	// RefuseRecipients are answered 550 at RCPT TO.
	RefuseRecipients []string
	// RefuseFirst is how many messages are answered 451 at MAIL FROM.
	RefuseFirst int
	// CutBeforeDot is for how many messages the connection is cut in the
	// middle of the content: they were certainly not delivered.
	CutBeforeDot int
	// CutAfterDot is for how many messages the connection is cut after the
	// final dot instead of an answer. They are kept among the messages: the
	// sender cannot know whether they were delivered; they were.
	CutAfterDot int
	// SilentAfterDot is for how many messages the server never answers the
	// final dot. They are kept, too.
	SilentAfterDot int
	// BeforeAnswer, if set, is called with each message that is kept, before
	// its final dot is answered.
	BeforeAnswer func(Message)
	// AfterAnswer, if set, is called with a message that was accepted when its
	// sender has said goodbye or is gone.
	AfterAnswer func(Message)
}

// SMTPServer is an SMTP server inside the test process.
type SMTPServer struct {
	// Addr is host:port.
	Addr string
	// Username and Password are what AUTH PLAIN takes.
	Username, Password string
	// RootCAs trusts the server's certificate, made for 127.0.0.1 and
	// localhost; CAFile is the same as a PEM file.
	RootCAs *x509.CertPool
	CAFile  string

	options SMTPOptions
	ended   chan struct{} // closed when the server ends

	mu       sync.Mutex
	tries    int // guarded by mu; messages begun, good or not
	messages []Message
	arrived  chan struct{} // guarded by mu; closed and replaced at each message
}

// Message is a message as an SMTP server took it.
type Message struct {
	// From and To are the envelope's addresses.
	From string
	To   []string
	// Data is header and body, with lines ending in CR LF.
	Data []byte
	// Encrypted tells whether the connection was, Authenticated whether the
	// client gave the password.
	Encrypted, Authenticated bool
}

// SMTP starts a server for this test. It ends with the test.
func SMTP(t testing.TB, options SMTPOptions) *SMTPServer {
	t.Helper()
	certificate, authority, err := selfSigned()
	if err != nil {
		t.Fatalf("make certificate for SMTP: %v", err)
	}
	caFile := filepath.Join(t.TempDir(), "smtp-ca.pem")
	if err := os.WriteFile(caFile, authority, 0o600); err != nil {
		t.Fatalf("make certificate for SMTP: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start SMTP: %v", err)
	}
	s := &SMTPServer{
		Addr:     listener.Addr().String(),
		Username: "callvault", Password: rand.Text(),
		RootCAs: pool, CAFile: caFile,
		options: options,
		arrived: make(chan struct{}), ended: make(chan struct{}),
	}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &smtpSession{server: s, conn: c}, nil
	}))
	server.Domain = "localhost"
	server.EnableSMTPUTF8 = true
	server.ReadTimeout = time.Minute
	server.WriteTimeout = time.Minute
	// Clients that go away in the middle are what the tests are about.
	server.ErrorLog = log.New(io.Discard, "", 0)
	encryption := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	switch options.TLS {
	case SMTPStartTLS:
		server.TLSConfig = encryption
	case SMTPImplicitTLS:
		listener = tls.NewListener(listener, encryption)
	case SMTPNoTLS:
		server.AllowInsecureAuth = true
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		close(s.ended)
		err := server.Close()
		if err := errors.Join(err, <-served); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Errorf("stop SMTP: %v", err)
		}
	})
	return s
}

// URL returns smtp://user:password@host:port, as in Callvault's configuration.
func (s *SMTPServer) URL() string {
	return fmt.Sprintf("smtp://%s:%s@%s", s.Username, s.Password, s.Addr)
}

// Messages returns the messages taken so far, oldest first.
func (s *SMTPServer) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Tries returns how many messages were begun (MAIL FROM), taken or not.
func (s *SMTPServer) Tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// WaitMessages waits until count messages have been taken and returns all.
func (s *SMTPServer) WaitMessages(ctx context.Context, count int) ([]Message, error) {
	for {
		s.mu.Lock()
		messages, arrived := slices.Clone(s.messages), s.arrived
		s.mu.Unlock()
		if len(messages) >= count {
			return messages, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return messages, fmt.Errorf("wait for %d messages, have %d: %w", count, len(messages), ctx.Err())
		}
	}
}

// keep adds a message and wakes who waits for it.
func (s *SMTPServer) keep(message Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, message)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// fate is what becomes of a message.
type fate int

const (
	accepted fate = iota
	refused
	cutBeforeDot
	cutAfterDot
	silentAfterDot
)

// nextFate counts a try and decides it by the options' counts.
func (s *SMTPServer) nextFate() fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	n, o := s.tries, s.options
	switch {
	case n <= o.RefuseFirst:
		return refused
	case n <= o.RefuseFirst+o.CutBeforeDot:
		return cutBeforeDot
	case n <= o.RefuseFirst+o.CutBeforeDot+o.CutAfterDot:
		return cutAfterDot
	case n <= o.RefuseFirst+o.CutBeforeDot+o.CutAfterDot+o.SilentAfterDot:
		return silentAfterDot
	default:
		return accepted
	}
}

// smtpSession is one client's connection; go-smtp calls it from one goroutine.
type smtpSession struct {
	server        *SMTPServer
	conn          *smtp.Conn
	authenticated bool
	fate          fate
	message       Message
	accepted      []Message
}

// errCut ends a session whose connection has been cut.
var errCut = errors.New("connection cut, as the test asked for")

// AuthMechanisms implements [smtp.AuthSession].
func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements [smtp.AuthSession].
func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != s.server.Username || password != s.server.Password {
			return smtp.ErrAuthFailed
		}
		s.authenticated = true
		return nil
	}), nil
}

// Mail implements [smtp.Session].
func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	_, encrypted := s.conn.TLSConnectionState()
	s.message = Message{From: from, Encrypted: encrypted, Authenticated: s.authenticated}
	s.fate = s.server.nextFate()
	if s.fate == refused {
		return &smtp.SMTPError{
			Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again later",
		}
	}
	return nil
}

// Rcpt implements [smtp.Session].
func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if slices.Contains(s.server.options.RefuseRecipients, to) {
		return &smtp.SMTPError{
			Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user",
		}
	}
	s.message.To = append(s.message.To, to)
	return nil
}

// Data implements [smtp.Session].
func (s *smtpSession) Data(r io.Reader) error {
	if s.fate == cutBeforeDot {
		_, err := r.Read(make([]byte, 64))
		return errors.Join(errCut, err, s.conn.Conn().Close())
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.message.Data = data
	s.server.keep(s.message)
	if before := s.server.options.BeforeAnswer; before != nil {
		before(s.message)
	}
	switch s.fate {
	case cutAfterDot:
		return errors.Join(errCut, s.conn.Conn().Close())
	case silentAfterDot:
		<-s.server.ended
		return errCut
	case accepted, refused, cutBeforeDot:
	}
	s.accepted = append(s.accepted, s.message)
	return nil
}

// Reset implements [smtp.Session].
func (s *smtpSession) Reset() { s.message = Message{} }

// Logout implements [smtp.Session].
func (s *smtpSession) Logout() error {
	if after := s.server.options.AfterAnswer; after != nil {
		for _, m := range s.accepted {
			after(m)
		}
	}
	return nil
}

// selfSigned makes a certificate for the loopback, valid for a day, and
// returns it with its PEM form, which is its own authority.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "localhost"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, public, nil
}
