package reports

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail"

	"callvault/internal/call"
)

// Security is when TLS begins on a connection to an SMTP server.
type Security int

// The kinds of Security.
const (
	// RequireSTARTTLS sends nothing without STARTTLS.
	RequireSTARTTLS Security = iota
	// OfferedSTARTTLS uses STARTTLS if the server offers it.
	OfferedSTARTTLS
	// ImplicitTLS is TLS from the first byte.
	ImplicitTLS
)

// SMTPServer is where mails are sent to.
type SMTPServer struct {
	Host string
	Port int
	// User and Password are empty when none are to be sent.
	User, Password string
	Security       Security
	// TLS checks the server's certificate; nil means by the system's
	// authorities.
	TLS *tls.Config
	// ConnectTimeout bounds connecting, the greeting, TLS and the log-in
	// together; 0 is 30 s. SendTimeout bounds handing over one mail, the server's
	// last word included; 0 is 5 min: 20 MB on a line of 1 Mbit/s, and a server
	// that looks through them before it answers. Both together must stay under
	// the store's lease of a mail.
	ConnectTimeout, SendTimeout time.Duration
}

// The time limits of a server that sets none, and of what nobody waits for: the
// goodbye, and a conversation when the program ends.
const (
	defaultConnectTimeout = 30 * time.Second
	defaultSendTimeout    = 5 * time.Minute
	partingTimeout        = 5 * time.Second
)

// sending is what became of one try to send.
type sending struct {
	state  call.MailState // sent, retry, uncertain or refused
	detail string
}

// send sends one message on a connection of its own.
func (s *SMTPServer) send(ctx context.Context, message *mail.Msg) sending {
	line := &watchedLine{}
	client, err := s.client(line)
	if err == nil {
		err = client.DialWithContext(ctx)
	}
	if err != nil {
		if line.conn != nil {
			_ = line.conn.Close() // the dialling fault is the one to tell
		}
		return sending{call.MailRetry, "connect to mail server: " + err.Error()}
	}
	// A shutdown lets a running conversation end, but not for long.
	stop := context.AfterFunc(ctx, func() { _ = line.conn.SetDeadline(time.Now().Add(partingTimeout)) })
	defer stop()
	err = mail.WithTimeout(cmp.Or(s.SendTimeout, defaultSendTimeout))(client)
	if err == nil {
		err = client.Send(message)
	}
	result := judge(err, message.IsDelivered(), line.broken.Load())
	// The message's fate is known; a fault while saying goodbye is nobody's
	// concern.
	_ = line.conn.SetDeadline(time.Now().Add(partingTimeout))
	_ = client.Close()
	return result
}

func (s *SMTPServer) client(line *watchedLine) (*mail.Client, error) {
	config := s.TLS
	if config == nil {
		config = &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12}
	}
	options := []mail.Option{
		mail.WithPort(s.Port), mail.WithTimeout(cmp.Or(s.ConnectTimeout, defaultConnectTimeout)), mail.WithTLSConfig(config),
		mail.WithoutNoop(),
		mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			return line.dial(ctx, network, address, s.Security == ImplicitTLS, config)
		}),
	}
	switch s.Security {
	case ImplicitTLS:
		options = append(options, mail.WithSSL())
	case RequireSTARTTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case OfferedSTARTTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	}
	if s.User != "" {
		options = append(options, mail.WithUsername(s.User), mail.WithPassword(s.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1,
				mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return mail.NewClient(s.Host, options...)
}

// watchedLine is a connection that notes when something could not be written.
type watchedLine struct {
	conn   net.Conn
	broken atomic.Bool
}

type watchedConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.broken.Store(true)
	}
	return n, err
}

func (l *watchedLine) dial(ctx context.Context, network, address string, implicit bool, config *tls.Config) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.conn = watchedConn{conn, &l.broken}
	if !implicit {
		return l.conn, nil
	}
	encrypted := tls.Client(l.conn, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return encrypted, nil
}

// judge says what an error of sending means. broken tells that some bytes could
// not be written.
func judge(err error, delivered, broken bool) sending {
	if err == nil || delivered {
		return sending{call.MailSent, "accepted by the mail server"}
	}
	var fault *mail.SendError
	if !errors.As(err, &fault) {
		return sending{call.MailRetry, err.Error()}
	}
	code := fault.ErrorCode()
	switch {
	case code >= 500:
		return sending{call.MailRefused, err.Error()}
	case code >= 400:
		return sending{call.MailRetry, err.Error()}
	case fault.Reason == mail.ErrGetSender, fault.Reason == mail.ErrGetRcpts, fault.Reason == mail.ErrNoUnencoded:
		return sending{call.MailRefused, err.Error()}
	case fault.Reason == mail.ErrSMTPDataClose && !broken:
		// All was written, the final dot with it, and no answer came.
		return sending{call.MailUncertain, err.Error()}
	}
	return sending{call.MailRetry, err.Error()}
}
